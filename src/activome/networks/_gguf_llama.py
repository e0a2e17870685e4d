"""Llama models in GGUF files: checked against their header, and rewritten as safetensors."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from activome._extras import require
from activome.errors import ReadError
from activome.networks._gguf_header import GGUFHeader, GGUFTensor

__all__ = ["config_of", "expanded_bytes", "weights", "write_safetensors"]

Array = np.ndarray[Any, Any]
_OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_INSIDE = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_BLOCK = re.compile(r"^blk\.(\d+)\.(\w+)\.weight$")


def _refusal(header: GGUFHeader, owner: str, detail: str) -> ReadError:
    return ReadError(
        f"{owner}: {header.path} must hold a Llama model as llama.cpp writes it; {detail}. Convert "
        "other models to a folder with config.json and safetensors."
    )


def config_of(header: GGUFHeader, *, owner: str) -> dict[str, Any]:
    """Return the arguments of ``LlamaConfig``; every tensor has the shape that they imply.

    Raises
    ------
    ReadError
        If it is of another architecture, a size is missing, or a tensor is missing, unknown or of
        another shape.
    """
    fields = header.fields

    def whole(name: str, default: int | None = None) -> int:
        value = fields.get(f"llama.{name}", default)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**31:
            raise _refusal(header, owner, f"its field 'llama.{name}' is {value!r}")
        return value

    def real(name: str, default: float | None = None) -> float:
        value = fields.get(f"llama.{name}", default)
        if not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
            raise _refusal(header, owner, f"its field 'llama.{name}' is {value!r}")
        return float(value)

    kind = fields.get("general.architecture")
    if kind != "llama":
        raise _refusal(header, owner, f"its architecture is {kind!r}")
    if fields.get("llama.rope.scaling.type", "none") != "none":
        raise _refusal(header, owner, "its rotary positions are scaled, which is not known here")
    n_heads, width = whole("attention.head_count"), whole("embedding_length")
    head_dim = whole("attention.key_length", max(width // n_heads, 1))
    if whole("rope.dimension_count", head_dim) != head_dim or head_dim % 2:
        raise _refusal(header, owner, "its rotary positions turn part of a head only")
    embedding = header.tensors.get("token_embd.weight")
    config = {
        "vocab_size": 0 if embedding is None else embedding.shape[0],
        "hidden_size": width,
        "intermediate_size": whole("feed_forward_length"),
        "num_hidden_layers": whole("block_count"),
        "num_attention_heads": n_heads,
        "num_key_value_heads": whole("attention.head_count_kv", n_heads),
        "head_dim": head_dim,
        "max_position_embeddings": whole("context_length"),
        "rms_norm_eps": real("attention.layer_norm_rms_epsilon"),
        "rope_theta": real("rope.freq_base", 10000.0),
        "tie_word_embeddings": "output.weight" not in header.tensors,
    }
    _check_shapes(header, config, owner)
    return config


def _check_shapes(header: GGUFHeader, config: dict[str, Any], owner: str) -> None:
    # Before anything of that many layers is made: each of them takes nine tensors.
    if config["num_hidden_layers"] * len(_INSIDE) > len(header.tensors):
        detail = f"{config['num_hidden_layers']} layers do not fit its {len(header.tensors)}"
        raise _refusal(header, owner, f"{detail} tensors")
    if config["num_attention_heads"] % config["num_key_value_heads"]:
        raise _refusal(header, owner, "its heads are no multiple of those of keys and values")
    wanted = _shapes(config)
    for name, tensor in header.tensors.items():
        if name not in wanted:
            raise _refusal(header, owner, f"the tensor {name!r} is not known")
        if tensor.shape != wanted[name]:
            detail = f"the tensor {name!r} has shape {tensor.shape}, not {wanted[name]}"
            raise _refusal(header, owner, detail)
    missing = sorted(wanted.keys() - header.tensors.keys())
    if missing:
        raise _refusal(header, owner, f"{len(missing)} tensors are missing, such as {missing[0]!r}")


def _shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    width, hidden, rows = (
        config[key] for key in ("hidden_size", "intermediate_size", "vocab_size")
    )
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    block: dict[str, tuple[int, ...]] = {
        "attn_norm": (width,),
        "attn_q": (queries, width),
        "attn_k": (keys, width),
        "attn_v": (keys, width),
        "attn_output": (width, queries),
        "ffn_norm": (width,),
        "ffn_gate": (hidden, width),
        "ffn_up": (hidden, width),
        "ffn_down": (width, hidden),
    }
    shapes: dict[str, tuple[int, ...]] = {
        f"blk.{layer}.{name}.weight": shape
        for layer in range(config["num_hidden_layers"])
        for name, shape in block.items()
    }
    shapes |= {"token_embd.weight": (rows, width), "output_norm.weight": (width,)}
    if not config["tie_word_embeddings"]:
        shapes["output.weight"] = (rows, width)
    return shapes


def weights(
    header: GGUFHeader, config: dict[str, Any], *, owner: str
) -> Iterator[tuple[str, Array]]:
    """Yield (name in transformers, float32 array) of every tensor, one at a time.

    Raises
    ------
    ReadError
        If a value is NaN or infinite.
    """
    gguf = require("gguf", extra="llm", owner=owner)
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    data = np.memmap(header.path, dtype=np.uint8, mode="r")
    for tensor in header.tensors.values():
        stored = data[tensor.start : tensor.start + tensor.n_bytes]
        stored = stored.reshape(*tensor.shape[:-1], -1)
        # Scales that overflow show as values that are not finite, which are refused below.
        with np.errstate(over="ignore", invalid="ignore"):
            values = gguf.dequantize(stored, gguf.GGMLQuantizationType(tensor.kind))
            is_finite = bool(np.isfinite(values.sum(dtype=np.float64)))
        if not is_finite:
            raise _refusal(header, owner, f"the tensor {tensor.name!r} holds NaN or infinity")
        values = values.reshape(tensor.shape)
        inside = _BLOCK.match(tensor.name)
        if inside is not None and inside[2] in heads:
            values = _unrotated(values, heads[inside[2]])
        yield _new_name(tensor.name), np.ascontiguousarray(values, dtype="<f4")


def _unrotated(values: Array, n_heads: int) -> Array:
    """Undo the order in which llama.cpp keeps the rows of queries and keys: pairs side by side."""
    rows, columns = values.shape
    split = values.reshape(n_heads, rows // n_heads // 2, 2, columns)
    return split.swapaxes(1, 2).reshape(rows, columns)


def _new_name(name: str) -> str:
    inside = _BLOCK.match(name)
    if inside is None:
        return _OUTSIDE[name]
    return f"model.layers.{inside[1]}.{_INSIDE[inside[2]]}.weight"


def expanded_bytes(header: GGUFHeader) -> int:
    """Return the bytes that the tensors take as float32."""
    return sum(4 * math.prod(tensor.shape) for tensor in header.tensors.values())


def write_safetensors(
    path: Path, header: GGUFHeader, config: dict[str, Any], *, owner: str
) -> None:
    """Write the tensors as float32, one at a time, so that memory holds no more than one."""
    # safetensors' own writer wants them all at once, four times the size of the model.
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for tensor in header.tensors.values():
        stop = start + 4 * math.prod(tensor.shape)
        entries[_new_name(tensor.name)] = _entry(tensor, start, stop)
        start = stop
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, values in weights(header, config, owner=owner):
            file.write(values.data)


def _entry(tensor: GGUFTensor, start: int, stop: int) -> dict[str, Any]:
    return {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [start, stop]}
