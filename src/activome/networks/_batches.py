"""Batches of data for the training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch

from activome.errors import ActivityError

__all__ = ["Batch", "Sampler", "make_batches"]

Batch: TypeAlias = tuple[torch.Tensor, ...]
Sampler: TypeAlias = Callable[[torch.Generator], Batch]


def make_batches(
    data: Batch | Sampler, batch_size: int | None, order: torch.Generator
) -> _Sampled | _Shuffled:
    """Return batches without end: of a sampler, or shuffled pass by pass.

    Raises
    ------
    ActivityError
        If data are empty, of several lengths, not finite, or fewer than a batch holds.
    """
    if callable(data):
        return _Sampled(data, order)
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
    return _Shuffled(tensors, batch_size, order)


class _Sampled:
    """Batches that a function draws."""

    def __init__(self, sampler: Sampler, order: torch.Generator) -> None:
        self._sampler, self._order = sampler, order

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        return self._sampler(self._order)

    def state(self) -> dict[str, Any]:
        """Return what ``load_state`` needs to go on from here."""
        return {"order": self._order.get_state(), "taken": 0}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from where ``state`` was called."""
        self._order.set_state(state["order"])


class _Shuffled:
    """Rows of tensors without repeats, shuffled anew at each pass; all of them without a size."""

    def __init__(self, tensors: Batch, batch_size: int | None, order: torch.Generator) -> None:
        self._tensors, self._size, self._order = tensors, batch_size, order
        self._n_batches = 1 if batch_size is None else len(tensors[0]) // batch_size
        self._taken = self._n_batches
        self._before = order.get_state()
        self._permutation = torch.empty(0, dtype=torch.int64)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._size is None:
            return self._tensors
        if self._taken == self._n_batches:
            self._shuffle()
        chosen = self._permutation[self._taken * self._size : (self._taken + 1) * self._size]
        self._taken += 1
        return tuple(tensor[chosen] for tensor in self._tensors)

    def _shuffle(self) -> None:
        self._before = self._order.get_state()
        self._permutation = torch.randperm(len(self._tensors[0]), generator=self._order)
        self._taken = 0

    def state(self) -> dict[str, Any]:
        """Return what ``load_state`` needs to go on from here: the pass, and how far it is."""
        return {"order": self._before, "taken": self._taken}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from where ``state`` was called, by drawing the order of its pass again."""
        self._order.set_state(state["order"])
        if self._size is not None:
            self._shuffle()
            self._taken = int(state["taken"])
