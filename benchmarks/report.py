"""The whole report: of the recording that ships, and against the length of wide recordings.

No package does this job, so that there is nobody to compare with: stated are the time, how it
grows with the length, the sections that take most of it, and the peak memory. The recordings are
stores on disk, written in blocks; each report runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness import peak_bytes

Array = np.ndarray[Any, Any]
_LENGTHS = {"smoke": (1_000, 2_000, 4_000), "full": (3_600, 36_000, 360_000)}
_WIDTHS = {"smoke": (50,), "full": (100, 1_000)}
_PARTS = 6
_HOLD = 20
_BLOCK = 10_000
_RATE = 100.0


@dataclass(frozen=True)
class Aim:
    """What a report may take."""

    seconds: float
    memory: float

    def judge(self, row: dict[str, Any]) -> str:
        """Say whether it is kept."""
        kept = row["seconds"] < self.seconds and row["peak"] < self.memory
        text = f"below {self.seconds:.0f} s and {self.memory / 1e9:.0f} GB"
        return f"aim: {text}: {'kept' if kept else 'NOT KEPT'}"


_SHIPPED = Aim(60.0, 2e9)
_LARGE = Aim(300.0, 2e9)


def write_recording(path: str, n_times: int, n_units: int) -> None:
    """Write Poisson counts of units that share six drives, with one drive as a label."""
    from activome.activity.schema import make
    from activome.activity.store.writer import StoreWriter

    rng = np.random.default_rng(0)
    loads = rng.normal(size=(_PARTS, n_units)) * (rng.random((_PARTS, n_units)) < 0.2) * 0.5

    def block(first: int, n_rows: int) -> Any:
        drive = np.repeat(rng.normal(size=(-(-n_rows // _HOLD), _PARTS)), _HOLD, axis=0)[:n_rows]
        counts = rng.poisson(0.3 * np.exp(np.clip(drive @ loads, -3, 2))).astype(np.uint8)
        return make(
            counts,
            sampling_rate=_RATE,
            start=first / _RATE,
            kind="spikes",
            units="events per bin",
            coords={"speed": ("time", drive[:, 0].astype(np.float32))},
        )

    with StoreWriter(path, block(0, 2)) as writer:
        for first in range(0, n_times, _BLOCK):
            writer.append(block(first, min(_BLOCK, n_times - first)))


def write_report(source: str | None, threads: int) -> dict[str, Any]:
    """Write a report into a folder that is thrown away; tell what it took."""
    from activome.report.api import run_report

    with tempfile.TemporaryDirectory() as folder:
        start, cpu = time.perf_counter(), time.process_time()
        result = run_report(source, Path(folder) / "report.html", resume=False, n_jobs=threads)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    sections = result.record["sections"].items()
    return {
        "seconds": seconds,
        "cpu": cpu,
        "peak": peak_bytes(),
        "cost": result.record["cost"],
        "verdicts": {name: section["verdict"]["kind"] for name, section in sections},
    }


def apart(function: Any, *arguments: Any) -> Any:
    """Call a function in a new process, whose memory is its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def print_row(name: str, row: dict[str, Any]) -> None:
    """Print time, memory, the sections that took longest and those that do not apply."""
    print(
        f"  {name}: {row['seconds']:.1f} s wall, {row['cpu']:.1f} s CPU, "
        f"peak {row['peak'] / 2**20:.0f} MiB"
    )
    cost = {name: spent["wall_seconds"] for name, spent in row["cost"].items()}
    slow = sorted(cost, key=cost.__getitem__, reverse=True)[:3]
    others = row["seconds"] - sum(cost.values())
    skipped = [name for name, kind in row["verdicts"].items() if kind == "not applicable"]
    print(
        f"    longest: {', '.join(f'{name} {cost[name]:.1f} s' for name in slow)}; reading and "
        f"writing {others:.1f} s; not applicable: {', '.join(skipped) or 'none'}"
    )


def measure(n_units: int, lengths: Sequence[int], threads: int) -> list[dict[str, Any]]:
    """Measure and print reports of one width against the length."""
    rows = []
    for n_times in lengths:
        with tempfile.TemporaryDirectory() as folder:
            store = str(Path(folder) / "recording.zarr")
            apart(write_recording, store, n_times, n_units)
            row = apart(write_report, store, threads)
        row |= {"n_units": n_units, "n_times": n_times}
        print_row(f"{n_units} units x {n_times} bins", row)
        rows.append(row)
    seconds = [row["seconds"] for row in rows]
    exponent = float(np.polyfit(np.log(lengths), np.log(seconds), 1)[0])
    last = float(np.log(seconds[-1] / seconds[-2]) / np.log(lengths[-1] / lengths[-2]))
    print(f"    time grows as n^{exponent:.2f} over all lengths, n^{last:.2f} over the last two")
    return rows


def main() -> int:
    """Measure all reports; always 0, since seconds hang on the machine."""
    parser = argparse.ArgumentParser(description="Time whole reports.")
    parser.add_argument("--size", choices=["smoke", "full"], default="full")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON too")
    options = parser.parse_args()
    for variable in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        # For the processes that are started below.
        os.environ[f"{variable}_NUM_THREADS"] = str(options.threads)
    print(f"report: {options.threads} thread(s)")
    shipped = apart(write_report, None, options.threads)
    print_row("the recording that ships", shipped)
    print(f"    {_SHIPPED.judge(shipped)}")
    rows = [shipped]
    for n_units in _WIDTHS[options.size]:
        rows += measure(n_units, _LENGTHS[options.size], options.threads)
    if options.size == "full":
        print(f"    {_LARGE.judge(rows[-1])}")
    if options.json:
        record = {"kernel": "report", "threads": options.threads, "results": rows}
        Path(options.json).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
