"""How one hidden layer of spiking cells learns: surrogate gradients, STDP, the tempotron's cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.signal import lfilter
from torch import Tensor, nn

from activome._checks import check_choice, check_number
from activome.networks.spiking.plasticity import PairSTDP
from activome.networks.spiking.torch_cells import LIFCell, MetaCell
from activome.networks.spiking_classifier import RATE_SCALE
from activome.networks.training import TrainConfig, Trainer

__all__ = [
    "RULES",
    "SpikingLayer",
    "constants_of",
    "make_cell",
    "pair_changes",
    "set_constants",
]

Array = np.ndarray[Any, Any]
_RULE = PairSTDP(zero_lag="potentiate")
_USUAL: dict[str, dict[str, float]] = {
    "lif": {"tau": 10.0, "threshold": 1.0, "reset": 0.0},
    "meta": {
        "theta_v": -0.172, "theta_u": 0.529, "theta_r": 0.021, "theta_s": 0.132,
        "tau": 10.0, "threshold": 1.0,
    },
}  # fmt: skip
_TEMPERATURE = 0.1
_TARGET_RATE = 0.1
_LOWEST = 0.05


def make_cell(
    neuron: str,
    n: int,
    internal: dict[str, float],
    *,
    learns: bool,
    stochastic: bool,
    detach_reset: bool,
) -> LIFCell | MetaCell:
    """Build a layer of cells.

    Parameters
    ----------
    neuron : {"lif", "meta"}
        Kind of cell.
    n : int
        Cells.
    internal : dict of str to float
        Values of constants that are not the usual ones.
    learns, stochastic, detach_reset : bool
        Whether constants learn, cells fire by chance, and gradients pass by resets.

    Returns
    -------
    LIFCell or MetaCell
        The layer.

    Raises
    ------
    ParameterError
        If a constant is unknown or outside its range.
    """
    owner = "SpikingClassifier"
    known: dict[str, Any] = dict(_USUAL[neuron])
    if stochastic:
        known["temperature"] = _TEMPERATURE
    for name, value in internal.items():
        check_choice(name, known, name="constant", owner=owner)
        known[name] = check_number(value, name=name, owner=owner)
    known["learnable"] = "all" if learns else ()
    known |= {"stochastic": stochastic, "detach_reset": detach_reset}
    if neuron == "lif":
        return LIFCell(n, **known)
    theta = [known.pop(f"theta_{letter}") for letter in "vurs"]
    return MetaCell(n, theta, **known)


def constants_of(cell: LIFCell | MetaCell) -> dict[str, Array]:
    """Return the constants of every cell by name, float32 (n,)."""
    names = [*_USUAL["lif" if isinstance(cell, LIFCell) else "meta"]]
    names += ["temperature"] if cell.stochastic else []
    return {name: getattr(cell, name).detach().float().numpy().copy() for name in names}


def set_constants(cell: LIFCell | MetaCell, values: dict[str, Array]) -> None:
    """Give every cell its constants; called without gradients."""
    for name, value in values.items():
        given = torch.from_numpy(value).double()
        if name in ("tau", "temperature"):
            getattr(cell, f"log_{name}")[:] = given.log()
        else:
            getattr(cell, name)[:] = given


class SpikingLayer(nn.Module):
    """Weighted inputs, a layer of spiking cells, and a linear read-out of their mean rates.

    Parameters
    ----------
    n_inputs, n_classes : int
        Inputs and outputs.
    cell : LIFCell or MetaCell
        The hidden layer.
    """

    def __init__(self, n_inputs: int, n_classes: int, cell: LIFCell | MetaCell) -> None:
        super().__init__()
        self.weigh = nn.Linear(n_inputs, cell.n, bias=False)
        nn.init.normal_(self.weigh.weight, 0.0, n_inputs**-0.5)
        self.cell = cell
        self.output = nn.Linear(cell.n, n_classes)

    def draws(self, n_trials: int, n_times: int, generator: torch.Generator) -> Tensor | None:
        """Return the numbers that decide for stochastic cells, None for the others."""
        if not self.cell.stochastic:
            return None
        weight = self.weigh.weight
        return torch.rand((n_trials, n_times, self.cell.n), generator=generator).to(weight)

    def respond(self, inputs: Tensor, draws: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return spikes and voltages of inputs (n_trials, n_times, n_inputs)."""
        return self.cell.respond(self.weigh(inputs), draws=draws)

    def forward(self, inputs: Tensor, draws: Tensor | None = None) -> Tensor:
        """Return one output per class."""
        spikes = self.cell(self.weigh(inputs), draws=draws)
        found: Tensor = self.output(RATE_SCALE * spikes.mean(dim=1))
        return found


def _train(
    net: SpikingLayer, inputs: Tensor, codes: Tensor, config: TrainConfig,
    cost: Callable[[Any, Any, Any], Tensor],
) -> None:  # fmt: skip
    def loss(model: Any, batch: Any, generator: Any) -> tuple[Tensor, dict[str, Any]]:
        draws = model.draws(batch[0].shape[0], batch[0].shape[1], generator)
        return cost(model, batch, draws), {}

    Trainer(net, loss, config).fit((inputs, codes))


def _surrogate(
    net: SpikingLayer, inputs: Tensor, codes: Tensor, config: TrainConfig, learns: bool
) -> None:
    """Follow the gradient of the cross-entropy of the read-out, through smooth spikes."""

    def cost(model: Any, batch: Any, draws: Any) -> Tensor:
        return nn.functional.cross_entropy(model(batch[0], draws), batch[1])

    _train(net, inputs, codes, config, cost)


def _tempotron(
    net: SpikingLayer, inputs: Tensor, codes: Tensor, config: TrainConfig, learns: bool
) -> None:
    """Let each cell fire for one class: the cost of an error is how far the peak is off threshold.

    Classes take turns among the cells.
    """
    n_classes = net.output.out_features
    own = torch.arange(net.cell.n) % n_classes

    def cost(model: Any, batch: Any, draws: Any) -> Tensor:
        voltages = model.respond(batch[0], draws)[1]
        above = voltages.amax(dim=1) - model.cell.threshold
        sign = 2.0 * (batch[1][:, None] == own).to(above) - 1.0
        return torch.relu(-sign * above).sum(dim=1).mean()

    _train(net, inputs, codes, config, cost)


def pair_changes(before: Array, behind: Array, rule: PairSTDP) -> Array:
    """Sum the changes of all pairs of spikes, all-to-all, in steps of one time constant's unit.

    A spike behind the synapse in the step of one before it counts as caused by it.

    Parameters
    ----------
    before : ndarray of float, shape (n_trials, n_times, n_inputs)
        Spikes before the synapses.
    behind : ndarray of float, shape (n_trials, n_times, n_cells)
        Spikes behind them.
    rule : PairSTDP
        Sizes and time constants, in steps.

    Returns
    -------
    ndarray of float64, shape (n_cells, n_inputs)
        Change of each weight, summed over trials.
    """
    trace = lfilter([1.0], [1.0, -np.exp(-1.0 / rule.tau_plus)], before, axis=1)
    raised = np.einsum("ntj,nti->ji", behind, trace, optimize=True)
    trace = lfilter([1.0], [1.0, -np.exp(-1.0 / rule.tau_minus)], behind, axis=1)
    earlier = np.exp(-1.0 / rule.tau_minus) * trace[:, :-1]
    lowered = np.einsum("ntj,nti->ji", earlier, before[:, 1:], optimize=True)
    return np.asarray(rule.a_plus * raised - rule.a_minus * lowered)


@torch.no_grad()
def _stdp(
    net: SpikingLayer, inputs: Tensor, codes: Tensor, config: TrainConfig, learns: bool
) -> None:
    """Change excitatory weights by pairs of spikes, batch by batch, without labels.

    They stay positive, and their sum onto a cell is kept. Where constants learn, thresholds move so
    that the rate comes to a tenth of a spike per step.
    """
    generator = torch.Generator().manual_seed(config.seed)
    weight, threshold = net.weigh.weight, net.cell.threshold
    is_excitatory, lowest = weight > 0, _LOWEST * threshold.clone()
    total = (weight * is_excitatory).sum(dim=1, keepdim=True)
    size = config.batch_size or len(inputs)
    per_pass = math.ceil(len(inputs) / size)
    for step in range(config.steps):
        if step % per_pass == 0:
            order = torch.randperm(len(inputs), generator=generator)
        batch = inputs[order[step % per_pass * size :][:size]]
        spikes = net.respond(batch, net.draws(batch.shape[0], batch.shape[1], generator))[0]
        change = pair_changes(batch.double().numpy(), spikes.double().numpy(), _RULE)
        moved = weight + config.lr * torch.from_numpy(change / len(batch)).to(weight)
        moved = (moved * is_excitatory).clamp(min=0.0)
        left = moved.sum(dim=1, keepdim=True)
        # A cell that would lose its last weight keeps what it has.
        scaled = torch.where(left > 0, moved * total / left.clamp(min=1e-12), weight)
        weight[:] = torch.where(is_excitatory, scaled, weight)
        if learns:
            threshold += config.lr * (spikes.mean(dim=(0, 1)) / _TARGET_RATE - 1.0)
            torch.maximum(threshold, lowest, out=threshold)


RULES: dict[str, Callable[[SpikingLayer, Tensor, Tensor, TrainConfig, bool], None]] = {
    "surrogate": _surrogate,
    "stdp": _stdp,
    "tempotron": _tempotron,
}
