"""Towers of features: merging by hand, products, fine-tuning and refusals."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

from activome.errors import ActivityError, MissingExtraError, ParameterError
from activome.patterns.hierarchical_semi_nmf import HierarchicalSemiNMF

Array = np.ndarray[Any, Any]


def grouped(seed: int = 0, n: int = 600) -> Array:
    """Return four features in two groups: a shared core of units, and units of their own."""
    rng = np.random.default_rng(seed)
    features = np.zeros((4, 20))
    for i, row in enumerate(features):
        row[4 * (i // 2) : 4 * (i // 2) + 4] = 1.0
        row[8 + 3 * i : 11 + 3 * i] = [1.0, -1.0, 0.7]
    use = rng.exponential(size=(n, 4)) * (rng.random((n, 4)) < 0.15)
    return use @ features + 0.02 * rng.normal(size=(n, 20))


def tower(**changes: Any) -> HierarchicalSemiNMF:
    arguments: dict[str, Any] = {"ranks": (4, 2), "keep": 0.5, "init": "kmeans", "tol": 1e-3}
    return HierarchicalSemiNMF(**(arguments | changes))


def test_groups_merge_under_one_parent() -> None:
    model = tower().fit(grouped())
    own = np.abs(model.levels_[0][:, 8:]).reshape(4, 4, 3).sum(axis=2).argmax(axis=1)
    assert sorted(own.tolist()) == [0, 1, 2, 3]
    parent_of = dict(zip(own.tolist(), model.parents_[0].tolist(), strict=True))
    assert parent_of[0] == parent_of[1] != parent_of[2] == parent_of[3]
    core = np.abs(model.levels_[1][:, :8]).reshape(2, 2, 4).sum(axis=2)
    assert core.argmax(axis=1)[parent_of[0]] == 0
    assert core.argmax(axis=1)[parent_of[2]] == 1


def test_levels_are_products_up_to_what_each_leaves() -> None:
    X = grouped()
    model = tower(ranks=(4, 3, 2)).fit(X)
    assert [level.shape for level in model.levels_] == [(4, 20), (3, 20), (2, 20)]
    assert [weights.shape for weights in model.tree_] == [(4, 3), (3, 2)]
    for level in model.levels_:
        np.testing.assert_allclose(np.linalg.norm(level, axis=1), 1.0)
    assert all((weights >= 0).all() for weights in model.tree_)
    first = 1 - ((X - model.coef_ @ model.levels_[0]) ** 2).sum() / (X**2).sum()
    assert first > 0.95
    below = model.levels_[0]
    left = below - model.tree_[0] @ model.levels_[1]
    assert (left**2).sum() < (below**2).sum()
    np.testing.assert_array_equal(model.components_, model.levels_[-1])


def test_codes_go_up_the_tower() -> None:
    X = grouped(n=200)
    model = tower().fit(X)
    first, last = model.codes(X)
    np.testing.assert_allclose(last, first @ model.tree_[0])
    np.testing.assert_array_equal(model.transform(X), last)
    np.testing.assert_allclose(model.inverse_transform(last), last @ model.components_)
    assert (last >= 0).all()


def test_upper_levels_keep_as_many_entries() -> None:
    model = tower(keep=0.2).fit(grouped())
    for level in model.levels_:
        assert (np.count_nonzero(level, axis=1) <= 4).all()


def test_fine_tuning_explains_more() -> None:
    X = grouped(n=150)
    start: dict[str, Any] = {"ranks": (4, 3), "init": "random", "max_iter": 2, "tol": 0.0}
    plain = tower(**start).fit(X)
    tuned = tower(**start, finetune=150).fit(X)
    curve = tuned.finetune_curve_
    chain = plain.coef_ @ plain.tree_[0] @ plain.levels_[1]
    assert curve[0] == pytest.approx(1 - ((X - chain) ** 2).sum() / (X**2).sum(), abs=1e-9)
    assert curve.size == 150
    assert curve[-1] > curve[0] + 0.05
    product = tuned.coef_ @ tuned.tree_[0] @ tuned.levels_[1]
    explained = 1 - ((X - product) ** 2).sum() / (X**2).sum()
    assert explained >= curve.max() - 1e-6
    np.testing.assert_allclose(tuned.coef_ @ tuned.levels_[0], product, atol=1e-10)
    assert (tuned.coef_ >= 0).all()
    assert all((weights >= 0).all() for weights in tuned.tree_)
    assert not (tuned.levels_[1][plain.levels_[1] == 0]).any()


def test_float32_stays() -> None:
    model = tower(finetune=2).fit(grouped(n=80).astype(np.float32))
    assert model.components_.dtype == np.float32
    assert model.transform(grouped(n=10).astype(np.float32)).dtype == np.float32


def test_save_load_and_clone(tmp_path: Path) -> None:
    X = grouped(n=100)
    model = tower().fit(X)
    model.save(tmp_path / "tower.npz")
    again = HierarchicalSemiNMF.load(tmp_path / "tower.npz")
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    np.testing.assert_array_equal(clone(model).fit(X).components_, model.components_)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ranks": ()}, "at least one number"),
        ({"ranks": 4}, "at least one number"),
        ({"ranks": "42"}, "at least one number"),
        ({"ranks": (2, 4)}, "must fall from level to level"),
        ({"ranks": (2, 2)}, "must fall from level to level"),
        ({"ranks": (4, 0)}, "ranks must be an integer"),
        ({"finetune": -1}, "finetune"),
        ({"keep": 0.0}, "keep"),
    ],
)
def test_parameters_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        tower(**changes).fit(grouped(n=20))


def test_activity_is_refused() -> None:
    with pytest.raises(
        ActivityError,
        match=r"the first rank must be at most the number of samples and of units; got 30 for "
        r"n_samples=50 and n_features=20\. Ask",
    ):
        tower(ranks=(30, 2)).fit(grouped(n=50))
    with pytest.raises(
        ActivityError, match="got 4 for n_samples=50 and n_features=20, of which 17"
    ):
        tower().fit(grouped(n=50) * (np.arange(20) < 3))
    copies = np.repeat(np.random.default_rng(0).normal(size=(50, 2)), 6, axis=1)
    with pytest.raises(ActivityError, match="those of level 1 use 2 for a rank of 5"):
        tower(ranks=(6, 5), keep=0.01, init="random").fit(copies)
    X = grouped(n=50)
    X[3, 4] = np.inf
    with pytest.raises(ActivityError, match="sample 3, unit 4"):
        tower().fit(X)
    with pytest.raises(ActivityError, match=r"coefficients must be \(n_samples, 2\)"):
        tower().fit(grouped(n=50)).inverse_transform(np.ones((3, 4)))


def test_fine_tuning_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"activome\[nets\]"):
        tower(finetune=3).fit(grouped(n=50))


def test_scikit_learn_finds_nothing_to_object() -> None:
    import warnings

    estimator = HierarchicalSemiNMF((2, 1), keep=1.0, tol=1e-2, patience=5)
    for made, check in estimator_checks_generator(estimator):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check(made)
