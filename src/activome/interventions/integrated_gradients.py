"""Integrated gradients: effects from gradients along the way between two runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import xarray as xr
from torch import nn

from activome._checks import check_integer
from activome._progress import Progress, silent
from activome.interventions._comparison import Comparison
from activome.interventions._gradients import gradients
from activome.interventions._nodes import Nodes
from activome.interventions._patched_runs import PatchedRuns, replacing
from activome.interventions._restart import chunks
from activome.interventions.sites import Site

__all__ = ["integrated_gradients"]


def integrated_gradients(
    model: nn.Module,
    clean: Any,
    corrupted: Any,
    metric: Callable[[Any], Any],
    sites: str | Sequence[str],
    *,
    by: str | Sequence[str] = ("position", "head"),
    positions: Any = "all",
    normalize: bool = True,
    readout: str | Callable[[Any], Any] = "last",
    tokenizer: Any = None,
    scheme: str | None = None,
    n_steps: int = 10,
    max_tokens: int = 2048,
    progress: Progress = silent,
) -> xr.DataArray:
    """Estimate the effect of each node by gradients on the straight way from one run to the other.

    Each site at each layer is moved as a whole from its corrupted to its clean value while the
    rest is computed; the effect is the difference times the mean gradient on the way. The effects
    of one site then sum to the effect of patching it whole.

    Parameters
    ----------
    model : torch.nn.Module
        Any network, in evaluation mode; used in place, its parameters without gradients.
    clean, corrupted : Tensor, mapping of str to Tensor, list of list of int, or list of str
        As in ``activation_patching``.
    metric : callable
        From what ``readout`` gives to one number, by functions of torch that have gradients.
    sites : str or sequence of str
        Names of sites, as in ``activation_patching``.
    by : sequence of {"position", "head", "unit"}, default=("position", "head")
        Axes along which there is one effect each; along the others they are summed.
    positions : "all" or list of int, default="all"
        Columns of the sequence.
    normalize : bool, default=True
        Divide by the difference of the metric between the two runs.
    readout : {"last", "all"} or callable, default="last"
        What of the output goes to the metric.
    tokenizer : object, optional
        Encodes texts, and labels positions.
    scheme : str, optional
        Table of site names, as in ``Taps``.
    n_steps : int, default=10
        Points on the way, in the middle of equal parts.
    max_tokens : int, default=2048
        Tokens in one pass.
    progress : Progress, default=silent
        Told of the sites done.

    Returns
    -------
    xarray.DataArray
        Estimates, laid out as by ``activation_patching``.

    Raises
    ------
    ParameterError
        As ``attribution_patching``, and if there is no step.

    Notes
    -----
    For each site and layer ``n_steps`` passes and as many back, from the layer on. Positions that
    ``positions`` leaves out are moved all the same, and have no effect of their own. The error of
    the sum falls as the square of the number of steps.

    References
    ----------
    .. [1] M. Sundararajan, A. Taly and Q. Yan, "Axiomatic attribution for deep networks", 2017.
    .. [2] S. Marks, C. Rager, E. Michaud, Y. Belinkov, D. Bau and A. Mueller, "Sparse feature
       circuits: discovering and editing interpretable causal graphs in language models", 2025.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Tanh())
    >>> clean, corrupted = torch.ones(1, 2), torch.tensor([[0.0, 1.0]])
    >>> integrated_gradients(
    ...     network, clean, corrupted, torch.sum, "module:0#out", by="unit", n_steps=50
    ... ).values.round(3).tolist()
    [[1.0, 0.0]]
    """
    owner = "integrated_gradients"
    check_integer(n_steps, name="n_steps", owner=owner, low=1)
    check_integer(max_tokens, name="max_tokens", owner=owner, low=1)
    compared = Comparison.of(
        owner, model, clean, corrupted, metric, sites, by, positions, readout, tokenizer, scheme
    )
    clean_values, read = compared.record(compared.clean)
    corrupted_values, _ = compared.record(compared.corrupted)
    runs = PatchedRuns(compared, max_tokens)

    def changes(nodes: Nodes, site: Site) -> Any:
        start, end = corrupted_values[site.label], clean_values[site.label]
        slope = _mean_slope(compared, runs, site, start, end, n_steps)
        return nodes.reduce(site, (end - start) * slope)

    low = float(compared.value(runs.readout))
    return compared.effects(
        clean_values, read, low, changes, normalize=normalize, progress=progress
    )


def _mean_slope(
    compared: Comparison, runs: PatchedRuns, site: Site, start: Any, end: Any, n_steps: int
) -> Any:
    """Return the mean gradient of the metric at a site on the way from one value to another."""
    total = torch.zeros_like(end)
    layer = runs.start([site])
    for part in chunks(range(n_steps), runs.size):
        way = (torch.tensor(part, dtype=end.dtype, device=end.device) + 0.5) / n_steps
        values = torch.stack([start + step * (end - start) for step in way])
        moved = replacing(site, torch.ones(len(part), *(1,) * end.ndim, dtype=torch.bool), values)

        def run(n: int = len(part)) -> Any:
            return runs.run(n, layer, [], is_traced=True)

        def metric(found: Any, n: int = len(part)) -> Any:
            pieces = found.chunk(n)
            return sum(compared.value(piece, is_differentiable=True) for piece in pieces)

        # The edit acts before the probe of the gradient, which then sees the moved value.
        with compared.taps.edit(moved):
            _, _, slopes = gradients(compared, [site], run, metric)
        total += slopes[site.label].unflatten(0, (len(part), -1)).sum(0)
    return total / n_steps
