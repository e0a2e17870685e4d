"""Volumes of the FISBe release: light microscopy of fly neurons, with hand-segmented instances."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dask.array as da
import xarray as xr
import zarr

from activome.activity.readers._source import reading
from activome.errors import ReadError

__all__ = ["read_fisbe"]

_OWNER = "read_fisbe"
_RAW, _TRUTH = "volumes/raw", "volumes/gt_instances"
_PARTLY = "partly"


def read_fisbe(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open one volume of the FISBe release; nothing is read before it is asked for.

    Parameters
    ----------
    path : path-like
        Zarr folder with ``volumes/raw`` (n_channels, n_z, n_y, n_x) and, but for a test set
        without truth, ``volumes/gt_instances`` (n_instances, n_z, n_y, n_x).

    Returns
    -------
    xarray.Dataset
        "raw" (channel, z, y, x) and "gt_instances" (instance, z, y, x), backed by dask; instances
        are numbered from 1 and may overlap. Attributes: ``dim_neurons``, the numbers of the dim
        ones; ``partly``, whether only some of the neurons are segmented; ``source``.

    Raises
    ------
    ReadError
        If the folder is missing or damaged, holds no such arrays, or their sizes do not fit.

    Notes
    -----
    ``dim_neurons`` is looked for at the array of instances, its group and the root. Without an
    attribute ``partly``, a volume is a partly segmented one where a folder above it is named
    so, as in the release.

    References
    ----------
    .. [1] L. Mais et al., "FISBe: a real-world benchmark dataset for instance segmentation of
       long-range thin filamentous structures", 2024.

    Examples
    --------
    >>> import tempfile, zarr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = zarr.open_group(f"{folder}/R1.zarr", mode="w", zarr_format=2)
    ...     _ = store.create_array("volumes/raw", shape=(3, 4, 5, 6), dtype="uint16")
    ...     _ = store.create_array("volumes/gt_instances", shape=(2, 4, 5, 6), dtype="uint8")
    ...     data = read_fisbe(f"{folder}/R1.zarr")
    >>> dict(data.sizes), data.attrs["dim_neurons"], data.attrs["partly"]
    ({'channel': 3, 'z': 4, 'y': 5, 'x': 6, 'instance': 2}, [], False)
    """
    place = Path(path).expanduser()
    if not place.is_dir():
        raise ReadError(
            f"{_OWNER}: {os.fspath(path)!r} must be the folder of a Zarr store; there is no such "
            "folder. Unpack the archive of the release, and check the path."
        )
    with reading(place, "Zarr", owner=_OWNER):
        root: Any = zarr.open_group(place, mode="r")
        raw, truth = root.get(_RAW), root.get(_TRUTH)
        if not isinstance(raw, zarr.Array) or raw.ndim != 4:
            found = f"an array of {raw.ndim} axes" if isinstance(raw, zarr.Array) else "none"
            raise ReadError(
                f"{_OWNER}: {str(place)!r} must hold the array {_RAW} (channel, z, y, x); "
                f"there is {found}. Give the folder of one volume."
            )
        data = {"raw": (("channel", "z", "y", "x"), _lazy(raw))}
        if isinstance(truth, zarr.Array):
            data["gt_instances"] = (("instance", "z", "y", "x"), _instances(truth, raw, place))
        attributes = _attributes(root, truth)
        dim = [int(number) for number in attributes.get("dim_neurons", [])]
    in_folder = any(part.name == _PARTLY for part in place.resolve().parents)
    volume = xr.Dataset(data).assign_attrs(
        dim_neurons=dim,
        partly=bool(attributes.get(_PARTLY, in_folder)),
        source=f"{place.name} (FISBe)",
    )
    if "instance" in volume.dims:
        volume = volume.assign_coords(instance=range(1, volume.sizes["instance"] + 1))
    return volume


def _lazy(array: Any) -> da.Array:
    return da.from_array(array, chunks=array.chunks, name=False)


def _instances(truth: Any, raw: Any, place: Path) -> da.Array:
    masks = _lazy(truth)
    if masks.ndim == raw.ndim - 1:
        masks = masks[None]
    if masks.shape[1:] != raw.shape[1:]:
        raise ReadError(
            f"{_OWNER}: {str(place)!r} must hold instances of the size of the volume "
            f"{raw.shape[1:]}; they are of {truth.shape}. The store is damaged."
        )
    return masks


def _attributes(root: Any, truth: Any) -> Mapping[str, Any]:
    found: dict[str, Any] = dict(root.attrs)
    found |= dict(root["volumes"].attrs)
    return found | (dict(truth.attrs) if isinstance(truth, zarr.Array) else {})
