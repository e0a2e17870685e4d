"""What keeps large networks small and fast gives the same spikes as the plain way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from activome.activity.events import Events
from activome.errors import ActivityError, ParameterError
from activome.networks.spiking import _drawing
from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import LIF, IFCurrExp, SpikeSource
from activome.networks.spiking.plasticity import PairSTDP
from activome.networks.spiking.projections import Projection
from activome.networks.spiking.simulate import simulate

Array = np.ndarray[Any, Any]


def steps(generator: np.random.Generator, n: int) -> Array:
    return 0.5 * generator.integers(1, 4, n)


@pytest.mark.parametrize("block", [64, 1 << 21])
def test_drawn_synapses_are_independent_and_sorted(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_drawing, "_BLOCK", block)
    n_pre, n_post, share = 300, 200, 0.07
    q = Projection.fixed_probability(
        "a", "b", (n_pre, n_post), share, lambda g, n: g.uniform(1, 2, n), steps, random_state=0
    )
    expected = n_pre * n_post * share
    assert q.n_synapses == pytest.approx(expected, abs=4 * np.sqrt(expected))
    rows = np.repeat(np.arange(n_pre), np.diff(q.ptr))
    assert np.unique(rows * n_post + q.target).size == q.n_synapses
    order = np.lexsort((q.target, q.delay, rows))
    np.testing.assert_array_equal(order, np.arange(q.n_synapses))
    for counts, n in ((np.diff(q.ptr), n_post), (np.bincount(q.target), n_pre)):
        assert counts.var() == pytest.approx(n * share * (1 - share), rel=0.35)
    assert 1 <= q.weight.min() < 1.01 < 1.99 < q.weight.max() <= 2
    assert q.order.size == 0
    every = Projection.fixed_probability("a", "a", (9, 9), 1.0, self_connections=False)
    np.testing.assert_array_equal(every.to_dense(), 1 - np.eye(9))


def test_matrices_are_read_where_there_is_a_synapse() -> None:
    weight, delay = np.arange(1.0, 601).reshape(20, 30), 0.5 + np.arange(600).reshape(20, 30) % 7
    q = Projection.fixed_probability("a", "b", (20, 30), 0.3, weight, delay, random_state=1)
    rows = np.repeat(np.arange(20), np.diff(q.ptr))
    np.testing.assert_array_equal(q.weight, weight[rows, q.target])
    np.testing.assert_array_equal(q.delay, delay[rows, q.target])
    with pytest.raises(ActivityError, match=r"weight must be one number, \(n_pre, n_post\)"):
        Projection.fixed_probability("a", "b", (20, 30), 0.3, np.ones(5))
    with pytest.raises(ParameterError, match="weights must not be negative"):
        Projection.fixed_probability("a", "b", (20, 30), 0.3, lambda g, n: -np.ones(n))


def test_single_precision_is_half_the_memory_and_the_same_spikes() -> None:
    quarters: Any = lambda g, n: g.integers(1, 8, n) / 4  # noqa: E731
    options: Any = {"random_state": 3, "receptor": "exc"}
    cell = IFCurrExp(tau_m=10.0, tau_e=3.0, v_threshold=-60.0, i_offset=0.6)
    runs = []
    for dtype in ("float32", "float64"):
        q = Projection.fixed_probability(
            "c", "c", (80, 80), 0.4, quarters, steps, dtype=dtype, **options
        )
        assert q.weight.dtype == q.delay.dtype == dtype
        start = {"c": {"v": np.linspace(-65, -60.5, 80)}}
        result = simulate(Network([Population("c", 80, cell)], [q]), duration=60.0, dt=0.5,
                          initial=start)  # fmt: skip
        assert not result.weights["c->c"].flags.writeable
        assert np.shares_memory(result.weights["c->c"], q.weight)
        runs.append(result.spikes["c"])
    assert runs[0].n_events > 500
    assert runs[0].equals(runs[1])
    for wrong in ({"dtype": "float32", "plasticity": PairSTDP()}, {"dtype": "float16"}):
        with pytest.raises(ParameterError, match="dtype"):
            Projection.one_to_one("a", "b", 3, **wrong)


@pytest.mark.parametrize("n_post", [7, 700])
@pytest.mark.parametrize("order", ["before", "after"])
def test_long_rows_and_many_chunks_against_sums_by_hand(n_post: int, order: Any) -> None:
    """Rows long enough for a loop per delay, more cells than a chunk, a voltage without spikes."""
    generator = np.random.default_rng(0)
    n_pre, n_steps, dt = 5, 30, 0.5
    size = 40 * n_pre * n_post // 7
    source, target = generator.integers(0, n_pre, size), generator.integers(0, n_post, size)
    weight, delay = generator.random(size), generator.integers(1, 4, size)
    raster = generator.random((n_steps, n_pre)) < 0.3
    taus = generator.uniform(5, 20, n_post)
    shift = 0 if order == "before" else 1
    for tau in (taus, np.full(n_post, 9.0)):
        v, expected = np.zeros(n_post), []
        for t in range(n_steps):
            into = np.zeros(n_post)
            for d in (1, 2, 3):
                if t - d - shift >= 0:
                    hit = (delay == d) & raster[t - d - shift][source]
                    np.add.at(into, target[hit], weight[hit])
            keep = np.exp(-dt / tau)
            v = v * keep + into if order == "before" else (v + into) * keep
            expected.append(v)
        cell = LIF(tau=tau if np.ptp(tau) else 9.0, v_threshold=np.inf)
        q = Projection.from_table("in", "c", (n_pre, n_post), source, target, weight, delay * dt)
        network = Network(
            [Population("in", n_pre, SpikeSource()), Population("c", n_post, cell)], [q]
        )
        step, unit = np.nonzero(raster)
        given = {"in": Events(step * 500, unit, n_units=n_pre)}
        result = simulate(network, given, n_steps * dt, dt, record={"c": "v"}, arrivals=order)
        np.testing.assert_allclose(result.states["c"]["v"].values, expected, rtol=1e-12)


def test_inhibition_that_only_the_start_holds() -> None:
    """Without inhibitory synapses that side is left out, unless a current is there already."""
    network = Network([Population("c", 2, IFCurrExp(v_rest=0.0, v_reset=0.0, v_threshold=1.0))])
    start: Any = {"c": {"inh": [0.0, 2.0]}}
    whole = simulate(network, duration=20.0, dt=0.5, initial=start, record={"c": "v"})
    v = whole.states["c"]["v"].values
    t = 0.5 * np.arange(1, 41)
    # It decays before it acts in the first step.
    exact = -2.0 * 20 * 5 / 15 * (np.exp(-t / 20) - np.exp(-t / 5)) * np.exp(-0.5 / 5)
    np.testing.assert_allclose(v, np.stack([np.zeros(40), exact], axis=1), atol=1e-12)
    part = simulate(network, duration=5.0, dt=0.5, initial=start)
    rest = simulate(network, duration=15.0, dt=0.5, state=part.state, record={"c": "v"})
    np.testing.assert_array_equal(rest.states["c"]["v"].values, v[10:])
