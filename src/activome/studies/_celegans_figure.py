"""The figure of the study on homogenized recordings and the consensus connectome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from activome.activity.worm import NEURON_TYPES, NEURONS, homogenize
from activome.graphs.connectome import Connectome, consensus_connectome

__all__ = ["draw"]

_SHOWN_SECONDS = 120.0
_SQUARE = 5


def draw(
    recordings: Sequence[Mapping[str, Any]],
    wiring: Mapping[str, Connectome] | None,
    responses: pd.DataFrame | None,
) -> Figure:
    """Draw coverage, one neuron before and after, and what is known of the wiring.

    Parameters
    ----------
    recordings : sequence of mapping
        Recordings of several laboratories.
    wiring : mapping of str to Connectome, optional
        Reconstructions by name.
    responses : pandas.DataFrame, optional
        Consensus table with functional responses.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; it reads in grey.
    """
    n_rows = 2 if wiring is None else 3
    figure = Figure(figsize=(11.0, 3.1 * n_rows), layout="constrained")
    rows: Any = figure.subfigures(n_rows, 1, height_ratios=[0.75, 1.0, 1.35][:n_rows])
    _coverage(rows[0], recordings)
    _one_neuron(rows[1], recordings)
    if wiring is not None:
        _adjacencies(rows[2], wiring, responses)
    return figure


def _coverage(area: Any, recordings: Sequence[Mapping[str, Any]]) -> None:
    axes = area.subplots()
    worms = homogenize(recordings)
    seen = np.array([worm.observed.values for worm in worms])
    names = [str(worm.attrs["worm"]) for worm in worms]
    # One slot is 2 px wide in print: white slots would drown the black ones.
    axes.pcolormesh(
        np.arange(seen.shape[1] + 1),
        np.arange(len(worms) + 1),
        seen,
        cmap="Greys",
        vmin=0,
        vmax=1.1,
    )
    axes.hlines(np.arange(1, len(worms)), 0, seen.shape[1], color="0.75", lw=0.6)
    axes.set_yticks(np.arange(len(worms)) + 0.5, names)
    axes.invert_yaxis()
    ticks = np.arange(0, len(NEURONS), 20)
    axes.set_xticks(ticks + 0.5, [NEURONS[k] for k in ticks], rotation=45, fontsize=8)
    total = int(seen.any(axis=0).sum())
    axes.set_title(
        f"Coverage: {seen.sum(axis=1).mean():.0f} neurons per worm (black), {total} of "
        f"{len(NEURONS)} in all",
        loc="left",
        fontsize=10,
    )


def _one_neuron(area: Any, recordings: Sequence[Mapping[str, Any]]) -> None:
    left, right = area.subfigures(1, 2)
    by_lab = _one_per_laboratory(recordings)
    shared = set.intersection(*(set(recording["labels"]) for recording in by_lab.values()))
    neuron = min(shared)
    worms = homogenize(list(by_lab.values()))
    before, after = (side.subplots(len(by_lab), 1, sharex=True) for side in (left, right))
    for k, (lab, recording) in enumerate(by_lab.items()):
        trace = recording["traces"][:, list(recording["labels"]).index(neuron)]
        time = recording["time"] - recording["time"][0]
        early = time < _SHOWN_SECONDS
        before[k].plot(time[early], trace[early], "k.-", lw=0.5, ms=1.8)
        before[k].set_title(
            f"{lab}, every {np.median(np.diff(time)):.2f} s", loc="right", fontsize=8, y=0.9
        )
        worm = worms[k].sel(unit=neuron)
        worm = worm[worm.time < _SHOWN_SECONDS]
        after[k].plot(worm.time, worm, "k.-", lw=0.5, ms=1.8)
        after[k].set_ylim(-3.2, 3.2)
        after[k].set_title(f"{lab}, every 0.33 s", loc="right", fontsize=8, y=0.9)
    left.suptitle(f"{neuron} as recorded (unit of each laboratory)", x=0.08, ha="left", fontsize=10)
    right.suptitle(f"{neuron} homogenized (standard deviations)", x=0.08, ha="left", fontsize=10)
    for axes in (*before, *after):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlim(0, _SHOWN_SECONDS)
        axes.tick_params(labelsize=8)
    for axes in (before[-1], after[-1]):
        axes.set_xlabel("time (s)", fontsize=9)


def _one_per_laboratory(recordings: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for recording in recordings:
        found.setdefault(str(recording["source"]), recording)
    return found


def _adjacencies(
    area: Any, wiring: Mapping[str, Connectome], responses: pd.DataFrame | None
) -> None:
    left, right = area.subfigures(1, 2, width_ratios=[2.3, 1.0])
    # Sorted by type, so that blocks are seen; within one, alphabetically.
    kinds = ("sensory", "inter", "motor", "pharynx")
    order = sorted(NEURONS, key=lambda name: (kinds.index(NEURON_TYPES[name]), name))
    edges = np.cumsum([0, *(list(NEURON_TYPES.values()).count(kind) for kind in kinds)])
    table = consensus_connectome(list(wiring.values()), nodes=order)
    shape = (len(order), len(order))
    panels = {name: _weights_on(one, order) for name, one in wiring.items()}
    panels["consensus"] = table["mean_chem"].fillna(0.0).to_numpy().reshape(shape)
    grid = left.subplots(2, 3).ravel()
    for axes, (name, weights) in zip(grid, panels.items(), strict=False):
        known = (weights.sum(axis=0) + weights.sum(axis=1)) > 0
        axes.imshow(
            _coarse(np.log1p(weights)), cmap="Greys", vmin=0, vmax=0.35, extent=(0, 300, 300, 0)
        )
        axes.set_title(f"{name}: {int((weights > 0).sum())} edges, {known.sum()} cells", fontsize=8)
        axes.set_xticks(edges[1:-1], [])
        axes.set_yticks((edges[1:] + edges[:-1]) / 2, kinds, fontsize=7)
        axes.tick_params(length=0)
        for edge in edges[1:-1]:
            axes.axhline(edge, color="0.6", lw=0.5)
            axes.axvline(edge, color="0.6", lw=0.5)
    for axes in grid[3:]:
        axes.set_xlabel("to", fontsize=8)
    left.suptitle("Chemical synapses from row to column", fontsize=10, x=0.02, ha="left")
    if responses is not None:
        _response_by_votes(right, responses)


def _weights_on(one: Connectome, order: Sequence[str]) -> np.ndarray[Any, Any]:
    index = {name: k for k, name in enumerate(order)}
    here = [name for name in one.nodes if name in index]
    full = np.zeros((len(order), len(order)))
    rows = [index[name] for name in here]
    full[np.ix_(rows, rows)] = one.restrict(here).chemical
    return full


def _coarse(weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Mean over squares of cells: single dots of a 300 x 300 matrix are lost in print."""
    n = weights.shape[0] // _SQUARE
    return np.asarray(weights.reshape(n, _SQUARE, n, _SQUARE).mean(axis=(1, 3)))


def _response_by_votes(area: Any, responses: pd.DataFrame) -> None:
    axes = area.subplots()
    groups = responses.groupby("n_seen")["functional"]
    means = groups.mean()
    votes, mean, error = means.index.to_numpy(), means.to_numpy(), groups.sem().to_numpy()
    axes.errorbar(votes, mean, np.nan_to_num(error), fmt="o-", color="0.0", capsize=3)
    for vote, value, count in zip(votes, mean, groups.size(), strict=True):
        axes.annotate(
            f"{count}", (vote, value), xytext=(6, -12), textcoords="offset points", fontsize=8
        )
    axes.set_xticks(votes)
    axes.set_xlabel("votes that report an edge\n(number of pairs at each point)")
    axes.set_ylabel("functional response (mean relative change)")
    axes.set_title("Response against wiring", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
