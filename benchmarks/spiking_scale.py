"""The spiking engine at scale: up to 100,000 cells and 100 million synapses on one thread.

Brian2 is beside us in ``spiking.py``. Printed here are the cost of a neuron update (a silent
network) and of a synaptic event (what spikes add to it), their growth with the number of cells, the
time to build and to set up, and peak memory. Times are CPU times of the loop: a run of one step is
taken off.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import IFCurrExp
from activome.networks.spiking.projections import Projection
from activome.networks.spiking.simulate import simulate
from harness import peak_bytes

_DT = 0.1
# Cells, synapses per cell, and ms of a run.
_SIZES = {
    "smoke": ((1_000, 100, 200.0), (3_000, 300, 100.0), (10_000, 1_000, 50.0)),
    "full": ((1_000, 100, 1000.0), (10_000, 1_000, 200.0), (100_000, 1_000, 50.0)),
}


def build(n: int, per_cell: int) -> Projection:
    """Draw a recurrent projection with delays of 0.1 to 5 ms, in single precision."""
    return Projection.fixed_probability(
        "cells",
        "cells",
        (n, n),
        per_cell / n,
        2.0 / per_cell,
        lambda generator, size: _DT * generator.integers(1, 51, size),
        random_state=0,
        dtype="float32",
    )


def run(q: Projection, drive: float, duration: float, n_runs: int = 3) -> tuple[float, int]:
    """Return the best CPU time of some runs, and the spikes of one."""
    cell = IFCurrExp(tau_m=20.0, tau_e=5.0, refractory=2.0, i_offset=drive, comparison=">")
    network = Network([Population("cells", q.n_pre, cell)], [q])
    start = {"cells": {"v": -65 + 15 * np.random.default_rng(1).random(q.n_pre)}}
    times, n_spikes = [], 0
    for _ in range(n_runs):
        begin = time.process_time()
        result = simulate(network, duration=duration, dt=_DT, initial=start)
        times.append(time.process_time() - begin)
        n_spikes = result.spikes["cells"].n_events
    return min(times), n_spikes


def measure(n: int, per_cell: int, duration: float) -> dict[str, Any]:
    """Measure one size."""
    begin = time.process_time()
    q = build(n, per_cell)
    built = time.process_time() - begin
    setup, _ = run(q, 0.7, _DT)
    silent, none = run(q, 0.7, duration)
    active, n_spikes = run(q, 0.76, duration)
    if none or not n_spikes:
        raise SystemExit("spiking_scale: the silent network fired, or the other did not")
    n_events = n_spikes * q.n_synapses / n
    return {
        "cells": n,
        "synapses": q.n_synapses,
        "build_s": built,
        "setup_s": setup,
        "update_ns": 1e9 * (silent - setup) / (n * (duration / _DT - 1)),
        "event_ns": 1e9 * (active - silent) / n_events,
        "rate_hz": 1e3 * n_spikes / n / duration,
        "peak_mib": peak_bytes() / 2**20,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every size and print the table."""
    parser = argparse.ArgumentParser(description="Measure the spiking engine at scale.")
    parser.add_argument("--size", choices=list(_SIZES), default="full")
    parser.add_argument("--threads", type=int, default=1, help="the loop runs on one, whatever")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON too")
    options = parser.parse_args(argv)
    rows = []
    measure(100, 10, 20.0)  # compiles
    print("spiking_scale: one thread, float32 weights, delays of 0.1 to 5 ms")
    for size in _SIZES[options.size]:
        row = measure(*size)
        rows.append(row)
        print(
            f"  {row['cells']} cells, {row['synapses']} synapses: {row['update_ns']:.2f} ns per "
            f"neuron update, {row['event_ns']:.1f} ns per synaptic event ({row['rate_hz']:.0f} "
            f"Hz); built in {row['build_s']:.1f} s, set up in {row['setup_s']:.3f} s, peak "
            f"{row['peak_mib']:.0f} MiB"
        )
    cells = np.log([row["cells"] for row in rows])
    for what in ("update_ns", "event_ns"):
        slope = np.polyfit(cells, np.log([row[what] for row in rows]), 1)[0]
        print(f"  {what} grows as n^{slope:.2f}")
    if options.json:
        record = {"kernel": "spiking_scale", "size": options.size, "results": rows}
        Path(options.json).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
