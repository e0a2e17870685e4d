"""Restarts: the blocks of a network as a chain that can be entered at any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from activome.interventions._hooks import _output_tensor, _replace_output
from activome.interventions._inputs import Batch
from activome.interventions.sites import Site
from activome.interventions.taps import Taps

__all__ = ["Restart", "chunks", "forwards_of"]


class Restart:
    """The blocks of a network, and the residual stream that entered each in one pass.

    ``is_possible`` is False where the blocks are no chain: where what one returns is not what the
    next one takes, or one is called twice or never.
    """

    def __init__(self, taps: Taps, call: Callable[[Batch], Any], batch: Batch) -> None:
        named = taps.table.named.get("resid_pre", [])
        self.paths = [site.path for site in named if site.io == "in" and site.layer is not None]
        self.blocks = [taps.model.get_submodule(path) for path in self.paths]
        self._seen: list[tuple[int, Any, Any]] = []
        watched = [(block, self._watcher(i, block)) for i, block in enumerate(self.blocks)]
        with torch.no_grad(), forwards_of(watched):
            self.readout = call(batch)
        self.is_possible = self._is_chain()
        self.streams = [entered for _, entered, _ in self._seen] if self.is_possible else []

    def _watcher(self, number: int, block: nn.Module) -> Callable[..., Any]:
        forward = block.forward

        def watch(*args: Any, **kwargs: Any) -> Any:
            output = forward(*args, **kwargs)
            entered = _output_tensor((*args, *kwargs.values()), 0)
            self._seen.append((number, entered, output))
            return output

        return watch

    def _is_chain(self) -> bool:
        if not self.blocks or [n for n, _, _ in self._seen] != list(range(len(self.blocks))):
            return False
        for (_, _, output), (_, entered, _) in zip(self._seen, self._seen[1:], strict=False):
            left = _output_tensor(output, 0)
            if left is None or left.shape != entered.shape or not torch.equal(left, entered):
                return False
        return _output_tensor(self._seen[-1][2], 0) is not None

    def layer_of(self, site: Site) -> int | None:
        """Return the block that a site is in; None for what is before or beside the blocks."""
        for number, path in enumerate(self.paths):
            if site.path == path or site.path.startswith(path + "."):
                return number
        return None

    @contextmanager
    def entered(self, layer: int, hidden: Any) -> Iterator[None]:
        """Let every pass of the block begin at a layer, with the stream that is given."""

        def stub(number: int) -> Callable[..., Any]:
            def skip(*args: Any, **kwargs: Any) -> Any:
                value = (
                    hidden if number == layer - 1 else _output_tensor((*args, *kwargs.values()), 0)
                )
                return _replace_output(self._seen[number][2], 0, value)

            return skip

        with forwards_of([(self.blocks[number], stub(number)) for number in range(layer)]):
            yield


@contextmanager
def forwards_of(functions: Sequence[tuple[nn.Module, Callable[..., Any]]]) -> Iterator[None]:
    """Put functions in the place of what modules compute; their hooks stay."""
    own = [(block.__dict__, block.__dict__.get("forward")) for block, _ in functions]
    try:
        for block, function in functions:
            block.__dict__["forward"] = function
        yield
    finally:
        for attributes, forward in own:
            attributes.pop("forward", None)
            if forward is not None:
                attributes["forward"] = forward


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Cut a sequence into parts of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
