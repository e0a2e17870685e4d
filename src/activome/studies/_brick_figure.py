"""Figure of the study of bricks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import pyplot as plt

from activome.studies._relation_figure import draw_matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

_STYLES = {"best": ("o-", "best neuron"), "top": ("s-", "top 0.5 %"), "mean": ("-", "all")}


def draw(functions: Sequence[str], found: dict[str, Any]) -> Figure:
    """Draw what pruning costs, scores by layer, masking by share, and the overlaps."""
    figure, axes = plt.subplots(2, 2, figsize=(11, 9), layout="constrained")
    draw_matrix(
        axes[0, 0],
        100 * found["matrix"],
        functions,
        title="increase of perplexity (%), best 5 % of each layer off",
        labels=("pruned", "evaluated"),
        top=1000.0,
        digits=0,
    )
    _draw_scores(axes[0, 1], found)
    _draw_masking(axes[1, 0], found["curves"])
    draw_matrix(
        axes[1, 1],
        found["overlap"].values,
        functions,
        title="share of the best 5 % in common (chance 0.05)",
        labels=("best 5 % of", "also among those of"),
        top=0.1,
        digits=3,
    )
    return figure


def _draw_scores(axis: Axes, found: dict[str, Any]) -> None:
    blocks = np.arange(np.shape(found["best"])[1])
    shades = ("#0b3c5d", "#3f88b5", "#8a8a8a")
    for (key, (style, label)), shade in zip(_STYLES.items(), shades, strict=True):
        values = np.asarray(found[key])
        axis.fill_between(
            blocks, values.min(axis=0), values.max(axis=0), color=shade, alpha=0.2, lw=0
        )
        axis.plot(blocks, values.mean(axis=0), style, color=shade, ms=3, lw=1.5, label=label)
    axis.axhline(found["chance"], color="0.2", ls=":", lw=1.2, label="random order")
    axis.set(
        xlabel="block",
        ylabel="average precision",
        ylim=(0, 1.03),
        title="score by block, mean and range over functions",
    )
    axis.legend(frameon=False, fontsize=9, loc="center right", bbox_to_anchor=(1.0, 0.55))


def _draw_masking(axis: Axes, curves: dict[str, Any]) -> None:
    axis.set(
        xlabel="share of neurons masked, per layer and token (%)",
        ylabel="increase of perplexity (%)",
        title="the least active neurons masked",
    )
    if not curves:
        axis.text(0.5, 0.5, "full size only", ha="center", transform=axis.transAxes, color="0.4")
        return
    for (name, curve), style in zip(curves.items(), ("o-", "s--"), strict=True):
        shade = "#0b3c5d" if name == "activation" else "#c8553d"
        ratio, increase = np.asarray(curve["ratio"])[1:], np.asarray(curve["increase"])[1:]
        label = f"by {name}" if name == "activation" else "by output magnitude"
        axis.plot(100 * ratio, 100 * increase, style, color=shade, label=label)
    axis.set_yscale("symlog", linthresh=5.0)
    axis.axhline(0, color="0.8", lw=0.8, zorder=0)
    axis.grid(axis="y", color="0.9")
    axis.legend(frameon=False, fontsize=9)
