"""Rows of zeros and ones as every method that takes sparse patterns accepts them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy import sparse

from activome._checks import check_finite
from activome.activity.schema import ensure
from activome.errors import ActivityError

__all__ = ["check_same_units", "read_binary_rows"]

Array = np.ndarray[Any, Any]


def read_binary_rows(X: Any, owner: str) -> tuple[Any, Array | None]:
    """Return binary rows as a sparse matrix of int32, and the names of the cells."""
    names = None
    if isinstance(X, xr.DataArray):
        activity = ensure(X, owner=owner)
        if activity.ndim != 2 or activity.dims[1] != "unit":
            raise ActivityError(
                f"{owner}: patterns must have trials (or times) and units; got dims "
                f"{activity.dims}."
            )
        names = np.asarray(activity["unit"].values) if "unit" in activity.coords else None
        X = activity.values
    is_sparse: bool = sparse.issparse(X)
    values: Any = X.tocsr(copy=True) if is_sparse else _as_array(X, owner)
    if is_sparse:
        # An entry that is stored twice is their sum, which is no zero or one.
        values.sum_duplicates()
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise ActivityError(
            f"{owner}: patterns must be zeros and ones of shape (n_patterns, n_cells); got "
            f"{values.dtype} of shape {values.shape}."
        )
    stored: Any = values.data if is_sparse else values
    check_finite(stored, owner=owner, axes=("entry",) * stored.ndim, what="patterns")
    if not np.isin(stored, (0, 1)).all():
        raise ActivityError(
            f"{owner}: patterns must be zeros and ones; they hold {stored.min():g} to "
            f"{stored.max():g}. Set a threshold first."
        )
    rows: Any = sparse.csr_array(values).astype(np.int32)
    rows.eliminate_zeros()
    return rows, names


def check_same_units(known: Array | None, names: Array | None, owner: str) -> None:
    """Refuse other units than in fit, where both are named."""
    if known is not None and names is not None and not np.array_equal(known, names):
        raise ActivityError(
            f"{owner}: units must be those of fit, in their order. Use activity.sel(unit=...)."
        )


def _as_array(X: Any, owner: str) -> Array:
    try:
        return np.asarray(X)
    except ValueError:
        raise ActivityError(
            f"{owner}: patterns must be rows of zeros and ones of one length; rows differ. Write "
            "lists of active cells as such rows, or as a sparse array."
        ) from None
