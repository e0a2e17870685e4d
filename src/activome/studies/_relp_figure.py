"""Figure of the study of relevance patching."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import pyplot as plt

from activome.interventions.plots import plot_effects, plot_scatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

_SHADES = {
    "attribution": ("#d9d9d9", ""),
    "integrated gradients": ("#9ecae1", "///"),
    "RelP": ("#1b6ca8", ""),
}
_LINES = {
    "exact": ("black", "-", "o"),
    "RelP": ("#1b6ca8", "-", "s"),
    "integrated gradients": ("#5b9bc7", "--", "^"),
    "attribution": ("#c8553d", "-.", "D"),
    "random": ("0.6", ":", "x"),
}


def draw(found: dict[str, Any], titles: dict[str, str]) -> Figure:
    """Draw heat maps of one task, the scatter, agreement by site, and circuits."""
    figure, axes = plt.subplots(2, 3, figsize=(13, 8), layout="constrained")
    maps = found["objects"]["maps"]
    limit = float(np.nanmax(np.abs(maps["exact"].sel(site="resid_pre").values)))
    for ax, (key, title) in zip(
        axes[0],
        (("exact", "patching one by one"), ("attribution", "attribution patching"), ("RelP",) * 2),
        strict=True,
    ):
        plot_effects(maps[key], site="resid_pre", limit=limit, title=f"resid_pre: {title}", ax=ax)
        ax.tick_params(axis="x", labelsize=8)
    _scatter(axes[1, 0], maps)
    _bars(axes[1, 1], found, titles)
    _curves(axes[1, 2], found, titles)
    for ax in axes.flat:
        ax.title.set_fontsize(10.5)
    return figure


def _scatter(ax: Axes, maps: dict[str, Any]) -> None:
    truth = maps["exact"]
    site = "mlp_out" if "mlp_out" in truth["site"].values else "resid_pre"
    wanted = {"site": [site], "layer": truth["layer"]}
    estimates = {key: maps[key].sel(wanted) for key in ("attribution", "RelP")}
    plot_scatter(truth.sel(site=[site]), estimates, title=f"{site}: each layer and position", ax=ax)


def _bars(ax: Axes, found: dict[str, Any], titles: dict[str, str]) -> None:
    groups = [(task, site) for task in found for site in found[task]["measures"]["RelP"]]
    methods = [key for key in _SHADES if key in next(iter(found.values()))["measures"]]
    width = 0.8 / len(methods)
    for i, method in enumerate(methods):
        colour, hatch = _SHADES[method]
        heights = [found[task]["measures"][method][site]["pearson"] for task, site in groups]
        places = np.arange(len(groups)) + (i - (len(methods) - 1) / 2) * width
        ax.bar(places, heights, width, color=colour, hatch=hatch, ec="0.2", lw=0.5, label=method)
    ax.set_xticks(range(len(groups)), [site for _, site in groups], fontsize=8)
    ax.tick_params(axis="x", rotation=35)
    sites = len(groups) // len(found)
    for number, task in enumerate(found):
        middle = number * sites + (sites - 1) / 2
        ax.text(middle, 1.04, titles[task], ha="center", fontsize=7.5)
        if number:
            ax.axvline(number * sites - 0.5, color="0.4", ls=":", lw=0.8)
    ax.axhline(0, color="0.2", lw=0.6)
    ax.set(ylabel="r with patching one by one", ylim=(None, 1.55), title="agreement by site")
    ax.legend(frameon=False, fontsize=8, loc="upper left")


def _curves(ax: Axes, found: dict[str, Any], titles: dict[str, str]) -> None:
    curves = found["objects"]["circuits"]
    if not curves:
        ax.text(0.5, 0.5, "circuits: full size only", ha="center", transform=ax.transAxes)
        ax.set_axis_off()
        return
    for key, (colour, style, marker) in _LINES.items():
        curve = curves[key]
        options: Any = {"color": colour, "ls": style, "marker": marker, "ms": 3.5, "lw": 1.2}
        ax.plot(curve["n_nodes"], curve["faithfulness"], label=key, **options)
        if key in ("RelP", "random"):
            ax.plot(curve["n_nodes"], curve["completeness"], alpha=0.4, **options)
    ax.axhline(1, color="0.4", ls=":", lw=0.8)
    ax.axhline(0, color="0.4", ls=":", lw=0.8)
    ax.set(
        xscale="log",
        xlabel="nodes in the circuit",
        ylabel="faithfulness (pale: completeness)",
        ylim=(None, 1.95),
        title=f"circuits of {titles['objects']}",
    )
    ax.legend(frameon=False, fontsize=8, loc="upper left", ncols=2)
