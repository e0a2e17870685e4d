"""Relevance patching (RelP): attribution patching with relevances in the place of gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import xarray as xr
from torch import nn

from activome.interventions._comparison import Comparison
from activome.interventions._gradients import first_order
from activome.interventions.relevance_rules import RelevanceRules

__all__ = ["relevance_patching"]


def relevance_patching(
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
    rules: Sequence[str] | None = None,
    products: Sequence[str] | None = None,
    frozen: Sequence[str] | None = None,
    plain: Sequence[str] = (),
    allow_half: bool = False,
) -> xr.DataArray:
    """Estimate the effect of each node of activation patching by one pass of relevances.

    As ``attribution_patching``, with the gradient at the corrupted run taken under
    ``RelevanceRules``: normalisation and gates, whose slopes at one point say little of what they
    do between two, act as the linear maps that they are for the values at hand.

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
    rules : sequence of {"norm", "identity", "half", "attention"}, optional
        As in ``RelevanceRules``; by default all but the last, as far as they apply.
    products, frozen, plain : sequence of str, optional
        As in ``RelevanceRules``.
    allow_half : bool, default=False
        Take models in half precision.

    Returns
    -------
    xarray.DataArray
        Estimates, laid out as by ``activation_patching``.

    Raises
    ------
    ParameterError
        As ``attribution_patching`` and ``RelevanceRules``.

    Notes
    -----
    Two passes and one back, whatever the number of nodes; memory for the values of the sites.
    Attention weights keep their gradient by default, as in the paper's experiments.

    References
    ----------
    .. [1] F. Rezaei Jafari, O. Eberle, A. Khakzar and N. Nanda, "RelP: Faithful and efficient
       circuit discovery via relevance patching", 2025.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.RMSNorm(2), torch.nn.Linear(2, 1, bias=False))
    >>> clean, corrupted = torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 3.0]])
    >>> relevance_patching(network, clean, corrupted, torch.sum, "module:0#in").values.round(3)
    array([1.], dtype=float32)
    """
    owner = "relevance_patching"
    compared = Comparison.of(
        owner, model, clean, corrupted, metric, sites, by, positions, readout, tokenizer, scheme
    )
    backward = RelevanceRules(
        compared.taps,
        rules,
        products=products,
        frozen=frozen,
        plain=plain,
        allow_half=allow_half,
    )
    return first_order(compared, normalize=normalize, rules=backward)
