"""Pruning: what a language model loses when units, or the least active ones, are set to zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from activome._checks import check_choice, check_integer, check_number
from activome._progress import Progress, silent, track
from activome.errors import ParameterError
from activome.interventions._inputs import Batch, batches, run
from activome.interventions.deactivation import deactivate, site_widths
from activome.interventions.edits import Apply
from activome.interventions.sites import Site
from activome.interventions.taps import Taps
from activome.networks._linear_maps import norms_into

__all__ = ["activation_sparsity", "mean_magnitude", "perplexity", "prune_matrix"]

Array = np.ndarray[Any, Any]
_THRESHOLDS = np.round(np.arange(1, 21) / 20, 2)


def mean_magnitude(value: Any, keep: Any) -> Any:
    """Reduce a site to the mean magnitude of each unit over the kept positions.

    For ``record(..., reduce=mean_magnitude)``: units that respond with either sign count alike.

    Parameters
    ----------
    value : Tensor, shape (n_samples, n_positions, ...)
        Values of a site.
    keep : Tensor of bool
        Positions that count, broadcast to ``value``.

    Returns
    -------
    Tensor, shape (n_samples, ...)
        Means; 0 for a sample without positions.
    """
    return (value.abs() * keep).sum(1) / keep.sum(1).clamp(min=1)


def perplexity(
    model: nn.Module,
    inputs: Any,
    *,
    tokenizer: Any = None,
    skip_first: bool = True,
    max_tokens: int = 1024,
) -> float:
    """Return the perplexity of a language model on some texts.

    Parameters
    ----------
    model : torch.nn.Module
        From token ids to logits.
    inputs : Tensor, list of list of int, or list of str
        Token ids, or texts with ``tokenizer``, as in ``record``.
    tokenizer : object, optional
        With ``encode``.
    skip_first : bool, default=True
        Leave out what is predicted from the first position.
    max_tokens : int, default=1024
        Tokens per batch.

    Returns
    -------
    float
        The exponential of the mean cross-entropy over all predicted tokens.

    Raises
    ------
    ParameterError
        If the inputs do not fit, or no token is predicted.
    """
    parts = _parts(model, inputs, tokenizer, max_tokens, "perplexity")
    return math.exp(min(_loss(model, parts, skip_first, "perplexity"), 700.0))


def prune_matrix(
    model: nn.Module,
    texts_by_function: Mapping[str, Any],
    masks: Mapping[str, Any],
    *,
    tokenizer: Any = None,
    site: str = "mlp_hidden[*]",
    value: float | str = 0.0,
    skip_first: bool = True,
    max_tokens: int = 1024,
    progress: Progress = silent,
) -> xr.DataArray:
    """Measure what pruning the units of each function costs each function.

    Parameters
    ----------
    model : torch.nn.Module
        From token ids to logits.
    texts_by_function : mapping of str to list of str or list of list of int
        Texts, or token ids, that need each function.
    masks : mapping of str to array-like of bool, shape (n_units,)
        Units to switch off under each name, over all layers of the site; the names may be functions
        or controls. ``UnitExpertise.top_mask`` gives them.
    tokenizer : object, optional
        With ``encode``.
    site : str, default="mlp_hidden[*]"
        Where the units are.
    value : float or "mean", default=0.0
        What a unit is held at, as in ``deactivate``.
    skip_first : bool, default=True
        Leave out what is predicted from the first position.
    max_tokens : int, default=1024
        Tokens per batch.
    progress : Progress, default=silent
        Told of each mask.

    Returns
    -------
    xarray.DataArray of float64
        Relative increase of the perplexity, (pruned - whole) / whole, dims (pruned, evaluated). The
        coordinate ``baseline`` on evaluated is the perplexity of the model as it is.

    Raises
    ------
    ParameterError
        If there is nothing to measure, a text is of two functions, or an option does not fit.

    Notes
    -----
    One pass over all texts for each mask, and one without. Set ``groups`` of ``top_mask`` to the
    layers for the same share of each layer; a share of the whole model is something else.

    References
    ----------
    .. [1] C. Xiao et al., "Configurable foundation models: building LLMs from a modular
       perspective", 2024.
    """
    owner = "prune_matrix"
    if not texts_by_function or not masks:
        raise ParameterError(f"{owner}: give texts of at least one function and one mask.")
    _refuse_two_labels(texts_by_function)
    parts = {
        str(name): _parts(model, inputs, tokenizer, max_tokens, owner)
        for name, inputs in texts_by_function.items()
    }
    whole = np.array([_loss(model, part, skip_first, owner) for part in parts.values()])
    lost = np.empty((len(masks), len(parts)))
    for row, units in enumerate(track(list(masks.values()), "pruning", progress)):
        with deactivate(model, units, value, site=site):
            lost[row] = [_loss(model, part, skip_first, owner) for part in parts.values()]
    return xr.DataArray(
        np.expm1(np.minimum(lost - whole, 700.0)),
        dims=("pruned", "evaluated"),
        coords={
            "pruned": [str(name) for name in masks],
            "evaluated": list(parts),
            "baseline": ("evaluated", np.exp(np.minimum(whole, 700.0))),
        },
        name="perplexity_increase",
    )


def _refuse_two_labels(texts_by_function: Mapping[str, Any]) -> None:
    owners: dict[str, str] = {}
    for name, inputs in texts_by_function.items():
        for text in inputs if isinstance(inputs, (list, tuple)) else ():
            other = owners.setdefault(str(text), str(name))
            if other != str(name):
                raise ParameterError(
                    f"prune_matrix: a text must be of one function; {str(text)[:40]!r} is of "
                    f"{other!r} and {str(name)!r}. Drop it."
                )


def activation_sparsity(
    model: nn.Module,
    inputs: Any,
    *,
    tokenizer: Any = None,
    indicator: str = "activation",
    ratios: Sequence[float] = (0.3, 0.5, 0.7, 0.8, 0.9),
    site: str = "mlp_hidden[*]",
    skip_first: bool = True,
    max_tokens: int = 1024,
    progress: Progress = silent,
) -> xr.Dataset:
    """Measure how few hidden neurons matter at a time.

    Parameters
    ----------
    model : torch.nn.Module
        From token ids to logits.
    inputs : Tensor, list of list of int, or list of str
        Token ids, or texts with ``tokenizer``, as in ``record``.
    tokenizer : object, optional
        With ``encode``.
    indicator : {"activation", "magnitude"}, default="activation"
        Which neurons count as little: by the magnitude of their activation, or by that times the
        norm of their output weights.
    ratios : sequence of float in (0, 1), default=(0.3, 0.5, 0.7, 0.8, 0.9)
        Shares of the neurons of each layer and token, the lowest ones, that are set to zero.
    site : str, default="mlp_hidden[*]"
        Inputs of linear maps.
    skip_first : bool, default=True
        Leave the first position out of the distribution and the losses; it is pruned as others are.
    max_tokens : int, default=1024
        Tokens per batch.
    progress : Progress, default=silent
        Told of each share.

    Returns
    -------
    xarray.Dataset
        "cdf" (threshold): share of neurons whose indicator is at most that share of the largest in
        their layer and token. "loss" (ratio): mean cross-entropy per token in nats; ratio 0 is the
        model as it is. "perplexity_increase" (ratio): relative to that.

    Raises
    ------
    ParameterError
        If an option is unknown, a ratio is outside (0, 1), or the inputs do not fit.

    References
    ----------
    .. [1] C. Xiao et al., "Configurable foundation models: building LLMs from a modular
       perspective", 2024.
    """
    owner = "activation_sparsity"
    check_choice(indicator, ("activation", "magnitude"), name="indicator", owner=owner)
    for ratio in ratios:
        check_number(ratio, name="ratio", owner=owner, low=0.0, high=1.0)
    parts = _parts(model, inputs, tokenizer, max_tokens, owner)
    taps = Taps(model)
    sites = taps.sites(site)
    site_widths(model, sites)  # refuses what is no linear map
    counter = _Counter(skip_first)
    with taps.edit(*_edits(model, sites, indicator, counter)):
        losses = [_loss(model, parts, skip_first, owner, counter.see)]
    for ratio in track(list(ratios), "pruning", progress):
        with taps.edit(*_edits(model, sites, indicator, _lowest_off(ratio))):
            losses.append(_loss(model, parts, skip_first, owner))
    loss = np.array(losses)
    return xr.Dataset(
        {
            "cdf": ("threshold", counter.counts / counter.total),
            "loss": ("ratio", loss),
            "perplexity_increase": ("ratio", np.expm1(np.minimum(loss - loss[0], 700.0))),
        },
        coords={"threshold": _THRESHOLDS, "ratio": [0.0, *ratios]},
        attrs={"indicator": indicator},
    )


def _edits(
    model: nn.Module, sites: list[Site], indicator: str, change: Callable[[Any, Any], Any]
) -> list[Apply]:
    """Return one edit per site, which gives the values and the indicator to a function."""
    edits = []
    for site in sites:
        norms = norms_into(model.get_submodule(site.path)) if indicator == "magnitude" else None

        def function(value: Any, norms: Any = norms) -> Any:
            flat = value.flatten(2) if value.ndim > 3 else value
            size = flat.abs() if norms is None else flat.abs() * norms
            return change(flat, size).reshape(value.shape)

        edits.append(Apply(site.label, function=function))
    return edits


def _lowest_off(ratio: float) -> Callable[[Any, Any], Any]:
    def cut(value: Any, size: Any) -> Any:
        n_off = round(ratio * size.shape[-1])
        lowest = size.topk(n_off, dim=-1, largest=False).indices
        return value.scatter(-1, lowest, 0.0)

    return cut


class _Counter:
    """Counts of neurons by their indicator over the largest of the layer and token."""

    def __init__(self, skip_first: bool) -> None:
        self.counts, self.total = np.zeros(_THRESHOLDS.size), 0
        self._skip_first = skip_first
        self._keep: Any = None

    def see(self, batch: Batch) -> None:
        """Take note of which positions of the batch to come are real."""
        self._keep = _real(batch, self._skip_first)

    def __call__(self, value: Any, size: Any) -> Any:
        rows = size[self._keep.to(size.device)]
        largest = rows.amax(-1, keepdim=True)
        share = (rows / largest.clamp(min=torch.finfo(rows.dtype).tiny)).flatten()
        # Each count is of the neurons up to a threshold, which belongs to its own bin.
        edges = torch.as_tensor(_THRESHOLDS, dtype=share.dtype, device=share.device)
        bins = torch.bucketize(share, edges).clamp(max=len(edges) - 1)
        found = torch.bincount(bins, minlength=len(edges)).cumsum(0)
        self.counts += found.cpu().numpy()
        self.total += share.numel()
        return value


def _parts(
    model: nn.Module, inputs: Any, tokenizer: Any, max_tokens: int, owner: str
) -> list[Batch]:
    check_integer(max_tokens, name="max_tokens", owner=owner, low=1)
    parts = batches(inputs, model, tokenizer=tokenizer, max_tokens=max_tokens, owner=owner)
    if any(part.ids is None for part in parts):
        raise ParameterError(f"{owner}: inputs must be token ids or texts.")
    return parts


def _real(batch: Batch, skip_first: bool) -> Any:
    mask = batch.kwargs.get("attention_mask")
    keep = torch.ones_like(batch.ids) if mask is None else mask
    keep = keep.bool().clone()
    if skip_first:
        keep[:, 0] = False
    return keep


def _loss(
    model: nn.Module,
    parts: list[Batch],
    skip_first: bool,
    owner: str,
    before: Callable[[Batch], None] | None = None,
) -> float:
    """Return the mean cross-entropy over all predicted tokens, in nats."""
    total, n_tokens = 0.0, 0
    for batch in parts:
        if before is not None:
            before(batch)
        with torch.no_grad():
            out = run(model, batch, use_cache=False)
        logits = getattr(out, "logits", out)[:, :-1]
        keep = _real(batch, skip_first)[:, :-1] & _real(batch, False)[:, 1:]
        loss = nn.functional.cross_entropy(logits[keep], batch.ids[:, 1:][keep], reduction="sum")
        total, n_tokens = total + float(loss), n_tokens + int(keep.sum())
    if n_tokens == 0:
        raise ParameterError(f"{owner}: the texts predict no token; give longer ones.")
    return total / n_tokens
