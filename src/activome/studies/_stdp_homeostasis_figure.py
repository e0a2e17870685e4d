"""The figure of the study on the spatial pattern detector."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from activome.networks.spatial_pattern import SpatialPatternDetector

__all__ = ["draw"]

Array = np.ndarray[Any, Any]


def draw(by_distance: dict[int, dict[str, Array]]) -> Figure:
    """Draw voltages of three inputs, weights by presentation, and errors by distance.

    Parameters
    ----------
    by_distance : dict of int to dict
        ``extra`` and ``accuracy`` (n_pairs,) of pairs of patterns, by their Hamming distance.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; it reads in grey.
    """
    figure = Figure(figsize=(12.0, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _voltages(left)
    _weights(middle)
    distance = np.array(list(by_distance))
    extra = [by_distance[d]["extra"].mean() for d in by_distance]
    accuracy = [by_distance[d]["accuracy"].mean() for d in by_distance]
    right.bar(distance, extra, width=1.2, color="0.75", edgecolor="black")
    right.set(
        xlabel="Hamming distance of the two patterns (lines)",
        ylabel="false positives of 1,024 inputs (bars)",
        title="two patterns on one output",
        ylim=(0, 1024),
    )
    other = right.twinx()
    other.plot(distance, accuracy, "o-", color="black")
    other.set(ylabel="accuracy (line)", ylim=(0, 1.05))
    return figure


def _voltages(axes: Any) -> None:
    detector = SpatialPatternDetector().fit([[1] * 5 + [0] * 5])
    rows = [[1] * 5 + [0] * 5, [1] * 4 + [0] * 6, [1] * 6 + [0] * 4]
    seen = detector.activity(rows)
    styles = (("trained pattern", "-"), ("a line less", "--"), ("a line more", ":"))
    for k, (label, style) in enumerate(styles):
        axes.plot(seen["time"] * 1e3, seen["v"][k, :, 0], style, color="black", label=label, lw=1.5)
    axes.axhline(10.0, color="tab:red", lw=1.0)
    axes.text(20.0, 10.15, "threshold", ha="right", color="tab:red")
    axes.set(
        xlabel="time after the volley (ms)",
        ylabel="voltage above rest (mV)",
        title="recall, one stored pattern",
        ylim=(-0.5, 14.5),
    )
    axes.legend(loc="upper right", fontsize=8)


def _weights(axes: Any) -> None:
    patterns = np.array([[1, 1, 1, 1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 1, 1, 0, 0]])
    detector = SpatialPatternDetector().fit(patterns)
    shown = (1, 2, len(detector.history_))
    width = 0.27
    for k, n in enumerate(shown):
        at = np.arange(10) + (k - 1) * width
        axes.bar(
            at,
            detector.history_[n - 1, :, 0],
            width,
            color=("white", "0.7", "0.2")[k],
            edgecolor="black",
            label=f"excitation after {n}",
        )
    axes.bar(
        np.arange(10), -detector.w_inh_[:, 0], 0.8, hatch="///", color="white", edgecolor="black",
        label="inhibition at the end",
    )  # fmt: skip
    axes.axhline(0.0, color="black", lw=0.8)
    axes.set(
        xlabel="line",
        ylabel="weight (nA)",
        title="two patterns, lines 0-4 and 3-7",
        xticks=np.arange(10),
    )
    axes.legend(loc="lower left", fontsize=8, title="presentations", title_fontsize=8)
