"""Pruning: perplexities text by text, masks by hand, distributions, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch
from tiny_networks import tiny_llama

from activome.errors import ParameterError
from activome.interventions import Taps, record
from activome.interventions.edits import Apply
from activome.interventions.pruning import (
    activation_sparsity,
    mean_magnitude,
    perplexity,
    prune_matrix,
)

N_UNITS = 3 * 48


def texts(seed: int, n: int = 5) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(1, 40, rng.integers(3, 10)).tolist() for _ in range(n)]


def slow_loss(model: Any, ids: list[list[int]], first: int = 1) -> float:
    """Return the mean loss over tokens, one text after the other, without padding."""
    losses = []
    for one in ids:
        with torch.no_grad():
            logits = model(torch.tensor([one])).logits[0]
        log_p = torch.log_softmax(logits, -1)
        losses += [-float(log_p[i, one[i + 1]]) for i in range(first, len(one) - 1)]
    return float(np.mean(losses))


def test_perplexity_does_not_see_padding() -> None:
    model = tiny_llama(double=True)
    ids = texts(0)
    assert perplexity(model, ids) == pytest.approx(np.exp(slow_loss(model, ids)))
    assert perplexity(model, ids, skip_first=False, max_tokens=12) == pytest.approx(
        np.exp(slow_loss(model, ids, 0))
    )


def test_prune_matrix_against_columns_of_zeros() -> None:
    model = tiny_llama(double=True)
    functions = {"a": texts(1), "b": texts(2)}
    rng = np.random.default_rng(3)
    masks = {name: rng.random(N_UNITS) < 0.3 for name in ("a", "random")}
    found = prune_matrix(model, functions, masks)
    assert found.dims == ("pruned", "evaluated")
    whole = {name: np.exp(slow_loss(model, ids)) for name, ids in functions.items()}
    np.testing.assert_allclose(found.baseline, list(whole.values()))
    for name, mask in masks.items():
        cut = tiny_llama(double=True)
        with torch.no_grad():
            for unit in np.flatnonzero(mask):
                cut.model.layers[unit // 48].mlp.down_proj.weight[:, unit % 48] = 0
        for function, ids in functions.items():
            expected = np.exp(slow_loss(cut, ids)) / whole[function] - 1
            assert float(found.sel(pruned=name, evaluated=function)) == pytest.approx(expected)


@pytest.mark.parametrize("indicator", ["activation", "magnitude"])
def test_sparsity_by_hand(indicator: str) -> None:
    model = tiny_llama(double=True)
    ids = texts(4, 3)
    found = activation_sparsity(model, ids, indicator=indicator, ratios=(0.25, 0.75))
    taps = Taps(model)
    norms = [
        layer.mlp.down_proj.weight.detach().norm(dim=0).numpy() if indicator == "magnitude" else 1.0
        for layer in model.model.layers
    ]
    shares = []
    for one in ids:
        with taps.record("mlp_hidden[*]") as recording, torch.no_grad():
            model(torch.tensor([one]))
        for layer in range(3):
            size = np.abs(recording.tensor(f"mlp_hidden[{layer}]")[0, 1:].numpy()) * norms[layer]
            shares.append(size / size.max(axis=1, keepdims=True))
    values = np.concatenate(shares).ravel()
    expected = [(values <= t + 1e-12).mean() for t in found.threshold.values]
    np.testing.assert_allclose(found.cdf, expected, atol=1e-12)
    np.testing.assert_allclose(found.loss[0], slow_loss(model, ids))

    def cut(layer: int, n_off: int) -> Any:
        def function(value: Any) -> Any:
            size = np.abs(value.numpy()) * norms[layer]
            order = np.argsort(size, axis=-1)
            result = value.numpy().copy()
            np.put_along_axis(result, order[..., :n_off], 0.0, axis=-1)
            return torch.as_tensor(result)

        return Apply(f"mlp_hidden[{layer}]", function=function)

    for ratio, n_off in ((0.25, 12), (0.75, 36)):
        with taps.edit(*(cut(layer, n_off) for layer in range(3))):
            expected_loss = slow_loss(model, ids)
        assert float(found.loss.sel(ratio=ratio)) == pytest.approx(expected_loss)
    increase = np.exp(found.loss.values - found.loss.values[0]) - 1
    np.testing.assert_allclose(found.perplexity_increase, increase, atol=1e-12)


def test_mean_magnitude_leaves_padding_out() -> None:
    model = tiny_llama(double=True)
    ids = texts(5, 4)
    found = record(model, ids, "mlp_hidden[*]", reduce=mean_magnitude)
    for i, one in enumerate(ids):
        whole = record(model, torch.tensor([one]), "mlp_hidden[*]").values[0]
        np.testing.assert_allclose(found.values[i], np.abs(whole).mean(axis=0))


def test_refusals() -> None:
    model = tiny_llama()
    mask = {"a": np.arange(N_UNITS) < 3}
    with pytest.raises(ParameterError, match="at least one function and one mask"):
        prune_matrix(model, {"a": texts(0)}, {})
    with pytest.raises(ParameterError, match="of 'a' and 'b'"):
        prune_matrix(model, {"a": texts(0), "b": texts(0)}, mask)
    with pytest.raises(ParameterError, match=r"shape \(144,\)"):
        prune_matrix(model, {"a": texts(0)}, {"a": np.ones(5, bool)})
    with pytest.raises(ParameterError, match="predict no token"):
        perplexity(model, [[1, 2], [3]])
    with pytest.raises(ParameterError, match=r"ratio must be in \(0, 1\); got 1.0"):
        activation_sparsity(model, texts(0), ratios=(1.0,))
    with pytest.raises(ParameterError, match="unknown indicator 'size'"):
        activation_sparsity(model, texts(0), indicator="size")
    with pytest.raises(ParameterError, match="inputs and outputs of linear maps"):
        activation_sparsity(model, texts(0), site="resid_post[*]")
    with pytest.raises(ParameterError, match="token ids or texts"):
        perplexity(model, torch.zeros(2, 3, 4))
