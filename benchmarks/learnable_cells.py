"""Leaky cells whose decay and threshold learn, forward and backward, against the peers' cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from activome.networks.spiking.surrogate_gradient import SurrogateSpike, lif_forward
from harness import Case, Peer, main
from lif_gradient import make_layer

_KEEP = 0.9
_SLOPE = 10.0
_PI = 3.141592653589793


def _gradients(layer: Any, cells: Callable[[Any], Any], constants: Callable[[], Any]) -> Any:
    """Return spikes, and the gradients of weights and of constants summed over cells."""
    inputs, values = layer
    weight = values.clone().requires_grad_()
    spikes = cells(torch.nn.functional.linear(inputs, weight))
    spikes.sum().backward()
    return [spikes.detach(), weight.grad, *(c.grad.sum() for c in constants())]


def ours(layer: Any) -> Any:
    """Our loop with one decay and one threshold per cell; snnTorch's reset."""
    n = layer[1].shape[0]
    keep = torch.full((n,), _KEEP, requires_grad=True)
    threshold = torch.ones(n, requires_grad=True)
    surrogate = SurrogateSpike("fast_sigmoid", _SLOPE)
    return _gradients(
        layer,
        lambda x: lif_forward(x, keep, threshold, order="delayed", surrogate=surrogate),
        lambda: (keep, threshold),
    )


def ours_decay(layer: Any) -> Any:
    """Our loop with one decay for all cells; SpikingJelly's reset."""
    raw = torch.tensor(_KEEP, requires_grad=True)
    surrogate = SurrogateSpike("arctan", _PI)
    return _gradients(layer, lambda x: lif_forward(x, raw, surrogate=surrogate), lambda: (raw,))


def run_snntorch(layer: Any) -> Any:
    """Step through snnTorch's leaky cells, one decay and threshold per cell."""
    import snntorch
    from snntorch import surrogate

    n = layer[1].shape[0]
    cell = snntorch.Leaky(
        torch.full((n,), _KEEP), threshold=torch.ones(n), learn_beta=True, learn_threshold=True,
        spike_grad=surrogate.fast_sigmoid(_SLOPE),
    )  # fmt: skip

    def cells(current: Any) -> Any:
        voltage, spikes = cell.init_leaky(), []
        for now in current:
            z, voltage = cell(now, voltage)
            spikes.append(z)
        return torch.stack(spikes)

    return _gradients(layer, cells, lambda: (cell.beta, cell.threshold))


def run_spikingjelly(layer: Any) -> Any:
    """Run SpikingJelly's node whose decay is the sigmoid of its weight."""
    from spikingjelly.activation_based import neuron, surrogate

    node = neuron.ParametricLIFNode(
        init_tau=1 / (1 - _KEEP), decay_input=False, v_reset=None, detach_reset=True,
        step_mode="m", surrogate_function=surrogate.ATan(alpha=2.0),
    )  # fmt: skip
    found = _gradients(layer, node, lambda: (node.w,))
    # The node keeps 1 - sigmoid(w) of its voltage; what is compared is the gradient of that.
    share = torch.sigmoid(node.w.detach())
    found[2] = found[2] / (-share * (1 - share))
    return found


def differs(mine: Any, theirs: Any) -> float:
    """Tell the share of other spikes, or the largest relative difference of a gradient."""
    spikes = float((mine[0] != theirs[0]).float().mean())
    pairs = zip(mine[1:], theirs[1:], strict=True)
    return max(spikes, *(float((a - b).abs().max() / a.abs().max()) for a, b in pairs))


def cases() -> Sequence[Case]:
    """64 trials x 50 steps x 200 inputs to 256 cells."""
    return [
        Case(
            name="decay and threshold of every cell learn",
            sizes=(64,),
            make=make_layer,
            ours=ours,
            peers=[Peer("snnTorch Leaky", run_snntorch, differs, 1e-3, "snntorch")],
            aim="equal spikes and gradients, no slower",
        ),
        Case(
            name="one decay for all cells learns",
            sizes=(64,),
            make=make_layer,
            ours=ours_decay,
            peers=[
                Peer("SpikingJelly ParametricLIFNode", run_spikingjelly, differs, 1e-3,
                     "spikingjelly"),
            ],
            aim="equal spikes and gradients, no slower",
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main(cases))
