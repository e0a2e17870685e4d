"""Section parts: semi-nonnegative factors, their number chosen by stability against a null."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from sklearn.base import clone

from activome.activity.stacking import to_samples
from activome.errors import ConvergenceWarning
from activome.patterns.semi_nmf import SemiNMF
from activome.patterns.stability import StabilityResult, choose_n_components
from activome.report import figures as draw
from activome.report._code import three_lines
from activome.report.recording import Recording
from activome.report.section import Figure, Section, Statement, Test, Verdict
from activome.report.sections._shared import (
    not_applicable,
    number,
    p_text,
    plural,
    standardised,
)  # fmt: skip
from activome.report.settings import ReportSettings

__all__ = ["analyse"]

Array = np.ndarray[Any, Any]
_CANDIDATES = (2, 3, 4, 6, 8, 12, 16)
# Whole loadings and a start from the data: sparse ones of few units differ between halves by which
# of equally good units they keep, and random starts by where they end.
_MODEL = SemiNMF(keep=1.0, init="svd")
_MAX_SAMPLES, _N_ITER = 600, 12
_FEWEST_SAMPLES = 80
_SHOWN_UNITS = 8


def analyse(recording: Recording, settings: ReportSettings) -> Section:
    """Find the parts of a recording.

    Parameters
    ----------
    recording : Recording
        The data.
    settings : ReportSettings
        Level, most components, seed.

    Returns
    -------
    Section
        How many parts are stable beyond chance, which units they hold and when they are used.
    """
    rows, index = to_samples(recording.core)
    values = standardised(rows)
    n_half = min(values.shape[0], _MAX_SAMPLES) // 2
    most = min(settings.max_components, values.shape[1] - 1, n_half)
    candidates = tuple(n for n in _CANDIDATES if n <= most)
    n_surrogates = math.ceil(1 / settings.alpha)
    code = three_lines(
        recording,
        settings,
        "print(activome.patterns.choose_n_components(activome.patterns.SemiNMF(keep=1.0, "
        f"init='svd'), grid, {candidates}, n_surrogates={n_surrogates}, alpha={settings.alpha}, "
        f"max_samples={_MAX_SAMPLES}, n_iter={_N_ITER}, "
        f"random_state={settings.random_state}).n_components)",
    )
    if not candidates or values.shape[0] < _FEWEST_SAMPLES:
        reason = (
            f"parts need at least 3 units and {_FEWEST_SAMPLES} samples; there are "
            f"{values.shape[1]} and {values.shape[0]}"
        )
        return not_applicable(reason, code)
    chosen = choose_n_components(
        _MODEL,
        recording.core,
        candidates,
        n_surrogates=n_surrogates,
        alpha=settings.alpha,
        random_state=settings.random_state,
        progress=recording.progress,
        max_samples=_MAX_SAMPLES,
        n_iter=_N_ITER,
    )
    n_parts = chosen.n_components
    test = Test(
        "each unit shifted around the recording by a lag of its own",
        len(chosen.null),
        chosen.p_value,
        chosen.p_value,
    )
    statement = Statement.judged(
        f"There are parts: {n_parts} of them are found again in the other half of the recording "
        "more often than in unrelated units",
        "No number of parts is found again in the other half of the recording more often than in "
        "unrelated units",
        test,
        settings.alpha,
    )
    figures, arrays, numbers = [], {}, {"n_components": n_parts, "p_value": chosen.p_value}
    statements = [statement]
    if n_parts:
        model, use = _fit(values, n_parts, settings)
        share = model.score(values)
        numbers["explained"] = share
        statements.append(
            Statement(
                f"Together they explain {100 * share:.1f} % of the variance of the standardised "
                "units."
            )
        )
        arrays = {"components": model.components_, "coefficients": use.astype(np.float32)}
        times = _times(recording, index.mask, len(values))
        figures = [_figure(recording, model.components_, use, times)]
    arrays |= {
        "candidates": chosen.candidates,
        "stability": chosen.stability,
        "stability_null": chosen.null,
        "p_values": chosen.p_values,
    }
    text = plural(n_parts, "part") if n_parts else "nothing above chance"
    return Section(
        verdict=Verdict("found" if n_parts else "nothing", f"{text}, {p_text(test.p_value)}"),
        headline=(str(n_parts), "stable parts"),
        statements=statements,
        code=code,
        figures=[_choice(chosen), *figures],
        numbers=numbers,
        arrays=arrays,
    )


def _fit(values: Array, n_parts: int, settings: ReportSettings) -> tuple[SemiNMF, Array]:
    model = clone(_MODEL).set_params(
        n_components=n_parts, max_iter=200, patience=20, random_state=settings.random_state
    )
    with warnings.catch_warnings():
        # The limit is what the report spends on a picture; the parts are already chosen.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(values)
    return model, model.transform(values)


def _times(recording: Recording, mask: Array | None, n_samples: int) -> tuple[Array, str]:
    grid = recording.grid
    if "time" not in grid.dims or recording.has_trials:
        return np.arange(n_samples, dtype=np.float64), "sample (trials end to end)"
    return grid["time"].values.astype(np.float64), recording.time_label


def _choice(chosen: StabilityResult) -> Figure:
    with draw.style():
        figure = draw.canvas(2.1, width=5.4)
        axis = figure.subplots()
        x = chosen.candidates
        if len(chosen.null):
            low, high = chosen.null.min(axis=0), chosen.null.max(axis=0)
            axis.fill_between(
                x, low, high, color=draw.NULL, alpha=0.75, lw=0, label="shifted units"
            )
        axis.plot(x, chosen.stability, "o-", color=draw.ACCENT, ms=4, label="recording")
        if chosen.n_components:
            place = int(np.flatnonzero(x == chosen.n_components)[0])
            axis.plot(
                x[place], chosen.stability[place], "o", ms=10, mfc="none", mec=draw.INK,
                label="chosen",
            )  # fmt: skip
        axis.set(title="Stability of the parts", xlabel="number of parts", ylabel="similarity")
        axis.set_xticks(x)
        axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        return draw.finish(
            figure,
            "parts-number",
            alt=f"Stability against the number of parts; {chosen.n_components} are chosen.",
            caption=(
                "Similarity of matched parts between two halves of the time, against the range of "
                "the same in units shifted in time."
            ),
        )


def _figure(
    recording: Recording, components: Array, use: Array, times: tuple[Array, str]
) -> Figure:
    n_parts = components.shape[0]
    norms = np.sqrt((components**2).sum(axis=1))
    names = recording.unit_names[recording.core_units]
    x = draw.shrink(times[0][np.newaxis], 1, 1500)[0]
    with draw.style():
        figure = draw.canvas(0.5 + 0.62 * n_parts)
        axes = figure.subplots(n_parts, 2, width_ratios=[1, 2.4], squeeze=False)
        for k in range(n_parts):
            colour = draw.ENSEMBLE_COLOURS[k % len(draw.ENSEMBLE_COLOURS)]
            left, right = axes[k]
            loads = components[k] / max(norms[k], 1e-30)
            top = np.argsort(-np.abs(loads))[: min(_SHOWN_UNITS, loads.size)]
            bars = left.bar(np.arange(top.size), loads[top], color=colour, width=0.75)
            for bar, value in zip(bars, loads[top], strict=True):
                bar.set_alpha(1.0 if value >= 0 else 0.45)
            left.axhline(0, color=draw.MUTED, lw=0.6)
            left.set_xticks(np.arange(top.size), [draw.short(names[i], 7) for i in top])
            left.tick_params(axis="x", labelsize=5.5, length=0)
            left.set_ylabel(f"P{k + 1}", rotation=0, ha="right", va="center", weight="bold")
            course = draw.shrink(use[:, k][np.newaxis] * norms[k], 1, 1500)[0]
            right.fill_between(x, 0, course, color=colour, lw=0, alpha=0.9)
            right.set_xlim(x[0], x[-1] if x[-1] > x[0] else x[0] + 1)
            right.set_ylim(0, max(float(np.quantile(course, 0.998)), 1e-9))
            right.set_yticks([])
            right.spines["left"].set_visible(False)
            if k < n_parts - 1:
                right.set_xticklabels([])
        axes[0, 0].set_title("Units that load most")
        axes[0, 1].set_title("Use over time")
        axes[-1, 1].set_xlabel(times[1])
        return draw.finish(
            figure,
            "parts",
            alt=f"Loadings of {n_parts} parts on their strongest units, and their use over time.",
            caption=(
                f"Each row is a part: its loadings on the {min(_SHOWN_UNITS, components.shape[1])} "
                "units that weigh most (pale: negative), and how much it is used over the "
                f"recording (mean of neighbours, {number(float(len(x)), 4)} points)."
            ),
        )
