"""Calcium recordings of *C. elegans* from many laboratories, brought to one form."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Literal, overload

import numpy as np
import xarray as xr

from activome._checks import check_choice, check_integer, check_number
from activome._random import RandomState, make_generator
from activome.activity._worm_dataset import worm_dataset
from activome.activity._worm_files import Worms, read_worms, to_parquet, to_zarr
from activome.activity._worm_labels import Slots, assign_slots, normalise_label
from activome.activity._worm_neurons import NEURON_TYPES, NEURONS, left_right_pairs
from activome.activity._worm_recording import WormRecording, as_recording
from activome.activity._worm_schema import WormSchema
from activome.activity.resample import Resampler
from activome.activity.schema import Activity
from activome.activity.traces import longest_gap, normalise_traces, smooth_traces, straight_share
from activome.errors import ActivityError, ActivityWarning, ParameterError

__all__ = [
    "NEURONS",
    "NEURON_TYPES",
    "WormRecording",
    "WormSchema",
    "Worms",
    "homogenize",
    "left_right_pairs",
    "normalise_label",
    "read_worms",
    "to_parquet",
    "to_zarr",
]

Array = np.ndarray[Any, Any]

_OWNER = "homogenize"
_LONGEST_GAP = 0.05
_STRAIGHT_SHARE = 1e-3
_INTERPOLATIONS = ("linear", "quadratic", "cubic")
_NORMS = ("standard", "causal")
_SMOOTHERS = ("moving", "exponential", "gaussian")
_UNITS = {
    None: "fluorescence (arbitrary)",
    "standard": "standard deviations",
    "causal": "running standard deviations",
}


@overload
def homogenize(
    recordings: Iterable[Any],
    dt: float = ...,
    interpolate: str = ...,
    smooth: str | None = ...,
    norm: str | None = ...,
    order: Sequence[str] = ...,
    min_samples: int = ...,
    ambiguous: str = ...,
    *,
    unlabelled: str = ...,
    filters: Sequence[str] = ...,
    blocks: str = ...,
    companions: Literal[False] = ...,
    random_state: RandomState = ...,
) -> Worms[Activity]: ...


@overload
def homogenize(
    recordings: Iterable[Any],
    dt: float = ...,
    interpolate: str = ...,
    smooth: str | None = ...,
    norm: str | None = ...,
    order: Sequence[str] = ...,
    min_samples: int = ...,
    ambiguous: str = ...,
    *,
    unlabelled: str = ...,
    filters: Sequence[str] = ...,
    blocks: str = ...,
    companions: Literal[True],
    random_state: RandomState = ...,
) -> Worms[xr.Dataset]: ...


def homogenize(
    recordings: Iterable[Any],
    dt: float = 0.333,
    interpolate: str = "linear",
    smooth: str | None = None,
    norm: str | None = "standard",
    order: Sequence[str] = NEURONS,
    min_samples: int = 600,
    ambiguous: str = "drop",
    *,
    unlabelled: str = "place",
    filters: Sequence[str] = (),
    blocks: str = "centred",
    companions: bool = False,
    random_state: RandomState = 0,
) -> Worms[Activity] | Worms[xr.Dataset]:
    """Bring calcium recordings to the same neurons in the same order, one step and one scale.

    Each recording has its own stamps, unit and choice of neurons. What comes back can be pooled:
    one slot per name, NaN and a mask where a neuron was not seen, samples at 0, dt, 2 dt ...

    Parameters
    ----------
    recordings : iterable of WormRecording or mapping
        ``time`` (n_times,) in s, increasing; ``traces`` (n_times, n_traces), NaN where missing;
        ``labels``, one per trace: a name, None, or alternatives of which the first that is not
        empty counts. Optional ``source``, ``worm`` and ``extra``.
    dt : float > 0, default=0.333
        Step of the result in s, at most a tenth of a recording.
    interpolate : {"linear", "quadratic", "cubic"}, default="linear"
        How values between samples are found; see `resample`.
    smooth : {"moving", "exponential", "gaussian"} or None, default=None
        Causal smoothing of the companions ``smoothed`` and ``smoothed_residual``; see
        `smooth_traces`. The traces themselves are never smoothed.
    norm : {"standard", "causal"} or None, default="standard"
        Scale of each neuron after resampling. "standard" looks into the future: for forecasting
        use "causal" and drop the first samples.
    order : sequence of str, default=NEURONS
        Names of the slots, unique. A known neuron outside of it is left out.
    min_samples : int >= 2, default=600
        Shorter recordings are skipped.
    ambiguous : {"drop", "nearest"}, default="drop"
        What becomes of names with "?". "drop": the name goes and the trace is unlabelled.
        "nearest": it gets the nearest free name that fits, and ``guessed`` says so; this invents
        identities.
    unlabelled : {"place", "drop"}, default="place"
        Whether traces without a name get free slots, with ``labelled`` false.
    filters : sequence of {"gaps", "lines"}, default=()
        Which traces are dropped: those with a run of missing samples above 5 % of the recording,
        and those with a straight stretch of 50 samples, a sign that values were filled in.
    blocks : {"centred", "leading"}, default="centred"
        Where means lie when samples thin out; "leading" is the published pipeline's.
    companions : bool, default=False
        Whether to return datasets with everything that was computed.
    random_state : int, Generator or None, default=0
        Which free slots unlabelled traces get, in order of appearance.

    Returns
    -------
    Worms
        A list with one entry per recording kept, which can write itself (`to_zarr`, `to_parquet`).
        Without companions an entry is an Activity (time, unit) of float32 and kind "calcium"; its
        coordinates along unit are ``labelled``, ``observed``, ``guessed`` (bool) and
        ``original_label``; its attributes ``source``, ``worm``, ``dt``, ``original_dt`` (median
        step in s), ``norm``, ``smooth``. With companions it is a Dataset of ``calcium`` (that
        Activity), ``residual`` (time derivative), ``smoothed``, ``smoothed_residual``, and
        ``original`` (original_time, unit) with the untouched values on their own stamps.

    Raises
    ------
    ActivityError
        If there are no recordings; if one has stamps that do not increase or are not in s, labels
        of another length, infinite values, a trace without any sample, no name that is known, or
        lasts less than 10 ``dt``.
    ParameterError
        If a parameter is outside its range, or ``order`` repeats a name.

    Warns
    -----
    ActivityWarning
        If recordings are skipped (too short, or no neuron named), or unlabelled traces find no
        slot.

    Notes
    -----
    The order is: labels, residual on the raw trace, smoothing, resampling, normalisation. Residuals
    are divided by the deviation of their trace, so that they are the derivative of the normalised
    trace per s (our choice). Later traces with a name already given are left out. Straight
    stretches are looked for after scaling each trace to unit deviation (our choice: the published
    rule depends on the unit). Empty slots are NaN, not 0, so that nobody takes them for silence.

    References
    ----------
    .. [1] Q. Simeon, A. Kashyap, K. P. Kording and E. S. Boyden, "Homogenized C. elegans neural
       activity and connectivity data", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> time = np.arange(700) * 0.5
    >>> traces = np.column_stack([np.sin(0.3 * time), np.cos(0.3 * time)])
    >>> recording = {"time": time, "traces": traces, "labels": ["AVAL", "VB02"], "source": "here"}
    >>> worm = homogenize([recording])[0]
    >>> worm.shape, worm.unit.values[worm.observed].tolist()
    ((1050, 300), ['AVAL', 'VB2'])
    """
    names = _check_order(order)
    dt = check_number(dt, name="dt", owner=_OWNER, low=0.0)
    min_samples = check_integer(min_samples, name="min_samples", owner=_OWNER, low=2)
    check_choice(interpolate, _INTERPOLATIONS, name="interpolate", owner=_OWNER)
    check_choice(ambiguous, ("drop", "nearest"), name="ambiguous", owner=_OWNER)
    check_choice(unlabelled, ("place", "drop"), name="unlabelled", owner=_OWNER)
    check_choice(blocks, ("centred", "leading"), name="blocks", owner=_OWNER)
    if norm is not None:
        check_choice(norm, _NORMS, name="norm", owner=_OWNER)
    if smooth is not None:
        check_choice(smooth, _SMOOTHERS, name="smooth", owner=_OWNER)
    for item in filters:
        check_choice(item, _FILTERS, name="filter", owner=_OWNER)
    if isinstance(recordings, (WormRecording, dict)):
        raise ActivityError(f"{_OWNER}: recordings must be a list of recordings; got one. Wrap it.")
    generator = make_generator(random_state)
    worms: list[Any] = []
    skipped: list[str] = []
    index = -1
    for index, given in enumerate(recordings):
        recording = as_recording(given, index, owner=_OWNER)
        name = f"{recording.source or 'recording'} {recording.worm or index}"
        if recording.time.size < min_samples:
            skipped.append(f"{name} ({recording.time.size} samples)")
            continue
        where = f"{_OWNER}: {name}"
        recording = _filtered(recording, filters, where)
        slots = assign_slots(
            recording.labels,
            names,
            ambiguous=ambiguous,
            unlabelled=unlabelled,
            generator=generator,
            owner=where,
        )
        if not slots.labelled.any():
            skipped.append(f"{name} (no neuron named)")
            continue
        worms.append(
            _one_worm(recording, slots, names, index, dt, interpolate, smooth, norm, blocks)
        )
        _warn_surplus(slots.n_surplus, len(names), where)
    if index < 0:
        raise ActivityError(f"{_OWNER}: there must be at least one recording; got none.")
    if skipped:
        shown = ", ".join(skipped[:5]) + (f" and {len(skipped) - 5} more" * (len(skipped) > 5))
        warnings.warn(
            f"{_OWNER}: {len(skipped)} of {index + 1} recordings were skipped: {shown}.",
            ActivityWarning,
            stacklevel=2,
        )
    return Worms(worms if companions else [worm["calcium"] for worm in worms])


def _check_order(order: Sequence[str]) -> tuple[str, ...]:
    names = tuple(str(name) for name in order)
    if not names or len(set(names)) != len(names):
        raise ParameterError(
            f"{_OWNER}: order must hold unique names; got {len(names)}, of which "
            f"{len(set(names))} differ."
        )
    return names


def _warn_surplus(n_surplus: int, n_slots: int, where: str) -> None:
    if n_surplus:
        warnings.warn(
            f"{where}: {n_surplus} unlabelled traces were left out; the {n_slots} slots are full.",
            ActivityWarning,
            stacklevel=3,
        )


def _filtered(recording: WormRecording, filters: Sequence[str], where: str) -> WormRecording:
    keep = np.ones(recording.traces.shape[1], dtype=bool)
    for item in filters:
        keep &= _FILTERS[item](recording.traces)
    empty = np.isnan(recording.traces).all(axis=0) & keep
    if empty.any():
        k = int(np.argmax(empty))
        raise ActivityError(
            f"{where}: every trace must hold a sample; {int(empty.sum())} hold none, the first "
            f"trace {k} ({recording.labels[k]!r}). Drop them, or give filters=('gaps',)."
        )
    labels = [label for label, kept in zip(recording.labels, keep, strict=True) if kept]
    return WormRecording(
        recording.time,
        recording.traces[:, keep],
        labels,
        recording.source,
        recording.worm,
        recording.extra,
    )


_FILTERS = {
    "gaps": lambda traces: longest_gap(traces) <= _LONGEST_GAP,
    "lines": lambda traces: straight_share(normalise_traces(traces)[0]) <= _STRAIGHT_SHARE,
}


def _one_worm(
    recording: WormRecording,
    slots: Slots,
    names: tuple[str, ...],
    index: int,
    dt: float,
    interpolate: str,
    smooth: str | None,
    norm: str | None,
    blocks: str,
) -> xr.Dataset:
    time = recording.time - recording.time[0]
    if dt > time[-1] / 10:
        raise ActivityError(
            f"{_OWNER}: recording {index}: dt must be at most a tenth of the recording; got "
            f"{dt:g} s for {time[-1]:g} s. Give a smaller dt."
        )
    kept = np.flatnonzero(slots.slot >= 0)
    slot, traces = slots.slot[kept], recording.traces[:, kept]
    resampler = Resampler(time, dt, interpolate, blocks=blocks)
    residual = np.gradient(traces, time, axis=0)
    calcium, rate = normalise_traces(resampler(traces), norm, companions=(resampler(residual),))
    smoothed, smoothed_rate = normalise_traces(
        resampler(smooth_traces(traces, smooth)),
        norm,
        companions=(resampler(smooth_traces(residual, smooth)),),
    )
    original_label = [_shown(recording.labels[k]) for k in kept.tolist()]
    attrs = {
        "source": recording.source or "memory",
        "worm": recording.worm or f"worm{index}",
        "dt": dt,
        "original_dt": resampler.median_step,
        "norm": norm or "none",
        "smooth": smooth or "none",
        "dropped": ", ".join(slots.dropped),
    }
    return worm_dataset(
        {
            "calcium": calcium,
            "residual": rate,
            "smoothed": smoothed,
            "smoothed_residual": smoothed_rate,
        },
        resampler.times,
        names,
        slot,
        labelled=slots.labelled[kept],
        guessed=slots.guessed[kept],
        original_label=original_label,
        units=_UNITS[norm],
        attrs=attrs,
        original=traces,
        original_time=recording.time,
    )


def _shown(label: Any) -> str:
    if isinstance(label, (list, tuple, np.ndarray)):
        return "|".join(_shown(item) for item in label)
    if isinstance(label, bytes):
        return label.decode("utf-8", "replace")
    return "" if label is None else str(label)
