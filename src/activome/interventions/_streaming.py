"""Streams: what sites hold, written to a store batch by batch, so that memory stays bounded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
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
from activome.interventions._early_end import run_for
from activome.interventions._inputs import Batch
from activome.interventions._labels import Values, labelled, token_labels, values_of
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
    def of(cls, found: Values, sites: list[Site], plan: Plan) -> _Frame:
        part = labelled(found, sites, plan.attrs["source"])
        coords = {
            str(key): item.variable for key, item in part.coords.items() if item.dims == ("unit",)
        }
        stamps = found.stamps
        if stamps is not None and plan.n_positions is not None and (np.diff(stamps) == 1).all():
            # Later samples may be longer; positions that are chosen one by one stay as they are.
            stamps = np.arange(stamps[0], max(plan.n_positions, stamps[-1] + 1))
        has_valid = stamps is not None and (plan.is_ragged or found.keep is not None)
        return cls(coords, part.attrs | plan.attrs, part.name, stamps, has_valid)

    def fit(self, found: Values, tokens: dict[str, Array], start: int) -> Activity:
        """Return a batch on the positions of the store; what it has not is NaN and not valid."""
        values, coords = found.values, dict(self.coords)
        coords["trial"] = np.arange(start, start + len(values))
        if self.stamps is not None and found.stamps is not None:
            coords["time"] = self.stamps
            places = _places(found.stamps, self.stamps)
            filler = values.dtype.type(np.nan if values.dtype.kind == "f" else 0)
            labels = dict(tokens)
            if self.has_valid:
                keep = np.ones(values.shape[:2], dtype=bool) if found.keep is None else found.keep
                labels["valid"] = keep
                if not keep.all():
                    values = np.where(keep[..., np.newaxis], values, filler)
            elif found.keep is not None and not found.keep.all():
                raise ParameterError(
                    "Taps.stream: a batch has padding, and the first had none. Give batches as a "
                    "list, or samples of one length."
                )
            width = len(self.stamps)
            values = _spread(values, places, width, filler)
            for name, label in labels.items():
                coords[name] = (
                    ("trial", "time"),
                    _spread(label, places, width, _FILLERS[name]),
                )
        return xr.DataArray(values, coords, found.dims, self.name, self.attrs)


def _places(found: Array, stamps: Array) -> Array:
    places = np.searchsorted(stamps, found)
    if not np.array_equal(stamps[np.minimum(places, stamps.size - 1)], found):
        raise ParameterError(
            f"Taps.stream: a batch has positions {found[0]:g} to {found[-1]:g}; the store was "
            f"begun with {stamps[0]:g} to {stamps[-1]:g}. Give n_positions, the length of the "
            "longest sample."
        )
    return places


def _spread(values: Array, places: Array, width: int, filler: Any) -> Array:
    if len(places) == width:
        return values
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
        n_there = 0
        # Files are written while the next batch runs: one block waits, and no more.
        thread = ThreadPoolExecutor(max_workers=1)
        waiting: list[Any] = []
        for batch in parts:
            n_rows = len(batch.rows)
            # The first batch is run also when its rows are there: it tells what the store must be.
            if frame is None or n_seen + n_rows > n_there:
                found = _run(taps, batch, names, sites, options)
                frame = frame or _Frame.of(found, sites, plan)
                tokens = {}
                if found.stamps is not None:
                    tokens = token_labels(len(found.values), found.stamps, batch, tokenizer)
                block = frame.fit(found, tokens, n_seen)
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
                    stack.enter_context(thread)
                    n_there = writer.n_written
                if n_seen + n_rows > n_there:
                    rest = block.isel(trial=slice(max(n_there - n_seen, 0), None))
                    _settle(waiting)
                    waiting.append(thread.submit(writer.append, rest))
            n_seen += n_rows
            progress("recording", n_seen, total)
        if writer is None:
            raise ParameterError("Taps.stream: batches must hold at least one batch; got none.")
        _settle(waiting)
    return open_store(path)  # type: ignore[return-value]  # what was written is no Events


def _settle(waiting: list[Any]) -> None:
    while waiting:
        waiting.pop().result()


def _run(
    taps: Any, batch: Batch, names: list[str], sites: list[Site], options: dict[str, Any]
) -> Values:
    with taps.record(*names, **options) as recording:
        run_for(taps.model, taps.table, batch, sites)
    found = values_of(recording, sites)
    if len(found.values) != len(batch.rows):
        raise ParameterError(
            f"Taps.stream: a batch of {len(batch.rows)} samples gave {len(found.values)} rows; "
            "the first axis of the input must be the samples."
        )
    return found
