"""The engine: analytic limits, a slow twin step for step, continuation, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from activome.activity.events import Events
from activome.errors import ActivityError, ActivityWarning, ParameterError, ResourceError
from activome.networks.spiking.homeostasis import ThresholdAdaptation
from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import LIF, IFCondExp, IFCurrExp, MetaNeuron, SpikeSource
from activome.networks.spiking.projections import Projection
from activome.networks.spiking.simulate import simulate

Array = np.ndarray[Any, Any]


def one_cell(neuron: Any) -> Network:
    return Network([Population("cell", 1, neuron)])


def driven(neuron: Any, weight: float = 1.0, receptor: Any = "exc") -> Network:
    return Network(
        [Population("in", 1, SpikeSource()), Population("cell", 1, neuron)],
        [Projection.one_to_one("in", "cell", 1, weight, 1.0, receptor=receptor)],
    )


@pytest.mark.parametrize("current", [1.05, 1.5, 4.0])
@pytest.mark.parametrize("rule", ["hold", "brian"])
def test_rate_of_a_constant_current(current: float, rule: Any) -> None:
    dt = 0.05
    cell = LIF(tau=10.0, v_threshold=1.0, i_offset=current, refractory=2.0)
    result = simulate(one_cell(cell), duration=500.0, dt=dt, refractory_rule=rule)
    interval = 2.0 + 10.0 * np.log(current / (current - 1.0))
    gaps = 1e3 * result.spikes["cell"].isi()[0]
    assert gaps.size > 10
    # Rounding up to the clock, once for the membrane and, when held, once for the refractory time.
    assert np.all(gaps > interval - 1.1 * dt)
    assert np.all(gaps < interval + 1.1 * dt)


def test_unit_response_peaks_where_it_should() -> None:
    cell = IFCurrExp(tau_m=20.0, tau_e=5.0, v_rest=0.0, v_reset=0.0, v_threshold=1e3)
    result = simulate(
        driven(cell), {"in": Events([0], [0])}, 100.0, 0.1, record={"cell": ["v", "exc"]}
    )
    v = result.states["cell"]["v"].values[:, 0]
    assert v.max() == pytest.approx(3.1498, abs=5e-4)
    t = 20.0 * 5.0 / 15.0 * np.log(20.0 / 5.0)
    assert 0.1 * v.argmax() == pytest.approx(1.0 + t, abs=0.2)
    # The whole curve, which is one step ahead of its label.
    s = 0.1 * np.arange(v.size - 10) + 0.1
    exact = 5.0 * 20.0 / 15.0 * (np.exp(-s / 20.0) - np.exp(-s / 5.0))
    np.testing.assert_allclose(v[10:], exact, atol=1e-12)


@pytest.mark.parametrize("tau_e", [5.0, 20.0, 20.0 * (1 + 1e-8), 40.0])
def test_linear_cells_do_not_depend_on_the_step(tau_e: float) -> None:
    cell = IFCurrExp(tau_m=20.0, tau_e=tau_e, v_threshold=1e3, i_offset=0.3)
    times = Events.from_times([0.004, 0.010, 0.011], [0, 0, 0])
    coarse, fine = (
        simulate(driven(cell), {"in": times}, 50.0, dt, record={"cell": "v"})
        .states["cell"]["v"]
        .values[:, 0]
        for dt in (0.5, 0.25)
    )
    # A sample is the voltage at the end of its step.
    np.testing.assert_allclose(coarse[:-1], fine[1::2][: coarse.size - 1], rtol=1e-12)


def slow_twin(
    kind: str, par: dict[str, Any], weights: Array, delays: Array, is_inh: Array, drive: Array,
    n_steps: int, dt: float, order: str, subtract: bool,
) -> Array:  # fmt: skip
    """Step a recurrent population in plain numpy; returns the raster (n_steps, n_cells)."""
    n = weights.shape[0]
    v, u = np.full(n, par.get("v_rest", 0.0)), np.zeros(n)
    exc, inh, left, lost = np.zeros(n), np.zeros(n), np.zeros(n, int), np.zeros(n, bool)
    raster = np.zeros((n_steps, n), bool)
    shift = 0 if order == "before" else 1
    for t in range(n_steps):
        into = np.zeros((2, n))
        for i, j in np.argwhere(weights > 0):
            then = t - delays[i, j] - shift
            if then >= 0 and raster[then, i]:
                into[int(is_inh[i]), j] += weights[i, j]
        free = left == 0
        if kind in ("lif", "meta"):
            exc, inh = into
        else:
            de, di = np.exp(-dt / par["tau_e"]), np.exp(-dt / par["tau_i"])
            if order == "before":
                exc, inh = exc * de, inh * di
            exc, inh = exc + into[0], inh + into[1]
        x = drive[t]
        new = v.copy()
        if kind == "lif":
            a = np.exp(-dt / par["tau"])
            if order == "after":
                v = np.where(lost, v, v + exc - inh)
                new = par["v_rest"] + (v - par["v_rest"]) * a + x * (1 - a)
            else:
                new = par["v_rest"] + (v - par["v_rest"]) * a + x * (1 - a) + exc - inh
        elif kind == "curr":
            a, tm = np.exp(-dt / par["tau_m"]), par["tau_m"]

            ge, gi = (
                tm * ts / (ts - tm) * (np.exp(-dt / ts) - a) for ts in (par["tau_e"], par["tau_i"])
            )
            new = par["v_rest"] + (v - par["v_rest"]) * a + exc * ge - inh * gi + x * tm * (1 - a)
        elif kind == "cond":
            slope = par["v_rest"] - v + exc * (0.0 - v) + inh * (-100.0 - v) + x
            new = v + dt / par["tau"] * slope
        else:
            r = dt / par["tau"]
            new = np.clip(v + r * (v * v - v - u) + x + exc - inh, -3, 3)
            u = np.where(free, u + r * (-0.172 * v - 0.529 * u), u)
        v = np.where(free, new, v)
        if kind in ("curr", "cond") and order == "after":
            exc, inh = exc * de, inh * di
        fires = free & (v >= par["v_threshold"])
        left = np.where(free, 0, left - 1)
        left[fires] = par["hold"]
        # What arrives at the end of the step finds the cell held, or is wiped out by the reset.
        lost = ~free | (fires & ((not subtract) | (par["hold"] > 0)))
        raster[t] = fires
        if kind == "meta":
            v[fires] = 0.021
            u[fires] += 0.132
        elif subtract:
            v[fires] -= par["v_threshold"] - par["v_reset"]
        else:
            v[fires] = par["v_reset"]
    return raster


CELLS: dict[str, tuple[Any, dict[str, Any], tuple[float, float]]] = {
    "lif": (
        LIF(tau=10.0, v_threshold=1.0, refractory=1.0),
        {"tau": 10.0, "v_rest": 0.0, "v_reset": 0.0, "v_threshold": 1.0, "hold": 2},
        (5.0, 0.1),
    ),
    "curr": (
        IFCurrExp(tau_m=10.0, tau_e=3.0, tau_i=6.0, v_threshold=-60.0, refractory=1.0),
        {"tau_m": 10.0, "tau_e": 3.0, "tau_i": 6.0, "v_rest": -65.0, "v_reset": -65.0,
         "v_threshold": -60.0, "hold": 2},
        (2.5, 0.2),
    ),
    "cond": (
        IFCondExp(tau=20.0, tau_e=3.0, tau_i=4.0, v_threshold=-60.0, refractory=1.0),
        {"tau": 20.0, "tau_e": 3.0, "tau_i": 4.0, "v_rest": -65.0, "v_reset": -65.0,
         "v_threshold": -60.0, "hold": 2},
        (40.0, 0.05),
    ),
    "meta": (MetaNeuron(refractory=1.0), {"tau": 10.0, "v_threshold": 1.0, "hold": 2}, (0.2, 0.1)),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(CELLS))
@pytest.mark.parametrize(("order", "reset"), [("before", "value"), ("after", "subtract")])
def test_same_spikes_as_the_slow_twin(kind: str, order: Any, reset: Any) -> None:
    neuron, par, (drive_scale, scale) = CELLS[kind]
    generator = np.random.default_rng(3)
    n, n_steps, dt = 12, 240, 0.5
    weights = scale * generator.random((n, n)) * (generator.random((n, n)) < 0.5)
    delays = generator.integers(1, 6, (n, n))
    is_inh = np.arange(n) >= 8
    drive = drive_scale * generator.random((n_steps, n)) * np.linspace(0.5, 2.0, n)
    parts = []
    for receptor, rows in (("exc", ~is_inh), ("inh", is_inh)):
        chosen = np.where(rows[:, None], weights, 0.0)
        options: Any = {"receptor": receptor, "name": receptor}
        parts.append(Projection.from_dense("c", "c", chosen, delays * dt, **options))
    net = Network([Population("c", n, neuron)], parts)
    result = simulate(net, {"c": drive}, n_steps * dt, dt, arrivals=order, reset_rule=reset)
    raster = result.spikes["c"].bin(dt * 1e-3).values.astype(bool)
    twin = slow_twin(
        kind, par, weights, delays, is_inh, drive, n_steps, dt, order, reset == "subtract"
    )
    assert twin.sum() > 100
    np.testing.assert_array_equal(raster, twin)


def test_a_matrix_of_currents_is_its_events() -> None:
    generator = np.random.default_rng(5)
    current = generator.uniform(0, 12, (60, 7)) * (generator.random((60, 7)) < 0.4)
    current = current.astype(np.float32)
    net = Network([Population("c", 7, LIF(tau=8.0))])
    step, unit = np.nonzero(current)
    late = generator.permutation(step.size)
    with pytest.warns(ActivityWarning, match="all were sorted"):
        events = Events(1000 * step[late], unit[late], value=current[step, unit][late], n_units=7)
    whole, same = (
        simulate(net, {"c": given}, 60.0, 1.0, record={"c": ["spikes", "v"]})
        for given in (current, events)
    )
    assert whole.spikes["c"].n_events > 20
    assert whole.spikes["c"].equals(same.spikes["c"])
    np.testing.assert_array_equal(whole.states["c"]["v"], same.states["c"]["v"])


def test_exponential_euler_is_exact_for_a_held_conductance() -> None:
    cell = IFCondExp(tau=20.0, tau_e=1e9, tau_i=4.0, v_threshold=1e3, method="exponential")
    result = simulate(driven(cell, 0.5), {"in": Events([0], [0])}, 40.0, 1.0, record={"cell": "v"})
    v = result.states["cell"]["v"].values[:, 0]
    goal = -65.0 / 1.5
    s = np.arange(39) + 1.0
    np.testing.assert_allclose(v[1:], goal + (-65.0 - goal) * np.exp(-1.5 * s / 20.0), rtol=1e-7)


def test_thresholds_adapt_by_hand() -> None:
    rule = ThresholdAdaptation(theta_plus=0.07, tau_theta=1e12, law="hyperbolic", start=20.0)
    cell = LIF(tau=10.0, v_threshold=1.0)
    net = Network([Population("c", 1, cell, rule)])
    current = np.array([[500.0], [0.0], [500.0]])
    result = simulate(net, {"c": current}, 3.0, 1.0, record={"c": ["theta", "spikes"]})
    first = 20.0 + 0.07
    second = first + 0.07 * 10.0 / (first - 10.0)
    theta = result.states["c"]["theta"].values[:, 0]
    np.testing.assert_allclose(theta, [first, first, second], rtol=1e-9)


def test_a_run_in_two_parts_is_the_run() -> None:
    generator = np.random.default_rng(1)
    cell = IFCurrExp(tau_m=10.0, tau_e=3.0, v_threshold=-64.0, i_offset=0.2)
    net = Network(
        [Population("c", 20, cell)],
        [Projection.from_dense("c", "c", 0.3 * generator.random((20, 20)), 2.3)],
    )
    start = {"c": {"v": -65.0 + generator.random(20)}}
    whole = simulate(net, duration=60.0, initial=start, record={"c": ["spikes", "v"]})
    one = simulate(net, duration=25.0, initial=start, record={"c": ["spikes", "v"]})
    two = simulate(net, duration=35.0, state=one.state, record={"c": ["spikes", "v"]})
    assert whole.spikes["c"].n_events > 100
    assert Events.concat([one.spikes["c"], two.spikes["c"]], dim="time").equals(whole.spikes["c"])
    joined = np.concatenate([part.states["c"]["v"].values for part in (one, two)])
    np.testing.assert_array_equal(joined, whole.states["c"]["v"].values)


def test_trials_start_from_rest_in_threads_too() -> None:
    t, trial = np.array([0, 0, 3000]), np.array([0, 1, 1])
    spikes = Events(t, [0, 0, 0], trial=trial, n_trials=2)
    net = driven(LIF(tau=10.0, v_threshold=0.9))
    one = simulate(net, {"in": spikes}, 10.0, 1.0, record={"cell": ["spikes", "v"]})
    two = simulate(net, {"in": spikes}, 10.0, 1.0, record={"cell": ["spikes", "v"]}, n_jobs=2)
    cell = one.spikes["cell"]
    assert cell.trial is not None
    assert list(zip(cell.trial.tolist(), cell.t.tolist(), strict=True)) == [
        (0, 1000), (1, 1000), (1, 4000),
    ]  # fmt: skip
    assert cell.equals(two.spikes["cell"])
    assert one.states["cell"]["v"].dims == ("trial", "time", "unit")
    np.testing.assert_array_equal(one.states["cell"]["v"], two.states["cell"]["v"])


def test_inhibition_acts_downwards() -> None:
    result = simulate(
        driven(LIF(tau=10.0), 0.5, "inh"), {"in": Events([0], [0])}, 3.0, 1.0, record={"cell": "v"}
    )
    expected = [0.0, -0.5, -0.5 * np.exp(-0.1)]
    np.testing.assert_allclose(result.states["cell"]["v"].values[:, 0], expected)


def test_refusals() -> None:
    net = driven(LIF(tau=10.0))
    with pytest.raises(ParameterError, match="whole number of steps"):
        simulate(net, duration=1.05, dt=0.1)
    with pytest.raises(ParameterError, match="dt must not be longer"):
        simulate(net, duration=20.0, dt=20.0)
    with pytest.warns(ActivityWarning, match="coarse for tau"):
        simulate(one_cell(LIF(tau=1.0)), duration=2.0, dt=0.5)
    with pytest.raises(ParameterError, match="at least dt"):
        simulate(net, duration=4.0, dt=2.0)
    long = Network(net.populations, [Projection.one_to_one("in", "cell", 1, delay=4000.0)])
    with pytest.raises(ParameterError, match="at most 32767 steps"):
        simulate(long, duration=1.0, dt=0.1)
    with pytest.raises(ActivityError, match="share unit and step"):
        simulate(net, {"in": Events([0, 50], [0, 0])}, 1.0, 0.1)
    with pytest.raises(ActivityError, match="whole number of ticks"):
        simulate(net, {"in": Events([0], [0], tick=3e-5)}, 1.0, 0.1)
    with pytest.raises(ActivityError, match="must lie in the 10 steps"):
        simulate(net, {"in": Events([1000], [0])}, 1.0, 0.1)
    with pytest.raises(ActivityError, match="go through a SpikeSource"):
        simulate(net, {"cell": Events([0], [0])}, 1.0, 0.1)
    with pytest.raises(ActivityError, match="step 2, cell 0"):
        simulate(net, {"cell": [[0.0], [1.0], [np.nan]]}, 0.3, 0.1)
    with pytest.raises(ParameterError, match="Did you mean 'cell'"):
        simulate(net, {"cel": 1.0}, 1.0, 0.1)
    with pytest.raises(ActivityError, match="from the names of populations"):
        simulate(net, Events([0], [0]), 1.0, 0.1)  # type: ignore[arg-type]
    with pytest.raises(ActivityError, match="must be numbers, in nA; got '1 nA'"):
        simulate(net, {"cell": "1 nA"}, 1.0, 0.1)
    with pytest.raises(ActivityError, match="Make them with Events"):
        simulate(net, {"in": np.zeros((10, 1))}, 1.0, 0.1)
    with pytest.raises(ParameterError, match="unknown arrivals"):
        simulate(net, duration=1.0, arrivals="during")  # type: ignore[arg-type]
    with pytest.raises(ResourceError, match="recorded variables"):
        simulate(net, duration=1e4, record={"cell": "v"}, memory_limit=1e5)
    with pytest.raises(ResourceError, match="the state of 2 cells"):
        simulate(net, duration=1.0, memory_limit=100.0)
    busy = one_cell(LIF(tau=10.0, i_offset=1e3))
    with pytest.raises(ResourceError, match="spikes"):
        simulate(busy, duration=1e4, dt=0.1, memory_limit=1e6)
