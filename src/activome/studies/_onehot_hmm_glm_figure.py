"""Figure of the study of switching regressions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

_STYLES = {"none": ("no prior", "#e69f00", "s:"), "gaussian": ("Gaussian", "#56b4e9", "^--"),
           "onehot": ("one-hot", "#00588f", "o-")}  # fmt: skip
_STATES = ("#00588f", "#e69f00", "#007a5a", "#c0649b", "#56b4e9")
_SHOWN = 400


def draw(network: dict[str, Any], recording: dict[str, Any]) -> Figure:
    """Draw planted and found weights, the states under a raster, and held-out likelihoods."""
    figure = plt.figure(figsize=(12, 8.4), layout="constrained")
    grid = figure.add_gridspec(3, 4, height_ratios=(1, 1, 1.05))
    _draw_weights(figure, grid, network)
    left = grid[2, :2].subgridspec(2, 1, height_ratios=(3, 1), hspace=0.05)
    _draw_raster(figure.add_subplot(left[0]), figure.add_subplot(left[1]), network)
    right = grid[2, 2:].subgridspec(1, 2)
    _draw_scores(figure.add_subplot(right[0]), recording)
    _draw_probabilities(figure.add_subplot(right[1]), recording)
    return figure


def _draw_weights(figure: Figure, grid: Any, network: dict[str, Any]) -> None:
    planted, found = network["weights"], network["found"]
    limit = float(np.abs(planted).max())
    axes = []
    for row, (name, weights) in enumerate((("planted", planted), ("found", found))):
        panels = [(f"{name}, state {s + 1}", weights[s]) for s in range(3)]
        if row == 0:
            panels.append(("planted, mean over states", planted.mean(axis=0)))
        else:
            prior = network["prior"]
            panels.append(
                ("found prior, excitation less inhibition", prior[..., 2] - prior[..., 0])
            )
        for column, (title, values) in enumerate(panels):
            axis = figure.add_subplot(grid[row, column])
            image = axis.imshow(values, cmap="PuOr_r", vmin=-limit, vmax=limit)
            axis.set_title(title, fontsize=9.5)
            axis.set(xticks=[], yticks=[])
            if column == 0:
                axis.set_ylabel("to unit")
            if row == 1:
                axis.set_xlabel("from unit")
            axes.append(axis)
    figure.colorbar(image, ax=axes, shrink=0.5, label="weight")


def _draw_raster(top: Axes, bottom: Axes, network: dict[str, Any]) -> None:
    raster = network["raster"][:_SHOWN]
    top.imshow(np.minimum(raster.T, 2), aspect="auto", cmap="Greys", interpolation="nearest")
    top.set(title="a test sequence: counts, and states below", ylabel="unit", xticks=[], yticks=[])
    for row, path in enumerate((network["path"], network["guess"])):
        for s, colour in enumerate(_STATES):
            inside = path[:_SHOWN] == s
            bottom.fill_between(
                np.arange(len(inside)), 1 - row + 0.05, 1.95 - row, where=inside, color=colour,
                lw=0, step="mid",
            )  # fmt: skip
    bottom.set(xlim=(-0.5, _SHOWN - 0.5), ylim=(0, 2), yticks=(0.5, 1.5), xlabel="bin")
    bottom.set_yticklabels(["found", "true"])


def _draw_scores(axis: Axes, recording: dict[str, Any]) -> None:
    score = recording["score"]
    one = score[1, "none"]
    numbers = sorted({n for n, _ in score if n > 1})
    for prior, (name, colour, style) in _STYLES.items():
        values = [0.0, *(1e3 * (score[n, prior] - one) for n in numbers)]
        axis.plot([1, *numbers], values, style, color=colour, label=name, ms=5)
    axis.axhline(0, color="0.6", lw=0.8)
    axis.set(
        xticks=[1, *numbers], xlabel="number of states", ylabel="held out, 0.001 nats",
        title=f"{recording['name']}, beyond one state",
    )  # fmt: skip
    axis.legend(frameon=False, fontsize=8.5)


def _draw_probabilities(axis: Axes, recording: dict[str, Any]) -> None:
    probabilities = recording["probabilities"][:_SHOWN]
    axis.stackplot(np.arange(len(probabilities)), probabilities.T, colors=_STATES, lw=0)
    axis.set(
        xlim=(0, len(probabilities) - 1), ylim=(0, 1), xlabel="bin of 50 ms",
        ylabel="probability of a state", title="held-out bins, one-hot",
    )  # fmt: skip
