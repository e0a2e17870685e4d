"""Images per second of the symmetric STDP classifier, against the general engine.

The general engine simulates the same network, with the same spikes for the first image; it starts
every image from the first weights, which costs the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from activome.activity.events import Events
from activome.errors import ActivityWarning
from activome.networks._image_loop import draw_trains
from activome.networks._image_network import Layers, Traces, network, present, tables
from activome.networks.spiking.simulate import simulate
from activome.samples.images import images
from harness import Case, Peer, main

_DT, _STEPS = 0.5, 700


def make(n_images: float, n_hidden: int) -> dict[str, Any]:
    """Give digits of 576 pixels, weights, and the constants of the network."""
    digits = images("digits-8x8")
    large = np.repeat(np.repeat(digits.x_train, 3, axis=1), 3, axis=2)[: int(n_images)]
    generator = np.random.default_rng(0)
    return {
        "chance": large.reshape(len(large), -1) / 16 * 63.75 * _DT * 1e-3,
        "label": digits.y_train[: int(n_images)],
        "weight": generator.uniform(0.0, 0.3, (576, n_hidden)) * 0.7,
        "class": generator.uniform(0.1, 0.3, (n_hidden, 10)),
        "layers": Layers(
            n_hidden, 10, _DT, _STEPS * _DT, 150.0, -52.0, 0.07, 6e6, 5e-3, 0.04, "symmetric"
        ),
    }


def make_100(n_images: float) -> dict[str, Any]:
    """Give a task with 100 hidden cells."""
    return make(n_images, 100)


def make_400(n_images: float) -> dict[str, Any]:
    """Give a task with 400 hidden cells."""
    return make(n_images, 400)


def ours(inputs: dict[str, Any]) -> Any:
    """Train on every image; give the spikes of the hidden cells for each."""
    layers = inputs["layers"]
    table, n = tables(layers), 2 * layers.n_hidden + 10
    theta = np.where(np.arange(n) < layers.n_hidden, 20.0, 0.0)
    weight, class_weight = inputs["weight"].copy(), inputs["class"].copy()
    traces = Traces(len(weight), n)
    counts = []
    for k, (chance, label) in enumerate(zip(inputs["chance"], inputs["label"], strict=True)):
        shown = present(
            layers,
            table,
            chance,
            int(label),
            np.array([1, 1, 1]),
            weight,
            class_weight,
            theta,
            traces,
            None,
            np.random.default_rng(k),
        )
        counts.append(shown.hidden)
    return counts[0]


def general(inputs: dict[str, Any]) -> Any:
    """Train on every image with the general engine, each from the weights at the beginning."""
    layers = inputs["layers"]
    counts = []
    for k, (chance, label) in enumerate(zip(inputs["chance"], inputs["label"], strict=True)):
        generator = np.random.default_rng(k)
        trains = draw_trains(chance, _STEPS, generator)
        taught = np.zeros(10)
        taught[label] = 0.1
        teacher = draw_trains(taught, _STEPS, generator)
        net = network(layers, inputs["weight"], inputs["class"], is_taught=True, is_plastic=True)
        events = {
            name: Events((np.repeat(np.arange(_STEPS), np.diff(ptr)) + late) * 500, unit, n_units=n)
            for name, (ptr, unit), n, late in (
                ("input", trains, len(chance), 0),
                ("class", teacher, 10, 1),
            )
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ActivityWarning)
            result = simulate(net, events, (_STEPS + 1) * _DT, _DT, record={"hidden": ["spikes"]})
        counts.append(np.bincount(result.spikes["hidden"].unit, minlength=layers.n_hidden))
    return counts[0]


def different(one: Any, other: Any) -> float:
    """Count the spikes by which the first image differs."""
    return float(np.abs(one - other).sum())


def cases() -> Sequence[Case]:
    """Give training with 100 and 400 hidden cells; n is the number of images."""
    peers = [Peer("general engine", general, different)]
    return [
        Case(
            name=f"training, {n_hidden} hidden cells, 576 inputs, 350 ms at 0.5 ms, n images",
            sizes=(5, 20),
            make=maker,
            ours=ours,
            peers=peers,
            aim="at least 160 images/s with 100 cells and 90 with 400",
        )
        for n_hidden, maker in ((100, make_100), (400, make_400))
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
