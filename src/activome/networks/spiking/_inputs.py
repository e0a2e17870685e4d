"""What goes into a simulation: spikes of sources and currents of cells, by step and cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from activome._checks import check_choice, check_finite, check_memory
from activome.activity.events import Events
from activome.activity.schema import ensure
from activome.errors import ActivityError
from activome.networks.spiking._cells import PARAMETERS
from activome.networks.spiking._flatten import Flat
from activome.networks.spiking.network import Network
from activome.networks.spiking.neurons import SpikeSource

__all__ = ["Drive", "Drives", "clock_ticks", "have_trials", "read_inputs"]

Array = np.ndarray[Any, Any]


@dataclass
class Drive:
    """Inputs of one trial: events sorted by step and cell, and constant currents."""

    step: Array
    unit: Array
    value: Array
    offset: Array | None


@dataclass
class Drives:
    """Inputs of all trials, of which each is sorted when its turn comes."""

    parts: list[tuple[Array, Array, Array, Array | None]]
    offset: Array | None
    n_trials: int

    def of(self, k: int) -> Drive:
        """Return the inputs of one trial."""
        if len(self.parts) == 1 and self.parts[0][3] is None and _is_sorted(*self.parts[0][:2]):
            # One matrix of currents, read row by row: neither copied nor sorted.
            return Drive(*self.parts[0][:3], self.offset)
        columns: list[list[Array]] = [
            [np.empty(0, np.int64)],
            [np.empty(0, np.int64)],
            [np.empty(0)],
        ]
        for *given, trial in self.parts:
            for column, values in zip(columns, given, strict=True):
                column.append(values if trial is None else values[trial == k])
        step, unit, value = (np.concatenate(column) for column in columns)
        order = np.lexsort((unit, step))
        return Drive(step[order], unit[order], value[order], self.offset)


def clock_ticks(dt: float) -> tuple[float, int]:
    """Return the tick in s of the events of a clock, and its step in ticks.

    The tick is 1 us where the step (ms) is a whole number of them, else the step itself.
    """
    width = round(dt * 1e3)
    if width >= 1 and abs(width - dt * 1e3) < 1e-9 * width:
        return 1e-6, width
    return dt * 1e-3, 1


def have_trials(inputs: Mapping[str, Any]) -> bool:
    """Tell whether any input has a column of trials."""
    return any(isinstance(v, Events) and v.trial is not None for v in inputs.values())


def read_inputs(
    network: Network,
    flat: Flat,
    inputs: Mapping[str, Any],
    n_steps: int,
    dt: float,
    memory_limit: float,
) -> Drives:
    """Return the inputs of all trials."""
    if not isinstance(inputs, Mapping):
        raise ActivityError(
            "simulate: inputs must be a mapping from the names of populations, as in "
            f"{{{flat.names[0]!r}: ...}}; got {type(inputs).__name__}."
        )
    counts = {v.n_trials for v in inputs.values() if isinstance(v, Events) and v.trial is not None}
    if len(counts) > 1:
        raise ActivityError(
            f"simulate: inputs must have one number of trials; got {sorted(counts)}."
        )
    n_trials = counts.pop() if counts else 1
    if n_trials == 0:
        raise ActivityError("simulate: inputs must have a trial; got Events with n_trials 0.")
    offset = None
    parts: list[tuple[Array, Array, Array, Array | None]] = []
    for name, given in inputs.items():
        k = flat.names.index(check_choice(name, flat.names, name="population", owner="simulate"))
        lo, hi = int(flat.start[k]), int(flat.start[k + 1])
        is_source = isinstance(network[name].neuron, SpikeSource)
        if isinstance(given, Events):
            step, unit, value, trial = _from_events(name, given, hi - lo, n_steps, dt, is_source)
            parts.append((step, unit + lo, value, trial))
            continue
        if is_source:
            raise ActivityError(
                f"simulate: the input of the source {name!r} must be Events; got "
                f"{type(given).__name__}. Make them with Events.from_times, or from_raster."
            )
        current = _current(name, given, hi - lo, n_steps, dt, memory_limit)
        if current.ndim == 2:
            step, unit = np.nonzero(current)
            parts.append((step, unit + lo, current[step, unit], None))
        else:
            offset = np.zeros_like(flat.par) if offset is None else offset
            offset[PARAMETERS.index("i_offset"), lo:hi] += current
    return Drives(parts, offset, n_trials)


def _is_sorted(step: Array, unit: Array) -> bool:
    later = step[1:] > step[:-1]
    return bool((later | ((step[1:] == step[:-1]) & (unit[1:] >= unit[:-1]))).all())


def _from_events(
    name: str, events: Events, n_cells: int, n_steps: int, dt: float, is_source: bool
) -> tuple[Array, Array, Array, Array | None]:
    if events.n_units > n_cells:
        raise ActivityError(
            f"simulate: the input of {name!r} has {events.n_units} units, the population "
            f"{n_cells} cells."
        )
    width = round(dt * 1e-3 / events.tick)
    if width < 1 or abs(width * events.tick - dt * 1e-3) > 1e-9 * dt * 1e-3:
        raise ActivityError(
            f"simulate: dt must be a whole number of ticks of the events of {name!r}; got "
            f"{dt:g} ms and ticks of {events.tick:g} s."
        )
    step = events.t // width
    if step.size and (step.min() < 0 or step.max() >= n_steps):
        raise ActivityError(
            f"simulate: events of {name!r} must lie in the {n_steps} steps of the run, counted "
            f"from its beginning; got steps {step.min()} to {step.max()}. Use events.between()."
        )
    unit = events.unit.astype(np.int64)
    trial = events.trial
    if is_source:
        key = (step if trial is None else step + trial.astype(np.int64) * n_steps) * n_cells + unit
        if np.unique(key).size < key.size:
            raise ActivityError(
                f"simulate: a source fires at most once per step; {key.size - np.unique(key).size} "
                f"events of {name!r} share unit and step with another. Make dt smaller."
            )
        return step, unit, np.ones(unit.size), trial
    if events.value is None:
        raise ActivityError(
            f"simulate: events into the cells {name!r} need values, the current of their step; "
            "spikes go through a SpikeSource and a Projection."
        )
    value = events.value.astype(np.float64)
    check_finite(value, owner="simulate", axes=("event",), what=f"currents of {name!r}")
    return step, unit, value, trial


def _current(
    name: str, given: Any, n_cells: int, n_steps: int, dt: float, memory_limit: float
) -> Array:
    if isinstance(given, xr.DataArray):
        activity = ensure(given, owner="simulate")
        rate = activity.attrs.get("sampling_rate")
        if rate is not None and abs(rate * dt * 1e-3 - 1) > 1e-6:
            raise ActivityError(
                f"simulate: the current of {name!r} must be sampled at the clock, {1e3 / dt:g} Hz; "
                f"got {rate:g} Hz. Resample it first."
            )
        given = activity.values
    try:
        kind = np.asarray(given).dtype.kind
    except ValueError:  # rows of several lengths
        kind = "O"
    if kind not in "biuf":
        raise ActivityError(
            f"simulate: the current of {name!r} must be numbers, in nA; got {given!r:.60}."
        )
    current = np.asarray(given, dtype=np.float64)
    if current.shape not in ((), (n_cells,), (n_steps, n_cells)):
        raise ActivityError(
            f"simulate: the current of {name!r} must be one number, ({n_cells},) or (n_steps, "
            f"n_cells) = ({n_steps}, {n_cells}); got {current.shape}."
        )
    axes = ("cell",) if current.ndim < 2 else ("step", "cell")
    check_finite(np.atleast_1d(current), owner="simulate", axes=axes, what=f"currents of {name!r}")
    check_memory(
        24.0 * current.size if current.ndim == 2 else 0.0,
        owner="simulate",
        what=f"the current of {name!r} as events",
        cure="Run shorter, give Events where most of it is 0, or raise memory_limit.",
        limit=memory_limit,
    )
    return current
