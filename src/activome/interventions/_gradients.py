"""Gradients of the metric at sites, in one pass forward and one back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import xarray as xr

from activome.interventions._comparison import Comparison, frozen
from activome.interventions.edits import Apply
from activome.interventions.sites import Site

__all__ = ["first_order", "gradients"]


def gradients(
    comparison: Comparison,
    sites: Sequence[Site],
    run: Callable[[], Any],
    metric: Callable[[Any], Any],
) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Return the metric of a run, the views of sites, and the gradient of the metric there.

    Parameters take no part: the graph begins at the first site that is met.
    """
    met: dict[str, Any] = {}

    def probe(label: str) -> Callable[[Any], Any]:
        def see(view: Any) -> Any:
            met[label] = view if view.requires_grad else view.detach().requires_grad_()
            return met[label]

        return see

    edits = [Apply(site.label, probe(site.label)) for site in sites]
    with frozen(comparison.model), torch.enable_grad(), comparison.taps.edit(*edits):
        value = metric(run())
        found = torch.autograd.grad(value, list(met.values()), allow_unused=True)
    slopes = {
        label: torch.zeros_like(view) if slope is None else slope
        for (label, view), slope in zip(met.items(), found, strict=True)
    }
    return value.detach(), {label: view.detach() for label, view in met.items()}, slopes


def first_order(
    comparison: Comparison,
    method: str,
    *,
    normalize: bool,
    rules: AbstractContextManager[Any] | None = None,
) -> xr.DataArray:
    """Return the first-order effect of each node: the difference times the gradient."""
    clean, read = comparison.record(comparison.clean)
    high = float(comparison.value(read))
    with nullcontext() if rules is None else rules:
        low, values, slopes = gradients(
            comparison,
            comparison.sites,
            lambda: comparison.call(comparison.corrupted),
            lambda found: comparison.value(found, is_differentiable=True),
        )
    scale = comparison.scale(high, float(low), normalize=normalize, dtype=read.dtype)
    nodes = comparison.nodes(clean)
    effects = {
        site.label: nodes.reduce(
            site, (clean[site.label] - values[site.label]) * slopes[site.label]
        )
        / scale
        for site in comparison.sites
    }
    dtype = "float64" if read.dtype == torch.float64 else "float32"
    return comparison.label(nodes.array(effects, dtype), method, high, float(low))
