"""Run a spiking network on a fixed clock, and record its spikes and state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from activome._checks import DEFAULT_MEMORY_LIMIT, check_memory
from activome.activity.events import Events
from activome.activity.schema import Activity, make
from activome.errors import ParameterError
from activome.networks.spiking import _inputs as inputs_of
from activome.networks.spiking._engine import run
from activome.networks.spiking._fingerprint import fingerprint
from activome.networks.spiking._flatten import Flat, flatten, in_chunks
from activome.networks.spiking._options import (
    WATCHED,
    check_options,
    count_steps,
    read_record,
    units_of,
)
from activome.networks.spiking._state import State, begin, check_size, check_state, read_initial
from activome.networks.spiking.homeostasis import SynapticScaling
from activome.networks.spiking.network import Network

__all__ = ["SimulationResult", "simulate"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class SimulationResult:
    """What a run gave.

    Attributes
    ----------
    spikes : dict of str to Events
        Spikes of each recorded population; one trial each where the inputs have trials.
    states : dict of str to dict of str to xarray.DataArray
        Recorded variables by population and name, dims (trial, time, unit) or (time, unit).
    weights : dict of str to ndarray
        Weights of each projection at the end, in its order of synapses; read-only where nothing
        in the network changes.
    state : object
        Where the network stopped; give it to ``simulate`` to go on.
    """

    spikes: dict[str, Events]
    states: dict[str, dict[str, Activity]]
    weights: dict[str, Array]
    state: State = field(repr=False)


def simulate(
    network: Network,
    inputs: Mapping[str, Any] | None = None,
    duration: float = 100.0,
    dt: float = 0.1,
    *,
    record: Mapping[str, Sequence[str]] | Literal["spikes"] = "spikes",
    record_every: int = 1,
    arrivals: Literal["before", "after"] = "before",
    reset_rule: Literal["value", "subtract"] = "value",
    refractory_rule: Literal["hold", "brian"] = "hold",
    initial: Mapping[str, Mapping[str, Any]] | None = None,
    state: State | None = None,
    n_jobs: int = 1,
    memory_limit: float = DEFAULT_MEMORY_LIMIT,
) -> SimulationResult:
    """Run a network of spiking cells on a fixed clock.

    In each step, in this order: synaptic currents decay and arrivals enter, the membrane advances,
    cells that are not refractory and at their threshold fire and are reset, thresholds adapt,
    spikes leave towards their targets, and plastic weights change. Linear cells are exact; all
    sums are in float64 and in a fixed order.

    Parameters
    ----------
    network : Network
        Populations and projections.
    inputs : mapping of str to Events or array-like, optional
        By population. For a ``SpikeSource``: Events. For cells: an injected current, as one number
        per cell, an array (n_steps, n_cells), an Activity (time, unit) sampled at the clock, or
        Events whose values hold for one step. Events may have trials; each starts from rest.
    duration : float, default=100.0
        Time to run, ms, a whole number of steps.
    dt : float, default=0.1
        Step of the clock, ms.
    record : "spikes" or mapping of str to sequence of str, default="spikes"
        Spikes of all populations; or, by population, any of "spikes" and of the variables of its
        cells: "v", "exc", "inh", "theta" where thresholds adapt, and "u" of a MetaNeuron.
    record_every : int, default=1
        Steps between two samples of recorded variables.
    arrivals : {"before", "after"}, default="before"
        Whether a spike that arrives in a step acts on the voltage of that step, as in PyNN and on
        SpiNNaker, or enters after the threshold, as in Brian2.
    reset_rule : {"value", "subtract"}, default="value"
        A spike sets the voltage to ``v_reset``, or lowers it by threshold less ``v_reset``.
    refractory_rule : {"hold", "brian"}, default="hold"
        With n whole steps of refractory time the next spike comes n + 1 steps after a spike at the
        earliest, or n steps.
    initial : mapping of str to mapping of str to array-like, optional
        Values of these variables to start from, by population.
    state : object, optional
        ``state`` of an earlier result of the same network: time, learned weights and all else go
        on. Populations (names, sizes, kinds), projections (names, synapses, delays, receptors,
        kinds of rules), ``dt`` and ``arrivals`` must be the same.
    n_jobs : int, default=1
        Threads over trials; for networks that do not change only.
    memory_limit : float, default=2 GiB
        Bytes that the states at work may take, and as many for the recordings of all trials.

    Returns
    -------
    SimulationResult
        Spikes, recorded variables, weights, and the state at the end.

    Raises
    ------
    ActivityError
        If inputs do not fit their population or the clock.
    ParameterError
        If a parameter, name or delay does not hold.
    ResourceError
        If state or recordings would pass the memory limit.

    Notes
    -----
    O(n_steps n_cells + n_synaptic_events). A spike at step k has the time k dt. An input at time t
    acts in the step that contains t. The first call compiles the loop and keeps it on disk.

    References
    ----------
    .. [1] R. Brette et al., "Simulation of networks of spiking neurons: a review of tools and
       strategies", 2007.

    Examples
    --------
    >>> from activome.networks.spiking import LIF, Network, Population
    >>> cell = LIF(tau=10.0, v_threshold=1.0, i_offset=1.5)
    >>> result = simulate(Network([Population("cell", 1, cell)]), duration=40.0, dt=0.1)
    >>> result.spikes["cell"].time.round(4).tolist()
    [0.0109, 0.0219, 0.0329]
    """
    check_options(
        network, arrivals, reset_rule, refractory_rule, n_jobs, record_every, memory_limit
    )
    n_steps = count_steps(duration, dt)
    flat = flatten(
        network,
        dt,
        before=arrivals == "before",
        refractory_rule=refractory_rule,
        memory_limit=memory_limit,
    )
    drives = inputs_of.read_inputs(
        network, flat, {} if inputs is None else inputs, n_steps, dt, memory_limit
    )
    n_trials = drives.n_trials
    wanted = read_record(network, record)
    starts = read_initial(network, flat, {} if initial is None else initial)
    of = fingerprint(network, flat, dt, arrivals)
    if state is not None:
        check_state(state, flat, flat.weight, of)
    if n_trials > 1 and state is not None:
        raise ParameterError("simulate: state goes on with one trial; the inputs have several.")
    if n_jobs > 1 and (flat.is_plastic or any(q.homeostasis for q in network.projections)):
        raise ParameterError(
            "simulate: n_jobs must be 1 for a network that learns: each trial needs the last one."
        )
    clock = _Clock(flat, network, dt, n_steps, n_trials, wanted, record_every, memory_limit)
    clock.flags[:] = arrivals == "before", reset_rule == "subtract", flat.is_plastic
    check_size(flat, flat.weight, min(n_jobs, n_trials), memory_limit)
    weight = flat.weight.copy() if clock.is_changing and state is None else flat.weight

    ends: list[State] = []

    def one(k: int) -> tuple[Array, Array]:
        here = begin(flat, state, weight, starts, of, is_changing=clock.is_changing)
        if clock.is_changing and state is None:
            clock.scale(here, "trial")
        found = clock.advance(here, drives.of(k), k)
        # Only the last trial can be gone on from: the states of all might fill the memory.
        if k == n_trials - 1:
            ends.append(here)
        return found

    if n_jobs > 1 and n_trials > 1:
        with ThreadPoolExecutor(n_jobs) as pool:
            trains = list(pool.map(one, range(n_trials)))
    else:
        trains = [one(k) for k in range(n_trials)]
    return _result(clock, ends[0], trains, has_trials=inputs_of.have_trials(inputs or {}))


@dataclass
class _Clock:
    """One network ready to run, and what is recorded of it."""

    flat: Flat
    network: Network
    dt: float
    n_steps: int
    n_trials: int
    wanted: dict[str, list[str]]
    every: int
    memory_limit: float

    def __post_init__(self) -> None:
        flat = self.flat
        self.flags = np.zeros(3, np.int64)
        self.recorded = np.array(["spikes" in self.wanted.get(n, ()) for n in flat.names], np.int64)
        codes = list(WATCHED)
        pairs = [
            (codes.index(what), cell)
            for k, name in enumerate(flat.names)
            for what in self.wanted.get(name, ())
            if what != "spikes"
            for cell in range(flat.start[k], flat.start[k + 1])
        ]
        self.watch = np.array(pairs, np.int64).reshape(-1, 2)
        self.n_samples = -(-self.n_steps // self.every)
        trials = f" in each of {self.n_trials} trials" if self.n_trials > 1 else ""
        check_memory(
            8.0 * self.n_trials * self.n_samples * len(pairs),
            owner="simulate",
            what=f"{self.n_samples} samples of {len(pairs)} recorded variables{trials}",
            cure="Record fewer, raise record_every, or raise memory_limit.",
            limit=self.memory_limit,
        )
        self.samples = np.zeros((self.n_trials, self.n_samples, len(pairs)))
        # By trial, so that threads do not write the same number.
        self.n_kept = [0] * self.n_trials
        self.scalings = [
            (k, rule)
            for k, q in enumerate(self.network.projections)
            for rule in q.homeostasis
            if isinstance(rule, SynapticScaling)
        ]
        self.is_changing = flat.is_plastic or bool(self.scalings)

    def scale(self, state: State, when: str, step: int = 0) -> None:
        """Apply the scalings that are due."""
        for k, rule in self.scalings:
            period = max(1, round(rule.interval / self.dt))
            if rule.when != when or (when == "interval" and step % period):
                continue
            q, here = self.network.projections[k], self.flat.slices[k]
            post = rule.axis == "post"
            cell = q.target if post else np.repeat(np.arange(q.n_pre), np.diff(q.ptr))
            n_cells = q.n_post if post else q.n_pre
            for weights in (state.weight, state.pending):
                if weights.size:
                    weights[here] = rule.scale(weights[here], cell, n_cells)

    def stops(self, origin: int) -> list[int]:
        """Return the steps at which the loop pauses for a scaling, and the last one."""
        last = origin + self.n_steps
        found = {last}
        for _, rule in self.scalings:
            if rule.when == "interval":
                period = max(1, round(rule.interval / self.dt))
                found |= set(range(origin - origin % period + period, last, period))
        return sorted(found)

    def advance(self, s: State, drive: inputs_of.Drive, k: int) -> tuple[Array, Array]:
        """Run all steps of a trial; returns steps and cells of spikes, and writes the samples."""
        flat, origin = self.flat, s.step
        n = flat.n_cells
        size = max(4 * n, 1 << 14)
        buffers = np.empty(size, np.int64), np.empty(size, np.int64)
        kept: list[tuple[Array, Array]] = []
        injected, fired = np.zeros(n), np.empty(n, np.int64)
        par = flat.par if drive.offset is None else flat.par + drive.offset
        chunks = in_chunks(flat, par)
        arrived, behind = flat.rooms()
        for stop in self.stops(origin):
            while s.step < stop:
                s.step, n_out = run(
                    s.step, stop, self.flags, flat.start, flat.kinds, flat.adaptation, *chunks,
                    s.v, s.u, s.exc, s.inh, s.theta, s.left, injected, s.ring, drive.step + origin,
                    drive.unit, drive.value, flat.out_ptr, flat.out_projection, flat.projection,
                    flat.rule, flat.ptr, flat.target, s.weight, s.pending, flat.delay,
                    flat.back_ptr, flat.back, s.away_cells, s.away_steps, s.n_away, s.window,
                    flat.runs, arrived, behind, flat.fade, s.latest, s.trace_step, s.trace_value,
                    s.trace_count, self.recorded, *buffers, fired, self.watch[:, 0],
                    self.watch[:, 1], self.samples[k], self.every, origin,
                )  # fmt: skip
                kept.append((buffers[0][:n_out] - origin, buffers[1][:n_out].copy()))
                self.n_kept[k] += n_out
                n_kept = sum(self.n_kept)
                check_memory(
                    32.0 * n_kept + self.samples.nbytes,
                    owner="simulate",
                    what=f"the first {n_kept} spikes",
                    cure="Record fewer populations, run shorter, or raise memory_limit.",
                    limit=self.memory_limit,
                )
            self.scale(s, "interval", stop)
        steps, cells = (np.concatenate(column) for column in zip(*kept, strict=True))
        return steps, cells


def _result(
    clock: _Clock, end: State, trains: Sequence[tuple[Array, Array]], *, has_trials: bool
) -> SimulationResult:
    flat = clock.flat
    tick, width = inputs_of.clock_ticks(clock.dt)
    spikes: dict[str, Events] = {}
    states: dict[str, dict[str, Activity]] = {}
    origin = end.step - clock.n_steps
    trial = np.repeat(np.arange(len(trains)), [steps.size for steps, _ in trains])
    step, cell = (np.concatenate(column) for column in zip(*trains, strict=True))
    column = 0
    for k, name in enumerate(flat.names):
        lo, hi = int(flat.start[k]), int(flat.start[k + 1])
        if clock.recorded[k]:
            here = (cell >= lo) & (cell < hi)
            spikes[name] = Events(
                (step[here] + origin) * width,
                cell[here] - lo,
                trial=trial[here] if has_trials else None,
                n_trials=len(trains) if has_trials else None,
                tick=tick,
                n_units=hi - lo,
                t_start=origin * width,
                t_stop=(origin + clock.n_steps) * width,
                source="simulate",
            )
        for what in clock.wanted.get(name, ()):
            if what == "spikes":
                continue
            values = clock.samples[:, :, column : column + hi - lo]
            column += hi - lo
            states.setdefault(name, {})[what] = make(
                values if has_trials else values[0],
                sampling_rate=1e3 / (clock.dt * clock.every),
                start=origin * clock.dt * 1e-3,
                kind=WATCHED[what],
                units=units_of(clock.network[name])[what],
                source="simulate",
                name=what,
            )
    weights = {}
    for q, place in zip(clock.network.projections, flat.slices, strict=True):
        # Weights that did not change are those of the projection, not a copy of them.
        weights[q.name] = end.weight[place].copy() if clock.is_changing else q.weight.view()
        weights[q.name].flags.writeable = clock.is_changing
    return SimulationResult(spikes, states, weights, end)
