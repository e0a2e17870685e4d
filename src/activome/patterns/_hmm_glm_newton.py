"""Newton M step of switching regressions: one damped step of Fisher scoring for every unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome.patterns._hmm_glm_blocks import curvature, emissions, expected_units

__all__ = ["newton_step"]

Array = np.ndarray[Any, Any]
Parameters = dict[str, Array]
# Where spikes can be told without error the best weight is infinite: no step is longer than this.
_LONGEST_STEP = 1.0
_DAMPING = 1e-6
_MOST_HALVINGS = 12


def newton_step(
    parameters: Parameters, data: tuple[Array, Array, Array], link: str, precision: float,
    allowed: Array,
) -> tuple[Parameters, Array]:  # fmt: skip
    """Climb the expected likelihood less ``precision / 2`` times squared distances to the mean.

    ``parameters`` are weights (n_states, n_units, n_units) and bias (n_states or 1, n_units);
    ``data`` past, counts and state probabilities. The common mean of the weights is solved for
    together with them. The step of a unit is halved until its objective does not fall.

    Returns
    -------
    parameters : dict
        Weights and bias.
    log_b : ndarray of float64, shape (n_times, n_states)
        Log emissions under them, which the next E step needs.
    """
    weights, bias = parameters["weights"], parameters["bias"]
    full = np.broadcast_to(bias, weights.shape[:2]).copy()
    value, g_weights, g_bias, fisher = curvature(*data, weights, full, link)
    value = value - _penalty(weights, precision, allowed)
    step_b, step_w = _solve(weights, len(bias) == 1, g_weights, g_bias, fisher, precision, allowed)
    scale = np.ones(len(value))
    for _ in range(_MOST_HALVINGS):
        new_w = weights + scale[:, np.newaxis] * step_w
        new_b = bias + scale * step_b
        full = np.broadcast_to(new_b, weights.shape[:2]).copy()
        log_b, found = expected_units(*data, new_w, full, link)
        fell = ~(found - _penalty(new_w, precision, allowed) >= value) & (scale > 0)
        if not fell.any():
            return {"weights": new_w, "bias": new_b}, log_b
        scale[fell] /= 2.0
    scale[fell] = 0.0
    new_w, new_b = weights + scale[:, np.newaxis] * step_w, bias + scale * step_b
    full = np.broadcast_to(new_b, weights.shape[:2]).copy()
    return {"weights": new_w, "bias": new_b}, emissions(data[0], data[1], new_w, full, link)


def _penalty(weights: Array, precision: float, allowed: Array) -> Array:
    spread = weights - weights.mean(axis=0)
    return np.asarray(0.5 * precision * (spread**2 * allowed).sum(axis=(0, 2)))


def _solve(
    weights: Array, is_shared: bool, g_weights: Array, g_bias: Array, fisher: Array,
    precision: float, allowed: Array,
) -> tuple[Array, Array]:  # fmt: skip
    """Return steps of bias and weights; the states of a unit hang together by mean and bias."""
    n_states, n_units, n_features = weights.shape
    n_bias = 1 if is_shared else n_states
    size = n_bias + n_states * n_features
    left, right = np.zeros((n_units, size, size)), np.zeros((n_units, size))
    distance = weights - weights.mean(axis=0)
    for s in range(n_states):
        b = 0 if is_shared else s
        w = slice(n_bias + s * n_features, n_bias + (s + 1) * n_features)
        left[:, b, b] += fisher[s, :, 0, 0]
        left[:, b, w] = fisher[s, :, 0, 1:]
        left[:, w, b] = fisher[s, :, 1:, 0]
        left[:, w, w] = fisher[s, :, 1:, 1:]
        right[:, b] += g_bias[s]
        right[:, w] = g_weights[s] - precision * distance[s]
        for r in range(n_states):
            other = np.arange(n_features) + n_bias + r * n_features
            left[:, np.arange(w.start, w.stop), other] += precision * ((s == r) - 1.0 / n_states)
    is_free = np.concatenate([np.ones((n_units, n_bias)), np.tile(allowed, (1, n_states))], axis=1)
    left *= is_free[:, :, np.newaxis] * is_free[:, np.newaxis, :]
    diagonal = np.einsum("nii->ni", left)
    diagonal += _DAMPING * diagonal.max(axis=1, keepdims=True) + (1.0 - is_free) + 1e-12
    step = np.linalg.solve(left, (right * is_free)[..., np.newaxis])[..., 0]
    longest = np.abs(step).max(axis=1, keepdims=True)
    step *= np.minimum(1.0, _LONGEST_STEP / np.maximum(longest, 1e-300))
    step_w = step[:, n_bias:].reshape(n_units, n_states, n_features).swapaxes(0, 1)
    return step[:, :n_bias].T, step_w
