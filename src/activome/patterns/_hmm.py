"""Hidden Markov models on log emissions: smoothing, best path, and draws from the posterior."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from activome._checks import check_integer
from activome._random import RandomState, make_generator
from activome.errors import ActivityError, ParameterError
from activome.patterns import _hmm_kernels as kernels

__all__ = ["forward_backward", "log_likelihood", "sample_path", "viterbi"]

Array = np.ndarray[Any, Any]
# Above this, what probabilities lose to underflow is below rounding; see Notes of forward_backward.
_SMALLEST_TRANSITION = 1e-100


def forward_backward(
    log_b: ArrayLike, log_p: ArrayLike, log_pi: ArrayLike, offsets: ArrayLike | None = None
) -> tuple[Array, Array, float]:
    """Smooth the states of one or many sequences.

    Parameters
    ----------
    log_b : array-like of float64, shape (n_times, n_states)
        Log likelihood of each observation under each state, in nats; minus infinity where a state
        cannot make it. Sequences stand one below the other.
    log_p : array-like of float64, shape (n_states, n_states)
        Log transition probabilities, from row to column; minus infinity for a forbidden one.
    log_pi : array-like of float64, shape (n_states,)
        Log probabilities of the first state of every sequence.
    offsets : array-like of int, shape (n_sequences + 1,), optional
        Row at which each sequence begins, and ``n_times`` at the end; by default all rows are one
        sequence.

    Returns
    -------
    gamma : ndarray of float64, shape (n_times, n_states)
        Probability of each state at each time given the whole sequence; rows sum to 1.
    xi_sum : ndarray of float64, shape (n_states, n_states)
        Expected number of transitions, summed over the times within sequences.
    ll : float
        Log likelihood of all sequences, in nats.

    Raises
    ------
    ActivityError
        If a shape is wrong, a value is NaN or plus infinity, or no path of states can make the
        observations.
    ParameterError
        If the transition or initial probabilities do not sum to 1, or the offsets do not rise from
        0 to ``n_times``.

    Notes
    -----
    Where every transition has a probability of at least 1e-100, messages are kept as
    probabilities, shifted by the largest log emission of the time: one exponential per state and
    time. A state is then lost only below exp(-700) of another, while any path may come back to it
    by a transition at a cost of at most 1e100, so nothing that double precision could show is
    lost. With rarer or forbidden transitions all is done in logarithms, at one exponential per pair
    of states.

    References
    ----------
    .. [1] L. R. Rabiner, "A tutorial on hidden Markov models and selected applications in speech
       recognition", 1989.

    Examples
    --------
    >>> import numpy as np
    >>> b = np.log([[0.9, 0.2], [0.1, 0.7]])
    >>> half = np.log([[0.5, 0.5], [0.5, 0.5]])
    >>> gamma, xi_sum, ll = forward_backward(b, half, half[0])
    >>> gamma.round(3).tolist(), round(float(np.exp(ll)), 4)
    ([[0.818, 0.182], [0.125, 0.875]], 0.22)
    """
    log_b, log_p, log_pi, bounds = _check(log_b, log_p, log_pi, offsets, "forward_backward")
    gamma = np.empty_like(log_b)
    pairs = np.zeros_like(log_p)
    likelihood = np.empty(bounds.size - 1)
    if log_p.min() >= np.log(_SMALLEST_TRANSITION):
        transition = np.exp(log_p)
        _forward_scaled(log_b, transition, log_pi, bounds, gamma, likelihood, "forward_backward")
        kernels.backward_scaled(log_b, transition, bounds, gamma, pairs)
    else:
        _forward_log(log_b, log_p, log_pi, bounds, gamma, likelihood, "forward_backward")
        kernels.backward_log(log_b, log_p, bounds, gamma, pairs, likelihood)
    return gamma, pairs, float(likelihood.sum())


def log_likelihood(
    log_b: ArrayLike, log_p: ArrayLike, log_pi: ArrayLike, offsets: ArrayLike | None = None
) -> Array:
    """Return the log likelihood of each sequence.

    Parameters
    ----------
    log_b, log_p, log_pi, offsets : array-like
        As in ``forward_backward``.

    Returns
    -------
    ndarray of float64, shape (n_sequences,)
        In nats.

    Examples
    --------
    >>> import numpy as np
    >>> b = np.log([[0.9, 0.2], [0.1, 0.7]])
    >>> half = np.log([[0.5, 0.5], [0.5, 0.5]])
    >>> np.exp(log_likelihood(b, half, half[0], [0, 1, 2])).round(2).tolist()
    [0.55, 0.4]
    """
    owner = "log_likelihood"
    log_b, log_p, log_pi, bounds = _check(log_b, log_p, log_pi, offsets, owner)
    likelihood = np.empty(bounds.size - 1)
    alpha = np.empty_like(log_b)
    if log_p.min() >= np.log(_SMALLEST_TRANSITION):
        _forward_scaled(log_b, np.exp(log_p), log_pi, bounds, alpha, likelihood, owner)
    else:
        _forward_log(log_b, log_p, log_pi, bounds, alpha, likelihood, owner)
    return likelihood


def viterbi(
    log_b: ArrayLike, log_p: ArrayLike, log_pi: ArrayLike, offsets: ArrayLike | None = None
) -> Array:
    """Return the most likely path of states of each sequence.

    Parameters
    ----------
    log_b, log_p, log_pi, offsets : array-like
        As in ``forward_backward``.

    Returns
    -------
    ndarray of int64, shape (n_times,)
        States; of equally likely ones the lowest.

    Notes
    -----
    Needs 4 bytes per state and time of the longest sequence.

    References
    ----------
    .. [1] A. Viterbi, "Error bounds for convolutional codes and an asymptotically optimum decoding
       algorithm", 1967.

    Examples
    --------
    >>> import numpy as np
    >>> b = np.log([[0.9, 0.1], [0.4, 0.6], [0.9, 0.1]])
    >>> viterbi(b, np.log([[0.9, 0.1], [0.1, 0.9]]), np.log([0.5, 0.5])).tolist()
    [0, 0, 0]
    """
    log_b, log_p, log_pi, bounds = _check(log_b, log_p, log_pi, offsets, "viterbi")
    path = np.empty(log_b.shape[0], dtype=np.int64)
    stopped = kernels.best_path(log_b, log_p, log_pi, bounds, path)
    _refuse_impossible(stopped, bounds, "viterbi")
    return path


def sample_path(
    log_b: ArrayLike,
    log_p: ArrayLike,
    log_pi: ArrayLike,
    offsets: ArrayLike | None = None,
    *,
    n_paths: int | None = None,
    random_state: RandomState = None,
) -> Array:
    """Draw paths of states from their posterior, by forward filtering and backward sampling.

    Parameters
    ----------
    log_b, log_p, log_pi, offsets : array-like
        As in ``forward_backward``.
    n_paths : int, optional
        How many paths; by default one, without an axis of its own.
    random_state : int, numpy.random.Generator or None, default=None
        Seed.

    Returns
    -------
    ndarray of int64, shape (n_times,) or (n_paths, n_times)
        States.

    References
    ----------
    .. [1] S. L. Scott, "Bayesian methods for hidden Markov models", 2002.

    Examples
    --------
    >>> import numpy as np
    >>> b = np.log([[1.0, 1e-9], [1e-9, 1.0]])
    >>> half = np.log([[0.5, 0.5], [0.5, 0.5]])
    >>> sample_path(b, half, half[0], random_state=0).tolist()
    [0, 1]
    """
    owner = "sample_path"
    log_b, log_p, log_pi, bounds = _check(log_b, log_p, log_pi, offsets, owner)
    n_draws = 1 if n_paths is None else check_integer(n_paths, name="n_paths", owner=owner, low=1)
    generator = make_generator(random_state)
    alpha = np.empty_like(log_b)
    _forward_log(log_b, log_p, log_pi, bounds, alpha, np.empty(bounds.size - 1), owner)
    paths = np.empty((n_draws, log_b.shape[0]), dtype=np.int64)
    for path in paths:
        kernels.draw_path(alpha, log_p, bounds, generator.random(log_b.shape[0]), path)
    return paths[0] if n_paths is None else paths


def _forward_scaled(
    log_b: Array,
    transition: Array,
    log_pi: Array,
    bounds: Array,
    alpha: Array,
    likelihood: Array,
    owner: str,
) -> None:
    stopped = kernels.forward_scaled(log_b, transition, log_pi, bounds, alpha, likelihood)
    _refuse_impossible(stopped, bounds, owner)


def _forward_log(
    log_b: Array,
    log_p: Array,
    log_pi: Array,
    bounds: Array,
    alpha: Array,
    likelihood: Array,
    owner: str,
) -> None:
    stopped = kernels.forward_log(log_b, log_p, log_pi, bounds, alpha, likelihood)
    _refuse_impossible(stopped, bounds, owner)


def _refuse_impossible(stopped: int, bounds: Array, owner: str) -> None:
    if stopped < 0:
        return
    sequence = int(np.searchsorted(bounds, stopped, side="right")) - 1
    raise ActivityError(
        f"{owner}: some path of states must be able to make the observations; none can in sequence "
        f"{sequence}, up to time {stopped - int(bounds[sequence])}. Allow more transitions, or an "
        "emission that is never exactly zero."
    )


def _check(
    log_b: ArrayLike, log_p: ArrayLike, log_pi: ArrayLike, offsets: ArrayLike | None, owner: str
) -> tuple[Array, Array, Array, Array]:
    emission = np.ascontiguousarray(log_b, dtype=np.float64)
    transition = np.ascontiguousarray(log_p, dtype=np.float64)
    initial = np.ascontiguousarray(log_pi, dtype=np.float64)
    n = initial.size
    shapes = (emission.shape, transition.shape, initial.shape)
    if emission.ndim != 2 or 0 in emission.shape or shapes != ((len(emission), n), (n, n), (n,)):
        raise ActivityError(
            f"{owner}: shapes must be (n_times, n_states), (n_states, n_states), (n_states,), each "
            f"at least 1; got {shapes[0]}, {shapes[1]}, {shapes[2]}."
        )
    # A sum shows NaN and plus infinity at one read; minus infinity is a legal emission.
    total = emission.max()
    if not total < np.inf or np.isnan(emission).any():
        bad = np.argwhere(np.isnan(emission) | (emission == np.inf))[0]
        raise ActivityError(
            f"{owner}: log emissions must be below plus infinity and no NaN; the one at time "
            f"{bad[0]}, state {bad[1]} is {emission[tuple(bad)]}. Mend the observation first."
        )
    _check_distribution(initial[np.newaxis], "log_pi", owner)
    _check_distribution(transition, "log_p", owner)
    return emission, transition, initial, _check_offsets(offsets, len(emission), owner)


def _check_distribution(rows: Array, name: str, owner: str) -> None:
    with np.errstate(invalid="ignore"):
        sums = np.asarray(logsumexp(rows, axis=1))
    bad = ~(np.abs(sums) <= 1e-6)
    if bad.any():
        row = int(np.argmax(bad))
        raise ParameterError(
            f"{owner}: {name} must be logarithms of probabilities that sum to 1; row {row} sums to "
            f"{np.exp(sums[row]):.6g}. Normalise it, and take the logarithm."
        )


def _check_offsets(offsets: ArrayLike | None, n_times: int, owner: str) -> Array:
    bounds = np.asarray([0, n_times] if offsets is None else offsets)
    is_valid = (
        bounds.ndim == 1
        and bounds.size >= 2
        and bounds.dtype.kind in "iu"
        and bounds[0] == 0
        and bounds[-1] == n_times
        and bool((np.diff(bounds.astype(np.int64)) > 0).all())
    )
    if not is_valid:
        raise ParameterError(
            f"{owner}: offsets must be integers rising from 0 to the {n_times} times, one sequence "
            f"between each two; got {bounds.tolist()[:8]}."
        )
    return bounds.astype(np.int64)
