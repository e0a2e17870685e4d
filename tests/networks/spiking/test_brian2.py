"""Parity with Brian2: the same spikes in the same steps, and the same learned weights.

Brian2 2.9, the newest for Python 3.11, needs numpy below 2.4: run this file in an environment of
its own, with this package on the path.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from activome.activity.events import Events
from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import IFCurrExp, SpikeSource
from activome.networks.spiking.plasticity import PairSTDP
from activome.networks.spiking.projections import Projection
from activome.networks.spiking.simulate import simulate

if importlib.util.find_spec("brian2") is None:
    pytest.skip("brian2 is not installed (2.9 needs numpy below 2.4)", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore")  # of Brian2's own


def brian() -> Any:
    import brian2  # type: ignore[import-not-found,unused-ignore]

    brian2.prefs.codegen.target = "numpy"
    brian2.start_scope()
    brian2.defaultclock.dt = 0.1 * brian2.ms
    return brian2


def test_the_same_spikes_in_a_recurrent_network() -> None:
    b = brian()
    generator = np.random.default_rng(0)
    n_in, n, dt = 200, 800, 0.1
    lists: dict[str, tuple[Any, ...]] = {}
    for name, size, low, high in (("in", n_in, 0.2, 1.2), ("rec", n, 0.0, 0.3)):
        source, target = np.nonzero(generator.random((size, n)) < 0.1)
        weight = generator.uniform(low, high, source.size)
        lists[name] = source, target, weight, generator.integers(1, 51, source.size) * dt
    step, unit = np.nonzero(generator.random((5000, n_in)) < 0.004)
    is_inh = lists["rec"][0] >= 640

    given = b.SpikeGeneratorGroup(n_in, unit, step * dt * b.ms)
    cells = b.NeuronGroup(
        n,
        """dv/dt = (-65 - v) / (20*ms) + (ie - ii) / (1*ms) : 1 (unless refractory)
        die/dt = -ie / (5*ms) : 1
        dii/dt = -ii / (8*ms) : 1""",
        threshold="v > -50",
        reset="v = -65",
        refractory=2 * b.ms,
        method="exact",
    )
    cells.v = -65
    kept = []
    parts = []
    for pre, name, receptor, rows in (
        (given, "in", "exc", slice(None)),
        (cells, "rec", "exc", ~is_inh),
        (cells, "rec", "inh", is_inh),
    ):
        columns: list[Any] = [column[rows] for column in lists[name]]
        synapses = b.Synapses(pre, cells, "w : 1", on_pre=f"i{receptor[0]}_post += w")
        synapses.connect(i=columns[0], j=columns[1])
        synapses.w, synapses.delay = columns[2], columns[3] * b.ms
        kept.append(synapses)
        pop = "in" if name == "in" else "cells"
        options: Any = {"receptor": receptor, "name": f"{name} {receptor}"}
        sizes = (n_in if name == "in" else n, n)
        parts.append(Projection.from_table(pop, "cells", sizes, *columns, **options))
    monitor = b.SpikeMonitor(cells)
    b.Network(given, cells, kept, monitor).run(500 * b.ms)
    theirs = set(
        zip(np.rint(monitor.t / (dt * b.ms)).astype(int).tolist(), list(monitor.i), strict=True)
    )

    neuron = IFCurrExp(tau_m=20.0, tau_e=5.0, tau_i=8.0, refractory=2.0, comparison=">")
    net = Network([Population("in", n_in, SpikeSource()), Population("cells", n, neuron)], parts)
    result = simulate(
        net,
        {"in": Events(step * 100, unit, n_units=n_in)},
        500.0,
        dt,
        arrivals="after",
        refractory_rule="brian",
    )
    spikes = result.spikes["cells"]
    ours = set(zip((spikes.t // 100).tolist(), spikes.unit.tolist(), strict=True))
    assert len(ours) > 5000
    assert ours == theirs


@pytest.mark.parametrize("seed", range(2))
def test_the_same_weight_after_many_pairs(seed: int) -> None:
    b = brian()
    generator = np.random.default_rng(seed)
    pre, post = (np.sort(generator.choice(3000, 200, replace=False)) for _ in range(2))
    one = b.SpikeGeneratorGroup(1, np.zeros(200, int), pre * 0.1 * b.ms)
    two = b.SpikeGeneratorGroup(1, np.zeros(200, int), post * 0.1 * b.ms)
    synapse = b.Synapses(
        one,
        two,
        """w : 1
        dx/dt = -x / (20*ms) : 1 (event-driven)
        dy/dt = -y / (30*ms) : 1 (event-driven)""",
        on_pre="x += 1\nw = clip(w - 0.012 * y, 0, 1)",
        on_post="y += 1\nw = clip(w + 0.01 * x, 0, 1)",
    )
    synapse.connect(i=[0], j=[0])
    synapse.w, synapse.delay = 0.5, 1.3 * b.ms
    b.Network(one, two, synapse).run(310 * b.ms)

    rule = PairSTDP(
        tau_minus=30.0, a_plus=0.01, a_minus=0.012, delay="axonal", zero_lag="potentiate"
    )
    net = Network(
        [Population("pre", 1, SpikeSource()), Population("post", 1, SpikeSource())],
        [Projection.one_to_one("pre", "post", 1, 0.5, 1.3, plasticity=rule)],
    )
    inputs = {
        name: Events(steps * 100, np.zeros(200, int))
        for name, steps in (("pre", pre), ("post", post))
    }
    found = simulate(net, inputs, 310.0, 0.1, arrivals="after").weights["pre->post"][0]
    assert found == pytest.approx(float(synapse.w[0]), abs=1e-12)
