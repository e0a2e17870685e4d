"""States of a population: planted ones, none where there is one, and the parts of the test."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import multivariate_normal

from activome.activity.schema import make
from activome.activity.stacking import from_ragged
from activome.errors import ActivityError, ParameterError
from activome.patterns._found_states_fit import (
    fit_chain,
    gains,
    normal_scores,
    scores,
    turned_phases,
)
from activome.patterns._found_states_kernels import climb, held_out
from activome.patterns._found_states_rows import read_rows
from activome.patterns._hmm import log_likelihood
from activome.patterns.found_states import find_states
from activome.samples.generators import states

Array = np.ndarray[Any, Any]


@pytest.mark.parametrize("n_states", [2, 3])
def test_planted_states_are_found(n_states: int) -> None:
    activity, truth = states(12, n_states, n_times=500, n_trials=2, stay=0.97, random_state=1)
    found = find_states(activity, (2, 3, 4), n_surrogates=19, random_state=0)
    assert (found.n_states, found.p_value) == (n_states, 0.05)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0)
    path = found.probabilities.argmax(axis=1)
    table = np.zeros((n_states, n_states))
    np.add.at(table, (truth.states.reshape(-1), path), 1)
    assert table.max(axis=0).sum() / path.size > 0.9
    assert (np.diff(found.patterns.mean(axis=1)) >= 0).all()


@pytest.mark.parametrize("kind", ["correlated", "slow", "tails"])
def test_one_state_is_enough(kind: str) -> None:
    false = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        drive = rng.normal(size=(500, 2))
        if kind == "slow":
            drive = lfilter([0.4], [1.0, -0.9], drive, axis=0)
        noise = rng.standard_t(3, (500, 8)) if kind == "tails" else rng.normal(size=(500, 8))
        values = drive @ rng.normal(size=(2, 8)) + noise
        found = find_states(values, (2, 3), n_surrogates=19, random_state=seed)
        false += found.n_states > 1
    # At a rate of 5 %, more than 3 of 12 are false in 2 of 1,000 runs; 0, 1 and 0 were.
    assert false <= 3


def test_kernel_is_the_plain_recursion() -> None:
    rng = np.random.default_rng(0)
    rows, starts = rng.normal(size=(60, 3)), np.zeros(60, dtype=bool)
    starts[[0, 25]] = True
    means = rng.normal(size=(2, 3))
    transition, initial = rng.dirichlet(np.ones(2), 2), rng.dirichlet(np.ones(2))
    factor = rng.normal(size=(3, 3))
    scatter = factor @ factor.T + np.eye(3)
    log_b = np.stack([multivariate_normal(m, scatter).logpdf(rows) for m in means], axis=1)
    wanted = log_likelihood(log_b, np.log(transition), np.log(initial), [0, 25, 60]).sum()
    assert held_out(rows, starts, means, transition, initial, scatter) == pytest.approx(wanted)
    history, gamma = np.empty(40), np.empty((60, 2))
    n = climb(rows, starts, means, transition, initial, scatter, 40, 0.0, history, gamma)
    # The ridge of 1e-6 on the covariance is no part of the objective.
    assert (np.diff(history[:n]) > -1e-4).all()
    np.testing.assert_allclose(gamma.sum(axis=1), 1.0)


def test_one_state_predicts_as_a_normal_law() -> None:
    rng = np.random.default_rng(1)
    rows, starts = rng.normal(size=(200, 2)), np.arange(200) == 0
    _, (means, transition, initial, scatter) = fit_chain(rows, starts, 1)
    np.testing.assert_allclose(means[0], rows.mean(axis=0))
    value = held_out(rows, starts, means, transition, initial, scatter)
    law = multivariate_normal(rows.mean(axis=0), np.cov(rows.T, bias=True))
    assert value == pytest.approx(law.logpdf(rows).sum(), rel=1e-6)
    assert (gains(rows, starts, (2, 3)) < 0.02).all()


def test_turned_phases_keep_spectra_and_cross_spectra() -> None:
    rng = np.random.default_rng(2)
    for n in (64, 65):
        rows = rng.normal(size=(n, 3)).cumsum(axis=0)
        turned = turned_phases(rows, rng)
        before = np.fft.rfft(rows - rows.mean(axis=0), axis=0)
        after = np.fft.rfft(turned, axis=0)
        for a, b in ((0, 0), (0, 1), (1, 2)):
            np.testing.assert_allclose(
                after[:, a] * after[:, b].conj(), before[:, a] * before[:, b].conj(), atol=1e-8
            )
        assert np.abs(turned - (rows - rows.mean(axis=0))).max() > 0.1


def test_parts_by_hand() -> None:
    np.testing.assert_allclose(normal_scores(np.array([[3.0], [1.0], [2.0]]))[1:, 0],
                               [-0.967422, 0.0], atol=1e-6)  # fmt: skip
    assert normal_scores(np.array([[5.0], [5.0]])).tolist() == [[0.0], [0.0]]
    rows = scores(np.random.default_rng(0).normal(size=(50, 4)), 2)
    np.testing.assert_allclose(rows.T @ rows / 50, np.eye(2), atol=1e-9)
    counts = np.arange(24).reshape(12, 2) % 5
    data = read_rows(counts, 6, 2)
    assert (data.bin_size, data.start.tolist()) == (2, [0, 2, 4, 6, 8, 10])
    np.testing.assert_allclose(data.values[0] ** 2, counts[:2].mean(axis=0))
    ragged = from_ragged([counts[:7], counts[7:]], kind="spikes")
    data = read_rows(ragged, 100, 2)
    assert (data.is_first.nonzero()[0].tolist(), data.step) == ([0, 7], 1)
    assert data.trial.tolist() == [0] * 7 + [1] * 5
    trials = make(np.random.default_rng(0).normal(size=(25, 8, 3)), ("trial", "time", "unit"))
    data = read_rows(trials, 1000, 3)
    assert data.step == 8
    np.testing.assert_allclose(data.values.reshape(25, 8, 3).mean(axis=0), 0.0, atol=1e-12)


def test_refusals() -> None:
    x = np.random.default_rng(0).normal(size=(100, 3))
    with pytest.raises(ActivityError, match="at least 80 samples; got 50"):
        find_states(x[:50])
    with pytest.raises(ActivityError, match="at least 2 units must vary; 1 of 3 do"):
        find_states(x * [1.0, 0.0, 0.0])
    with pytest.raises(ActivityError, match="finite"):
        find_states(np.where(x > 2, np.nan, x))
    with pytest.raises(ActivityError, match=r"must be \(n_times, n_units\)"):
        find_states(x[0])
    with pytest.raises(ParameterError, match="at least one number"):
        find_states(x, ())
    with pytest.raises(ParameterError, match="candidates must be"):
        find_states(x, (1, 2))
    with pytest.raises(ParameterError, match="alpha must be"):
        find_states(x, alpha=1.5)
