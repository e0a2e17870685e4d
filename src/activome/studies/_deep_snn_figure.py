"""The figure of the study of deep spiking networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from activome.studies._deep_snn_data import STEPS

__all__ = ["draw"]

# Key of the results, label, and marker.
_LEARNERS = (
    ("surrogate", "surrogate gradient", "s"),
    ("times", "first spikes", "^"),
    ("tempotron", "tempotron", "v"),
    ("stdp", "STDP, 100 cells", "D"),
    ("stdp large", "STDP, 400 cells", "P"),
)
_RASTERS = (
    ("relu", "converted, 32 steps", "step"),
    ("surrogate", "surrogate gradient", "step"),
    ("times", "first spikes", "time (time constants)"),
    ("tempotron", "tempotron: input", "time (ms)"),
    ("stdp", "STDP", "time (ms)"),
)


def draw(found: dict[str, dict[str, Any]]) -> Figure:
    """Draw accuracy against operations, rates against rectifiers, and the spikes for one digit.

    Parameters
    ----------
    found : dict of str to dict
        Results by learner: "relu" with its conversion and "surrogate" always; "times",
        "tempotron", "stdp" and "stdp large" where they were run.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; it reads in grey.
    """
    shown = [row for row in _RASTERS if row[0] in found]
    figure = Figure(figsize=(12.5, 7.4), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[1.25, 1.0])
    above, below = parts
    left, middle, right = above.subplots(1, 3, width_ratios=[1.7, 1.0, 1.0])
    _trade(left, found)
    for axes, n_steps in ((middle, 4), (right, 32)):
        _rates(axes, found["relu"], n_steps)
    rows = below.subplots(1, len(shown))
    for axes, (key, label, unit) in zip(rows, shown, strict=True):
        _raster(axes, found[key]["raster"], label, unit)
    return figure


def _trade(axes: Axes, found: dict[str, dict[str, Any]]) -> None:
    relu = found["relu"]
    behind = relu["macs behind the input"]
    axes.plot(
        [relu["accumulates"][n - 1] for n in STEPS[1:]], relu["scores"][1:], color="black",
        marker="o", ms=5, lw=1.0, label="converted, by steps",
    )  # fmt: skip
    for n, score in zip(STEPS[1:], relu["scores"][1:], strict=True):
        # Below, and above where other learners come near.
        axes.annotate(str(n), (relu["accumulates"][n - 1], score), xytext=(0, -12 if n < 32 else 6),
                      textcoords="offset points", fontsize=7, ha="center")  # fmt: skip
    for key, label, marker in _LEARNERS:
        if key in found:
            axes.plot(found[key]["accumulates"], found[key]["score"], marker, ms=8, mfc="0.75",
                      mec="black", ls="none", label=label)  # fmt: skip
    axes.plot(behind, relu["relu"], "*", ms=12, color="black", ls="none",
              label="ReLU (multiply-accumulates)")  # fmt: skip
    axes.axvline(behind, color="0.6", lw=0.8, ls=":")
    axes.set(xscale="log", xlabel="accumulates per image, without analog input", ylabel="accuracy",
             title="accuracy and operations")  # fmt: skip
    axes.margins(y=0.12)
    axes.legend(fontsize=8, loc="lower right")


def _rates(axes: Axes, relu: dict[str, Any], n_steps: int) -> None:
    axes.plot([0, 1], [0, 1], color="0.6", lw=0.8)
    axes.scatter(relu["active"], relu[f"rates {n_steps}"], s=3, color="black", linewidths=0)
    axes.set(xlabel="ReLU activation / scale", title=f"rate, {n_steps} steps",
             ylabel="spikes per step", aspect="equal")  # fmt: skip


def _raster(axes: Axes, spikes: Any, label: str, unit: str) -> None:
    if spikes.ndim == 2:
        time, cell = np.nonzero(spikes)
    else:
        cell = np.flatnonzero(np.isfinite(spikes))
        time = spikes[cell]
    axes.scatter(time, cell, s=5, marker="|", color="black", linewidths=0.9)
    axes.set(xlabel=unit, ylim=(-1, spikes.shape[-1]))
    axes.set_title(f"{label}\n{time.size} spikes", fontsize=10)
    axes.set_ylabel("input" if "input" in label else "hidden cell")
