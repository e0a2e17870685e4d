"""Values that an edit gives, brought to the form of the site."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr

from activome.errors import ParameterError
from activome.interventions._hooks import Context

__all__ = ["fit", "values_of"]


def fit(new: Any, value: Any, context: Context, owner: str) -> Any:
    """Return ``new`` in dtype, place and shape of a site, refusing what does not broadcast."""
    found = torch.as_tensor(new, dtype=value.dtype, device=value.device)
    if found.shape == value.shape:
        return found
    if found.ndim and found.numel() == value.numel():
        # Heads flat, as recorded.
        found = found.reshape(value.shape)
    is_flat = found.ndim == 1 and value.ndim == 4 and context.site.heads is not None
    if is_flat and found.shape[0] == value.shape[-1] * value.shape[-2]:
        found = found.reshape(value.shape[-2:])
    elif found.ndim == 1 and found.numel() > 1 and "unit" in context.site.axes(value.ndim):
        # One number per unit; on maps the units are the channels.
        place = context.site.axes(value.ndim).index("unit")
        if found.shape[0] == value.shape[place]:
            found = found.reshape([-1 if i == place else 1 for i in range(value.ndim)])
    try:
        return found.expand(value.shape)
    except RuntimeError as error:
        raise ParameterError(
            f"{owner}: a value of shape {tuple(found.shape)} does not fit {context.site.label}, "
            f"which has shape {tuple(value.shape)}."
        ) from error


def values_of(activity: xr.DataArray, context: Context) -> Any:
    """Return a recorded Activity as values of one site, without the padding."""
    found = activity
    if "layer" in activity.coords and context.site.layer is not None:
        found = activity.isel(unit=np.flatnonzero(activity["layer"].values == context.site.layer))
    return np.nan_to_num(found.values)
