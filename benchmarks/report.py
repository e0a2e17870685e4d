"""The whole report, at three lengths and for two widths of recordings; no peer does this job."""

from __future__ import annotations

import operator
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from activome.activity.schema import Activity, make
from activome.report.api import ReportResult, run_report
from harness import Case, main

_PARTS = 6


def make_recording(n_times: float, n_units: int) -> Activity:
    """Poisson counts of units that share six drives, with one drive as a label."""
    rng = np.random.default_rng(0)
    drive = np.repeat(rng.normal(size=(-(-int(n_times) // 20), _PARTS)), 20, axis=0)
    drive = drive[: int(n_times)].astype(np.float32)
    loads = rng.normal(size=(_PARTS, n_units)) * (rng.random((_PARTS, n_units)) < 0.2) * 0.5
    counts = np.empty((len(drive), n_units), np.uint8)
    for first in range(0, len(drive), 10_000):
        part = drive[first : first + 10_000] @ loads
        counts[first : first + 10_000] = rng.poisson(0.3 * np.exp(np.clip(part, -3, 2)))
    return make(
        counts,
        sampling_rate=100.0,
        kind="spikes",
        units="events per bin",
        coords={"speed": ("time", drive[:, 0])},
    )


def write_report(recording: Activity) -> ReportResult:
    """Write a whole report into a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        return run_report(recording, Path(folder) / "report.html", resume=False)


def cases() -> Sequence[Case]:
    """Time grows less than the length: what enters the analyses is capped."""
    return [
        Case(
            name=f"run_report, {n_units} units, n bins",
            sizes=(3_600, 36_000, 360_000),
            make=partial(make_recording, n_units=n_units),
            ours=write_report,
            peers=[],
            bytes_moved=partial(operator.mul, n_units),
            aim="below 5 min and 2 GB for 1,000 units and 360,000 bins",
        )
        for n_units in (100, 1000)
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
