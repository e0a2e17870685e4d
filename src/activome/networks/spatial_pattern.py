"""A spiking detector of spatial patterns, trained in one presentation by STDP and homeostasis."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_choice, check_integer, check_memory, check_number
from activome.errors import ActivityError, ConvergenceWarning, ParameterError
from activome.networks._pattern_circuit import SLACK, Circuit, peak_response, recall, train
from activome.networks._pattern_input import read_patterns
from activome.networks.spiking.neurons import IFCurrExp
from activome.networks.spiking.plasticity import PairSTDP

__all__ = ["SpatialPatternDetector"]

Array = np.ndarray[Any, Any]


class SpatialPatternDetector(BaseEstimator):
    """Learn to fire for one set of simultaneous input spikes, from a single presentation.

    A teacher makes the output fire just after the lines of a pattern. Spike timing switches on the
    excitatory synapses of these lines and switches off their inhibitory ones; homeostasis then sets
    their total to ``homeostasis`` times the drive that just reaches the threshold. With one pattern
    per output an input is detected if it lacks at most ``floor(n (1 - 1 / homeostasis))`` of the n
    lines and has no other line. Several patterns on one output share its lines, so that mixtures of
    them are detected too.

    Parameters
    ----------
    n_outputs : int, default=1
        Output cells.
    homeostasis : float in [1, inf) or None, default=1.05
        Drive of a trained pattern, as a multiple of the drive at threshold; None leaves the rule
        out.
    cycles : int, default=30
        Most rounds over the patterns; they end once every drive is within 1e-4 of its aim.
    dt : float, default=0.1
        Step of the clock, ms.
    tau_m, tau_syn : float, default=20.0, 5.0
        Time constants of the membrane and of the synaptic currents, ms; the capacitance is 1 nF.
    v_threshold : float, default=10.0
        Threshold above rest, mV.
    teacher_delay : float, default=2.0
        From the arrival of the volley to the spike that the teacher evokes, ms.
    stdp : PairSTDP, optional
        Rule of the excitatory synapses, with amplitudes in units of ``drive_threshold_`` over the
        number of active lines, and limits in units of ``drive_threshold_``. By default a synapse is
        switched on once, with 20 ms and an amplitude of 1.
    inhibition : {"plastic", "none"}, default="plastic"
        Whether lines veto an output that was not trained with them.
    window : float, default=20.0
        How long after the volley a spike counts, ms.

    Attributes
    ----------
    w_exc_, w_inh_ : ndarray of float64, shape (n_lines, n_outputs)
        Weights, nA.
    drive_threshold_ : float
        Total weight of a volley whose response just reaches the threshold on this clock, nA.
    history_ : ndarray of float64, shape (n_presentations, n_lines, n_outputs)
        Excitatory weights after each presentation; outputs are trained side by side.
    n_iter_ : int
        Rounds.
    n_features_in_ : int
        Lines.
    patterns_ : ndarray of bool, shape (n_patterns, n_lines)
        What was trained.
    output_ : ndarray of int64, shape (n_patterns,)
        The output of each pattern.

    Raises
    ------
    ParameterError
        If a parameter is outside its range.
    ActivityError
        If patterns are not binary or are empty, differ in lines, or contradict each other.

    Notes
    -----
    O(window / dt) steps for every input and output, in one run of ``simulate`` for many of them.
    Constants of the cell, the inhibitory way and the form of the rule are our choice: an output has
    a plastic veto per line; the teacher is a current of one step; each presentation starts from
    rest, as after a long pause. A drive that reaches the threshold within 1e-9 of it counts. A
    pattern that is part of another cannot be exact beside it on one output.

    References
    ----------
    .. [1] S. Davies, A. Gait, A. Rowley and A. Di Nuovo, "Supervised learning of spatial features
       with STDP and homeostasis using Spiking Neural Networks on SpiNNaker", 2023.

    Examples
    --------
    >>> pattern = np.array([[1, 1, 1, 1, 1, 0, 0, 0]])
    >>> detector = SpatialPatternDetector().fit(pattern)
    >>> round(detector.drive_threshold_, 4)
    3.1748
    >>> detector.predict([[1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0]]).tolist()
    [[True], [False]]
    """

    def __init__(
        self,
        n_outputs: int = 1,
        homeostasis: float | None = 1.05,
        *,
        cycles: int = 30,
        dt: float = 0.1,
        tau_m: float = 20.0,
        tau_syn: float = 5.0,
        v_threshold: float = 10.0,
        teacher_delay: float = 2.0,
        stdp: PairSTDP | None = None,
        inhibition: Literal["plastic", "none"] = "plastic",
        window: float = 20.0,
    ) -> None:
        self.n_outputs = n_outputs
        self.homeostasis = homeostasis
        self.cycles = cycles
        self.dt = dt
        self.tau_m = tau_m
        self.tau_syn = tau_syn
        self.v_threshold = v_threshold
        self.teacher_delay = teacher_delay
        self.stdp = stdp
        self.inhibition = inhibition
        self.window = window

    def fit(self, X: Any, y: Any = None, *, connected: ArrayLike | None = None) -> Self:
        """Train the outputs, each with its patterns.

        Parameters
        ----------
        X : xarray.DataArray or array-like of bool, shape (n_patterns, n_lines)
            Lines that fire together; an Activity has dims (trial, unit).
        y : array-like of int, shape (n_patterns,), optional
            Output of each pattern, from 0; by default all train output 0. With it ``predict``
            returns labels.
        connected : array-like of bool, shape (n_outputs, n_lines), optional
            False leaves a line out of an output altogether: it neither drives nor vetoes it.

        Returns
        -------
        Self
            The fitted detector.

        Raises
        ------
        ActivityError
            If patterns are not binary, one is empty, uses a line that is not connected, or stands
            under two labels; or labels or ``connected`` do not fit.
        ParameterError
            If a parameter is outside its range.
        """
        owner = "SpatialPatternDetector.fit"
        circuit = self._circuit()
        patterns = read_patterns(X, owner)
        counts = patterns.sum(axis=1)
        if not len(patterns) or not counts.all():
            found = f"row {int(np.argmin(counts))} has none" if len(patterns) else "got no pattern"
            raise ActivityError(f"{owner}: every pattern must have a line; {found}. Drop it.")
        output = self._read_labels(y, patterns)
        joined = self._read_connected(connected, patterns.shape[1])
        stray = (patterns & ~joined[output]).any(axis=1)
        if stray.any():
            raise ActivityError(
                f"{owner}: patterns must use connected lines only; row {int(np.argmax(stray))} has "
                "another. Clear its bit."
            )
        start = np.where(joined.T & circuit.vetoes, circuit.drive_threshold, 0.0)
        self.w_exc_, self.w_inh_, self.history_, change = train(
            circuit, patterns, output, start, int(self.cycles)
        )
        rounds = int(np.bincount(output).max())
        self.n_iter_ = len(self.history_) // rounds
        self.drive_threshold_ = circuit.drive_threshold
        self.n_features_in_ = patterns.shape[1]
        self.patterns_, self.output_ = patterns, output
        self._trained, self._has_labels = circuit, y is not None
        if change >= 1e-4:
            warnings.warn(
                f"{owner}: after {self.n_iter_} rounds a drive is still {change:.2g} of its aim "
                "away, more than 1e-4. Patterns of one output may depend on each other; raise "
                "cycles, or use more outputs.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def latency(self, X: Any) -> Array:
        """Return when each output fires for each input.

        Parameters
        ----------
        X : xarray.DataArray or array-like of bool, shape (n, n_lines)
            Lines that fire together.

        Returns
        -------
        ndarray of float64, shape (n, n_outputs)
            Time of the first spike after the lines', in ms; NaN where the output is silent.

        Raises
        ------
        ActivityError
            If inputs are not binary, or have another number of lines than in ``fit``.
        """
        rows = self._read_rows(X, "latency")
        return recall(self._trained, rows, self.w_exc_, self.w_inh_)[0]

    def predict(self, X: Any) -> Array:
        """Return what is detected.

        Parameters
        ----------
        X : xarray.DataArray or array-like of bool, shape (n, n_lines)
            Lines that fire together.

        Returns
        -------
        ndarray of bool, shape (n, n_outputs), or of int64, shape (n,)
            Whether each output fires; after a fit with labels the output that fires first (of
            several at once the one with the largest drive), -1 where all are silent.

        Raises
        ------
        ActivityError
            If inputs are not binary, or have another number of lines than in ``fit``.
        """
        first = self.latency(X)
        is_fired = ~np.isnan(first)
        if not self._has_labels:
            return is_fired
        drive = self.drive(X)
        first = np.where(is_fired, first, np.inf)
        at_first = first == first.min(axis=1, keepdims=True)
        label = np.where(at_first, drive, -np.inf).argmax(axis=1)
        return np.where(is_fired.any(axis=1), label, -1)

    def drive(self, X: Any) -> Array:
        """Return the total weight of each volley: in closed form what ``predict`` simulates.

        Parameters
        ----------
        X : xarray.DataArray or array-like of bool, shape (n, n_lines)
            Lines that fire together.

        Returns
        -------
        ndarray of float64, shape (n, n_outputs)
            Excitation minus inhibition, nA; an output fires from ``drive_threshold_`` on.

        Raises
        ------
        ActivityError
            If inputs are not binary, or have another number of lines than in ``fit``.
        """
        return np.asarray(self._read_rows(X, "drive").astype(float) @ (self.w_exc_ - self.w_inh_))

    def activity(self, X: Any) -> xr.Dataset:
        """Return the voltages and first spikes of a recall.

        Parameters
        ----------
        X : xarray.DataArray or array-like of bool, shape (n, n_lines)
            Lines that fire together.

        Returns
        -------
        xarray.Dataset
            ``v`` (trial, time, unit) in mV above rest, with time in s, and ``latency``
            (trial, unit) in ms, NaN where an output is silent.

        Raises
        ------
        ActivityError
            If inputs are not binary, or have another number of lines than in ``fit``.
        ResourceError
            If the voltages would take more than 2 GiB.
        """
        rows = self._read_rows(X, "activity")
        circuit = self._trained
        n_steps = round(circuit.window / circuit.dt) + 1
        check_memory(
            8.0 * len(rows) * n_steps * self.w_exc_.shape[1],
            owner="SpatialPatternDetector.activity",
            what=f"voltages of {len(rows)} inputs",
            cure="Give fewer inputs at a time.",
        )
        first, volts = recall(circuit, rows, self.w_exc_, self.w_inh_, trace=True)
        return xr.Dataset(
            {
                "v": (("trial", "time", "unit"), volts, {"units": "mV"}),
                "latency": (("trial", "unit"), first, {"units": "ms"}),
            },
            coords={"time": np.arange(n_steps) * circuit.dt * 1e-3},
        )

    def _circuit(self) -> Circuit:
        owner = "SpatialPatternDetector"
        check_integer(self.n_outputs, name="n_outputs", owner=owner, low=1)
        check_integer(self.cycles, name="cycles", owner=owner, low=1)
        for name in ("dt", "tau_m", "tau_syn", "v_threshold", "teacher_delay", "window"):
            check_number(getattr(self, name), name=name, owner=owner, low=0.0)
        check_choice(self.inhibition, ("plastic", "none"), name="inhibition", owner=owner)
        if self.stdp is not None and not isinstance(self.stdp, PairSTDP):
            raise ParameterError(f"{owner}: stdp must be a PairSTDP or None; got {self.stdp!r}.")
        if (
            self.homeostasis is not None
            and not check_number(self.homeostasis, name="homeostasis", owner=owner) >= 1.0
        ):
            raise ParameterError(
                f"{owner}: homeostasis must be at least 1; got {self.homeostasis:g}. Below it a "
                "trained pattern would never reach the threshold."
            )
        steps = self.teacher_delay / self.dt
        if self.teacher_delay > self.window or abs(steps - round(steps)) > 1e-6 or steps < 0.5:
            raise ParameterError(
                f"{owner}: teacher_delay must be a whole number of steps of dt and not longer than "
                f"window; got {self.teacher_delay:g} ms, {self.dt:g} ms and {self.window:g} ms."
            )
        rule = self.stdp or PairSTDP(
            tau_plus=20.0, a_plus=1.0, a_minus=0.0, w_max=10.0, weight_rule="once", delay="axonal"
        )
        cell = IFCurrExp(
            tau_m=self.tau_m,
            tau_e=self.tau_syn,
            tau_i=self.tau_syn,
            v_rest=0.0,
            v_reset=0.0,
            v_threshold=self.v_threshold * (1 - SLACK),
        )
        peak = peak_response(cell, self.dt, self.window, owner=owner)
        return Circuit(
            cell,
            self.dt,
            self.teacher_delay,
            self.window,
            self.v_threshold / peak,
            self.homeostasis,
            rule,
            self.inhibition == "plastic",
        )

    def _read_rows(self, X: Any, method: str) -> Array:
        check_is_fitted(self)
        owner = f"SpatialPatternDetector.{method}"
        rows = read_patterns(X, owner)
        if rows.shape[1] != self.n_features_in_:
            raise ActivityError(
                f"{owner}: inputs must have the {self.n_features_in_} lines of fit; got "
                f"{rows.shape[1]}."
            )
        return rows

    def _read_labels(self, y: Any, patterns: Array) -> Array:
        owner = "SpatialPatternDetector.fit"
        if y is None:
            return np.zeros(len(patterns), np.int64)
        labels = np.asarray(y)
        if labels.shape != (len(patterns),) or labels.dtype.kind not in "iu":
            raise ActivityError(
                f"{owner}: y must be one integer per pattern ({len(patterns)}); got "
                f"{labels.dtype} of shape {labels.shape}."
            )
        if labels.min() < 0 or labels.max() >= self.n_outputs:
            raise ActivityError(
                f"{owner}: labels must be in [0, {self.n_outputs - 1}]; got {labels.min()} to "
                f"{labels.max()}. Number them from 0, or raise n_outputs."
            )
        _, group = np.unique(patterns, axis=0, return_inverse=True)
        order = np.lexsort((labels, group.ravel()))
        same = np.diff(group.ravel()[order]) == 0
        clash = np.flatnonzero(same & (np.diff(labels[order]) != 0))
        if clash.size:
            one, other = sorted(order[clash[0] : clash[0] + 2].tolist())
            raise ActivityError(
                f"{owner}: a pattern must have one label; rows {one} and {other} are equal and "
                f"have {labels[one]} and {labels[other]}. Drop one."
            )
        return labels.astype(np.int64)

    def _read_connected(self, connected: ArrayLike | None, n_lines: int) -> Array:
        shape = (int(self.n_outputs), n_lines)
        if connected is None:
            return np.ones(shape, dtype=bool)
        joined = np.asarray(connected)
        if joined.shape != shape or not np.isin(joined, (0, 1)).all():
            raise ActivityError(
                "SpatialPatternDetector.fit: connected must be zeros and ones of shape "
                f"{shape}, (n_outputs, n_lines); got shape {joined.shape}."
            )
        return joined.astype(bool)
