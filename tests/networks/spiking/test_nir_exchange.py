"""Exchange over NIR: round trips, a graph by hand, a slow Euler twin, and refusals by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from activome.activity.events import Events
from activome.errors import (
    ActivityError,
    ActivityWarning,
    ParameterError,
    ReadError,
    ResourceError,
)
from activome.networks.spiking.homeostasis import SynapticScaling, ThresholdAdaptation
from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import LIF, IFCondExp, IFCurrExp, SpikeSource
from activome.networks.spiking.nir_exchange import from_nir, to_nir, write_nir
from activome.networks.spiking.plasticity import PairSTDP
from activome.networks.spiking.projections import Projection
from activome.networks.spiking.simulate import simulate

nir = pytest.importorskip("nir", reason="needs nir: pip install 'activome[nir]'")

Array = np.ndarray[Any, Any]
DT = 0.5


def volleys(n: int, n_steps: int, share: float, seed: int = 0) -> Events:
    step, unit = np.nonzero(np.random.default_rng(seed).random((n_steps, n)) < share)
    return Events(step * round(DT * 1e3), unit, n_units=n)


def spikes(network: Network, inputs: Any, duration: float = 200.0) -> dict[str, set[Any]]:
    found = simulate(network, inputs, duration, DT).spikes
    return {k: set(zip(e.t.tolist(), e.unit.tolist(), strict=True)) for k, e in found.items()}


def circuit(neuron: Any, scale: float, *, seed: int = 1) -> Network:
    """Sources and a recurrent population, excitation and inhibition, delays of their own."""
    generator = np.random.default_rng(seed)
    n_in, n = 12, 20
    parts = []
    for pre, size, receptor in (("in", n_in, "exc"), ("b", n, "exc"), ("b", n, "inh")):
        k = 90
        table = generator.integers(0, size, k), generator.integers(0, n, k)
        values = scale * generator.uniform(0.1, 1.0, k), generator.integers(1, 4, k) * DT
        name = f"{pre} {receptor}"
        parts.append(
            Projection.from_table(
                pre, "b", (size, n), *table, *values, receptor=receptor, name=name
            )
        )
    return Network([Population("b", n, neuron), Population("in", n_in, SpikeSource())], parts)


CELLS: dict[str, tuple[Any, float, Any]] = {
    "lif": (LIF(tau=13.0, v_threshold=1.0, v_reset=-0.2, i_offset=0.3), 0.6, "exact"),
    "lif, euler": (LIF(tau=13.0, v_threshold=1.0, comparison=">"), 0.9, "euler"),
    "lif, constants of their own": (
        LIF(tau=np.linspace(5, 30, 20), v_threshold=np.linspace(0.8, 1.2, 20)), 0.9, "exact",
    ),
    "if": (LIF(tau=0.5 * 2.0**60, v_threshold=3.0), 0.3, "exact"),
    "curr": (IFCurrExp(tau_m=20.0, tau_e=5.0, tau_i=5.0, comparison=">"), 9.0, "exact"),
    "curr, euler": (IFCurrExp(tau_e=4.0, tau_i=4.0, input_factor=True), 9.0, "euler"),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(CELLS))
@pytest.mark.parametrize("unit_r", [False, True])
def test_there_and_back_are_the_same_spikes(kind: str, unit_r: bool, tmp_path: Path) -> None:
    neuron, scale, method = CELLS[kind]
    network = circuit(neuron, scale)
    write_nir(tmp_path / "a.nir", to_nir(network, DT, method=method, unit_r=unit_r))
    again = from_nir(tmp_path / "a.nir", DT, method=method)
    inputs = {"in": volleys(12, 400, 0.06)}
    one, two = spikes(network, inputs), spikes(again, inputs)
    assert len(one["b"]) > 100
    assert one == two
    assert [p.name for p in again.populations] == ["b", "in"]
    if not unit_r:
        # The weights are not near, they are the same.
        for a, b in zip(network.projections, again.projections, strict=True):
            np.testing.assert_array_equal(np.sort(a.weight), np.sort(b.weight))
    assert [path.name for path in tmp_path.iterdir()] == ["a.nir"]


def test_a_graph_by_hand() -> None:
    one = np.ones(1)
    cell = nir.LIF(tau=0.01 * one, r=10.0 * one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)
    graph = nir.NIRGraph(
        {"in": nir.Input(np.array([2])), "delay": nir.Delay(np.array([0.001, 0.002])),
         "w": nir.Linear(np.array([[0.9, -0.5]])), "cell": cell, "out": nir.Output(np.array([1]))},
        [("in", "delay"), ("delay", "w"), ("w", "cell"), ("cell", "out")],
    )  # fmt: skip
    exact, euler = from_nir(graph, 1.0), from_nir(graph, 1.0, method="euler")
    # A spike adds w r (1 - k): k is exp(-1 / 10), or 1 - 1 / 10.
    gain = {"exact": 10 * (1 - np.exp(-0.1)), "euler": 10 * 0.1}
    for network, name in ((exact, "exact"), (euler, "euler")):
        up, down = network.projections
        assert (up.receptor, down.receptor) == ("exc", "inh")
        assert up.weight[0] == pytest.approx(0.9 * gain[name], rel=1e-15)
        assert down.weight[0] == pytest.approx(0.5 * gain[name], rel=1e-15)
        assert (up.delay.tolist(), down.delay.tolist()) == ([1.0], [2.0])
    # Euler by hand, threshold 1: 0.9 at step 1, 0.9 0.9 + 0.9 = 1.71 at step 2, which fires.
    given = Events([0, 1000], [0, 0], n_units=2)
    result = simulate(euler, {"in": given}, 6.0, 1.0, record={"cell": ["v", "spikes"]})
    assert result.spikes["cell"].t.tolist() == [2000]
    np.testing.assert_allclose(result.states["cell"]["v"].values[:4, 0], [0, 0.9, 0, 0])


@pytest.mark.parametrize("kind", ["LIF", "CubaLIF"])
def test_the_spikes_of_an_explicit_euler_step(kind: str) -> None:
    generator = np.random.default_rng(2)
    n_in, n, n_steps, dt = 8, 6, 300, 1.0
    weight = generator.normal(0.2, 0.5, (n, n_in))
    raster = generator.random((n_steps, n_in)) < 0.2
    tau, tau_s, one = 0.012, 0.004, np.ones(n)
    common = {"r": 12 * one, "v_leak": 0 * one, "v_threshold": one, "v_reset": 0.1 * one}
    node = (
        nir.LIF(tau=tau * one, **common)
        if kind == "LIF"
        else nir.CubaLIF(tau_mem=tau * one, tau_syn=tau_s * one, w_in=4.0 * one, **common)
    )
    network = from_nir(nir.NIRGraph.from_list(nir.Linear(weight), node), dt, method="euler")
    assert isinstance(network, Network)
    v, current, expected = np.zeros(n), np.zeros(n), set()
    for t in range(1, n_steps):
        x = weight @ raster[t - 1]
        if kind == "CubaLIF":
            current += dt * 1e-3 / tau_s * (4.0 * x - current)
            x = current
        v += dt * 1e-3 / tau * (12 * x - v)
        expected |= {(1000 * t, k) for k in np.flatnonzero(v > 1)}
        v[v > 1] = 0.1
    step, unit = np.nonzero(raster)
    result = simulate(network, {"input": Events(1000 * step, unit, n_units=n_in)}, n_steps, dt)
    (name,) = {p.name for p in network.populations} - {"input"}
    got = result.spikes[name]
    assert len(expected) > 50
    assert set(zip(got.t.tolist(), got.unit.tolist(), strict=True)) == expected


def test_currents_go_in_where_they_went() -> None:
    cell = LIF(tau=10.0, resistance=3.0, i_offset=0.1)
    network = Network([Population("a", 3, cell)])
    current = {"a": np.random.default_rng(0).uniform(0, 0.8, (400, 3))}
    graph = to_nir(network, DT)
    assert sorted(graph.nodes) == ["a", "a current", "a current scale", "a output"]
    assert spikes(network, current) == spikes(from_nir(graph, DT), current)
    joined = circuit(LIF(tau=10.0, resistance=3.0), 0.3)
    inputs = {"in": volleys(12, 400, 0.05), "b": 0.25}
    for named in (None, ["b"]):
        again = from_nir(to_nir(joined, DT, currents=named), DT)
        assert spikes(joined, inputs) == spikes(again, inputs)


def test_cells_that_never_fire() -> None:
    leaky = LIF(tau=10.0, v_threshold=np.inf)
    for cell, kind in ((leaky, nir.LI), (LIF(tau=2.0**61, v_threshold=np.inf), nir.I),
                       (IFCurrExp(v_threshold=np.inf), nir.CubaLI)):  # fmt: skip
        joined = Projection.all_to_all("in", "a", (2, 1), 0.5)
        net = Network([Population("in", 2, SpikeSource()), Population("a", 1, cell)], [joined])
        graph = to_nir(net, DT)
        assert isinstance(graph.nodes["a"], kind)
        given = {"in": volleys(2, 40, 0.2)}
        one, two = (
            simulate(x, given, 20.0, DT, record={"a": "v"}).states["a"]["v"].values
            for x in (net, from_nir(graph, DT))
        )
        assert np.ptp(one) > 0
        np.testing.assert_allclose(one, two, rtol=1e-14)


def test_nested_graphs_flatten_and_convolutions() -> None:
    generator = np.random.default_rng(0)
    kernel, bias = generator.normal(size=(4, 2, 3, 3)), generator.uniform(0, 0.01, 4)
    one = np.ones(4 * 3 * 3)
    lif = nir.LIF(tau=0.02 * one, r=40 * one, v_leak=0 * one, v_threshold=one)
    inner = nir.NIRGraph(
        {"input": nir.Input(np.array([36])), "lif": lif, "w_rec": nir.Linear(-0.1 * np.eye(36)),
         "output": nir.Output(np.array([36]))},
        [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
    )  # fmt: skip
    graph = nir.NIRGraph(
        {"input": nir.Input(np.array([2, 5, 6])),
         "conv": nir.Conv2d((5, 6), kernel, (2, 2), (1, 1), (1, 1), 1, bias),
         "flat": nir.Flatten(np.array([4, 3, 3]), 0, -1), "rec": inner,
         "out": nir.Output(np.array([36]))},
        [("input", "conv"), ("conv", "flat"), ("flat", "rec"), ("rec", "out")], type_check=False,
    )  # fmt: skip
    network = from_nir(graph, 0.5)
    assert [(p.name, p.n) for p in network.populations] == [("input", 60), ("rec.lif", 36)]
    gain = 40 * -np.expm1(-0.5 / 20)
    up, down = (q.to_dense() for q in network.projections[:2])
    torch = pytest.importorskip("torch")
    images = np.eye(60).reshape(60, 2, 5, 6)
    expected = torch.nn.functional.conv2d(
        torch.as_tensor(images), torch.as_tensor(kernel), stride=2, padding=1
    )
    np.testing.assert_allclose((up - down) / gain, expected.reshape(60, 36), atol=1e-12)
    cell = network["rec.lif"].neuron
    assert isinstance(cell, LIF)
    np.testing.assert_allclose(np.asarray(cell.i_offset), np.repeat(bias, 9), rtol=1e-12)
    assert network.projections[-1].to_dense()[3, 3] == pytest.approx(0.1 * gain)


def test_what_nir_cannot_say_is_refused_by_name_or_dropped_aloud() -> None:
    joined = Projection.one_to_one(
        "a", "b", 2, 0.5, plasticity=PairSTDP(), homeostasis=SynapticScaling(total=1.0)
    )
    cells = [
        Population("a", 2, SpikeSource()),
        Population("b", 2, LIF(refractory=2.0), ThresholdAdaptation(theta_plus=0.1)),
    ]
    network = Network(cells, [joined])
    names = ["refractory", "adaptation", "plasticity", "homeostasis"]
    for k, match in enumerate(("refractory time of 'b'", "threshold adaptation of 'b'",
                               "PairSTDP of 'a->b'", "homeostasis of 'a->b'")):  # fmt: skip
        with pytest.raises(ParameterError, match=match):
            to_nir(network, DT, drop=names[:k])
    with pytest.warns(ActivityWarning, match="dropped the refractory time of 'b', the threshold"):
        graph = to_nir(network, DT, drop=names)
    assert "PairSTDP of 'a->b'" in graph.metadata["dropped"]
    assert from_nir(graph, DT)["b"].neuron == LIF()

    def alone(neuron: Any) -> Network:
        return Network([Population("a", 2, neuron)])

    for wrong, match in (
        (alone(IFCondExp()), "NIR has no IFCondExp"),
        (alone(IFCurrExp()), "enters a CubaLIF before its synapse"),
        (alone(LIF(tau=2.0**61, v_rest=0.5)), "starts from 0"),
        (alone(LIF(v_threshold=[1.0, np.inf])), "all fire or all never"),
        (circuit(IFCurrExp(i_offset=1.0), 1.0), "i_offset of 'b'"),
        (circuit(IFCurrExp(tau_i=9.0), 1.0), "tau_e and tau_i of 'b' differ"),
        (circuit(IFCurrExp(input_factor=True), 1.0), "method 'euler'; got 'exact'"),
        (Network([Population("a/b", 1, LIF())]), "without '/'"),
    ):
        with pytest.raises(ParameterError, match=match):
            to_nir(wrong, DT)
    with pytest.raises(ParameterError, match="delays of 'in exc' must be at least dt"):
        to_nir(circuit(LIF(), 1.0), 5.0)
    with pytest.raises(ParameterError, match="drop must be of"):
        to_nir(network, DT, drop="plasticity")
    with pytest.raises(ResourceError, match="dense matrices"):
        to_nir(circuit(LIF(), 1.0), DT, memory_limit=100.0)


def test_graphs_that_cannot_be_read() -> None:
    one = np.ones(2)
    lif = nir.LIF(tau=0.02 * one, r=one, v_leak=0 * one, v_threshold=one)

    def graph(*nodes: Any) -> Any:
        return nir.NIRGraph.from_list(nir.Input(np.array([2])), *nodes, type_check=False)

    eye = np.eye(2)
    late = nir.Delay(np.full(2, 1e-3))
    cuba = nir.CubaLIF(
        tau_syn=0.01 * one, tau_mem=0.02 * one, r=one, v_leak=0 * one, v_threshold=one
    )
    for wrong, match in (
        (graph(nir.Threshold(one), lif), "is a Threshold, which has no counterpart"),
        (graph(nir.Linear(np.ones((3, 2))), lif), "must take 2 units and give 2"),
        (graph(nir.Linear(np.full((2, 2), np.nan)), lif), "weights of 'linear' must be finite"),
        (graph(nir.Affine(eye, one), late, lif), "bias before the delay"),
        (graph(nir.Linear(eye), late, nir.Linear(eye), lif), "delay between two maps"),
        (graph(nir.Linear(eye)), "must hold a cell"),
        (graph(nir.Affine(eye, one), cuba), "gets a bias"),
    ):
        with pytest.raises(ActivityError, match=match):
            from_nir(wrong, DT)
    with pytest.raises(ParameterError, match="at least dt"):
        from_nir(graph(nir.Delay(np.full(2, 1e-4)), nir.Linear(eye), lif), DT)
    with pytest.raises(ParameterError, match="must be above dt"):
        from_nir(graph(nir.Linear(eye), lif), 20.0, method="euler")
    with pytest.raises(ActivityError, match="no file"):
        from_nir("nowhere.nir")
    with pytest.raises(ActivityError, match="NIRGraph or its file"):
        from_nir(3)
    with pytest.raises(ActivityError, match="must be a NIRGraph"):
        write_nir("a.nir", 3)
    with pytest.raises(ParameterError, match="unknown method"):
        from_nir(graph(lif), method="rk4")  # type: ignore[call-overload]  # refused in the call


def test_a_file_of_something_else_is_named(tmp_path: Any) -> None:
    path = tmp_path / "notes.nir"
    path.write_text("not a graph")
    with pytest.raises(ReadError, match=r"notes\.nir' must be a file of NIR"):
        from_nir(path)
    with pytest.raises(ParameterError, match=r"must be a Network or a stack.*holds, a str"):
        to_nir("network.nir")


def test_a_lone_cell_of_one_unit_tells_its_output() -> None:
    cell = nir.LIF(tau=np.array([0.02]), r=np.ones(1), v_leak=np.zeros(1), v_threshold=np.ones(1))
    nodes = {"cell": cell, "output": nir.Output({"output": np.array([1])})}
    graph = nir.NIRGraph(nodes, [("cell", "output")], type_check=False)
    assert [p.n for p in from_nir(graph, 1.0).populations] == [1]
