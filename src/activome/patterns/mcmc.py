"""Whether chains have mixed: rank-normalised split R-hat and effective sample sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft, special, stats

from activome._checks import check_choice, check_finite
from activome.errors import ActivityError

__all__ = ["effective_sample_size", "rhat"]

Array = np.ndarray[Any, Any]


def rhat(draws: ArrayLike) -> float:
    """Return the rank-normalised split R-hat of one quantity.

    Chains are cut in halves, draws are replaced by normal scores of their ranks, and the variance
    between halves is compared with that within; the larger of the value for the draws and for
    their distance from the median is returned [1]_. Above 1.01 chains have not mixed.

    Parameters
    ----------
    draws : array-like of float, shape (n_chains, n_draws) or (n_draws,)
        One quantity, at least 4 draws per chain.

    Returns
    -------
    float
        At least about 1; 1 for draws that are all equal, infinity where every half is constant and
        they differ.

    Raises
    ------
    ActivityError
        If the draws are not (n_chains, n_draws) with at least 4 draws, or not finite.

    References
    ----------
    .. [1] A. Vehtari, A. Gelman, D. Simpson, B. Carpenter and P.-C. Buerkner, "Rank-normalization,
       folding, and localization: an improved R-hat for assessing convergence of MCMC", 2021.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> bool(rhat(rng.normal(size=(4, 500))) < 1.01)
    True
    >>> bool(rhat(rng.normal(size=(4, 500)) + np.arange(4)[:, None]) > 1.5)
    True
    """
    halves = _split(_check(draws, "rhat"))
    folded = np.abs(halves - np.median(halves))
    return max(_plain_rhat(_normal_scores(halves)), _plain_rhat(_normal_scores(folded)))


def effective_sample_size(draws: ArrayLike, *, kind: str = "bulk") -> float:
    """Return how many independent draws the draws of correlated chains are worth.

    Parameters
    ----------
    draws : array-like of float, shape (n_chains, n_draws) or (n_draws,)
        One quantity, at least 4 draws per chain.
    kind : {"bulk", "tail", "mean"}, default="bulk"
        For the centre of the distribution (normal scores of ranks), for its 5 % and 95 % quantiles
        (the smaller of the two), or for the mean of the draws as they are.

    Returns
    -------
    float
        Effective draws of all chains together; at most ``n log10(n)`` for n draws, which
        anticorrelated chains reach. The number of draws where all are equal.

    Raises
    ------
    ActivityError
        If the draws are not (n_chains, n_draws) with at least 4 draws, or not finite.
    ParameterError
        If ``kind`` is unknown.

    Notes
    -----
    Autocorrelations are summed in pairs while these are positive, made monotone (Geyer's initial
    monotone sequence), as in [1]_.

    References
    ----------
    .. [1] A. Vehtari, A. Gelman, D. Simpson, B. Carpenter and P.-C. Buerkner, "Rank-normalization,
       folding, and localization: an improved R-hat for assessing convergence of MCMC", 2021.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = np.zeros(2000)
    >>> for t in range(1, 2000):
    ...     x[t] = 0.9 * x[t - 1] + rng.normal()
    >>> bool(60 < effective_sample_size(x, kind="mean") < 180)  # 2000 (1 - 0.9) / (1 + 0.9) = 105
    True
    """
    owner = "effective_sample_size"
    check_choice(kind, ("bulk", "tail", "mean"), name="kind", owner=owner)
    values = _check(draws, owner)
    if kind == "tail":
        cuts = np.quantile(values, [0.05, 0.95])
        return min(_effective_size(_split((values <= cut).astype(np.float64))) for cut in cuts)
    halves = _split(values)
    return _effective_size(halves if kind == "mean" else _normal_scores(halves))


def _check(draws: ArrayLike, owner: str) -> Array:
    values = np.atleast_2d(np.asarray(draws, dtype=np.float64))
    if values.ndim != 2 or values.shape[0] < 1 or values.shape[1] < 4:
        raise ActivityError(
            f"{owner}: draws must be (n_chains, n_draws) with at least 4 draws per chain; got "
            f"shape {np.shape(draws)}. Run the chains for longer."
        )
    check_finite(values, owner=owner, axes=("chain", "draw"), what="draws", cure="Drop them first.")
    return values


def _split(values: Array) -> Array:
    half = values.shape[1] // 2
    # The middle draw of an odd number belongs to neither half.
    return np.concatenate([values[:, :half], values[:, -half:]])


def _normal_scores(values: Array) -> Array:
    ranks = stats.rankdata(values, method="average").reshape(values.shape)
    return np.asarray(special.ndtri((ranks - 0.375) / (values.size + 0.25)))


def _plain_rhat(values: Array) -> float:
    n = values.shape[1]
    within = float(values.var(axis=1, ddof=1).mean())
    between = float(values.mean(axis=1).var(ddof=1))
    # The score of a constant has a spread of rounding only.
    floor = 1e-20
    if within < floor:
        return 1.0 if between < floor else float("inf")
    return float(np.sqrt((n - 1) / n + between / within))


def _effective_size(values: Array) -> float:
    n_chains, n = values.shape
    if np.ptp(values) < 1e-10 or n < 4:
        return float(values.size)
    centred = values - values.mean(axis=1, keepdims=True)
    spectrum = fft.rfft(centred, fft.next_fast_len(2 * n), axis=1)
    power = (spectrum * spectrum.conj()).real
    covariance = fft.irfft(power, fft.next_fast_len(2 * n), axis=1)[:, :n] / n
    mean_variance = float((covariance[:, 0] * n / (n - 1)).mean())
    plus = mean_variance * (n - 1) / n
    if n_chains > 1:
        plus += float(values.mean(axis=1).var(ddof=1))
    rho = 1.0 - (mean_variance - covariance.mean(axis=0)) / plus
    rho[0] = 1.0
    return _geyer(rho, n_chains, n)


def _geyer(rho: Array, n_chains: int, n: int) -> float:
    n_pairs = max((n - 3) // 2, 0) + 1
    pairs = rho[0 : 2 * n_pairs : 2] + rho[1 : 2 * n_pairs : 2]
    falls = np.flatnonzero(pairs[1:] <= 0)
    # The pair where the sum ends is left out, but for its even lag where that is above zero.
    last = int(falls[0]) + 1 if falls.size else n_pairs - 1
    kept = np.minimum.accumulate(pairs[:last])
    odd = float(rho[2 * last]) if 2 * last < n and rho[2 * last] > 0 else 0.0
    total = n_chains * n
    tau = max(-1.0 + 2.0 * float(kept.sum()) + odd, 1.0 / np.log10(total))
    return float(total / tau)
