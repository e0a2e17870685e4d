"""Linear Gaussian paths whose law switches: likelihood, smoothing, draws, with missing cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from activome._random import RandomState, make_generator
from activome.errors import ActivityError
from activome.patterns import _kalman_kernels as kernels

__all__ = ["Laws", "Observed", "ffbs", "information", "kalman_loglik", "smoother", "starts"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Laws:
    """One linear law per state: ``x(t) = A x(t - 1) + b + N(0, Q)``, ``x(first) ~ N(m0, P0)``.

    Attributes
    ----------
    A : ndarray of float64, shape (n_states, n_dims, n_dims)
        From the point before to this one.
    b : ndarray of float64, shape (n_states, n_dims)
        Drift.
    Q : ndarray of float64, shape (n_states, n_dims, n_dims)
        Covariance of the noise, positive definite.
    m0 : ndarray of float64, shape (n_dims,)
        Mean of the first point of every sequence.
    P0 : ndarray of float64, shape (n_dims, n_dims)
        Its covariance.
    """

    A: Array
    b: Array
    Q: Array
    m0: Array
    P0: Array


@dataclass(frozen=True)
class Observed:
    """What the observations of each time say of the point: information matrix and vector.

    Attributes
    ----------
    J : ndarray of float64, shape (n_times, n_dims, n_dims)
        ``sum_i w_i l_i l_i'`` with loadings l and weights (inverse variances) w.
    h : ndarray of float64, shape (n_times, n_dims)
        ``sum_i w_i l_i y_i``.
    constant : float
        What the log likelihood has beside the path.
    """

    J: Array
    h: Array
    constant: float


def information(values: ArrayLike, weights: ArrayLike, loadings: ArrayLike) -> Observed:
    """Sum up observations with independent noise.

    Parameters
    ----------
    values : array-like of float64, shape (n_times, n_units)
        Observations ``y = l'x + N(0, 1 / w)``; any number where the weight is 0.
    weights : array-like of float64, shape (n_times, n_units)
        Inverse variances; 0 for a missing cell.
    loadings : array-like of float64, shape (n_units, n_dims)
        Loadings l.

    Returns
    -------
    Observed
        Their information.
    """
    w, load = np.asarray(weights, dtype=np.float64), np.asarray(loadings, dtype=np.float64)
    is_seen = w > 0
    y = np.where(is_seen, values, 0.0)
    n_units, n_dims = load.shape
    squares = (load[:, :, np.newaxis] * load[:, np.newaxis, :]).reshape(n_units, n_dims**2)
    J = (w @ squares).reshape(-1, n_dims, n_dims)
    spread = float(np.log(w[is_seen] / (2 * np.pi)).sum() - (w * y**2).sum())
    return Observed(J, (w * y) @ load, 0.5 * spread)


def starts(n_times: int, offsets: ArrayLike | None = None) -> Array:
    """Mark the first time of every sequence.

    Parameters
    ----------
    n_times : int
        Times of all sequences together.
    offsets : array-like of int, shape (n_sequences + 1,), optional
        Where each begins, and the end; by default all is one sequence.

    Returns
    -------
    ndarray of bool, shape (n_times,)
        True at the first times.
    """
    is_first = np.zeros(n_times, dtype=bool)
    is_first[0 if offsets is None else np.asarray(offsets)[:-1]] = True
    return is_first


def kalman_loglik(
    states: ArrayLike, laws: Laws, observed: Observed, offsets: ArrayLike | None = None
) -> float:
    """Return the log likelihood of the observations given the states, the path integrated out.

    Parameters
    ----------
    states : array-like of int, shape (n_times,)
        Law by which each point follows from the one before.
    laws : Laws
        The laws.
    observed : Observed
        What was observed.
    offsets : array-like of int, shape (n_sequences + 1,), optional
        Where each sequence begins, and the end.

    Returns
    -------
    float
        In nats.

    Notes
    -----
    Covariances stay positive whatever the information: the filter updates a factor of them. Cost
    is ``n_times n_dims^3``.

    References
    ----------
    .. [1] R. E. Kalman, "A new approach to linear filtering and prediction problems", 1960.
    """
    return float(_filter(states, laws, observed, offsets)[4].sum()) + observed.constant


def smoother(
    states: ArrayLike, laws: Laws, observed: Observed, offsets: ArrayLike | None = None
) -> tuple[Array, Array, Array]:
    """Return the moments of the path given all observations and the states.

    Parameters
    ----------
    states, laws, observed, offsets
        As in ``kalman_loglik``.

    Returns
    -------
    mean : ndarray of float64, shape (n_times, n_dims)
        Means.
    covariance : ndarray of float64, shape (n_times, n_dims, n_dims)
        Covariances.
    lagged : ndarray of float64, shape (n_times, n_dims, n_dims)
        Covariance of each point with the one before; 0 at first times.
    """
    path, is_first, mean, covariance, _ = _filter(states, laws, observed, offsets)
    lagged = np.empty_like(covariance)
    kernels.smooth_backward(path, is_first, laws.A, laws.b, laws.Q, mean, covariance, lagged)
    return mean, covariance, lagged


def ffbs(
    states: ArrayLike,
    laws: Laws,
    observed: Observed,
    offsets: ArrayLike | None = None,
    *,
    random_state: RandomState = None,
) -> Array:
    """Draw a path given observations and states, by forward filtering and backward sampling.

    Parameters
    ----------
    states, laws, observed, offsets
        As in ``kalman_loglik``.
    random_state : int, numpy.random.Generator or None, default=None
        Seed.

    Returns
    -------
    ndarray of float64, shape (n_times, n_dims)
        A path.

    References
    ----------
    .. [1] C. K. Carter and R. Kohn, "On Gibbs sampling for state space models", 1994.
    .. [2] S. Fruehwirth-Schnatter, "Data augmentation and dynamic linear models", 1994.
    """
    path, is_first, mean, covariance, _ = _filter(states, laws, observed, offsets)
    normals: Any = make_generator(random_state).standard_normal(mean.shape)
    drawn = np.empty_like(mean)
    precision = np.linalg.inv(laws.Q)
    kernels.draw_backward(
        path, is_first, laws.A, laws.b, precision, mean, covariance, normals, drawn
    )
    return drawn


def _filter(
    states: ArrayLike, laws: Laws, observed: Observed, offsets: ArrayLike | None
) -> tuple[Array, Array, Array, Array, Array]:
    path = np.ascontiguousarray(states, dtype=np.int64)
    n_times, n_dims = observed.h.shape
    if path.shape != (n_times,) or laws.A.shape[1:] != (n_dims, n_dims):
        raise ActivityError(
            f"kalman: there must be one state per time and laws of {n_dims} dimensions; got states "
            f"{path.shape} for {n_times} times and laws {laws.A.shape}."
        )
    if path.min() < 0 or path.max() >= laws.A.shape[0]:
        raise ActivityError(
            f"kalman: states must be from 0 to {laws.A.shape[0] - 1}; got {path.min()} to "
            f"{path.max()}."
        )
    is_first = starts(n_times, offsets)
    mean, covariance = np.empty((n_times, n_dims)), np.empty((n_times, n_dims, n_dims))
    ll = np.empty(n_times)
    kernels.filter_forward(
        path, is_first, laws.A, laws.b, laws.Q, observed.J, observed.h, laws.m0, laws.P0, mean,
        covariance, ll,
    )  # fmt: skip
    return path, is_first, mean, covariance, ll
