"""A recording as the report sees it: read once, on a grid that fits in memory."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from activome._progress import Progress, silent
from activome.activity.events import Events
from activome.activity.schema import Activity, Problem, ensure
from activome.errors import ActivityError
from activome.report._streaming import PassResult, stream
from activome.report.grid import kept_units, make_grid
from activome.report.labels import Label, read_labels
from activome.report.settings import ReportSettings

__all__ = ["Recording", "analysis_grid", "load_source", "open_recording", "raster_of"]

Array = np.ndarray[Any, Any]
_COUNT_KINDS = ("spikes",)
_SPECTRUM_KINDS = ("voltage", "field")
# The grid, its float64 copies in an analysis and the surrogates of it together.
_COPIES = 24


@dataclass
class Recording:
    """What the sections look at.

    Attributes
    ----------
    name : str
        Of the file or the array.
    source_code : str
        Python that gives the source again.
    source : str
        What made the data.
    kind, units : str
        What the numbers are.
    sizes : dict of str to int
        Of the recording as it was given.
    dtype : str
        Of its values.
    duration : float
        In ``time_unit``, over all trials.
    sampling_rate : float or None
        In Hz, of the recording as it was given.
    events : Events or None
        The occurrences, where the source holds these.
    scan : PassResult
        Statistics of every unit.
    unit_names : ndarray, shape (n_units,)
        Names of all units.
    kept : ndarray of int64, shape (n_kept,)
        Units that enter the analyses: neither constant, nor without values, nor copies.
    core_units : ndarray of int64, shape (n_core,)
        Units of analyses with surrogates.
    grid : Activity
        Dims (trial, time, unit) or fewer, the kept units, float32, finite.
    bin_width : float
        Of the grid, in ``time_unit``.
    time_unit : str
        "s", or "tokens" where a time is a place in a text.
    labels : list of Label
        Label columns.
    problems : list of Problem
        Of the structure.
    n_filled : int
        Bins of the grid without any value, filled with the mean of their unit.
    n_dropped_trials : int
        Trials left out so that the grid fits.
    checksum : str
        Of values and labels.
    memo : dict
        What several sections share, found once.
    progress : Progress
        Told of the steps of each analysis.
    """

    name: str
    source_code: str
    source: str
    kind: str
    units: str
    sizes: dict[str, int]
    dtype: str
    duration: float
    sampling_rate: float | None
    events: Events | None
    scan: PassResult
    unit_names: Array
    kept: Array
    core_units: Array
    grid: Activity
    bin_width: float
    time_unit: str
    labels: list[Label]
    problems: list[Problem]
    n_filled: int
    n_dropped_trials: int
    checksum: str
    memo: dict[str, Any] = field(default_factory=dict)
    progress: Progress = silent

    @property
    def time_label(self) -> str:
        """Title of an axis of time."""
        return "time (s)" if self.time_unit == "s" else f"place ({self.time_unit})"

    @property
    def n_units(self) -> int:
        """Units of the recording as it was given."""
        return int(self.unit_names.size)

    @property
    def core(self) -> Activity:
        """The grid, with the units that enter analyses with surrogates."""
        place = np.searchsorted(self.kept, self.core_units)
        return self.grid if place.size == self.kept.size else self.grid.isel(unit=place)

    @property
    def has_trials(self) -> bool:
        """Whether the grid has a dim of trials."""
        return "trial" in self.grid.dims


def open_recording(
    source: Any, settings: ReportSettings, *, progress: Progress = silent
) -> Recording:
    """Read a source once and bring it on a grid that fits the memory limit.

    Parameters
    ----------
    source : path-like, Activity, Events or None
        A file of any format ``activome.load`` reads, the name of a recording that ships, data, or
        None for the built-in recording.
    settings : ReportSettings
        How much enters the analyses.
    progress : Progress, default=silent
        Told of each block.

    Returns
    -------
    Recording
        Statistics of every unit and the grid.

    Raises
    ------
    ActivityError
        If the source is no recording, or no unit varies.
    """
    data, name, code = load_source(source)
    events = data if isinstance(data, Events) else None
    activity = raster_of(data, settings) if isinstance(data, Events) else data
    activity = ensure(activity, owner="report")
    if not {"trial", "time"} & set(activity.dims):
        raise ActivityError(
            "report: a recording must have times or trials; this one has units alone. "
            "Stack several such arrays along a dim 'trial'."
        )
    if activity.size == 0:
        raise ActivityError(f"report: there are no values (shape {activity.shape}).")
    return _scan(activity, events, name, code, settings, progress)


def analysis_grid(source: Any = None, settings: ReportSettings | None = None) -> Activity:
    """Return the data that the analyses of a report see: averaged in bins, finite, float32.

    Parameters
    ----------
    source : path-like, Activity, Events or None
        As for ``run_report``.
    settings : ReportSettings, optional
        Those of the report.

    Returns
    -------
    xarray.DataArray
        At most ``max_samples`` samples of at most ``max_units`` units that vary, with all labels.

    Raises
    ------
    ActivityError
        If the source is no recording, or no unit varies.

    Examples
    --------
    >>> grid = analysis_grid(settings=ReportSettings(max_samples=1000, max_units=20))
    >>> dict(grid.sizes), float(grid.attrs["sampling_rate"])
    ({'time': 971, 'unit': 20}, 1.25)
    """
    return open_recording(source, settings or ReportSettings()).core


def load_source(source: Any) -> tuple[Any, str, str]:
    """Read a source, or take it as it is.

    Parameters
    ----------
    source : path-like, Activity, Events or None
        A file, the name of a recording that ships, data, or None for the built-in recording.

    Returns
    -------
    data : xarray.DataArray or Events
        Lazy where it comes from a store.
    name : str
        What to call it.
    code : str
        Python that gives the source again.

    Raises
    ------
    ActivityError
        If the source is none of these.
    """
    if source is None:
        from activome.samples.shipped import motor_cortex

        return motor_cortex(), "motor_cortex (ships with activome)", "None"
    if isinstance(source, Events):
        return source, "events in memory", "recording"
    if isinstance(source, xr.DataArray):
        return source, str(source.name or "array in memory"), "recording"
    if not isinstance(source, (str, os.PathLike)):
        raise ActivityError(
            f"report: a source must be a path, an Activity or Events; got {type(source).__name__}. "
            "Build an Activity with activome.make."
        )
    from activome.samples.catalog import shipped_activity

    shipped = shipped_activity(source)
    if shipped is not None:
        return shipped, f"{source} (ships with activome)", repr(source)
    path = Path(source)
    return _open(path), path.name, repr(str(source))


def _open(path: Path) -> Any:
    from activome.activity.readers import load
    from activome.activity.readers.loading import sniff

    if sniff(path) == "zarr":
        return load(path, lazy=True)
    return load(path)


def raster_of(events: Events, settings: ReportSettings) -> Activity:
    """Bin events as finely as the number of samples allows, in bins of 1, 2 or 5 times 10^k s.

    Parameters
    ----------
    events : Events
        Occurrences.
    settings : ReportSettings
        Most samples, and the memory limit.

    Returns
    -------
    xarray.DataArray, shape (n_times, n_units) or (n_trials, n_times, n_units)
        Counts.
    """
    length = (events.t_stop - events.t_start) * events.tick
    most = _fitting_samples(settings, events.n_units)
    wanted = max(length * events.n_trials / most, min(0.05, length / 10))
    scale = 10.0 ** np.floor(np.log10(wanted) + 1e-9)
    width = next(scale * step for step in (1, 2, 5, 10) if scale * step >= wanted * (1 - 1e-9))
    ticks = max(1, round(width / events.tick))
    return events.bin(ticks * events.tick, tail="keep", memory_limit=settings.memory_limit / 4)


def _fitting_samples(settings: ReportSettings, n_units: int) -> int:
    fits = settings.memory_limit // (_COPIES * 4 * max(1, n_units))
    return int(max(100, min(settings.max_samples, fits)))


def _scan(
    activity: Activity,
    events: Events | None,
    name: str,
    code: str,
    settings: ReportSettings,
    progress: Progress,
) -> Recording:
    from activome.activity._quality import structure_problems

    dims = activity.dims
    full = activity
    for axis, dim in enumerate(("trial", "time", "unit")):
        if dim not in full.dims:
            full = full.expand_dims(dim, axis)
    n_trials, n_times, n_units = full.shape
    most = _fitting_samples(settings, n_units)
    taken = np.unique(np.linspace(0, n_trials - 1, min(n_trials, most)).astype(int))
    per_trial = max(1, most // taken.size)
    bin_size = -(-n_times // per_trial)
    kind = str(activity.attrs.get("kind", "feature"))
    rate = activity.attrs.get("sampling_rate")
    rate = float(rate) if rate is not None else None
    scan = stream(
        full if taken.size == n_trials else full.isel(trial=taken),
        bin_size=bin_size,
        add_up=kind in _COUNT_KINDS,
        sampling_rate=rate if kind in _SPECTRUM_KINDS else None,
        progress=progress,
    )
    names = _unit_names(activity, n_units)
    kept = kept_units(scan)
    if kept.size == 0:
        raise ActivityError(
            f"report: at least one of the {n_units} units must vary; none does. "
            "There is nothing to report on."
        )
    step = 1.0 / rate if rate else _median_step(full)
    grid, n_filled = make_grid(full.isel(trial=taken), scan, kept, dims, names)
    generator = np.random.default_rng(settings.random_state)
    core = np.sort(generator.choice(kept, min(kept.size, settings.max_units), replace=False))
    return Recording(
        name=name,
        source_code=code,
        source=str(activity.attrs.get("source", "")),
        kind=kind,
        units=str(activity.attrs.get("units", "")),
        sizes={str(dim): int(n) for dim, n in activity.sizes.items()},
        dtype=str(activity.dtype),
        duration=float(n_trials * n_times * step) if "time" in dims else 0.0,
        sampling_rate=rate,
        events=events,
        scan=scan,
        unit_names=names,
        kept=kept,
        core_units=core,
        grid=grid,
        bin_width=step * bin_size,
        time_unit="tokens" if {"token", "token_id"} & set(activity.coords) else "s",
        labels=read_labels(grid, settings.labels),
        problems=structure_problems(activity),
        n_filled=n_filled,
        n_dropped_trials=n_trials - taken.size,
        checksum=_checksum(scan, grid),
        progress=progress,
    )


def _unit_names(activity: Activity, n_units: int) -> Array:
    if "unit" in activity.coords and "unit" in activity.dims:
        return np.asarray(activity["unit"].values)
    return np.arange(n_units)


def _median_step(full: Activity) -> float:
    if "time" not in full.coords or full.sizes["time"] < 2:
        return 1.0
    return float(np.median(np.diff(full["time"].values.astype(np.float64))))


def _checksum(scan: PassResult, grid: Activity) -> str:
    digest = hashlib.sha256(scan.checksum.encode())
    for key in sorted(str(key) for key in grid.coords):
        values = np.asarray(grid.coords[key].values)
        plain = values.astype(str) if values.dtype.kind in "OUT" else values
        digest.update(f"{key} {plain.dtype} {plain.shape}".encode())
        digest.update(np.ascontiguousarray(plain).tobytes())
    digest.update(repr(sorted((str(k), str(v)) for k, v in grid.attrs.items())).encode())
    return digest.hexdigest()
