"""Laplace approximations of count regressions: one unit on the trajectories of one cluster."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from activome._compile import kernel
from activome.patterns._kalman_kernels import cholesky

__all__ = ["LARGEST_PREDICTOR", "count_log_likelihood", "fit_loadings", "log_likelihood", "propose"]

Array = np.ndarray[Any, Any]
# The log mean is cut here, where exp() would soon overflow.
LARGEST_PREDICTOR = 20.0
_STEPS = 8


def count_log_likelihood(counts: Array, eta: Array, dispersion: Array) -> Array:
    """Return the log probability of counts.

    Parameters
    ----------
    counts : ndarray of float64
        Counts y.
    eta : ndarray of float64
        Log means.
    dispersion : ndarray of float64
        Dispersion r of a negative binomial; infinity for Poisson counts.

    Returns
    -------
    ndarray of float64
        In nats, in the broadcast shape.
    """
    eta = np.minimum(eta, LARGEST_PREDICTOR)
    mean = np.exp(eta)
    base = counts * eta - special.gammaln(counts + 1)
    is_poisson = np.isinf(dispersion)
    r = np.where(is_poisson, 1.0, dispersion)
    # y log(mean) - (y + r) log(r + mean) + r log(r), without the cancellation of large r.
    negbin = special.gammaln(counts + r) - special.gammaln(r) - counts * np.log(r)
    negbin = negbin - (counts + r) * np.log1p(mean / r)
    return np.asarray(base + np.where(is_poisson, -mean, negbin))


@kernel()
def log_likelihood(
    y: Array, is_seen: Array, r: float, path: Array, loading: Array, largest: float
) -> float:
    """Sum the log probability of one unit's counts, up to what does not depend on the predictor."""
    n = path.shape[1]
    total = 0.0
    for t in range(y.size):
        if not is_seen[t]:
            continue
        eta = loading[0] + path[t, 0]
        for j in range(1, n):
            eta += loading[j] * path[t, j]
        eta = min(eta, largest)
        if np.isinf(r):
            total += y[t] * eta - np.exp(eta)
        else:
            total += y[t] * eta - (y[t] + r) * np.log1p(np.exp(eta) / r)
    return total


@kernel()
def _laplace(
    y: Array, is_seen: Array, r: float, path: Array, largest: float, mode: Array, factor: Array
) -> float:
    """Fill the mode of one unit's offset and loadings and the factor of the precision there."""
    n = path.shape[1]
    gradient, step, row = np.empty(n), np.empty(n), np.ones(n)
    H = np.empty((n, n))
    total, number, base = 0.0, 0, 0.0
    for t in range(y.size):
        if is_seen[t]:
            total += y[t]
            base += np.exp(min(path[t, 0], largest))
            number += 1
    mode[:] = 0.0
    mode[0] = np.log((total + 0.5) / (base + 0.5))
    value = 0.0
    for iteration in range(_STEPS + 1):
        gradient[:] = -mode
        H[:] = 0.0
        value = 0.0
        for i in range(n):
            H[i, i] = 1.0
            value -= 0.5 * mode[i] * mode[i]
        for t in range(y.size):
            if not is_seen[t]:
                continue
            eta = mode[0] + path[t, 0]
            for j in range(1, n):
                row[j] = path[t, j]
                eta += mode[j] * path[t, j]
            eta = min(eta, largest)
            mean = np.exp(eta)
            if np.isinf(r):
                value += y[t] * eta - mean
                slope, weight = y[t] - mean, mean
            else:
                value += y[t] * eta - (y[t] + r) * np.log1p(mean / r)
                share = mean / (mean + r)
                slope = y[t] - (y[t] + r) * share
                weight = (y[t] + r) * share * (1.0 - share)
            for i in range(n):
                gradient[i] += slope * row[i]
                for j in range(i + 1):
                    H[i, j] += weight * row[i] * row[j]
        for i in range(n):
            for j in range(i):
                H[j, i] = H[i, j]
        cholesky(H, factor)
        if iteration == _STEPS:
            break
        for i in range(n):
            part = gradient[i]
            for j in range(i):
                part -= factor[i, j] * step[j]
            step[i] = part / factor[i, i]
        for i in range(n - 1, -1, -1):
            part = step[i]
            for j in range(i + 1, n):
                part -= factor[j, i] * step[j]
            step[i] = part / factor[i, i]
        norm = np.sqrt((step * step).sum())
        if norm > 2.0:
            step *= 2.0 / norm
        mode += step
        if norm < 1e-8:
            # One more pass would change the precision by less than rounding shows.
            break
    for i in range(n):
        value -= np.log(factor[i, i])
    return value


@kernel()
def fit_loadings(
    y: Array, is_seen: Array, r: Array, path: Array, largest: float, value: Array, mode: Array,
    factor: Array,
) -> None:  # fmt: skip
    """Fill log marginal likelihoods (n_units,), modes and precision factors for one cluster.

    ``y`` and ``is_seen`` are (n_units, n_times). Offset and loadings have standard normal priors;
    the marginals lack what does not depend on the cluster.
    """
    for i in range(y.shape[0]):
        value[i] = _laplace(y[i], is_seen[i], r[i], path, largest, mode[i], factor[i])


@kernel()
def propose(
    y: Array, is_seen: Array, r: float, path: Array, largest: float, mode: Array, factor: Array,
    normals: Array, loading: Array,
) -> float:  # fmt: skip
    """Draw from a Laplace approximation (unless ``normals`` is NaN); give log target - log draw.

    The difference lacks the log marginal of the approximation and ``n log(2 pi) / 2``, which
    cancel against those of ``fit_loadings``.
    """
    n = mode.size
    quadratic = 0.0
    if np.isnan(normals[0]):
        for i in range(n):
            part = 0.0
            for j in range(i, n):
                part += factor[j, i] * (loading[j] - mode[j])
            quadratic += part * part
    else:
        shift = np.empty(n)
        for i in range(n - 1, -1, -1):
            part = normals[i]
            for j in range(i + 1, n):
                part -= factor[j, i] * shift[j]
            shift[i] = part / factor[i, i]
            loading[i] = mode[i] + shift[i]
            quadratic += normals[i] * normals[i]
    value = log_likelihood(y, is_seen, r, path, loading, largest)
    for i in range(n):
        value -= 0.5 * loading[i] * loading[i] + np.log(factor[i, i])
    return value + 0.5 * quadratic


@kernel()
def relabel(
    y: Array, is_seen: Array, r: Array, paths: Array, largest: float, gamma: float, value: Array,
    mode: Array, factor: Array, order: Array, uniforms: Array, normals: Array, labels: Array,
    loadings: Array,
) -> int:  # fmt: skip
    """Give each unit a cluster among those that are there, and loadings; count what is accepted.

    An independence Metropolis step per unit: cluster from sizes times Laplace marginals, loadings
    from the Laplace approximation there. A cluster's last unit keeps its cluster.
    """
    n_clusters = paths.shape[0]
    sizes = np.zeros(n_clusters, dtype=np.int64)
    for k in labels:
        sizes[k] += 1
    weight = np.empty(n_clusters)
    drawn, none = np.empty(loadings.shape[1]), np.full(loadings.shape[1], np.nan)
    accepted = 0
    for i in order:
        old = labels[i]
        new = old
        if sizes[old] > 1:
            sizes[old] -= 1
            for k in range(n_clusters):
                weight[k] = np.log(sizes[k] + gamma) + value[k, i]
            top = weight.max()
            total = 0.0
            for k in range(n_clusters):
                weight[k] = np.exp(weight[k] - top)
                total += weight[k]
            left, new = uniforms[i, 0] * total, 0
            while new < n_clusters - 1 and left >= weight[new]:
                left -= weight[new]
                new += 1
            sizes[old] += 1
        ratio = propose(
            y[i], is_seen[i], r[i], paths[new], largest, mode[new, i], factor[new, i],
            normals[i], drawn,
        ) - value[new, i]  # fmt: skip
        ratio -= propose(
            y[i], is_seen[i], r[i], paths[old], largest, mode[old, i], factor[old, i],
            none, loadings[i],
        ) - value[old, i]  # fmt: skip
        if np.log(max(uniforms[i, 1], 1e-300)) < ratio:
            accepted += 1
            sizes[old] -= 1
            sizes[new] += 1
            labels[i] = new
            loadings[i] = drawn
    return accepted
