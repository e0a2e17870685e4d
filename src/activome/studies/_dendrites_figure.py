"""The figure of the study on sparse codes read by dendrites."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from activome.networks.dendrites import (
    false_match_probability,
    false_negative_probability,
    optimal_threshold,
    union_false_match_probability,
)

__all__ = ["draw"]

Array = np.ndarray[Any, Any]
_STYLES = ("k-", "C0--", "C3-.")
# Matches that a dot rests on, so that its bar stays on the axis.
_FEWEST = 8


def draw(simulated: dict[int, Array]) -> Figure:
    """Draw matches against threshold and stored patterns, and errors over threshold and noise.

    Parameters
    ----------
    simulated : dict of int to ndarray of int64, shape (n_synapses + 1,)
        Patterns by overlap, for some numbers of active cells of 1000.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; it reads in grey.
    """
    figure = Figure(figsize=(13.0, 4.3), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    theta = np.arange(1, 25)
    for style, (a, counts) in zip(_STYLES, simulated.items(), strict=False):
        law = false_match_probability(1000, a, 24, theta)
        left.semilogy(theta, law, style, label=f"{a} of 1000 active")
        share = counts[::-1].cumsum()[::-1][1:] / counts.sum()
        seen = share * counts.sum() >= _FEWEST
        error = np.sqrt(share * (1 - share) / counts.sum())[seen]
        left.errorbar(theta[seen], share[seen], 2 * error, fmt=f"{style.rstrip('-.')}o", ms=3)
    left.set(xlabel="threshold (of 24 synapses)", ylabel="false matches", ylim=(1e-20, 2))
    left.set_title("Theory (lines), drawn patterns (dots)")
    left.legend(frameon=False)
    _errors(figure, middle)
    n_patterns = np.unique(np.geomspace(1, 200, 24).astype(int))
    for style, s in zip(_STYLES, (20, 30, 40), strict=True):
        law = [union_false_match_probability(20_000, 200, s, 10, int(m)) for m in n_patterns]
        right.loglog(n_patterns, law, style, label=f"{s} synapses per pattern")
    right.set(xlabel="patterns stored on one segment", ylabel="false matches")
    right.set_title("200 of 20,000 active, threshold 10")
    right.legend(frameon=False)
    return figure


def _errors(figure: Figure, axes: Any) -> None:
    n, a, s, m = 200_000, 2000, 30, 5
    theta, noise = np.arange(1, s + 1), np.linspace(0.0, 0.6, 25)
    wrong = union_false_match_probability(n, a, s, theta, m)
    missed = np.array([false_negative_probability(n, a, s, theta, v) for v in noise])
    error = np.log10(np.maximum(0.5 * (wrong + missed), 1e-16))
    image = axes.pcolormesh(theta, noise, error, cmap="Greys", shading="nearest", rasterized=True)
    best = [optimal_threshold(n, a, s, noise=float(v), n_patterns=m).theta for v in noise]
    axes.plot(best, noise, "C3-o", ms=3, label="fewest errors")
    axes.axvspan(8, 20, facecolor="none", edgecolor="C0", ls="--", lw=1.2, label="8 to 20 synapses")
    axes.set(xlabel="threshold (of 30 synapses)", ylabel="noise (share of active cells)")
    axes.set_title("log10 of all errors, 5 patterns per segment")
    axes.legend(loc="upper right", facecolor="white", framealpha=0.9)
    figure.colorbar(image, ax=axes)
