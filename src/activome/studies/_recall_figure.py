"""Figure of the study of recall and reasoning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from activome.interventions.plots import plot_heads

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

_RECALL, _INFERENCE, _GREY = "#1b6ca8", "#c8553d", "0.7"
_MARKERS = {"recall": "o", "reasoning": "^", "mixed": "s", "none": "."}
_COLOURS = {"recall": _RECALL, "reasoning": _INFERENCE, "mixed": "#6a4c93", "none": _GREY}


def draw(shown: Mapping[str, Any]) -> Figure:
    """Draw the scores of heads, the accuracies without them, and the statistics where there are."""
    has_more = "special" in shown
    figure = plt.figure(figsize=(12, 9.2 if has_more else 4.8), layout="constrained")
    top: Any = figure.subfigures(2, 1, height_ratios=(1.15, 1)) if has_more else [figure]
    axes = top[0].subplots(1, 3, width_ratios=(1, 1, 1.5))
    groups = dict(zip(shown["scores"], shown["main"]["heads"], strict=True))
    for axis, (task, scores) in zip(axes[:2], shown["scores"].items(), strict=True):
        _draw_scores(axis, task, np.asarray(scores), groups[task])
    _draw_bars(axes[2], shown["main"])
    if has_more:
        lower = top[1].subplots(1, 2, width_ratios=(1.2, 1))
        _draw_layers(lower[0], shown["layers"])
        _draw_volcano(lower[1], shown["special"]["heads"])
    return figure


def _draw_scores(axis: Axes, task: str, scores: Any, heads: Any) -> None:
    # As the other maps of effects: what the task rests on is positive.
    cells = xr.DataArray(
        -scores[np.newaxis],
        {"site": ["head_out"], "layer": range(len(scores)), "head": range(scores.shape[1])},
        ("site", "layer", "head"),
    )
    plot_heads(cells, title=f"{task}: loss of logits\nwithout a head (estimate)", ax=axis)
    for layer, head in heads:
        axis.add_patch(
            Rectangle((head - 0.5, layer - 0.5), 1, 1, fill=False, edgecolor="black", lw=1.6)
        )
    axis.title.set_fontsize(10.5)


def _draw_bars(axis: Axes, main: Mapping[str, Any]) -> None:
    names = ("nothing", "recall heads", "inference heads", "random heads")
    drawn = main["random_accuracy"][:, 1:].reshape(-1, 2)
    for column, (task, colour, hatch) in enumerate(
        (("recall", _RECALL, ""), ("inference", _INFERENCE, "//"))
    ):
        value = main["accuracy"][:, column]
        ends = np.abs(np.stack([main["accuracy_low"], main["accuracy_high"]])[..., column] - value)
        x = np.arange(3) + 0.4 * column - 0.2
        axis.bar(x, value, 0.36, yerr=ends, color=colour, hatch=hatch, edgecolor="white",
                 error_kw={"lw": 1.1, "capsize": 2.5, "ecolor": "0.2"}, label=task)  # fmt: skip
        place = 3 + 0.4 * column - 0.2
        axis.bar(place, np.median(drawn[:, column]), 0.36, color=colour, hatch=hatch,
                 edgecolor="white", alpha=0.45)  # fmt: skip
        spread = np.linspace(-0.13, 0.13, len(drawn))
        axis.scatter(place + spread, drawn[:, column], s=7, color="0.25", zorder=3)
    axis.set(
        xticks=range(4),
        ylim=(0, 1.19),
        yticks=np.linspace(0, 1, 6),
        ylabel="accuracy on unseen prompts",
        xlabel="removed (random: median and each group)",
    )
    axis.set_xticklabels([name.replace(" ", "\n") for name in names])
    axis.set_title(
        f"{len(main['heads'][0])} heads of each task removed\n"
        f"index {float(main['index']):.2f}, p {float(main['p']):.3f}",
        fontsize=10.5,
    )
    axis.legend(frameon=False, fontsize=8.5, loc="upper right", ncols=2)


def _draw_layers(axis: Axes, layers: Mapping[str, Any]) -> None:
    for task, colour in zip(layers, (_RECALL, _INFERENCE), strict=True):
        for row, (site, style) in enumerate((("attention", "-"), ("MLP", "--"))):
            axis.plot(layers[task][row], style, color=colour, lw=1.4, label=f"{task}, {site}")
    axis.axhline(0, color="0.5", lw=0.8)
    axis.set(xlabel="layer", ylabel="share of the logit difference restored")
    axis.set_title("patching what one layer writes, all positions", fontsize=10.5)
    axis.legend(frameon=False, fontsize=8.5)


def _draw_volcano(axis: Axes, heads: Mapping[str, Any]) -> None:
    d, p = np.asarray(heads["d"]), np.asarray(heads["p"])
    label = np.repeat(np.asarray(heads["label"])[:, np.newaxis], d.shape[1], axis=1)
    for name, marker in _MARKERS.items():
        mine = label == name
        if mine.any():
            axis.scatter(
                np.clip(d[mine], -12, 12),
                -np.log10(np.maximum(p[mine], 1e-30)),
                s=9,
                marker=marker,
                color=_COLOURS[name],
                alpha=0.6,
                lw=0,
                label=f"{name} head",
            )
    axis.axhline(4, color="0.4", ls=":", lw=1)
    for edge in (-1, 1):
        axis.axvline(edge, color="0.4", ls=":", lw=1)
    axis.set(xlabel="Cohen's d, recall less reasoning (ends: 12 or more)", ylabel="-log10 p (adj.)")
    axis.set_title("matched prompts: six features of each head", fontsize=10.5)
    axis.legend(frameon=False, fontsize=8.5)
