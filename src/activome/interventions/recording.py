"""Record: the activity of any site of a network, labelled, in one call."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import nn

from activome._checks import check_integer, check_memory
from activome._progress import Progress, silent, track
from activome.activity.schema import Activity
from activome.interventions._early_end import run_for
from activome.interventions._inputs import Batch, batches
from activome.interventions._labels import activity_of, with_tokens
from activome.interventions._streaming import plan_of, stream_batches
from activome.interventions.selectors import Sel
from activome.interventions.sites import Site
from activome.interventions.taps import Taps

__all__ = ["record"]


def record(
    model: nn.Module,
    inputs: Any,
    sites: str | Sequence[str],
    *,
    at: Sel | None = None,
    tokenizer: Any = None,
    reduce: str | Callable[[Any, Any], Any] | None = None,
    dtype: str | None = None,
    scheme: str | None = None,
    max_tokens: int = 2048,
    max_bytes: float = 1e9,
    to: str | os.PathLike[str] | None = None,
    resume: bool = False,
    source: str | None = None,
    progress: Progress = silent,
) -> Any:
    """Record the activity of sites of a network.

    Parameters
    ----------
    model : torch.nn.Module
        Any network that is neither compiled nor scripted; used in place, in its own mode (call
        ``eval`` first to leave dropout out), and without gradients.
    inputs : Tensor, mapping of str to Tensor, list of list of int, or list of str
        A tensor of shape (n_samples, ...); keyword tensors as the model takes them; token ids per
        sample, of any lengths; or texts, with ``tokenizer``.
    sites : str or sequence of str
        Names as in ``SiteTable.find``, such as ``"mlp_out[*]"`` or ``"module:encoder.*#out"``.
    at : Sel, optional
        Part to keep; the rest does not leave the hook.
    tokenizer : object, optional
        With ``encode`` (texts) and ``convert_ids_to_tokens`` or ``id_to_token`` (labels).
    reduce : {"mean", "max", "last"} or callable, optional
        Reduce over real positions inside the hook, as in ``Taps.record``.
    dtype : {"float16", "bfloat16", "float32", "float64"}, optional
        Type to keep; an overflow is refused.
    scheme : str, optional
        Table of site names, as in ``Taps``.
    max_tokens : int, default=2048
        Positions per batch; an input that is no token ids counts 32 per sample.
    max_bytes : float, default=1e9
        Bytes of values above which the recording is refused, before most of it is made; with
        ``to``, the bytes of one batch.
    to : path-like, optional
        Folder of a store, by custom ending in ``.zarr``, to which each batch is written when it is
        done; memory then holds one batch. Several sites lie side by side on the unit axis, with
        ``site`` as a label.
    resume : bool, default=False
        Go on with a store whose writing was cut short, at the last chunk that is whole.
    source : str, optional
        What made the data, such as ``LanguageModel.source``; the class of the model by default.
    progress : Progress, default=silent
        Told of the samples done.

    Returns
    -------
    xarray.DataArray or dict of str to xarray.DataArray
        One Activity (trial, time, unit) for one name, a dict by name for several. A trial is a
        sample, a time a position (or the number of the call, of a module that is called once per
        time step), a unit a feature of one layer. Coordinates: ``layer`` or ``module``, ``head``,
        ``feature``, ``y``, ``x``, ``call`` on unit; ``token`` and ``token_id`` on (trial, time);
        padding is False in ``valid``. With ``to``, one Activity of all names, lazy, as it lies in
        the store; positions that are not valid are NaN there.

    Raises
    ------
    ParameterError
        If a site matches nothing, an option or the inputs do not fit, the devices differ, or a
        value does not fit ``dtype``.
    ResourceError
        If the values would take more than ``max_bytes``; ``to`` writes them to disk instead.
    StoreError
        If a store is there already and ``resume`` is False, or it is one of other inputs, sites or
        weights.

    Notes
    -----
    Samples of a list go by length, and come back in their order; with ``to`` they go as they come.
    Layers after the last that is asked for are left out in models of a known make, and the output
    layer in all, where no edit and no other hook looks at them. With several batches values may
    differ in the last bits from one call of the model, since matrix products depend on the number
    of rows; within one batch they are equal bit by bit.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
    >>> a = record(network, torch.ones(4, 2), "module:1#out")
    >>> a.dims, a.shape, a.unit.values.tolist()[0]
    (('trial', 'unit'), (4, 3), 'module:1#out.0')
    """
    check_integer(max_tokens, name="max_tokens", owner="record", low=1)
    names = [sites] if isinstance(sites, str) else list(sites)
    taps = Taps(model, scheme)
    wanted = {name: taps.sites(name) for name in names}
    if any(site.layout == "time_first" for found in wanted.values() for site in found):
        max_tokens = sys.maxsize  # the first axis of the input is no axis of samples
    parts = batches(
        inputs,
        model,
        tokenizer=tokenizer,
        max_tokens=max_tokens,
        owner="record",
        in_order=to is not None,
    )
    n_rows = sum(len(batch.rows) for batch in parts)
    n_done = 0
    options: Any = {"at": at, "reduce": reduce, "dtype": dtype, "max_bytes": max_bytes}
    if to is not None:
        return stream_batches(
            taps,
            parts,
            names,
            to,
            plan=plan_of(parts),
            options=options,
            tokenizer=tokenizer,
            source=source,
            resume=resume,
            progress=progress,
        )
    source = source or f"record of {type(model).__name__}"
    pieces: dict[str, list[Activity]] = {name: [] for name in names}
    n_cells = sum(_n_cells(batch) for batch in parts)
    for batch in track(parts, "recording", progress):
        with taps.record(*names, **options) as recording:
            run_for(model, taps.table, batch, recording.sites)
        n_done += len(batch.rows)
        if n_done < n_rows:
            check_memory(
                recording.n_bytes / _n_cells(batch) * n_cells,
                owner="record",
                what=f"{n_rows} samples of {', '.join(names)}",
                cure="Record fewer sites or positions, reduce, or stream them with to='run.zarr'.",
                limit=max_bytes,
            )
        for name in names:
            part = activity_of(recording, wanted[name], source)
            pieces[name].append(with_tokens(part, batch, tokenizer))
    order = np.argsort([row for batch in parts for row in batch.rows])
    found = {name: _in_order(pieces[name], order, name, wanted[name]) for name in names}
    return found[names[0]] if isinstance(sites, str) else found


def _n_cells(batch: Batch) -> int:
    ids = batch.ids
    return int(ids.numel()) if ids is not None else len(batch.rows)


def _in_order(parts: list[Activity], order: Any, name: str, sites: list[Site]) -> Activity:
    import xarray as xr

    if len(parts) == 1:
        whole = parts[0]
    else:
        parts = _level(parts)
        start, numbered = 0, []
        for part in parts:
            n = part.sizes["trial"]
            numbered.append(part.assign_coords(trial=np.arange(start, start + n)))
            start += n
        whole = xr.concat(numbered, "trial", join="exact", combine_attrs="override")
    n_trials = whole.sizes["trial"]
    if n_trials != len(order):  # the input has its samples on another axis than the first
        order = np.arange(n_trials)
    whole = whole.isel(trial=order).assign_coords(trial=np.arange(n_trials))
    return whole.rename(sites[0].name if len(sites) == 1 and sites[0].layer is None else name)


def _level(parts: list[Activity]) -> list[Activity]:
    """Bring batches to one length; what is filled in is not valid."""
    if "time" not in parts[0].dims:
        return parts
    longest = max(parts, key=lambda part: part.sizes["time"])
    is_ragged = any(part.sizes["time"] != longest.sizes["time"] for part in parts)
    if not is_ragged and not any("valid" in part.coords for part in parts):
        return parts
    level = []
    for part in parts:
        if "valid" not in part.coords:
            keep = np.ones((part.sizes["trial"], part.sizes["time"]), dtype=bool)
            part = part.assign_coords(valid=(("trial", "time"), keep))
        extra = longest.sizes["time"] - part.sizes["time"]
        if extra:
            stamps = longest["time"].values
            labels = {
                key: part[key] for key in ("valid", "token_id", "token") if key in part.coords
            }
            bare = part.drop_vars([*labels, "time"])
            wide = bare.pad(time=(0, extra)).astype(part.dtype).assign_coords(time=stamps)
            for key, label in labels.items():
                fill: Any = {"valid": False, "token_id": 0, "token": ""}[key]
                found = np.pad(label.values, ((0, 0), (0, extra)), constant_values=fill)
                wide = wide.assign_coords({key: (("trial", "time"), found)})
            part = wide.assign_attrs(part.attrs)
        level.append(part)
    return level
