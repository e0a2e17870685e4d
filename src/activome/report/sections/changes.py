"""Section communities over time: do the units that go together change?"""

from __future__ import annotations

from typing import Any

import numpy as np

from activome.errors import ActivityError
from activome.graphs.changing import ChangingCommunities, changing_communities
from activome.report import figures as draw
from activome.report._code import three_lines
from activome.report.recording import Recording
from activome.report.section import Figure, Section, Statement, Test, Verdict
from activome.report.sections._shared import not_applicable, number, p_text
from activome.report.settings import ReportSettings

__all__ = ["analyse"]

Array = np.ndarray[Any, Any]
_WINDOWS = 8


def analyse(recording: Recording, settings: ReportSettings) -> Section:
    """Find communities in spans of a recording, and whether they change.

    Parameters
    ----------
    recording : Recording
        The data.
    settings : ReportSettings
        Level, surrogates, seed.

    Returns
    -------
    Section
        Whether communities change, and who moves when.
    """
    n_surrogates = settings.surrogates_for(1)
    code = three_lines(
        recording,
        settings,
        f"print(activome.graphs.changing_communities(grid, {_WINDOWS}, alpha={settings.alpha}, "
        f"n_surrogates={n_surrogates}, random_state={settings.random_state}).p_value)",
    )
    if recording.core_units.size < 3:
        return not_applicable(
            f"communities need at least 3 units that vary; there are {recording.core_units.size}",
            code,
        )
    try:
        found = changing_communities(
            recording.core,
            _WINDOWS,
            alpha=settings.alpha,
            n_surrogates=n_surrogates,
            random_state=settings.random_state,
            progress=recording.progress,
        )
    except ActivityError as error:
        reason = str(error).partition(": ")[2].rstrip(".")
        return not_applicable(reason, _explained(code))
    n_windows = found.labels.sizes["window"]
    test = Test(
        f"{found.n_blocks} blocks of about {found.block:.0f} samples in random order, the same "
        "for all units",
        len(found.null),
        found.p_value,
        found.p_value,
    )
    statement = Statement.judged(
        f"There are changes: which units go together differs between {n_windows} spans of the "
        f"recording, and {100 * found.moved:.0f} % of the units are at a time with others than on "
        "the whole",
        "Which units go together does not change over the recording more than between blocks in "
        "random order",
        test,
        settings.alpha,
    )
    is_found = found.is_significant
    text = f"{100 * found.moved:.0f} % of units move" if is_found else "no change above chance"
    return Section(
        verdict=Verdict("found" if is_found else "nothing", f"{text}, {p_text(found.p_value)}"),
        headline=(
            (f"{100 * found.moved:.0f} %", "of units change community")
            if is_found
            else ("0", "changes of communities")
        ),
        statements=[
            statement,
            Statement(
                f"Communities of their own add {number(found.gain)} to the modularity of the "
                f"{n_windows} spans; after shuffling it is {number(float(found.null.mean()))}."
            ),
        ],
        code=code,
        figures=[_figure(recording, found)],
        numbers={
            "n_windows": n_windows,
            "p_value": found.p_value,
            "gain": found.gain,
            "moved": found.moved,
            "n_blocks": found.n_blocks,
        },
        arrays={
            "community": found.labels.values,
            "community_of_whole": found.whole.values,
            "first_sample": found.bounds,
            "gain_null": found.null,
            "unit": recording.core_units,
        },
    )


def _explained(code: str) -> str:
    """Return code that says how long a recording is that is too short."""
    lines = code.splitlines()
    return "\n".join([*lines[:2], "print(dict(grid.sizes))  # too short for its memory"])


def _figure(recording: Recording, found: ChangingCommunities) -> Figure:
    from matplotlib.colors import ListedColormap

    labels, whole = found.labels.values, found.whole.values
    order = np.lexsort((*labels[::-1], whole))
    n_colours = len(draw.ENSEMBLE_COLOURS)
    with draw.style():
        figure = draw.canvas(2.9)
        spans, null = figure.subplots(1, 2, width_ratios=[2.2, 1])
        shown = np.minimum(np.vstack([whole, labels])[:, order].T, n_colours - 1)
        spans.imshow(
            shown, aspect="auto", cmap=ListedColormap(draw.ENSEMBLE_COLOURS), vmin=-0.5,
            vmax=n_colours - 0.5, extent=(-0.5, len(labels) + 0.5, len(whole), 0),
        )  # fmt: skip
        spans.axvline(0.5, color="white", lw=4)
        spans.set_xticks(range(len(labels) + 1), ["all", *_spans(recording, found)])
        spans.set(
            xlabel="start of the span",
            ylabel="unit, by community",
            title="Communities in each span",
        )
        spans.set_yticks([])
        null.hist(found.null, bins=20, color=draw.NULL, label="blocks shuffled")
        null.axvline(found.gain, color=draw.ACCENT, label="recording")
        null.set(
            xlabel="gain in modularity", ylabel="shuffles", title="Gain by communities of their own"
        )
        null.set_ylim(0, 1.45 * null.get_ylim()[1])
        null.legend(loc="upper left")
        return draw.finish(
            figure,
            "changes",
            alt=(
                f"Communities of {len(whole)} units in {len(labels)} spans of the recording, and "
                "what they gain against shuffled blocks."
            ),
            caption=(
                "Left: one row per unit, one colour per community; first column: the whole "
                "recording. Spans look alike where nothing changes. Right: what communities of "
                "their own add to the modularity of the spans, against blocks in random order."
            ),
        )


def _spans(recording: Recording, found: ChangingCommunities) -> list[str]:
    starts = found.bounds[:-1]
    if recording.has_trials or "time" not in recording.grid.dims:
        return [f"sample {start:,}" for start in starts]
    times = recording.grid["time"].values
    return [f"{times[start]:.4g} {recording.time_unit}" for start in starts]
