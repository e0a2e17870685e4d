"""Relevance patching: the sum over a site, and nearer to the truth than the gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_networks import tiny_bert, tiny_llama, tokens
from torch import nn

from activome.errors import ParameterError
from activome.interventions._hooks import n_active
from activome.interventions.activation_patching import activation_patching
from activome.interventions.attribution_patching import attribution_patching
from activome.interventions.relevance_patching import relevance_patching


def third(found: Any) -> Any:
    return found[:, 3].mean()


def test_by_hand_on_a_norm() -> None:
    # The norm of both is the same, so that the effect of x / |x| is linear in x.
    model = nn.Sequential(nn.RMSNorm(2, eps=0.0), nn.Linear(2, 1, bias=False)).double()
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[2.0, 1.0]]))
    clean = torch.tensor([[4.0, 3.0]], dtype=torch.float64)
    corrupted = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    found = relevance_patching(
        model, clean, corrupted, torch.sum, "module:0#in", by="unit", normalize=False
    )
    scale = np.sqrt(2) / 5
    np.testing.assert_allclose(found.values, [[2 * scale, -scale]], rtol=1e-12)
    plain = attribution_patching(
        model, clean, corrupted, torch.sum, "module:0#in", by="unit", normalize=False
    )
    assert float(plain.sum()) != pytest.approx(scale, rel=0.01)


def test_without_rules_it_is_attribution_patching() -> None:
    model, clean, corrupted = tiny_llama(), tokens(), tokens(seed=1)
    sites = ["resid_pre", "mlp_out"]
    with_none = relevance_patching(model, clean, corrupted, third, sites, rules=())
    plain = attribution_patching(model, clean, corrupted, third, sites)
    np.testing.assert_allclose(with_none.values, plain.values, rtol=1e-5, atol=1e-7)
    assert n_active() == 0


def test_it_is_nearer_to_the_truth_where_gates_mislead_the_gradient() -> None:
    model, clean, corrupted = tiny_llama(), tokens(3, 6), tokens(3, 6, seed=1)
    truth = activation_patching(model, clean, corrupted, third, "resid_pre").values.ravel()
    relp, plain = (
        np.corrcoef(truth, method(model, clean, corrupted, third, "resid_pre").values.ravel())[0, 1]
        for method in (relevance_patching, attribution_patching)
    )
    assert relp > plain + 0.1


def test_all_relevance_of_the_difference_is_there_before_every_block() -> None:
    # With every rule the network is linear at the corrupted run: before each block the relevance
    # of the whole stream is the metric there.
    model, corrupted = tiny_llama(double=True), tokens(seed=1)
    zero = {"inputs_embeds": torch.zeros(3, 7, 32, dtype=torch.float64)}
    given = {"inputs_embeds": model.get_input_embeddings()(corrupted).detach()}
    found = relevance_patching(
        model, zero, given, third, "resid_pre", by=(), normalize=False,
        rules=("norm", "identity", "half", "attention"),
    )  # fmt: skip
    wanted = -found.attrs["corrupted_metric"]
    # The clean run is 0 at every block: the effect is all of the metric.
    np.testing.assert_allclose(found.values[0], wanted, rtol=1e-10)


def test_names_and_refusals() -> None:
    model, a, b = tiny_bert(), tokens(), tokens(seed=1)
    found = relevance_patching(model, a, b, third, "head_out", by="head")
    assert found.dims == ("site", "layer", "head")
    assert found.attrs["method"] == "relevance_patching"
    with pytest.raises(ParameterError, match="unknown rule 'gate'"):
        relevance_patching(model, a, b, third, "head_out", rules=("gate",))
    with pytest.raises(ParameterError, match=r"bfloat16.*allow_half=True"):
        relevance_patching(tiny_llama().bfloat16(), a, b, third, "mlp_out")
    with pytest.raises(ParameterError, match="its value has no gradient"):
        relevance_patching(model, a, b, lambda x: x.detach().sum(), "mlp_out")
