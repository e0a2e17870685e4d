"""Relevance patching against relevances that are propagated by hand, module by module, in numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from tiny_networks import tiny_llama, tokens
from torch import nn

from activome.interventions.activation_patching import activation_patching
from activome.interventions.attribution_patching import attribution_patching
from activome.interventions.relevance_patching import relevance_patching

Array = np.ndarray[Any, Any]
SITES = ["resid_pre", "attn_out", "mlp_out"]


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


@dataclass
class Block:
    """What one block of a Llama computed for one prompt; arrays are (position, ...)."""

    resid_pre: Array
    attn_out: Array
    mlp_out: Array
    middle: Array
    gate: Array
    up: Array
    weights: Array  # (head, to, from)
    query: Array
    key: Array
    value: Array


class ByHand:
    """A Llama in numpy, with its backward pass written out rule by rule."""

    def __init__(self, model: Any) -> None:
        self.p = {name: w.detach().double().numpy() for name, w in model.state_dict().items()}
        config = model.config
        self.n_heads, self.n_keys = config.num_attention_heads, config.num_key_value_heads
        self.d, self.n_layers = config.hidden_size, config.num_hidden_layers
        self.size, self.eps = self.d // self.n_heads, config.rms_norm_eps
        self.base = config.rope_parameters["rope_theta"]

    def w(self, layer: int, name: str) -> Array:
        return np.asarray(self.p[f"model.layers.{layer}.{name}.weight"])

    def turn(self, position: int) -> Array:
        """Return the rotation of queries and keys at a position as a matrix."""
        half = self.size // 2
        angle = position / self.base ** (np.arange(half) / half)
        cos, sin = np.diag(np.cos(angle)), np.diag(np.sin(angle))
        return np.block([[cos, -sin], [sin, cos]])

    def scale(self, x: Array) -> Array:
        return np.asarray(1 / np.sqrt((x**2).mean(-1, keepdims=True) + self.eps))

    def run(self, ids: list[int]) -> tuple[list[Block], Array]:
        x, n = self.p["model.embed_tokens.weight"][ids], len(ids)
        turns = np.stack([self.turn(t) for t in range(n)])
        blocks = []
        for layer in range(self.n_layers):
            start = x
            normed = x * self.scale(x) * self.w(layer, "input_layernorm")
            query, key, value = (
                (normed @ self.w(layer, f"self_attn.{k}_proj").T).reshape(n, -1, self.size)
                for k in "qkv"
            )
            group = np.arange(self.n_heads) // (self.n_heads // self.n_keys)
            query = np.einsum("tij,thj->thi", turns, query)
            key = np.einsum("tij,thj->thi", turns, key)[:, group]
            value = value[:, group]
            score = np.einsum("thi,shi->hts", query, key) / np.sqrt(self.size)
            score = np.where(np.tri(n, dtype=bool), score, -np.inf)
            weights = np.exp(score - score.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            mixed = np.einsum("hts,shi->thi", weights, value).reshape(n, -1)
            attn_out = mixed @ self.w(layer, "self_attn.o_proj").T
            middle = x + attn_out
            normed = middle * self.scale(middle) * self.w(layer, "post_attention_layernorm")
            gate, up = (normed @ self.w(layer, f"mlp.{k}_proj").T for k in ("gate", "up"))
            mlp_out = (gate * sigmoid(gate) * up) @ self.w(layer, "mlp.down_proj").T
            x = middle + mlp_out
            blocks.append(
                Block(start, attn_out, mlp_out, middle, gate, up, weights, query, key, value)
            )
        return blocks, x

    def norm_back(self, c: Array, x: Array, weight: Array) -> Array:
        """Norm rule: a product with the weight over a constant."""
        return c * weight * self.scale(x)

    def relevance(self, blocks: list[Block], last: Array, c: Array, *, attend: bool) -> Any:
        """Return the coefficient of each site; ``attend`` sends it through the softmax too."""
        n = len(last)
        turns = np.stack([self.turn(t) for t in range(n)])
        first = np.zeros(self.n_heads * self.n_keys).reshape(self.n_heads, self.n_keys)
        first[np.arange(self.n_heads), np.arange(self.n_heads) * self.n_keys // self.n_heads] = 1
        c = self.norm_back(c, last, self.p["model.norm.weight"])
        found = {}
        for layer in reversed(range(self.n_layers)):
            b = blocks[layer]
            found["mlp_out", layer] = c
            share = c @ self.w(layer, "mlp.down_proj") / 2  # half rule
            # Identity rule: silu(gate) is gate times the constant sigmoid(gate).
            to_gate, to_up = share * b.up * sigmoid(b.gate), share * b.gate * sigmoid(b.gate)
            inner = to_gate @ self.w(layer, "mlp.gate_proj") + to_up @ self.w(layer, "mlp.up_proj")
            c = c + self.norm_back(inner, b.middle, self.w(layer, "post_attention_layernorm"))
            found["attn_out", layer] = c
            heads = (c @ self.w(layer, "self_attn.o_proj")).reshape(n, self.n_heads, self.size)
            to_value = np.einsum("hts,thi->shi", b.weights, heads)
            inner = self.merge(to_value, first) @ self.w(layer, "self_attn.v_proj")
            if attend:
                slope = np.einsum("thi,shi->hts", heads, b.value)
                slope -= (b.weights * slope).sum(-1, keepdims=True)
                slope *= b.weights / np.sqrt(self.size)
                to_query = np.einsum("hts,shi,tij->thj", slope, b.key, turns)
                to_key = np.einsum("hts,thi,sij->shj", slope, b.query, turns)
                inner += to_query.reshape(n, -1) @ self.w(layer, "self_attn.q_proj")
                inner += self.merge(to_key, first) @ self.w(layer, "self_attn.k_proj")
            c = c + self.norm_back(inner, b.resid_pre, self.w(layer, "input_layernorm"))
            found["resid_pre", layer] = c
        return found

    def merge(self, per_head: Array, first: Array) -> Array:
        """Sum over the query heads that share a key or value head."""
        merged = np.einsum("thi,hg->tgi", per_head, first)
        return np.asarray(merged.reshape(len(per_head), -1))


@pytest.mark.parametrize("attend", [True, False])
def test_relevances_by_hand_on_a_llama(attend: bool) -> None:
    model = tiny_llama(4, double=True)
    generator = torch.Generator().manual_seed(3)
    for name, weight in model.named_parameters():
        if "norm" in name:
            weight.data += 0.3 * torch.randn(weight.shape, generator=generator).double()
    clean, corrupted = tokens(), tokens(seed=1)
    hand = ByHand(model)
    unembed = hand.p["lm_head.weight"]
    wanted = np.zeros((3, 4, clean.shape[1]))
    high = low = 0.0
    for a, b in zip(clean.tolist(), corrupted.tolist(), strict=True):
        blocks, last = hand.run(a)
        base, base_last = hand.run(b)
        gain = hand.p["model.norm.weight"]
        high, low = (
            m + float(unembed[3] @ (x * hand.scale(x) * gain)[-1])
            for m, x in ((high, last), (low, base_last))
        )
        start = np.zeros_like(base_last)
        start[-1] = unembed[3]
        found = hand.relevance(base, base_last, start, attend=attend)
        for i, site in enumerate(SITES):
            for layer in range(4):
                change = getattr(blocks[layer], site) - getattr(base[layer], site)
                wanted[i, layer] += (change * found[site, layer]).sum(-1)
    rules = ("norm", "identity", "half") + (() if attend else ("attention",))
    measured = relevance_patching(
        model, clean, corrupted, lambda logits: logits[:, 3].mean(), SITES, rules=rules
    )
    assert measured.attrs["clean_metric"] == pytest.approx(high / len(clean), rel=1e-5)
    # Labels are in single precision, and the norms of the library round to it in the bare run.
    np.testing.assert_allclose(measured.values, wanted / (high - low), rtol=1e-4, atol=1e-5)


class Straight(nn.Module):
    """Three residual blocks without a norm, an activation or a gate."""

    tap_sites = {"resid_pre": "blocks.*#in", "mlp_out": "blocks.*.1#out"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(8, 12), nn.Linear(12, 8)) for _ in range(3)
        )
        self.out = nn.Linear(8, 5)

    def forward(self, h: torch.Tensor) -> Any:
        for block in self.blocks:
            h = h + block(h)
        return self.out(h)


@pytest.mark.parametrize("method", [relevance_patching, attribution_patching])
def test_an_input_that_others_read_too_counts_for_its_module_alone(method: Any) -> None:
    # Queries, keys and values read one tensor: patched is what one of them reads of it.
    model = tiny_llama(2, double=True)
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(2, 5, 32, generator=generator, dtype=torch.float64)
    corrupted = clean + 1e-3 * torch.randn(2, 5, 32, generator=generator, dtype=torch.float64)
    sites = [f"module:model.layers.1.{name}#in" for name in
             ("self_attn.q_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp")]  # fmt: skip
    pair = ({"inputs_embeds": clean}, {"inputs_embeds": corrupted})
    options: Any = {"normalize": False} | ({"rules": ()} if method is relevance_patching else {})
    truth = activation_patching(model, *pair, lambda x: x[:, 3].mean(), sites, normalize=False)
    found = method(model, *pair, lambda x: x[:, 3].mean(), sites, **options)
    size = float(np.abs(truth.values).max())
    # Differences this small leave the second order at a thousandth or so.
    np.testing.assert_allclose(found.values, truth.values, rtol=0, atol=1e-2 * size)


def test_on_a_linear_network_every_estimate_is_exact() -> None:
    torch.manual_seed(1)
    model = Straight().double().eval()
    clean, corrupted = torch.randn(2, 4, 3, 8, dtype=torch.float64)
    sites = ["resid_pre", "mlp_out"]
    given: Any = (model, clean, corrupted, lambda out: (out[..., 0] - out[..., 1]).mean(), sites)
    truth = activation_patching(*given, readout="all")
    methods: list[Any] = [relevance_patching, attribution_patching]
    for method in methods:
        found = method(*given, readout="all")
        np.testing.assert_allclose(found.values, truth.values, rtol=1e-6, atol=1e-9)
