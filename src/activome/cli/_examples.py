"""Example networks of the command ``simulate``: their parameters, and how each is run."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from activome._checks import check_integer, check_number
from activome._random import make_generator
from activome.activity.events import Events
from activome.activity.schema import Activity, make
from activome.cli._example_runs import (
    DT,
    check_positive,
    n_steps_of,
    side_by_side,
    simulated,
    state_of,
)
from activome.cli._taught_examples import ImageClassifier, PatternDetector
from activome.encoding.event_camera import dvs_events
from activome.errors import ParameterError
from activome.networks.cam_operation import CAMOperation
from activome.networks.hippocampal_cam import HippocampalCAM
from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import LIF, MetaNeuron
from activome.networks.spiking.projections import Projection

__all__ = ["EXAMPLES", "BalancedNetwork", "EventCamera", "Example", "MetaNeurons", "StoredWords"]

Array = np.ndarray[Any, Any]


class Example(Protocol):
    """A network that makes activity."""

    def run(
        self, duration: float, seed: int, *, with_state: bool
    ) -> tuple[Events, Activity | None]:
        """Return the events of ``duration`` s, and the state of what made them."""
        ...


@dataclass(frozen=True)
class BalancedNetwork:
    """Random network of integrate-and-fire cells in which inhibition balances excitation.

    Four of five cells excite. All get the same constant current: irregular firing, and what the
    whole population does together, come from the network alone. The first 0.2 s, in which it
    settles, are left out.

    Parameters
    ----------
    n_cells : int, default=1000
        Number of cells.
    connection : float in (0, 1], default=0.1
        Chance that one cell drives another.
    weight : float > 0, default=1.0
        Weight of an excitatory synapse, mV; the threshold is 20 mV above rest.
    inhibition : float > 0, default=8.0
        Weight of an inhibitory synapse, as a multiple of an excitatory one.
    drive : float > 0, default=1.5
        Constant current, as a multiple of the one that just reaches the threshold.
    delay : float > 0, default=3.0
        Mean delay of the synapses, ms; they are spread evenly over 50 to 150 % of it, in steps of
        0.1 ms and at least one.

    References
    ----------
    .. [1] N. Brunel, "Dynamics of sparsely connected networks of excitatory and inhibitory spiking
       neurons", 2000.
    """

    n_cells: int = 1000
    connection: float = 0.1
    weight: float = 1.0
    inhibition: float = 8.0
    drive: float = 1.5
    delay: float = 3.0

    def run(
        self, duration: float, seed: int, *, with_state: bool
    ) -> tuple[Events, Activity | None]:
        """Run the network from voltages drawn evenly, and leave out how it settles."""
        check_integer(self.n_cells, name="n_cells", owner="balanced", low=5)
        check_positive(self, "balanced", ("weight", "inhibition", "drive", "delay"))
        check_number(self.connection, name="connection", owner="balanced", low=0.0, high=1.0,
                     include_high=True)  # fmt: skip
        generator = make_generator(seed)
        n = {"exc": self.n_cells - self.n_cells // 5, "inh": self.n_cells // 5}
        cell = LIF(tau=20.0, v_threshold=20.0, refractory=2.0, i_offset=20.0 * self.drive)
        projections = []
        for pre, post in itertools.product(n, n):
            strength = self.weight * (self.inhibition if pre == "inh" else 1.0)
            projections.append(
                Projection.fixed_probability(
                    pre,
                    post,
                    (n[pre], n[post]),
                    self.connection,
                    strength,
                    self._draw_delays,
                    self_connections=pre != post,
                    receptor=pre,
                    random_state=generator,
                )
            )
        network = Network([Population(name, k, cell) for name, k in n.items()], projections)
        start = {name: {"v": generator.uniform(0, 20, k)} for name, k in n.items()}
        watched = "v" if with_state else None
        return simulated(network, {}, duration, start, watched, warm_up=_SETTLING)

    def _draw_delays(self, generator: np.random.Generator, n: int) -> Array:
        steps = np.rint(generator.uniform(0.5, 1.5, n) * self.delay / DT)
        delays: Array = np.maximum(1, steps) * DT
        return delays


@dataclass(frozen=True)
class MetaNeurons:
    """Cells of two variables, without synapses, that share a part of their noisy input.

    Parameters
    ----------
    n_cells : int, default=50
        Number of cells.
    mean : float, default=0.02
        Mean of the input per step of 1 ms, dimensionless.
    noise : float >= 0, default=0.15
        Standard deviation of the input per step, dimensionless.
    shared : float in [0, 1], default=0.2
        Share of the variance of the input that all cells have in common.
    tau : float > 0, default=10.0
        Time constant of a cell, ms.
    """

    n_cells: int = 50
    mean: float = 0.02
    noise: float = 0.15
    shared: float = 0.2
    tau: float = 10.0

    def run(
        self, duration: float, seed: int, *, with_state: bool
    ) -> tuple[Events, Activity | None]:
        """Run the cells from rest."""
        n = check_integer(self.n_cells, name="n_cells", owner="meta_neurons", low=1)
        for name, most in (("noise", np.inf), ("shared", 1.0)):
            check_number(getattr(self, name), name=name, owner="meta_neurons", low=0.0, high=most,
                         include_low=True, include_high=True)  # fmt: skip
        check_positive(self, "meta_neurons", ("tau",))
        generator = make_generator(seed)
        n_steps = n_steps_of(duration, 1.0, 3 * n)
        common = np.sqrt(self.shared) * generator.normal(size=(n_steps, 1))
        own = np.sqrt(1 - self.shared) * generator.normal(size=(n_steps, n))
        network = Network([Population("cell", n, MetaNeuron(tau=self.tau))])
        current = {"cell": self.mean + self.noise * (common + own)}
        return simulated(network, current, duration, {}, "v" if with_state else None, dt=1.0)


@dataclass(frozen=True)
class StoredWords:
    """Spiking memory of the hippocampus that stores random words and is asked for them.

    Operations follow each other: a word is stored under a cue, then asked for by a cue, then by one
    bit of content.

    Parameters
    ----------
    n_cues : int, default=5
        Number of cues.
    n_content : int, default=10
        Bits of content in a word.
    density : float in (0, 1), default=0.3
        Share of the bits that are set.
    """

    n_cues: int = 5
    n_content: int = 10
    density: float = 0.3

    def run(
        self, duration: float, seed: int, *, with_state: bool
    ) -> tuple[Events, Activity | None]:
        """Run as many operations as the time holds."""
        check_number(self.density, name="density", owner="hippocampal_cam", low=0.0, high=1.0)
        memory = HippocampalCAM(
            self.n_cues, self.n_content, record="all" if with_state else "spikes"
        )
        n_steps = n_steps_of(duration, 1.0, 2 * (self.n_cues + self.n_content))
        generator, operations, start = make_generator(seed), [], 0
        while True:
            cue = int(generator.integers(self.n_cues))
            bits = np.flatnonzero(generator.random(self.n_content) < self.density)
            word = tuple(bits.tolist()) or (int(generator.integers(self.n_content)),)
            asked = int(generator.integers(self.n_content))
            planned = [
                CAMOperation("learn", cue, word, start),
                CAMOperation("recall_cue", cue, (), start + _CAM_STEPS),
                CAMOperation("recall_content", None, (asked,), start + 2 * _CAM_STEPS),
            ]
            start += 3 * _CAM_STEPS
            if start > n_steps:
                break
            operations += planned
        if not operations:
            raise ParameterError(
                f"hippocampal_cam: three operations take {3 * _CAM_STEPS / 1e3:g} s; the duration "
                f"is {duration:g} s. Choose a longer one."
            )
        result = memory.execute(operations, n_steps)
        return side_by_side(result.spikes), state_of(result.states, "v") if with_state else None


@dataclass(frozen=True)
class EventCamera:
    """Simulated event camera before a bright bar that turns around the middle of the picture.

    Parameters
    ----------
    n_rows, n_columns : int, default=24
        Height and width of the picture in pixels.
    turns : float > 0, default=1.0
        Turns of the bar per s.
    threshold : float > 0, default=0.3
        Change of log brightness per event.
    noise_rate : float >= 0, default=0.1
        Events per s that a pixel sends without a change.
    """

    n_rows: int = 24
    n_columns: int = 24
    turns: float = 1.0
    threshold: float = 0.3
    noise_rate: float = 0.1

    def run(
        self, duration: float, seed: int, *, with_state: bool
    ) -> tuple[Events, Activity | None]:
        """Film the bar with 200 frames per s, and turn the film into events."""
        for name in ("n_rows", "n_columns"):
            check_integer(getattr(self, name), name=name, owner="event_camera", low=2)
        check_positive(self, "event_camera", ("turns",))
        n_steps = n_steps_of(duration, 5.0, 3 * self.n_rows * self.n_columns)
        times = np.arange(n_steps + 1) * 0.005
        angle = 2 * np.pi * self.turns * times[:, np.newaxis, np.newaxis]
        y = np.arange(self.n_rows)[:, np.newaxis] - (self.n_rows - 1) / 2
        x = np.arange(self.n_columns) - (self.n_columns - 1) / 2
        across = x * np.sin(angle) - y * np.cos(angle)
        width = min(self.n_rows, self.n_columns) / 8
        frames = np.log(0.1 + np.exp(-0.5 * (across / width) ** 2))
        events = dvs_events(
            frames, times, self.threshold, self.noise_rate, random_state=make_generator(seed)
        )
        if not with_state:
            return events, None
        rows = frames.reshape(len(frames), -1)
        return events, make(rows, sampling_rate=200.0, kind="feature", units="log brightness",
                            source="activome simulate event_camera")  # fmt: skip


_CAM_STEPS = 30
# Ten times the time constant of a cell, s.
_SETTLING = 0.2
EXAMPLES: Mapping[str, type[Any]] = {
    "balanced": BalancedNetwork,
    "meta_neurons": MetaNeurons,
    "hippocampal_cam": StoredWords,
    "event_camera": EventCamera,
    "pattern_detector": PatternDetector,
    "image_classifier": ImageClassifier,
}
