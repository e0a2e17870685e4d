"""Partitions from which the search of a block model starts."""

from __future__ import annotations

import random
import warnings
from typing import Any

import igraph
import numpy as np
from scipy import sparse
from scipy.cluster.vq import kmeans2

__all__ = ["start_partitions"]

Array = np.ndarray[Any, Any]
_SIZES = (2, 3, 4, 5, 6, 8, 10)
_DENSE = 200


def start_partitions(matrix: Any, limit: int, generator: np.random.Generator) -> list[Array]:
    """Return one block, Leiden's communities, and k-means on eigenvectors of weights and edges."""
    n = matrix.shape[0]
    if not matrix.nnz:
        return []
    starts = [np.zeros(n, dtype=np.int64), _leiden(matrix, generator)]
    damped, binary = matrix.copy(), matrix.copy()
    damped.data = np.log1p(matrix.data / matrix.data.mean())
    binary.data = np.ones_like(matrix.data)
    for view in (damped, binary):
        size, vectors = _leading(view, generator)
        points = vectors * np.sqrt(size)
        sizes = [k for k in _SIZES if k < n]
        starts += [_kmeans(points[:, :k], k, generator) for k in sizes]
    return [start for start in starts if start.max() < limit]


def _leiden(matrix: Any, generator: np.random.Generator) -> Array:
    """Maximise the modularity of a graph by its edges, without the pairs that have none."""
    upper = sparse.triu(matrix, 1).tocoo()
    edges = np.column_stack(upper.coords)
    graph = igraph.Graph(n=matrix.shape[0], edges=edges)
    igraph.set_random_number_generator(random.Random(int(generator.integers(2**31))))
    try:
        found = graph.community_leiden(
            objective_function="modularity", weights=upper.data.tolist(), n_iterations=2
        )
    finally:
        igraph.set_random_number_generator(random)
    return np.asarray(found.membership, dtype=np.int64)


def _leading(matrix: Any, generator: np.random.Generator) -> tuple[Array, Array]:
    """Return the eigenvalues of largest size, without their sign, and the eigenvectors."""
    n, most = matrix.shape[0], max(_SIZES)
    if n <= _DENSE:
        size, vectors = np.linalg.eigh(matrix.toarray())
    else:
        start = generator.standard_normal(n)
        try:
            # A start of the search needs no more digits than this.
            size, vectors = sparse.linalg.eigsh(matrix, most, v0=start, tol=1e-3)
        except sparse.linalg.ArpackNoConvergence:
            size, vectors = np.linalg.eigh(matrix.toarray())
    order = np.argsort(-np.abs(size), kind="stable")[:most]
    return np.abs(size[order]), vectors[:, order]


def _kmeans(points: Array, k: int, generator: np.random.Generator) -> Array:
    """Return clusters; one where there are not enough different points."""
    distinct, place = np.unique(np.round(points, 12), axis=0, return_inverse=True)
    if len(distinct) < k:
        return np.zeros(len(points), dtype=np.int64)
    with warnings.catch_warnings():
        # A cluster that runs empty is one block less, and no harm to a start.
        warnings.simplefilter("ignore", UserWarning)
        _, labels = kmeans2(distinct, k, iter=20, minit="++", rng=generator)
    return np.unique(labels[place.ravel()], return_inverse=True)[1].astype(np.int64)
