"""Bricks: neurons grouped by function and pruned, and bricks that are added, merged and routed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from activome.errors import MissingExtraError
from activome.interventions.deactivation import matched_random_units
from activome.patterns.bricks import partition_overlap
from activome.studies._brick_texts import FUNCTIONS
from activome.studies.claims import Study

__all__ = ["run"]

Array = np.ndarray[Any, Any]
_RATIOS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9)
_SHORT = "Measured at full size only: --size full."
_MODEL_CLAIMS = (
    ("pruning a function's neurons costs it most: functions (rows)", "7 of 7", ">= 7"),
    ("a function is cost most by its own neurons: functions (columns)", "-", ">= 4"),
    ("own increase of perplexity over mean of others, median", "5 to 20", ">= 8"),
    ("own increase over that of random neurons of the same layers, least", "-", ">= 2"),
    ("best score of a layer, mean over layers, least function", "> 0.8", ">= 0.9"),
    ("overlap of two sets of the best 5 %, largest", "<= 0.09 (random 0.05)", "<= 0.02"),
    ("lowest 50 % of activations masked: increase of perplexity", "almost none", "<= 0.1"),
    ("lowest 90 % of activations masked: increase of perplexity", "-", ">= 2"),
    ("output magnitude costs less than activation at 50, 70 and 80 %", "yes", "yes"),
)
_OPERATION_CLAIMS = (
    ("merged brick: loss over that of the own brick, worst of two", "-", "<= 1.1"),
    ("merged brick: loss less than that of the base on both", "-", "yes"),
    ("subtracting a brick: loss on its texts over that of the base", "-", ">= 1"),
    ("retrieval by key: share of held-out texts of 7 functions", "-", ">= 0.9"),
    ("half of the groups by router: increase of perplexity", "-", "<= 0.15"),
    ("half of the groups at random: increase of perplexity", "-", ">= 0.4"),
)


def run(study: Study) -> None:
    """Measure the claims on bricks and draw them.

    Parameters
    ----------
    study : Study
        The bench to run on. Full size: seven functions of 40 texts to score and 10 to evaluate, 40
        tokens each, and a model of bytes trained for 800 steps; smoke: three functions of 8 and 2
        texts of 12 tokens, 8 steps.
    """
    functions = FUNCTIONS if study.is_full else ("coding", "maths", "writing")
    try:
        emerged = _emerged(study, functions)
    except MissingExtraError as error:
        emerged = None
        for name, paper, threshold in _MODEL_CLAIMS:
            study.not_run(name, paper=paper, threshold=threshold, reason=str(error))
    _operations(study)
    if emerged is not None:
        from activome.studies._brick_figure import draw

        study.save_figure(draw(functions, emerged))


def _emerged(study: Study, functions: tuple[str, ...]) -> dict[str, Any]:
    from activome.studies import _brick_model as model

    n_score, n_held, n_tokens = (40, 10, 40) if study.is_full else (8, 2, 12)
    seed = study.random_state
    found = study.step("scores", model.score, functions, n_score, n_tokens, seed)
    masks = np.asarray(found["masks"], dtype=bool)
    layer = np.asarray(found["layer"])
    drawn = []
    for draw in range(2 if study.is_full else 1):
        mask = np.zeros(masks.shape[1], dtype=bool)
        # Every set has 5 % of each layer: one draw is matched to all of them.
        units = np.flatnonzero(masks[draw])
        mask[matched_random_units(units, layer, random_state=seed + draw)] = True
        drawn.append(mask)
    packed = tuple(np.packbits(mask).tobytes() for mask in (*masks, *drawn))
    texts = (functions, n_score, n_held, n_tokens)
    pruned = study.step("pruning", model.pruned, packed, *texts, seed)
    increase = np.asarray(pruned["increase"])
    matrix, random = increase[: len(functions)], increase[len(functions) :]
    overlap = partition_overlap(dict(zip(functions, masks, strict=True)))
    curves: dict[str, Any] = {}
    if study.is_full:
        items = [
            (name, functions, n_score, 3, n_tokens, _RATIOS, seed) for name in model.INDICATORS
        ]
        curves = dict(
            zip(model.INDICATORS, study.map("masking", model.sparsity, items), strict=True)
        )
    _model_claims(study, found, matrix, random, overlap, curves)
    _tell(study, functions, found, matrix, random)
    return {**found, "matrix": matrix, "random": random, "overlap": overlap, "curves": curves}


def _model_claims(
    study: Study,
    found: dict[str, Any],
    matrix: Array,
    random: Array,
    overlap: Any,
    curves: dict[str, Any],
) -> None:
    n = len(matrix)
    own, off = np.diag(matrix), ~np.eye(n, dtype=bool)
    ratio = float(np.median(own / np.array([matrix[i][off[i]].mean() for i in range(n)])))
    if not study.is_full:
        for i, (name, paper, threshold) in enumerate(_MODEL_CLAIMS):
            if i == 2:
                study.claim(name, ratio, paper=paper, at_least=8.0)
            else:
                study.not_run(name, paper=paper, threshold=threshold, reason=_SHORT)
        return
    rows = int((matrix.argmax(axis=1) == np.arange(n)).sum())
    columns = int((matrix.argmax(axis=0) == np.arange(n)).sum())
    share = float(np.max(overlap.values[off]))
    first, second = (dict(zip(c["ratio"], c["increase"], strict=True)) for c in curves.values())
    is_less = all(second[r] < first[r] for r in (0.5, 0.7, 0.8))
    measured: list[tuple[float | bool, dict[str, Any]]] = [
        (rows, {"at_least": 7}),
        (columns, {"at_least": 4}),
        (ratio, {"at_least": 8.0}),
        (float((own / random.mean(axis=0)).min()), {"at_least": 2.0}),
        (float(np.mean(found["best"], axis=1).min()), {"at_least": 0.9}),
        (share, {"at_most": 0.02}),
        (float(first[0.5]), {"at_most": 0.1}),
        (float(first[0.9]), {"at_least": 2.0}),
        (is_less, {"equals": True}),
    ]
    for (name, paper, _), (value, limits) in zip(_MODEL_CLAIMS, measured, strict=True):
        study.claim(name, value, paper=paper, **limits)
    for name, curve in curves.items():
        told = ", ".join(
            f"{ratio:.0%} {value:.1%}"
            for ratio, value in zip(curve["ratio"][1:], curve["increase"][1:], strict=True)
        )
        low = float(np.interp(0.2, curve["threshold"], curve["cdf"]))
        study.note(
            f"Lowest neurons by {name} masked, increase of perplexity: {told}; {low:.1%} are below "
            "a fifth of the largest of their layer and token."
        )


def _tell(
    study: Study, functions: tuple[str, ...], found: dict[str, Any], matrix: Array, random: Array
) -> None:
    n = len(functions)
    off = ~np.eye(n, dtype=bool)
    parts = [
        f"{name} {matrix[i, i]:.0%} and {matrix[i][off[i]].mean():.0%}"
        for i, name in enumerate(functions)
    ]
    study.note(
        f"{found['source']}, 46,080 hidden neurons; the texts are generated, a stand-in for "
        "instructions that are labelled by ability. The best 5 % of each layer (not of the model) "
        f"set to zero, own increase of perplexity and mean of the others: {', '.join(parts)}; "
        f"random neurons of the same layers {random.min():.0%} to {random.max():.0%}."
    )
    scores = [np.mean(found[key], axis=1) for key in ("best", "top", "mean")]
    study.note(
        "Scores, mean over layers, best neuron, top 0.5 % and all: "
        + ", ".join(
            f"{name} {scores[0][i]:.3f} {scores[1][i]:.3f} {scores[2][i]:.3f}"
            for i, name in enumerate(functions)
        )
        + f"; expected of a random order {found['chance']:.3f}, of shuffled labels "
        f"{found['shuffled']:.3f}."
    )
    holders = [name for name, has in zip(functions, found["has_writers"], strict=True) if has]
    study.note(
        "Sets that hold a neuron which writes the massive activation (block 11, 1229 and 1487): "
        f"{', '.join(holders) or 'none'}."
    )


def _operations(study: Study) -> None:
    from activome.studies import _brick_operations as small

    n_texts, n_steps, n_tune = (120, 800, 250) if study.is_full else (20, 8, 3)
    seed = study.random_state
    found = study.step("operations", small.operations, n_texts, n_steps, n_tune, seed)
    study.claim(
        "growing: largest change of a logit with untrained bricks active",
        found["grown"],
        at_most=1e-6,
    )
    study.claim(
        "updating one brick leaves base and other bricks equal bit by bit",
        found["is_same"],
        equals=True,
    )
    if not study.is_full:
        for name, paper, threshold in _OPERATION_CLAIMS:
            study.not_run(name, paper=paper, threshold=threshold, reason=_SHORT)
        return
    loss = {name: np.asarray(values) for name, values in found["loss"].items()}
    own = np.array([loss["maths"][0], loss["translation"][1]])
    merged = loss["effects merged"]
    routed = study.step("routing", small.routing, n_texts, n_steps, seed)
    lost = {name: math.expm1(value - routed["whole"]) for name, value in routed.items()}
    measured: list[tuple[float | bool, dict[str, Any]]] = [
        (float((merged / own).max()), {"at_most": 1.1}),
        (bool((merged < loss["base"]).all()), {"equals": True}),
        (float(loss["without"][0] / loss["base"][0]), {"at_least": 1.0}),
        (float(found["retrieved"]), {"at_least": 0.9}),
        (lost["coactivation, router"], {"at_most": 0.15}),
        (lost["coactivation, random"], {"at_least": 0.4}),
    ]
    for (name, paper, _), (value, limits) in zip(_OPERATION_CLAIMS, measured, strict=True):
        study.claim(name, value, paper=paper, **limits)
    study.note(
        "Model of bytes, 2 blocks of 64, trained on five functions; bricks of rank 8 on its MLPs "
        "are tuned on maths and translation. Loss on held-out maths and translation: "
        + ", ".join(f"{name} {a:.3f} {b:.3f}" for name, (a, b) in loss.items())
        + "."
    )
    study.note(
        "8 of 16 groups of each MLP kept, increase of perplexity by partition and choice: "
        + ", ".join(f"{name} {value:.1%}" for name, value in lost.items() if name != "whole")
        + "."
    )
