"""What classifiers that spike share: labels, training, and spikes with the names of trials."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from activome._checks import check_choice, check_integer, check_number
from activome.activity.estimators.sample import SampleEstimator
from activome.activity.schema import make
from activome.activity.stacking import SampleIndex, label_values
from activome.errors import ActivityError, ParameterError
from activome.networks._labels import encode_labels
from activome.networks.operation_count import OperationCount
from activome.networks.training import TrainConfig, Trainer, TrainLog

__all__ = [
    "SpikeClassifier",
    "check_training",
    "in_batches",
    "label_spikes",
    "label_times",
    "timed",
    "train",
]

Array = np.ndarray[Any, Any]


class SpikeClassifier(ClassifierMixin, SampleEstimator):
    """Base of networks that classify samples by spikes.

    A subclass implements ``_check_inputs(values, owner)``, ``_learn(values, codes)``,
    ``_logits(values)``, ``_rasters(values)`` and ``_operations(values)``.

    Raises
    ------
    ActivityError
        If values are not finite, labels do not fit, or there are fewer than two classes.
    """

    _takes_target: ClassVar[bool] = True
    _min_samples: ClassVar[int] = 2

    classes_: Array
    _check_inputs: Callable[[Array, str], None]
    _learn: Callable[[Array, Array], None]
    _logits: Callable[[Array], Array]
    _rasters: Callable[[Array], Mapping[str, Array]]
    _operations: Callable[[Array], OperationCount]

    def _fit(self, values: Array, target: Array) -> None:
        owner = f"{type(self).__name__}.fit"
        self._check_inputs(values, owner)
        self.classes_, codes = encode_labels(target, owner)
        self._learn(values, codes)

    def _prepared(self, X: Any, method: str) -> tuple[Array, SampleIndex | None]:
        check_is_fitted(self)
        values, index = self._read(X, reset=False)
        self._check_inputs(values, f"{type(self).__name__}.{method}")
        return values, index

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of every class.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_units)
            Samples.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_classes)
            In the order of ``classes_``.

        Raises
        ------
        ActivityError
            If values are not finite or outside their range, or units are not those of ``fit``.
        """
        from scipy.special import softmax

        return np.asarray(softmax(self._logits(self._prepared(X, "predict_proba")[0]), axis=1))

    def predict(self, X: Any) -> Array:
        """Name the class of every sample.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_units)
            Samples.

        Returns
        -------
        ndarray, shape (n_samples,)
            Classes.

        Raises
        ------
        ActivityError
            If values are not finite or outside their range, or units are not those of ``fit``.
        """
        logits = self._logits(self._prepared(X, "predict")[0])
        return np.asarray(self.classes_[logits.argmax(axis=1)])

    def score(self, X: Any, y: ArrayLike | str, sample_weight: ArrayLike | None = None) -> float:
        """Return the share of samples that are named rightly.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_units)
            Samples.
        y : array-like or str, shape (n_samples,)
            Classes, or the name of a label.
        sample_weight : array-like of float, shape (n_samples,), optional
            Weight of each sample.

        Returns
        -------
        float
            Accuracy in [0, 1].

        Raises
        ------
        ActivityError
            If there is not one class per sample, values are not finite or outside their range, or
            units are not those of ``fit``.
        """
        owner = f"{type(self).__name__}.score"
        values, index = self._prepared(X, "score")
        if isinstance(y, str) and index is not None:
            labels = label_values(index, y, owner=owner)
        else:
            labels = np.asarray(y).reshape(-1)
        if labels.shape != (len(values),):
            raise ActivityError(
                f"{owner}: y must have one class per sample ({len(values)}); got {labels.size}."
            )
        weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        found = self.classes_[self._logits(values).argmax(axis=1)]
        return float(np.average(found == labels, weights=weights))

    def spikes(self, X: Any) -> dict[str, xr.DataArray]:
        """Return the spikes of every layer.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_units)
            Samples.

        Returns
        -------
        dict of str to xarray.DataArray of bool, dims (trial, time, unit)
            By layer; one trial per sample.

        Raises
        ------
        ActivityError
            If values are not finite or outside their range, or units are not those of ``fit``.
        """
        values, index = self._prepared(X, "spikes")
        return {
            name: label_spikes(raster, index, type(self).__name__, step=self._step())
            for name, raster in self._rasters(values).items()
        }

    def operations(self, X: Any) -> OperationCount:
        """Count what a sample costs.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_units)
            Samples.

        Returns
        -------
        OperationCount
            Means over the samples.

        Raises
        ------
        ActivityError
            If values are not finite or outside their range, or units are not those of ``fit``.
        """
        return self._operations(self._prepared(X, "operations")[0])

    def _step(self) -> float:
        """Return the time between two rows of a raster."""
        return 1.0

    def _tensors(self, values: Array, codes: Array) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(values.astype(np.float32)), torch.from_numpy(codes.astype(np.int64))


def label_spikes(
    raster: Array, index: SampleIndex | None, source: str, *, step: float = 1.0
) -> xr.DataArray:
    """Return a raster (n_samples, n_steps, n_units) as an activity with the names of trials."""
    when = step * np.arange(raster.shape[1])
    return make(
        raster, ("trial", "time", "unit"), time=when, kind="spikes", source=source, **_trials(index)
    )


def label_times(times: Array, index: SampleIndex | None, source: str) -> xr.DataArray:
    """Return spike times (n_samples, n_units) as an activity whose trials keep their names."""
    return make(times, ("trial", "unit"), kind="feature", source=source, **_trials(index))


def _trials(index: SampleIndex | None) -> dict[str, Any]:
    """Return the labels of trials where every sample is one."""
    if index is None or index.frame.dims != ("trial",):
        return {}
    coords = {str(name): values.values for name, values in index.frame.coords.items()
              if values.dims == ("trial",)}  # fmt: skip
    names = coords.pop("trial", None)
    return {"trial": names, "coords": {name: ("trial", v) for name, v in coords.items()}}


def train(
    network: nn.Module,
    loss: Callable[[nn.Module, Any, torch.Generator], tuple[Tensor, dict[str, Any]]],
    data: tuple[Tensor, Tensor],
    *,
    n_epochs: int,
    batch_size: int,
    lr: float,
    seed: int,
    schedule: str = "constant",
    device: str = "cpu",
    grad_clip: float | None = None,
    metrics: Any = None,
    callbacks: Sequence[Any] = (),
) -> TrainLog:
    """Train a network in place for whole passes; metrics are logged after each."""
    n = len(data[0])
    per_epoch = max(1, n // batch_size)
    config = TrainConfig(
        steps=n_epochs * per_epoch,
        batch_size=None if n <= batch_size else batch_size,
        lr=lr,
        schedule=schedule,
        seed=seed,
        grad_clip=grad_clip,
        eval_at=per_epoch,
        device=device,
    )
    return Trainer(network, loss, config, metrics=metrics, callbacks=callbacks).fit(data)


def check_training(model: Any, owner: str) -> None:
    """Refuse parameters of a training, and sizes of layers, that are outside their range."""
    for name in ("n_epochs", "batch_size"):
        check_integer(getattr(model, name), name=name, owner=owner, low=1)
    check_number(model.lr, name="lr", owner=owner, low=0.0)
    check_choice(model.schedule, ("constant", "cosine"), name="schedule", owner=owner)
    try:
        torch.empty(0, device=model.device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ParameterError(
            f"{owner}: device must be one that torch has here, such as 'cpu'; got {model.device!r}."
        ) from error
    if not isinstance(model.hidden, (Sequence, np.ndarray)):
        raise ParameterError(
            f"{owner}: hidden must be a sequence of integers, such as (64,); got {model.hidden!r}."
        )
    for width in model.hidden:
        check_integer(width, name="hidden", owner=owner, low=1)


def in_batches(
    function: Callable[[Tensor], Any], values: Array, per_sample: int, *, most: int = 2**23
) -> list[Any]:
    """Call a function on blocks of samples in float64 that need no more than so many numbers."""
    size = max(1, most // max(per_sample, 1))
    n_blocks = math.ceil(len(values) / size)
    with torch.no_grad():
        return [
            function(torch.from_numpy(block.astype(np.float64)))
            for block in np.array_split(values, n_blocks)
        ]


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a function gives, and the wall time it took in s."""
    start = time.perf_counter()
    found = function()
    return found, time.perf_counter() - start
