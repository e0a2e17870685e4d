"""Figure of the study of instance scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

__all__ = ["draw"]

Array = np.ndarray[Any, Any]
_WAYS = {"truth": "truth itself", "colour": "colour clustering", "pieces": "connected components"}
_STYLES = ("k:", "k-o", "C1--s")


def draw(volume: dict[str, Any]) -> Figure:
    """Draw projections of an invented volume, the table of clDice, centre lines and F1.

    Parameters
    ----------
    volume : dict
        What ``tube_volume`` returns.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.
    """
    figure = Figure(figsize=(11.4, 7.4), layout="constrained")
    axes = figure.subplots(2, 3)
    shown, colour = volume["shown"], volume["colour"]
    axes[0, 0].imshow(np.clip(np.moveaxis(shown["image"], 0, -1), 0, 1))
    axes[0, 0].set_title("Volume, brightest voxel along z")
    _instances(axes[0, 1], shown["truth"], np.arange(shown["truth"].max() + 1))
    axes[0, 1].set_title("True instances (front one where they cross)")
    _instances(axes[0, 2], shown["found"], _same_colours(shown["found"], colour["pairs"]))
    axes[0, 2].set_title(f"Colour clustering, S = {colour['S']:.2f}")
    _likeness(figure, axes[1, 0], colour["likeness"])
    _lines(axes[1, 1], shown)
    thresholds = 0.1 * np.arange(1, 10)
    for (way, name), style in zip(_WAYS.items(), _STYLES, strict=True):
        axes[1, 2].plot(thresholds, volume[way]["f1"], style, label=name)
    axes[1, 2].set(xlabel="least clDice of a match", ylabel="F1", ylim=(-0.02, 1.06),
                   title="F1 against the threshold")  # fmt: skip
    axes[1, 2].legend(loc="lower left", fontsize=8.5)
    for axis in (*axes[0], axes[1, 1]):
        axis.set(xticks=[], yticks=[])
    for axis in axes.flat:
        axis.title.set_fontsize(10)
    return figure


def _same_colours(found: Array, pairs: Array) -> Array:
    """Return the colour of each found instance: that of its truth, or a further one."""
    colours = np.zeros(int(found.max()) + 1, dtype=np.int64)
    colours[1:] = np.arange(1, colours.size) + 9
    for truth, number in np.asarray(pairs, dtype=np.int64):
        colours[number + 1] = truth + 1
    return colours


def _instances(axis: Any, labels: Array, colours: Array) -> None:
    table = np.vstack([[[0.0, 0.0, 0.0, 1.0]], colormaps["tab20"](np.arange(0, 40) % 20)])
    axis.imshow(colours[labels], cmap=ListedColormap(table), vmin=0, vmax=len(table) - 1,
                interpolation="nearest")  # fmt: skip


def _likeness(figure: Figure, axis: Any, likeness: Array) -> None:
    image = axis.imshow(likeness, cmap="Greys", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(likeness):
        if value >= 0.005:
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8,
                      color="white" if value > 0.55 else "black")  # fmt: skip
    rows, columns = likeness.shape
    axis.set_xticks(range(columns), range(1, columns + 1))
    axis.set_yticks(range(rows), range(1, rows + 1))
    axis.set(xlabel="found", ylabel="true", title="clDice of every pair")
    figure.colorbar(image, ax=axis, shrink=0.8)


def _lines(axis: Any, shown: dict[str, Any]) -> None:
    y, x = shown["line"].T
    is_covered = shown["covered"]
    axis.plot(x[is_covered], y[is_covered], ".", color="0.6", ms=3, label="inside a prediction")
    axis.plot(x[~is_covered], y[~is_covered], "x", color="#c8553d", ms=5, label="missed")
    height, width = shown["truth"].shape
    axis.set(xlim=(0, width), ylim=(height, 0), aspect="equal", title="True centre lines")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2, fontsize=8.5)
