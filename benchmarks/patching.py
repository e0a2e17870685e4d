"""Activation patching, residual stream of 6 layers, against TransformerLens and a plain loop."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers

from activome.interventions.activation_patching import activation_patching
from activome.interventions.relevance_patching import relevance_patching
from harness import Case, Peer, main

_VOCABULARY = 5000
# The loop of TransformerLens draws a bar for every patch.
os.environ.setdefault("TQDM_DISABLE", "1")


@dataclass
class Job:
    """A random Llama with the blocks of SmolLM2, and two prompts."""

    model: Any
    clean: Any
    corrupted: Any
    bridge: Any = None

    def metric(self, logits: Any) -> Any:
        """Return a logit difference of logits (n_prompts, n_tokens)."""
        return (logits[:, 1] - logits[:, 2]).mean()


def make_job(n_positions: float) -> Job:
    """Build the network and a pair of prompts of that length."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=_VOCABULARY,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=6,
        num_attention_heads=9,
        num_key_value_heads=3,
        initializer_range=0.05,
        pad_token_id=0,
        eos_token_id=None,
    )
    model = transformers.LlamaForCausalLM(config).eval()
    clean, corrupted = torch.randint(3, _VOCABULARY, (2, 1, int(n_positions)))
    return Job(model, clean, corrupted)


def patch_ours(job: Job) -> Any:
    """Patch every layer and position of the stream."""
    return activation_patching(job.model, job.clean, job.corrupted, job.metric, "resid_pre").values[
        0
    ]


def patch_in_a_loop(job: Job) -> Any:
    """Do the same with one hook and one whole pass per patch."""
    blocks = job.model.model.layers
    kept: dict[int, Any] = {}
    with torch.inference_mode():
        handles = [
            block.register_forward_pre_hook(lambda _, args, i=i: kept.update({i: args[0].clone()}))
            for i, block in enumerate(blocks)
        ]
        high = float(job.metric(job.model(job.clean, logits_to_keep=1).logits[:, -1]))
        for handle in handles:
            handle.remove()
        low = float(job.metric(job.model(job.corrupted, logits_to_keep=1).logits[:, -1]))
        found = np.empty((len(blocks), job.clean.shape[1]))
        for layer, block in enumerate(blocks):
            for position in range(job.clean.shape[1]):

                def put(_: Any, args: Any, layer: int = layer, position: int = position) -> Any:
                    stream = args[0].clone()
                    stream[:, position] = kept[layer][:, position]
                    return (stream, *args[1:])

                handle = block.register_forward_pre_hook(put)
                logits = job.model(job.corrupted, logits_to_keep=1).logits[:, -1]
                handle.remove()
                found[layer, position] = (float(job.metric(logits)) - low) / (high - low)
    return found


def bridge_of(job: Job) -> Job:
    """Wrap the network as TransformerLens does."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformer_lens.model_bridge import TransformerBridge

    # It puts modules of its own into the network, which ours is not to be timed with.
    model = copy.deepcopy(job.model)
    model.config.architectures = ["LlamaForCausalLM"]
    words = {f"word{i}": i for i in range(_VOCABULARY)}
    special = {f"{name}_token": "word0" for name in ("unk", "bos", "eos", "pad")}
    with tempfile.TemporaryDirectory() as folder:
        model.config.save_pretrained(folder)
        tokens = Tokenizer(WordLevel(words, "word0"))
        transformers.PreTrainedTokenizerFast(tokenizer_object=tokens, **special).save_pretrained(
            folder
        )
        bridge = TransformerBridge.boot_transformers(folder, hf_model=model)
    return Job(model, job.clean, job.corrupted, bridge)


def patch_lens(job: Job) -> Any:
    """Patch with the loop that TransformerLens ships."""
    from transformer_lens import patching

    with torch.inference_mode():
        logits, cache = job.bridge.run_with_cache(job.clean)
        high = float(job.metric(logits[:, -1]))
        low = float(job.metric(job.bridge(job.corrupted)[:, -1]))
        found = patching.get_act_patch_resid_pre(
            job.bridge, job.corrupted, cache, lambda out: job.metric(out[:, -1])
        )
    return (found.numpy() - low) / (high - low)


def relp(job: Job) -> Any:
    """Estimate all effects of three sites by relevances."""
    found = relevance_patching(
        job.model, job.clean, job.corrupted, job.metric, ["resid_pre", "attn_out", "mlp_out"]
    )
    return found.attrs["corrupted_metric"]


def forward(job: Job) -> float:
    """Run the corrupted prompt once, bare."""
    with torch.no_grad():
        logits = job.model(job.corrupted, logits_to_keep=1, use_cache=False).logits[:, -1]
        return float(job.metric(logits))


def differs(ours: Any, theirs: Any) -> float:
    """Tell the largest difference, relative to the largest effect or to 1."""
    return float(np.max(np.abs(np.subtract(ours, theirs))) / max(1.0, np.max(np.abs(theirs))))


def cases() -> Sequence[Case]:
    """Exact patching at 24 tokens against both loops, and RelP in bare forward passes."""
    loops = [
        Peer("one pass per patch, hooks by hand", patch_in_a_loop, differs, tolerance=1e-5),
        Peer(
            "TransformerLens get_act_patch_resid_pre",
            patch_lens,
            differs,
            tolerance=1e-5,
            requires="transformer_lens",
            prepare=bridge_of,
        ),
    ]
    bare = Peer("a bare forward of one prompt", forward, differs, tolerance=1e-5)
    return [
        Case(
            name="activation_patching, resid_pre, 6 layers x n positions, Llama d 576 float32",
            sizes=(24,),
            smoke=(8,),
            make=make_job,
            ours=patch_ours,
            peers=loops,
            dtype="float32",
            aim="at least 4 times the peers, effects equal to 1e-5",
        ),
        Case(
            name="relevance_patching, 3 sites x 6 layers x n positions, same network",
            sizes=(24,),
            smoke=(8,),
            make=make_job,
            ours=relp,
            peers=[bare],
            dtype="float32",
            aim="ratio at least 0.31: one clean pass, and 2.2 for a pass and its relevances",
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
