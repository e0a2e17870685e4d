"""Wiring diagrams: several reconstructions of a nervous system and their consensus."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from activome._checks import check_memory, check_number
from activome.activity.worm import NEURON_TYPES
from activome.errors import ActivityWarning, ParameterError
from activome.graphs._connectome_files import (
    FunctionalAtlas,
    read_connectome,
    read_functional_atlas,
)
from activome.graphs._wiring import Agreement, Connectome

__all__ = [
    "Agreement",
    "Connectome",
    "FunctionalAtlas",
    "consensus_connectome",
    "detect_lineages",
    "read_connectome",
    "read_functional_atlas",
]

Array = np.ndarray[Any, Any]


def detect_lineages(connectomes: Sequence[Connectome], *, threshold: float = 0.95) -> list[str]:
    """Find reconstructions that are copies of one another on the neurons they share.

    Two annotations of different animals share about half of their chemical edges; tables that
    descend from one another share nearly all, with the same weights.

    Parameters
    ----------
    connectomes : sequence of Connectome
        Reconstructions to compare.
    threshold : float in (0, 1], default=0.95
        Jaccard index of the chemical edges, and Spearman correlation of the shared weights (where
        it exists), from which on two are one.

    Returns
    -------
    list of str
        For each the lineage of the first it is a copy of, directly or over others; else its own.

    Raises
    ------
    ParameterError
        If ``threshold`` is outside (0, 1].

    Notes
    -----
    A copy is detected only where at least three edges are shared. Two readings of the same
    micrographs are not copies in this sense.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.arange(16.0).reshape(4, 4)
    >>> first = Connectome(weights, weights * 0, list("abcd"), name="first")
    >>> copy = Connectome(weights[:3, :3], weights[:3, :3] * 0, list("abc"), name="copy")
    >>> detect_lineages([first, copy])
    ['first', 'first']
    """
    threshold = check_number(
        threshold, name="threshold", owner="detect_lineages", low=0.0, high=1.0, include_high=True
    )
    found = [one.lineage for one in connectomes]
    for j, one in enumerate(connectomes):
        for i in range(j):
            if set(one.nodes) & set(connectomes[i].nodes):
                alike = one.agreement(connectomes[i])
                same_weights = np.isnan(alike.spearman) or alike.spearman >= threshold
                if alike.n_edges >= 3 and alike.jaccard >= threshold and same_weights:
                    found = [found[i] if name == found[j] else name for name in found]
                    break
    return found


def consensus_connectome(
    connectomes: Sequence[Connectome],
    functional: FunctionalAtlas | None = None,
    weight_std: float = 0.9,
    *,
    nodes: Sequence[str] | None = None,
    positions: Mapping[str, Sequence[float]] | None = None,
    types: Mapping[str, str] = NEURON_TYPES,
) -> pd.DataFrame:
    """Merge reconstructions into one list of edges that says how well each is agreed upon.

    A weight is the mean over the animals that report the edge, per kind. Reconstructions of one
    lineage are averaged first and are one vote: counting tables of one animal twice would make its
    errors look confirmed.

    Parameters
    ----------
    connectomes : sequence of Connectome
        Reconstructions, with unique names.
    functional : FunctionalAtlas, optional
        Responses to stimulation, attached from stimulated to responding neuron.
    weight_std : float in [0, 1], default=0.9
        Weight of the spread of chemical weights in ``uncertainty``; gap junctions have the rest.
    nodes : sequence of str, optional
        Cells to list; by default all that occur, sorted.
    positions : mapping of str to (x, y, z), optional
        Where each cell is; NaN where it is not given.
    types : mapping of str to str, optional
        Type of each cell, by default that of the neurons of *C. elegans*; "" where unknown.

    Returns
    -------
    pandas.DataFrame
        One row per ordered pair, self-pairs included: ``from``, ``to``; ``from_x`` ... ``to_z``;
        ``from_type``, ``to_type``; ``mean_gap`` and ``mean_chem`` (NaN where nobody reports one);
        ``uncertainty`` = ``weight_std * std_chem + (1 - weight_std) * std_gap`` over the votes that
        report (NaN where there is no edge); ``functional``; ``n_seen``, votes that report an edge
        of either kind; ``n_present``, votes that hold both cells; ``sources``, names of the
        reconstructions that report it, with "; " between.

    Raises
    ------
    ParameterError
        If ``weight_std`` is outside [0, 1], or there are no connectomes, or names are repeated.

    Warns
    -----
    ActivityWarning
        If two of different lineage hold the same data on the neurons they share.

    Notes
    -----
    Spreads divide by n, so an edge with one report has spread 0: read ``uncertainty`` beside
    ``n_seen``. A kind that nobody reports adds nothing to it (our choice; the published table has
    NaN there). All reported values count: means over distinct values only, as in the published
    code for gap junctions, are biased.

    References
    ----------
    .. [1] Q. Simeon, A. Kashyap, K. P. Kording and E. S. Boyden, "Homogenized C. elegans neural
       activity and connectivity data", 2024.

    Examples
    --------
    >>> none = np.zeros((2, 2))
    >>> one = Connectome([[0, 2], [0, 0]], none, ["AVAL", "VA1"], name="one")
    >>> two = Connectome([[0, 4], [1, 0]], none, ["AVAL", "VA1"], name="two")
    >>> table = consensus_connectome([one, two])
    >>> table.loc[table.n_seen > 0, ["from", "to", "mean_chem", "uncertainty", "n_seen"]].values
    array([['AVAL', 'VA1', 3.0, 0.9, 2],
           ['VA1', 'AVAL', 1.0, 0.0, 1]], dtype=object)
    """
    owner = "consensus_connectome"
    weight_std = check_number(
        weight_std,
        name="weight_std",
        owner=owner,
        low=0,
        high=1,
        include_low=True,
        include_high=True,
    )
    names = [one.name or f"connectome {k}" for k, one in enumerate(connectomes)]
    if not names or len(set(names)) != len(names):
        raise ParameterError(f"{owner}: connectomes must have unique names; got {names}.")
    lineages = [one.lineage or names[k] for k, one in enumerate(connectomes)]
    _warn_copies(connectomes, names, lineages)
    cells = sorted({node for one in connectomes for node in one.nodes}) if nodes is None else nodes
    cells = list(cells)
    n_votes = len(set(lineages))
    check_memory(
        8.0 * len(cells) ** 2 * (6 * n_votes + 16),
        owner=owner,
        what="the table of all pairs",
        cure="List fewer cells by nodes.",
    )
    votes = [
        _vote(
            [one for one, name in zip(connectomes, lineages, strict=True) if name == lineage], cells
        )
        for lineage in dict.fromkeys(lineages)
    ]
    chem, gap = (np.stack([vote[k] for vote in votes]) for k in (0, 1))
    mean_chem, std_chem = _moments(chem)
    mean_gap, std_gap = _moments(gap)
    seen = (~np.isnan(chem)) | (~np.isnan(gap))
    spread = weight_std * np.nan_to_num(std_chem) + (1 - weight_std) * np.nan_to_num(std_gap)
    ends = {"from": np.repeat(cells, len(cells)), "to": np.tile(cells, len(cells))}
    columns: dict[str, Any] = {key: value.astype(object) for key, value in ends.items()}
    for end, at in ends.items():
        place = np.array([(positions or {}).get(str(cell), (np.nan,) * 3) for cell in cells], float)
        spots = (
            np.repeat(place, len(cells), 0) if end == "from" else np.tile(place, (len(cells), 1))
        )
        columns |= {f"{end}_{axis}": spots[:, k] for k, axis in enumerate("xyz")}
        columns[f"{end}_type"] = [types.get(str(cell), "") for cell in at]
    columns |= {
        "mean_gap": mean_gap.ravel(),
        "mean_chem": mean_chem.ravel(),
        "uncertainty": np.where(seen.any(axis=0), spread, np.nan).ravel(),
        "functional": _functional(functional, cells).ravel(),
        "n_seen": seen.sum(axis=0).ravel(),
        "n_present": np.sum([vote[2] for vote in votes], axis=0).ravel(),
        "sources": _sources(connectomes, names, cells),
    }
    return pd.DataFrame(columns)


def _warn_copies(connectomes: Sequence[Connectome], names: list[str], lineages: list[str]) -> None:
    found = detect_lineages(connectomes)
    for k, (said, seen) in enumerate(zip(lineages, found, strict=True)):
        if said != seen and connectomes[k].lineage:
            warnings.warn(
                f"consensus_connectome: {names[k]!r} holds the same data as one of lineage "
                f"{seen!r}, but counts as a vote of its own. Give it that lineage.",
                ActivityWarning,
                stacklevel=3,
            )


def _placed(one: Connectome, cells: Sequence[str]) -> tuple[Array, Array, Array]:
    """Weights of one reconstruction on the cells, NaN for no edge; and which pairs it holds."""
    index = {node: k for k, node in enumerate(one.nodes)}
    here = np.array([cell in index for cell in cells])
    rows = np.array([index[cell] for cell in cells if cell in index], dtype=int)
    square = np.ix_(np.flatnonzero(here), np.flatnonzero(here))
    placed = []
    for weights in (one.chemical, one.gap):
        full = np.full((len(cells), len(cells)), np.nan)
        part = weights[np.ix_(rows, rows)]
        full[square] = np.where(part > 0, part, np.nan)
        placed.append(full)
    return placed[0], placed[1], np.outer(here, here)


def _vote(group: Sequence[Connectome], cells: Sequence[str]) -> tuple[Array, Array, Array]:
    parts = [_placed(one, cells) for one in group]
    chem, gap = (_moments(np.stack([part[k] for part in parts]))[0] for k in (0, 1))
    return chem, gap, np.any([part[2] for part in parts], axis=0)


def _moments(values: Array) -> tuple[Array, Array]:
    """Mean and spread over the first axis of the values that are there; NaN where none is."""
    there = ~np.isnan(values)
    count = there.sum(axis=0)
    some = np.maximum(count, 1)
    mean = np.where(there, values, 0.0).sum(axis=0) / some
    spread = np.sqrt((np.where(there, values - mean, 0.0) ** 2).sum(axis=0) / some)
    return np.where(count > 0, mean, np.nan), np.where(count > 0, spread, np.nan)


def _functional(functional: FunctionalAtlas | None, cells: Sequence[str]) -> Array:
    full = np.full((len(cells), len(cells)), np.nan)
    if functional is not None:
        index = {name: k for k, name in enumerate(functional.names)}
        here = [k for k, cell in enumerate(cells) if cell in index]
        rows = [index[cells[k]] for k in here]
        full[np.ix_(here, here)] = functional.response[np.ix_(rows, rows)]
    return full


def _sources(
    connectomes: Sequence[Connectome], names: Sequence[str], cells: Sequence[str]
) -> list[str]:
    n_pairs = len(cells) ** 2
    listed: list[list[str]] = [[] for _ in range(n_pairs)]
    for one, name in zip(connectomes, names, strict=True):
        chem, gap, _ = _placed(one, cells)
        for pair in np.flatnonzero(~np.isnan(chem) | ~np.isnan(gap)):
            listed[pair].append(name)
    return ["; ".join(group) for group in listed]
