"""The spiking engine: a recurrent network of 1,000 cells and 100,000 synapses, against Brian2.

Brian2 2.9, the newest for Python 3.11, needs numpy below 2.4: it is absent from the environment of
the tests, and measured in one of its own with this package on the path.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import IFCurrExp
from activome.networks.spiking.projections import Projection
from activome.networks.spiking.simulate import simulate
from harness import Case, Peer, main

_N, _DT = 1000, 0.1


def make(n_steps: float) -> dict[str, Any]:
    """Give voltages to start from, and a list of synapses."""
    generator = np.random.default_rng(0)
    source, target = np.nonzero(generator.random((_N, _N)) < 0.1)
    delay = generator.integers(1, 51, source.size) * _DT
    return {
        "start": -65 + 15 * generator.random(_N),
        "table": (source, target, np.full(source.size, 0.02), delay),
        "duration": round(n_steps) * _DT,
    }


def ours(inputs: dict[str, Any]) -> set[tuple[int, int]]:
    """Run with our engine; give (step, cell) of every spike."""
    cell = IFCurrExp(tau_m=20.0, tau_e=5.0, refractory=2.0, i_offset=0.76, comparison=">")
    joined = Projection.from_table("cells", "cells", (_N, _N), *inputs["table"])
    result = simulate(
        Network([Population("cells", _N, cell)], [joined]),
        duration=inputs["duration"],
        dt=_DT,
        arrivals="after",
        refractory_rule="brian",
        initial={"cells": {"v": inputs["start"]}},
    )
    spikes = result.spikes["cells"]
    return set(zip((spikes.t // 100).tolist(), spikes.unit.tolist(), strict=True))


def brian(inputs: dict[str, Any]) -> set[tuple[int, int]]:
    """Run with Brian2, its own choice of code generation."""
    import brian2 as b  # type: ignore[import-not-found,unused-ignore]

    b.start_scope()
    b.defaultclock.dt = _DT * b.ms
    cells = b.NeuronGroup(
        _N,
        """dv/dt = (-65 - v) / (20*ms) + (ie + 0.76) / (1*ms) : 1 (unless refractory)
        die/dt = -ie / (5*ms) : 1""",
        threshold="v > -50",
        reset="v = -65",
        refractory=2 * b.ms,
        method="exact",
    )
    cells.v = inputs["start"]
    source, target, weight, delay = inputs["table"]
    synapses = b.Synapses(cells, cells, "w : 1", on_pre="ie_post += w")
    synapses.connect(i=source, j=target)
    synapses.w, synapses.delay = weight, delay * b.ms
    monitor = b.SpikeMonitor(cells)
    b.Network(cells, synapses, monitor).run(inputs["duration"] * b.ms)
    steps = np.rint(monitor.t / (_DT * b.ms)).astype(int)
    return set(zip(steps.tolist(), np.asarray(monitor.i).tolist(), strict=True))


def different(one: set[tuple[int, int]], other: set[tuple[int, int]]) -> float:
    """Count the spikes that only one of them has."""
    return float(len(one ^ other))


def cases() -> Sequence[Case]:
    """Give the case; set-up is timed for both, as a user waits for it too."""
    return [
        Case(
            name=f"recurrent IFCurrExp, {_N} cells, 10 % of pairs, n steps of {_DT} ms",
            sizes=(500, 1580, 5000),
            make=make,
            ours=ours,
            peers=[Peer("Brian2", brian, different, requires="brian2")],
            aim="at least 10 times Brian2, the same spikes",
        )
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
