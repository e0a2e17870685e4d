"""Invented light microscopy: coloured tubes that run through a volume, branch and cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from activome._checks import check_integer, check_memory, check_number
from activome._random import RandomState, make_generator
from activome.errors import ParameterError

__all__ = ["TubesTruth", "tubes"]

Array = np.ndarray[Any, Any]
_TURN = 0.12
_FLATNESS = 0.4
_LEAST_BRIGHTNESS = 0.5


@dataclass(frozen=True)
class TubesTruth:
    """What ``tubes`` drew.

    Attributes
    ----------
    masks : ndarray of bool, shape (n_tubes, n_z, n_y, n_x)
        Voxels of each; they overlap where tubes cross.
    colours : ndarray of float64, shape (n_tubes, 3)
        Red, green and blue in [0, 1].
    """

    masks: Array
    colours: Array


def tubes(
    n_tubes: int = 5,
    *,
    shape: Sequence[int] = (48, 96, 96),
    n_steps: int = 86,
    n_branches: int = 2,
    radius: float = 1.6,
    blur: float = 0.7,
    noise: float = 0.04,
    random_state: RandomState = None,
) -> tuple[Array, TubesTruth]:
    """Draw branching tubes, each of one random colour, in a noisy volume.

    Each tube is a walk from the inner half of the volume whose direction changes a little at every
    step, flatter along z, mirrored at the border; branches of half its length start at voxels of
    its own. Where tubes cross, each channel shows the brighter one.

    Parameters
    ----------
    n_tubes : int, default=5
        Tubes.
    shape : sequence of int, default=(48, 96, 96)
        Size of the volume (z, y, x).
    n_steps : int, default=86
        Steps of one voxel along each tube.
    n_branches : int, default=2
        Branches per tube.
    radius : float, default=1.6
        Radius in voxels.
    blur : float, default=0.7
        Standard deviation of the blur, in voxels.
    noise : float, default=0.04
        Standard deviation of the noise; tubes are between 0.5 and 1 bright.
    random_state : int, Generator or None, default=None
        Seed.

    Returns
    -------
    image : ndarray of float32, shape (3, n_z, n_y, n_x)
        Brightness per colour.
    truth : TubesTruth
        Masks and colours.

    Raises
    ------
    ParameterError
        If a number is outside its range, or ``shape`` has not three axes.
    ResourceError
        If the masks would not fit in memory.

    Examples
    --------
    >>> image, truth = tubes(2, shape=(16, 32, 32), n_steps=30, random_state=0)
    >>> image.shape, truth.masks.shape, bool(truth.masks.any(axis=(1, 2, 3)).all())
    ((3, 16, 32, 32), (2, 16, 32, 32), True)
    """
    owner = "samples.tubes"
    size = tuple(check_integer(n, name="shape", owner=owner, low=2) for n in shape)
    if len(size) != 3:
        raise ParameterError(f"{owner}: shape must be (n_z, n_y, n_x); got {tuple(shape)}.")
    for name, value, low in (
        ("n_tubes", n_tubes, 1), ("n_steps", n_steps, 2), ("n_branches", n_branches, 0)
    ):  # fmt: skip
        check_integer(value, name=name, owner=owner, low=low)
    check_number(radius, name="radius", owner=owner, low=0.0)
    for name, number in (("blur", blur), ("noise", noise)):
        check_number(number, name=name, owner=owner, low=0.0, include_low=True)
    check_memory(
        float(np.prod(size)) * (n_tubes + 48),
        owner=owner,
        what=f"{n_tubes} masks of {size} voxels",
        cure="Draw fewer tubes or a smaller volume.",
    )
    rng = make_generator(random_state)
    masks = np.zeros((n_tubes, *size), dtype=bool)
    colours = np.empty((n_tubes, 3))
    image = np.zeros((3, *size))
    for mask, colour in zip(masks, colours, strict=True):
        _draw(mask, n_steps, n_branches, radius, rng)
        hue = rng.uniform(size=3)
        colour[:] = hue / hue.max() * rng.uniform(_LEAST_BRIGHTNESS, 1.0)
        np.maximum(image, colour[:, None, None, None] * mask, out=image)
    image = ndimage.gaussian_filter(image, (0.0, blur, blur, blur))
    image += rng.normal(0.0, noise, size=image.shape)
    return image.astype(np.float32), TubesTruth(masks, colours)


def _draw(
    mask: Array, n_steps: int, n_branches: int, radius: float, rng: np.random.Generator
) -> None:
    size = np.array(mask.shape)
    # From the inner half, so that tubes meet.
    path = [_walk(rng.uniform(0.25, 0.75, size=3) * (size - 1), n_steps, size, rng)]
    for _ in range(n_branches):
        start = path[0][rng.integers(len(path[0]))]
        path.append(_walk(start, n_steps // 2, size, rng))
    points = np.rint(np.concatenate(path)).astype(np.int64)
    mask[tuple(points.T)] = True
    reach = int(np.ceil(radius))
    grid = np.mgrid[(slice(-reach, reach + 1),) * 3]
    ball = (grid**2).sum(axis=0) <= radius**2
    mask[:] = ndimage.binary_dilation(mask, ball)


def _walk(start: Array, n_steps: int, size: Array, rng: np.random.Generator) -> Array:
    flat = np.array([_FLATNESS, 1.0, 1.0])
    direction = rng.normal(size=3) * flat
    points = np.empty((n_steps, 3))
    points[0] = start
    for step in range(1, n_steps):
        direction = direction / np.linalg.norm(direction)
        moved = points[step - 1] + direction
        is_out = (moved < 0) | (moved > size - 1)
        direction = np.where(is_out, -direction, direction)
        points[step] = np.where(is_out, points[step - 1] + direction, moved)
        direction = direction + rng.normal(0.0, _TURN, size=3) * flat
    return points
