"""Section spike trains: rates, intervals, synchrony and rhythm of recordings that are events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from activome.activity.events import Events
from activome.activity.statistics import MonteCarloTest
from activome.errors import ActivityError
from activome.patterns import spike_trains as trains
from activome.patterns.spike_trains import PopulationOscillation
from activome.report import figures as draw
from activome.report._code import three_lines
from activome.report.recording import Recording
from activome.report.section import Figure, Section, Statement, Test, Verdict, holm
from activome.report.sections._shared import not_applicable, number, p_text
from activome.report.settings import ReportSettings

__all__ = ["analyse"]

Array = np.ndarray[Any, Any]
_FEWEST_INTERVALS = 20
_MOST_INTERVALS = 500_000
# Values that differ by more than this factor are drawn on a logarithmic axis.
_WIDE = 50


@dataclass(frozen=True)
class _Question:
    """A test, what it is compared with, and the words for either outcome."""

    name: str
    null: str
    found: Callable[[Any], str]
    absent: Callable[[Any], str]
    short: Callable[[Any], str]


def _regularity(test: MonteCarloTest) -> str:
    side = "more regular" if _excess(test) < 1 else "less regular"
    return (
        f"Trains are {side} than Poisson processes: successive intervals differ by a local "
        f"variation of {number(test.observed, 2)} (mean over units), where a Poisson process has "
        f"{number(float(np.mean(test.null)), 2)}"
    )


def _synchrony(test: MonteCarloTest) -> str:
    return (
        f"There is synchrony: spikes of different units fall in one bin {number(_excess(test))} "
        "times as often as chance has it"
    )


def _order(test: MonteCarloTest) -> str:
    return (
        "The order of intervals holds structure: the Lempel-Ziv complexity of short and long is "
        f"{number(_excess(test))} of that in random order"
    )


def _rhythm(found: PopulationOscillation) -> str:
    return (
        f"The population oscillates at {number(found.frequency)} Hz, give or take "
        f"{number(found.frequencies[0] / 2, 1)} Hz: its power there stands out by "
        f"{number(found.test.observed, 2)} deviations of the null"
    )


def _no_regularity(test: MonteCarloTest) -> str:
    return (
        f"Not told from Poisson processes: a local variation of {number(test.observed, 2)} (mean "
        f"over units), where these have {number(float(np.mean(test.null)), 2)}"
    )


def _no_order(test: MonteCarloTest) -> str:
    return (
        "Not told from intervals in random order: the Lempel-Ziv complexity of short and long is "
        f"{number(_excess(test))} of theirs"
    )


def _no_synchrony(test: MonteCarloTest) -> str:
    return (
        "Not told from trains that are shifted: spikes of different units fall in one bin "
        f"{number(_excess(test))} times as often as in these"
    )


def _no_rhythm(found: PopulationOscillation) -> str:
    return (
        "Not told from trains that are shifted: the highest peak of the power of the population, "
        f"at {number(found.frequency)} Hz, stands out by {number(found.test.observed, 2)} "
        "deviations of the null"
    )


_QUESTIONS = (
    _Question(
        "regularity",
        "Poisson processes with as many spikes of each unit",
        _regularity,
        _no_regularity,
        lambda test: "regular" if _excess(test) < 1 else "irregular",
    ),
    _Question(
        "order",
        "short and long intervals of each unit in random order within runs of 20",
        _order,
        _no_order,
        lambda test: "order of intervals",
    ),
    _Question(
        "synchrony",
        "each train shifted as a whole by up to 10 bins of 5 ms, or of the clock if it is coarser",
        _synchrony,
        _no_synchrony,
        lambda test: f"synchrony {number(_excess(test))} x chance",
    ),
    _Question(
        "oscillation",
        "each train shifted as a whole by up to 100 bins; the highest peak of any frequency",
        _rhythm,
        _no_rhythm,
        lambda found: f"{number(found.frequency)} Hz",
    ),
)


def analyse(recording: Recording, settings: ReportSettings) -> Section:
    """Describe the trains, and test regularity, order of intervals, synchrony and rhythm.

    Parameters
    ----------
    recording : Recording
        The data.
    settings : ReportSettings
        Level, surrogates, seed.

    Returns
    -------
    Section
        Not applicable where the recording is no list of events.
    """
    grid_code = three_lines(recording, settings, "print(grid.attrs.get('kind'), dict(grid.sizes))")
    events = recording.events
    if events is None:
        return not_applicable("this recording holds samples, no times of spikes", grid_code)
    outcomes = _tests(recording, events, settings)
    if not outcomes:
        return not_applicable("there are too few spikes for any test", grid_code)
    corrected = dict(
        zip(outcomes, holm([_test(o).p_value for o in outcomes.values()]), strict=True)
    )
    rates, arrays = _trains(events)
    numbers: dict[str, Any] = {"median_rate": float(np.median(rates)), "found": []}
    statements, words = [Statement(_facts(rates, arrays))], []
    for question in _QUESTIONS:
        if question.name not in outcomes:
            continue
        outcome, p_value = outcomes[question.name], corrected[question.name]
        test = _test(outcome)
        evidence = Test(question.null, len(test.null), p_value, test.p_value)
        said = Statement.judged(
            question.found(outcome), question.absent(outcome), evidence, settings.alpha
        )
        statements.append(said)
        numbers |= {f"p_{question.name}": p_value, question.name: test.observed}
        arrays[f"{question.name}_null"] = test.null
        if said.kind == "finding":
            numbers["found"].append(question.name)
            words.append(question.short(outcome))
    rhythm = outcomes.get("oscillation")
    if rhythm is not None:
        numbers["frequency"] = rhythm.frequency
        arrays |= {
            "frequency": rhythm.frequencies,
            "power": rhythm.power,
            "null_power": rhythm.null_power,
        }
    smallest = min(corrected.values())
    text = ", ".join(words) if words else "nothing above chance"
    pairs = outcomes.get("synchrony")
    return Section(
        verdict=Verdict("found" if words else "nothing", f"{text}, {p_text(smallest)}"),
        headline=(
            (f"{number(numbers['median_rate'])} /s", "median rate of a unit")
            if pairs is None
            else (f"{number(_excess(pairs))} x", "coincidences of chance")
        ),
        statements=statements,
        code=_code(recording, settings, len(_QUESTIONS)),
        figures=[_figure(outcomes, rates, arrays)],
        numbers=numbers,
        arrays=arrays,
    )


def _tests(recording: Recording, events: Events, settings: ReportSettings) -> dict[str, Any]:
    """Run the tests that the recording is long enough for."""
    functions: dict[str, Callable[..., Any]] = {
        "regularity": trains.interval_regularity,
        "order": trains.interval_order,
        "synchrony": trains.spike_synchrony,
        "oscillation": trains.population_oscillation,
    }
    found = {}
    n_surrogates = settings.surrogates_for(len(functions))
    for done, (name, function) in enumerate(functions.items()):
        recording.progress("spike trains", done, len(functions))
        try:
            found[name] = function(
                events, n_surrogates=n_surrogates, random_state=settings.random_state
            )
        except ActivityError:
            # Each refuses only what is too short or too silent for it; the others still apply.
            continue
    return found


def _test(outcome: Any) -> MonteCarloTest:
    test: MonteCarloTest = outcome.test if isinstance(outcome, PopulationOscillation) else outcome
    return test


def _excess(test: MonteCarloTest) -> float:
    return float(test.observed / max(float(np.mean(test.null)), 1e-300))


def _code(recording: Recording, settings: ReportSettings, n_tests: int) -> str:
    source = recording.source_code
    events = "recording" if source == "recording" else f"activome.load({source})"
    options = (
        f"n_surrogates={settings.surrogates_for(n_tests)}, random_state={settings.random_state}"
    )
    test = f"print(activome.patterns.spike_synchrony(events, {options}).p_value)"
    return "\n".join(("import activome", f"events = {events}", test))


def _trains(events: Events) -> tuple[Array, dict[str, Array]]:
    """Return rates of the units, and intervals, their variation and their local variation."""
    length = events.n_trials * (events.stop - events.start)
    rates = events.counts() / length
    intervals = events.isi()
    many = [train for train in intervals if train.size >= _FEWEST_INTERVALS and train.max() > 0]
    merged = np.concatenate(intervals) if intervals else np.empty(0)
    arrays = {
        "rate": rates,
        "interval": merged[:: max(1, merged.size // _MOST_INTERVALS)],
        "cv": np.array([train.std() / train.mean() for train in many]),
        "local_variation": np.array([trains.local_variation(train) for train in many]),
    }
    return rates, arrays


def _facts(rates: Array, arrays: dict[str, Array]) -> str:
    low, middle, high = np.quantile(rates, [0.1, 0.5, 0.9])
    text = (
        f"Units fire at {number(middle)} spikes/s (median; {number(low)} to {number(high)} for the "
        "middle 80 %)"
    )
    if arrays["cv"].size:
        text += (
            f", with a CV of the intervals of {number(np.median(arrays['cv']))} (median of the "
            f"{arrays['cv'].size} trains of {_FEWEST_INTERVALS} intervals or more)"
        )
    return text + "."


def _figure(outcomes: dict[str, Any], rates: Array, arrays: dict[str, Array]) -> Figure:
    with draw.style():
        figure = draw.canvas(4.2)
        axes = figure.subplots(2, 3)
        _histogram(
            axes[0, 0], rates[rates > 0], "Rates", "spikes/s, of units that fire", is_log=True
        )
        positive = arrays["interval"][arrays["interval"] > 0]
        _histogram(axes[0, 1], positive, "Intervals", "s", is_log=True)
        _histogram(axes[0, 2], arrays["local_variation"], "Local variation", "1 for Poisson")
        axes[0, 2].axvline(1.0, color=draw.MUTED, lw=0.8, ls="--")
        _against(axes[1, 0], outcomes.get("synchrony"), "Coincidences", "of the mean by chance")
        _against(axes[1, 1], outcomes.get("order"), "Complexity", "of the mean in random order")
        _power(axes[1, 2], outcomes.get("oscillation"))
        return draw.finish(
            figure,
            "spike_trains",
            alt="Rates, intervals and local variation of units; coincidences and complexity of "
            "intervals against surrogates; spectrum of the population.",
            caption="Top: distributions over units and intervals; the bright line is the median. "
            "Bottom: the dark line or curve is the recording; grey are surrogates, for the "
            "spectrum the middle 90 % of them.",
        )


def _histogram(axis: Any, values: Array, title: str, unit: str, *, is_log: bool = False) -> None:
    axis.set(title=title, xlabel=unit, yticks=[])
    axis.spines["left"].set_visible(False)
    if values.size == 0:
        _empty(axis)
        return
    n_bins = int(np.clip(2 * np.sqrt(values.size), 6, 30))
    edges = np.histogram_bin_edges(values, n_bins)
    if is_log and values.max() > _WIDE * values.min():
        edges = np.geomspace(values.min(), values.max(), n_bins + 1)
        axis.set_xscale("log")
        draw.plain_ticks(axis.xaxis)
    axis.hist(values, bins=edges, color=draw.ACCENT, alpha=0.9)
    axis.axvline(np.median(values), color="#e69f00", lw=1.6)


def _against(axis: Any, test: MonteCarloTest | None, title: str, unit: str) -> None:
    axis.set(title=title, xlabel=unit, yticks=[])
    axis.spines["left"].set_visible(False)
    if test is None:
        _empty(axis)
        return
    middle = max(float(np.mean(test.null)), 1e-300)
    axis.hist(test.null / middle, bins=20, color=draw.NULL)
    axis.axvline(test.observed / middle, color=draw.ACCENT, lw=2)


def _power(axis: Any, found: PopulationOscillation | None) -> None:
    axis.set(title="Spectrum of the population", xlabel="Hz")
    if found is None:
        axis.set_yticks([])
        axis.spines["left"].set_visible(False)
        _empty(axis)
        return
    axis.fill_between(found.frequencies, *found.null_power, color=draw.NULL, lw=0)
    axis.plot(found.frequencies, found.power, color=draw.ACCENT, lw=1)
    axis.set(xscale="log", yscale="log", ylabel="power")
    draw.plain_ticks(axis.xaxis)
    axis.yaxis.set_major_formatter("")
    axis.tick_params(axis="y", which="both", length=0)


def _empty(axis: Any) -> None:
    axis.text(0.5, 0.5, "too few spikes", ha="center", transform=axis.transAxes, color=draw.MUTED)
    axis.set_xticks([])
