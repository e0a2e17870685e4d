"""What the example networks share: the checks, the run, and the labels of what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from activome._checks import check_memory, check_number
from activome.activity.events import Events
from activome.activity.schema import Activity
from activome.errors import ParameterError
from activome.networks.spiking.network import Network
from activome.networks.spiking.neurons import SpikeSource
from activome.networks.spiking.simulate import simulate

__all__ = ["DT", "check_positive", "n_steps_of", "side_by_side", "simulated", "state_of"]

Array = np.ndarray[Any, Any]
DT = 0.1
# Of the recorded state, ms.
_STATE_EVERY = 1.0


def check_positive(example: Any, owner: str, names: tuple[str, ...]) -> None:
    for name in names:
        check_number(getattr(example, name), name=name, owner=owner, low=0.0)


def n_steps_of(duration: float, dt: float, n_values: int = 0) -> int:
    """Return the steps of ``dt`` ms in ``duration`` s, each of which holds some values."""
    n = round(duration * 1e3 / dt)
    if n < 1 or abs(n * dt - duration * 1e3) > 1e-6 * dt:
        raise ParameterError(
            f"simulate: the duration must be a whole number of steps of {dt:g} ms; got "
            f"{duration:g} s."
        )
    check_memory(8 * n * n_values, owner="simulate", what=f"a duration of {duration:g} s",
                 cure="Choose a shorter one, or fewer units.")  # fmt: skip
    return n


def simulated(
    network: Network,
    inputs: Mapping[str, Any],
    duration: float,
    initial: Mapping[str, Mapping[str, Array]],
    watched: str | None,
    *,
    dt: float = DT,
    warm_up: float = 0.0,
) -> tuple[Events, Activity | None]:
    """Run a network, and leave out the first ``warm_up`` s, which must have no inputs."""
    state = None
    if warm_up:
        state = simulate(network, {}, n_steps_of(warm_up, dt) * dt, dt, initial=initial).state
    cells = {p.name for p in network.populations if not isinstance(p.neuron, SpikeSource)}
    what = ["spikes"] if watched is None else ["spikes", watched]
    result = simulate(
        network,
        inputs,
        n_steps_of(duration, dt) * dt,
        dt,
        record={p.name: what if p.name in cells else ["spikes"] for p in network.populations},
        record_every=max(1, round(_STATE_EVERY / dt)),
        initial=None if warm_up else initial,
        state=state,
    )
    states = {name: found for name, found in result.states.items() if name in cells}
    found = None if watched is None else state_of(states, watched)
    if found is not None and warm_up:
        times = np.arange(found.sizes["time"]) / found.attrs["sampling_rate"]
        found = found.assign_coords(time=times)
    return side_by_side(result.spikes), found


def side_by_side(spikes: Mapping[str, Events]) -> Events:
    """Put the populations side by side, from time 0 on; units are named after them."""
    parts = []
    for name, events in spikes.items():
        index = pd.Index([f"{name} {k}" for k in range(events.n_units)], name="unit")
        table = pd.DataFrame({"population": [name] * events.n_units}, index=index)
        parts.append(
            Events(
                events.t - events.t_start, events.unit, tick=events.tick, n_units=events.n_units,
                t_start=0, t_stop=events.t_stop - events.t_start, unit_table=table,
                source="activome simulate",
            )
        )  # fmt: skip
    return Events.concat(parts, dim="unit")


def state_of(states: Mapping[str, Mapping[str, Activity]], watched: str) -> Activity:
    """Put one variable of all populations side by side, with the names of the units."""
    import xarray as xr

    parts = []
    for name, found in states.items():
        values = found[watched]
        names = [f"{name} {k}" for k in range(values.sizes["unit"])]
        parts.append(values.assign_coords(unit=names, population=("unit", [name] * len(names))))
    return xr.concat(parts, "unit", combine_attrs="override")
