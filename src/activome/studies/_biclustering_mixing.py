"""Whether states and trajectories move at all, with everything else at the truth."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import adjusted_rand_score

from activome.patterns._bicluster_model import Model, Point
from activome.patterns._bicluster_moves import Tally, draw_paths, draw_states
from activome.patterns._switching_laws import LawPrior
from activome.studies._biclustering_data import planted_counts

__all__ = ["with_true_parameters"]


def with_true_parameters(seed: int, sizes: dict[str, int], n_sweeps: int) -> dict[str, float]:
    """Sample states and trajectories, all else at the truth, from states drawn at random."""
    data = planted_counts(seed, **sizes)
    n, n_times = data.laws.shape[-1], len(data.states)
    n_clusters, n_units = len(data.laws), data.clusters.size
    scores = {}
    for name, n_moves in (("alternating", 0), ("block", 200)):
        rng = np.random.default_rng([92, seed])
        model = Model(
            counts=np.ascontiguousarray(data.counts.T),
            is_seen=np.ones((n_units, n_times), dtype=bool),
            is_first=np.arange(n_times) == 0,
            prior=LawPrior(n, 0.01),
            n_states=2,
            alpha=5.0,
            gamma=5.0,
            kappa=10.0,
            mfm_gamma=1.0,
            mfm_rate=0.2,
            dispersion=10.0,
            block_moves=n_moves,
        )
        point = Point(
            labels=data.clusters.copy(),
            loadings=data.loadings.copy(),
            paths=np.zeros((n_clusters, n_times, n)),
            A=data.laws.copy(),
            b=np.zeros((n_clusters, 2, n)),
            Q=np.broadcast_to(0.01 * np.eye(n), (n_clusters, 2, n, n)).copy(),
            states=np.repeat(rng.integers(0, 2, n_times // 25 + 1), 25)[:n_times],
            share=np.full(2, 0.5),
            transition=np.array([[0.98, 0.02], [0.02, 0.98]]),
            dispersion=np.full(n_units, 10.0),
        )
        votes = np.zeros(n_times)
        for sweep in range(n_sweeps):
            draw_paths(model, point, rng, Tally())
            draw_states(model, point, rng)
            votes += point.states if sweep >= n_sweeps // 2 else 0
        estimate = votes > (n_sweeps - n_sweeps // 2) / 2
        scores[name] = float(adjusted_rand_score(data.states, estimate))
    return scores
