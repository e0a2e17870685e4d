"""Features of a trained language model by SNMF and its rivals: found, read, and steered with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata

from activome.interventions.recording import record
from activome.interventions.resuming import resume
from activome.networks.language_models import LanguageModel, load_language_model
from activome.patterns.feature_reading import feature_tokens
from activome.patterns.hierarchical_semi_nmf import HierarchicalSemiNMF
from activome.patterns.semi_nmf import SemiNMF
from activome.patterns.sparse_autoencoder import SparseAutoencoder
from activome.studies._snmf_concepts import Corpus, build_corpus

__all__ = ["METHODS", "Scale", "detection_auc", "one_layer", "score_at", "tower"]

Array = np.ndarray[Any, Any]
METHODS = ("SNMF", "autoencoder", "difference of means", "random component")
PROMPTS = ("I think that", "She said the", "They like my")
ALPHAS = 2.0 ** np.arange(9)
_TARGET = 0.5  # nats
_ROWS = 162  # rows per pass


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    layers: tuple[int, ...]
    n_concepts: int
    n_words: int
    n_frames: int
    n_components: int
    max_iter: int
    n_starts: int
    n_steps: int


@dataclass(frozen=True)
class _Tokens:
    """Hidden activity of one layer at all tokens but the first, and which tokens are words."""

    hidden: Array
    sentence: Array
    word: Array  # row of each sentence's word
    labels: list[str]


@lru_cache(maxsize=1)
def language_model() -> LanguageModel:
    """Return the model of the study."""
    return load_language_model("smollm2", dtype="float32")


@lru_cache(maxsize=1)
def corpus(scale: Scale) -> Corpus:
    """Return the sentences of a scale."""
    return build_corpus(language_model().tokenizer, scale.n_concepts, scale.n_words, scale.n_frames)


@lru_cache(maxsize=1)
def recorded(scale: Scale) -> dict[int, _Tokens]:
    """Record the MLP neurons of all layers at once."""
    model, given = language_model(), corpus(scale)
    names = [f"mlp_hidden[{layer}]" for layer in scale.layers]
    found = record(model.model, given.ids, names, tokenizer=model.tokenizer)
    result = {}
    for layer, name in zip(scale.layers, names, strict=True):
        activity = found[name]
        n_trials, n_times = activity.sizes["trial"], activity.sizes["time"]
        keep = np.ones((n_trials, n_times), dtype=bool)
        if "valid" in activity.coords:
            keep = activity["valid"].values.copy()
        keep[:, 0] = False
        row = np.cumsum(keep.ravel()).reshape(keep.shape) - 1
        result[layer] = _Tokens(
            activity.values[keep],
            np.nonzero(keep)[0],
            row[np.arange(n_trials), given.place],
            [str(token) for token in activity["token"].values[keep]],
        )
    return result


def detection_auc(codes: Array, concept: Array, n_concepts: int) -> Array:
    """Return the area under the curve of each component as a detector of each concept."""
    ranks = rankdata(codes, axis=0)
    found = np.empty((n_concepts, codes.shape[1]))
    for number in range(n_concepts):
        inside = concept == number
        n, m = int(inside.sum()), int((~inside).sum())
        found[number] = (ranks[inside].sum(axis=0) - n * (n + 1) / 2) / (n * m)
    return found


def one_layer(layer: int, scale: Scale) -> dict[str, Any]:
    """Fit one layer, test the best component of each concept on new words, and steer with it."""
    given, tokens = corpus(scale), recorded(scale)[layer]
    weight = _output_weight(layer)
    is_fit = given.is_training[tokens.sentence]
    written = tokens.hidden @ weight.T
    model = _best_start(tokens.hidden[is_fit], scale)
    coder = SparseAutoencoder(
        scale.n_components, k=8, learning_rate=2e-3, n_steps=scale.n_steps, random_state=0
    ).fit(written[is_fit])
    words = tokens.hidden[tokens.word]
    codes = {
        "SNMF": model.transform(words),
        "autoencoder": coder.transform(written[tokens.word]),
        "best neuron": np.concatenate([words, -words], axis=1),
    }
    held, best = {}, {}
    for name, code in codes.items():
        best[name], held[name] = _held_out(np.asarray(code), given)
    means = _difference_of_means(words, given)
    directions = {
        "SNMF": model.components_[best["SNMF"]] @ weight.T,
        "autoencoder": coder.components_[best["autoencoder"]],
        "difference of means": means @ weight.T,
    }
    others = model.components_[np.setdiff1d(np.arange(scale.n_components), best["SNMF"])]
    directions["random component"] = _drawn(others, len(given.names), layer) @ weight.T
    steering = _steering(layer, directions, given)
    shown = int(np.argmax(held["SNMF"]))
    return {
        "explained": model.score(tokens.hidden[is_fit]),
        "auc": held,
        "steering": steering,
        "page": _page(model, int(best["SNMF"][shown]), tokens, weight) | {"concept": shown},
        "n_tokens": len(tokens.hidden),
    }


def _output_weight(layer: int) -> Array:
    module = language_model().model.model.layers[layer].mlp.down_proj
    return np.asarray(module.weight.detach().numpy())


def _held_out(codes: Array, given: Corpus) -> tuple[Array, Array]:
    """Choose the best component of each concept on training words; return it, and its AUC."""
    n = len(given.names)
    seen = given.is_training
    best = detection_auc(codes[seen], given.concept[seen], n).argmax(axis=1)
    held = detection_auc(codes[~seen], given.concept[~seen], n)
    return best, held[np.arange(n), best]


def _difference_of_means(words: Array, given: Corpus) -> Array:
    seen = given.is_training
    rows, concept = words[seen].astype(np.float64), given.concept[seen]
    return np.stack(
        [
            rows[concept == number].mean(axis=0) - rows[concept != number].mean(axis=0)
            for number in range(len(given.names))
        ]
    )


def _best_start(activity: Array, scale: Scale) -> SemiNMF:
    """Fit from several random starts, and keep the one of the smallest loss."""
    models = [
        SemiNMF(
            scale.n_components,
            keep=0.01,
            max_iter=scale.max_iter,
            tol=0.0,
            patience=scale.max_iter,
            random_state=start,
        ).fit(activity)
        for start in range(scale.n_starts)
    ]
    return min(models, key=lambda model: float(model.loss_curve_.min()))


def _drawn(components: Array, n: int, seed: int) -> Array:
    """Return a component for each of n concepts, at random among those that are not zero."""
    alive = components[np.linalg.norm(components, axis=1) > 0]
    rng = np.random.default_rng(seed)
    return np.asarray(alive[rng.choice(len(alive), n, replace=False)])


def _steering(layer: int, directions: dict[str, Array], given: Corpus) -> dict[str, Array]:
    """Return, per method, the score of each concept at equal disturbance."""
    scores = steered_scores(layer, np.concatenate(list(directions.values())), given)
    result, first = {}, 0
    for name, group in directions.items():
        # The score of one direction sums to 0 over concepts: each concept has one of its own.
        result[name] = np.diag(scores[first : first + len(group)]).copy()
        first += len(group)
    return result


def steered_scores(layer: int, directions: Array, given: Corpus) -> Array:
    """Return by how much each direction raises the words of each concept over those of others.

    Directions are added to what the MLP of the layer writes, at all positions. The network is
    entered after that layer, with the stream that is there; what comes before does not change.
    """
    model, tokenizer = language_model().model, language_model().tokenizer
    ids = torch.tensor([tokenizer.encode(prompt) for prompt in PROMPTS])
    last = torch.tensor(ids.shape[1] - 1)
    inputs = {"input_ids": ids, "logits_to_keep": last}
    stream = record(model, ids, f"resid_post[{layer}]").values
    units = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    with torch.no_grad():
        plain = model(ids).logits[:, -1].double().log_softmax(-1)
    step = _ROWS // (len(ALPHAS) * len(PROMPTS))
    found = []
    for first in range(0, len(units), step):
        some = units[first : first + step]
        pushes = some[:, np.newaxis] * ALPHAS[:, np.newaxis]  # direction, alpha, feature
        hidden = stream + pushes.reshape(-1, 1, 1, units.shape[1])
        start = torch.from_numpy(hidden.reshape(-1, *stream.shape[1:]).astype(np.float32))
        with torch.no_grad():
            logits = resume(model, inputs, layer + 1, start).logits
        moved = logits.reshape(len(some), len(ALPHAS), len(PROMPTS), -1).double().log_softmax(-1)
        shift = moved - plain
        divergence = -(plain.exp() * shift).sum(-1).mean(-1).numpy()
        raised = np.stack([shift[..., words].mean((-1, -2)).numpy() for words in given.words], -1)
        found += [score_at(d, r) for d, r in zip(divergence, raised, strict=True)]
    return np.stack(found)


def score_at(divergence: Array, raised: Array, target: float = _TARGET) -> Array:
    """Return what each concept gains over the others where the divergence meets a target.

    ``divergence`` (n_alphas,) rises from 0 at no steering; ``raised`` (n_alphas, n_concepts) holds
    the shift of the words of each concept. Between strengths the way is linear in the divergence;
    where the target is not met the last strength counts.
    """
    n = raised.shape[1]
    margin = raised - (raised.sum(axis=1, keepdims=True) - raised) / (n - 1)
    divergence = np.concatenate([[0.0], divergence])
    margin = np.concatenate([np.zeros((1, n)), margin])
    met = np.flatnonzero(divergence >= target)
    if not met.size:
        return np.asarray(margin[-1])
    i = int(met[0])
    share = (target - divergence[i - 1]) / (divergence[i] - divergence[i - 1])
    return np.asarray(margin[i - 1] + share * (margin[i] - margin[i - 1]))


def _page(model: SemiNMF, component: int, tokens: _Tokens, weight: Array) -> dict[str, Any]:
    """Return what the page of a component shows."""
    network = language_model()
    gain = network.model.model.norm.weight.detach().numpy()
    reading = feature_tokens(
        model.components_[component],
        weight,
        network.model.get_output_embeddings().weight.detach().numpy() * gain,
        network.tokenizer.convert_ids_to_tokens(range(network.model.config.vocab_size)),
        n_tokens=8,
    )
    return {
        "component": component,
        "coef": np.asarray(model.transform(tokens.hidden))[:, component],
        "labels": tokens.labels,
        "sequence": tokens.sentence,
        "raised": list(reading.raised),
        "lowered": list(reading.lowered),
        "raised_logits": reading.raised_logits,
        "lowered_logits": reading.lowered_logits,
    }


def tower(layer: int, scale: Scale, n_broad: int, n_shuffles: int) -> dict[str, Any]:
    """Merge the features of a layer: do features of one concept come under one parent?

    A feature is of the concept that it detects best on training words, where its AUC is at least
    0.8. The share of pairs under one parent, among pairs of one concept and of two, is compared
    with parents in random order.
    """
    given, tokens = corpus(scale), recorded(scale)[layer]
    is_fit = given.is_training[tokens.sentence]
    found = HierarchicalSemiNMF(
        (scale.n_components, n_broad),
        0.01,
        max_iter=scale.max_iter,
        tol=0.0,
        patience=scale.max_iter,
        random_state=0,
    ).fit(tokens.hidden[is_fit])
    rows = np.cumsum(is_fit) - 1
    seen = given.is_training
    codes = found.coef_[rows[tokens.word[seen]]]
    auc = detection_auc(codes, given.concept[seen], len(given.names))
    is_clear = (auc.max(axis=0) >= 0.8) & (found.parents_[0] >= 0)
    concept, parents = auc.argmax(axis=0)[is_clear], found.parents_[0][is_clear]
    above = np.triu_indices(concept.size, 1)
    is_same = (concept[:, np.newaxis] == concept)[above]

    def excess(order: Array) -> tuple[float, float]:
        together = (order[:, np.newaxis] == order)[above]
        return float(together[is_same].mean()), float(together[~is_same].mean())

    inside, across = excess(parents)
    rng = np.random.default_rng(0)
    null = [np.subtract(*excess(rng.permutation(parents))) for _ in range(n_shuffles)]
    hits = int(np.count_nonzero(np.array(null) >= inside - across - 1e-12))
    return {
        "inside": inside,
        "across": across,
        "p": (1 + hits) / (1 + n_shuffles),
        "n_features": int(concept.size),
        "n_pairs": int(is_same.sum()),
    }
