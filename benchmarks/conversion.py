"""A network of rectifiers converted and run for 32 steps: 784 inputs, two layers of 128 cells."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from activome.networks import convert_relu, seed_everything
from harness import Case, Peer, main

_STEPS = 32
_WIDTHS = (784, 128, 128, 10)


def make_network(n_samples: float) -> Any:
    """Ten blurred prototypes as images, and a network of rectifiers trained to tell them apart."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    rng = np.random.default_rng(0)
    kinds = rng.random((10, _WIDTHS[0])) ** 3
    labels = rng.integers(10, size=int(n_samples))
    X = np.clip(kinds[labels] + rng.normal(0, 0.6, (labels.size, _WIDTHS[0])), 0, 1)
    images, target = torch.from_numpy(X).float(), torch.from_numpy(labels)
    with seed_everything(0):
        parts: list[nn.Module] = []
        for a, b in itertools.pairwise(_WIDTHS):
            parts += [nn.Linear(a, b, bias=False), nn.ReLU()]
        network = nn.Sequential(*parts[:-1])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), target).backward()
        optimizer.step()
    return network.eval(), images, target


def run_ours(inputs: Any) -> Any:
    """Evidence for every class after all steps, of a network that is converted anew."""
    network, images, target = inputs
    spiking = convert_relu(network, images, n_steps=_STEPS)
    return spiking(images).argmax(dim=1), target


def run_spikingjelly(inputs: Any) -> Any:
    """The same with SpikingJelly's converter and its robust scale."""
    from spikingjelly.activation_based import ann2snn, functional

    network, images, target = inputs
    recipe = ann2snn.RateCodingRecipe([(images, target)], mode="99.9%", fuse_flag=False)
    spiking = ann2snn.Converter(recipe).convert(network).eval()
    functional.reset_net(spiking)
    with torch.no_grad():
        total = sum(spiking(images) for _ in range(_STEPS))
    return total.argmax(dim=1), target


def accuracy_apart(mine: Any, theirs: Any) -> float:
    """Tell how far apart the accuracies are."""
    scores = [float((found == target).float().mean()) for found, target in (mine, theirs)]
    return abs(scores[0] - scores[1])


def cases() -> Sequence[Case]:
    """Conversion and 32 steps for 1,000 images."""
    return [
        Case(
            name=f"conversion and {_STEPS} steps",
            sizes=(1000,),
            make=make_network,
            ours=run_ours,
            peers=[
                Peer("SpikingJelly ann2snn", run_spikingjelly, accuracy_apart, 0.01, "spikingjelly")
            ],
        )
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
