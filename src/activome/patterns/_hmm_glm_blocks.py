"""Likelihood of switching regressions and its slopes, in blocks of bins that stay in cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from activome._compile import kernel

__all__ = ["curvature", "emissions", "expected", "expected_units"]

Array = np.ndarray[Any, Any]
_LINKS = {"sigmoid": 0, "softplus": 1, "exp": 2}
# Bins in which a state is less likely than this add nothing that double precision would show.
_NEGLIGIBLE = 1e-9
_BLOCK_VALUES = 1 << 18


@kernel(inline=True)
def _moments(eta: float, small: float, link: int) -> tuple[float, float]:
    """Return mean and slope of the link; ``small`` is exp(-|eta|)."""
    if link == 2:
        mean = np.exp(min(eta, 700.0))
        return mean, mean
    slope = 1.0 / (1.0 + small) if eta >= 0.0 else small / (1.0 + small)
    if link == 0:
        return slope, slope * (1.0 - slope)
    # Far below zero softplus is exp, and 1 + small is 1.
    mean = max(eta, 0.0) + np.log1p(small) if eta > -30.0 else small
    return mean, slope


@kernel(inline=True)
def _log_mean(eta: float, small: float, mean: float, link: int) -> float:
    if link == 2:
        return eta
    if link == 0:
        return float(min(eta, 0.0) - np.log1p(small))
    return float(np.log(mean)) if eta > -30.0 else eta


@kernel()
def _log_prob(
    eta: Array, small: Array, counts: Array, gamma: Array, link: int, log_b: Array, value: Array
) -> None:
    n_times, n_states, n_units = eta.shape
    is_weighed = gamma.size > 0
    for t in range(n_times):
        for s in range(n_states):
            g = gamma[t, s] if is_weighed else 0.0
            total = 0.0
            for n in range(n_units):
                e, tail = eta[t, s, n], small[t, s, n]
                mean, _ = _moments(e, tail, link)
                x = counts[t, n]
                term = -mean
                # Most bins hold no spike, and need no logarithm.
                if x > 0.0:
                    term += x * _log_mean(e, tail, mean, link)
                total += term
                if g >= _NEGLIGIBLE:
                    value[n] += g * term
            log_b[t, s] = total


@kernel()
def _slopes(
    eta: Array, small: Array, counts: Array, gamma: Array, link: int,
    value: Array, residual: Array, fisher: Array,
) -> None:  # fmt: skip
    n_times, n_states, n_units = eta.shape
    for t in range(n_times):
        for s in range(n_states):
            g = gamma[t, s]
            if g < _NEGLIGIBLE:
                residual[t, s] = 0.0
                fisher[t, s] = 0.0
                continue
            for n in range(n_units):
                e, tail = eta[t, s, n], small[t, s, n]
                mean, slope = _moments(e, tail, link)
                x = counts[t, n]
                # slope / mean, in a form that does not divide by what underflows.
                ratio = 1.0
                if link == 0:
                    ratio = tail / (1.0 + tail) if e >= 0.0 else 1.0 / (1.0 + tail)
                elif link == 1 and e > -30.0:
                    ratio = slope / mean
                change = -mean
                if x > 0.0:
                    change += x * _log_mean(e, tail, mean, link)
                value[n] += g * change
                residual[t, s, n] = g * (x - mean) * ratio
                fisher[t, s, n] = g * slope * ratio


def _blocks(n_times: int, width: int) -> Iterator[slice]:
    step = max(64, _BLOCK_VALUES // max(width, 1))
    for first in range(0, n_times, step):
        yield slice(first, min(first + step, n_times))


def _predictor(past: Array, weights: Array, bias: Array) -> tuple[Array, Array]:
    n_states, n_units, n_features = weights.shape
    eta = past @ weights.reshape(-1, n_features).T
    eta += bias.reshape(-1)
    eta = eta.reshape(len(past), n_states, n_units)
    return eta, np.exp(-np.abs(eta))


def emissions(past: Array, counts: Array, weights: Array, bias: Array, link: str) -> Array:
    """Return the log probability of each bin under each state, without the constants of counts.

    Parameters
    ----------
    past : ndarray of float64, shape (n_times, n_features)
        Inputs.
    counts : ndarray of float64, shape (n_times, n_units)
        Counts.
    weights : ndarray of float64, shape (n_states, n_units, n_features)
        Weights.
    bias : ndarray of float64, shape (n_states, n_units)
        Predictors without input.
    link : str
        Link.

    Returns
    -------
    ndarray of float64, shape (n_times, n_states)
        In nats.
    """
    return expected_units(past, counts, np.empty((0, len(weights))), weights, bias, link)[0]


def expected_units(
    past: Array, counts: Array, gamma: Array, weights: Array, bias: Array, link: str
) -> tuple[Array, Array]:
    """Return log emissions and, of every unit, the log likelihood expected under ``gamma``."""
    log_b, value = np.empty((len(counts), len(weights))), np.zeros(counts.shape[1])
    for rows in _blocks(len(counts), weights.shape[0] * weights.shape[1]):
        eta, small = _predictor(past[rows], weights, bias)
        _log_prob(eta, small, counts[rows], gamma[rows], _LINKS[link], log_b[rows], value)
    return log_b, value


def _sums(
    past: Array, counts: Array, gamma: Array, weights: Array, bias: Array, link: str, pairs: Any
) -> tuple[Array, Array, Array, Array]:
    """Return values (n_units,), slopes and, for pairs of features, curvatures of all predictors."""
    n_states, n_units, n_features = weights.shape
    width = n_states * n_units
    value, g_bias = np.zeros(n_units), np.zeros(width)
    g_weights = np.zeros((width, n_features))
    n_pairs = 0 if pairs is None else pairs[0].size
    curves = np.zeros((width, n_pairs))
    for rows in _blocks(len(counts), max(width, n_pairs)):
        eta, small = _predictor(past[rows], weights, bias)
        residual, fisher = np.empty_like(eta), np.empty_like(eta)
        _slopes(eta, small, counts[rows], gamma[rows], _LINKS[link], value, residual, fisher)
        flat = residual.reshape(-1, width)
        g_weights += flat.T @ past[rows]
        g_bias += flat.sum(axis=0)
        if pairs is not None:
            inputs = np.column_stack([np.ones(len(flat)), past[rows]])
            curves += fisher.reshape(-1, width).T @ (inputs[:, pairs[0]] * inputs[:, pairs[1]])
    return value, g_weights.reshape(weights.shape), g_bias.reshape(n_states, n_units), curves


def expected(
    past: Array, counts: Array, gamma: Array, weights: Array, bias: Array, link: str
) -> tuple[float, Array, Array]:
    """Return the expected log likelihood without constants, and its gradients.

    ``past`` and ``counts`` are (n_times, n_units), ``gamma`` (n_times, n_states), ``weights``
    (n_states, n_units, n_units) and ``bias`` (n_states, n_units).
    """
    value, g_weights, g_bias, _ = _sums(past, counts, gamma, weights, bias, link, None)
    return float(value.sum()), g_weights, g_bias


def curvature(
    past: Array, counts: Array, gamma: Array, weights: Array, bias: Array, link: str
) -> tuple[Array, Array, Array, Array]:
    """Return expected log likelihoods, gradients, and Fisher information of every predictor.

    Returns
    -------
    value : ndarray, shape (n_units,)
        Without constants.
    g_weights, g_bias : ndarray, shapes (n_states, n_units, n_features) and (n_states, n_units)
        Gradients.
    fisher : ndarray, shape (n_states, n_units, n_features + 1, n_features + 1)
        Of bias and weights, the bias first. One matrix product makes all of them.
    """
    n_states, n_units, n_features = weights.shape
    pairs = np.triu_indices(n_features + 1)
    value, g_weights, g_bias, curves = _sums(past, counts, gamma, weights, bias, link, pairs)
    fisher = np.empty((n_states * n_units, n_features + 1, n_features + 1))
    fisher[:, pairs[0], pairs[1]] = curves
    fisher[:, pairs[1], pairs[0]] = curves
    return value, g_weights, g_bias, fisher.reshape(n_states, n_units, *fisher.shape[1:])
