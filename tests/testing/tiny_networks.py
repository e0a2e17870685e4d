"""Small networks with random weights, of the kinds that people record."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

VOCABULARY = 40


def tokens(n_samples: int = 3, n_positions: int = 7, seed: int = 0) -> Any:
    """Return token ids (n_samples, n_positions)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, VOCABULARY, (n_samples, n_positions), generator=generator)


def tiny_llama(n_layers: int = 3, *, attention: str = "sdpa", double: bool = False) -> Any:
    """Return a Llama with 4 query heads of 8, 2 key heads, width 32, MLP of 48."""
    transformers = pytest.importorskip("transformers", reason="the extra llm is not installed")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=n_layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.2,
        attn_implementation=attention,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=None,
    )
    model = transformers.LlamaForCausalLM(config).eval()
    return model.double() if double else model


def tiny_gpt2(n_layers: int = 2) -> Any:
    """Return a GPT-2 with 4 heads of 8."""
    transformers = pytest.importorskip("transformers", reason="the extra llm is not installed")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=64,
        n_embd=32,
        n_layer=n_layers,
        n_head=4,
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=1,
    )
    return transformers.GPT2LMHeadModel(config).eval()


def tiny_bert(n_layers: int = 2) -> Any:
    """Return a BERT with 4 heads of 8."""
    transformers = pytest.importorskip("transformers", reason="the extra llm is not installed")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=n_layers,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    return transformers.BertModel(config).eval()


class CellNetwork(nn.Module):
    """A recurrent network that calls one cell once per time step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 5)
        self.readout = nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n_samples, 2) for (n_samples, n_times, 3)."""
        state = x.new_zeros(len(x), 5)
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
        found: torch.Tensor = self.readout(state)
        return found


class GatedNetwork(nn.Module):
    """A residual network of gated blocks, which declares its own sites."""

    tap_sites = {  # noqa: RUF012  # read, never written
        "resid_pre": "norms.*#in",
        "mlp_hidden": "downs.*#in",
        "mlp_out": "downs.*#out",
        "hands": ("readout#in", {"heads": 4}),
    }

    def __init__(self, n_blocks: int = 2, d: int = 16) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(n_blocks))
        self.gates = nn.ModuleList(nn.Linear(d, 24) for _ in range(n_blocks))
        self.ups = nn.ModuleList(nn.Linear(d, 24) for _ in range(n_blocks))
        self.downs = nn.ModuleList(nn.Linear(24, d) for _ in range(n_blocks))
        self.act = nn.SiLU()
        self.readout = nn.Linear(d, 3)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """Return (n_samples, 3) for (n_samples, d)."""
        for norm, gate, up, down in zip(self.norms, self.gates, self.ups, self.downs, strict=True):
            x = norm(h)
            h = h + down(self.act(gate(x)) * up(x))
        found: torch.Tensor = self.readout(h)
        return found


def logits(output: Any) -> Any:
    """Return the tensor of an output."""
    for name in ("logits", "last_hidden_state"):
        if hasattr(output, name):
            return getattr(output, name)
    return output
