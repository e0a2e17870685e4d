"""Sweeps of hierarchical alternating least squares for tensors of two to four modes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from activome._compile import kernel

__all__ = ["Sweeper", "khatri_rao", "reconstruct", "split_modes"]

Array = np.ndarray[Any, Any]
_INNER = 4
# Multiplications of one call: up to a million the library multiplies in place, without packing the
# operands first, which for a handful of columns costs more than the product itself.
_AT_ONCE, _ROWS_AT_ONCE = 900_000, 256


def khatri_rao(factors: list[Array]) -> Array:
    """Return the column-wise Kronecker product, the first mode slowest."""
    product = factors[0]
    for factor in factors[1:]:
        product = (product[:, np.newaxis, :] * factor).reshape(-1, factor.shape[1])
    return product


def reconstruct(factors: list[Array], weights: Array | None = None) -> Array:
    """Return the tensor that factors stand for."""
    first = factors[0] if weights is None else factors[0] * weights
    shape = [len(factor) for factor in factors]
    return np.asarray((first @ khatri_rao(factors[1:]).T).reshape(shape))


def split_modes(shape: tuple[int, ...]) -> int:
    """Return where to fold a tensor to a matrix so that its longer side is the shortest."""
    sides = [max(math.prod(shape[:h]), math.prod(shape[h:])) for h in range(1, len(shape))]
    return 1 + int(np.argmin(sides))


def thin_product(matrix: Array, thin: Array, *, is_left: bool) -> Array:
    """Return ``matrix @ thin``, or ``matrix.T @ thin``, for a thin matrix of few columns."""
    thin = np.ascontiguousarray(thin, dtype=matrix.dtype)
    (n_rows, n_columns), rank = matrix.shape, thin.shape[1]
    height = min(n_rows, _ROWS_AT_ONCE)
    width = max(8, _AT_ONCE // (height * rank))
    out = np.zeros((n_columns, rank) if is_left else (n_rows, rank))
    for top in range(0, n_rows, height):
        rows = slice(top, top + height)
        for left in range(0, n_columns, width):
            columns = slice(left, left + width)
            if is_left:
                out[columns] += (thin[rows].T @ matrix[rows, columns]).T
            else:
                out[rows] += matrix[rows, columns] @ thin[columns]
    return out


@kernel()
def update_columns(factor: Array, product: Array, gram: Array, penalty: float, n: int) -> None:
    """Make each column in turn the best non-negative one, ``n`` times over."""
    n_rows, rank = factor.shape
    for _ in range(n):
        for r in range(rank):
            if gram[r, r] <= 0.0:
                continue
            for i in range(n_rows):
                value = product[i, r] - penalty
                for s in range(rank):
                    value -= factor[i, s] * gram[s, r]
                factor[i, r] = max(0.0, factor[i, r] + value / gram[r, r])


@kernel()
def fill_missing(
    matrix: Array, rows: Array, columns: Array, left: Array, right: Array, write: bool
) -> float:
    """Return the squared difference at missing entries, and put the reconstruction there."""
    total = 0.0
    for k in range(rows.size):
        value = 0.0
        for r in range(left.shape[1]):
            value += left[rows[k], r] * right[columns[k], r]
        difference = matrix[rows[k], columns[k]] - value
        total += difference * difference
        if write:
            matrix[rows[k], columns[k]] = value
    return total


class Sweeper:
    """A tensor folded to a matrix, and sweeps over the modes of its factors.

    The two sides of the matrix need one product with the data each; the modes within a side share
    it. Missing entries hold the reconstruction of the moment, renewed before each of the two.
    """

    def __init__(self, values: Array, is_known: Array | None, penalty: float) -> None:
        self.shape, self.penalty = values.shape, penalty
        self.split = split_modes(values.shape)
        n_rows = math.prod(values.shape[: self.split])
        self.matrix = np.ascontiguousarray(values).reshape(n_rows, -1)
        self.rows = self.columns = np.empty(0, dtype=np.int64)
        if is_known is not None and not is_known.all():
            self.rows, self.columns = np.nonzero(~is_known.reshape(self.matrix.shape))
            self.matrix = self.matrix.copy()
            self.matrix[self.rows, self.columns] = 0.0
        self.total = _squares(self.matrix)

    def sweep(self, factors: list[Array]) -> float:
        """Update every mode once; return half the squared error on observed entries, penalised."""
        h = self.split
        if self.rows.size:
            self._fill(factors)
        self._side(factors, factors[h:], 0)
        if self.rows.size:
            self._fill(factors)
        product, gram = self._side(factors, factors[:h], h)
        cross = float(np.sum(product * factors[-1]))
        whole = float(np.sum(gram * (factors[-1].T @ factors[-1])))
        total = _squares(self.matrix) if self.rows.size else self.total
        error = total - 2.0 * cross + whole
        if self.rows.size:
            sides = khatri_rao(factors[:h]), khatri_rao(factors[h:])
            error -= fill_missing(self.matrix, self.rows, self.columns, *sides, False)
        sums = sum(float(factor.sum()) for factor in factors) if self.penalty else 0.0
        return 0.5 * max(error, 0.0) + self.penalty * sums

    def _fill(self, factors: list[Array]) -> None:
        sides = khatri_rao(factors[: self.split]), khatri_rao(factors[self.split :])
        fill_missing(self.matrix, self.rows, self.columns, *sides, True)

    def _side(self, factors: list[Array], others: list[Array], first: int) -> tuple[Array, Array]:
        """Update the modes of one side; return product and Gram matrix of the last one."""
        mine = factors[: self.split] if first == 0 else factors[first:]
        product = thin_product(self.matrix, khatri_rao(others), is_left=first > 0)
        folded = product.reshape(*(len(f) for f in mine), -1)
        outer = np.ones((folded.shape[-1],) * 2)
        for other in others:
            outer = outer * (other.T @ other)
        product, gram = folded, outer
        for k, factor in enumerate(mine):
            product, gram = _contract(folded, mine, k), outer.copy()
            for j, other in enumerate(mine):
                if j != k:
                    gram *= other.T @ other
            update_columns(factor, product, gram, self.penalty, _INNER)
        return product, gram


def _contract(folded: Array, factors: list[Array], keep: int) -> Array:
    """Sum over all modes but one, weighed by their factors."""
    letters = "abcd"[: len(factors)]
    others = [(letters[j] + "r", f) for j, f in enumerate(factors) if j != keep]
    if not others:
        return np.ascontiguousarray(folded)
    inputs = ",".join([letters + "r", *(name for name, _ in others)])
    path = f"{inputs}->{letters[keep]}r"
    return np.ascontiguousarray(np.einsum(path, folded, *(f for _, f in others), optimize=False))


def _squares(matrix: Array) -> float:
    flat = matrix.reshape(-1)
    if flat.dtype == np.float64:
        return float(flat @ flat)
    blocks = (flat[k : k + 65536].astype(np.float64) for k in range(0, flat.size, 65536))
    return sum(float(block @ block) for block in blocks)
