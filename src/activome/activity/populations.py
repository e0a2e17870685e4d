"""Pseudo-populations: disjoint random groups of the units of one recording."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from activome._checks import check_integer
from activome._random import RandomState, make_generator
from activome.errors import ActivityError

__all__ = ["pseudo_populations"]


def pseudo_populations(
    X: Any, size: int, n: int | None = None, *, random_state: RandomState = None
) -> list[Any]:
    """Deal the units of a recording into disjoint groups of equal size.

    A stand-in for several animals where one recording is pooled over many: groups share the trials
    and no unit.

    Parameters
    ----------
    X : xarray.DataArray or array-like, shape (n_trials, n_units, n_times)
        An Activity with a dim "unit", or plain numbers.
    size : int
        Units per group.
    n : int, optional
        Groups; by default as many as the units allow.
    random_state : int, Generator or None
        Seed of the dealing.

    Returns
    -------
    list
        One activity, or array, per group; its units in their order in the recording.

    Raises
    ------
    ActivityError
        If there are fewer than ``size * n`` units, or no dim of units.
    ParameterError
        If a number is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> groups = pseudo_populations(np.arange(12).reshape(1, 6, 2), 2, random_state=0)
    >>> len(groups), groups[0].shape
    (3, (1, 2, 2))
    """
    owner = "pseudo_populations"
    check_integer(size, name="size", owner=owner, low=1)
    is_labelled = isinstance(X, xr.DataArray)
    values = X if is_labelled else np.asarray(X)
    if (is_labelled and "unit" not in X.dims) or (not is_labelled and values.ndim != 3):
        raise ActivityError(
            f"{owner}: there must be units: a dim 'unit', or plain numbers (n_trials, n_units, "
            f"n_times); got shape {values.shape}."
        )
    n_units = X.sizes["unit"] if is_labelled else values.shape[1]
    count = n_units // size if n is None else check_integer(n, name="n", owner=owner, low=1)
    if count < 1 or count * size > n_units:
        raise ActivityError(
            f"{owner}: {max(count, 1)} groups of {size} need {max(count, 1) * size} units; there "
            f"are {n_units}. Use fewer or smaller groups."
        )
    order = make_generator(random_state).permutation(n_units)[: count * size]
    groups = np.sort(order.reshape(count, size), axis=1)
    return [X.isel(unit=g) if is_labelled else values[:, g] for g in groups]
