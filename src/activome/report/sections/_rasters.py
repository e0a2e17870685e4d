"""Pictures of whole recordings: rasters, traces, trials, with labels beneath."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.transforms import blended_transform_factory
from scipy.ndimage import gaussian_filter1d

from activome.report import figures as draw
from activome.report.labels import Label
from activome.report.recording import Recording
from activome.report.section import Figure
from activome.report.sections._shared import standardised

__all__ = ["hero", "overview", "shown_samples", "trial_views"]

Array = np.ndarray[Any, Any]
_MOST_ROWS, _MOST_COLUMNS = 700, 1400
_TRACES = 12
_MOST_LABELS = 3
_SMOOTH = 1.5


def shown_samples(recording: Recording) -> int:
    """Return how many samples the first picture shows at most."""
    return 600 if recording.core_units.size > _TRACES else 1500


def hero(recording: Recording, labels: Array, order: Array, shown: list[Label]) -> Figure:
    """Draw the stretch of the recording in which the population varies most."""
    values = _matrix(recording)
    part = _liveliest(values, shown_samples(recording))
    tracks = [label for label in shown if "time" in label.dims][:_MOST_LABELS]
    heights = [0.5, 4.0] + [0.42] * len(tracks)
    with draw.style():
        figure = draw.canvas(3.9 + 0.45 * len(tracks))
        axes = figure.subplots(len(heights), 1, height_ratios=heights, sharex=True)
        x, name = _axis(recording, part)
        mean = values[part].mean(axis=1, dtype=np.float64)
        axes[0].fill_between(x, mean.min(), mean, color=draw.MUTED, alpha=0.55, lw=0)
        axes[0].set(yticks=[], title=_title(recording, "mean"))
        axes[0].spines["left"].set_visible(False)
        _population(axes[1], recording, values[part], x, labels, order)
        for axis, label in zip(axes[2:], tracks, strict=True):
            _track(axis, recording, label, part, x)
        for axis in axes[:-1]:
            axis.tick_params(axis="x", length=0)
            axis.spines["bottom"].set_visible(False)
        axes[-1].set_xlabel(name)
        axes[-1].set_xlim(x[0], x[-1] if x[-1] > x[0] else x[0] + 1)
        sort = "ensemble" if labels.max(initial=0) > 0 else "likeness"
        whole = part.stop - part.start >= len(values)
        is_image, is_spikes = labels.size > _TRACES, recording.kind == "spikes"
        return draw.finish(
            figure,
            "raster",
            alt=f"Activity of {labels.size} units sorted by {sort}, with label traces beneath.",
            caption=(
                ("The whole recording" if whole else "The liveliest stretch of the recording")
                + f": {labels.size:,} units sorted by {sort}"
                + (f", smoothed over {_SMOOTH:g} bins" if is_image and is_spikes else "")
                + ". Top: mean over units"
                + (". Bottom: labels." if tracks else ".")
            ),
        )


def overview(recording: Recording, labels: Array, order: Array) -> Figure:
    """Draw the whole recording, averaged in time."""
    values = _matrix(recording)
    with draw.style():
        figure = draw.canvas(2.6)
        axis = figure.subplots()
        part = slice(0, len(values))
        x, name = _axis(recording, part)
        _image(axis, values, x, labels, order)
        axis.set(xlabel=name, title="The whole recording")
        return draw.finish(
            figure,
            "raster-whole",
            alt=f"The whole recording of {labels.size} units in one picture.",
            caption="Means of neighbouring samples; units in the order of the picture above.",
        )


def trial_views(recording: Recording, labels: Array, order: Array, shown: list[Label]) -> Figure:
    """Draw the mean over trials, and the mean over times of each trial, sorted by a label."""
    core = recording.core
    values = np.asarray(core.transpose("trial", "time", "unit").values)
    if "valid" in core.coords:
        values = np.where(core["valid"].values[..., np.newaxis], values, np.nan)
    sort = next((label for label in shown if label.dims == ("trial",)), None)
    rank = np.arange(values.shape[0])
    names = None
    if sort is not None:
        names = np.asarray(core[sort.name].values)
        text = sort.kind == "categorical" and names.dtype.kind not in "biuf"
        names = names.astype(str) if text else names
        rank = np.argsort(names, kind="stable")
    present = np.isfinite(values)
    filled = np.where(present, values, 0.0)
    mean_time = filled.sum(axis=0) / np.maximum(present.sum(axis=0), 1)
    mean_trial = filled.sum(axis=1) / np.maximum(present.sum(axis=1), 1)
    if recording.kind in ("voltage", "field"):
        mean_trial = np.log(np.maximum((filled**2).mean(axis=1), np.finfo(np.float64).tiny))
    with draw.style():
        figure = draw.canvas(4.2)
        grid = figure.add_gridspec(2, 2, width_ratios=[1, 1.9], height_ratios=[4, 0.42])
        left, right = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
        strip = figure.add_subplot(grid[1, 1], sharex=right)
        time = core["time"].values.astype(np.float64)
        _image(left, standardised(mean_time.astype(np.float32)), time, labels, order)
        left.set(title="Mean over trials", xlabel=f"{recording.time_label} in the trial")
        at = np.arange(len(rank), dtype=np.float64)
        _image(right, standardised(mean_trial.astype(np.float32))[rank], at, labels, order)
        by = f", sorted by {draw.short(sort.name)}" if sort is not None else ""
        what = "log power" if recording.kind in ("voltage", "field") else "mean"
        right.set_title(f"Trials ({what} over time){by}")
        right.tick_params(axis="x", labelbottom=False, length=0)
        if sort is None or names is None:
            strip.set_axis_off()
        else:
            _strip(strip, names[rank], at, sort)
            strip.set_xlabel("trials")
        return draw.finish(
            figure,
            "raster",
            alt=f"Activity of {labels.size} units, averaged over trials and over times{by}.",
            caption=(
                f"{labels.size:,} units, each standardised. Left: mean over the {len(rank):,} "
                f"trials. Right: every trial{by}."
            ),
        )


def _matrix(recording: Recording) -> Array:
    from activome.activity.stacking import to_samples

    if "picture" not in recording.memo:
        rows, _ = to_samples(recording.core)
        if recording.kind == "spikes":
            # Square roots: the variance of counts then depends little on their mean.
            rows = np.sqrt(np.maximum(rows, 0))
        recording.memo["picture"] = standardised(rows)
    matrix: Array = recording.memo["picture"]
    return matrix


def _liveliest(values: Array, length: int) -> slice:
    if len(values) <= length:
        return slice(0, len(values))
    mean = values.mean(axis=1, dtype=np.float64)
    starts = np.arange(0, len(values) - length + 1, max(1, length // 4))
    spread = [mean[a : a + length].std() for a in starts]
    # Not the one artefact but a lively ordinary stretch: the 90th percentile.
    place = int(np.argsort(spread, kind="stable")[int(0.9 * (len(spread) - 1))])
    return slice(int(starts[place]), int(starts[place]) + length)


def _axis(recording: Recording, part: slice) -> tuple[Array, str]:
    grid = recording.grid
    if "time" in grid.dims and "trial" not in grid.dims:
        return grid["time"].values[part].astype(np.float64), recording.time_label
    return np.arange(part.start, part.stop, dtype=np.float64), "trial"


def _title(recording: Recording, what: str) -> str:
    return f"Population {what}" if recording.core_units.size > 1 else "Activity"


def _population(
    axis: Any, recording: Recording, values: Array, x: Array, labels: Array, order: Array
) -> None:
    if labels.size > _TRACES:
        _image(axis, values, x, labels, order, smooth=recording.kind == "spikes")
        axis.set_title("Units, sorted by ensemble" if labels.max() > 0 else "Units, by likeness")
        return
    names = recording.unit_names[recording.core_units]
    for row, unit in enumerate(order):
        colour = draw.ENSEMBLE_COLOURS[labels[unit] % len(draw.ENSEMBLE_COLOURS)]
        axis.plot(x, np.clip(values[:, unit], -4, 6) / 5 - row, color=colour, lw=0.8)
    axis.set_yticks(-np.arange(order.size), [draw.short(names[unit], 12) for unit in order])
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.set_title("Units, standardised")


def _image(
    axis: Any, values: Array, x: Array, labels: Array, order: Array, *, smooth: bool = False
) -> None:
    """Draw units as rows of an image, dark where active, with a band of ensembles at the left."""
    cells = draw.shrink(values[:, order].T, _MOST_ROWS, _MOST_COLUMNS)
    if smooth:
        cells = gaussian_filter1d(cells, _SMOOTH, axis=1, mode="nearest")
    low, high = np.quantile(cells, [0.03, 0.99]) if cells.size else (0.0, 1.0)
    n, step = order.size, (x[1] - x[0] if x.size > 1 else 1.0)
    axis.imshow(
        cells, cmap=draw.RASTER, vmin=low, vmax=max(high, low + 1e-9), aspect="auto",
        extent=(x[0], x[-1] + step, n, 0), rasterized=True,
    )  # fmt: skip
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.set_ylabel(f"{n:,} units", labelpad=24)
    if labels.max(initial=0) == 0:
        return
    band = blended_transform_factory(axis.transAxes, axis.transData)
    sizes = np.bincount(labels)
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    for k, (a, b) in enumerate(itertools.pairwise(bounds)):
        colour = draw.ENSEMBLE_COLOURS[k % len(draw.ENSEMBLE_COLOURS)]
        axis.fill_between(
            [-0.011, -0.003], a + 0.1, b - 0.1, color=colour, lw=0, transform=band, clip_on=False
        )
        if b - a > n / 40:
            axis.text(
                -0.015, (a + b) / 2, f"E{k + 1}", transform=band, ha="right", va="center", size=6.5
            )
        if a > 0:
            axis.axhline(a, color="white", lw=0.8)


def _track(axis: Any, recording: Recording, label: Label, part: slice, x: Array) -> None:
    values = np.asarray(recording.grid[label.name].values)
    if values.ndim > 1:
        values = values.reshape(-1)
    if label.kind == "continuous":
        axis.plot(x, values[part].astype(np.float64), color=draw.INK, lw=0.9)
        axis.set_yticks([])
        axis.spines["left"].set_visible(False)
    else:
        _strip(axis, values[part], x, label)
    axis.set_ylabel(draw.short(label.name, 14), rotation=0, ha="right", va="center", size=7)


def _strip(axis: Any, values: Array, x: Array, label: Label) -> None:
    """Draw a label as a coloured strip with the names of its classes on it."""
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    if label.kind == "continuous":
        axis.plot(x, values.astype(np.float64), color=draw.INK, lw=0.9)
        return
    text = values.astype(str)
    classes = np.array([str(c) for c in label.classes])
    place = {name: k for k, name in enumerate(classes)}
    codes = np.array([place.get(name, -1) for name in text])
    palette = ["#ffffff", *(
        draw.ENSEMBLE_COLOURS[k % len(draw.ENSEMBLE_COLOURS)] for k in range(classes.size)
    )]  # fmt: skip
    step = x[1] - x[0] if x.size > 1 else 1.0
    axis.imshow(
        (codes + 1)[np.newaxis], cmap=ListedColormap(palette), vmin=-0.5,
        vmax=len(palette) - 0.5, aspect="auto", extent=(x[0], x[-1] + step, 0, 1), alpha=0.75,
    )  # fmt: skip
    starts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1]))
    ends = np.append(starts[1:], codes.size)
    for a, b in zip(starts, ends, strict=True):
        if codes[a] >= 0 and b - a > codes.size * 0.055:
            name = draw.short(classes[codes[a]], 14)
            middle = x[0] + (a + b) / 2 * step
            box = {"fc": "white", "ec": "none", "alpha": 0.8, "pad": 0.8}
            axis.text(middle, 0.5, name, ha="center", va="center", size=6, bbox=box)
