"""Where a network stands: at rest, at values that are given, or where an earlier run stopped."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from activome._checks import check_choice, check_memory
from activome.errors import ParameterError
from activome.networks.spiking._cells import PARAMETERS
from activome.networks.spiking._fingerprint import find_difference
from activome.networks.spiking._flatten import Flat
from activome.networks.spiking._options import check_variable
from activome.networks.spiking.network import Network

__all__ = ["Start", "State", "begin", "check_size", "check_state", "read_initial"]

Array = np.ndarray[Any, Any]
Start = tuple[str, slice, Array]


@dataclass
class State:
    """Everything that changes while a network runs, and what network that is."""

    step: int
    v: Array
    u: Array
    exc: Array
    inh: Array
    theta: Array
    left: Array
    ring: Array
    weight: Array
    pending: Array
    away_cells: Array
    away_steps: Array
    n_away: Array
    window: Array
    latest: Array
    trace_step: Array
    trace_value: Array
    trace_count: Array
    of: dict[str, str] = field(default_factory=dict)


def _layout(flat: Flat, weight: Array) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Return the shape and the type of every array of a state, as the engine expects them."""
    n = flat.n_cells
    # A power of two, above the spikes of a cell in the steps that are looked back.
    least = max(int(flat.par[PARAMETERS.index("hold")].min()), 0) + 1
    depth = 1 << (flat.n_past // least + 1).bit_length()
    # All cells may fire in every step, and be seen until the longest delay is over.
    n_away = n * flat.n_past if flat.is_plastic else 0
    return {
        **dict.fromkeys(("v", "u", "exc", "inh", "theta"), ((n,), np.float64)),
        "left": ((n,), np.int64),
        "ring": ((flat.n_rows, 2 * n), np.float64),
        "weight": (weight.shape, weight.dtype),
        "pending": ((weight.size if flat.is_plastic else 0,), weight.dtype),
        "away_cells": ((n_away,), np.int32),
        "away_steps": ((n_away,), np.int64),
        "n_away": ((1,), np.int64),
        "window": ((flat.projection.shape[0], 2), np.int64),
        "latest": ((4 * flat.n_traces,), np.float64),
        "trace_step": ((flat.n_traces, depth), np.int64),
        "trace_value": ((flat.n_traces, depth), np.float64),
        "trace_count": ((flat.n_traces,), np.int64),
    }


def check_size(flat: Flat, weight: Array, n_at_once: int, memory_limit: float) -> None:
    """Refuse what would take more than the limit, before any of it is made."""
    n_bytes = float(flat.runs.nbytes)
    for name, (shape, dtype) in _layout(flat, weight).items():
        if name != "weight":
            n_bytes += (
                n_at_once * float(np.prod(shape, dtype=np.float64)) * np.dtype(dtype).itemsize
            )
    trials = f" in {n_at_once} trials at once" if n_at_once > 1 else ""
    check_memory(
        n_bytes,
        owner="simulate",
        what=f"the state of {flat.n_cells} cells with delays of up to {flat.n_past - 2} steps"
        f"{trials}",
        cure="Shorten the longest delay, make dt larger, or raise memory_limit.",
        limit=memory_limit,
    )


def check_state(state: State, flat: Flat, weight: Array, of: Mapping[str, str]) -> None:
    """Refuse a state of another network or clock, and one whose arrays do not fit."""
    if not isinstance(state, State):
        raise ParameterError(
            "simulate: state must be the state of an earlier result, as in state=result.state; "
            f"got {type(state).__name__}."
        )
    what = find_difference(of, state.of)
    # A state is open to its owner: the loop trusts lengths, so that all are looked at.
    for name, (shape, dtype) in _layout(flat, weight).items():
        found = getattr(state, name)
        fits = isinstance(found, np.ndarray) and found.shape == shape and found.dtype == dtype
        if what is None and not fits:
            what = f"its {name} must be {np.dtype(dtype)} of shape {shape}"
    if what is not None:
        raise ParameterError(
            f"simulate: state must come from a run of the same network and clock; {what}. Leave "
            "state out to start from rest."
        )


def read_initial(network: Network, flat: Flat, initial: Any) -> list[Start]:
    """Return the variables to set: name, cells and values."""
    example = f"as in {{{flat.names[0]!r}: {{'v': ...}}}}"
    if not isinstance(initial, Mapping):
        raise ParameterError(
            "simulate: initial must be a mapping from population to variables, "
            f"{example}; got {type(initial).__name__}."
        )
    found: list[Start] = []
    for name, values in initial.items():
        k = flat.names.index(check_choice(name, flat.names, name="population", owner="simulate"))
        if not isinstance(values, Mapping):
            raise ParameterError(
                f"simulate: initial of {name!r} must be a mapping from variable to values, "
                f"{example}; got {type(values).__name__}."
            )
        here = slice(int(flat.start[k]), int(flat.start[k + 1]))
        for what, value in values.items():
            check_variable(network[name], what)
            given = f"initial {what} of {name!r}"
            found.append((what, here, _read_values(given, value, here.stop - here.start)))
    return found


def _read_values(given: str, value: Any, n: int) -> Array:
    must = f"simulate: {given} must be one finite number or one per cell ({n}); got"
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ParameterError(f"{must} {value!r:.60}.") from None
    if array.shape not in ((), (n,)):
        raise ParameterError(f"{must} shape {array.shape}.")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        where = f" for cell {bad[0]}" if array.ndim else ""
        raise ParameterError(f"{must} {array.flat[bad[0]]:g}{where}.")
    return array


def begin(
    flat: Flat,
    state: State | None,
    weight: Array,
    starts: list[Start],
    of: dict[str, str],
    *,
    is_changing: bool,
) -> State:
    """Return a network at rest with some weights, or a copy of where it stopped, set as asked."""
    if state is None:
        here = _rest(flat, weight, of)
    else:
        # Weights that do not change are those of the network that is given, shared and not copied.
        here = copy.deepcopy(state, {} if is_changing else {id(state.weight): weight})
    for what, cells, values in starts:
        getattr(here, what)[cells] = values
    # Without inhibitory synapses or current there is nothing to advance on that side.
    flat.kinds[:, 4] |= np.logical_or.reduceat(here.inh != 0, flat.start[:-1])
    return here


def _rest(flat: Flat, weight: Array, of: dict[str, str]) -> State:
    arrays = {
        name: np.zeros(shape, dtype)
        for name, (shape, dtype) in _layout(flat, weight).items()
        if name not in ("v", "theta", "weight", "pending")
    }
    pending = weight.copy() if flat.is_plastic else np.empty(0, weight.dtype)
    return State(
        step=0, v=flat.par[0].copy(), theta=flat.theta.copy(), weight=weight, pending=pending,
        of=of, **arrays,
    )  # fmt: skip
