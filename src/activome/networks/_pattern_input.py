"""Reading of binary patterns, labelled or plain."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from activome._checks import check_finite
from activome.activity.schema import ensure
from activome.errors import ActivityError

__all__ = ["read_patterns"]

Array = np.ndarray[Any, Any]


def read_patterns(X: Any, owner: str) -> Array:
    """Return patterns as bool, (n_patterns, n_lines)."""
    if isinstance(X, xr.DataArray):
        activity = ensure(X, owner=owner)
        if activity.dims != ("trial", "unit"):
            raise ActivityError(
                f"{owner}: patterns must have trials and units; got dims {activity.dims}."
            )
        X = activity.values
    values = np.asarray(X)
    if values.ndim != 2 or values.dtype.kind not in "biuf" or not values.shape[1]:
        raise ActivityError(
            f"{owner}: patterns must be zeros and ones of shape (n_patterns, n_lines); got "
            f"{values.dtype} of shape {values.shape}."
        )
    check_finite(values, owner=owner, axes=("row", "line"), what="patterns", cure="Drop the row.")
    if not np.isin(values, (0, 1)).all():
        raise ActivityError(
            f"{owner}: patterns must be zeros and ones; they hold {values.min():g} to "
            f"{values.max():g}. Set a threshold first."
        )
    return values.astype(bool)
