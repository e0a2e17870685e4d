"""The figure of the study on heterogeneous delays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["draw"]

Array = np.ndarray[Any, Any]


def draw(
    found: dict[str, Any], shares: Sequence[float], again: Mapping[int, float], n_directions: int
) -> Figure:
    """Draw the kernels, accuracy against what is kept, and one movie.

    Parameters
    ----------
    found : dict
        Weights, accuracies and labels of one layer.
    shares : sequence of float
        Shares of weights kept, of ``found["pruned"]``.
    again : mapping of int to float
        Accuracy by number of delays of layers learned anew; may be empty.
    n_directions : int
        Directions.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; it reads in grey.
    """
    figure = Figure(figsize=(11.5, 7.0), layout="constrained")
    axes = figure.subplot_mosaic(
        [["kernels", "kept"], ["kernels", "movie"]], width_ratios=[1.15, 1.0]
    )
    _kernels(axes["kernels"], found["weight"])
    _kept(axes["kept"], found, shares, again, n_directions)
    _movie(axes["movie"], found, n_directions)
    return figure


def _kernels(axes: Axes, weight: Array) -> None:
    """Tile ON less OFF: a row per direction, a column per delay, the longest on the left."""
    odd = (weight[:, 1] - weight[:, 0])[:, ::-1]
    n_classes, n_delays, side, _ = odd.shape
    canvas = np.full((n_classes * (side + 1) - 1, n_delays * (side + 1) - 1), np.nan)
    for c in range(n_classes):
        for d in range(n_delays):
            top, left = c * (side + 1), d * (side + 1)
            canvas[top : top + side, left : left + side] = odd[c, d]
    limit = float(np.quantile(np.abs(odd), 0.995))
    shown = axes.imshow(canvas, cmap="gray", vmin=-limit, vmax=limit)
    middle = (side - 1) / 2
    delays = [str(d) for d in range(n_delays - 1, -1, -1)]
    axes.set_xticks(middle + (side + 1) * np.arange(n_delays), delays)
    angles = [f"{360 * c / n_classes:.0f}°" for c in range(n_classes)]
    axes.set_yticks(middle + (side + 1) * np.arange(n_classes), angles)
    axes.set(xlabel="delay (ms)", ylabel="direction (downwards from the x axis)")
    axes.set_title("weights, ON less OFF")
    figure = axes.get_figure()
    if isinstance(figure, Figure):
        figure.colorbar(shown, ax=axes, shrink=0.6)


def _kept(
    axes: Axes,
    found: dict[str, Any],
    shares: Sequence[float],
    again: Mapping[int, float],
    n_directions: int,
) -> None:
    axes.plot(shares, found["pruned"], "ko-", label="strongest weights")
    few = shares[: len(found["shortened"])]
    axes.plot(few, found["shortened"], "s--", color="0.35", label="shortest delays")
    if again:
        longest = max(again)
        order = sorted(again)
        axes.plot(
            [n / longest for n in order],
            [again[n] for n in order],
            "^:",
            color="tab:blue",
            label="shortest delays, learned anew",
        )
    axes.axhline(1 / n_directions, color="0.6", lw=1.0, label="chance")
    axes.set(xscale="log", ylim=(0, 1.5), xlabel="share kept", ylabel="accuracy")
    axes.set_yticks(np.arange(0.0, 1.01, 0.2))
    axes.set_title("new textures")
    axes.legend(fontsize=8, loc="upper left")


def _movie(axes: Axes, found: dict[str, Any], n_directions: int) -> None:
    angle = 360 / n_directions
    truth, label = found["truth"][0] * angle, found["labels"][0] * angle
    time = np.arange(truth.size)
    axes.step(time, truth, where="mid", color="0.6", lw=4, label="true")
    axes.plot(time, label, "k.", ms=6, label="read from events")
    axes.set(xlabel="time (ms)", ylabel="direction (degrees)", ylim=(-20, 420))
    axes.set_yticks(angle * np.arange(n_directions))
    axes.set_title("one movie")
    axes.legend(fontsize=8, loc="upper right", ncol=2)
