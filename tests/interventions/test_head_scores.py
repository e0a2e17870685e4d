"""Scores of heads: against removal by hand, exact where the network is linear, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_networks import tiny_gpt2, tiny_llama, tokens

from activome.errors import ParameterError
from activome.interventions._hooks import n_active
from activome.interventions.head_scores import head_means, head_scores
from activome.networks.training import seed_everything
from activome.networks.transformer import AttentionOnly, TinyGPT


def metric(logits: Any) -> Any:
    return (logits[:, 3] - logits[:, 5]).mean()


def outputs_of_heads(model: Any, ids: Any) -> list[Any]:
    """Return what enters each output projection, by plain hooks."""
    found: list[Any] = []
    handles = [
        layer.self_attn.o_proj.register_forward_pre_hook(
            lambda _, args: found.append(args[0].detach())
        )
        for layer in model.model.layers
    ]
    with torch.no_grad():
        model(ids)
    for handle in handles:
        handle.remove()
    return found


def removed_by_hand(model: Any, ids: Any, layer: int, head: int, mean: Any, size: int = 8) -> float:
    def put(_: Any, args: Any) -> Any:
        changed = args[0].clone()
        changed[..., head * size : (head + 1) * size] = mean
        return (changed, *args[1:])

    handle = model.model.layers[layer].self_attn.o_proj.register_forward_pre_hook(put)
    with torch.no_grad():
        value = float(metric(model(ids).logits[:, -1]))
    handle.remove()
    return value


def test_means_leave_the_first_position_out() -> None:
    model, ids = tiny_llama(double=True), tokens()
    means = head_means(model, ids)
    assert means.dims == ("layer", "head", "feature")
    assert means.shape == (3, 4, 8)
    by_hand = [z[:, 1:].mean((0, 1)).reshape(4, 8) for z in outputs_of_heads(model, ids)]
    np.testing.assert_allclose(means.values, torch.stack(by_hand).numpy(), rtol=1e-12)


def test_means_of_lists_of_any_lengths_and_of_padded_prompts_are_equal() -> None:
    model, ids = tiny_llama(double=True), tokens()
    lists = [ids[0, :4].tolist(), ids[1].tolist(), ids[2, :6].tolist()]
    mask = torch.zeros_like(ids)
    for row, length in enumerate((4, 7, 6)):
        mask[row, :length] = 1
    padded = {"input_ids": ids * mask, "attention_mask": mask}
    np.testing.assert_allclose(
        head_means(model, lists).values, head_means(model, padded).values, rtol=1e-9, atol=1e-12
    )
    for rule in ("gradient", "relp"):
        np.testing.assert_allclose(
            head_scores(model, lists, metric, rule=rule).values,
            head_scores(model, padded, metric, rule=rule).values,
            rtol=1e-6,
            atol=1e-10,
        )


def test_two_sets_are_pooled_by_position() -> None:
    model = tiny_llama(double=True)
    first, second = tokens(2, 5), tokens(3, 4, seed=1)
    pooled = head_means(model, first, second)
    parts = [head_means(model, one) for one in (first, second)]
    np.testing.assert_allclose(
        pooled.values, (8 * parts[0].values + 9 * parts[1].values) / 17, rtol=1e-10, atol=1e-12
    )


def test_exact_scores_are_those_of_hooks_by_hand() -> None:
    model, ids = tiny_llama(double=True), tokens()
    scores = head_scores(model, ids, metric, rule="exact")
    with torch.no_grad():
        base = float(metric(model(ids).logits[:, -1]))
    assert scores.attrs["metric"] == pytest.approx(base)
    means = head_means(model, ids)
    for layer in range(3):
        for head in range(4):
            mean = torch.from_numpy(means.values[layer, head])
            wanted = removed_by_hand(model, ids, layer, head, mean) - base
            assert float(scores[layer, head]) == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    assert n_active() == 0


def test_first_order_is_exact_where_the_network_is_linear_in_its_heads() -> None:
    with seed_everything(0):
        network = AttentionOnly(12, 8, 16, 4, 1, norm="none", init="lecun").double().eval()
    ids = tokens(5, 6) % 12
    exact = head_scores(network, ids, metric, rule="exact")
    for rule in ("gradient", "relp"):
        found = head_scores(network, ids, metric, rule=rule, rules=() if rule == "relp" else None)
        np.testing.assert_allclose(found.values, exact.values, rtol=1e-9, atol=1e-12)
    assert float(exact.attrs["metric"]) != 0


def test_the_gradient_is_that_of_small_steps() -> None:
    model, ids = tiny_gpt2().double(), tokens()
    base = head_means(model, ids)
    scores = head_scores(model, ids, metric, base, "gradient")
    # Along the way to the reference the score is a derivative: a small part of the way moves the
    # metric by as much of the score.
    from activome.interventions.edits import Mean
    from activome.interventions.taps import Taps

    step = 1e-5
    with torch.no_grad():
        whole = float(metric(model(ids).logits[:, -1]))
        change = Mean("head_out[0]", reference=torch.from_numpy(base.values[0]), head=2,
                      schedule=lambda _: step)  # fmt: skip
        with Taps(model).edit(change):
            moved = float(metric(model(ids).logits[:, -1]))
    assert (moved - whole) / step == pytest.approx(float(scores[0, 2]), rel=1e-3)


def test_units_of_a_site_without_heads() -> None:
    with seed_everything(0):
        network = TinyGPT(12, 8, 16, 4, 2).double().eval()
    ids = tokens(5, 6) % 12
    scores = head_scores(network, ids, metric, site="mlp_hidden", rule="gradient")
    assert scores.dims == ("layer", "unit")
    assert scores.shape == (2, 64)
    exact = head_scores(network, ids, metric, site="mlp_hidden[1]", rule="exact")
    assert np.corrcoef(exact.values[0], scores.values[1])[0, 1] > 0.9


def test_the_order_of_the_prompts_is_that_of_the_logits() -> None:
    model = tiny_llama()
    lists = [tokens(1, n, seed=n)[0].tolist() for n in (5, 3, 6, 3)]
    seen: list[Any] = []

    def watch(logits: Any) -> Any:
        seen.append(logits.detach())
        return logits[:, 0].mean()

    head_scores(model, lists, watch)
    with torch.no_grad():
        wanted = torch.stack([model(torch.tensor([one])).logits[0, -1] for one in lists])
    torch.testing.assert_close(seen[0], wanted, rtol=1e-4, atol=1e-5)


def test_refusals() -> None:
    model, ids = tiny_llama(), tokens()
    with pytest.raises(ParameterError, match="unknown rule"):
        head_scores(model, ids, metric, rule="saliency")
    with pytest.raises(ParameterError, match="unknown reference"):
        head_scores(model, ids, metric, "median")
    with pytest.raises(ParameterError, match="dims layer and head"):
        head_scores(model, ids, metric, np.zeros((3, 4, 8)))
    short = head_means(model, ids).isel(layer=[0, 1])
    with pytest.raises(ParameterError, match=r"layers \[2\] are missing"):
        head_scores(model, ids, metric, short)
    with pytest.raises(ParameterError, match="NaN"):
        head_scores(model, ids, metric, head_means(model, ids) * np.nan)
    with pytest.raises(ParameterError, match="one finite number"):
        head_scores(model, ids, lambda logits: logits[:, 0])
    with pytest.raises(ParameterError, match="no gradient"):
        head_scores(model, ids, lambda logits: logits.argmax(-1).double().mean())
    with pytest.raises(ParameterError, match="every layer"):
        head_scores(model, ids, metric, site="logits")
    with pytest.raises(ParameterError, match="at least one set"):
        head_means(model)
    assert n_active() == 0
