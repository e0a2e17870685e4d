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

from activome._checks import check_integer
from activome.activity.stacking import SampleIndex
from activome.errors import ActivityError, ParameterError
from activome.networks._relu_stages import Stage, read_samples
from activome.networks._spike_classifier import label_spikes, timed
from activome.networks._step_inputs import encode
from activome.networks.operation_count import OperationCount, fan_out, multiplications
from activome.networks.spiking.surrogate_gradient import ResetMode, lif_forward

__all__ = ["ConvertedSNN"]

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
        Seed of input that is drawn: its spikes come from the seed and the sample alone.

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
        *_, (_, _, current, fired) = self._layers(samples, steps)
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
                flat = z.flatten(2).transpose(0, 1).bool().numpy(force=True)
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
            multiply_accumulate=float(
                multiplications(self.maps[:1], samples[:1]) if is_analog else 0
            ),
            accumulate=added,
            spikes_per_unit={name: values.ravel() for name, values in counts.items()},
            steps=steps,
            seconds=seconds / len(samples),
        )

    def _counts(self, samples: Tensor, steps: int) -> dict[str, Array]:
        totals: dict[str, Array] = {}
        for layers in self._blocks(samples, steps):
            for name, z, _, _ in layers:
                count = z.sum(dim=(0, 1), dtype=torch.float64).numpy(force=True) / len(samples)
                totals[name] = totals.get(name, 0.0) + count
        return totals

    def _blocks(self, samples: Tensor, n_steps: int) -> Iterator[Iterator[_Layer]]:
        widest = max(math.prod(shape) for shape in self._shapes)
        for block in samples.split(max(1, _AT_ONCE // (n_steps * widest))):
            yield self._layers(block, n_steps)

    def _layers(self, samples: Tensor, n_steps: int) -> Iterator[_Layer]:
        """Yield name and spikes of each layer; its currents and spikes as (step, sample, cell)."""
        with torch.no_grad():
            z = encode(samples, self.encoding, n_steps, self.seed)
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
        values, index = read_samples(X, owner, self.encoding)
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
        layers = self._layers(samples[:1], 1)
        self._shapes += [z.shape[2:] for name, z, _, _ in layers if name != "input"]
        n_outputs = math.prod(self._shapes[-1])
        if self._classes is not None and self._classes.shape != (n_outputs,):
            raise ParameterError(
                f"convert_relu: classes must be {n_outputs} labels, one per output; got shape "
                f"{self._classes.shape}."
            )


def _evidence(current: Tensor, fired: Tensor, reset: str) -> Tensor:
    """Return spikes, and less than half a spike for the voltage that the last of them left."""
    count = fired.sum(dim=0)
    if reset == "zero":
        is_after = fired.flip(0).cumsum(dim=0).flip(0) == 0
        left = (current * is_after).sum(dim=0)
    else:
        left = current.sum(dim=0) - count
    return count + 0.5 * left / (1.0 + left.abs())
