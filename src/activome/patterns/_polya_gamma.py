"""Polya-Gamma variables, which turn counts with a logistic rate into Gaussian observations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from activome._random import RandomState, make_generator
from activome.errors import ParameterError

__all__ = ["pg_mean", "pg_regression", "pg_variance", "pg_weights"]

Array = np.ndarray[Any, Any]
# Terms of the series that are drawn one by one; all later ones together have the exact mean and
# variance, and are 3e-4 of the variance.
_N_TERMS = 5


def pg_mean(shape: ArrayLike, tilt: ArrayLike) -> Array:
    """Return the mean of Polya-Gamma variables.

    Parameters
    ----------
    shape : array-like of float
        Shape b, above 0.
    tilt : array-like of float
        Tilt c.

    Returns
    -------
    ndarray of float64
        ``b tanh(c / 2) / (2 c)``, in the broadcast shape.

    Examples
    --------
    >>> float(pg_mean(2.0, 0.0))
    0.5
    """
    b, c = np.asarray(shape, dtype=np.float64), np.abs(np.asarray(tilt, dtype=np.float64))
    safe = np.where(c < 1e-4, 1.0, c)
    return np.asarray(b * np.where(c < 1e-4, 0.25 - c**2 / 48, np.tanh(safe / 2) / (2 * safe)))


def pg_variance(shape: ArrayLike, tilt: ArrayLike) -> Array:
    """Return the variance of Polya-Gamma variables.

    Parameters
    ----------
    shape : array-like of float
        Shape b, above 0.
    tilt : array-like of float
        Tilt c.

    Returns
    -------
    ndarray of float64
        ``b (sinh c - c) / (4 c^3 cosh(c / 2)^2)``, in the broadcast shape.

    Examples
    --------
    >>> round(float(pg_variance(1.0, 0.0)) * 24, 6)
    1.0
    """
    b, c = np.asarray(shape, dtype=np.float64), np.abs(np.asarray(tilt, dtype=np.float64))
    is_small = c < 0.05
    safe = np.where(is_small, 1.0, c)
    fall = np.exp(-safe)
    # sinh(c) - c over cosh(c / 2)^2, without the exponentials that overflow.
    ratio = 2 * (1 - fall**2 - 2 * safe * fall) / (1 + fall) ** 2
    small = 1 / 24 - c**2 / 120 + 17 * c**4 / 13440
    return np.asarray(b * np.where(is_small, small, ratio / (4 * safe**3)))


def pg_weights(shape: ArrayLike, tilt: ArrayLike, random_state: RandomState = None) -> Array:
    """Draw Polya-Gamma variables PG(b, c).

    Parameters
    ----------
    shape : array-like of float
        Shape b, above 0; a count plus the dispersion.
    tilt : array-like of float
        Tilt c: the linear predictor.
    random_state : int, numpy.random.Generator or None, default=None
        Seed.

    Returns
    -------
    ndarray of float64
        One draw per element of the broadcast shape.

    Raises
    ------
    ParameterError
        If a shape is not above 0, or a number is not finite.

    Notes
    -----
    The variable is ``sum_k g_k / (2 pi^2 ((k - 1/2)^2 + c^2 / (4 pi^2)))`` with gamma variables
    g_k of shape b [1]_. The first five terms are drawn; the rest is one gamma variable with the
    mean and variance that all later terms have together, so that both moments are exact for every
    b and c, whole or not. Cost: six gamma draws, whatever b.

    References
    ----------
    .. [1] N. G. Polson, J. G. Scott and J. Windle, "Bayesian inference for logistic models using
       Polya-Gamma latent variables", 2013.

    Examples
    --------
    >>> draws = pg_weights(np.full(4000, 2.5), 1.0, random_state=0)
    >>> bool(abs(draws.mean() / pg_mean(2.5, 1.0) - 1) < 0.02)
    True
    """
    b, c = np.broadcast_arrays(np.asarray(shape, np.float64), np.asarray(tilt, np.float64))
    if not (np.isfinite(b).all() and np.isfinite(c).all() and (b > 0).all()):
        raise ParameterError(
            "pg_weights: shapes must be above 0 and tilts finite; some are not. Check the counts "
            "and the dispersion."
        )
    generator = make_generator(random_state)
    mean, variance = pg_mean(b, c), pg_variance(b, c)
    draws = np.zeros(b.shape)
    squared = (c / (2 * np.pi)) ** 2
    for k in range(_N_TERMS):
        scale = 1.0 / (2 * np.pi**2 * ((k + 0.5) ** 2 + squared))
        draws += scale * generator.standard_gamma(b)
        mean = mean - b * scale
        variance = variance - b * scale**2
    draws += variance / mean * generator.standard_gamma(mean**2 / variance)
    # Tiny shapes underflow; what divides by a weight must not.
    return np.asarray(np.maximum(draws, 1e-100))


def pg_regression(counts: ArrayLike, dispersion: ArrayLike, weights: ArrayLike) -> Array:
    """Return the Gaussian observations of the log mean that Polya-Gamma weights make of counts.

    For ``y ~ NB(r, mean exp(eta))`` and ``w ~ PG(y + r, eta - log r)`` the likelihood of eta is
    that of a Gaussian observation of it with variance 1 / w.

    Parameters
    ----------
    counts : array-like of float
        Counts y.
    dispersion : array-like of float
        Dispersion r, above 0.
    weights : array-like of float
        Weights w, above 0.

    Returns
    -------
    ndarray of float64
        ``(y - r) / (2 w) + log r``.

    Examples
    --------
    >>> float(pg_regression(3.0, 1.0, 0.5))
    2.0
    """
    y, r = np.asarray(counts, dtype=np.float64), np.asarray(dispersion, dtype=np.float64)
    return np.asarray((y - r) / (2 * np.asarray(weights)) + np.log(r))
