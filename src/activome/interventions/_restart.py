"""Restarts: the blocks of a network as a chain that can be entered at any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from activome.interventions._hooks import _output_tensor, _replace_output
from activome.interventions._inputs import Batch
from activome.interventions.sites import Site
from activome.interventions.taps import Taps

__all__ = ["Restart", "chunks", "forward_of"]


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
        with torch.no_grad(), ExitStack() as stack:
            for number, block in enumerate(self.blocks):
                stack.enter_context(forward_of(block, self._watcher(number, block)))
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

        with ExitStack() as stack:
            for number in range(layer):
                stack.enter_context(forward_of(self.blocks[number], stub(number)))
            yield


@contextmanager
def forward_of(block: nn.Module, function: Callable[..., Any]) -> Iterator[None]:
    """Put a function in the place of what a block computes; its hooks stay."""
    own = block.__dict__.get("forward")
    block.__dict__["forward"] = function
    try:
        yield
    finally:
        if own is None:
            del block.__dict__["forward"]
        else:
            block.__dict__["forward"] = own


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Cut a sequence into parts of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
