"""Bricks that emerged in a trained language model: scored, pruned, and masked by activation."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from activome.interventions.pruning import activation_sparsity, mean_magnitude, prune_matrix
from activome.interventions.recording import record
from activome.interventions.selectors import Sel
from activome.networks.language_models import LanguageModel, load_language_model
from activome.patterns.unit_expertise import UnitExpertise
from activome.studies._brick_texts import texts_of

__all__ = ["INDICATORS", "pruned", "score", "sparsity"]

Array = np.ndarray[Any, Any]
Functions = tuple[str, ...]
INDICATORS = ("activation", "magnitude")
_SITE = "mlp_hidden[*]"
# Block 11, neurons 1229 and 1487: they write the massive activation that the model leans on.
_WRITERS = (11 * 1536 + 1229, 11 * 1536 + 1487)


@functools.lru_cache(maxsize=1)
def _loaded() -> LanguageModel:
    return load_language_model("smollm2")


def _ids(function: str, first: int, n: int, n_tokens: int, seed: int) -> list[list[int]]:
    """Return token ids of texts ``first`` to ``first + n`` of a function, cut to a length."""
    texts = texts_of(function, first + n, seed)[first:]
    tokenizer = _loaded().tokenizer
    return [tokenizer.encode(text, add_special_tokens=False)[:n_tokens] for text in texts]


def score(functions: Functions, n_texts: int, n_tokens: int, seed: int) -> dict[str, Any]:
    """Score every hidden neuron for each function, and mark the best 5 % of each layer."""
    ids = [one for name in functions for one in _ids(name, 0, n_texts, n_tokens, seed)]
    labels = np.repeat(functions, n_texts)
    responses = record(
        _loaded().model, ids, _SITE, at=Sel(pos="all_but_first"), reduce=mean_magnitude
    )
    scores = UnitExpertise(None, random_state=seed).fit(responses.values, labels)
    layer = responses["layer"].values.astype(np.int64)
    n_layers = int(layer.max()) + 1
    shuffled = np.random.default_rng(seed).permutation(labels)
    chance = UnitExpertise(None, random_state=seed).fit(responses.values[:, ::40], shuffled)
    place = {str(name): i for i, name in enumerate(scores.classes_)}
    ap = scores.ap_[[place[name] for name in functions]]
    by_layer = ap.reshape(len(functions), n_layers, -1)
    n_top = max(1, round(0.005 * by_layer.shape[2]))
    return {
        "best": by_layer.max(axis=2),
        "top": np.sort(by_layer, axis=2)[:, :, -n_top:].mean(axis=2),
        "mean": by_layer.mean(axis=2),
        "chance": float(scores.chance_.mean()),
        "shuffled": float(chance.ap_.mean()),
        "masks": np.stack([scores.top_mask(name, 0.05, groups=layer) for name in functions]),
        "layer": layer,
        "has_writers": [
            bool(scores.top_mask(name, 0.05, groups=layer)[list(_WRITERS)].any())
            for name in functions
        ],
        "source": _loaded().source,
    }


def pruned(
    masks: tuple[bytes, ...],
    functions: Functions,
    first: int,
    n_texts: int,
    n_tokens: int,
    seed: int,
) -> dict[str, Any]:
    """Return the relative increases of perplexity (mask, function) with the neurons of masks off.

    Masks come packed, eight neurons to a byte.
    """
    texts = {name: _ids(name, first, n_texts, n_tokens, seed) for name in functions}
    bits = {
        str(i): np.unpackbits(np.frombuffer(mask, dtype=np.uint8)).astype(bool)
        for i, mask in enumerate(masks)
    }
    found = prune_matrix(_loaded().model, texts, bits, site=_SITE)
    return {"increase": found.values, "perplexity": found["baseline"].values}


def sparsity(
    indicator: str,
    functions: Functions,
    first: int,
    n_texts: int,
    n_tokens: int,
    ratios: tuple[float, ...],
    seed: int,
) -> dict[str, Any]:
    """Return the distribution of an indicator, and what masking the lowest shares costs."""
    ids = [one for name in functions for one in _ids(name, first, n_texts, n_tokens, seed)]
    found = activation_sparsity(
        _loaded().model, ids, indicator=indicator, ratios=ratios, site=_SITE
    )
    return {
        "threshold": found["threshold"].values,
        "cdf": found["cdf"].values,
        "ratio": found["ratio"].values,
        "increase": found["perplexity_increase"].values,
    }
