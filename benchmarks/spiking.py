"""The spiking engine against Brian2: a recurrent network of 1,000 cells and 100,000 synapses.

Without and with pair STDP, at three rates, each against Brian2's two ways of generating
code. Brian2 2.9, the newest for Python 3.11, needs numpy below 2.4: it is absent from the
environment of the tests, and measured in one of its own with this package on the path.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import IFCurrExp
from activome.networks.spiking.plasticity import PairSTDP
from activome.networks.spiking.projections import Projection
from activome.networks.spiking.simulate import simulate
from harness import Case, Peer, main

_N, _DT = 1000, 0.1
_RULE: dict[str, float] = {
    "tau_plus": 20.0, "tau_minus": 30.0, "a_plus": 1e-4, "a_minus": 1.2e-4, "w_max": 0.04,
}  # fmt: skip
# Weight of a synapse and constant current: the threshold is at 0.75 nA.
_RATES = {"about 6 Hz": (0.001, 0.7503), "about 16 Hz": (0.005, 0.77), "about 45 Hz": (0.02, 0.76)}
Array = np.ndarray[Any, Any]
# Step and cell of every spike as one number, in order, and the weights in the order of the list.
Outcome: TypeAlias = tuple[Array, Array]


def make(n_steps: float, *, plastic: bool, rate: str = "about 16 Hz") -> dict[str, Any]:
    """Give voltages to start from, and a list of synapses."""
    generator = np.random.default_rng(0)
    source, target = np.nonzero(generator.random((_N, _N)) < 0.1)
    delay = generator.integers(1, 51, source.size) * _DT
    weight, current = _RATES[rate]
    return {
        "start": -65 + 15 * generator.random(_N),
        "table": (source, target, np.full(source.size, weight), delay),
        "current": current,
        "duration": round(n_steps) * _DT,
        "plastic": plastic,
    }


def ours(inputs: dict[str, Any]) -> Outcome:
    """Run with our engine."""
    cell = IFCurrExp(
        tau_m=20.0, tau_e=5.0, refractory=2.0, i_offset=inputs["current"], comparison=">"
    )
    rule = PairSTDP(**_RULE, delay="axonal", zero_lag="potentiate")  # type: ignore[arg-type]  # numbers
    joined = Projection.from_table(
        "cells", "cells", (_N, _N), *inputs["table"], plasticity=rule if inputs["plastic"] else None
    )
    result = simulate(
        Network([Population("cells", _N, cell)], [joined]),
        duration=inputs["duration"],
        dt=_DT,
        arrivals="after",
        refractory_rule="brian",
        initial={"cells": {"v": inputs["start"]}},
    )
    spikes = result.spikes["cells"]
    weight = np.empty(joined.n_synapses)
    weight[joined.order] = result.weights["cells->cells"]
    return np.sort(spikes.t // 100 * _N + spikes.unit), weight


def brian(inputs: dict[str, Any], target: str) -> Outcome:
    """Run with Brian2; ``target`` generates its code, kept on disk from the first call on."""
    import brian2 as b  # type: ignore[import-not-found,unused-ignore]

    b.prefs.codegen.target = target
    b.start_scope()
    b.defaultclock.dt = _DT * b.ms
    current = inputs["current"]
    cells = b.NeuronGroup(
        _N,
        f"""dv/dt = (-65 - v) / (20*ms) + (ie + {current}) / (1*ms) : 1 (unless refractory)
        die/dt = -ie / (5*ms) : 1""",
        threshold="v > -50",
        reset="v = -65",
        refractory=2 * b.ms,
        method="exact",
    )
    cells.v = inputs["start"]
    source, behind, weight, delay = inputs["table"]
    if inputs["plastic"]:
        synapses = b.Synapses(
            cells,
            cells,
            """w : 1
            dx/dt = -x / (tau_plus*ms) : 1 (event-driven)
            dy/dt = -y / (tau_minus*ms) : 1 (event-driven)""",
            on_pre="ie_post += w\nx += 1\nw = clip(w - a_minus * y, 0, w_max)",
            on_post="y += 1\nw = clip(w + a_plus * x, 0, w_max)",
            namespace=_RULE | {"ms": b.ms},
        )
    else:
        synapses = b.Synapses(cells, cells, "w : 1", on_pre="ie_post += w")
    synapses.connect(i=source, j=behind)
    synapses.w, synapses.delay = weight, delay * b.ms
    monitor = b.SpikeMonitor(cells)
    b.Network(cells, synapses, monitor).run(inputs["duration"] * b.ms)
    steps = np.rint(monitor.t / (_DT * b.ms)).astype(np.int64)
    return np.sort(steps * _N + np.asarray(monitor.i)), np.asarray(synapses.w)


def different(one: Outcome, other: Outcome) -> float:
    """Give infinity where any spike differs, else the largest difference of a weight."""
    same = np.array_equal(one[0], other[0])
    return float(np.abs(one[1] - other[1]).max()) if same else np.inf


def cases() -> Sequence[Case]:
    """Give the cases; set-up is timed for both, as a user waits for it too."""
    return [
        Case(
            name=f"recurrent IFCurrExp{with_rule}, {rate}, {_N} cells, 10 % of pairs, n steps of "
            f"{_DT} ms",
            sizes=(500, 1580, 5000),
            make=partial(make, plastic=plastic, rate=rate),
            ours=ours,
            peers=[
                Peer(
                    f"Brian2, {target}",
                    lambda inputs, t=target: brian(inputs, t),  # type: ignore[misc]  # bound early
                    different,
                    tolerance=1e-12,
                    requires="brian2",
                )
                for target in ("cython", "numpy")
            ],
            aim="at least 10 times Brian2, the same spikes, weights within 1e-12",
        )
        for rate in _RATES
        for plastic, with_rule in ((False, ""), (True, " with pair STDP"))
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
