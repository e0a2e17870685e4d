"""The network of the sparse autoencoder, its loss, and what keeps its columns of unit length."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

__all__ = ["Autoencoder", "Objective", "ramp"]

# Up to so many components per active one, products with all zeros written out are the faster way.
_WRITTEN_OUT = 48


class Autoencoder(nn.Module):
    """Rows to few active components, and back.

    Parameters
    ----------
    decoder : Tensor, shape (n_components, n_units)
        Components; the encoder starts as their copy.
    bias : Tensor, shape (n_units,)
        What is taken off before the encoder and added after the decoder.
    k : int or None
        Largest number of active components of a row; None for a rectifier with thresholds.
    """

    def __init__(self, decoder: torch.Tensor, bias: torch.Tensor, k: int | None) -> None:
        super().__init__()
        self.k = k
        self.decoder = nn.Parameter(decoder.clone())
        self.encoder = nn.Parameter(decoder.clone())
        self.bias = nn.Parameter(bias.clone())
        self.encoder_bias = None if k is not None else nn.Parameter(decoder.new_zeros(len(decoder)))

    def drive(self, centred: torch.Tensor) -> torch.Tensor:
        """Return what each component is driven with, shape (n_rows, n_components)."""
        return functional.linear(centred, self.encoder, self.encoder_bias)

    def chosen(
        self, centred: torch.Tensor, n: int, among: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the ``n`` largest codes of each row, rectified, and their components.

        In a large dictionary only the chosen codes take part in the graph: their gradient is a sum
        over n rows of the encoder instead of a product with all of it.
        """
        encoder, bias = self.encoder, self.encoder_bias
        if among is not None:
            encoder = encoder[among]
            bias = None if bias is None else bias[among]
        if len(encoder) <= _WRITTEN_OUT * n:
            codes, places = functional.linear(centred, encoder, bias).topk(n, dim=1, sorted=False)
            return codes.relu(), places if among is None else among[places]
        with torch.no_grad():
            drive = functional.linear(centred, encoder, bias)
            places = drive.topk(n, dim=1, sorted=False).indices
        codes = (functional.embedding(places, encoder) * centred[:, None]).sum(-1)
        if bias is not None:
            codes = codes + bias[places]
        return codes.relu(), places if among is None else among[places]

    def decoded(self, codes: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Return the sum of the chosen components, without the bias."""
        if len(self.decoder) <= _WRITTEN_OUT * codes.shape[1]:
            written = codes.new_zeros(len(codes), len(self.decoder)).scatter(1, places, codes)
            return written @ self.decoder
        result: torch.Tensor = functional.embedding_bag(
            places, self.decoder, per_sample_weights=codes, mode="sum"
        )
        return result

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the reconstruction of rows, shape (..., n_units)."""
        centred = rows.reshape(-1, rows.shape[-1]) - self.bias
        if self.k is None:
            result = self.drive(centred).relu() @ self.decoder
        else:
            result = self.decoded(*self.chosen(centred, self.k))
        return (result + self.bias).reshape(rows.shape)

    def follow(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Let an optimiser keep the rows of the decoder at length 1.

        The part of the gradient along a row would only change its length: it is taken off before
        each step, so that it does not enter the averages of the optimiser either.
        """
        optimizer.register_step_pre_hook(self._project)
        optimizer.register_step_post_hook(self._normalise)
        return optimizer

    def _project(self, *_: Any) -> None:
        with torch.no_grad():
            gradient = self.decoder.grad
            if gradient is not None:
                along = torch.einsum("ij,ij->i", gradient, self.decoder)
                gradient.addcmul_(self.decoder, along[:, None], value=-1.0)

    def _normalise(self, *_: Any) -> None:
        with torch.no_grad():
            self.decoder.div_(self.decoder.norm(dim=1, keepdim=True).clamp_min(1e-12))


@dataclass
class Objective:
    """The loss: share of variance left, sparsity, and what revives components without use.

    ``variance`` is the mean squared distance of rows from their mean. A component that was not
    active in ``dead_after`` rows is dead; the dead ones together reconstruct the error.
    """

    variance: float
    l1_weight: float
    aux_weight: float
    n_aux: int
    dead_after: float
    idle: torch.Tensor

    def __call__(
        self, model: nn.Module, batch: tuple[torch.Tensor, ...], generator: torch.Generator
    ) -> tuple[torch.Tensor, Mapping[str, Any]]:
        """Return the loss of a batch and what is logged of it."""
        (rows,) = batch
        net: Any = model
        centred = rows - net.bias
        penalty: torch.Tensor | float = 0.0
        if net.k is None:
            codes = net.drive(centred).relu()
            found = codes @ net.decoder
            active = (codes.detach() > 0).any(0)
            penalty = self.l1_weight * codes.sum(1).mean()
        else:
            codes, places = net.chosen(centred, net.k)
            found = net.decoded(codes, places)
            active = torch.zeros(len(net.decoder), dtype=torch.bool)
            active[places[codes.detach() > 0]] = True
        error = centred - found
        left = error.square().sum(1).mean()
        loss = left / self.variance + penalty
        self.idle += len(rows)
        self.idle[active] = 0
        dead = (self.idle > self.dead_after).nonzero()[:, 0]
        if len(dead) and self.aux_weight > 0:
            target = error.detach()
            codes, places = net.chosen(centred, min(self.n_aux, len(dead)), dead)
            missed = (target - net.decoded(codes, places)).square().sum(1).mean()
            energy = target.square().sum(1).mean().clamp_min(torch.finfo(rows.dtype).tiny)
            loss = loss + self.aux_weight * missed / energy
        return loss, {"unexplained": float(left.detach()) / self.variance, "n_dead": len(dead)}


def ramp(n_steps: int) -> Callable[[int], float]:
    """Return a schedule that rises over the first 5 % of the steps and falls over the last 30 %."""

    def factor(step: int) -> float:
        return min(1.0, (step + 1) / (0.05 * n_steps), (n_steps - step) / (0.3 * n_steps))

    return factor
