"""Moves of the chain: laws, states and trajectories, loadings, dispersions, clusters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import special

from activome._compile import kernel
from activome.patterns import _kalman_kernels as kernels
from activome.patterns._bicluster_model import Model, Point, draw_trajectories, predictors
from activome.patterns._count_laplace import (
    LARGEST_PREDICTOR,
    count_log_likelihood,
    fit_loadings,
    propose,
    relabel,
)
from activome.patterns._hmm import sample_path
from activome.patterns._kalman import information
from activome.patterns._polya_gamma import pg_regression, pg_weights
from activome.patterns._slice import slice_sample
from activome.patterns._switching_laws import (
    draw_laws,
    draw_shares,
    draw_transitions,
    law_log_marginal,
    law_statistics,
    transition_counts,
)

__all__ = ["Tally", "draw_paths", "draw_states", "sweep"]

Array = np.ndarray[Any, Any]
_MEAN_STRETCH, _MEAN_SHIFT = 25.0, 8.0
# Poisson counts are proposed as negative binomial ones of this dispersion, and corrected.
_NEARLY_POISSON = 100.0


@dataclass
class Tally:
    """Accepted and proposed moves of each kind."""

    accepted: dict[str, float] = field(default_factory=dict)
    proposed: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, accepted: float, proposed: float) -> None:
        """Add what one sweep did."""
        self.accepted[name] = self.accepted.get(name, 0.0) + accepted
        self.proposed[name] = self.proposed.get(name, 0.0) + proposed

    def rates(self) -> dict[str, float]:
        """Return the share of each kind that was accepted; 0 where none was proposed."""
        return {k: self.accepted[k] / n if n else 0.0 for k, n in self.proposed.items()}


def sweep(model: Model, point: Point, generator: np.random.Generator, tally: Tally) -> None:
    """Move every part of a point once; the posterior is left invariant.

    Parameters
    ----------
    model : Model
        Counts and settings.
    point : Point
        Changed in place.
    generator : numpy.random.Generator
        The only source of randomness.
    tally : Tally
        Told what was accepted.
    """
    _move_scales(model, point, generator)
    _draw_laws(model, point, generator)
    draw_states(model, point, generator)
    weights, values = draw_paths(model, point, generator, tally)
    _shift_paths(model, point, generator)
    if not model.is_poisson:
        _draw_loadings(model, point, weights, values, generator)
    if model.dispersion is None:
        _draw_dispersion(model, point, generator)
    _move_labels(model, point, generator, tally)


def _statistics(model: Model, point: Point) -> tuple[Array, Array]:
    parts = [
        law_statistics(path, point.states, model.is_first, model.n_states) for path in point.paths
    ]
    return np.stack([part[0] for part in parts]), np.stack([part[1] for part in parts])


def _move_scales(model: Model, point: Point, generator: np.random.Generator) -> None:
    """Stretch each factor and shrink its loadings, with the laws integrated out."""
    n, n_clusters = model.prior.n_dims, point.n_clusters
    sizes = np.bincount(point.labels, minlength=n_clusters)
    for j in range(1, n):
        number, sums = _statistics(model, point)
        first = (point.paths[:, model.is_first, j] ** 2).sum(axis=1)
        own = np.bincount(point.labels, point.loadings[:, j] ** 2, minlength=n_clusters)

        def log_density(
            u: Array, j: int = j, number: Array = number, sums: Array = sums,
            first: Array = first, own: Array = own,
        ) -> Array:  # fmt: skip
            grow = np.ones((n_clusters, 2 * n + 1))
            grow[:, j] = grow[:, n + 1 + j] = np.exp(u)
            scaled = sums * (grow[:, :, np.newaxis] * grow[:, np.newaxis, :])[:, np.newaxis]
            law = law_log_marginal(model.prior, number, scaled).sum(axis=1)
            ends = first * np.exp(2 * u) + own * np.exp(-2 * u)
            return np.asarray(law - 0.5 * ends + (model.n_times - sizes) * u)

        u = slice_sample(log_density, np.zeros(n_clusters), width=0.3, random_state=generator)
        point.paths[:, :, j] *= np.exp(u)[:, np.newaxis]
        point.loadings[:, j] *= np.exp(-u)[point.labels]


def _draw_laws(model: Model, point: Point, generator: np.random.Generator) -> None:
    number, sums = _statistics(model, point)
    point.A, point.b, point.Q = draw_laws(model.prior, number, sums, generator)


def draw_states(model: Model, point: Point, generator: np.random.Generator) -> None:
    """Draw states given trajectories, then transition probabilities and shares."""
    n_states = model.n_states
    follows = np.flatnonzero(~model.is_first)
    log_b = np.zeros((model.n_times, n_states))
    for path, A, b, Q in zip(point.paths, point.A, point.b, point.Q, strict=True):
        lower = np.linalg.inv(np.linalg.cholesky(Q))
        step = path[follows] - path[follows - 1] @ np.swapaxes(A, -1, -2) - b[:, np.newaxis]
        scaled = step @ np.swapaxes(lower, -1, -2)
        volume = np.log(np.diagonal(lower, axis1=-2, axis2=-1)).sum(axis=-1)
        log_b[follows] += volume - 0.5 * (scaled**2).sum(axis=-1).T
    log_p = np.log(point.transition)
    log_pi = np.full(n_states, -np.log(n_states))
    point.states = sample_path(log_b, log_p, log_pi, model.offsets, random_state=generator)
    counts = transition_counts(point.states, model.is_first, n_states)
    _draw_transitions(model, point, counts, generator)


def _draw_transitions(
    model: Model, point: Point, counts: Array, generator: np.random.Generator
) -> None:
    point.share = draw_shares(counts, point.share, model.alpha, model.gamma, model.kappa, generator)
    point.transition = draw_transitions(counts, point.share, model.alpha, model.kappa, generator)


def _augment(
    model: Model, point: Point, generator: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Draw Polya-Gamma weights; give log means, weights (0 where not seen) and responses."""
    eta = predictors(point)
    r = point.dispersion[:, np.newaxis]
    if model.is_poisson:
        mean = model.counts.sum(axis=1) / np.maximum(model.is_seen.sum(axis=1), 1)
        r = _NEARLY_POISSON * np.maximum(mean, 1.0)[:, np.newaxis]
    weights = pg_weights(model.counts + r, eta - np.log(r), generator)
    values = pg_regression(model.counts, r, weights)
    return eta, np.where(model.is_seen, weights, 0.0), values


def draw_paths(
    model: Model, point: Point, generator: np.random.Generator, tally: Tally
) -> tuple[Array, Array]:
    """Move stretches of states with trajectories integrated out, then draw trajectories."""
    n, n_times, n_clusters = model.prior.n_dims, model.n_times, point.n_clusters
    eta, weights, values = _augment(model, point, generator)
    J, h = np.empty((n_clusters, n_times, n, n)), np.empty((n_clusters, n_times, n))
    for k in range(n_clusters):
        members = np.flatnonzero(point.labels == k)
        loads = np.concatenate([np.ones((members.size, 1)), point.loadings[members, 1:]], axis=1)
        rest = values[members] - point.loadings[members, :1]
        seen = information(rest.T, weights[members].T, loads)
        J[k], h[k] = seen.J, seen.h
    m0, P0 = np.zeros(n), np.eye(n)
    mean, covariance = np.empty_like(h), np.empty_like(J)
    ll = np.empty((n_clusters, n_times))
    states, paths = point.states.copy(), np.empty_like(point.paths)
    for k in range(n_clusters):
        kernels.filter_forward(
            states, model.is_first, point.A[k], point.b[k], point.Q[k], J[k], h[k], m0, P0,
            mean[k], covariance[k], ll[k],
        )  # fmt: skip
    log_pi = np.full(model.n_states, -np.log(model.n_states))
    moved = kernels.block_moves(
        states, model.is_first, np.log(point.transition), log_pi, point.share, point.A, point.b,
        point.Q, J, h, m0, P0, mean, covariance, ll, generator.random((model.block_moves, 5)),
        _MEAN_STRETCH, _MEAN_SHIFT,
    )  # fmt: skip
    tally.add("stretch", moved[0], moved[1])
    tally.add("boundary", moved[2], moved[3])
    normals: Any = generator.standard_normal(paths.shape)
    precision = np.linalg.inv(point.Q)
    for k in range(n_clusters):
        kernels.draw_backward(
            states, model.is_first, point.A[k], point.b[k], precision[k], mean[k], covariance[k],
            normals[k], paths[k],
        )  # fmt: skip
    if model.is_poisson and not _corrects(model, point, paths, eta, generator, tally):
        return weights, values
    point.states, point.paths = states, paths
    return weights, values


def _corrects(
    model: Model, point: Point, paths: Array, eta: Array, generator: np.random.Generator,
    tally: Tally,
) -> bool:  # fmt: skip
    """Accept states and trajectories that were drawn as if counts were negative binomial."""
    mean = model.counts.sum(axis=1) / np.maximum(model.is_seen.sum(axis=1), 1)
    near = _NEARLY_POISSON * np.maximum(mean, 1.0)[:, np.newaxis]
    before, exact = point.paths, point.dispersion[:, np.newaxis]
    point.paths = paths
    new_eta = predictors(point)
    point.paths = before
    ratio = 0.0
    for sign, predictor in ((1.0, new_eta), (-1.0, eta)):
        gap = count_log_likelihood(model.counts, predictor, exact)
        gap = gap - count_log_likelihood(model.counts, predictor, near)
        ratio += sign * float(gap[model.is_seen].sum())
    is_taken = bool(np.log(max(generator.random(), 1e-300)) < ratio)
    tally.add("poisson", float(is_taken), 1.0)
    return is_taken


def _shift_paths(model: Model, point: Point, generator: np.random.Generator) -> None:
    """Move trajectories up and offsets down by the same, which changes no rate."""
    n = model.prior.n_dims
    number, sums = _statistics(model, point)
    precision_Q = np.linalg.inv(point.Q)
    for k in range(point.n_clusters):
        members = point.labels == k
        loads = point.loadings[members].copy()
        loads[:, 0] = 1.0
        first = point.paths[k, model.is_first]
        residual = (
            sums[k, :, n + 1 :, n]
            - (point.A[k] @ sums[k, :, :n, n, np.newaxis])[..., 0]
            - point.b[k] * number[k][:, np.newaxis]
        )
        lever = np.eye(n) - point.A[k]
        weighted = np.swapaxes(lever, -1, -2) @ precision_Q[k]
        precision = loads.T @ loads + len(first) * np.eye(n)
        precision += (number[k][:, np.newaxis, np.newaxis] * (weighted @ lever)).sum(axis=0)
        linear = loads.T @ point.loadings[members, 0] - first.sum(axis=0)
        linear -= (weighted @ residual[..., np.newaxis])[..., 0].sum(axis=0)
        lower = np.linalg.cholesky(0.5 * (precision + precision.T))
        half = np.linalg.solve(lower, linear) + generator.standard_normal(n)
        shift = np.linalg.solve(lower.T, half)
        point.paths[k] += shift
        point.loadings[members, 0] -= loads @ shift


def _draw_loadings(
    model: Model, point: Point, weights: Array, values: Array, generator: np.random.Generator
) -> None:
    n = model.prior.n_dims
    normals: Any = generator.standard_normal(point.loadings.shape)
    for k in range(point.n_clusters):
        members = np.flatnonzero(point.labels == k)
        rows = point.paths[k].copy()
        rest = np.where(weights[members] > 0, values[members] - rows[:, 0], 0.0)
        rows[:, 0] = 1.0
        squares = (rows[:, :, np.newaxis] * rows[:, np.newaxis, :]).reshape(-1, n * n)
        precision = np.eye(n) + (weights[members] @ squares).reshape(-1, n, n)
        linear = (weights[members] * rest) @ rows
        lower = np.linalg.cholesky(precision)
        half = np.linalg.solve(lower, linear[..., np.newaxis])
        half += normals[members][..., np.newaxis]
        point.loadings[members] = np.linalg.solve(np.swapaxes(lower, -1, -2), half)[..., 0]


@kernel()
def _negbin_terms(y: Array, is_seen: Array, mean: Array, r: Array, total: Array) -> None:
    for i in range(y.shape[0]):
        value = 0.0
        for t in range(y.shape[1]):
            if is_seen[i, t]:
                value -= (y[i, t] + r[i]) * np.log1p(mean[i, t] / r[i])
        total[i] = value


def _draw_dispersion(model: Model, point: Point, generator: np.random.Generator) -> None:
    """Move the dispersions by a slice step on their logarithms; their prior is Gamma(1, 1)."""
    mean = np.exp(np.minimum(predictors(point), LARGEST_PREDICTOR))
    number = model.is_seen.sum(axis=1)
    spikes = model.counts.sum(axis=1)
    # log Gamma(y + r) is summed over distinct counts, of which there are few.
    sizes, code = np.unique(model.counts, return_inverse=True)
    code = code.reshape(model.counts.shape) + sizes.size * np.arange(model.n_units)[:, np.newaxis]
    table = np.bincount(code[model.is_seen], minlength=sizes.size * model.n_units)
    table = table.reshape(model.n_units, sizes.size)

    def log_density(u: Array) -> Array:
        r = np.exp(u)
        total = np.empty(model.n_units)
        _negbin_terms(model.counts, model.is_seen, mean, r, total)
        total += (table * special.gammaln(sizes + r[:, np.newaxis])).sum(axis=1)
        total -= number * special.gammaln(r) + spikes * u
        # Beyond this the counts are Poisson to rounding, and below it the numbers run out.
        return np.where(np.abs(u) < 25.0, total - r + u, -np.inf)

    start = np.log(point.dispersion)
    point.dispersion = np.exp(slice_sample(log_density, start, width=1.0, random_state=generator))


def _move_labels(model: Model, point: Point, generator: np.random.Generator, tally: Tally) -> None:
    """Move units between clusters with their loadings; let some found or leave a cluster."""
    n_units, n = point.loadings.shape
    value = np.empty((point.n_clusters, n_units))
    mode = np.empty((point.n_clusters, n_units, n))
    factor = np.empty((point.n_clusters, n_units, n, n))
    for k, path in enumerate(point.paths):
        fit_loadings(
            model.counts, model.is_seen, point.dispersion, path, LARGEST_PREDICTOR,
            value[k], mode[k], factor[k],
        )  # fmt: skip
    before = point.labels.copy()
    accepted = relabel(
        model.counts, model.is_seen, point.dispersion, point.paths, LARGEST_PREDICTOR,
        model.mfm_gamma, value, mode, factor, generator.permutation(n_units),
        generator.random((n_units, 2)), generator.standard_normal((n_units, n)), point.labels,
        point.loadings,
    )  # fmt: skip
    tally.add("loadings", accepted, n_units)
    tally.add("labels", float(np.count_nonzero(before != point.labels)), n_units)
    for i in generator.choice(n_units, min(model.births, n_units), replace=False):
        changed = _found_cluster(model, point, int(i), generator)
        tally.add("births and deaths", float(changed), 1.0)


def _found_cluster(model: Model, point: Point, i: int, generator: np.random.Generator) -> bool:
    """Let one unit choose among all other clusters and one without units; tell if K changed."""
    n = model.prior.n_dims
    old = int(point.labels[i])
    sizes = np.bincount(point.labels, minlength=point.n_clusters)
    is_single = sizes[old] == 1
    sizes[old] -= 1
    if is_single:
        # Its own cluster is the one without units.
        paths, laws, spare = point.paths, None, old
    else:
        path, laws = draw_trajectories(model, point.states, generator)
        paths, spare = np.concatenate([point.paths, path[np.newaxis]]), point.n_clusters
    y, is_seen, r = model.counts[i : i + 1], model.is_seen[i : i + 1], point.dispersion[i : i + 1]
    value, mode = np.empty((len(paths), 1)), np.empty((len(paths), 1, n))
    factor = np.empty((len(paths), 1, n, n))
    for k, path in enumerate(paths):
        fit_loadings(y, is_seen, r, path, LARGEST_PREDICTOR, value[k], mode[k], factor[k])
    n_others = int(np.count_nonzero(sizes))
    weight = np.log(np.append(sizes, 0)[: len(paths)] + model.mfm_gamma)
    weight[spare] = np.log(model.mfm_gamma)
    weight[spare] += model.log_v[n_others + 1] - model.log_v[n_others] if n_others else 0.0
    weight += value[:, 0]
    chance = np.exp(weight - weight.max())
    new = int(np.searchsorted(chance.cumsum() / chance.sum(), generator.random()))
    new = min(new, len(paths) - 1)
    drawn, ratio = np.empty(n), 0.0
    for sign, k, normals, loading in (
        (1.0, new, generator.standard_normal(n), drawn),
        (-1.0, old, np.full(n, np.nan), point.loadings[i]),
    ):
        found = propose(
            y[0], is_seen[0], r[0], paths[k], LARGEST_PREDICTOR, mode[k, 0], factor[k, 0],
            normals, loading,
        )  # fmt: skip
        ratio += sign * (found - value[k, 0])
    if not np.log(max(generator.random(), 1e-300)) < ratio:
        return False
    point.loadings[i], point.labels[i] = drawn, new
    if new == spare and laws is not None:
        point.paths = paths
        point.A, point.b, point.Q = (
            np.concatenate([kept, added[np.newaxis]])
            for kept, added in zip((point.A, point.b, point.Q), laws, strict=True)
        )
        return True
    if is_single and new != old:
        keep = np.arange(point.n_clusters) != old
        point.paths = point.paths[keep]
        point.A, point.b, point.Q = point.A[keep], point.b[keep], point.Q[keep]
        point.labels[point.labels > old] -= 1
        return True
    return False
