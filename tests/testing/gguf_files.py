"""Small GGUF files: a random Llama with a byte-level tokenizer, written by the gguf package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
import transformers

__all__ = ["WORDS", "tiny_gguf", "tiny_original"]

WORDS = ["<|end|>", "a", "b", "c", "Ġ", "ab", "Ġab", "1", "2", "Ċ"]
MERGES = ["a b", "Ġ ab"]
_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def tiny_original(*, is_tied: bool = False) -> Any:
    """Return a Llama of two layers, 4 query heads and 2 key heads of 8, with random weights."""
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        rope_theta=1000.0,
        tie_word_embeddings=is_tied,
    )
    return transformers.LlamaForCausalLM(config).eval()


def _rotated(values: Any, n_heads: int) -> Any:
    rows, columns = values.shape
    return (
        values.reshape(n_heads, 2, rows // n_heads // 2, columns)
        .swapaxes(1, 2)
        .reshape(rows, columns)
    )


def tiny_gguf(path: Path, model: Any, *, kind: str = "F32", **fields: Any) -> Path:
    """Write a Llama as llama.cpp does; ``fields`` replace those of the header, None drops one."""
    config = model.config
    known: dict[str, Any] = {
        "llama.block_count": config.num_hidden_layers,
        "llama.context_length": config.max_position_embeddings,
        "llama.embedding_length": config.hidden_size,
        "llama.feed_forward_length": config.intermediate_size,
        "llama.attention.head_count": config.num_attention_heads,
        "llama.attention.head_count_kv": config.num_key_value_heads,
        "llama.rope.dimension_count": config.head_dim,
    }
    known |= {name.replace("__", "."): value for name, value in fields.items()}
    writer = gguf.GGUFWriter(path, known.pop("general.architecture", "llama"))
    for name, value in known.items():
        if value is not None:
            (writer.add_string if isinstance(value, str) else writer.add_uint32)(name, value)
    writer.add_float32("llama.rope.freq_base", 1000.0)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_string("tokenizer.ggml.model", "gpt2")
    writer.add_string("tokenizer.ggml.pre", "smollm")
    writer.add_array("tokenizer.ggml.tokens", WORDS)
    writer.add_array("tokenizer.ggml.token_type", [3] + [1] * (len(WORDS) - 1))
    writer.add_array("tokenizer.ggml.merges", MERGES)
    writer.add_uint32("tokenizer.ggml.eos_token_id", 0)
    for name, values in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        _add(writer, name, values.numpy(), config, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: Any, name: str, values: Any, config: Any, kind: str) -> None:
    parts = name.removesuffix(".weight").split(".")
    if parts[1:2] == ["layers"]:
        short = _NAMES[".".join(parts[3:])]
        heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
        values = _rotated(values, heads[short]) if short in heads else values
        new = f"blk.{parts[2]}.{short}.weight"
    else:
        outside = {"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output"}
        new = f"{outside[parts[-1]]}.weight"
    if values.ndim == 2 and kind != "F32":
        number = gguf.GGMLQuantizationType[kind]
        writer.add_tensor(new, gguf.quantize(values, number), raw_dtype=number)
    else:
        writer.add_tensor(new, np.ascontiguousarray(values))
