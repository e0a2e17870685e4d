"""Pure functions on traces: causal smoothing, normalisation, and signs of bad tracking."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.signal import lfilter

from activome._checks import check_choice, check_integer, check_number
from activome.errors import ActivityError

__all__ = ["longest_gap", "normalise_traces", "smooth_traces", "straight_share"]

Array = np.ndarray[Any, Any]

_VARIANCE_FLOOR = 1e-8
# exp(-x**2 / 2) is below the resolution of float64 beyond 8.6 deviations.
_GAUSSIAN_REACH = 9.0


def smooth_traces(
    traces: ArrayLike,
    method: str | None = "moving",
    *,
    window: int = 15,
    alpha: float = 0.5,
    sigma: float = 5.0,
) -> Array:
    """Smooth traces with weights on the present and the past only.

    "moving" is the mean of the last ``window // 2 + 1`` samples, "exponential" follows
    ``y[t] = alpha x[t] + (1 - alpha) y[t - 1]`` from ``y[0] = x[0]``, and "gaussian" weighs the
    sample ``k`` steps ago by ``exp(-k**2 / (2 sigma**2))``. At the start the weights that reach
    before the recording are left out and the others divided by their sum.

    Parameters
    ----------
    traces : array-like of float, shape (n_times, n_units) or (n_times,)
        Samples in order; NaN where one is missing.
    method : {"moving", "exponential", "gaussian"} or None, default="moving"
        The weights; None copies.
    window : int >= 1, default=15
        Width in samples of the symmetric window whose past half "moving" takes.
    alpha : float in (0, 1], default=0.5
        Weight of the present in "exponential".
    sigma : float > 0, default=5.0
        Width in samples of "gaussian".

    Returns
    -------
    ndarray of float64, shape of traces
        Smoothed traces, NaN where the sample is missing. Missing samples get no weight in others.

    Raises
    ------
    ActivityError
        If traces have no samples or more than two axes.
    ParameterError
        If ``method`` is unknown or an option is outside its range.

    Notes
    -----
    An even ``window`` is widened by one sample. Cost is one pass per weight; the Gaussian stops at
    9 sigma, where weights are below the resolution of float64.

    References
    ----------
    .. [1] Q. Simeon, A. Kashyap, K. P. Kording and E. S. Boyden, "Homogenized C. elegans neural
       activity and connectivity data", 2024.

    Examples
    --------
    >>> smooth_traces([0.0, 4.0, 8.0, 12.0], window=3).tolist()
    [0.0, 2.0, 6.0, 10.0]
    >>> smooth_traces([0.0, 4.0, 8.0, 12.0], "exponential").tolist()
    [0.0, 2.0, 5.0, 8.5]
    """
    values = _traces(traces, "smooth_traces")
    if method is None:
        return values.copy()
    check_choice(method, _SMOOTHERS, name="method", owner="smooth_traces")
    window = check_integer(window, name="window", owner="smooth_traces", low=1)
    alpha = check_number(
        alpha, name="alpha", owner="smooth_traces", low=0.0, high=1.0, include_high=True
    )
    sigma = check_number(sigma, name="sigma", owner="smooth_traces", low=0.0)
    present = ~np.isnan(values)
    smoothed = _SMOOTHERS[method](values, present, window, alpha, sigma)
    return np.where(present, smoothed, np.nan)


def normalise_traces(
    traces: ArrayLike, method: str | None = "standard", *, companions: tuple[Array, ...] = ()
) -> tuple[Array, ...]:
    """Bring each trace to zero mean and unit deviation, over the recording or up to each sample.

    "standard" takes mean and deviation of the whole recording, and so looks into the future.
    "causal" takes at each sample those of the samples so far, its variance never below 1e-8: use
    it where the future is to be predicted, and drop the first samples, which rest on little.

    Parameters
    ----------
    traces : array-like of float, shape (n_times, n_units) or (n_times,)
        Samples in order; NaN where one is missing.
    method : {"standard", "causal"} or None, default="standard"
        What mean and deviation are taken over; None copies.
    companions : tuple of ndarray, shape of traces
        Arrays in the traces' units per something, such as derivatives; they are divided by the
        deviation of the trace and keep their mean.

    Returns
    -------
    tuple of ndarray of float64, shape of traces
        The normalised traces, then the scaled companions. Missing samples stay NaN.

    Raises
    ------
    ActivityError
        If traces have no samples or more than two axes.
    ParameterError
        If ``method`` is unknown.

    Notes
    -----
    Deviations divide by n. A constant trace becomes 0 under "standard", with companions unscaled.
    Running sums start from the first sample's value, which costs nothing in causality and keeps
    a large offset from eating the precision.

    Examples
    --------
    >>> normalise_traces([1.0, 3.0, 5.0, 7.0])[0].round(4).tolist()
    [-1.3416, -0.4472, 0.4472, 1.3416]
    >>> normalise_traces([1.0, 3.0, 5.0, 7.0], "causal")[0].round(4).tolist()
    [0.0, 1.0, 1.2247, 1.3416]
    """
    values = _traces(traces, "normalise_traces")
    if method is None:
        return (values.copy(), *(np.array(array, dtype=np.float64) for array in companions))
    check_choice(method, _MOMENTS, name="method", owner="normalise_traces")
    mean, deviation = _MOMENTS[method](values)
    scaled = (np.asarray(array, dtype=np.float64) / deviation for array in companions)
    return ((values - mean) / deviation, *scaled)


def longest_gap(traces: ArrayLike) -> Array:
    """Share of the recording that the longest run of missing samples takes, for each trace.

    Above about 5 % a trace was lost by the tracker, and is better dropped than filled.

    Parameters
    ----------
    traces : array-like of float, shape (n_times, n_units) or (n_times,)
        Samples in order; NaN where one is missing.

    Returns
    -------
    ndarray of float64, shape (n_units,) or ()
        In [0, 1].

    Raises
    ------
    ActivityError
        If traces have no samples or more than two axes.

    Examples
    --------
    >>> longest_gap([1.0, float("nan"), float("nan"), 2.0]).tolist()
    0.5
    """
    missing = np.isnan(_traces(traces, "longest_gap"))
    counted = np.cumsum(missing, axis=0)
    # At a present sample the count so far is taken away, which starts the run anew.
    before = np.maximum.accumulate(np.where(missing, 0, counted), axis=0)
    runs: Array = (counted - before).max(axis=0)
    return np.asarray(runs / missing.shape[0])


def straight_share(
    traces: ArrayLike, *, window: int = 50, step: int = 25, decimals: int = 3
) -> Array:
    """Share of windows in which a trace is a straight line, a sign that values were filled in.

    A window is straight when all its first differences are equal after rounding.

    Parameters
    ----------
    traces : array-like of float, shape (n_times, n_units) or (n_times,)
        Samples in order. A window with a missing sample is not straight.
    window : int >= 3, default=50
        Samples in a window.
    step : int >= 1, default=25
        Samples from one window to the next.
    decimals : int, default=3
        Decimals to which the differences are rounded, so it depends on the unit of the traces.

    Returns
    -------
    ndarray of float64, shape (n_units,) or ()
        In [0, 1].

    Raises
    ------
    ActivityError
        If traces have no samples, fewer than one window, or more than two axes.
    ParameterError
        If an option is outside its range.

    Notes
    -----
    Rounding to a fixed decimal marks every trace whose steps stay below ``10**-decimals / 2``:
    apply it to traces in a unit where they vary by about 1 (our choice is to leave the unit to the
    caller rather than rescale).

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).standard_normal(100)
    >>> straight_share(np.column_stack([noise, np.linspace(0.0, 9.9, 100)])).tolist()
    [0.0, 1.0]
    """
    values = _traces(traces, "straight_share")
    window = check_integer(window, name="window", owner="straight_share", low=3)
    step = check_integer(step, name="step", owner="straight_share", low=1)
    decimals = check_integer(decimals, name="decimals", owner="straight_share")
    if values.shape[0] < window:
        raise ActivityError(
            f"straight_share: traces must hold at least one window of {window} samples; "
            f"got {values.shape[0]}. Give a smaller window."
        )
    steps = np.round(np.diff(values, axis=0), decimals)
    # equal[i]: difference i + 1 equals difference i; a run of window - 2 makes a window straight.
    equal = np.cumsum(steps[1:] == steps[:-1], axis=0)
    equal = np.concatenate([np.zeros_like(equal[:1]), equal])
    starts = np.arange(0, values.shape[0] - window + 1, step)
    straight = equal[starts + window - 2] - equal[starts] == window - 2
    return np.asarray(straight.mean(axis=0))


def _traces(traces: ArrayLike, owner: str) -> Array:
    values = np.asarray(traces, dtype=np.float64)
    if values.ndim not in (1, 2) or values.size == 0:
        raise ActivityError(
            f"{owner}: traces must be (n_times, n_units) and hold samples; got {values.shape}."
        )
    return values


def _weighted_past(values: Array, present: Array, weights: Array) -> Array:
    total = lfilter(weights, [1.0], np.where(present, values, 0.0), axis=0)
    mass = lfilter(weights, [1.0], present.astype(np.float64), axis=0)
    return np.asarray(total / np.where(mass > 0, mass, 1.0))


def _moving(values: Array, present: Array, window: int, alpha: float, sigma: float) -> Array:
    return _weighted_past(values, present, np.ones((window | 1) // 2 + 1))


def _gaussian(values: Array, present: Array, window: int, alpha: float, sigma: float) -> Array:
    reach = min(int(np.ceil(_GAUSSIAN_REACH * sigma)), values.shape[0] - 1)
    return _weighted_past(values, present, np.exp(-((np.arange(reach + 1) / sigma) ** 2) / 2))


def _exponential(values: Array, present: Array, window: int, alpha: float, sigma: float) -> Array:
    smoothed = np.empty_like(values)
    state = np.full(values.shape[1:], np.nan)
    for t, (sample, here) in enumerate(zip(values, present, strict=True)):
        fresh = np.where(np.isnan(state), sample, alpha * sample + (1.0 - alpha) * state)
        # A missing sample leaves the state as it was.
        state = np.where(here, fresh, state)
        smoothed[t] = state
    return smoothed


def _standard_moments(values: Array) -> tuple[Array, Array]:
    present = ~np.isnan(values)
    count = np.maximum(present.sum(axis=0), 1)
    mean = np.where(present, values, 0.0).sum(axis=0) / count
    off = np.where(present, values - mean, 0.0)
    deviation = np.sqrt((off**2).sum(axis=0) / count)
    # Rounding leaves a constant of large offset with a deviation of some units in the last place.
    still = deviation <= 1e-14 * np.abs(mean)
    return mean, np.where(still, 1.0, deviation)


def _causal_moments(values: Array) -> tuple[Array, Array]:
    present = ~np.isnan(values)
    first = np.take_along_axis(values, np.argmax(present, axis=0)[None], axis=0)
    first = np.where(np.isnan(first), 0.0, first)
    off = np.where(present, values - first, 0.0)
    count = np.maximum(np.cumsum(present, axis=0), 1)
    mean = np.cumsum(off, axis=0) / count
    variance = np.cumsum(off**2, axis=0) / count - mean**2
    return mean + first, np.sqrt(np.maximum(variance, _VARIANCE_FLOOR))


_SMOOTHERS: dict[str, Callable[[Array, Array, int, float, float], Array]] = {
    "moving": _moving,
    "exponential": _exponential,
    "gaussian": _gaussian,
}
_MOMENTS: dict[str, Callable[[Array], tuple[Array, Array]]] = {
    "standard": _standard_moments,
    "causal": _causal_moments,
}
