"""Weighted block model of a graph with six planted groups, sixteen starts, against sparsebm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from activome.graphs.blockmodel import WeightedBlockModel
from harness import Case, Peer, main

_GROUPS = 6


def make_graph(n: float) -> Any:
    """Edges within groups are twice as many and three times as heavy; about 70 per node."""
    rng = np.random.default_rng(0)
    groups = rng.integers(_GROUPS, size=int(n))
    same = groups[:, np.newaxis] == groups
    density = min(0.1, 60 / n)
    is_edge = rng.random(same.shape) < np.where(same, 2 * density, density)
    upper = np.triu(is_edge * rng.exponential(np.where(same, 3.0, 1.0)), 1)
    return upper + upper.T, groups


def fit_ours(inputs: Any) -> float:
    """Search from sixteen starts and shake the best; give the agreement with what is planted."""
    graph, groups = inputs
    model = WeightedBlockModel(n_init=1, random_state=0).fit(graph)
    return float(adjusted_rand_score(groups, model.labels_))


def fit_default(inputs: Any) -> float:
    """The same with the default effort, four times as many rounds in vain."""
    graph, groups = inputs
    model = WeightedBlockModel(random_state=0).fit(graph)
    return float(adjusted_rand_score(groups, model.labels_))


def fit_sparsebm(inputs: Any) -> float:
    """Fit the binary model with the number of groups given, from ten starts."""
    import sparsebm

    graph, groups = inputs
    model = sparsebm.SBM(_GROUPS, n_init=10, n_iter_early_stop=10, verbosity=0)
    model.fit(sparse.coo_matrix(graph > 0).astype(np.int64), symmetric=True)
    return float(adjusted_rand_score(groups, model.labels))


def differs(ours: float, theirs: float) -> float:
    """Tell by how much our agreement is lower; 0 where it is not."""
    return max(0.0, theirs - ours)


def cases() -> Sequence[Case]:
    """Three sizes at the least effort, and the stated one at the default effort."""
    peer = Peer("sparsebm, groups given", fit_sparsebm, differs, 0.02, requires="sparsebm")
    return [
        Case(
            name="WeightedBlockModel(n_init=1), 6 groups, n nodes, 16 starts",
            sizes=(150, 600, 2400),
            smoke=(150,),
            make=make_graph,
            ours=fit_ours,
            aim="exponent about 1",
        ),
        Case(
            name="WeightedBlockModel(n_init=1), 6 groups, 16 starts",
            sizes=(600,),
            make=make_graph,
            ours=fit_ours,
            peers=[peer],
            aim="ten starts in at most 250 ms",
        ),
        Case(
            name="WeightedBlockModel(), 6 groups, default effort",
            sizes=(600,),
            make=make_graph,
            ours=fit_default,
            peers=[peer],
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
