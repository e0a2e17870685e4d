"""Small networks: shapes, a stage by hand, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from activome.errors import ParameterError

torch = pytest.importorskip("torch", reason="torch is not installed")

from activome.networks.small import SmallCNN  # noqa: E402  # only where torch is installed
from activome.networks.training import seed_everything  # noqa: E402


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
