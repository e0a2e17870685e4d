"""Inputs of a model: tensors, keyword tensors, lists of token ids or texts, cut into batches."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from activome.errors import ParameterError
from activome.interventions._hooks import manager_of

__all__ = ["Batch", "accepted", "as_batch", "batches", "run", "spared", "tensors_of"]


@dataclass(frozen=True)
class Batch:
    """Rows of the input that go through the model together."""

    rows: list[int]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def ids(self) -> Any:
        """Token ids (n_samples, n_positions), or None."""
        found = self.kwargs.get("input_ids")
        if found is None and self.args and self.args[0].ndim == 2:
            found = None if self.args[0].is_floating_point() else self.args[0]
        return found


def tensors_of(inputs: Any, tokenizer: Any, owner: str) -> tuple[Any, Any]:
    """Return (tensor or mapping, None) or (None, list of token ids) for what a user gives."""
    if isinstance(inputs, str):
        inputs = [inputs]
    if isinstance(inputs, (torch.Tensor, np.ndarray)):
        found = torch.as_tensor(inputs)
        if found.ndim == 0 or found.shape[0] == 0:
            raise ParameterError(f"{owner}: inputs hold no sample; got {tuple(found.shape)}.")
        return found, None
    if isinstance(inputs, Mapping):
        values = {name: torch.as_tensor(value) for name, value in inputs.items()}
        lengths = {name: len(value) for name, value in values.items() if value.ndim}
        if len(set(lengths.values())) != 1:
            raise ParameterError(f"{owner}: inputs must have one sample per row; got {lengths}.")
        return values, None
    if not isinstance(inputs, Sequence) or not inputs:
        raise ParameterError(
            f"{owner}: inputs must be a tensor, a mapping of tensors, a list of token ids per "
            f"sample, or texts with a tokenizer; got {type(inputs).__name__}."
        )
    if all(isinstance(item, str) for item in inputs):
        if tokenizer is None:
            raise ParameterError(f"{owner}: inputs are texts; give the tokenizer of the model.")
        encode = getattr(tokenizer, "encode", tokenizer)
        inputs = [getattr(found, "ids", found) for found in map(encode, inputs)]
    lists = [np.asarray(item) for item in inputs]
    for number, item in enumerate(lists):
        if item.ndim != 1 or item.size == 0 or item.dtype.kind not in "iu":
            raise ParameterError(
                f"{owner}: sample {number} must be a list of at least one token id; got "
                f"{item.dtype} of shape {item.shape}."
            )
    return None, [item.astype(np.int64).tolist() for item in lists]


def batches(
    inputs: Any,
    model: nn.Module,
    *,
    tokenizer: Any,
    max_tokens: int,
    owner: str,
    in_order: bool = False,
) -> list[Batch]:
    """Cut the input into batches of at most ``max_tokens`` positions; lists go by length."""
    whole, lists = tensors_of(inputs, tokenizer, owner)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    if isinstance(inputs, np.ndarray) and whole.is_floating_point():
        # NumPy makes float64 where nobody asked for it; a tensor has the type it was given.
        floats = (p.dtype for p in model.parameters() if p.is_floating_point())
        whole = whole.to(next(floats, whole.dtype))
    if lists is not None:
        _refuse_unknown_ids(lists, model, owner)
        return list(_padded(lists, max_tokens, device, in_order=in_order))
    first = next(iter(whole.values())) if isinstance(whole, dict) else whole
    if first.device != device:
        raise ParameterError(
            f"{owner}: the model is on {device} and its input on {first.device}. Move one of them "
            "with .to(...)."
        )
    n_rows = len(first)
    width = int(first.shape[1]) if first.ndim == 2 and not first.is_floating_point() else 32
    size = max(1, max_tokens // max(width, 1))
    found = []
    for start in range(0, n_rows, size):
        rows = slice(start, start + size)
        numbers = list(range(n_rows))[rows]
        # A batch that is everything goes as it came, so that its values are those of a plain call.
        if isinstance(whole, dict):
            part = {name: v[rows] if v.ndim else v for name, v in whole.items()}
            found.append(Batch(numbers, (), whole if size >= n_rows else part))
        else:
            found.append(Batch(numbers, (whole if size >= n_rows else whole[rows],), {}))
    return found


def as_batch(inputs: Any, model: nn.Module, owner: str) -> Batch:
    """Return the input of one pass, whatever its size."""
    whole = batches(
        inputs, model, tokenizer=None, max_tokens=sys.maxsize, owner=owner, in_order=True
    )
    return whole[0]


def _refuse_unknown_ids(lists: list[list[int]], model: nn.Module, owner: str) -> None:
    """Raise for token ids that the embedding of a language model has no row for."""
    find = getattr(model, "get_input_embeddings", None)
    n_rows = getattr(find() if callable(find) else None, "num_embeddings", None)
    for number, item in enumerate(lists):
        low, high = min(item), max(item)
        if n_rows is not None and not 0 <= low <= high < n_rows:
            raise ParameterError(
                f"{owner}: sample {number} holds token id {low if low < 0 else high}; "
                f"{type(model).__name__} knows 0 to {n_rows - 1}. Encode the texts with the "
                "tokenizer of this model."
            )


def _padded(
    lists: list[list[int]], max_tokens: int, device: Any, *, in_order: bool
) -> Iterator[Batch]:
    lengths = [len(item) for item in lists]
    order = sorted(range(len(lists)), key=lambda i: 0 if in_order else lengths[i])
    start = 0
    while start < len(order):
        stop, width = start, 0
        while stop < len(order):
            wider = max(width, lengths[order[stop]])
            if stop > start and (stop + 1 - start) * wider > max_tokens:
                break
            stop, width = stop + 1, wider
        rows = order[start:stop]
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros(len(rows), width, dtype=torch.long)
        for place, row in enumerate(rows):
            ids[place, : len(lists[row])] = torch.tensor(lists[row])
            mask[place, : len(lists[row])] = 1
        kwargs = {"input_ids": ids.to(device)}
        if not bool(mask.all()):
            kwargs["attention_mask"] = mask.to(device)
        yield Batch(rows, (), kwargs)
        start = stop


def run(model: nn.Module, batch: Batch, **options: Any) -> Any:
    """Call the model; token ids go by name where it knows the name, else as first argument."""
    names = accepted(model)
    args, kwargs = batch.args, dict(batch.kwargs)
    if "input_ids" in kwargs and "input_ids" not in names and "**" not in names:
        if "attention_mask" in kwargs and "attention_mask" not in names:
            raise ParameterError(
                f"record: samples differ in length, and {type(model).__name__} takes no "
                "attention_mask. Give samples of one length."
            )
        args = (kwargs.pop("input_ids"), *args)
    given = {name: value for name, value in options.items() if name in names}
    with _rows_together(model) if "logits_to_keep" in given else nullcontext():
        return model(*args, **(given | kwargs))


@contextmanager
def _rows_together(model: nn.Module) -> Iterator[None]:
    """Let the output layer take the last positions of all rows in one product.

    They are a slice with gaps, of which torch multiplies row by row, each with all the weights.
    """
    head = _output_layer(model)
    if head is None:
        yield
        return
    handle = head.register_forward_pre_hook(lambda _, args: tuple(a.contiguous() for a in args))
    try:
        yield
    finally:
        handle.remove()


def _output_layer(model: nn.Module) -> nn.Module | None:
    find = getattr(model, "get_output_embeddings", None)
    found: nn.Module | None = find() if callable(find) else None
    return found


def spared(model: nn.Module) -> dict[str, Any]:
    """Return the options with which a pass does nothing that no hook sees.

    The cache of keys and values is left out, and the output layer is run on the last token alone:
    it is a fifth of the work of a small language model, and most of its memory.
    """
    head = _output_layer(model)
    watched = {path for path, _ in manager_of(model).stations}
    is_watched = "" in watched or any(model.get_submodule(path) is head for path in watched)
    return {"use_cache": False} | ({} if head is None or is_watched else {"logits_to_keep": 1})


def accepted(model: nn.Module) -> set[str]:
    """Return the names a model's forward takes; "**" where it takes any."""
    found = inspect.signature(model.forward).parameters.values()
    return {"**" if p.kind is p.VAR_KEYWORD else p.name for p in found}
