"""Figure of the study of relation-specific neurons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "draw_matrix"]

Array = np.ndarray[Any, Any]
_SHADES = ("#0b3c5d", "#c8553d", "#8a8a8a")


def draw(
    relations: Sequence[str],
    matrices: dict[int, dict[str, Array]],
    random: dict[int, Array],
    curve: dict[int, Array],
    found: dict[str, Any],
    overlap: Any,
    n_shared: int,
) -> Figure:
    """Draw the drops, the curves over the number of units, the layers and the overlaps."""
    figure, axes = plt.subplots(2, 2, figsize=(11, 9.2), layout="constrained")
    draw_matrix(
        axes[0, 0],
        matrices[150]["drop"],
        relations,
        title="150 units off: share of facts lost",
        labels=("switched off", "evaluated"),
    )
    _draw_curves(axes[0, 1], matrices, random, curve)
    _draw_layers(axes[1, 0], relations, found)
    draw_matrix(
        axes[1, 1],
        overlap.values,
        relations,
        title=f"share of {n_shared} units in common",
        labels=("units of", "also among those of"),
        top=max(0.1, float(overlap.values[~np.eye(len(relations), dtype=bool)].max())),
    )
    return figure


def draw_matrix(
    axis: Axes,
    values: Array,
    names: Sequence[str],
    *,
    title: str,
    labels: tuple[str, str],
    top: float = 1.0,
    digits: int = 2,
) -> None:
    """Draw a matrix with its numbers; what is above ``top`` has the darkest shade."""
    image = axis.imshow(values, cmap="Greys", vmin=0.0, vmax=top)
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            colour = "white" if value > 0.6 * top else "black"
            text = f"{value:.{digits}f}"
            axis.text(j, i, text, ha="center", va="center", color=colour, fontsize=8)
    axis.set(
        xticks=range(len(names)),
        yticks=range(len(names)),
        yticklabels=names,
        title=title,
        ylabel=labels[0],
        xlabel=labels[1],
    )
    axis.yaxis.labelpad = 8
    axis.set_xticklabels(names, rotation=40, ha="right", rotation_mode="anchor")
    figure = axis.get_figure()
    if figure is not None:
        figure.colorbar(image, ax=axis, shrink=0.7, extend="both" if values.min() < 0 else "max")


def _draw_curves(
    axis: Axes,
    matrices: dict[int, dict[str, Array]],
    random: dict[int, Array],
    curve: dict[int, Array],
) -> None:
    ks = sorted(curve)
    own = np.array([curve[k] for k in ks])
    for column in own.T:
        axis.plot(ks, column, color=_SHADES[0], lw=0.6, alpha=0.5)
    axis.plot(ks, own.mean(axis=1), "o-", color=_SHADES[0], lw=2.2, label="own relation, mean")
    some = sorted(matrices)
    off = ~np.eye(own.shape[1], dtype=bool)
    other = [matrices[k]["drop"][off].mean() for k in some]
    axis.plot(some, other, "s--", color=_SHADES[1], lw=1.6, label="other relations, mean")
    drawn = [random[k].mean() for k in sorted(random)]
    axis.plot(sorted(random), drawn, "^:", color=_SHADES[2], lw=1.6, label="random, same layers")
    axis.axhline(0, color="0.8", lw=0.8, zorder=0)
    axis.set(
        xscale="log",
        xlabel="units off, of 46,080",
        ylabel="share of facts lost",
        title="more units, more facts lost",
    )
    axis.set_xticks(ks, [str(k) for k in ks])
    axis.minorticks_off()
    axis.legend(frameon=False, fontsize=9)


def _draw_layers(axis: Axes, relations: Sequence[str], found: dict[str, Any]) -> None:
    n_layers = int(max(found["layer"])) + 1
    counts = np.zeros((len(relations), n_layers))
    for i, relation in enumerate(relations):
        first = np.asarray(found["orders"][relation]["average precision"])[:150]
        counts[i] = np.bincount(np.asarray(found["layer"])[first], minlength=n_layers)
    bottom = np.zeros(n_layers)
    for i, relation in enumerate(relations):
        shade = plt.cm.viridis(0.05 + 0.9 * i / max(len(relations) - 1, 1))
        axis.bar(range(n_layers), counts[i], 0.85, bottom=bottom, color=shade, label=relation)
        bottom += counts[i]
    axis.set(
        xlabel="block",
        ylabel="units among the first 150",
        title="where the units are",
        ylim=(0, 1.35 * bottom.max()),
    )
    axis.legend(
        frameon=False, fontsize=7.5, loc="upper left", ncols=3, columnspacing=1.0, handlelength=1.2
    )
