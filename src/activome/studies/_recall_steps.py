"""The steps of the study of recall and reasoning on a trained language model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr

from activome.interventions.activation_patching import activation_patching
from activome.interventions.double_dissociation import double_dissociation
from activome.interventions.edits import Mean
from activome.interventions.head_features import head_features
from activome.interventions.head_scores import head_means, head_scores
from activome.interventions.recording import record
from activome.interventions.taps import Taps
from activome.patterns.select_heads import select_heads
from activome.patterns.task_specialization import TaskSpecialization
from activome.studies._recall_data import language_model, matched, prompts

__all__ = ["TASKS", "ablate", "layers_patched", "score", "specialize", "third_task"]

Array = np.ndarray[Any, Any]
Place = tuple[int, int]
TASKS = ("recall", "inference")
_SITES = {"head": "head_out", "unit": "mlp_hidden"}


def score(component: str, n_prompts: int | None, rule: str = "relp") -> dict[str, Any]:
    """Score every head or MLP neuron on both tasks, at prompts of the scoring half."""
    model, site = language_model().model, _SITES[component]
    given = {task: prompts(task, "score").part(n_prompts) for task in TASKS}
    means = head_means(model, *(one.ids for one in given.values()), site=site)
    scores = {
        task: head_scores(model, one.ids, one.metric, means, rule, site=site).values
        for task, one in given.items()
    }
    return {"means": means.values, "scores": scores}


def chosen(scores: dict[str, Array], n: int) -> list[list[Place]]:
    """Return the n components of each task."""
    a, b = (scores[task] for task in TASKS)
    return [select_heads(a, b, n), select_heads(b, a, n)]


def _reference(means: Array, component: str) -> xr.DataArray:
    dims = ("layer", component, "feature")[: means.ndim]
    return xr.DataArray(means, {dims[0]: range(len(means))}, dims)


def ablate(
    component: str, found: dict[str, Any], n: int, n_random: int, n_prompts: int | None, seed: int
) -> dict[str, Any]:
    """Remove the best components of each task, and random groups, on the unseen half."""
    first, second = chosen(found["scores"], n)
    tasks = {}
    for task in TASKS:
        one = prompts(task, "evaluate").part(n_prompts)
        tasks[task] = (one.ids, one.right)
    result = double_dissociation(
        language_model().model,
        tasks,
        first,
        second,
        n_random=n_random,
        reference=_reference(found["means"], component),
        match="layer" if component == "head" else "any",
        site=_SITES[component],
        random_state=seed,
    )
    values = {str(name): np.asarray(cell.values) for name, cell in result.data_vars.items()}
    return values | {"heads": [[list(place) for place in group] for group in (first, second)]}


def third_task(found: dict[str, Any], n: int) -> dict[str, float]:
    """Return the accuracy at plurals, with nothing and with each group of heads removed."""
    model, given = language_model().model, prompts("plural", "evaluate")
    means, taps = found["means"], Taps(model)

    def accuracy() -> float:
        with torch.no_grad():
            said = model(given.ids, logits_to_keep=1).logits[:, -1].argmax(-1)
        return float((said == given.right).double().mean())

    result = {"none": accuracy()}
    for task, group in zip(TASKS, chosen(found["scores"], n), strict=True):
        edits = [
            Mean(f"head_out[{layer}]", head=head, reference=torch.from_numpy(means[layer]))
            for layer, head in group
        ]
        with taps.edit(*edits):
            result[task] = accuracy()
    return result


def layers_patched(n_prompts: int) -> dict[str, Array]:
    """Return, per task, the effect of patching what attention and MLP of each layer write.

    Prompts are patched from prompts with another answer: those of the next country, and those in
    which the other of the two people gives.
    """
    result = {}
    for task in TASKS:
        given = prompts(task, "score").part(n_prompts)
        ids = given.ids
        if task == "recall":
            other, wrong = ids.roll(-1, 0), given.right.roll(-1, 0)
        else:
            other, wrong = ids.clone(), given.wrong
            # The giver is the second mention of a name, and trades places with the other one.
            place = int((ids[0] == given.wrong[0]).nonzero()[-1])
            other[:, place] = given.right

        def metric(logits: Any, right: Any = given.right, wrong: Any = wrong) -> Any:
            rows = torch.arange(len(logits))
            return (logits[rows, right] - logits[rows, wrong]).mean()

        effects = activation_patching(
            language_model().model, ids, other, metric, ["attn_out", "mlp_out"], by=()
        )
        result[task] = np.asarray(effects.values)
    return result


def specialize(n_prompts: int, n_permutations: int) -> dict[str, Any]:
    """Test layers, heads and neurons between matched prompts that recall and that infer."""
    network = language_model("eager").model
    pair = matched(n_prompts)
    task = np.repeat([0, 1], [len(one) for one in pair])
    ids = torch.cat(pair)
    heads, layers, neurons = _measured(network, ids)
    found = {}
    for name, table, alpha, d_min in (
        ("layers", layers, 0.01, 0.8),
        ("heads", heads, 1e-4, 1.0),
        ("neurons", neurons, 1e-3, 0.5),
    ):
        model: Any = TaskSpecialization(
            alpha=alpha, d_min=d_min, n_permutations=n_permutations, random_state=0
        )
        model.fit(table, task)
        passes = (model.p_adj_ < alpha) & (np.abs(model.d_) > d_min)
        names, counts = np.unique(model.label_, return_counts=True)
        found[name] = {
            "n": int(model.label_.size),
            "counts": dict(zip(names.tolist(), counts.tolist(), strict=True)),
            "null": model.null_share_,
            "stable": float((model.consistency_[passes] == 1).mean()) if passes.any() else 0.0,
        }
        if name == "heads":
            found[name] |= {"d": model.d_, "p": model.p_adj_, "label": model.label_.tolist()}
    return found


def _measured(network: Any, ids: Any) -> tuple[Array, Array, Array]:
    """Return features of heads, layers and neurons, each (prompt, component[, feature])."""
    patterns, outputs = [], []
    taps = Taps(network)
    with taps.record("attn_pattern", "head_out") as seen, torch.no_grad():
        network.model(ids, use_cache=False)
    for layer in range(network.config.num_hidden_layers):
        patterns.append(seen.tensor(f"attn_pattern[{layer}]").numpy())
        outputs.append(seen.tensor(f"head_out[{layer}]").numpy())
    heads = np.concatenate(
        [head_features(a, z).values for a, z in zip(patterns, outputs, strict=True)], axis=1
    )
    with taps.record("resid_post", "resid_pre") as stream, torch.no_grad():
        network.model(ids, use_cache=False)
    layers = []
    for layer in range(network.config.num_hidden_layers):
        before, after = (
            stream.tensor(f"{site}[{layer}]")[:, -1].double().numpy()
            for site in ("resid_pre", "resid_post")
        )
        size = np.linalg.norm(after, axis=1)
        layers.append(np.stack([size, np.linalg.norm(after - before, axis=1)], axis=1))
    # The first position is far from all others, whatever the prompt.
    hidden = record(network, ids, "mlp_hidden", reduce=_mean_after_first)
    return heads, np.stack(layers, axis=1), np.asarray(hidden.values)


def _mean_after_first(view: Any, keep: Any) -> Any:
    return view[:, 1:].mean(1)
