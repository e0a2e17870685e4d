"""A checked graph under one block model: scores of partitions, and their improvement."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from activome._checks import check_choice, check_finite
from activome.errors import ActivityError, ParameterError
from activome.graphs import _blockmodel_kernels as kernels

__all__ = ["Problem", "by_size"]

Array = np.ndarray[Any, Any]
_KINDS = {
    "exponential": kernels.EXPONENTIAL,
    "bernoulli": kernels.BERNOULLI,
    "poisson": kernels.POISSON,
}
_MAX_ROUNDS = 100
_GAIN = 1e-9
# In nats; 1 draws from the posterior itself, more crosses what parts its peaks.
_HEATS = (1.0, 2.0, 4.0)


class Problem:
    """A graph and a law of its weights.

    ``matrix`` holds the neighbours of each node; its weights are in units of ``unit``, their mean,
    where the law has a scale.
    """

    def __init__(
        self, adjacency: Any, weights: str, assortative: bool, corrected: bool, owner: str
    ) -> None:
        check_choice(weights, _KINDS, name="weights", owner=owner)
        if corrected and weights != "poisson":
            raise ParameterError(
                f"{owner}: degree_corrected needs weights='poisson'; got {weights!r}. Its "
                "likelihood has no closed form for the other laws."
            )
        self.kind, self.pooled = _KINDS[weights], bool(assortative)
        self.matrix = _read_adjacency(adjacency, weights, owner)
        self.n_nodes = n = self.matrix.shape[0]
        edges = self.matrix.data
        strength = np.asarray(self.matrix.sum(axis=0)).ravel()
        is_scaled = corrected and strength.any()
        self.size = strength / strength.mean() if is_scaled else np.ones(n)
        mean = float(edges.mean()) if edges.size else 1.0
        self.unit = mean if weights == "exponential" else 1.0
        # The prior mean of a rate of counts is that of the whole graph, per pair.
        self.scale = mean * max(edges.size, 1) / (n * (n - 1))
        # The density of weights in their own unit: one factor per edge, whatever the partition.
        self.constant = -0.5 * edges.size * float(np.log(self.unit))
        self.matrix.data /= self.unit
        largest = float(edges.sum()) / 2 if weights == "poisson" else 0.0
        self.factorials = kernels.factorials(n, largest)
        self.graph = (
            self.matrix.indptr.astype(np.int64), self.matrix.indices.astype(np.int64),
            self.matrix.data, self.size,
        )  # fmt: skip

    def _tally(self, labels: Array) -> Any:
        return kernels.tally(*self.graph, labels, int(labels.max()) + 1)

    def table(self, labels: Array) -> Array:
        """Return pairs, edges and weights between blocks, shape (3, n_blocks, n_blocks)."""
        return np.ascontiguousarray(np.moveaxis(self._tally(labels)[1], -1, 0))

    def score(self, labels: Array) -> float:
        """Return the log of the joint probability of graph and partition."""
        _, blocks, _, count = self._tally(labels)
        found = kernels.score(
            blocks, count, self.kind, self.scale, self.pooled, self.factorials
        )  # fmt: skip
        return float(found + self.constant)

    def improve(self, labels: Array, limit: int, generator: np.random.Generator) -> Array:
        """Move nodes and merge blocks until neither raises the score."""
        labels = labels.copy()
        for _ in range(_MAX_ROUNDS):
            moved = self._move(labels, limit, generator)
            merged = self._merge(labels, _GAIN)
            if not moved and not len(merged):
                break
        return labels

    def _move(
        self, labels: Array, limit: int, generator: np.random.Generator, heat: float = 0.0
    ) -> int:
        """Let every node choose its block in place: the best one, or by Gibbs' law at some heat."""
        capacity = min(int(labels.max()) + 2, limit)
        shape = (self.n_nodes, capacity)
        noise = heat * generator.gumbel(size=shape) if heat else np.zeros(shape)
        moved = kernels.move_nodes(
            *self.graph, labels, capacity, generator.permutation(self.n_nodes), noise, self.kind,
            self.scale, self.pooled, self.factorials,
        )  # fmt: skip
        return int(moved)

    def _merge(self, labels: Array, least: float) -> Array:
        """Merge blocks in place while that gains more than the least; return all partitions."""
        _, blocks, _, count = self._tally(labels)
        found: Array = kernels.merge_blocks(
            blocks, count, labels, self.kind, self.scale, self.pooled, least, self.factorials
        )
        return found

    def shake(
        self, labels: Array, patience: int, limit: int, generator: np.random.Generator
    ) -> Array:
        """Heat nodes or mix blocks, and improve, until that was in vain for some rounds."""
        top = self.score(labels)
        vain = k = 0
        while vain < patience and labels.max() > 0:
            if k % 2:
                mixed = _MIXES[k // 2 % len(_MIXES)](labels, limit, generator)
                trial = by_size(mixed)
            else:
                trial = labels.copy()
                self._move(trial, limit, generator, _HEATS[k // 2 % len(_HEATS)])
            trial = self.improve(trial, limit, generator)
            value = self.score(trial)
            vain, k = vain + 1, k + 1
            if value > top + _GAIN:
                labels, top, vain = trial, value, 0
        return labels

    def levels(self, labels: Array) -> list[Array]:
        """Return ever coarser partitions."""
        return [by_size(level) for level in self._merge(labels.copy(), -np.inf)]


def _mix(labels: Array, limit: int, generator: np.random.Generator) -> Array:
    """Deal the nodes of two blocks out to these two and a new one."""
    n_blocks = int(labels.max()) + 1
    names = generator.choice(n_blocks, 2, replace=False)
    trial, chosen = labels.copy(), np.isin(labels, names)
    names = np.append(names, n_blocks) if n_blocks < limit else names
    trial[chosen] = generator.choice(names, int(chosen.sum()))
    return trial


def _join_and_split(labels: Array, limit: int, generator: np.random.Generator) -> Array:
    """Put two blocks together and halve a third one at random, or the joint one."""
    n_blocks = int(labels.max()) + 1
    a, b = generator.choice(n_blocks, 2, replace=False)
    trial = np.where(labels == b, a, labels)
    halved = generator.choice(np.unique(trial))
    trial[(trial == halved) & (generator.random(labels.size) < 0.5)] = b
    return np.asarray(trial)


def _halve(labels: Array, limit: int, generator: np.random.Generator) -> Array:
    """Cut every block in two at random; moves sharpen the halves before they merge in new pairs."""
    n_blocks = int(labels.max()) + 1
    if 2 * n_blocks > limit:
        return _mix(labels, limit, generator)
    return np.asarray(labels + n_blocks * (generator.random(labels.size) < 0.5))


_MIXES = (_mix, _join_and_split, _halve)


def by_size(labels: Array) -> Array:
    """Return labels renamed so that 0 is the largest; equal ones by their first node."""
    _, first, codes, sizes = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.empty(sizes.size, dtype=np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(sizes.size)
    ordered: Array = rank[codes]
    return ordered


def _read_adjacency(adjacency: Any, weights: str, owner: str) -> Any:
    is_sparse = sparse.issparse(adjacency)
    given = adjacency if is_sparse else np.asarray(adjacency)
    if given.ndim != 2 or given.shape[0] != given.shape[1] or given.shape[0] < 3:
        raise ActivityError(
            f"{owner}: adjacency must be square with at least three nodes; got shape {given.shape}."
        )
    # A copy in any case: the diagonal is emptied and weights are scaled in place.
    matrix = sparse.csr_array(given, dtype=np.float64, copy=True)
    matrix.sum_duplicates()
    axes = ("entry",) if is_sparse else ("node", "node")
    check_finite(
        matrix.data if is_sparse else given, owner=owner, axes=axes, what="adjacency"
    )  # fmt: skip
    matrix.setdiag(0.0)
    matrix.eliminate_zeros()
    if (matrix.data < 0).any():
        i, j, value = _first(matrix, matrix.data < 0)
        raise ActivityError(
            f"{owner}: weights must not be negative; the one between nodes {i} and {j} is "
            f"{value:g}. Keep positive weights only, or fit the two signs apart."
        )
    difference = abs(matrix - matrix.T).tocsr()
    if difference.size and difference.max() > 1e-8 * max(matrix.max(), 1e-300):
        i, j, _ = _first(difference, difference.data == difference.max())
        raise ActivityError(
            f"{owner}: adjacency must be symmetric; nodes {i} and {j} have {matrix[i, j]:g} and "
            f"{matrix[j, i]:g}. Take the mean with its transpose."
        )
    if weights == "poisson" and (matrix.data != np.floor(matrix.data)).any():
        raise ActivityError(
            f"{owner}: weights must be whole counts for the Poisson law. Use 'exponential'."
        )
    even = ((matrix + matrix.T) / 2).tocsr()
    even.sort_indices()
    return even


def _first(matrix: Any, chosen: Array) -> tuple[int, int, float]:
    place = int(np.argmax(chosen))
    row = int(np.searchsorted(matrix.indptr, place, side="right")) - 1
    return row, int(matrix.indices[place]), float(matrix.data[place])
