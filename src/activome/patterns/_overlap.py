"""Kernels of the generalised Jaccard index: of rows with one vector, and between rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from activome._compile import kernel
from activome.errors import ActivityError

__all__ = [
    "distinct_rows",
    "is_sparse",
    "overlap_with",
    "refuse_negative",
    "row_sums",
    "signed_parts",
]

Array = np.ndarray[Any, Any]
_BLOCK_VALUES = 1 << 20


def is_sparse(codes: Any) -> bool:
    """Return whether codes are a sparse matrix or array."""
    return bool(sparse.issparse(codes))


def refuse_negative(codes: Any, owner: str) -> None:
    """Refuse codes for which the index has no meaning.

    Raises
    ------
    ActivityError
        If a value is negative.
    """
    stored: Any = codes.data if is_sparse(codes) else codes
    if stored.size and stored.min() < 0:
        n_below = int(np.count_nonzero(stored < 0))
        raise ActivityError(
            f"{owner}: codes must be at least 0 for the generalised Jaccard index. Negative values "
            f"in data: {n_below} of {stored.size}, down to {stored.min():.3g}. Use another metric, "
            "or codes such as those of SparseAutoencoder or SemiNMF."
        )


def overlap_with(codes: Any, vector: Array) -> tuple[Array, Array]:
    """Return the sum of the smaller values of each row and a vector, and the sum of each row."""
    if is_sparse(codes):
        smaller = np.minimum(codes.data, vector[codes.indices])
        return row_sums(codes, smaller), row_sums(codes, codes.data)
    step = max(1, _BLOCK_VALUES // max(1, codes.shape[1]))
    parts = [
        np.minimum(codes[i : i + step], vector).sum(axis=1) for i in range(0, len(codes), step)
    ]
    return np.concatenate(parts), codes.sum(axis=1, dtype=np.float64)


def row_sums(codes: Any, values: Array) -> Array:
    """Return the sums over rows of one number for each stored value of a CSR array."""
    rows = np.repeat(np.arange(codes.shape[0]), np.diff(codes.indptr))
    sums: Array = np.bincount(rows, values, codes.shape[0])
    return sums


def signed_parts(codes: Any) -> Any:
    """Return rows as CSR without a negative value: the positive parts, then the negative ones."""
    rows: Any = sparse.csr_array(codes, dtype=np.float64, copy=True)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    if rows.data.size and rows.data.min() < 0:
        lower = rows.indices + np.where(rows.data < 0, rows.shape[1], 0)
        shape = (rows.shape[0], 2 * rows.shape[1])
        rows = sparse.csr_array((np.abs(rows.data), lower, rows.indptr), shape=shape)
        rows.sort_indices()
    return rows


def distinct_rows(rows: Any, threshold: float, n_wanted: int) -> Array:
    """Return, for each row, the earlier row that is kept and that it repeats, or itself.

    Rows beyond the ``n_wanted`` first that repeat nothing are -1.
    """
    found = np.full(rows.shape[0], -1, dtype=np.int64)
    _walk(
        rows.data,
        rows.indices.astype(np.int64),
        rows.indptr.astype(np.int64),
        row_sums(rows, rows.data),
        threshold,
        n_wanted,
        np.full(rows.shape[1], -1, dtype=np.int64),
        found,
    )
    return found


@kernel()
def _walk(
    data: Array,
    columns: Array,
    starts: Array,
    totals: Array,
    threshold: float,
    n_wanted: int,
    head: Array,
    found: Array,
) -> None:
    """Meet each row with the kept rows that share a column, of which each column has a list."""
    n_rows = found.size
    next_entry = np.empty(data.size, dtype=np.int64)
    owner = np.empty(data.size, dtype=np.int64)
    value = np.empty(data.size)
    overlap = np.zeros(n_rows)
    met = np.empty(n_rows, dtype=np.int64)
    n_kept, n_entries, first_empty = 0, 0, -1
    for row in range(n_rows):
        if n_kept == n_wanted:
            return
        n_met = 0
        for at in range(starts[row], starts[row + 1]):
            entry = head[columns[at]]
            while entry >= 0:
                other = owner[entry]
                if overlap[other] == 0.0:
                    met[n_met] = other
                    n_met += 1
                overlap[other] += min(value[entry], data[at])
                entry = next_entry[entry]
        best, same = 0.0, -1
        for i in range(n_met):
            other = met[i]
            index = overlap[other] / (totals[row] + totals[other] - overlap[other])
            overlap[other] = 0.0
            # Of equal ones the first, in whatever order they were met.
            if index >= threshold and (index > best or (index == best and other < same)):
                best, same = index, other
        if totals[row] == 0.0:
            same = first_empty
        if same >= 0:
            found[row] = same
            continue
        if totals[row] == 0.0:
            first_empty = row
        found[row] = row
        n_kept += 1
        for at in range(starts[row], starts[row + 1]):
            owner[n_entries] = row
            value[n_entries] = data[at]
            next_entry[n_entries] = head[columns[at]]
            head[columns[at]] = n_entries
            n_entries += 1
