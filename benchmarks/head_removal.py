"""Removal of two groups of heads, against hooks by hand and TransformerLens; tests of heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.stats import mannwhitneyu

from _llama import bridge_of, random_llama
from activome.interventions.double_dissociation import double_dissociation
from activome.interventions.head_scores import head_means
from activome.patterns.task_specialization import TaskSpecialization
from harness import Case, Peer, main

_VOCABULARY = 5000
_N_LAYERS, _N_HEADS, _SIZE = 6, 9, 64
_GROUPS = ([(0, 3), (2, 1), (5, 7)], [(1, 0), (2, 8), (4, 4)])


@dataclass
class Job:
    """A random Llama with the blocks of SmolLM2, prompts of two tasks and their right answers."""

    model: Any
    tasks: dict[str, tuple[Any, Any]]
    means: Any
    bridge: Any = None


def make_job(n_prompts: float) -> Job:
    """Build the network and prompts of 16 tokens; it is right on seven of ten."""
    model = random_llama(_VOCABULARY, _N_LAYERS)
    n = int(n_prompts)
    tasks = {}
    for name in ("first", "second"):
        ids = torch.randint(3, _VOCABULARY, (n, 16))
        with torch.no_grad():
            said = model(ids, logits_to_keep=1).logits[:, -1].argmax(-1)
        said[: 3 * n // 10] = 0
        tasks[name] = (ids, said)
    return Job(model, tasks, head_means(model, *(ids for ids, _ in tasks.values())))


def remove_ours(job: Job) -> Any:
    """Measure both tasks with nothing removed and without each group."""
    found = double_dissociation(
        job.model, job.tasks, *_GROUPS, n_random=0, reference=job.means, min_accuracy=0.0
    )
    return found.accuracy.values


def remove_by_hand(job: Job) -> Any:
    """Do the same with one hook per layer, written for this network."""
    rows = [_accuracies(job)]
    for group in _GROUPS:
        handles = []
        for layer in sorted({layer for layer, _ in group}):
            heads = [head for one, head in group if one == layer]
            mean = torch.from_numpy(job.means.values[layer]).float()

            def put(_: Any, args: Any, heads: Any = heads, mean: Any = mean) -> Any:
                changed = args[0].clone().unflatten(-1, (_N_HEADS, _SIZE))
                changed[:, :, heads] = mean[heads]
                return (changed.flatten(-2), *args[1:])

            module = job.model.model.layers[layer].self_attn.o_proj
            handles.append(module.register_forward_pre_hook(put))
        rows.append(_accuracies(job))
        for handle in handles:
            handle.remove()
    return np.array(rows)


def _accuracies(job: Job) -> list[float]:
    with torch.no_grad():
        return [
            float(
                (
                    job.model(ids, logits_to_keep=1, use_cache=False).logits[:, -1].argmax(-1)
                    == right
                )
                .double()
                .mean()
            )
            for ids, right in job.tasks.values()
        ]


def wrapped(job: Job) -> Job:
    """Wrap the network as TransformerLens does."""
    return replace(job, bridge=bridge_of(job.model))


def remove_lens(job: Job) -> Any:
    """Do the same with run_with_hooks on the outputs of the heads."""
    rows = []
    for group in ([], *_GROUPS):
        hooks = []
        for layer in sorted({layer for layer, _ in group}):
            heads = [head for one, head in group if one == layer]
            mean = torch.from_numpy(job.means.values[layer]).float()

            def put(z: Any, hook: Any, heads: Any = heads, mean: Any = mean) -> Any:
                changed = z.clone().reshape(*z.shape[:2], _N_HEADS, _SIZE)
                changed[:, :, heads] = mean[heads]
                return changed.reshape(z.shape)

            hooks.append((f"blocks.{layer}.attn.hook_z", put))
        row = []
        for ids, right in job.tasks.values():
            with torch.no_grad():
                logits = job.bridge.run_with_hooks(ids, fwd_hooks=hooks)
            row.append(float((logits[:, -1].argmax(-1) == right).double().mean()))
        rows.append(row)
    return np.array(rows)


def make_samples(n_units: float) -> Any:
    """Return samples (60, n_units) of two tasks."""
    return np.random.default_rng(0).normal(size=(60, int(n_units))), np.repeat([0, 1], 30)


def tests_ours(given: Any) -> Any:
    """Test all units, with folds and corrections."""
    return TaskSpecialization().fit(*given).p_


def tests_in_a_loop(given: Any) -> Any:
    """Test unit after unit, and no more."""
    values, task = given
    return np.array([mannwhitneyu(x[task == 0], x[task == 1]).pvalue for x in values.T])


def differs(ours: Any, theirs: Any) -> float:
    """Tell the largest difference."""
    return float(np.max(np.abs(np.subtract(ours, theirs))))


def cases() -> Sequence[Case]:
    """Removal on 40 prompts per task, and the tests of 4,608 units."""
    peers = [
        Peer("hooks by hand", remove_by_hand, differs),
        Peer(
            "TransformerLens run_with_hooks",
            remove_lens,
            differs,
            requires="transformer_lens",
            prepare=wrapped,
        ),
    ]
    loop = Peer("scipy mannwhitneyu, unit by unit", tests_in_a_loop, differs, tolerance=1e-12)
    return [
        Case(
            name="double_dissociation, 2 groups of 3 heads, n prompts per task, Llama d 576",
            sizes=(40,),
            smoke=(10,),
            make=make_job,
            ours=remove_ours,
            peers=peers,
            dtype="float32",
            aim="accuracies equal to the prompt, at most 1.05 times hooks by hand",
        ),
        Case(
            name="TaskSpecialization, 60 samples x n units, folds and correction included",
            sizes=(4608,),
            smoke=(200,),
            make=make_samples,
            ours=tests_ours,
            peers=[loop],
            dtype="float64",
            aim="at least 20 times a loop over units",
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
