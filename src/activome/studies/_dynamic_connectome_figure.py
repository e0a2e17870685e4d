"""Figure of the study of the dynamic connectome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

Array = np.ndarray[Any, Any]
_COLOURS = ("#1b6ca8", "#e69f00", "#4a4a4a", "#7a8b3c", "#c0649b", "#56b4e9")
_STYLES = ("-", "--", ":", "-.", "-", "--")
_HATCHES = ("", "///", "...", "xx", "\\\\\\", "++")


def draw(
    planted: dict[str, Any],
    graphs: list[dict[str, Any]],
    motor: dict[str, Any],
    fmri: dict[str, Any] | None,
) -> Figure:
    """Draw planted motifs, scores on planted graphs, and a real recording."""
    n_columns = 3 if fmri is None else 4
    figure = plt.figure(figsize=(11, 9.6), layout="constrained")
    rows: Any = figure.subfigures(3, 1, height_ratios=[1, 0.8, 1.05])
    top = rows[0].subplots(1, 3)
    rows[0].suptitle("planted motifs: affinity of pairs, units in their order", fontsize=11)
    for k, axis in enumerate(top):
        _matrix(axis, planted["affinity"][k], f"component {k + 1}")
    times, animals, scores = rows[1].subplots(1, 3, width_ratios=[1.3, 0.8, 1.3])
    _times(times, planted)
    _animals(animals, planted)
    _scores(scores, graphs)
    bottom = rows[2].subplots(1, n_columns, width_ratios=[1, 1, 1.2, 1][:n_columns])
    rows[2].suptitle(
        "motor cortex, 30 units, sorted by community" + ("" if fmri is None else "; resting fMRI"),
        fontsize=11,
    )
    for k, axis in enumerate(bottom[:2]):
        if k < len(motor["affinity"]):
            _sorted(axis, motor["affinity"][k], motor["labels"][k], f"component {k + 1}")
        else:
            axis.set_axis_off()
    _motor_times(bottom[2], motor)
    if fmri is not None:
        _sorted(bottom[3], fmri["graph"], fmri["labels"], "regions, mean Fisher z")
    return figure


def _matrix(axis: Axes, matrix: Array, title: str) -> None:
    axis.imshow(matrix, cmap="Greys", interpolation="nearest")
    axis.set_title(title, fontsize=10)
    axis.set(xlabel="unit", ylabel="unit")


def _sorted(axis: Axes, matrix: Array, labels: Array, title: str) -> None:
    order = np.argsort(labels, kind="stable")
    _matrix(axis, matrix[np.ix_(order, order)], title)
    low = 0
    for size in np.bincount(labels):
        box = np.array([low, low + size]) - 0.5
        axis.plot(box[[0, 1, 1, 0, 0]], box[[0, 0, 1, 1, 0]], color="#c8553d", lw=1.4)
        low += size
    axis.set(xticks=[], yticks=[])


def _times(axis: Axes, planted: dict[str, Any]) -> None:
    for k, (found, truth) in enumerate(zip(planted["time"], planted["truth_times"], strict=True)):
        axis.fill_between(
            np.arange(truth.size), k, k + 0.9 * truth / truth.max(), color="0.88", lw=0
        )
        axis.plot(k + 0.9 * found / found.max(), color=_COLOURS[k], lw=1.2)
    axis.set(xlabel="sample", ylabel="component", yticks=np.arange(3) + 0.4, yticklabels=[1, 2, 3])
    axis.set_title("time course (grey: planted)", fontsize=10)


def _animals(axis: Axes, planted: dict[str, Any]) -> None:
    n = planted["trial"].shape[1]
    for k, loadings in enumerate(planted["trial"]):
        axis.bar(
            np.arange(n) + 0.27 * (k - 1), loadings / loadings.max(), 0.25, color=_COLOURS[k],
            hatch=_HATCHES[k], edgecolor="white", lw=0, label=str(k + 1),
        )  # fmt: skip
    axis.set(xlabel="animal", ylabel="loading", xticks=range(n), ylim=(0, 1.45))
    axis.legend(title="component", ncols=3, fontsize=7, title_fontsize=7, loc="upper center")
    axis.set_title("in which animals", fontsize=10)


def _scores(axis: Axes, graphs: list[dict[str, Any]]) -> None:
    y = np.arange(len(graphs))
    for key, shift, colour, hatch in (
        ("ours", -0.19, _COLOURS[0], ""), ("louvain", 0.19, "0.65", "///"),
    ):  # fmt: skip
        values = [float(row[key].mean()) for row in graphs]
        name = "block model" if key == "ours" else "Louvain"
        axis.barh(
            y + shift, values, 0.36, color=colour, hatch=hatch, edgecolor="white", lw=0, label=name
        )
    labels = [row["name"].replace(", ", "\n") for row in graphs]
    axis.set(yticks=y, xlim=(0, 1), xlabel="NMI with the planted groups")
    axis.set_yticklabels(labels, fontsize=7)
    axis.invert_yaxis()
    axis.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)


def _motor_times(axis: Axes, motor: dict[str, Any]) -> None:
    width = 20
    n = motor["time"].shape[1] // width * width
    seconds = (np.arange(n // width) + 0.5) * width * 0.05

    def coarse(values: Array) -> Array:
        means = values[:n].reshape(-1, width).mean(axis=1)
        return np.asarray(means / means.max())

    axis.fill_between(seconds, 0, 0.9 * coarse(motor["speed"]), color="0.88", lw=0)
    for k, course in enumerate(motor["time"]):
        axis.plot(
            seconds, k + 1 + 0.9 * coarse(course), color=_COLOURS[k % 6], ls=_STYLES[k % 6], lw=1.1
        )
    n_rows = len(motor["time"]) + 1
    axis.set(xlabel="time (s)", yticks=np.arange(n_rows) + 0.4)
    axis.set_yticklabels(["speed", *(str(k + 1) for k in range(n_rows - 1))], fontsize=8)
    axis.set_title("time course, 1 s means", fontsize=10)
