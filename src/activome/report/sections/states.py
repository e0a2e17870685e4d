"""Section states: what the whole population moves through, if one state is not enough."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from activome.patterns.found_states import FoundStates, find_states
from activome.report import figures as draw
from activome.report._code import three_lines
from activome.report.recording import Recording
from activome.report.section import Figure, Section, Statement, Table, Test, Verdict
from activome.report.sections._shared import not_applicable, number, p_text, shift_null
from activome.report.settings import ReportSettings

__all__ = ["analyse"]

Array = np.ndarray[Any, Any]
_CANDIDATES = (2, 3, 4, 5)
_FEWEST_SAMPLES = 80
_MOST_COLUMNS = 1500


def analyse(recording: Recording, settings: ReportSettings) -> Section:
    """Find the states of a recording.

    Parameters
    ----------
    recording : Recording
        The data.
    settings : ReportSettings
        Level, seed.

    Returns
    -------
    Section
        Whether one state is enough, else how many there are, when, and how they differ.
    """
    n_surrogates = math.ceil(1 / settings.alpha)
    code = three_lines(
        recording,
        settings,
        f"print(activome.patterns.find_states(grid, {_CANDIDATES}, n_surrogates={n_surrogates}, "
        f"alpha={settings.alpha}, random_state={settings.random_state}).n_states)",
    )
    core = recording.core
    n_samples = _n_samples(core)
    if core.sizes["unit"] < 2 or n_samples < _FEWEST_SAMPLES:
        reason = (
            f"states need at least 2 units and {_FEWEST_SAMPLES} samples; there are "
            f"{core.sizes['unit']} and {n_samples}"
        )
        return not_applicable(reason, code)
    found = find_states(
        core,
        _CANDIDATES,
        n_surrogates=n_surrogates,
        alpha=settings.alpha,
        random_state=settings.random_state,
        progress=recording.progress,
    )
    is_found = found.n_states > 1
    best = float(found.gain.max())
    test = _test(recording, found)
    width = recording.bin_width * found.bin_size
    # The largest number that was tried may not be where it ends.
    many = f"at least {found.n_states}" if found.n_states == _CANDIDATES[-1] else found.n_states
    statements = [
        Statement.judged(
            f"There are states: {many} of them predict stretches that were held out "
            f"better than one state does (by {number(best, 2)} nats per bin of {number(width)} "
            f"{recording.time_unit}), "
            "and better than in either null",
            "One state is enough: two or more predict stretches that were held out no better than "
            "in activity that has no states",
            test,
            settings.alpha,
        )
    ]
    numbers: dict[str, Any] = {
        "n_states": found.n_states, "p_value": found.p_value, "p_unrelated": found.p_unrelated,
        "p_linear": found.p_linear, "gain": best, "bin_width": width,
    }  # fmt: skip
    figures, tables, share, dwell = [_choice(found)], [], _share(found), _dwell(found, width)
    if is_found:
        text = ", ".join(
            f"S{k + 1} {100 * s:.0f} % of the time, {number(d, 2)} {recording.time_unit} "
            "at a stretch"
            for k, (s, d) in enumerate(zip(share, dwell, strict=True))
        )
        statements.append(Statement(f"By the model, the states last: {text}."))
        figures.append(_figure(recording, found))
        tables = [_table(recording, found, share, dwell)]
        numbers |= {"share": share, "dwell": dwell}
    chip = f"{found.n_states} states" if is_found else "one state is enough"
    return Section(
        verdict=Verdict("found" if is_found else "nothing", f"{chip}, {p_text(found.p_value)}"),
        headline=(str(found.n_states), "states" if is_found else "state is enough"),
        statements=statements,
        code=code,
        figures=figures,
        tables=tables,
        numbers=numbers,
        arrays={
            "candidates": found.candidates,
            "gain": found.gain,
            "gain_unrelated": found.null_unrelated,
            "gain_linear": found.null_linear,
            "probability": found.probabilities.astype(np.float32),
            "pattern": found.patterns,
            "transition": found.transition,
            "trial": found.trial,
            "start": found.start,
        },
    )


def _n_samples(core: Any) -> int:
    if "valid" in core.coords:
        return int(core["valid"].values.sum())
    return int(np.prod([n for dim, n in core.sizes.items() if dim != "unit"]))


def _test(recording: Recording, found: FoundStates) -> Test:
    null = f"{shift_null(recording)}; and one linear state with the same correlations"
    n_drawn = len(found.null_unrelated) + len(found.null_linear)
    return Test(null, n_drawn, found.p_value, min(found.p_unrelated, found.p_linear))


def _share(found: FoundStates) -> list[float]:
    return [float(value) for value in found.probabilities.mean(axis=0)]


def _dwell(found: FoundStates, width: float) -> list[float]:
    leave = 1.0 - np.diagonal(found.transition)
    return [float(width / max(value, 1e-9)) for value in leave]


def _names(recording: Recording, found: FoundStates) -> Array:
    """Return the names of the units that were searched."""
    return recording.unit_names[recording.core_units][found.units]


def _table(
    recording: Recording, found: FoundStates, share: list[float], dwell: list[float]
) -> Table:
    names = _names(recording, found)
    rows = []
    for k, pattern in enumerate(found.patterns):
        order = np.argsort(pattern, kind="stable")
        high = ", ".join(draw.short(names[i], 16) for i in order[::-1][:6] if pattern[i] > 0)
        low = ", ".join(draw.short(names[i], 16) for i in order[:6] if pattern[i] < 0)
        rows.append((f"S{k + 1}", f"{100 * share[k]:.0f} %", number(dwell[k], 2), high, low))
    columns = (
        "state",
        "of the time",
        f"{recording.time_unit} at a stretch",
        "highest units",
        "lowest units",
    )
    return Table("The states", columns, rows)


def _choice(found: FoundStates) -> Figure:
    with draw.style():
        figure = draw.canvas(2.1, width=5.4)
        axis = figure.subplots()
        x = found.candidates
        nulls = (
            (found.null_unrelated, draw.NULL, "unrelated units", ""),
            (found.null_linear, draw.MUTED, "one linear state", "//"),
        )
        for null, colour, label, hatch in nulls:
            if len(null):
                axis.fill_between(
                    x, null.min(axis=0), null.max(axis=0), fc=colour if not hatch else "none",
                    ec=colour, hatch=hatch, alpha=0.75, lw=0.5, label=label,
                )  # fmt: skip
        axis.plot(x, found.gain, "o-", color=draw.ACCENT, ms=4, label="recording")
        if found.n_states > 1:
            place = int(np.flatnonzero(x == found.n_states)[0])
            axis.plot(
                x[place], found.gain[place], "o", ms=10, mfc="none", mec=draw.INK, label="chosen"
            )
        axis.axhline(0, color=draw.MUTED, lw=0.6)
        axis.set(
            title="Held-out likelihood beyond one state", xlabel="number of states",
            ylabel="nats per bin", xticks=x,
        )  # fmt: skip
        axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        return draw.finish(
            figure,
            "states-number",
            alt=f"Held-out likelihood against the number of states; {found.n_states} are chosen.",
            caption=(
                "What each number of states predicts of held-out stretches beyond a single state, "
                "against the range of the same in units shifted in time and in one linear state."
            ),
        )


def _figure(recording: Recording, found: FoundStates) -> Figure:
    n_states = found.n_states
    colours = [draw.ENSEMBLE_COLOURS[k % len(draw.ENSEMBLE_COLOURS)] for k in range(n_states)]
    times, label = _times(recording, found)
    shown = draw.shrink(found.probabilities.T, n_states, _MOST_COLUMNS)
    x = draw.shrink(times[np.newaxis], 1, _MOST_COLUMNS)[0]
    order = _order(found.patterns)
    limit = float(max(np.quantile(np.abs(found.patterns), 0.99), 1e-3))
    with draw.style():
        figure = draw.canvas(1.0 + 0.5 * n_states)
        left, right = figure.subplots(1, 2, width_ratios=[2.4, 1])
        for k, colour in enumerate(colours):
            base = n_states - 1 - k
            left.fill_between(x, base, base + 0.9 * shown[k], color=colour, lw=0, step="mid")
            left.axhline(base, color=draw.NULL, lw=0.5)
        ticks = np.arange(n_states)[::-1] + 0.45
        names = [f"S{k + 1}" for k in range(n_states)]
        left.set_yticks(ticks, names)
        left.tick_params(axis="y", length=0)
        left.set(xlabel=label, title="Probability of each state", ylim=(0, n_states))
        left.set_xlim(x[0], x[-1] if x[-1] > x[0] else x[0] + 1)
        image = right.imshow(
            draw.shrink(found.patterns[:, order], n_states, 400), aspect="auto", cmap=draw.SIGNED,
            vmin=-limit, vmax=limit,
        )  # fmt: skip
        right.set_yticks(range(n_states), names)
        right.set(
            title="Mean of each unit in a state", xlabel="units, by their highest state", xticks=[]
        )
        bar = figure.colorbar(image, ax=right, shrink=0.8, pad=0.02)
        bar.set_label("standard deviations")
        bar.outline.set_visible(False)
        return draw.finish(
            figure,
            "states",
            alt=f"Probabilities of {n_states} states over the recording, and their patterns.",
            caption=(
                "Left: probability of each state over the recording. Right: how far each unit is "
                "from its mean in each state (dark is above, warm below)."
            ),
        )


def _times(recording: Recording, found: FoundStates) -> tuple[Array, str]:
    if recording.has_trials or "time" not in recording.grid.dims:
        n_bins = len(found.trial)
        return np.arange(n_bins, dtype=np.float64), "bin (trials end to end)"
    return recording.grid["time"].values[found.start].astype(np.float64), recording.time_label


def _order(patterns: Array) -> Array:
    """Return the order of units by the state in which they are highest, and how high they are."""
    state = patterns.argmax(axis=0)
    return np.lexsort((-patterns.max(axis=0), state))
