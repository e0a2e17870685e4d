"""Tests with a null that is drawn: p-values, corrections over units, intervals, transitions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_choice, check_integer
from activome._progress import Progress, silent
from activome._random import RandomState, make_generator
from activome.activity._transitions import dwell_codes, shuffled_counts
from activome.activity.bootstrap import Interval, autocorrelation_time, bootstrap_interval
from activome.activity.nulls import block_shuffle, circular_shift, permute_labels
from activome.errors import ActivityError

__all__ = [
    "Interval",
    "MonteCarloTest",
    "TransitionTest",
    "autocorrelation_time",
    "block_shuffle",
    "bootstrap_interval",
    "circular_shift",
    "max_statistic",
    "monte_carlo_p",
    "permute_labels",
    "transition_test",
]

Array = np.ndarray[Any, Any]
_TIE = 1e-12


@dataclass(frozen=True)
class MonteCarloTest:
    """The outcome of a test against drawn values.

    Attributes
    ----------
    p_value : float in (0, 1]
        Chance of a value at least as extreme if the null held.
    observed : float
        The value tested.
    null : ndarray of float64, shape (n_draws,)
        What was drawn.
    hits : int
        Draws at least as extreme as the observed value.
    stopped : bool
        Whether drawing stopped early.
    """

    p_value: float
    observed: float
    null: Array
    hits: int
    stopped: bool


def monte_carlo_p(
    observed: float,
    draw: Callable[[], float],
    n: int,
    *,
    stop_after: int | None = None,
    alternative: str = "greater",
    progress: Progress = silent,
    task: str = "surrogates",
) -> MonteCarloTest:
    """Test a value against values drawn under the null.

    ``p = (1 + hits) / (1 + n)``. With ``stop_after``, drawing ends at that many hits and
    ``p = hits / draws``: data without structure then cost few draws, and p stays valid [1]_.

    Parameters
    ----------
    observed : float
        The statistic of the data.
    draw : callable
        Returns the statistic of one surrogate.
    n : int
        Most draws; the smallest p is ``1 / (1 + n)``.
    stop_after : int, optional
        Hits after which to stop; None draws all.
    alternative : {"greater", "less", "two-sided"}, default="greater"
        What counts as a hit; two-sided compares absolute values.
    progress : Progress, default=silent
        Told of each draw.
    task : str, default="surrogates"
        Name for the progress.

    Returns
    -------
    MonteCarloTest
        p-value, null and hits. Ties count as hits.

    Raises
    ------
    ParameterError
        If ``n`` or ``stop_after`` is below 1, or ``alternative`` is unknown.

    References
    ----------
    .. [1] J. Besag and P. Clifford, "Sequential Monte Carlo p-values", 1991.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(0)
    >>> monte_carlo_p(3.5, lambda: float(generator.normal()), 99).p_value
    0.01
    """
    check_integer(n, name="n", owner="monte_carlo_p", low=1)
    if stop_after is not None:
        check_integer(stop_after, name="stop_after", owner="monte_carlo_p", low=1)
    check_choice(alternative, _TAILS, name="alternative", owner="monte_carlo_p")
    tail = _TAILS[alternative]
    # The same arithmetic in another order must not lose a tie to the last bit.
    level = tail(float(observed)) - _TIE * abs(float(observed))
    null: list[float] = []
    hits = 0
    progress(task, 0, n)
    for done in range(1, n + 1):
        value = float(draw())
        null.append(value)
        hits += tail(value) >= level
        progress(task, done, n)
        if stop_after is not None and hits >= stop_after and done < n:
            return MonteCarloTest(hits / done, float(observed), np.array(null), hits, True)
    return MonteCarloTest((1 + hits) / (1 + n), float(observed), np.array(null), hits, False)


_TAILS: dict[str, Callable[[float], float]] = {
    "greater": lambda value: value,
    "less": lambda value: -value,
    "two-sided": abs,
}


def max_statistic(observed: ArrayLike, null: ArrayLike) -> Array:
    """Correct p-values over units by the null of the largest value.

    Parameters
    ----------
    observed : array-like of float, shape (n_units,)
        Statistic of each unit, all on one scale; large is extreme.
    null : array-like of float, shape (n_draws, n_units)
        The same statistics under the null, the units of one row drawn together.

    Returns
    -------
    ndarray of float64, shape (n_units,)
        p-values that hold for all units at once: the chance of any false statement is at most
        alpha, whatever the dependence between units.

    Raises
    ------
    ActivityError
        If the shapes do not fit, or there is no draw.

    Examples
    --------
    >>> max_statistic([5.0, 1.0], [[1.0, 2.0], [0.0, 3.0], [2.0, 0.5]]).tolist()
    [0.25, 1.0]
    """
    found, drawn = np.asarray(observed, dtype=np.float64), np.asarray(null, dtype=np.float64)
    if found.ndim != 1 or drawn.ndim != 2 or drawn.shape[1:] != found.shape or not drawn.size:
        raise ActivityError(
            "max_statistic: observed must be (n_units,) and null (n_draws, n_units) with at least "
            f"one draw; got {found.shape} and {drawn.shape}."
        )
    largest = np.sort(drawn.max(axis=1))
    hits = largest.size - np.searchsorted(largest, found - _TIE * np.abs(found), side="left")
    corrected: Array = (1.0 + hits) / (1.0 + largest.size)
    return corrected


@dataclass(frozen=True)
class TransitionTest:
    """Transitions between states, against the same dwells in random order.

    Attributes
    ----------
    counts : ndarray of int64, shape (n_states, n_states)
        Changes from the state of the row to that of the column; the diagonal is 0.
    expected : ndarray of float64, shape (n_states, n_states)
        Mean counts of the shuffled sequences.
    p_values : ndarray of float64, shape (n_states, n_states)
        Chance of a count at least as far from the expected one; 1 on the diagonal.
    corrected : ndarray of float64, shape (n_states, n_states)
        The same, corrected over all transitions by the largest deviation.
    null : ndarray of int64, shape (n_draws, n_states, n_states)
        Counts of the shuffled sequences.
    states : ndarray, shape (n_states,)
        Names of the states.
    """

    counts: Array
    expected: Array
    p_values: Array
    corrected: Array
    null: Array
    states: Array


def transition_test(
    states: ArrayLike,
    *,
    offsets: ArrayLike | None = None,
    n: int = 999,
    random_state: RandomState = None,
) -> TransitionTest:
    """Test which changes of state are more or less common than chance order would make them.

    Parameters
    ----------
    states : array-like, shape (n_samples,)
        State of each sample, in order.
    offsets : array-like of int, shape (n_segments + 1,), optional
        Bounds of trials; no change is counted across them, and dwells stay in their trial.
    n : int, default=999
        Shuffled sequences. Their dwells are in random order, never two of one state in a row.
    random_state : int, Generator or None
        Seed.

    Returns
    -------
    TransitionTest
        Counts, expectation, p-values and null.

    Raises
    ------
    ActivityError
        If ``states`` is not one-dimensional, or there is no change of state.
    ParameterError
        If ``n`` is below 1, or ``offsets`` do not cover the samples.

    Examples
    --------
    >>> found = transition_test([0, 0, 1, 2, 0, 1, 1, 2] * 6, n=99, random_state=0)
    >>> found.counts.tolist(), float(found.corrected[0, 1])
    ([[0, 12, 0], [0, 0, 12], [11, 0, 0]], 0.01)
    """
    check_integer(n, name="n", owner="transition_test", low=1)
    names, dwells = dwell_codes(states, offsets)
    k = names.size
    counts, null = shuffled_counts(dwells, k, n, make_generator(random_state))
    if counts.sum() == 0:
        raise ActivityError("transition_test: there must be a change of state; there is none.")
    expected = null.mean(axis=0)
    spread = np.maximum(null.std(axis=0), 1e-9)
    off = ~np.eye(k, dtype=bool)
    far, drawn = np.abs(counts - expected) / spread, np.abs(null - expected) / spread
    p_values, corrected = np.ones((k, k)), np.ones((k, k))
    p_values[off] = (1 + (drawn[:, off] >= far[off] - _TIE).sum(axis=0)) / (1 + n)
    corrected[off] = max_statistic(far[off], drawn[:, off])
    return TransitionTest(counts, expected, p_values, corrected, null, names)
