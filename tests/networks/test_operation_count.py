"""Operations: hand-counted networks, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from activome.errors import ActivityError, ParameterError
from activome.networks import SurrogateSNN, count_operations


def test_dense_and_convolved_by_hand() -> None:
    network = nn.Sequential(nn.Linear(784, 128, bias=False), nn.ReLU(), nn.Linear(128, 10))
    assert count_operations(network, np.zeros((2, 784))).multiply_accumulate == 101_632
    grouped = nn.Conv2d(4, 8, 3, groups=2)
    # 8 maps of 4 x 4, each from 2 maps and 9 places.
    assert count_operations(grouped, torch.zeros(3, 4, 6, 6)).multiply_accumulate == 8 * 16 * 18


def test_modes_are_put_back() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Dropout()).train()
    count_operations(network, np.zeros((1, 3)))
    assert network.training


def test_a_spiking_network_counts_itself() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.random((40, 6)), np.arange(40) % 2
    for encoding, analog in (("current", 6 * 4), ("poisson", 0), ("latency", 0)):
        model = SurrogateSNN((4, 3), 5, n_epochs=1, encoding=encoding, random_state=0)  # type: ignore[arg-type]
        model.fit(X, y)
        count = count_operations(model, X)
        spikes = {name: raster.values.sum() / 40 for name, raster in model.spikes(X).items()}
        wanted = spikes["hidden[0]"] * 3 + spikes["hidden[1]"] * 2 + spikes.get("input", 0) * 4
        assert count.accumulate == pytest.approx(wanted)
        assert count.multiply_accumulate == analog
        assert count.leak_multiply == 5 * (4 + 3 + 2)
        assert count.spikes == pytest.approx(sum(spikes.values()))


def test_refusals() -> None:
    with pytest.raises(ActivityError, match="at least one sample"):
        count_operations(nn.Linear(2, 2), np.zeros((0, 2)))
    with pytest.raises(ParameterError, match=r"torch.nn.Module or have a method operations"):
        count_operations("network", np.zeros((1, 2)))
