"""Homogenized recordings on disk: a folder of stores with an index, or one table."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from activome._extras import require
from activome._files import atomic_path, read_json, remove_tree, write_json
from activome.activity._worm_schema import WormSchema
from activome.activity.schema import Activity
from activome.errors import ActivityError, StoreError

__all__ = ["Worms", "read_worms", "to_parquet", "to_zarr"]

Array = np.ndarray[Any, Any]
Worm = TypeVar("Worm", xr.DataArray, xr.Dataset)

_INDEX = "index.json"
_FORMAT = "activome.worms/1"
_ALONG_TIME = ("calcium", "residual", "smoothed", "smoothed_residual")


class Worms(list[Worm]):
    """Homogenized recordings, one per animal, as a list that can write itself.

    Examples
    --------
    >>> Worms([]).__len__()
    0
    """

    def to_zarr(self, path: str | os.PathLike[str], append: bool = True) -> None:
        """Write the recordings as a folder of Zarr stores; see the function `to_zarr`.

        Parameters
        ----------
        path : path-like
            Folder of the set.
        append : bool, default=True
            Whether to keep what is there.
        """
        to_zarr(self, path, append)

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write the recordings as one table; see the function `to_parquet`.

        Parameters
        ----------
        path : path-like
            The file.
        """
        to_parquet(self, path)


def to_zarr(
    worms: Iterable[Activity | xr.Dataset], path: str | os.PathLike[str], append: bool = True
) -> None:
    """Write homogenized recordings as a folder with one folder of Zarr stores per animal.

    The index is written last and whole: recordings count once they are in it. A writer that is
    killed leaves the set as it was before, and the next one removes what it left behind.

    Parameters
    ----------
    worms : iterable of xarray.DataArray or xarray.Dataset
        What `homogenize` returned, with or without companions; taken one at a time.
    path : path-like
        Folder of the set; made when it is not there.
    append : bool, default=True
        Whether recordings already there are kept; otherwise they are replaced.

    Raises
    ------
    ActivityError
        If one is not in the form of `WormSchema`, or has other names or another step than the set.
    StoreError
        If the folder holds something else, or another process is writing it.
    """
    # Zarr is heavy, and most who need the names of neurons do not need it.
    from activome.activity.store._lock import writer_lock

    owner = "to_zarr"
    folder = Path(path)
    if folder.exists() and not (folder / _INDEX).exists() and _strangers(folder):
        raise StoreError(
            f"{owner}: {str(folder)!r} holds files and is no set of recordings. "
            "Give a new or an empty folder."
        )
    with writer_lock(folder, owner=owner):
        index = _read_index(folder, owner) if (folder / _INDEX).exists() else _new_index()
        kept = index["worms"] if append else []
        fresh = _new_index() if not append else {**index, "worms": list(kept)}
        number = 1 + max((_number(entry["folder"]) for entry in index["worms"]), default=-1)
        _remove_orphans(folder, index)
        for worm in worms:
            _fits_set(worm, fresh, owner)
            name = f"worm-{number:06d}"
            fresh["worms"].append(_write_one(worm, folder / name))
            number += 1
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / _INDEX, fresh)
        _remove_orphans(folder, fresh)


def _new_index() -> dict[str, Any]:
    return {"format": _FORMAT, "names": None, "dt": None, "worms": []}


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])


def _strangers(folder: Path) -> list[Path]:
    return [item for item in folder.iterdir() if not item.name.startswith((".", "worm-"))]


def _remove_orphans(folder: Path, index: dict[str, Any]) -> None:
    named = {entry["folder"] for entry in index["worms"]}
    for item in folder.glob("worm-*") if folder.exists() else ():
        if item.name not in named:
            remove_tree(item)


def _fits_set(worm: Activity | xr.Dataset, index: dict[str, Any], owner: str) -> None:
    array = worm.get("calcium") if isinstance(worm, xr.Dataset) else worm
    units = (
        array["unit"].values if isinstance(array, xr.DataArray) and "unit" in array.coords else ()
    )
    activity = WormSchema(tuple(str(name) for name in units)).ensure(worm, owner=owner)
    names, dt = [str(name) for name in units], float(activity.attrs["dt"])
    if index["names"] is None:
        index |= {"names": names, "dt": dt}
    if names != index["names"] or dt != index["dt"]:
        what = "names" if names != index["names"] else f"dt of {dt:g} s, not {index['dt']:g} s"
        raise ActivityError(
            f"{owner}: all recordings of a set must have the same names and step; one has other "
            f"{what}. Write it to a set of its own."
        )


def _write_one(worm: Activity | xr.Dataset, folder: Path) -> dict[str, Any]:
    from activome.activity.store.api import write_store

    dataset = worm if isinstance(worm, xr.Dataset) else xr.Dataset({"calcium": worm})
    for name in dataset.data_vars:
        array = dataset[name]
        if name == "original":
            array = array.rename(original_time="time").assign_attrs(source=worm.attrs["source"])
        write_store(array, folder / str(name))
    return {
        "folder": folder.name,
        "source": str(worm.attrs.get("source", "")),
        "worm": str(worm.attrs.get("worm", "")),
        "variables": [str(name) for name in dataset.data_vars],
    }


def _read_index(folder: Path, owner: str) -> dict[str, Any]:
    file = folder / _INDEX
    if not file.exists():
        raise StoreError(
            f"{owner}: {str(folder)!r} must hold {_INDEX}, which is written last; it does not, so "
            "it is no set of recordings or its writing was broken off. Write it again."
        )
    try:
        index = read_json(file)
        if index["format"] != _FORMAT or not isinstance(index["worms"], list):
            raise KeyError(index["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{owner}: {str(file)!r} is no index of {_FORMAT}: {error}. Restore it from a copy."
        ) from error
    return dict(index)


def to_parquet(worms: Iterable[Activity | xr.Dataset], path: str | os.PathLike[str]) -> None:
    """Write homogenized recordings as one table with a row per animal and observed neuron.

    Columns are ``source_dataset``, ``worm``, ``neuron``, ``slot``, ``is_labelled``, ``is_guessed``,
    ``original_label``, ``dt``, ``original_dt``, ``norm``, ``smooth``, ``time`` (float64, s),
    ``calcium``; and of recordings with companions ``residual``, ``smoothed``,
    ``smoothed_residual``, ``original_time`` and ``original_calcium``.

    Parameters
    ----------
    worms : iterable of xarray.DataArray or xarray.Dataset
        What `homogenize` returned; taken one at a time, each a group of rows.
    path : path-like
        The file. It appears when it is whole.

    Raises
    ------
    ActivityError
        If there are none, or one is not in the form of `WormSchema`.
    MissingExtraError
        If pyarrow is not installed.
    """
    owner = "to_parquet"
    arrow = require("pyarrow", extra="tables", owner=owner)
    parquet = require("pyarrow.parquet", extra="tables", owner=owner)
    writer = None
    with atomic_path(path) as temporary:
        try:
            for worm in worms:
                table = _table(worm, arrow, owner)
                if writer is None:
                    writer = parquet.ParquetWriter(temporary, table.schema, compression="zstd")
                writer.write_table(table.cast(writer.schema))
        finally:
            if writer is not None:
                writer.close()
        if writer is None:
            raise ActivityError(f"{owner}: there must be at least one recording; got none.")


def _table(worm: Activity | xr.Dataset, arrow: Any, owner: str) -> Any:
    array = worm["calcium"] if isinstance(worm, xr.Dataset) else worm
    names = tuple(str(name) for name in array["unit"].values)
    activity = WormSchema(names).ensure(worm, owner=owner)
    slots = np.flatnonzero(activity["observed"].values)
    dataset = worm if isinstance(worm, xr.Dataset) else xr.Dataset({"calcium": activity})
    attrs = activity.attrs
    columns: dict[str, Any] = {
        "source_dataset": [str(attrs["source"])] * slots.size,
        "worm": [str(attrs["worm"])] * slots.size,
        "neuron": [names[k] for k in slots],
        "slot": arrow.array(slots, arrow.int32()),
        "is_labelled": activity["labelled"].values[slots],
        "is_guessed": activity["guessed"].values[slots],
        "original_label": [str(text) for text in activity["original_label"].values[slots]],
        "dt": [float(attrs["dt"])] * slots.size,
        "original_dt": [float(attrs["original_dt"])] * slots.size,
        "norm": [str(attrs["norm"])] * slots.size,
        "smooth": [str(attrs["smooth"])] * slots.size,
        "time": _lists(np.tile(activity["time"].values, (slots.size, 1)), arrow),
    }
    for key in _ALONG_TIME:
        if key in dataset:
            columns[key] = _lists(dataset[key].values[:, slots].T.astype(np.float32), arrow)
    if "original" in dataset:
        stamps = dataset["original_time"].values
        columns["original_time"] = _lists(np.tile(stamps, (slots.size, 1)), arrow)
        columns["original_calcium"] = _lists(dataset["original"].values[:, slots].T, arrow)
    table = arrow.table(columns)
    return table.replace_schema_metadata({"activome": json.dumps({"names": names})})


def _lists(rows: Array, arrow: Any) -> Any:
    offsets = np.arange(rows.shape[0] + 1, dtype=np.int64) * rows.shape[1]
    return arrow.LargeListArray.from_arrays(offsets, np.ascontiguousarray(rows).ravel())


def read_worms(path: str | os.PathLike[str], *, companions: bool = False) -> Worms[Any]:
    """Read homogenized recordings from a folder of stores or from a table.

    Parameters
    ----------
    path : path-like
        What `to_zarr` or `to_parquet` wrote, or the table of the published data set.
    companions : bool, default=False
        Whether to return datasets with everything that was stored.

    Returns
    -------
    Worms
        One entry per animal: an Activity (time, unit), or a Dataset.

    Raises
    ------
    StoreError
        If there is nothing, or the folder is no whole set.
    ReadError
        If the table is damaged or lacks columns.
    """
    owner = "read_worms"
    place = Path(path)
    if not place.exists():
        raise StoreError(f"{owner}: {str(place)!r} must be a folder or a file; there is neither.")
    if place.is_dir():
        index = _read_index(place, owner)
        worms = [_read_one(place, entry, companions, owner) for entry in index["worms"]]
    else:
        from activome.activity.readers.worm_table import read_worm_table

        worms = read_worm_table(place)
    return Worms(worms if companions else [worm["calcium"] for worm in worms])


def _read_one(place: Path, entry: dict[str, Any], companions: bool, owner: str) -> xr.Dataset:
    from activome.activity.store.api import open_store

    wanted: Sequence[str] = entry["variables"] if companions else ["calcium"]
    dataset = xr.Dataset()
    for name in wanted:
        store = place / str(entry["folder"]) / name
        if not store.exists():
            raise StoreError(
                f"{owner}: {str(store)!r} is in the index, but is gone. Restore it, or write the "
                "set again."
            )
        array = open_store(store, lazy=False)
        if not isinstance(array, xr.DataArray):
            raise StoreError(f"{owner}: {str(store)!r} must hold traces; it holds events.")
        if name == "original":
            array = array.rename(time="original_time")
            array.attrs.pop("source", None)
        dataset[name] = array
    return dataset.assign_attrs(dataset["calcium"].attrs)
