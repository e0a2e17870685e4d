"""Communities of the pairs of a component, held against those of units shifted apart in time."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from activome.activity.statistics import monte_carlo_p
from activome.errors import ConvergenceWarning
from activome.graphs.blockmodel import WeightedBlockModel
from activome.patterns._affinity_rank import affinity_tensor, shifted
from activome.patterns.tensor import NonnegativeCP

__all__ = ["Motif", "find_motifs", "keep_beyond_chance"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Motif:
    """Communities of the units of one component.

    ``gain`` is what they save against one block, in nats; ``excess`` the affinity within and
    between them that the strengths of the single units do not give; ``strongest`` marks the units
    of the one with the largest mean affinity within, of at least three units.
    """

    labels: Array
    gain: float
    excess: float
    strongest: Array

    @property
    def is_split(self) -> bool:
        """Whether there is more than one community."""
        return bool(self.labels.any())

    def joined(self) -> Motif:
        """Return one community in place of several."""
        return Motif(np.zeros_like(self.labels), 0.0, 0.0, np.zeros_like(self.strongest))


def find_motifs(
    model: NonnegativeCP,
    n_units: int,
    cut: str,
    assortative: bool,
    generator: np.random.Generator,
) -> list[Motif]:
    """Return the communities of the graph of each component of a tensor (pair, time, trial)."""
    pairs, times, trials = model.factors_
    found = []
    for loadings, size in zip(
        pairs.T, model.weights_ * times.sum(axis=0) * trials.sum(axis=0), strict=True
    ):
        least = _otsu(loadings) if cut == "otsu" else 0.0
        graph = _graph(np.where(loadings > least, loadings, 0.0), n_units)
        blocks = WeightedBlockModel(assortative=assortative, random_state=generator).fit(graph)
        within = np.diag(blocks.block_edges_ * blocks.block_weight_).copy()
        within[np.bincount(blocks.labels_) < 3] = 0.0
        strongest = np.zeros(n_units, dtype=bool)
        if blocks.n_blocks_ > 1 and within.max() > 0:
            strongest = blocks.labels_ == int(within.argmax())
        gain = float(blocks.null_description_length_ - blocks.description_length_)
        excess = size * _excess(_graph(loadings, n_units), blocks.labels_)
        found.append(Motif(blocks.labels_, gain, excess, strongest))
    return found


def _graph(loadings: Array, n_units: int) -> Array:
    graph = np.zeros((n_units, n_units))
    graph[np.triu_indices(n_units, 1)] = loadings
    return graph + graph.T


def _excess(graph: Array, labels: Array) -> float:
    """Return how far the sums over blocks are from those of independent units of that strength."""
    member = np.equal.outer(np.arange(labels.max() + 1), labels).astype(np.float64)
    sums = member @ graph @ member.T
    strength = graph.sum(axis=1)
    total = strength.sum()
    # A unit has no pair with itself, which its strength squared would count.
    expected = np.outer(member @ strength, member @ strength) - np.diag(member @ strength**2)
    expected *= total / max(expected.sum(), np.finfo(np.float64).tiny)
    return float(np.abs(sums - expected).sum())


def keep_beyond_chance(
    motifs: list[Motif],
    roots: Array,
    mask: Array | None,
    n_surrogates: int,
    generator: np.random.Generator,
    *,
    cut: str,
    assortative: bool,
    options: dict[str, Any],
) -> tuple[list[Motif], float]:
    """Return the motifs, those within chance as one community, and the p-value of the largest.

    Units that are livelier than others have stronger pairs, whatever they do together, and bursts
    of a few units meet by chance: a block model parts such units. What counts is the affinity that
    the strengths of the single units do not give. As in parallel analysis the largest excess is
    held against the largest of units shifted in time by lags of their own, and where it is beyond
    all of these the second against the second, and so on.
    """
    n_units, rank = roots.shape[2], len(motifs)
    options = {**options, "n_init": 1, "random_state": int(generator.integers(2**31))}

    def draw() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = NonnegativeCP(rank, **options)
            model.fit(affinity_tensor(shifted(roots, generator)), mask)
        found = find_motifs(model, n_units, cut, assortative, generator)
        nulls.append(sorted((motif.excess for motif in found), reverse=True))
        return nulls[-1][0]

    nulls: list[list[float]] = []
    order = sorted(range(rank), key=lambda k: -motifs[k].excess)
    test = monte_carlo_p(motifs[order[0]].excess, draw, n_surrogates, stop_after=1)
    kept = [motif.joined() for motif in motifs]
    if test.hits == 0:
        for k, least in zip(order, np.max(nulls, axis=0), strict=True):
            if motifs[k].excess <= least:
                break
            kept[k] = motifs[k]
    return kept, test.p_value


def _otsu(values: Array) -> float:
    """Return the cut that parts values into two classes with the least variance within."""
    ordered = np.sort(values)
    n = ordered.size
    below = np.arange(1, n)
    sums = np.cumsum(ordered)
    low, high = sums[:-1] / below, (sums[-1] - sums[:-1]) / (n - below)
    between = below * (n - below) * (high - low) ** 2
    return float(ordered[int(np.argmax(between))]) if n > 1 else 0.0
