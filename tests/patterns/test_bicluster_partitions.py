"""The posterior of all partitions of a tiny recording, by averaging over draws from the prior."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from activome.patterns._bicluster_model import Model, draw_prior
from activome.patterns._bicluster_moves import Tally, sweep
from activome.patterns._switching_laws import LawPrior

Array = np.ndarray[Any, Any]
_COUNTS = np.array([[0.0, 3.0, 1.0, 6.0], [1.0, 4.0, 0.0, 5.0], [5.0, 0.0, 4.0, 0.0]])
_PARTITIONS: list[tuple[int, ...]] = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (0, 1, 2)]
_R, _SCALE, _RATE = 5.0, 0.05, 0.3


def _states(m: int, rng: np.random.Generator) -> Array:
    share = np.maximum(rng.dirichlet([1.0, 1.0], m), 1e-12)
    rows = rng.gamma(2.0 * share[:, np.newaxis] + 2.0 * np.eye(2))
    to_one = rows[..., 1] / rows.sum(axis=2)
    states = np.empty((m, 4), dtype=int)
    states[:, 0] = rng.integers(0, 2, m)
    for t in range(1, 4):
        states[:, t] = rng.random(m) < to_one[np.arange(m), states[:, t - 1]]
    return states


def _path(states: Array, rng: np.random.Generator) -> Array:
    m = len(states)
    lower = np.zeros((m, 2, 2, 2))
    lower[..., 0, 0] = np.sqrt(rng.chisquare(4, (m, 2)))
    lower[..., 1, 1] = np.sqrt(rng.chisquare(3, (m, 2)))
    lower[..., 1, 0] = rng.standard_normal((m, 2))
    Q = np.linalg.inv(lower @ np.swapaxes(lower, -1, -2) / _SCALE)
    root = np.linalg.cholesky(Q)
    law = np.eye(2, 3) + root @ rng.standard_normal((m, 2, 2, 3))
    path = np.empty((m, 4, 2))
    path[:, 0] = rng.standard_normal((m, 2))
    every = np.arange(m)
    for t in range(1, 4):
        A, R = law[every, states[:, t]], root[every, states[:, t]]
        step = A[..., :2] @ path[:, t - 1, :, np.newaxis] + A[..., 2:]
        path[:, t] = (step + R @ rng.standard_normal((m, 2, 1)))[..., 0]
    return path


def _likelihoods(m: int, rng: np.random.Generator) -> Array:
    """Return the mean likelihood of each partition over m draws of states, laws and paths."""
    states = _states(m, rng)
    paths = [_path(states, rng) for _ in range(3)]
    own = np.zeros((3, 3, m))
    for i, y in enumerate(_COUNTS):
        for _ in range(4):
            load = rng.standard_normal((m, 2))
            for k, path in enumerate(paths):
                eta = np.minimum(load[:, :1] + path[..., 0] + load[:, 1:] * path[..., 1], 20.0)
                logs = y * eta - (y + _R) * np.log1p(np.exp(eta) / _R)
                own[i, k] += np.exp(logs.sum(axis=1)) / 4
    # Clusters may be any of the three paths: average over where they begin.
    return np.array(
        [
            np.mean([np.prod([own[i, (p[i] + k) % 3] for i in range(3)], axis=0) for k in range(3)])
            for p in _PARTITIONS
        ]
    )


def _prior(partition: tuple[int, ...]) -> float:
    n, t = len(partition), max(partition) + 1
    k = np.arange(t, 300)
    logs = np.log(_RATE) + (k - 1) * np.log(1 - _RATE) + special.gammaln(k + 1)
    logs += special.gammaln(k) - special.gammaln(k - t + 1) - special.gammaln(k + n)
    return float(np.exp(logs).sum() * np.prod(special.factorial(np.bincount(partition))))


def test_chain_has_the_posterior_of_all_partitions() -> None:
    rng = np.random.default_rng(0)
    prior = np.array([_prior(p) for p in _PARTITIONS])
    assert abs(prior.sum() - 1) < 1e-12
    batches = np.stack([_likelihoods(10_000, rng) for _ in range(10)]) * prior
    exact = batches.mean(axis=0) / batches.sum(axis=1).mean()
    spread = batches.std(axis=0, ddof=1) / np.sqrt(10) / batches.sum(axis=1).mean()
    model = Model(
        counts=_COUNTS, is_seen=np.ones((3, 4), dtype=bool), is_first=np.arange(4) == 0,
        prior=LawPrior(2, _SCALE), n_states=2, alpha=2.0, gamma=2.0, kappa=2.0, mfm_gamma=1.0,
        mfm_rate=_RATE, dispersion=_R, block_moves=5, births=3,
    )  # fmt: skip
    point, tally, seen = draw_prior(model, rng), Tally(), []
    for _ in range(1200):
        sweep(model, point, rng, tally)
        first: dict[int, int] = {}
        seen.append(_PARTITIONS.index(tuple(first.setdefault(k, len(first)) for k in point.labels)))
    parts = np.stack([np.bincount(part, minlength=5) / 40 for part in np.split(np.array(seen), 30)])
    error = np.hypot(spread, parts.std(axis=0, ddof=1) / np.sqrt(30))
    z = (parts.mean(axis=0) - exact) / error
    assert np.abs(z).max() < 4.0, (exact.round(3), parts.mean(axis=0).round(3), z.round(1))
    assert error.max() < 0.05
