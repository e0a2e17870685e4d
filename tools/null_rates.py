"""Measure how often a report says something of recordings that hold nothing: ``null_rates.py``.

Prints, for every section, the false statements among recordings of every kind of null, with the
interval of the rate.
"""

from __future__ import annotations

import argparse
import functools
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
from scipy.stats import binomtest

from activome.activity.schema import Activity
from activome.errors import ActivityWarning
from activome.report.recording import open_recording
from activome.report.registry import SECTIONS
from activome.report.section import Figure, Section
from activome.report.settings import ReportSettings
from activome.samples.null_recordings import null_recording
from activome.samples.null_spike_trains import SPIKE_NULL_KINDS, null_spike_trains

__all__ = [
    "GROUPS",
    "KINDS",
    "SPIKE_NULL_KINDS",
    "false_spike_statements",
    "false_statements",
    "labelled_null",
    "no_pictures",
    "says_there_is",
]

KINDS = ("poisson", "ar1", "drift", "heavy_tailed", "ragged")
# Ensembles and graph stand together: they rest on the same partition, found once per recording.
GROUPS = (
    "activity graph", "dimensions", "parts", "trials", "states", "changes", "geometry", "decoding",
    "decoding_over_time",
)  # fmt: skip
# Trains of these kinds are regular or irregular: to say so is true.
SPIKE_TRUTHS = {"gamma": {"regularity"}, "bursty": {"regularity"}}
_ENTRIES = {entry.name: entry for entry in SECTIONS}
_PICTURES = (
    "dimensions._figure", "parts._figure", "parts._choice", "graph._figure", "geometry._figure",
    "decoding._scores", "decoding._traces", "decoding._confusion", "statistics._figure",
    "activity._figures", "overview._figure", "decoding_over_time._figure", "trials._figure",
    "changes._figure", "states._figure", "states._choice", "spike_trains._figure",
)  # fmt: skip


@contextmanager
def no_pictures() -> Iterator[None]:
    """Leave the drawing out: it has no part in what a section says."""
    empty = Figure("none", b"", "none", "none")
    with ExitStack() as stack:
        for place in _PICTURES:
            result = [empty] if place == "activity._figures" else empty
            constant = functools.partial(_constant, result)
            stack.enter_context(mock.patch(f"activome.report.sections.{place}", constant))
        yield


def _constant(value: object, *_: object, **__: object) -> object:
    return value


def labelled_null(kind: str, seed: int, **sizes: int) -> Activity:
    """Return a null recording with a label of three values and a number, both of trials."""
    activity, _ = null_recording(kind, memory=0.8, random_state=seed, **sizes)
    rng = np.random.default_rng(seed + 10_000)
    n_trials = activity.sizes["trial"]
    condition = rng.permutation(np.resize(["a", "b", "c"], n_trials))
    strength = rng.normal(size=n_trials)
    return activity.assign_coords(condition=("trial", condition), strength=("trial", strength))


def says_there_is(section: Section) -> bool:
    """Whether a section states that it found something."""
    return any(statement.kind == "finding" for statement in section.statements)


def false_statements(
    names: str, kind: str, seeds: Iterable[int], settings: ReportSettings, **sizes: int
) -> dict[str, int]:
    """Count the recordings of which each of some sections says what is not there."""
    found = dict.fromkeys(names.split(), 0)
    for seed in seeds:
        used = replace(settings, random_state=seed)
        with warnings.catch_warnings(), no_pictures():
            warnings.simplefilter("ignore", ActivityWarning)
            recording = open_recording(labelled_null(kind, seed, **sizes), used)
            for name in found:
                section = _ENTRIES[name].analyse()(recording, used)
                if section.verdict.kind not in ("found", "nothing"):
                    raise RuntimeError(f"{name} was not run on a {kind} recording")
                found[name] += says_there_is(section)
    return found


def false_spike_statements(
    kind: str, seeds: Iterable[int], settings: ReportSettings, **sizes: float
) -> int:
    """Count the recordings of independent trains of which the section says what is not there."""
    count = 0
    for seed in seeds:
        used = replace(settings, random_state=seed)
        with warnings.catch_warnings(), no_pictures():
            warnings.simplefilter("ignore", ActivityWarning)
            events, _ = null_spike_trains(kind, random_state=seed, **sizes)  # type: ignore[arg-type]
            section = _ENTRIES["spike_trains"].analyse()(open_recording(events, used), used)
        if section.verdict.kind not in ("found", "nothing"):
            raise RuntimeError(f"spike_trains was not run on a {kind} recording")
        count += bool(set(section.numbers["found"]) - SPIKE_TRUTHS.get(kind, set()))
    return count


def _print_rate(name: str, counts: dict[str, int], n: int, start: float) -> None:
    hits = sum(counts.values())
    low, high = binomtest(hits, n).proportion_ci()
    each = ", ".join(f"{kind} {count}" for kind, count in counts.items())
    print(
        f"{name}: {hits} of {n} = {hits / n:.3f} [{low:.3f}, {high:.3f}]  ({each}; "
        f"{time.perf_counter() - start:.0f} s)",
        flush=True,
    )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="False statements of a report on null recordings.")
    parser.add_argument("--each", type=int, default=40, help="recordings of each kind")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--units", type=int, default=6)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--max-components", type=int, default=3)
    parser.add_argument("--alpha", type=float, default=ReportSettings().alpha)
    parser.add_argument("--groups", nargs="*", default=GROUPS)
    parser.add_argument("--no-spikes", dest="spikes", action="store_false")
    options = parser.parse_args()
    settings = ReportSettings(max_components=options.max_components, alpha=options.alpha)
    sizes = {"n_units": options.units, "n_times": options.times, "n_trials": options.trials}
    seeds = range(options.first_seed, options.first_seed + options.each)
    for group in options.groups:
        start = time.perf_counter()
        table: dict[str, dict[str, Any]] = {name: {} for name in group.split()}
        for kind in KINDS:
            for name, count in false_statements(group, kind, seeds, settings, **sizes).items():
                table[name][kind] = count
        for name, counts in table.items():
            _print_rate(name, counts, options.each * len(KINDS), start)
    if not options.spikes:
        return 0
    start = time.perf_counter()
    trains = {
        kind: false_spike_statements(kind, seeds, settings, n_units=10, duration=20.0)
        for kind in SPIKE_NULL_KINDS
    }
    _print_rate("spike_trains", trains, options.each * len(SPIKE_NULL_KINDS), start)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
