"""Hidden Markov models of a population: by blocks, against a peer, laws of EM, refusals."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import poisson

from activome.activity.blocks import fit_blocks
from activome.activity.schema import make
from activome.errors import ActivityError, ParameterError
from activome.patterns._population_hmm_sums import close, join, summarise_block
from activome.patterns.population_hmm import PopulationHMM

Array = np.ndarray[Any, Any]


def planted(seed: int, n_times: int = 1500, n_units: int = 6) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    state = np.repeat(rng.integers(3, size=n_times // 25), 25)
    rates = rng.gamma(1.0, 2.0, size=(3, n_units)) + 0.1
    return rng.poisson(rates[state]).astype(float), state


def test_sums_of_a_block_by_enumeration() -> None:
    rng = np.random.default_rng(0)
    n_times, n_states = 5, 2
    log_b, rows = rng.normal(size=(n_times, n_states)), rng.normal(size=(n_times, 3))
    transition = rng.dirichlet(np.ones(n_states), n_states)
    initial = rng.dirichlet(np.ones(n_states))
    paths = np.array(list(product(range(n_states), repeat=n_times)))
    score = np.log(initial[paths[:, 0]]) + log_b[np.arange(n_times), paths].sum(axis=1)
    score += np.log(transition)[paths[:, :-1], paths[:, 1:]].sum(axis=1)
    weight = np.exp(score - logsumexp(score))
    pairs = np.zeros((n_states, n_states))
    np.add.at(pairs, (paths[:, :-1], paths[:, 1:]), weight[:, np.newaxis])
    gamma = np.stack([weight @ (paths == s) for s in range(n_states)], axis=1)
    for cuts in ([0, 5], [0, 1, 5], [0, 2, 3, 5]):
        sums = [summarise_block(rows[a:b], log_b[a:b], transition) for a, b in pairwise(cuts)]
        whole = sums[0]
        for part in sums[1:]:
            whole = join(whole, part)
        ll, first, found, moments = close(whole, initial)
        assert ll == pytest.approx(float(logsumexp(score)), rel=1e-12)
        np.testing.assert_allclose(first, gamma[0], rtol=1e-10)
        np.testing.assert_allclose(found, pairs, rtol=1e-10)
        np.testing.assert_allclose(moments, gamma.T @ rows, atol=1e-10)


@pytest.mark.parametrize("family", ["poisson", "gaussian"])
def test_blocks_give_the_answer_in_memory(family: str) -> None:
    x, state = planted(1)
    settings: dict[str, Any] = {"n_init": 1, "random_state": 0, "tol": 1e-9}
    whole = PopulationHMM(3, family, **settings).fit(x)
    parts = fit_blocks(PopulationHMM(3, family, **settings), x, block=400)
    assert parts.log_likelihood_ == pytest.approx(whole.log_likelihood_, rel=1e-12)
    np.testing.assert_allclose(parts.means_, whole.means_, rtol=1e-9)
    np.testing.assert_allclose(parts.transition_, whole.transition_, atol=1e-10)
    change = np.diff(whole.history_)
    assert (change >= -1e-9 * np.abs(whole.history_[1:])).all()
    found = whole.predict(x)
    table = np.zeros((3, 3))
    np.add.at(table, (state, found), 1)
    assert table.max(axis=0).sum() / len(x) > 0.97


def test_score_is_that_of_hmmlearn() -> None:
    hmm = pytest.importorskip("hmmlearn.hmm", reason="hmmlearn is not installed")
    x, _ = planted(2, 600)
    model = PopulationHMM(3, n_init=1, random_state=0).fit([x[:200], x[200:]])
    peer = hmm.PoissonHMM(3)
    peer.n_features = 6
    peer.startprob_, peer.transmat_ = model.initial_, model.transition_
    peer.lambdas_ = model.means_
    counts = x.astype(int)
    value, posterior = peer.score_samples(counts, lengths=[200, 400])
    assert model.score([x[:200], x[200:]]) * x.size == pytest.approx(value, rel=1e-10)
    assert model.log_likelihood_ == pytest.approx(value, rel=1e-10)
    np.testing.assert_allclose(
        np.concatenate(model.predict_proba([x[:200], x[200:]])), posterior, atol=1e-6
    )
    wide = PopulationHMM(2, "gaussian", n_init=1, random_state=0).fit(x)
    assert wide.variances_ is not None
    normal = hmm.GaussianHMM(2, covariance_type="diag")
    normal.n_features = 6
    normal.startprob_, normal.transmat_ = wide.initial_, wide.transition_
    normal.means_, normal.covars_ = wide.means_, wide.variances_
    assert wide.score(x) * x.size == pytest.approx(normal.score(x), rel=1e-10)


def test_one_state_is_a_mean() -> None:
    x, _ = planted(3, 300)
    model = PopulationHMM(1, n_init=1, random_state=0).fit(x)
    np.testing.assert_allclose(model.means_[0], x.mean(axis=0))
    wanted = poisson.logpmf(x, x.mean(axis=0)).mean()
    assert model.score(x) == pytest.approx(wanted, rel=1e-12)
    assert model.transition_.tolist() == [[1.0]]


def test_trials_of_unequal_length_and_silent_trials() -> None:
    x, _ = planted(4, 400)
    trials = [x[:100], np.zeros((30, 6)), x[100:]]
    model = PopulationHMM(2, n_init=2, random_state=0).fit(trials)
    assert [len(part) for part in model.predict(trials)] == [100, 30, 300]
    assert np.isfinite(model.score(trials))
    labelled = make(x, sampling_rate=10.0, kind="spikes")
    states = PopulationHMM(2, n_init=1, random_state=0).fit(labelled).predict(labelled)
    assert states.dims == ("time",)


def test_refusals() -> None:
    x, _ = planted(5, 200)
    with pytest.raises(ActivityError, match=r"units \['2'\]"):
        PopulationHMM().fit(x * (np.arange(6) != 2))
    with pytest.raises(ActivityError, match="every unit must vary"):
        PopulationHMM(family="gaussian").fit(np.where(np.arange(6) == 2, 1.0, x))
    with pytest.raises(ActivityError, match="whole, non-negative counts"):
        PopulationHMM().fit(x + 0.5)
    with pytest.raises(ActivityError, match="finite"):
        PopulationHMM().fit(np.where(x > 3, np.nan, x))
    with pytest.raises(ParameterError, match="unknown family"):
        PopulationHMM(family="cauchy").fit(x)
    with pytest.raises(ParameterError, match="n_states must be"):
        PopulationHMM(0).fit(x)
    with pytest.raises(ActivityError, match="whole, non-negative counts"):
        fit_blocks(PopulationHMM(n_init=1), x - 1.0, block=50)


def test_large_counts_need_no_table() -> None:
    x = np.random.default_rng(0).poisson(5e4, (60, 2)).astype(float)
    model = PopulationHMM(1, n_init=1, random_state=0).fit(x)
    wanted = poisson.logpmf(x, x.mean(axis=0)).mean()
    assert model.score(x) == pytest.approx(wanted, rel=1e-10)
