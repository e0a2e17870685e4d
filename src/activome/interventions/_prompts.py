"""Prompts of a task, in passes of one length each, and what a network says after them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from activome.errors import ParameterError
from activome.interventions._hooks import _output_tensor
from activome.interventions._inputs import Batch, accepted, batches, run, tensors_of
from activome.interventions.selectors import real_bounds

__all__ = ["Prompts", "last_logits", "logits_of"]


def logits_of(output: Any) -> Any:
    """Return the tensor of logits in what a model returns."""
    found = getattr(output, "logits", None)
    return _output_tensor(output, 0) if found is None else found


def last_logits(model: nn.Module, batch: Batch) -> Any:
    """Run the model; return what it says after the last real position of each row."""
    mask = batch.kwargs.get("attention_mask")
    options: dict[str, Any] = {"use_cache": False}
    if mask is None and "logits_to_keep" in accepted(model):
        options["logits_to_keep"] = 1
    found = logits_of(run(model, batch, **options))
    if found.ndim != 3:
        return found
    if mask is None:
        return found[:, -1]
    _, last = real_bounds(mask, mask.shape[1])
    return found[torch.arange(len(found)), last[:, 0].to(found.device)]


@dataclass(frozen=True)
class Prompts:
    """Prompts as passes: lists of one length go together, so that nothing is padded."""

    model: nn.Module
    parts: list[Batch]

    @classmethod
    def of(cls, owner: str, model: nn.Module, inputs: Any, tokenizer: Any) -> Prompts:
        """Cut what a user gives into passes."""
        _, lists = tensors_of(inputs, tokenizer, owner)
        if lists is None:
            whole = batches(inputs, model, tokenizer=tokenizer, max_tokens=sys.maxsize, owner=owner)
            return cls(model, whole)
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        lengths = sorted({len(item) for item in lists})
        parts = []
        for length in lengths:
            rows = [i for i, item in enumerate(lists) if len(item) == length]
            ids = torch.tensor([lists[i] for i in rows], device=device)
            parts.append(Batch(rows, (), {"input_ids": ids}))
        return cls(model, parts)

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return sum(len(part.rows) for part in self.parts)

    def keys(self) -> list[tuple[int, ...]]:
        """Return the real token ids of each prompt that has any, to tell equal ones."""
        found = []
        for part in self.parts:
            ids = part.ids
            if ids is None:
                continue
            mask = part.kwargs.get("attention_mask")
            keep = torch.ones_like(ids) if mask is None else mask
            rows = zip(ids.tolist(), keep.tolist(), strict=True)
            found += [tuple(i for i, k in zip(*row, strict=True) if k) for row in rows]
        return found

    def in_order(self, pieces: Sequence[Any]) -> Any:
        """Join one tensor per pass, rows in the order in which the prompts were given."""
        rows = torch.tensor([row for part in self.parts for row in part.rows])
        joined = torch.cat(list(pieces))
        return joined[rows.argsort().to(joined.device)]

    def logits(self) -> Any:
        """Return the logits after each prompt, shape (n_prompts, n_outputs)."""
        return self.in_order([last_logits(self.model, part) for part in self.parts])

    def correct(self, answers: Any) -> Any:
        """Return which prompts are answered by the token that they should be."""
        with torch.no_grad():
            return (self.logits().argmax(-1).cpu() == answers).numpy()


def answers_of(answers: Any, n_prompts: int, owner: str) -> Any:
    """Return the right answers as a tensor, one per prompt."""
    found = torch.as_tensor(answers)
    if found.shape != (n_prompts,) or found.is_floating_point():
        raise ParameterError(
            f"{owner}: answers must be one token id per prompt ({n_prompts}); got {found.dtype} of "
            f"shape {tuple(found.shape)}."
        )
    return found
