"""Circuits: how much of a behaviour is left with the best nodes alone, and without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from activome._checks import check_choice, check_integer
from activome.errors import ParameterError
from activome.interventions._comparison import Comparison, one_batch, repeat
from activome.interventions._nodes import Nodes
from activome.interventions._patched_runs import replacing
from activome.interventions._restart import chunks
from activome.interventions.edits import Edit

__all__ = ["circuit_curve"]

_ABLATIONS = ("resample", "mean", "zero")
_RANKS = ("absolute", "positive")
_SPLIT = ("position", "head", "unit")


def circuit_curve(
    model: nn.Module,
    clean: Any,
    corrupted: Any,
    metric: Callable[[Any], Any],
    scores: xr.DataArray,
    *,
    n_nodes: Sequence[int] | None = None,
    ablation: str = "resample",
    reference: Any = None,
    rank: str = "absolute",
    readout: str | Callable[[Any], Any] = "last",
    tokenizer: Any = None,
    scheme: str | None = None,
    max_tokens: int = 2048,
) -> xr.Dataset:
    """Measure faithfulness and completeness of the circuits of the n best nodes.

    On the clean input the n nodes with the largest scores are kept and all others ablated:
    faithfulness is ``(M_circuit - M_none) / (M_all - M_none)``, 1 where the circuit does what the
    network does. Completeness is the same for the rest of the network, the circuit ablated: near
    0 where the circuit has everything.

    Parameters
    ----------
    model : torch.nn.Module
        Any network, in evaluation mode; used in place.
    clean, corrupted : Tensor, mapping of str to Tensor, list of list of int, or list of str
        As in ``activation_patching``.
    metric : callable
        From what ``readout`` gives to one number.
    scores : xarray.DataArray
        Scores of the nodes as the methods of this room return them, dims (site, layer, position,
        head, unit) or some of these. NaN is no node: it is never ablated.
    n_nodes : sequence of int, optional
        Sizes of the circuits; by default 0, all, and about twelve in between.
    ablation : {"resample", "mean", "zero"}, default="resample"
        What an ablated node becomes: its value in the corrupted run, its mean over ``reference`` at
        the same position, or 0.
    reference : optional
        Inputs of the mean, of the length of the prompts; by default clean and corrupted.
    rank : {"absolute", "positive"}, default="absolute"
        Whether nodes that work against the behaviour count as much as those that work for it, or
        come last.
    readout : {"last", "all"} or callable, default="last"
        What of the output goes to the metric.
    tokenizer : object, optional
        Encodes texts.
    scheme : str, optional
        Table of site names, as in ``Taps``.
    max_tokens : int, default=2048
        Tokens in one pass.

    Returns
    -------
    xarray.Dataset
        ``faithfulness`` and ``completeness``, dims (n_nodes,), and the metric of the circuit and of
        the rest. Attributes: the metric with all nodes and with none.

    Raises
    ------
    ParameterError
        As ``activation_patching``; and if the scores have no node or do not fit the sites, a size
        is no number of nodes, or ablating everything changes nothing.

    Notes
    -----
    Nodes should lie side by side (heads, MLP outputs, units): whole residual streams stand in each
    other's way. Sizes go as rows of one batch.

    References
    ----------
    .. [1] S. Marks, C. Rager, E. Michaud, Y. Belinkov, D. Bau and A. Mueller, "Sparse feature
       circuits: discovering and editing interpretable causal graphs in language models", 2025.
    .. [2] M. Hanna, S. Pezzelle and Y. Belinkov, "Have faith in faithfulness: going beyond circuit
       overlap when finding model mechanisms", 2024.

    Examples
    --------
    >>> import torch
    >>> from activome.interventions import activation_patching
    >>> network = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Linear(3, 1, bias=False))
    >>> _ = network[1].weight.data.copy_(torch.tensor([[5.0, 3.0, 2.0]]))
    >>> given = (network, torch.ones(1, 3), torch.zeros(1, 3), torch.sum)
    >>> scores = activation_patching(*given, "module:0#out", by="unit")
    >>> circuit_curve(*given, scores).faithfulness.values.round(2).tolist()
    [0.0, 0.5, 0.8, 1.0]
    """
    owner = "circuit_curve"
    check_integer(max_tokens, name="max_tokens", owner=owner, low=1)
    check_choice(ablation, _ABLATIONS, name="ablation", owner=owner)
    check_choice(rank, _RANKS, name="rank", owner=owner)
    names = _names(scores)
    scores = scores.transpose(*(d for d in ("site", "layer", *_SPLIT) if d in scores.dims))
    compared = Comparison.of(
        owner,
        model,
        clean,
        corrupted,
        metric,
        names,
        by=[str(dim) for dim in scores.dims if dim in _SPLIT],
        positions=scores["position"].values if "position" in scores.coords else "all",
        readout=readout,
        tokenizer=tokenizer,
        scheme=scheme,
    )
    values, read = compared.record(compared.clean)
    nodes = compared.nodes(values)
    ranked = _ranked(scores, compared, nodes, rank)
    sizes = _sizes(n_nodes, len(ranked))
    others = _ablated(compared, values, ablation, reference)
    full = float(compared.value(read))
    order = {cell: place for place, cell in enumerate(ranked)}
    groups = [(size, is_kept) for size in (0, *sizes) for is_kept in (True, False)]
    metrics: list[float] = []
    tokens = max(1, values[compared.sites[0].label].shape[1]) if "position" in nodes.labels else 1
    per_pass = max(1, max_tokens // (len(compared.clean.rows) * tokens))
    for part in chunks(groups, per_pass):
        edits = [_edit(compared, nodes, site, order, others, part) for site in compared.sites]
        with torch.no_grad(), compared.taps.edit(*edits):
            found = compared.call(repeat(compared.clean, len(part)))
        metrics += compared.values(found, len(part))
    empty = metrics[0]
    scale = compared.scale(full, empty, normalize=True, dtype=read.dtype)
    table = np.array(metrics[2:]).reshape(-1, 2)
    shares = (table - empty) / scale
    dims = "n_nodes"
    return xr.Dataset(
        {
            "faithfulness": (dims, shares[:, 0]),
            "completeness": (dims, shares[:, 1]),
            "circuit_metric": (dims, table[:, 0]),
            "rest_metric": (dims, table[:, 1]),
        },
        coords={"n_nodes": sizes},
        attrs={
            "all_metric": full,
            "none_metric": empty,
            "n_all": len(ranked),
            "ablation": ablation,
            "rank": rank,
            "ranked_by": str(scores.attrs.get("method", scores.name)),
        },
    )


def _cells(scores: xr.DataArray) -> dict[str, np.ndarray[Any, Any]]:
    """Return the scores of each site by its label, split axes flattened."""
    found = {}
    layers: list[Any] = scores["layer"].values.tolist() if "layer" in scores.dims else [None]
    for name in scores["site"].values.tolist():
        for layer in layers:
            part = scores.sel(site=name)
            part = part if layer is None else part.sel(layer=layer)
            flat = part.values.ravel()
            if not np.isnan(flat).all():
                found[name if layer in (None, -1) else f"{name}[{layer}]"] = flat
    return found


def _names(scores: Any) -> list[str]:
    is_fit = isinstance(scores, xr.DataArray) and "site" in scores.dims
    is_fit = is_fit and set(scores.dims) <= {"site", "layer", *_SPLIT}
    names = list(_cells(scores)) if is_fit else []
    if not names:
        raise ParameterError(
            "circuit_curve: scores must be a DataArray with dim 'site' and at least one number, as "
            f"activation_patching returns it; got {type(scores).__name__} with dims "
            f"{tuple(getattr(scores, 'dims', ()))}."
        )
    return names


def _ranked(
    scores: xr.DataArray, compared: Comparison, nodes: Nodes, rank: str
) -> list[tuple[str, int]]:
    cells = _cells(scores)
    for site in compared.sites:
        if len(cells[site.label]) != nodes.n_cells:
            raise ParameterError(
                f"circuit_curve: scores must have one number per node; {site.label} has "
                f"{nodes.n_cells} nodes and {len(cells[site.label])} scores."
            )
    keys = [(label, i) for label, flat in cells.items() for i in np.flatnonzero(~np.isnan(flat))]
    found = np.array([cells[label][i] for label, i in keys])
    strength = np.abs(found) if rank == "absolute" else found
    return [(keys[i][0], int(keys[i][1])) for i in np.argsort(-strength, kind="stable")]


def _sizes(wanted: Sequence[int] | None, n_all: int) -> list[int]:
    if wanted is None:
        steps = np.unique(np.geomspace(1, n_all, 12).round().astype(int))
        return [0, *steps.tolist()]
    for size in wanted:
        check_integer(size, name="n_nodes", owner="circuit_curve", low=0, high=n_all)
    return [int(size) for size in wanted]


def _ablated(
    compared: Comparison, values: dict[str, Any], ablation: str, reference: Any
) -> dict[str, Any]:
    """Return what each site becomes where it is ablated, for one group of rows."""
    if ablation == "zero":
        return {label: torch.zeros_like(value) for label, value in values.items()}
    if ablation == "mean" and reference is not None:
        batch = one_batch(reference, compared.model, compared.tokenizer, "circuit_curve")
        means = {k: v.mean(0, keepdim=True) for k, v in compared.record(batch)[0].items()}
    else:
        corrupted, _ = compared.record(compared.corrupted)
        if ablation == "resample":
            return corrupted
        means = {k: torch.cat([v, corrupted[k]]).mean(0, keepdim=True) for k, v in values.items()}
    for label, mean in means.items():
        if mean.shape[1:] != values[label].shape[1:]:
            raise ParameterError(
                "circuit_curve: reference must have prompts of the length of clean; at "
                f"{label} it gives {tuple(mean.shape[1:])} where {tuple(values[label].shape[1:])} "
                "is needed."
            )
    return {label: mean.expand_as(values[label]) for label, mean in means.items()}


def _edit(
    compared: Comparison,
    nodes: Nodes,
    site: Any,
    order: dict[tuple[str, int], int],
    others: dict[str, Any],
    groups: Sequence[tuple[int, bool]],
) -> Edit:
    """Return the edit that ablates, in each group of rows, what its circuit leaves out."""
    never = len(order)
    places = np.array([order.get((site.label, i), never) for i in range(nodes.n_cells)])
    grids = [
        ((places >= size) if is_kept else (places < size)) & (places < never)
        for size, is_kept in groups
    ]
    masks = nodes.grid_masks(site, np.array(grids))
    return replacing(site, masks, others[site.label][None])
