"""The figure of the study on symmetric STDP."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

__all__ = ["draw"]


def draw(found: dict[str, Any], embedded: dict[str, Any] | None = None) -> Figure:
    """Draw receptive fields, class weights by assignment, and the spikes for one image.

    Parameters
    ----------
    found : dict
        ``fields`` (n_inputs, n_hidden), ``class weights`` (n_hidden, n_classes), ``assignments``,
        times and units of the spikes of each layer for one image, and its ``label``.
    embedded : dict, optional
        ``t-SNE`` of pixels, hidden and class counts (n_images, 2), their silhouettes, and
        ``labels``, for a second row.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; it reads in grey.
    """
    figure = Figure(figsize=(12.0, 4.6 if embedded is None else 9.0), layout="constrained")
    rows: Any = [figure] if embedded is None else figure.subfigures(2, 1)
    left, middle, right = rows[0].subplots(1, 3, width_ratios=[1.2, 0.6, 1.3])
    order = np.argsort(found["assignments"], kind="stable")
    _fields(left, found["fields"], order)
    weights = found["class weights"][order]
    image = middle.imshow(weights, cmap="Greys", aspect="auto", interpolation="nearest")
    middle.set(
        xlabel="class", ylabel="hidden cell, by assigned class", title="class weights",
        xticks=np.arange(weights.shape[1]),
    )  # fmt: skip
    rows[0].colorbar(image, ax=middle)
    _raster(right, found)
    if embedded is not None:
        _embeddings(rows[1], embedded)
    return figure


def _embeddings(figure: Any, found: dict[str, Any]) -> None:
    n_hidden = len(found["assignments"])
    titles = ("pixels", f"counts of {n_hidden} hidden cells", "counts of class cells")
    panels = zip(figure.subplots(1, 3), ("pixels", "hidden", "class"), titles, strict=True)
    for axes, layer, title in panels:
        for label in np.unique(found["labels"]):
            x, y = found[f"t-SNE {layer}"][found["labels"] == label].T
            shade = str(0.07 * (label % 10))
            axes.scatter(x, y, s=22, marker=f"${label}$", color=shade, linewidths=0)
        score = found[f"silhouette t-SNE {layer}"]
        axes.set(xticks=[], yticks=[], title=f"t-SNE of {title}\nsilhouette {score:.2f}")


def _fields(axes: Any, fields: Any, order: Any) -> None:
    side = int(np.sqrt(len(fields)))
    n = int(np.floor(np.sqrt(fields.shape[1])))
    tile = np.full((n * (side + 1) + 1, n * (side + 1) + 1), np.nan)
    for k in range(n * n):
        y, x = (k // n) * (side + 1) + 1, (k % n) * (side + 1) + 1
        tile[y : y + side, x : x + side] = fields[:, order[k]].reshape(side, side)
    axes.imshow(tile, cmap="Greys", vmin=0.0, vmax=float(np.nanpercentile(tile, 99.5)))
    axes.set(xticks=[], yticks=[], title=f"input weights of {n * n} hidden cells")


def _raster(axes: Any, found: dict[str, Any]) -> None:
    sizes = {
        "input": len(found["fields"]),
        "hidden": len(found["assignments"]),
        "class": found["class weights"].shape[1],
    }
    # Each layer gets a band of one height, whatever its number of cells.
    ticks = []
    for k, (layer, n) in enumerate(sizes.items()):
        place = 2 - k + 0.05 + 0.9 * (found[f"unit {layer}"] + 0.5) / n
        axes.scatter(
            found[f"time {layer}"] * 1e3,
            place,
            s=1.5 if layer == "input" else 12,
            marker="." if layer == "input" else "|",
            color="0.55" if layer == "input" else "black",
        )
        axes.axhline(2 - k, color="black", lw=0.6)
        ticks.append((2 - k + 0.5, f"{n} {layer}"))
    for c in range(sizes["class"]):
        axes.text(1.01, (0.05 + 0.9 * (c + 0.5) / sizes["class"]) / 3, str(c), fontsize=6,
                  va="center", transform=axes.transAxes)  # fmt: skip
    axes.set_yticks([t for t, _ in ticks], [name for _, name in ticks], rotation=90, va="center")
    axes.set(xlabel="time (ms)", ylim=(0, 3), title=f"spikes for a test image of class "
             f"{found['label']}")  # fmt: skip
