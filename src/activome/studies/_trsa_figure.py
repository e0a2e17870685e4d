"""The figure of the study on topology and geometry of representations."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from matplotlib.figure import Figure
from sklearn.manifold import ClassicalMDS

from activome.geometry.rdm_comparison import rank_rdms
from activome.geometry.rdm_forms import to_square
from activome.geometry.topology import GeoTopological, family
from activome.studies._trsa_data import N_LAYERS, SHAPES, layer_labels

__all__ = ["draw"]

Array: TypeAlias = np.ndarray[Any, Any]

# Lines differ in dash and marker as well as in shade, so that they can be told apart in grey.
_STYLES = ("k-o", "k--s", "C3-^", "C1:v", "C0-.D", "C2--x")


def draw(layers: dict[str, Any], shapes: dict[str, Any], noise: list[float]) -> Figure:
    """Draw the grid of cuts, accuracy against noise, the layers in a plane, and the shapes.

    Parameters
    ----------
    layers : dict
        Accuracies per statistic and noise, the grid, and the RDMs.
    shapes : dict
        Points of the shapes and their RDMs.
    noise : list of float
        Noise levels.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; it reads in grey.
    """
    figure = Figure(figsize=(13.0, 11.5), layout="constrained")
    parts = figure.subfigures(2, 1, height_ratios=[1.0, 1.15], squeeze=False)
    top, bottom = parts[0, 0], parts[1, 0]
    axes = top.subplots(2, 2, width_ratios=[1.0, 1.25])
    _grid(top, axes[0, 0], layers)
    _noise(axes[0, 1], layers, noise)
    ranked = rank_rdms(layers["rdms"]) / layers["rdms"].shape[1]
    _plane(axes[1, 0], layers["rdms"], "Layers by raw RDM (one dot per network and layer)")
    mapped = GeoTopological(*family("topology"), rank=False).fit_transform(ranked)
    _plane(axes[1, 1], mapped, "Layers after the map with cuts (0.4, 0.6)")
    _shapes(bottom, shapes)
    return figure


def _grid(area: Any, axes: Any, layers: dict[str, Any]) -> None:
    cuts = layers["cuts"]
    image = axes.pcolormesh(cuts, cuts, layers["grid"], cmap="cividis", shading="nearest")
    low, high = np.unravel_index(int(np.nanargmax(layers["grid"])), layers["grid"].shape)
    axes.plot(cuts[high], cuts[low], "w*", markersize=12, markeredgecolor="k", label="best cell")
    axes.plot(0.6, 0.4, "w^", markersize=8, markeredgecolor="k", label="topology")
    axes.plot(1.0, 0.0, "ws", markersize=8, markeredgecolor="k", label="ranked RDM")
    axes.legend(loc="upper left", fontsize=8)
    axes.set(xlabel="upper cut", ylabel="lower cut", title="Layers identified, by cuts, no noise")
    area.colorbar(image, ax=axes, label="accuracy")


def _noise(axes: Any, layers: dict[str, Any], noise: list[float]) -> None:
    lines = [(k, v) for k, v in layers["patterns"].items() if len(v) == len(noise)]
    for (name, values), style in zip(lines, _STYLES, strict=False):
        axes.plot(noise, values, style, label=name, markersize=5, linewidth=1.4)
    axes.axhline(1 / N_LAYERS, color="0.6", linewidth=1)
    axes.annotate("chance", (noise[-1], 1 / N_LAYERS), (0, 3), textcoords="offset points", size=8)
    axes.set(xlabel="noise on the patterns (std of the layer)", ylabel="layers identified")
    axes.set(title="Accuracy against noise", ylim=(0, 1.02))
    axes.legend(fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 0.17))


def _plane(axes: Any, rows: Array, title: str) -> None:
    place = ClassicalMDS(n_components=2).fit_transform(rows)
    layer, _ = layer_labels(len(rows) // N_LAYERS)
    axes.scatter(*place.T, c=layer, cmap="cividis", s=18, vmin=1, vmax=N_LAYERS, alpha=0.6)
    for number in range(1, N_LAYERS + 1):
        centre = place[layer == number].mean(axis=0)
        box = {"boxstyle": "circle,pad=0.15", "fc": "w", "ec": "k", "alpha": 0.9}
        axes.text(*centre, str(number), size=11, weight="bold", ha="center", va="center", bbox=box)
    axes.set(title=title, xticks=[], yticks=[])


def _shapes(area: Any, shapes: dict[str, Any]) -> None:
    columns = ("points", "RDM (ranked)", "RGTM (0.4, 0.6)", "RGDM (0, 0.3)")
    axes = area.subplots(len(columns), len(SHAPES), height_ratios=[1.0, 1.0, 1.0, 1.0])
    ranked = GeoTopological(*family("rdm")).fit_transform(shapes["rdms"])
    for j, name in enumerate(SHAPES):
        x, y, depth = shapes["points"][j].T
        axes[0, j].scatter(x, y, c=depth, cmap="Greys", vmin=-2.5, vmax=1.0, s=9)
        axes[0, j].set(title=name, aspect="equal", xticks=[], yticks=[])
        axes[0, j].set_frame_on(False)
        for i, rows in enumerate((ranked, shapes["rgtm"], shapes["rgdm"]), start=1):
            axes[i, j].imshow(to_square(rows[j]), cmap="cividis", vmin=0, vmax=1)
            axes[i, j].set(xticks=[], yticks=[])
    for i, label in enumerate(columns):
        axes[i, 0].set_ylabel(label, fontsize=9)
