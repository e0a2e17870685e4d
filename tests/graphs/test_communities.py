"""Communities: planted ones, none in noise, and the quality against igraph and networkx."""

from __future__ import annotations

import igraph
import networkx as nx
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from activome.activity.schema import make
from activome.errors import ActivityError, ParameterError
from activome.graphs.communities import (
    communities,
    leiden_partition,
    signed_modularity_matrix,
)
from activome.graphs.ordering import order_units


def _planted(sizes: list[int], seed: int = 0, strength: float = 0.7) -> np.ndarray:
    generator = np.random.default_rng(seed)
    drive = generator.normal(size=(600, len(sizes)))
    noise = generator.normal(size=(600, sum(sizes)))
    return np.asarray(noise + strength * np.repeat(drive, sizes, axis=1))


def _sum_within(matrix: np.ndarray, labels: np.ndarray) -> float:
    return float(matrix[labels[:, np.newaxis] == labels].sum())


def test_planted_communities_are_found_largest_first() -> None:
    sizes = [4, 12, 8]
    found = communities(make(_planted(sizes)), random_state=0)
    truth = np.repeat([2, 0, 1], sizes)
    assert found.labels.values.tolist() == truth.tolist()
    assert (found.n_communities, found.is_significant, found.p_value) == (3, True, 0.01)
    assert found.stability == pytest.approx(1.0)
    np.testing.assert_array_equal(found.co_assignment, truth[:, np.newaxis] == truth)


def test_matrix_gives_the_modularity_of_igraph_and_networkx() -> None:
    generator = np.random.default_rng(0)
    weights = np.triu(generator.random((12, 12)), 1)
    weights += weights.T
    labels = generator.integers(0, 3, 12)
    matrix, total = signed_modularity_matrix(weights)
    ours = _sum_within(matrix, labels) / total
    graph = igraph.Graph.Weighted_Adjacency(weights, mode="undirected")
    theirs = graph.modularity(labels.tolist(), weights=graph.es["weight"])
    assert ours == pytest.approx(theirs)
    groups = [set(np.flatnonzero(labels == k).tolist()) for k in range(3)]
    assert ours == pytest.approx(nx.community.modularity(nx.from_numpy_array(weights), groups))


def test_negative_weights_count_against() -> None:
    weights = np.array([[0, 1, -1, -1], [1, 0, -1, -1], [-1, -1, 0, 1], [-1, -1, 1, 0.0]])
    matrix, total = signed_modularity_matrix(weights)
    generator = np.random.default_rng(0)
    assert leiden_partition(matrix, generator).tolist() == [0, 0, 1, 1]
    # Positive part: 4 within, expected 2 * (2^2 / 4) = 2. Negative: none, expected 2 * (4^2 / 8).
    assert _sum_within(matrix, np.array([0, 0, 1, 1])) == pytest.approx((4 - 2) + 4)
    assert total == 12.0


def test_partition_is_the_best_of_all_partitions_of_a_small_graph() -> None:
    generator = np.random.default_rng(0)
    for _ in range(5):
        weights = generator.normal(size=(6, 6))
        matrix, _ = signed_modularity_matrix(weights + weights.T)
        best = max(
            _sum_within(matrix, np.array(np.unravel_index(code, (6,) * 6))) for code in range(6**5)
        )
        runs = [_sum_within(matrix, leiden_partition(matrix, generator)) for _ in range(5)]
        assert max(runs) == pytest.approx(best)


def test_noise_has_one_community() -> None:
    false = 0
    for seed in range(15):
        values = np.random.default_rng(seed).poisson(0.3, (400, 15)).astype(float)
        found = communities(values, n_surrogates=39, stop_after=3, random_state=seed)
        if not found.is_significant:
            assert found.n_communities == 1
            assert set(found.labels.values.tolist()) == {0}
            assert found.modularity == pytest.approx(0.0, abs=1e-12)
        false += found.is_significant
    assert false <= 3  # 0.75 expected, standard deviation 0.8


def test_one_drive_to_all_is_one_community() -> None:
    significant = 0
    for seed in range(10):
        found = communities(_planted([15], seed, strength=1.0), n_surrogates=39, random_state=seed)
        significant += found.is_significant
    assert significant <= 2


def test_resolution_chooses_the_level_of_nested_communities() -> None:
    place = np.arange(16)
    weights = 0.1 + 0.3 * (place[:, np.newaxis] // 8 == place // 8)
    weights = weights + 0.6 * (place[:, np.newaxis] // 4 == place // 4)
    generator = np.random.default_rng(0)
    counts = [
        int(leiden_partition(signed_modularity_matrix(weights, r)[0], generator).max()) + 1
        for r in (0.1, 1.0, 1.6, 5.0)
    ]
    assert counts == [1, 2, 4, 16]


def test_labels_follow_the_units_and_the_seed() -> None:
    values = _planted([7, 5])
    order = np.random.default_rng(1).permutation(12)
    plain = communities(values, n_surrogates=19, random_state=0)
    moved = communities(values[:, order], n_surrogates=19, random_state=0)
    assert adjusted_rand_score(plain.labels.values[order], moved.labels.values) == 1.0
    again = communities(values, n_surrogates=19, random_state=0)
    np.testing.assert_array_equal(plain.null, again.null)


def test_constant_units_stand_alone() -> None:
    values = np.insert(_planted([5, 4]), 2, 1.0, axis=1)
    found = communities(values, n_surrogates=19, random_state=0)
    assert found.labels.values.tolist() == [0, 0, 2, 0, 0, 0, 1, 1, 1, 1]
    assert found.n_communities == 2


def test_order_puts_communities_and_like_units_together() -> None:
    values = _planted([4, 3, 5])[:, np.random.default_rng(0).permutation(12)]
    labels = communities(values, n_surrogates=19, random_state=0).labels.values
    order = order_units(values, labels)
    assert sorted(order.tolist()) == list(range(12))
    assert (np.diff(labels[order]) >= 0).all()
    alone = order_units(values)
    assert np.count_nonzero(np.diff(labels[alone])) == 2


def test_order_keeps_constant_units_last() -> None:
    values = np.insert(_planted([3]), 0, 4.0, axis=1)
    assert order_units(values)[-1] == 0


def test_refusals() -> None:
    with pytest.raises(ActivityError, match="at least three units must vary; 2 of 2"):
        communities(np.random.default_rng(0).normal(size=(50, 2)))
    with pytest.raises(ParameterError, match="resolution"):
        communities(np.eye(20), resolution=0.0)
    with pytest.raises(ActivityError, match="labels must be one per unit"):
        order_units(_planted([3]), labels=[0, 1])
