"""The recording that a method runs on: read, binned where it holds events, with a checksum."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from activome._checks import DEFAULT_MEMORY_LIMIT, check_memory
from activome.activity.events import Events
from activome.activity.schema import Activity, ensure
from activome.errors import ActivityError
from activome.report.recording import load_source, raster_of
from activome.report.settings import ReportSettings

__all__ = ["MethodSource", "label_columns", "open_source"]

Array = np.ndarray[Any, Any]
_SLAB_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class MethodSource:
    """A recording and where it came from.

    Attributes
    ----------
    name : str
        Of the file, the sample, or the array.
    activity : xarray.DataArray
        In memory, or lazy where it is to be read by blocks.
    checksum : str
        SHA-256 of the list of files of a store, which holds the checksum of each of them; else of
        values, labels and attributes.
    bin_width : float or None
        Width of the bins in s, where the source holds events.
    code : str
        Python that gives the source again.
    """

    name: str
    activity: Activity
    checksum: str
    bin_width: float | None
    code: str

    def record(self) -> dict[str, Any]:
        """Return what is worth writing down.

        Returns
        -------
        dict
            Name, kind, sizes, checksum, bin width.
        """
        return {
            "name": self.name,
            "kind": str(self.activity.attrs.get("kind", "feature")),
            "sizes": {str(dim): int(n) for dim, n in self.activity.sizes.items()},
            "checksum": self.checksum,
            "bin_width": self.bin_width,
        }


def open_source(
    source: Any,
    *,
    owner: str,
    bin_width: float | None = None,
    lazy: bool = False,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
    cure: str = "Select fewer samples or units first.",
) -> MethodSource:
    """Read a recording for a method.

    Parameters
    ----------
    source : path-like, Activity, Events or None
        As for a report.
    owner : str
        Who asks, for the messages.
    bin_width : float, optional
        Width of bins in s for events; by default as fine as 20,000 samples allow.
    lazy : bool, default=False
        Leave the values of a store on the disk.
    memory_limit : int, default=2 GiB
        Bytes that values may take.
    cure : str
        What to do where they take more.

    Returns
    -------
    MethodSource
        The recording.

    Raises
    ------
    ActivityError
        If the source is no recording, is empty, or bins are asked of one that holds no events.
    """
    data, name, code = load_source(source)
    width = None
    if isinstance(data, Events):
        settings = ReportSettings(memory_limit=max(memory_limit, 1 << 26))
        if bin_width is None:
            data = raster_of(data, settings)
        else:
            data = data.bin(bin_width, tail="keep", memory_limit=memory_limit)
        width = 1.0 / float(data.attrs["sampling_rate"])
    elif bin_width is not None:
        raise ActivityError(
            f"{owner}: only events are binned; {name} holds samples of kind "
            f"{data.attrs.get('kind', 'feature')!r}. Leave out the bin width."
        )
    activity = ensure(data, owner=owner)
    if activity.size == 0:
        sizes = ", ".join(f"{n} {dim}s" for dim, n in activity.sizes.items())
        raise ActivityError(f"{owner}: the recording must hold samples; {name} has {sizes}.")
    checksum = _store_checksum(source) or content_checksum(activity)
    if not lazy:
        check_memory(
            activity.nbytes, owner=owner, what=f"loading {name}", cure=cure, limit=memory_limit
        )
        activity = activity.load()
    return MethodSource(name, activity, checksum, width, code)


def label_columns(activity: Activity) -> list[str]:
    """Return the names of the label columns of trials and times.

    Parameters
    ----------
    activity : xarray.DataArray
        Dims (trial, time, unit), any subset.

    Returns
    -------
    list of str
        Coordinates along trial, time or both that are no axis.
    """
    return [
        str(name)
        for name, coord in activity.coords.items()
        if coord.dims and "unit" not in coord.dims and name not in ("trial", "time", "valid")
    ]


def _store_checksum(source: Any) -> str | None:
    from activome.activity.store._manifest import MANIFEST

    if not isinstance(source, (str, Path)):
        return None
    manifest = Path(source).expanduser() / MANIFEST
    return hashlib.sha256(manifest.read_bytes()).hexdigest() if manifest.is_file() else None


def content_checksum(activity: Activity) -> str:
    """Return the SHA-256 of values, labels and attributes, however they are stored."""
    digest = hashlib.sha256()
    digest.update(f"{activity.dims} {activity.dtype.str} {activity.shape}".encode())
    for name in sorted(str(name) for name in activity.coords):
        values = np.asarray(activity.coords[name].values)
        plain = values.astype(str) if values.dtype.kind in "OUT" else values
        digest.update(f"{name} {activity.coords[name].dims} {plain.dtype.str}".encode())
        digest.update(np.ascontiguousarray(plain).tobytes())
    digest.update(repr(sorted((str(k), str(v)) for k, v in activity.attrs.items())).encode())
    lead = activity.dims[0]
    step = max(1, _SLAB_BYTES * activity.sizes[lead] // max(1, activity.nbytes))
    for start in range(0, activity.sizes[lead], step):
        slab = np.asarray(activity.isel({lead: slice(start, start + step)}).values)
        digest.update(np.ascontiguousarray(slab).tobytes())
    return digest.hexdigest()
