"""The bi-clustering model: its settings, one point of its posterior, and draws from its prior."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from activome._compile import kernel
from activome.patterns._count_laplace import LARGEST_PREDICTOR, count_log_likelihood
from activome.patterns._switching_laws import LawPrior, draw_laws, draw_transitions
from activome.patterns.partitions import mfm_log_v

__all__ = ["Model", "Point", "draw_counts", "draw_prior", "draw_trajectories", "predictors"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Model:
    """Counts and everything that is not sampled.

    Attributes
    ----------
    counts : ndarray of float64, shape (n_units, n_times)
        Counts; 0 where not seen.
    is_seen : ndarray of bool, shape (n_units, n_times)
        False for cells that say nothing.
    is_first : ndarray of bool, shape (n_times,)
        First times of sequences.
    prior : LawPrior
        Prior of the laws of one cluster.
    n_states : int
        Most states.
    alpha, gamma, kappa : float
        Of the sticky transitions.
    mfm_gamma, mfm_rate : float
        Of the mixture of finite mixtures.
    dispersion : float or None
        Dispersion of the counts; infinity for Poisson, None where it is sampled.
    block_moves : int
        Proposals of stretches per sweep.
    births : int
        Units per sweep that may found a cluster.
    """

    counts: Array
    is_seen: Array
    is_first: Array
    prior: LawPrior
    n_states: int
    alpha: float
    gamma: float
    kappa: float
    mfm_gamma: float
    mfm_rate: float
    dispersion: float | None
    block_moves: int
    births: int = 4
    log_v: Array = field(init=False)
    offsets: Array = field(init=False)

    def __post_init__(self) -> None:
        log_v = mfm_log_v(self.n_units, gamma=self.mfm_gamma, rate=self.mfm_rate)
        object.__setattr__(self, "log_v", log_v)
        offsets = np.append(np.flatnonzero(self.is_first), self.is_first.size)
        object.__setattr__(self, "offsets", offsets.astype(np.int64))

    @property
    def n_units(self) -> int:
        """Number of units."""
        return int(self.counts.shape[0])

    @property
    def n_times(self) -> int:
        """Number of bins of all sequences."""
        return int(self.counts.shape[1])

    @property
    def is_poisson(self) -> bool:
        """Whether counts are Poisson."""
        return self.dispersion is not None and bool(np.isinf(self.dispersion))


@dataclass
class Point:
    """One point of the posterior.

    Attributes
    ----------
    labels : ndarray of int64, shape (n_units,)
        Cluster of each unit, from 0 without gaps.
    loadings : ndarray of float64, shape (n_units, n_factors + 1)
        Offset, then loadings of the factors.
    paths : ndarray of float64, shape (n_clusters, n_times, n_factors + 1)
        Mean trajectory, then factors.
    A, b, Q : ndarray of float64
        Laws, shapes (n_clusters, n_states, n, n), (n_clusters, n_states, n) and as A.
    states : ndarray of int64, shape (n_times,)
        States.
    share : ndarray of float64, shape (n_states,)
        Global shares of states.
    transition : ndarray of float64, shape (n_states, n_states)
        Transition probabilities.
    dispersion : ndarray of float64, shape (n_units,)
        Dispersion of each unit; infinity for Poisson.
    """

    labels: Array
    loadings: Array
    paths: Array
    A: Array
    b: Array
    Q: Array
    states: Array
    share: Array
    transition: Array
    dispersion: Array

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return int(self.paths.shape[0])


def predictors(point: Point) -> Array:
    """Return the log means.

    Parameters
    ----------
    point : Point
        A point.

    Returns
    -------
    ndarray of float64, shape (n_units, n_times)
        Log means, not cut.
    """
    eta = np.empty((point.labels.size, point.paths.shape[1]))
    for k in range(point.n_clusters):
        members = np.flatnonzero(point.labels == k)
        full = point.loadings[members]
        path = point.paths[k]
        eta[members] = full[:, :1] + path[:, 0] + full[:, 1:] @ path[:, 1:].T
    return eta


@kernel()
def _simulate(
    states: Array, is_first: Array, A: Array, b: Array, roots: Array, normals: Array, path: Array
) -> None:
    n_times, n = path.shape
    for t in range(n_times):
        s = states[t]
        for i in range(n):
            if is_first[t]:
                path[t, i] = normals[t, i]
                continue
            total = b[s, i]
            for j in range(n):
                total += A[s, i, j] * path[t - 1, j]
            for j in range(i + 1):
                total += roots[s, i, j] * normals[t, j]
            path[t, i] = total


def draw_trajectories(
    model: Model, states: Array, generator: np.random.Generator
) -> tuple[Array, tuple[Array, Array, Array]]:
    """Draw the laws and the trajectories of one cluster from the prior.

    Parameters
    ----------
    model : Model
        Settings.
    states : ndarray of int64, shape (n_times,)
        States.
    generator : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    path : ndarray of float64, shape (n_times, n_factors + 1)
        Trajectories.
    laws : tuple of ndarray
        A, b, Q of every state.
    """
    n = model.prior.n_dims
    number = np.zeros(model.n_states)
    sums = np.zeros((model.n_states, 2 * n + 1, 2 * n + 1))
    A, b, Q = draw_laws(model.prior, number, sums, generator)
    path = np.empty((states.size, n))
    normals = generator.standard_normal(path.shape)
    _simulate(states, model.is_first, A, b, np.linalg.cholesky(Q), normals, path)
    return path, (A, b, Q)


def draw_prior(model: Model, generator: np.random.Generator) -> Point:
    """Draw a point from the prior.

    Parameters
    ----------
    model : Model
        Settings; its counts are not looked at.
    generator : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Point
        A point.
    """
    n_units, n_states = model.n_units, model.n_states
    n_components = int(generator.geometric(model.mfm_rate))
    shares = generator.dirichlet(np.full(n_components, model.mfm_gamma))
    drawn = generator.choice(n_components, n_units, p=shares)
    labels = np.unique(drawn, return_inverse=True)[1].astype(np.int64)
    gammas = np.maximum(generator.standard_gamma(np.full(n_states, model.gamma / n_states)), 1e-290)
    share = gammas / gammas.sum()
    none = np.zeros((n_states, n_states))
    transition = draw_transitions(none, share, model.alpha, model.kappa, generator)
    states = np.empty(model.n_times, dtype=np.int64)
    cumulated = transition.cumsum(axis=1)
    for t in range(model.n_times):
        u = generator.random()
        if model.is_first[t]:
            states[t] = int(u * n_states)
        else:
            states[t] = min(int(np.searchsorted(cumulated[states[t - 1]], u)), n_states - 1)
    clusters = [draw_trajectories(model, states, generator) for _ in range(labels.max() + 1)]
    dispersion = (
        generator.standard_exponential(n_units)
        if model.dispersion is None
        else np.full(n_units, model.dispersion)
    )
    return Point(
        labels=labels,
        loadings=generator.standard_normal((n_units, model.prior.n_dims)),
        paths=np.stack([path for path, _ in clusters]),
        A=np.stack([laws[0] for _, laws in clusters]),
        b=np.stack([laws[1] for _, laws in clusters]),
        Q=np.stack([laws[2] for _, laws in clusters]),
        states=states,
        share=share,
        transition=transition,
        dispersion=dispersion,
    )


def draw_counts(point: Point, generator: np.random.Generator) -> Array:
    """Draw counts at a point.

    Parameters
    ----------
    point : Point
        A point.
    generator : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of float64, shape (n_units, n_times)
        Counts.
    """
    mean = np.exp(np.minimum(predictors(point), LARGEST_PREDICTOR))
    if np.isinf(point.dispersion).any():
        return generator.poisson(mean).astype(np.float64)
    r = point.dispersion[:, np.newaxis]
    return generator.poisson(mean * generator.standard_gamma(np.broadcast_to(r, mean.shape)) / r)


def log_likelihood_of(model: Model, point: Point) -> float:
    """Return the log likelihood of all counts that are seen.

    Parameters
    ----------
    model : Model
        Counts.
    point : Point
        A point.

    Returns
    -------
    float
        In nats.
    """
    cells = count_log_likelihood(model.counts, predictors(point), point.dispersion[:, np.newaxis])
    return float(cells[model.is_seen].sum())
