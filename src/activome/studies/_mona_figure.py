"""Figure of the study on data selection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

_DARK, _LIGHT = "#0b3c5d", "#d98b5f"
_N_SHOWN = 100


def draw(found: Any, relations: Sequence[str], *, is_full: bool) -> Figure:
    """Draw precision by method and by layer, and the profiles of two relations.

    Parameters
    ----------
    found : object
        What the study found.
    relations : sequence of str
        Their names.
    is_full : bool
        Whether there are several layers and all baselines.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.
    """
    figure, axes = plt.subplots(2, 2, figsize=(11.5, 7.6), layout="constrained")
    _methods(axes[0, 0], found)
    if is_full:
        _depths(axes[1, 0], found)
    else:
        axes[1, 0].set_axis_off()
    layer, seed = next(iter(found.codes))
    pair = (0, list(relations).index("plural"))
    names = [relations[i] for i in pair]
    _profiles(axes[0, 1], found.raw["prototypes"][list(pair)], names, "raw activity")
    codes = found.codes[layer, seed]
    title = f"components, index {_index(codes['prototypes'], pair):.2f}"
    _profiles(axes[1, 1], codes["prototypes"][list(pair)], names, title)
    return figure


def _index(prototypes: Any, pair: tuple[int, int]) -> float:
    one, two = prototypes[pair[0]], prototypes[pair[1]]
    return float(np.minimum(one, two).sum() / np.maximum(one, two).sum())


def _methods(axes: Axes, found: Any) -> None:
    rows = {}
    for k in (7, 64):
        for metric in ("jaccard", "cosine", "euclidean"):
            rows[f"components, {k} active, {metric}"] = found.mean(f"{metric} {k}")
    rows |= {name: float(share.mean()) for name, share in found.others.items()}
    rows["BM25"] = float(found.words.mean())
    values = list(rows.values())
    colours = [_DARK if name.startswith("components") else _LIGHT for name in rows]
    bars = axes.barh(list(rows), values, color=colours, edgecolor="black", linewidth=0.5)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
    axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=4, fontsize=8, bbox=box)
    axes.axvline(found.chance, color="black", linestyle=":", label="chance")
    axes.invert_yaxis()
    axes.set(xlabel="precision, mean over relations", xlim=(0, 1.12 * max(values)))
    axes.set_title("Texts of a relation, selected by a few questions")
    axes.legend(fontsize=8, loc="lower right")
    axes.tick_params(axis="y", labelsize=8)


def _depths(axes: Axes, found: Any) -> None:
    layers = sorted({layer for layer, _ in found.codes})
    styles = (("jaccard", "-o", _DARK), ("cosine", "--s", "0.45"), ("euclidean", ":^", _LIGHT))
    for metric, style, colour in styles:
        means = [found.mean(f"{metric} 64", layer) for layer in layers]
        axes.plot(layers, means, style, color=colour, label=metric)
    axes.axhline(found.chance, color="black", linestyle=":", linewidth=1)
    axes.text(layers[0], 0.95 * found.chance, "chance", fontsize=8, va="top")
    axes.set(xlabel="block whose output is read, of 0 to 29", ylabel="precision", ylim=(0, None))
    axes.set_title("64 active components: precision against depth")
    axes.set_xticks(layers)
    axes.legend(fontsize=8)


def _profiles(axes: Axes, prototypes: Any, names: Sequence[str], title: str) -> None:
    """Show the strongest dimensions, one relation up and one down, by their difference."""
    shown = np.argsort(-np.abs(prototypes).sum(axis=0))[:_N_SHOWN]
    one, two = np.abs(prototypes[:, shown])
    order = np.argsort(two - one)
    peak = max(one.max(), two.max())
    places = np.arange(len(shown))
    axes.bar(places, one[order] / peak, width=1.0, color=_DARK, label=names[0])
    axes.bar(places, -two[order] / peak, width=1.0, color=_LIGHT, label=names[1])
    axes.axhline(0.0, color="black", linewidth=0.5)
    axes.set(xlabel=f"the {len(shown)} strongest, sorted", ylabel="mean magnitude (of the largest)")
    axes.set(title=f"Two relations: {title}", ylim=(-1.05, 1.05))
    axes.legend(fontsize=8, loc="upper center", ncols=2)
