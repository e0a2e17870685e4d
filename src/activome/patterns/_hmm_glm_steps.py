"""M steps of switching regressions: expected likelihood, its gradient, and three priors."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from activome.patterns._hmm_glm_blocks import expected

__all__ = ["Adam", "gaussian_step", "hard_weights", "onehot_start", "onehot_step"]

Array = np.ndarray[Any, Any]
Parameters = dict[str, Array]


class Adam:
    """Ascent with a step of its own for every parameter; moments last over M steps."""

    def __init__(self, rate: float) -> None:
        self.rate, self.n = rate, 0
        self.first: Parameters = {}
        self.second: Parameters = {}

    def step(self, parameters: Parameters, gradient: Parameters) -> None:
        """Change the parameters in place."""
        self.n += 1
        for name, g in gradient.items():
            m = 0.9 * self.first.get(name, np.zeros_like(g)) + 0.1 * g
            v = 0.999 * self.second.get(name, np.zeros_like(g)) + 0.001 * g * g
            self.first[name], self.second[name] = m, v
            scaled = (m / (1 - 0.9**self.n)) / (np.sqrt(v / (1 - 0.999**self.n)) + 1e-8)
            parameters[name] = parameters[name] + self.rate * scaled


def _bias_gradient(g_bias: Array, bias: Array) -> Array:
    return g_bias.sum(axis=0, keepdims=True) if len(bias) == 1 else g_bias


def gaussian_step(
    parameters: Parameters, data: tuple[Array, Array, Array], link: str, n_steps: int, adam: Adam,
    precision: float, allowed: Array,
) -> Parameters:  # fmt: skip
    """Climb the expected likelihood less ``precision / 2`` times squared distances to the mean.

    The best point of the climb is returned, its start among them, so that EM never falls.
    """
    best, top = dict(parameters), -np.inf
    now = dict(parameters)
    for k in range(n_steps + 1):
        full = np.broadcast_to(now["bias"], now["weights"].shape[:2]).copy()
        value, g_weights, g_bias = expected(*data, now["weights"], full, link)
        distance = (now["weights"] - now["weights"].mean(axis=0)) * allowed
        value -= 0.5 * precision * float((distance**2).sum())
        if value > top:
            best, top = dict(now), value
        if k < n_steps:
            gradient = {"weights": (g_weights - precision * distance) * allowed}
            adam.step(now, gradient | {"bias": _bias_gradient(g_bias, now["bias"])})
    return best


def onehot_start(weights: Array, bias: Array) -> Parameters:
    """Turn weights into signs, strengths and the prior that the states share."""
    z = 6.0 * (np.abs(weights) - 0.25)
    against = -np.abs(z) - 2.0
    logits = np.stack(
        [np.where(weights < 0, z, against), -z / 2, np.where(weights > 0, z, against)], axis=-1
    )
    logits = np.clip(logits, -4.0, 4.0)
    strength = np.clip(np.abs(weights), 0.3, 3.0)
    raw = strength + np.log(-np.expm1(-strength))
    return {"logits": logits, "raw": raw, "prior": logits.mean(axis=0), "bias": bias.copy()}


def hard_weights(parameters: Parameters, allowed: Array) -> Array:
    """Return the weights under the most likely sign of every pair."""
    signs = parameters["logits"].argmax(axis=-1) - 1.0
    return np.asarray(signs * allowed * np.logaddexp(0.0, parameters["raw"]))


def onehot_step(
    parameters: Parameters, data: tuple[Array, Array, Array], link: str, n_steps: int, adam: Adam,
    tau: float, strength: float, allowed: Array, generator: np.random.Generator,
) -> Parameters:  # fmt: skip
    """Climb the expected likelihood of relaxed signs less their divergence from the prior."""
    now = dict(parameters)
    for _ in range(n_steps):
        noise = generator.gumbel(size=now["logits"].shape)
        relaxed = special.softmax((now["logits"] + noise) / tau, axis=-1)
        size = np.logaddexp(0.0, now["raw"]) * allowed
        sign = relaxed[..., 2] - relaxed[..., 0]
        full = np.broadcast_to(now["bias"], sign.shape[:2]).copy()
        _, g_weights, g_bias = expected(*data, sign * size, full, link)
        pull = (g_weights * size)[..., np.newaxis] * np.array([-1.0, 0.0, 1.0])
        pull = relaxed * (pull - (relaxed * pull).sum(axis=-1, keepdims=True)) / tau
        share = special.softmax(now["logits"], axis=-1)
        ratio = np.log(np.maximum(share, 1e-300)) - special.log_softmax(now["prior"], axis=-1)
        divergence = (share * ratio).sum(axis=-1, keepdims=True)
        gradient = {
            "logits": pull - strength * share * (ratio - divergence),
            "raw": g_weights * sign * special.expit(now["raw"]) * allowed,
            "prior": strength * (share - special.softmax(now["prior"], axis=-1)).sum(axis=0),
            "bias": _bias_gradient(g_bias, now["bias"]),
        }
        adam.step(now, gradient)
        for name in ("logits", "prior"):
            centred = now[name] - now[name].mean(axis=-1, keepdims=True)
            spread = np.ptp(centred, axis=-1, keepdims=True)
            now[name] = np.where(spread > 20.0, centred / 2, centred)
    return now
