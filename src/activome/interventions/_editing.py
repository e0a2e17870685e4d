"""Edits at work: the function that changes a site, and the block in which it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from activome.interventions._hooks import Actor, Context, manager_of
from activome.interventions.edits import Edit

__all__ = ["at_work", "editor"]


@contextmanager
def at_work(model: nn.Module, actors: list[Actor]) -> Iterator[None]:
    manager = manager_of(model)
    manager.add(actors)
    try:
        yield
    finally:
        manager.remove(actors)


def editor(change: Edit, mark: dict[str, int], manager: Any) -> Callable[[Any, Context], Any]:
    selector, start = change.selector, manager.step.index + 1

    def act(value: Any, context: Context) -> Any:
        mark["seen"] += 1
        view = context.site.view(value)
        mask = selector.mask(view.shape, context, view.device)
        if mask is not None and not bool(mask.any()):
            return value
        mark["met"] += 1
        new = change._change(view, context)
        if change.schedule is not None:
            strength = float(change.schedule(context.step.index - start))
            new = view + strength * (new - view)
        # A copy: what follows may write into it, and must not reach where it came from.
        new = new.clone() if mask is None else torch.where(mask, new, view)
        return context.site.put(value, new)

    return act
