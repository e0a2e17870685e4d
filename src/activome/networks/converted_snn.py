"""A trained network of rectifiers, turned into one of integrate-and-fire cells."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor, nn

from activome._checks import check_choice, check_finite, check_integer, check_number
from activome._random import RandomState, integer_seed
from activome.activity.stacking import SampleIndex, to_samples
from activome.errors import ActivityError, ParameterError
from activome.networks._relu_stages import Stage, calibrate, rescale, stages_of
from activome.networks._spike_classifier import label_spikes, timed
from activome.networks._step_inputs import check_unit_interval, encode
from activome.networks.operation_count import OperationCount, fan_out, multiplications
from activome.networks.spiking.surrogate_gradient import ResetMode, lif_forward

__all__ = ["ConvertedSNN", "convert_relu"]

Array = np.ndarray[Any, Any]
# Numbers that a block of samples may take.
_AT_ONCE = 2**23
_Layer: TypeAlias = tuple[str, Tensor, Tensor, Tensor]
_Input: TypeAlias = Literal["current", "poisson"]


class ConvertedSNN(nn.Module):
    """Network of integrate-and-fire cells whose rates stand for the activations of rectifiers.

    ``convert_relu`` makes it. Per step every cell takes its current, fires where its voltage is at
    least 1, and is reset; a layer sees the spikes of the one before in the same step. The class is
    that of the output cell with most spikes; of equal ones, of the highest voltage left over.

    Parameters
    ----------
    stages : sequence of Stage
        Linear maps, already scaled.
    scales : sequence of float
        Activation that a rate of one spike per step stands for, per layer.
    saturation : sequence of float
        Share of the activations above it, in calibration.
    n_steps : int
        Steps per sample.
    reset : {"subtract", "zero"}
        How a spike lowers the voltage.
    encoding : {"current", "poisson"}
        How samples become input.
    classes : ndarray, optional
        Labels of the outputs; by default their numbers.
    seed : int, default=0
        Seed of input that is drawn.

    Attributes
    ----------
    classes_ : ndarray, shape (n_outputs,)
        Labels of the outputs.
    scales_ : ndarray of float64, shape (n_layers,)
        Activation that a rate of 1 stands for: rates are ``activation / scale``.
    saturation_ : ndarray of float64, shape (n_layers,)
        Share of the activations above it in calibration, which no rate can tell.
    layers_ : list of str
        Names of the layers, as ``spikes`` gives them.

    Raises
    ------
    ActivityError
        If samples are not those of the network, or outside [0, 1] where spikes code them.
    ParameterError
        If the number of steps is not a positive integer, or classes do not fit.

    See Also
    --------
    convert_relu : Makes it, with references and an example.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        scales: Sequence[float],
        saturation: Sequence[float],
        *,
        n_steps: int,
        reset: ResetMode,
        encoding: _Input,
        classes: Array | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.maps = nn.ModuleList(stage.maps for stage in stages)
        self.n_steps, self.reset, self.encoding, self.seed = n_steps, reset, encoding, seed
        self.scales_, self.saturation_ = np.asarray(scales), np.asarray(saturation)
        self.layers_ = [f"hidden[{k}]" for k in range(len(stages) - 1)] + ["output"]
        self._classes = classes
        self._shapes: list[torch.Size] = []

    @property
    def classes_(self) -> Array:
        """Labels of the outputs, shape (n_outputs,)."""
        if self._classes is None:
            return np.arange(math.prod(self._shapes[-1]))
        return self._classes

    def forward(self, samples: Tensor, n_steps: int | None = None) -> Tensor:
        """Return the evidence for every class.

        Parameters
        ----------
        samples : torch.Tensor, shape (n_samples, ...)
            As the network that was converted takes them.
        n_steps : int, optional
            Steps; by default those of the conversion.

        Returns
        -------
        torch.Tensor of float64, shape (n_samples, n_outputs)
            Spikes of the outputs, and less than half a spike for the voltage left over.
        """
        steps = self.n_steps if n_steps is None else n_steps
        *_, (_, _, current, fired) = self._layers(samples, steps, self._generator())
        return _evidence(current, fired, self.reset)

    def decision_function(self, X: Any, n_steps: int | None = None) -> Array:
        """Return the evidence for every class.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_units) or (n_samples, ...)
            Samples, as the network that was converted takes them.
        n_steps : int, optional
            Steps; by default those of the conversion.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_outputs)
            Spikes of the outputs, and less than half a spike for the voltage left over.

        Raises
        ------
        ActivityError
            If samples are not those of the network, or outside [0, 1] where spikes code them.
        ParameterError
            If ``n_steps`` is not a positive integer.
        """
        samples, _, steps = self._prepared(X, "decision_function", n_steps)
        found = []
        for layers in self._blocks(samples, steps):
            *_, (_, _, current, fired) = layers
            found.append(_evidence(current, fired, self.reset).numpy(force=True))
        return np.concatenate(found)

    def predict(self, X: Any, n_steps: int | None = None) -> Array:
        """Name the class of every sample.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_units) or (n_samples, ...)
            Samples.
        n_steps : int, optional
            Steps; by default those of the conversion.

        Returns
        -------
        ndarray, shape (n_samples,)
            Classes.
        """
        return np.asarray(self.classes_[self.decision_function(X, n_steps).argmax(axis=1)])

    def score(self, X: Any, y: ArrayLike, n_steps: int | None = None) -> float:
        """Return the share of samples that are named rightly.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_units) or (n_samples, ...)
            Samples.
        y : array-like, shape (n_samples,)
            Classes.
        n_steps : int, optional
            Steps; by default those of the conversion.

        Returns
        -------
        float
            Accuracy in [0, 1].

        Raises
        ------
        ActivityError
            If there is not one class per sample.
        """
        found, labels = self.predict(X, n_steps), np.asarray(y)
        if labels.shape != found.shape:
            raise ActivityError(
                f"ConvertedSNN.score: y must have one class per sample ({found.size}); got shape "
                f"{labels.shape}."
            )
        return float(np.mean(found == labels))

    def spikes(self, X: Any, n_steps: int | None = None) -> dict[str, xr.DataArray]:
        """Return the spikes of every layer.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_units) or (n_samples, ...)
            Samples.
        n_steps : int, optional
            Steps; by default those of the conversion.

        Returns
        -------
        dict of str to xarray.DataArray of bool, dims (trial, time, unit)
            By layer, with the input where spikes code it; maps of a convolution are flattened.

        Raises
        ------
        ActivityError
            If samples are not those of the network, or outside [0, 1] where spikes code them.
        ParameterError
            If ``n_steps`` is not a positive integer.
        """
        samples, index, steps = self._prepared(X, "spikes", n_steps)
        parts: dict[str, list[Array]] = {}
        for layers in self._blocks(samples, steps):
            for name, z, _, _ in layers:
                flat = z.flatten(2).transpose(0, 1).numpy(force=True).astype(bool)
                parts.setdefault(name, []).append(flat)
        return {
            name: label_spikes(np.concatenate(blocks), index, "ConvertedSNN")
            for name, blocks in parts.items()
        }

    def operations(self, X: Any, n_steps: int | None = None) -> OperationCount:
        """Count what a sample costs.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_units) or (n_samples, ...)
            Samples.
        n_steps : int, optional
            Steps; by default those of the conversion.

        Returns
        -------
        OperationCount
            Means over the samples; a constant current meets the weights of the first layer once.

        Raises
        ------
        ActivityError
            If samples are not those of the network, or outside [0, 1] where spikes code them.
        ParameterError
            If ``n_steps`` is not a positive integer.
        """
        samples, _, steps = self._prepared(X, "operations", n_steps)
        counts, seconds = timed(lambda: self._counts(samples, steps))
        is_analog = self.encoding == "current"
        added = 0.0
        fed = list(self.maps)[1 if is_analog else 0 :]
        for maps, source in zip(fed, list(counts)[:-1], strict=True):
            ways = fan_out(maps, counts[source].shape).numpy()
            added += float((counts[source] * ways).sum())
        return OperationCount(
            multiply_accumulate=float(multiplications(self.maps[:1], samples[:1]) if is_analog else 0),
            accumulate=added,
            spikes_per_unit={name: values.ravel() for name, values in counts.items()},
            steps=steps,
            seconds=seconds / len(samples),
        )

    def _counts(self, samples: Tensor, steps: int) -> dict[str, Array]:
        totals: dict[str, Array] = {}
        for layers in self._blocks(samples, steps):
            for name, z, _, _ in layers:
                count = z.sum(dim=(0, 1)).numpy(force=True) / len(samples)
                totals[name] = totals.get(name, 0.0) + count
        return totals

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def _blocks(self, samples: Tensor, n_steps: int) -> Iterator[Iterator[_Layer]]:
        widest = max(math.prod(shape) for shape in self._shapes)
        generator = self._generator()
        for block in samples.split(max(1, _AT_ONCE // (n_steps * widest))):
            yield self._layers(block, n_steps, generator)

    def _layers(
        self, samples: Tensor, n_steps: int, generator: torch.Generator
    ) -> Iterator[_Layer]:
        """Yield name and spikes of each layer, and its currents and spikes (steps, samples, cells)."""
        with torch.no_grad():
            z = encode(samples, self.encoding, n_steps, generator)
            if self.encoding != "current":
                yield "input", z, z, z
            for k, (name, maps) in enumerate(zip(self.layers_, self.maps, strict=True)):
                if k == 0 and self.encoding == "current":
                    current = maps(samples).double()
                    current = current.expand(n_steps, *current.shape)
                else:
                    current = maps(z.flatten(0, 1)).double().unflatten(0, (n_steps, -1))
                # In float64 the charge of many steps is their product, to the spike.
                flat = current.flatten(2)
                fired = lif_forward(flat, 1.0, reset_mode=self.reset)
                z = fired.reshape(current.shape).to(samples.dtype)
                yield name, z, flat, fired

    def _prepared(
        self, X: Any, method: str, n_steps: int | None
    ) -> tuple[Tensor, SampleIndex | None, int]:
        owner = f"ConvertedSNN.{method}"
        steps = self.n_steps if n_steps is None else n_steps
        steps = check_integer(steps, name="n_steps", owner=owner, low=1)
        values, index = _samples(X, owner, self.encoding)
        like = next(self.parameters())
        samples = torch.from_numpy(values).to(like)
        if self._shapes and samples.shape[1:] != self._shapes[0]:
            raise ActivityError(
                f"{owner}: a sample must be of shape {tuple(self._shapes[0])}, as in the "
                f"calibration; got {tuple(samples.shape[1:])}."
            )
        return samples, index, steps

    def _see(self, samples: Tensor) -> None:
        """Learn the shapes of samples and layers, and check the number of classes."""
        self._shapes = [samples.shape[1:]]
        layers = self._layers(samples[:1], 1, self._generator())
        self._shapes += [z.shape[2:] for name, z, _, _ in layers if name != "input"]
        n_outputs = math.prod(self._shapes[-1])
        if self._classes is not None and self._classes.shape != (n_outputs,):
            raise ParameterError(
                f"convert_relu: classes must be {n_outputs} labels, one per output; got shape "
                f"{self._classes.shape}."
            )


def convert_relu(
    module: nn.Sequential,
    X_calibration: Any,
    *,
    percentile: float = 99.9,
    n_steps: int = 32,
    reset: ResetMode = "subtract",
    encoding: _Input = "current",
    classes: ArrayLike | None = None,
    random_state: RandomState = 0,
) -> ConvertedSNN:
    """Turn a trained network of rectifiers into a spiking one.

    Each layer is scaled by a high percentile of its activations over some samples, so that a rate
    of one spike per step stands for it: ``W <- W before / after`` and ``b <- b / after``. Every
    rectifier, and the output, becomes a layer of integrate-and-fire cells with threshold 1. With a
    constant current and reset by subtraction the rates of the first layer are those of the
    rectifiers, cut at 1, to within ``1 / n_steps``; deeper layers take longer to settle.

    Parameters
    ----------
    module : torch.nn.Sequential
        Linear, Conv2d, AvgPool2d, ReLU, Flatten, Unflatten and Dropout, in nested Sequentials too.
        Dropout is left out; batch norm right after a Linear or Conv2d is folded into it. The module
        itself stays as it is.
    X_calibration : xarray.DataArray or array-like, shape (n_samples, n_units) or (n_samples, ...)
        Samples of the training.
    percentile : float in (0, 100], default=99.9
        Of the activations of a layer, zeros included. The largest one, 100, may be an outlier that
        makes all rates small.
    n_steps : int, default=32
        Steps per sample.
    reset : {"subtract", "zero"}, default="subtract"
        Whether a spike lowers the voltage by 1, or sets it to 0, which loses charge.
    encoding : {"current", "poisson"}, default="current"
        The input as a constant current, or as spikes with chance x in every step, which needs x in
        [0, 1].
    classes : array-like, shape (n_outputs,), optional
        Labels of the outputs; by default their numbers.
    random_state : int, Generator or None, default=0
        Seed of input that is drawn.

    Returns
    -------
    ConvertedSNN
        The spiking network, with ``predict``, ``score``, ``spikes`` and ``operations``.

    Raises
    ------
    ActivityError
        If the samples are not finite, outside [0, 1] where spikes code them, or do not fit the
        module; or if a layer of rectifiers is silent for all of them.
    ParameterError
        If a layer has no spiking form, or an option is outside its range.

    Notes
    -----
    Ties between outputs are decided by the voltage left over alone, however large it is; cells
    integrate in float64, so that a rate does not depend on the rounding of sums: our choices.

    References
    ----------
    .. [1] P. U. Diehl, D. Neil, J. Binas, M. Cook, S.-C. Liu and M. Pfeiffer, "Fast-classifying,
       high-accuracy spiking deep networks through weight and threshold balancing", 2015.
    .. [2] B. Rueckauer, I.-A. Lungu, Y. Hu, M. Pfeiffer and S.-C. Liu, "Conversion of
       continuous-valued deep networks to efficient event-driven networks for image
       classification", 2017.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU())
    >>> _ = nn.init.ones_(network[0].weight)
    >>> spiking = convert_relu(network, [[1.0]], n_steps=10)
    >>> spiking.spikes([[0.3]])["output"].values[0, :, 0].astype(int).tolist()
    [0, 0, 0, 1, 0, 0, 1, 0, 0, 1]
    """
    owner = "convert_relu"
    if not isinstance(module, nn.Sequential):
        raise ParameterError(
            f"{owner}: module must be a torch.nn.Sequential; got {type(module).__name__}. Write it "
            "as one."
        )
    check_number(
        percentile, name="percentile", owner=owner, low=0.0, high=100.0, include_high=True
    )
    check_integer(n_steps, name="n_steps", owner=owner, low=1)
    check_choice(reset, ("subtract", "zero"), name="reset", owner=owner)
    check_choice(encoding, ("current", "poisson"), name="encoding", owner=owner)
    stages = stages_of(module)
    values, _ = _samples(X_calibration, owner, encoding)
    like = next(module.parameters())
    samples = torch.from_numpy(values).to(like)
    try:
        scales, above = calibrate(stages, samples, percentile)
    except RuntimeError as error:
        raise ActivityError(
            f"{owner}: X_calibration must be samples that the module takes; shape "
            f"{tuple(samples.shape)} fails: {error}"
        ) from error
    for stage, before, after in zip(stages, [1.0, *scales[:-1]], scales, strict=True):
        rescale(stage, before, after)
    found = ConvertedSNN(
        stages, scales, above, n_steps=n_steps, reset=reset, encoding=encoding,
        classes=None if classes is None else np.asarray(classes), seed=integer_seed(random_state),
    )  # fmt: skip
    found._see(samples)
    return found.eval().requires_grad_(False)


def _evidence(current: Tensor, fired: Tensor, reset: str) -> Tensor:
    """Return spikes, and less than half a spike for the voltage that the last of them left."""
    count = fired.sum(dim=0)
    if reset == "zero":
        is_after = fired.flip(0).cumsum(dim=0).flip(0) == 0
        left = (current * is_after).sum(dim=0)
    else:
        left = current.sum(dim=0) - count
    return count + 0.5 * left / (1.0 + left.abs())


def _samples(X: Any, owner: str, encoding: str) -> tuple[Array, SampleIndex | None]:
    index = None
    if isinstance(X, xr.DataArray):
        values, index = to_samples(X, owner=owner)
    else:
        values = np.asarray(X)
    if values.ndim < 2 or values.dtype.kind not in "biuf" or not values.size:
        raise ActivityError(
            f"{owner}: samples must be numbers of shape (n_samples, n_units) or (n_samples, ...), "
            f"at least one; got {values.dtype} of shape {values.shape}."
        )
    values = values.astype(np.float64)
    axes = ("sample", *(f"axis {k}" for k in range(1, values.ndim)))
    check_finite(values, owner=owner, axes=axes, what="samples", cure="Drop them.")
    if encoding != "current":
        check_unit_interval(values, owner=owner)
    return values, index
