"""The tempotron: a cell that learns to fire for some patterns of spike times and not for others."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_integer, check_number
from activome._random import RandomState, spawn_generators
from activome.activity.estimators.sample import SampleEstimator
from activome.activity.events import Events
from activome.activity.stacking import SampleIndex
from activome.errors import ActivityError, ConvergenceWarning, ParameterError
from activome.networks._labels import encode_labels
from activome.networks._tempotron_kernel import decays, gather, learn_epoch, peaks, raise_peaks

__all__ = ["Tempotron"]

Array = np.ndarray[Any, Any]
_MS = 1e3
# Deviation of the weights at the beginning: together, the inputs are far from the threshold.
_START = 0.1
# Spikes whose decays are computed together.
_AT_ONCE = 2**15


@dataclass(frozen=True)
class _Spikes:
    """Spikes of all trials, one trial after the other, each in order of time (ms)."""

    time: Array
    unit: Array
    offsets: Array
    shape: tuple[int, int]


class Tempotron(ClassifierMixin, SampleEstimator):
    """Classify patterns of spike times by whether a leaky cell reaches its threshold.

    The potential is ``V(t) = sum_i w_i sum_{t_i <= t} K(t - t_i)`` with
    ``K(s) = v_0 (exp(-s / tau_m) - exp(-s / tau_s))``, whose peak is 1; the cell should reach 1
    for its own class and stay below for the others. After an error every weight changes by
    ``lr sum_{t_i <= t_max} K(t_max - t_i)``, up for a missed pattern and down for a false alarm,
    plus ``momentum`` times its last change. For more than two classes each has a cell of its own,
    and the highest potential decides.

    Parameters
    ----------
    tau_m : float in (0, inf), default=15.0
        Time constant of the membrane, ms.
    tau_s : float in (0, tau_m), default=3.75
        Time constant of the synapses, ms.
    lr : float in (0, inf), default=5e-3
        Learning rate.
    momentum : float in [0, 1), default=0.9
        Share of the last change that is made again.
    n_epochs : int, default=1000
        Most passes over the patterns; a cell stops after one without an error.
    learn_tau : bool, default=False
        Whether the logarithms of both time constants of each cell follow the same errors along
        the gradient of its peak. They stay within a factor of ten of where they began, with
        ``tau_s`` at most nine tenths of ``tau_m`` (our choice).
    random_state : int, Generator or None, default=0
        Seed of the weights and of the order of patterns.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        Labels. Of two, the cell fires for the second.
    weights_ : ndarray of float64, shape (n_cells, n_inputs)
        Weights, one cell for two classes and else one for each.
    taus_ : ndarray of float64, shape (n_cells, 2)
        Time constants of the membrane and the synapses, ms.
    n_errors_ : ndarray of int64, shape (n_cells,)
        Errors in the best pass, some of which it went on to mend.
    n_iter_ : int
        Passes, the most of any cell.

    Raises
    ------
    ActivityError
        If a latency is minus infinity, there is one class only, or labels do not fit.
    ParameterError
        If a parameter is outside its range, or ``tau_s`` is not below ``tau_m``.

    Notes
    -----
    The peak is exact: between two input spikes the potential has one stationary point at most,
    which is known in closed form. A pass costs O(n_spikes); in training and in ``predict`` a
    stationary point is only computed where it may pass what decides. A pattern whose potential
    never rises above rest has a peak of 0; should it fire, it learns at the highest potential after
    its first spike, so that cells do not die (our choice). Weights start as
    N(0, 0.1 / sqrt(n_inputs)).
    Without a pass free of errors, the weights after that with the fewest are kept, and a
    `ConvergenceWarning` tells so.

    References
    ----------
    .. [1] R. Guetig and H. Sompolinsky, "The tempotron: a neuron that learns spike timing-based
       decisions", 2006.
    .. [2] Z. Rudnicka, J. Szczepanski and A. Pregowska, "Learning internal biological neuron
       parameters and complexity-based encoding for improved spiking neural networks performance",
       2025.

    Examples
    --------
    >>> latencies = np.array([[10.0, 12.0, np.nan], [12.0, 40.0, np.nan], [40.0, 41.0, 90.0]])
    >>> model = Tempotron().fit(latencies, ["near", "far", "near"])
    >>> model.predict(latencies).tolist(), model.decision_function(latencies).round(1).tolist()
    (['near', 'far', 'near'], [1.1, 0.7, 1.1])
    """

    _takes_target: ClassVar[bool] = True
    _allow_missing: ClassVar[bool] = True

    def __init__(
        self,
        tau_m: float = 15.0,
        tau_s: float = 3.75,
        *,
        lr: float = 5e-3,
        momentum: float = 0.9,
        n_epochs: int = 1000,
        learn_tau: bool = False,
        random_state: RandomState = 0,
    ) -> None:
        self.tau_m = tau_m
        self.tau_s = tau_s
        self.lr = lr
        self.momentum = momentum
        self.n_epochs = n_epochs
        self.learn_tau = learn_tau
        self.random_state = random_state

    def _fit(self, values: Any, target: Array) -> None:
        owner = "Tempotron.fit"
        self._check_parameters()
        spikes = _spikes_of(values, owner)
        self.classes_, codes = encode_labels(target, owner)
        wanted = [1] if self.classes_.size == 2 else range(self.classes_.size)
        generators = spawn_generators(self.random_state, len(wanted))
        left = decays(spikes.time, spikes.offsets, self.tau_m, self.tau_s)
        cells = [
            self._learn(spikes, left, codes == code, generator)
            for code, generator in zip(wanted, generators, strict=True)
        ]
        self.weights_ = np.array([cell[0] for cell in cells])
        self.taus_ = np.array([cell[1] for cell in cells])
        self.n_errors_ = np.array([cell[2] for cell in cells], dtype=np.int64)
        self.n_iter_ = max(cell[3] for cell in cells)
        if self.n_errors_.any():
            warnings.warn(
                f"Tempotron.fit: {self.n_errors_.max()} of {codes.size} patterns were wrong in the "
                f"best of {self.n_epochs} passes. Raise n_epochs, or lower lr.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _learn(
        self, spikes: _Spikes, left: Array, is_target: Array, generator: np.random.Generator
    ) -> tuple[Array, Array, int, int]:
        n_trials, n_inputs = spikes.shape
        weight = generator.normal(0.0, _START / np.sqrt(n_inputs), n_inputs)
        fewest, kept = n_trials + 1, (weight, np.empty(0))
        start = np.array([self.tau_m, self.tau_s], dtype=np.float64)
        taus, velocity = start.copy(), np.zeros(n_inputs + 2)
        n_iter = 0
        for _ in range(self.n_epochs):
            n_iter += 1
            n_errors = learn_epoch(
                spikes.time,
                spikes.unit,
                spikes.offsets,
                left,
                is_target,
                generator.permutation(n_trials),
                weight,
                velocity,
                taus,
                start,
                float(self.lr),
                float(self.momentum),
                bool(self.learn_tau),
            )
            if n_errors < fewest:
                fewest, kept = n_errors, (weight.copy(), taus.copy())
            if n_errors == 0:
                break
        return *kept, fewest, n_iter

    def decision_function(self, X: Any) -> Array:
        """Return the peak of the potential.

        Parameters
        ----------
        X : xarray.DataArray, array-like, shape (n_trials, n_inputs), or Events
            Latencies in ms, NaN or infinity for no spike; or spikes in trials.

        Returns
        -------
        ndarray of float64, shape (n_trials,) or (n_trials, n_classes)
            Peak, at least 0; one column per class for more than two.

        Raises
        ------
        ActivityError
            If the inputs are not those of ``fit``, or a latency is minus infinity.
        """
        value = self._peaks(X, "Tempotron.decision_function")[0]
        return value[:, 0] if self.classes_.size == 2 else value

    def peak_time(self, X: Any) -> Array:
        """Return when the potential peaks.

        Parameters
        ----------
        X : xarray.DataArray, array-like, shape (n_trials, n_inputs), or Events
            Latencies in ms, NaN or infinity for no spike; or spikes in trials.

        Returns
        -------
        ndarray of float64, shape (n_trials,) or (n_trials, n_classes)
            Time in ms, on the clock of the latencies or from the start of the events; where the
            potential never rises above rest, of its highest value after the first spike; NaN
            without a spike.

        Raises
        ------
        ActivityError
            If the inputs are not those of ``fit``, or a latency is minus infinity.
        """
        when = self._peaks(X, "Tempotron.peak_time")[1]
        return when[:, 0] if self.classes_.size == 2 else when

    def predict(self, X: Any) -> Array:
        """Name the class of every pattern.

        Parameters
        ----------
        X : xarray.DataArray, array-like, shape (n_trials, n_inputs), or Events
            Latencies in ms, NaN or infinity for no spike; or spikes in trials.

        Returns
        -------
        ndarray, shape (n_trials,)
            Of two classes the second where the peak reaches 1; of more that of the highest peak.

        Raises
        ------
        ActivityError
            If the inputs are not those of ``fit``, or a latency is minus infinity.
        """
        spikes = self._spikes(X, "Tempotron.predict")
        is_binary = self.classes_.size == 2
        index = np.zeros(spikes.shape[0], dtype=np.int64)
        # What a peak has to pass: the threshold, or those of the classes before it.
        value = np.full(index.size, np.nextafter(1.0, 0.0) if is_binary else 0.0)
        for block, trials in _blocks(spikes):
            for number, (weight, taus, left) in enumerate(self._cells(block), int(is_binary)):
                raise_peaks(
                    block.time, block.unit, block.offsets, left, weight, taus[0], taus[1],
                    value[trials], index[trials], number,
                )  # fmt: skip
        return np.asarray(self.classes_[index])

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn that latencies may be missing."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _peaks(self, X: Any, owner: str) -> tuple[Array, Array]:
        spikes = self._spikes(X, owner)
        value, when = np.empty((2, spikes.shape[0], len(self.weights_)))
        for block, trials in _blocks(spikes):
            for k, (weight, taus, left) in enumerate(self._cells(block)):
                value[trials, k], when[trials, k] = peaks(
                    block.time, block.unit, block.offsets, left, weight, *taus
                )
        return value, when

    def _spikes(self, X: Any, owner: str) -> _Spikes:
        check_is_fitted(self)
        return _spikes_of(self._read(X, reset=False)[0], owner)

    def _cells(self, spikes: _Spikes) -> Iterator[tuple[Array, Array, Array]]:
        """Yield weights, time constants, and the decays that go with them, of every cell."""
        known: tuple[float, ...] = ()
        for weight, taus in zip(self.weights_, self.taus_, strict=True):
            if known != tuple(taus):
                known, left = tuple(taus), decays(spikes.time, spikes.offsets, *taus)
            yield weight, taus, left

    def _read(self, X: Any, *, reset: bool) -> tuple[Any, SampleIndex | None]:
        if not isinstance(X, Events):
            return super()._read(X, reset=reset)
        owner = self._owner(reset)
        if reset:
            self.n_features_in_, self.unit_names_ = X.n_units, None
            if hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
        elif X.n_units != self.n_features_in_:
            raise ActivityError(
                f"{owner}: events must have the {self.n_features_in_} units of fit; got "
                f"{X.n_units}."
            )
        time = (X.t - X.t_start) * (X.tick * _MS)
        # A copy that can be written to, as latencies are: kernels then compile once for both.
        return _Spikes(time, X.unit.copy(), X.offsets, (X.n_trials, X.n_units)), None

    def _check_parameters(self) -> None:
        owner = "Tempotron"
        for name, value in (("tau_m", self.tau_m), ("tau_s", self.tau_s), ("lr", self.lr)):
            check_number(value, name=name, owner=owner, low=0.0, high=np.inf)
        if not self.tau_s < self.tau_m:
            raise ParameterError(
                f"{owner}: tau_s must be below tau_m; got {self.tau_s:g} and {self.tau_m:g} ms."
            )
        check_number(
            self.momentum, name="momentum", owner=owner, low=0.0, high=1.0, include_low=True
        )
        check_integer(self.n_epochs, name="n_epochs", owner=owner, low=1)


def _spikes_of(values: Any, owner: str) -> _Spikes:
    """Return the spikes of latencies (n_trials, n_inputs) in order of time."""
    if isinstance(values, _Spikes):
        return values
    latency = np.ascontiguousarray(values, dtype=np.float64)
    is_spike = np.isfinite(latency)
    is_full = bool(is_spike.all())
    early = np.isneginf(latency) if not is_full else is_spike[:0]
    if early.any():
        trial, unit = (int(k) for k in np.argwhere(early)[0])
        raise ActivityError(
            f"{owner}: latencies must not be minus infinity; {int(early.sum())} of {latency.size} "
            f"are, the first at sample {trial}, unit {unit}. Use NaN for no spike."
        )
    # Infinity and NaN come last, so that the spikes of a trial are the first of its row.
    order = np.argsort(latency, axis=1)
    counts = is_spike.sum(axis=1)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    time = np.empty(offsets[-1])
    columns = np.empty(offsets[-1], dtype=np.int32)
    gather(latency, order, counts, time, columns)
    return _Spikes(time, columns, offsets, latency.shape)


def _blocks(spikes: _Spikes) -> Iterator[tuple[_Spikes, slice]]:
    """Yield trials that together have few spikes enough for their decays to stay near."""
    most = max(1, int(_AT_ONCE * spikes.shape[0] / max(1, spikes.time.size)))
    for start in range(0, spikes.shape[0], most):
        trials = slice(start, min(start + most, spikes.shape[0]))
        offsets = spikes.offsets[trials.start : trials.stop + 1]
        part = slice(offsets[0], offsets[-1])
        yield _Spikes(
            spikes.time[part], spikes.unit[part], offsets - offsets[0],
            (trials.stop - trials.start, spikes.shape[1]),
        ), trials  # fmt: skip
