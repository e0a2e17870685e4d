"""The circuit of the spatial pattern detector: a presentation, training and recall, as spikes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from activome._checks import check_memory
from activome.activity.events import Events
from activome.errors import ParameterError
from activome.networks.spiking._inputs import clock_ticks
from activome.networks.spiking.homeostasis import DriveHomeostasis
from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import IFCurrExp, SpikeSource
from activome.networks.spiking.plasticity import PairSTDP
from activome.networks.spiking.projections import Projection
from activome.networks.spiking.simulate import simulate

__all__ = ["SLACK", "Circuit", "peak_response", "recall", "train"]

Array = np.ndarray[Any, Any]
# Share of the threshold by which rounding may miss a drive that reaches it exactly.
SLACK = 1e-9
_CONVERGED = 1e-4
_SYNAPSES_AT_ONCE = 1 << 21


@dataclass(frozen=True)
class Circuit:
    """Constants of the circuit; ms, mV and nA. ``drive_threshold`` is that of the bare cell."""

    cell: IFCurrExp
    dt: float
    teacher_delay: float
    window: float
    drive_threshold: float
    factor: float | None
    stdp: PairSTDP
    vetoes: bool


def peak_response(cell: IFCurrExp, dt: float, window: float, *, owner: str) -> float:
    """Return the largest voltage on the grid after a volley of 1 nA, in mV."""
    tau_m, tau_s = float(np.asarray(cell.tau_m)), float(np.asarray(cell.tau_e))
    at = tau_m
    if abs(tau_m - tau_s) > 1e-6 * tau_m:
        at = tau_m * tau_s / (tau_m - tau_s) * np.log(tau_m / tau_s)
    if at + dt > window:
        raise ParameterError(
            f"{owner}: window must hold the peak of the response, {at:.3g} ms after the volley; "
            f"got {window:g} ms. Make it longer, or a time constant shorter."
        )
    steps = max(1, int(at / dt)), int(at / dt) + 1
    return max(float(cell.propagators(n * dt)["exc"].item()) for n in steps)


def train(
    circuit: Circuit, patterns: Array, output: Array, w_inh: Array, cycles: int
) -> tuple[Array, Array, Array, float]:
    """Present the patterns of each output in turn, until the drive of all of them is held.

    Returns the excitatory weights and the inhibitory ones, (n_lines, n_outputs), the excitatory
    ones after every presentation, and the largest relative distance of a drive from its aim.
    """
    n_outputs, n_lines = w_inh.shape[1], patterns.shape[1]
    w_exc, w_inh = np.zeros((n_lines, n_outputs)), w_inh.copy()
    turn = np.zeros(output.size, np.int64)
    for k in range(n_outputs):
        turn[output == k] = np.arange(np.count_nonzero(output == k))
    rounds = [np.flatnonzero(turn == r) for r in range(int(turn.max()) + 1)]
    check_memory(
        8.0 * cycles * len(rounds) * w_exc.size,
        owner="SpatialPatternDetector.fit",
        what="the weights after each presentation",
        cure="Train fewer patterns or outputs at a time, or ask for fewer cycles.",
    )
    history = []
    change = np.inf
    for _ in range(cycles):
        for rows in rounds:
            w_exc, w_inh = _present(circuit, patterns[rows], output[rows], w_exc, w_inh)
            history.append(w_exc)
        if circuit.factor is None:
            return w_exc, w_inh, np.array(history), 0.0
        drive = np.einsum("pl,lp->p", patterns, w_exc[:, output])
        change = float(np.abs(circuit.factor * circuit.drive_threshold / drive - 1).max())
        if change < _CONVERGED:
            break
    return w_exc, w_inh, np.array(history), change


def _present(
    circuit: Circuit, patterns: Array, output: Array, w_exc: Array, w_inh: Array
) -> tuple[Array, Array]:
    """Show one pattern to each of some outputs at once; the others rest."""
    w_exc, w_inh = w_exc.copy(), w_inh.copy()
    sizes = patterns.sum(axis=1)
    # The step of a silent synapse is a share of the threshold, so one rule serves one size.
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        cell, line = np.nonzero(patterns[rows])
        column = output[rows][cell]
        network = _taught(circuit, int(size), cell, w_exc[line, column], w_inh[line, column])
        tick, wide = clock_ticks(circuit.dt)
        taught_at = 1 + round(circuit.teacher_delay / circuit.dt)
        push = (2 + size) * float(np.asarray(circuit.cell.v_threshold))
        push /= circuit.cell.propagators(circuit.dt)["current"].item()
        inputs = {
            "lines": _volley(cell.size, tick),
            "output": Events(
                np.full(rows.size, taught_at * wide),
                np.arange(rows.size),
                value=np.full(rows.size, push),
                n_units=rows.size,
                tick=tick,
            ),
        }
        result = simulate(network, inputs, (taught_at + 1) * circuit.dt, circuit.dt)
        w_exc[line, column] = result.weights["exc"]
        if circuit.vetoes:
            w_inh[line, column] = result.weights["inh"]
    return w_exc, w_inh


def _taught(circuit: Circuit, size: int, cell: Array, w_exc: Array, w_inh: Array) -> Network:
    """Join each active line to its output; lines that stay silent would change nothing."""
    unit = circuit.drive_threshold
    rule = circuit.stdp
    rise = replace(
        rule,
        a_plus=rule.a_plus * unit / size,
        a_minus=rule.a_minus * unit / size,
        w_min=rule.w_min * unit,
        w_max=rule.w_max * unit,
    )
    whole = 2 * unit * np.exp(circuit.teacher_delay / rule.tau_plus)
    fall = replace(
        rule, a_plus=-whole, a_minus=0.0, w_min=0.0, w_max=2 * unit, weight_rule="additive"
    )
    held: tuple[DriveHomeostasis, ...] = ()
    if circuit.factor is not None:
        held = (
            DriveHomeostasis(drive_threshold=unit, factor=circuit.factor, window=circuit.window),
        )
    n_outputs = int(cell[-1]) + 1
    ends = ("lines", "output", (cell.size, n_outputs), np.arange(cell.size), cell)
    joined = [
        Projection.from_table(
            *ends, w_exc, circuit.dt, plasticity=rise, homeostasis=held, name="exc"
        )
    ]
    if circuit.vetoes:
        joined.append(
            Projection.from_table(
                *ends, w_inh, circuit.dt, receptor="inh", plasticity=fall, name="inh"
            )
        )
    # A cell that its lines fire before the teacher does not fire again.
    once = replace(circuit.cell, refractory=circuit.teacher_delay)
    sources = Population("lines", cell.size, SpikeSource())
    return Network([sources, Population("output", n_outputs, once)], joined)


def _volley(n: int, tick: float) -> Events:
    return Events(np.zeros(n, np.int64), np.arange(n), n_units=n, tick=tick)


def recall(
    circuit: Circuit, rows: Array, w_exc: Array, w_inh: Array, *, trace: bool = False
) -> tuple[Array, Array]:
    """Show each row to its own copy of the outputs, the teacher silent.

    Returns the time of the first spike, (n_rows, n_outputs) in ms, NaN where there is none, and
    the voltages, (n_rows, n_steps, n_outputs), or none of them.
    """
    n_outputs = w_exc.shape[1]
    per_row = 2 * n_outputs * max(1.0, float(rows.sum(axis=1).mean()) if len(rows) else 1.0)
    step = max(1, int(_SYNAPSES_AT_ONCE / per_row))
    parts = [
        _recall(circuit, rows[k : k + step], w_exc, w_inh, trace=trace)
        for k in range(0, len(rows), step)
    ]
    n_steps = round(circuit.window / circuit.dt) + 1
    empty = np.empty((0, n_outputs)), np.empty((0, n_steps if trace else 0, n_outputs))
    first, volts = zip(empty, *parts, strict=True)
    return np.concatenate(first), np.concatenate(volts)


def _recall(
    circuit: Circuit, rows: Array, w_exc: Array, w_inh: Array, *, trace: bool
) -> tuple[Array, Array]:
    n_rows, n_outputs = len(rows), w_exc.shape[1]
    n_cells = n_rows * n_outputs
    n_steps = round(circuit.window / circuit.dt) + 1
    trial, line = np.nonzero(rows)
    target = (trial[:, None] * n_outputs + np.arange(n_outputs)).ravel()
    source = np.repeat(np.arange(trial.size), n_outputs)
    populations = [Population("output", n_cells, circuit.cell)]
    joined: Sequence[Projection] = ()
    inputs: dict[str, Any] = {}
    tick, wide = clock_ticks(circuit.dt)
    if trial.size:
        populations.insert(0, Population("lines", trial.size, SpikeSource()))
        joined = [
            _joined((trial.size, n_cells), source, target, weights[line].ravel(), circuit.dt, name)
            for name, weights in (("exc", w_exc), ("inh", w_inh))
        ]
        inputs = {"lines": _volley(trial.size, tick)}
    record = {"output": ["spikes", "v"] if trace else ["spikes"]}
    result = simulate(
        Network(populations, joined), inputs, n_steps * circuit.dt, circuit.dt, record=record
    )
    spikes = result.spikes["output"]
    first = np.full(n_cells, np.inf)
    np.minimum.at(first, spikes.unit, spikes.t // wide * circuit.dt)
    first[np.isinf(first)] = np.nan
    volts = np.empty((n_rows, 0, n_outputs))
    if trace:
        found = result.states["output"]["v"].values.reshape(n_steps, n_rows, n_outputs)
        volts = found.transpose(1, 0, 2)
    return first.reshape(n_rows, n_outputs), volts


def _joined(
    sizes: tuple[int, int], source: Array, target: Array, weight: Array, dt: float, name: str
) -> Projection:
    is_there = weight > 0
    columns = source[is_there], target[is_there], weight[is_there]
    receptor = {"receptor": name, "name": name}
    return Projection.from_table("lines", "output", sizes, *columns, dt, **receptor)
