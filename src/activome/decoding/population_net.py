"""A network that names the stimulus from the counts of many units, and can change its units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_choice, check_integer, check_number
from activome._extras import require
from activome._random import RandomState, integer_seed
from activome.activity.estimators.trial import TrialEstimator
from activome.decoding._responses import TRANSFORMS, Scale, labels_of, refuse_negative, rooted
from activome.errors import ActivityError

__all__ = ["PopulationDecoder"]

Array = np.ndarray[Any, Any]
_TRUNK = ("trunk", "output")
_AT_ONCE = 1024


class PopulationDecoder(ClassifierMixin, TrialEstimator):
    """Name the condition of a trial from the responses of a population, by a small network.

    Root of the counts, standardised per unit with training trials; a linear read-in over units;
    convolutions over time with rectifiers; their mean over time; a linear output. The read-in can
    be learned anew for other units (``partial_readin_fit``) while the rest stays.

    Parameters
    ----------
    embed : int, default=24
        Channels after the read-in.
    channels : sequence of int, default=(32, 32)
        Channels of the convolutions.
    kernel : int, default=3
        Their odd width in time bins.
    dropout : float in [0, 1), default=0.3
        Share of units, and of features, that is left out in training.
    count_transform : {"sqrt", "none"}, default="sqrt"
        What is done to the counts first.
    standardise : bool, default=True
        Whether to standardise each unit; the deviation counts 0.1 more than it is.
    lr : float, default=3e-3
        Learning rate of AdamW.
    weight_decay : float, default=1e-3
        Its weight decay.
    batch_size : int, default=32
        Trials per step; all of them where there are fewer.
    max_epochs : int, default=150
        Passes over the trials; with 0 the network stays as it was drawn.
    device : str, default="cpu"
        Where to train, a device of torch.
    random_state : int, Generator or None, default=0
        Seed of weights, order of trials and dropout.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        Classes.
    weights_ : dict of str to ndarray of float32, each of its own shape
        Weights of the network.
    mean_, spread_ : ndarray of float64, shape (n_units,)
        What each unit is standardised by.
    loss_curve_ : ndarray of float64, shape (n_logged,)
        Training loss: of the first batch, and the mean of each pass.

    Raises
    ------
    ActivityError
        If counts are negative, there are fewer than two classes, or values are not finite.
    MissingExtraError
        If torch is not installed.
    ParameterError
        If a parameter is outside its range.

    Notes
    -----
    The paper [1]_ trains a feed-forward network per animal and moves it to others; it does not tell
    the layers: these are our choice. After training, values below zero are accepted: responses
    that an aligner estimated, whose root keeps their sign.

    References
    ----------
    .. [1] A. Iqbal, P. Dong, C. M. Kim and H. Jang, "Decoding neural responses in mouse visual
       cortex through a deep neural network", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> side = np.repeat(["left", "right"], 20)
    >>> counts = rng.poisson(np.where(side == "left", 1.0, 3.0)[:, None, None], (40, 12, 8))
    >>> decoder = PopulationDecoder(max_epochs=20).fit(counts[::2], side[::2])
    >>> decoder.score(counts[1::2], side[1::2])
    1.0
    """

    _takes_target: ClassVar[bool] = True
    _min_samples: ClassVar[int] = 2

    def __init__(
        self,
        embed: int = 24,
        channels: Sequence[int] = (32, 32),
        *,
        kernel: int = 3,
        dropout: float = 0.3,
        count_transform: str = "sqrt",
        standardise: bool = True,
        lr: float = 3e-3,
        weight_decay: float = 1e-3,
        batch_size: int = 32,
        max_epochs: int = 150,
        device: str = "cpu",
        random_state: RandomState = 0,
    ) -> None:
        self.embed = embed
        self.channels = channels
        self.kernel = kernel
        self.dropout = dropout
        self.count_transform = count_transform
        self.standardise = standardise
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.device = device
        self.random_state = random_state

    def _fit(self, values: Array, target: Array) -> None:
        owner = "PopulationDecoder.fit"
        self._check_parameters(owner)
        refuse_negative(values, self.count_transform, owner)
        self.classes_, codes = np.unique(target, return_inverse=True)
        if self.classes_.size < 2:
            raise ActivityError(
                f"{owner}: there must be at least two classes; got {self.classes_.size}."
            )
        inputs = self._scale_to(values)
        seed = integer_seed(self.random_state)
        training = require("activome.networks.training", extra="nets", owner=owner)
        with training.seed_everything(seed):
            network = self._network()
        self._train(network, inputs, codes, seed, self.max_epochs, owner)

    def partial_readin_fit(self, X: Any, y: ArrayLike | str, *, max_epochs: int = 100) -> Self:
        """Learn a new read-in for other units, and keep the rest of the network.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_trials, n_units, n_times)
            Counts of any units.
        y : array-like or str, shape (n_trials,)
            Classes, all known from ``fit``; or the name of a label.
        max_epochs : int, default=100
            Passes over the trials.

        Returns
        -------
        PopulationDecoder
            This decoder, now of the new units; copy it first to keep the old one.

        Raises
        ------
        ActivityError
            If counts are negative or not finite, or a class is unknown.
        ParameterError
            If ``max_epochs`` is not a positive integer.
        """
        owner = "PopulationDecoder.partial_readin_fit"
        check_is_fitted(self)
        check_integer(max_epochs, name="max_epochs", owner=owner, low=1)
        trunk = self.weights_
        values, index = self._read(X, reset=True)
        refuse_negative(values, self.count_transform, owner)
        labels = labels_of(y, index, len(values), owner)
        codes = self._codes(labels, owner)
        inputs = self._scale_to(values)
        torch = require("torch", extra="nets", owner=owner)
        training = require("activome.networks.training", extra="nets", owner=owner)
        seed = integer_seed(self.random_state)
        with training.seed_everything(seed):
            network = self._network()
        kept = {name: torch.from_numpy(w.copy()) for name, w in trunk.items()
                if name.split(".")[0] in _TRUNK}  # fmt: skip
        network.load_state_dict(kept, strict=False)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.split(".")[0] not in _TRUNK)
        self._train(network, inputs, codes, seed, max_epochs, owner)
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of every class.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_trials, n_units, n_times)
            Counts.

        Returns
        -------
        ndarray of float64, shape (n_trials, n_classes)
            Probabilities, in the order of ``classes_``.

        Raises
        ------
        ActivityError
            If values are not finite, or the units are not those of ``fit``.
        """
        from scipy.special import softmax

        return np.asarray(softmax(self._run(X, "forward"), axis=1))

    def predict(self, X: Any) -> Array:
        """Name the class of every trial.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_trials, n_units, n_times)
            Counts.

        Returns
        -------
        ndarray, shape (n_trials,)
            Classes.

        Raises
        ------
        ActivityError
            If values are not finite, or the units are not those of ``fit``.
        """
        logits = self._run(X, "forward")
        return np.asarray(self.classes_[logits.argmax(axis=1)])

    def features(self, X: Any) -> Array:
        """Return what the output of the network sees.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_trials, n_units, n_times)
            Counts.

        Returns
        -------
        ndarray of float64, shape (n_trials, n_features)
            Mean over time of the last convolution.

        Raises
        ------
        ActivityError
            If values are not finite, or the units are not those of ``fit``.
        """
        return self._run(X, "features")

    def score(self, X: Any, y: ArrayLike | str, sample_weight: ArrayLike | None = None) -> float:
        """Return the share of trials that are named rightly.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_trials, n_units, n_times)
            Counts.
        y : array-like or str, shape (n_trials,)
            Classes, or the name of a label.
        sample_weight : array-like of float, shape (n_trials,), optional
            Weight of each trial.

        Returns
        -------
        float
            Accuracy in [0, 1].

        Raises
        ------
        ActivityError
            If there is not one class per trial, values are not finite, or the units are not those
            of ``fit``.
        """
        check_is_fitted(self)
        values, index = self._read(X, reset=False)
        labels = labels_of(y, index, len(values), "PopulationDecoder.score")
        weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        return float(np.average(self.predict(X) == labels, weights=weights))

    def _check_parameters(self, owner: str) -> None:
        check_choice(self.count_transform, TRANSFORMS, name="count_transform", owner=owner)
        for name, value, low in (
            ("batch_size", self.batch_size, 1), ("max_epochs", self.max_epochs, 0)
        ):  # fmt: skip
            check_integer(value, name=name, owner=owner, low=low)
        check_number(self.lr, name="lr", owner=owner, low=0.0)
        check_number(self.weight_decay, name="weight_decay", owner=owner, low=0.0, include_low=True)

    def _scale_to(self, values: Array) -> Array:
        """Learn the scale of the units, and return what the network reads."""
        responses = rooted(values, self.count_transform)
        scale = Scale.of(responses, standardise=self.standardise)
        self.mean_, self.spread_ = scale.mean, scale.spread
        return scale.apply(responses).astype(np.float32)

    def _codes(self, labels: Array, owner: str) -> Array:
        codes = np.searchsorted(self.classes_, labels)
        known = self.classes_[np.minimum(codes, self.classes_.size - 1)] == labels
        if not known.all():
            raise ActivityError(
                f"{owner}: classes must be known from fit ({self.classes_.tolist()}); "
                f"{labels[~known].tolist()[0]!r} is not."
            )
        return np.asarray(codes)

    def _network(self) -> Any:
        population = require("activome.networks.population", extra="nets", owner="PopulationNet")
        return population.PopulationNet(
            self.n_features_in_,
            self.classes_.size,
            embed=self.embed,
            channels=tuple(self.channels),
            kernel=self.kernel,
            dropout=self.dropout,
        )

    def _train(
        self, network: Any, inputs: Array, codes: Array, seed: int, n_epochs: int, owner: str
    ) -> None:
        torch = require("torch", extra="nets", owner=owner)
        training = require("activome.networks.training", extra="nets", owner=owner)

        def loss(model: Any, batch: Any, generator: Any) -> tuple[Any, dict[str, Any]]:
            return torch.nn.functional.cross_entropy(model(batch[0]), batch[1]), {}

        is_small = len(inputs) <= self.batch_size
        per_epoch = 1 if is_small else len(inputs) // self.batch_size
        self.loss_curve_ = np.zeros(0)
        if n_epochs:
            config = training.TrainConfig(
                steps=n_epochs * per_epoch,
                batch_size=None if is_small else self.batch_size,
                lr=self.lr,
                optimizer="adamw",
                weight_decay=self.weight_decay,
                seed=seed,
                eval_at=per_epoch,
                device=self.device,
            )
            data = torch.from_numpy(inputs), torch.from_numpy(codes.astype(np.int64))
            log = training.Trainer(network, loss, config).fit(data)
            self.loss_curve_ = np.asarray(log.dataset["loss"].values)
        self.weights_ = {k: v.cpu().numpy() for k, v in network.state_dict().items()}

    def _run(self, X: Any, method: str) -> Array:
        owner = "PopulationDecoder.predict"
        check_is_fitted(self)
        values, _ = self._read(X, reset=False)
        inputs = Scale(self.mean_, self.spread_).apply(rooted(values, self.count_transform))
        torch = require("torch", extra="nets", owner=owner)
        training = require("activome.networks.training", extra="nets", owner=owner)
        with training.seed_everything(0):
            # In float64, results do not depend on the number of threads.
            network = self._network().double().eval()
        network.load_state_dict({k: torch.from_numpy(w.copy()) for k, w in self.weights_.items()})
        batches = np.array_split(inputs, max(1, math.ceil(len(inputs) / _AT_ONCE)))
        with torch.no_grad():
            parts = [getattr(network, method)(torch.from_numpy(b)).numpy() for b in batches]
        return np.concatenate(parts)
