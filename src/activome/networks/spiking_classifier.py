"""A classifier of spike trains whose hidden cells can learn their own constants."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_choice, check_integer, check_number
from activome._extras import require
from activome._random import RandomState, integer_seed
from activome.activity._spike_trains import as_spikes, check_classes
from activome.activity.complexity import lempel_ziv_complexity
from activome.activity.estimators.trial import TrialTransformer
from activome.errors import ParameterError

__all__ = ["SpikingClassifier"]

Array = np.ndarray[Any, Any]
_NEURONS = ("lif", "meta")
_RULES = ("surrogate", "stdp", "tempotron")
_READOUTS = ("rate", "lzc")
_AT_ONCE = 512
# The read-out sees ten times the mean rate, so that it is of the order of one.
RATE_SCALE = 10.0


class SpikingClassifier(ClassifierMixin, TrialTransformer):
    """Classify spike trains by one hidden layer of spiking cells.

    Inputs are weighed onto cells whose constants (time constant, threshold, reset; or those of the
    recovery of a meta neuron) can learn together with the weights. The class is read from the mean
    rates of the hidden cells, or from the Lempel-Ziv complexity of their spike trains, which tells
    trains apart that have the same rate.

    Parameters
    ----------
    n_hidden : int, default=16
        Hidden cells.
    neuron : {"lif", "meta"}, default="lif"
        Cells: ``LIFCell`` or ``MetaCell``.
    learn_internal : bool, default=True
        Whether the constants of the cells learn.
    rule : {"surrogate", "stdp", "tempotron"}, default="surrogate"
        How weights and constants learn: by the gradient of the cross-entropy through smooth
        spikes; by pairs of spikes without labels, with thresholds that follow a target rate; or by
        the tempotron's cost, each cell to fire for one class.
    readout : {"rate", "lzc"}, default="rate"
        What the class is read from.
    n_epochs : int, default=15
        Passes over the trials.
    lr : float in (0, inf), default=1e-2
        Learning rate; of Adam where gradients are followed.
    batch_size : int, default=64
        Trials per step; all of them where there are fewer.
    internal : dict of str to float, optional
        Values of constants at the beginning, the same for all cells: "tau" (steps), "threshold",
        "reset"; of a meta neuron "theta_v", "theta_u", "theta_r", "theta_s", "tau", "threshold".
    stochastic : bool, default=False
        Whether cells fire by chance, with a temperature that is one more constant. After training,
        the same draws decide for every trial.
    random_state : int, Generator or None, default=0
        Seed of weights, order of trials and draws; the weights at the beginning are the same
        whether constants learn or not.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        Labels.
    input_weights_ : ndarray of float32, shape (n_hidden, n_inputs)
        Weights of the inputs.
    constants_ : dict of str to ndarray of float32, shape (2, n_hidden)
        Constants of the cells before and after training.
    internal_parameters_ : pandas.DataFrame
        The same as a table: columns unit, parameter, before, after.
    coef_ : ndarray of float64, shape (n_outputs, n_hidden)
        Read-out; one output for two classes.
    intercept_ : ndarray of float64, shape (n_outputs,)
        Its bias.
    seed_ : int
        Seed of the draws of stochastic cells.
    n_silent_ : int
        Hidden cells that never fired in the training trials. Their complexity is that of constant
        trains, which is not 0.

    Raises
    ------
    ActivityError
        If spikes are not 0 or 1 or not finite, there are fewer than two steps or classes, or a
        class has no spike.
    MissingExtraError
        If torch is not installed.
    ParameterError
        If a parameter is outside its range.

    Notes
    -----
    Plain arrays are (n_trials, n_times, n_units). For "surrogate" and "rate" the read-out learns
    with the weights; the others are logistic regressions of the standardised rates or complexities
    of the training trials. For STDP, excitatory weights change batch by batch and keep their sum
    onto each cell; the tempotron's cost is that of the peak of the voltage, with the resets that
    there are. These are our choice.

    References
    ----------
    .. [1] Z. Rudnicka, J. Szczepanski and A. Pregowska, "Learning internal biological neuron
       parameters and complexity-based encoding for improved spiking neural networks performance",
       2025.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(120) % 2
    >>> bursts = 2 * (np.arange(40) // 5 % 2)  # the same mean rate, in bursts or not
    >>> X = rng.random((120, 40, 8)) < 0.2 * np.where(y[:, None] == 1, bursts, 1)[:, :, None]
    >>> model = SpikingClassifier(8, batch_size=30, lr=0.05).fit(X, y)
    >>> bool(model.score(X, y) > 0.8)
    True
    >>> model.internal_parameters_.groupby("parameter")["before"].mean().round(3).to_dict()
    {'reset': 0.0, 'tau': 10.0, 'threshold': 1.0}
    """

    _takes_target: ClassVar[bool] = True
    _min_samples: ClassVar[int] = 2
    _times_before_units: ClassVar[bool] = True

    def __init__(
        self,
        n_hidden: int = 16,
        neuron: str = "lif",
        *,
        learn_internal: bool = True,
        rule: str = "surrogate",
        readout: str = "rate",
        n_epochs: int = 15,
        lr: float = 1e-2,
        batch_size: int = 64,
        internal: Mapping[str, float] | None = None,
        stochastic: bool = False,
        random_state: RandomState = 0,
    ) -> None:
        self.n_hidden = n_hidden
        self.neuron = neuron
        self.learn_internal = learn_internal
        self.rule = rule
        self.readout = readout
        self.n_epochs = n_epochs
        self.lr = lr
        self.batch_size = batch_size
        self.internal = internal
        self.stochastic = stochastic
        self.random_state = random_state

    @property
    def internal_parameters_(self) -> pd.DataFrame:
        """Constants of every hidden cell before and after training, one row each."""
        check_is_fitted(self)
        tables = [
            pd.DataFrame(
                {"unit": range(before.size), "parameter": name, "before": before, "after": after}
            )
            for name, (before, after) in self.constants_.items()
        ]
        return pd.concat(tables, ignore_index=True)

    def _fit(self, values: Array, target: Array) -> None:
        owner = "SpikingClassifier.fit"
        self._check_parameters()
        check_classification_targets(target)
        spikes = as_spikes(values, owner)
        self.classes_, codes = np.unique(target, return_inverse=True)
        check_classes(spikes, codes, self.classes_, owner)
        torch = require("torch", extra="nets", owner=owner)
        training = require("activome.networks.training", extra="nets", owner=owner)
        rules = require("activome.networks._spiking_rules", extra="nets", owner=owner)
        self.seed_ = integer_seed(self.random_state)
        with training.seed_everything(self.seed_):
            net = self._network(self.classes_.size)
        inputs = torch.from_numpy(spikes.astype(np.float32))
        is_small = len(inputs) <= self.batch_size
        config = training.TrainConfig(
            steps=self.n_epochs * math.ceil(len(inputs) / self.batch_size),
            batch_size=None if is_small else self.batch_size,
            lr=self.lr,
            seed=self.seed_,
        )
        before = rules.constants_of(net.cell)
        rules.RULES[self.rule](
            net, inputs, torch.from_numpy(codes.astype(np.int64)), config, self.learn_internal
        )
        after = rules.constants_of(net.cell)
        self.constants_ = {name: np.stack([before[name], after[name]]) for name in before}
        self.input_weights_ = net.weigh.weight.detach().numpy().copy()
        self._fit_readout(net.output, self._hidden(spikes), codes)

    def _fit_readout(self, output: Any, hidden: Array, codes: Array) -> None:
        self.n_silent_ = int((~hidden.any(axis=(0, 1))).sum())
        if self.rule == "surrogate" and self.readout == "rate":
            coef, intercept = (p.detach().double().numpy() for p in (output.weight, output.bias))
            if self.classes_.size == 2:
                coef, intercept = np.diff(coef, axis=0), np.diff(intercept)
            self.coef_, self.intercept_ = coef.copy(), intercept.copy()
            return
        features = self._features(hidden)
        mean, spread = features.mean(axis=0), features.std(axis=0)
        spread[spread < 1e-12] = 1.0
        model = LogisticRegression(max_iter=500).fit((features - mean) / spread, codes)
        self.coef_ = model.coef_ / spread
        self.intercept_ = model.intercept_ - self.coef_ @ mean

    def decision_function(self, X: Any) -> Array:
        """Return the output of the read-out.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_trials, n_times, n_units)
            Spikes, 0 or 1.

        Returns
        -------
        ndarray of float64, shape (n_trials,) or (n_trials, n_classes)
            Log-odds of the second of two classes, or one output for each of more.

        Raises
        ------
        ActivityError
            If spikes are not 0 or 1, or the units are not those of ``fit``.
        """
        check_is_fitted(self)
        values, _ = self._read(X, reset=False)
        hidden = self._hidden(as_spikes(values, "SpikingClassifier.decision_function"))
        outputs = self._features(hidden) @ self.coef_.T + self.intercept_
        return np.asarray(outputs[:, 0] if self.classes_.size == 2 else outputs)

    def predict(self, X: Any) -> Array:
        """Name the class of every trial.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_trials, n_times, n_units)
            Spikes, 0 or 1.

        Returns
        -------
        ndarray, shape (n_trials,)
            Labels.

        Raises
        ------
        ActivityError
            If spikes are not 0 or 1, or the units are not those of ``fit``.
        """
        outputs = self.decision_function(X)
        codes = (outputs > 0).astype(np.int64) if outputs.ndim == 1 else outputs.argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of every class.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_trials, n_times, n_units)
            Spikes, 0 or 1.

        Returns
        -------
        ndarray of float64, shape (n_trials, n_classes)
            Probabilities, in the order of ``classes_``.

        Raises
        ------
        ActivityError
            If spikes are not 0 or 1, or the units are not those of ``fit``.
        """
        outputs = self.decision_function(X)
        if outputs.ndim == 1:
            outputs = np.stack([np.zeros_like(outputs), outputs], axis=1)
        return np.asarray(softmax(outputs, axis=1))

    def score(self, X: Any, y: ArrayLike | str, sample_weight: ArrayLike | None = None) -> float:
        """Return the share of trials that are named rightly.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_trials, n_times, n_units)
            Spikes, 0 or 1.
        y : array-like or str, shape (n_trials,)
            Labels, or the name of a label of the activity.
        sample_weight : array-like of float, shape (n_trials,), optional
            Weight of each trial.

        Returns
        -------
        float
            Accuracy in [0, 1].

        Raises
        ------
        ActivityError
            If spikes are not 0 or 1, the units are not those of ``fit``, or there is not a label
            for each trial.
        """
        check_is_fitted(self)
        values, index = self._read(X, reset=False)
        labels = self._read_target(y, index)
        self._check_target_length(labels, values)
        return float(accuracy_score(labels, self.predict(X), sample_weight=sample_weight))

    def _transform(self, values: Array) -> Array:
        hidden = self._hidden(as_spikes(values, "SpikingClassifier.transform"))
        return hidden.swapaxes(1, 2)

    def _count_outputs(self) -> int:
        return int(self.input_weights_.shape[0])

    def _network(self, n_classes: int) -> Any:
        rules = require("activome.networks._spiking_rules", extra="nets", owner="SpikingClassifier")
        cell = rules.make_cell(
            self.neuron,
            self.n_hidden,
            dict(self.internal or {}),
            # STDP moves thresholds itself.
            learns=self.learn_internal and self.rule != "stdp",
            stochastic=self.stochastic,
            # The cost of a peak is that of what adds up to it, as it is.
            detach_reset=self.rule == "tempotron",
        )
        return rules.SpikingLayer(self.n_features_in_, n_classes, cell)

    def _hidden(self, spikes: Array) -> Array:
        """Return the spikes of the hidden cells, bool (n_trials, n_times, n_hidden)."""
        owner = "SpikingClassifier"
        torch = require("torch", extra="nets", owner=owner)
        training = require("activome.networks.training", extra="nets", owner=owner)
        rules = require("activome.networks._spiking_rules", extra="nets", owner=owner)
        with training.seed_everything(self.seed_), torch.no_grad():
            # In float64, results do not depend on the number of threads.
            net = self._network(2).double().eval()
            net.weigh.weight[:] = torch.from_numpy(self.input_weights_)
            rules.set_constants(net.cell, {k: v[1] for k, v in self.constants_.items()})
            draws = net.draws(1, spikes.shape[1], torch.Generator().manual_seed(self.seed_))
            n_parts = math.ceil(len(spikes) / _AT_ONCE)
            parts = [
                net.respond(torch.from_numpy(part.astype(np.float64)), draws)[0].numpy() > 0.5
                for part in np.array_split(spikes, n_parts)
            ]
        return np.concatenate(parts)

    def _features(self, hidden: Array) -> Array:
        if self.readout == "lzc":
            return np.asarray(lempel_ziv_complexity(hidden, axis=1))
        return np.asarray(RATE_SCALE * hidden.mean(axis=1))

    def _check_parameters(self) -> None:
        owner = "SpikingClassifier"
        check_choice(self.neuron, _NEURONS, name="neuron", owner=owner)
        check_choice(self.rule, _RULES, name="rule", owner=owner)
        check_choice(self.readout, _READOUTS, name="readout", owner=owner)
        for name in ("n_hidden", "n_epochs", "batch_size"):
            check_integer(getattr(self, name), name=name, owner=owner, low=1)
        check_number(self.lr, name="lr", owner=owner, low=0.0, high=math.inf)
        if self.internal is not None and not isinstance(self.internal, Mapping):
            raise ParameterError(
                f"{owner}: internal must be a dict from names of constants to numbers; got "
                f"{type(self.internal).__name__}."
            )
