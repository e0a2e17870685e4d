"""The figure of the study on massive activations."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

__all__ = ["draw"]

_MARKS = ("o", "s", "^", "D")
_SHADES = ("0.0", "0.3", "0.5", "0.65")


def draw(model: dict[str, Any] | None, traces: dict[str, Any], titles: dict[str, str]) -> Figure:
    """Draw magnitudes by layer, perplexity under edits, curves of training, and their heat map.

    Parameters
    ----------
    model : dict or None
        What the trained model showed; its panels stay out without it.
    traces : dict
        Ratio per step and layer of each task, with the fitted curves.
    titles : dict
        What each task is called.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; it reads in grey.
    """
    n_rows = 1 + (model is not None)
    figure = Figure(figsize=(12.5, 4.4 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, 3, squeeze=False)
    if model is not None:
        _magnitudes(axes[0, 0], model)
        _attention(axes[0, 1], model)
        _perplexity(axes[0, 2], model)
    for place, (name, trace) in zip(axes[-1, :2], traces.items(), strict=False):
        _curves(place, trace, titles[name])
    for place in axes[-1, len(traces) : 2]:
        place.set_axis_off()
    first = next(iter(traces))
    _heat(figure, axes[-1, 2], traces[first], titles[first])
    return figure


def _magnitudes(axes: Any, model: dict[str, Any]) -> None:
    blocks = np.arange(len(model["median"]))
    for rank, name in enumerate(("largest", "second", "third")):
        style = {"marker": _MARKS[rank], "color": _SHADES[rank], "markersize": 3.5}
        axes.plot(blocks, model["top"][:, rank], label=name, **style)
    axes.plot(blocks, model["median"], "k:", label="median")
    axes.set(yscale="log", xlabel="block", ylabel="magnitude (arbitrary units)")
    axes.set_title("SmolLM2-135M: output of each block")
    axes.legend(fontsize=8)


def _attention(axes: Any, model: dict[str, Any]) -> None:
    blocks = np.arange(len(model["attention"]))
    axes.plot(blocks, model["attention"], "k-o", markersize=3.5, label="unchanged")
    label = f"unit {model['unit']} of position 0 set to 0"
    axes.plot(blocks, model["attention_zeroed"], "--s", color="0.5", markersize=3.5, label=label)
    axes.set(xlabel="block", ylabel="mean attention to position 0", ylim=(0, 1.25))
    axes.set_title("Attention to the first position")
    axes.legend(fontsize=8)


def _perplexity(axes: Any, model: dict[str, Any]) -> None:
    names, values = list(model["perplexity"]), list(model["perplexity"].values())
    bars = axes.barh(range(len(names)), values, color="0.6", edgecolor="k", log=True)
    shown = [f"{value:,.0f}" if value >= 1000 else f"{value:.2f}" for value in values]
    axes.bar_label(bars, shown, padding=3, fontsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel="perplexity", xlim=(1, 30 * max(values)))
    axes.set_title("Edits after block 11, position 0")


def _curves(axes: Any, trace: dict[str, Any], title: str) -> None:
    for layer in range(trace["ratio"].shape[1]):
        shade, mark = _SHADES[layer], _MARKS[layer]
        options = {"color": shade, "marker": mark, "markersize": 3, "linestyle": "none"}
        label = f"layer {layer}, R2 {trace['r2'][layer]:.3f}"
        axes.plot(trace["step"], trace["ratio"][:, layer], label=label, **options)
        axes.plot(trace["step"], trace["fitted"][:, layer], color=shade, linewidth=1)
        peak = trace["peak"][layer]
        if np.isfinite(peak):
            height = np.interp(peak, trace["step"], trace["fitted"][:, layer])
            axes.plot(peak, height, marker="v", color="C3", markersize=9, zorder=3)
    axes.set(xlabel="step", ylabel="largest over median magnitude", title=title)
    axes.legend(fontsize=8)


def _heat(figure: Figure, axes: Any, trace: dict[str, Any], title: str) -> None:
    ratio = trace["ratio"].T
    layers = np.arange(len(ratio))
    image = axes.pcolormesh(trace["step"], layers, ratio, cmap="cividis", shading="nearest")
    axes.set(xlabel="step", ylabel="layer", title=title)
    axes.set_yticks(layers)
    figure.colorbar(image, ax=axes, label="largest over median magnitude")
