"""Bi-clustering: the sampler gets the joint distribution right, finds what is planted, refuses."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from activome.activity import make
from activome.errors import ActivityError, ParameterError
from activome.patterns import BayesianBiclustering, effective_sample_size
from activome.patterns._bicluster_model import (
    Model,
    Point,
    draw_counts,
    draw_prior,
    log_likelihood_of,
    predictors,
)
from activome.patterns._bicluster_moves import Tally, sweep
from activome.patterns._bicluster_summary import aligned_trajectories, estimate_states
from activome.patterns._count_laplace import count_log_likelihood, fit_loadings
from activome.patterns._kalman import starts
from activome.patterns._switching_laws import LawPrior

Array = np.ndarray[Any, Any]


def _tiny(dispersion: float | None) -> Model:
    is_seen = np.ones((3, 6), dtype=bool)
    is_seen[1, 2] = False
    return Model(
        counts=np.zeros((3, 6)),
        is_seen=is_seen,
        is_first=starts(6, [0, 2, 6]),
        prior=LawPrior(2, 0.05),
        n_states=2,
        alpha=2.0,
        gamma=2.0,
        kappa=2.0,
        mfm_gamma=1.0,
        mfm_rate=0.3,
        dispersion=dispersion,
        block_moves=10,
        births=2,
    )


def _tame(values: Array) -> Array:
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))


def _statistics(point: Point, counts: Array) -> list[float]:
    paths, eta = _tame(point.paths), _tame(predictors(point))
    return [
        float(point.n_clusters),
        float(point.labels[0] == point.labels[1]),
        float(_tame(point.loadings[:, 0]).mean()),
        float(_tame(point.loadings**2).mean()),
        float((paths[:, 0] ** 2).mean()),
        float((paths[:, -1] ** 2).mean()),
        float(paths[:, -1, 0].mean()),
        float(_tame(point.A[:, 0, 1, 1]).mean()),
        float(np.log(point.Q[:, 0, 0, 0]).mean()),
        float(np.log(np.linalg.det(point.Q[0, 1]))),
        float(_tame(point.b[:, 0, 1]).mean()),
        float(np.count_nonzero(np.diff(point.states))),
        float(point.states.mean()),
        float(point.share[0]),
        float(point.share[point.states[-1]]),
        float(point.transition[0, 0]),
        float(np.log(np.minimum(point.dispersion, 1e12)).mean()),
        float(np.log1p(counts).mean()),
        float((eta**2).mean()),
        float(eta[0, 3] * eta[0, 4]),
    ]


@pytest.mark.parametrize(("dispersion", "n"), [(None, 800), (np.inf, 800)])
def test_sampler_gets_the_joint_distribution_right(dispersion: float | None, n: int) -> None:
    # Geweke's test: parameters and counts drawn in turns have the distribution of the prior.
    rng = np.random.default_rng(3)
    model = _tiny(dispersion)
    prior = []
    for _ in range(n):
        point = draw_prior(model, rng)
        prior.append(_statistics(point, np.where(model.is_seen, draw_counts(point, rng), 0.0)))
    chain, tally = [], Tally()
    for _ in range(n):
        counts = np.where(model.is_seen, draw_counts(point, rng), 0.0)
        sweep(replace(model, counts=counts), point, rng, tally)
        chain.append(_statistics(point, counts))
    one, two = np.array(prior), np.array(chain)
    sizes = np.array([effective_sample_size(column, kind="mean") for column in two.T])
    error = np.sqrt(one.var(axis=0) / n + two.var(axis=0) / sizes) + 1e-12
    z = (two.mean(axis=0) - one.mean(axis=0)) / error
    # Poisson chains linger where counts are huge; what mixes too slowly says nothing.
    mixed = sizes > 20
    assert np.count_nonzero(mixed) >= 15
    assert np.abs(z[mixed]).max() < 4.0, z.round(1)
    assert 0.05 < tally.rates()["births and deaths"] < 1


def test_laplace_is_exact_where_counts_are_gaussian_enough() -> None:
    rng = np.random.default_rng(0)
    path = rng.normal(size=(60, 2)) * 0.3
    y = rng.poisson(np.exp(2.0 + path[:, 0] + 0.5 * path[:, 1]))[np.newaxis].astype(float)
    value, mode, factor = np.empty(1), np.empty((1, 2)), np.empty((1, 2, 2))
    seen = np.ones(y.shape, dtype=bool)
    fit_loadings(y, seen, np.array([np.inf]), path, 20.0, value, mode, factor)
    grid = np.linspace(-6, 6, 161)
    H = factor[0] @ factor[0].T
    width = 1 / np.sqrt(np.diag(H))
    a, b = np.meshgrid(mode[0, 0] + grid * width[0], mode[0, 1] + grid * width[1], indexing="ij")
    eta = path[:, 0] + a[..., np.newaxis] + b[..., np.newaxis] * path[:, 1]
    logs = (y[0] * eta - np.exp(eta)).sum(axis=-1) - 0.5 * (a**2 + b**2) - np.log(2 * np.pi)
    cell = (grid[1] - grid[0]) ** 2 * width[0] * width[1]
    exact = np.log(np.exp(logs - logs.max()).sum() * cell) + logs.max()
    assert value[0] == pytest.approx(exact, abs=0.02)


def test_count_likelihood_by_hand_and_in_the_limit() -> None:
    # One count of 1 with mean 1 and r = 1 is geometric: 1/4.
    assert np.exp(count_log_likelihood(np.array(1.0), np.array(0.0), np.array(1.0))) == (
        pytest.approx(0.25)
    )
    y, eta = np.arange(6.0), np.linspace(-1, 2, 6)
    close = count_log_likelihood(y, eta, np.full(6, 1e6))
    np.testing.assert_allclose(close, count_log_likelihood(y, eta, np.full(6, np.inf)), atol=1e-4)


def _log_rates(n_times: int = 200) -> tuple[Array, Array]:
    """Log rates of three clusters of four units, each with two slow random paths of its own."""
    rng = np.random.default_rng(7)
    clusters, path = np.repeat([0, 1, 2], 4), np.zeros((n_times, 3, 2))
    for t in range(1, n_times):
        path[t] = 0.95 * path[t - 1] + 0.25 * rng.normal(size=(3, 2))
    loads = np.tile([-1.0, -0.4, 0.5, 1.1], 3)
    return 1 + path[:, clusters, 0] + path[:, clusters, 1] * loads, clusters


def _waves(seed: int = 0, n_times: int = 200) -> tuple[Array, Array]:
    eta, clusters = _log_rates(n_times)
    return np.random.default_rng(seed).poisson(np.exp(eta)).astype(float), clusters


@pytest.mark.parametrize("likelihood", ["negbin", "poisson"])
def test_planted_clusters_are_found(likelihood: str) -> None:
    counts, clusters = _waves()
    model = BayesianBiclustering(1, likelihood, n_iter=40, burn_in=0.5, random_state=0).fit(counts)
    assert adjusted_rand_score(clusters, model.unit_labels_) == 1.0
    assert model.unit_samples_.shape == (20, 12)
    assert len(model.trajectories_) == 3
    # The rate follows that of each unit, here with counts of mean 5.
    truth = np.exp(_log_rates()[0])
    likeness = [np.corrcoef(model.rate_[:, u], truth[:, u])[0, 1] for u in range(12)]
    assert np.median(likeness) > 0.75
    assert min(likeness) > 0.5


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_is_found_in_unrelated_units(seed: int) -> None:
    counts = np.random.default_rng(seed).poisson(1.0, (150, 8)).astype(float)
    model = BayesianBiclustering(1, n_iter=40, burn_in=0.5, random_state=seed).fit(counts)
    assert model.unit_labels_.max() == 0
    assert np.bincount(model.state_labels_).max() > 0.7 * 150


def test_missing_cells_and_trials() -> None:
    counts, clusters = _waves(1)
    counts[10:20, 3] = np.nan
    activity = make(counts.reshape(4, 50, 12), sampling_rate=10.0, kind="spikes")
    options: dict[str, Any] = {"n_iter": 30, "burn_in": 0.5, "holdout": 0.05, "random_state": 0}
    model = BayesianBiclustering(1, **options).fit(activity)
    assert adjusted_rand_score(clusters, model.unit_labels_) == 1.0
    assert np.isfinite(model.rate_).all()
    assert model.heldout_log_likelihood_ is not None
    assert -3.0 < model.heldout_log_likelihood_ < -1.0
    again = BayesianBiclustering(1, **options).fit(list(counts.reshape(4, 50, 12)))
    np.testing.assert_array_equal(again.unit_samples_, model.unit_samples_)
    assert again.heldout_log_likelihood_ == model.heldout_log_likelihood_


def test_same_seed_same_chains_and_diagnostics() -> None:
    counts, _ = _waves(2, 60)
    options: dict[str, Any] = {"n_iter": 16, "n_chains": 2, "split_merge": False}
    one, two, other = (
        BayesianBiclustering(1, random_state=seed, **options).fit(counts) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(one.log_likelihood_, two.log_likelihood_)
    np.testing.assert_array_equal(one.state_samples_, two.state_samples_)
    assert not np.array_equal(one.log_likelihood_, other.log_likelihood_)
    found = one.diagnostics()
    assert found["rhat of log_likelihood"] > 0.8
    assert 0 <= found["acceptance of stretch"] <= 1
    np.testing.assert_array_equal(one.predict_rate(), one.rate_)
    score = BayesianBiclustering(1, random_state=0, **options).heldout_score(counts, fraction=0.1)
    assert -4 < score < -1


def test_factors_turned_at_random_average_to_themselves() -> None:
    rng = np.random.default_rng(0)
    path, loads = rng.normal(size=(80, 3)), rng.normal(size=(6, 3))
    labels = np.zeros(6, dtype=np.int64)
    entries = []
    for _ in range(7):
        turn = np.linalg.qr(rng.normal(size=(2, 2)))[0]
        shift = rng.normal(size=3)
        turned = np.concatenate([path[:, :1], path[:, 1:] @ turn], axis=1) + shift
        own = np.concatenate([loads[:, :1], loads[:, 1:] @ turn], axis=1)
        own[:, 0] -= shift[0] + own[:, 1:] @ shift[1:]
        entries.append((labels, turned[np.newaxis], own))
    means, spreads, mean_loads = aligned_trajectories(entries, labels)
    assert spreads[0].max() < 1e-10
    eta = means[0][:, 0] + mean_loads[:, :1] + mean_loads[:, 1:] @ means[0][:, 1:].T
    expected = loads[:, :1] + path[:, 0] + loads[:, 1:] @ path[:, 1:].T
    np.testing.assert_allclose(eta, expected, atol=1e-10)


def test_states_of_long_recordings_are_named_by_majority() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 800)
    names = np.array([rng.permutation(3) for _ in range(9)])
    samples = np.stack([name[truth] for name in names]).astype(np.int16)
    samples[rng.random(samples.shape) < 0.1] = 1
    similarity, labels = estimate_states(samples)
    assert similarity is None
    assert adjusted_rand_score(truth, labels) > 0.98


def test_likelihood_is_of_cells_that_are_seen() -> None:
    model = _tiny(3.0)
    point = draw_prior(model, np.random.default_rng(0))
    other = replace(model, counts=np.where(model.is_seen, model.counts, 50.0))
    assert log_likelihood_of(model, point) == log_likelihood_of(other, point)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_states": 1}, "max_states must be an integer at least 2"),
        ({"burn_in": 1.0}, "burn_in must be in"),
        ({"n_iter": 4}, "at least 4 sweeps must be kept"),
        ({"likelihood": "gauss"}, "unknown likelihood"),
        ({"dispersion": 0.0}, "dispersion must be in"),
        ({"dispersion": "fixed"}, "unknown dispersion"),
        ({"init_clusters": 99}, "init_clusters must be an integer"),
        ({"prior_q": -1.0}, "prior_q must be in"),
    ],
)
def test_parameters_are_refused(options: dict[str, Any], message: str) -> None:
    counts, _ = _waves(0, 60)
    with pytest.raises(ParameterError, match=message):
        BayesianBiclustering(1, **options).fit(counts)


def test_counts_are_refused() -> None:
    counts, _ = _waves(0, 60)
    model = BayesianBiclustering(1, n_iter=8, random_state=0)
    for change, message in (
        (counts[:40], "at least 2 units, 50 bins"),
        (counts[:, :1], "at least 2 units, 50 bins"),
        (counts - 5.0, "whole, non-negative counts"),
        (counts + 0.5, "whole, non-negative counts"),
        (counts * np.array([0.0, *np.ones(11)]), "silent in some bins"),
        (np.where(counts > 5, np.inf, counts), "must be finite"),
        (np.where(np.arange(12) == 2, np.nan, counts), "silent in some bins"),
    ):
        with pytest.raises(ActivityError, match=message):
            model.fit(change)
    with pytest.raises(ActivityError, match="fewer factors"):
        BayesianBiclustering(12, n_iter=8).fit(counts)


def test_no_global_randomness_and_no_warning() -> None:
    counts, _ = _waves(0, 60)
    before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BayesianBiclustering(1, n_iter=12, random_state=0).fit(counts)
    after = np.random.get_state()[1]  # type: ignore[index]  # noqa: NPY002
    np.testing.assert_array_equal(before, after)
