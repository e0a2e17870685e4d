"""Intervals: bootstraps over subjects, and over blocks of time for series with a memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft

from activome._checks import check_integer, check_number
from activome._random import RandomState, make_generator
from activome.errors import ActivityError, ParameterError

__all__ = ["Interval", "autocorrelation_time", "block_length", "bootstrap_interval"]

Array = np.ndarray[Any, Any]


def autocorrelation_time(values: ArrayLike, *, window: float = 5.0) -> Array:
    """Return the integrated autocorrelation time of each series.

    ``1 + 2 sum of autocorrelations``, summed to the first lag that is ``window`` times the sum so
    far [1]_: samples divided by it are as many as are independent.

    Parameters
    ----------
    values : array-like of float, shape (n_samples, n_units) or (n_samples,)
        Series, one per column.
    window : float, default=5.0
        Lags kept, in units of the time found.

    Returns
    -------
    ndarray of float64, shape (n_units,)
        Times in samples, at least 1; 1 for a constant series.

    Raises
    ------
    ActivityError
        If there are fewer than two samples, or more than two dims.

    References
    ----------
    .. [1] A. Sokal, "Monte Carlo methods in statistical mechanics", 1997.

    Examples
    --------
    >>> import numpy as np
    >>> autocorrelation_time(np.tile([1.0, -1.0], 50)).tolist()
    [1.0]
    """
    check_number(window, name="window", owner="autocorrelation_time", low=0.0)
    array = np.asarray(values, dtype=np.float64)
    if array.ndim not in (1, 2) or array.shape[0] < 2:
        raise ActivityError(
            "autocorrelation_time: values must be (n_samples, n_units) with at least two samples; "
            f"got shape {array.shape}."
        )
    columns = array.reshape(array.shape[0], -1)
    columns = columns - columns.mean(axis=0)
    n = columns.shape[0]
    spectrum = fft.rfft(columns, n=fft.next_fast_len(2 * n, real=True), axis=0)
    covariance = fft.irfft(np.abs(spectrum) ** 2, n=fft.next_fast_len(2 * n, real=True), axis=0)[:n]
    scale = np.where(covariance[0] > 0, covariance[0], 1.0)
    times = 2 * np.cumsum(covariance / scale, axis=0) - 1
    enough = np.arange(n)[:, np.newaxis] >= window * times
    lag = np.where(enough.any(axis=0), enough.argmax(axis=0), n - 1)
    found = times[lag, np.arange(columns.shape[1])]
    return np.where(covariance[0] > 0, np.maximum(found, 1.0), 1.0)


@dataclass(frozen=True)
class Interval:
    """An estimate with a bootstrap interval.

    Attributes
    ----------
    estimate : float
        The statistic of the data.
    low, high : float
        Ends of the interval.
    level : float in (0, 1)
        Its coverage.
    draws : ndarray of float64, shape (n_draws,)
        The statistic of each resampling.
    block : int
        Length of the blocks in samples; 1 where rows or groups were drawn one by one.
    """

    estimate: float
    low: float
    high: float
    level: float
    draws: Array
    block: int


def bootstrap_interval(
    statistic: Callable[[Array], float],
    data: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    block: int | str = 1,
    level: float = 0.95,
    n: int = 200,
    random_state: RandomState = None,
) -> Interval:
    """Return a statistic with the percentile interval of resampled data.

    Parameters
    ----------
    statistic : callable
        Takes rows of the data, returns a number.
    data : array-like, shape (n_rows, ...)
        Samples, trials or subjects along the first axis.
    groups : array-like, shape (n_rows,), optional
        Subject of each row: whole subjects are drawn.
    block : int or "auto", default=1
        Length of moving blocks for series in time [1]_. "auto" takes
        ``ceil(max(tau, (n_rows * tau**2)**(1/3)))``, with tau the median autocorrelation time of
        the columns, at most a tenth of the rows: the length grows with the cube root of the
        recording [2]_ and covers the memory of the series.
    level : float in (0, 1), default=0.95
        Coverage.
    n : int, default=200
        Resamplings.
    random_state : int, Generator or None
        Seed.

    Returns
    -------
    Interval
        Estimate, ends and draws.

    Raises
    ------
    ActivityError
        If there are fewer than two rows (or groups), or groups are not one per row.
    ParameterError
        If ``block`` is neither "auto" nor between 1 and the number of rows, groups and blocks are
        both given, or ``level`` or ``n`` is outside its range.

    References
    ----------
    .. [1] H. Kuensch, "The jackknife and the bootstrap for general stationary observations", 1989.
    .. [2] P. Hall, J. Horowitz and B.-Y. Jing, "On blocking rules for the bootstrap with dependent
       data", 1995.

    Examples
    --------
    >>> import numpy as np
    >>> found = bootstrap_interval(np.mean, np.arange(100.0), random_state=0)
    >>> found.low < found.estimate < found.high
    True
    """
    rows = np.asarray(data)
    check_number(level, name="level", owner="bootstrap_interval", low=0.0, high=1.0)
    check_integer(n, name="n", owner="bootstrap_interval", low=1)
    if rows.ndim == 0 or rows.shape[0] < 2:
        raise ActivityError(f"bootstrap_interval: needs at least two rows; got shape {rows.shape}.")
    length = block_length(rows, block)
    generator = make_generator(random_state)
    if groups is not None:
        if length != 1:
            raise ParameterError("bootstrap_interval: give groups or block, not both.")
        members = _members(np.asarray(groups), rows.shape[0])
        chosen = (_draw_groups(members, generator) for _ in range(n))
    else:
        chosen = (_draw_blocks(rows.shape[0], length, generator) for _ in range(n))
    draws = np.array([float(statistic(rows[pick])) for pick in chosen])
    tail = (1.0 - level) / 2
    low, high = np.quantile(draws, [tail, 1.0 - tail])
    return Interval(float(statistic(rows)), float(low), float(high), level, draws, length)


def block_length(rows: Array, block: int | str) -> int:
    """Return the length of the blocks of a bootstrap, by the rule of ``bootstrap_interval``.

    Parameters
    ----------
    rows : ndarray, shape (n_rows, ...)
        Samples along the first axis.
    block : int or "auto"
        A length, or the rule.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    ParameterError
        If ``block`` is neither "auto" nor between 1 and the number of rows.
    """
    n_rows = rows.shape[0]
    if block == "auto":
        tau = float(np.median(autocorrelation_time(rows.reshape(n_rows, -1))))
        wanted = max(tau, (n_rows * tau**2) ** (1 / 3))
        return int(np.clip(np.ceil(wanted), 1, max(1, n_rows // 10)))
    if isinstance(block, str):
        raise ParameterError(
            f"bootstrap_interval: block must be 'auto' or a number; got {block!r}."
        )
    return check_integer(block, name="block", owner="bootstrap_interval", low=1, high=n_rows)


def _members(groups: Array, n_rows: int) -> list[Array]:
    if groups.shape != (n_rows,):
        raise ActivityError(
            f"bootstrap_interval: there must be one group per row ({n_rows}); got {groups.shape}."
        )
    names, codes = np.unique(groups, return_inverse=True)
    if names.size < 2:
        raise ActivityError("bootstrap_interval: needs at least two groups; got 1.")
    return [np.flatnonzero(codes == code) for code in range(names.size)]


def _draw_groups(members: list[Array], generator: np.random.Generator) -> Array:
    picked = generator.integers(0, len(members), len(members))
    return np.concatenate([members[k] for k in picked])


def _draw_blocks(n_rows: int, length: int, generator: np.random.Generator) -> Array:
    starts = generator.integers(0, n_rows - length + 1, -(-n_rows // length))
    picked: Array = (starts[:, np.newaxis] + np.arange(length)).reshape(-1)[:n_rows]
    return picked
