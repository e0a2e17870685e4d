"""Figure of the study of Bayesian bi-clustering."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

Array = np.ndarray[Any, Any]
_COLOURS = ("#1b6ca8", "#c8553d", "#7a8b3c", "#8d6b94", "#444444", "#d9a441", "#5aa9a3", "#b0b0b0")


def draw(planted: dict[str, Any], motor: dict[str, Any] | None) -> Figure:
    """Draw counts in the order found, similarities beside the truth, trajectories and traces."""
    figure, axes = plt.subplots(2, 3, figsize=(12.5, 7), layout="constrained")
    title = "planted: log counts, units by cluster"
    _draw_counts(axes[0, 0], planted, title, planted["states"])
    _draw_units(axes[0, 1], planted)
    _draw_states(axes[0, 2], planted)
    _draw_trajectory(axes[1, 0], planted)
    _draw_trace(axes[1, 1], planted)
    if motor is None:
        axes[1, 2].set_axis_off()
        text = "motor cortex:\nfull size only"
        axes[1, 2].text(0.5, 0.5, text, ha="center", va="center", fontsize=11)
    else:
        _draw_counts(axes[1, 2], motor, "motor cortex: log counts, units by cluster", None)
    for axis in axes.flat:
        axis.title.set_fontsize(10.5)
    return figure


def _draw_counts(axis: Axes, found: dict[str, Any], title: str, truth: Array | None) -> None:
    order = np.argsort(found["unit_labels"], kind="stable")
    logs = np.log(found["counts"][:, order].T + 1.0)
    n_units, n_times = logs.shape
    axis.imshow(
        logs, aspect="auto", cmap="Greys", interpolation="nearest",
        extent=(0, n_times, n_units, 0),
    )  # fmt: skip
    for edge in np.flatnonzero(np.diff(found["unit_labels"][order])) + 1:
        axis.axhline(float(edge), color=_COLOURS[0], lw=1.5)
    top = _draw_band(axis, found["state_labels"], n_units, "states found")
    if truth is not None:
        top = _draw_band(axis, truth, top, "true states")
    if "speed" in found:
        speed = found["speed"] / found["speed"].max()
        axis.plot(np.arange(n_times), top + 5.5 - 5 * speed, color="0.2", lw=0.7)
        axis.text(0.01 * n_times, top + 6.6, "speed of the hand", fontsize=8, va="center")
        top += 7.5
    axis.set(ylim=(top, 0), xlabel="bin", ylabel="unit", title=title)
    axis.set_yticks(np.arange(0, n_units + 1, 10))


def _draw_band(axis: Axes, labels: Array, top: float, text: str) -> float:
    edges = np.flatnonzero(np.diff(labels)) + 1
    bounds = np.concatenate([[0], edges, [labels.size]])
    for low, high in itertools.pairwise(bounds):
        colour = _COLOURS[int(labels[low]) % len(_COLOURS)]
        axis.fill_between([low, high], top + 0.5, top + 2.3, color=colour, lw=0)
    axis.text(0.01 * labels.size, top + 3.2, text, fontsize=8, va="center")
    return top + 4.2


def _draw_units(axis: Axes, found: dict[str, Any]) -> None:
    image = axis.imshow(found["unit_similarity"], cmap="Greys", vmin=0, vmax=1)
    for edge in np.flatnonzero(np.diff(found["clusters"])) + 0.5:
        axis.axhline(edge, color=_COLOURS[1], lw=1)
        axis.axvline(edge, color=_COLOURS[1], lw=1)
    plt.colorbar(image, ax=axis, label="share of samples together", shrink=0.8)
    title = f"units together (red: truth), ARI {found['unit_ari']:.2f}"
    axis.set(xlabel="unit", ylabel="unit", title=title)


def _draw_states(axis: Axes, found: dict[str, Any]) -> None:
    similarity = np.asarray(found["state_similarity"], dtype=np.float64)
    truth = found["states"][:, np.newaxis] == found["states"]
    shown = np.where(np.tri(truth.shape[0], dtype=bool), similarity, truth)
    axis.imshow(shown, cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
    title = f"in one state: found below, truth above\nARI {found['state_ari']:.2f}"
    axis.set(xlabel="bin", ylabel="bin", title=title)


def _draw_trajectory(axis: Axes, found: dict[str, Any]) -> None:
    mean, spread = found["trajectory"], found["trajectory_sd"]
    time = np.arange(len(mean))
    names = ["mean trajectory"] + [f"factor {j}" for j in range(1, mean.shape[1])]
    offset = 0.0
    for j, name in enumerate(names):
        low, high = mean[:, j] - 1.645 * spread[:, j], mean[:, j] + 1.645 * spread[:, j]
        shift = offset - float(low.min())
        axis.fill_between(time, low + shift, high + shift, color=_COLOURS[j], alpha=0.3, lw=0)
        axis.plot(time, mean[:, j] + shift, color=_COLOURS[j], lw=0.9)
        axis.text(0, shift + float(high[:60].max()) + 0.1, name, color=_COLOURS[j], fontsize=9)
        offset = shift + float(high.max()) + 0.3
    axis.set(xlabel="bin", ylabel="log counts, shifted", title="first cluster, with 90 % bands")


def _draw_trace(axis: Axes, found: dict[str, Any]) -> None:
    trace = found["log_likelihood"]
    axis.plot(np.arange(trace.size), trace, color="0.4", lw=0.8)
    n_kept = found["n_clusters"].size
    axis.axvline(trace.size - n_kept, color="0.6", ls=":")
    low, high = np.quantile(trace, [0.02, 1.0])
    axis.set(
        xlabel="sweep", ylabel="log likelihood (nats)", ylim=(low, high),
        title="trace (grey), numbers in use (right)",
    )  # fmt: skip
    twin = axis.twinx()
    kept = np.arange(trace.size - n_kept, trace.size)
    twin.step(kept, found["n_clusters"], color=_COLOURS[0], lw=1.5, label="clusters")
    twin.step(kept, found["n_states"], color=_COLOURS[1], lw=0.9, label="states")
    twin.set_ylim(0, 11)
    twin.set_ylabel("number in use")
    twin.legend(loc="upper left", fontsize=8, frameon=False)
