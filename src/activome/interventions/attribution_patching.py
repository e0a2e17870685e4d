"""Attribution patching: the effects of all nodes at once, to first order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import xarray as xr
from torch import nn

from activome.interventions._comparison import Comparison
from activome.interventions._gradients import first_order

__all__ = ["attribution_patching"]


def attribution_patching(
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
) -> xr.DataArray:
    """Estimate the effect of each node of activation patching by one gradient.

    The effect of taking a value from the clean run is, to first order, the difference of the two
    runs times the gradient of the metric at the corrupted one. Where normalisation and gates are
    far from linear between the two runs, ``relevance_patching`` is nearer to the truth.

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

    Returns
    -------
    xarray.DataArray
        Estimates, laid out as by ``activation_patching``.

    Raises
    ------
    ParameterError
        As ``activation_patching``, and if the metric has no gradient.

    Notes
    -----
    Two passes and one back, whatever the number of nodes; memory for the values of the sites.

    References
    ----------
    .. [1] N. Nanda, "Attribution patching: activation patching at industrial scale", 2023.
    .. [2] A. Syed, C. Rager and A. Conmy, "Attribution patching outperforms automated circuit
       discovery", 2023.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    >>> clean, corrupted = torch.ones(1, 2), torch.zeros(1, 2)
    >>> effects = attribution_patching(network, clean, corrupted, torch.sum, "module:0#out")
    >>> effects.values.round(5).tolist()
    [1.0]
    """
    owner = "attribution_patching"
    compared = Comparison.of(
        owner, model, clean, corrupted, metric, sites, by, positions, readout, tokenizer, scheme
    )
    return first_order(compared, normalize=normalize)
