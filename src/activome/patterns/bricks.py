"""Bricks of a network: equal groups of units that work together, and how sets of units overlap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans

from activome._checks import check_choice, check_integer, check_memory, check_number
from activome._random import RandomState, integer_seed, make_generator
from activome.activity.estimators.sample import SampleTransformer
from activome.errors import ActivityError, ParameterError
from activome.graphs.communities import leiden_partition, signed_modularity_matrix

__all__ = ["BrickPartition", "partition_overlap"]

Array = np.ndarray[Any, Any]


class BrickPartition(SampleTransformer):
    """Cut the units of a layer into groups of equal size that are active together.

    Such a group is a brick that emerged in training: when few of them are active at a time, the
    others need not be computed. ``transform`` gives the mean magnitude of each brick.

    Parameters
    ----------
    n_bricks : int, default=32
        Number of groups; their sizes differ by one unit at most.
    method : {"coactivation", "balanced-kmeans"}, default="coactivation"
        "coactivation" counts how often two units are among the most active of a sample, finds
        communities in the counts, and rebalances them. "balanced-kmeans" groups units of similar
        columns: give the transposed input weights of a layer, shape (n_inputs, n_units), or
        activity.
    active_fraction : float in (0, 1), default=0.1
        Share of the units of a sample that count as active, by magnitude; two at least.
    max_iter : int, default=30
        Most rounds of balancing.
    random_state : int, Generator or None, default=None
        Seed of the start.

    Attributes
    ----------
    labels_ : ndarray of int64, shape (n_units,)
        Brick of each unit, numbered by their first unit.
    sizes_ : ndarray of int64, shape (n_bricks,)
        Units of each brick.
    score_ : float
        "coactivation": weight within bricks beyond what activity alone makes, over the total
        weight (the modularity); "balanced-kmeans": share of the sum of squares that the centres
        leave, 0 for a perfect partition.
    n_iter_ : int
        Rounds that were run.

    Raises
    ------
    ParameterError
        If a parameter is outside its range, or there are more bricks than units.
    ActivityError
        If there is one unit, the units of each sample are alike, so that none is more active, or
        the activity is not finite.
    ResourceError
        If the pairs of units do not fit into memory.

    Notes
    -----
    Each round assigns units to places in bricks of fixed size (a linear assignment problem,
    O(n_units^3), about a second for 1500 units). Communities by Leiden's algorithm and their
    rebalancing are our choice in place of graph cutting.

    References
    ----------
    .. [1] C. Xiao et al., "Configurable foundation models: building LLMs from a modular
       perspective", 2024.
    .. [2] Z. Zhang, Y. Lin, Z. Liu, P. Li, M. Sun and J. Zhou, "MoEfication: transformer
       feed-forward layers are mixtures of experts", 2022.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> drive = rng.exponential(size=(300, 2)) * (rng.random((300, 2)) < 0.3)
    >>> activity = np.repeat(drive, 4, axis=1) * rng.uniform(0.5, 1.5, (300, 8))
    >>> activity += 0.01 * rng.random((300, 8))
    >>> model = BrickPartition(2, active_fraction=0.3, random_state=0).fit(activity)
    >>> model.labels_.tolist()
    [0, 0, 0, 0, 1, 1, 1, 1]
    """

    _min_samples = 2

    def __init__(
        self,
        n_bricks: int = 32,
        method: str = "coactivation",
        *,
        active_fraction: float = 0.1,
        max_iter: int = 30,
        random_state: RandomState = None,
    ) -> None:
        self.n_bricks = n_bricks
        self.method = method
        self.active_fraction = active_fraction
        self.max_iter = max_iter
        self.random_state = random_state

    def _fit(self, values: Array) -> None:
        owner = "BrickPartition"
        n_units = values.shape[1]
        if n_units < 2:
            raise ActivityError(f"{owner}.fit: needs two units or more; got 1 feature(s).")
        check_integer(self.n_bricks, name="n_bricks", owner=owner, low=1, high=n_units)
        check_choice(self.method, _METHODS, name="method", owner=owner)
        check_integer(self.max_iter, name="max_iter", owner=owner, low=1)
        check_number(self.active_fraction, name="active_fraction", owner=owner, low=0.0, high=1.0)
        check_memory(
            32.0 * n_units**2,
            owner=f"{owner}.fit",
            what=f"all pairs of {n_units} units",
            cure="Partition layer by layer.",
        )
        self.sizes_ = np.full(self.n_bricks, n_units // self.n_bricks)
        self.sizes_[: n_units % self.n_bricks] += 1
        labels, self.score_, self.n_iter_ = _METHODS[self.method](self, values)
        # The number of a brick is the place of its first unit among the first ones.
        _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
        self.labels_ = np.argsort(np.argsort(first))[codes]
        self.sizes_ = np.bincount(self.labels_)

    def _count_outputs(self) -> int:
        return int(self.sizes_.size)

    def _transform(self, values: Array) -> Array:
        member = np.eye(self.sizes_.size)[self.labels_] / self.sizes_
        mean: Array = np.abs(values) @ member.astype(values.dtype)
        return mean


def _coactivation(model: BrickPartition, values: Array) -> tuple[Array, float, int]:
    active = _most_active(np.abs(values), model.active_fraction)
    counts = active.T @ active
    gains, total = signed_modularity_matrix(counts.astype(np.float64))
    if total == 0:
        raise ActivityError(
            "BrickPartition.fit: some units must be active together; no two of the "
            f"{values.shape[1]} ever are. Raise active_fraction, or use 'balanced-kmeans'."
        )
    found = leiden_partition(gains, make_generator(model.random_state))
    order = np.argsort(found, kind="stable")
    labels = np.empty(order.size, dtype=np.int64)
    labels[order] = np.repeat(np.arange(model.sizes_.size), model.sizes_)
    np.fill_diagonal(gains, 0.0)
    best, best_score, n_iter = labels, _within(gains, labels), 0
    for _ in range(model.max_iter):
        n_iter += 1
        member = np.eye(model.sizes_.size)[labels]
        labels = _balanced(-(gains @ member), model.sizes_)
        score = _within(gains, labels)
        if score <= best_score:
            break
        best, best_score = labels, score
    return best, best_score / total, n_iter


def _most_active(magnitude: Array, fraction: float) -> Array:
    if bool((magnitude == magnitude[:, :1]).all()):
        raise ActivityError(
            "BrickPartition.fit: units must differ in activity within samples; they are alike in "
            "each of them. Check that columns are units."
        )
    # One active unit alone is together with none.
    n_active = min(max(2, round(fraction * magnitude.shape[1])), magnitude.shape[1])
    cut = np.partition(magnitude, -n_active, axis=1)[:, -n_active, np.newaxis]
    return ((magnitude >= cut) & (magnitude > 0)).astype(np.float32)


def _within(gains: Array, labels: Array) -> float:
    member = np.eye(labels.max() + 1)[labels]
    return float(((gains @ member) * member).sum())


def _balanced_kmeans(model: BrickPartition, values: Array) -> tuple[Array, float, int]:
    points = np.ascontiguousarray(values.T, dtype=np.float64)
    seed = integer_seed(model.random_state)
    start = KMeans(model.sizes_.size, n_init=1, random_state=seed)
    centres = start.fit(points).cluster_centers_
    labels = np.full(len(points), -1)
    squares, n_iter = (points**2).sum(axis=1), 0
    for _ in range(model.max_iter):
        n_iter += 1
        # The square of a point is the same for every centre, and changes no assignment.
        found = _balanced((centres**2).sum(axis=1) - 2.0 * points @ centres.T, model.sizes_)
        if np.array_equal(found, labels):
            break
        labels = found
        member = np.eye(model.sizes_.size)[labels] / model.sizes_
        centres = member.T @ points
    left = float(((points - centres[labels]) ** 2).sum())
    spread = float(squares.sum() - len(points) * (points.mean(axis=0) ** 2).sum())
    return labels, left / spread if spread > 0 else 0.0, n_iter


def _balanced(cost: Array, sizes: Array) -> Array:
    """Assign each row to a column of the given size at the least total cost."""
    rows, places = linear_sum_assignment(np.repeat(cost, sizes, axis=1))
    labels = np.empty(rows.size, dtype=np.int64)
    labels[rows] = np.repeat(np.arange(sizes.size), sizes)[places]
    return labels


_METHODS: dict[str, Callable[[BrickPartition, Array], tuple[Array, float, int]]] = {
    "coactivation": _coactivation,
    "balanced-kmeans": _balanced_kmeans,
}


def partition_overlap(masks: Mapping[str, Any]) -> xr.DataArray:
    """Return the share of each set of units that lies in each other set.

    Parameters
    ----------
    masks : mapping of str to array-like of bool, shape (n_units,)
        A mask of units by name, such as the best units of each function.

    Returns
    -------
    xarray.DataArray of float64
        Dims (function, other): units in both over those of the first. Sets drawn at random share as
        much as the second set covers, which is the coordinate ``chance`` on other.

    Raises
    ------
    ParameterError
        If there is no mask, one is empty or not boolean, or their shapes differ.

    Examples
    --------
    >>> found = partition_overlap({"a": [True, True, False], "b": [False, True, False]})
    >>> found.values.tolist()
    [[1.0, 0.5], [1.0, 1.0]]
    """
    if not masks:
        raise ParameterError("partition_overlap: give at least one mask; got none.")
    rows = {str(name): np.asarray(mask) for name, mask in masks.items()}
    shape = next(iter(rows.values())).shape
    for name, row in rows.items():
        if row.dtype != bool or row.ndim != 1 or row.shape != shape or not row.any():
            raise ParameterError(
                f"partition_overlap: {name!r} must be a boolean mask of shape {shape} that holds a "
                f"unit; got {row.dtype} of shape {row.shape} with {np.count_nonzero(row)} units."
            )
    member = np.stack(list(rows.values())).astype(np.float64)
    shared = member @ member.T
    return xr.DataArray(
        shared / np.diag(shared)[:, np.newaxis],
        dims=("function", "other"),
        coords={
            "function": list(rows),
            "other": list(rows),
            "chance": ("other", member.mean(axis=1)),
        },
        name="overlap",
    )
