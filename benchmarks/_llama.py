"""The language model of the benchmarks of interventions, bare and as TransformerLens wraps it."""

from __future__ import annotations

import copy
import tempfile
from typing import Any

import torch
import transformers

__all__ = ["bridge_of", "random_llama"]


def random_llama(n_words: int, n_layers: int = 6) -> Any:
    """Build a Llama with the blocks of SmolLM2, and weights large enough that its norms matter."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=n_words,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=n_layers,
        num_attention_heads=9,
        num_key_value_heads=3,
        initializer_range=0.05,
        pad_token_id=0,
        eos_token_id=None,
    )
    return transformers.LlamaForCausalLM(config).eval()


def bridge_of(model: Any) -> Any:
    """Wrap a copy of the network, since TransformerLens puts modules of its own into it."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformer_lens.model_bridge import TransformerBridge

    model = copy.deepcopy(model)
    model.config.architectures = ["LlamaForCausalLM"]
    words = {f"word{i}": i for i in range(model.config.vocab_size)}
    special = {f"{name}_token": "word0" for name in ("unk", "bos", "eos", "pad")}
    with tempfile.TemporaryDirectory() as folder:
        model.config.save_pretrained(folder)
        tokens = transformers.PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(WordLevel(words, "word0")), **special
        )
        tokens.save_pretrained(folder)
        return TransformerBridge.boot_transformers(folder, hf_model=model)
