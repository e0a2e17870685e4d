"""Sparse codes: false matches on a grid against scipy, and matching against numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse, stats

from activome.networks.active_dendrites import ActiveDendriteNeuron
from activome.networks.dendrites import false_match_probability
from harness import Case, Peer, main

Array = np.ndarray[Any, Any]
_ACTIVE, _SYNAPSES, _CELLS, _SHOWN = 64, 24, 20_000, 1000


def make_grid(n: float) -> tuple[Array, Array]:
    """Make numbers of cells and thresholds; thresholds repeat, as on a grid of plots."""
    cells = np.linspace(500, 20_000, int(n)).astype(int)[:, np.newaxis]
    return cells, 1 + np.arange(int(n)) % _SYNAPSES


def relative(ours: Array, theirs: Array) -> float:
    """Give the largest relative difference."""
    return float(np.max(np.abs(ours - theirs) / np.abs(theirs)))


def make_codes(n: float) -> tuple[ActiveDendriteNeuron, Array]:
    """Make a neuron with n segments, and patterns to show it."""
    rng = np.random.default_rng(0)
    stored = codes(int(n), rng)
    neuron = ActiveDendriteNeuron(_SYNAPSES, 12, random_state=0).fit(stored)
    return neuron, codes(_SHOWN, rng)


def codes(n_rows: int, rng: np.random.Generator) -> Any:
    """Draw sparse patterns of 400 of 20,000 cells."""
    cells = np.concatenate([rng.choice(_CELLS, 400, replace=False) for _ in range(n_rows)])
    pointers = np.arange(n_rows + 1) * 400
    ones = np.ones(cells.size, dtype=np.int8)
    return sparse.csr_array((ones, cells, pointers), shape=(n_rows, _CELLS))


def by_numpy(inputs: tuple[Array, Array, int]) -> Array:
    """Match as one does with a boolean array, a block of segments at a time."""
    shown, cells, theta = inputs
    best = np.zeros(len(shown), dtype=np.int32)
    for block in np.array_split(cells, max(1, len(cells) // 200)):
        best = np.maximum(best, shown[:, block].sum(axis=2).max(axis=1))
    return best - theta


def dense(inputs: tuple[ActiveDendriteNeuron, Any]) -> tuple[Array, Array, int]:
    """Turn the input into what numpy wants."""
    neuron, shown = inputs
    return shown.toarray().astype(bool), np.stack(neuron.segments_), neuron.threshold_


def cases() -> Sequence[Case]:
    """Give the cases; the last size of each is the one that is stated."""
    return [
        Case(
            name="false_match_probability, n numbers of cells x n thresholds",
            sizes=(10, 32, 100),
            make=make_grid,
            ours=lambda grid: false_match_probability(grid[0], _ACTIVE, _SYNAPSES, grid[1]),
            peers=[
                Peer(
                    "scipy hypergeom.sf",
                    lambda grid: stats.hypergeom.sf(grid[1] - 1, grid[0], _SYNAPSES, _ACTIVE),
                    relative,
                    1e-10,
                )
            ],
            aim="at most 3 times the time of scipy (a ratio of at least 0.33)",
        ),
        Case(
            name=f"{_SHOWN} patterns of 400 of {_CELLS} cells against n segments",
            sizes=(100, 1000, 10_000),
            make=make_codes,
            ours=lambda inputs: inputs[0].decision_function(inputs[1]),
            peers=[
                Peer(
                    "numpy boolean index",
                    by_numpy,
                    lambda ours, theirs: float(np.abs(ours - theirs).max()),
                    prepare=dense,
                )
            ],
            aim="at least 5 times numpy",
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
