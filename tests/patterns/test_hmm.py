"""Hidden Markov recursions against enumeration of all paths, and against two peers."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

from activome.errors import ActivityError, ParameterError
from activome.patterns._hmm import forward_backward, log_likelihood, sample_path, viterbi

Array = np.ndarray[Any, Any]
Model = tuple[Array, Array, Array]


def model(seed: int, n_times: int = 7, n_states: int = 3, *, spread: float = 2.0) -> Model:
    generator = np.random.default_rng(seed)
    log_b = spread * generator.normal(size=(n_times, n_states))
    log_p = np.log(generator.dirichlet(np.ones(n_states), n_states))
    return log_b, log_p, np.log(generator.dirichlet(np.ones(n_states)))


def enumerate_paths(log_b: Array, log_p: Array, log_pi: Array) -> tuple[Array, Array]:
    paths = np.array(list(product(range(log_pi.size), repeat=len(log_b))))
    times = np.arange(len(log_b))
    steps = log_p[paths[:, :-1], paths[:, 1:]].sum(axis=1)
    return paths, log_pi[paths[:, 0]] + steps + log_b[times, paths].sum(axis=1)


def by_enumeration(log_b: Array, log_p: Array, log_pi: Array) -> tuple[Array, Array, float]:
    paths, score = enumerate_paths(log_b, log_p, log_pi)
    total = float(logsumexp(score))
    weight, n = np.exp(score - total), log_pi.size
    gamma = np.stack([weight @ (paths == s) for s in range(n)], axis=1)
    pairs = np.zeros((n, n))
    np.add.at(pairs, (paths[:, :-1], paths[:, 1:]), weight[:, np.newaxis])
    return gamma, pairs, total


FORBIDDEN = np.array([[0.6, 0.4, 0.0], [0.0, 0.7, 0.3], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize("kind", ["dense", "forbidden", "extreme"])
def test_smoothing_is_that_of_all_paths(kind: str) -> None:
    log_b, log_p, log_pi = model(1, spread=900.0 if kind == "extreme" else 2.0)
    if kind == "forbidden":
        with np.errstate(divide="ignore"):
            log_p, log_pi = np.log(FORBIDDEN), np.log(np.array([1.0, 0.0, 0.0]))
    gamma, pairs, ll = forward_backward(log_b, log_p, log_pi)
    wanted = by_enumeration(log_b, log_p, log_pi)
    np.testing.assert_allclose(gamma, wanted[0], atol=1e-13)
    np.testing.assert_allclose(pairs, wanted[1], atol=1e-12)
    assert ll == pytest.approx(wanted[2], rel=1e-13)


def test_best_path_is_that_of_all_paths() -> None:
    for seed in range(20):
        log_b, log_p, log_pi = model(seed, 6)
        paths, score = enumerate_paths(log_b, log_p, log_pi)
        np.testing.assert_array_equal(viterbi(log_b, log_p, log_pi), paths[score.argmax()])


def test_by_hand() -> None:
    # Paths 00, 01, 10, 11 weigh .25 times .9*.1, .9*.7, .2*.1, .2*.7: 0.09, 0.63, 0.02, 0.14.
    log_b, half = np.log([[0.9, 0.2], [0.1, 0.7]]), np.log(np.full((2, 2), 0.5))
    gamma, pairs, ll = forward_backward(log_b, half, half[0])
    np.testing.assert_allclose(gamma, [[0.72 / 0.88, 0.16 / 0.88], [0.11 / 0.88, 0.77 / 0.88]])
    np.testing.assert_allclose(pairs, np.array([[0.09, 0.63], [0.02, 0.14]]) / 0.88)
    assert np.exp(ll) == pytest.approx(0.22)
    assert viterbi(log_b, half, half[0]).tolist() == [0, 1]


@pytest.mark.parametrize("forbidden", [False, True])
def test_sequences_do_not_touch(forbidden: bool) -> None:
    log_b, log_p, log_pi = model(3, 40)
    if forbidden:
        with np.errstate(divide="ignore"):
            log_p = np.log(FORBIDDEN)
    offsets = np.array([0, 1, 17, 40])
    cuts = [log_b[a:b] for a, b in pairwise(offsets)]
    apart = [forward_backward(part, log_p, log_pi) for part in cuts]
    gamma, pairs, ll = forward_backward(log_b, log_p, log_pi, offsets)
    np.testing.assert_array_equal(gamma, np.concatenate([one[0] for one in apart]))
    np.testing.assert_allclose(pairs, sum(one[1] for one in apart), rtol=1e-12)
    np.testing.assert_allclose(
        log_likelihood(log_b, log_p, log_pi, offsets), [one[2] for one in apart], rtol=1e-13
    )
    assert ll == pytest.approx(sum(one[2] for one in apart), rel=1e-13)
    path = np.concatenate([viterbi(part, log_p, log_pi) for part in cuts])
    np.testing.assert_array_equal(viterbi(log_b, log_p, log_pi, offsets), path)


def test_probabilities_equal_logarithms_over_a_long_sequence() -> None:
    log_b, log_p, log_pi = model(4, 5000, 5, spread=200.0)
    # A state that nothing leads to, and nothing leaves: the slow way, with the same answer.
    slow_b = np.column_stack([log_b, np.full(5000, -3.0)])
    slow_p = np.full((6, 6), -np.inf)
    slow_p[:5, :5], slow_p[5, 5] = log_p, 0.0
    fast = forward_backward(log_b, log_p, log_pi)
    slow = forward_backward(slow_b, slow_p, np.append(log_pi, -np.inf))
    np.testing.assert_allclose(fast[0], slow[0][:, :5], atol=1e-9)
    np.testing.assert_allclose(fast[1], slow[1][:5, :5], atol=1e-6)
    assert fast[2] == pytest.approx(slow[2], rel=1e-13)


def test_nothing_underflows() -> None:
    log_b, log_p, log_pi = model(5, 2000)
    gamma, pairs, ll = forward_backward(log_b, log_p, log_pi)
    low, _, shifted = forward_backward(log_b - 1e5, log_p, log_pi)
    np.testing.assert_allclose(low, gamma, atol=1e-9)
    assert shifted == pytest.approx(ll - 2e8, rel=1e-14)
    np.testing.assert_allclose(gamma.sum(axis=1), 1.0, atol=1e-13)
    assert pairs.sum() == pytest.approx(1999, rel=1e-12)


def test_one_state_and_one_time() -> None:
    gamma, pairs, ll = forward_backward([[-2.0], [-3.0]], [[0.0]], [0.0])
    assert (gamma.tolist(), pairs.tolist(), ll) == ([[1.0], [1.0]], [[1.0]], -5.0)
    half = np.log(np.full((2, 2), 0.5))
    gamma, pairs, _ = forward_backward(np.log([[0.2, 0.6]]), half, [0.0, -np.inf])
    assert (gamma.tolist(), pairs.sum()) == ([[1.0, 0.0]], 0.0)


def test_draws_follow_the_posterior() -> None:
    log_b, log_p, log_pi = model(6, 5)
    paths, score = enumerate_paths(log_b, log_p, log_pi)
    wanted = np.exp(score - logsumexp(score))
    n = 20_000
    drawn = sample_path(log_b, log_p, log_pi, n_paths=n, random_state=0)
    found = np.bincount(drawn @ 3 ** np.arange(4, -1, -1), minlength=len(paths)) / n
    # Five standard deviations of each frequency, over 243 paths.
    assert (np.abs(found - wanted) <= 5 * np.sqrt(wanted * (1 - wanted) / n) + 1e-4).all()
    again = sample_path(log_b, log_p, log_pi, n_paths=2, random_state=0)
    np.testing.assert_array_equal(again, drawn[:2])
    np.testing.assert_array_equal(sample_path(log_b, log_p, log_pi, random_state=0), drawn[0])


def test_draws_keep_to_what_is_possible() -> None:
    with np.errstate(divide="ignore"):
        log_p, log_pi = np.log(FORBIDDEN), np.log(np.array([1.0, 0.0, 0.0]))
    drawn = sample_path(np.zeros((30, 3)), log_p, log_pi, n_paths=200, random_state=1)
    assert (np.diff(drawn, axis=1) >= 0).all()
    assert (drawn[:, 0] == 0).all()


def test_refusals() -> None:
    log_b, log_p, log_pi = model(0)
    broken = log_b.copy()
    broken[3, 1] = np.nan
    with pytest.raises(ActivityError, match="time 3, state 1 is nan"):
        forward_backward(broken, log_p, log_pi)
    with pytest.raises(ActivityError, match="below plus infinity"):
        viterbi(np.full((2, 3), np.inf), log_p, log_pi)
    with pytest.raises(ActivityError, match=r"shapes must be .*\(7, 3\), \(2, 2\)"):
        viterbi(log_b, log_p[:2, :2], log_pi)
    with pytest.raises(ParameterError, match="row 0 sums to"):
        forward_backward(log_b, log_p + 1.0, log_pi)
    with pytest.raises(ParameterError, match="log_pi must be"):
        sample_path(log_b, log_p, np.exp(log_pi))
    for offsets in ([0, 3], [0, 3, 3, 7], [1, 7], [0.0, 7.0], [7]):
        with pytest.raises(ParameterError, match="offsets must be integers rising from 0 to the 7"):
            log_likelihood(log_b, log_p, log_pi, offsets)
    impossible = log_b.copy()
    impossible[5] = -np.inf
    for function in (forward_backward, viterbi, sample_path, log_likelihood):
        with pytest.raises(ActivityError, match="none can in sequence 1, up to time 1"):
            function(impossible, log_p, log_pi, [0, 4, 7])


def test_same_as_hmmlearn() -> None:
    hmm = pytest.importorskip("hmmlearn.hmm", reason="hmmlearn is not installed")
    counts = np.random.default_rng(0).poisson(2.0, size=(300, 4))
    _, log_p, log_pi = model(7)
    peer = hmm.PoissonHMM(3)
    peer.n_features = 4
    peer.startprob_, peer.transmat_ = np.exp(log_pi), np.exp(log_p)
    peer.lambdas_ = np.random.default_rng(1).uniform(0.5, 4.0, size=(3, 4))
    log_b = peer._compute_log_likelihood(counts)
    ll, posterior = peer.score_samples(counts, lengths=[100, 200])
    gamma, _, found = forward_backward(log_b, log_p, log_pi, [0, 100, 300])
    assert found == pytest.approx(ll, rel=1e-12)
    np.testing.assert_allclose(gamma, posterior, atol=1e-6)
    path = peer.predict(counts, lengths=[100, 200])
    np.testing.assert_array_equal(viterbi(log_b, log_p, log_pi, [0, 100, 300]), path)


def test_same_as_dynamax() -> None:
    jax = pytest.importorskip("jax", reason="jax is not installed")
    inference = pytest.importorskip("dynamax.hidden_markov_model", reason="dynamax is absent")
    jax.config.update("jax_enable_x64", True)
    log_b, log_p, log_pi = model(8, 2000, 5)
    peer = inference.hmm_smoother(np.exp(log_pi), np.exp(log_p), log_b)
    gamma, pairs, ll = forward_backward(log_b, log_p, log_pi)
    assert ll == pytest.approx(float(peer.marginal_loglik), rel=1e-10)
    np.testing.assert_allclose(gamma, np.asarray(peer.smoothed_probs), atol=1e-6)
    np.testing.assert_allclose(pairs, np.asarray(peer.trans_probs), atol=1e-3)
    mode = inference.hmm_posterior_mode(np.exp(log_pi), np.exp(log_p), log_b)
    np.testing.assert_array_equal(viterbi(log_b, log_p, log_pi), np.asarray(mode))
