"""Polya-Gamma weights, slice sampling, diagnostics of chains, partitions and conjugate laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import integrate, special, stats

from activome.errors import ActivityError, ParameterError
from activome.patterns import (
    effective_sample_size,
    max_pear,
    mfm_log_v,
    posterior_similarity,
    rhat,
)
from activome.patterns._polya_gamma import pg_mean, pg_regression, pg_variance, pg_weights
from activome.patterns._slice import slice_sample
from activome.patterns._switching_laws import (
    LawPrior,
    draw_laws,
    draw_shares,
    draw_transitions,
    law_log_density,
    law_log_marginal,
    law_statistics,
    transition_log_marginal,
)

Array = np.ndarray[Any, Any]


@pytest.mark.parametrize(
    ("shape", "tilt"), [(1.0, 0.0), (1.3, 0.5), (0.4, 1.0), (2.7, 1.0), (11.0, 2.3), (3.0, 30.0)]
)
def test_polya_gamma_moments(shape: float, tilt: float) -> None:
    n = 100_000
    draws = pg_weights(np.full(n, shape), tilt, random_state=1)
    variance = float(pg_variance(shape, tilt))
    assert abs(draws.mean() - pg_mean(shape, tilt)) < 4 * np.sqrt(variance / n)
    assert draws.var() == pytest.approx(variance, rel=0.04)


def test_polya_gamma_laplace_transform() -> None:
    # E exp(-s w) = (cosh(c / 2) / cosh(sqrt(s / 2 + c^2 / 4)))^b holds for any b.
    draws = pg_weights(np.full(100_000, 1.5), 0.8, random_state=2)
    for s in (1.0, 5.0, 20.0):
        exact = (np.cosh(0.4) / np.cosh(np.sqrt(s / 2 + 0.16))) ** 1.5
        values = np.exp(-s * draws)
        assert abs(values.mean() - exact) < 4 * values.std() / np.sqrt(draws.size)


def test_polya_gamma_moments_near_zero_are_smooth() -> None:
    tilt = np.array([0.0, 9.9e-5, 1.01e-4, 0.0499, 0.0501])
    np.testing.assert_allclose(pg_mean(1.0, tilt), 0.25 - tilt**2 / 48, rtol=1e-6)
    expected = 1 / 24 - tilt**2 / 120 + 17 * tilt**4 / 13440
    np.testing.assert_allclose(pg_variance(1.0, tilt), expected, rtol=1e-8)


def test_polya_gamma_augmentation_keeps_the_likelihood() -> None:
    # Averaged over weights, the Gaussian factor is the negative binomial one, up to a constant.
    y, r = 3.0, 2.5
    weights = pg_weights(np.full(200_000, y + r), 0.0, random_state=3)
    ratios = []
    for eta in (-0.5, 0.3, 1.2):
        psi = eta - np.log(r)
        augmented = np.exp((y - r) / 2 * psi) * np.exp(-weights * psi**2 / 2).mean()
        exact = np.exp(y * psi) / (1 + np.exp(psi)) ** (y + r)
        ratios.append(augmented / exact)
    np.testing.assert_allclose(ratios, 2 ** (y + r) * np.ones(3), rtol=0.01)
    assert float(pg_regression(3.0, 1.0, 0.5)) == pytest.approx(2.0)


@pytest.mark.parametrize(("shape", "tilt"), [(0.0, 1.0), (-1.0, 1.0), (np.nan, 0.0), (1.0, np.inf)])
def test_polya_gamma_refuses(shape: float, tilt: float) -> None:
    with pytest.raises(ParameterError, match="pg_weights: shapes must be above 0"):
        pg_weights(shape, tilt, 0)


def test_slice_sampling_of_gamma_variables() -> None:
    rng = np.random.default_rng(0)

    def log_density(x: Array) -> Array:
        return np.where(x > 0, 2 * np.log(np.maximum(x, 1e-300)) - 2 * x, -np.inf)

    x = np.full(4000, 1.0)
    for _ in range(15):
        x = slice_sample(log_density, x, width=0.8, random_state=rng)
    assert stats.kstest(x, stats.gamma(3, scale=0.5).cdf).pvalue > 1e-3


def test_slice_sampling_refuses_an_impossible_start() -> None:
    with pytest.raises(ParameterError, match="at place 1"):
        slice_sample(lambda x: np.where(x < 1, 0.0, -np.inf), np.array([0.0, 2.0]), random_state=0)


def _chains(n_chains: int, n: int, memory: float, shift: float = 0.0) -> Array:
    rng = np.random.default_rng(n)
    noise = rng.normal(size=(n_chains, n))
    draws = noise.copy()
    for t in range(1, n):
        draws[:, t] += memory * draws[:, t - 1]
    return draws + shift * np.arange(n_chains)[:, np.newaxis]


def _plain_size(chains: Array) -> float:
    """Sum autocorrelations of split chains, pair by pair, as the formula says."""
    n = chains.shape[1] // 2
    halves = np.concatenate([chains[:, :n], chains[:, -n:]])
    centred = halves - halves.mean(axis=1, keepdims=True)
    covariance = np.array(
        [(centred[:, : n - lag] * centred[:, lag:]).sum(axis=1).mean() / n for lag in range(n)]
    )
    within = covariance[0] * n / (n - 1)
    plus = within * (n - 1) / n + halves.mean(axis=1).var(ddof=1)
    rho = 1 - (within - covariance) / plus
    tau, previous, t = -1.0, np.inf, 0
    rho[0] = 1.0
    while t + 1 < n and rho[t] + rho[t + 1] > 0:
        previous = min(previous, rho[t] + rho[t + 1])
        tau += 2 * previous
        t += 2
    return float(halves.size / (tau + max(rho[t], 0.0)))


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_effective_size_is_the_formula(memory: float) -> None:
    chains = _chains(3, 400, memory)
    found = effective_sample_size(chains, kind="mean")
    assert found == pytest.approx(_plain_size(chains), rel=1e-9)


def test_diagnostics_agree_with_arviz() -> None:
    # Figures of arviz 0.23.4 for the same draws: ess bulk, tail, mean, and rhat.
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(4, 500))
    assert effective_sample_size(draws) == pytest.approx(2003.152288929528, rel=1e-9)
    assert effective_sample_size(draws, kind="tail") == pytest.approx(2055.6087859576396, rel=1e-9)
    assert effective_sample_size(draws, kind="mean") == pytest.approx(2007.1013689207825, rel=1e-9)
    assert rhat(draws) == pytest.approx(1.000698378871917, rel=1e-9)


def test_rhat_of_chains_that_disagree() -> None:
    assert rhat(_chains(4, 200, 0.0)) < 1.02
    assert rhat(_chains(4, 200, 0.0, shift=1.0)) > 1.3
    assert rhat(np.ones((2, 10))) == 1.0
    assert rhat(np.repeat([[0.0], [1.0]], 20, axis=1)) == np.inf
    assert effective_sample_size(np.ones((2, 10))) == 20


def test_diagnostics_refuse() -> None:
    with pytest.raises(ActivityError, match="at least 4 draws per chain"):
        rhat([1.0, 2.0, 3.0])
    with pytest.raises(ActivityError, match="chain 0, draw 1"):
        effective_sample_size([0.0, np.nan, 1.0, 2.0])
    with pytest.raises(ParameterError, match="unknown kind"):
        effective_sample_size(np.zeros(8), kind="median")


def _partitions(n: int) -> list[tuple[int, ...]]:
    found: set[tuple[int, ...]] = {(0,)}
    for _ in range(n - 1):
        found = {(*p, k) for p in found for k in range(max(p) + 2)}
    return sorted(found)


@pytest.mark.parametrize(("gamma", "rate"), [(1.0, 0.2), (0.5, 0.6)])
def test_partition_prior_by_enumeration(gamma: float, rate: float) -> None:
    n = 4
    log_v = mfm_log_v(n, gamma=gamma, rate=rate)
    exact, total = {}, 0.0
    for p in _partitions(n):
        sizes = np.bincount(p)
        rising = special.gammaln(gamma + sizes) - special.gammaln(gamma)
        value = float(np.exp(log_v[sizes.size] + rising.sum()))
        exact[p], total = value, total + value
    assert total == pytest.approx(1.0, abs=1e-9)
    # The same by drawing components and shares.
    rng, hits, n_draws = np.random.default_rng(0), 0, 20_000
    for _ in range(n_draws):
        k = int(rng.geometric(rate))
        labels = rng.choice(k, n, p=rng.dirichlet(np.full(k, gamma)))
        hits += int(np.unique(labels).size == 1)
    together = exact[(0, 0, 0, 0)]
    assert abs(hits / n_draws - together) < 4 * np.sqrt(together * (1 - together) / n_draws)


def test_max_pear_against_all_partitions() -> None:
    rng = np.random.default_rng(5)
    truth = np.array([0, 0, 0, 1, 1, 2])
    samples = np.where(rng.random((60, 6)) < 0.85, truth, rng.integers(0, 3, (60, 6)))
    similarity = posterior_similarity(samples)

    def pear(p: tuple[int, ...]) -> float:
        own = np.equal.outer(p, p)[np.triu_indices(6, 1)]
        pairs = similarity[np.triu_indices(6, 1)]
        chance = own.sum() * pairs.sum() / own.size
        scale = (own.sum() + pairs.sum()) / 2 - chance
        return float(((own * pairs).sum() - chance) / scale) if scale > 1e-12 else 0.0

    best = max(_partitions(6), key=pear)
    labels, value = max_pear(similarity)
    assert tuple(labels) == best
    assert value == pytest.approx(pear(best))
    np.testing.assert_array_equal(labels, truth)


def test_similarity_by_hand_and_refusals() -> None:
    assert posterior_similarity([[1, 1], [0, 3]]).tolist() == [[1.0, 0.5], [0.5, 1.0]]
    assert max_pear(np.ones((3, 3)))[0].tolist() == [0, 0, 0]
    with pytest.raises(ActivityError, match="samples must be integers"):
        posterior_similarity([[0.5, 1.0]])
    with pytest.raises(ActivityError, match="symmetric matrix"):
        max_pear([[1.0, 0.2], [0.4, 1.0]])
    with pytest.raises(ParameterError, match="rate must be in"):
        mfm_log_v(3, rate=1.0)


def test_marginal_of_laws_is_the_ratio_of_prior_and_posterior() -> None:
    # In one dimension the marginal can be integrated over (A, b) and Q by quadrature.
    prior = LawPrior(1, 0.3)
    path = np.array([[0.2], [0.5], [-0.1], [0.4]])
    is_first = np.array([True, False, False, False])
    number, sums = law_statistics(path, np.zeros(4, dtype=np.int64), is_first, 1)
    found = float(law_log_marginal(prior, number, sums)[0])
    before, after = path[:-1, 0], path[1:, 0]
    design = np.stack([before, np.ones(3)], axis=1)

    def given(q: float) -> float:
        covariance = q * (np.eye(3) + design @ design.T)
        return float(
            stats.multivariate_normal(before, covariance).pdf(after)
            * stats.invgamma(1.5, scale=0.15).pdf(q)
        )

    exact = integrate.quad(given, 0, np.inf, epsabs=1e-12)[0]
    assert found == pytest.approx(np.log(exact), abs=1e-6)


def test_law_density_by_hand_and_draws_by_moments() -> None:
    rng = np.random.default_rng(4)
    path = rng.normal(size=(30, 2))
    states = rng.integers(0, 2, 30)
    is_first = np.arange(30) % 10 == 0
    number, sums = law_statistics(path, states, is_first, 2)
    A, b, Q = draw_laws(LawPrior(2, 0.2), number, sums, rng)
    expected = np.zeros(2)
    for t in range(30):
        if not is_first[t]:
            s = states[t]
            mean = A[s] @ path[t - 1] + b[s]
            expected[s] += stats.multivariate_normal(mean, Q[s]).logpdf(path[t])
    np.testing.assert_allclose(law_log_density((A, b, Q), number, sums), expected, rtol=1e-10)
    many = 20_000
    none = np.zeros((many, 5, 5))
    A, b, Q = draw_laws(LawPrior(2, 0.2), np.full(many, 6.0), none, rng)
    # Ten degrees of freedom and scale 0.2: the mean of Q is 0.2 / 7.
    np.testing.assert_allclose(Q.mean(axis=0), 0.2 / 7 * np.eye(2), atol=6e-4)
    np.testing.assert_allclose(A.mean(axis=0), np.eye(2), atol=5e-3)
    np.testing.assert_allclose(b.var(axis=0), np.full(2, 0.2 / 7), rtol=0.05)


def test_transitions_by_enumeration() -> None:
    share, alpha, kappa = np.array([0.3, 0.7]), 2.0, 1.5
    rng = np.random.default_rng(0)
    counts = np.array([[3, 1], [0, 2]])
    rows = np.stack(
        [draw_transitions(np.zeros((2, 2), int), share, alpha, kappa, rng) for _ in range(20_000)]
    )
    value = np.exp((counts * np.log(rows)).sum(axis=(1, 2)))
    exact = np.exp(transition_log_marginal(counts, share, alpha, kappa))
    assert abs(value.mean() - exact) < 4 * value.std() / np.sqrt(len(value))


def test_shares_are_drawn_from_their_posterior() -> None:
    # Geweke: shares from the prior, a row of transitions from them, shares again: same mean.
    rng, alpha, gamma, kappa = np.random.default_rng(1), 2.0, 2.0, 1.0
    before, after = [], []
    for _ in range(4000):
        share = rng.dirichlet(np.full(3, gamma / 3))
        share = np.maximum(share, 1e-12)
        counts = np.zeros((3, 3), dtype=np.int64)
        rows = draw_transitions(counts, share, alpha, kappa, rng)
        for j in range(3):
            counts[j] = rng.multinomial(4, rows[j] / rows[j].sum())
        before.append(share**2)
        after.append(draw_shares(counts, share, alpha, gamma, kappa, rng) ** 2)
    gap = np.mean(after, axis=0) - np.mean(before, axis=0)
    spread = np.std(np.array(after) - np.array(before), axis=0) / np.sqrt(4000)
    assert (np.abs(gap) < 4 * spread).all()
