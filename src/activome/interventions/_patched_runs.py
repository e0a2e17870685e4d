"""Many patched runs at once: nodes as rows of one batch, begun at the layer that is patched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch

from activome.interventions._comparison import Comparison, repeat
from activome.interventions._inputs import Batch
from activome.interventions._restart import Restart, chunks
from activome.interventions.edits import Apply, Edit
from activome.interventions.sites import Site

__all__ = ["PatchedRuns"]

# Of the largest logit: what a pass from a layer on may differ from the whole pass by rounding.
_SAME = 1e-3


class PatchedRuns:
    """Runs of the corrupted input in which some nodes have other values.

    The stream of the bare corrupted run is kept, and every run begins at the first layer that can
    differ. Whether that gives what the whole model gives is checked at every layer on the way; a
    model whose blocks see more than the stream is run as a whole.
    """

    def __init__(self, comparison: Comparison, max_tokens: int) -> None:
        self.comparison = comparison
        self.restart = Restart(comparison.taps, comparison.call, comparison.corrupted)
        self.readout = self.restart.readout
        batch = comparison.corrupted
        n_positions = int(batch.ids.shape[1]) if batch.ids is not None else 1
        if batch.ids is None and self.restart.streams:
            stream = self.restart.streams[0]
            n_positions = int(stream.shape[1]) if stream.ndim > 2 else 1
        self.n_rows = len(batch.rows)
        self.size = max(1, max_tokens // max(1, self.n_rows * n_positions))
        self.n_forwards = 0.0
        self._checked: set[int] = set()

    def start(self, sites: Sequence[Site]) -> int:
        """Return the layer at which runs that differ at these sites can begin."""
        if not self.restart.is_possible:
            return 0
        layers = [self.restart.layer_of(site) for site in sites]
        start = min((0 if layer is None else layer) for layer in layers)
        if start and start not in self._checked:
            self._checked.add(start)
            again = self.run(1, start, [])
            limit = _SAME * float(self.readout.abs().max())
            if float((again - self.readout).abs().max()) > limit:
                self.restart.is_possible = False
                return 0
        return start

    def run(
        self,
        n_groups: int,
        start: int,
        edits: Sequence[Edit],
        *,
        inside: Any = None,
        is_traced: bool = False,
    ) -> Any:
        """Run several groups of rows; ``inside`` is a context to be in, such as a recorder."""
        batch: Batch = repeat(self.comparison.corrupted, n_groups)
        n_blocks = max(1, len(self.restart.blocks))
        self.n_forwards += n_groups * (1 - start / n_blocks)
        with torch.set_grad_enabled(is_traced), ExitStack() as stack:
            if start:
                stream = self.restart.streams[start]
                wide = stream.repeat(n_groups, *(1,) * (stream.ndim - 1))
                stack.enter_context(self.restart.entered(start, wide))
            if edits:
                stack.enter_context(self.comparison.taps.edit(*edits))
            if inside is not None:
                stack.enter_context(inside)
            return self.comparison.call(batch)

    def over_cells(
        self, n_cells: int, run: Callable[[Sequence[int]], Sequence[float]]
    ) -> list[float]:
        """Call a function on as many nodes at a time as the budget of tokens allows."""
        return [value for part in chunks(range(n_cells), self.size) for value in run(part)]


def replacing(site: Site, masks: Any, values: Any) -> Edit:
    """Return the edit that gives each group of rows other values where its mask is.

    ``masks`` has shape (n_groups, 1, ...), and ``values`` (n_groups or 1, n_samples, ...).
    """

    def change(view: Any) -> Any:
        n_groups = len(masks)
        grouped = view.unflatten(0, (n_groups, -1))
        return torch.where(masks.to(view.device), values.to(view), grouped).flatten(0, 1)

    return Apply(site.label, change)
