"""Variables of cells by their names and units, the step of a spike, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from activome.activity.events import Events
from activome.errors import ActivityError, ParameterError
from activome.networks.spiking.homeostasis import ThresholdAdaptation
from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import LIF, IFCondExp, IFCurrExp, MetaNeuron, SpikeSource
from activome.networks.spiking.projections import Projection
from activome.networks.spiking.simulate import simulate


def small() -> Network:
    joined = Projection.all_to_all("in", "out", (3, 2), 0.4, 1.0)
    cells = Population("out", 2, LIF(tau=10.0))
    return Network([Population("in", 3, SpikeSource()), cells], [joined])


@pytest.mark.parametrize(
    ("cell", "what", "known"),
    [("in", "v", "'in', of SpikeSource"), ("out", "u", "'out', of LIF"), ("out", "theta", "LIF")],
)
def test_a_variable_that_cells_do_not_have_is_refused(cell: str, what: str, known: str) -> None:
    match = rf"{known}, has no variable '{what}'; known: "
    with pytest.raises(ParameterError, match=match):
        simulate(small(), duration=1.0, record={cell: [what]})
    with pytest.raises(ParameterError, match=match):
        simulate(small(), duration=1.0, initial={cell: {what: 1.0}})


def test_units_are_those_of_the_cell() -> None:
    cells: dict[str, Any] = {"l": LIF(), "i": IFCurrExp(), "c": IFCondExp(), "m": MetaNeuron()}
    adapts = ThresholdAdaptation()
    network = Network([Population(name, 1, cell, adapts) for name, cell in cells.items()])
    record = {name: ["v", "exc", "inh", "theta"] for name in cells} | {"m": ["v", "exc", "u"]}
    states = simulate(network, duration=1.0, record=record).states
    found = {n: [a.attrs["units"] for a in one.values()] for n, one in states.items()}
    assert found == {
        "l": ["mV", "mV", "mV", "mV"],
        "i": ["mV", "nA", "nA", "mV"],
        "c": ["mV", "1", "1", "mV"],
        "m": ["1", "1", "1"],
    }


@pytest.mark.parametrize(
    ("refractory", "rule", "later"),
    [
        (0.0, "brian", [1.0 * np.exp(-0.1), 1.0 * np.exp(-0.2)]),
        (0.0, "hold", [1.0 * np.exp(-0.1), 1.0 * np.exp(-0.2)]),
        (1.0, "brian", [0.5 * np.exp(-0.1), 0.5 * np.exp(-0.2)]),
        (1.0, "hold", [0.5, 0.5 * np.exp(-0.1)]),
        (2.0, "brian", [0.5, 0.5 * np.exp(-0.1)]),
    ],
)
def test_a_jump_in_the_step_of_a_spike_with_a_reset_that_subtracts(
    refractory: float, rule: Any, later: list[float]
) -> None:
    # As in Brian2: the jump is added to what the reset leaves, unless the cell is refractory.
    cell = LIF(tau=10.0, refractory=refractory, comparison=">", v_threshold=1.0)
    network = Network(
        [Population("in", 1, SpikeSource()), Population("c", 1, cell)],
        [Projection.one_to_one("in", "c", 1, 0.5, 1.0)],
    )
    current = np.zeros((4, 1))
    current[1] = 1.5 / (1 - np.exp(-0.1))  # to 1.5 in step 1, in which the spike arrives
    found = simulate(
        network, {"in": Events([0], [0]), "c": current}, 4.0, 1.0, arrivals="after",
        reset_rule="subtract", refractory_rule=rule, record={"c": "v"},
    )  # fmt: skip
    np.testing.assert_allclose(found.states["c"]["v"].values[:, 0], [0.0, 0.5, *later])


def runs(**options: Any) -> Callable[[], object]:
    return lambda: simulate(small(), **{"duration": 1.0, **options})


def builds(method: str, *values: Any, **options: Any) -> Callable[[], object]:
    return lambda: getattr(Projection, method)("a", "a", *values, **options)


ANYTHING: Any = 3
ROWS = [[1.0], [1.0, 2.0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (runs(memory_limit="1 GiB"), "simulate: memory_limit must be a number"),
        (runs(memory_limit=np.nan), "simulate: memory_limit must be in"),
        (lambda: simulate(ANYTHING), "simulate: network must be a Network .* got int"),
        (runs(initial=3), "simulate: initial must be a mapping from population"),
        (runs(initial={"out": 3.0}), "simulate: initial of 'out' must be a mapping from variable"),
        (runs(initial={"out": {"v": "a"}}), r"one per cell \(2\); got 'a'"),
        (runs(initial={"out": {"v": ROWS}}), r"one per cell \(2\); got \[\[1"),
        (runs(initial={"out": {"v": [1.0] * 3}}), r"one per cell \(2\); got shape \(3,\)"),
        (runs(initial={"out": {"v": np.nan}}), r"one per cell \(2\); got nan\."),
        (runs(initial={"out": {"v": [0.0, np.inf]}}), "got inf for cell 1"),
        (runs(record={"out": 3}), "simulate: record of 'out' must be a list of names"),
        (runs(record={"out": [3]}), "simulate: 'out', of LIF, has no variable 3"),
        (runs(inputs={"out": ROWS}), "simulate: the current of 'out' must be numbers"),
        (
            runs(inputs={"in": Events([], [], trial=[], n_trials=0, n_units=3)}),
            "simulate: inputs must have a trial",
        ),
        (lambda: Network(ANYTHING), "Network: populations must be a list of Populations; got int"),
        (builds("all_to_all", 3), "Projection: sizes must be two numbers of cells"),
        (builds("all_to_all", (3, 3, 3)), "Projection: sizes must be two numbers of cells"),
        (builds("all_to_all", (3, 3), np.ones(4)), r"weight must be .* \(3, 3\); got \(4,\)"),
        (builds("all_to_all", (2, 3), np.ones(3)), r"weight must be .* \(2, 3\); got \(3,\)"),
        (builds("all_to_all", (2, 2), 1.0, ROWS), "Projection: delay must be numbers"),
        (builds("from_dense", np.ones((3, 3)), np.ones((2, 2))), r"delay must be .* got \(2, 2\)"),
        (builds("from_dense", ROWS), "Projection: weights must be numbers"),
        (builds("fixed_probability", (3, 3), 1.0, np.ones((3, 2))), r"weight .* got \(3, 2\)"),
        (builds("fixed_probability", (3, 3), 1.0, "x"), "Projection: weight must be numbers"),
        (builds("from_table", (3, 3), ROWS, [0]), "Projection: source must be numbers"),
        (builds("one_to_one", 3, homeostasis=3), "Projection: homeostasis must be a Synaptic"),
        (lambda: Projection.one_to_one("a", "a", 3).to_dense([1.0, 2.0]), "one per synapse"),
    ],
)
def test_refusals_say_what_must_hold(call: Callable[[], object], message: str) -> None:
    with pytest.raises((ParameterError, ActivityError), match=message) as refused:
        call()
    assert "\n" not in str(refused.value)
