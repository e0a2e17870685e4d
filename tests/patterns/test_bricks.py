"""Bricks: overlaps by hand, planted groups, all partitions one by one, and refusals."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from activome.activity.schema import make
from activome.errors import ActivityError, ParameterError
from activome.patterns.bricks import BrickPartition, partition_overlap


def planted(seed: int = 0, n_samples: int = 400, n_bricks: int = 4, width: int = 6) -> tuple:  # type: ignore[type-arg]
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(n_bricks), width))
    drive = rng.exponential(size=(n_samples, n_bricks)) * (rng.random((n_samples, n_bricks)) < 0.25)
    values = drive[:, truth] * rng.uniform(0.5, 1.5, (n_samples, truth.size))
    sign = rng.choice([-1.0, 1.0], values.shape)
    return sign * (values + 0.02 * rng.random(values.shape)), truth


def test_overlap_by_hand() -> None:
    masks = {
        "a": [True, True, True, False, False, False],
        "b": [False, False, True, True, False, False],
        "c": [False, False, False, False, True, True],
    }
    found = partition_overlap(masks)
    expected = np.array([[1, 1 / 3, 0], [1 / 2, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(found.values, expected)
    np.testing.assert_allclose(found.chance.values, [3 / 6, 2 / 6, 2 / 6])
    rng = np.random.default_rng(0)
    drawn = {str(i): rng.random(20000) < 0.05 for i in range(4)}
    off = partition_overlap(drawn).values[~np.eye(4, dtype=bool)]
    assert np.abs(off - 0.05).max() < 0.03


def test_overlap_refusals() -> None:
    with pytest.raises(ParameterError, match="at least one mask"):
        partition_overlap({})
    with pytest.raises(ParameterError, match="'b' must be a boolean mask"):
        partition_overlap({"a": [True], "b": [False]})
    with pytest.raises(ParameterError, match="int64"):
        partition_overlap({"a": [1, 0]})
    with pytest.raises(ParameterError, match=r"shape \(2,\)"):
        partition_overlap({"a": [True, False], "b": [True]})


@pytest.mark.parametrize("method", ["coactivation", "balanced-kmeans"])
@pytest.mark.parametrize("seed", range(3))
def test_planted_groups_are_found(method: str, seed: int) -> None:
    values, truth = planted(seed)
    given = values if method == "coactivation" else np.abs(values)
    model = BrickPartition(4, method, active_fraction=0.25, random_state=seed).fit(given)
    assert adjusted_rand_score(truth, model.labels_) == 1.0
    assert model.sizes_.tolist() == [6] * 4
    np.testing.assert_array_equal(
        model.labels_[np.unique(model.labels_, return_index=True)[1]], np.arange(4)
    )
    expected = np.stack([np.abs(given[:, model.labels_ == b]).mean(axis=1) for b in range(4)], 1)
    np.testing.assert_allclose(model.transform(given), expected)


def test_communities_that_are_not_equal_are_rebalanced() -> None:
    rng = np.random.default_rng(1)
    values, _ = planted(1, n_bricks=3, width=5)
    values = np.hstack([values, 0.01 * rng.random((len(values), 2))])
    model = BrickPartition(4, active_fraction=0.3, random_state=0).fit(values)
    assert sorted(model.sizes_.tolist()) == [4, 4, 4, 5]


def test_kmeans_reaches_the_best_of_all_balanced_partitions() -> None:
    rng = np.random.default_rng(2)
    points = rng.normal(size=(8, 3)) + 3 * (np.arange(8) % 2)[:, None]

    def squares(first: tuple[int, ...]) -> float:
        inside = np.isin(np.arange(8), first)
        return sum(float(((points[m] - points[m].mean(0)) ** 2).sum()) for m in (inside, ~inside))

    best = min(squares(first) for first in combinations(range(8), 4))
    model = BrickPartition(2, "balanced-kmeans", random_state=0).fit(points.T)
    found = squares(tuple(np.flatnonzero(model.labels_ == 0)))
    assert found == pytest.approx(best)
    total = float(((points - points.mean(0)) ** 2).sum())
    assert model.score_ == pytest.approx(best / total)


def test_score_is_the_modularity() -> None:
    networkx = pytest.importorskip("networkx", reason="networkx is not installed")
    values, _ = planted(3)
    model = BrickPartition(4, active_fraction=0.25, random_state=0).fit(values)
    rank = np.argsort(np.argsort(-np.abs(values), axis=1), axis=1)
    active = (rank < 6).astype(float)
    counts = active.T @ active
    np.fill_diagonal(counts, 0)
    graph = networkx.from_numpy_array(counts)
    groups = [set(np.flatnonzero(model.labels_ == b).tolist()) for b in range(4)]
    expected = networkx.algorithms.community.modularity(graph, groups)
    # The expectation of the diagonal is left out: units are never paired with themselves.
    strength = counts.sum(axis=0)
    expected += float((strength**2).sum() / counts.sum() ** 2)
    assert model.score_ == pytest.approx(expected, abs=1e-9)


def test_labels_and_refusals() -> None:
    values, _ = planted()
    activity = make(values, ("trial", "unit"), unit=[f"u{i}" for i in range(24)])
    found = BrickPartition(4, random_state=0).fit_transform(activity)
    assert found.dims == ("trial", "unit")
    assert found.sizes["unit"] == 4
    with pytest.raises(ParameterError, match="n_bricks must be an integer at least 1 and at most"):
        BrickPartition(25).fit(values)
    with pytest.raises(ParameterError, match="n_bricks"):
        BrickPartition(-1).fit(values)
    with pytest.raises(ParameterError, match="unknown method 'metis'"):
        BrickPartition(2, "metis").fit(values)
    with pytest.raises(ParameterError, match="active_fraction"):
        BrickPartition(2, active_fraction=1.0).fit(values)
    with pytest.raises(ActivityError, match="alike in each"):
        BrickPartition(2).fit(np.ones((5, 4)))
    with pytest.raises(ActivityError, match="no two of the 4 ever are"):
        BrickPartition(2).fit(np.eye(4))
