"""Direction and speed of motion from event streams, by a layer of delayed synapses."""

from __future__ import annotations

import math
import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_choice, check_integer, check_number
from activome._extras import require
from activome._random import RandomState, integer_seed
from activome.activity.events import Events
from activome.errors import ActivityError, ActivityWarning

__all__ = ["DelayMotionClassifier"]

Array = np.ndarray[Any, Any]
_HELD_OUT = 0.1
_DT = 1e-3


class DelayMotionClassifier(ClassifierMixin, BaseEstimator):
    """Name the motion of every time bin of event streams.

    A ``HeterogeneousDelayLayer`` sums events over space and delays for every class; the mean
    evidence over places is read out at each bin. All weights over the grid of delays are learned
    at once, by multinomial logistic regression.

    Parameters
    ----------
    n_delays : int, default=8
        Delays, from 0 on, bins of 1 ms.
    kernel_size : int, default=9
        Odd width of the patch, pixels.
    stride : int, default=4
        Pixels from place to place.
    lr : float in (0, inf), default=5e-3
        Learning rate of Adam.
    n_epochs : int, default=12
        Passes over the movies.
    batch_size : int, default=8
        Movies per step.
    loss : {"readout", "voxel"}, default="readout"
        Cross-entropy of the mean evidence over places (our choice, quicker on few movies); or the
        binary one at every place and class, as in the paper.
    polarity_symmetric : bool, default=True
        Whether the sign of contrast counts.
    mask : {"cone", "disk"}, optional
        Circle of synapses that there are.
    random_state : int, Generator or None, default=0
        Seed of weights, of the order and of the held-out movies.

    Attributes
    ----------
    layer_ : HeterogeneousDelayLayer
        The layer, with the weights that did best on a tenth of the movies held out; with fewer
        than ten movies, the last ones.
    classes_ : ndarray of int64, shape (n_classes,)
        Classes 0 to the largest in ``y``.
    learning_curve_ : ndarray of float64, shape (n_epochs + 1,)
        Accuracy on the held-out movies before training and after each pass.

    Raises
    ------
    ActivityError
        If movies have another shape, are not binary, or classes do not fit their bins.
    MissingExtraError
        If torch is not installed.
    ParameterError
        If a parameter is outside its range.

    Notes
    -----
    Bins before ``n_delays`` see part of their past only and are left out of loss and score. An
    ``ActivityWarning`` names classes that no bin has.

    References
    ----------
    .. [1] A. Grimaldi and L. U. Perrinet, "Learning heterogeneous delays in a layer of spiking
       neurons for fast motion detection", 2023.

    Examples
    --------
    >>> X = np.zeros((16, 2, 12, 9, 9), bool)
    >>> y = np.arange(16)[:, None] % 2 + np.zeros((16, 12), int)
    >>> for k in range(16):  # a bar that goes right in odd movies and left in even ones
    ...     for t in range(12):
    ...         X[k, 1, t, :, (t if k % 2 else -t) % 9] = True
    >>> model = DelayMotionClassifier(3, 5, 2, lr=0.1, n_epochs=12).fit(X, y)
    >>> model.score(X, y)
    1.0
    """

    def __init__(
        self,
        n_delays: int = 8,
        kernel_size: int = 9,
        stride: int = 4,
        *,
        lr: float = 5e-3,
        n_epochs: int = 12,
        batch_size: int = 8,
        loss: str = "readout",
        polarity_symmetric: bool = True,
        mask: str | None = None,
        random_state: RandomState = 0,
    ) -> None:
        self.n_delays = n_delays
        self.kernel_size = kernel_size
        self.stride = stride
        self.lr = lr
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.loss = loss
        self.polarity_symmetric = polarity_symmetric
        self.mask = mask
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Learn weights and delays.

        Parameters
        ----------
        X : array-like of bool or float, shape (n_movies, 2, n_bins, n_rows, n_columns), or Events
            Where an event fell; Events have columns x, y, p and trial, and are binned at 1 ms.
        y : array-like of int, shape (n_movies, n_bins)
            Class of the motion in each bin, from 0.

        Returns
        -------
        Self
            The fitted classifier.

        Raises
        ------
        ActivityError
            If movies have another shape, are not binary, or classes do not fit their bins.
        """
        owner = "DelayMotionClassifier.fit"
        check_number(self.lr, name="lr", owner=owner, low=0.0)
        check_integer(self.n_epochs, name="n_epochs", owner=owner, low=1)
        check_integer(self.batch_size, name="batch_size", owner=owner, low=1)
        check_choice(self.loss, ("readout", "voxel"), name="loss", owner=owner)
        movies = _read_movies(X, owner)
        target = _read_target(y, movies, owner)
        if movies.shape[2] <= check_integer(self.n_delays, name="n_delays", owner=owner, low=1):
            raise ActivityError(
                f"{owner}: movies must have more bins than delays ({self.n_delays}); they have "
                f"{movies.shape[2]}."
            )
        self.classes_ = np.arange(int(target.max()) + 1)
        absent = np.setdiff1d(self.classes_, target)
        if absent.size:
            warnings.warn(
                f"{owner}: every class should be in y; absent are {absent.tolist()}.",
                ActivityWarning,
                stacklevel=2,
            )
        self._train(movies, target, integer_seed(self.random_state))
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of every class in every bin.

        Parameters
        ----------
        X : array-like of bool or float, shape (n_movies, 2, n_bins, n_rows, n_columns), or Events
            Movies.

        Returns
        -------
        ndarray of float32, shape (n_movies, n_bins, n_classes)
            Softmax of the mean evidence over places.

        Raises
        ------
        ActivityError
            If movies have another shape or are not binary.
        """
        evidence = self._evidence(X, "DelayMotionClassifier.predict_proba", pooled=True)
        powers = np.exp(evidence - evidence.max(axis=1, keepdims=True))
        return np.moveaxis(powers / powers.sum(axis=1, keepdims=True), 1, 2)

    def predict(self, X: Any) -> Array:
        """Name the motion of every bin.

        Parameters
        ----------
        X : array-like of bool or float, shape (n_movies, 2, n_bins, n_rows, n_columns), or Events
            Movies.

        Returns
        -------
        ndarray of int64, shape (n_movies, n_bins)
            Classes.

        Raises
        ------
        ActivityError
            If movies have another shape or are not binary.
        """
        evidence = self._evidence(X, "DelayMotionClassifier.predict", pooled=True)
        return np.asarray(evidence.argmax(axis=1))

    def score(self, X: Any, y: ArrayLike, sample_weight: None = None, *, skip: int = -1) -> float:
        """Return the share of bins whose motion is named right.

        Parameters
        ----------
        X : array-like of bool or float, shape (n_movies, 2, n_bins, n_rows, n_columns), or Events
            Movies.
        y : array-like of int, shape (n_movies, n_bins)
            Class of each bin.
        sample_weight : None
            Ignored.
        skip : int, default=-1
            Bins to leave out at the beginning; -1 leaves out ``n_delays``.

        Returns
        -------
        float
            Accuracy.

        Raises
        ------
        ActivityError
            If classes do not fit their bins, or no bin is left.
        """
        owner = "DelayMotionClassifier.score"
        movies = _read_movies(X, owner)
        target = _read_target(y, movies, owner)
        asked = check_integer(skip, name="skip", owner=owner, low=-1)
        first, n_bins = self.n_delays if asked < 0 else asked, movies.shape[2]
        if first >= n_bins:
            raise ActivityError(
                f"{owner}: a bin must be left; {first} of {n_bins} are skipped. Lower skip."
            )
        return float((self.predict(movies) == target)[:, first:].mean())

    def flow(self, X: Any) -> Array:
        """Name the motion at every place and bin.

        Parameters
        ----------
        X : array-like of bool or float, shape (n_movies, 2, n_bins, n_rows, n_columns), or Events
            Movies.

        Returns
        -------
        ndarray of int64, shape (n_movies, n_bins, n_output_rows, n_output_columns)
            Classes; ``layer_.places`` tells the pixels.

        Raises
        ------
        ActivityError
            If movies have another shape or are not binary.
        """
        return np.asarray(self._evidence(X, "DelayMotionClassifier.flow").argmax(axis=1))

    def spikes(self, X: Any, rate: float = 1.0) -> Array:
        """Let units fire where their evidence is among the highest.

        Parameters
        ----------
        X : array-like of bool or float, shape (n_movies, 2, n_bins, n_rows, n_columns), or Events
            Movies.
        rate : float in (0, 1000), default=1.0
            Mean rate of a unit, Hz, which sets one threshold for all.

        Returns
        -------
        ndarray of bool, shape (n_movies, n_classes, n_bins, n_output_rows, n_output_columns)
            Spikes.

        Raises
        ------
        ActivityError
            If movies have another shape or are not binary.
        ParameterError
            If the rate is out of range.
        """
        owner = "DelayMotionClassifier.spikes"
        check_number(rate, name="rate", owner=owner, low=0.0, high=1.0 / _DT)
        evidence = self._evidence(X, owner)
        return np.asarray(evidence > np.quantile(evidence, 1.0 - rate * _DT))

    def _evidence(self, X: Any, owner: str, *, pooled: bool = False) -> Array:
        check_is_fitted(self, "layer_")
        torch = require("torch", extra="nets", owner=owner)
        movies = _read_movies(X, owner)
        found = []
        with torch.no_grad():
            for first in range(0, len(movies), 16):
                part = torch.as_tensor(movies[first : first + 16], dtype=torch.float32)
                evidence = self.layer_(part)
                found.append((evidence.mean((3, 4)) if pooled else evidence).numpy())
        return np.concatenate(found)

    def _train(self, movies: Array, target: Array, seed: int) -> None:
        owner = "DelayMotionClassifier.fit"
        torch = require("torch", extra="nets", owner=owner)
        training = require("activome.networks.training", extra="nets", owner=owner)
        layers = require("activome.networks.heterogeneous_delays", extra="nets", owner=owner)
        order = np.random.default_rng(seed).permutation(len(movies))
        n_held = int(_HELD_OUT * len(movies))
        held, used = np.sort(order[:n_held]), np.sort(order[n_held:])
        with training.seed_everything(seed):
            self.layer_ = layers.HeterogeneousDelayLayer(
                self.classes_.size,
                2,
                self.n_delays,
                self.kernel_size,
                self.stride,
                polarity_symmetric=self.polarity_symmetric,
                mask=self.mask,
            )
        batch = min(self.batch_size, used.size)
        per_epoch = max(1, used.size // batch)
        best: dict[str, Any] = {"accuracy": -math.inf, "weights": None}

        def measure(layer: Any, step: int) -> dict[str, float]:
            if not held.size:
                return {"accuracy": math.nan}
            accuracy = self.score(movies[held], target[held])
            if accuracy >= best["accuracy"]:
                weights = {name: v.clone() for name, v in layer.state_dict().items()}
                best.update(accuracy=accuracy, weights=weights)
            return {"accuracy": accuracy}

        config = training.TrainConfig(
            steps=per_epoch * self.n_epochs,
            batch_size=batch,
            lr=self.lr,
            seed=seed,
            eval_at=per_epoch,
        )
        trainer = training.Trainer(self.layer_, self._loss(torch), config, metrics=measure)
        # Movies stay bytes until a batch of them is used: an eighth of the memory.
        data = (torch.as_tensor(movies[used]), torch.as_tensor(target[used]))
        self.learning_curve_ = trainer.fit(data).dataset.accuracy.values
        if best["weights"] is not None:
            self.layer_.load_state_dict(best["weights"])

    def _loss(self, torch: Any) -> Any:
        skip, voxel = self.n_delays, self.loss == "voxel"

        def loss(layer: Any, batch: Any, generator: Any) -> tuple[Any, dict[str, float]]:
            evidence = layer(batch[0].float())[:, :, skip:]
            target = batch[1][:, skip:]
            if not voxel:
                return torch.nn.functional.cross_entropy(evidence.mean((3, 4)), target), {}
            wanted = torch.zeros_like(evidence[..., 0, 0]).scatter_(1, target[:, None], 1.0)
            wanted = wanted[..., None, None].expand_as(evidence)
            return torch.nn.functional.binary_cross_entropy_with_logits(evidence, wanted), {}

        return loss


def _read_movies(X: Any, owner: str) -> Array:
    """Return movies as booleans (n_movies, 2, n_bins, n_rows, n_columns)."""
    if isinstance(X, Events):
        return _from_events(X, owner)
    movies = np.asarray(X)
    if movies.ndim != 5 or movies.shape[1] != 2 or 0 in movies.shape:
        raise ActivityError(
            f"{owner}: movies must have shape (n_movies, 2, n_bins, n_rows, n_columns); got "
            f"{movies.shape}."
        )
    if movies.dtype.kind != "b" and not np.isin(movies, (0, 1)).all():
        raise ActivityError(f"{owner}: movies must hold 0 and 1 alone. Clip counts to 1 first.")
    return movies.astype(bool, copy=False)


def _from_events(events: Events, owner: str) -> Array:
    if events.p is None or not {-1, 0, 1} >= set(np.unique(events.p).tolist()):
        raise ActivityError(f"{owner}: events must have polarities p of two values.")
    signed = events.assign(p=(events.p > 0).astype(np.int8))
    frames = signed.to_frames(_DT) > 0
    if frames.shape[1] == 2:
        return np.asarray(frames)
    # One polarity alone: the other one is silent.
    both = np.zeros((frames.shape[0], 2, *frames.shape[2:]), bool)
    both[:, int(events.p.max(initial=0) > 0)] = frames[:, 0]
    return both


def _read_target(y: ArrayLike, movies: Array, owner: str) -> Array:
    target = np.asarray(y)
    wanted = (movies.shape[0], movies.shape[2])
    if target.shape != wanted or target.dtype.kind not in "iu" or target.min() < 0:
        raise ActivityError(
            f"{owner}: y must hold a class, from 0, for each movie and bin {wanted}; got "
            f"{target.dtype} of shape {target.shape}."
        )
    return target.astype(np.int64)
