"""Texts as a trained language model sees them: tokens of some layers, codes, and gradients."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from activome.activity.pooling import pooled_codes
from activome.activity.schema import Activity
from activome.activity.stacking import from_ragged
from activome.interventions.recording import record
from activome.interventions.selectors import Sel
from activome.networks.language_models import LanguageModel, load_language_model
from activome.patterns.code_overlap import generalized_jaccard
from activome.patterns.selection import TaskSelector
from activome.patterns.sparse_autoencoder import SparseAutoencoder

__all__ = [
    "encode",
    "gradients",
    "loaded",
    "mean_overlap",
    "padded",
    "raw_scores",
    "score",
    "sentences",
    "text_losses",
    "token_ids",
    "tokens",
]

Array = np.ndarray[Any, Any]
_MOST = 40  # tokens of a text
_TOKENS_PER_PASS = 1024
_WIDTH = 64  # numbers that each side of a gradient is projected to
METRICS = ("jaccard", "cosine", "euclidean")


@functools.lru_cache(maxsize=1)
def loaded() -> LanguageModel:
    """Return the language model, loaded once."""
    return load_language_model("smollm2")


def token_ids(texts: Sequence[str]) -> list[list[int]]:
    """Return the first tokens of each text."""
    tokenizer = loaded().tokenizer
    return [tokenizer.encode(text, add_special_tokens=False)[:_MOST] for text in texts]


def tokens(texts: Sequence[str], layers: Sequence[int]) -> dict[str, Any]:
    """Return what some blocks give for all tokens but the first, and how many each text has."""
    sites = [f"resid_post[{layer}]" for layer in layers]
    found = record(
        loaded().model,
        token_ids(texts),
        sites,
        at=Sel(pos="all_but_first"),
        max_tokens=_TOKENS_PER_PASS,
    )
    first = found[sites[0]]
    valid = first["valid"].values if "valid" in first.coords else np.ones(first.shape[:2], bool)
    rows = {layer: found[site].values[valid] for layer, site in zip(layers, sites, strict=True)}
    return {"rows": rows, "lengths": valid.sum(axis=1)}


def _activity(rows: Array, lengths: Array) -> Activity:
    return from_ragged(np.split(rows, np.cumsum(lengths)[:-1]), kind="activation")


def encode(
    layer: int,
    seed: int,
    *,
    recorded: dict[str, Any],
    groups: dict[str, Array],
    sizes: dict[str, int],
    ks: tuple[int, ...],
) -> dict[str, Any]:
    """Train an autoencoder on the tokens of one layer, and score the pool for each relation.

    ``groups`` has the places of the pool under "pool", and those of the targets of each relation.
    """
    rows, lengths = recorded["rows"][layer], recorded["lengths"]
    sae = SparseAutoencoder(
        sizes["n_components"],
        sizes["k"],
        n_steps=sizes["n_steps"],
        learning_rate=1e-3,
        aux_weight=0.0,
        start="random",
        random_state=seed,
    ).fit(rows)
    activity = _activity(rows, lengths)
    scores, prototypes = {}, {}
    for k in ks:
        codes = pooled_codes(activity, sae, k=k)
        for metric in METRICS:
            scores[f"{metric} {k}"] = score(codes, groups, metric)
        prototypes[str(k)] = _prototypes(codes, groups)
    return {
        "scores": scores,
        "overlap": {k: mean_overlap(found) for k, found in prototypes.items()},
        "prototypes": prototypes[str(ks[0])],
        "explained": sae.explained_variance_,
        "dead": float(sae.is_dead_.mean()),
    }


def raw_scores(recorded: dict[str, Any], layer: int, groups: dict[str, Array]) -> dict[str, Any]:
    """Score the pool for each relation by the mean activity itself."""
    means = pooled_codes(_activity(recorded["rows"][layer], recorded["lengths"]))
    magnitude = _prototypes(np.abs(means), groups)
    return {
        "cosine": score(means, groups, "cosine"),
        "euclidean": score(means, groups, "euclidean"),
        "overlap": mean_overlap(magnitude),
        "prototypes": _prototypes(means, groups),
    }


def score(codes: Any, groups: dict[str, Array], metric: str) -> Array:
    """Return the scores of the pool for the targets of each relation, (relation, text)."""
    pool = codes[groups["pool"]]
    names = [name for name in groups if name != "pool"]
    return np.stack(
        [TaskSelector(metric).fit(codes[groups[name]]).score_samples(pool) for name in names]
    )


def _prototypes(codes: Any, groups: dict[str, Array]) -> Array:
    means = [codes[places].mean(axis=0) for name, places in groups.items() if name != "pool"]
    return np.stack([np.asarray(mean).ravel() for mean in means])


def mean_overlap(prototypes: Array) -> float:
    """Return the mean index between the prototypes of two relations."""
    table = np.stack([generalized_jaccard(prototypes, row) for row in prototypes])
    return float(table[~np.eye(len(table), dtype=bool)].mean())


def sentences(texts: Sequence[str]) -> Array:
    """Return the embedding of each text by a trained sentence encoder, of length 1."""
    encoder = load_language_model("minilm")
    found: Activity = record(
        encoder.model,
        list(texts),
        f"resid_post[{encoder.model.config.num_hidden_layers - 1}]",
        tokenizer=encoder.tokenizer,
        reduce="mean",
    )
    means: Array = np.asarray(found.values, dtype=np.float64)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return means


def gradients(texts: Sequence[str], layer: int, seed: int) -> Array:
    """Return the gradient of each text's loss by the last map of one MLP, projected at random.

    The gradient is a sum over tokens of products of what the map gets and what it is blamed for;
    each side is projected to few numbers before they are multiplied.
    """
    model = loaded().model
    weight = model.model.layers[layer].mlp.down_proj
    rng = np.random.default_rng(seed)
    n_out, n_in = weight.weight.shape
    left, right = (
        torch.from_numpy(rng.standard_normal((n, _WIDTH)).astype(np.float32) / _WIDTH**0.5)
        for n in (n_out, n_in)
    )
    seen: dict[str, Any] = {}

    def keep(_module: Any, inputs: Any, output: Any) -> Any:
        seen["inputs"] = inputs[0].detach()
        seen["output"] = output.detach().requires_grad_()
        return seen["output"]

    ids = token_ids(texts)
    order = np.argsort([len(item) for item in ids], kind="stable")
    rows = np.empty((len(ids), _WIDTH * _WIDTH), dtype=np.float32)
    handle = weight.register_forward_hook(keep)
    model.requires_grad_(False)
    try:
        for start in range(0, len(ids), 16):
            places = order[start : start + 16]
            batch, mask = padded([ids[i] for i in places])
            loss = text_losses(model, batch, mask).sum()
            (blame,) = torch.autograd.grad(loss, seen["output"])
            both = torch.einsum(
                "btl,btr->blr", blame @ left, (seen["inputs"] * mask[..., None]) @ right
            )
            rows[places] = both.reshape(len(places), -1).numpy()
    finally:
        handle.remove()
    return rows


def padded(ids: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and mask, filled up on the right."""
    width = max(len(item) for item in ids)
    batch = torch.zeros(len(ids), width, dtype=torch.long)
    mask = torch.zeros(len(ids), width)
    for row, item in enumerate(ids):
        batch[row, : len(item)] = torch.tensor(item)
        mask[row, : len(item)] = 1
    return batch, mask


def text_losses(
    model: Any, batch: torch.Tensor, mask: torch.Tensor, first: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the mean loss of each text, in nats per token; of its tokens from ``first`` on."""
    logits = model(input_ids=batch, attention_mask=mask.long(), use_cache=False).logits
    losses = torch.nn.functional.cross_entropy(
        logits[:, :-1].transpose(1, 2), batch[:, 1:], reduction="none"
    )
    counted = mask[:, 1:]
    if first is not None:
        counted = counted * (torch.arange(1, batch.shape[1]) >= first[:, None])
    return (losses * counted).sum(1) / counted.sum(1)
