"""Weighted stochastic block model with the number of blocks chosen by description length."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans

from activome._checks import check_choice, check_finite, check_integer
from activome._random import RandomState, integer_seed, make_generator
from activome.errors import ActivityError, ParameterError
from activome.graphs import _blockmodel_kernels as kernels
from activome.graphs.communities import leiden_partition, signed_modularity_matrix

__all__ = ["WeightedBlockModel", "description_length"]

Array = np.ndarray[Any, Any]
_KINDS = {
    "exponential": kernels.EXPONENTIAL,
    "bernoulli": kernels.BERNOULLI,
    "poisson": kernels.POISSON,
}
_START_SIZES = (2, 3, 4, 5, 6, 8, 10)
_MAX_ROUNDS = 100


class WeightedBlockModel(BaseEstimator):
    """Group the nodes of a weighted graph into blocks that connect alike.

    An unordered pair in blocks r and s has an edge with probability ``p_rs ~ Beta(1, 1)`` and,
    given an edge, a weight ``~ Exponential(l_rs)`` with ``l_rs ~ Gamma(1, mean weight)``;
    probabilities and rates are integrated out, and so the number of blocks is chosen with the
    partition [1]_.
    Unlike modularity it finds one block where there is no structure, and blocks that avoid
    themselves as well as communities.

    Parameters
    ----------
    weights : {"exponential", "bernoulli", "poisson"}, default="exponential"
        Law of the weights; "bernoulli" ignores them; "poisson" is for counts, zero among them.
    assortative : bool, default=False
        One set of parameters for all pairs within blocks and one for all between: more power for
        communities, and less general.
    degree_corrected : bool, default=False
        Expect of each pair a count in proportion to the product of the nodes' strengths; for
        "poisson" only.
    max_blocks : int, optional
        Most blocks; by default the number of nodes.
    n_init : int, default=4
        Random starts of the k-means behind each spectral start.
    random_state : int, numpy.random.Generator or None, default=None
        Seed.

    Attributes
    ----------
    labels_ : ndarray of int64, shape (n_nodes,)
        Block of each node; block 0 is the largest.
    n_blocks_ : int
        Number of blocks.
    description_length_ : float
        Minus the log of the joint probability of graph and partition, in nats (for "exponential" a
        density, for "poisson" without the factorials of the counts).
    null_description_length_ : float
        The same for one block.
    levels_ : list of ndarray of int64, each (n_nodes,)
        Coarser partitions, by merging the two blocks that cost least again and again, to one.
    block_edges_ : ndarray of float64, shape (n_blocks, n_blocks)
        Share of pairs with an edge; 0 where a block has no pair.
    block_weight_ : ndarray of float64, shape (n_blocks, n_blocks)
        Mean weight of an edge; 0 where there is none.

    Raises
    ------
    ParameterError
        If a parameter is outside its range, or degree correction is asked for another law than
        Poisson.
    ActivityError
        If the adjacency is not square, symmetric, non-negative and finite with at least three
        nodes, or holds no whole counts where the law is Poisson.

    Notes
    -----
    Starts from k-means on the leading eigenvectors of weights and of edges, from Leiden's
    communities, and from one block; each is improved by moves of single nodes and by mergers until
    neither helps. The best is shaken and improved again, ``10 * n_init`` times over. Cost of a
    sweep is ``n_nodes * n_blocks**2`` and one read of the edges per move.
    Planted structure can be real and yet not worth its description; compare
    ``description_length`` of the truth with that found.

    References
    ----------
    .. [1] T. P. Peixoto, "Nonparametric weighted stochastic block models", 2018.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> block = np.repeat([0, 1], 15)
    >>> upper = np.triu(rng.random((30, 30)) < np.where(block[:, None] == block, 0.1, 0.7), 1)
    >>> model = WeightedBlockModel("bernoulli", random_state=0).fit((upper | upper.T).astype(float))
    >>> model.n_blocks_, np.bincount(model.labels_).tolist()
    (2, [15, 15])
    """

    def __init__(
        self,
        weights: str = "exponential",
        assortative: bool = False,
        *,
        degree_corrected: bool = False,
        max_blocks: int | None = None,
        n_init: int = 4,
        random_state: RandomState = None,
    ) -> None:
        self.weights = weights
        self.assortative = assortative
        self.degree_corrected = degree_corrected
        self.max_blocks = max_blocks
        self.n_init = n_init
        self.random_state = random_state

    def fit(self, adjacency: Any, y: Any = None) -> Self:
        """Find the blocks of a graph.

        Parameters
        ----------
        adjacency : array-like or sparse matrix of float, shape (n_nodes, n_nodes)
            Symmetric weights, zero for no edge; the diagonal is ignored.
        y : None
            Not used.

        Returns
        -------
        Self
            The fitted model.
        """
        owner = "WeightedBlockModel"
        check_integer(self.n_init, name="n_init", owner=owner, low=1)
        if self.max_blocks is not None:
            check_integer(self.max_blocks, name="max_blocks", owner=owner, low=1)
        problem = _Problem(adjacency, self.weights, self.assortative, self.degree_corrected, owner)
        n = len(problem.adjacency)
        limit = n if self.max_blocks is None else min(int(self.max_blocks), n)
        generator = make_generator(self.random_state)
        best = np.zeros(n, dtype=np.int64)
        top = problem.score(best)
        self.null_description_length_ = -top
        for start in self._starts(problem, limit, generator):
            labels = problem.improve(start, limit, generator)
            value = problem.score(labels)
            if value > top + 1e-9:
                best, top = labels, value
        best = problem.shake(best, 10 * int(self.n_init), limit, generator)
        top = problem.score(best)
        self.labels_ = _by_size(best)
        self.n_blocks_ = int(self.labels_.max()) + 1
        self.description_length_ = -top
        self.levels_ = problem.levels(self.labels_)
        pairs, edges, total = problem.table(self.labels_)
        self.block_edges_ = _share(edges, pairs)
        self.block_weight_ = _share(total, edges)
        return self

    def fit_predict(self, adjacency: Any, y: Any = None) -> Array:
        """Find the blocks of a graph and return them.

        Parameters
        ----------
        adjacency : array-like or sparse matrix of float, shape (n_nodes, n_nodes)
            As in ``fit``.
        y : None
            Not used.

        Returns
        -------
        ndarray of int64, shape (n_nodes,)
            ``labels_``.
        """
        return self.fit(adjacency).labels_

    def _starts(self, problem: _Problem, limit: int, generator: np.random.Generator) -> list[Array]:
        values, n = problem.adjacency, len(problem.adjacency)
        if not values.any():
            return []
        matrix, _ = signed_modularity_matrix(values)
        starts = [np.zeros(n, dtype=np.int64), leiden_partition(matrix, generator)]
        seed = integer_seed(generator)
        for view in (np.log1p(values / problem.scale), (values > 0).astype(np.float64)):
            size, vectors = np.linalg.eigh(view)
            order = np.argsort(-np.abs(size), kind="stable")
            for k in _START_SIZES:
                if k < n:
                    means = KMeans(k, n_init=int(self.n_init), random_state=seed)
                    points = vectors[:, order[:k]] * np.sqrt(np.abs(size[order[:k]]))
                    points = np.unique(np.round(points, 12), axis=0, return_inverse=True)
                    if len(points[0]) >= k:
                        starts.append(means.fit(points[0][points[1].ravel()]).labels_)
        return [np.asarray(s, dtype=np.int64) for s in starts if s.max() < limit]


def description_length(
    adjacency: Any,
    labels: ArrayLike,
    weights: str = "exponential",
    *,
    assortative: bool = False,
    degree_corrected: bool = False,
) -> float:
    """Return the description length of a graph under a given partition.

    Parameters
    ----------
    adjacency : array-like or sparse matrix of float, shape (n_nodes, n_nodes)
        Symmetric weights, zero for no edge; the diagonal is ignored.
    labels : array-like of int, shape (n_nodes,)
        Block of each node.
    weights : {"exponential", "bernoulli", "poisson"}, default="exponential"
        As in ``WeightedBlockModel``.
    assortative, degree_corrected : bool, default=False
        As in ``WeightedBlockModel``.

    Returns
    -------
    float
        In nats; smaller is better, and comparable between partitions of one graph and model.

    Raises
    ------
    ActivityError
        If the adjacency is not what ``WeightedBlockModel`` needs, or labels and nodes differ in
        number.
    ParameterError
        If an option is unknown or does not suit the others.

    Examples
    --------
    >>> import numpy as np
    >>> graph = np.kron(np.eye(2), np.ones((6, 6)))
    >>> split = description_length(graph, [0] * 6 + [1] * 6, "bernoulli")
    >>> split < description_length(graph, [0] * 12, "bernoulli")
    True
    """
    owner = "description_length"
    problem = _Problem(adjacency, weights, assortative, degree_corrected, owner)
    found = np.asarray(labels)
    if found.shape != (len(problem.adjacency),) or found.dtype.kind not in "iu":
        raise ActivityError(
            f"{owner}: labels must be integers, one per node ({len(problem.adjacency)}); got "
            f"{found.dtype} of shape {found.shape}."
        )
    return -problem.score(np.unique(found, return_inverse=True)[1].astype(np.int64))


class _Problem:
    """A checked graph under one model: scores of partitions, and their improvement."""

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
        self.adjacency = _read_adjacency(adjacency, weights, owner)
        edges = self.adjacency[self.adjacency > 0]
        n = len(self.adjacency)
        strength = self.adjacency.sum(axis=0)
        is_scaled = corrected and strength.any()
        self.size = strength / strength.mean() if is_scaled else np.ones(n)
        # The prior mean of a rate is that of the whole graph: per pair for counts, per edge else.
        n_scale = n * (n - 1) if weights == "poisson" else edges.size
        self.scale = float(edges.sum() / n_scale) if edges.size else 1.0

    def table(self, labels: Array) -> Any:
        return kernels.tally(self.adjacency, self.size, labels, int(labels.max()) + 1)[1]

    def score(self, labels: Array) -> float:
        found = kernels.tally(self.adjacency, self.size, labels, int(labels.max()) + 1)
        value = kernels.score(found[1], found[3], self.kind, self.scale, self.pooled)
        return float(value)

    def improve(self, labels: Array, limit: int, generator: np.random.Generator) -> Array:
        """Move nodes and merge blocks until neither raises the score."""
        labels = labels.copy()
        for _ in range(_MAX_ROUNDS):
            capacity = min(int(labels.max()) + 2, limit)
            order = generator.permutation(len(labels))
            moved = kernels.move_nodes(
                self.adjacency, self.size, labels, capacity, order, self.kind, self.scale,
                self.pooled,
            )  # fmt: skip
            labels = np.unique(labels, return_inverse=True)[1].astype(np.int64)
            merged = False
            while (gain := self._merge(labels))[0] > 1e-9:
                labels, merged = gain[1], True
            if not moved and not merged:
                break
        return labels

    def _merge(self, labels: Array) -> tuple[float, Array]:
        n_blocks = int(labels.max()) + 1
        if n_blocks == 1:
            return -np.inf, labels
        found = kernels.tally(self.adjacency, self.size, labels, n_blocks)
        a, b, gain = kernels.best_merge(found[1], found[3], self.kind, self.scale, self.pooled)
        merged = np.where(labels == b, a, labels)
        return float(gain), np.unique(merged, return_inverse=True)[1].astype(np.int64)

    def shake(
        self, labels: Array, n_rounds: int, limit: int, generator: np.random.Generator
    ) -> Array:
        """Mix two blocks, or scatter some nodes, and improve; keep what raises the score."""
        top = self.score(labels)
        for k in range(n_rounds):
            n_blocks = int(labels.max()) + 1
            if n_blocks == 1:
                break
            trial = labels.copy()
            if k % 2:
                names = generator.choice(n_blocks, 2, replace=False)
                chosen = np.isin(labels, names)
                names = np.append(names, n_blocks) if n_blocks < limit else names
            else:
                names, chosen = np.arange(n_blocks), generator.random(labels.size) < 0.15
            trial[chosen] = generator.choice(names, int(chosen.sum()))
            trial = np.unique(trial, return_inverse=True)[1].astype(np.int64)
            trial = self.improve(trial, limit, generator)
            value = self.score(trial)
            if value > top + 1e-9:
                labels, top = trial, value
        return labels

    def levels(self, labels: Array) -> list[Array]:
        """Return ever coarser partitions."""
        levels = []
        while labels.max() > 0:
            labels = _by_size(self._merge(labels)[1])
            levels.append(labels)
        return levels


def _read_adjacency(adjacency: Any, weights: str, owner: str) -> Array:
    is_sparse = sparse.issparse(adjacency)
    dense = sparse.csr_array(adjacency).toarray() if is_sparse else np.asarray(adjacency)
    if dense.ndim != 2 or dense.shape[0] != dense.shape[1] or len(dense) < 3:
        raise ActivityError(
            f"{owner}: adjacency must be square with at least three nodes; got shape {dense.shape}."
        )
    values = np.array(dense, dtype=np.float64)
    check_finite(values, owner=owner, axes=("node", "node"), what="adjacency")
    np.fill_diagonal(values, 0.0)
    bad = values < 0
    if bad.any():
        i, j = (int(k) for k in np.argwhere(bad)[0])
        raise ActivityError(
            f"{owner}: weights must not be negative; the one between nodes {i} and {j} is "
            f"{values[i, j]:g}. Keep positive weights only, or fit the two signs apart."
        )
    difference = np.abs(values - values.T)
    if difference.max() > 1e-8 * max(values.max(), 1e-300):
        i, j = (int(k) for k in np.unravel_index(int(difference.argmax()), difference.shape))
        raise ActivityError(
            f"{owner}: adjacency must be symmetric; nodes {i} and {j} have {values[i, j]:g} and "
            f"{values[j, i]:g}. Take the mean with its transpose."
        )
    if weights == "poisson" and (values != np.floor(values)).any():
        raise ActivityError(
            f"{owner}: weights must be whole counts for the Poisson law. Use 'exponential'."
        )
    return np.ascontiguousarray((values + values.T) / 2)


def _by_size(labels: Array) -> Array:
    _, first, codes, sizes = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.empty(sizes.size, dtype=np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(sizes.size)
    ordered: Array = rank[codes]
    return ordered


def _share(part: Array, whole: Array) -> Array:
    return np.asarray(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0))
