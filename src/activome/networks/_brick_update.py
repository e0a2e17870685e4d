"""Training of one brick, with everything else frozen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

__all__ = ["TunedBrick", "only"]


class TunedBrick(nn.Module):
    """The parameters of one brick, with the call of the whole network."""

    def __init__(self, brick: nn.Module, model: nn.Module) -> None:
        super().__init__()
        self.brick = brick
        # In a tuple: the base is no part of what is trained.
        self._base = (model,)

    def forward(self, inputs: Any) -> Any:
        out = self._base[0](inputs)
        return getattr(out, "logits", out)


@contextmanager
def only(brick: nn.Module, whole: nn.Module) -> Iterator[None]:
    """Let gradients reach the parameters of one part of a network alone."""
    frozen = [(p, p.requires_grad) for p in whole.parameters()]
    mine = {id(p) for p in brick.parameters()}
    try:
        for parameter, _ in frozen:
            parameter.requires_grad_(id(parameter) in mine)
        yield
    finally:
        for parameter, needed in frozen:
            parameter.requires_grad_(needed)
            if id(parameter) in mine:
                parameter.grad = None
