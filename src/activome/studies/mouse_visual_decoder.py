"""Decoding gratings from mouse visual cortex: within groups of units, across them, over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from activome.studies._visual_data import (
    UNIT_COUNTS,
    across,
    few_shots,
    linear,
    over_time,
    shuffled,
    whole,
)
from activome.studies._visual_figure import draw

if TYPE_CHECKING:
    from activome.studies.claims import Study

__all__ = ["run"]

Array = np.ndarray[Any, Any]
_CHANCE = 0.25


def run(study: Study) -> None:
    """Measure the claims on the recording that ships, and draw them.

    Parameters
    ----------
    study : Study
        The bench. Full size: all 1,000 units and eight groups of 100; smoke: 300 units, two groups
        and 30 passes.
    """
    seed, is_full = study.random_state, study.is_full
    n_groups, size, n_epochs = (8, 100, 150) if is_full else (2, 100, 30)
    network = study.step("network", whole, seed, *((1000, 60) if is_full else (300, 30)))
    regression = study.step(
        "regression", linear, seed, UNIT_COUNTS if is_full else (10, 100), 5 if is_full else 1
    )
    ways = ("none", "class-means", "procrustes") if is_full else ("none", "class-means")
    items = [(seed, way, n_groups, size, n_epochs) for way in ways]
    matrices = dict(zip(ways, study.map("across groups", across, items), strict=True))
    shots = (2, 5, 10) if is_full else (10,)
    few = study.map("few shots", few_shots, [(seed, k, n_groups, size, n_epochs) for k in shots])
    null = study.step("shuffled labels", shuffled, seed, n_groups, size, n_epochs)
    course = study.step("over time", over_time, seed, 1000 if is_full else 200)
    _claim_within(study, network, regression, matrices["none"], null)
    _claim_across(study, matrices, few, shots)
    _claim_time(study, regression, course)
    study.note(
        "Groups are disjoint random units of one pooled recording (32 sessions), a stand-in for "
        "animals: the session of a unit is not in the file. Units of different sessions share no "
        "noise, so that accuracies are upper bounds. The file holds the trials direction by "
        "direction; whether they were shown so is not known, and if they were, splits at random "
        "over trials profit from slow drift. Sessions of the Allen Brain Observatory, read one by "
        "one, go into the same functions."
    )
    study.save_figure(draw(network, regression, matrices, course))


def _away(matrix: Array) -> Array:
    return matrix[~np.eye(len(matrix), dtype=bool)]


def _claim_within(
    study: Study, network: dict[str, Any], regression: dict[str, Any], matrix: Array, null: Any
) -> None:
    n_units = "1,000" if study.is_full else "300"
    study.claim(
        f"{n_units} units, network: accuracy", network["accuracy"], paper="up to 1.00",
        at_least=0.98, note=f"log-loss {network['log_loss']:.3f} nats",
    )  # fmt: skip
    study.claim(
        "1,000 units, logistic regression, 5 folds: accuracy", regression["all"], at_least=0.98,
        note=f"log-loss {regression['log_loss']:.3f} nats",
    )  # fmt: skip
    own = np.diag(matrix)
    study.claim(
        "a group of 100 units, network: mean accuracy", own.mean(), paper="up to 1.00",
        at_least=0.93 if study.is_full else 0.8,
        note=f"{own.min():.3f} to {own.max():.3f}",
    )  # fmt: skip
    curve = regression["curve"].mean(axis=1)
    study.claim(
        "fewer units, logistic regression: smallest gain from one number to the next",
        float(np.diff(curve).min()), at_least=0.0,
        note=", ".join(f"{value:.3f}" for value in curve),
    )  # fmt: skip
    far = abs(float(np.mean(null)) - _CHANCE)
    study.claim("labels shuffled, network: distance of the mean accuracy from chance", far,
                at_most=0.1, note=f"mean {np.mean(null):.3f}")  # fmt: skip


def _claim_across(
    study: Study, matrices: dict[str, Array], few: list[dict[str, float]], shots: tuple[int, ...]
) -> None:
    study.claim("across groups, no map: mean accuracy", _away(matrices["none"]).mean(), at_most=0.4)
    aligned = _away(matrices["class-means"])
    study.claim(
        "across groups, aligned, network untouched: mean accuracy", aligned.mean(), paper="0.91",
        at_least=0.87 if study.is_full else 0.7, note=f"lowest {aligned.min():.3f}",
    )  # fmt: skip
    if "procrustes" in matrices:
        rotated = _away(matrices["procrustes"])
        study.note(f"Aligned by a rotation instead of ridge regression: {rotated.mean():.3f}.")
    most = few[-1]
    study.claim(
        f"{shots[-1]} trials per class, new read-in: trained trunk less random trunk",
        most["transferred"] - most["random"],
        at_least=0.3 if study.is_full else 0.1,
    )
    shown = "; ".join(
        f"{k} trials: trained trunk {f['transferred']:.3f}, random trunk {f['random']:.3f}, from "
        f"scratch {f['scratch']:.3f}"
        for k, f in zip(shots, few, strict=True)
    )
    study.note(f"Few trials per class of another group. {shown}.")


def _claim_time(study: Study, regression: dict[str, Any], course: dict[str, Any]) -> None:
    study.claim(
        "0 to 40 ms, before the response: accuracy of logistic regression", regression["early"],
        at_most=0.4,
    )  # fmt: skip
    study.claim("50 to 100 ms: accuracy of logistic regression", regression["late"], at_least=0.98)
    study.claim(
        "first bin of 10 ms in which the direction can be read (s, 1 %, corrected over bins)",
        course["onset"], at_least=0.03, at_most=0.06,
    )  # fmt: skip
