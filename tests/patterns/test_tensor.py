"""Tensor factorisation: planted parts, a peer, missing entries, rank, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import nnls

from activome.activity.schema import make
from activome.errors import ActivityError, ConvergenceWarning, ParameterError
from activome.patterns._tensor_kernels import khatri_rao, split_modes, thin_product
from activome.patterns.tensor import NonnegativeCP
from activome.patterns.tensor_rank import choose_rank, factor_match_score

Array = np.ndarray[Any, Any]


def planted(shape: tuple[int, ...], rank: int, seed: int = 0) -> tuple[Array, list[Array]]:
    rng = np.random.default_rng(seed)
    factors = [rng.random((n, rank)) ** 3 for n in shape]
    letters = "ijkl"[: len(shape)]
    path = ",".join(letter + "r" for letter in letters) + "->" + letters
    return np.einsum(path, *factors), factors


def test_by_hand() -> None:
    # Two blocks that share nothing: sizes 2 * sqrt(4) * sqrt(1) and 1 * sqrt(2) * sqrt(1).
    x = np.zeros((3, 6, 2))
    x[0, :4, 0], x[1, 4:, 1] = 2.0, 1.0
    model = NonnegativeCP(2, random_state=0).fit(x)
    np.testing.assert_allclose(model.weights_, [4.0, np.sqrt(2)], rtol=1e-6)
    np.testing.assert_allclose(model.factors_[1][:, 0], [0.5] * 4 + [0, 0], atol=1e-6)
    assert model.error_ < 1e-10


@pytest.mark.parametrize("shape", [(20, 15, 10), (9, 8, 7, 6), (4, 40, 30), (30, 12, 3, 4)])
def test_planted_parts_are_found(shape: tuple[int, ...]) -> None:
    x, factors = planted(shape, 3)
    model = NonnegativeCP(3, max_iter=2000, tol=1e-9, random_state=0).fit(x)
    assert factor_match_score(factors, model.factors_) > 0.99
    np.testing.assert_allclose(model.reconstruct(), x, atol=0.02 * x.max())
    assert (np.diff(model.history_) <= 1e-12).all()
    for factor in model.factors_:
        np.testing.assert_allclose(np.linalg.norm(factor, axis=0), 1.0)
        assert factor.min() >= 0
    assert (np.diff(model.weights_) <= 0).all()


@pytest.mark.parametrize("shape", [(7, 9), (600, 50), (3, 70_000), (300, 2000)])
def test_products_by_pieces(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.random(shape)
    for is_left, side in ((False, 1), (True, 0)):
        thin = rng.random((shape[side], 5))
        wanted = matrix.T @ thin if is_left else matrix @ thin
        np.testing.assert_allclose(thin_product(matrix, thin, is_left=is_left), wanted, rtol=1e-12)


def test_two_modes_end_where_no_mode_can_gain() -> None:
    x = np.random.default_rng(1).random((30, 12))
    model = NonnegativeCP(3, max_iter=5000, tol=1e-12, n_init=1, random_state=0).fit(x)
    left, right = (f * np.sqrt(model.weights_) for f in model.factors_)
    for fixed, free, data in ((right, left, x), (left, right, x.T)):
        best = np.stack([nnls(fixed, row)[0] for row in data])
        np.testing.assert_allclose(free, best, atol=2e-4)
    difference = x - model.reconstruct()
    assert model.error_ == pytest.approx((difference**2).sum() / (x**2).sum(), rel=1e-12)


def test_missing_entries_do_not_count() -> None:
    x, factors = planted((18, 14, 10), 2, seed=2)
    known = np.random.default_rng(0).random(x.shape) > 0.3
    broken = np.where(known, x, np.nan)
    model = NonnegativeCP(2, max_iter=3000, tol=1e-11, random_state=0).fit(broken, known)
    assert factor_match_score(factors, model.factors_) > 0.999
    np.testing.assert_allclose(model.reconstruct()[~known], x[~known], atol=0.01 * x.max())
    assert (np.diff(model.history_) <= 1e-12).all()
    other = np.where(known, x, 1e6)
    again = NonnegativeCP(2, max_iter=3000, tol=1e-11, random_state=0).fit(other, known)
    np.testing.assert_array_equal(again.weights_, model.weights_)
    whole = NonnegativeCP(2, random_state=0).fit(x, np.array(True))
    np.testing.assert_array_equal(whole.weights_, NonnegativeCP(2, random_state=0).fit(x).weights_)


def test_new_entries_of_a_mode() -> None:
    x, _ = planted((12, 10, 8), 2, seed=3)
    model = NonnegativeCP(2, max_iter=2000, tol=1e-10, random_state=0).fit(x)
    for mode in range(3):
        found = model.transform(np.take(x, [1, 3], axis=mode), mode)
        wanted = (model.factors_[mode] * model.weights_)[[1, 3]]
        np.testing.assert_allclose(found, wanted, atol=0.01 * wanted.max())
    rest = khatri_rao([model.factors_[0], model.factors_[2]])
    row = np.random.default_rng(0).random((12, 1, 8))
    np.testing.assert_allclose(model.transform(row, 1)[0], nnls(rest, row.ravel())[0], atol=1e-9)


def test_rank_of_parts_and_of_noise() -> None:
    x, _ = planted((16, 14, 12), 3, seed=4)
    rng = np.random.default_rng(0)
    found = choose_rank(x + 0.02 * rng.random(x.shape), 4)
    assert found.rank == 3
    assert found.match[2] > 0.95
    for seed in range(5):
        noise = np.random.default_rng(seed).random((16, 14, 12))
        assert choose_rank(noise, 3, max_iter=200).rank == 1


def test_match_score() -> None:
    _, factors = planted((5, 6, 7), 3)
    order = [2, 0, 1]
    turned = [3.0 * f[:, order] for f in factors]
    assert factor_match_score(factors, turned) == pytest.approx(1.0)
    assert factor_match_score(factors, [f[:, :2] for f in factors]) == pytest.approx(2 / 3)
    with pytest.raises(ActivityError, match="same modes"):
        factor_match_score(factors, factors[:2])


def test_starts_precision_sparsity_and_labels() -> None:
    x, _ = planted((10, 9, 8), 2, seed=5)
    single = NonnegativeCP(2, random_state=0).fit(x.astype(np.float32))
    double = NonnegativeCP(2, random_state=0).fit(x)
    np.testing.assert_allclose(single.weights_, double.weights_, rtol=1e-3)
    svd = NonnegativeCP(2, "nndsvd", tol=1e-9, max_iter=2000).fit(x)
    assert len(svd.starts_) == 1
    assert svd.error_ < 1e-4
    noisy = x + 0.05 * np.random.default_rng(0).random(x.shape)
    thin = NonnegativeCP(3, sparsity=0.5, random_state=0).fit(noisy)
    thick = NonnegativeCP(3, random_state=0).fit(noisy)
    assert sum((f == 0).sum() for f in thin.factors_) > sum((f == 0).sum() for f in thick.factors_)
    labelled = NonnegativeCP(1, random_state=0).fit(make(x))
    assert labelled.dims_ == ["trial", "time", "unit"]
    zero = NonnegativeCP(1, random_state=0).fit(np.zeros((3, 3)))
    assert (zero.weights_.tolist(), zero.error_) == ([0.0], 0.0)
    assert (split_modes((200, 100, 150)), split_modes((4000, 7, 800))) == (1, 1)


def test_same_error_as_tensorly() -> None:
    decomposition = pytest.importorskip("tensorly.decomposition", reason="tensorly is absent")
    rng = np.random.default_rng(0)
    x = planted((40, 30, 5), 3, seed=6)[0] + 0.3 * rng.random((40, 30, 5))
    peer = decomposition.non_negative_parafac_hals(
        x, rank=3, n_iter_max=500, tol=1e-10, init="random", random_state=0
    )
    difference = x - peer.to_tensor() if hasattr(peer, "to_tensor") else None
    if difference is None:
        difference = x - np.einsum("r,ir,jr,kr->ijk", peer[0], *peer[1])
    wanted = (difference**2).sum() / (x**2).sum()
    model = NonnegativeCP(3, tol=1e-9, max_iter=2000, random_state=0).fit(x)
    assert model.error_ <= wanted + 1e-3 * wanted


def test_refusals() -> None:
    x, _ = planted((5, 4, 3), 1)
    cases: list[tuple[Any, Any, str]] = [
        (x - 1.0, None, "must not be negative"),
        (np.where(x > 0.3, np.nan, x), None, "mask=False"),
        (np.ones(4), None, "two to four modes"),
        (x, np.ones((5, 4)), "mask must be boolean"),
        (x, np.ones((2, 2), bool), "broadcast to the shape"),
        (x, np.arange(3) < 2, "slice 2 of mode 2"),
    ]
    for values, mask, message in cases:
        with pytest.raises(ActivityError, match=message):
            NonnegativeCP(1).fit(values, mask)
    with pytest.raises(ParameterError, match="at most 12"):
        NonnegativeCP(13).fit(x)
    with pytest.raises(ParameterError, match="rank must be"):
        NonnegativeCP(0).fit(x)
    with pytest.warns(ConvergenceWarning, match="after 2 sweeps"):
        NonnegativeCP(2, max_iter=2).fit(x)
    with pytest.raises(ActivityError, match="sizes of fit"):
        NonnegativeCP(1, random_state=0).fit(x).transform(x[:, :2], 0)
