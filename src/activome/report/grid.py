"""The grid that the analyses see: kept units, means of bins, labels on bins."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from activome.activity.schema import Activity
from activome.report._streaming import PassResult

__all__ = ["coarsen_grid", "first_of_copies", "kept_units", "make_grid"]

Array = np.ndarray[Any, Any]
# Of 1,000 units in 200 bins, those with one spike coincide by chance, those with three do not.
_FEWEST_OF_A_COPY = 3


def coarsen_grid(grid: Activity, max_samples: int) -> Activity:
    """Average neighbouring times until a recording has few enough samples.

    Parameters
    ----------
    grid : xarray.DataArray
        Finite values; dims (trial, time, unit), any subset.
    max_samples : int
        Most samples, trials times times; times are never fewer than one per trial.

    Returns
    -------
    xarray.DataArray
        Means over bins of times, with all labels: numbers averaged, others those in the middle.

    Examples
    --------
    >>> import numpy as np
    >>> from activome.activity import make
    >>> coarsen_grid(make(np.arange(6.0).reshape(6, 1)), 3).values[:, 0].tolist()
    [0.5, 2.5, 4.5]
    """
    n_trials, n_times = grid.sizes.get("trial", 1), grid.sizes.get("time", 1)
    size = min(n_times, -(-n_trials * n_times // max_samples))
    if size <= 1:
        return grid
    axis = grid.dims.index("time")
    starts = np.arange(0, n_times, size)
    shape = [-1 if k == axis else 1 for k in range(grid.ndim)]
    lengths = np.diff(np.append(starts, n_times)).astype(np.float32).reshape(shape)
    means = np.add.reduceat(grid.values, starts, axis=axis) / lengths
    coords, _ = _grid_coords(grid, size)
    ride = {str(key): coord for key, coord in grid.coords.items() if coord.dims == ("unit",)}
    attrs = dict(grid.attrs)
    if "sampling_rate" in attrs:
        attrs["sampling_rate"] = attrs["sampling_rate"] / size
    return xr.DataArray(means, dims=grid.dims, coords=coords | ride, attrs=attrs)


def kept_units(scan: PassResult) -> Array:
    """Return the units that vary and have values, the first one of copies.

    Parameters
    ----------
    scan : PassResult
        Statistics of every unit.

    Returns
    -------
    ndarray of int64, shape (n_kept,)
        Positions, increasing.
    """
    varies = (scan.high > scan.low) & (scan.n_bad < scan.n_used)
    return np.flatnonzero(varies & (first_of_copies(scan) == np.arange(varies.size)))


def first_of_copies(scan: PassResult) -> Array:
    """Return for each unit the first one with the same values; itself where it is no copy.

    Parameters
    ----------
    scan : PassResult
        Statistics of every unit.

    Returns
    -------
    ndarray of int64, shape (n_units,)
        Positions. Units that leave their lowest value in fewer than three samples, such as cells
        with a spike or two, are copies of nothing: so few coincide by chance.
    """
    keys = np.stack([scan.digest, scan.low, scan.high], axis=1)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    is_told = scan.n_used - scan.n_bad - scan.n_low >= _FEWEST_OF_A_COPY
    return np.where(is_told, first[inverse.reshape(-1)], np.arange(keys.shape[0]))


def make_grid(
    full: Activity, scan: PassResult, kept: Array, dims: tuple[Any, ...], names: Array
) -> tuple[Activity, int]:
    """Put the labels of a recording on its grid, and fill bins without a value.

    Parameters
    ----------
    full : xarray.DataArray
        The recording, dims (trial, time, unit).
    scan : PassResult
        Of the recording.
    kept : ndarray of int64, shape (n_kept,)
        Units of the grid.
    dims : tuple of str
        Those the recording was given with.
    names : ndarray, shape (n_units,)
        Names of all units.

    Returns
    -------
    grid : xarray.DataArray of float32
        Finite; a bin without any value holds the mean of its unit.
    n_filled : int
        How many bins were filled.
    """
    values = scan.grid if kept.size == scan.grid.shape[2] else scan.grid[..., kept]
    coords, valid = _grid_coords(full, scan.bin_size)
    missing = ~np.isfinite(values)
    inside = missing if valid is None else missing & valid[..., np.newaxis]
    n_filled = int(inside.sum())
    if missing.any():
        with np.errstate(invalid="ignore"):
            mean = np.nanmean(values, axis=(0, 1))
        values = np.where(missing, mean, values).astype(np.float32)
    ride = {
        str(key): ("unit", np.asarray(coord.values)[kept])
        for key, coord in full.coords.items()
        if coord.dims == ("unit",) and key != "unit"
    }
    attrs = {key: full.attrs.get(key) for key in ("kind", "units", "source")}
    rate = full.attrs.get("sampling_rate")
    if rate is not None:
        attrs["sampling_rate"] = float(rate) / scan.bin_size
    grid = xr.DataArray(
        values,
        dims=("trial", "time", "unit"),
        coords=coords | ride | {"unit": names[kept]},
        attrs=attrs,
    )
    for dim in ("trial", "time"):
        if dim not in dims:
            grid = grid.isel({dim: 0}, drop=True)
    return grid, n_filled


def _grid_coords(full: Activity, bin_size: int) -> tuple[dict[str, Any], Array | None]:
    """Bring labels on the grid: the mean of numbers in a bin, else the label in its middle."""
    n_times = full.sizes["time"]
    starts = np.arange(0, n_times, bin_size)
    lengths = np.diff(np.append(starts, n_times))
    middle = starts + lengths // 2
    coords: dict[str, Any] = {}
    valid: Array | None = None
    for key, coord in full.coords.items():
        values, dims = np.asarray(coord.values), tuple(str(dim) for dim in coord.dims)
        if "unit" in dims or not dims:
            continue
        if key == "valid":
            valid = np.logical_or.reduceat(values, starts, axis=dims.index("time"))
            coords["valid"] = (("trial", "time"), valid)
        elif "time" not in dims:
            coords[str(key)] = (dims, values)
        elif key == "time":
            coords["time"] = ("time", values[starts])
        elif values.dtype.kind == "f" and bin_size > 1:
            axis = dims.index("time")
            sums = np.add.reduceat(values.astype(np.float64), starts, axis=axis)
            shape = [-1 if dim == "time" else 1 for dim in dims]
            coords[str(key)] = (dims, sums / lengths.reshape(shape))
        else:
            coords[str(key)] = (dims, np.take(values, middle, axis=dims.index("time")))
    return coords, valid
