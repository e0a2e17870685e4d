"""Conjugate draws of linear laws and of sticky transitions with an open number of states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

__all__ = [
    "LawPrior", "draw_laws", "draw_shares", "draw_transitions", "law_log_density",
    "law_log_marginal", "law_moments", "law_statistics", "transition_counts",
    "transition_log_marginal",
]  # fmt: skip

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class LawPrior:
    """Prior of ``x(t) = A x(t - 1) + b + N(0, Q)``: matrix normal and inverse Wishart.

    ``Q ~ IW(n_dims + 2, scale I)``, so that its mean is ``scale I``; rows of (A, b) are normal
    around (I, 0) with covariance Q across rows and I across columns. It is the same in every
    rotation of x.

    Attributes
    ----------
    n_dims : int
        Dimensions of x.
    scale : float
        Mean of the noise variance.
    """

    n_dims: int
    scale: float

    @property
    def freedom(self) -> float:
        """Degrees of freedom."""
        return self.n_dims + 2.0

    @property
    def centre(self) -> Array:
        """Mean of (A, b), shape (n_dims, n_dims + 1)."""
        return np.eye(self.n_dims, self.n_dims + 1)


def law_statistics(
    path: Array, states: Array, is_first: Array, n_states: int, extra: Array | None = None
) -> tuple[Array, Array]:
    """Sum the outer products of (x(t - 1), 1, x(t)) over the times of each state.

    Parameters
    ----------
    path : ndarray of float64, shape (n_times, n_dims)
        Points.
    states : ndarray of int64, shape (n_times,)
        State of each time.
    is_first : ndarray of bool, shape (n_times,)
        First times, which follow from no point.
    n_states : int
        Number of states.
    extra : ndarray of float64, shape (n_times, 2 n_dims + 1, 2 n_dims + 1), optional
        Covariances to add, where the path is a posterior mean.

    Returns
    -------
    number : ndarray of float64, shape (n_states,)
        Times of each state.
    sums : ndarray of float64, shape (n_states, 2 n_dims + 1, 2 n_dims + 1)
        Sums.
    """
    follows = np.flatnonzero(~is_first)
    rows = np.concatenate([path[follows - 1], np.ones((follows.size, 1)), path[follows]], axis=1)
    width = rows.shape[1]
    number = np.bincount(states[follows], minlength=n_states).astype(np.float64)
    sums = np.zeros((n_states, width, width))
    for s in np.flatnonzero(number):
        of_state = states[follows] == s
        sums[s] = rows[of_state].T @ rows[of_state]
        if extra is not None:
            sums[s] += extra[follows[of_state]].sum(axis=0)
    return number, sums


def _posterior(prior: LawPrior, sums: Array) -> tuple[Array, Array, Array]:
    n = prior.n_dims
    centre = prior.centre
    precision = np.eye(n + 1) + sums[..., : n + 1, : n + 1]
    cross = centre + sums[..., n + 1 :, : n + 1]
    mean = np.linalg.solve(precision, np.swapaxes(cross, -1, -2))
    scale = prior.scale * np.eye(n) + centre @ centre.T + sums[..., n + 1 :, n + 1 :]
    scale = scale - cross @ mean
    return np.swapaxes(mean, -1, -2), precision, 0.5 * (scale + np.swapaxes(scale, -1, -2))


def draw_laws(
    prior: LawPrior, number: Array, sums: Array, generator: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Draw laws given what followed what.

    Parameters
    ----------
    prior : LawPrior
        Prior.
    number : ndarray of float64, shape (...)
        Times of each law; 0 draws from the prior.
    sums : ndarray of float64, shape (..., 2 n_dims + 1, 2 n_dims + 1)
        As of ``law_statistics``.
    generator : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    A, b, Q : ndarray of float64, shapes (..., n_dims, n_dims), (..., n_dims), as A
        The laws.
    """
    n = prior.n_dims
    mean, precision, scale = _posterior(prior, sums)
    # Bartlett: with scale^-1 = CC', CBB'C' is Wishart; Q is its inverse.
    factor = np.zeros((*number.shape, n, n))
    freedom = (prior.freedom + number)[..., np.newaxis] - np.arange(n)
    factor[..., np.arange(n), np.arange(n)] = np.sqrt(generator.chisquare(freedom))
    below = np.tril_indices(n, -1)
    factor[..., below[0], below[1]] = generator.standard_normal((*number.shape, below[0].size))
    lower = np.linalg.cholesky(scale)
    # Q = L B^-T B^-1 L' for scale = LL'.
    root = lower @ np.swapaxes(np.linalg.inv(factor), -1, -2)
    Q = root @ np.swapaxes(root, -1, -2)
    normals = generator.standard_normal((*number.shape, n, n + 1))
    columns = np.linalg.inv(np.linalg.cholesky(precision))
    full = mean + root @ normals @ columns
    return full[..., :n].copy(), full[..., n].copy(), 0.5 * (Q + np.swapaxes(Q, -1, -2))


def law_moments(prior: LawPrior, number: Array, sums: Array) -> tuple[Array, Array, Array]:
    """Return posterior means of laws.

    Parameters
    ----------
    prior, number, sums
        As in ``draw_laws``.

    Returns
    -------
    A, b, Q : ndarray of float64
        Means; that of Q is of the inverse Wishart distribution.
    """
    n = prior.n_dims
    mean, _, scale = _posterior(prior, sums)
    below = (prior.freedom + number - n - 1)[..., np.newaxis, np.newaxis]
    return mean[..., :n].copy(), mean[..., n].copy(), scale / below


def law_log_marginal(prior: LawPrior, number: Array, sums: Array) -> Array:
    """Return the log density of the points of each state, its law integrated out.

    Parameters
    ----------
    prior, number, sums
        As in ``draw_laws``.

    Returns
    -------
    ndarray of float64, shape (...)
        In nats.
    """
    n = prior.n_dims
    _, precision, scale = _posterior(prior, sums)
    freedom = prior.freedom + number
    gammas = special.multigammaln(freedom / 2, n) - special.multigammaln(prior.freedom / 2, n)
    return np.asarray(
        gammas
        - 0.5 * number * n * np.log(np.pi)
        - 0.5 * n * np.linalg.slogdet(precision)[1]
        + 0.5 * prior.freedom * n * np.log(prior.scale)
        - 0.5 * freedom * np.linalg.slogdet(scale)[1]
    )


def law_log_density(laws: tuple[Array, Array, Array], number: Array, sums: Array) -> Array:
    """Return the log density of the points of each state under given laws.

    Parameters
    ----------
    laws : tuple of ndarray
        A, b and Q, one per state.
    number, sums
        As of ``law_statistics``.

    Returns
    -------
    ndarray of float64, shape (n_states,)
        In nats.
    """
    A, b, Q = laws
    n = A.shape[-1]
    # x(t) - A x(t - 1) - b is a linear map of (x(t - 1), 1, x(t)).
    eye = np.broadcast_to(np.eye(n), A.shape)
    residual = np.concatenate([-A, -b[..., np.newaxis], eye], axis=-1)
    squares = residual @ sums @ np.swapaxes(residual, -1, -2)
    weighted = np.trace(np.linalg.solve(Q, squares), axis1=-2, axis2=-1)
    norm = n * np.log(2 * np.pi) + np.linalg.slogdet(Q)[1]
    return np.asarray(-0.5 * (number * norm + weighted))


def transition_counts(states: Array, is_first: Array, n_states: int) -> Array:
    """Count transitions within sequences.

    Parameters
    ----------
    states : ndarray of int64, shape (n_times,)
        States.
    is_first : ndarray of bool, shape (n_times,)
        First times.
    n_states : int
        Number of states.

    Returns
    -------
    ndarray of int64, shape (n_states, n_states)
        From row to column.
    """
    follows = np.flatnonzero(~is_first)
    pairs = states[follows - 1] * n_states + states[follows]
    return np.bincount(pairs, minlength=n_states**2).reshape(n_states, n_states)


def draw_transitions(
    counts: Array, share: Array, alpha: float, kappa: float, generator: np.random.Generator
) -> Array:
    """Draw transition probabilities given counts.

    Parameters
    ----------
    counts : ndarray of int64, shape (n_states, n_states)
        Transitions.
    share : ndarray of float64, shape (n_states,)
        Global shares of the states.
    alpha, kappa : float
        Concentration of rows around the shares, and extra weight of staying.
    generator : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of float64, shape (n_states, n_states)
        Rows sum to 1; none is below 1e-300.
    """
    weights = alpha * share + kappa * np.eye(share.size) + counts
    gammas = np.maximum(generator.standard_gamma(weights), 1e-290)
    return np.asarray(gammas / gammas.sum(axis=1, keepdims=True))


def draw_shares(
    counts: Array, share: Array, alpha: float, gamma: float, kappa: float,
    generator: np.random.Generator,
) -> Array:  # fmt: skip
    """Draw the global shares of the states given transitions, by numbers of tables.

    Parameters
    ----------
    counts : ndarray of int64, shape (n_states, n_states)
        Transitions.
    share : ndarray of float64, shape (n_states,)
        Shares so far.
    alpha, gamma, kappa : float
        Concentration of rows, concentration of shares, extra weight of staying.
    generator : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of float64, shape (n_states,)
        Shares.

    References
    ----------
    .. [1] E. B. Fox, E. B. Sudderth, M. I. Jordan and A. S. Willsky, "A sticky HDP-HMM with
       application to speaker diarization", 2011.
    """
    n = share.size
    weights = alpha * share + kappa * np.eye(n)
    tables = np.zeros((n, n))
    for j, k in np.argwhere(counts > 0):
        seats = np.arange(counts[j, k])
        chance = weights[j, k] / (weights[j, k] + seats)
        tables[j, k] = np.count_nonzero(generator.random(seats.size) < chance)
    # Tables that stand for staying alone say nothing of the shares.
    stay = kappa / (kappa + alpha * share)
    own = np.diag(tables).astype(np.int64)
    overridden = generator.binomial(own, stay)
    tables[np.arange(n), np.arange(n)] -= overridden
    gammas = np.maximum(generator.standard_gamma(gamma / n + tables.sum(axis=0)), 1e-290)
    return np.asarray(gammas / gammas.sum())


def transition_log_marginal(counts: Array, share: Array, alpha: float, kappa: float) -> float:
    """Return the log probability of transitions, their probabilities integrated out.

    Parameters
    ----------
    counts : ndarray of int64, shape (n_states, n_states)
        Transitions.
    share : ndarray of float64, shape (n_states,)
        Global shares.
    alpha, kappa : float
        As in ``draw_transitions``.

    Returns
    -------
    float
        In nats.
    """
    weights = alpha * share + kappa * np.eye(share.size)
    cells = special.gammaln(weights + counts) - special.gammaln(weights)
    totals = weights.sum(axis=1)
    rows = special.gammaln(totals) - special.gammaln(totals + counts.sum(axis=1))
    return float(cells.sum() + rows.sum())
