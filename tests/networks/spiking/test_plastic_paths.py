"""Plastic synapses take other ways through the engine than static ones, to the same places."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from activome.activity.events import Events
from activome.errors import ResourceError
from activome.networks.spiking._synapses import order_of_rows
from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import LIF, IFCurrExp, SpikeSource
from activome.networks.spiking.plasticity import PairSTDP
from activome.networks.spiking.projections import Projection
from activome.networks.spiking.simulate import simulate

Array = np.ndarray[Any, Any]


def run(rule: PairSTDP | None, *, arrivals: Any, current: float, longest: int) -> Any:
    """Two populations that drive each other; cells without a refractory time may fire always."""
    generator = np.random.default_rng(3)
    cells = [
        Population("one", 30, LIF(tau=10.0, v_threshold=1.0, i_offset=current)),
        Population("other", 20, IFCurrExp(tau_m=20.0, tau_e=3.0, i_offset=0.9)),
    ]
    joined = []
    for pre, post in (("one", "other"), ("other", "one"), ("one", "one")):
        sizes = [p.n for name in (pre, post) for p in cells if p.name == name]
        source, target = (
            generator.integers(sizes[0], size=400),
            generator.integers(sizes[1], size=400),
        )
        weight, delay = generator.uniform(0, 0.02, 400), 0.5 * generator.integers(1, longest, 400)
        joined.append(
            Projection.from_table(
                pre, post, (sizes[0], sizes[1]), source, target, weight, delay, plasticity=rule
            )
        )
    return simulate(Network(cells, joined), duration=100.0, dt=0.5, arrivals=arrivals)


@pytest.mark.parametrize("arrivals", ["before", "after"])
@pytest.mark.parametrize("place", ["axonal", "dendritic"])
@pytest.mark.parametrize("trigger", ["immediate", "presynaptic"])
@pytest.mark.parametrize(("current", "longest"), [(1.3, 2), (1.3, 60), (25.0, 2), (25.0, 60)])
def test_a_rule_that_changes_nothing_leaves_the_spikes_of_static_synapses(
    arrivals: Any, place: Any, trigger: Any, current: float, longest: int
) -> None:
    rule = PairSTDP(a_plus=0.0, a_minus=0.0, delay=place, trigger=trigger)
    static, plastic = (
        run(r, arrivals=arrivals, current=current, longest=longest) for r in (None, rule)
    )
    for name, expected in static.spikes.items():
        assert expected.t.size > 20
        np.testing.assert_array_equal(plastic.spikes[name].t, expected.t)
        np.testing.assert_array_equal(plastic.spikes[name].unit, expected.unit)
    for name, weight in static.weights.items():
        np.testing.assert_array_equal(plastic.weights[name], weight)


@pytest.mark.parametrize("gap", [3, 16_000, 16_400, 40_000])
def test_a_trace_fades_by_its_law_however_long_it_takes(gap: int) -> None:
    rule = PairSTDP(tau_plus=900.0, tau_minus=1.0, a_plus=0.2, a_minus=0.0)
    net = Network(
        [Population("pre", 1, SpikeSource()), Population("post", 1, SpikeSource())],
        [Projection.one_to_one("pre", "post", 1, 0.5, 0.1, plasticity=rule)],
    )
    spikes = {
        name: Events(np.array(steps), np.zeros(len(steps), np.int64), tick=1e-4)
        for name, steps in (("pre", [10, 10 + gap]), ("post", [10 + gap + 5]))
    }
    weight = simulate(net, spikes, 0.1 * (gap + 50), 0.1).weights["pre->post"][0]
    expected = 0.5 + 0.2 * (np.exp(-0.6 / 900.0) + np.exp(-0.1 * (gap + 6) / 900.0))
    assert weight == pytest.approx(expected, abs=1e-13)


def test_currents_that_fade_end_at_nothing() -> None:
    cell = IFCurrExp(tau_m=20.0, tau_e=2.5)
    net = Network(
        [Population("source", 1, SpikeSource()), Population("cell", 3, cell)],
        [Projection.all_to_all("source", "cell", (1, 3), 0.1)],
    )
    spikes = {"source": Events(np.array([10]), np.zeros(1, np.int64), tick=1e-3)}
    for arrivals in ("before", "after"):
        state = simulate(net, spikes, 2000.0, 1.0, arrivals=arrivals).state
        np.testing.assert_array_equal(state.exc, 0.0)


@pytest.mark.parametrize("n_kinds", [1, 7, 10_000])
def test_rows_are_sorted_as_lexsort_sorts_them(n_kinds: int) -> None:
    generator = np.random.default_rng(0)
    rows = generator.integers(40, size=3000).astype(np.int32)
    delays = generator.choice(generator.random(n_kinds), size=3000)
    expected = np.lexsort((delays, rows))
    np.testing.assert_array_equal(order_of_rows(rows, delays), expected)
    # Too many bits for one number: rows as far apart as numbers go.
    far = rows.astype(np.int64) << 50
    np.testing.assert_array_equal(order_of_rows(far, delays), expected)
    assert order_of_rows(rows[:0], delays[:0]).size == 0


def test_tables_of_long_delays_are_held_to_the_limit() -> None:
    net = Network(
        [Population("a", 2000, SpikeSource()), Population("b", 2000, LIF())],
        [
            Projection.from_table(
                "a", "b", (2000, 2000), [0, 1], [0, 1], 0.1, [0.1, 1000.0], plasticity=PairSTDP()
            )
        ],
    )
    with pytest.raises(ResourceError, match="by 10000 delays"):
        simulate(net, duration=1.0, dt=0.1, memory_limit=1e8)
