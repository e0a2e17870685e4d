"""Instances of a segmentation as flat indices of their voxels; they may overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from activome.errors import ActivityError

__all__ = ["MOST_INSTANCES", "Instances", "crop_to_common", "read_instances"]

Array = np.ndarray[Any, Any]
MOST_INSTANCES = 65_535


@dataclass(frozen=True)
class Instances:
    """Objects in one volume.

    Attributes
    ----------
    shape : tuple of int
        Size of the volume.
    voxels : list of ndarray of int64, shape (n_voxels,)
        Flat indices of each instance in C order, increasing.
    """

    shape: tuple[int, ...]
    voxels: list[Array]

    def larger_than(self, size: int) -> Instances:
        """Return the instances of more than ``size`` voxels."""
        return Instances(self.shape, [v for v in self.voxels if v.size > size])


def read_instances(
    given: Any, *, shape: Sequence[int] | None, ndim: int, owner: str, what: str
) -> Instances:
    """Read a label volume, a stack of masks, or a list of flat indices.

    Raises
    ------
    ActivityError
        If labels are not whole and non-negative, a mask holds several labels, indices repeat or
        leave the volume, there are more than 65,535 instances, or the shape fits none of the forms.
    """
    if isinstance(given, Instances):
        return given
    if isinstance(given, (list, tuple)):
        return _from_indices(given, shape, ndim, owner, what)
    values = np.asarray(given)
    if values.dtype.kind not in "bui":
        raise ActivityError(
            f"{owner}: {what} must be whole labels or masks; got {values.dtype}. "
            "Convert labels to integers, or threshold probabilities."
        )
    if values.ndim not in (ndim, ndim + 1) or values.size == 0:
        raise ActivityError(
            f"{owner}: {what} must be a label volume of {ndim} axes, or masks (n_instances, ...) "
            f"of {ndim + 1}; got shape {values.shape}. Give ndim=2 for images."
        )
    if values.dtype.kind == "i" and int(values.min()) < 0:
        raise ActivityError(
            f"{owner}: {what} must hold no negative label; the smallest is {int(values.min())}. "
            "Use 0 for the background."
        )
    found = _from_labels(values) if values.ndim == ndim else _from_masks(values, owner, what)
    _refuse_many(len(found.voxels), owner, what)
    return found


def _from_labels(volume: Array) -> Instances:
    flat = volume.reshape(-1)
    inside = np.flatnonzero(flat)
    labels = flat[inside]
    order = np.argsort(labels, kind="stable")
    bounds = np.flatnonzero(np.diff(labels[order])) + 1
    parts = np.split(inside[order], bounds) if inside.size else []
    return Instances(volume.shape, parts)


def _from_masks(masks: Array, owner: str, what: str) -> Instances:
    voxels = []
    for number, mask in enumerate(masks):
        flat = mask.reshape(-1)
        inside = np.flatnonzero(flat)
        labels = flat[inside]
        if inside.size and labels.min() != labels.max():
            raise ActivityError(
                f"{owner}: each mask of {what} must be of one instance; mask {number} holds the "
                f"labels {labels.min()} and {labels.max()}. Give each its own mask."
            )
        voxels.append(inside)
    return Instances(masks.shape[1:], voxels)


def _from_indices(
    given: Sequence[Any], shape: Sequence[int] | None, ndim: int, owner: str, what: str
) -> Instances:
    _refuse_many(len(given), owner, what)
    if shape is None or len(shape) != ndim or min(int(n) for n in shape) < 1:
        raise ActivityError(
            f"{owner}: flat indices of {what} need the shape of the volume, {ndim} numbers; got "
            f"shape={shape}."
        )
    size = int(np.prod([int(n) for n in shape]))
    voxels = []
    for number, one in enumerate(given):
        indices = np.asarray(one)
        if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "ui"):
            raise ActivityError(
                f"{owner}: instance {number} of {what} must be a row of whole flat indices; got "
                f"{indices.dtype} of shape {indices.shape}."
            )
        ordered = np.unique(indices.astype(np.int64))
        is_outside = ordered.size and (ordered[0] < 0 or ordered[-1] >= size)
        if is_outside or ordered.size != indices.size:
            wrong = "leave the volume" if is_outside else "repeat"
            raise ActivityError(
                f"{owner}: flat indices of instance {number} of {what} must be distinct and below "
                f"{size}; some {wrong}."
            )
        voxels.append(ordered)
    return Instances(tuple(int(n) for n in shape), voxels)


def _refuse_many(n: int, owner: str, what: str) -> None:
    if n > MOST_INSTANCES:
        raise ActivityError(
            f"{owner}: {what} must hold at most {MOST_INSTANCES} instances; got {n}. "
            "Score smaller blocks, and drop small pieces first."
        )


def crop_to_common(first: Instances, second: Instances) -> tuple[Instances, Instances]:
    """Crop both volumes around their centres to the smaller size along each axis."""
    if first.shape == second.shape:
        return first, second
    common = tuple(min(pair) for pair in zip(first.shape, second.shape, strict=True))
    return _cropped(first, common), _cropped(second, common)


def _cropped(instances: Instances, shape: tuple[int, ...]) -> Instances:
    if instances.shape == shape:
        return instances
    start = [(big - small) // 2 for big, small in zip(instances.shape, shape, strict=True)]
    voxels = []
    for flat in instances.voxels:
        places = np.stack(np.unravel_index(flat, instances.shape)) - np.array(start)[:, np.newaxis]
        inside = ((places >= 0) & (places < np.array(shape)[:, np.newaxis])).all(axis=0)
        voxels.append(np.ravel_multi_index(tuple(places[:, inside]), shape).astype(np.int64))
    return Instances(shape, voxels)
