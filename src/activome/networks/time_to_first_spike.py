"""A classifier whose cells fire at most once, trained by the exact gradient of the spike times."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from sklearn.utils import Tags
from torch import Tensor, nn

from activome._checks import check_choice, check_number
from activome._random import RandomState, integer_seed
from activome.networks._first_spikes import LATE, SPIKES
from activome.networks._spike_classifier import (
    SpikeClassifier,
    check_training,
    in_batches,
    label_times,
    timed,
    train,
)
from activome.networks._step_inputs import check_unit_interval
from activome.networks.operation_count import OperationCount
from activome.networks.training import seed_everything

__all__ = ["TimeToFirstSpikeNet"]

Array = np.ndarray[Any, Any]
# Sums of the weights onto a cell of the first layer and of the others, at the start.
_FIRST_SUM, _OTHER_SUM = 7.84, 4.8
# Sum of weights below which a cell is pulled towards firing.
_LEAST_SUM = 1.2
_BINS_PER_TAU = 20


class TimeToFirstSpikeNet(SpikeClassifier):
    """Classify by which output cell fires first; every cell fires at most once.

    Inputs fire at ``t_max (1 - x)``, in units of the synaptic time constant. Cells do not leak:
    with synaptic currents that decay exponentially, and z = exp(t), the first spike of a cell is
    ``z = sum w_i z_i / (sum w_i - 1)`` over the inputs before it, which is differentiated exactly.
    The loss is the cross entropy of ``-z`` over the outputs, a cost that pulls cells with little
    weight towards firing, and the sum of squared weights.

    Parameters
    ----------
    hidden : sequence of int, default=(64,)
        Cells of each hidden layer; may be empty.
    n_epochs : int, default=20
        Passes over the samples; the best on the samples kept back is what stays, by accuracy and
        then by loss.
    lr : float, default=5e-3
        Learning rate of Adam.
    schedule : {"constant", "cosine"}, default="cosine"
        Whether the learning rate stays, or falls to 0 over the training like half a cosine.
    weight_cost : float in [0, inf), default=1.0
        Cost of a sum of weights onto a cell that falls short of 1.2.
    l2 : float in [0, inf), default=1e-4
        Cost of squared weights.
    kernel : {"exponential", "srm"}, default="exponential"
        Synapse: a current that decays, or a spike response ``x exp(1 - x)`` of the voltage, as in
        SpikeProp; that one is exact too but slower, and meant for small networks.
    t_max : float in (0, 10], default=2.5
        Spike of an input of 0, in time constants.
    max_input : float in (0, inf), default=1.0
        Value of the brightest input.
    batch_size : int, default=32
        Samples per step of the training; all of them where there are fewer.
    validation_fraction : float in [0, 1), default=0.1
        Share of the samples that is kept back to choose the best pass, by class; where a class has
        too few of them, or with 0, the choice is made on the training samples.
    device : str, default="cpu"
        Where to train, a device of torch.
    random_state : int, Generator or None, default=0
        Seed of weights, order of samples, and what is kept back.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        Classes.
    weights_ : list of ndarray of float32, each of shape (n_inputs, n_cells)
        Weights onto each layer.
    loss_curve_ : ndarray of float64, shape (n_logged,)
        Training loss: of the first batch, and the mean of each pass.
    validation_curve_ : ndarray of float64, shape (n_logged,)
        Accuracy on the samples kept back, before training and after each pass.
    silent_share_ : dict of str to float
        Share of the cells of each layer that stay silent for a sample, over the samples of ``fit``.

    Raises
    ------
    ActivityError
        If values are not finite or outside [0, ``max_input``], or there are fewer than two classes.
    ParameterError
        If a parameter is outside its range.

    Notes
    -----
    Causal inputs are found by sorting and cumulative sums; the gradient holds them fixed, which is
    exact wherever a spike does not move past an input. Silent cells have ``z = 1e5``, which counts
    as no spike. Initial weights are uniform from 0, with a mean sum onto a cell of 7.84 in the
    first layer and 4.8 in the others; gradients are clipped to a norm of 1. The best pass is chosen
    because accuracy swings from pass to pass; that, the schedule, the loss of "srm" in ``exp(t)``,
    and the form for any number of layers, are our choices.

    References
    ----------
    .. [1] S. M. Bohte, J. N. Kok and H. La Poutre, "Error-backpropagation in temporally encoded
       networks of spiking neurons", 2002.
    .. [2] H. Mostafa, "Supervised learning based on temporal coding in spiking neural networks",
       2018.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> X = np.repeat(np.eye(2), 5, axis=1)[y] * rng.uniform(0.5, 1.0, (60, 10))
    >>> model = TimeToFirstSpikeNet((8,), n_epochs=20, lr=0.02, batch_size=10).fit(X, y)
    >>> model.score(X, y), int(model.spikes(X)["output"].sum("time").max())
    (1.0, 1)
    """

    def __init__(
        self,
        hidden: Sequence[int] = (64,),
        n_epochs: int = 20,
        *,
        lr: float = 5e-3,
        schedule: Literal["constant", "cosine"] = "cosine",
        weight_cost: float = 1.0,
        l2: float = 1e-4,
        kernel: Literal["exponential", "srm"] = "exponential",
        t_max: float = 2.5,
        max_input: float = 1.0,
        batch_size: int = 32,
        validation_fraction: float = 0.1,
        device: str = "cpu",
        random_state: RandomState = 0,
    ) -> None:
        self.hidden = hidden
        self.n_epochs = n_epochs
        self.lr = lr
        self.schedule = schedule
        self.weight_cost = weight_cost
        self.l2 = l2
        self.kernel = kernel
        self.t_max = t_max
        self.max_input = max_input
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags

    def first_spikes(self, X: Any) -> dict[str, xr.DataArray]:
        """Return when every cell fires.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_units)
            Samples.

        Returns
        -------
        dict of str to xarray.DataArray of float64, dims (trial, unit)
            Times by layer, in synaptic time constants; infinite where a cell stays silent.

        Raises
        ------
        ActivityError
            If values are not finite or outside their range, or units are not those of ``fit``.
        """
        values, index = self._prepared(X, "first_spikes")
        return {
            name: label_times(np.where(t < math.log(LATE), t, np.inf), index, type(self).__name__)
            for name, t in self._times(values).items()
        }

    def _check_inputs(self, values: Array, owner: str) -> None:
        self._check_parameters()
        check_unit_interval(values, owner=owner, most=self.max_input)

    def _check_parameters(self) -> None:
        owner = "TimeToFirstSpikeNet"
        check_training(self, owner)
        for name in ("weight_cost", "l2"):
            check_number(getattr(self, name), name=name, owner=owner, low=0.0, include_low=True)
        check_choice(self.kernel, SPIKES, name="kernel", owner=owner)
        check_number(self.t_max, name="t_max", owner=owner, low=0.0, high=10.0, include_high=True)
        check_number(self.max_input, name="max_input", owner=owner, low=0.0)
        check_number(
            self.validation_fraction, name="validation_fraction", owner=owner, low=0.0, high=1.0,
            include_low=True,
        )  # fmt: skip

    def _learn(self, values: Array, codes: Array) -> None:
        seed = integer_seed(self.random_state)
        with seed_everything(seed):
            network = self._network()
        kept, rest = _keep_back(codes, self.validation_fraction, seed)
        data = self._tensors(self._input_times(values), codes)
        judged = tuple(part[kept].to(self.device) for part in data)
        # Of passes that judge equally well the one with the lowest loss stays.
        best: dict[str, Any] = {"merit": (-1.0, 0.0)}

        def loss(model: Any, batch: Any, generator: torch.Generator) -> Any:
            logits = _evidence(model(batch[0])[-1])
            found = nn.functional.cross_entropy(logits, batch[1])
            return found + model.cost(self.weight_cost, self.l2), {}

        def judge(model: nn.Module, step: int) -> Mapping[str, float]:
            parts = judged[0].split(self.batch_size * 4)
            logits = torch.cat([_evidence(model(part)[-1]) for part in parts])
            is_right = logits.argmax(dim=1) == judged[1]
            missed = nn.functional.cross_entropy(logits, judged[1])
            return {"accuracy": float(is_right.float().mean()), "missed": float(missed)}

        def keep(trainer: Any, step: int, logged: Mapping[str, Any]) -> None:
            merit = logged["accuracy"], -logged["missed"]
            if step and merit > best["merit"]:
                state = trainer.model.state_dict()
                best.update(merit=merit, weights=[w.detach().cpu().clone() for w in state.values()])

        log = train(
            network,
            loss,
            (data[0][rest], data[1][rest]),
            n_epochs=self.n_epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            schedule=self.schedule,
            seed=seed,
            device=self.device,
            grad_clip=1.0,
            metrics=judge,
            callbacks=(keep,),
        )
        self.loss_curve_ = np.asarray(log.dataset["loss"].values)
        self.validation_curve_ = np.asarray(log.dataset["accuracy"].values)
        self.weights_ = [w.numpy() for w in best["weights"]]
        self.silent_share_ = {
            name: float((t >= math.log(LATE)).mean()) for name, t in self._times(values).items()
        }

    def _network(self) -> _OnceLayers:
        sizes = (self.n_features_in_, *self.hidden, self.classes_.size)
        return _OnceLayers(sizes, self.kernel)

    def _input_times(self, values: Array) -> Array:
        """Return when inputs fire."""
        return self.t_max * (1.0 - np.asarray(values, dtype=np.float64) / self.max_input)

    def _names(self) -> list[str]:
        return [f"hidden[{k}]" for k in range(len(self.hidden))] + ["output"]

    def _times(self, values: Array) -> dict[str, Array]:
        """Return when cells fire, by layer; silent ones last."""
        with seed_everything(0):
            # In float64, results do not depend on the number of threads.
            network = self._network().double().eval()
        with torch.no_grad():
            for parameter, weight in zip(network.weights, self.weights_, strict=True):
                parameter.copy_(torch.from_numpy(weight.copy()))
        widest = max(w.size for w in self.weights_)
        blocks = in_batches(network, self._input_times(values), 4 * widest)
        layers = (torch.cat(parts).numpy() for parts in zip(*blocks, strict=True))
        return dict(zip(self._names(), layers, strict=True))

    def _logits(self, values: Array) -> Array:
        found: Array = _evidence(torch.from_numpy(self._times(values)["output"])).numpy()
        return found

    def _step(self) -> float:
        return 1.0 / _BINS_PER_TAU

    def _rasters(self, values: Array) -> dict[str, Array]:
        times = {"input": self._input_times(values), **self._times(values)}
        last = math.log(LATE)
        found = {}
        for name, t in times.items():
            raster = np.zeros((len(t), math.ceil(last * _BINS_PER_TAU), t.shape[1]), dtype=bool)
            sample, unit = np.nonzero(t < last)
            raster[sample, (t[sample, unit] * _BINS_PER_TAU).astype(np.int64), unit] = True
            found[name] = raster
        return found

    def _operations(self, values: Array) -> OperationCount:
        times, seconds = timed(lambda: self._times(values))
        fired = {"input": np.ones(self.n_features_in_)}
        fired |= {name: (t < math.log(LATE)).mean(axis=0) for name, t in times.items()}
        events = sum(
            float(fired[name].sum()) * w.shape[1]
            for name, w in zip(fired, self.weights_, strict=False)
        )
        return OperationCount(
            multiply_accumulate=0.0,
            accumulate=events,
            spikes_per_unit=fired,
            steps=0,
            seconds=seconds / len(values),
            leak_multiply=events,
        )


class _OnceLayers(nn.Module):
    """Layers of cells that fire at most once."""

    def __init__(self, sizes: Sequence[int], kernel: str) -> None:
        super().__init__()
        sums = [_FIRST_SUM, *[_OTHER_SUM] * (len(sizes) - 2)]
        self.weights = nn.ParameterList(
            nn.Parameter(torch.rand(a, b) * (2 * total / a))
            for (a, b), total in zip(itertools.pairwise(sizes), sums, strict=True)
        )
        self._spikes, self._is_exponential = SPIKES[kernel], kernel == "exponential"

    def forward(self, t: Tensor) -> list[Tensor]:
        """Return the spike times of every layer for those of the inputs."""
        now = t.exp() if self._is_exponential else t
        found = []
        for weight in self.weights:
            now = self._spikes(now, weight)
            found.append(now.log() if self._is_exponential else now)
        return found

    def cost(self, weight_cost: float, l2: float) -> Tensor:
        """Return what too small sums of weights, and their squares, cost."""
        total = torch.zeros((), device=self.weights[0].device)
        for weight in self.weights:
            total = total + weight_cost * (_LEAST_SUM - weight.sum(dim=0)).relu().sum()
            total = total + l2 * weight.square().sum()
        return total


def _evidence(t: Tensor) -> Tensor:
    """Return ``-z``: times differ too little for a cross entropy of their own to sharpen."""
    return t.exp().neg()


def _keep_back(codes: Array, fraction: float, seed: int) -> tuple[Array, Array]:
    """Return samples to judge by and samples to train with; all of both where classes are small."""
    from sklearn.model_selection import train_test_split

    every = np.arange(codes.size)
    n_classes, n_kept = int(codes.max()) + 1, round(fraction * codes.size)
    if n_kept < n_classes or codes.size - n_kept < n_classes or np.bincount(codes).min() < 2:
        return every, every
    rest, kept = train_test_split(every, test_size=n_kept, stratify=codes, random_state=seed)
    return kept, rest
