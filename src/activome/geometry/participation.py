"""Participation ratio: how evenly the variance of a population spreads over dimensions."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import xarray as xr

from activome._checks import check_finite, check_integer, check_memory, check_number
from activome._random import RandomState, make_generator
from activome.activity.bootstrap import Interval, block_length
from activome.activity.stacking import to_samples
from activome.errors import ActivityError

__all__ = ["participation_interval", "participation_ratio", "sample_matrix"]

Array = np.ndarray[Any, Any]
_MAX_BLOCKS = 100


def participation_ratio(activity: Any) -> float:
    """Measure how evenly the variance spreads over dimensions.

    ``(sum of l)^2 / (sum of l^2)`` of the eigenvalues of the covariance of the units: n_units when
    all dimensions carry the same variance, 1 when a single one carries all [1]_.

    Parameters
    ----------
    activity : xarray.DataArray or array-like, shape (n_samples, n_units)
        An Activity, or plain numbers.

    Returns
    -------
    float
        Between 1 and the smaller of n_units and n_samples - 1.

    Raises
    ------
    ActivityError
        If there are fewer than two samples, values are not finite, or nothing varies.

    Notes
    -----
    It needs traces alone, no eigenvalues. Few samples bias it down: with n isotropic units and t
    samples it is about ``n t / (n + t)``.

    References
    ----------
    .. [1] P. Gao, E. Trautmann, B. Yu, G. Santhanam, S. Ryu, K. Shenoy and S. Ganguli, "A theory of
       multineuronal dimensionality, dynamics and measurement", 2017.

    Examples
    --------
    >>> import numpy as np
    >>> round(participation_ratio(np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])), 6)
    2.0
    """
    values = sample_matrix(activity, "participation_ratio")
    centred = values - values.mean(axis=0)
    total = float(np.einsum("tu,tu->", centred, centred))
    if total <= (1e-12 * np.abs(values).max()) ** 2 * values.size:
        raise ActivityError("participation_ratio: something must vary; every unit is constant.")
    return _ratio(centred, total)


def _ratio(centred: Array, total: float) -> float:
    # The smaller of the two Gram matrices has the same trace of its square.
    small = centred if centred.shape[0] <= centred.shape[1] else centred.T
    gram = small @ small.T
    return float(total**2 / np.einsum("ij,ij->", gram, gram))


def sample_matrix(activity: Any, owner: str) -> Array:
    """Return the valid samples of an Activity, or plain numbers, as (n_samples, n_units) float64.

    Parameters
    ----------
    activity : xarray.DataArray or array-like, shape (n_samples, n_units)
        An Activity, or plain numbers.
    owner : str
        Who asks, for the messages.

    Returns
    -------
    ndarray of float64, shape (n_samples, n_units)
        Finite values.

    Raises
    ------
    ActivityError
        If there are fewer than two samples, or values are not finite.
    """
    if isinstance(activity, xr.DataArray):
        values = to_samples(activity, owner=owner)[0].astype(np.float64)
    else:
        values = np.asarray(activity, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] < 2 or values.shape[1] < 1:
        raise ActivityError(
            f"{owner}: activity must be (n_samples, n_units) with at least two samples; "
            f"got shape {values.shape}."
        )
    check_finite(values, owner=owner, axes=("sample", "unit"))
    return np.asarray(values)


def participation_interval(
    activity: Any,
    *,
    level: float = 0.95,
    n_bootstraps: int = 200,
    block: int | str = "auto",
    random_state: RandomState = None,
) -> Interval:
    """Return the participation ratio with an interval from a moving-block bootstrap.

    Parameters
    ----------
    activity : xarray.DataArray or array-like, shape (n_samples, n_units)
        An Activity, or plain numbers.
    level : float in (0, 1), default=0.95
        Coverage.
    n_bootstraps : int, default=200
        Resamplings.
    block : int or "auto", default="auto"
        Length of the blocks in samples; "auto" as in ``bootstrap_interval``.
    random_state : int, Generator or None
        Seed.

    Returns
    -------
    Interval
        The estimate, and ends corrected for the bias of resampling: repeated blocks have fewer
        dimensions, so the draws lie below the estimate by about as much as it lies below the truth.

    Raises
    ------
    ActivityError
        If there are fewer than two samples, values are not finite, or nothing varies.
    ParameterError
        If an option is outside its range.

    Notes
    -----
    The recording is cut into at most 100 blocks, each at least as long as the rule asks, which are
    drawn with replacement [1]_. The ratio of any draw follows from the products of the blocks'
    covariances with each other, so that a draw costs nothing and the whole one Gram matrix.

    References
    ----------
    .. [1] E. Carlstein, "The use of subseries values for estimating the variance of a general
       statistic from a stationary sequence", 1986.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.random.default_rng(0).normal(size=(400, 3))
    >>> found = participation_interval(values, random_state=0)
    >>> found.low < found.estimate <= found.high
    True
    """
    values = sample_matrix(activity, "participation_interval")
    estimate = participation_ratio(values)

    check_number(level, name="level", owner="participation_interval", low=0.0, high=1.0)
    check_integer(n_bootstraps, name="n_bootstraps", owner="participation_interval", low=1)
    length = max(block_length(values, block), -(-len(values) // _MAX_BLOCKS))
    traces, products = _block_products(values - values.mean(axis=0), length)
    generator = make_generator(random_state)
    n_blocks = traces.size
    chance = np.full(n_blocks, 1.0 / n_blocks)
    weights = generator.multinomial(n_blocks, chance, size=n_bootstraps).astype(np.float64)
    squares = np.einsum("db,bc,dc->d", weights, products, weights, optimize=True)
    draws = (weights @ traces) ** 2 / np.maximum(squares, 1e-300)
    # Reflected, the draws have their bias on the other side; on the log scale, as ratios are.
    reflected = np.exp(2 * np.log(estimate) - np.log(np.maximum(draws, 1.0)))
    tail = (1.0 - level) / 2
    low, high = np.quantile(np.clip(reflected, 1.0, values.shape[1]), [tail, 1.0 - tail])
    low, high = min(float(low), estimate), max(float(high), estimate)
    return Interval(estimate, low, high, level, draws, length)


def _block_products(centred: Array, length: int) -> tuple[Array, Array]:
    """Return the trace of each block's Gram matrix, and the inner products between blocks."""
    n_blocks = max(2, centred.shape[0] // length)
    edges = np.linspace(0, centred.shape[0], n_blocks + 1).astype(np.int64)
    n_units = centred.shape[1]
    check_memory(
        4.0 * n_blocks * n_units**2,
        owner="participation_interval",
        what="the covariances of the blocks",
        cure="Give a larger block, or fewer units.",
    )
    grams = np.empty((n_blocks, n_units * n_units), dtype=np.float32)
    scale = np.sqrt(np.einsum("tu,tu->", centred, centred))
    scaled = (centred / (scale if scale > 0 else 1.0)).astype(np.float32)
    for k, (low, high) in enumerate(itertools.pairwise(edges)):
        grams[k] = (scaled[low:high].T @ scaled[low:high]).reshape(-1)
    traces = grams[:, :: n_units + 1].sum(axis=1, dtype=np.float64)
    return traces, (grams @ grams.T).astype(np.float64)
