"""Figure of the study of semi-nonnegative factorisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import pyplot as plt

from activome.activity.matching import match_rows
from activome.patterns.feature_reading import FeatureTokens
from activome.patterns.plots import plot_feature

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
    model: Mapping[str, Any],
) -> Figure:
    """Draw loss curves, ensembles found by each method, their cosines, and the stability curve.

    With the results of a language model, below: detection and steering by layer, and the page of
    one feature.
    """
    figure = plt.figure(figsize=(12, 12.8 if model else 6.6), layout="constrained")
    top: Any = figure
    if model:
        parts: Any = figure.subfigures(3, 1, height_ratios=(6.6, 2.9, 3.3))
        top, middle, bottom = parts
        _draw_model(middle, model)
        _draw_page(bottom, model)
    axes = top.subplots(2, 3)
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


def _draw_model(figure: Any, model: Mapping[str, Any]) -> None:
    layers = list(model["layers"])
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.4))
    markers = ("o", "s", "^")
    for (name, values), marker, colour in zip(model["auc"].items(), markers, _COLOURS, strict=True):
        left.plot(layers, values, marker=marker, color=colour, lw=1.2, label=name)
    left.axhline(0.5, color="0.4", ls=":", lw=1)
    left.text(layers[0], 0.51, "chance", color="0.4", fontsize=8)
    left.set(
        xticks=layers,
        xlabel="layer of SmolLM2",
        ylabel="AUC, words not fitted",
        ylim=(0.45, 1.02),
        title="detection of concepts, mean",
    )
    left.legend(frameon=False, fontsize=8, loc="center right")
    names = model["methods"]
    width = 0.8 / len(names)
    hatches = ("", "//", "..", "xx")
    for i, name in enumerate(names):
        values = list(model["steering"][name].values())
        right.bar(
            np.arange(len(layers)) + (i - (len(names) - 1) / 2) * width,
            values,
            width,
            color=(*_COLOURS, "0.75")[i],
            edgecolor="white",
            hatch=hatches[i],
            label=name,
            lw=0.5,
        )
    right.axhline(0, color="0.3", lw=0.8)
    right.set(
        xticks=range(len(layers)),
        xticklabels=[f"layer {layer}" for layer in layers],
        ylabel="words raised over others (nats)",
        title="steering at a divergence of 0.5 nats, mean over concepts",
    )
    right.legend(frameon=False, fontsize=8, ncols=2)
    for axis in (left, right):
        axis.title.set_fontsize(10.5)


def _draw_page(figure: Any, model: Mapping[str, Any]) -> None:
    layer = 20
    page = model["layers"][layer]["page"]
    tokens = FeatureTokens(
        tuple(page["raised"]),
        tuple(page["lowered"]),
        page["raised_logits"],
        page["lowered_logits"],
    )
    plot_feature(
        page["coef"][:, np.newaxis],
        page["labels"],
        component=0,
        tokens=tokens,
        sequence=page["sequence"],
        n_contexts=9,
        window=11,
        title=f"SmolLM2 layer {layer}, component {page['component']}",
        figure=figure,
    )
