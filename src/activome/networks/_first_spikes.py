"""Exact first spikes of cells without leak, and their gradients: two forms of the synapse."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from activome.networks._first_spike_kernel import spike_gradients, spike_times

__all__ = ["LATE", "exponential_spikes", "response_spikes"]

# z = exp(t) of a cell that stays silent; no spike is later.
LATE = 1e5
_LAST = math.log(LATE)


def exponential_spikes(z: Tensor, weight: Tensor) -> Tensor:
    """Return when cells fire first whose synaptic currents decay exponentially.

    The voltage is ``sum_i w_i (1 - z_i / z)`` over the inputs before z, with ``z = exp(t)`` and t
    in units of the synaptic time constant; a cell fires where it reaches 1.

    Parameters
    ----------
    z : torch.Tensor, shape (n_samples, n_inputs)
        Spikes of the inputs, at least 1.
    weight : torch.Tensor, shape (n_inputs, n_cells)
        Weights.

    Returns
    -------
    torch.Tensor, shape (n_samples, n_cells)
        ``sum w_i z_i / (sum w_i - 1)`` over the causal inputs, or ``LATE`` for a silent cell. The
        gradient holds the causal set fixed, and is 0 for silent cells.
    """
    # On the processor events are added one by one up to the last spike; elsewhere all at once.
    form = _Sequential if z.device.type == "cpu" else _Parallel
    found: Tensor = form.apply(z, weight)
    return found


def response_spikes(t: Tensor, weight: Tensor) -> Tensor:
    """Return when cells fire first whose voltage is a sum of responses ``x exp(1 - x)``.

    Parameters
    ----------
    t : torch.Tensor, shape (n_samples, n_inputs)
        Spikes of the inputs, in units of the time constant of the response.
    weight : torch.Tensor, shape (n_inputs, n_cells)
        Weights; each is the peak of the voltage that one spike makes.

    Returns
    -------
    torch.Tensor, shape (n_samples, n_cells)
        Times, or the logarithm of ``LATE`` for a silent cell. The gradient is that of the crossing,
        ``dt = -dv / v'``, and is 0 for silent cells.
    """
    found: Tensor = _Response.apply(t, weight)
    return found


def _sorted(times: Tensor, weight: Tensor, last: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return places in time of the inputs, times in order, the end of each interval, weights."""
    order = times.argsort(dim=1, stable=True)
    start = times.gather(1, order)
    stop = torch.cat([start[:, 1:], torch.full_like(start[:, :1], last)], dim=1)
    return order, start, stop.clamp(max=last), weight[order]


def _first(reaches: Tensor, *sums: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return whether an interval has a crossing, the first that has, and sums up to it."""
    fires = reaches.any(dim=1)
    chosen = reaches.to(torch.int8).argmax(dim=1)
    return fires, chosen, [s.gather(1, chosen.unsqueeze(1)).squeeze(1) for s in sums]


def _is_causal(order: Tensor, chosen: Tensor, fires: Tensor) -> Tensor:
    """Tell which inputs come before the spike of each cell: (n_samples, n_inputs, n_cells)."""
    place = torch.empty_like(order)
    place.scatter_(1, order, torch.arange(order.shape[1], device=order.device).expand_as(order))
    return (place.unsqueeze(2) <= chosen.unsqueeze(1)) & fires.unsqueeze(1)


def _plain(values: Tensor) -> Any:
    """Return the numbers of a tensor on the processor, which share its memory."""
    return values.detach().numpy()


class _Sequential(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, weight: Tensor) -> Tensor:
        order = z.argsort(dim=1, stable=True)
        at = z.new_empty((len(z), weight.shape[1]))
        excess = torch.ones_like(at)
        n_causal = torch.empty_like(at, dtype=torch.int64)
        spike_times(
            _plain(z), _plain(order), _plain(weight), LATE, _plain(at), _plain(excess),
            _plain(n_causal),
        )  # fmt: skip
        ctx.save_for_backward(z, weight, order, excess, at, n_causal)
        return at

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        z, weight, order, excess, at, n_causal = ctx.saved_tensors
        grad_z, grad_weight = torch.zeros_like(z), torch.zeros_like(weight)
        spike_gradients(
            _plain(z), _plain(order), _plain(weight), _plain(at), _plain(grads[0] / excess),
            _plain(n_causal), _plain(grad_z), _plain(grad_weight),
        )  # fmt: skip
        return grad_z, grad_weight


class _Parallel(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, weight: Tensor) -> Tensor:
        order, start, stop, w = _sorted(z, weight, LATE)
        total = w.cumsum(dim=1)
        moment = w.mul_(start.unsqueeze(2)).cumsum(dim=1)
        # Within an interval the voltage is monotone, so that its end tells of a crossing; asking
        # whether the crossing itself lies inside loses those that rounding puts between two.
        excess = total - 1
        reaches = (excess > 0) & (excess * stop.unsqueeze(2) >= moment)
        reaches &= start.unsqueeze(2) < LATE
        fires, chosen, (moment, excess) = _first(reaches, moment, excess)
        at = moment / torch.where(fires, excess, torch.ones_like(excess))
        low = start.gather(1, chosen)
        at = torch.maximum(at, low).clamp(max=LATE)
        at = torch.where(fires, at, torch.full_like(at, LATE))
        ctx.save_for_backward(z, weight, order, chosen, fires, excess, at)
        return at

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        z, weight, order, chosen, fires, excess, at = ctx.saved_tensors
        part = torch.where(fires, grads[0] / excess, torch.zeros_like(at))
        causal = _is_causal(order, chosen, fires).to(z.dtype)
        causal *= part.unsqueeze(1)
        grad_weight = torch.einsum("bio,bi->io", causal, z)
        grad_weight -= torch.einsum("bio,bo->io", causal, at)
        return torch.einsum("bio,io->bi", causal, weight), grad_weight


class _Response(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, t: Tensor, weight: Tensor) -> Tensor:
        order, start, stop, w = _sorted(t, weight, _LAST)
        grown = w * start.exp().unsqueeze(2)
        slope = grown.cumsum(dim=1)
        offset = -(grown * start.unsqueeze(2)).cumsum(dim=1)
        # In an interval the voltage is (slope s + offset) exp(1 - s), with one peak where the slope
        # is positive; where it is not, the voltage never crosses upwards.
        rises = slope > 0
        peak = 1 - offset / torch.where(rises, slope, torch.ones_like(slope))
        low, high = start.unsqueeze(2), stop.unsqueeze(2)
        reach = torch.minimum(torch.maximum(peak, low), high)
        reaches = rises & ((slope * reach + offset) * (1 - reach).exp() >= 1) & (low < _LAST)
        fires, chosen, (slope, offset) = _first(reaches, slope, offset)
        slope = torch.where(fires, slope, torch.ones_like(slope))
        shift = torch.where(fires, offset, torch.zeros_like(offset)) / slope
        at = -_lambert(-(-1 - shift).exp() / slope) - shift
        at = torch.maximum(at, start.gather(1, chosen)).clamp(max=_LAST)
        at = torch.where(fires, at, torch.full_like(at, _LAST))
        ctx.save_for_backward(t, weight, order, chosen, fires, slope, shift, at)
        return at

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        t, weight, order, chosen, fires, slope, shift, at = ctx.saved_tensors
        # dv/ds of slope (s + shift) exp(1 - s); where the peak only touches 1 there is no gradient.
        speed = slope * (1 - at - shift) * (1 - at).exp()
        is_moving = fires & (speed > torch.finfo(speed.dtype).eps)
        part = torch.where(is_moving, grads[0] / speed, torch.zeros_like(at))
        causal = _is_causal(order, chosen, fires).to(t.dtype)
        causal *= part.unsqueeze(1)
        since = at.unsqueeze(1) - t.unsqueeze(2)
        decay = (1 - since).exp()
        grad_weight = -(causal * since * decay).sum(dim=0)
        grad_t = torch.einsum("bio,io->bi", causal * (1 - since) * decay, weight)
        return grad_t, grad_weight


def _lambert(x: Tensor) -> Tensor:
    """Return the principal branch of Lambert's W at x in [-1/e, 0)."""
    from scipy.special import lambertw

    # Rounding may put a touching peak below the branch point.
    bounded = x.clamp(min=-math.exp(-1))
    found = lambertw(bounded.numpy(force=True)).real
    return torch.from_numpy(found).to(x)


SPIKES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "exponential": exponential_spikes,
    "srm": response_spikes,
}
