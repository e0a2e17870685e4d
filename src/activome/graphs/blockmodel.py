"""Weighted stochastic block model with the number of blocks chosen by description length."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from activome._checks import check_integer
from activome._random import RandomState, make_generator
from activome.errors import ActivityError
from activome.graphs._blockmodel_search import Problem, by_size
from activome.graphs._blockmodel_starts import start_partitions

__all__ = ["WeightedBlockModel", "description_length"]

Array = np.ndarray[Any, Any]
_PATIENCE = 25


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
        Effort: the search ends when ``25 * n_init`` rounds of shaking in a row were in vain.
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
    neither helps. The best is shaken (nodes drawn by Gibbs' law, blocks mixed, joined, halved) and
    improved again and again. A sweep costs ``n_nodes * n_blocks**2`` and one read of the edges; a
    sparse matrix is never made dense.
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
        problem = Problem(adjacency, self.weights, self.assortative, self.degree_corrected, owner)
        n = problem.n_nodes
        limit = n if self.max_blocks is None else min(int(self.max_blocks), n)
        generator = make_generator(self.random_state)
        best = np.zeros(n, dtype=np.int64)
        top = problem.score(best)
        self.null_description_length_ = -top
        for start in start_partitions(problem.matrix, limit, generator):
            labels = problem.improve(start, limit, generator)
            value = problem.score(labels)
            if value > top + 1e-9:
                best, top = labels, value
        best = problem.shake(best, _PATIENCE * int(self.n_init), limit, generator)
        top = problem.score(best)
        self.labels_ = by_size(best)
        self.n_blocks_ = int(self.labels_.max()) + 1
        self.description_length_ = -top
        self.levels_ = problem.levels(self.labels_)
        pairs, edges, total = problem.table(self.labels_)
        self.block_edges_ = _share(edges, pairs)
        self.block_weight_ = _share(total, edges) * problem.unit
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
    problem = Problem(adjacency, weights, assortative, degree_corrected, owner)
    found = np.asarray(labels)
    if found.shape != (problem.n_nodes,) or found.dtype.kind not in "iu":
        raise ActivityError(
            f"{owner}: labels must be integers, one per node ({problem.n_nodes}); got "
            f"{found.dtype} of shape {found.shape}."
        )
    return -problem.score(np.unique(found, return_inverse=True)[1].astype(np.int64))


def _share(part: Array, whole: Array) -> Array:
    return np.asarray(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0))
