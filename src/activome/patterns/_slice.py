"""Slice sampling of many independent variables at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from activome._random import RandomState, make_generator
from activome.errors import ParameterError

__all__ = ["slice_sample"]

Array = np.ndarray[Any, Any]


def slice_sample(
    log_density: Callable[[Array], Array],
    start: Array,
    *,
    width: float = 1.0,
    max_steps: int = 20,
    random_state: RandomState = None,
) -> Array:
    """Move each of many independent variables by one slice-sampling step.

    Parameters
    ----------
    log_density : callable
        Takes values (n,), gives the log density of each up to a constant, minus infinity outside
        the support. Element i of the result may depend on element i of the values only.
    start : ndarray of float64, shape (n,)
        Where the variables are; inside the support.
    width : float, default=1.0
        First width of the interval.
    max_steps : int, default=20
        Most widths by which the interval grows, both sides together.
    random_state : int, numpy.random.Generator or None, default=None
        Seed.

    Returns
    -------
    ndarray of float64, shape (n,)
        Values after the step, which leaves the density invariant.

    Raises
    ------
    ParameterError
        If the density is zero or not a number at the start.

    Notes
    -----
    Stepping out and shrinkage [1]_. All variables are evaluated together, until the last is done.

    References
    ----------
    .. [1] R. M. Neal, "Slice sampling", 2003.

    Examples
    --------
    >>> value = np.zeros(2000)
    >>> rng = np.random.default_rng(0)
    >>> for _ in range(10):
    ...     value = slice_sample(lambda x: -0.5 * (x - 3) ** 2, value, random_state=rng)
    >>> bool(abs(value.mean() - 3) < 0.1 and abs(value.std() - 1) < 0.1)
    True
    """
    generator = make_generator(random_state)
    x0 = np.array(start, dtype=np.float64)
    at_start = np.asarray(log_density(x0))
    if not (at_start > -np.inf).all():
        raise ParameterError(
            "slice_sample: the density must be above zero at every start; it is not at place "
            f"{int(np.argmin(at_start > -np.inf))}. Start inside the support."
        )
    level = at_start - generator.standard_exponential(x0.shape)
    left = x0 - width * generator.random(x0.shape)
    right = left + width
    # The budget is split at random between the sides, which keeps the step reversible.
    left_steps = np.floor(max_steps * generator.random(x0.shape))
    _grow(log_density, left, -width, left_steps, level)
    _grow(log_density, right, width, max_steps - 1 - left_steps, level)
    value = x0.copy()
    is_open = np.ones(x0.shape, dtype=bool)
    while is_open.any():
        trial = np.where(is_open, left + (right - left) * generator.random(x0.shape), value)
        inside = is_open & (np.asarray(log_density(trial)) > level)
        value[inside] = trial[inside]
        is_open &= ~inside
        # Where rounding has closed the interval the variable stays.
        is_open &= right - left > 1e-14 * (1 + np.abs(x0))
        lower = is_open & (trial < x0)
        left[lower] = trial[lower]
        upper = is_open & ~lower
        right[upper] = trial[upper]
    return value


def _grow(
    log_density: Callable[[Array], Array], edge: Array, step: float, budget: Array, level: Array
) -> None:
    budget = budget.copy()
    while True:
        grows = (budget > 0) & (np.asarray(log_density(edge)) > level)
        if not grows.any():
            return
        edge[grows] += step
        budget[grows] -= 1
