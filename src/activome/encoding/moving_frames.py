"""Movies of an image seen through a window that moves, such as the eye's along saccades."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_choice, check_finite, check_integer, check_memory
from activome._compile import kernel
from activome.errors import ActivityError

__all__ = ["moving_frames", "saccade_path"]

Array = np.ndarray[Any, Any]


def saccade_path(corners: ArrayLike, n_frames: int, *, close: bool = True) -> Array:
    """Return positions along straight lines from corner to corner.

    Parameters
    ----------
    corners : array-like of float, shape (n_corners, 2)
        Column and row of each corner, pixels.
    n_frames : int
        Frames per line; each line begins one step after its first corner.
    close : bool, default=True
        Go back to the first corner at the end.

    Returns
    -------
    ndarray of float64, shape (n_lines * n_frames, 2)
        Column and row of each frame, pixels.

    Raises
    ------
    ActivityError
        If there are fewer than two corners, or they are not finite.
    ParameterError
        If the number of frames is not positive.

    Examples
    --------
    >>> saccade_path([[0, 0], [2, 0]], 2).tolist()
    [[1.0, 0.0], [2.0, 0.0], [1.0, 0.0], [0.0, 0.0]]
    """
    owner = "saccade_path"
    n = check_integer(n_frames, name="n_frames", owner=owner, low=1)
    places = np.asarray(corners, dtype=np.float64)
    if places.ndim != 2 or places.shape[1] != 2 or len(places) < 2:
        raise ActivityError(
            f"{owner}: corners must have shape (n_corners, 2), two or more; got {places.shape}."
        )
    check_finite(places, owner=owner, axes=("corner", "axis"), what="corners")
    ends = np.concatenate([places, places[:1]]) if close else places
    share = np.arange(1, n + 1)[:, None] / n
    lines = [a + share * (b - a) for a, b in pairwise(ends)]
    return np.concatenate(lines)


def moving_frames(
    image: ArrayLike, path: ArrayLike, size: tuple[int, int], *, outside: str = "refuse"
) -> Array:
    """Show an image through a window that moves, by bilinear interpolation.

    Parameters
    ----------
    image : array-like of float, shape (n_image_rows, n_image_columns)
        Brightness.
    path : array-like of float, shape (n_frames, 2)
        Column and row of the image at the window's first pixel, in each frame.
    size : tuple of int (n_rows, n_columns)
        Size of the window.
    outside : {"refuse", "zero"}, default="refuse"
        What is done where the window leaves the image: an error, or brightness 0 there.

    Returns
    -------
    ndarray of float64, shape (n_frames, n_rows, n_columns)
        The movie.

    Raises
    ------
    ActivityError
        If the image or the path has another shape or is not finite, or the window leaves the image.
    ParameterError
        If a size is not positive, or ``outside`` is unknown.
    ResourceError
        If the movie would take more than 2 GiB.

    Examples
    --------
    >>> moving_frames(np.array([[0.0, 1.0, 4.0]]), [[0.0, 0.0], [0.5, 0.0]], (1, 2)).tolist()
    [[[0.0, 1.0]], [[0.5, 2.5]]]
    """
    owner = "moving_frames"
    check_choice(outside, ("refuse", "zero"), name="outside", owner=owner)
    rows, columns = (check_integer(n, name="size", owner=owner, low=1) for n in size)
    source, places = np.asarray(image, dtype=np.float64), np.asarray(path, dtype=np.float64)
    if source.ndim != 2 or source.size == 0:
        raise ActivityError(f"{owner}: image must be (n_rows, n_columns); got {source.shape}.")
    if places.ndim != 2 or places.shape[1] != 2 or not len(places):
        raise ActivityError(f"{owner}: path must have shape (n_frames, 2); got {places.shape}.")
    check_finite(source, owner=owner, axes=("row", "column"), what="image")
    check_finite(places, owner=owner, axes=("frame", "axis"), what="path")
    if outside == "refuse":
        room = np.array([source.shape[1] - columns, source.shape[0] - rows])
        out = ((places < 0) | (places > room)).any(axis=1)
        if out.any():
            raise ActivityError(
                f"{owner}: the window must stay on the image; frame {int(np.argmax(out))} does "
                "not. Move the path, or set outside='zero'."
            )
    check_memory(
        8.0 * len(places) * rows * columns,
        owner=owner,
        what=f"{len(places)} frames",
        cure="Give fewer frames.",
    )
    movie = np.zeros((len(places), rows, columns))
    _sample(source, places, movie)
    return movie


@kernel()
def _sample(source: Array, places: Array, movie: Array) -> None:
    """Write the movie; what is outside of the image counts 0."""
    n_rows, n_columns = source.shape
    for k in range(movie.shape[0]):
        left, top = int(np.floor(places[k, 0])), int(np.floor(places[k, 1]))
        u, v = places[k, 0] - left, places[k, 1] - top
        for i in range(movie.shape[1]):
            for j in range(movie.shape[2]):
                total = 0.0
                for di in range(2):
                    for dj in range(2):
                        share = (v if di else 1.0 - v) * (u if dj else 1.0 - u)
                        row, column = top + i + di, left + j + dj
                        if share > 0 and 0 <= row < n_rows and 0 <= column < n_columns:
                            total += share * source[row, column]
                movie[k, i, j] = total
