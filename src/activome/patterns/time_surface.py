"""Time surfaces: how long ago each pixel last fired, as a picture that fades."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_choice, check_finite, check_integer, check_memory, check_number
from activome.activity._event_columns import to_ticks
from activome.errors import ActivityError
from activome.patterns._feast_kernels import contexts_at, surfaces_at
from activome.patterns._pixel_events import empty_surface, read_pixel_events

__all__ = ["event_contexts", "time_surface"]

Array = np.ndarray[Any, Any]


def time_surface(
    events: Any, times: ArrayLike, tau: float = 30e-3, *, polarity: str = "separate"
) -> Array:
    """Show at some times how recently every pixel fired: ``exp((T - t) / tau)``.

    ``T`` is the time of the last event of the pixel up to and including ``t``; pixels that never
    fired show 0.

    Parameters
    ----------
    events : Events or xarray.DataArray
        Events of one trial with pixels, or counts over (time, unit) whose units have coords x and
        y.
    times : array-like of float, shape (n_times,)
        When to look, s, not decreasing.
    tau : float in (0, inf), default=30e-3
        Time constant, s.
    polarity : {"separate", "merge"}, default="separate"
        One plane per polarity (negative first), or one for both.

    Returns
    -------
    ndarray of float64, shape (n_times, n_planes, n_rows, n_columns)
        Values in [0, 1].

    Raises
    ------
    ActivityError
        If there are no events or no pixels, there is more than one trial, or times decrease or are
        not finite.
    ParameterError
        If a parameter is outside its range.
    ResourceError
        If the surfaces would take more than 2 GiB.

    References
    ----------
    .. [1] X. Lagorce, G. Orchard, F. Galluppi, B. E. Shi and R. B. Benosman, "HOTS: a hierarchy of
       event-based time-surfaces for pattern recognition", 2017.

    Examples
    --------
    >>> from activome.activity import Events
    >>> events = Events.from_times([0.0, 0.01], [0, 1], x=[0, 1], y=[0, 0], p=[1, 1])
    >>> time_surface(events, [0.01], tau=0.01)[0, 1].round(4).tolist()
    [[0.3679, 1.0]]
    """
    owner = "time_surface"
    tau = check_number(tau, name="tau", owner=owner, low=0.0)
    check_choice(polarity, ("separate", "merge"), name="polarity", owner=owner)
    read = read_pixel_events(events, polarity, owner)
    if read.events.n_trials > 1:
        raise ActivityError(
            f"{owner}: events must be of one trial; got {read.events.n_trials}. Select one."
        )
    stamps = np.asarray(times, dtype=np.float64).reshape(-1)
    check_finite(stamps, owner=owner, axes=("time",), what="times", cure="Drop them.")
    if (np.diff(stamps) < 0).any():
        raise ActivityError(f"{owner}: times must not decrease. Sort them.")
    shape = (stamps.size, read.n_planes, *read.shape)
    check_memory(
        8.0 * float(np.prod(shape, dtype=np.float64)),
        owner=owner,
        what=f"surfaces of shape {shape}",
        cure="Look at fewer times.",
    )
    surface = np.zeros(shape)
    ticks = to_ticks(stamps, read.events.tick, owner=owner)
    surfaces_at(read.columns, ticks, read.events.tick / tau, surface)
    return surface


def event_contexts(
    events: Any,
    index: ArrayLike,
    radius: int = 4,
    tau: float = 30e-3,
    *,
    polarity: str = "separate",
) -> Array:
    """Return what some events see around them: the time surface of their patch, of unit norm.

    Parameters
    ----------
    events : Events or xarray.DataArray
        Events with pixels; every trial begins with an empty surface.
    index : array-like of int, shape (n_chosen,)
        Positions of the events, increasing.
    radius : int, default=4
        Pixels on each side of the event; the patch has ``(2 radius + 1)**2``. Pixels outside the
        sensor are 0.
    tau : float in (0, inf), default=30e-3
        Time constant, s.
    polarity : {"separate", "merge", "signed"}, default="separate"
        Whether an event sees its own polarity, both, or the other one as negative.

    Returns
    -------
    ndarray of float64, shape (n_chosen, patch_size)
        Contexts, rows of the patch one after the other.

    Raises
    ------
    ActivityError
        If there are no events or no pixels, or positions do not increase or are out of range.
    ParameterError
        If a parameter is outside its range.

    Examples
    --------
    >>> from activome.activity import Events
    >>> events = Events.from_times([0.0, 0.01], [0, 1], x=[0, 1], y=[0, 0], p=[1, 1])
    >>> event_contexts(events, [1], radius=1, tau=0.01).round(4).tolist()
    [[0.0, 0.0, 0.0, 0.3453, 0.9385, 0.0, 0.0, 0.0, 0.0]]
    """
    owner = "event_contexts"
    radius = check_integer(radius, name="radius", owner=owner, low=0)
    tau = check_number(tau, name="tau", owner=owner, low=0.0)
    read = read_pixel_events(events, polarity, owner)
    chosen = np.asarray(index, dtype=np.int64).reshape(-1)
    n = read.events.n_events
    if chosen.size and not (
        chosen[0] >= 0 and chosen[-1] < n and bool((np.diff(chosen) > 0).all())
    ):
        raise ActivityError(f"{owner}: index must increase within [0, {n - 1}]. Sort it.")
    context = np.zeros((chosen.size, (2 * radius + 1) ** 2))
    surface = empty_surface(read, radius)
    contexts_at(read.columns, surface, read.events.tick / tau, chosen, context)
    return context
