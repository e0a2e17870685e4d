"""Random networks against a simulator of loops and lists, written from the docstrings alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from activome.activity.events import Events
from activome.networks.spiking.homeostasis import DriveHomeostasis, SynapticScaling
from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import LIF, IFCondExp, IFCurrExp, MetaNeuron, SpikeSource
from activome.networks.spiking.plasticity import PairSTDP, SymmetricSTDP
from activome.networks.spiking.projections import Projection
from activome.networks.spiking.simulate import simulate

Array = np.ndarray[Any, Any]
Spikes = set[tuple[int, int]]


@dataclass
class Cell:
    """State of one cell; ``lost`` tells whether arrivals after its step are."""

    neuron: Any
    v: float
    u: float = 0.0
    exc: float = 0.0
    inh: float = 0.0
    last: int | None = None
    lost: bool = False

    @property
    def kind(self) -> str:
        return type(self.neuron).__name__

    def is_held(self, t: int, dt: float, rule: str) -> bool:
        n = round(self.neuron.refractory / dt)
        return self.last is not None and t < self.last + (n + 1 if rule == "hold" else max(n, 1))

    def take(self, exc: float, inh: float, dt: float) -> None:
        if self.kind == "LIF":
            self.v += 0.0 if self.lost else exc - inh
        elif self.kind == "IFCurrExp" and self.neuron.input_factor:
            for name, tau, w in (("exc", self.neuron.tau_e, exc), ("inh", self.neuron.tau_i, inh)):
                scaled = w * tau / dt * (1 - math.exp(-dt / tau))
                setattr(self, name, getattr(self, name) + scaled)
        else:
            self.exc += exc
            self.inh += inh

    def fade(self, dt: float) -> None:
        if self.kind in ("IFCurrExp", "IFCondExp"):
            self.exc *= math.exp(-dt / self.neuron.tau_e)
            self.inh *= math.exp(-dt / self.neuron.tau_i)

    def move(self, dt: float, current: float, exc: float, inh: float) -> None:
        """Advance the membrane; exc and inh are what jumps into it in this step."""
        c: Any = self.neuron
        if self.kind == "LIF":
            keep = math.exp(-dt / c.tau)
            self.v = c.v_rest + (self.v - c.v_rest) * keep + c.resistance * current * (1 - keep)
            self.v += exc - inh
        elif self.kind == "IFCurrExp":
            keep = math.exp(-dt / c.tau_m)
            gain_e = gain_i = c.tau_m / c.c_m * (1 - keep)
            if not c.input_factor:
                gain_e, gain_i = (
                    c.tau_m * s / (c.c_m * (s - c.tau_m)) * (math.exp(-dt / s) - keep)
                    for s in (c.tau_e, c.tau_i)
                )
            held = c.tau_m / c.c_m * (1 - keep) * current
            self.v = c.v_rest + (self.v - c.v_rest) * keep + held
            self.v += self.exc * gain_e - self.inh * gain_i
        elif self.kind == "IFCondExp":
            sum_g = 1 + self.exc + self.inh
            pull = c.v_rest + self.exc * c.e_rev_e + self.inh * c.e_rev_i + c.resistance * current
            if c.method == "euler":
                self.v += dt / c.tau * (pull - sum_g * self.v)
            else:
                goal = pull / sum_g
                self.v = goal + (self.v - goal) * math.exp(-dt * sum_g / c.tau)
            self.v = max(self.v, c.v_min)
        else:
            v, u, r = self.v, self.u, dt / c.tau
            self.v = min(3.0, max(-3.0, v + r * (v * v - v - u) + current + exc - inh))
            self.u = u + r * (c.theta_v * v - c.theta_u * u)

    def step(
        self, t: int, dt: float, current: float, exc: float, inh: float, rules: dict[str, str]
    ) -> bool:
        c: Any = self.neuron
        before, is_held = rules["arrivals"] == "before", self.is_held(t, dt, rules["refractory"])
        if before and self.kind in ("IFCurrExp", "IFCondExp"):
            self.fade(dt)
            self.take(exc, inh, dt)
        elif not before and self.kind == "MetaNeuron":
            exc, inh, self.exc, self.inh = self.exc, self.inh, 0.0, 0.0
        elif not before:
            exc = inh = 0.0
        if not is_held:
            self.move(dt, current + c.i_offset, exc, inh)
        if not before:
            self.fade(dt)
        at = self.v >= c.v_threshold if c.comparison == ">=" else self.v > c.v_threshold
        self.lost = is_held
        if is_held or not at:
            return False
        self.last = t
        if self.kind == "MetaNeuron":
            self.v, self.u = c.theta_r, self.u + c.theta_s
        else:
            is_set = rules["reset"] == "value"
            self.v = c.v_reset if is_set else self.v - (c.v_threshold - c.v_reset)
            self.lost = is_set or self.is_held(t + 1, dt, rules["refractory"])
        return True


@dataclass
class Synapse:
    """One synapse, and the times at which it saw spikes of either side."""

    source: int
    target: int
    weight: float
    delay: int
    waiting: float
    before: list[int] = field(default_factory=list)
    behind: list[int] = field(default_factory=list)

    def learn(self, t: int, dt: float, rule: Any, pre: bool, post: bool) -> float:
        """Change by what is seen in this step; returns the weight that a leaving spike uses."""
        self.before += [t] * pre
        self.behind += [t] * post
        if type(rule).__name__ == "SymmetricSTDP":
            rise = fall = rule.eta * rule.increment
            law, late, nearest, zero = "additive", False, False, "potentiate"
            taus, low, fall = (rule.tau, rule.tau), 0.0, -fall
        else:
            rise, fall, law = rule.a_plus, rule.a_minus, rule.weight_rule
            late, nearest = rule.trigger == "presynaptic", rule.pairing == "nearest"
            zero, taus, low = rule.zero_lag, (rule.tau_plus, rule.tau_minus), rule.w_min

        def trace(times: list[int], tau: float, equal: bool) -> float:
            seen = [s for s in times if s <= t - (not equal)]
            return sum(math.exp(-(t - s) * dt / tau) for s in (seen[-1:] if nearest else seen))

        def clip(w: float) -> float:
            return float(min(rule.w_max, max(low, w)))

        def up(w: float) -> float:
            if not post or (law == "once" and w > low):
                return w
            span = rule.w_max - w if law == "multiplicative" else 1.0
            return clip(w + rise * trace(self.before, taus[0], zero == "potentiate") * span)

        def down(w: float) -> float:
            span = w - low if law == "multiplicative" else 1.0
            return clip(w - fall * trace(self.behind, taus[1], zero == "depress") * span)

        if late:
            self.waiting = up(self.waiting)
            if pre:
                self.weight = self.waiting = down(self.waiting)
            return self.weight
        used = down(self.weight) if pre else self.weight
        self.weight = self.waiting = up(used)
        return used


def scale(synapses: list[Synapse], rule: SynapticScaling) -> None:
    for what in ("weight", "waiting"):
        sums: dict[int, float] = {}
        ends = [s.target if rule.axis == "post" else s.source for s in synapses]
        for s, end in zip(synapses, ends, strict=True):
            sums[end] = sums.get(end, 0.0) + getattr(s, what)
        for s, end in zip(synapses, ends, strict=True):
            if sums[end] > 0:
                setattr(s, what, getattr(s, what) * rule.total / sums[end])


def hold_drive(synapses: list[Synapse], rule: Any, t: int, dt: float, raster: Spikes) -> None:
    def is_active(s: Synapse) -> bool:
        there = [k + s.delay for k, i in raster if i == s.source and k + s.delay <= t]
        return bool(there) and (t - max(there)) * dt <= rule.window + 1e-9

    active = [s for s in synapses if is_active(s)]
    drive = sum(s.weight for s in active)
    for s in active if drive > 0 else ():
        s.weight *= 1 + rule.eta * (rule.factor * rule.drive_threshold / drive - 1)
        s.waiting = s.weight


def by_hand(
    network: Network, given: dict[str, Any], n_steps: int, dt: float, rules: dict[str, str]
) -> tuple[dict[str, Spikes], list[Array]]:
    """Return spikes by population and the last weights; ``given`` are spikes or currents."""
    cells = {
        p.name: [Cell(p.neuron, getattr(p.neuron, "v_rest", 0.0)) for _ in range(p.n)]
        for p in network.populations
    }
    synapses = []
    for q in network.projections:
        source = np.repeat(np.arange(q.n_pre), np.diff(q.ptr))
        delay = np.rint(np.broadcast_to(q.delay, q.n_synapses) / dt).astype(int)
        columns = source.tolist(), q.target.tolist(), q.weight.tolist(), delay.tolist()
        made = [Synapse(i, j, float(w), d, float(w)) for i, j, w, d in zip(*columns, strict=True)]
        for rule in q.homeostasis:
            if isinstance(rule, SynapticScaling) and rule.when == "trial":
                scale(made, rule)
        synapses.append(made)
    raster: dict[str, Spikes] = {p.name: set() for p in network.populations}
    ring: dict[tuple[int, str, int, str], float] = {}

    def send(t: int, q: Projection, s: Synapse, weight: float) -> None:
        key = t, q.post, s.target, q.receptor
        ring[key] = ring.get(key, 0.0) + weight

    for t in range(n_steps):
        for q, made in zip(network.projections, synapses, strict=True):
            for s in made if getattr(q.plasticity, "delay", "") == "axonal" else ():
                if (t - s.delay, s.source) in raster[q.pre]:
                    send(t, q, s, s.weight)
        for p in network.populations:
            for i, cell in enumerate(cells[p.name]):
                if isinstance(p.neuron, SpikeSource):
                    raster[p.name] |= {(t, i)} & given[p.name]
                    continue
                exc, inh = (ring.pop((t, p.name, i, r), 0.0) for r in ("exc", "inh"))
                if cell.step(t, dt, given[p.name][t, i], exc, inh, rules):
                    raster[p.name].add((t, i))
                if rules["arrivals"] == "after":
                    cell.take(exc, inh, dt)
        for q, made in zip(network.projections, synapses, strict=True):
            axonal = getattr(q.plasticity, "delay", "") == "axonal"
            for s in made:
                pre, post = (t, s.source) in raster[q.pre], (t, s.target) in raster[q.post]
                if q.plasticity is None and pre:
                    send(t + s.delay, q, s, s.weight)
                elif q.plasticity is not None:
                    seen = (t - s.delay, s.source if axonal else s.target)
                    pre = seen in raster[q.pre] if axonal else pre
                    post = post if axonal else seen in raster[q.post]
                    used = s.learn(t, dt, q.plasticity, pre, post)
                    if pre and not axonal:
                        send(t + s.delay, q, s, used)
            for rule in q.homeostasis:
                if isinstance(rule, DriveHomeostasis):
                    for j in sorted(j for k, j in raster[q.post] if k == t):
                        onto = [s for s in made if s.target == j]
                        hold_drive(onto, rule, t, dt, raster[q.pre])
        for q, made in zip(network.projections, synapses, strict=True):
            for rule in q.homeostasis:
                if not isinstance(rule, SynapticScaling) or rule.when == "trial":
                    continue
                if (t + 1) % max(1, round(rule.interval / dt)) == 0:
                    scale(made, rule)
    return raster, [np.array([s.weight for s in made]) for made in synapses]


CURRENTS = {LIF: 2.5, IFCurrExp: 1.5, IFCondExp: 20.0, MetaNeuron: 0.15}
WEIGHTS = {LIF: 1.0, IFCurrExp: 2.0, IFCondExp: 0.5, MetaNeuron: 1.0, SpikeSource: 1.0}


def draw_neuron(g: np.random.Generator, dt: float) -> Any:
    kind = int(g.integers(5))
    common: Any = {"comparison": str(g.choice([">=", ">"])), "i_offset": 0.1 * g.random()}
    common["refractory"] = dt * float(g.choice([0, 1, 2, 5]))
    if kind == 0:
        return SpikeSource()
    if kind == 1:
        return LIF(tau=g.uniform(3, 20), v_rest=g.uniform(-0.2, 0.2), v_reset=-0.3,
                   resistance=g.uniform(0.5, 2), **common)  # fmt: skip
    if kind == 2:
        return IFCurrExp(tau_m=g.uniform(9, 20), tau_e=g.uniform(2, 8), tau_i=g.uniform(2, 8),
                         c_m=g.uniform(0.5, 2), v_threshold=-62.0,
                         input_factor=bool(g.integers(2)), **common)  # fmt: skip
    if kind == 3:
        return IFCondExp(tau=g.uniform(5, 30), tau_e=g.uniform(2, 5), tau_i=g.uniform(2, 5),
                         v_threshold=-60.0, v_min=float(g.choice([-np.inf, -67.0])),
                         method="euler" if g.integers(2) else "exponential", **common)  # fmt: skip
    return MetaNeuron(tau=g.uniform(5, 20), **common)


def draw_rules(g: np.random.Generator, dt: float) -> dict[str, Any]:
    def word(*words: str) -> Any:
        return str(g.choice(words))

    rule: Any = PairSTDP(
        tau_plus=g.uniform(2, 20), tau_minus=g.uniform(2, 20), a_plus=g.uniform(-0.05, 0.3),
        a_minus=g.uniform(-0.05, 0.3), w_min=float(g.choice([0.0, 0.1])),
        weight_rule=word("additive", "multiplicative", "once"), pairing=word("all", "nearest"),
        delay=word("dendritic", "axonal"), zero_lag=word("depress", "none", "potentiate"),
        trigger=word("immediate", "presynaptic"),
    )  # fmt: skip
    if g.random() < 0.2:
        rule = SymmetricSTDP(eta=g.uniform(0, 0.3), tau=g.uniform(2, 20), increment=0.5,
                             delay=word("dendritic", "axonal"))  # fmt: skip
    held: list[Any] = []
    if g.random() < 0.25:
        held.append(SynapticScaling(total=g.uniform(0.5, 2), axis=word("pre", "post"),
                                    when=word("trial", "interval"), interval=9 * dt))  # fmt: skip
    if g.random() < 0.25:
        held.append(DriveHomeostasis(drive_threshold=g.uniform(0.2, 1), factor=1.2,
                                     eta=g.uniform(0.1, 1), window=7 * dt))  # fmt: skip
    return {"plasticity": rule, "homeostasis": tuple(held)}


def draw_network(g: np.random.Generator, dt: float, plastic: float) -> Network:
    populations = [
        Population(f"p{k}", int(g.integers(1, 6)), draw_neuron(g, dt))
        for k in range(g.integers(1, 5))
    ]
    projections = []
    for k in range(g.integers(0, 6)):
        a, b = (populations[int(i)] for i in g.integers(len(populations), size=2))
        m = int(g.integers(0, a.n * b.n + 3))
        options: dict[str, Any] = {"receptor": str(g.choice(["exc", "inh"])), "name": f"q{k}"}
        weight = g.random(m) * WEIGHTS[type(b.neuron)]
        if g.random() < plastic:
            options |= draw_rules(g, dt)
            weight = np.clip(weight, 0.1, 1.0)
        elif g.random() < 0.3:
            options["dtype"] = "float32"
        longest = int(g.choice([1, 3, 30]))
        delay = dt * (g.integers(1, longest + 1, m) if g.random() < 0.7 else longest)
        rows, columns = g.integers(0, a.n, m), g.integers(0, b.n, m)
        projections.append(
            Projection.from_table(a.name, b.name, (a.n, b.n), rows, columns, weight, delay,
                                  **options)
        )  # fmt: skip
    return Network(populations, projections)


@pytest.mark.filterwarnings("ignore:simulate. dt of")
@pytest.mark.parametrize("plastic", [0.0, 0.8])
@pytest.mark.parametrize("seed", range(5))
def test_the_same_spikes_and_weights_as_by_hand(seed: int, plastic: float) -> None:
    g = np.random.default_rng((seed, int(10 * plastic)))
    n_spikes = n_learnt = 0
    for _ in range(16):
        dt, n_steps = float(g.choice([0.1, 0.25, 0.5, 1.0])), int(g.integers(1, 70))
        network = draw_network(g, dt, plastic)
        given: dict[str, Any] = {}
        inputs: dict[str, Any] = {}
        for p in network.populations:
            if isinstance(p.neuron, SpikeSource):
                step, unit = np.nonzero(g.random((n_steps, p.n)) < 0.2)
                given[p.name] = set(zip(step.tolist(), unit.tolist(), strict=True))
                inputs[p.name] = Events(step * round(1e3 * dt), unit, n_units=p.n)
            else:
                given[p.name] = CURRENTS[type(p.neuron)] * g.random((n_steps, p.n))
                inputs[p.name] = given[p.name]
        words: Any = {
            "arrivals": str(g.choice(["before", "after"])),
            "reset": str(g.choice(["value", "subtract"])),
            "refractory": str(g.choice(["hold", "brian"])),
        }
        result = simulate(
            network, inputs, n_steps * dt, dt, arrivals=words["arrivals"],
            reset_rule=words["reset"], refractory_rule=words["refractory"],
        )  # fmt: skip
        raster, weights = by_hand(network, given, n_steps, dt, words)
        for p in network.populations:
            found = result.spikes[p.name]
            steps = (found.t // round(1e3 * dt)).tolist()
            assert set(zip(steps, found.unit.tolist(), strict=True)) == raster[p.name], network
            n_spikes += found.n_events
        for q, weight in zip(network.projections, weights, strict=True):
            np.testing.assert_allclose(result.weights[q.name], weight, rtol=0, atol=1e-9)
            n_learnt += int((np.abs(weight - q.weight) > 1e-6).sum())
    assert n_spikes > 150
    assert (n_learnt > 20) == (plastic > 0)
