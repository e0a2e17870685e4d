"""The figure of the study on features of event streams."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from activome.activity.events import Events

__all__ = ["draw"]

Array = np.ndarray[Any, Any]


def draw(found: dict[str, Any], grid: Array | None, test: Events) -> Figure:
    """Draw features, the course of learning, one recording, and the label-free signal.

    Parameters
    ----------
    found : dict
        What was learned: weights, thresholds, shares, history, events, law and labels.
    grid : ndarray of float64, shape (n_counts, n_tau, 5), or None
        Quality, mean threshold and accuracies by number of features and time constant.
    test : Events
        Recordings that the labels belong to.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; it reads in grey.
    """
    figure = Figure(figsize=(11.0, 8.0), layout="constrained")
    axes = figure.subplot_mosaic(
        [["features", "course"], ["recording", "signal"]], height_ratios=[1.1, 1.0]
    )
    _features(axes["features"], found)
    _course(axes["course"], found)
    _recording(axes["recording"], found, test)
    _signal(axes["signal"], grid, found)
    return figure


def _features(axes: Axes, found: dict[str, Any]) -> None:
    weights = found["weights"]
    side = int(np.sqrt(weights.shape[1]))
    across = 8
    rows = -(-len(weights) // across)
    step_x, step_y = side + 3, side + 5
    canvas = np.full((rows * step_y, across * step_x), np.nan)
    for k, feature in enumerate(weights):
        top, left = (k // across) * step_y + 4, (k % across) * step_x + 1
        canvas[top : top + side, left : left + side] = np.sqrt(feature.reshape(side, side))
        text = f"{found['thresholds'][k]:.2f} | {100 * found['shares'][k]:.1f}"
        axes.text(left + side / 2 - 0.5, top - 0.8, text, ha="center", va="bottom", fontsize=6.5)
    axes.imshow(canvas, cmap="Greys")
    axes.set_axis_off()
    axes.set_title("root of the features; threshold | share won (%)")


def _course(axes: Axes, found: dict[str, Any]) -> None:
    events, history = found["events"] / 1000.0, found["history"]
    axes.plot(events, history[:, 1], color="black", lw=1.0, label="missed rate")
    axes.axhline(found["law"], color="black", ls="--", label="its law")
    axes.set(xlabel="events (thousands)", ylabel="missed rate")
    axes.set_title("learning")
    other = axes.twinx()
    other.plot(events, history[:, 2], color="tab:blue", ls="-.", label="mean threshold (right)")
    other.set_ylabel("mean threshold")
    axes.set_ylim(0, 1.25 * float(history[:, 1].max()))
    other.set_ylim(0, 1.25 * float(history[:, 2].max()))
    lines = [*axes.get_lines(), *other.get_lines()]
    axes.legend(
        lines, [str(line.get_label()) for line in lines], fontsize=8, loc="upper center", ncol=3
    )


def _recording(axes: Axes, found: dict[str, Any], test: Events) -> None:
    first = slice(*test.offsets[:2])
    records, label = test.to_structured()[first], found["labels"][first]
    seen = label >= 0
    shown = axes.scatter(
        1e3 * test.time[first][seen],
        records["y"][seen],
        c=label[seen],
        s=6,
        cmap="viridis",
        linewidths=0,
    )
    axes.get_figure().colorbar(shown, ax=axes, label="winning feature")  # type: ignore[union-attr]
    axes.invert_yaxis()
    axes.set(xlabel="time (ms)", ylabel="row (pixel)", title="one recording of three saccades")


def _signal(axes: Axes, grid: Array | None, found: dict[str, Any]) -> None:
    if grid is None:
        axes.bar(["raw events", "features"], [found["raw"], found["accuracy"]], color="0.5")
        axes.set(ylabel="accuracy", title="digits told apart", ylim=(0, 1))
        return
    for one, marker, count in zip(grid, "os^D", (4, 8, 16, 32), strict=True):
        order = np.argsort(one[:, 0])
        axes.plot(one[order, 0], one[order, 2], marker=marker, label=f"K = {count}", lw=0.8)
    axes.set(
        xlabel="quality without labels",
        ylabel="accuracy",
        title="the signal over six values of tau",
    )
    axes.legend(fontsize=8)
