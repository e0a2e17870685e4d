"""A layer of leaky cells, forward and backward: 64 trials x 50 steps x 200 inputs to 256 cells."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch

from activome.networks.spiking.surrogate_gradient import SurrogateSpike, lif_forward
from harness import Case, Peer, main

_TIMES, _INPUTS, _CELLS = 50, 200, 256
_KEEP = 0.9
_SLOPE = 10.0
_PI = 3.141592653589793


def make_layer(n_trials: float) -> Any:
    """Spikes of the inputs, time first, and weights with which one step in ten fires."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    generator = torch.Generator().manual_seed(0)
    shape = (_TIMES, int(n_trials), _INPUTS)
    inputs = (torch.rand(shape, generator=generator) < 0.1).float()
    return inputs, 0.12 * torch.randn((_CELLS, _INPUTS), generator=generator)


def _backward(layer: Any, cells: Callable[[Any], Any]) -> Any:
    inputs, values = layer
    weight = values.clone().requires_grad_()
    spikes = cells(torch.nn.functional.linear(inputs, weight))
    spikes.sum().backward()
    return spikes.detach(), weight.grad


def ours(order: Any, mode: Any, kind: str, slope: float) -> Callable[[Any], Any]:
    """Return our pass of a layer, fused."""
    surrogate = SurrogateSpike(kind, slope)

    def run(layer: Any) -> Any:
        return _backward(
            layer,
            lambda x: lif_forward(x, _KEEP, order=order, reset_mode=mode, surrogate=surrogate),
        )

    return run


def plain(layer: Any) -> Any:
    """Our loop that lets all constants learn."""
    surrogate = SurrogateSpike("fast_sigmoid", _SLOPE)
    return _backward(
        layer, lambda x: lif_forward(x, _KEEP, order="delayed", surrogate=surrogate, fused=False)
    )


def run_snntorch(layer: Any) -> Any:
    """Step through snnTorch's leaky cells."""
    import snntorch
    from snntorch import surrogate

    cell = snntorch.Leaky(_KEEP, spike_grad=surrogate.fast_sigmoid(_SLOPE))

    def cells(current: Any) -> Any:
        voltage, spikes = cell.init_leaky(), []
        for now in current:
            z, voltage = cell(now, voltage)
            spikes.append(z)
        return torch.stack(spikes)

    return _backward(layer, cells)


def run_spikingjelly(layer: Any) -> Any:
    """Run SpikingJelly's node over all steps."""
    from spikingjelly.activation_based import neuron, surrogate

    node = neuron.LIFNode(
        tau=1 / (1 - _KEEP), decay_input=False, v_reset=None, detach_reset=True, step_mode="m",
        surrogate_function=surrogate.ATan(alpha=2.0),
    )  # fmt: skip
    return _backward(layer, node)


def run_norse(layer: Any) -> Any:
    """Step through Norse's box cells, whose input is scaled by their time step."""
    from norse.torch.functional.lif_box import LIFBoxParameters
    from norse.torch.module.lif_box import LIFBoxCell

    gain = 1 - _KEEP
    cell = LIFBoxCell(LIFBoxParameters(
        tau_mem_inv=torch.as_tensor(gain / 0.001), v_th=torch.as_tensor(1.0), alpha=_SLOPE,
    ))  # fmt: skip

    def cells(current: Any) -> Any:
        state, spikes = None, []
        for now in current / gain:
            z, state = cell(now, state)
            spikes.append(z)
        return torch.stack(spikes)

    return _backward(layer, cells)


def differs(mine: Any, theirs: Any) -> float:
    """Tell the share of other spikes, or the largest relative difference of the gradient."""
    spikes = float((mine[0] != theirs[0]).float().mean())
    gradient = float((mine[1] - theirs[1]).abs().max() / mine[1].abs().max())
    return max(spikes, gradient)


def other_spikes(mine: Any, theirs: Any) -> float:
    """Tell the share of other spikes: Norse's gradient passes through the reset, ours by it."""
    return float((mine[0] != theirs[0]).float().mean())


def cases() -> Sequence[Case]:
    """Our cells with the reset and the surrogate of each peer."""
    aim = "ratio at least 1.33 (our time at most 0.75 of the peer's)"
    peers = [
        ("delayed reset by subtraction", ("delayed", "subtract", "fast_sigmoid", _SLOPE),
         [Peer("snnTorch Leaky", run_snntorch, differs, 1e-4, "snntorch"),
          Peer("our plain loop", plain, differs, 1e-4)]),
        ("immediate reset by subtraction", ("immediate", "subtract", "arctan", _PI),
         [Peer("SpikingJelly LIFNode", run_spikingjelly, differs, 1e-4, "spikingjelly")]),
        ("immediate reset to zero", ("immediate", "zero", "fast_sigmoid", _SLOPE),
         [Peer("Norse LIFBoxCell", run_norse, other_spikes, 1e-3, "norse")]),
    ]  # fmt: skip
    return [
        Case(
            name=f"LIF forward and backward, {name}",
            sizes=(64,),
            make=make_layer,
            ours=ours(*options),
            peers=those,
            aim=aim,
        )
        for name, options, those in peers
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
