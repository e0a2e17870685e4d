"""Section parts of trials: which units, when within a trial, in which trials."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome.errors import ActivityError
from activome.patterns.trial_parts import TrialParts, trial_parts
from activome.report import figures as draw
from activome.report._code import three_lines
from activome.report.recording import Recording
from activome.report.section import Figure, Section, Statement, Test, Verdict
from activome.report.sections._shared import not_applicable, p_text, plural
from activome.report.settings import ReportSettings

__all__ = ["analyse"]

Array = np.ndarray[Any, Any]
_MOST_PARTS = 4
_SHOWN_UNITS = 8


def analyse(recording: Recording, settings: ReportSettings) -> Section:
    """Find the parts of trials of a recording.

    Parameters
    ----------
    recording : Recording
        The data.
    settings : ReportSettings
        Level, surrogates, most components, seed.

    Returns
    -------
    Section
        How many parts there are beyond chance; their units, time courses and trials.
    """
    n_surrogates, most = settings.surrogates_for(1), min(_MOST_PARTS, settings.max_components)
    code = three_lines(
        recording,
        settings,
        f"print(activome.patterns.trial_parts(grid, {most}, alpha={settings.alpha}, "
        f"n_surrogates={n_surrogates}, random_state={settings.random_state}).n_parts)",
    )
    if recording.core.dims != ("trial", "time", "unit"):
        return not_applicable("there are no trials with a time axis", _explained(code))
    try:
        found = trial_parts(
            recording.core,
            most,
            alpha=settings.alpha,
            n_surrogates=n_surrogates,
            random_state=settings.random_state,
            progress=recording.progress,
        )
    except ActivityError as error:
        return not_applicable(str(error).partition(": ")[2].rstrip("."), _explained(code))
    test = Test(
        "the trials of each unit shifted around by a number of its own",
        len(found.null),
        found.p_value,
        found.p_value,
    )
    are = "is" if found.n_parts == 1 else "are"
    statements = [
        Statement.judged(
            "There are units that vary together from trial to trial more than unrelated units; "
            f"{plural(found.n_parts, 'part')} of units, times and trials {are} stable and "
            "predict what was held out",
            "Units do not vary together from trial to trial more than unrelated units with the "
            "same responses",
            test,
            settings.alpha,
        )
    ]
    n = found.n_parts
    if n:
        statements.append(
            Statement(
                f"Together the parts explain {100 * found.explained:.1f} % of the squared activity."
            )
        )
    text = plural(n, "part") if n else "nothing above chance"
    return Section(
        verdict=Verdict("found" if n else "nothing", f"{text}, {p_text(found.p_value)}"),
        headline=(str(n), "parts of trials"),
        statements=statements,
        code=code,
        figures=[_figure(recording, found)] if n else [],
        numbers={"n_parts": n, "p_value": found.p_value, "explained": found.explained},
        arrays={
            "units": found.units.values,
            "times": found.times.values,
            "trials": found.trials.values,
            "explained_null": found.null,
            "held_out": found.held_out,
            "match": found.match,
        },
    )


def _explained(code: str) -> str:
    """Return code that says of a recording without trials what it has."""
    lines = code.splitlines()
    return "\n".join([*lines[:2], "print(dict(grid.sizes))  # parts of trials need 20 trials"])


def _figure(recording: Recording, found: TrialParts) -> Figure:
    names = [str(name) for name in found.units["unit"].values]
    with draw.style():
        figure = draw.canvas(0.5 + 1.15 * found.n_parts)
        axes = figure.subplots(
            found.n_parts, 3, width_ratios=[1.1, 0.9, 1.6], squeeze=False, sharex="col"
        )
        for k, (units, time, trial) in enumerate(axes):
            loadings = found.units.values[k]
            strong = np.argsort(-np.abs(loadings))[:_SHOWN_UNITS][::-1]
            signs = loadings[strong] > 0
            colours = [draw.ACCENT if sign else draw.NULL for sign in signs]
            units.barh(range(strong.size), np.abs(loadings[strong]), color=colours)
            units.set_yticks(range(strong.size), [draw.short(names[j], 10) for j in strong])
            units.tick_params(axis="y", labelsize=5.5)
            units.set_ylabel(f"part {k + 1}")
            time.plot(
                found.times["time"].values, found.times.values[k], "o-", ms=2.5, color=draw.ACCENT
            )
            time.set_ylim(bottom=0)
            time.set_yticks([])
            trial.plot(found.trials.values[k], ".", ms=3, color=draw.ACCENT)
            trial.set_ylim(bottom=0)
            trial.set_yticks([])
        for axis, title in zip(
            axes[0], ("Strongest units", "When", "In which trials"), strict=True
        ):
            axis.set_title(title)
        for axis, label in zip(axes[-1], ("loading", recording.time_label, "trial"), strict=True):
            axis.set_xlabel(label)
        return draw.finish(
            figure,
            "trials",
            alt=f"Units, time courses and trials of {found.n_parts} parts.",
            caption=(
                "Each row is a part: its strongest units (pale: below their mean), its course "
                "within the trial, and how much it is used in each trial."
            ),
        )
