"""The learning of FEAST, and what it counts; a part of that class."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from activome._checks import check_choice, check_integer, check_number
from activome._random import RandomState, make_generator
from activome.errors import ActivityError, ConvergenceWarning, ParameterError
from activome.networks.spiking.homeostasis import SelectionThreshold
from activome.patterns._feast_fit import (
    Learned,
    has_converged,
    history_of,
    join_trials,
    learn,
    start,
    trial_shares,
)
from activome.patterns._feast_kernels import BORDER, MISSED
from activome.patterns._pixel_events import (
    POLARITIES,
    PixelEvents,
    empty_surface,
    read_pixel_events,
)

__all__ = ["FeastLearning"]

Array = np.ndarray[Any, Any]
_EVENTS_PER_FEATURE = 1000


class FeastLearning(BaseEstimator):
    """Parameters are checked, features begun and moved, and activity counted, here."""

    n_features: int
    radius: int
    tau: float
    eta: float
    threshold_open: float
    threshold_close: float
    polarity: str
    border: str
    selection: str
    clip: bool
    n_passes: int
    init: str
    reset_between: bool
    block: int
    random_state: RandomState
    last_seen_: tuple[Array, Array] | None
    weights_: Array

    def _read(self, given: Any, owner: str) -> PixelEvents:
        for name in ("n_features", "n_passes", "block"):
            check_integer(getattr(self, name), name=name, owner=owner, low=1)
        check_integer(self.radius, name="radius", owner=owner, low=0)
        check_number(self.tau, name="tau", owner=owner, low=0.0)
        check_number(self.eta, name="eta", owner=owner, low=0.0, high=1.0, include_high=True)
        for name, known in (
            ("border", ("drop", "zero")),
            ("selection", ("threshold", "best")),
            ("init", ("random", "data")),
            ("polarity", POLARITIES),
        ):
            check_choice(getattr(self, name), known, name=name, owner=owner)
        for name in ("clip", "reset_between"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise ParameterError(
                    f"{owner}: {name} must be True or False; got {getattr(self, name)!r}."
                )
        self._rule()
        read = read_pixel_events(given, self.polarity, owner)
        side = 2 * self.radius + 1
        if side > min(read.shape):
            raise ActivityError(
                f"{owner}: the patch must fit on the sensor; it is {side} x {side} and the sensor "
                f"{read.shape[0]} x {read.shape[1]}. Lower radius."
            )
        return read

    def _rule(self) -> SelectionThreshold:
        return SelectionThreshold(open=self.threshold_open, close=self.threshold_close)

    def _fit_read(self, read: PixelEvents) -> Learned:
        self._begin(read)
        n_events = read.events.n_events * self.n_passes
        if n_events < _EVENTS_PER_FEATURE * self.n_features:
            warnings.warn(
                f"FEAST.fit: thresholds need about {_EVENTS_PER_FEATURE:,} events per feature to "
                f"settle; got {n_events:,} events for {self.n_features} features. Give more "
                "events, or raise n_passes.",
                ConvergenceWarning,
                stacklevel=3,
            )
        found = self._learn(read)
        for _ in range(self.n_passes - 1):
            self.last_seen_ = None
            found = self._learn(read)
        return found

    def _begin(self, read: PixelEvents) -> None:
        weights, self.thresholds_ = start(
            read,
            self.n_features,
            self.radius,
            read.events.tick / self.tau,
            self.init,
            self.border == "zero",
            make_generator(self.random_state),
        )
        self.weights_ = np.ascontiguousarray(weights.T)
        self.last_seen_ = None
        self.won_ = np.zeros(self.n_features, np.int64)
        self.n_missed_ = 0
        self.n_seen_ = 0
        self.history_ = history_of(np.empty((0, 5)), np.empty(0, np.int64))
        self.trial_shares_ = np.empty((0, self.n_features))

    def _learn(self, read: PixelEvents) -> Learned:
        columns = join_trials(read, self.reset_between)
        surface = self.last_seen_
        if surface is None or self.reset_between:
            surface = empty_surface(read, self.radius)
        elif surface[0].shape != (
            read.n_planes,
            *(size + 2 * self.radius for size in read.shape),
        ):
            raise ActivityError(
                f"FEAST.partial_fit: the sensor must stay; it is now {read.shape}, and was of "
                "another size before. Give the events their shape."
            )
        elif columns[0, 0] < surface[0].max():
            raise ActivityError(
                "FEAST.partial_fit: events must not be before those of the last call; the first "
                f"is at tick {columns[0, 0]}, the last one was at {surface[0].max()}."
            )
        if surface is self.last_seen_:
            # What joblib shares with its workers is read-only, and the loop writes.
            surface = (surface[0].copy(), surface[1].copy())
        state = (np.array(self.weights_.T, order="C"), np.array(self.thresholds_, np.float64))
        found = self._run(read, columns, surface, state, learns=True)
        self.weights_, self.thresholds_ = np.ascontiguousarray(state[0].T), state[1]
        self.last_seen_ = None if self.reset_between else surface
        self._note(read, found)
        return found

    def _check_patch(self, owner: str) -> None:
        size = self.weights_.shape[1]
        if (2 * self.radius + 1) ** 2 != size:
            raise ParameterError(
                f"{owner}: radius must be that of fit, {(math.isqrt(size) - 1) // 2}; got "
                f"{self.radius}. Set it back, or fit anew."
            )

    def _run(
        self,
        read: PixelEvents,
        columns: Array,
        surface: tuple[Array, Array],
        state: tuple[Array, Array],
        *,
        learns: bool,
    ) -> Learned:
        selects = self.selection == "threshold"
        rules = (
            float(read.events.tick / self.tau),
            float(self.eta),
            float(self.threshold_open),
            float(self.threshold_close),
        )
        modes = (learns, selects, self.border == "zero", bool(self.clip))
        return learn(columns, surface, state, rules, modes, self.block)

    def _note(self, read: PixelEvents, found: Learned) -> None:
        """Count what was won and missed, and write the history on."""
        n_features = self.won_.size
        won = found.label >= 0
        self.won_ = self.won_ + np.bincount(found.label[won], minlength=n_features)
        self.n_missed_ += int(np.count_nonzero(found.label == MISSED))
        self.n_seen_ += int(np.count_nonzero(found.label != BORDER))
        self.activity_ = self.won_ / max(self.n_seen_, 1)
        self.missed_rate_ = self.n_missed_ / max(self.n_seen_, 1)
        rule, selects = self._rule(), self.selection == "threshold"
        self.equilibrium_missed_rate_ = rule.missed_share(n_features) if selects else 0.0
        shares = trial_shares(read, found.label, n_features)
        self.trial_shares_ = np.concatenate([self.trial_shares_, shares])
        before = int(self.history_.event[-1]) if self.history_.sizes["block"] else 0
        ends = np.minimum(self.block * np.arange(1, len(found.rows) + 1), won.size) + before
        self.history_ = history_of(
            np.concatenate([self.history_.values, found.rows]),
            np.concatenate([self.history_.event.values, ends]),
        )
        self.converged_ = selects and has_converged(self.history_, rule, n_features)
