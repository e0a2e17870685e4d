"""Shuffled batches of rows, out of data that need not fit in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from activome.activity.blocks import BlockSource

__all__ = ["RowPool"]

Array = np.ndarray[Any, Any]


class RowPool:
    """Batches of rows without repeats, in a new order at each pass.

    Data that fit in ``n_held`` rows are read once and shuffled whole. Of larger ones, whole blocks
    are read in random order until ``n_held`` rows are there, and these are shuffled: no row is
    looked up in the store by itself. Rows that do not fill a batch go on to the next blocks; those
    left at the end of a pass are dropped.

    Parameters
    ----------
    source : BlockSource
        The data.
    batch_size : int
        Rows per batch, at most as many as there are.
    n_held : int
        Rows held at once, at least; one block more may be.
    centre : ndarray, shape (n_units,)
        Taken off each row.
    scale : float
        Rows are divided by it.
    """

    def __init__(
        self, source: BlockSource, batch_size: int, n_held: int, centre: Array, scale: float
    ) -> None:
        self._source, self._size, self._n_held = source, batch_size, max(n_held, batch_size)
        self._centre, self._scale = centre, scale
        self._blocks = list(source.blocks())
        self._batches: Iterator[torch.Tensor] | None = None

    def __call__(self, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        """Return the next batch, as the training loop asks for it."""
        if self._batches is None:
            fits = self._source.n_samples <= self._n_held
            self._batches = self._whole(generator) if fits else self._pooled(generator)
        return (next(self._batches),)

    def _read(self, number: int) -> Array:
        rows = (self._blocks[number].read() - self._centre) / self._scale
        return rows.astype(np.float32, copy=False)

    def _whole(self, generator: torch.Generator) -> Iterator[torch.Tensor]:
        rows = torch.from_numpy(np.concatenate([self._read(i) for i in range(len(self._blocks))]))
        while True:
            order = torch.randperm(len(rows), generator=generator)
            for start in range(0, len(rows) - self._size + 1, self._size):
                yield rows[order[start : start + self._size]]

    def _pooled(self, generator: torch.Generator) -> Iterator[torch.Tensor]:
        while True:
            held: list[Array] = []
            n_held = 0
            order = torch.randperm(len(self._blocks), generator=generator).tolist()
            for place, number in enumerate(order):
                held.append(self._read(number))
                n_held += len(held[-1])
                if n_held < self._n_held and place < len(order) - 1:
                    continue
                rows = torch.from_numpy(np.concatenate(held))
                mixed = torch.randperm(n_held, generator=generator)
                whole = n_held // self._size * self._size
                for start in range(0, whole, self._size):
                    yield rows[mixed[start : start + self._size]]
                held = [rows[mixed[whole:]].numpy()]
                n_held = len(held[0])
