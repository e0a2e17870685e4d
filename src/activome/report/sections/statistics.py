"""Section statistics: rates or amplitudes, variability, memory, intervals or spectrum."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from activome.activity.events import Events
from activome.activity.statistics import autocorrelation_time, monte_carlo_p
from activome.report import figures as draw
from activome.report._code import three_lines
from activome.report.recording import Recording
from activome.report.section import Figure, Section, Statement, Test, Verdict
from activome.report.sections._shared import number, p_text, standardised
from activome.report.settings import ReportSettings

__all__ = ["analyse"]

Array = np.ndarray[Any, Any]
_TESTED_UNITS = 64
_MOST_EVENTS = 2_000_000


def analyse(recording: Recording, settings: ReportSettings) -> Section:
    """Describe the units one by one, and test whether they have a memory.

    Parameters
    ----------
    recording : Recording
        The data.
    settings : ReportSettings
        Level, surrogates, seed.

    Returns
    -------
    Section
        Distributions over units.
    """
    trials = _trials(recording)
    numbers, arrays = _moments(recording, trials)
    code = three_lines(
        recording,
        settings,
        "print(activome.activity.autocorrelation_time(grid.stack(sample=[d for d in grid.dims if "
        "d != 'unit']).transpose('sample', 'unit').values).round(1))",
    )
    statements = [Statement(_sentence(recording, numbers))]
    verdict, headline = Verdict("described", "distributions over units"), ("–", "samples of memory")
    if trials[0].shape[0] >= 10:
        test, observed = _memory_test(trials, settings)
        seconds = numbers["median_memory"]
        found = test.p_value <= settings.alpha
        statements.append(
            Statement.judged(
                f"There is memory: neighbouring samples of a unit are correlated (rms over units "
                f"{number(observed, 2)}); the median autocorrelation time is "
                f"{number(seconds, 2)} {recording.time_unit}",
                "Not told from samples in random order: the correlation of neighbouring samples of "
                f"a unit is {number(observed, 2)} (rms over units)",
                test,
                settings.alpha,
            )
        )
        numbers |= {"p_memory": test.p_value, "lag_one_rms": observed}
        text = (
            f"memory of {number(seconds, 2)} {recording.time_unit}"
            if found
            else "nothing above chance"
        )
        verdict = Verdict("found" if found else "nothing", f"{text}, {p_text(test.p_value)}")
        headline = (f"{number(seconds, 2)} s", "memory of a unit (median)")
        if recording.time_unit != "s":
            headline = (number(seconds, 2), f"{recording.time_unit} of memory (median unit)")
    return Section(
        verdict=verdict,
        headline=headline,
        statements=statements,
        code=code,
        figures=[_figure(recording, arrays)],
        numbers=numbers,
        arrays=arrays,
    )


def _trials(recording: Recording) -> list[Array]:
    """Return the core, one array (n_times, n_units) per trial."""
    from activome.activity.stacking import to_sequences

    core = recording.core
    if "time" not in core.dims:
        return [np.asarray(core.values)]
    return [part for part in to_sequences(core)[0] if part.shape[0] > 0]


def _moments(recording: Recording, trials: list[Array]) -> tuple[dict[str, Any], dict[str, Array]]:
    scan, rate = recording.scan, recording.sampling_rate
    arrays: dict[str, Array] = {}
    if recording.kind == "spikes":
        arrays["rate"] = scan.mean * (rate or 1.0)
        count = np.concatenate(trials)
        mean = count.mean(axis=0, dtype=np.float64)
        variance = count.var(axis=0, dtype=np.float64)
        arrays["fano"] = variance / np.where(mean > 0, mean, np.inf)
    else:
        arrays["mean"], arrays["std"] = scan.mean, scan.std
    if recording.events is not None:
        arrays["isi"], arrays["isi_cv"] = _intervals(recording.events)
    longest = max(trials, key=len)
    if len(longest) >= 2:
        times = np.mean([autocorrelation_time(t) for t in trials[:50] if len(t) >= 2], axis=0)
        arrays["memory"] = times * recording.bin_width
    if scan.frequencies.size:
        arrays["frequency"], arrays["power"] = scan.frequencies, scan.power
    numbers = {
        f"median_{name}": float(np.nanmedian(values))
        for name, values in arrays.items()
        if values.ndim == 1 and values.size and name != "frequency"
    }
    return numbers, arrays


def _intervals(events: Events) -> tuple[Array, Array]:
    intervals = events.isi()
    many = [x for x in intervals if x.size >= 10 and x.mean() > 0]
    cv = np.array([x.std() / x.mean() for x in many])
    merged = np.concatenate(intervals) if intervals else np.empty(0)
    step = max(1, merged.size // _MOST_EVENTS)
    return merged[::step], cv


def _memory_test(trials: list[Array], settings: ReportSettings) -> tuple[Test, float]:
    """Test the lag-one correlation against samples in random order, the same for all units."""
    generator = np.random.default_rng(settings.random_state)
    n_units = trials[0].shape[1]
    units = np.unique(np.linspace(0, n_units - 1, min(n_units, _TESTED_UNITS)).astype(int))
    lengths = np.array([len(trial) for trial in trials])
    rows = standardised(np.concatenate([trial[:, units] for trial in trials]))
    ends = np.cumsum(lengths)[:-1] - 1
    within = np.ones(len(rows) - 1, dtype=bool)
    within[ends] = False
    bounds = np.concatenate([[0], np.cumsum(lengths)])

    def statistic(values: Array) -> float:
        products = np.einsum("tu,tu->tu", values[1:], values[:-1])[within]
        return float(np.sqrt(np.mean(products.mean(axis=0, dtype=np.float64) ** 2)))

    def draw_one() -> float:
        parts = itertools.pairwise(bounds)
        order = np.concatenate([a + generator.permutation(b - a) for a, b in parts])
        return statistic(rows[order])

    observed = statistic(rows) if within.any() else 0.0
    found = monte_carlo_p(observed, draw_one, settings.n_surrogates, stop_after=20)
    null = "samples in random order within each trial, the same order for all units"
    return Test(null, len(found.null), found.p_value, found.p_value), observed


def _sentence(recording: Recording, numbers: dict[str, Any]) -> str:
    if recording.kind == "spikes":
        text = f"The median rate is {number(numbers['median_rate'])} spikes/s"
        if recording.sampling_rate is None:
            text = f"The median count is {number(numbers['median_rate'])} per bin"
        text += f", the median Fano factor {number(numbers['median_fano'])}"
        text += f" in bins of {number(recording.bin_width)} {recording.time_unit}"
        if "median_isi_cv" in numbers:
            text += f", the median CV of the intervals {number(numbers['median_isi_cv'])}"
        return text + "."
    unit = "" if recording.units in ("", "1") else f" {recording.units}"
    return (
        f"The median of the units' means is {number(numbers['median_mean'])}{unit}, "
        f"that of their standard deviations {number(numbers['median_std'])}{unit}."
    )


def _figure(recording: Recording, arrays: dict[str, Array]) -> Figure:
    panels = [
        ("rate", "Rates", "spikes/s", True),
        ("mean", "Means", recording.units or "value", False),
        ("std", "Deviations", recording.units or "value", False),
        ("fano", "Fano factors", "variance / mean", False),
        ("isi", "Intervals", recording.time_unit, True),
        ("isi_cv", "CV of intervals", "sd / mean", False),
        ("memory", "Autocorrelation time", recording.time_unit, True),
    ]
    shown = [panel for panel in panels if panel[0] in arrays and _spread(arrays[panel[0]])]
    has_spectrum = "power" in arrays
    n = len(shown) + has_spectrum
    with draw.style():
        figure = draw.canvas(2.2, width=min(9.2, 2.5 * max(n, 2)))
        axes = figure.subplots(1, max(n, 1), squeeze=False)[0]
        for axis, (name, title, unit, is_log) in zip(axes, shown, strict=False):
            values = arrays[name][np.isfinite(arrays[name])]
            positive = values[values > 0]
            if is_log and positive.size > values.size // 2 and positive.max() > positive.min():
                edges = np.geomspace(positive.min(), positive.max(), 31)
                axis.set_xscale("log")
                draw.plain_ticks(axis.xaxis)
                values = positive
            else:
                edges = np.histogram_bin_edges(values, 30)
            axis.hist(values, bins=edges, color=draw.ACCENT, alpha=0.9)
            axis.axvline(np.median(values), color="#e69f00", lw=1.6)
            axis.set(title=title, xlabel=unit, yticks=[])
            axis.spines["left"].set_visible(False)
            if name == "fano":
                axis.axvline(1.0, color=draw.MUTED, lw=0.8, ls="--")
        if has_spectrum:
            _spectrum(axes[-1], arrays)
        if n == 0:
            axes[0].set_axis_off()
            axes[0].text(0, 0.5, "nothing differs between units")
        names = ", ".join(panel[1].lower() for panel in shown)
        return draw.finish(
            figure,
            "statistics",
            alt=f"Distributions over units: {names}.",
            caption=(
                "Distributions over units; the bright line is the median"
                + (", the dashed one a Poisson process" if "fano" in arrays else "")
                + (". Spectrum: median over units and the middle 80 %." if has_spectrum else ".")
            ),
        )


def _spread(values: Array) -> bool:
    finite = values[np.isfinite(values)]
    return bool(finite.size > 1 and finite.max() > finite.min())


def _spectrum(axis: Any, arrays: dict[str, Array]) -> None:
    frequency, power = arrays["frequency"], np.maximum(arrays["power"], 1e-300)
    low, middle, high = np.quantile(power, [0.1, 0.5, 0.9], axis=1)
    axis.fill_between(frequency, low, high, color=draw.NULL, lw=0, alpha=0.8)
    axis.plot(frequency, middle, color=draw.ACCENT)
    axis.set(xscale="log", yscale="log", title="Power spectrum", xlabel="Hz", ylabel="power / Hz")
    draw.plain_ticks(axis.xaxis)
    draw.plain_ticks(axis.yaxis)
