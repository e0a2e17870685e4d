"""An order of the units in which units that go together stand together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from activome.activity.independence import IndependentUnits
from activome.errors import ActivityError

__all__ = ["order_units"]

Array = np.ndarray[Any, Any]
# The best order of the leaves costs the cube of their number.
_MOST_FOR_BEST_ORDER = 300


def order_units(activity: Any, labels: ArrayLike | None = None) -> Array:
    """Order units for a raster: community by community, and by likeness within each.

    Parameters
    ----------
    activity : xarray.DataArray or array-like, shape (n_samples, n_units)
        An Activity, or plain numbers.
    labels : array-like of int, shape (n_units,), optional
        Community or ensemble of each unit; smaller numbers come first. One group by default.

    Returns
    -------
    ndarray of int64, shape (n_units,)
        Positions of the units, for ``activity.isel(unit=order)``. Within a group, neighbours in
        the tree of average correlations stand side by side; constant units come last in theirs.

    Raises
    ------
    ActivityError
        If labels are not one per unit, there are fewer than 10 samples, or values are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> drive = np.random.default_rng(0).normal(size=(50, 2))
    >>> order_units(drive[:, [0, 1, 0, 1]], labels=[1, 0, 1, 0]).tolist()
    [1, 3, 0, 2]
    """
    units = IndependentUnits(activity, owner="order_units", detrend=False, shifts="time")
    n_units = units.active.size
    groups = np.zeros(n_units, dtype=np.int64) if labels is None else np.asarray(labels)
    if groups.shape != (n_units,):
        raise ActivityError(
            f"order_units: labels must be one per unit ({n_units}); got shape {groups.shape}."
        )
    correlation = units.full(units.correlation(), 0.0)
    order: list[Array] = []
    for group in np.unique(groups):
        members = np.flatnonzero((groups == group) & units.active)
        order += [
            _by_likeness(correlation, members),
            np.flatnonzero((groups == group) & ~units.active),
        ]
    return np.concatenate(order)


def _by_likeness(correlation: Array, members: Array) -> Array:
    if members.size < 3:
        return members
    far = np.maximum(1.0 - correlation[np.ix_(members, members)], 0.0)
    np.fill_diagonal(far, 0.0)
    distances = squareform((far + far.T) / 2, checks=False)
    best = members.size <= _MOST_FOR_BEST_ORDER
    tree = hierarchy.linkage(distances, method="average", optimal_ordering=best)
    leaves: Array = members[hierarchy.leaves_list(tree)]
    return leaves
