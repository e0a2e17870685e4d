"""Gradients of spikes, and of leaky cells over time by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from activome.errors import ParameterError

__all__ = ["DrawnSpikes", "Fire", "FusedLIF", "run_lif", "spike"]

# From the voltage less the threshold at one step to the spikes of that step.
Fire: TypeAlias = Callable[[Tensor], Tensor]


def _slope_at(x: Tensor, kind: str, slope: float) -> Tensor:
    """Return the surrogate's derivative at voltages less the threshold."""
    if kind == "fast_sigmoid":
        return x.abs().mul_(slope).add_(1.0).square_().reciprocal_()
    if kind == "arctan":
        return (x * slope).square_().add_(1.0).reciprocal_()
    return x.abs().mul_(-slope).add_(1.0).clamp_(min=0.0)


class _Spike(torch.autograd.Function):
    """A step forward, a smooth slope backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kind: str, slope: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.shape = (kind, slope)
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grads[0] * _slope_at(x, *ctx.shape), None, None


def spike(x: Tensor, kind: str, slope: float) -> Tensor:
    """Return ``[x >= 0]`` with the gradient of a surrogate.

    Parameters
    ----------
    x : torch.Tensor
        Voltage less the threshold.
    kind : {"fast_sigmoid", "arctan", "triangle"}
        Surrogate.
    slope : float
        How fast it falls.

    Returns
    -------
    torch.Tensor
        Spikes.
    """
    found: Tensor = _Spike.apply(x, kind, slope)
    return found


class DrawnSpikes:
    """Fire with probability ``sigmoid(x / temperature)``, whose gradient is that of the spike.

    Parameters
    ----------
    temperature : torch.Tensor
        One per unit.
    draws : torch.Tensor
        Numbers in [0, 1) that decide, shape (n_times, n_trials or 1, n_units); one row per call.
    """

    def __init__(self, temperature: Tensor, draws: Tensor) -> None:
        self.temperature = temperature
        self._rows = iter(draws)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the spikes of the next step."""
        chance = torch.sigmoid(x / self.temperature)
        drawn = (next(self._rows) < chance).to(x.dtype)
        return drawn + (chance - chance.detach())


def run_lif(
    current: Tensor, constants: Sequence[Tensor], fire: Fire,
    is_delayed: bool, is_zero: bool, detach_reset: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Run leaky cells step by step, so that gradients reach every constant.

    Parameters
    ----------
    current : torch.Tensor
        Shape (n_times, n_trials, n_units).
    constants : sequence of torch.Tensor
        Share that is kept per step, threshold and reset.
    fire : callable
        From the voltage less the threshold to spikes.
    is_delayed, is_zero, detach_reset : bool
        When and how a spike resets, and whether gradients pass by it.

    Returns
    -------
    tuple of torch.Tensor
        Spikes, and voltages as the threshold saw them; shape of the current.
    """
    alpha, threshold, reset = constants

    def lowered(v: Tensor, z: Tensor) -> Tensor:
        z = z.detach() if detach_reset else z
        return v * (1 - z) + reset * z if is_zero else v - threshold * z

    v = z = torch.zeros_like(current[0])
    spikes, voltages = [], []
    for now in current:
        v = alpha * v + now
        if is_delayed:
            v = lowered(v, z)
        z = fire(v - threshold)
        voltages.append(v)
        if not is_delayed:
            v = lowered(v, z)
        spikes.append(z)
    return torch.stack(spikes), torch.stack(voltages)


class FusedLIF(torch.autograd.Function):
    """Leaky cells over all steps at once: keeps the voltages, and runs backward by hand.

    The reset is detached, so that the gradient of the voltage follows
    ``g(t) = dL/dz(t) s'(v(t)) + alpha k(t) g(t + 1)`` with k = 0 where a spike set the voltage to a
    value, and 1 elsewhere.
    """

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, alpha: Tensor, threshold: Tensor, reset: Tensor,
        is_delayed: bool, is_zero: bool, kind: str, slope: float,
    ) -> Tensor:  # fmt: skip
        voltage, spikes = torch.empty_like(current), torch.empty_like(current)
        left = torch.zeros_like(current[0])
        for t in range(current.shape[0]):
            v, z = voltage[t], spikes[t]
            torch.mul(left, alpha, out=v)
            v += current[t]
            if is_delayed and t:
                _lower(v, spikes[t - 1], threshold, reset, is_zero)
            torch.ge(v, threshold, out=z)
            left.copy_(v)
            if not is_delayed:
                _lower(left, z, threshold, reset, is_zero)
        ctx.save_for_backward(voltage, alpha, threshold)
        ctx.options = (is_delayed, is_zero, kind, slope)
        return spikes

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if torch.is_grad_enabled():
            # Autograd would leave this pass out of second derivatives without a word.
            raise ParameterError(
                "lif_forward: the fused pass has no second derivative, which create_graph=True "
                "asks for. Say fused=False."
            )
        voltage, alpha, threshold = ctx.saved_tensors
        is_delayed, is_zero, kind, slope = ctx.options
        away = voltage - threshold
        found = _slope_at(away, kind, slope).mul_(grads[0])
        kept = (away < 0).to(found.dtype).mul_(alpha) if is_zero else None
        carried = torch.empty_like(found[0])
        last = found.shape[0] - 1
        for t in range(last, -1, -1):
            g = found[t]
            if t < last:
                torch.mul(found[t + 1], alpha if kept is None else kept[t], out=carried)
                g += carried
        if is_delayed and kept is not None:
            # A delayed reset wipes the current of the step out as well.
            found[1:] *= away[:-1] < 0
        return found, None, None, None, None, None, None, None


def _lower(v: Tensor, z: Tensor, threshold: Tensor, reset: Tensor, is_zero: bool) -> None:
    """Reset a voltage in place where there is a spike."""
    if is_zero:
        v.mul_(1 - z).add_(reset * z)
    else:
        v.sub_(threshold * z)
