"""Passes of the symmetric STDP classifier over images, in training and at test."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from activome._random import content_generator
from activome.errors import ActivityWarning
from activome.networks._image_network import Layers, Shown, Traces, present, tables

__all__ = ["decide", "layers_of", "respond", "teach"]

Array = np.ndarray[Any, Any]


def layers_of(model: Any) -> Layers:
    """Return constants of a classifier, and the sizes of its weights as they are."""
    return Layers(
        model.hidden_weights_.shape[1],
        model.classes_.size,
        model.dt,
        model.duration,
        model.rest,
        model.v_threshold,
        model.theta_plus,
        model.tau_theta,
        model.eta_hidden,
        model.eta_class,
        model.rule,
    )


def teach(model: Any, chance: Array, index: Array, learns: Array) -> Iterator[tuple[int, Array]]:
    """Show images with their labels; weights change, and each label comes with hidden counts."""
    layers = layers_of(model)
    table = tables(layers)
    _own(model)
    for row, label in zip(chance, index, strict=True):
        shown = present(
            layers,
            table,
            row,
            int(label) if learns[2] else -1,
            learns,
            model.hidden_weights_,
            model.class_weights_,
            model._theta,
            model._traces,
            model.scaling,
            model._generator,
        )
        yield int(label), shown.hidden


def respond(model: Any, chance: Array, label: int | None, *, record: bool) -> list[Shown]:
    """Show images without learning, each with a seed of its own and from silent traces.

    The seed comes from the image, so that its answer does not depend on which others are shown.
    """
    layers = layers_of(model)
    table = tables(layers)
    nothing = np.zeros(3, np.int64)
    _own(model)

    def one(k: int) -> Shown:
        return present(
            layers,
            table,
            chance[k],
            label,
            nothing,
            model.hidden_weights_,
            model.class_weights_,
            model._theta,
            Traces(model.n_features_in_, model._theta.size),
            None,
            content_generator(model._test_seed, chance[k]),
            record=record,
        )

    if model.n_jobs > 1:
        with ThreadPoolExecutor(model.n_jobs) as pool:
            return list(pool.map(one, range(len(chance))))
    return [one(k) for k in range(len(chance))]


def _own(model: Any) -> None:
    """Copy what joblib shares with its workers read-only, which the compiled loop cannot take."""
    for name in ("hidden_weights_", "class_weights_", "_theta"):
        if not getattr(model, name).flags.writeable:
            setattr(model, name, getattr(model, name).copy())


def decide(shown: Sequence[Shown], otherwise: int) -> tuple[Array, int]:
    """Return the class whose cell fires most for each image, and how many evoke no class spike.

    Ties go by the conductance of the class cells; images without a class spike to ``otherwise``.
    """
    counts = np.array([one.classes for one in shown])
    drive = np.array([one.drive for one in shown])
    is_most = counts == counts.max(axis=1, keepdims=True)
    best = np.where(is_most, drive, -1.0).argmax(axis=1)
    is_silent = ~counts.any(axis=1)
    best[is_silent] = otherwise
    n_silent = int(is_silent.sum())
    if 4 * n_silent > len(shown):
        warnings.warn(
            f"SymmetricSTDPClassifier.predict: {n_silent} of {len(shown)} images evoke no class "
            "spike and get the most frequent class; class weights are too even. Train on, or raise "
            "eta_class and theta_plus.",
            ActivityWarning,
            stacklevel=3,
        )
    return best, n_silent
