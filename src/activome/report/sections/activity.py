"""Section activity: rasters or traces sorted by the ensembles found, with the labels beneath."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome.errors import ActivityError
from activome.report._code import three_lines
from activome.report.labels import Label
from activome.report.recording import Recording
from activome.report.section import Figure, Section, Statement, Test, Verdict
from activome.report.sections._rasters import hero, overview, shown_samples, trial_views
from activome.report.sections._shared import (
    count_groups,
    found_communities,
    p_text,
    plural,
    shift_null,
    unit_order,
)  # fmt: skip
from activome.report.settings import ReportSettings

__all__ = ["analyse"]

Array = np.ndarray[Any, Any]


def analyse(recording: Recording, settings: ReportSettings) -> Section:
    """Draw the recording, units sorted by the ensembles found in it.

    Parameters
    ----------
    recording : Recording
        The data.
    settings : ReportSettings
        Level, surrogates, seed.

    Returns
    -------
    Section
        A raster, its first figure the picture of the report's first screen.
    """
    code = three_lines(recording, settings, "print(activome.graphs.order_units(grid)[:10])")
    n = recording.core_units.size
    labels, order = np.zeros(n, dtype=np.int64), np.arange(n)
    statements: list[Statement] = []
    numbers: dict[str, Any] = {"n_units_drawn": n}
    try:
        groups = found_communities(recording, settings)
    except ActivityError as error:
        statements.append(Statement(f"Units stand in their own order. {error}"))
        verdict, headline = Verdict("described", "too small to sort"), (str(n), "units drawn")
    else:
        # Bonferroni, as in the section on the graph, where edges are tested besides.
        p = min(1.0, 2 * groups.p_value)
        is_found = groups.is_significant
        labels = np.asarray(groups.labels.values)
        order = unit_order(recording, labels)
        n_groups, members = count_groups(labels)
        test = Test(shift_null(recording), len(groups.null), p, groups.p_value)
        statements.append(
            Statement.judged(
                f"There are {n_groups} ensembles of units that are active together, of {members}; "
                "the raster is sorted by them",
                "No ensembles stand out; the units are sorted by likeness alone",
                test,
                settings.alpha,
            )
        )
        chip = plural(n_groups, "ensemble") if is_found else "nothing above chance"
        verdict = Verdict("found" if is_found else "nothing", f"{chip}, {p_text(p)}")
        headline = (str(n_groups) if is_found else "0", "ensembles")
        numbers |= {"n_ensembles": n_groups if is_found else 0, "p_value": p}
    shown = [label for label in recording.labels if label.kind != "skipped"]
    return Section(
        verdict=verdict,
        headline=headline,
        statements=statements,
        code=code,
        figures=_figures(recording, labels, order, shown),
        numbers=numbers,
        arrays={"order": order, "ensemble": labels, "unit": recording.core_units},
    )


def _figures(recording: Recording, labels: Array, order: Array, shown: list[Label]) -> list[Figure]:
    if recording.has_trials and "time" in recording.grid.dims:
        return [trial_views(recording, labels, order, shown)]
    pictures = [hero(recording, labels, order, shown)]
    if recording.grid.sizes.get("time", 0) > 2 * shown_samples(recording):
        pictures.append(overview(recording, labels, order))
    return pictures
