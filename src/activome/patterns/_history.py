"""Spike history as features: bases over lags, and their convolution with past counts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_integer, check_memory, check_number
from activome.errors import ActivityError

__all__ = ["exponential_basis", "history_features", "raised_cosine_basis"]

Array = np.ndarray[Any, Any]


def exponential_basis(window: int = 5, decay: float = 1.0) -> Array:
    """Return one decaying exponential over lags, with sum 1.

    Parameters
    ----------
    window : int, default=5
        Number of lags in bins, from 1 on.
    decay : float in [0, inf), default=1.0
        Rate of the decay per bin; 0 gives equal weights.

    Returns
    -------
    ndarray of float64, shape (window, 1)
        Weight of each lag, lag 1 first.

    Examples
    --------
    >>> exponential_basis(3).round(3).ravel().tolist()
    [0.665, 0.245, 0.09]
    """
    owner = "exponential_basis"
    check_integer(window, name="window", owner=owner, low=1)
    check_number(decay, name="decay", owner=owner, low=0.0, include_low=True)
    weight = np.exp(-decay * np.arange(window, dtype=np.float64))
    return np.asarray(weight / weight.sum())[:, np.newaxis]


def raised_cosine_basis(window: int = 10, n_bases: int = 3, offset: float = 1.0) -> Array:
    """Return raised cosines that are evenly spaced in the logarithm of the lag.

    With ``u = log(lag + offset)`` and centres ``c_k`` from the first to the last lag, function k is
    ``(1 + cos(clip((u - c_k) pi / (2 d), -pi, pi))) / 2``, d being the distance of centres: fine
    for recent lags, coarse for old ones. Between the first and the last centre they sum to a
    constant.

    Parameters
    ----------
    window : int, default=10
        Number of lags in bins, from 1 on.
    n_bases : int, default=3
        Number of functions, at most ``window``.
    offset : float in (0, inf), default=1.0
        In bins; small values put more resolution at recent lags.

    Returns
    -------
    ndarray of float64, shape (window, n_bases)
        Each column has sum 1.

    References
    ----------
    .. [1] J. W. Pillow et al., "Spatio-temporal correlations and visual signalling in a complete
       neuronal population", 2008.

    Examples
    --------
    >>> basis = raised_cosine_basis(6, 2)
    >>> basis.argmax(axis=0).tolist(), basis.sum(axis=0).round(6).tolist()
    ([0, 5], [1.0, 1.0])
    """
    owner = "raised_cosine_basis"
    check_integer(window, name="window", owner=owner, low=1)
    check_integer(n_bases, name="n_bases", owner=owner, low=1, high=window)
    check_number(offset, name="offset", owner=owner, low=0.0)
    position = np.log(np.arange(1, window + 1) + offset)
    if n_bases == 1:
        return np.full((window, 1), 1.0 / window)
    centres = np.linspace(position[0], position[-1], n_bases)
    phase = (position[:, np.newaxis] - centres) * np.pi / (2 * (centres[1] - centres[0]))
    basis = (1 + np.cos(np.clip(phase, -np.pi, np.pi))) / 2
    return np.asarray(basis / basis.sum(axis=0))


def history_features(
    counts: ArrayLike, basis: ArrayLike, offsets: ArrayLike | None = None
) -> Array:
    """Weigh the past of every unit by each function of a basis; strictly past, zero at the start.

    Feature ``u * n_bases + k`` at t is ``sum over lags l >= 1 of basis[l - 1, k] x[t - l, u]``.

    Parameters
    ----------
    counts : array-like of float, shape (n_times, n_units)
        Counts per bin; sequences one below the other.
    basis : array-like of float, shape (window, n_bases)
        Weight of each lag, lag 1 first.
    offsets : array-like of int, shape (n_sequences + 1,), optional
        Row at which each sequence begins, and ``n_times`` at the end.

    Returns
    -------
    ndarray of float64, shape (n_times, n_units * n_bases)
        Bases of one unit stand side by side.

    Raises
    ------
    ActivityError
        If counts or basis are not two-dimensional.
    ResourceError
        If the features would pass the memory limit.

    Examples
    --------
    >>> history_features([[1.0], [0.0], [2.0]], [[1.0], [0.5]]).ravel().tolist()
    [0.0, 1.0, 0.5]
    """
    values, lags = np.asarray(counts, dtype=np.float64), np.asarray(basis, dtype=np.float64)
    if values.ndim != 2 or lags.ndim != 2:
        raise ActivityError(
            "history_features: counts must be (n_times, n_units) and basis (window, n_bases); got "
            f"shapes {values.shape} and {lags.shape}."
        )
    (n_times, n_units), (window, n_bases) = values.shape, lags.shape
    check_memory(
        8 * n_times * n_units * n_bases,
        owner="history_features",
        what=f"the history of {n_units} units over {n_times} bins with {n_bases} bases",
        cure="Use fewer bases, wider bins or fewer units.",
    )
    bounds = np.asarray([0, n_times] if offsets is None else offsets, dtype=np.int64)
    features = np.zeros((n_times, n_units, n_bases))
    for start, stop in pairwise(bounds):
        for lag in range(1, min(window, stop - start - 1) + 1):
            past = values[start : stop - lag]
            for k in range(n_bases):
                if lags[lag - 1, k] != 0.0:
                    features[start + lag : stop, :, k] += lags[lag - 1, k] * past
    return features.reshape(n_times, n_units * n_bases)
