"""States of a population: whether there are any, how many, and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from activome._checks import check_integer, check_number
from activome._progress import Progress, silent
from activome._random import RandomState, spawn_generators
from activome.activity.statistics import monte_carlo_p
from activome.errors import ActivityError, ParameterError
from activome.patterns._found_states_fit import (
    fit_chain,
    gains,
    scores,
    turned_phases,
)
from activome.patterns._found_states_rows import BinnedRows, read_rows

__all__ = ["FoundStates", "find_states"]

Array = np.ndarray[Any, Any]
_OWNER = "find_states"
_STOP_AFTER = 5
_FINAL_ROUNDS = 200
_FEWEST_SAMPLES = 80


@dataclass(frozen=True)
class FoundStates:
    """The states of a recording, or that one is enough.

    Attributes
    ----------
    n_states : int
        1 where the recording is not told from either null, else the number that predicts held-out
        bins best beyond the linear null.
    p_value : float
        The larger of the next two.
    p_unrelated : float
        Against units that do not know of each other.
    p_linear : float
        Against one state: a linear Gaussian process with the same correlations in time and between
        units; 1 where it was not drawn, since the first null was not passed.
    candidates : ndarray of int64, shape (n_candidates,)
        Numbers that were tried.
    gain : ndarray of float64, shape (n_candidates,)
        Log likelihood of held-out bins beyond that of one state, in nats per bin.
    null_unrelated, null_linear : ndarray of float64, shape (n_drawn, n_candidates)
        The same of surrogates.
    probabilities : ndarray of float64, shape (n_bins, n_states)
        Probability of each state in each bin; states in order of their mean activity.
    patterns : ndarray of float64, shape (n_states, n_units)
        Mean of each standardised unit in each state.
    transition : ndarray of float64, shape (n_states, n_states)
        Transition probabilities from bin to bin.
    trial, start : ndarray of int64, shape (n_bins,)
        Trial of each bin, and its first sample in the trial.
    units : ndarray of int64, shape (n_units,)
        Place of each unit of ``patterns`` in the recording.
    bin_size : int
        Samples per bin.
    """

    n_states: int
    p_value: float
    p_unrelated: float
    p_linear: float
    candidates: Array
    gain: Array
    null_unrelated: Array
    null_linear: Array
    probabilities: Array
    patterns: Array
    transition: Array
    trial: Array
    start: Array
    units: Array
    bin_size: int


def find_states(
    activity: Any,
    candidates: Sequence[int] = (2, 3, 4, 5),
    *,
    n_surrogates: int = 99,
    alpha: float = 0.05,
    n_dims: int = 5,
    max_samples: int = 1500,
    max_units: int = 128,
    random_state: RandomState = None,
    progress: Progress = silent,
) -> FoundStates:
    """Find the states that a whole population moves through, if one is not enough.

    The first principal components are modelled by Gaussian states of one covariance, in a Markov
    chain [1]_. What two or more states predict of held-out stretches beyond a single state is
    tested twice: against units that were each shifted in time by a lag of their own, which keeps
    every unit's values and memory; and against one state, a linear Gaussian process with the same
    spectra and cross-spectra [2]_, since states also predict slow or correlated activity that has
    none. Both must be passed.

    Parameters
    ----------
    activity : xarray.DataArray or array-like of shape (n_times, n_units)
        Counts or amplitudes, with trials or without, finite.
    candidates : sequence of int, default=(2, 3, 4, 5)
        Numbers of states to try, each at least 2.
    n_surrogates : int, default=99
        Surrogates of each null; fewer are drawn where 5 of them are above the recording.
    alpha : float in (0, 1), default=0.05
        Level.
    n_dims : int, default=5
        Principal components.
    max_samples : int, default=1500
        Most bins; samples of longer recordings are averaged in wider bins, and states that last
        less than a bin are not seen.
    max_units : int, default=128
        Most units, drawn evenly.
    random_state : int, numpy.random.Generator or None, default=None
        Seed of the surrogates.
    progress : Progress, default=silent
        Told of each surrogate.

    Returns
    -------
    FoundStates
        Number, p-values and the states over time.

    Raises
    ------
    ParameterError
        If a parameter is outside its range.
    ActivityError
        If there are fewer than 80 samples, values are not finite, or no two units vary.

    Notes
    -----
    Counts are taken as square roots and other values as normal scores, so that heavy tails make no
    state. Where there are 20 trials or more of one length, whole trials are shifted, and the mean
    over trials is taken out first. A test that rejects only where both nulls are rejected keeps
    its level under each of them. Cost is about 10 ms per surrogate of 1500 bins.

    References
    ----------
    .. [1] L. R. Rabiner, "A tutorial on hidden Markov models and selected applications in speech
       recognition", 1989.
    .. [2] D. Prichard and J. Theiler, "Generating surrogate data for time series with several
       simultaneously measured variables", 1994.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> state = np.repeat(rng.permutation(np.arange(40) % 2), 20)
    >>> pattern = rng.normal(size=(2, 12))
    >>> found = find_states(pattern[state] + rng.normal(size=(800, 12)), random_state=0)
    >>> found.n_states, found.p_value
    (2, 0.01)
    """
    numbers = sorted({check_integer(n, name="candidates", owner=_OWNER, low=2) for n in candidates})
    if not numbers:
        raise ParameterError(f"{_OWNER}: candidates must hold at least one number; got none.")
    check_number(alpha, name="alpha", owner=_OWNER, low=0.0, high=1.0)
    for name, value, low in (
        ("n_surrogates", n_surrogates, 1),
        ("n_dims", n_dims, 1),
        ("max_samples", max_samples, _FEWEST_SAMPLES),
        ("max_units", max_units, 2),
    ):
        check_integer(value, name=name, owner=_OWNER, low=low)
    data = read_rows(activity, max_samples, max_units)
    if len(data.values) < _FEWEST_SAMPLES:
        raise ActivityError(
            f"{_OWNER}: states need at least {_FEWEST_SAMPLES} samples; got {len(data.values)}."
        )
    return _find(data, tuple(numbers), n_surrogates, alpha, n_dims, random_state, progress)


def _find(
    data: BinnedRows, numbers: tuple[int, ...], n_surrogates: int, alpha: float, n_dims: int,
    random_state: RandomState, progress: Progress,
) -> FoundStates:  # fmt: skip
    shifting, turning = spawn_generators(random_state, 2)
    rows = scores(data.values, n_dims)
    gain = gains(rows, data.is_first, numbers)
    unrelated, first = _test(
        gain, lambda: scores(_shifted(data, shifting), n_dims), data, numbers, n_surrogates,
        progress, "unrelated units",
    )  # fmt: skip
    linear, second = np.empty((0, len(numbers))), 1.0
    if first <= alpha:
        linear, second = _test(
            gain, lambda: scores(turned_phases(rows, turning), n_dims), data, numbers,
            n_surrogates, progress, "one linear state",
        )  # fmt: skip
    p_value = max(first, second)
    is_found = p_value <= alpha
    n_states = numbers[int((gain - linear.mean(axis=0)).argmax())] if is_found else 1
    chain, _ = fit_chain(rows, data.is_first, n_states, _FINAL_ROUNDS)
    standard = (data.values - data.values.mean(axis=0)) / data.values.std(axis=0)
    weight = chain.probabilities.sum(axis=0)
    patterns = chain.probabilities.T @ standard / np.maximum(weight, 1e-9)[:, np.newaxis]
    order = np.argsort(patterns.mean(axis=1), kind="stable")
    return FoundStates(
        n_states=n_states,
        p_value=p_value,
        p_unrelated=first,
        p_linear=second,
        candidates=np.array(numbers),
        gain=gain,
        null_unrelated=unrelated,
        null_linear=linear,
        probabilities=chain.probabilities[:, order],
        patterns=patterns[order],
        transition=chain.transition[np.ix_(order, order)],
        trial=data.trial,
        start=data.start,
        units=data.units,
        bin_size=data.bin_size,
    )


def _test(
    gain: Array, draw: Callable[[], Array], data: BinnedRows, numbers: tuple[int, ...],
    n_surrogates: int, progress: Progress, task: str,
) -> tuple[Array, float]:  # fmt: skip
    drawn: list[Array] = []

    def best() -> float:
        drawn.append(gains(draw(), data.is_first, numbers))
        return float(drawn[-1].max())

    found = monte_carlo_p(
        float(gain.max()), best, n_surrogates, stop_after=_STOP_AFTER, progress=progress, task=task
    )
    return np.array(drawn), found.p_value


def _shifted(data: BinnedRows, generator: np.random.Generator) -> Array:
    """Shift every unit around the recording by a lag of its own."""
    n_times, n_units = data.values.shape
    lags = generator.integers(0, n_times // data.step, n_units) * data.step
    at = (np.arange(n_times)[:, np.newaxis] + lags) % n_times
    return np.take_along_axis(data.values, at, axis=0)
