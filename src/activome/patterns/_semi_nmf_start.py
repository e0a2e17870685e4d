"""Starts of a semi-nonnegative factorisation: first coefficients, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg, sparse
from sklearn.cluster import KMeans
from sklearn.utils.extmath import randomized_svd

__all__ = ["START_ROWS", "learn_start", "start_coef", "start_rows"]

Array = np.ndarray[Any, Any]
Matrix = Any

_FLOOR = 1e-6
_FEW_UNITS = 400
# Most steps of the rotation; it need only be near, as it is a start.
_TURNS = 30
# Starting features are learned on at most this many rows, the same ones in memory and in blocks.
START_ROWS = 10_000


def start_rows(values: Matrix, seed: int) -> Matrix:
    """Return the rows that a start looks at: those that ``BlockSource.sample`` draws."""
    n_rows = values.shape[0]
    if n_rows <= START_ROWS:
        return values
    chosen = np.random.default_rng(seed).choice(n_rows, size=START_ROWS, replace=False)
    return values[np.sort(chosen)]


def learn_start(rows: Matrix, n_components: int, init: str, seed: int) -> Array | None:
    """Return the directions that a start is made from, shape (d, K); None for random starts."""
    if init == "random":
        return None
    if init == "kmeans":
        fitted = KMeans(n_components, n_init=1, random_state=seed).fit(rows)
        return np.asarray(fitted.cluster_centers_, dtype=np.float64).T
    left, size, right = _leading(rows, n_components, seed)
    if init == "varimax":
        left, right, size = _turned(left, size, right)
    # The sign is free; the half with more energy is the half that is kept.
    up, down = (np.maximum(side, 0) for side in (left, -left))
    sign = np.where((up**2).sum(axis=0) >= (down**2).sum(axis=0), 1.0, -1.0)
    size = np.where(size > size.max(initial=0.0) * 1e-12, size, np.inf)
    return np.asarray(right.T * sign / size * np.sqrt(rows.shape[0]), dtype=np.float64)


def _leading(rows: Matrix, n_components: int, seed: int) -> tuple[Array, Array, Array]:
    """Return the leading singular vectors and values; for few units by their Gram matrix."""
    if rows.shape[1] > _FEW_UNITS or rows.shape[1] > rows.shape[0]:
        found: tuple[Array, Array, Array] = randomized_svd(rows, n_components, random_state=seed)
        return found
    product: Any = rows.T @ rows
    is_sparse: bool = sparse.issparse(product)
    gram = np.asarray(product.toarray() if is_sparse else product)
    n_units = gram.shape[0]
    energy, vectors = linalg.eigh(
        gram.astype(np.float64), subset_by_index=(n_units - n_components, n_units - 1)
    )
    right, size = vectors[:, ::-1], np.sqrt(np.maximum(energy[::-1], 0.0))
    projected = np.asarray(rows @ right)
    return projected / np.where(size > 0, size, 1.0), size, right.T


def _turned(left: Array, size: Array, right: Array) -> tuple[Array, Array, Array]:
    """Rotate singular vectors within their span until each is large in few rows.

    The directions come back divided by their singular values, so that all count as of size 1.
    """
    is_used = size > size.max(initial=0.0) * 1e-12
    scores = left[:, is_used].astype(np.float64) * np.sqrt(left.shape[0])
    turn = _varimax(scores)
    # Rows times these give the rotated scores.
    found = turn.T @ (right[is_used] / size[is_used, np.newaxis])
    n_spare = int(np.count_nonzero(~is_used))
    return (
        np.pad(scores @ turn, ((0, 0), (0, n_spare))),
        np.pad(found, ((0, n_spare), (0, 0))),
        np.ones(size.size),
    )


def _varimax(scores: Array) -> Array:
    """Return the rotation (K, K) that spreads the squares of the columns of scores most."""
    turn, reached = np.eye(scores.shape[1]), 0.0
    for _ in range(_TURNS):
        turned = scores @ turn
        square = turned * turned
        pull = scores.T @ (turned * (square - square.mean(axis=0)))
        before, gain, after = linalg.svd(pull, check_finite=False)
        turn = before @ after
        if gain.sum() <= reached * (1 + 1e-5):
            break
        reached = gain.sum()
    return np.asarray(turn)


def start_coef(
    values: Matrix, n_components: int, directions: Array | None, init: str, seed: int, offset: int
) -> Array:
    """Return the first coefficients of rows ``offset, offset + 1, ...``, shape (n, K)."""
    shape = (values.shape[0], n_components)
    if directions is None:
        # One stream, indexed by row: the same numbers however the rows are cut into blocks.
        stream = np.random.PCG64(seed)
        stream.advance(offset * n_components)
        coef = np.maximum(np.random.Generator(stream).random(shape), _FLOOR)
    elif init == "kmeans":
        distance = (directions**2).sum(axis=0) - 2 * np.asarray(values @ directions)
        coef = np.full(shape, _FLOOR)
        coef[np.arange(shape[0]), distance.argmin(axis=1)] += 1.0
    else:
        coef = np.maximum(np.asarray(values @ directions), _FLOOR)
    return coef.astype(values.dtype)
