"""Steering: what is added where, the strength for a divergence, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from tiny_networks import tiny_llama, tokens
from torch import nn

from activome.errors import ParameterError
from activome.interventions._hooks import n_active
from activome.interventions.steering import alpha_for_kl, steer
from activome.interventions.taps import Taps

SITE = "mlp_hidden[1]"


def direction() -> Any:
    return np.random.default_rng(0).normal(size=48)


def test_steering_a_hidden_layer_adds_the_projected_direction_to_the_stream() -> None:
    model, ids, z = tiny_llama(double=True), tokens(), direction()
    taps = Taps(model)
    with taps.record("mlp_out[1]") as plain, torch.no_grad():
        model(ids)
    with steer(model, SITE, z, 3.0), taps.record("mlp_out[1]") as moved, torch.no_grad():
        model(ids)
    weight = model.model.layers[1].mlp.down_proj.weight.detach().numpy()
    added = (moved.tensor("mlp_out[1]") - plain.tensor("mlp_out[1]")).numpy()
    np.testing.assert_allclose(
        added, np.broadcast_to(3.0 * weight @ z / np.linalg.norm(z), added.shape), atol=1e-12
    )
    assert n_active() == 0


def test_the_opposite_and_one_position() -> None:
    model, ids, z = tiny_llama(double=True), tokens(), direction()
    with torch.no_grad(), Taps(model).record(SITE) as plain:
        model(ids)
    with torch.no_grad(), steer(model, SITE, -z, -2.0, pos="last"), Taps(model).record(SITE) as rec:
        model(ids)
    change = (rec.tensor(SITE) - plain.tensor(SITE)).numpy()
    np.testing.assert_allclose(change[:, :-1], 0.0, atol=1e-12)
    np.testing.assert_allclose(change[0, -1], 2.0 * z / np.linalg.norm(z), atol=1e-12)


def divergence(model: Any, ids: Any, alpha: float) -> float:
    """Return the mean divergence by scipy."""
    with torch.no_grad():
        plain = log_softmax(model(ids).logits[:, -1].numpy(), axis=1)
        with steer(model, SITE, direction(), alpha):
            moved = log_softmax(model(ids).logits[:, -1].numpy(), axis=1)
    return float((np.exp(plain) * (plain - moved)).sum(1).mean())


def test_the_strength_is_between_the_steps_that_bracket_the_target() -> None:
    model, ids = tiny_llama(double=True), tokens()
    low, high = divergence(model, ids, 4.0), divergence(model, ids, 8.0)
    target = 0.25 * low + 0.75 * high
    found = alpha_for_kl(model, ids, direction(), target, [1.0, 2.0, 4.0, 8.0, 16.0], site=SITE)
    assert found == pytest.approx(7.0)
    # On a fine grid the divergence is met.
    grid = np.linspace(0.25, 16.0, 64)
    fine = alpha_for_kl(model, ids, direction(), target, grid, site=SITE)
    assert divergence(model, ids, fine) == pytest.approx(target, rel=1e-2)


def test_below_the_first_step_the_way_from_no_steering_is_shared_out() -> None:
    network = nn.Sequential(nn.Identity())
    first = alpha_for_kl(network, torch.zeros(1, 2), [1.0, 0.0], 0.01, [1.0], site="module:0#out")
    logs = log_softmax([1.0, 0.0])
    reached = float((0.5 * (np.log(0.5) - logs)).sum())
    assert first == pytest.approx(0.01 / reached)


def test_refusals() -> None:
    model, ids = tiny_llama(), tokens()
    for bad in (np.zeros(48), np.full(48, np.nan), np.ones((2, 48))):
        with pytest.raises(ParameterError, match="finite vector"), steer(model, SITE, bad):
            pass
    with pytest.raises(ParameterError, match="alpha"), steer(model, SITE, direction(), np.nan):
        pass
    with pytest.raises(ParameterError, match="no site"), steer(model, "mlp", direction()):
        pass
    with pytest.raises(ParameterError, match="met within the grid"):
        alpha_for_kl(model, ids, direction(), 50.0, [0.1, 0.2], site=SITE)
    with pytest.raises(ParameterError, match="rise"):
        alpha_for_kl(model, ids, direction(), 0.5, [2.0, 1.0], site=SITE)
    with pytest.raises(ParameterError, match="target"):
        alpha_for_kl(model, ids, direction(), 0.0, site=SITE)
    with pytest.raises(ParameterError, match="does not fit"):
        alpha_for_kl(model, ids, np.ones(47), 0.5, site=SITE)
    assert n_active() == 0
