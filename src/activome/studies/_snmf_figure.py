"""Figure of the study of semi-nonnegative factorisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import pyplot as plt

from activome.activity.matching import match_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

_COLOURS = ("#1b6ca8", "#c8553d", "#7a8b3c")


def draw(
    exact: list[dict[str, Any]],
    recordings: list[dict[str, Any]],
    number: list[dict[str, Any]],
    methods: Sequence[str],
) -> Figure:
    """Draw loss curves, ensembles found by each method, their cosines, and the stability curve."""
    figure, axes = plt.subplots(
        2, 3, figsize=(12, 6.6), layout="constrained", width_ratios=(1, 1, 1)
    )
    _draw_loss(axes[0, 0], exact)
    recording = recordings[0]
    _draw_ensembles(axes[0, 1], recording["truth"], "planted ensembles: up red, down blue")
    for axis, name in zip((axes[0, 2], axes[1, 0]), methods[:2], strict=True):
        found = recording[name]["components"]
        order = match_rows(recording["truth"], found).columns
        _draw_ensembles(axis, found[order], f"found by {name}")
    _draw_cosines(axes[1, 1], recordings, methods)
    _draw_stability(axes[1, 2], number)
    for axis in axes.flat:
        axis.title.set_fontsize(10.5)
    return figure


def _draw_loss(axis: Axes, exact: list[dict[str, Any]]) -> None:
    for i, entry in enumerate(exact):
        for curve in entry["curves"]:
            axis.plot(np.arange(1, len(curve) + 1), curve, color=plt.cm.viridis(i / 5), lw=0.9)
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="iteration",
        ylabel="share left unexplained",
        title="planted matrices, from several starts",
    )
    axis.axhline(0.05**2 / (1 + 0.05**2), color="0.4", ls=":", lw=1)
    axis.text(1.1, 0.05**2 * 1.08, "noise", color="0.4", fontsize=8)


def _draw_ensembles(axis: Axes, features: np.ndarray[Any, Any], title: str) -> None:
    scale = np.abs(features).max(axis=1, keepdims=True)
    shown = np.divide(features, scale, out=np.zeros_like(features), where=scale > 0)
    axis.imshow(shown, aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    axis.set(xlabel="unit", ylabel="ensemble", title=title, yticks=range(len(features)))


def _draw_cosines(axis: Axes, recordings: list[dict[str, Any]], methods: Sequence[str]) -> None:
    for i, (name, colour) in enumerate(zip(methods, _COLOURS, strict=True)):
        values = np.concatenate([recording[name]["cosine"] for recording in recordings])
        spread = np.linspace(-0.2, 0.2, values.size)
        axis.scatter(values, i + spread, color=colour, s=18, alpha=0.7, lw=0, zorder=3)
        axis.plot([values.mean()] * 2, [i - 0.35, i + 0.35], color=colour, lw=2)
    labels = [
        name.replace(" of the", "\nof the").replace("Learning", "-\nLearning") for name in methods
    ]
    axis.set(
        yticks=range(len(methods)),
        yticklabels=labels,
        xlim=(-0.03, 1.03),
        ylim=(len(methods) - 0.5, -0.5),
        xlabel="cosine with the planted ensemble",
        title="all recordings, 6 parts each",
    )
    axis.grid(axis="x", color="0.9")


def _draw_stability(axis: Axes, number: list[dict[str, Any]]) -> None:
    for entry in number:
        axis.plot(entry["candidates"], entry["stability"], "o-", color=_COLOURS[0], lw=1, ms=3)
        low, high = np.quantile(entry["null"], [0.025, 0.975], axis=0)
        axis.fill_between(entry["candidates"], low, high, color="0.8", alpha=0.5, lw=0)
    axis.axvline(6, color="0.4", ls=":", lw=1)
    axis.set(
        xlabel="number of parts",
        ylabel="stability between halves",
        ylim=(-0.1, 1.02),
        title="recordings blue, shifted units grey",
    )
