"""Integrated gradients: the effects of a site sum to the effect of the whole of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tiny_networks import GatedNetwork, tiny_bert, tiny_gpt2, tiny_llama, tokens
from torch import nn

from activome.errors import ParameterError
from activome.interventions.activation_patching import activation_patching
from activome.interventions.integrated_gradients import integrated_gradients


def third(found: Any) -> Any:
    return found[:, 3].mean()


class Square(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x squared."""
        return x * x


def test_by_hand_on_a_square() -> None:
    model = nn.Sequential(nn.Identity(), Square())
    clean, corrupted = torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 1.0]])
    # From 1 to 3 the slope 2x is 4 on average, at one step in the middle too.
    for n_steps in (1, 7):
        found = integrated_gradients(
            model, clean, corrupted, torch.sum, "module:0#out", by="unit", normalize=False,
            n_steps=n_steps,
        )  # fmt: skip
        np.testing.assert_allclose(found.values, [[8.0, 0.0]], rtol=1e-6)


@pytest.mark.parametrize("build", [tiny_gpt2, tiny_bert, tiny_llama])
def test_effects_of_a_site_sum_to_that_of_the_whole(build: Callable[[], Any]) -> None:
    model, clean, corrupted = build().double(), tokens(2, 4), tokens(2, 4, seed=1)
    sites = ["resid_pre", "mlp_out"]
    whole = activation_patching(model, clean, corrupted, third, sites, by=())
    errors = []
    for n_steps in (8, 32):
        found = integrated_gradients(
            model, clean, corrupted, third, sites, n_steps=n_steps, max_tokens=90
        )
        errors.append(np.abs(found.sum("position").values - whole.values).max())
    # Four times the steps, a sixteenth of the error, once they resolve the way.
    assert errors[1] < 0.2 * errors[0] or errors[1] < 1e-4
    assert errors[1] < 0.05


def test_networks_without_a_chain_of_blocks() -> None:
    model = GatedNetwork()
    clean, corrupted = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(0))
    metric: Callable[[Any], Any] = lambda y: y[:, 1].sum()  # noqa: E731
    whole = activation_patching(model, clean, corrupted, metric, "mlp_out")
    found = integrated_gradients(model, clean, corrupted, metric, "mlp_out", n_steps=40)
    np.testing.assert_allclose(found.values, whole.values, atol=2e-3)


def test_refusals() -> None:
    for n_steps in (0, 2.5):
        with pytest.raises(ParameterError, match="n_steps must be an integer at least 1"):
            integrated_gradients(
                tiny_llama(),
                tokens(),
                tokens(seed=1),
                third,
                "q",
                n_steps=n_steps,  # type: ignore[arg-type]
            )
