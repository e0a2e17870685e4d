"""Selection of samples that are like a few targets."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances

from activome.activity import make
from activome.errors import ActivityError, ParameterError
from activome.patterns import TaskSelector, generalized_jaccard

METRICS = ("jaccard", "cosine", "euclidean")


def planted(seed: int = 0, n: int = 200) -> tuple[Any, Any]:
    """Return counts of 60 units in trials of 4 kinds, each with 8 units of its own."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n) % 4
    rates = np.full((n, 60), 0.3)
    for k in range(4):
        rates[kind == k, 8 * k : 8 * k + 8] = 3.0
    # Trials differ in their overall rate, as recordings do.
    return rng.poisson(rates * rng.uniform(0.5, 2.0, (n, 1))).astype(float), kind


def test_by_hand() -> None:
    selector = TaskSelector(budget=1).fit([[4.0, 0.0], [2.0, 2.0]])
    assert selector.prototype_.tolist() == [3.0, 1.0]
    assert selector.n_targets_ == 2
    assert selector.score_samples([[3.0, 1.0], [0.0, 2.0]]).tolist() == [1.0, 1.0 / 5.0]
    assert selector.select([[0.0, 2.0], [3.0, 1.0]]).tolist() == [1]


@pytest.mark.parametrize("metric", METRICS)
def test_scores_equal_those_of_peers(metric: str) -> None:
    codes, _ = planted(n=50)
    codes[3] = 0.0
    selector = TaskSelector(metric).fit(codes[:5])
    prototype = codes[:5].mean(axis=0)
    expected = {
        "jaccard": generalized_jaccard(codes, prototype),
        "cosine": cosine_similarity(codes, prototype[np.newaxis]).ravel(),
        "euclidean": -euclidean_distances(codes, prototype[np.newaxis]).ravel(),
    }[metric]
    np.testing.assert_allclose(selector.score_samples(codes), expected, atol=1e-10)
    rows = sparse.csr_array(codes)
    in_rows = TaskSelector(metric).fit(rows[:5])
    np.testing.assert_allclose(in_rows.score_samples(rows), expected, atol=1e-10)
    assert in_rows.select(rows).tolist() == selector.select(codes).tolist()


@pytest.mark.parametrize("metric", METRICS)
def test_large_numbers_stay_in_range(metric: str) -> None:
    codes, _ = planted(n=40)
    small, large = (TaskSelector(metric).fit(s * codes[:5]) for s in (1.0, 1e250))
    scores = large.score_samples(1e250 * codes)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(
        scores / (1e250 if metric == "euclidean" else 1.0), small.score_samples(codes), rtol=1e-9
    )


def test_trials_of_a_kind_are_found() -> None:
    counts, kind = planted()
    pool, kinds = counts[20:], kind[20:]
    for k in range(4):
        own = counts[:20][kind[:20] == k]
        chosen = TaskSelector(budget=int((kinds == k).sum())).fit(own).select(pool)
        assert (kinds[chosen] == k).mean() >= 0.9
    # A template without structure finds trials at their share.
    shuffled = np.random.default_rng(1).permuted(counts[:20], axis=1)
    chosen = TaskSelector(budget=45).fit(shuffled).select(pool)
    assert abs((kinds[chosen] == 0).mean() - 0.25) <= 0.2


def test_activity_keeps_its_labels() -> None:
    counts, kind = planted(n=24)
    activity = make(
        counts.reshape(6, 4, 60), sampling_rate=10.0, trial=np.arange(6) + 3, unit=np.arange(60)
    )
    valid = np.ones((6, 4), dtype=bool)
    valid[5, 2:] = False
    activity = activity.assign_coords(valid=(("trial", "time"), valid))
    selector = TaskSelector(budget=3).fit(activity)
    scores = selector.score_samples(activity)
    assert scores.dims == ("trial", "time")
    assert scores.trial.values.tolist() == [3, 4, 5, 6, 7, 8]
    assert np.isnan(scores.values[5, 2:]).all()
    assert selector.n_targets_ == 22
    assert kind.size == 24
    with pytest.raises(ActivityError, match="units"):
        selector.score_samples(activity.isel(unit=slice(0, 50)))


def test_budget_is_a_share_or_a_number() -> None:
    codes, _ = planted(n=100)
    budgets: Any = ((0.05, 5), (0.07, 7), (0.001, 1), (9, 9), (1.0, 100), (np.int64(4), 4))
    for budget, n in budgets:
        assert len(TaskSelector(budget=budget).fit(codes[:3]).select(codes)) == n
    scores = TaskSelector().fit(codes[:3]).score_samples(codes)
    chosen = TaskSelector(budget=10).fit(codes[:3]).select(codes)
    assert chosen.tolist() == np.argsort(-scores, kind="stable")[:10].tolist()


def test_repetitions_do_not_fill_the_budget() -> None:
    codes, _ = planted(n=60)
    pool = np.concatenate([codes, codes[:10], codes[:10]])
    plain = TaskSelector(budget=30).fit(codes[:3])
    chosen = plain.select(pool)
    assert len(np.unique(pool[chosen], axis=0)) == 30
    assert chosen.max() < 60
    every = plain.set_params(duplicate_at=None).select(pool)
    assert len(np.unique(pool[every], axis=0)) < 30
    nearly = np.concatenate([codes, codes[:10] * 1.01])
    assert plain.set_params(duplicate_at=0.98).select(nearly).size == 30
    kept = nearly[plain.select(nearly)]
    for i, row in enumerate(kept):
        assert (generalized_jaccard(np.delete(kept, i, axis=0), row) < 0.98).all()


def test_signed_codes_with_other_metrics() -> None:
    rng = np.random.default_rng(0)
    pool = rng.normal(size=(30, 5))
    pool[29] = pool[0]
    chosen = TaskSelector("cosine", 29).fit(pool[:2]).select(pool)
    assert sorted(chosen.tolist()) == list(range(29))
    with pytest.raises(ActivityError, match="as many different samples"):
        TaskSelector("cosine", 30).fit(pool[:2]).select(pool)


def test_many_repetitions_at_the_top_are_passed_over() -> None:
    codes, _ = planted(n=40)
    best = np.repeat(codes[:1], 300, axis=0)
    pool = np.concatenate([best, codes[1:]])
    chosen = TaskSelector(budget=6).fit(codes[:1]).select(pool)
    assert chosen[0] == 0
    assert (chosen[1:] >= 300).all()
    assert chosen.size == 6


class Letters:
    """Counts of three letters in each text."""

    def transform(self, texts: Any) -> Any:
        return np.array([[float(text.count(letter)) for letter in "abc"] for text in texts])


def test_an_embedder_reads_texts() -> None:
    selector = TaskSelector(budget=2, embedder=Letters()).fit(["aa", "ab"])
    assert selector.prototype_.tolist() == [1.5, 0.5, 0.0]
    assert selector.select(["cc", "ab", "aaa", "bb"]).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "dice"}, "unknown metric 'dice'"),
        ({"budget": 0}, "budget must be an integer at least 1"),
        ({"budget": 0.0}, r"budget must be in \(0, 1\]"),
        ({"budget": -0.1}, r"budget must be in \(0, 1\]"),
        ({"budget": 1.5}, r"budget must be in \(0, 1\]"),
        ({"budget": True}, "budget"),
        ({"budget": math.nan}, "budget"),
        ({"duplicate_at": 0.0}, "duplicate_at"),
        ({"duplicate_at": 1.1}, "duplicate_at"),
    ],
)
def test_parameters_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        TaskSelector(**arguments).fit([[1.0, 2.0]])


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (np.empty((0, 3)), "0 sample"),
        ([[1.0, -1.0]], "at least 0"),
        ([[1.0, math.nan]], "finite"),
        ([[0.0, 0.0]], "not zero"),
        ([1.0, 2.0], "2D"),
    ],
)
def test_targets_are_refused(targets: Any, message: str) -> None:
    with pytest.raises(ActivityError, match=message):
        TaskSelector().fit(targets)


def test_pools_are_refused() -> None:
    selector = TaskSelector(budget=3).fit([[1.0, 2.0]])
    with pytest.raises(ParameterError, match="at most the 2 samples of the pool; got 3"):
        selector.select([[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(ActivityError, match="at least 0"):
        selector.select([[1.0, -2.0], [2.0, 1.0], [1.0, 1.0]])
    with pytest.raises(ActivityError, match="features"):
        selector.score_samples([[1.0, 2.0, 3.0]])
    with pytest.raises(ActivityError, match="it has 2 of 3"):
        selector.select([[1.0, 2.0], [2.0, 1.0], [2.0, 1.0]])


def test_save_and_load(tmp_path: Path) -> None:
    codes, _ = planted(n=30)
    selector = TaskSelector(budget=4).fit(codes[:3])
    selector.save(tmp_path / "selector.npz")
    again = TaskSelector.load(tmp_path / "selector.npz")
    assert again.select(codes).tolist() == selector.select(codes).tolist()
