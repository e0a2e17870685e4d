"""The claims of the study of SNMF that are about a trained language model."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome.networks.model_assets import ASSETS
from activome.studies.claims import Study

__all__ = ["language_model_claims"]

_MODEL_CLAIMS = (
    ("layers 12, 20, 24: held-out AUC of concept detection", "-", ">= 0.85"),
    ("layer 20: steering less that of the autoencoder", "> 0", ">= 0"),
    ("four layers: steering less that of the autoencoder, mean", "> 0", ">= 0"),
    ("four layers: steering less that of a random component, mean", "-", ">= 0.2"),
    ("four layers: steering less that of the difference of means, mean", ">= 0", ">= 0"),
    ("layers 12, 20, 24: explained variance at 60 parts", "-", ">= 0.35 and <= 0.55"),
    ("layer 20: p of features of one concept being under one parent by chance", "-", "<= 0.05"),
)
FULL: dict[str, Any] = {
    "layers": (12, 16, 20, 24),
    "n_concepts": 12,
    "n_words": 11,
    "n_frames": 6,
    "n_components": 60,
    "max_iter": 150,
    "n_starts": 3,
    "n_steps": 600,
}
SMOKE: dict[str, Any] = {
    "layers": (20,),
    "n_concepts": 4,
    "n_words": 5,
    "n_frames": 2,
    "n_components": 20,
    "max_iter": 60,
    "n_starts": 1,
    "n_steps": 100,
}


def language_model_claims(study: Study) -> dict[str, Any]:
    """Measure the claims on a trained language model, and return what the figure shows."""
    if not ASSETS["smollm2"].is_installed:
        for name, paper, threshold in _MODEL_CLAIMS:
            reason = f"The model is not installed. Install it with: {ASSETS['smollm2'].command}"
            study.not_run(name, paper=paper, threshold=threshold, reason=reason)
        return {}
    # Imported here, so that the other claims are measured without torch.
    from activome.studies import _snmf_models as models

    scale = models.Scale(**(FULL if study.is_full else SMOKE))
    found = dict(
        zip(
            scale.layers,
            study.map("layers", models.one_layer, [(layer, scale) for layer in scale.layers]),
            strict=True,
        )
    )
    tested = [layer for layer in found if layer != 16]
    auc = {
        name: [float(np.mean(found[layer]["auc"][name])) for layer in found]
        for name in ("SNMF", "autoencoder", "best neuron")
    }
    steering = {
        name: {layer: float(np.mean(found[layer]["steering"][name])) for layer in found}
        for name in models.METHODS
    }
    _claim_models(study, found, steering, tested)
    _note_models(study, found, auc, steering)
    n_broad, n_shuffles = (15, 999) if study.is_full else (8, 99)
    tower = study.step("tower of a model", models.tower, 20, scale, n_broad, n_shuffles)
    note = (
        f"{tower['inside']:.3f} of {tower['n_pairs']} pairs of one concept are under one parent, "
        f"{tower['across']:.3f} of the others; {tower['n_features']} features detect a concept."
    )
    name = "layer 20: p of features of one concept being under one parent by chance"
    if study.is_full:
        study.claim(name, tower["p"], at_most=0.05, note=note)
    else:
        study.note(f"{name}: {tower['p']:.3f}; {note}")
    return {"layers": found, "auc": auc, "steering": steering, "methods": models.METHODS}


def _claim_models(
    study: Study,
    found: dict[int, Any],
    steering: dict[str, dict[int, float]],
    tested: list[int],
) -> None:
    def less(other: str, layers: list[int]) -> float:
        return float(np.mean([steering["SNMF"][i] - steering[other][i] for i in layers]))

    layers = list(found)
    where = "layers 12, 20, 24" if study.is_full else "layer 20"
    explained = [found[layer]["explained"] for layer in tested]
    aucs = {layer: float(np.mean(found[layer]["auc"]["SNMF"])) for layer in tested}
    study.claim(
        f"{where}: held-out AUC of concept detection, lowest layer",
        min(aucs.values()),
        paper="most features above chance",
        at_least=0.85 if study.is_full else 0.75,
        note=", ".join(f"layer {layer}: {value:.3f}" for layer, value in aucs.items()),
    )
    study.claim(
        "layer 20: steering less that of the autoencoder",
        less("autoencoder", [20]),
        paper="> 0",
        at_least=0.0,
    )
    if not study.is_full:
        return
    study.claim(
        "four layers: steering less that of the autoencoder, mean",
        less("autoencoder", layers),
        paper="> 0",
        at_least=0.0,
    )
    study.claim(
        "four layers: steering less that of a random component, mean",
        less("random component", layers),
        at_least=0.2,
    )
    study.claim(
        "four layers: steering less that of the difference of means, mean",
        less("difference of means", layers),
        paper=">= 0",
        at_least=0.0,
    )
    name = f"{where}: explained variance at 60 parts"
    study.claim(f"{name}, lowest layer", min(explained), at_least=0.35)
    study.claim(f"{name}, highest layer", max(explained), at_most=0.55)


def _note_models(
    study: Study,
    found: dict[int, Any],
    auc: dict[str, list[float]],
    steering: dict[str, dict[int, float]],
) -> None:
    study.note(
        "Held-out AUC by layer: "
        + "; ".join(
            f"{name} " + ", ".join(f"{value:.3f}" for value in values)
            for name, values in auc.items()
        )
        + f" (layers {', '.join(map(str, found))})."
    )
    study.note(
        "Steering by layer, nats at a divergence of 0.5: "
        + "; ".join(
            f"{name} " + ", ".join(f"{value:.3f}" for value in by_layer.values())
            for name, by_layer in steering.items()
        )
        + "."
    )
    wins = {
        layer: int(np.sum(entry["steering"]["SNMF"] > entry["steering"]["autoencoder"]))
        for layer, entry in found.items()
    }
    n = len(next(iter(found.values()))["auc"]["SNMF"])
    study.note(
        f"Concepts of {n} in which SNMF steers further than the autoencoder: "
        + ", ".join(f"layer {layer}: {count}" for layer, count in wins.items())
        + f". Tokens recorded: {next(iter(found.values()))['n_tokens']}."
    )
