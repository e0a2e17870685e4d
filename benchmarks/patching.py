"""Activation patching and relevance patching, against TransformerLens, loops and bare passes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from _llama import bridge_of, random_llama
from activome.interventions._comparison import Comparison
from activome.interventions._gradients import gradients
from activome.interventions.activation_patching import activation_patching
from activome.interventions.relevance_patching import relevance_patching
from activome.interventions.relevance_rules import RelevanceRules
from activome.networks.language_models import load_language_model
from activome.networks.model_assets import ASSETS
from harness import Case, Peer, main

_SITES = ["resid_pre", "attn_out", "mlp_out"]
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
    model = random_llama(_VOCABULARY)
    torch.manual_seed(1)
    return Job(model, *torch.randint(3, _VOCABULARY, (2, 1, int(n_positions))))


def make_real_job(n_positions: float) -> Job:
    """Take SmolLM2 instead, all its 30 layers and 49,152 words."""
    torch.manual_seed(1)
    ids = torch.randint(3, _VOCABULARY, (2, 1, int(n_positions)))
    return Job(load_language_model("smollm2").model, *ids)


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


def wrapped(job: Job) -> Job:
    """Wrap the network as TransformerLens does."""
    return replace(job, bridge=bridge_of(job.model))


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
    """Estimate all effects of three sites by relevances: the whole call."""
    given = (job.model, job.clean, job.corrupted, job.metric)
    return relevance_patching(*given, _SITES).values


def relp_by_hand(job: Job) -> Any:
    """Do the same with hooks that are written for this network, and nothing checked or labelled."""
    kept: dict[tuple[str, int], Any] = {}

    def keep(key: tuple[str, int], value: Any) -> Any:
        kept[key] = value = value if value.requires_grad else value.detach().requires_grad_()
        return value

    def keep_output(_: Any, args: Any, out: Any, key: tuple[str, int]) -> Any:
        if isinstance(out, tuple):
            return (keep(key, out[0]), *out[1:])
        return keep(key, out)

    handles, ruled = [], []
    for i, block in enumerate(job.model.model.layers):
        enter = lambda _, args, i=i: (keep(("resid_pre", i), args[0]), *args[1:])  # noqa: E731
        handles.append(block.register_forward_pre_hook(enter))
        for name, module in (("attn_out", block.self_attn), ("mlp_out", block.mlp)):
            handles.append(module.register_forward_hook(partial(keep_output, key=(name, i))))
    with torch.no_grad():
        high = job.metric(job.model(job.clean, logits_to_keep=1, use_cache=False).logits[:, -1])
    clean, kept = kept, {}
    for module in job.model.modules():
        kind = type(module).__name__
        if kind == "LlamaRMSNorm":
            ruled.append(module.register_forward_hook(_norm_by_hand))
        elif kind == "LlamaMLP":
            ruled.append(module.act_fn.register_forward_hook(_silu_by_hand))
            ruled.append(module.down_proj.register_forward_pre_hook(_half_by_hand))
    job.model.requires_grad_(False)
    low = job.metric(job.model(job.corrupted, logits_to_keep=1, use_cache=False).logits[:, -1])
    slopes = torch.autograd.grad(low, list(kept.values()))
    for handle in (*handles, *ruled):
        handle.remove()
    cells = {
        key: ((clean[key] - kept[key]) * slope).sum((0, 2)).detach()
        for key, slope in zip(kept, slopes, strict=True)
    }
    rows = [torch.stack([cells[name, i] for i in range(len(cells) // 3)]) for name in _SITES]
    return (torch.stack(rows) / (high - low.detach())).numpy()


def _norm_by_hand(norm: Any, args: Any, _: Any) -> Any:
    scale = torch.rsqrt(args[0].pow(2).mean(-1, keepdim=True) + norm.variance_epsilon)
    return norm.weight * (args[0] * scale.detach())


def _silu_by_hand(_: Any, args: Any, out: Any) -> Any:
    return args[0] * torch.sigmoid(args[0]).detach()


def _half_by_hand(_: Any, args: Any) -> Any:
    return (args[0] / 2 + (args[0] / 2).detach(),)


@dataclass
class Prepared:
    """What a call of ours makes before its second pass."""

    job: Job
    compared: Comparison
    rules: RelevanceRules


def make_prepared(n_positions: float, make: Callable[[float], Job] = make_job) -> Prepared:
    """Check the input and look the sites and rules up."""
    job = make(n_positions)
    given = (job.model, job.clean, job.corrupted, job.metric)
    compared = Comparison.of("benchmark", *given, _SITES)
    return Prepared(job, compared, RelevanceRules(compared.taps))


def relevances(given: Prepared) -> float:
    """Run one metric: a pass under the rules, and the relevances of 3 sites per layer back."""
    compared = given.compared
    value, _, _ = gradients(
        compared,
        compared.sites,
        lambda: compared.call(compared.corrupted),
        lambda read: compared.value(read, is_differentiable=True),
        given.rules,
    )
    return float(value)


def gradient_by_hand(given: Prepared) -> float:
    """Run one metric and its plain gradient at the embedding: no hook, no rule, no site."""
    job = given.job
    job.model.requires_grad_(False)
    start = job.model.get_input_embeddings()(job.corrupted).requires_grad_()
    options = {"logits_to_keep": 1, "use_cache": False}
    value = job.metric(job.model(inputs_embeds=start, **options).logits[:, -1])
    torch.autograd.grad(value, start)
    return float(value.detach())


def forward(given: Prepared) -> float:
    """Run the corrupted prompt once, bare and without gradients."""
    job = given.job
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
            prepare=wrapped,
        ),
    ]
    by_hand = Peer("hooks by hand, nothing checked", relp_by_hand, differs, tolerance=1e-4)
    passes = [
        Peer("a bare forward of the same prompt", forward, differs, tolerance=1e-5),
        Peer("forward and plain gradient, no hook", gradient_by_hand, differs, tolerance=1e-5),
    ]
    networks = [("6 layers, Llama d 576", make_job)]
    if ASSETS["smollm2"].is_installed:
        networks.append(("SmolLM2, 30 layers", make_real_job))
    found = [
        Case(
            name="activation_patching, resid_pre, 6 layers x n positions, Llama d 576 float32",
            sizes=(24,),
            smoke=(8,),
            make=make_job,
            ours=patch_ours,
            peers=loops,
            dtype="float32",
            aim="at least 4 times the peers, effects equal to 1e-5",
        )
    ]
    for text, make in networks:
        found += [
            Case(
                name=f"relevance_patching, 3 sites x n positions, {text}, the whole call",
                sizes=(24,),
                smoke=(8,),
                make=make,
                ours=relp,
                peers=[by_hand],
                dtype="float32",
                aim="no slower than hooks by hand",
            ),
            Case(
                name=f"a metric and its relevances at 3 sites, after the clean pass, {text}",
                sizes=(24,),
                smoke=(8,),
                make=partial(make_prepared, make=make),
                ours=relevances,
                peers=passes,
                dtype="float32",
                aim="ratio to a bare forward at least 0.45: 2.2 forwards",
            ),
        ]
    return found


if __name__ == "__main__":
    raise SystemExit(main(cases))
