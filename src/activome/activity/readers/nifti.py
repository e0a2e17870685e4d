"""NIfTI images of functional MRI: voxels of a mask, or means of the regions of an atlas."""

from __future__ import annotations

import gzip
import logging
import math
import os
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.array
import numpy as np

from activome._extras import require
from activome._files import atomic_path
from activome.activity.readers._source import (
    check_file,
    check_rate,
    fits_memory,
    opening_bytes,
    reading,
    source_of,
)
from activome.activity.schema import Activity, ensure, make
from activome.errors import ActivityError, ParameterError, ReadError

__all__ = ["read_nifti", "write_nifti"]

Array = np.ndarray[Any, Any]
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
_MILLIMETRES = {"mm": 1.0, "meter": 1e3, "micron": 1e-3}
# Deflate never packs tighter than this: a header that asks for more is damaged.
_DEFLATE = 1040
_SMALLER = "Give mask= or atlas=, load it with lazy=True, or raise memory_limit."
_BLOCK_BYTES = 64 * 1024**2


def read_nifti(
    path: str | os.PathLike[str],
    *,
    mask: Any = None,
    atlas: Any = None,
    labels: Mapping[int, str] | Sequence[str] | None = None,
    repetition_time: float | None = None,
    lazy: bool = False,
    memory_limit: float | None = None,
) -> Activity:
    """Read a 4-D NIfTI image as time courses of voxels or regions.

    The image is read volume by volume, so that only the voxels asked for are held.

    Parameters
    ----------
    path : path-like
        The image (.nii or .nii.gz; NIfTI-1 or 2); its name may end otherwise.
    mask : path-like, nibabel image or array of shape (n_x, n_y, n_z), optional
        Voxels that are not 0 are units. By default every voxel is.
    atlas : path-like, nibabel image or array of int of shape (n_x, n_y, n_z), optional
        Regions 1, 2 ...: each becomes one unit, the mean over its voxels (inside ``mask``).
    labels : mapping of int to str, or sequence of str, optional
        Names of the regions; a sequence names the numbers of the atlas in their order.
    repetition_time : float, optional
        Seconds between volumes, where the header does not state them.
    lazy : bool, default=False
        Leave the values in the file, as a dask array of blocks of volumes.
    memory_limit : float, optional
        Bytes that may be allocated, by default 2 GiB.

    Returns
    -------
    xarray.DataArray
        Dims (time, unit), float64, kind "bold". On unit: ``x``, ``y``, ``z`` in mm (of a region the
        centre), and ``i``, ``j``, ``k`` of voxels or ``region`` and ``n_voxels`` of regions.

    Raises
    ------
    ReadError
        If the file is missing, damaged, not 4-D, or states no repetition time.
    ParameterError
        If the mask or atlas is of another shape or place than the image, or empty, or the labels
        do not fit.
    ResourceError
        If the time courses pass ``memory_limit``.
    MissingExtraError
        If nibabel is not installed.

    Examples
    --------
    >>> import tempfile, nibabel, numpy as np
    >>> image = nibabel.Nifti1Image(np.arange(48.0).reshape(2, 2, 3, 4), np.eye(4))
    >>> image.header.set_xyzt_units("mm", "sec")
    >>> image.header.set_zooms((1, 1, 1, 2.0))
    >>> atlas = np.ones((2, 2, 3), dtype=int)
    >>> atlas[1] = 2
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     nibabel.save(image, f"{folder}/a.nii")
    ...     regions = read_nifti(f"{folder}/a.nii", atlas=atlas, labels=["left", "right"])
    >>> regions.unit.values.tolist(), regions.values[0].tolist(), regions.time.values.tolist()
    (['left', 'right'], [10.0, 34.0], [0.0, 2.0, 4.0, 6.0])
    """
    owner = "read_nifti"
    file = check_file(path, owner=owner)
    with reading(file, "NIfTI", owner=owner), _opened(file, owner, keep=lazy) as image:
        grid = tuple(int(n) for n in image.shape[:3])
        step = _repetition(image, repetition_time, file, owner)
        inside = _volume(mask, image, "mask", file, owner)
        chosen = np.ones(grid, dtype=bool) if inside is None else inside != 0
        numbers = _volume(atlas, image, "atlas", file, owner)
        if numbers is not None:
            if numbers.dtype.kind == "f" and (numbers != np.rint(numbers)).any():
                raise ParameterError(f"{owner}: atlas must hold whole numbers, one per region.")
            chosen &= numbers != 0
        if not chosen.any():
            raise ParameterError(f"{owner}: mask and atlas must hold a voxel; they hold none.")
        source = _Volumes(image, chosen, None if numbers is None else numbers[chosen])
        names, coords = _places(image, chosen, source, labels, owner)
        values: Any
        if lazy:
            values = dask.array.from_array(
                source, chunks=(source.rows, source.shape[1]), name=False, lock=True
            )
        else:
            need = 8.0 * math.prod(source.shape) + 2.0 * _BLOCK_BYTES
            fits_memory(need, file, owner=owner, limit=memory_limit, cure=_SMALLER)
            values = np.empty(source.shape)
            for first in range(0, source.shape[0], source.rows):
                block = slice(first, first + source.rows)
                values[block] = source[block, slice(None)]
        activity = make(
            values, ("time", "unit"), unit=names, coords=coords, kind="bold", units="1",
            sampling_rate=1.0 / step, source=source_of(file, "NIfTI"),
        )  # fmt: skip
        affine = [float(number) for number in np.asarray(image.affine).reshape(-1)]
        return activity.rename(None).assign_attrs(affine=affine, image_shape=list(grid))


class _Volumes:
    """What dask needs of an array (time, unit), read by blocks of volumes."""

    def __init__(self, image: Any, chosen: Array, regions: Array | None) -> None:
        self.image, self.chosen = image, chosen
        self.numbers: Array | None = None
        n_units = int(chosen.sum())
        if regions is not None:
            self.numbers, self.place, self.count = np.unique(
                regions, return_inverse=True, return_counts=True
            )
            n_units = self.numbers.size
        self.shape = (int(image.shape[3]), n_units)
        self.dtype, self.ndim = np.dtype(np.float64), 2
        self.rows = max(1, _BLOCK_BYTES // max(1, 8 * chosen.size))

    def __getitem__(self, key: tuple[slice, slice]) -> Array:
        first, last, _ = key[0].indices(self.shape[0])
        block = np.asarray(self.image.dataobj[..., first:last], dtype=np.float64)
        values = block[self.chosen].T
        if self.numbers is not None:
            means = [np.bincount(self.place, row, self.count.size) / self.count for row in values]
            values = np.array(means).reshape(-1, self.count.size)
        return np.ascontiguousarray(values[:, key[1]])


@contextmanager
def _opened(path: Path, owner: str, *, keep: bool) -> Iterator[Any]:
    """Open an image whatever its name; ``keep`` leaves its stream open as long as the image is."""
    nibabel = require("nibabel", extra="fmri", owner=owner)
    packed = opening_bytes(path, 2, owner=owner) == b"\x1f\x8b"
    if not packed and path.suffix.lower() in (".hdr", ".img"):
        yield _checked(nibabel.load(path), path, packed, owner)
        return
    # Closed below, unless lazy values go on reading from it.
    stream: Any = gzip.open(path, "rb") if packed else path.open("rb")  # noqa: SIM115
    done = False
    try:
        head = stream.read(4)
        stream.seek(0)
        is_two = 540 in (int.from_bytes(head, "little"), int.from_bytes(head, "big"))
        kind = nibabel.Nifti2Image if is_two else nibabel.Nifti1Image
        # From an open stream: the name does not matter, and a packed file is read forward instead
        # of from its start for every block.
        files = kind.make_file_map({"header": stream, "image": stream})
        with _mended_aloud(nibabel):
            image = kind.from_file_map(files)
        yield _checked(image, path, packed, owner)
        done = True
    finally:
        if keep and done:
            weakref.finalize(image, stream.close)
        else:
            stream.close()


@contextmanager
def _mended_aloud(nibabel: Any) -> Iterator[None]:
    """Turn what nibabel logs when it corrects a header field into warnings."""
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]  # one handler, no class needed
    logger = nibabel.imageglobals.logger
    with nibabel.imageglobals.LoggingOutputSuppressor():
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
    for text in found:
        warnings.warn(f"its header was corrected: {text}.", UserWarning, stacklevel=3)


def _checked(image: Any, path: Path, packed: bool, owner: str) -> Any:
    shape = tuple(int(n) for n in image.shape)
    if len(shape) == 5 and shape[4] == 1:
        shape = shape[:4]
    if len(shape) != 4 or min(shape) < 1:
        raise ReadError(
            f"{owner}: {str(path)!r} must be a 4-D image (x, y, z, time); it is of shape {shape}. "
            "Join the volumes of a run to one file first."
        )
    need = math.prod(shape) * float(image.header.get_data_dtype().itemsize)
    held = path.stat().st_size * (_DEFLATE if packed else 1)
    if need > held and path.suffix.lower() not in (".hdr", ".img"):
        raise ReadError(
            f"{owner}: {str(path)!r} declares an image of shape {shape}, {need:.0f} bytes, and "
            "holds "
            "fewer. It was cut or its header is damaged; copy it again."
        )
    if not np.isfinite(np.asarray(image.affine)).all():
        raise ReadError(
            f"{owner}: {str(path)!r} has an affine that is not finite. Mend its header."
        )
    return image


def _repetition(image: Any, given: float | None, path: Path, owner: str) -> float:
    if given is not None:
        if not (np.isfinite(given) and given > 0):
            raise ParameterError(f"{owner}: repetition_time must be positive; got {given!r} s.")
        return float(given)
    unit = image.header.get_xyzt_units()[1]
    step = float(image.header.get_zooms()[3])
    if unit in _SECONDS:
        step *= _SECONDS[unit]
    elif unit != "unknown":
        raise ReadError(
            f"{owner}: {str(path)!r} has a fourth axis in {unit}, not of time. If it is time, give "
            "repetition_time."
        )
    if not (np.isfinite(step) and step > 0):
        raise ReadError(
            f"{owner}: {str(path)!r} states no repetition time ({step:g}). Give repetition_time "
            "in s."
        )
    if unit == "unknown":
        warnings.warn(
            f"its header has no unit of time; the repetition time {step:g} was taken for s. Give "
            "repetition_time if it is not.",
            UserWarning,
            stacklevel=2,
        )
    check_rate(1.0 / step, path, owner=owner)
    return step


def _volume(given: Any, image: Any, name: str, path: Path, owner: str) -> Array | None:
    if given is None:
        return None
    nibabel = require("nibabel", extra="fmri", owner=owner)
    affine = None
    if isinstance(given, (str, os.PathLike)):
        file = check_file(given, owner=owner)
        with reading(file, "NIfTI", owner=owner):
            given = nibabel.load(file)
            values = np.asarray(given.dataobj)
            affine = given.affine
    elif hasattr(given, "dataobj"):
        values, affine = np.asarray(given.dataobj), given.affine
    else:
        values = np.asarray(given)
    values = values[..., 0] if values.ndim == 4 and values.shape[3] == 1 else values
    if values.shape != tuple(image.shape[:3]) or values.dtype.kind not in "biuf":
        raise ParameterError(
            f"{owner}: {name} must be numbers of the shape of the image, {tuple(image.shape[:3])}; "
            f"it is {values.dtype} of shape {values.shape}. Resample it to {path.name} first."
        )
    if affine is not None and not np.allclose(affine, image.affine, atol=1e-3):
        raise ParameterError(
            f"{owner}: {name} lies elsewhere than the image (their affines differ). Resample it to "
            f"{path.name} first."
        )
    return np.nan_to_num(values) if values.dtype.kind == "f" else values


def _places(
    image: Any, chosen: Array, source: _Volumes, labels: Any, owner: str
) -> tuple[Array, dict[str, tuple[str, Array]]]:
    voxels = np.argwhere(chosen)
    scale = _MILLIMETRES.get(image.header.get_xyzt_units()[0], 1.0)
    affine = np.asarray(image.affine, dtype=np.float64)
    places = (voxels @ affine[:3, :3].T + affine[:3, 3]) * scale
    coords: dict[str, tuple[str, Array]] = {}
    if source.numbers is None:
        if labels is not None:
            raise ParameterError(f"{owner}: labels name regions; give them with atlas.")
        names = np.array([f"{i},{j},{k}" for i, j, k in voxels])
        coords = {axis: ("unit", voxels[:, n]) for n, axis in enumerate("ijk")}
    else:
        count = source.count
        sums = [np.bincount(source.place, column, count.size) for column in places.T]
        places = np.stack(sums, axis=1) / count[:, None]
        names = _region_names(source.numbers, labels, owner)
        coords = {
            "region": ("unit", source.numbers.astype(np.int64)),
            "n_voxels": ("unit", count),
        }
    return names, coords | {axis: ("unit", places[:, n]) for n, axis in enumerate("xyz")}


def _region_names(numbers: Array, labels: Any, owner: str) -> Array:
    whole = [int(number) for number in numbers]
    if labels is None:
        return np.array([str(number) for number in whole])
    if not isinstance(labels, Mapping):
        if len(labels) != len(whole):
            raise ParameterError(
                f"{owner}: labels must name each of the {len(whole)} regions; got {len(labels)}."
            )
        labels = dict(zip(whole, labels, strict=True))
    missing = [number for number in whole if number not in labels]
    if missing:
        raise ParameterError(f"{owner}: labels has no name for region {missing[0]} of the atlas.")
    return np.array([str(labels[number]) for number in whole])


def write_nifti(activity: Activity, path: str | os.PathLike[str]) -> None:
    """Write voxel time courses back to a 4-D NIfTI image; voxels outside the mask are 0.

    NIfTI-1, or NIfTI-2 where an axis is longer than the 32,767 that the former can count.

    Parameters
    ----------
    activity : xarray.DataArray
        Over (time, unit), with ``i``, ``j``, ``k`` on unit and attrs ``affine`` and
        ``image_shape``, as ``read_nifti`` gives without an atlas.
    path : path-like
        Where to write, ending in .nii or .nii.gz; replaced whole.

    Raises
    ------
    ActivityError
        If it does not say where its voxels lie, or has no regular clock.
    MissingExtraError
        If nibabel is not installed.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from activome.activity.schema import make
    >>> place = {"i": ("unit", [0, 1]), "j": ("unit", [1, 1]), "k": ("unit", [0, 2])}
    >>> bold = make(np.ones((4, 2)), sampling_rate=0.5, kind="bold", coords=place)
    >>> bold = bold.assign_attrs(affine=np.eye(4).ravel().tolist(), image_shape=[2, 2, 3])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_nifti(bold, f"{folder}/a.nii.gz")
    ...     back = read_nifti(f"{folder}/a.nii.gz")
    >>> back.shape, back.unit.values[back.values[0] == 1].tolist()
    ((4, 12), ['0,1,0', '1,1,2'])
    """
    owner = "write_nifti"
    nibabel = require("nibabel", extra="fmri", owner=owner)
    activity = ensure(activity, owner=owner)
    rate = activity.attrs.get("sampling_rate")
    known = {"i", "j", "k"} <= set(activity.coords) and activity.dims == ("time", "unit")
    if not known or rate is None or not {"affine", "image_shape"} <= set(activity.attrs):
        raise ActivityError(
            f"{owner}: activity must be (time, unit) at a regular rate, with i, j and k on unit "
            "and "
            "attrs affine and image_shape. Regions and other units: save as .zarr or .npz."
        )
    grid = tuple(int(n) for n in activity.attrs["image_shape"])
    volume = np.zeros((*grid, activity.sizes["time"]))
    i, j, k = (activity[axis].values.astype(np.int64) for axis in "ijk")
    volume[i, j, k] = activity.values.T
    affine = np.asarray(activity.attrs["affine"], dtype=np.float64).reshape(4, 4)
    # NIfTI-1 counts in 16 bits.
    form = nibabel.Nifti1Image if max(volume.shape) < 1 << 15 else nibabel.Nifti2Image
    image = form(volume, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((*image.header.get_zooms()[:3], 1.0 / float(rate)))
    with atomic_path(path) as temporary:
        nibabel.save(image, temporary)
