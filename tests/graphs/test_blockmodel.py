"""Block models: planted partitions, none where there is none, all partitions, refusals."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import sparse, special
from sklearn.metrics import normalized_mutual_info_score

from activome.errors import ActivityError, ParameterError
from activome.graphs._blockmodel_kernels import EXPONENTIAL, factorials, pair_score
from activome.graphs.blockmodel import WeightedBlockModel, description_length

Array = np.ndarray[Any, Any]


def planted(
    n: int, k: int, inside: tuple[float, float], outside: tuple[float, float], seed: int
) -> tuple[Array, Array]:
    """Edge probability and mean weight within and between groups."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    same = truth[:, None] == truth
    edge = rng.random((n, n)) < np.where(same, inside[0], outside[0])
    upper = np.triu(edge * rng.exponential(np.where(same, inside[1], outside[1])), 1)
    return upper + upper.T, truth


def by_definition(adjacency: Array, labels: Array) -> float:
    """Description length from the formulas, one pair of blocks at a time."""
    n, blocks = len(labels), np.unique(labels)
    upper = np.triu(np.ones((n, n), bool), 1)
    mean = adjacency[adjacency > 0].mean()
    total = -np.log(special.comb(n - 1, len(blocks) - 1)) - special.gammaln(n + 1) - np.log(n)
    for a, r in enumerate(blocks):
        total += special.gammaln((labels == r).sum() + 1)
        for s in blocks[: a + 1]:
            pair = np.outer(labels == r, labels == s)
            weights = adjacency[upper & (pair | pair.T)]
            e, w = (weights > 0).sum(), weights.sum()
            total += special.betaln(e + 1, weights.size - e + 1)
            if e:
                total += np.log(mean) + special.gammaln(1 + e) - (1 + e) * np.log(mean + w)
    return -float(total)


def test_description_length_by_its_formulas() -> None:
    adjacency, truth = planted(20, 3, (0.6, 2.0), (0.2, 1.0), 0)
    for labels in (truth, np.zeros(20, int), np.arange(20)):
        found = description_length(adjacency, labels)
        assert found == pytest.approx(by_definition(adjacency, labels), rel=1e-10)


def test_no_other_partition_is_shorter() -> None:
    adjacency, _ = planted(8, 2, (0.9, 4.0), (0.2, 1.0), 1)
    lengths = [
        by_definition(adjacency, np.array((0, *rest))) for rest in product(range(3), repeat=7)
    ]
    model = WeightedBlockModel(random_state=0).fit(adjacency)
    assert model.description_length_ <= min(lengths) + 1e-9
    assert model.description_length_ == pytest.approx(by_definition(adjacency, model.labels_))


@pytest.mark.parametrize("density", [0.2, 0.9])
def test_one_block_where_nothing_is_planted(density: float) -> None:
    for seed in range(6):
        adjacency, _ = planted(80, 1, (density, 1.0), (density, 1.0), seed)
        model = WeightedBlockModel(random_state=0).fit(adjacency)
        assert model.n_blocks_ == 1
        assert model.description_length_ == model.null_description_length_


@pytest.mark.parametrize(
    ("n", "k", "inside", "outside", "least"),
    [
        (125, 5, (0.5, 1.0), (0.15, 1.0), 0.75),  # edges alone
        (125, 3, (0.25, 4.0), (0.25, 1.0), 0.9),  # weights alone
        (125, 5, (0.25, 8.0), (0.25, 1.0), 0.85),
        (125, 3, (0.1, 1.0), (0.4, 1.0), 0.9),  # groups that avoid themselves
        (125, 5, (1.0, 3.0), (1.0, 1.0), 0.95),  # every pair has an edge
    ],
)
def test_planted_partitions(
    n: int, k: int, inside: tuple[float, float], outside: tuple[float, float], least: float
) -> None:
    for seed in range(2):
        adjacency, truth = planted(n, k, inside, outside, seed)
        model = WeightedBlockModel(random_state=0).fit(adjacency)
        assert normalized_mutual_info_score(truth, model.labels_) >= least
        assert model.description_length_ <= description_length(adjacency, truth) + 1e-6


def test_assortative_and_counts() -> None:
    adjacency, truth = planted(60, 3, (0.8, 2.0), (0.1, 1.0), 3)
    model = WeightedBlockModel(assortative=True, random_state=0).fit(adjacency)
    assert normalized_mutual_info_score(truth, model.labels_) == pytest.approx(1.0)
    assert model.description_length_ == pytest.approx(
        description_length(adjacency, model.labels_, assortative=True)
    )
    rng = np.random.default_rng(0)
    strength = rng.uniform(0.3, 3.0, 60)
    same = truth[:, None] == truth
    upper = np.triu(rng.poisson(np.outer(strength, strength) * np.where(same, 1.5, 0.3)), 1)
    counts = (upper + upper.T).astype(float)
    plain = WeightedBlockModel("poisson", random_state=0).fit(counts)
    fair = WeightedBlockModel("poisson", degree_corrected=True, random_state=0).fit(counts)
    assert normalized_mutual_info_score(truth, fair.labels_) > 0.95
    assert plain.n_blocks_ > fair.n_blocks_ == 3


def test_results_describe_the_blocks() -> None:
    adjacency, _ = planted(60, 2, (0.7, 3.0), (0.1, 1.0), 5)
    model = WeightedBlockModel(random_state=0).fit(adjacency)
    a, b = (np.flatnonzero(model.labels_ == r) for r in (0, 1))
    block = adjacency[np.ix_(a, b)]
    assert model.block_edges_[0, 1] == pytest.approx((block > 0).mean())
    assert model.block_weight_[0, 1] == pytest.approx(block[block > 0].mean())
    assert a.size >= b.size
    assert [int(level.max()) + 1 for level in model.levels_] == [1]
    order = np.random.default_rng(0).permutation(60)
    turned = WeightedBlockModel(random_state=0).fit(sparse.csr_array(adjacency[order][:, order]))
    assert normalized_mutual_info_score(turned.labels_, model.labels_[order]) == pytest.approx(1.0)
    assert WeightedBlockModel(max_blocks=1).fit(adjacency).n_blocks_ == 1
    assert WeightedBlockModel().fit(np.zeros((5, 5))).labels_.tolist() == [0] * 5


def test_levels_are_the_cheapest_mergers() -> None:
    adjacency, _ = planted(40, 5, (0.9, 6.0), (0.15, 1.0), 2)
    model = WeightedBlockModel(random_state=0).fit(adjacency)
    assert model.n_blocks_ > 2
    labels = model.labels_
    for level in model.levels_:
        pairs = [(r, s) for r in range(labels.max() + 1) for s in range(r)]
        lengths = [by_definition(adjacency, np.where(labels == r, s, labels)) for r, s in pairs]
        assert by_definition(adjacency, level) == pytest.approx(min(lengths))
        labels = level


def test_a_large_sparse_graph_is_read_as_it_is() -> None:
    adjacency, truth = planted(300, 4, (0.3, 2.0), (0.03, 1.0), 0)
    dense = WeightedBlockModel(random_state=0).fit(adjacency)
    thin = WeightedBlockModel(random_state=0).fit(sparse.coo_array(adjacency))
    np.testing.assert_array_equal(dense.labels_, thin.labels_)
    assert dense.description_length_ == thin.description_length_
    assert normalized_mutual_info_score(truth, dense.labels_) > 0.95
    scaled = WeightedBlockModel(random_state=0).fit(1e6 * adjacency)
    np.testing.assert_array_equal(dense.labels_, scaled.labels_)
    np.testing.assert_allclose(scaled.block_weight_, 1e6 * dense.block_weight_)


def test_factorials_beyond_the_table() -> None:
    short, whole = factorials(3, 0.0), factorials(1000, 0.0)
    assert short.size < 10
    for e in (200.0, 4000.0, 70_000.0):
        by_series = pair_score(EXPONENTIAL, 1e5, e, 300.0, 1.0, short)
        by_table = pair_score(EXPONENTIAL, 1e5, e, 300.0, 1.0, whole)
        assert by_series == pytest.approx(by_table, rel=1e-12)


def test_refusals() -> None:
    good = np.ones((4, 4))
    lopsided = good.copy()
    lopsided[0, 1] = 3.0
    cases: list[tuple[Any, str]] = [
        (good[:3], "must be square"),
        (good[:2, :2], "at least three nodes"),
        (-good, "must not be negative"),
        (lopsided, "nodes 0 and 1 have 3 and 1"),
        (good * np.nan, "must be finite"),
        (sparse.csr_array(lopsided), "nodes 0 and 1 have 3 and 1"),
        (sparse.csr_array(good * np.nan), "must be finite"),
    ]
    for values, message in cases:
        with pytest.raises(ActivityError, match=message):
            WeightedBlockModel().fit(values)
    with pytest.raises(ActivityError, match="whole counts"):
        WeightedBlockModel("poisson").fit(0.5 * good)
    with pytest.raises(ParameterError, match="needs weights='poisson'"):
        WeightedBlockModel(degree_corrected=True).fit(good)
    with pytest.raises(ParameterError, match="unknown weights"):
        WeightedBlockModel("normal").fit(good)
    with pytest.raises(ActivityError, match="one per node"):
        description_length(good, [0, 1])
