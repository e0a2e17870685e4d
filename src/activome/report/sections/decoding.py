"""Section decoding: what can be read from the activity, with chance and a permutation test."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome.activity.schema import Activity
from activome.decoding.labels import DecodingResult, decode_label
from activome.errors import ActivityError
from activome.report import figures as draw
from activome.report._code import three_lines
from activome.report.conditions import condition_patterns
from activome.report.grid import coarsen_grid
from activome.report.labels import Label
from activome.report.recording import Recording
from activome.report.section import Figure, Section, Statement, Table, Test, Verdict, holm
from activome.report.sections._shared import not_applicable, p_text
from activome.report.settings import ReportSettings

__all__ = ["analyse"]

Array = np.ndarray[Any, Any]
_POWER_KINDS = ("voltage", "field")
_SHOWN = 400
_MOST_SAMPLES = 5000
_MOST_FEATURES = 800


def analyse(recording: Recording, settings: ReportSettings) -> Section:
    """Decode every label column.

    Parameters
    ----------
    recording : Recording
        The data.
    settings : ReportSettings
        Level, permutations, most labels, seed.

    Returns
    -------
    Section
        Score, interval, chance and p-value of each label.
    """
    usable = [label for label in recording.labels if label.kind != "skipped"]
    labels, beyond = usable[: settings.max_labels], usable[settings.max_labels :]
    skipped: list[tuple[str, ...]] = [
        (label.name, label.reason) for label in recording.labels if label not in usable
    ]
    skipped += [(label.name, f"only {settings.max_labels} are decoded") for label in beyond]
    table = [Table("Labels that were left out", ("label", "why"), skipped)] if skipped else []
    if not labels:
        code = three_lines(recording, settings, "print(list(grid.coords))")
        reason = "there is no label that can be decoded"
        section = not_applicable(reason, code)
        return Section(
            section.verdict, section.headline, section.statements, code, tables=list(table)
        )
    n = settings.surrogates_for(len(labels))
    found: list[tuple[Label, DecodingResult]] = []
    refused: list[Statement] = []
    for label in labels:
        try:
            found.append((label, _decode(recording, label, n, settings)))
        except ActivityError as error:
            refused.append(Statement(f"{label.name}: not decoded. {error}"))
    code = _code(recording, settings, found[0][0] if found else labels[0], n)
    if not found:
        return not_applicable("; ".join(statement.text for statement in refused), code)
    corrected = holm([result.p_value for _, result in found])
    statements = [
        _statement(label, result, p, settings.alpha)
        for (label, result), p in zip(found, corrected, strict=True)
    ]
    best = max(range(len(found)), key=lambda k: (-corrected[k], found[k][1].score))
    is_found = corrected[best] <= settings.alpha
    n_found = sum(p <= settings.alpha for p in corrected)
    top = found[best][1]
    chip = f"{n_found} of {len(found)} labels" if is_found else "nothing above chance"
    summary = f"{top.metric} of {draw.short(found[best][0].name)}"
    return Section(
        verdict=Verdict("found" if is_found else "nothing", f"{chip}, {p_text(corrected[best])}"),
        headline=(f"{top.score:.2f}", summary if is_found else f"{summary}: chance"),
        statements=statements + refused,
        code=code,
        figures=[_scores(found, corrected, settings), *_predictions(recording, found)],
        tables=list(table),
        numbers={
            label.name: _numbers(r, p) for (label, r), p in zip(found, corrected, strict=True)
        },
        arrays=_arrays(found),
    )


def _uses_patterns(recording: Recording, label: Label) -> bool:
    return recording.kind in _POWER_KINDS and label.kind == "categorical"


def _decode(recording: Recording, label: Label, n: int, settings: ReportSettings) -> DecodingResult:
    data = _data(recording, label)
    return decode_label(
        data,
        label.name,
        kind=label.kind,
        history=_history(data),
        n_permutations=n,
        random_state=settings.random_state,
        progress=recording.progress,
    )


def _data(recording: Recording, label: Label) -> Activity:
    """Return what a label is read from: patterns, or the recording in wider bins."""
    if _uses_patterns(recording, label):
        return condition_patterns(recording.core, label.name)
    key = "decoding grid"
    if key not in recording.memo:
        recording.memo[key] = coarsen_grid(recording.core, _MOST_SAMPLES)
    data: Activity = recording.memo[key]
    return data


def _history(data: Activity) -> int:
    if "time" not in data.dims:
        return 1
    by_units = _MOST_FEATURES // data.sizes.get("unit", 1)
    return int(np.clip(min(by_units, data.sizes["time"] // 20), 1, 8))


def _code(recording: Recording, settings: ReportSettings, label: Label, n: int) -> str:
    data, history = f"activome.report.coarsen_grid(grid, {_MOST_SAMPLES})", 1
    if _uses_patterns(recording, label):
        data = f"activome.report.condition_patterns(grid, {label.name!r})"
    else:
        history = _history(_data(recording, label))
    return three_lines(
        recording,
        settings,
        f"print(activome.decoding.decode_label({data}, {label.name!r}, kind={label.kind!r}, "
        f"history={history}, n_permutations={n}, random_state={settings.random_state}).score)",
    )


def _statement(label: Label, result: DecodingResult, p: float, alpha: float) -> Statement:
    null = "labels permuted over trials" if result.per == "trial" else "the label shifted in time"
    low, high = result.interval
    figures = (
        f"{result.metric} {result.score:.3f} (95 % interval {low:.3f} to {high:.3f}), chance "
        f"{result.chance:.3f}"
    )
    caution = (
        ". Its trials come in few runs: slow drift could pass for it" if result.in_runs else ""
    )
    return Statement.judged(
        f"There is information on {label.name}: {figures}{caution}",
        f"{label.name} cannot be read above chance: {figures}",
        Test(null, len(result.null), p, result.p_value),
        alpha,
    )


def _numbers(result: DecodingResult, p: float) -> dict[str, Any]:
    return {
        "score": result.score,
        "chance": result.chance,
        "interval": list(result.interval),
        "p_value": p,
        "p_uncorrected": result.p_value,
        "metric": result.metric,
        "kind": result.kind,
        "per": result.per,
        "fold_scores": result.fold_scores.tolist(),
        "in_runs": result.in_runs,
        "classes": None if result.classes is None else [str(c) for c in result.classes],
    }


def _arrays(found: list[tuple[Label, DecodingResult]]) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    for label, result in found:
        truth, predictions = result.truth, result.predictions
        if result.classes is not None:
            truth = np.searchsorted(result.classes, truth)
            predictions = np.searchsorted(result.classes, predictions)
        arrays |= {
            f"{label.name}-truth": truth,
            f"{label.name}-predictions": predictions,
            f"{label.name}-samples": result.samples,
            f"{label.name}-null": result.null,
        }
    return arrays


def _scores(
    found: list[tuple[Label, DecodingResult]], corrected: list[float], settings: ReportSettings
) -> Figure:
    with draw.style():
        figure = draw.canvas(0.75 + 0.34 * len(found), width=6.4)
        axis = figure.subplots()
        for y, ((_, result), p) in enumerate(zip(found, corrected, strict=True)):
            low, high = np.quantile(result.null, [0.0, 1.0])
            axis.plot([max(low, -1), max(high, -1)], [y, y], color=draw.NULL, lw=9, alpha=0.8,
                      solid_capstyle="butt")  # fmt: skip
            axis.plot([result.chance] * 2, [y - 0.3, y + 0.3], color=draw.MUTED, lw=1.0)
            is_found = p <= settings.alpha
            axis.plot(result.interval, [y, y], color=draw.ACCENT, lw=1.6)
            axis.plot(
                result.score, y, "o", ms=6, color=draw.ACCENT, mfc=None if is_found else "white"
            )
        axis.set_yticks(range(len(found)), [draw.short(label.name) for label, _ in found])
        axis.set_ylim(len(found) - 0.4, -0.6)
        axis.set_xlim(right=1.02)
        metrics = sorted({result.metric for _, result in found})
        axis.set(xlabel=" / ".join(metrics), title="Score against chance")
        return draw.finish(
            figure,
            "decoding-scores",
            alt="; ".join(f"{label.name}: {r.metric} {r.score:.2f}" for label, r in found),
            caption=(
                "Dot: score with its 95 % interval (filled: above chance at the level of the "
                "section). Grey band: range of the scores with shuffled labels; tick: chance."
            ),
        )


def _predictions(recording: Recording, found: list[tuple[Label, DecodingResult]]) -> list[Figure]:
    shown = found[:6]
    traces = [item for item in shown if item[1].kind == "continuous"]
    tables = [item for item in shown if item[1].kind == "categorical"]
    made = []
    if traces:
        made.append(_traces(recording, traces))
    if tables:
        made.append(_confusion(tables))
    return made


def _traces(recording: Recording, found: list[tuple[Label, DecodingResult]]) -> Figure:
    with draw.style():
        figure = draw.canvas(0.5 + 1.05 * len(found))
        axes = figure.subplots(len(found), 2, width_ratios=[4.4, 1], squeeze=False)
        for (trace, cloud), (label, result) in zip(axes, found, strict=True):
            x, name = result.samples.astype(np.float64), result.per
            data = _data(recording, label)
            if result.per == "sample" and "time" in data.dims and "trial" not in data.dims:
                x, name = data["time"].values[result.samples], recording.time_label
            middle = x.size // 2
            part = slice(max(0, middle - _SHOWN), middle + _SHOWN)
            trace.plot(x[part], result.truth[part], color=draw.INK, lw=1.3, label="actual")
            trace.plot(
                x[part], result.predictions[part], color="#e69f00", lw=1.1, label="predicted"
            )
            trace.set_ylabel(draw.short(label.name))
            trace.set_xlim(x[part][0], x[part][-1])
            step = max(1, x.size // 1500)
            truth, predicted = result.truth[::step], result.predictions[::step]
            cloud.plot(truth, predicted, ".", ms=1.6, color=draw.ACCENT, alpha=0.4)
            ends = [float(result.truth.min()), float(result.truth.max())]
            cloud.plot(ends, ends, color=draw.MUTED, lw=0.7, ls="--")
            cloud.set_title(f"R2 {result.score:.2f}", size=7.5)
            cloud.set(xticks=[], yticks=[])
        axes[0, 0].legend(loc="upper right", ncols=2, bbox_to_anchor=(1.0, 1.28))
        axes[0, 0].set_title("Predicted from samples that were not trained on")
        axes[-1, 0].set_xlabel(name)
        axes[-1, 1].set_xlabel("actual")
        return draw.finish(
            figure,
            "decoding-traces",
            alt="Actual and predicted course of " + ", ".join(label.name for label, _ in found),
            caption="A stretch from the middle of the recording; right: all samples.",
        )


def _confusion(found: list[tuple[Label, DecodingResult]]) -> Figure:
    with draw.style():
        figure = draw.canvas(2.7, width=min(9.2, 3.2 * len(found)))
        axes = figure.subplots(1, len(found), squeeze=False)[0]
        for axis, (label, result) in zip(axes, found, strict=True):
            classes = result.classes if result.classes is not None else np.unique(result.truth)
            truth, predicted = (
                np.searchsorted(classes, v) for v in (result.truth, result.predictions)
            )
            n = classes.size
            counts = np.bincount(truth * n + predicted, minlength=n * n).reshape(n, n)
            share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            axis.imshow(share, cmap=draw.RASTER, vmin=0, vmax=1)
            names = [draw.short(c, 12) for c in classes]
            axis.set_xticks(range(n), names, rotation=50, ha="right")
            axis.set_yticks(range(n), names)
            for i, j in np.ndindex(n, n) if n <= 12 else ():
                colour = "white" if share[i, j] > 0.55 else draw.INK
                axis.text(
                    j, i, f"{share[i, j]:.0%}", ha="center", va="center", size=6.5, color=colour
                )
            axis.set(title=draw.short(label.name), xlabel="predicted", ylabel="actual")
        return draw.finish(
            figure,
            "decoding-confusion",
            alt="Confusion of " + ", ".join(label.name for label, _ in found),
            caption="Share of each actual class (rows) that is predicted as each class (columns).",
        )
