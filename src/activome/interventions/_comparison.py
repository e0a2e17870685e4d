"""Two runs of one model, clean and corrupted: inputs, sites, metric, and the labels of effects."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from activome._checks import check_choice
from activome._progress import Progress, silent
from activome.errors import ParameterError
from activome.interventions._inputs import Batch, accepted, batches, run
from activome.interventions._labels import token_strings
from activome.interventions._nodes import Nodes
from activome.interventions._prompts import last_logits, logits_of
from activome.interventions.sites import Site
from activome.interventions.taps import Taps

__all__ = ["Comparison", "frozen", "repeat"]

READOUTS = ("last", "all")
Metric = Callable[[Any], Any]


@dataclass
class Comparison:
    """What every method of patching is given, checked once."""

    owner: str
    model: nn.Module
    taps: Taps
    clean: Batch
    corrupted: Batch
    metric: Metric
    sites: list[Site]
    readout: str | Callable[[Any], Any]
    tokenizer: Any
    by: tuple[str, ...]
    positions: Any

    @classmethod
    def of(
        cls,
        owner: str,
        model: nn.Module,
        clean: Any,
        corrupted: Any,
        metric: Metric,
        sites: str | Sequence[str],
        by: str | Sequence[str] = ("position", "head"),
        positions: Any = "all",
        readout: str | Callable[[Any], Any] = "last",
        tokenizer: Any = None,
        scheme: str | None = None,
    ) -> Comparison:
        """Check what a user gives."""
        taps = Taps(model, scheme)
        refuse_noise(model, owner)
        names = [sites] if isinstance(sites, str) else list(sites)
        if not names:
            raise ParameterError(f"{owner}: name at least one site.")
        if not callable(metric):
            raise ParameterError(
                f"{owner}: metric must be a function of the logits; got {type(metric).__name__}."
            )
        if not callable(readout):
            check_choice(readout, READOUTS, name="readout", owner=owner)
        found = {site.label: site for name in names for site in taps.sites(name)}
        for site in found.values():
            if not site.is_editable:
                raise ParameterError(
                    f"{owner}: {site.label} can be read, not patched: what the module takes or "
                    "gives there does not reach the rest of the network. Use head_out, attn_out, "
                    "resid_pre or resid_post instead."
                )
        first, second = (
            one_batch(inputs, model, tokenizer, owner) for inputs in (clean, corrupted)
        )
        refuse_unlike(first, second, owner)
        split = (by,) if isinstance(by, str) else tuple(by)
        for axis in split:
            check_choice(axis, ("position", "head", "unit"), name="axis in by", owner=owner)
        return cls(
            owner,
            model,
            taps,
            first,
            second,
            metric,
            list(found.values()),
            readout,
            tokenizer,
            split,
            positions,
        )

    def call(self, batch: Batch) -> Any:
        """Run the model and return what the metric is given, rows first."""
        if self.readout == "last":
            return last_logits(self.model, batch)
        output = run(self.model, batch, use_cache=False)
        return self.readout(output) if callable(self.readout) else logits_of(output)

    def value(self, readout: Any, *, is_differentiable: bool = False) -> Any:
        """Return the metric of one run as a tensor without axes."""
        try:
            found = self.metric(readout)
        except (IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
            shape = f" of shape {tuple(readout.shape)}" if hasattr(readout, "shape") else ""
            given = f"readout={self.readout!r}" if isinstance(self.readout, str) else "readout"
            raise ParameterError(
                f"{self.owner}: metric must take what {given} gives, {type(readout).__name__}"
                f"{shape}; it raised {type(error).__name__}: {error}. Logits of all positions come "
                'with readout="all".'
            ) from error
        if not isinstance(found, torch.Tensor):
            if is_differentiable:
                raise ParameterError(
                    f"{self.owner}: metric must be differentiable by torch; it returned "
                    f"{type(found).__name__}. Return a tensor, without item() or numpy()."
                )
            if not isinstance(found, (int, float, np.number)):
                raise ParameterError(
                    f"{self.owner}: metric must return one number; got {type(found).__name__}."
                )
            found = torch.as_tensor(float(found), dtype=torch.float64)
        if found.numel() != 1:
            raise ParameterError(
                f"{self.owner}: metric must return one number; got a tensor of shape "
                f"{tuple(found.shape)}. Average over the prompts inside it."
            )
        if is_differentiable and not found.requires_grad:
            raise ParameterError(
                f"{self.owner}: metric must be differentiable by torch; its value has no gradient. "
                "Leave out argmax, detach and comparisons."
            )
        if not bool(torch.isfinite(found)):
            raise ParameterError(f"{self.owner}: metric must be finite; it is {float(found)}.")
        return found.reshape(())

    def values(self, readout: Any, n_groups: int) -> list[float]:
        """Return the metric of each of several runs that went through together."""
        return [float(self.value(part)) for part in readout.chunk(n_groups)]

    def scale(self, clean: float, corrupted: float, *, normalize: bool, dtype: Any) -> float:
        """Return what effects are divided by."""
        if not normalize:
            return 1.0
        gap = clean - corrupted
        # What remains of a difference of two equal numbers is rounding.
        if abs(gap) <= 16 * torch.finfo(dtype).eps * max(abs(clean), abs(corrupted)):
            raise ParameterError(
                f"{self.owner}: the metric must differ between clean and corrupted inputs; it is "
                f"{clean:.6g} for both, so that effects cannot be normalised. Choose inputs that "
                "differ in what the metric measures, or normalize=False."
            )
        return gap

    def record(
        self, batch: Batch, sites: Sequence[Site] | None = None
    ) -> tuple[dict[str, Any], Any]:
        """Run without gradients; return the views of the sites by label, and the readout."""
        wanted = self.sites if sites is None else list(sites)
        with torch.no_grad(), self.taps.record(*(site.label for site in wanted)) as recording:
            readout = self.call(batch)
        found = {}
        for site in wanted:
            value = recording.tensor(site.label)
            n_calls = len(list(recording.pieces[site.label].values())[-1])
            if n_calls > 1:
                raise ParameterError(
                    f"{self.owner}: {site.label} is called {n_calls} times in one pass; patch a "
                    "module that is called once."
                )
            n_rows = len(batch.rows)
            if value.ndim < 2 or value.shape[0] != n_rows:
                raise ParameterError(
                    f"{self.owner}: {site.label} must have one row per sample; it has shape "
                    f"{tuple(value.shape)} for {n_rows} samples. Samples are the first axis."
                )
            found[site.label] = value
        return found, readout

    def nodes(self, values: dict[str, Any], sites: Sequence[Site] | None = None) -> Nodes:
        """Return the cells of the result, one axis per split axis that the sites have."""
        wanted = self.sites if sites is None else list(sites)
        shapes = {site.label: tuple(values[site.label].shape) for site in wanted}
        return Nodes.of(self.owner, wanted, shapes, self.by, self.positions)

    def effects(
        self,
        values: dict[str, Any],
        read: Any,
        low: float,
        changes: Callable[[Nodes, Site], Any],
        *,
        normalize: bool,
        progress: Progress = silent,
    ) -> xr.DataArray:
        """Measure the nodes of each site in turn, and label what is found.

        ``values`` and ``read`` are what ``record`` gave of the clean run, ``low`` is the metric of
        the corrupted one; ``changes`` gives by how much each node of a site changes that.
        """
        high = float(self.value(read))
        scale = self.scale(high, low, normalize=normalize, dtype=read.dtype)
        nodes = self.nodes(values)
        found = {}
        for number, site in enumerate(self.sites):
            progress(self.owner, number, len(self.sites))
            found[site.label] = np.asarray(changes(nodes, site)) / scale
        progress(self.owner, len(self.sites), len(self.sites))
        dtype = "float64" if read.dtype == torch.float64 else "float32"
        return self.label(nodes.array(found, dtype), high, low)

    def label(self, effects: xr.DataArray, clean: float, corrupted: float) -> xr.DataArray:
        """Give effects their attributes and, with a tokenizer, the tokens of the first prompts."""
        effects.name = "effect"
        effects.attrs = {
            "method": self.owner,
            "clean_metric": clean,
            "corrupted_metric": corrupted,
            "model": type(self.model).__name__,
        }
        if self.tokenizer is None or "position" not in effects.dims:
            return effects
        places = effects["position"].values
        coords = {}
        for name, batch in (("clean_token", self.clean), ("corrupted_token", self.corrupted)):
            if batch.ids is not None:
                ids = batch.ids[0].detach().cpu().numpy()[places]
                coords[name] = ("position", token_strings(ids, self.tokenizer))
        return effects.assign_coords(coords)


def one_batch(inputs: Any, model: nn.Module, tokenizer: Any, owner: str) -> Batch:
    """Return the input as one batch of rows of one length."""
    found = batches(inputs, model, tokenizer=tokenizer, max_tokens=sys.maxsize, owner=owner)
    batch = found[0]
    if isinstance(inputs, Sequence) and "attention_mask" in batch.kwargs:
        lengths = sorted({int(n) for n in batch.kwargs["attention_mask"].sum(1)})
        raise ParameterError(
            f"{owner}: prompts must have one length, so that their positions mean the same; got "
            f"lengths {lengths}. Give prompts of one length, or tensors with an attention_mask."
        )
    ids = batch.kwargs.get("input_ids", batch.args[0] if batch.args else None)
    takes_ids = "input_ids" in accepted(model)
    if takes_ids and ids is not None and not ids.is_floating_point() and ids.ndim != 2:
        raise ParameterError(
            f"{owner}: token ids must have shape (n_prompts, n_positions); got {tuple(ids.shape)}. "
            "Give one prompt as ids[None]."
        )
    return batch


def refuse_unlike(clean: Batch, corrupted: Batch, owner: str) -> None:
    """Raise where two inputs are not of one shape."""
    first, second = (
        {f"input {i}": v for i, v in enumerate(b.args)} | b.kwargs for b in (clean, corrupted)
    )
    if first.keys() != second.keys():
        raise ParameterError(
            f"{owner}: clean and corrupted must name the same inputs; got {sorted(first)} and "
            f"{sorted(second)}."
        )
    for name, value in first.items():
        if value.shape != second[name].shape:
            raise ParameterError(
                f"{owner}: clean and corrupted must have one shape, so that their positions can be "
                f"exchanged; {name} has {tuple(value.shape)} and {tuple(second[name].shape)}. "
                "Choose prompts with the same number of tokens."
            )


def refuse_noise(model: nn.Module, owner: str) -> None:
    """Raise where two equal passes would differ, or rows of one batch would mix."""
    for path, module in model.named_modules():
        name = type(module).__name__
        is_noisy = "Dropout" in name and getattr(module, "p", 0) > 0
        if module.training and (is_noisy or name.startswith("BatchNorm")):
            raise ParameterError(
                f"{owner}: the model is in training mode, and {path!r} ({name}) makes runs differ. "
                "Call model.eval() first."
            )


def repeat(batch: Batch, n_times: int) -> Batch:
    """Return the batch several times over, one copy after the other."""

    def several(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or value.ndim == 0 or n_times == 1:
            return value
        return value.repeat(n_times, *(1,) * (value.ndim - 1))

    args = tuple(several(value) for value in batch.args)
    kwargs = {name: several(value) for name, value in batch.kwargs.items()}
    return Batch(list(range(n_times * len(batch.rows))), args, kwargs)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Let no parameter take part in gradients inside the block."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
