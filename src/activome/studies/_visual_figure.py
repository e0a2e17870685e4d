"""Figure of the study of the visual decoder."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from activome.studies._visual_data import UNIT_COUNTS

__all__ = ["draw"]

Array = np.ndarray[Any, Any]
_DIRECTIONS = ("0°", "45°", "90°", "135°")
_CHANCE = 0.25


def draw(
    network: dict[str, Any],
    regression: dict[str, Any],
    matrices: dict[str, Array],
    course: dict[str, Any],
) -> Figure:
    """Draw confusion, accuracy by units, transfer with and without a map, and over time.

    Parameters
    ----------
    network, regression, course : dict
        What the steps return.
    matrices : dict of str to ndarray, shape (n_groups, n_groups)
        Accuracy by source and target, by the way of alignment.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.
    """
    figure = Figure(figsize=(11.4, 6.8), layout="constrained")
    axes = figure.subplots(2, 3)
    _table(axes[0, 0], network["confusion"], "d")
    axes[0, 0].set(title="Network, held-out trials", xlabel="named direction",
                   ylabel="shown direction")  # fmt: skip
    for place in (axes[0, 0].set_xticks, axes[0, 0].set_yticks):
        place(range(4), _DIRECTIONS)
    _units(axes[0, 1], regression["curve"])
    _course(axes[0, 2], course)
    for axis, way, title in (
        (axes[1, 0], "none", "Across groups, no map"),
        (axes[1, 1], "class-means", "Across groups, aligned"),
    ):
        _table(axis, matrices[way], ".2f", top=1.0)
        axis.set(title=title, xlabel="tested on group", ylabel="trained on group")
        for place in (axis.set_xticks, axis.set_yticks):
            place(range(len(matrices[way])), range(1, len(matrices[way]) + 1))
    _spread(axes[1, 2], matrices)
    for axis in axes.flat:
        axis.title.set_fontsize(10)
    return figure


def _table(axis: Any, values: Array, form: str, top: float | None = None) -> None:
    highest = float(values.max()) if top is None else top
    axis.imshow(values, cmap="Greys", vmin=0, vmax=highest)
    size = 8 if len(values) <= 4 else 6.5
    for (row, column), value in np.ndenumerate(values):
        axis.text(column, row, format(value, form), ha="center", va="center", fontsize=size,
                  color="white" if value > 0.55 * highest else "black")  # fmt: skip


def _units(axis: Any, curve: Array) -> None:
    sizes = UNIT_COUNTS if len(curve) == len(UNIT_COUNTS) else (10, 100)
    for size, draws in zip(sizes, curve, strict=True):
        axis.plot([size] * len(draws), draws, ".", color="0.6")
    axis.plot(sizes, curve.mean(axis=1), "k-o", label="mean of the draws (grey)")
    axis.axhline(_CHANCE, color="0.5", lw=1, ls=":", label="chance")
    axis.set(xscale="log", xlabel="units", ylabel="accuracy", ylim=(0, 1.05),
             title="Logistic regression by number of units")  # fmt: skip
    axis.legend(loc="lower right", fontsize=8.5)


def _course(axis: Any, course: dict[str, Any]) -> None:
    times = 1000 * course["times"]
    axis.plot(times, course["scores"], "k-o", label="bins of 10 ms")
    axis.axhline(course["limit"], color="C1", ls="--", label="1 % level")
    axis.axhline(_CHANCE, color="0.5", lw=1, ls=":", label="chance")
    axis.set(xlabel="time after onset (ms)", ylabel="balanced accuracy", ylim=(0, 1.05),
             title="Decoding over time")  # fmt: skip
    axis.legend(loc="upper left", fontsize=8)


def _spread(axis: Any, matrices: dict[str, Array]) -> None:
    own = np.diag(matrices["none"])
    off = ~np.eye(len(own), dtype=bool)
    rows = {"own group": own} | {
        {"none": "no map", "class-means": "ridge map", "procrustes": "rotation"}[way]: matrix[off]
        for way, matrix in matrices.items()
    }
    rng = np.random.default_rng(0)
    for place, values in enumerate(rows.values()):
        jitter = rng.uniform(-0.15, 0.15, size=values.size)
        axis.plot(place + jitter, values, ".", color="0.6")
        axis.plot([place - 0.25, place + 0.25], [values.mean()] * 2, "k-", lw=2)
    axis.axhline(_CHANCE, color="0.5", lw=1, ls=":")
    axis.axhline(0.91, color="C1", lw=1, ls="--", label="paper, other animals")
    axis.set_xticks(range(len(rows)), list(rows), fontsize=8.5)
    axis.set(ylabel="accuracy", ylim=(0, 1.05), title="Every pair of groups (bars: means)")
    axis.legend(loc="lower right", fontsize=8.5)
