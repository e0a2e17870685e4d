"""What the generators say they planted is there: rates, covariances, dwell times, spectra."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import kurtosis

from activome.activity.schema import check
from activome.errors import ParameterError
from activome.samples.generators import communities, ensembles, states
from activome.samples.null_recordings import NULL_KINDS, null_recording
from activome.samples.responses import evoked_trials, oscillations

ALL: tuple[Callable[..., Any], ...] = (
    ensembles,
    states,
    communities,
    oscillations,
    evoked_trials,
    null_recording,
)


@pytest.mark.parametrize("generate", ALL, ids=lambda f: f.__name__)
def test_same_seed_same_recording(generate: Callable[..., Any]) -> None:
    one, _ = generate(random_state=3)
    two, _ = generate(random_state=3)
    other, _ = generate(random_state=4)
    assert one.identical(two)
    assert not np.array_equal(one.values, other.values)
    assert not [problem for problem in check(one) if problem.severity == "critical"]


@pytest.mark.parametrize("generate", ALL, ids=lambda f: f.__name__)
def test_sizes_below_one_are_refused(generate: Callable[..., Any]) -> None:
    with pytest.raises(ParameterError, match="n_times must be an integer at least 1; got 0"):
        generate(n_times=0)


def test_ensembles_have_the_planted_moments() -> None:
    n = 40_000
    a, truth = ensembles(12, 3, size=5, overlap=2, n_times=n, probability=0.1, random_state=0)
    assert ((truth.weights[0] > 0) & (truth.weights[1] > 0)).sum() == 2
    error = np.sqrt(np.diag(truth.covariance) / n)
    assert (np.abs(a.values.mean(axis=0) - truth.mean) < 5 * error).all()
    measured = np.cov(a.values.T)
    spread = np.sqrt(np.outer(np.diag(truth.covariance), np.diag(truth.covariance)) / n)
    assert (np.abs(measured - truth.covariance) < 10 * spread).all()
    off = measured[~np.eye(12, dtype=bool)]
    assert off.max() > 20 * spread.max()
    assert truth.active.mean() == pytest.approx(0.1, abs=0.005)


def test_ensembles_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ParameterError, match="3 ensembles of 5 units that share 0 need 15 units"):
        ensembles(14, 3, size=5)
    with pytest.raises(ParameterError, match="overlap must be an integer at least 0 and at most 4"):
        ensembles(30, 3, size=5, overlap=5)


def test_states_dwell_and_fire_as_planted() -> None:
    a, truth = states(6, 3, n_times=20_000, n_trials=2, stay=0.9, random_state=0)
    path = truth.states
    moved = path[:, 1:] != path[:, :-1]
    assert moved.mean() == pytest.approx(0.1, abs=0.005)
    pairs = np.zeros((3, 3))
    np.add.at(pairs, (path[:, :-1].ravel(), path[:, 1:].ravel()), 1)
    assert np.allclose(pairs / pairs.sum(axis=1, keepdims=True), truth.transition, atol=0.01)
    assert np.allclose(truth.start @ truth.transition, truth.start)
    for state in range(3):
        chosen = a.values[path == state]
        error = np.sqrt(truth.rates[state] / len(chosen))
        assert (np.abs(chosen.mean(axis=0) - truth.rates[state]) < 5 * error).all()


def test_one_state_never_moves() -> None:
    _, truth = states(3, 1, n_times=50, random_state=0)
    assert (truth.states == 0).all()
    assert truth.transition.tolist() == [[1.0]]
    _, flat = states(4, 3, contrast=0.0, rate=2.0, random_state=0)
    assert np.array_equal(flat.rates, np.full((3, 4), 2.0))


def test_communities_have_the_planted_correlations() -> None:
    n = 20_000
    a, truth = communities(12, 3, n_times=n, within=0.6, between=0.1, random_state=0)
    measured = np.corrcoef(a.values.T)
    assert np.abs(measured - truth.correlation).max() < 5 / np.sqrt(n)
    assert np.bincount(truth.labels).tolist() == [4, 4, 4]
    with pytest.raises(ParameterError, match=r"between must be at most within; got 0.5 and 0.4"):
        communities(between=0.5)


def test_oscillations_have_the_planted_amplitude_and_phase() -> None:
    a, truth = oscillations(
        3, (16.0,), n_times=256, n_trials=2, noise=0.0, sampling_rate=256.0, random_state=0
    )
    component = np.fft.rfft(a.values, axis=1)[:, 16] / 128
    assert np.allclose(np.abs(component), truth.amplitude[0])
    expected = truth.phase[:, :1] - truth.lag[0]
    assert np.allclose(np.angle(component * np.exp(-1j * expected)), 0, atol=1e-9)


def test_background_of_oscillations_is_an_autoregression() -> None:
    a, truth = oscillations(
        40, (10.0,), n_trials=50, amplitude=0.0, memory=0.8, noise=2.0, random_state=0
    )
    x = a.values
    for lag in (0, 1, 5):
        product = x[:, : x.shape[1] - lag] * x[:, lag:]
        assert product.mean() == pytest.approx(truth.background[lag], abs=0.06)
    # Stationary from the first sample on.
    assert x[:, 0].var() == pytest.approx(4.0, rel=0.15)


def test_phase_locked_trials_start_alike() -> None:
    a, _ = oscillations(2, (10.0,), noise=0.0, phase_locked=True, random_state=0)
    assert np.allclose(a.values, a.values[0])


def test_evoked_trials_have_the_planted_templates_and_noise() -> None:
    a, truth = evoked_trials(4, 2, n_trials=2000, n_times=40, noise_correlation=0.3, random_state=0)
    condition = (a["condition"].values == "c1").astype(int)
    assert condition.sum() == 1000
    for c in (0, 1):
        apart = a.values[condition == c].mean(axis=0) - truth.templates[c]
        assert np.abs(apart).max() < 5 / np.sqrt(1000)
    noise = (a.values - truth.templates[condition]).reshape(-1, 4)
    assert np.allclose(np.cov(noise.T), truth.noise_covariance, atol=0.02)
    # The ideal observer, who projects on the whitened difference, is as good as d' says.
    weights = np.linalg.solve(truth.noise_covariance, (truth.templates[1] - truth.templates[0]).T).T
    score = (a.values * weights).sum(axis=(1, 2))
    apart = score[condition == 1].mean() - score[condition == 0].mean()
    d = apart / np.sqrt((score[condition == 1].var() + score[condition == 0].var()) / 2)
    assert d == pytest.approx(truth.discriminability[0, 1], rel=0.1)


def test_no_contrast_leaves_nothing_to_decode() -> None:
    _, truth = evoked_trials(contrast=0.0, random_state=0)
    assert np.allclose(truth.discriminability, 0)
    with pytest.raises(ParameterError, match="onset must lie within the trial of 1 s; got 1 s"):
        evoked_trials(onset=1.0)


@pytest.mark.parametrize("kind", NULL_KINDS)
def test_null_recordings_have_the_stated_moments(kind: str) -> None:
    a, truth = null_recording(kind, n_units=20, n_times=500, n_trials=60, random_state=0)
    valid = a["valid"].values if "valid" in a.coords else np.ones(a.shape[:2], dtype=bool)
    assert valid.sum(axis=1).tolist() == truth.lengths.tolist()
    x = a.values[valid].astype(float)
    slack = 0.15 if kind == "heavy_tailed" else 0.1
    assert np.allclose(x.mean(axis=0), truth.mean, atol=slack * np.sqrt(truth.variance))
    if kind != "heavy_tailed":
        assert np.allclose(x.var(axis=0), truth.variance, rtol=0.12)
    z = (a.values - truth.mean) / np.sqrt(truth.variance)
    both = valid[:, 1:] & valid[:, :-1]
    lagged = (z[:, 1:] * z[:, :-1])[both].mean()
    assert lagged == pytest.approx(truth.autocorrelation, abs=0.05)


def test_null_units_are_independent() -> None:
    for kind in ("poisson", "ar1", "heavy_tailed", "ragged"):
        a, _ = null_recording(kind, n_units=10, n_times=2000, n_trials=30, random_state=1)
        x = a.values.reshape(-1, 10).astype(float)
        x = x[a["valid"].values.reshape(-1)] if "valid" in a.coords else x
        off = np.corrcoef(x.T)[~np.eye(10, dtype=bool)]
        memory = 0.95 if kind == "ar1" else 0.0
        effective = len(x) * (1 - memory**2) / (1 + memory**2)
        assert np.abs(off).max() < 5 / np.sqrt(effective)


def test_kinds_differ_in_what_misleads() -> None:
    tails, _ = null_recording("heavy_tailed", random_state=0)
    assert kurtosis(tails.values.ravel()) > 5
    drift, _ = null_recording("drift", n_units=30, n_trials=1, random_state=0)
    noise, _ = null_recording("poisson", n_units=30, n_trials=1, random_state=0)
    strong = [
        np.abs(np.corrcoef(x.values[0].T)[np.triu_indices(30, 1)]).mean() for x in (drift, noise)
    ]
    assert strong[0] > 4 * strong[1]
    with pytest.raises(ParameterError, match="unknown kind 'pink'"):
        null_recording("pink")
