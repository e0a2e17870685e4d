"""Switching Kalman filters against a dense Gaussian, and collapsed moves against enumeration."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from activome.errors import ActivityError
from activome.patterns import _kalman_kernels as kernels
from activome.patterns._kalman import (
    Laws,
    Observed,
    ffbs,
    information,
    kalman_loglik,
    smoother,
    starts,
)

Array = np.ndarray[Any, Any]
_OFFSETS = [0, 8, 20]


def _case(n_times: int = 20, n: int = 3, n_units: int = 4) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(2, n, n))
    laws = Laws(
        A=0.4 * rng.normal(size=(2, n, n)),
        b=0.1 * rng.normal(size=(2, n)),
        Q=root @ np.swapaxes(root, 1, 2) + 0.1 * np.eye(n),
        m0=np.zeros(n),
        P0=np.eye(n),
    )
    weights = rng.uniform(0.2, 3.0, (n_times, n_units))
    weights[rng.random((n_times, n_units)) < 0.3] = 0.0
    weights[5] = 0.0
    return {
        "laws": laws,
        "states": rng.integers(0, 2, n_times),
        "loadings": rng.normal(size=(n_units, n)),
        "values": rng.normal(size=(n_times, n_units)),
        "weights": weights,
    }


def _dense(case: dict[str, Any]) -> tuple[float, Array, Array]:
    """Log likelihood, posterior mean and covariance from the joint Gaussian of all times."""
    laws, states = case["laws"], case["states"]
    n_times, n = states.size, laws.m0.size
    is_first = starts(n_times, _OFFSETS)
    mean, cov = np.zeros((n_times, n)), np.zeros((n_times, n, n_times, n))
    for t in range(n_times):
        if is_first[t]:
            mean[t], cov[t, :, t, :] = laws.m0, laws.P0
            continue
        A = laws.A[states[t]]
        mean[t] = A @ mean[t - 1] + laws.b[states[t]]
        cov[t] = np.einsum("ij,jab->iab", A, cov[t - 1])
        cov[:, :, t, :] = np.moveaxis(cov[t], 0, -1)
        cov[t, :, t, :] = A @ cov[t - 1, :, t - 1, :] @ A.T + laws.Q[states[t]]
    full = cov.reshape(n_times * n, n_times * n)
    is_seen = (case["weights"] > 0).ravel()
    H = np.kron(np.eye(n_times), case["loadings"])[is_seen]
    y = case["values"].ravel()[is_seen]
    S = H @ full @ H.T + np.diag(1 / case["weights"].ravel()[is_seen])
    gain = full @ H.T @ np.linalg.inv(S)
    ll = multivariate_normal(H @ mean.ravel(), S).logpdf(y)
    return float(ll), mean.ravel() + gain @ (y - H @ mean.ravel()), full - gain @ H @ full


def _observed(case: dict[str, Any]) -> Observed:
    return information(case["values"], case["weights"], case["loadings"])


def test_likelihood_and_smoother_are_those_of_the_dense_gaussian() -> None:
    case = _case()
    ll, mean, cov = _dense(case)
    arguments = (case["states"], case["laws"], _observed(case), _OFFSETS)
    assert kalman_loglik(*arguments) == pytest.approx(ll, abs=1e-9)
    smooth, covariance, lagged = smoother(*arguments)
    np.testing.assert_allclose(smooth.ravel(), mean, atol=1e-10)
    blocks = cov.reshape(20, 3, 20, 3)
    for t in range(20):
        np.testing.assert_allclose(covariance[t], blocks[t, :, t, :], atol=1e-10)
        expected = np.zeros((3, 3)) if t in _OFFSETS else blocks[t, :, t - 1, :]
        np.testing.assert_allclose(lagged[t], expected, atol=1e-10)


def test_draws_have_the_moments_of_the_dense_gaussian() -> None:
    case = _case()
    _, mean, cov = _dense(case)
    rng = np.random.default_rng(1)
    arguments = (case["states"], case["laws"], _observed(case), _OFFSETS)
    draws = np.stack([ffbs(*arguments, random_state=rng).ravel() for _ in range(4000)])
    error = np.abs(draws.mean(axis=0) - mean) / np.sqrt(np.diag(cov) / 4000)
    assert error.max() < 4.5
    assert np.abs(np.cov(draws.T) - cov).max() < 0.12 * np.diag(cov).max()


def test_missing_cells_say_nothing() -> None:
    case = _case()
    ll = kalman_loglik(case["states"], case["laws"], _observed(case), _OFFSETS)
    case["values"][case["weights"] == 0] = 1e9
    again = kalman_loglik(case["states"], case["laws"], _observed(case), _OFFSETS)
    assert again == ll


def test_same_seed_gives_the_same_path() -> None:
    case = _case()
    arguments = (case["states"], case["laws"], _observed(case))
    one, two = (ffbs(*arguments, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_shapes_and_states_are_refused() -> None:
    case = _case()
    with pytest.raises(ActivityError, match="one state per time"):
        kalman_loglik(case["states"][:-1], case["laws"], _observed(case))
    with pytest.raises(ActivityError, match="states must be from 0 to 1"):
        kalman_loglik(case["states"] + 1, case["laws"], _observed(case))


def test_block_moves_sample_the_enumerated_posterior_of_states() -> None:
    # Six bins in two sequences and two states: 64 paths, each with its exact probability.
    case = _case(n_times=6, n=2, n_units=2)
    laws, offsets = case["laws"], [0, 2, 6]
    observed, is_first = _observed(case), starts(6, offsets)
    log_p = np.log(np.array([[0.7, 0.3], [0.4, 0.6]]))
    log_pi = np.log(np.array([0.5, 0.5]))
    paths = list(itertools.product((0, 1), repeat=6))
    logs = []
    for path in paths:
        steps = sum(log_p[path[t - 1], path[t]] for t in range(6) if not is_first[t])
        logs.append(kalman_loglik(np.array(path), laws, observed, offsets) + steps)
    exact = np.exp(np.array(logs) - np.logaddexp.reduce(logs))
    rng = np.random.default_rng(0)
    states = np.zeros(6, dtype=np.int64)
    mean, covariance, ll = np.empty((1, 6, 2)), np.empty((1, 6, 2, 2)), np.empty((1, 6))
    kernels.filter_forward(
        states, is_first, laws.A, laws.b, laws.Q, observed.J, observed.h, laws.m0, laws.P0,
        mean[0], covariance[0], ll[0],
    )  # fmt: skip
    seen = np.zeros(64)
    n_draws, powers = 8000, 2 ** np.arange(5, -1, -1)
    for _ in range(n_draws):
        kernels.block_moves(
            states, is_first, log_p, log_pi, np.array([0.3, 0.7]), laws.A[np.newaxis],
            laws.b[np.newaxis], laws.Q[np.newaxis], observed.J[np.newaxis],
            observed.h[np.newaxis], laws.m0, laws.P0, mean, covariance, ll, rng.random((8, 5)),
            2.0, 1.5,
        )  # fmt: skip
        seen[int(states @ powers)] += 1
    assert np.abs(seen / n_draws - exact).max() < 0.02
    final = kalman_loglik(states, laws, observed, offsets) - observed.constant
    assert ll.sum() == pytest.approx(final, abs=1e-8)
