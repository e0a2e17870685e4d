"""Streams: what sites hold, written to a store batch by batch, so that memory stays bounded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import xarray as xr

from activome._progress import Progress
from activome.activity.schema import Activity
from activome.activity.store import StoreWriter, open_store
from activome.activity.store.status import CHUNK_BYTES
from activome.errors import ParameterError
from activome.interventions._inputs import Batch, run, spared
from activome.interventions._labels import activity_of, with_tokens
from activome.interventions.sites import Site

__all__ = ["Plan", "plan_of", "stream_batches"]

Array = np.ndarray[Any, Any]
_FILLERS = {"token_id": 0, "token": "", "valid": False}


@dataclass(frozen=True)
class Plan:
    """What is known of a stream before its first pass.

    ``n_positions`` is the length of the longest sample; ``is_ragged`` tells that others are
    shorter; ``attrs`` go into the attributes of the store.
    """

    n_samples: int | None = None
    n_positions: int | None = None
    is_ragged: bool = True
    attrs: dict[str, str] = field(default_factory=dict)


def plan_of(parts: list[Batch]) -> Plan:
    """Return the plan of batches that are all known, with a checksum of what is in them."""
    summed = hashlib.sha256()
    widths, is_ragged = set(), False
    for batch in parts:
        for name, value in [*enumerate(batch.args), *sorted(batch.kwargs.items())]:
            _add(summed, str(name), value)
        if batch.ids is not None:
            widths.add(int(batch.ids.shape[1]))
        mask = batch.kwargs.get("attention_mask")
        is_ragged = is_ragged or (mask is not None and not bool(mask.all()))
    return Plan(
        sum(len(batch.rows) for batch in parts),
        max(widths, default=None),
        is_ragged or len(widths) > 1,
        {"inputs": f"sha256:{summed.hexdigest()}"},
    )


def _model_sum(model: Any) -> str:
    """Return a checksum of the weights, so that a stream is not taken up with others."""
    summed = hashlib.sha256()
    for name, value in model.state_dict().items():
        if isinstance(value, torch.Tensor):
            _add(summed, name, value)
    return f"sha256:{summed.hexdigest()}"


def _add(summed: Any, name: str, value: Any) -> None:
    flat = torch.as_tensor(value).detach().cpu().contiguous().reshape(-1)
    summed.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
    summed.update(flat.view(torch.uint8).numpy().data)


@dataclass(frozen=True)
class _Frame:
    """What every block of the store shares: its labels, and the positions it has room for."""

    coords: dict[str, Any]
    attrs: dict[str, Any]
    name: Any
    stamps: Array | None
    has_valid: bool

    @classmethod
    def of(cls, part: Activity, plan: Plan) -> _Frame:
        coords = {
            str(key): item.variable for key, item in part.coords.items() if item.dims == ("unit",)
        }
        stamps = part["time"].values if "time" in part.dims else None
        if stamps is not None and plan.n_positions is not None and (np.diff(stamps) == 1).all():
            # Later samples may be longer; positions that are chosen one by one stay as they are.
            stamps = np.arange(stamps[0], max(plan.n_positions, stamps[-1] + 1))
        has_valid = stamps is not None and (plan.is_ragged or "valid" in part.coords)
        return cls(coords, part.attrs | plan.attrs, part.name, stamps, has_valid)

    def fit(self, part: Activity, start: int) -> Activity:
        """Return a batch on the positions of the store; what it has not is NaN and not valid."""
        n_rows = part.sizes["trial"]
        values, coords = part.values, dict(self.coords)
        coords["trial"] = np.arange(start, start + n_rows)
        if self.stamps is not None:
            coords["time"] = self.stamps
            places = self._places(part, self.stamps)
            keep = _keep(part)
            if not self.has_valid and not keep.all():
                raise ParameterError(
                    "Taps.stream: a batch has padding, and the first had none. Give batches as a "
                    "list, or samples of one length."
                )
            named = [name for name in ("token_id", "token") if name in part.coords]
            labels = {name: part[name].values for name in named}
            if self.has_valid:
                labels["valid"] = keep
                values = np.where(keep[..., np.newaxis], values, _filler(values.dtype))
            if len(places) < len(self.stamps):
                values = _spread(values, places, len(self.stamps), _filler(values.dtype))
                labels = {
                    name: _spread(label, places, len(self.stamps), _FILLERS[name])
                    for name, label in labels.items()
                }
            coords |= {name: (("trial", "time"), label) for name, label in labels.items()}
        return xr.DataArray(values, coords, part.dims, self.name, self.attrs)

    def _places(self, part: Activity, stamps: Array) -> Array:
        found = part["time"].values
        places = np.searchsorted(stamps, found)
        if not np.array_equal(stamps[np.minimum(places, stamps.size - 1)], found):
            raise ParameterError(
                f"Taps.stream: a batch has positions {found[0]:g} to {found[-1]:g}; the store was "
                f"begun with {stamps[0]:g} to {stamps[-1]:g}. Give n_positions, the length of the "
                "longest sample."
            )
        return places


def _keep(part: Activity) -> Array:
    if "valid" in part.coords:
        return np.asarray(part["valid"].values)
    return np.ones((part.sizes["trial"], part.sizes["time"]), dtype=bool)


def _filler(dtype: Any) -> Any:
    return dtype.type(np.nan if dtype.kind == "f" else 0)


def _spread(values: Array, places: Array, width: int, filler: Any) -> Array:
    wide = np.full((values.shape[0], width, *values.shape[2:]), filler, dtype=values.dtype)
    wide[:, places] = values
    return wide


def stream_batches(
    taps: Any,
    parts: Iterable[Batch],
    names: list[str],
    path: str | os.PathLike[str],
    *,
    plan: Plan,
    options: dict[str, Any],
    tokenizer: Any,
    source: str | None,
    resume: bool,
    progress: Progress,
    chunk_bytes: int = CHUNK_BYTES,
) -> Activity:
    """Run batches and write each to the store; what is there already is not run again."""
    sites: list[Site] = list({s.label: s for name in names for s in taps.sites(name)}.values())
    attrs = plan.attrs | {"model": _model_sum(taps.model), "sites": ", ".join(names)}
    source = source or f"record of {type(taps.model).__name__}"
    plan = replace(plan, attrs=attrs | {"source": source})
    frame: _Frame | None = None
    n_seen, total = 0, plan.n_samples or 0
    with ExitStack() as stack:
        writer: Any = None
        for batch in parts:
            n_rows = len(batch.rows)
            # The first batch is run also when its rows are there: it tells what the store must be.
            if writer is None or n_seen + n_rows > writer.n_written:
                part = _run(taps, batch, names, sites, options, tokenizer)
                frame = frame or _Frame.of(part, plan)
                block = frame.fit(part, n_seen)
                if writer is None:
                    begun = StoreWriter(
                        path,
                        block,
                        dim="trial",
                        length=plan.n_samples,
                        chunk_bytes=chunk_bytes,
                        resume=resume,
                    )
                    writer = stack.enter_context(begun)
                n_there = min(max(writer.n_written - n_seen, 0), n_rows)
                if n_there < n_rows:
                    writer.append(block.isel(trial=slice(n_there, None)))
            n_seen += n_rows
            progress("recording", n_seen, total)
        if writer is None:
            raise ParameterError("Taps.stream: batches must hold at least one batch; got none.")
    return open_store(path)  # type: ignore[return-value]  # what was written is no Events


def _run(
    taps: Any,
    batch: Batch,
    names: list[str],
    sites: list[Site],
    options: dict[str, Any],
    tokenizer: Any,
) -> Activity:
    with taps.record(*names, **options) as recording, torch.no_grad():
        run(taps.model, batch, **spared(taps.model))
    part = activity_of(recording, sites)
    if part.sizes["trial"] != len(batch.rows):
        raise ParameterError(
            f"Taps.stream: a batch of {len(batch.rows)} samples gave {part.sizes['trial']} rows; "
            "the first axis of the input must be the samples."
        )
    return with_tokens(part, batch, tokenizer)
