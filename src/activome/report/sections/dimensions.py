"""Section dimensionality: components above shifted units, participation ratio, its interval."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome.geometry.dimensionality import Dimensionality, dimensionality
from activome.report import figures as draw
from activome.report._code import three_lines
from activome.report.recording import Recording
from activome.report.section import Figure, Section, Statement, Test, Verdict
from activome.report.sections._shared import not_applicable, number, p_text, plural, shift_null
from activome.report.settings import ReportSettings

__all__ = ["analyse"]

Array = np.ndarray[Any, Any]


def analyse(recording: Recording, settings: ReportSettings) -> Section:
    """Count the dimensions of a recording.

    Parameters
    ----------
    recording : Recording
        The data.
    settings : ReportSettings
        Level, surrogates, seed.

    Returns
    -------
    Section
        Components above the null, participation ratio and its interval.
    """
    code = three_lines(
        recording,
        settings,
        f"print(activome.geometry.dimensionality(grid, alpha={settings.alpha}, n_surrogates="
        f"{settings.n_surrogates}, random_state={settings.random_state}).parallel.n_components)",
    )
    if recording.core_units.size < 2:
        return not_applicable("at least two units must vary", code)
    found = dimensionality(
        recording.core,
        alpha=settings.alpha,
        n_surrogates=settings.n_surrogates,
        random_state=settings.random_state,
        progress=recording.progress,
    )
    parallel, ratio = found.parallel, found.participation
    test = Test(shift_null(recording), len(parallel.null), parallel.p_value, parallel.p_value)
    is_found = test.p_value <= settings.alpha
    cumulated = np.cumsum(found.explained)
    n_half = int(np.searchsorted(cumulated, 0.5)) + 1
    statements = [
        Statement.judged(
            f"There is shared structure: {plural(parallel.n_components, 'component')} carry more "
            f"variance than those of independent units"
            if parallel.n_components != 1
            else "There is shared structure: the first component carries more variance than that "
            "of independent units",
            "No component carries more variance than those of independent units",
            test,
            settings.alpha,
        ),
        Statement(
            f"The participation ratio is {number(ratio.estimate)} of at most {found.n_units} "
            f"({100 * ratio.level:.0f} % interval {number(ratio.low)} to {number(ratio.high)}, "
            f"{len(ratio.draws)} block bootstraps); {plural(n_half, 'component')} hold half of the "
            "variance."
        ),
    ]
    chip = plural(parallel.n_components, "dimension") if is_found else "nothing above chance"
    return Section(
        verdict=Verdict("found" if is_found else "nothing", f"{chip}, {p_text(test.p_value)}"),
        headline=(str(parallel.n_components), "dimensions above chance"),
        statements=statements,
        code=code,
        figures=[_figure(found)],
        numbers={
            "n_components": parallel.n_components,
            "p_value": parallel.p_value,
            "participation_ratio": ratio.estimate,
            "participation_interval": [ratio.low, ratio.high],
            "level": ratio.level,
            "block": ratio.block,
            "n_half_variance": n_half,
            "n_samples": found.n_samples,
            "n_units": found.n_units,
        },
        arrays={
            "eigenvalues": parallel.eigenvalues,
            "null": parallel.null.astype(np.float32),
            "threshold": parallel.threshold,
            "explained": found.explained,
            "participation_draws": ratio.draws,
        },
    )


def _figure(found: Dimensionality) -> Figure:
    parallel, ratio = found.parallel, found.participation
    shown = min(parallel.eigenvalues.size, max(15, 3 * parallel.n_components), 60)
    rank, values = np.arange(1, shown + 1), parallel.eigenvalues[:shown]
    with draw.style():
        figure = draw.canvas(2.7)
        scree, cumulative, interval = figure.subplots(1, 3, width_ratios=[1.5, 1.2, 0.9])
        low, high = parallel.null.min(axis=0)[:shown], parallel.threshold[:shown]
        scree.fill_between(rank, low, high, color=draw.NULL, alpha=0.75, lw=0)
        scree.text(
            rank[-1], values[0] * 0.93, "grey: shifted units", ha="right", color=draw.MUTED, size=7
        )
        is_above = rank <= parallel.n_components
        scree.plot(rank, values, color=draw.ACCENT, lw=0.8)
        scree.plot(rank[is_above], values[is_above], "o", ms=4, color=draw.ACCENT, label="above")
        scree.plot(rank[~is_above], values[~is_above], "o", ms=4, mfc="white", color=draw.ACCENT)
        if values.max() > 20 * max(values.min(), 1e-9):
            scree.set_yscale("log")
            draw.plain_ticks(scree.yaxis)
        scree.set(title="Scree", xlabel="component", ylabel="eigenvalue (of correlation)")
        cumulated = 100 * np.cumsum(found.explained)
        cumulative.plot(np.arange(1, cumulated.size + 1), cumulated, color=draw.INK)
        cumulative.axhline(50, color=draw.NULL, lw=0.8, ls="--")
        cumulative.set(title="Variance held", xlabel="components", ylabel="% of variance")
        cumulative.set_ylim(0, 101)
        interval.hist(ratio.draws, bins=25, color=draw.NULL)
        interval.axvspan(ratio.low, ratio.high, color=draw.ACCENT, alpha=0.15, lw=0)
        interval.axvline(ratio.estimate, color=draw.ACCENT, lw=1.6)
        interval.set(title="Participation ratio", xlabel="dimensions", yticks=[])
        interval.spines["left"].set_visible(False)
        return draw.finish(
            figure,
            "dimensions",
            alt=(
                f"Scree of eigenvalues with the band of shifted units: {parallel.n_components} "
                f"components lie above it. Participation ratio {number(ratio.estimate)}."
            ),
            caption=(
                "Left: eigenvalues of the correlation matrix; filled ones lie above the band of "
                "shifted units. Middle: variance held by the first components. Right: "
                "participation ratio (line), its interval (shade) and bootstrap draws (grey, "
                "which lie lower since repeated blocks have fewer dimensions)."
            ),
        )
