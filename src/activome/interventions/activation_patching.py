"""Activation patching: what the metric becomes when one value is taken from another run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from torch import nn

from activome._checks import check_integer
from activome._progress import Progress, silent
from activome.interventions._comparison import Comparison
from activome.interventions._nodes import Nodes
from activome.interventions._patched_runs import PatchedRuns
from activome.interventions.sites import Site

__all__ = ["activation_patching"]


def activation_patching(
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
    max_tokens: int = 2048,
    progress: Progress = silent,
) -> xr.DataArray:
    """Measure the effect of each node by replacing it, one run per node.

    The corrupted input is run with one node at its value in the clean run; its effect is
    ``(M - M_corrupted) / (M_clean - M_corrupted)``: 0 where it does nothing, 1 where it brings the
    clean output back. This is the measure that gradients approximate.

    Parameters
    ----------
    model : torch.nn.Module
        Any network, in evaluation mode; used in place.
    clean, corrupted : Tensor, mapping of str to Tensor, list of list of int, or list of str
        Inputs of one shape, a row per prompt: token ids (n_prompts, n_positions), keyword tensors,
        or texts with ``tokenizer``.
    metric : callable
        From what ``readout`` gives, logits (n_prompts, n_classes) by default, to one number. The
        mean over prompts belongs into it.
    sites : str or sequence of str
        Names as in ``SiteTable.find``, such as ``"resid_pre"`` (every layer), ``"mlp_out[3:7]"`` or
        ``"module:blocks.*#out"``.
    by : sequence of {"position", "head", "unit"}, default=("position", "head")
        Axes along which nodes are patched one by one, where the sites have them; along the others
        a node is the whole.
    positions : "all" or list of int, default="all"
        Columns of the sequence; negative ones count from its end. Others are left as they are.
    normalize : bool, default=True
        Divide by the difference of the two runs; otherwise effects are in units of the metric.
    readout : {"last", "all"} or callable, default="last"
        What of the output goes to the metric: the logits of the last (real) position, of all, or
        what a function of the output returns, rows first.
    tokenizer : object, optional
        Encodes texts, and labels positions with the tokens of the first prompts.
    scheme : str, optional
        Table of site names, as in ``Taps``.
    max_tokens : int, default=2048
        Tokens in one pass.
    progress : Progress, default=silent
        Told of the sites done.

    Returns
    -------
    xarray.DataArray
        Effects, dims (site, layer, position, head, unit), those that are in ``by`` and that the
        sites have; in the dtype of the model's values. NaN where a site of that name was not asked
        for at that layer; sites without a layer are at -1, and where none has one the dim is left
        out. Attributes: the metric of both runs, and ``n_forwards``, the work in whole passes over
        the prompts.

    Raises
    ------
    ParameterError
        If the inputs differ in shape or are on another device than the model, a site is unknown or
        cannot be patched, the metric is no finite number or equal for both, or the model makes
        noise (dropout in training mode).

    Notes
    -----
    Nodes go as rows of one batch, and a pass begins at the layer that is patched with the stream of
    the corrupted run, which halves the work; in a causal language model also at the first position
    that is patched, after a cache of keys and values. Both are checked on the way: where a pass
    from a layer or a position on does not give what the whole model gives (a network without a
    chain of blocks, or with values handed past them), whole passes are run.

    References
    ----------
    .. [1] K. Meng, D. Bau, A. Andonian and Y. Belinkov, "Locating and editing factual associations
       in GPT", 2022.
    .. [2] F. Zhang and N. Nanda, "Towards best practices of activation patching in language models:
       metrics and methods", 2024.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Linear(3, 1, bias=False))
    >>> _ = network[1].weight.data.copy_(torch.tensor([[5.0, 3.0, 2.0]]))
    >>> clean, corrupted = torch.ones(1, 3), torch.zeros(1, 3)
    >>> activation_patching(
    ...     network, clean, corrupted, torch.sum, "module:0#out", by="unit"
    ... ).values[0]
    array([0.5, 0.3, 0.2], dtype=float32)
    """
    owner = "activation_patching"
    check_integer(max_tokens, name="max_tokens", owner=owner, low=1)
    compared = Comparison.of(
        owner, model, clean, corrupted, metric, sites, by, positions, readout, tokenizer, scheme
    )
    values, read = compared.record(compared.clean)
    runs = PatchedRuns(compared, max_tokens)
    low = float(compared.value(runs.readout))

    def changes(nodes: Nodes, site: Site) -> Any:
        return np.subtract(runs.over_cells(nodes, site, values[site.label], compared.values), low)

    found = compared.effects(values, read, low, changes, normalize=normalize, progress=progress)
    found.attrs["n_forwards"] = 2 + runs.n_forwards
    return found
