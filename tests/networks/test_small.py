"""Small networks: shapes, a stage by hand, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from activome.errors import ParameterError

torch = pytest.importorskip("torch", reason="torch is not installed")

from activome.interventions.taps import Taps  # noqa: E402  # only where torch is installed
from activome.networks.small import MLP, SmallCNN  # noqa: E402
from activome.networks.training import TrainConfig, Trainer, seed_everything  # noqa: E402


@pytest.mark.parametrize("image_size", [7, 8, 28])
def test_default_stack(image_size: int) -> None:
    network = SmallCNN(image_size=image_size)
    images = torch.rand(3, 1, image_size, image_size)
    found = network.activations(images)
    assert list(found) == ["layer1", "layer2", "head"]
    assert found["layer1"].shape[1:3] == (16, -(-image_size // 2))
    assert network(images).shape == (3, 10)
    assert torch.equal(network(images), found["head"])


def test_mean_head_by_hand() -> None:
    with seed_everything(0):
        network = SmallCNN((4,), 3, image_size=6, kernel_size=3, stride=1, head="mean")
    images = torch.rand(2, 1, 6, 6)
    maps = torch.relu(torch.conv2d(images, *network.convolutions[0].parameters(), padding=1))
    expected = torch.einsum("oc,ncxy->no", network.head.weight[..., 0, 0], maps) / 36
    torch.testing.assert_close(network(images), expected + network.head.bias)


def test_one_seed_gives_equal_networks() -> None:
    def build() -> Any:
        with seed_everything(5):
            return SmallCNN()

    first, second = build(), build()
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": "max"}, "unknown head"),
        ({"kernel_size": 4}, "odd"),
        ({"stride": (1, 2, 1)}, "one for each of the 2"),
        ({"channels": (16, 0)}, "channels"),
        ({"d_out": 0}, "d_out"),
    ],
)
def test_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        SmallCNN(**options)


def test_mlp_by_hand_and_its_units() -> None:
    network = MLP(2, (2,), 1)
    with torch.no_grad():
        network.layers[0].weight.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
        network.layers[0].bias.zero_()
        network.head.weight.copy_(torch.tensor([[1.0, 2.0]]))
        network.head.bias.fill_(0.5)
        # |a - b| by two rectifiers, the second counted twice.
        found = network(torch.tensor([[3.0, 1.0], [1.0, 3.0]]))
    assert found.tolist() == [[2.5], [4.5]]
    with Taps(network).record(*network.units()) as recording, torch.no_grad():
        network(torch.tensor([[3.0, 1.0]]))
    assert recording.tensor("hidden[0]").tolist() == [[2.0, 0.0]]


def test_mlp_normalises_over_the_batch() -> None:
    network = MLP(3, (5, 4), 2, batch_norm=True, activation="tanh")
    values = 100 * torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    with Taps(network).record("module:norms.0#out") as recording:
        network(values)
    found = recording.tensor("module:norms.0#out")
    torch.testing.assert_close(found.mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.var(0, correction=0), torch.ones(5), atol=1e-3, rtol=0)


def test_mlp_learns_digits() -> None:
    images, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(digits))
    x = torch.tensor(images[order] / 16.0, dtype=torch.float32)
    y = torch.tensor(digits[order])
    with seed_everything(0):
        network = MLP(64, (100, 100), 10)

    def loss(model: Any, batch: Any, generator: Any) -> tuple[Any, dict[str, Any]]:
        return torch.nn.functional.cross_entropy(model(batch[0]), batch[1]), {}

    n_train = 1400
    config = TrainConfig(steps=5 * n_train // 16, batch_size=16, lr=2e-3)
    Trainer(network, loss, config).fit((x[:n_train], y[:n_train]))
    with torch.no_grad():
        accuracy = (network(x[n_train:]).argmax(1) == y[n_train:]).double().mean().item()
    assert accuracy >= 0.95


def test_mlp_refuses() -> None:
    with pytest.raises(ParameterError, match="hidden must be an integer at least 1; got 0"):
        MLP(3, (5, 0))
    with pytest.raises(ParameterError, match="Did you mean 'relu'"):
        MLP(3, activation="rely")
