"""The figure of the study on the hippocampal memory."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from activome.networks._cam_circuit import POPULATIONS
from activome.networks.cam_operation import CAMOperation
from activome.networks.hippocampal_cam import HippocampalCAM

__all__ = ["draw"]


def draw(operations: list[CAMOperation], duration: int) -> Figure:
    """Draw every spike of some operations, and both plastic matrices after them.

    Parameters
    ----------
    operations : list of CAMOperation
        What is done, in a memory of 5 cues and 10 bits.
    duration : int
        Steps to show.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; it reads in grey.
    """
    memory = HippocampalCAM()
    spikes = memory.execute(operations, duration).spikes
    figure = Figure(figsize=(11.0, 7.5), layout="constrained")
    raster, forth, back = figure.subplot_mosaic(
        [["raster", "raster"], ["forth", "back"]], height_ratios=[2.6, 1.0]
    ).values()
    base, ticks = 0, []
    for k, name in enumerate(POPULATIONS):
        events = spikes[name]
        shade = "black" if k % 2 else "tab:blue"
        raster.scatter(events.t // 1000, base + events.unit, s=7, marker="s", color=shade)
        ticks.append(base + (events.n_units - 1) / 2)
        base += events.n_units + 1
    for one in operations:
        raster.axvspan(one.start - 0.5, one.start + one.held - 0.5, color="0.85", zorder=0)
        raster.text(one.start, base, one.kind.replace("recall_", "by "), fontsize=8)
    raster.set_yticks(ticks, POPULATIONS, fontsize=8)
    raster.set(xlabel="time (ms)", xlim=(-1, duration), ylim=(base + 2, -1))
    for axes, (name, matrix) in zip((forth, back), memory.weights_.items(), strict=True):
        image = axes.imshow(matrix, cmap="Greys", vmin=0.0, vmax=6.0, aspect="auto")
        pre, post = name.split("->")
        axes.set(ylabel=pre, xlabel=post, title=f"weights {pre} to {post} (nA)")
        axes.set_xticks(np.arange(matrix.shape[1]))
        figure.colorbar(image, ax=axes)
    return figure
