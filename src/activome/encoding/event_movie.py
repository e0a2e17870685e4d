"""Event streams of images that move in a few directions and speeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_finite, check_integer, check_memory, check_number
from activome._random import RandomState, make_generator
from activome.activity.events import Events
from activome.encoding.event_camera import dvs_events
from activome.encoding.moving_frames import moving_frames
from activome.encoding.textures import saccadic_walk
from activome.errors import ActivityError, ParameterError

__all__ = ["EventMovie"]

Array = np.ndarray[Any, Any]
_DT = 1e-3
_TRIES = 200


class EventMovie:
    """Show images through a window that walks over them, to an event camera.

    The walk goes in straight segments; each bin of 1 ms has the class of its velocity, ``speed
    index * n_directions + direction index``, with direction k at the angle ``2 pi k /
    n_directions`` from the x axis towards larger y (downwards). The window moves over the image, so
    what is seen moves against it; the class is the direction in which what is seen moves.

    Parameters
    ----------
    images : sequence of array-like of float, each (n_rows, n_columns)
        Where windows are taken from, each movie from one image drawn at random.
    n_directions : int, default=12
        Directions, evenly spaced.
    speeds : sequence of float, default=(0.5, 1.0, 2.0)
        Pixels per ms.
    size : int, default=128
        Rows and columns of the window.
    duration : int, default=200
        Bins (ms).
    mean_block : float, default=24.0
        Mean length of a segment, bins.
    threshold : float, default=0.5
        Change of brightness per event; at most one per pixel and bin.
    random_state : int, Generator or None, default=None
        Seed; one stream for all movies that are drawn.

    Attributes
    ----------
    velocities : ndarray of float64, shape (n_classes, 2)
        Columns and rows per bin in which what is seen moves.

    Raises
    ------
    ActivityError
        If an image has another shape, is not finite, or is smaller than the window.
    ParameterError
        If a parameter is outside its range.

    References
    ----------
    .. [1] A. Grimaldi and L. U. Perrinet, "Learning heterogeneous delays in a layer of spiking
       neurons for fast motion detection", 2023.

    Examples
    --------
    >>> from activome.encoding import band_texture
    >>> movies = EventMovie(
    ...     [band_texture(96, random_state=0)], 4, (1.0,), size=16, duration=20, random_state=0
    ... )
    >>> X, y, path = movies.sample(3)
    >>> X.shape, y.shape, path.shape
    ((3, 2, 20, 16, 16), (3, 20), (3, 20, 2))
    """

    def __init__(
        self,
        images: Sequence[ArrayLike],
        n_directions: int = 12,
        speeds: Sequence[float] = (0.5, 1.0, 2.0),
        *,
        size: int = 128,
        duration: int = 200,
        mean_block: float = 24.0,
        threshold: float = 0.5,
        random_state: RandomState = None,
    ) -> None:
        owner = "EventMovie"
        n = check_integer(n_directions, name="n_directions", owner=owner, low=1)
        self.size = check_integer(size, name="size", owner=owner, low=1)
        self.duration = check_integer(duration, name="duration", owner=owner, low=2)
        self.mean_block = check_number(mean_block, name="mean_block", owner=owner, low=0.0)
        self.threshold = check_number(threshold, name="threshold", owner=owner, low=0.0)
        if not len(speeds):
            raise ParameterError(f"{owner}: there must be at least one speed.")
        for speed in speeds:
            check_number(speed, name="speeds", owner=owner, low=0.0)
        angle = 2 * np.pi * np.arange(n) / n
        direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        self.velocities = np.concatenate([speed * direction for speed in speeds])
        self.images = [np.asarray(image, dtype=np.float64) for image in images]
        if not self.images:
            raise ActivityError(f"{owner}: there must be at least one image.")
        for k, image in enumerate(self.images):
            if image.ndim != 2 or min(image.shape) < self.size:
                raise ActivityError(
                    f"{owner}: images must be at least {size} x {size}; image {k} has the shape "
                    f"{image.shape}."
                )
            check_finite(image, owner=owner, axes=("row", "column"), what=f"image {k}")
        self._generator = make_generator(random_state)

    def __iter__(self) -> Iterator[tuple[Events, Array, Array]]:
        """Give movies without end: events, classes (n_bins,), and the path of the window."""
        while True:
            yield self._draw()

    def sample(self, n_movies: int) -> tuple[Array, Array, Array]:
        """Draw movies as rasters.

        Parameters
        ----------
        n_movies : int
            How many.

        Returns
        -------
        X : ndarray of bool, shape (n_movies, 2, duration, size, size)
            Where an event fell, polarity off and on.
        y : ndarray of int64, shape (n_movies, duration)
            Class of each bin.
        path : ndarray of float64, shape (n_movies, duration, 2)
            Column and row of the window on its image.

        Raises
        ------
        ActivityError
            If no walk of this length fits on an image.
        ResourceError
            If the movies would take more than 2 GiB.
        """
        n = check_integer(n_movies, name="n_movies", owner="EventMovie.sample", low=1)
        shape = (n, 2, self.duration, self.size, self.size)
        check_memory(
            float(np.prod(shape)), owner="EventMovie.sample", what=f"{n} movies", cure="Draw fewer."
        )
        X = np.zeros(shape, bool)
        y, path = np.empty((n, self.duration), np.int64), np.empty((n, self.duration, 2))
        for k in range(n):
            events, y[k], path[k] = self._draw()
            records = events.to_structured()
            bins = records["t"] // round(_DT / events.tick)
            X[k, (records["p"] > 0).astype(int), bins, records["y"], records["x"]] = True
        return X, y, path

    def _draw(self) -> tuple[Events, Array, Array]:
        image = self.images[int(self._generator.integers(len(self.images)))]
        room = np.array(image.shape[::-1], dtype=np.float64) - self.size
        for _ in range(_TRIES):
            y, walk = saccadic_walk(
                self.duration,
                -self.velocities,
                mean_block=self.mean_block,
                random_state=self._generator,
            )
            low, high = walk.min(axis=0), walk.max(axis=0)
            if (high - low <= room).all():
                break
        else:
            raise ActivityError(
                f"EventMovie: walks of {self.duration} ms must fit on the image; {_TRIES} in turn "
                f"left the one of {image.shape}. Give a larger image, or shorten them."
            )
        path = walk + self._generator.uniform(-low, np.maximum(room - high, -low))
        path = np.clip(path, 0.0, room)
        frames = moving_frames(image, path, (self.size, self.size))
        events = dvs_events(
            frames,
            _DT * np.arange(self.duration),
            self.threshold,
            interpolate=False,
            max_events_per_frame=1,
        )
        return events, y, path
