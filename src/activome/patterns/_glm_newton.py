"""Weighted generalised linear models by Fisher scoring with step halving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg, optimize, special

__all__ = [
    "FAMILIES",
    "LINKS",
    "NewtonFit",
    "fit_dispersion",
    "fit_newton",
    "inverse_link",
    "log_prob",
]

Array = np.ndarray[Any, Any]
LINKS = ("exp", "softplus", "sigmoid")
# Which links keep the mean in the range of the family.
FAMILIES = {
    "poisson": ("exp", "softplus", "sigmoid"),
    "bernoulli": ("sigmoid",),
    "negative_binomial": ("exp", "softplus"),
}
_TINY = 1e-300


@dataclass(frozen=True)
class NewtonFit:
    """Coefficients, penalised log likelihood after each iteration, and whether it converged."""

    coefficients: Array
    history: list[float]
    converged: bool


def inverse_link(eta: Array, link: str) -> tuple[Array, Array]:
    """Return the mean and its derivative for the linear predictor."""
    if link == "exp":
        mean = np.exp(np.minimum(eta, 700.0))
        return mean, mean
    slope = special.expit(eta)
    if link == "sigmoid":
        return slope, slope * special.expit(-eta)
    return np.logaddexp(0.0, eta), slope


def log_prob(counts: Array, eta: Array, family: str, link: str, dispersion: float = 1.0) -> Array:
    """Return the log probability of each count, constants included, in nats."""
    if family == "bernoulli":
        return np.asarray(counts * eta - np.logaddexp(0.0, eta))
    if link == "exp":
        log_mean, mean = eta, np.exp(np.minimum(eta, 700.0))
    elif link == "sigmoid":
        log_mean, mean = -np.logaddexp(0.0, -eta), special.expit(eta)
    else:
        mean = np.logaddexp(0.0, eta)
        # Far below zero softplus is exp, and its logarithm the predictor itself.
        log_mean = np.where(eta < -30.0, eta, np.log(np.maximum(mean, _TINY)))
    if family == "poisson":
        return np.asarray(counts * log_mean - mean - special.gammaln(counts + 1))
    shape = 1.0 / dispersion
    total = np.logaddexp(np.log(shape), log_mean)
    constant = special.gammaln(counts + shape) - special.gammaln(shape)
    constant = constant - special.gammaln(counts + 1)
    return np.asarray(constant + shape * (np.log(shape) - total) + counts * (log_mean - total))


def fit_newton(
    design: Array,
    counts: Array,
    *,
    family: str,
    link: str,
    penalty: Array,
    centre: Array | None = None,
    weights: Array | None = None,
    start: Array | None = None,
    dispersion: float = 1.0,
    max_iter: int = 50,
    tol: float = 1e-8,
) -> NewtonFit:
    """Maximise weighted log likelihood less ``penalty (w - centre)^2 / 2``, for one unit.

    ``design`` is (n_samples, n_features) with the column of ones where wanted; ``penalty`` has one
    entry per column. The objective never falls: steps are halved until it does not.
    """
    n_features = design.shape[1]
    beta = np.zeros(n_features) if start is None else start.astype(np.float64)
    target = np.zeros(n_features) if centre is None else centre
    weight = np.ones(len(counts)) if weights is None else weights

    def objective(at: Array, eta: Array) -> float:
        fit = weight @ log_prob(counts, eta, family, link, dispersion)
        return float(fit - 0.5 * penalty @ (at - target) ** 2)

    eta = design @ beta
    history = [objective(beta, eta)]
    for _ in range(max_iter):
        mean, slope = inverse_link(eta, link)
        if family == "bernoulli":
            score, fisher = counts - mean, slope
        else:
            variance = np.maximum(mean, _TINY)
            if family == "negative_binomial":
                variance = variance * (1.0 + dispersion * mean)
            score, fisher = (counts - mean) * (slope / variance), slope * (slope / variance)
        gradient = design.T @ (weight * score) - penalty * (beta - target)
        hessian = (design * (weight * fisher)[:, np.newaxis]).T @ design
        hessian[np.diag_indices(n_features)] += penalty
        step = _solve(hessian, gradient)
        size, along = 1.0, design @ step
        value = history[-1]
        for _ in range(40):
            value = objective(beta + size * step, eta + size * along)
            if value >= history[-1]:
                break
            size /= 2
        else:
            return NewtonFit(beta, history, True)
        beta, eta = beta + size * step, eta + size * along
        history.append(value)
        if abs(value - history[-2]) <= tol * (abs(value) + 1e-12):
            return NewtonFit(beta, history, True)
    return NewtonFit(beta, history, False)


def _solve(hessian: Array, gradient: Array) -> Array:
    try:
        return np.asarray(linalg.cho_solve(linalg.cho_factor(hessian), gradient))
    except linalg.LinAlgError:
        # Columns that say the same: of all solutions the shortest.
        return np.asarray(linalg.pinvh(hessian, rtol=1e-12) @ gradient)


def fit_dispersion(counts: Array, eta: Array, link: str, weights: Array | None = None) -> float:
    """Return the dispersion of a negative binomial law that makes the counts most likely."""
    weight = np.ones(len(counts)) if weights is None else weights

    def cost(log_dispersion: float) -> float:
        value = log_prob(counts, eta, "negative_binomial", link, float(np.exp(log_dispersion)))
        return -float(weight @ value)

    found = optimize.minimize_scalar(
        cost, bounds=(-14.0, 7.0), method="bounded", options={"xatol": 1e-9, "maxiter": 500}
    )
    return float(np.exp(found.x))
