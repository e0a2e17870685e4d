"""One cluster of units at its posterior mode, and the approximate log evidence of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from activome.patterns._bicluster_model import Model
from activome.patterns._count_laplace import (
    LARGEST_PREDICTOR,
    count_log_likelihood,
    fit_loadings,
)
from activome.patterns._kalman import Laws, information, kalman_loglik, smoother
from activome.patterns._switching_laws import (
    law_log_density,
    law_log_marginal,
    law_moments,
    law_statistics,
)

__all__ = ["Fit", "fit_cluster"]

Array = np.ndarray[Any, Any]
_ROUNDS = 6


@dataclass
class Fit:
    """One cluster at its posterior mode: approximate log evidence and what goes with it."""

    score: float
    path: Array
    loadings: Array
    number: Array
    sums: Array


def _first_path(features: Array, n_dims: int) -> Array:
    mean = features.mean(axis=0)
    path = np.zeros((features.shape[1], n_dims))
    path[:, 0] = mean
    _, size, rows = np.linalg.svd(features - mean, full_matrices=False)
    n = min(n_dims - 1, size.size)
    path[:, 1 : n + 1] = (size[:n, np.newaxis] * rows[:n]).T / np.sqrt(len(features))
    return path


def fit_cluster(
    model: Model, members: Array, states: Array, dispersion: Array, features: Array
) -> Fit:
    """Fit one cluster by a few rounds of expectation and maximisation, and score it.

    Parameters
    ----------
    model : Model
        Counts and settings.
    members : ndarray of int64, shape (n_members,)
        Units of the cluster.
    states : ndarray of int64, shape (n_times,)
        States.
    dispersion : ndarray of float64, shape (n_units,)
        Dispersions.
    features : ndarray of float64, shape (n_units, n_times)
        Smoothed log counts.

    Returns
    -------
    Fit
        Laplace approximation of the log evidence with trajectories and loadings integrated out
        around their modes, and laws by the ratio of their marginal to their conditional density.
    """
    n, prior = model.prior.n_dims, model.prior
    y, is_seen, r = model.counts[members], model.is_seen[members], dispersion[members]
    value, loadings = np.empty(members.size), np.empty((members.size, n))
    factor = np.empty((members.size, n, n))
    path = _first_path(features[members], n)
    number, sums = law_statistics(path, states, model.is_first, model.n_states)
    used = np.flatnonzero(np.bincount(states, minlength=model.n_states))
    laws, extra = Laws(*law_moments(prior, number, sums), np.zeros(n), np.eye(n)), None
    width = 2 * n + 1
    for _ in range(_ROUNDS):
        fit_loadings(y, is_seen, r, path, LARGEST_PREDICTOR, value, loadings, factor)
        observed, _ = _working(y, is_seen, r, path, loadings)
        path, covariance, lagged = smoother(states, laws, observed, model.offsets)
        extra = np.zeros((model.n_times, width, width))
        extra[1:, :n, :n] = covariance[:-1]
        extra[:, n + 1 :, n + 1 :] = covariance
        extra[:, n + 1 :, :n] = lagged
        extra[:, :n, n + 1 :] = np.swapaxes(lagged, -1, -2)
        number, sums = law_statistics(path, states, model.is_first, model.n_states, extra)
        laws = Laws(*law_moments(prior, number, sums), np.zeros(n), np.eye(n))
    fit_loadings(y, is_seen, r, path, LARGEST_PREDICTOR, value, loadings, factor)
    observed, gap = _working(y, is_seen, r, path, loadings)
    score = gap + kalman_loglik(states, laws, observed, model.offsets)
    score -= 0.5 * float((loadings**2).sum())
    score -= float(np.log(np.diagonal(factor, axis1=1, axis2=2)).sum())
    score += _exchange(loadings, factor)
    given = (laws.A[used], laws.b[used], laws.Q[used])
    known = _known_share(given, path, states, model, used)
    number_known = number[used] * known
    sums_known = sums[used] * known[:, np.newaxis, np.newaxis]
    score += float(law_log_marginal(prior, number_known, sums_known).sum())
    score -= float(law_log_density(given, number_known, sums_known).sum())
    return Fit(score, path, loadings, number, sums)


def _known_share(
    laws: tuple[Array, Array, Array], path: Array, states: Array, model: Model, used: Array
) -> Array:
    """Return for each state how much of the noise of trajectories the counts reveal.

    Laws are learned from trajectories that are themselves uncertain: n bins of which the share f
    of the noise shows in the posterior mean count as f n bins where laws are integrated out.
    """
    number, sums = law_statistics(path, states, model.is_first, model.n_states)
    n = path.shape[1]
    number = np.maximum(number[used], 1.0)
    volume = n * np.log(2 * np.pi) + np.linalg.slogdet(laws[2])[1]
    squares = -2 * law_log_density(laws, number, sums[used]) - number * volume
    return np.asarray(np.clip(squares / (n * number), 1e-6, 1.0))


def _exchange(loadings: Array, factor: Array) -> float:
    """Return what trajectories that move against loadings add to the log evidence.

    Trajectories can be shifted, stretched and rotated while offsets and loadings do the opposite.
    Along these directions only the priors hold the loadings, not the counts: there the precision
    counts as 1.
    """
    n_units, n = loadings.shape
    loads = loadings.copy()
    loads[:, 0] = 1.0
    shifts = np.zeros((n, n_units, n))
    shifts[:, :, 0] = loads.T
    mixed = np.zeros((n - 1, n - 1, n_units, n))
    for j in range(n - 1):
        mixed[:, j, :, j + 1] = loadings[:, 1:].T
    directions = np.concatenate([shifts, mixed.reshape(-1, n_units, n)]).reshape(-1, n_units * n)
    _, size, basis = np.linalg.svd(directions, full_matrices=False)
    kept = basis[size > 1e-6 * size[0]].reshape(-1, n_units, n)
    half = np.einsum("gij,ijk->gik", kept, factor).reshape(len(kept), -1)
    return 0.5 * float(np.linalg.slogdet(half @ half.T)[1])


def _working(y: Array, is_seen: Array, r: Array, path: Array, loadings: Array) -> tuple[Any, float]:
    """Return counts as Gaussian observations around their predictor, and what that leaves out."""
    loads = loadings.copy()
    loads[:, 0] = 1.0
    eta = np.minimum(loads @ path.T + loadings[:, :1], LARGEST_PREDICTOR)
    mean = np.exp(eta)
    with np.errstate(invalid="ignore"):
        share = np.where(np.isinf(r)[:, np.newaxis], 1.0, 1.0 / (1.0 + mean / r[:, np.newaxis]))
        extra = np.where(np.isinf(r)[:, np.newaxis], 0.0, (y - mean) / r[:, np.newaxis])
    # Observed information of a negative binomial; for Poisson counts it is the mean.
    weight = np.where(is_seen, mean * share * (1.0 + extra * share), 0.0)
    weight = np.where(is_seen, np.maximum(weight, 1e-8), 0.0)
    slope = (y - mean) * share
    response = eta + np.divide(slope, weight, out=np.zeros_like(weight), where=weight > 0)
    exact = count_log_likelihood(y, eta, r[:, np.newaxis])[is_seen].sum()
    w, rest = weight[is_seen], (response - eta)[is_seen]
    gaussian = 0.5 * (np.log(w / (2 * np.pi)) - w * rest**2).sum()
    observed = information((response - loadings[:, :1]).T, weight.T, loads)
    return observed, float(exact - gaussian)
