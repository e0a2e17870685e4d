"""Semi-nonnegative factorisation: slow twin, laws, peers and planted truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_parts import FIXED, planted
from scipy import optimize, sparse
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF

from activome.activity.matching import match_rows
from activome.activity.schema import make
from activome.errors import ActivityWarning
from activome.patterns import _semi_nmf_kernels as kernels
from activome.patterns._semi_nmf_code import code
from activome.patterns.semi_nmf import SemiNMF

Array = np.ndarray[Any, Any]


def _coef(model: SemiNMF) -> Array:
    assert model.coef_ is not None
    return model.coef_


def slow_twin(
    X: Array, G: Array, keep: int, n_iter: int, reg: float = 1e-6
) -> tuple[Array, list[float]]:
    """Run the published update literally: A = X.T, F (d, K), G (n, K)."""
    A, losses = X.T, []
    G = G / np.linalg.norm(G, axis=0)
    for _ in range(n_iter):
        F = np.linalg.solve(G.T @ G + reg * np.eye(G.shape[1]), (A @ G).T).T
        for column in F.T:
            column[np.argsort(-np.abs(column))[keep:]] = 0
        s = np.linalg.norm(G, axis=0)
        G, F = G / s, F * s
        P, Q = A.T @ F, F.T @ F
        up = np.maximum(P, 0) + G @ np.maximum(-Q, 0)
        down = np.maximum(-P, 0) + G @ np.maximum(Q, 0) + 1e-6 * np.mean(X**2)
        G = G * np.sqrt(up / down)
        losses.append(((A - F @ G.T) ** 2).sum())
    return F.T, losses


@pytest.mark.parametrize("keep", [1.0, 0.125])
def test_agrees_with_the_slow_twin(keep: float) -> None:
    X, _ = planted()
    model = SemiNMF(4, keep, max_iter=25, random_state=3, **FIXED).fit(X)
    seed = int(np.random.default_rng(3).integers(2**31 - 1))
    start = np.maximum(np.random.Generator(np.random.PCG64(seed)).random((500, 4)), 1e-6)
    features, losses = slow_twin(X, start, int(np.ceil(keep * 40)), 25)
    # The solve is regularised for coefficients of unit length, once they are not quite that here.
    np.testing.assert_allclose(model.loss_curve_, losses, rtol=1e-6)
    if losses[-1] == min(losses):
        match = match_rows(features, model.components_)
        np.testing.assert_allclose(model.components_[match.columns], features, atol=1e-4)


def test_one_feature_by_hand() -> None:
    # Rank one, so the answer is the direction itself and each sample's length along it.
    use = np.array([[0.0], [1.0], [2.0], [3.0]])
    model = SemiNMF(1, keep=1.0, max_iter=300, tol=0, patience=300).fit(use @ [[3.0, -4.0]])
    direction = model.components_[0] / np.linalg.norm(model.components_[0])
    np.testing.assert_allclose(direction, [0.6, -0.8], atol=1e-7)
    np.testing.assert_allclose(model.transform(use @ [[3.0, -4.0]]) @ model.components_,
                               use @ [[3.0, -4.0]], atol=1e-6)  # fmt: skip
    assert model.score(use @ [[3.0, -4.0]]) == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("init", ["random", "kmeans", "svd", "varimax"])
def test_with_all_entries_the_loss_never_rises(seed: int, init: str) -> None:
    X = np.random.default_rng(seed).normal(size=(120, 15))
    model = SemiNMF(5, 1.0, max_iter=150, init=init, random_state=seed, **FIXED).fit(X)
    loss = model.loss_curve_
    assert (np.diff(loss) / loss[:-1]).max() <= 1e-9


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_loss_is_that_of_the_residual(dtype: type) -> None:
    X: Array = planted()[0].astype(dtype)
    model = SemiNMF(4, 0.125, max_iter=60, **FIXED).fit(X)
    assert model.coef_ is not None
    left = X.astype(float) - model.coef_.astype(float) @ model.components_.astype(float)
    assert model.components_.dtype == model.coef_.dtype == dtype
    tolerance = 1e-10 if dtype == np.float64 else 1e-3
    assert (left**2).sum() == pytest.approx(model.loss_curve_.min(), rel=tolerance)


def test_a_tiny_loss_is_not_lost_to_cancellation() -> None:
    rng = np.random.default_rng(0)
    use = rng.exponential(size=(200, 3)) * (rng.random((200, 3)) < 0.3)
    X = use @ np.kron(np.eye(3), [1.0, -2.0, 0.5]) + 1e-6 * rng.normal(size=(200, 9))
    model = SemiNMF(3, 1.0, max_iter=3000, **FIXED).fit(X)
    assert model.coef_ is not None
    exact = ((X - model.coef_ @ model.components_) ** 2).sum()
    assert exact < 1e-8 * (X**2).sum()
    assert model.loss_curve_.min() == pytest.approx(exact, rel=1e-6)


def test_planted_features_are_found() -> None:
    X, features = planted(5)
    models = [SemiNMF(4, 0.125, max_iter=300, random_state=s, **FIXED).fit(X) for s in range(3)]
    best = min(models, key=lambda m: float(m.loss_curve_.min()))
    assert match_rows(features, best.components_).mean >= 0.99
    assert (np.count_nonzero(best.components_, axis=1) == 5).all()
    energy = (best.components_**2).sum(axis=1) * (_coef(best) ** 2).sum(axis=0)
    assert (np.diff(energy) <= 0).all()


def test_close_to_nmf_on_non_negative_data() -> None:
    # At convergence: the square root in the update makes the way there longer than that of NMF.
    rng = np.random.default_rng(1)
    use = rng.exponential(size=(300, 4)) * (rng.random((300, 4)) < 0.3)
    X = use @ (np.kron(np.eye(4), np.ones(6)) + 0.2 * rng.random((4, 24)))
    X = X + 0.1 * X.std() * rng.random(X.shape) * np.sqrt(12)
    start = KMeans(4, n_init=1, random_state=0).fit(X)
    W = np.full((300, 4), 1e-6)
    W[np.arange(300), start.labels_] += 1
    peer = NMF(4, solver="mu", init="custom", max_iter=3000, tol=0)
    peer.fit_transform(X, W=W, H=start.cluster_centers_.copy())
    ours = SemiNMF(4, 1.0, max_iter=3000, init="kmeans", **FIXED).fit(X)
    assert ours.loss_curve_.min() == pytest.approx(peer.reconstruction_err_**2, rel=0.01)


def test_no_better_than_the_singular_values_allow() -> None:
    X = np.random.default_rng(2).normal(size=(80, 12))
    bound = (np.linalg.svd(X, compute_uv=False)[3:] ** 2).sum()
    loss = SemiNMF(3, 1.0, max_iter=200, **FIXED).fit(X).loss_curve_.min()
    assert loss >= bound


@pytest.mark.parametrize(("keep", "is_planted"), [(0.125, True), (1.0, False)])
def test_transform_solves_non_negative_least_squares(keep: float, is_planted: bool) -> None:
    X = planted()[0] if is_planted else np.random.default_rng(1).normal(size=(300, 30))
    model = SemiNMF(6, keep, max_iter=100, **FIXED).fit(X)
    found = model.transform(X[:50])
    best = np.array([optimize.nnls(model.components_.T, row)[0] for row in X[:50]])
    np.testing.assert_allclose(found, best, atol=1e-6 * best.max())


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n_features=st.integers(1, 12), alike=st.floats(0.0, 0.999))
def test_codes_are_the_answer_of_lawson_and_hanson(
    seed: int, n_features: int, alike: float
) -> None:
    rng = np.random.default_rng(seed)
    features = (1 - alike) * rng.normal(size=(n_features, 15)) + alike * rng.normal(size=15)
    # Opposite features make coordinate descent crawl.
    features *= rng.choice([-1.0, 1.0], n_features)[:, None] * rng.uniform(0.1, 10, (n_features, 1))
    X = rng.normal(size=(8, 15))
    found = code(X, np.ascontiguousarray(features.T))
    assert (found >= 0).all()
    least = np.array([optimize.nnls(features.T, row)[1] ** 2 for row in X])
    left = ((X - found @ features) ** 2).sum(axis=1)
    np.testing.assert_allclose(left, least, rtol=1e-7, atol=1e-10)


def test_copies_of_a_feature_share_a_code() -> None:
    features = np.array([[1.0, 2.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 3.0]])
    X = np.array([[2.0, 4.0, 3.0], [-1.0, -1.0, -6.0], [0.0, 0.0, 0.0]])
    found = code(X, np.ascontiguousarray(features.T))
    np.testing.assert_allclose(
        found @ features, [[2.0, 4.0, 3.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_transform_is_at_least_as_good_as_the_fit(dtype: type) -> None:
    # Noise of full rank: here multiplicative updates crawl, and end some per cent off.
    X: Array = np.random.default_rng(0).normal(size=(300, 30)).astype(dtype)
    model = SemiNMF(6, 1.0, max_iter=100, **FIXED).fit(X)
    tight, fitted = model.transform(X) @ model.components_, _coef(model) @ model.components_
    assert ((X - tight) ** 2).sum() < ((X - fitted) ** 2).sum()


def test_transform_leaves_features_and_takes_each_row_by_itself() -> None:
    X, _ = planted()
    model = SemiNMF(4, 0.125, max_iter=50, **FIXED).fit(X)
    before = model.components_.copy()
    whole = model.transform(X)
    np.testing.assert_array_equal(model.components_, before)
    parts = np.concatenate([model.transform(X[:7]), model.transform(X[7:])])
    np.testing.assert_allclose(parts, whole, atol=1e-9)
    np.testing.assert_array_equal(model.transform(np.zeros((2, 40))), 0.0)
    np.testing.assert_allclose(model.inverse_transform(whole), whole @ model.components_)


@pytest.mark.parametrize("scale", [1e-9, 1e6])
@pytest.mark.parametrize("init", ["random", "svd", "varimax", "kmeans"])
def test_volts_and_microvolts_give_the_same_parts(scale: float, init: str) -> None:
    X, _ = planted()
    one = SemiNMF(4, 0.125, max_iter=40, init=init, **FIXED).fit(X)
    two = SemiNMF(4, 0.125, max_iter=40, init=init, **FIXED).fit(scale * X)
    np.testing.assert_allclose(two.components_ / scale, one.components_, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(two.transform(scale * X), one.transform(X), atol=1e-4)
    assert two.score(scale * X) == pytest.approx(one.score(X), abs=1e-6)


def test_units_may_come_in_any_order() -> None:
    X, _ = planted()
    order = np.random.default_rng(0).permutation(40)
    one = SemiNMF(4, 0.125, max_iter=30, **FIXED).fit(X)
    two = SemiNMF(4, 0.125, max_iter=30, **FIXED).fit(X[:, order])
    np.testing.assert_allclose(two.components_, one.components_[:, order], atol=1e-8)


def test_exactly_as_many_entries_on_ties() -> None:
    kept = kernels.keep_largest(np.ones((10, 3)), 4)
    assert (np.count_nonzero(kept, axis=0) == 4).all()
    assert kernels.n_kept(0.07, 100) == 7
    assert kernels.n_kept(0.01, 171) == 2
    assert kernels.n_kept(0.01, 5) == 1


def test_a_dead_component_starts_again_where_the_fit_is_worst() -> None:
    # Two of three features of a start are the same up to sign: nobody can use both directions.
    rng = np.random.default_rng(0)
    X = rng.exponential(size=(200, 3)) @ np.kron(np.eye(3), np.ones(4))
    plan = kernels.Plan(
        np.ascontiguousarray(np.stack([np.ones(12), -np.ones(12), np.zeros(12)], axis=1)),
        np.ones(3), np.zeros(3, dtype=bool), 2, True, False, 1e-9,
    )  # fmt: skip
    out = np.empty((200, 3))
    sums = kernels.sweep(X, np.ones((200, 3)), plan, out)
    assert (out[:, 2] == 0).all()
    left = ((X - out @ plan.features.T) ** 2).sum(axis=1)
    np.testing.assert_allclose(sums.worst_error, np.sort(left)[::-1][:2])
    np.testing.assert_allclose(sums.worst_rows[0], (X - out @ plan.features.T)[left.argmax()])
    assert sums.residual == pytest.approx(left.sum())


def test_no_component_stays_dead_when_there_is_something_left_to_explain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X, features = planted(5)
    from activome.patterns import _semi_nmf_start, semi_nmf

    made = _semi_nmf_start.start_coef

    def without_two(*args: Any) -> Array:
        coef = made(*args)
        coef[:, 2:] = 0
        return coef

    monkeypatch.setattr(semi_nmf, "start_coef", without_two)
    model = SemiNMF(4, 0.125, max_iter=300, **FIXED).fit(X)
    assert model.components_.any(axis=1).all()
    assert match_rows(features, model.components_).mean > 0.95


def test_rank_below_the_number_of_components_is_no_trap() -> None:
    X = np.outer(np.arange(1.0, 21.0), np.array([1.0, 2.0, -1.0, 0.5]))
    model = SemiNMF(3, 1.0, max_iter=200, tol=1e-3, patience=10).fit(X)
    assert model.score(X) == pytest.approx(1.0, abs=1e-6)
    assert np.isfinite(model.components_).all()
    exact = SemiNMF(3, 1.0, reg=0.0, max_iter=200, tol=1e-3, patience=10).fit(X)
    assert exact.score(X) == pytest.approx(1.0, abs=1e-6)


def test_csr_gives_the_dense_answer() -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(90, 14)) * (rng.random((90, 14)) < 0.2)
    for init in ("random", "svd", "varimax", "kmeans"):
        dense = SemiNMF(3, 0.5, max_iter=30, init=init, **FIXED).fit(X)
        rows = SemiNMF(3, 0.5, max_iter=30, init=init, **FIXED).fit(sparse.csr_matrix(X))
        np.testing.assert_allclose(rows.components_, dense.components_, atol=1e-7)
        np.testing.assert_allclose(
            rows.transform(sparse.csr_matrix(X)), dense.transform(X), atol=1e-7
        )
        assert rows.score(sparse.csr_matrix(X)) == pytest.approx(dense.score(X), abs=1e-9)


def test_silent_units_are_left_out_and_said() -> None:
    X, _ = planted()
    holed = np.insert(X, [0, 20], 0.0, axis=1)
    with pytest.warns(
        ActivityWarning, match="2 of 42 units are zero in all samples, the first is unit 0"
    ):
        model = SemiNMF(4, 0.125, max_iter=30, **FIXED).fit(holed)
    assert model.components_.shape == (4, 42)
    assert not model.components_[:, [0, 21]].any()
    plain = SemiNMF(4, 0.125, max_iter=30, **FIXED).fit(X)
    np.testing.assert_allclose(
        np.delete(model.components_, [0, 21], axis=1), plain.components_, atol=1e-9
    )


def test_labels_come_back() -> None:
    X, _ = planted(n=60)
    activity = make(X.reshape(3, 20, 40), sampling_rate=10.0, unit=[f"u{i}" for i in range(40)])
    model = SemiNMF(4, 0.125, max_iter=30, **FIXED).fit(activity)
    plain = SemiNMF(4, 0.125, max_iter=30, **FIXED).fit(X)
    np.testing.assert_array_equal(model.components_, plain.components_)
    code = model.transform(activity)
    assert code.dims == ("trial", "time", "unit")
    assert code.unit.values.tolist() == [f"seminmf{i}" for i in range(4)]
    back = model.inverse_transform(code)
    assert back.unit.values.tolist() == activity.unit.values.tolist()
    assert model.score(activity) == pytest.approx(model.score(X))
