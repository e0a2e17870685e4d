"""What one sample costs a network: multiplications, additions by spikes, and time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from activome.errors import ActivityError, ParameterError

__all__ = ["OperationCount", "count_operations"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class OperationCount:
    """What one sample costs, on average.

    An accumulate is no multiply-accumulate: it adds a weight, and needs no multiplier. Adding a
    bias or a current that was computed before is counted nowhere.

    Attributes
    ----------
    multiply_accumulate : float
        Weights times numbers: one per weight, or per current of an analog input that is constant.
    accumulate : float
        Weights that spikes add: one per spike and outgoing weight.
    spikes_per_unit : dict of str to ndarray of float64, shape (n_units,)
        Mean spikes of each unit, by layer.
    steps : int
        Steps of the clock; 0 where events drive the time, 1 where there are no spikes.
    seconds : float
        Wall time in s of this run on this machine.
    leak_multiply : float
        Decays of voltages: one per leaky unit and step, or per event that a unit takes.
    """

    multiply_accumulate: float
    accumulate: float
    spikes_per_unit: Mapping[str, Array] = field(default_factory=dict)
    steps: int = 1
    seconds: float = 0.0
    leak_multiply: float = 0.0

    @property
    def spikes(self) -> float:
        """Spikes of all units that are counted."""
        return float(sum(values.sum() for values in self.spikes_per_unit.values()))


@runtime_checkable
class Spiking(Protocol):
    """What tells its operations itself."""

    def operations(self, X: Any) -> OperationCount:
        """Return what one sample costs.

        Parameters
        ----------
        X : array-like, shape (n_samples, ...)
            Samples.

        Returns
        -------
        OperationCount
            Means over the samples.
        """


def count_operations(network: nn.Module | Spiking, X: Any) -> OperationCount:
    """Count what a sample costs a network, dense or spiking.

    A dense network takes one multiply-accumulate per weight of a linear map, and per weight and
    place of a convolution, padding included. A spiking one counts its spikes on these samples.

    Parameters
    ----------
    network : torch.nn.Module, or anything with ``operations``
        A network of linear maps and convolutions, or a spiking one of this room.
    X : array-like or torch.Tensor, shape (n_samples, ...)
        Samples.

    Returns
    -------
    OperationCount
        Means over the samples.

    Raises
    ------
    ActivityError
        If there is no sample.
    ParameterError
        If the network is neither.

    Examples
    --------
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    >>> count_operations(network, torch.zeros(3, 784)).multiply_accumulate
    101632.0
    """
    if isinstance(network, Spiking):
        return network.operations(X)
    if not isinstance(network, nn.Module):
        raise ParameterError(
            "count_operations: network must be a torch.nn.Module or have a method operations; got "
            f"{type(network).__name__}."
        )
    like = next(network.parameters(), torch.zeros(0))
    samples = torch.as_tensor(X if isinstance(X, Tensor) else np.asarray(X)).to(like)
    if samples.ndim == 0 or not len(samples):
        raise ActivityError(
            f"count_operations: needs at least one sample; got shape {tuple(samples.shape)}."
        )
    start = time.perf_counter()
    total = multiplications([network], samples)
    return OperationCount(total / len(samples), 0.0, seconds=time.perf_counter() - start)


def multiplications(modules: Sequence[nn.Module], samples: Tensor) -> int:
    """Return the multiply-accumulates that modules, one after the other, do on samples."""
    found = 0

    def count(module: nn.Module, _: Any, out: Tensor) -> None:
        nonlocal found
        weight: Any = module.weight
        found += out.numel() * (weight.numel() // weight.shape[0])

    weighted = [
        part for module in modules for part in module.modules()
        if isinstance(part, (nn.Linear, nn.Conv2d))
    ]  # fmt: skip
    hooks = [part.register_forward_hook(count) for part in weighted]
    modes = [(module, module.training) for module in modules]
    try:
        with torch.no_grad():
            for module in modules:
                samples = module.eval()(samples)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.train(mode)
    return found


def fan_out(modules: Sequence[nn.Module], shape: Sequence[int]) -> Tensor:
    """Return how many weights every input of linear maps reaches, of the shape of an input.

    The gradient of the summed output counts the ways to it when every weight is one.
    """
    source = torch.ones((1, *shape), dtype=torch.float64, requires_grad=True)
    out = source
    with torch.enable_grad():
        for module in modules:
            out = _with_ones(module, out)
    if not out.requires_grad:
        return torch.zeros(tuple(shape), dtype=torch.float64)
    (ways,) = torch.autograd.grad(out.sum(), source)
    return ways[0]


def _with_ones(module: nn.Module, x: Tensor) -> Tensor:
    found: Tensor
    if isinstance(module, nn.Linear):
        return x.sum(dim=-1, keepdim=True).expand(*x.shape[:-1], module.out_features)
    if isinstance(module, nn.Conv2d):
        ones = torch.ones(module.weight.shape, dtype=x.dtype)
        found = module._conv_forward(x, ones, None)
        return found
    if isinstance(module, nn.AvgPool2d):
        # A pool that sums: each of its ways ends at one of the weights behind it.
        found = nn.functional.avg_pool2d(
            x, module.kernel_size, module.stride, module.padding, module.ceil_mode,
            divisor_override=1,
        )  # fmt: skip
        return found
    found = module(x)
    return found
