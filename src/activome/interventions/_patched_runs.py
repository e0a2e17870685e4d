"""Many patched runs at once: nodes as rows of one batch, begun at the layer that is patched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch

from activome.interventions._comparison import Comparison, repeat
from activome.interventions._nodes import Nodes
from activome.interventions._prefix import Prefix
from activome.interventions._restart import Restart, chunks
from activome.interventions.edits import Apply, Edit
from activome.interventions.sites import Site

__all__ = ["PatchedRuns"]

# Of the largest logit: what a pass from a layer on may differ from the whole pass by rounding.
_SAME = 1e-3
# Parts of the nodes of a site, where passes begin at the first position of their part.
_N_PARTS = 6
# Tokens in a pass below which matrix products lose more than the cut gains.
_WORTHWHILE = 192


class PatchedRuns:
    """Runs of the corrupted input in which some nodes have other values.

    The stream of the bare corrupted run is kept, and every run begins at the first layer that can
    differ; in a causal network that keeps a cache also at the first position that can. Whether
    that gives what the whole model gives is checked at every layer on the way; a model whose blocks
    see more than the stream is run as a whole.
    """

    def __init__(self, comparison: Comparison, max_tokens: int) -> None:
        self.comparison = comparison
        self.restart = Restart(comparison.taps, comparison.call, comparison.corrupted)
        self.readout = self.restart.readout
        batch = comparison.corrupted
        self.n_positions = int(batch.ids.shape[1]) if batch.ids is not None else 1
        if batch.ids is None and self.restart.streams:
            stream = self.restart.streams[0]
            self.n_positions = int(stream.shape[1]) if stream.ndim > 2 else 1
        self.n_rows = len(batch.rows)
        self.size = max(1, max_tokens // max(1, self.n_rows * self.n_positions))
        self.n_forwards = 0.0
        self._prefix: Prefix | None = None
        self._is_prefix_tested = False
        self._checked: set[int] = set()

    def start(self, sites: Sequence[Site]) -> int:
        """Return the layer at which runs that differ at these sites can begin."""
        if not self.restart.is_possible:
            return 0
        layers = [self.restart.layer_of(site) for site in sites]
        start = min((0 if layer is None else layer) for layer in layers)
        if start and start not in self._checked:
            self._checked.add(start)
            if not self._is_alike(self.run(1, start, []), self.readout):
                self.restart.is_possible = False
                return 0
        return start

    def _is_alike(self, found: Any, wanted: Any) -> bool:
        limit = _SAME * float(self.readout.abs().max())
        return float((found - wanted).abs().max()) <= limit

    def over_cells(
        self,
        nodes: Nodes,
        site: Site,
        values: Any,
        evaluate: Callable[[Any, int], Sequence[float]],
    ) -> list[float]:
        """Return the metric of one run per node of a site, several in one pass."""
        start, size = self.start([site]), self.size
        places = nodes.positions_of_cells()
        prefix = self._prefix_for(places)
        if prefix is not None:
            per_node = self.n_rows * self.n_positions
            size = min(size, max(-(-nodes.n_cells // _N_PARTS), -(-_WORTHWHILE // per_node)))
        found: list[float] = []
        for part in chunks(range(nodes.n_cells), size):
            # A site that could not be cut is left whole for the rest of its nodes.
            first = 0
            if places is not None and prefix is not None and prefix.is_possible:
                first = int(places[part[0]])
            masks = nodes.masks(site, part)

            def edit(first: int, masks: Any = masks) -> Edit:
                return replacing(site, _from(masks, first), _from(values[None], first))

            read = self.run(len(part), start, [edit(first)], first=first)
            if first and not self._is_prefix_tested:
                read = self._tested(read, len(part), start, edit(0))
            found += evaluate(read, len(part))
        return found

    def _prefix_for(self, places: Any) -> Prefix | None:
        """Return the prefix where nodes have positions enough that it pays."""
        if places is None or self.n_positions < _N_PARTS + 2:
            return None
        if self._prefix is None:
            self._prefix = Prefix(self.comparison)
            self.n_forwards += int(self._prefix.is_possible)
        return self._prefix if self._prefix.is_possible else None

    def _tested(self, read: Any, n_groups: int, start: int, edit: Edit) -> Any:
        """Compare with whole rows, until a patch that does something has been seen."""
        whole = self.run(n_groups, start, [edit])
        if not self._is_alike(read, whole) and self._prefix is not None:
            self._prefix.layers = []
        bare = self.readout.repeat(n_groups, *(1,) * (self.readout.ndim - 1))
        self._is_prefix_tested = not self._is_alike(whole, bare)
        return whole

    def run(
        self,
        n_groups: int,
        start: int,
        edits: Sequence[Edit],
        *,
        first: int = 0,
        is_traced: bool = False,
    ) -> Any:
        """Run several groups of rows, from a layer and a position on."""
        if first and self._prefix is not None:
            batch = self._prefix.batch_from(first, n_groups)
        else:
            batch = repeat(self.comparison.corrupted, n_groups)
        n_blocks = max(1, len(self.restart.blocks))
        share = (1 - start / n_blocks) * (1 - first / self.n_positions)
        self.n_forwards += n_groups * share
        with torch.set_grad_enabled(is_traced), ExitStack() as stack:
            if start:
                stream = self.restart.streams[start]
                stream = stream[:, first:] if first else stream
                wide = stream.repeat(n_groups, *(1,) * (stream.ndim - 1))
                stack.enter_context(self.restart.entered(start, wide))
            if edits:
                stack.enter_context(self.comparison.taps.edit(*edits))
            return self.comparison.call(batch)


def replacing(site: Site, masks: Any, values: Any) -> Edit:
    """Return the edit that gives each group of rows other values where its mask is.

    ``masks`` has shape (n_groups, 1, ...), and ``values`` (n_groups or 1, n_samples, ...).
    """

    def change(view: Any) -> Any:
        n_groups = len(masks)
        grouped = view.unflatten(0, (n_groups, -1))
        return torch.where(masks.to(view.device), values.to(view), grouped).flatten(0, 1)

    return Apply(site.label, change)


def _from(value: Any, first: int) -> Any:
    """Return what is at a position and after, of (n_groups, n_samples, n_positions, ...)."""
    return value if value.ndim < 3 or value.shape[2] == 1 else value[:, :, first:]
