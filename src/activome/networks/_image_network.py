"""The three layers of the symmetric STDP classifier, as a network of the general engine."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from activome._checks import DEFAULT_MEMORY_LIMIT
from activome.activity.events import Events
from activome.errors import ActivityWarning
from activome.networks._image_loop import draw_trains, show
from activome.networks.spiking._flatten import flatten
from activome.networks.spiking._inputs import clock_ticks
from activome.networks.spiking.homeostasis import ThresholdAdaptation
from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import IFCondExp, SpikeSource
from activome.networks.spiking.plasticity import PairSTDP, PlasticityRule, SymmetricSTDP
from activome.networks.spiking.projections import Projection

__all__ = [
    "Layers",
    "Shown",
    "Tables",
    "Traces",
    "network",
    "present",
    "scale",
    "spikes_of",
    "tables",
]

Array = np.ndarray[Any, Any]
_INPUT_MOST, _CLASS_MOST = 1.0, 8.0
# Mean class weight that scaling holds, as a share of the largest.
_CLASS_SHARE = 0.1
_THETA, _TAU, _RISE = 20.0, 20.0, 0.1
_TO_PARTNER, _FROM_PARTNER = 10.4, 17.0
_TEACHER_RATE = 200.0
_LEAST_SPIKES, _FIRST, _BRIGHTEST = 5, 2, 32


@dataclass(frozen=True)
class Layers:
    """Sizes and constants; ms and mV."""

    n_hidden: int
    n_classes: int
    dt: float
    duration: float
    rest: float
    v_threshold: float
    theta_plus: float
    tau_theta: float
    eta_hidden: float
    eta_class: float
    order: Literal["symmetric", "asymmetric"]

    @property
    def n_steps(self) -> int:
        """Steps of one presentation."""
        return round(self.duration / self.dt)


def network(
    layers: Layers, weight: Array, class_weight: Array, *, is_taught: bool, is_plastic: bool
) -> Network:
    """Return the same network for ``simulate``: sources, cells and every synapse.

    Parameters
    ----------
    layers : Layers
        Sizes and constants.
    weight, class_weight : ndarray, shape (n_inputs, n_hidden) and (n_hidden, n_classes)
        Weights, all above 0.
    is_taught : bool
        Whether class cells fire by the teacher alone.
    is_plastic : bool
        Whether both projections learn.
    """
    n, dt = layers.n_hidden, layers.dt
    classes: Any = SpikeSource() if is_taught else _fast_cell()
    rules = [_rule(layers, hidden) if is_plastic else None for hidden in (True, False)]
    return Network(
        [
            Population("input", len(weight), SpikeSource()),
            *_cells(layers),
            Population("class", layers.n_classes, classes),
        ],
        [
            Projection.from_dense("input", "hidden", weight, dt, plasticity=rules[0]),
            Projection.one_to_one("hidden", "inhibitory", n, _TO_PARTNER, dt),
            Projection.all_to_all(
                "inhibitory", "hidden", (n, n), _FROM_PARTNER, dt, self_connections=False,
                receptor="inh",
            ),
            Projection.from_dense("hidden", "class", class_weight, dt, plasticity=rules[1]),
        ],
    )  # fmt: skip


def _cells(layers: Layers) -> list[Population]:
    cell = IFCondExp(
        tau=100.0,
        v_rest=-65.0,
        v_reset=-65.0,
        v_threshold=layers.v_threshold,
        v_min=-100.0,
        refractory=2.0,
        comparison=">",
    )
    adaptation = ThresholdAdaptation(
        theta_plus=layers.theta_plus,
        tau_theta=layers.tau_theta,
        law="hyperbolic",
        start=_THETA,
        reference=_THETA,
    )
    return [
        Population("hidden", layers.n_hidden, cell, adaptation),
        Population("inhibitory", layers.n_hidden, _fast_cell()),
    ]


def _fast_cell() -> IFCondExp:
    return IFCondExp(
        tau=10.0,
        v_rest=-60.0,
        v_reset=-45.0,
        v_threshold=-40.0,
        v_min=-100.0,
        refractory=2.0,
        comparison=">",
    )


def _rule(layers: Layers, hidden: bool) -> PlasticityRule:
    eta, most = layers.eta_hidden, _INPUT_MOST
    if not hidden:
        eta, most = layers.eta_class, _CLASS_MOST
    if layers.order == "symmetric":
        return SymmetricSTDP(eta=eta, tau=_TAU, increment=_RISE, w_max=most)
    return PairSTDP(
        tau_plus=_TAU,
        tau_minus=_TAU,
        a_plus=eta * _RISE,
        a_minus=eta * _RISE,
        w_max=most,
        delay="axonal",
        zero_lag="potentiate",
    )


@dataclass
class Tables:
    """What the loop reads of the cells and rules."""

    sizes: Array
    par: Array
    strict: Array
    adaptation: Array
    rules: Array
    couplings: Array


def tables(layers: Layers) -> Tables:
    """Read the parameters of the cells as the engine does."""
    cells = [*_cells(layers), Population("class", layers.n_classes, _fast_cell())]
    with warnings.catch_warnings():
        # The step of the paper is half of the shortest time constant, of a decay that is exact.
        warnings.simplefilter("ignore", ActivityWarning)
        flat = flatten(
            Network(cells),
            layers.dt,
            before=True,
            refractory_rule="hold",
            memory_limit=DEFAULT_MEMORY_LIMIT,
        )
    before = 1.0 if layers.order == "symmetric" else -1.0
    rules = [
        [before * eta, eta, most, layers.dt / _TAU, _RISE]
        for eta, most in ((layers.eta_hidden, _INPUT_MOST), (layers.eta_class, _CLASS_MOST))
    ]
    return Tables(
        np.array([layers.n_hidden, layers.n_classes]),
        flat.par,
        flat.kinds[:, 1].copy(),
        flat.adaptation[0].copy(),
        np.array(rules),
        np.array([_TO_PARTNER, _FROM_PARTNER]),
    )


class Traces:
    """Traces of inputs and cells: the value just after the last spike, and its step."""

    def __init__(self, n_inputs: int, n_cells: int) -> None:
        self.value = [np.zeros(n_inputs), np.zeros(n_cells)]
        self.step = [np.full(n, -1, np.int64) for n in (n_inputs, n_cells)]

    def rest(self, layers: Layers) -> None:
        """Let them decay to the end of the pause, which is just before step 0 of the next image."""
        last = round((layers.duration + layers.rest) / layers.dt) - 1
        for value, step in zip(self.value, self.step, strict=True):
            value *= np.exp(-(last - step) * layers.dt / _TAU)
            # Below this a trace changes no weight by as much as its last digits of float32.
            value[value < 1e-7] = 0.0
            step[:] = -1


@dataclass
class Shown:
    """Counts of one image."""

    hidden: Array
    classes: Array
    drive: Array
    spikes: tuple[Array, Array]
    arrivals: tuple[Array, Array]


def present(
    layers: Layers,
    table: Tables,
    chance: Array,
    label: int | None,
    learns: Array,
    weight: Array,
    class_weight: Array,
    theta: Array,
    traces: Traces,
    scaling: float | None,
    generator: np.random.Generator,
    *,
    record: bool = False,
) -> Shown:
    """Show an image until at least five hidden spikes, each time one step brighter.

    ``label`` is None at test, -1 with the class cells left out, else what the teacher says.
    """
    n = 2 * layers.n_hidden + layers.n_classes
    room = layers.n_steps * n if record else 0
    for intensity in range(_FIRST, _BRIGHTEST + 1):
        if scaling is not None and learns[0]:
            scale(weight, scaling * _INPUT_MOST * len(weight))
        if scaling is not None and learns[2]:
            scale(class_weight, _CLASS_SHARE * _CLASS_MOST * layers.n_hidden)
        bright = chance * (intensity / _FIRST)
        arrivals = draw_trains(bright, layers.n_steps, generator)
        teacher = np.zeros(1, np.int64), np.empty(0, np.int64)
        if label is not None:
            taught = np.zeros(layers.n_classes)
            if label >= 0:
                taught[label] = _TEACHER_RATE * layers.dt * 1e-3
            teacher = draw_trains(taught, layers.n_steps, generator)
        hidden = np.zeros(layers.n_hidden, np.int64)
        classes, drive = np.zeros(layers.n_classes, np.int64), np.zeros(layers.n_classes)
        steps, units = np.empty(room, np.int64), np.empty(room, np.int64)
        n_spikes = show(
            *arrivals, *teacher, table.sizes, table.par, table.strict, table.adaptation,
            table.rules, table.couplings, learns, weight, class_weight, theta, traces.value[0],
            traces.step[0], traces.value[1], traces.step[1], hidden, classes, drive, steps, units,
        )  # fmt: skip
        traces.rest(layers)
        is_brightest = bright.max() * (intensity + 1) / intensity > 1.0
        if hidden.sum() >= _LEAST_SPIKES or is_brightest:
            break
    return Shown(hidden, classes, drive, (steps[:n_spikes], units[:n_spikes]), arrivals)


def scale(weight: Array, total: float) -> None:
    """Scale the weights of each cell behind, a column, to one sum; columns of 0 stay."""
    sums = weight.sum(axis=0)
    weight *= np.divide(total, sums, out=np.ones_like(sums), where=sums > 0)


def spikes_of(layers: Layers, shown: Sequence[Shown], n_inputs: int) -> dict[str, Events]:
    """Return the recorded spikes of some images by layer, one trial each."""
    first = np.cumsum([0, layers.n_hidden, layers.n_hidden, layers.n_classes])
    steps = np.arange(layers.n_steps)
    parts = {"input": [(np.repeat(steps, np.diff(s.arrivals[0])), s.arrivals[1]) for s in shown]}
    for k, name in enumerate(("hidden", "inhibitory", "class")):
        inside = [(s.spikes[1] >= first[k]) & (s.spikes[1] < first[k + 1]) for s in shown]
        parts[name] = [
            (s.spikes[0][here], s.spikes[1][here] - first[k])
            for s, here in zip(shown, inside, strict=True)
        ]
    tick, width = clock_ticks(layers.dt)
    sizes = dict(zip(parts, (n_inputs, *np.diff(first)), strict=True))
    return {
        name: Events(
            np.concatenate([t for t, _ in pairs]) * width,
            np.concatenate([unit for _, unit in pairs]),
            trial=np.repeat(np.arange(len(pairs)), [t.size for t, _ in pairs]),
            n_trials=len(pairs),
            n_units=int(sizes[name]),
            tick=tick,
            t_start=0,
            t_stop=layers.n_steps * width,
            source="SymmetricSTDPClassifier",
        )
        for name, pairs in parts.items()
    }
