"""From a network of dataclasses to the flat arrays that the engine runs on."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from activome.errors import ActivityWarning, ParameterError
from activome.networks.spiking._cells import PARAMETERS
from activome.networks.spiking._plastic import LISTED_AT_ONCE
from activome.networks.spiking._plastic_tables import backwards, begin_of_runs, write_rule
from activome.networks.spiking._traces import fading
from activome.networks.spiking.homeostasis import DriveHomeostasis
from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import LIF, IFCondExp, IFCurrExp, MetaNeuron, SpikeSource
from activome.networks.spiking.projections import Projection

__all__ = ["Flat", "flatten", "in_chunks"]

Array = np.ndarray[Any, Any]
_KINDS = {SpikeSource: 0, LIF: 1, IFCurrExp: 1, IFCondExp: 2, MetaNeuron: 3}
_LONGEST = 32_767
_N_COLUMNS, _N_NUMBERS = 21, 10
# Steps for which the decay of a trace is tabled.
_FADING = 1 << 14
_BLOCK = 1 << 20
_CHUNK = 1024


@dataclass
class Flat:
    """A network as arrays; names are those of the arguments of the engine."""

    names: list[str]
    start: Array
    kinds: Array
    adaptation: Array
    par: Array
    theta: Array
    projection: Array
    rule: Array
    ptr: Array
    target: Array
    weight: Array
    delay: Array
    out_ptr: Array
    out_projection: Array
    back_ptr: Array
    back: Array
    runs: Array
    fade: Array
    slices: list[slice]
    n_rows: int
    n_past: int
    n_traces: int

    @property
    def n_cells(self) -> int:
        """Number of cells of all populations."""
        return int(self.start[-1])

    @property
    def is_plastic(self) -> bool:
        """Whether any projection changes in the loop."""
        return bool((self.projection[:, 4] == 1).any())

    def rooms(self) -> tuple[Array, Array]:
        """Return room for the synapses that spikes reach in a step, and for those behind one."""
        is_plastic = self.projection[:, 4] == 1
        sizes = [here.stop - here.start + LISTED_AT_ONCE for here in self.slices]
        listed = [size for size, plastic in zip(sizes, is_plastic, strict=True) if plastic]
        kind = self.runs.dtype
        return np.empty(sum(listed), kind), np.empty(max(listed, default=0), kind)


def flatten(
    network: Network, dt: float, *, before: bool, refractory_rule: str, memory_limit: float
) -> Flat:
    """Build the arrays of a network for one step of the clock."""
    populations = network.populations
    start = np.concatenate([[0], np.cumsum([p.n for p in populations])]).astype(np.int64)
    n = int(start[-1])
    par = np.zeros((len(PARAMETERS), n))
    kinds = np.zeros((len(populations), 5), np.int64)
    adaptation = np.zeros((len(populations), 2))
    theta = np.zeros(n)
    for k, p in enumerate(populations):
        _check_step(p, dt)
        here = slice(start[k], start[k + 1])
        for name, values in _parameters(p, dt, before, refractory_rule).items():
            par[PARAMETERS.index(name), here] = values
        exponential = isinstance(p.neuron, IFCondExp) and p.neuron.method == "exponential"
        strict = getattr(p.neuron, "comparison", ">=") == ">"
        kinds[k, :3] = _KINDS[type(p.neuron)], strict, exponential or isinstance(p.neuron, LIF)
        if p.adaptation is not None:
            kinds[k, 3] = 2 if p.adaptation.law == "hyperbolic" else 1
            adaptation[k] = np.exp(-dt / p.adaptation.tau_theta), p.adaptation.theta_plus
            theta[here] = p.adaptation.start
            par[PARAMETERS.index("v_threshold"), here] -= p.adaptation.reference
    names = [p.name for p in populations]
    kinds[:, 4] = [
        any(q.post == name and q.receptor == "inh" for q in network.projections) for name in names
    ]
    return _with_synapses(
        network, dt, names, start, kinds, adaptation, par, theta, memory_limit=memory_limit
    )


def in_chunks(flat: Flat, par: Array) -> tuple[Array, Array]:
    """Cut the cells into chunks: rows of first, last and table, and the tables of parameters.

    Chunks of a population whose cells are all alike share one table.
    """
    size = min(_CHUNK, int(np.diff(flat.start).max()))
    rows: list[tuple[int, int, int]] = []
    tables: list[Array] = []
    for k, kind in enumerate(flat.kinds[:, 0]):
        lo, hi = int(flat.start[k]), int(flat.start[k + 1])
        if kind == _KINDS[SpikeSource]:
            continue
        alike = bool((par[:, lo:hi] == par[:, lo : lo + 1]).all())
        for first in range(lo, hi, size):
            last = min(first + size, hi)
            if first == lo or not alike:
                table = np.zeros((par.shape[0], size))
                table[:, : last - first] = par[:, first:last]
                tables.append(table)
            rows.append((first, last, len(tables) - 1))
    chunk = np.array(rows, np.int64).reshape(-1, 3)
    return chunk, np.stack(tables) if tables else np.zeros((1, par.shape[0], size))


def _parameters(p: Population, dt: float, before: bool, refractory_rule: str) -> dict[str, Any]:
    neuron = p.neuron
    if isinstance(neuron, SpikeSource):
        return {}
    found: dict[str, Any] = {"exc_scale": 1.0, "inh_scale": 1.0, "v_min": -np.inf}
    found |= {
        name: np.asarray(getattr(neuron, name), dtype=np.float64)
        for name in PARAMETERS
        if hasattr(neuron, name)
    }
    found |= neuron.propagators(dt)
    if isinstance(neuron, LIF):
        # What arrives after a step decays with the voltage in the next one.
        found["exc"] = found["inh"] = 1.0 if before else found["membrane"]
    steps = np.rint(np.asarray(neuron.refractory, dtype=np.float64) / dt)
    # Cells without refractory time are told from those of one step, which "brian" counts as 0.
    held = steps if refractory_rule == "hold" else steps - 1
    found["hold"] = np.where(steps == 0, -1, held)
    return found


def _check_step(p: Population, dt: float) -> None:
    neuron: Any = p.neuron
    if isinstance(neuron, SpikeSource) or getattr(neuron, "input_factor", False):
        return
    taus = {
        name: getattr(neuron, name)
        for name in ("tau", "tau_m", "tau_e", "tau_i")
        if hasattr(neuron, name)
    }
    name, least = min(((k, float(np.min(v))) for k, v in taus.items()), key=lambda item: item[1])
    if dt > least:
        raise ParameterError(
            f"simulate: dt must not be longer than the shortest time constant; got {dt:g} ms, and "
            f"{name} of {p.name!r} is {least:g} ms. Make dt smaller."
        )
    if dt >= 0.5 * least:
        warnings.warn(
            f"simulate: dt of {dt:g} ms is coarse for {name} of {p.name!r}, {least:g} ms.",
            ActivityWarning,
            stacklevel=4,
        )


def _steps(q: Projection, dt: float) -> Array:
    """Return delays in steps; in blocks, so that nothing but them is held."""
    steps = np.empty(q.delay.size, np.int16)
    if not q.delay.size:
        return steps
    low, high = float(q.delay.min()), float(q.delay.max())
    if low / dt < 1 - 1e-6:
        raise ParameterError(
            f"simulate: delays of {q.name!r} must be at least dt ({dt:g} ms); the shortest is "
            f"{low:g} ms. Make dt smaller or the delay longer."
        )
    if round(high / dt) > _LONGEST:
        raise ParameterError(
            f"simulate: delays of {q.name!r} must be at most {_LONGEST} steps; the longest is "
            f"{high:g} ms, {high / dt:.0f} steps."
        )
    for first in range(0, steps.size, _BLOCK):
        here = slice(first, first + _BLOCK)
        steps[here] = np.rint(q.delay[here] / dt)
    return steps


def _with_synapses(
    network: Network,
    dt: float,
    names: list[str],
    start: Array,
    kinds: Array,
    adaptation: Array,
    par: Array,
    theta: Array,
    *,
    memory_limit: float,
) -> Flat:
    projections = network.projections
    where = {name: k for k, name in enumerate(names)}
    n = int(start[-1])
    projection = np.zeros((len(projections), _N_COLUMNS), np.int64)
    rule = np.zeros((len(projections), _N_NUMBERS))
    fade = np.zeros((len(projections), 2, _FADING))
    out: list[list[int]] = [[] for _ in names]
    delays = [_steps(q, dt) for q in projections]
    changes = [_changes(q) for q in projections]
    n_ptr = n_synapse = n_back = n_trace = 0
    slices: list[slice] = []
    ptrs: list[Array] = []
    backs: list[tuple[Array, Array]] = []
    runs: list[Array] = []
    n_run = n_listed = 0
    for k, (q, steps) in enumerate(zip(projections, delays, strict=True)):
        low, high = (int(steps.min()), int(steps.max())) if q.n_synapses else (1, 1)
        pre, post = start[where[q.pre]], start[where[q.post]]
        offset = post + (n if q.receptor == "inh" else 0)
        projection[k, [0, 1, 2, 3, 17, 18]] = n_ptr, pre, post, q.n_post, q.n_pre, offset
        projection[k, 14:16] = low, high
        slices.append(slice(n_synapse, n_synapse + q.n_synapses))
        ptrs.append(q.ptr + n_synapse if n_synapse else q.ptr)
        if changes[k]:
            write_rule(q, dt, projection[k], rule[k])
            projection[k, 19:21] = n_run, n_listed
            fade[k] = [fading(rate, _FADING) for rate in rule[k, :2]]
            projection[k, 11:14] = n_back, n_trace, n_trace + q.n_pre
            first_back = sum(len(b[1]) for b in backs)
            is_axonal = projection[k, 5] == 1
            backs.append(
                backwards(q, steps, n_synapse, first_back, is_axonal and not projection[k, 16])
            )
            first = n_synapse if is_axonal else first_back
            runs.append(begin_of_runs(q, steps, first, is_axonal, memory_limit))
            n_run += runs[-1].size
            n_listed += q.n_synapses + LISTED_AT_ONCE
            n_back += q.n_post + 1
            n_trace += q.n_pre + q.n_post
        else:
            out[where[q.pre]].append(k)
        n_ptr += q.n_pre + 1
        n_synapse += q.n_synapses
    longest = int(projection[:, 15].max(initial=1))
    # What waits on the axon enters the ring when it arrives, and needs no row for its delay.
    waits = (projection[:, 4] == 1) & (projection[:, 5] == 1)
    ahead = int(projection[~waits, 15].max(initial=1))
    kinds_of_delay = {int(d) for s in delays if s.size for d in (s.min(), s.max())}
    same = not any(changes) and len(kinds_of_delay) <= 1
    column = (
        _first_empty(delays, np.int16)[:1]
        if same
        else _joined(
            [
                np.ascontiguousarray(np.broadcast_to(s, q.n_synapses))
                for s, q in zip(delays, projections, strict=True)
            ],
            np.int16,
        )
    )
    targets = [
        _shifted(q.target, int(row[18])) for q, row in zip(projections, projection, strict=True)
    ]
    return Flat(
        names,
        start,
        kinds,
        adaptation,
        par,
        theta,
        projection,
        rule,
        _joined(ptrs, np.int64),
        _joined(targets, np.int32),
        _joined([q.weight for q in projections], np.float64),
        column,
        np.concatenate([[0], np.cumsum([len(o) for o in out])]).astype(np.int64),
        np.array([k for o in out for k in o], np.int64),
        _joined([b[0] for b in backs], np.int64),
        np.concatenate([b[1] for b in backs]) if backs else np.zeros((0, 3), np.int32),
        _joined(runs, np.int32),
        fade,
        slices,
        ahead + 2,
        longest + 2,
        n_trace,
    )


def _changes(q: Projection) -> bool:
    return q.plasticity is not None or any(isinstance(h, DriveHomeostasis) for h in q.homeostasis)


def _shifted(target: Array, offset: int) -> Array:
    # One projection onto the first population is taken as it is: no copy of its synapses.
    return target + np.int32(offset) if offset else target


def _joined(parts: list[Array], dtype: Any) -> Array:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def _first_empty(parts: list[Array], dtype: Any) -> Array:
    return next((part for part in parts if part.size), np.ones(1, dtype))
