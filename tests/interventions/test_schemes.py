"""Names of sites in families of language models: the stream adds up, and heads are the model's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_networks import VOCABULARY, tokens

from activome.interventions.edits import Zero
from activome.interventions.recording import record
from activome.interventions.taps import Taps

_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
_GROUPED: dict[str, Any] = _SIZES | {"num_key_value_heads": 2}
_SMALL_HEADS: dict[str, Any] = _GROUPED | {"head_dim": 8}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "Qwen2": ("llama", _GROUPED),
    "Qwen3": ("llama", _SMALL_HEADS),
    "Mistral": ("llama", _GROUPED),
    "Mixtral": ("llama", _GROUPED | {"num_local_experts": 3}),
    "Gemma2": ("gemma2", _SMALL_HEADS),
    "Olmo2": ("olmo2", _GROUPED),
    "Phi3": ("phi3", _GROUPED),
    "GPTNeoX": ("neox", _SIZES),
}


def build(family: str) -> Any:
    transformers = pytest.importorskip("transformers", reason="the extra llm is not installed")
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**FAMILIES[family][1])
    return getattr(transformers, f"{family}ForCausalLM")(config).eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_stream_is_the_sum_of_what_blocks_add(family: str) -> None:
    model = build(family)
    taps = Taps(model)
    assert taps.scheme == FAMILIES[family][0]
    names = ("resid_pre", "attn_out", "mlp_out", "resid_post", "resid_mid")
    known = [name for name in names if name in taps.table.named]
    with torch.no_grad(), taps.record(*known) as rec:
        output = model(tokens(), output_hidden_states=True)
    for layer in range(3):
        stream = rec.tensor(f"resid_pre[{layer}]") + rec.tensor(f"attn_out[{layer}]")
        np.testing.assert_array_equal(
            rec.tensor(f"resid_pre[{layer}]"), output.hidden_states[layer]
        )
        if "resid_mid" in known:
            torch.testing.assert_close(stream, rec.tensor(f"resid_mid[{layer}]"))
        stream = stream + rec.tensor(f"mlp_out[{layer}]")
        torch.testing.assert_close(stream, rec.tensor(f"resid_post[{layer}]"))


def test_queries_keys_and_values_of_one_projection_are_told_apart() -> None:
    model, ids = build("GPTNeoX"), tokens()
    taps = Taps(model)
    with torch.no_grad(), taps.record("q[1]", "k[1]", "v[1]", "head_out[1]") as rec:
        model(ids)
        stream = record(model, ids, "resid_pre[1]").values
        block = model.gpt_neox.layers[1]
        joined = block.attention.query_key_value(block.input_layernorm(torch.tensor(stream)))
    # The model itself reads each head's share as query, key and value, one after the other.
    shares = joined.view(3, 7, 4, 3, 8)
    for place, name in enumerate("qkv"):
        torch.testing.assert_close(rec.tensor(f"{name}[1]"), shares[..., place, :])
    # At the first position a head can attend to nothing else than its own value.
    torch.testing.assert_close(rec.tensor("head_out[1]")[:, 0], rec.tensor("v[1]")[:, 0])


def test_an_edit_of_one_interleaved_head_leaves_the_others() -> None:
    model, ids = build("GPTNeoX"), tokens()
    taps = Taps(model)
    site = taps.sites("v[1]")[0]
    value = torch.randn(2, 5, 96)
    torch.testing.assert_close(site.put(value, site.view(value)), value)
    with torch.no_grad(), taps.record("head_out[1]") as plain:
        model(ids)
    with torch.no_grad(), taps.edit(Zero("v[1]", head=2)), taps.record("head_out[1]") as rec:
        model(ids)
    assert not bool(rec.tensor("head_out[1]")[:, :, 2].any())
    kept = [0, 1, 3]
    torch.testing.assert_close(
        rec.tensor("head_out[1]")[:, :, kept], plain.tensor("head_out[1]")[:, :, kept]
    )


def test_gates_of_a_fused_projection_have_their_names() -> None:
    model, ids = build("Phi3"), tokens()
    with torch.no_grad(), Taps(model).record("mlp_pre[0]", "mlp_up[0]", "mlp_hidden[0]") as rec:
        model(ids)
    gate, up = rec.tensor("mlp_pre[0]"), rec.tensor("mlp_up[0]")
    torch.testing.assert_close(torch.nn.functional.silu(gate) * up, rec.tensor("mlp_hidden[0]"))
