"""Semi-nonnegative factorization: what is refused, cast, saved and warned of."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted_parts import FIXED, planted
from scipy import sparse
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

from activome.activity.blocks import fit_blocks
from activome.errors import ActivityError, ConvergenceWarning, ParameterError
from activome.patterns.semi_nmf import SemiNMF


def test_save_and_load(tmp_path: Path) -> None:
    X, _ = planted()
    model = SemiNMF(4, 0.125, max_iter=30, **FIXED).fit(X)
    model.save(tmp_path / "model.npz")
    again = SemiNMF.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    np.testing.assert_array_equal(again.loss_curve_, model.loss_curve_)
    np.testing.assert_array_equal(clone(model).fit(X).components_, model.components_)


def test_converges_and_says_when_not() -> None:
    X, _ = planted()
    done = SemiNMF(4, 0.125, patience=10).fit(X)
    assert done.n_iter_ == done.loss_curve_.size < 2000
    best = np.minimum.accumulate(done.loss_curve_)
    assert best[-1] > best[-11] * (1 - 1e-4)
    with pytest.warns(ConvergenceWarning, match="max_iter=3"):
        short = SemiNMF(4, 0.125, max_iter=3).fit(X)
    assert short.n_iter_ == 3
    one = SemiNMF(4, 0.125, max_iter=1, tol=0).fit(X)
    assert one.n_iter_ == 1
    assert one.components_.any()


def test_integers_are_cast() -> None:
    counts = np.random.default_rng(0).poisson(1.0, (50, 6))
    model = SemiNMF(2, 1.0, max_iter=10, **FIXED).fit(counts)
    np.testing.assert_array_equal(
        model.components_,
        SemiNMF(2, 1.0, max_iter=10, **FIXED).fit(counts.astype(float)).components_,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_components": 0}, "n_components"),
        ({"n_components": 2.0}, "n_components"),
        ({"keep": 0.0}, r"keep must be in \(0, 1\]"),
        ({"keep": 1.1}, r"keep must be in \(0, 1\]"),
        ({"max_iter": 0}, "max_iter"),
        ({"tol": -1e-9}, "tol"),
        ({"patience": 0}, "patience"),
        ({"reg": -1.0}, "reg"),
        ({"init": "svdd"}, "Did you mean 'svd'"),
        ({"random_state": -1}, "random_state"),
    ],
)
def test_parameters_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        SemiNMF(**({"n_components": 2} | arguments)).fit(np.ones((5, 3)))


def test_activity_is_refused() -> None:
    X = np.ones((6, 4))
    X[2, 3] = np.nan
    with pytest.raises(ActivityError, match="sample 2, unit 3"):
        SemiNMF(2).fit(X)
    with pytest.raises(
        ActivityError, match=r"n_components must be at most .* got 5 for n_samples=6"
    ):
        SemiNMF(5).fit(np.ones((6, 4)))
    with pytest.raises(ActivityError, match="of which 1 are active"):
        SemiNMF(2).fit(np.eye(6)[:, :1] * [[1.0, 0.0, 0.0]])
    with pytest.raises(ActivityError, match="all 3 are zero"):
        SemiNMF(2).fit(np.zeros((5, 3)))
    with pytest.raises(ActivityError, match="squares of the activity must be finite"):
        SemiNMF(2).fit(np.full((5, 3), 1e200))
    noise = np.random.default_rng(0).normal(size=(200, 20))
    for dtype, size, message in (
        (np.float32, 1e18, "overflow, most for unit"),
        (np.float32, 1e-20, "must not underflow in float32; their mean is"),
        (np.float32, 1e-23, "must not underflow in float32; their mean is"),
        (np.float64, 1e-160, "must not underflow in float64; their mean is"),
    ):
        with pytest.raises(ActivityError, match=message):
            SemiNMF(2).fit((size * noise).astype(dtype))
    holed = sparse.csr_matrix(np.eye(5))
    holed.data[2] = np.inf
    with pytest.raises(ActivityError, match="entry 2"):
        SemiNMF(2).fit(holed)
    model = SemiNMF(2, 1.0, max_iter=5, **FIXED).fit(np.random.default_rng(0).normal(size=(9, 4)))
    with pytest.raises(ActivityError, match=r"coefficients must be \(n_samples, 2\)"):
        model.inverse_transform(np.ones((3, 3)))
    with pytest.raises(ActivityError, match="features"):
        model.transform(np.ones((3, 5)))


def test_too_many_components_are_refused_in_blocks_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ActivityError, match="n_components must be at most"):
        fit_blocks(SemiNMF(5), np.ones((6, 4)), block=2)


def test_scikit_learn_finds_nothing_to_object() -> None:
    import warnings

    for estimator, check in estimator_checks_generator(SemiNMF(2, keep=0.5, tol=1e-3, patience=20)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check(estimator)
