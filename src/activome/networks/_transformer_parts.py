"""Blocks of small transformers: attention, MLP and norms, with a module for every tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

__all__ = ["Block", "make_norm"]


def make_norm(config: Mapping[str, Any]) -> nn.Module:
    """Return the norm that a configuration names."""
    width, eps = config["d_model"], config["norm_eps"]
    if config["norm"] == "layer":
        return nn.LayerNorm(width, eps=eps, bias=config["bias"])
    return nn.RMSNorm(width, eps=eps) if config["norm"] == "rms" else nn.Identity()


class Block(nn.Module):
    """One layer: attention and MLP, each added to the stream."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.norm_attention = make_norm(config)
        self.attention = Attention(config)
        has_mlp = config["mlp_ratio"] is not None
        self.norm_mlp = make_norm(config) if has_mlp else None
        self.mlp = _MLPS[config["mlp"]](config) if has_mlp else None

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        """Return the stream (n_sequences, n_positions, d_model) after the layer."""
        stream = stream + self.attention(self.norm_attention(stream))
        if self.mlp is None or self.norm_mlp is None:
            return stream
        result: torch.Tensor = stream + self.mlp(self.norm_mlp(stream))
        return result


class Attention(nn.Module):
    """Causal attention with several heads."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, bias = config["d_model"], config["bias"]
        self.n_heads = config["n_heads"]
        self.head_size = width // self.n_heads
        self.query = nn.Linear(width, width, bias=bias)
        self.key = nn.Linear(width, width, bias=bias)
        self.value = nn.Linear(width, width, bias=bias)
        self.output = nn.Linear(width, width, bias=bias)
        self.is_explicit = config["attention"] == "explicit"
        if self.is_explicit:
            # Places without a computation of their own, where a tensor can be seen and changed.
            self.scores, self.pattern = nn.Identity(), nn.Identity()
            mask = torch.ones(config["context"], config["context"], dtype=torch.bool).triu(1)
            self.register_buffer("future", mask, persistent=False)
        self.is_rotary = config["positions"] == "rotary"
        if self.is_rotary:
            turn = _turns(config["context"], self.head_size, config["rotary_base"])
            self.register_buffer("cosine", turn.cos(), persistent=False)
            self.register_buffer("sine", turn.sin(), persistent=False)

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        """Return what the heads write, shape (n_sequences, n_positions, d_model)."""
        query, key = self._heads(self.query(stream)), self._heads(self.key(stream))
        value = self._heads(self.value(stream))
        if self.is_rotary:
            query, key = self._turned(query), self._turned(key)
        if self.is_explicit:
            n = stream.shape[1]
            scores = self.scores(query @ key.transpose(2, 3) / math.sqrt(self.head_size))
            # Scores can be edited before the mask: no edit lets a position see its future.
            scores = scores.masked_fill(self.future[:n, :n], -math.inf)
            mixed = self.pattern(scores.softmax(-1)) @ value
        else:
            mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        result: torch.Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return result

    def _heads(self, values: torch.Tensor) -> torch.Tensor:
        return values.unflatten(2, (self.n_heads, self.head_size)).transpose(1, 2)

    def _turned(self, values: torch.Tensor) -> torch.Tensor:
        first, second = values.chunk(2, dim=-1)
        n = values.shape[2]
        cosine, sine = self.cosine[:n], self.sine[:n]
        return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


def _turns(context: int, head_size: int, base: float) -> torch.Tensor:
    """Return the angle of each position and pair, shape (context, head_size / 2)."""
    speed = base ** -(torch.arange(0, head_size, 2, dtype=torch.float32) / head_size)
    return torch.arange(context, dtype=torch.float32)[:, None] * speed


class _PlainMLP(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, hidden, bias = config["d_model"], _hidden(config), config["bias"]
        self.pre = nn.Linear(width, hidden, bias=bias)
        self.act = nn.GELU()  # a module, so that backward rules find it
        self.down = nn.Linear(hidden, width, bias=bias)

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.down(self.act(self.pre(stream)))
        return result


class _GatedMLP(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, hidden, bias = config["d_model"], _hidden(config), config["bias"]
        self.pre = nn.Linear(width, hidden, bias=bias)
        self.up = nn.Linear(width, hidden, bias=bias)
        self.act = nn.SiLU()
        self.down = nn.Linear(hidden, width, bias=bias)

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.down(self.act(self.pre(stream)) * self.up(stream))
        return result


def _hidden(config: Mapping[str, Any]) -> int:
    return max(1, round(float(config["mlp_ratio"]) * int(config["d_model"])))


_MLPS: dict[str, type[nn.Module]] = {"gelu": _PlainMLP, "swiglu": _GatedMLP}
