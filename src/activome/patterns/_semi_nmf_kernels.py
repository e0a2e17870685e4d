"""Arithmetic of semi-nonnegative factorisation on plain arrays: sweeps, solves and codes.

Rows are samples: ``X (n, d) ~ G (n, K) F (d, K)'`` with ``G >= 0``. One sweep reads the data once:
it updates G under the present features and gathers the sums from which the next features follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg, sparse

from activome._compile import kernel

__all__ = [
    "Plan",
    "Sums",
    "add_sums",
    "dense_rows",
    "gather",
    "keep_largest",
    "n_kept",
    "row_steps",
    "solve_features",
    "sweep",
    "unit_energy",
]

Array = np.ndarray[Any, Any]
Matrix = Any

# A step's slice of the data is used twice: it stays in the last-level cache in between.
_STEP_BYTES = 3_000_000


@dataclass(frozen=True)
class Plan:
    """What one sweep is done with.

    Attributes
    ----------
    features : ndarray, shape (d, K)
        Features, times the length of their old coefficients.
    inverse_scale : ndarray, shape (K,)
        Divides the stored coefficients to unit length; applied on the fly.
    is_fresh : ndarray of bool, shape (K,)
        Components whose feature was just reseeded: their coefficients start from the residual.
    n_worst : int
        How many badly reconstructed rows to bring home, for reseeding.
    is_exact : bool
        Whether to measure the loss on residuals rather than by the Gram identity.
    is_last : bool
        Whether no sweep follows: the product is then not gathered.
    eps : float
        Added to the denominator of the update.
    """

    features: Array
    inverse_scale: Array
    is_fresh: Array
    n_worst: int
    is_exact: bool
    is_last: bool
    eps: float


@dataclass(frozen=True)
class Sums:
    """What a sweep gathers over samples; sums of two sets of rows add up.

    Attributes
    ----------
    gram : ndarray of float64, shape (K, K)
        G'G.
    product : ndarray of float64, shape (d, K)
        X'G.
    cross : float
        Sum of X * (G F').
    residual : float
        Sum of squares of X - G F', where it was asked for.
    worst_error : ndarray of float64, shape (n_worst,)
        Squared residuals of the worst rows, largest first.
    worst_rows : ndarray, shape (n_worst, d)
        Their residuals.
    """

    gram: Array
    product: Array
    cross: float
    residual: float
    worst_error: Array
    worst_rows: Array


def add_sums(a: Sums, b: Sums) -> Sums:
    """Return the sums over two sets of rows."""
    n_worst = max(a.worst_error.size, b.worst_error.size)
    worst = (a.worst_error, a.worst_rows), (b.worst_error, b.worst_rows)
    return Sums(
        a.gram + b.gram,
        a.product + b.product,
        a.cross + b.cross,
        a.residual + b.residual,
        *_join_worst(*worst, n_worst),
    )


@kernel()
def _multiply(
    coef: Array, inverse_scale: Array, target: Array, pulls: Array, eps: float, out: Array
) -> None:
    """Multiplicative update in one pass: pulls hold G Q- (left half) and G Q+ (right half)."""
    n_rows, n_components = coef.shape
    zero = coef.dtype.type(0)
    for i in range(n_rows):
        for k in range(n_components):
            p = target[i, k]
            up = max(p, zero) + pulls[i, k]
            down = max(-p, zero) + pulls[i, n_components + k] + eps
            # `up / down` would look for a zero at every step, and so not be vectorised.
            out[i, k] = coef[i, k] * inverse_scale[k] * np.sqrt(np.divide(up, down))


def row_steps(values: Matrix) -> list[slice]:
    """Return slices of rows that fit the cache."""
    n_rows, n_units = values.shape
    if sparse.issparse(values):
        return [slice(0, n_rows)]
    step = max(64, _STEP_BYTES // max(1, n_units * values.dtype.itemsize))
    return [slice(i, min(i + step, n_rows)) for i in range(0, n_rows, step)]


def unit_energy(values: Matrix) -> Array:
    """Return the sum of squares of each unit, shape (d,), in float64."""
    is_sparse: bool = sparse.issparse(values)
    if is_sparse:
        squares: Any = values.astype(np.float64).power(2)
        return np.asarray(squares.sum(axis=0)).ravel()
    total = np.zeros(values.shape[1])
    with np.errstate(over="ignore"):
        for rows in row_steps(values):
            total += np.einsum("ij,ij->j", values[rows], values[rows])
        if values.dtype == np.float32 and (total < np.finfo(np.float32).tiny).any():
            # What is too small to be squared in this type is not silent.
            total = np.einsum("ij,ij->j", values, values, dtype=np.float64)
    return total


def sweep(values: Matrix, coef: Array, plan: Plan, out: Array) -> Sums:
    """Update the coefficients of some rows under fixed features, and gather the sums.

    Parameters
    ----------
    values : ndarray or CSR matrix, shape (n, d)
        Rows.
    coef : ndarray, shape (n, K)
        Their coefficients before.
    plan : Plan
        Features and what to gather.
    out : ndarray, shape (n, K)
        Takes the coefficients after.

    Returns
    -------
    Sums
        Under the new coefficients.
    """
    features = np.ascontiguousarray(plan.features, dtype=values.dtype)
    n_components = features.shape[1]
    square = features.T @ features
    halves = np.hstack([np.maximum(-square, 0), np.maximum(square, 0)])
    inverse = plan.inverse_scale.astype(values.dtype)
    ones = np.ones_like(inverse)
    eps = values.dtype.type(plan.eps)
    gram = np.zeros((n_components, n_components))
    product = np.zeros((values.shape[1], n_components))
    cross = residual = 0.0
    worst = _no_worst(values)
    scaled_halves = inverse[:, np.newaxis] * halves
    for rows in row_steps(values):
        block, new = values[rows], out[rows]
        target = block @ features
        old, scale, pull = coef[rows], inverse, scaled_halves
        if plan.is_fresh.any():
            old = _refresh(old * inverse, target, square, plan.is_fresh)
            scale, pull = ones, halves
        _multiply(old, scale, target, old @ pull, eps, new)
        gram += new.T @ new
        if not plan.is_last:
            product += block.T @ new
        cross += float(np.vdot(target, new))
        if plan.is_exact or plan.n_worst:
            error, found = _residuals(block, new, features, plan.n_worst)
            residual += error
            worst = _join_worst(worst, found, plan.n_worst)
    return Sums(gram, product, cross, residual, *worst)


def gather(values: Matrix, coef: Array) -> Sums:
    """Gather the sums of given coefficients, without an update."""
    gram = np.zeros((coef.shape[1], coef.shape[1]))
    product = np.zeros((values.shape[1], coef.shape[1]))
    for rows in row_steps(values):
        gram += coef[rows].T @ coef[rows]
        product += values[rows].T @ coef[rows]
    return Sums(gram, product, 0.0, 0.0, *_no_worst(values))


def _no_worst(values: Matrix) -> tuple[Array, Array]:
    return np.zeros(0), np.zeros((0, values.shape[1]), dtype=values.dtype)


def _refresh(coef: Array, target: Array, square: Array, is_fresh: Array) -> Array:
    """Give reseeded components the best coefficients that the others leave to them."""
    coef[:, is_fresh] = 0
    for k in np.flatnonzero(is_fresh):
        if square[k, k] > 0:
            coef[:, k] = np.maximum(target[:, k] - coef @ square[:, k], 0) / square[k, k]
    return coef


def dense_rows(block: Matrix) -> Array:
    """Return rows as a plain array."""
    is_sparse: bool = sparse.issparse(block)
    return np.asarray(block.toarray() if is_sparse else block)


def _residuals(
    block: Matrix, coef: Array, features: Array, n_worst: int
) -> tuple[float, tuple[Array, Array]]:
    left = dense_rows(block) - coef @ features.T
    error = np.einsum("ij,ij->i", left, left).astype(np.float64)
    top = np.argsort(-error, kind="stable")[:n_worst]
    return float(error.sum()), (error[top], left[top])


def _join_worst(
    a: tuple[Array, Array], b: tuple[Array, Array], n_worst: int
) -> tuple[Array, Array]:
    error, rows = np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]])
    # Of equal rows one is enough: two components that start from them would stay the same.
    _, first = np.unique(-error, return_index=True)
    return error[first[:n_worst]], rows[first[:n_worst]]


def solve_features(sums: Sums, reg: float, n_keep: int) -> tuple[Array, Array]:
    """Solve for the features, keep their largest entries, and carry the scale over to them.

    Parameters
    ----------
    sums : Sums
        Sums under the present coefficients.
    reg : float
        Ridge, against coefficients of unit length.
    n_keep : int
        Entries to keep per feature.

    Returns
    -------
    features : ndarray of float64, shape (d, K)
        For coefficients of unit length; zero for dead components.
    length : ndarray of float64, shape (K,)
        Present length of the coefficients; 0 marks a dead component.
    """
    length = np.sqrt(np.diag(sums.gram))
    # Coefficients had unit length before the update: what is left of a dead one is rounding.
    alive = length > 1e-12 * length.max(initial=0.0)
    unit, gram, right = length, sums.gram, sums.product
    if not alive.all():
        unit, gram, right = length[alive], sums.gram[np.ix_(alive, alive)], sums.product[:, alive]
    # Solved for coefficients of unit length: those of a rare part are not regularised away.
    solved = _solve(gram / (unit * unit[:, np.newaxis]), right / unit, reg) if unit.size else right
    if alive.all():
        return keep_largest(solved, n_keep), length
    features = np.zeros_like(sums.product)
    features[:, alive] = solved
    return keep_largest(features, n_keep), np.where(alive, length, 0.0)


def _solve(gram: Array, right: Array, reg: float) -> Array:
    """Return ``right (gram + reg I)^-1``; LAPACK directly, since small fits are all overhead."""
    gram.flat[:: gram.shape[0] + 1] += reg
    _, solved, info = linalg.lapack.dposv(gram, right.T)
    if info:
        # Without a ridge, equal components leave the solve singular: the shortest answer is taken.
        solved = linalg.lstsq(gram, right.T, check_finite=False)[0]
    return np.ascontiguousarray(np.asarray(solved).T)


def n_kept(keep: float, n_units: int) -> int:
    """Return ``ceil(keep * n_units)``, without the round-up that 0.07 * 100 > 7 would give."""
    return max(1, int(np.ceil(keep * n_units - 1e-9)))


def keep_largest(features: Array, n_keep: int) -> Array:
    """Keep the ``n_keep`` largest entries of each column, exactly so many on ties, in place."""
    n_units, n_components = features.shape
    if n_keep < n_units:
        drop = np.abs(features).argpartition(n_units - n_keep, axis=0)[: n_units - n_keep]
        features[drop, np.arange(n_components)] = 0.0
    return features
