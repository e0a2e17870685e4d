"""The options of a simulation: checks, the number of steps, and what is recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from activome._checks import check_choice, check_integer, check_number, nearest_names
from activome.errors import ParameterError
from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import LIF, IFCondExp, IFCurrExp, MetaNeuron, SpikeSource

__all__ = ["WATCHED", "check_options", "check_variable", "count_steps", "read_record", "units_of"]

# Variables that can be recorded, in the numbers of the engine, with their kind.
WATCHED = {
    "v": "voltage",
    "exc": "activation",
    "inh": "activation",
    "theta": "voltage",
    "u": "activation",
}
# What arrives at an LIF moves its voltage; conductances are relative to the leak.
_UNITS: dict[type, dict[str, str]] = {
    SpikeSource: {},
    LIF: {"v": "mV", "exc": "mV", "inh": "mV"},
    IFCurrExp: {"v": "mV", "exc": "nA", "inh": "nA"},
    IFCondExp: {"v": "mV", "exc": "1", "inh": "1"},
    MetaNeuron: {"v": "1", "exc": "1", "inh": "1", "u": "1"},
}


def check_options(
    network: Network,
    arrivals: str,
    reset: str,
    refractory: str,
    n_jobs: int,
    every: int,
    memory_limit: float,
) -> None:
    owner = "simulate"
    if not isinstance(network, Network):
        raise ParameterError(
            f"simulate: network must be a Network of populations; got {type(network).__name__}."
        )
    check_choice(arrivals, ("before", "after"), name="arrivals", owner=owner)
    check_choice(reset, ("value", "subtract"), name="reset_rule", owner=owner)
    check_choice(refractory, ("hold", "brian"), name="refractory_rule", owner=owner)
    check_integer(n_jobs, name="n_jobs", owner=owner, low=1)
    check_integer(every, name="record_every", owner=owner, low=1)
    check_number(memory_limit, name="memory_limit", owner=owner, low=0.0, include_high=True)


def count_steps(duration: float, dt: float) -> int:
    check_number(dt, name="dt", owner="simulate", low=0.0)
    check_number(duration, name="duration", owner="simulate", low=0.0)
    n = round(duration / dt)
    if n < 1 or abs(n * dt - duration) > 1e-6 * dt:
        raise ParameterError(
            f"simulate: duration must be a whole number of steps; got {duration:g} ms and steps of "
            f"{dt:g} ms."
        )
    return n


def units_of(population: Population) -> dict[str, str]:
    """Return the variables that cells have, with their units."""
    found = dict(_UNITS[type(population.neuron)])
    if population.adaptation is not None:
        found["theta"] = found["v"]
    return found


def check_variable(population: Population, what: Any, also: tuple[str, ...] = ()) -> None:
    """Refuse a variable that cells do not have, naming those that they have."""
    known = (*also, *units_of(population))
    if isinstance(what, str) and what in known:
        return
    adapts = " with adaptation" if population.adaptation is not None else ""
    raise ParameterError(
        f"simulate: {population.name!r}, of {type(population.neuron).__name__}{adapts}, has no "
        f"variable {what!r}; {nearest_names(str(what), known)}"
    )


def read_record(network: Network, record: Any) -> dict[str, list[str]]:
    names = [p.name for p in network.populations]
    if isinstance(record, str) and record == "spikes":
        return {name: ["spikes"] for name in names}
    if not isinstance(record, Mapping):
        raise ParameterError(
            "simulate: record must be 'spikes' or a mapping from population to names; got "
            f"{record!r:.60}."
        )
    found = {}
    for name, what in record.items():
        check_choice(name, names, name="population", owner="simulate")
        if not isinstance(what, Iterable):
            raise ParameterError(
                f"simulate: record of {name!r} must be a list of names, such as ['spikes', 'v']; "
                f"got {what!r}."
            )
        found[name] = [what] if isinstance(what, str) else list(what)
        for item in found[name]:
            check_variable(network[name], item, also=("spikes",))
    return found
