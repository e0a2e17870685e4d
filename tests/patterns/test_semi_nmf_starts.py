"""Semi-nonnegative factorisation from its starts: against a slow twin, and which find the parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import comb

from activome.activity.matching import match_rows
from activome.patterns._semi_nmf_start import _varimax, learn_start, start_coef
from activome.patterns.semi_nmf import SemiNMF
from activome.patterns.stability import choose_n_components
from activome.studies._snmf_data import neural_recording

Array = np.ndarray[Any, Any]
FIXED: dict[str, Any] = {"tol": 0.0, "patience": 10_000}


def rare(seed: int, n: int = 900, d: int = 60, k: int = 7) -> Array:
    rng = np.random.default_rng(seed)
    features = np.zeros((k, d))
    for row in features:
        row[rng.choice(d, 12, replace=False)] = rng.normal(size=12)
    use = rng.gamma(0.5, 2.0, size=(n, k)) * (rng.random((n, k)) < 0.3)
    return np.asarray(use @ features + 0.3 * rng.normal(size=(n, d)))


def slow_losses(X: Array, coef: Array, n_keep: int, n_iter: int) -> Array:
    """Follow the equations of the papers one by one: solve, keep, scale, multiply."""
    A, G = X.T, coef.copy()
    eps = 1e-6 * (X**2).mean()
    losses = []
    for _ in range(n_iter):
        length = np.linalg.norm(G, axis=0)
        G /= length
        F = A @ G @ np.linalg.inv(G.T @ G + 1e-6 * np.eye(G.shape[1]))
        for column in F.T:
            column[np.argsort(-np.abs(column))[n_keep:]] = 0.0
        P, Q = A.T @ F, F.T @ F
        up = np.maximum(P, 0) + G @ np.maximum(-Q, 0)
        down = np.maximum(-P, 0) + G @ np.maximum(Q, 0)
        G *= np.sqrt(up / (down + eps))
        losses.append(((A - F @ G.T) ** 2).sum())
    return np.array(losses)


@pytest.mark.parametrize("keep", [1.0, 0.2])
@pytest.mark.parametrize("init", ["random", "svd", "varimax", "kmeans"])
def test_every_iteration_is_that_of_the_papers(init: str, keep: float) -> None:
    X = rare(999)
    model = SemiNMF(7, keep, max_iter=40, init=init, random_state=3, **FIXED)
    seed = model._check_parameters()
    coef = start_coef(X, 7, learn_start(X, 7, init, seed), init, seed, 0)
    slow = slow_losses(X, coef, round(60 * keep), 40)
    np.testing.assert_allclose(model.fit(X).loss_curve_, slow, rtol=1e-8)


def test_varimax_by_hand() -> None:
    # Two parts that are never used together, turned by 30 degrees: the rotation turns them back.
    use = np.array([[2.0, 0], [1, 0], [0, 3], [0, 1], [0, 0]])
    use /= np.sqrt((use**2).mean(axis=0))
    angle = np.pi / 6
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found = use @ turn @ _varimax(use @ turn)
    # It stops when the criterion moves by less than 1e-5, which is quadratic in the angle.
    np.testing.assert_allclose(np.sort(np.abs(found), axis=1), np.sort(use, axis=1), atol=1e-2)


def test_varimax_is_a_rotation_that_no_turn_of_two_improves() -> None:
    scores = np.random.default_rng(0).laplace(size=(400, 4))
    scores = np.linalg.qr(scores)[0] * 20
    turn = _varimax(scores)
    np.testing.assert_allclose(turn.T @ turn, np.eye(4), atol=1e-12)

    def spread(turned: Array) -> float:
        return float((turned**2).var(axis=0).sum())

    best = scores @ turn
    pairs = [(i, j) for i in range(4) for j in range(i)]
    assert len(pairs) == comb(4, 2)
    for i, j in pairs:
        for angle in np.linspace(-0.7, 0.7, 15):
            other = best.copy()
            other[:, i] = np.cos(angle) * best[:, i] - np.sin(angle) * best[:, j]
            other[:, j] = np.sin(angle) * best[:, i] + np.cos(angle) * best[:, j]
            assert spread(other) <= spread(best) * 1.002


def test_the_rotated_start_finds_ensembles_that_singular_vectors_miss() -> None:
    # The fifth recording of the study, and two others. Found: a cosine above 0.95.
    found: dict[str, list[float]] = {"svd": [], "varimax": []}
    for seed in (4, 100, 101):
        X, features = neural_recording(seed)
        for init, values in found.items():
            model = SemiNMF(6, 15 / 80, init=init).fit(X)
            values += match_rows(features, model.components_).values.tolist()
    share = {init: float(np.mean(np.array(values) > 0.95)) for init, values in found.items()}
    assert share["varimax"] == 1.0 > share["svd"]


def test_the_number_of_parts_is_found_from_the_rotated_start() -> None:
    X, _ = neural_recording(4)
    number = {
        init: choose_n_components(
            SemiNMF(keep=0.2, init=init), X, (4, 6), random_state=4
        ).n_components
        for init in ("svd", "varimax")
    }
    assert number["varimax"] == 6 != number["svd"]


def test_fewer_directions_than_components_leave_the_others_to_be_reseeded() -> None:
    X = np.outer(np.arange(1.0, 21.0), np.array([1.0, 2.0, -1.0, 0.5]))
    model = SemiNMF(3, 1.0, max_iter=200, init="varimax", **FIXED).fit(X)
    assert np.isfinite(model.components_).all()
    assert model.score(X) == pytest.approx(1.0, abs=1e-6)
