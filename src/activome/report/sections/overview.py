"""Section overview: what the recording holds, and what is wrong with it, the worst first."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from activome.activity.schema import Problem
from activome.report import figures as draw
from activome.report._code import three_lines
from activome.report.grid import first_of_copies
from activome.report.recording import Recording
from activome.report.section import Figure, Section, Statement, Table, Test, Verdict
from activome.report.sections._shared import number, plural
from activome.report.settings import ReportSettings

__all__ = ["analyse"]

Array = np.ndarray[Any, Any]
_CLIPPED_SHARE = 0.01
_CLIPPED_SAMPLES = 10
_MAINS = (50.0, 60.0)
_MOST_ROWS = 400
_ORDER = {"critical": 0, "violation": 1, "suggestion": 2}


def analyse(recording: Recording, settings: ReportSettings) -> Section:
    """Describe a recording and the quality of its units.

    Parameters
    ----------
    recording : Recording
        The data.
    settings : ReportSettings
        Level of the test for line noise.

    Returns
    -------
    Section
        Problems by severity, and a table of units.
    """
    flags = _flags(recording)
    problems = list(recording.problems) + _problems(recording, flags)
    line, ratios = _line_noise(recording, settings)
    problems += [
        Problem("violation", "field", f"{s.text}.", "Filter it out where it matters.")
        for s in line
        if s.kind == "finding"
    ]
    problems.sort(key=lambda problem: _ORDER[problem.severity])
    statements = [Statement(text) for text in _facts(recording, settings)]
    statements += line
    counts = {name: sum(p.severity == name for p in problems) for name in _ORDER}
    worst = counts["critical"] + counts["violation"]
    n_bad = int(np.any(list(flags.values()), axis=0).sum()) if flags else 0
    code = three_lines(recording, settings, "print(activome.check(grid))")
    rows = [(p.severity, p.where, f"{p.what} {p.cure}") for p in problems]
    tables = [Table("Problems, the worst first", ("severity", "where", "what"), rows)]
    tables.append(_unit_table(recording, flags))
    text = plural(worst, "problem") if worst else "no problem found"
    return Section(
        verdict=Verdict("problems" if worst else "described", text),
        headline=(f"{n_bad}/{recording.n_units}", "units with a flaw"),
        statements=statements,
        code=code,
        figures=[_figure(recording, flags)],
        tables=tables if problems else tables[1:],
        numbers={
            "problems": [vars(p) for p in problems],
            "n_units": recording.n_units,
            "n_kept": int(recording.kept.size),
            "n_core": int(recording.core_units.size),
            "bin_width": recording.bin_width,
            "duration": recording.duration,
            "sizes": recording.sizes,
            "n_filled": recording.n_filled,
            "n_dropped_trials": recording.n_dropped_trials,
            "unit_names": [str(name) for name in recording.unit_names],
            "line_noise_ratio": ratios,
        },
        arrays={
            "mean": recording.scan.mean,
            "std": recording.scan.std,
            "low": recording.scan.low,
            "high": recording.scan.high,
            "n_missing": recording.scan.n_bad,
            **{f"is_{name}": flag for name, flag in flags.items()},
        },
    )


def _flags(recording: Recording) -> dict[str, Array]:
    scan = recording.scan
    good = scan.n_used - scan.n_bad
    flat = (good > 0) & (scan.low == scan.high)
    missing = scan.n_bad > 0
    first = first_of_copies(scan)
    duplicated = (np.bincount(first, minlength=first.size)[first] > 1) & ~flat & (good > 0)
    found = {"flat": flat, "missing": missing, "duplicated": duplicated}
    if recording.kind not in ("spikes", "rate"):
        at_end = np.maximum(scan.n_low, scan.n_high)
        needed = np.maximum(_CLIPPED_SAMPLES, _CLIPPED_SHARE * good)
        found["clipped"] = (at_end >= needed) & ~flat & (good > 0) & (scan.low < 0)
    return found


def _problems(recording: Recording, flags: dict[str, Array]) -> list[Problem]:
    texts = {
        "flat": ("constant", "They are left out of the analyses."),
        "missing": ("without some of their values", "Missing bins hold the mean of the unit."),
        "duplicated": ("copies of another", "One of each is kept; copies inflate correlations."),
        "clipped": (
            "at their limit for 1 % of the time or more",
            "Check the range of the amplifier.",
        ),
    }
    problems = []
    for name, flag in flags.items():
        n = int(flag.sum())
        if n:
            state, cure = texts[name]
            names = [draw.short(unit) for unit in recording.unit_names[flag][:5]]
            more = f" and {n - 5:,} more" if n > 5 else ""
            verb = "is" if n == 1 else "are"
            what = f"{n:,} of {recording.n_units:,} units {verb} {state}: {', '.join(names)}{more}."
            problems.append(Problem("violation", f"unit ({name})", what, cure))
    return problems


def _facts(recording: Recording, settings: ReportSettings) -> list[str]:
    grid, facts = recording.grid, []
    sizes = ", ".join(plural(n, dim) for dim, n in recording.sizes.items())
    facts.append(f"The recording holds {sizes} of kind {recording.kind} ({recording.dtype}).")
    n_samples = int(np.prod([n for dim, n in grid.sizes.items() if dim != "unit"]))
    if "time" in grid.dims:
        how = "sum" if recording.kind == "spikes" else "mean"
        facts.append(
            f"The analyses see {n_samples:,} samples in bins of {number(recording.bin_width)} "
            f"{recording.time_unit}"
            + (f" ({how} of {recording.scan.bin_size} samples)." if recording.scan.bin_size > 1 else
               ", as recorded.")
        )  # fmt: skip
    if recording.core_units.size < recording.kept.size:
        facts.append(
            f"Analyses with surrogates see {recording.core_units.size:,} of the "
            f"{recording.kept.size:,} usable units, drawn at random (seed {settings.random_state})."
        )
    if recording.n_filled:
        facts.append(f"{recording.n_filled:,} bins without a value hold the mean of their unit.")
    if recording.n_dropped_trials:
        facts.append(f"{recording.n_dropped_trials:,} trials were left out, evenly, to fit.")
    return facts


def _line_noise(
    recording: Recording, settings: ReportSettings
) -> tuple[list[Statement], dict[str, list[float]]]:
    """Compare the power at the mains frequencies with that of their neighbours, by an F law."""
    scan = recording.scan
    if scan.n_segments < 2:
        return [], {}
    ratios, tests = {}, []
    for mains in _MAINS:
        distance = np.abs(scan.frequencies - mains)
        if not distance.size or distance.min() > 1.0 or scan.frequencies[-1] < mains + 4:
            continue
        centre = int(distance.argmin())
        near = np.flatnonzero((distance > 1.2) & (distance < 4.0))
        # The mean of logarithms is not moved by the slope of the spectrum.
        level = np.exp(np.log(np.maximum(scan.power[near], 1e-300)).mean(axis=0))
        ratio = scan.power[centre] / level
        ratios[f"{mains:g} Hz"] = ratio.tolist()
        p = stats.f.sf(ratio, 2 * scan.n_segments, 2 * scan.n_segments * near.size)
        tests.append((mains, ratio, float(min(1.0, p.min() * p.size * len(_MAINS)))))
    statements = []
    for mains, ratio, p in tests:
        test = Test("power of the neighbouring frequencies (F law)", 0, p, p)
        statements.append(
            Statement.judged(
                f"There is line noise at {mains:g} Hz: up to {number(float(ratio.max()), 2)} times "
                "the power of the neighbouring frequencies",
                f"No line noise at {mains:g} Hz stands out",
                test,
                settings.alpha,
            )
        )
    return statements, ratios


def _unit_table(recording: Recording, flags: dict[str, Array]) -> Table:
    scan = recording.scan
    is_flawed = np.any(list(flags.values()), axis=0)
    order = np.concatenate([np.flatnonzero(is_flawed), np.flatnonzero(~is_flawed)])
    rows = []
    for i in order[:_MOST_ROWS]:
        flaws = ", ".join(name for name, flag in flags.items() if flag[i])
        rows.append(
            (
                draw.short(recording.unit_names[i], 60),
                *(number(float(v[i])) for v in (scan.mean, scan.std, scan.low, scan.high)),
                f"{100 * scan.n_bad[i] / max(scan.n_used, 1):.2g} %",
                flaws or "–",
            )
        )
    title = "Units, those with a flaw first"
    if recording.n_units > _MOST_ROWS:
        title += f" ({_MOST_ROWS} of {recording.n_units:,}; all are in the data)"
    return Table(title, ("unit", "mean", "sd", "lowest", "highest", "missing", "flaws"), rows)


def _figure(recording: Recording, flags: dict[str, Array]) -> Figure:
    scan = recording.scan
    is_flawed = np.any(list(flags.values()), axis=0)
    with draw.style():
        figure = draw.canvas(2.1)
        mean, spread, bars = figure.subplots(1, 3, width_ratios=[1, 1, 0.9])
        unit = f" ({recording.units})" if recording.units not in ("", "1") else ""
        for axis, values, title in ((mean, scan.mean, "Mean"), (spread, scan.std, "Deviation")):
            finite = np.isfinite(values)
            rank = np.argsort(np.argsort(np.where(finite, values, -np.inf)))
            size = float(np.clip(900 / values.size, 2, 14))
            good = finite & ~is_flawed
            axis.scatter(rank[good], values[good], s=size, color=draw.ACCENT, lw=0)
            bad = finite & is_flawed
            axis.scatter(rank[bad], values[bad], s=3 * size + 8, marker="x", color="#a84300", lw=1)
            axis.set(title=f"{title} of each unit", xlabel="units, sorted", ylabel=title + unit)
        names = list(flags)
        counts = [int(flags[name].sum()) for name in names]
        bars.barh(range(len(names)), counts, color="#a84300", height=0.6)
        for y, count in enumerate(counts):
            bars.text(count, y, f" {count:,}", va="center", size=7.5)
        bars.set_yticks(range(len(names)), names)
        bars.set(title="Units with a flaw", xlim=(0, max(1, *counts) * 1.25), xticks=[])
        bars.spines["bottom"].set_visible(False)
        bars.invert_yaxis()
        counted = ", ".join(f"{n} {name}" for n, name in zip(counts, names, strict=True))
        return draw.finish(
            figure,
            "overview",
            alt=f"Means and deviations of {recording.n_units} units; {counted}.",
            caption="Every unit is a dot; crosses have a flaw.",
        )
