"""Attribution patching: exact for linear networks, and the slope that differences give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tiny_networks import GatedNetwork, logits, tiny_bert, tiny_gpt2, tiny_llama, tokens
from torch import nn

from activome.errors import ParameterError
from activome.interventions._hooks import n_active
from activome.interventions.activation_patching import activation_patching
from activome.interventions.attribution_patching import attribution_patching
from activome.interventions.edits import Add
from activome.interventions.taps import Taps


def third(found: Any) -> Any:
    return found[:, 3].mean()


def test_it_is_exact_for_a_linear_network() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 5)).double()
    clean, corrupted = torch.randn(2, 3, 4, dtype=torch.float64)
    for site, by in (("module:0#out", "unit"), ("module:0#in", "unit"), ("module:0#out", ())):
        exact, estimate = (
            method(model, clean, corrupted, third, site, by=by)
            for method in (activation_patching, attribution_patching)
        )
        assert exact.dims == estimate.dims
        np.testing.assert_allclose(estimate.values, exact.values, atol=1e-12)


@pytest.mark.parametrize(
    ("build", "site"),
    [
        (tiny_llama, "head_out[1]"),
        (tiny_llama, "mlp_hidden[0]"),
        (tiny_gpt2, "q[1]"),
        (tiny_gpt2, "resid_pre[1]"),
        (tiny_bert, "attn_out[0]"),
    ],
)
def test_it_equals_differences_of_the_metric(build: Callable[[], Any], site: str) -> None:
    model, clean, corrupted = build().double(), tokens(2, 4), tokens(2, 4, seed=1)
    found = attribution_patching(model, clean, corrupted, third, site, normalize=False)
    taps = Taps(model)
    with torch.no_grad(), taps.record(site) as rec:
        model(clean)
        model(corrupted)
    change = rec.tensor(site, step=0) - rec.tensor(site, step=1)
    for pos in range(4):
        values = []
        for step in (1e-4, -1e-4):
            with torch.no_grad(), taps.edit(Add(site, change, alpha=step, pos=pos)):
                values.append(float(third(logits(model(corrupted))[:, -1])))
        slope = (values[0] - values[1]) / 2e-4
        total = found.isel(site=0, layer=0).sel(position=pos).sum()
        # Norms of Llama round to single precision on the way, which the differences show.
        assert float(total) == pytest.approx(slope, rel=1e-3, abs=2e-3)


def test_parameters_are_as_before_and_have_no_gradient() -> None:
    model = tiny_llama()
    model.lm_head.weight.requires_grad_(False)
    flags = [parameter.requires_grad for parameter in model.parameters()]
    attribution_patching(model, tokens(), tokens(seed=1), third, ["resid_pre", "mlp_out"])
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert all(parameter.grad is None for parameter in model.parameters())
    assert n_active() == 0

    def fails(_: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        attribution_patching(model, tokens(), tokens(seed=1), fails, "q")
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    with torch.no_grad():
        again = attribution_patching(model, tokens(), tokens(seed=1), third, "resid_pre")
    assert np.isfinite(again.values).all()


def test_what_does_not_reach_the_metric_has_no_effect() -> None:
    model = tiny_llama()
    found = attribution_patching(model, tokens(), tokens(seed=1), third, "mlp_out[2]")
    np.testing.assert_array_equal(found.values[..., :-1], 0.0)
    assert abs(found.values[..., -1]) > 0


def test_units_and_positions() -> None:
    model, clean, corrupted = tiny_llama(), tokens(), tokens(seed=1)
    units = attribution_patching(
        model, clean, corrupted, third, "mlp_hidden", by=("unit",), positions=[-2, -1]
    )
    assert units.dims == ("site", "layer", "unit")
    assert units.sizes["unit"] == 48
    cells = attribution_patching(
        model, clean, corrupted, third, "mlp_hidden", by=("position", "unit")
    )
    np.testing.assert_allclose(cells.sel(position=[5, 6]).sum("position"), units, atol=1e-5)
    gated = attribution_patching(
        GatedNetwork(), torch.ones(2, 16), torch.zeros(2, 16), lambda y: y[:, 1].sum(), "resid_pre"
    )
    assert gated.dims == ("site", "layer")


def test_refusals() -> None:
    model, a, b = tiny_llama(), tokens(), tokens(seed=1)
    for message, metric in (
        ("differentiable by torch; it returned float", lambda x: x.sum().item()),
        ("its value has no gradient", lambda x: x.detach().sum()),
        ("its value has no gradient", lambda x: (x.argmax(-1) == 3).float().mean()),
        (r"one number; got a tensor of shape \(3,\)", lambda x: x[:, 3]),
        ("must differ between clean and corrupted", lambda x: (x * 0).sum()),
    ):
        with pytest.raises(ParameterError, match=message):
            attribution_patching(model, a, b, metric, "mlp_out")
    with pytest.raises(ParameterError, match="attribution_patching: clean and corrupted must have"):
        attribution_patching(model, a, tokens(3, 8), third, "mlp_out")
