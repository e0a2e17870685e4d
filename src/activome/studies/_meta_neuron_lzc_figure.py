"""The figure of the study on learnable constants and complexity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from activome.activity.complexity import lempel_ziv_complexity

__all__ = ["draw"]

Array = np.ndarray[Any, Any]
_NAMES = {"lif": "LIF", "meta": "meta"}
_SHADES = ("0.78", "0.35")


def draw(
    models: Mapping[tuple[str, bool], Sequence[Any]], loads: Mapping[float, Sequence[float]]
) -> Figure:
    """Draw accuracies, constants before and after, complexities, a parsed train, the tempotron.

    Parameters
    ----------
    models : mapping
        Results by kind of cell and whether its constants learned, one per seed.
    loads : mapping of float to sequence of float
        Training errors of the tempotron by patterns per input.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; it reads in grey.
    """
    figure = Figure(figsize=(11.5, 7.6), layout="constrained")
    axes = figure.subplot_mosaic(
        [["bars", "constants", "loads"], ["histogram", "histogram", "loads"],
         ["train", "train", "train"]],
        height_ratios=[1.5, 1.2, 0.45], width_ratios=[1.25, 1.0, 0.8],
    )  # fmt: skip
    _bars(axes["bars"], models)
    _constants(axes["constants"], models)
    _loads(axes["loads"], loads)
    shown = models["lif", True][0]
    _histogram(axes["histogram"], shown)
    _train(axes["train"], shown["train"])
    return figure


def _bars(axes: Axes, models: Mapping[tuple[str, bool], Sequence[Any]]) -> None:
    groups = [(n, r) for n in dict.fromkeys(key[0] for key in models) for r in ("rate", "lzc")]
    for k, (neuron, readout) in enumerate(groups):
        for learns in (False, True):
            values = [entry[readout] for entry in models[neuron, learns]]
            x = k + (0.2 if learns else -0.2)
            label = ("learned" if learns else "fixed") if k == 0 else None
            axes.bar(x, np.mean(values), 0.38, color=_SHADES[learns], label=label)
            axes.plot([x] * len(values), values, "o", color="white", mec="black", ms=4.5)
    axes.axhline(0.5, color="black", lw=0.8, ls=":")
    names = {"rate": "rate", "lzc": "complexity"}
    axes.set_xticks(range(len(groups)), [f"{_NAMES[n]}\n{names[r]}" for n, r in groups])
    axes.set_ylim(0.4, 1.14)
    axes.set_yticks(np.arange(0.4, 1.01, 0.1))
    axes.set_ylabel("accuracy, test trials")
    axes.set_title("Constants fixed or learned; dots are seeds", fontsize=10)
    axes.legend(loc="upper center", ncols=2, frameon=False, fontsize=9)


def _constants(axes: Axes, models: Mapping[tuple[str, bool], Sequence[Any]]) -> None:
    for neuron, marker, face in (("lif", "o", "white"), ("meta", "^", "0.4")):
        entries = models.get((neuron, True), ())
        if not entries:
            continue
        tau, threshold = (
            np.concatenate([entry["constants"][name][1] for entry in entries])
            for name in ("tau", "threshold")
        )
        axes.plot(tau, threshold, marker, color=face, mec="black", ms=5, ls="none",
                  label=f"{_NAMES[neuron]}, after")  # fmt: skip
    axes.plot(10.0, 1.0, "*", color="black", ms=15, label="all, before")
    axes.set_xlabel("time constant (steps)")
    axes.set_ylabel("threshold")
    axes.set_title("Constants of the hidden cells", fontsize=10)
    axes.margins(y=0.25)
    axes.legend(fontsize=8, loc="best")


def _loads(axes: Axes, loads: Mapping[float, Sequence[float]]) -> None:
    at = sorted(loads)
    axes.plot(at, [np.mean(loads[load]) for load in at], "-", color="0.5")
    for load in at:
        axes.plot([load] * len(loads[load]), loads[load], "o", color="white", mec="black", ms=5)
    axes.set_xlim(0.0, 4.3)
    axes.set_ylim(-0.02, max(0.1, 1.1 * max(max(errors) for errors in loads.values())))
    axes.set_xlabel("patterns per input")
    axes.set_ylabel("training error")
    axes.set_title("Tempotron, 100 inputs", fontsize=10)


def _histogram(axes: Axes, shown: Any) -> None:
    value, truth = shown["mean_complexity"], shown["truth"]
    edges = np.linspace(value.min(), value.max(), 32).tolist()
    axes.hist(value[truth == 0], edges, color=_SHADES[0], label="steady")
    axes.hist(value[truth == 1], edges, histtype="step", color="black", lw=1.6, label="bursts")
    axes.axvline(shown["threshold"], color="black", ls="--", label="decision")
    axes.set_xlabel("mean complexity of the hidden trains of a trial (LIF, learned)")
    axes.set_ylabel("test trials")
    axes.legend(fontsize=8)


def _train(axes: Axes, train: Array) -> None:
    """Show a train as symbols, its phrases in alternating shades."""
    # The phrases of a beginning are one more as soon as the next one has begun.
    counts = [lempel_ziv_complexity(train[:k], normalise=False) for k in range(2, train.size + 1)]
    begins = np.concatenate([[0], 1 + np.flatnonzero(np.diff([1, *counts])), [train.size]])
    for k, (low, high) in enumerate(pairwise(begins)):
        axes.axvspan(low, high, color="0.88" if k % 2 else "0.7", lw=0)
    for k, symbol in enumerate(train):
        axes.text(k + 0.5, 0.5, str(int(symbol)), ha="center", va="center", fontsize=7)
    axes.set_xlim(0, train.size)
    axes.set_yticks([])
    axes.set_xlabel(f"step; one hidden train of a trial with bursts, {counts[-1]} phrases")
