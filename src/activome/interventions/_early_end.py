"""Passes that end with the last layer anybody looks at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import torch

from activome.interventions._hooks import manager_of
from activome.interventions._inputs import Batch, run, spared
from activome.interventions.sites import Site, SiteTable

__all__ = ["run_for"]


class _Seen(Exception):  # noqa: N818  # no error: all that was asked for has been seen
    """Raised on entering the first layer that nobody looks at."""


def run_for(model: Any, table: SiteTable, batch: Batch, sites: Iterable[Site]) -> None:
    """Run the model without gradients, as far as the sites need it."""
    following = _first_unwatched(model, table, sites)
    with torch.no_grad():
        if following is None:
            run(model, batch, **spared(model))
            return
        handle = following.register_forward_pre_hook(_end)
        try:
            with contextlib.suppress(_Seen):
                run(model, batch, **spared(model))
        finally:
            handle.remove()


def _end(module: Any, args: Any) -> None:
    raise _Seen


def _first_unwatched(model: Any, table: SiteTable, sites: Iterable[Site]) -> Any:
    """Return the layer at which the pass may end; None where it must be run to its end.

    Only the stack of a model of a known make is cut: its layers run once each, in their order.
    Whatever else looks at later modules, an edit or a hook of the caller's, keeps the pass whole.
    """
    wanted = {(site.path, site.io): site for site in sites}
    numbers = [_layer_of(site, table.stack) for site in wanted.values()]
    layers = [model.get_submodule(path) for path in table.stack]
    place = max((-1 if n is None else n for n in numbers), default=-1) + 1
    stations = set(manager_of(model).stations)
    if None in numbers or stations - set(wanted) or place >= len(layers):
        return None
    before = {id(module) for layer in layers[:place] for module in layer.modules()}
    if id(layers[place]) in before:
        return None
    later = [module for module in model.modules() if id(module) not in before]
    n_hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in later)
    n_ours = sum(id(model.get_submodule(path)) not in before for path, _ in stations)
    return layers[place] if n_hooks == n_ours + len(manager_of(model).root) else None


def _layer_of(site: Site, stack: list[str]) -> int | None:
    """Return the place of a site in the stack, -1 ahead of it; None where that is not known."""
    if site.name == "embed":
        return -1
    inside = (k for k, path in enumerate(stack) if f"{site.path}.".startswith(f"{path}."))
    return next(inside, None)
