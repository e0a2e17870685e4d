"""Parts of trials: which units, when within a trial, in which trials."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from activome._checks import check_finite, check_integer, check_number
from activome._progress import Progress, silent
from activome._random import RandomState, spawn_generators
from activome.activity.nulls import close_ends
from activome.activity.schema import ensure
from activome.activity.statistics import monte_carlo_p
from activome.errors import ActivityError, ConvergenceWarning
from activome.patterns.tensor import NonnegativeCP
from activome.patterns.tensor_rank import choose_rank

__all__ = ["TrialParts", "trial_parts"]

Array = np.ndarray[Any, Any]
_MIN_TRIALS = 20
# What enters the test; the parts that are returned are fitted to all units and trials.
_TRIALS, _TIMES, _UNITS = 100, 10, 80
_QUICK: dict[str, Any] = {"n_init": 1, "max_iter": 30, "tol": 1e-4}


@dataclass(frozen=True)
class TrialParts:
    """Parts of trials, and the test that units vary together over trials.

    Attributes
    ----------
    n_parts : int
        Number of parts; 0 when units do not vary together over trials, at alpha.
    p_value : float
        Of the test.
    explained : float
        Share of the squared activity that the parts explain; 0 without parts.
    statistic : float
        Share that 1 to ``max_rank`` parts explain, on average, in what entered the test.
    null : ndarray of float64, shape (n_draws,)
        The same with the trials of every unit shifted by a number of its own.
    match : ndarray of float64, shape (n_ranks,)
        Factor match score between starts, of each number of parts from 1 on; empty without parts.
    held_out : ndarray of float64, shape (n_ranks,)
        Relative squared error on entries that were held out; empty without parts.
    units : xarray.DataArray of float64, dims (part, unit)
        Loadings of the units; negative where a unit is below its mean (see ``trial_parts``).
    times : xarray.DataArray of float64, dims (part, time)
        Time courses, not negative.
    trials : xarray.DataArray of float64, dims (part, trial)
        Loadings of the trials, not negative.
    weights : ndarray of float64, shape (n_parts,)
        Size of each part, descending.
    """

    n_parts: int
    p_value: float
    explained: float
    statistic: float
    null: Array
    match: Array
    held_out: Array
    units: xr.DataArray
    times: xr.DataArray
    trials: xr.DataArray
    weights: Array


def trial_parts(
    activity: Any,
    max_rank: int = 4,
    *,
    alpha: float = 0.05,
    n_surrogates: int = 99,
    stop_after: int | None = 10,
    random_state: RandomState = None,
    progress: Progress = silent,
) -> TrialParts:
    """Split trials into parts, each a group of units, a time course, and trials it is used in.

    The activity (trial, time, unit) is written as a sum of non-negative products of three vectors.
    Any activity can be written so to some extent: parts are reported only where they explain more
    than when the trials of every unit are shifted around by a number of its own. That keeps each
    unit's response to the trial and its drift over trials, and breaks what units have in common
    from trial to trial. Their number is then the largest on which starts agree and which predicts
    held-out entries better than the number below (see ``choose_rank``).

    Parameters
    ----------
    activity : xarray.DataArray
        An Activity with the dims trial, time and unit; of ragged trials the window common to all
        is taken.
    max_rank : int, default=4
        Most parts.
    alpha : float in (0, 1), default=0.05
        Level: share of recordings of unrelated units in which parts are reported.
    n_surrogates : int, default=99
        Most shifted recordings.
    stop_after : int, optional
        Hits at which the test stops early; default 10.
    random_state : int, numpy.random.Generator or None, default=None
        Seed.
    progress : Progress, default=silent
        Told of each shifted recording.

    Returns
    -------
    TrialParts
        The parts, and the test.

    Raises
    ------
    ActivityError
        If a dim is missing, there are fewer than 20 trials, two common times or three units that
        vary, or values are not finite.
    ParameterError
        If a parameter is outside its range.

    Notes
    -----
    Activity that is nowhere negative is divided by each unit's root mean square. Other activity is
    standardised, and enters as two non-negative halves, above and below the mean; the loading of a
    unit is that of the larger half. Slow units lose the ramp over the session (see
    ``close_ends``). At most 100 trials, 10 bins of time and 80 units
    enter the test: of counts the most active ones, of others at random. Our choice
    throughout.

    Examples
    --------
    >>> import numpy as np
    >>> from activome.activity import make
    >>> rng = np.random.default_rng(0)
    >>> rate = np.ones((40, 5, 6))
    >>> rate[::2, 1:3, :3] += 6.0
    >>> rate[::3, 3:, 3:] += 6.0
    >>> found = trial_parts(make(rng.poisson(rate), kind="spikes"), random_state=0)
    >>> found.p_value <= 0.01, found.n_parts >= 2
    (True, True)
    """
    owner = "trial_parts"
    check_integer(max_rank, name="max_rank", owner=owner, low=1)
    check_number(alpha, name="alpha", owner=owner, low=0.0, high=1.0)
    cube, clock, is_active, activity = _read(activity, owner)
    drawing, fitting, ranking, shifting = spawn_generators(random_state, 4)
    halves = _halves(cube)
    tested = _reduced(halves, drawing)
    ranks = range(1, min(max_rank, *tested.shape[1:3]) + 1)
    seed = int(fitting.integers(2**31))
    test = monte_carlo_p(
        _explained(tested, ranks, seed),
        lambda: _explained(_shifted(tested, shifting), ranks, seed),
        n_surrogates,
        stop_after=stop_after,
        progress=progress,
        task="shifted trials",
    )
    if test.p_value > alpha:
        nothing = np.empty(0)
        shapes = [(0, n) for n in (is_active.size, clock.size, len(cube))]
        units, times, trials = _labelled([np.empty(shape) for shape in shapes], activity, clock)
        return TrialParts(
            0, test.p_value, 0.0, test.observed, test.null, nothing, nothing, units, times, trials,
            nothing,
        )  # fmt: skip
    rank = choose_rank(
        _flat(tested), len(ranks), n_init=3, max_iter=150, tol=1e-5, random_state=ranking
    )
    model = NonnegativeCP(rank.rank, n_init=3, max_iter=200, tol=1e-5, random_state=fitting)
    with warnings.catch_warnings():
        # The number of parts is already chosen; a start that still moves changes no statement.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(_flat(halves))
    of_trials, of_times, of_units = (factor.T for factor in model.factors_)
    both = of_units.reshape(len(of_units), -1, cube.shape[2])
    signed = both[:, 0]
    if both.shape[1] == 2:
        signed = np.where(both[:, 0] >= both[:, 1], both[:, 0], -both[:, 1])
    loadings = np.zeros((len(of_units), is_active.size))
    loadings[:, is_active] = signed
    units, times, trials = _labelled([loadings, of_times, of_trials], activity, clock)
    return TrialParts(
        rank.rank, test.p_value, 1.0 - model.error_, test.observed, test.null, rank.match,
        rank.held_out, units, times, trials, model.weights_,
    )  # fmt: skip


def _read(activity: Any, owner: str) -> tuple[Array, Array, Array, Any]:
    """Return activity (trial, time, unit) of units that vary, in few bins; and their times."""
    if not isinstance(activity, xr.DataArray):
        raise ActivityError(
            f"{owner}: activity must be an Activity; got {type(activity).__name__}. Build one with "
            "activome.make."
        )
    activity = ensure(activity, owner=owner)
    if activity.dims != ("trial", "time", "unit"):
        raise ActivityError(
            f"{owner}: activity must have the dims trial, time and unit; got {activity.dims}."
        )
    n_times = activity.sizes["time"]
    if "valid" in activity.coords:
        valid = np.asarray(activity.coords["valid"].values)
        # The first sample that a trial lacks ends the window, whatever comes after it.
        n_times = int(np.cumprod(valid.all(axis=0)).sum())
    cut = activity.isel(time=slice(0, n_times))
    if cut.sizes["trial"] < _MIN_TRIALS or n_times < 2:
        raise ActivityError(
            f"{owner}: needs at least {_MIN_TRIALS} trials with two times that all of them have; "
            f"got {cut.sizes['trial']} trials and {n_times} common times."
        )
    starts = np.linspace(0, n_times, min(n_times, _TIMES), endpoint=False).astype(int)
    widths = np.diff(np.append(starts, n_times))
    values = np.asarray(cut.values)
    check_finite(values, owner=owner, axes=("trial", "time", "unit"))
    cube = np.add.reduceat(values.astype(np.float64), starts, axis=1) / widths[:, np.newaxis]
    is_active = np.ptp(cube, axis=(0, 1)) > 0
    if is_active.sum() < 3:
        raise ActivityError(f"{owner}: three units must vary; {int(is_active.sum())} do.")
    clock = np.asarray(cut["time"].values)[starts] if "time" in cut.coords else starts
    return cube[:, :, is_active], clock, is_active, activity


def _halves(cube: Array) -> Array:
    """Return non-negative activity (half, trial, time, unit): one half, or above and below."""
    flat = cube.reshape(-1, cube.shape[2])
    level = flat.mean(axis=0)
    even = close_ends(flat)
    even = np.where((even != flat).any(axis=0), even - even.mean(axis=0) + level, flat)
    if flat.min() >= 0:
        even = np.maximum(even, 0.0)
        halves = (even / np.sqrt(np.mean(even**2, axis=0)))[np.newaxis]
    else:
        even = (even - even.mean(axis=0)) / even.std(axis=0)
        halves = np.stack([np.maximum(even, 0.0), np.maximum(-even, 0.0)])
    return np.asarray(halves.reshape(-1, *cube.shape).astype(np.float32))


def _reduced(halves: Array, generator: np.random.Generator) -> Array:
    _, n_trials, _, n_units = halves.shape
    trials = np.unique(np.linspace(0, n_trials - 1, min(n_trials, _TRIALS)).astype(int))
    if len(halves) == 1:
        # The mean of an activity by its root mean square is largest where it is seldom 0.
        chosen = np.argsort(-halves.mean(axis=(0, 1, 2)), kind="stable")[:_UNITS]
    else:
        chosen = generator.choice(n_units, min(n_units, _UNITS), replace=False)
    units = np.sort(chosen)
    return halves[:, trials][:, :, :, units]


def _flat(halves: Array) -> Array:
    """Lay the halves of the units side by side: (trial, time, half and unit)."""
    moved = np.moveaxis(halves, 0, 2)
    return np.ascontiguousarray(moved.reshape(*moved.shape[:2], -1))


def _shifted(halves: Array, generator: np.random.Generator) -> Array:
    n_trials, n_units = halves.shape[1], halves.shape[3]
    rows = np.arange(n_trials)[:, np.newaxis] + generator.integers(0, n_trials, n_units)
    moved = halves.transpose(1, 3, 0, 2)[rows % n_trials, np.arange(n_units)]
    return np.asarray(moved.transpose(2, 0, 3, 1))


def _explained(halves: Array, ranks: range, seed: int) -> float:
    tensor = _flat(halves)
    shares = []
    with warnings.catch_warnings():
        # The same few sweeps for the data and what they are compared with.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for rank in ranks:
            model = NonnegativeCP(rank, random_state=seed, **_QUICK).fit(tensor)
            shares.append(1.0 - model.error_)
    return float(np.mean(shares))


def _labelled(arrays: list[Array], activity: Any, clock: Array) -> list[xr.DataArray]:
    labels = {
        dim: np.asarray(activity[dim].values) for dim in ("unit", "trial") if dim in activity.coords
    } | {"time": clock}
    return [
        xr.DataArray(
            values, dims=("part", dim), coords={dim: labels[dim]} if dim in labels else None
        )
        for values, dim in zip(arrays, ("unit", "time", "trial"), strict=True)
    ]
