"""Path patching: first steps sum to the whole, and equal two passes made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_networks import logits, tiny_bert, tiny_gpt2, tiny_llama, tokens
from torch import nn

from activome.errors import ParameterError
from activome.interventions._hooks import n_active
from activome.interventions.activation_patching import activation_patching
from activome.interventions.edits import Patch
from activome.interventions.path_patching import path_patching
from activome.interventions.taps import Taps


def third(found: Any) -> Any:
    return found[:, 3].mean()


class LinearBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn, self.mlp = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, h: torch.Tensor) -> Any:
        """Return the stream plus both branches, one after the other."""
        h = h + self.attn(h)
        return h + self.mlp(h)


class LinearNetwork(nn.Module):
    """Two components per layer on a residual stream, and nothing that bends."""

    tap_sites = {  # noqa: RUF012  # read, never written
        "resid_pre": "blocks.*#in",
        "attn_in": "blocks.*.attn#in",
        "attn_out": "blocks.*.attn#out",
        "mlp_in": "blocks.*.mlp#in",
        "mlp_out": "blocks.*.mlp#out",
    }

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.blocks = nn.ModuleList(LinearBlock() for _ in range(3))
        self.double()

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """Return (n_samples, n_positions, 6) for the same."""
        for block in self.blocks:
            h = block(h)
        return h


def test_first_steps_sum_to_the_effect_of_the_sender() -> None:
    model = LinearNetwork()
    clean, corrupted = torch.randn(2, 2, 3, 6, dtype=torch.float64)
    whole = activation_patching(model, clean, corrupted, third, "attn_out[0]")
    steps = [
        path_patching(model, clean, corrupted, third, "attn_out[0]", receivers=receiver)
        for receiver in (None, "mlp_in[0]", "attn_in[1]", "mlp_in[1]", "attn_in[2]", "mlp_in[2]")
    ]
    np.testing.assert_allclose(sum(step.values for step in steps), whole.values, atol=1e-12)
    assert all(np.abs(step.values).max() > 1e-3 for step in steps)
    # In a linear network receivers add up, too.
    both = path_patching(
        model, clean, corrupted, third, "attn_out[0]", receivers=["attn_in[1]", "mlp_in[2]"]
    )
    np.testing.assert_allclose(both.values, (steps[2] + steps[5]).values, atol=1e-12)
    assert both.attrs["receivers"] == ["attn_in[1]", "mlp_in[2]"]


@pytest.mark.parametrize(
    ("build", "held"), [(tiny_llama, ("attn_out", "mlp_out")), (tiny_gpt2, ("attn_out", "mlp_out"))]
)
def test_it_equals_two_passes_by_hand(build: Any, held: tuple[str, ...]) -> None:
    model, clean, corrupted = build(), tokens(2, 4, seed=0), tokens(2, 4, seed=1)
    sites = ["q[1]", "v[1]"]
    found = path_patching(
        model, clean, corrupted, third, "head_out[0]", receivers=sites, by="head", max_tokens=24
    )
    taps = Taps(model)
    names = [f"{site}[{layer}]" for site in held for layer in range(len(taps.sites(held[0])))]
    with torch.no_grad():
        with taps.record("head_out[0]", *names) as rec:
            high = float(third(logits(model(clean))[:, -1]))
            low = float(third(logits(model(corrupted))[:, -1]))
        keep = [Patch(n, rec.tensor(n, step=1)) for n in names if n != "attn_out[0]"]
        for head in range(4):
            sender = Patch("head_out[0]", rec.tensor("head_out[0]", step=0), head=head)
            with taps.edit(sender, *keep), taps.record(*sites) as taken:
                model(corrupted)
            # Receivers of one layer do not see each other: setting is adding.
            with taps.edit(*(Patch(site, taken) for site in sites)):
                value = float(third(logits(model(corrupted))[:, -1]))
            wanted = (value - low) / (high - low)
            assert float(found.values[0, 0, head]) == pytest.approx(wanted, abs=1e-4)
    assert n_active() == 0


def test_the_direct_path_of_the_last_component_is_its_effect() -> None:
    model, clean, corrupted = tiny_llama(), tokens(2, 4, seed=0), tokens(2, 4, seed=1)
    direct = path_patching(model, clean, corrupted, third, "mlp_out[2]")
    whole = activation_patching(model, clean, corrupted, third, "mlp_out[2]")
    np.testing.assert_allclose(direct.values, whole.values, atol=1e-4)
    assert direct.attrs["receivers"] == "output"
    # Inside one layer of BERT the insides of a component are not held against themselves.
    bert = tiny_bert()
    inner = path_patching(bert, clean, corrupted, third, "mlp_pre[1]", by="position")
    assert float(np.abs(inner.values).max()) > 1e-6


def test_a_receiver_before_the_sender_takes_nothing_in() -> None:
    model, clean, corrupted = tiny_llama(), tokens(2, 4, seed=0), tokens(2, 4, seed=1)
    found = path_patching(model, clean, corrupted, third, "mlp_out[2]", receivers="q[1]")
    np.testing.assert_allclose(found.values, 0.0, atol=1e-5)


def test_refusals() -> None:
    model, a, b = tiny_llama(), tokens(), tokens(seed=1)
    with pytest.raises(ParameterError, match=r"attn_pattern.*cannot receive"):
        path_patching(model, a, b, third, "mlp_out[0]", receivers="attn_pattern[1]")
    with pytest.raises(ParameterError, match="no site is called 'qq"):
        path_patching(model, a, b, third, "mlp_out[0]", receivers="qq[1]")
    plain = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with pytest.raises(ParameterError, match="held must name the components"):
        path_patching(plain, torch.ones(1, 2), torch.zeros(1, 2), torch.sum, "module:0#out")
    with pytest.raises(ParameterError, match="must differ between clean and corrupted"):
        path_patching(model, a, a, third, "mlp_out[0]")
