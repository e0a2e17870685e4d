"""Recall and reasoning: heads that serve one of two tasks, and what happens without them."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome.networks.model_assets import ASSETS
from activome.patterns.task_specialization import TaskSpecialization
from activome.studies.claims import Study

__all__ = ["run"]

Array = np.ndarray[Any, Any]
_N_HEADS = 5
_PAPER = "accuracy down by up to 15 %, the other task intact (7B models)"
_PERMUTED = "matched prompts: largest share of heads specialised after permuting the tasks"


def run(study: Study) -> None:
    """Measure the claims of recall and reasoning circuits and draw them.

    Parameters
    ----------
    study : Study
        The bench to run on. Full size: planted recordings; SmolLM2 on 20 capitals and 40 sentences
        it was not scored on, with 20 pairs of random groups; matched prompts; a byte transformer.
        Smoke: one planted recording, and 8 prompts per task with one pair of random groups.
    """
    _recording(study)
    if not ASSETS["smollm2"].is_installed:
        study.not_run(
            "SmolLM2: all claims on a trained language model",
            threshold="as stated",
            reason=f"The model is not installed. Install it with: {ASSETS['smollm2'].command}",
        )
        return
    # Imported here, so that the recordings are measured without a language model.
    import torch

    from activome.studies import _recall_steps as steps

    torch.set_num_threads(1)
    n = None if study.is_full else 8
    scored = study.step("scores of heads", steps.score, "head", n)
    n_random = 20 if study.is_full else 1
    main = study.step(
        "removal of heads", steps.ablate, "head", scored, _N_HEADS, n_random, n, study.random_state
    )
    _claim_dissociation(study, main)
    shown: dict[str, Any] = {"scores": scored["scores"], "main": main}
    if study.is_full:
        _sizes(study, scored)
        shown["layers"] = study.step("patched layers", steps.layers_patched, 4)
        shown["special"] = study.step("matched prompts", steps.specialize, 30, 20)
        _claim_specialization(study, shown["special"])
        _other_components(study, scored)
        _bytes(study)
    else:
        study.not_run(_PERMUTED, threshold="<= 0.05", reason="Matched prompts take --size full.")
    _draw(study, shown)


def planted_recording(seed: int, n_permutations: int) -> dict[str, float]:
    """Test a recording of two conditions in which 12 of 80 cells differ, 6 either way."""
    rng = np.random.default_rng([3, seed])
    condition = np.repeat([0, 1], 40)
    drive = np.zeros(80)
    drive[:6], drive[6:12] = 1.6, -1.6
    rates = np.exp(0.5 * rng.normal(size=80) + 1.5)
    counts = rng.poisson(rates * np.exp(0.5 * drive * (0.5 - condition[:, np.newaxis]) * 2))
    names = ("go", "stop")
    found = TaskSpecialization(names=names, n_permutations=n_permutations, random_state=seed)
    found.fit(np.sqrt(counts.astype(np.float64)), condition)
    truth = np.where(drive > 0, "go", np.where(drive < 0, "stop", "none"))
    return {
        "hits": float((found.label_[:12] == truth[:12]).mean()),
        "false": float((found.label_[12:] != "none").mean()),
        "permuted": float(found.null_share_.max()),
    }


def _recording(study: Study) -> None:
    seeds = [study.random_state + i for i in range(10 if study.is_full else 1)]
    found = study.map("recordings", planted_recording, seeds, n_permutations=20)
    title = "planted recording (80 cells, 40 + 40 trials, 12 cells of one condition):"
    study.claim(
        f"{title} share of these with the right label, mean of {len(seeds)}",
        float(np.mean([entry["hits"] for entry in found])),
        at_least=0.9,
    )
    study.claim(
        f"{title} share of the others with a label, mean",
        float(np.mean([entry["false"] for entry in found])),
        at_most=0.01,
    )
    study.claim(
        f"{title} largest share with a label after permuting the conditions",
        max(entry["permuted"] for entry in found),
        at_most=0.05,
    )


def _claim_dissociation(study: Study, main: dict[str, Any]) -> None:
    accuracy, low, high = (main[f"accuracy{end}"] for end in ("", "_low", "_high"))
    names = [", ".join(f"{layer}.{head}" for layer, head in group) for group in main["heads"]]
    study.note(f"Recall heads (layer.head): {names[0]}; inference heads: {names[1]}.")
    for column, task in enumerate(("recall of capitals", "inference from the prompt")):
        study.claim(
            f"SmolLM2, {task}: accuracy of the whole network",
            float(accuracy[0, column]),
            at_least=0.6,
            note=f"95 % interval {low[0, column]:.2f} to {high[0, column]:.2f}",
        )
    for name, row, column, bound in (
        ("recall heads off: recall", 1, 0, {"at_most": 0.4}),
        ("recall heads off: inference", 1, 1, {"at_least": 0.8}),
        ("inference heads off: inference", 2, 1, {"at_most": 0.5}),
        ("inference heads off: recall", 2, 0, {"at_least": 0.7}),
    ):
        study.claim(
            f"SmolLM2, {_N_HEADS} {name}, accuracy",
            float(accuracy[row, column]),
            paper=_PAPER,
            note=f"95 % interval {low[row, column]:.2f} to {high[row, column]:.2f}",
            **bound,
        )
    study.claim(
        "SmolLM2: dissociation index",
        float(main["index"]),
        at_least=1.0,
        note=f"95 % interval {float(main['index_low']):.2f} to {float(main['index_high']):.2f}; "
        f"random groups up to {main['random_index'].max():.2f}",
    )
    if not study.is_full:
        return
    study.claim(
        "SmolLM2: p of the index against 20 pairs of random groups matched in layer",
        float(main["p"]),
        at_most=0.05,
    )
    drops = main["random_drop"][:, 1:].reshape(-1, 2)
    for column, task in enumerate(("recall", "inference")):
        study.claim(
            f"SmolLM2, {_N_HEADS} random heads off (40 groups): median drop of {task}",
            float(np.median(drops[:, column])),
            at_most=0.15,
            note=f"largest {drops[:, column].max():.2f}",
        )


def _sizes(study: Study, scored: dict[str, Any]) -> None:
    from activome.studies import _recall_steps as steps

    rows = []
    for n in (10, 20):
        found = study.step(f"removal of {n} heads", steps.ablate, "head", scored, n, 0, None, 0)
        recall, inference = found["accuracy"][1], found["accuracy"][2]
        rows.append(
            f"{n} heads: recall heads off {recall[0]:.2f} / {recall[1]:.2f}, inference heads off "
            f"{inference[0]:.2f} / {inference[1]:.2f}"
        )
    study.note("Accuracy of recall / inference with more heads removed: " + "; ".join(rows) + ".")


def _claim_specialization(study: Study, special: dict[str, Any]) -> None:
    heads = special["heads"]
    study.claim(
        _PERMUTED,
        float(heads["null"].max()),
        at_most=0.05,
        note="30 prompts of each kind, same countries and number of tokens; 20 permutations.",
    )
    study.claim(
        "matched prompts: share of head tests beyond p and d whose sign is that of all five folds",
        float(heads["stable"]),
        paper="583 of 784 heads consistent (Qwen2.5-7B)",
        at_least=0.9,
    )
    for name, entry in special.items():
        listed = ", ".join(f"{count} {label}" for label, count in entry["counts"].items())
        study.note(
            f"Matched prompts, {entry['n']} {name}: {listed}; largest share after permuting "
            f"{entry['null'].max():.4f}."
        )
    study.note(
        "SmolLM2 is at chance on puzzles of several steps with a distractor, so inference is "
        "tested by what one sentence says; the puzzles of the matched prompts serve the statistics "
        "alone."
    )


def _other_components(study: Study, scored: dict[str, Any]) -> None:
    from activome.studies import _recall_steps as steps

    plural = study.step("a third task", steps.third_task, scored, _N_HEADS)
    study.note(
        f"Plurals, a third task: accuracy {plural['none']:.2f}, without the recall heads "
        f"{plural['recall']:.2f}, without the inference heads {plural['inference']:.2f}."
    )
    neurons = study.step("scores of neurons", steps.score, "unit", None)
    found = study.step("removal of neurons", steps.ablate, "unit", neurons, 300, 0, None, 0)
    recall, inference = found["accuracy"][1], found["accuracy"][2]
    study.note(
        "300 of 46,080 MLP neurons removed, accuracy of recall / inference: recall neurons "
        f"{recall[0]:.2f} / {recall[1]:.2f}, inference neurons {inference[0]:.2f} / "
        f"{inference[1]:.2f}."
    )


def _bytes(study: Study) -> None:
    from activome.studies._recall_bytes import byte_transformer

    found = study.step("byte transformer", byte_transformer, study.random_state, 2000, 20)
    for name, entry in found.items():
        base, recall, lookup = entry["accuracy"]
        study.note(
            f"Byte transformer of 2 layers, {entry['n']} {name} removed, accuracy of recall / "
            f"lookup: none {base[0]:.2f} / {base[1]:.2f}, those of recall {recall[0]:.2f} / "
            f"{recall[1]:.2f}, those of lookup {lookup[0]:.2f} / {lookup[1]:.2f}; index "
            f"{entry['index']:.2f}, p {entry['p']:.3f}."
        )


def _draw(study: Study, shown: dict[str, Any]) -> None:
    from activome.studies._recall_figure import draw

    study.save_figure(draw(shown))
