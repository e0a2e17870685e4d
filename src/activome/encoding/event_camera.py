"""A simulated event camera: pixels that report changes of brightness, each on its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import (
    DEFAULT_MEMORY_LIMIT,
    check_finite,
    check_integer,
    check_memory,
    check_number,
)
from activome._compile import kernel
from activome._random import RandomState, make_generator
from activome.activity._event_columns import to_ticks
from activome.activity.events import Events
from activome.errors import ActivityError

__all__ = ["dvs_events"]

Array = np.ndarray[Any, Any]
_TICK = 1e-6
_EVENT_BYTES = 40.0


def dvs_events(
    frames: ArrayLike,
    times: ArrayLike,
    threshold: float = 0.3,
    noise_rate: float = 0.0,
    *,
    interpolate: bool = True,
    max_events_per_frame: int | None = None,
    random_state: RandomState = None,
) -> Events:
    """Turn a movie into the events of a camera whose pixels report changes.

    Each pixel remembers a reference, at first its value in the first frame. Whenever its value has
    moved from the reference by the threshold, up or down, it sends an event of that polarity and
    moves the reference by one threshold: a change of three thresholds makes three events.

    Parameters
    ----------
    frames : array-like of float, shape (n_frames, n_rows, n_columns)
        Brightness in whatever scale the pixel compares; give the logarithm for a camera that
        compares ratios.
    times : array-like of float, shape (n_frames,)
        Times in s of the frames, strictly increasing.
    threshold : float in (0, inf), default=0.3
        Change per event, in the scale of the frames.
    noise_rate : float in [0, inf), default=0.0
        Rate in Hz at which each pixel sends events of random polarity, by itself.
    interpolate : bool, default=True
        Place an event where the straight line between two frames crosses its level; else at the
        time of the later frame.
    max_events_per_frame : int, optional
        Largest number of events of a pixel between two frames; what is left over stays in the
        reference and can fire with the next frame. By default no limit.
    random_state : int, Generator or None, default=None
        Seed of the noise.

    Returns
    -------
    Events
        Columns ``x``, ``y``, ``p`` (+1 or -1); the unit is ``y * n_columns + x``. The window is
        from the first to just after the last frame.

    Raises
    ------
    ActivityError
        If frames or times have another shape, are not finite, or times do not increase or are
        beyond the clock of the events.
    ParameterError
        If a number is outside its range.
    ResourceError
        If the events would take more than 2 GiB.

    Notes
    -----
    One pass over the frames to count the events, one to write them. Events of one microsecond are
    sorted by pixel. A value that moved by exactly the threshold counts as a crossing (our choice).

    References
    ----------
    .. [1] P. Lichtsteiner, C. Posch and T. Delbruck, "A 128x128 120 dB 15 us latency asynchronous
       temporal contrast vision sensor", 2008.

    Examples
    --------
    >>> movie = np.array([0.0, 1.0, 0.5])[:, None, None]
    >>> events = dvs_events(movie, [0.0, 0.01, 0.02], threshold=0.5)
    >>> events.time.tolist(), events.p.tolist()
    ([0.005, 0.01, 0.02], [1, 1, -1])
    """
    owner = "dvs_events"
    movie, stamps = _movie(frames, times)
    check_number(threshold, name="threshold", owner=owner, low=0.0)
    check_number(noise_rate, name="noise_rate", owner=owner, low=0.0, include_low=True)
    most = np.iinfo(np.int64).max
    if max_events_per_frame is not None:
        most = check_integer(max_events_per_frame, name="max_events_per_frame", owner=owner, low=1)
    flat = movie.reshape(len(movie), -1)
    empty = np.empty(0)
    room = int(DEFAULT_MEMORY_LIMIT / _EVENT_BYTES)
    n = _cross(flat, stamps, threshold, interpolate, most, room, empty, empty, empty)
    check_memory(
        _EVENT_BYTES * n, owner=owner, what=f"{n} events or more", cure="Raise the threshold."
    )
    time, pixel, sign = np.empty(n), np.empty(n, np.int64), np.empty(n, np.int8)
    if n:
        _cross(flat, stamps, threshold, interpolate, most, room, time, pixel, sign)
    if noise_rate:
        time, pixel, sign = _with_noise(
            (time, pixel, sign), stamps, flat.shape[1], noise_rate, make_generator(random_state)
        )
    t = np.rint(time / _TICK).astype(np.int64)
    order = np.lexsort((pixel, t))
    t, pixel, sign = t[order], pixel[order], sign[order]
    rows, columns = movie.shape[1:]
    return Events(
        t,
        pixel,
        x=pixel % columns,
        y=pixel // columns,
        p=sign,
        n_units=rows * columns,
        shape=(rows, columns),
        t_start=int(np.rint(stamps[0] / _TICK)),
        t_stop=int(np.rint(stamps[-1] / _TICK)) + 1,
        tick=_TICK,
        source="dvs_events",
    )


def _movie(frames: ArrayLike, times: ArrayLike) -> tuple[Array, Array]:
    owner = "dvs_events"
    movie, stamps = np.asarray(frames, dtype=np.float64), np.asarray(times, dtype=np.float64)
    if movie.ndim != 3 or len(movie) < 2 or movie.size == 0:
        raise ActivityError(
            f"{owner}: frames must have shape (n_frames, n_rows, n_columns) with at least two "
            f"frames; got {movie.shape}."
        )
    if stamps.shape != (len(movie),):
        raise ActivityError(
            f"{owner}: times must have one entry per frame ({len(movie)}); got {stamps.shape}."
        )
    check_finite(movie, owner=owner, axes=("frame", "row", "column"), what="frames")
    check_finite(stamps, owner=owner, axes=("frame",), what="times")
    if (np.diff(stamps) <= 0).any():
        first = int(np.argmax(np.diff(stamps) <= 0)) + 1
        raise ActivityError(
            f"{owner}: times must increase from frame to frame; frame {first} does not. Sort them."
        )
    to_ticks(stamps, _TICK, owner=owner)
    return movie, stamps


@kernel()
def _cross(
    flat: Array,
    stamps: Array,
    threshold: float,
    interpolate: bool,
    most: int,
    room: int,
    time: Array,
    pixel: Array,
    sign: Array,
) -> int:
    """Count the crossings of (n_frames, n_pixels), and write them into arrays that are not empty.

    Counting stops above ``room``: a threshold below the last digit of a value has no end of them.
    """
    n = 0
    writes = time.size > 0
    for j in range(flat.shape[1]):
        reference = flat[0, j]
        for k in range(1, flat.shape[0]):
            before, now = flat[k - 1, j], flat[k, j]
            left = most
            while abs(now - reference) >= threshold and left > 0:
                step = threshold if now > reference else -threshold
                reference += step
                left -= 1
                if writes:
                    share = 1.0
                    if interpolate and now != before:
                        # What a limit left over lies behind this frame: it fires at its start.
                        share = min(1.0, max(0.0, (reference - before) / (now - before)))
                    time[n] = stamps[k - 1] + share * (stamps[k] - stamps[k - 1])
                    pixel[n] = j
                    sign[n] = 1 if step > 0 else -1
                n += 1
                if n > room:
                    return n
    return n


def _with_noise(
    events: tuple[Array, Array, Array],
    stamps: Array,
    n_pixels: int,
    rate: float,
    generator: np.random.Generator,
) -> tuple[Array, Array, Array]:
    mean = rate * n_pixels * (stamps[-1] - stamps[0])
    check_memory(
        _EVENT_BYTES * mean,
        owner="dvs_events",
        what=f"{mean:.3g} noise events",
        cure="Lower noise_rate.",
    )
    n = int(generator.poisson(mean))
    time = generator.uniform(stamps[0], stamps[-1], n)
    pixel = generator.integers(n_pixels, size=n)
    sign = (2 * generator.integers(2, size=n) - 1).astype(np.int8)
    return (
        np.concatenate([events[0], time]),
        np.concatenate([events[1], pixel]),
        np.concatenate([events[2], sign]),
    )
