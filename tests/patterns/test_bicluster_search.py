"""The search for clusters: a unit in the wrong cluster is found out by fitting it apart."""

from __future__ import annotations

import numpy as np

from activome.patterns._bicluster_model import Model
from activome.patterns._bicluster_search import Search, smooth_features
from activome.patterns._switching_laws import LawPrior
from activome.studies._biclustering_data import planted_counts


def test_a_unit_in_the_wrong_cluster_is_moved() -> None:
    data = planted_counts(1)
    counts = np.ascontiguousarray(data.counts.T)
    model = Model(
        counts=counts,
        is_seen=np.ones(counts.shape, dtype=bool),
        is_first=np.arange(counts.shape[1]) == 0,
        prior=LawPrior(3, 0.01),
        n_states=10,
        alpha=5.0,
        gamma=5.0,
        kappa=10.0,
        mfm_gamma=1.0,
        mfm_rate=0.2,
        dispersion=10.0,
        block_moves=0,
    )
    finder = Search(model, data.states, np.full(30, 10.0), smooth_features(model))
    wrong = data.clusters.copy()
    wrong[23] = 1
    # The evidence knows better, but the trajectories of cluster 1 have bent towards the unit.
    assert finder.score(data.clusters) > finder.score(wrong) + 10
    assert finder.regroup(wrong)[23] == 1
    np.testing.assert_array_equal(finder.regroup(wrong, n_rounds=1, apart=True), data.clusters)
    np.testing.assert_array_equal(finder.cluster(wrong), data.clusters)
    # Apart or not, what is right stays.
    np.testing.assert_array_equal(finder.regroup(data.clusters, apart=True), data.clusters)
