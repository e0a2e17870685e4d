"""A state goes on where its network stopped, in the memory of one state, and nowhere else."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from activome.activity.events import Events
from activome.errors import ParameterError, ResourceError
from activome.networks.spiking.homeostasis import SynapticScaling, ThresholdAdaptation
from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import LIF, IFCurrExp, SpikeSource
from activome.networks.spiking.plasticity import PairSTDP
from activome.networks.spiking.projections import Projection
from activome.networks.spiking.simulate import simulate

DELAYS = [[1.0, 1.0], [1.0, 1.0], [1.0, 0.9]]


def small(n_in: int = 3, n: int = 2, cell: Any = None, **options: Any) -> Network:
    joined = Projection.all_to_all("in", "out", (n_in, n), 0.4, 1.0, **options)
    cells = Population("out", n, cell or LIF(tau=10.0))
    return Network([Population("in", n_in, SpikeSource()), cells], [joined])


def with_synapses(**options: Any) -> Network:
    given = {"source": [0, 0, 1, 1, 2, 2], "target": [0, 1, 0, 1, 0, 1], **options}
    joined = Projection.from_table("in", "out", (3, 2), **given)
    return Network(small().populations, [joined])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (small(plasticity=PairSTDP()), "the rules of projection 'in->out' were none, and now Pair"),
        (small(homeostasis=SynapticScaling(total=1.0)), "were none, and now SynapticScaling"),
        (small(n_in=4, n=1), "population 'in' was 3 SpikeSource, and now 4 SpikeSource"),
        (small(cell=IFCurrExp()), "population 'out' was 2 LIF, and now 2 IFCurrExp"),
        (with_synapses(source=[0], target=[0]), "of 6 synapses, and now .* of 1 synapses"),
        (with_synapses(target=[1, 1, 1, 1, 0, 0]), "the synapses of projection 'in->out' differ"),
        (with_synapses(delay=[1.0, 1.0, 1.0, 1.0, 1.0, 0.9]), "projection 'in->out' differ"),
        (small(receptor="inh"), "to 'out', exc, .* to 'out', inh"),
        (small(name="b"), "the list of projections was 'in->out', and now 'b'"),
        (Network(small().populations), "the list of projections was 'in->out', and now empty"),
        (
            Network([Population("b", 3, SpikeSource()), Population("out", 2, LIF())]),
            "the list of populations was 'in', 'out', and now 'b', 'out'",
        ),
    ],
)
def test_a_state_of_another_network_is_refused(other: Network, message: str) -> None:
    state = simulate(small(), duration=2.0).state
    with pytest.raises(ParameterError, match=f"the same network and clock; .*{message}"):
        simulate(other, duration=2.0, state=state)


def test_a_state_of_other_delays_and_adaptation_is_refused() -> None:
    def delayed(**options: Any) -> Network:
        joined = Projection.all_to_all("in", "out", (3, 2), 0.4, **options)
        return Network(small().populations, [joined])

    state = simulate(delayed(delay=DELAYS), duration=2.0).state
    # The same extremes and the same order of synapses: one delay alone is another one.
    for delay in ([[1.0, 1.0], [1.0, 1.0], [0.9, 0.9]], 2.0):
        with pytest.raises(ParameterError, match="projection 'in->out' differ"):
            simulate(delayed(delay=delay), duration=2.0, state=state)
    source, out = small().populations
    adapting = Network([source, replace(out, adaptation=ThresholdAdaptation())], [])
    state = simulate(Network([source, out]), duration=2.0).state
    with pytest.raises(ParameterError, match="was 2 LIF, and now 2 LIF with adaptation"):
        simulate(adapting, duration=2.0, state=state)


def test_a_state_of_another_clock_or_of_other_lengths_is_refused() -> None:
    state = simulate(small(), duration=2.0).state
    with pytest.raises(ParameterError, match=r"dt was 0\.1 ms, and now 0\.2 ms"):
        simulate(small(), duration=2.0, dt=0.2, state=state)
    with pytest.raises(ParameterError, match="arrivals were 'before', and now 'after'"):
        simulate(small(), duration=2.0, arrivals="after", state=state)
    state.exc = state.exc[:1]
    with pytest.raises(ParameterError, match=r"its exc must be float64 of shape \(5,\)"):
        simulate(small(), duration=2.0, state=state)
    wrong: Any = 3
    with pytest.raises(ParameterError, match=r"the state of an earlier result.*got int"):
        simulate(small(), duration=2.0, state=wrong)


@pytest.mark.parametrize("plasticity", [None, PairSTDP()])
def test_the_same_network_built_twice_goes_on(plasticity: Any) -> None:
    times = Events([0, 500, 1000], [0, 1, 2], n_units=3)
    kept: Any = {"plasticity": plasticity, "cell": LIF(tau=10.0, i_offset=1.5)}
    first = simulate(small(**kept), {"in": times}, 20.0)
    two = simulate(small(**kept), {"in": times}, 20.0, state=first.state)
    later = Events(np.r_[times.t, times.t + 20_000], np.r_[times.unit, times.unit], n_units=3)
    whole = simulate(small(**kept), {"in": later}, 40.0)
    np.testing.assert_array_equal(two.weights["in->out"], whole.weights["in->out"])
    np.testing.assert_array_equal(two.state.v, whole.state.v)
    joined = Events.concat([first.spikes["out"], two.spikes["out"]], dim="time")
    assert joined.n_events > 2
    assert joined.equals(whole.spikes["out"])


def test_weights_without_a_rule_are_those_of_the_network_that_is_given() -> None:
    state = simulate(small(), duration=2.0).state
    weaker = with_synapses(weight=0.1)
    found = simulate(
        weaker, {"in": Events([0], [1], n_units=3)}, 3.0, 0.1, state=state, record={"out": "v"}
    )
    assert found.states["out"]["v"].values.max() == pytest.approx(0.1)
    np.testing.assert_array_equal(found.weights["in->out"], np.full(6, 0.1))


def test_a_column_of_trials_does_not_put_the_clock_back() -> None:
    network = Network([Population("s", 1, SpikeSource())])
    first = simulate(network, {"s": Events([1000], [0])}, 5.0, 1.0)
    given = Events([1000], [0], trial=[0], n_trials=1)
    found = simulate(network, {"s": given}, 5.0, 1.0, state=first.state).spikes["s"]
    assert found.t.tolist() == [6000]
    assert (found.t_start, found.t_stop) == (5000, 10_000)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_trials_take_the_memory_of_the_states_at_work(n_jobs: int) -> None:
    cells = Population("o", 2000, LIF(tau=10.0))
    joined = Projection.all_to_all("in", "o", (1, 2000), 0.1, 30.0)
    network = Network([Population("in", 1, SpikeSource()), cells], [joined])
    # Of the ring of arrivals: 302 steps of the delay, two inputs of 2001 cells.
    one_state = 8 * 302 * 2 * 2001
    zeros = np.zeros(30, int)
    many = Events(zeros, zeros, trial=np.arange(30), n_trials=30)
    simulate(network, {"in": Events([0], [0])}, 1.0)
    tracemalloc.start()
    simulate(network, {"in": many}, 1.0, n_jobs=n_jobs, memory_limit=(n_jobs + 0.5) * one_state)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The last state stays, and so may one that the collector has not come to.
    assert peak < (n_jobs + 3) * one_state
    with pytest.raises(ResourceError, match="the state of 2001 cells"):
        simulate(network, {"in": many}, 1.0, n_jobs=n_jobs, memory_limit=(n_jobs - 0.5) * one_state)


def test_recordings_of_all_trials_count_together() -> None:
    network = Network([Population("s", 1, SpikeSource()), Population("o", 1, LIF(tau=10.0))])
    four = Events([0] * 4, [0] * 4, trial=np.arange(4), n_trials=4)
    kept: Any = {"duration": 1000.0, "dt": 0.1, "record": {"o": "v"}}
    n_bytes = 4 * 8 * 10_000
    found = simulate(network, {"s": four}, **kept, memory_limit=n_bytes + 1000)
    assert found.states["o"]["v"].shape == (4, 10_000, 1)
    with pytest.raises(ResourceError, match="recorded variables in each of 4 trials"):
        simulate(network, {"s": four}, **kept, memory_limit=n_bytes - 1000)
    busy = Network([Population("s", 1, SpikeSource()), Population("o", 1, LIF(i_offset=1e3))])
    # A spike in each of the 500 steps: 32 bytes of each while they are put together.
    simulate(busy, {"s": Events([0], [0])}, 50.0, memory_limit=20_000)
    with pytest.raises(ResourceError, match="spikes"):
        simulate(busy, {"s": four}, 50.0, memory_limit=20_000)


def test_currents_are_held_to_the_limit() -> None:
    network = Network([Population("o", 200, LIF(tau=10.0))])
    with pytest.raises(ResourceError, match="the current of 'o' as events"):
        simulate(network, {"o": np.ones((10_000, 200))}, 1000.0, memory_limit=20 * 2**20)
