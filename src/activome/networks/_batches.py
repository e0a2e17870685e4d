"""Batches of data for the training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import torch

from activome.errors import ActivityError

__all__ = ["Batch", "Sampler", "make_batches"]

Batch: TypeAlias = tuple[torch.Tensor, ...]
Sampler: TypeAlias = Callable[[torch.Generator], Batch]


def make_batches(
    data: Batch | Sampler, batch_size: int | None, order: torch.Generator
) -> Iterator[Batch]:
    """Yield batches without end: of a sampler, or shuffled pass by pass.

    Raises
    ------
    ActivityError
        If data are empty, of several lengths, not finite, or fewer than a batch holds.
    """
    if callable(data):
        return _sampled(data, order)
    tensors = tuple(data)
    n_samples = len(tensors[0]) if tensors else 0
    if any(len(tensor) != n_samples for tensor in tensors) or n_samples == 0:
        raise ActivityError(
            "Trainer.fit: data must be tensors with one row per sample, at least one; got lengths "
            f"{[len(tensor) for tensor in tensors]}."
        )
    for number, tensor in enumerate(tensors):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ActivityError(f"Trainer.fit: tensor {number} of the data must be finite.")
    if batch_size is not None and batch_size > n_samples:
        raise ActivityError(
            f"Trainer.fit: a batch of {batch_size} needs as many samples; got {n_samples}. "
            "Give batch_size=None for all data in each step."
        )
    return _shuffled(tensors, n_samples, batch_size, order)


def _sampled(sampler: Sampler, order: torch.Generator) -> Iterator[Batch]:
    while True:
        yield sampler(order)


def _shuffled(
    tensors: Batch, n_samples: int, batch_size: int | None, order: torch.Generator
) -> Iterator[Batch]:
    while batch_size is None:
        yield tensors
    while True:
        permutation = torch.randperm(n_samples, generator=order)
        for start in range(0, n_samples - batch_size + 1, batch_size):
            chosen = permutation[start : start + batch_size]
            yield tuple(tensor[chosen] for tensor in tensors)
