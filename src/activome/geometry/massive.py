"""Massive activations: a few numbers thousands of times larger than the rest of their layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from activome._checks import check_finite, check_integer, check_number
from activome.errors import ActivityError

__all__ = ["massive_activations", "massive_ratio"]

Array = np.ndarray[Any, Any]


def massive_ratio(h: Any, *, per_sample: bool = False) -> xr.DataArray:
    """Return the largest magnitude of each layer over its median magnitude.

    The ratio is taken within each sample and layer, over all its positions and units, and averaged
    over samples. About 5 for Gaussian numbers; hundreds and more tell of a few units that act as a
    constant, which matters to whoever quantises, averages or correlates the layer.

    Parameters
    ----------
    h : xarray.DataArray or ndarray
        An Activity (trial, time, unit), with a coordinate ``layer`` on unit where it holds several
        layers, as ``record(model, inputs, "resid_post[*]")`` gives it; a DataArray with dims out of
        (sample, layer, position, unit); or an array (n_samples, n_layers, n_positions, n_units).
        Samples outside ``valid`` are left out.
    per_sample : bool, default=False
        Whether to keep the samples apart.

    Returns
    -------
    xarray.DataArray of float64, shape (n_layers,) or (n_samples, n_layers)
        Dims "sample" (with ``per_sample``) and "layer".

    Raises
    ------
    ActivityError
        If the activity is not finite, empty or has other dims, or if the median of a layer is 0.

    Notes
    -----
    The mean of the ratios, not the ratio of means. Give the outputs of blocks after the residual
    addition: what a model returns as its last hidden state is often taken after the final norm, and
    the embedding is no layer.

    References
    ----------
    .. [1] M. Sun, X. Chen, J. Z. Kolter and Z. Liu, "Massive activations in large language models",
       2024.
    .. [2] J. Gallego-Feliciano, S. A. McClendon, J. Morinelli, S. Zervoudakis and A. Saravanos,
       "Hidden dynamics of massive activations in transformer training", 2025.

    Examples
    --------
    >>> import numpy as np
    >>> h = np.ones((1, 2, 4, 8))
    >>> h[0, 1, 0, 3] = -5000.0
    >>> massive_ratio(h).values.tolist()
    [1.0, 5000.0]
    """
    values, layers, mask = _read(h, "massive_ratio")
    ratio = np.empty((len(values), len(layers)))
    for sample, layer, magnitude in _magnitudes(values, mask):
        median = _median(magnitude, "massive_ratio", sample, layers[layer])
        ratio[sample, layer] = magnitude.max() / median
    result = xr.DataArray(
        ratio, dims=("sample", "layer"), coords={"layer": layers}, name="massive_ratio"
    )
    return result if per_sample else result.mean("sample")


def massive_activations(
    h: Any, *, abs_min: float = 100.0, ratio_min: float = 1000.0, top: int = 5
) -> pd.DataFrame:
    """List the activations that are massive: large, and far larger than the median of their layer.

    Parameters
    ----------
    h : xarray.DataArray or ndarray
        As in ``massive_ratio``.
    abs_min : float, default=100
        Magnitudes above it count, in the units of the activity.
    ratio_min : float, default=1000
        Magnitudes of at least so many medians of their sample and layer count.
    top : int, default=5
        Most entries per sample and layer, the largest first.

    Returns
    -------
    pandas.DataFrame
        Columns "layer", "sample", "position", "unit", "value" and "ratio", by layer and sample;
        "position" and "unit" count within the layer. Empty where nothing is massive.

    Raises
    ------
    ParameterError
        If a limit is negative, or ``top`` is not positive.
    ActivityError
        As in ``massive_ratio``.

    Examples
    --------
    >>> import numpy as np
    >>> h = np.ones((1, 2, 4, 8))
    >>> h[0, 1, 0, 3] = -5000.0
    >>> massive_activations(h).to_dict("records")
    [{'layer': 1, 'sample': 0, 'position': 0, 'unit': 3, 'value': -5000.0, 'ratio': 5000.0}]
    """
    owner = "massive_activations"
    check_number(abs_min, name="abs_min", owner=owner, low=0.0, include_low=True)
    check_number(ratio_min, name="ratio_min", owner=owner, low=0.0, include_low=True)
    check_integer(top, name="top", owner=owner, low=1)
    values, layers, mask = _read(h, owner)
    rows: list[tuple[Any, ...]] = []
    for sample, layer, magnitude in _magnitudes(values, mask):
        median = _median(magnitude, owner, sample, layers[layer])
        least = max(abs_min, 0.0)
        found = np.flatnonzero((magnitude > least) & (magnitude >= ratio_min * median))
        flat = magnitude.ravel()
        places = np.arange(values.shape[2]) if mask is None else np.flatnonzero(mask[sample])
        for entry in found[np.argsort(-flat[found], kind="stable")][:top]:
            row, unit = divmod(int(entry), values.shape[3])
            position = int(places[row])
            value = float(values[sample, layer, position, unit])
            rows.append((layers[layer], sample, position, unit, value, float(flat[entry] / median)))
    columns = ["layer", "sample", "position", "unit", "value", "ratio"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values(["layer", "sample"], kind="stable", ignore_index=True)


def _read(h: Any, owner: str) -> tuple[Array, list[Any], Array | None]:
    """Return values (sample, layer, position, unit), labels of layers, and the valid positions."""
    if not isinstance(h, xr.DataArray):
        values = np.asarray(h)
        if values.ndim != 4:
            raise ActivityError(
                f"{owner}: an array must be (n_samples, n_layers, n_positions, n_units); got shape "
                f"{values.shape}."
            )
        return _checked(values, owner, None), list(range(values.shape[1])), None
    renamed = h.rename({old: new for old, new in _NAMES.items() if old in h.dims})
    dims = ("sample", "layer", "position", "unit")
    foreign = [str(dim) for dim in renamed.dims if dim not in dims]
    if foreign or "unit" not in renamed.dims:
        raise ActivityError(
            f"{owner}: dims must be out of (trial, time, unit) or {dims}, with unit; got "
            f"{tuple(map(str, h.dims))}."
        )
    if "layer" in renamed.dims:
        found = renamed.coords.get("layer")
        layers = list(range(renamed.sizes["layer"])) if found is None else found.values.tolist()
        full = renamed.expand_dims([dim for dim in dims if dim not in renamed.dims])
        values = full.transpose(*dims).values
    else:
        values, layers = _by_layer(renamed, owner)
    mask = None
    if "valid" in renamed.coords:
        valid = renamed.coords["valid"]
        valid = valid.expand_dims([dim for dim in ("sample", "position") if dim not in valid.dims])
        mask = valid.transpose("sample", "position").values.astype(bool)
    return _checked(values, owner, mask), layers, mask


_NAMES = {"trial": "sample", "time": "position"}


def _by_layer(h: xr.DataArray, owner: str) -> tuple[Array, list[Any]]:
    """Cut the unit axis into the layers that lie side by side on it."""
    full = h.expand_dims([dim for dim in ("sample", "position") if dim not in h.dims])
    flat = full.transpose("sample", "position", "unit").values
    found = h.coords.get("layer")
    if found is None or found.dims != ("unit",):
        return flat[:, np.newaxis], [0]
    labels, counts = np.unique(found.values, return_counts=True)
    if len(set(counts.tolist())) > 1:
        raise ActivityError(
            f"{owner}: layers must have equally many units; got {sorted(set(counts.tolist()))}. "
            "Give one kind of site at a time."
        )
    parts = [flat[:, :, found.values == label] for label in labels]
    return np.stack(parts, axis=1), labels.tolist()


def _checked(values: Array, owner: str, mask: Array | None) -> Array:
    if values.size == 0 or (mask is not None and not mask.any(axis=1).all()):
        raise ActivityError(f"{owner}: every sample needs positions with units; got none of some.")
    if values.dtype.kind not in "fiu":
        raise ActivityError(f"{owner}: activity must be numbers; got {values.dtype}.")
    # Half precision overflows in ratios and medians of what it can just hold.
    wide = values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)
    axes = ("sample", "layer", "position", "unit")
    shown = wide if mask is None else np.where(mask[:, None, :, None], wide, 0)
    check_finite(shown, owner=owner, axes=axes)
    return wide


def _magnitudes(values: Array, mask: Array | None) -> Iterator[tuple[int, int, Array]]:
    """Yield (sample, layer, magnitudes of its positions and units)."""
    for sample in range(values.shape[0]):
        for layer in range(values.shape[1]):
            block = values[sample, layer]
            yield sample, layer, np.abs(block if mask is None else block[mask[sample]])


def _median(magnitude: Array, owner: str, sample: int, layer: Any) -> float:
    median = float(np.median(magnitude))
    if median == 0.0:
        raise ActivityError(
            f"{owner}: the median magnitude must not be 0; it is in sample {sample}, layer {layer}."
            " Give a residual stream, not rectified or sparse activity."
        )
    return median
