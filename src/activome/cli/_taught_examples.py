"""Example networks of the command ``simulate`` that learn first, and are then shown inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from activome._checks import check_integer, check_number
from activome._random import make_generator
from activome.activity.events import Events
from activome.activity.schema import Activity, make
from activome.cli._example_runs import DT, n_steps_of, side_by_side, simulated
from activome.errors import ParameterError
from activome.networks.spatial_pattern import SpatialPatternDetector
from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import IFCurrExp, SpikeSource
from activome.networks.spiking.projections import Projection
from activome.networks.symmetric_stdp import SymmetricSTDPClassifier
from activome.samples.images import images

__all__ = ["ImageClassifier", "PatternDetector"]

# From one volley to the next, ms: longer than the response to the one before.
_PERIOD = 200.0
# Of an image and of the pause behind it, ms.
_SHOWN, _PAUSE = 175.0, 25.0


@dataclass(frozen=True)
class PatternDetector:
    """Detector of spatial patterns, taught each in one presentation, before a stream of volleys.

    Every 200 ms some lines fire together: a pattern that an output was taught, the same with lines
    missing, or as many lines drawn at random.

    Parameters
    ----------
    n_lines : int, default=100
        Number of input lines.
    n_active : int, default=20
        Lines of a pattern.
    n_outputs : int, default=5
        Number of patterns, each with an output of its own.
    missing : int, default=2
        Lines that a degraded pattern lacks.
    homeostasis : float >= 1, default=1.2
        Drive of a whole pattern, as a multiple of the drive that just reaches the threshold.

    References
    ----------
    .. [1] S. Davies, A. Gait, A. Rowley and A. Di Nuovo, "Supervised learning of spatial features
       with STDP and homeostasis using spiking neural networks on SpiNNaker", 2023.
    """

    n_lines: int = 100
    n_active: int = 20
    n_outputs: int = 5
    missing: int = 2
    homeostasis: float = 1.2

    def run(
        self, duration: float, seed: int, *, with_state: bool
    ) -> tuple[Events, Activity | None]:
        """Teach the patterns, then run the circuit before the stream."""
        owner = "pattern_detector"
        n = check_integer(self.n_lines, name="n_lines", owner=owner, low=2)
        k = check_integer(self.n_active, name="n_active", owner=owner, low=1, high=n)
        check_integer(self.n_outputs, name="n_outputs", owner=owner, low=1)
        check_integer(self.missing, name="missing", owner=owner, low=0, high=k - 1)
        n_volleys = n_steps_of(duration, DT, self.n_outputs) // round(_PERIOD / DT)
        if n_volleys < 1:
            raise ParameterError(
                f"{owner}: a volley takes {_PERIOD / 1e3:g} s; the duration is {duration:g} s. "
                "Choose a longer one."
            )
        generator = make_generator(seed)
        patterns = np.zeros((self.n_outputs, n), dtype=bool)
        for row in patterns:
            row[generator.choice(n, k, replace=False)] = True
        detector = SpatialPatternDetector(self.n_outputs, homeostasis=self.homeostasis, dt=DT)
        detector.fit(patterns, np.arange(self.n_outputs))
        lines, times = [], []
        for volley in range(n_volleys):
            chosen = np.flatnonzero(patterns[generator.integers(self.n_outputs)])
            kind = generator.integers(3)
            if kind == 1:
                chosen = generator.permutation(chosen)[: k - self.missing]
            elif kind == 2:
                chosen = generator.choice(n, k, replace=False)
            lines.append(chosen)
            times.append(np.full(chosen.size, round(volley * _PERIOD / DT)))
        ticks = np.concatenate(times) * round(DT * 1e3)
        stream = Events(
            ticks, np.concatenate(lines), n_units=n, t_start=0, t_stop=round(duration * 1e6)
        )
        cell = IFCurrExp(
            tau_m=detector.tau_m, tau_e=detector.tau_syn, tau_i=detector.tau_syn,
            v_rest=0.0, v_reset=0.0, v_threshold=detector.v_threshold,
        )  # fmt: skip
        network = Network(
            [Population("line", n, SpikeSource()), Population("output", self.n_outputs, cell)],
            [
                Projection.from_dense("line", "output", weights, DT, receptor=name, name=name)
                for name, weights in (("exc", detector.w_exc_), ("inh", detector.w_inh_))
            ],
        )
        return simulated(network, {"line": stream}, duration, {}, "v" if with_state else None)


@dataclass(frozen=True)
class ImageClassifier:
    """Classifier of digits by symmetric STDP, taught first, before one digit after the other.

    The digits are the 8 x 8 ones of scikit-learn. Each is shown for 175 ms, with 25 ms between
    two. The state is the picture that is shown, at 40 samples per s.

    Parameters
    ----------
    n_hidden : int, default=40
        Number of hidden cells.
    n_train : int, default=400
        Digits that are learned from.
    max_rate : float > 0, default=127.5
        Rate of the brightest pixel, Hz.

    References
    ----------
    .. [1] Y. Hao, X. Huang, M. Dong and B. Xu, "A biologically plausible supervised learning method
       for spiking neural networks using the symmetric STDP rule", 2020.
    """

    n_hidden: int = 40
    n_train: int = 400
    max_rate: float = 127.5

    def run(
        self, duration: float, seed: int, *, with_state: bool
    ) -> tuple[Events, Activity | None]:
        """Learn, then show as many other digits as the time holds."""
        owner = "image_classifier"
        check_integer(self.n_train, name="n_train", owner=owner, low=10, high=1200)
        check_number(self.max_rate, name="max_rate", owner=owner, low=0.0)
        n_shown = n_steps_of(duration, 1.0, 9 * 64) // round(_SHOWN + _PAUSE)
        if n_shown < 1:
            raise ParameterError(
                f"{owner}: a digit takes {(_SHOWN + _PAUSE) / 1e3:g} s; the duration is "
                f"{duration:g} s. Choose a longer one."
            )
        x_train, y_train, x_test, y_test = images("digits-8x8", n_train=self.n_train, seed=seed)
        # Each pixel drives nine inputs, so that a digit evokes enough spikes.
        train, test = (
            np.kron(x, np.ones((1, 3, 3))).reshape(len(x), -1) / 16 for x in (x_train, x_test)
        )
        model = SymmetricSTDPClassifier(
            self.n_hidden, duration=_SHOWN, max_rate=self.max_rate, random_state=seed
        )
        model.fit(train, y_train)
        chosen = make_generator(seed).integers(len(test), size=n_shown)
        found = model.record(test[chosen])
        spikes = {
            name: _in_a_row(events, duration) for name, events in found.items() if name != "input"
        }
        if not with_state:
            return side_by_side(spikes), None
        per_shown = round((_SHOWN + _PAUSE) / 25)
        rows = np.repeat(x_test[chosen].reshape(n_shown, -1), per_shown, axis=0).astype(float)
        rows[per_shown - 1 :: per_shown] = 0.0
        state = make(
            rows, sampling_rate=40.0, kind="feature", units="brightness",
            source="activome simulate image_classifier",
        )  # fmt: skip
        return side_by_side(spikes), state.assign_coords(
            digit=("time", np.repeat(y_test[chosen], per_shown))
        )


def _in_a_row(events: Events, duration: float) -> Events:
    """Put trials one after the other."""
    per_trial = round((_SHOWN + _PAUSE) * 1e-3 / events.tick)
    trial = np.repeat(np.arange(events.n_trials), np.diff(events.offsets))
    return Events(
        events.t - events.t_start + trial * per_trial,
        events.unit,
        tick=events.tick,
        n_units=events.n_units,
        t_start=0,
        t_stop=round(duration / events.tick),
    )
