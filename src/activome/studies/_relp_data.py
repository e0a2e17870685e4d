"""Prompts, the controlled residual network and what is measured on them by the RelP study."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from activome.interventions.activation_patching import activation_patching
from activome.interventions.attribution_patching import attribution_patching
from activome.interventions.integrated_gradients import integrated_gradients
from activome.interventions.relevance_patching import relevance_patching
from activome.networks.language_models import LanguageModel, load_language_model

__all__ = ["METHODS", "GatedResidual", "Task", "language_model", "pack", "task", "unpack"]

METHODS: dict[str, Callable[..., xr.DataArray]] = {
    "exact": activation_patching,
    "attribution": attribution_patching,
    "RelP": relevance_patching,
    "integrated gradients": integrated_gradients,
}
_NAMES: tuple[tuple[str, str], ...] = (
    ("John", "Mary"),
    ("Tom", "James"),
    ("Dan", "Anna"),
    ("Paul", "Laura"),
    ("Mark", "Sarah"),
    ("Kevin", "Emma"),
    ("Jack", "Lisa"),
    ("Peter", "Kate"),
)
_NOUNS: tuple[tuple[str, str, str], ...] = (
    ("key", "keys", "cabinet"),
    ("dog", "dogs", "house"),
    ("book", "books", "table"),
    ("teacher", "teachers", "school"),
    ("friend", "friends", "doctor"),
    ("picture", "pictures", "door"),
    ("student", "students", "library"),
    ("car", "cars", "station"),
)


class Task:
    """Prompts in pairs, each the corrupted version of the other, with a right and a wrong answer.

    ``metric`` is the mean difference of the logits of the answers that are right for the clean
    prompts and for the corrupted ones.
    """

    def __init__(self, pairs: list[tuple[str, str, str, str]], tokenizer: Any) -> None:
        first = [tokenizer(text)["input_ids"] for text, _, _, _ in pairs]
        second = [tokenizer(text)["input_ids"] for _, text, _, _ in pairs]
        answers = [[_single(tokenizer, word) for word in pair[2:]] for pair in pairs]
        self.clean = torch.tensor(first + second)
        self.corrupted = torch.tensor(second + first)
        right, wrong = torch.tensor(answers).T
        self.right, self.wrong = torch.cat([right, wrong]), torch.cat([wrong, right])

    def metric(self, logits: Any) -> Any:
        """Return the mean logit difference of logits (n_prompts, n_tokens)."""
        rows = torch.arange(len(logits))
        return (logits[rows, self.right] - logits[rows, self.wrong]).mean()


def _single(tokenizer: Any, word: str) -> int:
    ids = tokenizer(" " + word)["input_ids"]
    if len(ids) != 1:
        raise ValueError(f"{word!r} must be one token of the model; it is {len(ids)}.")
    return int(ids[0])


@lru_cache(maxsize=1)
def language_model() -> LanguageModel:
    """Return SmolLM2 in single precision, which patching needs."""
    return load_language_model("smollm2", dtype="float32")


def task(name: str, n_pairs: int, first: int = 0) -> Task:
    """Return the indirect-object or the agreement task, with some pairs of the eight."""
    chosen = slice(first, first + n_pairs)
    tokenizer = language_model().tokenizer
    if name == "objects":
        text = "When {} and {} went to the store, {} gave a drink to"
        pairs = [(text.format(a, b, a), text.format(a, b, b), b, a) for a, b in _NAMES[chosen]]
    else:
        text = "The {} near the {}"
        pairs = [
            (text.format(many, place), text.format(one, place), "are", "is")
            for one, many, place in _NOUNS[chosen]
        ]
    return Task(pairs, tokenizer)


class _Block(nn.Module):
    def __init__(self, d: int, width: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(d, eps=1e-12, elementwise_affine=False)
        self.gate = nn.Linear(d, width, bias=False)
        self.up = nn.Linear(d, width, bias=False)
        self.act = nn.SiLU()
        self.down = nn.Linear(width, d, bias=False)

    def forward(self, h: torch.Tensor) -> Any:
        """Return the stream after the block, of the shape of the stream before."""
        x = self.norm(h)
        return h + self.down(self.act(self.gate(x)) * self.up(x))


class GatedResidual(nn.Module):
    """Three gated blocks on a residual stream with random weights, read out along one direction."""

    tap_sites = {  # noqa: RUF012  # read, never written
        "resid_pre": "blocks.*#in",
        "mlp_up": "blocks.*.up#out",
        "mlp_hidden": "blocks.*.down#in",
        "mlp_out": "blocks.*.down#out",
    }

    def __init__(self, seed: int, n_blocks: int = 3, d: int = 32, width: int = 96) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(d, width) for _ in range(n_blocks))
        self.norm = nn.RMSNorm(d, eps=1e-12, elementwise_affine=False)
        self.readout = nn.Linear(d, 1, bias=False)
        self.double()
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            spread = 1.0 if "readout" in name else width**-0.5 if "down" in name else 2 * d**-0.5
            weight.data.normal_(0.0, spread, generator=generator)

    def forward(self, h: torch.Tensor) -> Any:
        """Return (..., 1) for a stream (..., d)."""
        for block in self.blocks:
            h = block(h)
        return self.readout(self.norm(h))


def residual_network(seed: int, n_pairs: int = 64) -> dict[str, Any]:
    """Measure and estimate the effect of the whole stream before each block, for random pairs.

    A pair is a position of one sample, so that one call patches each pair on its own.
    """
    network = GatedResidual(seed)
    generator = torch.Generator().manual_seed(seed + 1000)
    clean, corrupted = torch.randn(2, 1, n_pairs, 32, generator=generator, dtype=torch.float64)
    options: Any = {"readout": "all", "normalize": False}
    found = {
        name: METHODS[name](network, clean, corrupted, torch.sum, "resid_pre", **options)
        for name in ("exact", "attribution", "RelP")
    }
    truth = found.pop("exact").values[0]
    return {
        name: [float(np.corrcoef(truth[i], value.values[0, i])[0, 1]) for i in range(len(truth))]
        for name, value in found.items()
    }


def effects(method: str, name: str, n_pairs: int, sites: list[str], **options: Any) -> Any:
    """Return the effects of one method on one task, with what they cost."""
    given = task(name, n_pairs)
    model = language_model()
    start, cpu = time.perf_counter(), time.process_time()
    found = METHODS[method](
        model.model,
        given.clean,
        given.corrupted,
        given.metric,
        sites,
        tokenizer=model.tokenizer,
        **options,
    )
    return pack(found) | {
        "wall": time.perf_counter() - start,
        "cpu": time.process_time() - cpu,
    }


def pack(found: xr.DataArray) -> dict[str, Any]:
    """Return labelled effects as plain arrays and lists."""
    coords = {str(name): coord.values.tolist() for name, coord in found.coords.items()}
    return {"values": found.values, "coords": coords, "attrs": dict(found.attrs)}


def unpack(found: dict[str, Any]) -> xr.DataArray:
    """Return what ``pack`` was given."""
    coords = dict(found["coords"])
    tokens = {k: ("position", coords.pop(k)) for k in list(coords) if k.endswith("_token")}
    dims = ("site", "layer", "position")
    return xr.DataArray(found["values"], coords | tokens, dims, attrs=found["attrs"])
