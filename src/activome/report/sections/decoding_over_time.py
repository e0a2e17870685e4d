"""Section decoding over time: when a label of the trials can be read, against shuffled labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from activome.decoding.over_time import TimeDecoding, decode_over_time
from activome.errors import ActivityError
from activome.report import figures as draw
from activome.report._code import three_lines
from activome.report.labels import Label
from activome.report.recording import Recording
from activome.report.section import Figure, Section, Statement, Test, Verdict, holm
from activome.report.sections._shared import not_applicable, number, p_text, plural
from activome.report.settings import ReportSettings

__all__ = ["analyse"]

Array = np.ndarray[Any, Any]
_FEWEST_WINDOWS = 2
_MOST_SHOWN = 4
_NULL = "labels permuted over trials, the largest score of all windows"


@dataclass(frozen=True)
class _Found:
    """A label with its scores, corrected over labels too."""

    label: Label
    result: TimeDecoding
    p: float
    is_above: Array

    @property
    def best(self) -> int:
        return int(self.result.scores.argmax())


def analyse(recording: Recording, settings: ReportSettings) -> Section:
    """Decode every label of trials in windows that slide over the trials.

    Parameters
    ----------
    recording : Recording
        The data.
    settings : ReportSettings
        Level, permutations, most labels, seed.

    Returns
    -------
    Section
        Scores over time, chance and p-values, corrected over windows and labels.
    """
    dims = recording.grid.dims
    labels = [x for x in recording.labels if x.kind != "skipped" and x.dims == ("trial",)]
    labels = labels[: settings.max_labels]
    if "trial" not in dims or "time" not in dims or recording.grid.sizes["time"] < _FEWEST_WINDOWS:
        reason = "there are no trials with several times"
        return not_applicable(reason, three_lines(recording, settings, "print(grid.sizes)"))
    if not labels:
        reason = "there is no label of trials that can be decoded"
        return not_applicable(reason, three_lines(recording, settings, "print(list(grid.coords))"))
    n = settings.surrogates_for(len(labels))
    results: list[tuple[Label, TimeDecoding]] = []
    refused: list[Statement] = []
    for label in labels:
        try:
            results.append((label, _decode(recording, label, n, settings)))
        except ActivityError as error:
            refused.append(Statement(f"{label.name}: not decoded over time. {error}"))
    code = _code(recording, settings, results[0][0] if results else labels[0], n)
    if not results:
        return not_applicable("; ".join(statement.text for statement in refused), code)
    found = _corrected(results, settings.alpha)
    best = min(found, key=lambda one: (one.p, -float(one.result.scores.max())))
    is_found = best.p <= settings.alpha
    top, score = best.result, float(best.result.scores[best.best])
    summary = f"{top.metric} of {draw.short(best.label.name)}"
    chip = "at no time above chance"
    if is_found:
        chip = f"{draw.short(best.label.name)} from {_start(best, recording.time_unit)} on"
    return Section(
        verdict=Verdict("found" if is_found else "nothing", f"{chip}, {p_text(best.p)}"),
        headline=(f"{score:.2f}", f"best {summary}" if is_found else f"best {summary}: chance"),
        statements=[_statement(recording, one, settings.alpha) for one in found] + refused,
        code=code,
        figures=[_figure(recording, found[:_MOST_SHOWN], settings.alpha)],
        numbers={one.label.name: _numbers(one) for one in found},
        arrays=_arrays(found),
    )


def _decode(recording: Recording, label: Label, n: int, settings: ReportSettings) -> TimeDecoding:
    return decode_over_time(
        recording.core,
        label.name,
        kind=label.kind,
        n_permutations=n,
        random_state=settings.random_state,
        progress=recording.progress,
    )


def _code(recording: Recording, settings: ReportSettings, label: Label, n: int) -> str:
    return three_lines(
        recording,
        settings,
        f"print(activome.decoding.decode_over_time(grid, {label.name!r}, kind={label.kind!r}, "
        f"n_permutations={n}, random_state={settings.random_state}).scores)",
    )


def _corrected(results: list[tuple[Label, TimeDecoding]], alpha: float) -> list[_Found]:
    """Correct over labels; a window counts with the factor that its label's best one got."""
    corrected = holm([result.p_value for _, result in results])
    found = []
    for (label, result), p in zip(results, corrected, strict=True):
        windows = result.p_values * (p / result.p_value)
        is_above = (windows <= alpha * (1 + 1e-9)) & (p <= alpha)
        found.append(_Found(label, result, p, is_above))
    return found


def _start(one: _Found, unit: str) -> str:
    return f"{number(float(one.result.times[one.is_above][0]))} {unit}"


def _statement(recording: Recording, one: _Found, alpha: float) -> Statement:
    result, name = one.result, one.label.name
    at = f"{number(float(result.times[one.best]))} {recording.time_unit}"
    score = f"{result.metric} {result.scores[one.best]:.3f} at {at}, chance {result.chance:.3f}"
    windows = plural(result.times.size, "window")
    caution = (
        ". Its trials come in few runs: slow drift could pass for it" if result.in_runs else ""
    )
    found = ""
    if one.is_above.any():
        found = (
            f"There is a time for {name}: it can be read in {int(one.is_above.sum())} of "
            f"{windows}, the first at {_start(one, recording.time_unit)}; at best {score}{caution}"
        )
    return Statement.judged(
        found,
        f"{name} can be read above chance in none of {windows}; at best {score}",
        Test(_NULL, len(result.null), one.p, float(result.p_uncorrected[one.best])),
        alpha,
    )


def _numbers(one: _Found) -> dict[str, Any]:
    result = one.result
    return {
        "best": float(result.scores[one.best]),
        "best_time": float(result.times[one.best]),
        "onset": float(result.times[one.is_above][0]) if one.is_above.any() else None,
        "n_above": int(one.is_above.sum()),
        "n_windows": int(result.times.size),
        "chance": result.chance,
        "p_value": one.p,
        "p_of_label": result.p_value,
        "metric": result.metric,
        "in_runs": result.in_runs,
    }


def _arrays(found: list[_Found]) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    for one in found:
        result = one.result
        arrays |= {
            f"{one.label.name}-times": result.times,
            f"{one.label.name}-scores": result.scores,
            f"{one.label.name}-null": result.null,
            f"{one.label.name}-p-values": result.p_values,
        }
    return arrays


def _figure(recording: Recording, found: list[_Found], alpha: float) -> Figure:
    with draw.style():
        figure = draw.canvas(0.6 + 1.55 * len(found), width=7.4)
        axes = figure.subplots(len(found), 1, squeeze=False)[:, 0]
        for axis, one in zip(axes, found, strict=True):
            _panel(axis, one, alpha)
        axes[-1].set_xlabel(f"{recording.time_label} in the trial")
        axes[0].legend(loc="lower left", bbox_to_anchor=(0.3, 1.0), ncols=4)
        return draw.finish(
            figure,
            "decoding-over-time",
            alt="; ".join(
                f"{one.label.name}: best {one.result.metric} {one.result.scores.max():.2f} at "
                f"{one.result.times[one.best]:.3g} {recording.time_unit}"
                for one in found
            ),
            caption=(
                "Line: score in each window, of trials that were not trained on (filled: above "
                "chance at the level of the section). Grey band: 95 % of the scores with shuffled "
                "labels; dashes: what the largest of all windows passes by chance."
            ),
        )


def _panel(axis: Any, one: _Found, alpha: float) -> None:
    result = one.result
    low, high = np.quantile(result.null, [0.025, 0.975], axis=0)
    limit = float(np.quantile(result.null.max(axis=1), 1 - alpha))
    axis.fill_between(result.times, low, high, color=draw.NULL, alpha=0.8, lw=0, label="shuffled")
    axis.axhline(result.chance, color=draw.MUTED, lw=0.8, label="chance")
    axis.axhline(limit, color=draw.MUTED, lw=0.9, ls="--", label="largest by chance")
    axis.plot(
        result.times, result.scores, "-o", color=draw.ACCENT, ms=4, mfc="white", label="score"
    )
    axis.plot(
        result.times[one.is_above], result.scores[one.is_above], "o", color=draw.ACCENT, ms=4.6
    )
    axis.set(ylabel=result.metric, title=draw.short(one.label.name))
    bottom = min(float(low.min()), float(result.scores.min()), result.chance)
    axis.set_ylim(max(bottom - 0.05, -1.0), 1.04)
