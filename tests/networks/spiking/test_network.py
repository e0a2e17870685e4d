"""Networks as data: builders, order of synapses, what they print, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from activome.errors import ActivityError, ParameterError
from activome.networks.spiking.homeostasis import SynapticScaling, ThresholdAdaptation
from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import LIF, IFCurrExp, SpikeSource
from activome.networks.spiking.plasticity import PairSTDP, SymmetricSTDP
from activome.networks.spiking.projections import Projection


def test_rows_are_sorted_and_mapped_back() -> None:
    generator = np.random.default_rng(0)
    source, target = generator.integers(0, 5, 60), generator.integers(0, 7, 60)
    weight, delay = generator.random(60), generator.integers(1, 9, 60) * 1.0
    q = Projection.from_table("a", "b", (5, 7), source, target, weight, delay)
    np.testing.assert_array_equal(q.weight, weight[q.order])
    np.testing.assert_array_equal(q.target, target[q.order])
    rows = np.repeat(np.arange(5), np.diff(q.ptr))
    np.testing.assert_array_equal(rows, source[q.order])
    assert all((np.diff(q.delay[q.ptr[k] : q.ptr[k + 1]]) >= 0).all() for k in range(5))
    dense = np.zeros((5, 7))
    np.add.at(dense, (source, target), weight)
    np.testing.assert_allclose(q.to_dense(), dense)


def test_builders() -> None:
    np.testing.assert_array_equal(Projection.one_to_one("a", "b", 3).to_dense(), np.eye(3))
    full = Projection.all_to_all("a", "a", (3, 3), 2.0, self_connections=False)
    np.testing.assert_array_equal(full.to_dense(), 2.0 * (1 - np.eye(3)))
    matrix = np.array([[0.0, 1.5], [2.5, 0.0], [0.5, 1.0]])
    np.testing.assert_array_equal(Projection.from_dense("a", "b", matrix).to_dense(), matrix)
    options = {"random_state": 1, "self_connections": False}
    drawn = Projection.fixed_probability("a", "a", (300, 300), 0.1, **options)  # type: ignore[arg-type]
    again = Projection.fixed_probability("a", "a", (300, 300), 0.1, **options)  # type: ignore[arg-type]
    np.testing.assert_array_equal(drawn.target, again.target)
    assert drawn.n_synapses == pytest.approx(8970, abs=4 * np.sqrt(8970 * 0.9))
    assert not np.diag(drawn.to_dense()).any()
    assert Projection.fixed_probability("a", "b", (4, 4), 0.0).n_synapses == 0


def test_a_network_is_readable() -> None:
    cells = IFCurrExp(tau_m=np.array([10.0, 20.0]), comparison=">")
    net = Network(
        [Population("in", 3, SpikeSource()), Population("out", 2, cells)],
        [Projection.all_to_all("in", "out", (3, 2), 0.4, plasticity=PairSTDP(a_plus=0.5))],
    )
    text = repr(net)
    assert "out: 2 IFCurrExp(tau_m=10..20, comparison='>')" in text
    assert "6 exc, weight 0.4, delay 1 ms, PairSTDP(" in text


def test_what_is_no_part_of_a_network_is_named() -> None:
    cells: Any = LIF
    with pytest.raises(ParameterError, match=r"such as LIF\(tau=10.0\); got <class"):
        Population("a", 3, cells)
    with pytest.raises(ParameterError, match="name must be a word; got 3"):
        Population(3, 3, LIF())  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="must be a ThresholdAdaptation or None; got Synaptic"):
        Population("a", 3, LIF(), SynapticScaling(total=1.0))  # type: ignore[arg-type]
    one: Any = Population("a", 3, LIF())
    with pytest.raises(ParameterError, match="populations must be a list of Populations"):
        Network(one)
    with pytest.raises(ParameterError, match="there must be a population"):
        Network([])
    for rule, match in (("stdp", "got 'stdp'"), (PairSTDP, "got <class")):
        joined = Projection.one_to_one("a", "a", 3, plasticity=rule)
        with pytest.raises(ParameterError, match=rf"plasticity of 'a->a' must be.*{match}"):
            Network([one], [joined])
    joined = Projection.one_to_one("a", "a", 3, homeostasis=(ThresholdAdaptation(),))
    with pytest.raises(ParameterError, match="homeostasis of 'a->a' must be of SynapticScaling"):
        Network([one], [joined])


def test_weights_outside_the_limits_of_their_rule_are_refused() -> None:
    one = Population("a", 2, LIF())
    for rule, weight in ((PairSTDP(), [0.5, 5.0]), (PairSTDP(w_min=0.1), [0.0, 0.5]),
                         (SymmetricSTDP(), [0.5, 1.1])):  # fmt: skip
        joined = Projection.one_to_one("a", "a", 2, weight, plasticity=rule)
        with pytest.raises(ParameterError, match=r"weights of 'a->a' must be in .* they are"):
            Network([one], [joined])
    scaled = SynapticScaling(total=3.0)
    Network([one], [Projection.one_to_one("a", "a", 2, 3.0, plasticity=PairSTDP(),
                                          homeostasis=scaled)])  # fmt: skip


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"tau": "10 ms"}, "tau must be positive and finite.*got '10 ms'"),
        ({"tau": [[1.0, 2.0]]}, "tau must be positive and finite"),
        ({"refractory": True}, "refractory must be zero or more"),
        ({"comparison": None}, "unknown comparison None"),
        ({"comparison": "=>"}, "known: >=, >"),
        ({"v_reset": 2.0}, "v_threshold must be above v_reset in every unit; got 1.0 and 2.0"),
    ],
)
def test_a_parameter_that_does_not_hold_is_named(values: Any, match: str) -> None:
    with pytest.raises(ParameterError, match=match):
        LIF(**values)


def test_input_factor_is_a_truth_value() -> None:
    with pytest.raises(ParameterError, match="input_factor must be True or False; got 'yes'"):
        IFCurrExp(input_factor="yes")  # type: ignore[arg-type]


def test_refusals() -> None:
    with pytest.raises(ActivityError, match=r"target must be in \[0, 1\]; synapse 1 has 2"):
        Projection.from_table("a", "b", (2, 2), [0, 1], [0, 2])
    with pytest.raises(ActivityError, match="one length"):
        Projection.from_table("a", "b", (2, 2), [0, 1], [0])
    with pytest.raises(ActivityError, match="weights must be finite"):
        Projection.from_dense("a", "b", [[np.nan]])
    with pytest.raises(ParameterError, match="receptor='inh'"):
        Projection.from_dense("a", "b", [[-1.0]])
    with pytest.raises(ParameterError, match="depend on the order"):
        Projection.one_to_one("a", "b", 2, delay=0.0)
    with pytest.raises(ParameterError, match="unknown options"):
        Projection.one_to_one("a", "b", 2, colour=1)
    with pytest.raises(ParameterError, match="tau must be positive"):
        LIF(tau=-1.0)
    with pytest.raises(ParameterError, match="above v_reset"):
        LIF(v_threshold=0.0)
    with pytest.raises(ParameterError, match="all have one length"):
        LIF(tau=[1.0, 2.0], v_rest=[0.0, 0.0, 0.0])
    with pytest.raises(ParameterError, match=r"one per cell \(3\); got 2"):
        Population("a", 3, LIF(tau=[1.0, 2.0]))
    with pytest.raises(ParameterError, match="known: >=, >"):
        LIF(comparison="<")  # type: ignore[arg-type]
    one = Population("a", 2, LIF())
    with pytest.raises(ParameterError, match="'a' stands twice"):
        Network([one, one])
    with pytest.raises(ParameterError, match="which has 2"):
        Network([one], [Projection.one_to_one("a", "a", 3)])
    with pytest.raises(ParameterError, match="unknown population 'b'"):
        Network([one], [Projection.one_to_one("a", "b", 2)])
