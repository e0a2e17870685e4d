"""Gradients of the metric at sites, in one pass forward and one back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import xarray as xr

from activome.interventions._comparison import Comparison, frozen
from activome.interventions._editing import at_work
from activome.interventions._hooks import Actor, Context
from activome.interventions._nodes import Nodes
from activome.interventions.sites import Site

__all__ = ["first_order", "gradients"]


def gradients(
    comparison: Comparison,
    sites: Sequence[Site],
    run: Callable[[], Any],
    metric: Callable[[Any], Any],
    rules: AbstractContextManager[Any] | None = None,
) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Return the metric of a run, the views of sites, and the gradient of the metric there.

    Parameters take no part: the graph begins at the first site that is met. Gradients are those of
    the rules, where these are given.
    """
    met: dict[str, Any] = {}

    def see(value: Any, context: Context) -> Any:
        seen = value if value.requires_grad else value.detach().requires_grad_()
        if value.requires_grad and context.site.io == "in":
            # What comes in may go elsewhere too, as around a block: that is no part of the node.
            seen = value.clone()
        met[context.site.label] = seen
        # The network goes on with a copy: what it writes in place has a gradient of its own.
        return seen.clone()

    probes = [Actor(site, see, is_edit=True) for site in sites]
    with frozen(comparison.model), torch.enable_grad():
        # The probes come after the rules, so that they see what these make of a product.
        with rules or nullcontext(), at_work(comparison.model, probes):
            value = metric(run())
        found = torch.autograd.grad(value, list(met.values()), allow_unused=True)
    by_label = {site.label: site for site in sites}
    views, slopes = {}, {}
    for (label, seen), slope in zip(met.items(), found, strict=True):
        view = by_label[label].view
        views[label] = view(seen.detach())
        slopes[label] = view(torch.zeros_like(seen) if slope is None else slope)
    return value.detach(), views, slopes


def first_order(
    comparison: Comparison, *, normalize: bool, rules: AbstractContextManager[Any] | None = None
) -> xr.DataArray:
    """Return the first-order effect of each node: the difference times the gradient."""
    clean, read = comparison.record(comparison.clean)
    low, values, slopes = gradients(
        comparison,
        comparison.sites,
        lambda: comparison.call(comparison.corrupted),
        lambda found: comparison.value(found, is_differentiable=True),
        rules,
    )

    def changes(nodes: Nodes, site: Site) -> Any:
        label = site.label
        return nodes.reduce(site, (clean[label] - values[label]) * slopes[label])

    return comparison.effects(clean, read, float(low), changes, normalize=normalize)
