"""The options of a simulation: checks, the number of steps, and what is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from activome._checks import check_choice, check_integer, check_number
from activome.errors import ParameterError
from activome.networks.spiking.network import Network

__all__ = ["WATCHED", "check_words", "count_steps", "read_record"]

# Variables that can be recorded, in the numbers of the engine, with their kind and units.
WATCHED = {
    "v": ("voltage", "mV"),
    "exc": ("activation", "nA"),
    "inh": ("activation", "nA"),
    "theta": ("voltage", "mV"),
    "u": ("activation", "1"),
}


def check_words(arrivals: str, reset: str, refractory: str, n_jobs: int, every: int) -> None:
    owner = "simulate"
    check_choice(arrivals, ("before", "after"), name="arrivals", owner=owner)
    check_choice(reset, ("value", "subtract"), name="reset_rule", owner=owner)
    check_choice(refractory, ("hold", "brian"), name="refractory_rule", owner=owner)
    check_integer(n_jobs, name="n_jobs", owner=owner, low=1)
    check_integer(every, name="record_every", owner=owner, low=1)


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


def read_record(network: Network, record: Any) -> dict[str, list[str]]:
    names = [p.name for p in network.populations]
    if record == "spikes":
        return {name: ["spikes"] for name in names}
    if not isinstance(record, Mapping):
        raise ParameterError(
            "simulate: record must be 'spikes' or a mapping from population to names; got "
            f"{record!r}."
        )
    known = ("spikes", *WATCHED)
    for name, what in record.items():
        check_choice(name, names, name="population", owner="simulate")
        for item in [what] if isinstance(what, str) else what:
            check_choice(item, known, name="variable", owner="simulate")
    return {name: [what] if isinstance(what, str) else list(what) for name, what in record.items()}
