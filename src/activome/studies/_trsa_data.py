"""What the study of topology and geometry measures on: networks, shapes, and areas from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from activome._extras import require
from activome._random import make_generator
from activome.errors import ReadError
from activome.geometry.identify import RegionIdentification
from activome.geometry.rdm import rdm
from activome.geometry.topology import Geodesic, GeoTopological, family

if TYPE_CHECKING:
    from pathlib import Path

Array: TypeAlias = np.ndarray[Any, Any]

STATISTICS = {
    "raw RDM": "raw",
    "ranked RDM (0, 1)": "rdm",
    "topology (0.4, 0.6)": "topology",
    "threshold (0.5, 0.5)": "threshold",
    "local (0, 0.2)": "local",
    "intermediate (0.25, 0.75)": "intermediate",
    "geodesic (0, 0.3)": Geodesic(0.0, 0.3),
}
RAW, RANKED, TOPOLOGY, THRESHOLD, LOCAL, INTERMEDIATE, GEODESIC = STATISTICS
SMOKE = (RAW, RANKED, TOPOLOGY)
NOISE = (0.0, 0.5, 1.0, 2.0, 3.0)
N_DRAWS = 3
N_TEST_IMAGES = 62
N_LAYERS = 7
SHAPES = ("circle", "figure eight", "trefoil", "two rings")
AREAS_FILE = "trsa_areas.npz"


def train_network(seed: int, *, n_epochs: int) -> dict[str, Any]:
    """Train a network on digits of 8 x 8 pixels, and record its layers on the test images.

    Parameters
    ----------
    seed : int
        Seed of weights and data order.
    n_epochs : int
        Passes over the training images.

    Returns
    -------
    dict
        "accuracy" on the test images, and "layers", a list of arrays (n_images, n_units).
    """
    torch = require("torch", extra="nets", owner="study trsa")
    from sklearn.datasets import load_digits

    from activome.networks.small import SmallCNN
    from activome.networks.training import TrainConfig, Trainer, seed_everything

    digits = load_digits()
    images = torch.from_numpy((digits.images / 16).astype(np.float32)[:, None])
    labels = torch.from_numpy(digits.target.astype(np.int64))
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(images)))
    test, train = order[:N_TEST_IMAGES], order[N_TEST_IMAGES:]
    with seed_everything(seed):
        network = SmallCNN(
            (16, 16, 32, 32, 64, 64), 10, image_size=8, kernel_size=(3, 3, 3, 3, 3, 1),
            stride=(1, 1, 2, 1, 2, 1), head="mean",
        )  # fmt: skip

    def loss(model: Any, batch: Any, generator: Any) -> tuple[Any, dict[str, Any]]:
        return torch.nn.functional.cross_entropy(model(batch[0]), batch[1]), {}

    steps = n_epochs * (len(train) // 64)
    config = TrainConfig(steps=steps, batch_size=64, lr=1e-3, seed=seed, eval_at=[])
    Trainer(network, loss, config).fit((images[train], labels[train]))
    with torch.no_grad():
        accuracy = (network(images[test]).argmax(1) == labels[test]).double().mean().item()
        layers = [a.flatten(1).numpy() for a in network.activations(images[test]).values()]
    return {"accuracy": accuracy, "layers": layers}


def noisy_rdms(trained: list[dict[str, Any]], noise: float, seed: list[int]) -> Array:
    """Return the RDM of every layer of every network, with noise added to the patterns.

    Parameters
    ----------
    trained : list of dict
        What `train_network` returns.
    noise : float
        Noise in standard deviations of the layer's activations.
    seed : list of int
        Seed of the noise.

    Returns
    -------
    ndarray of float64, shape (n_networks * n_layers, n_pairs)
        Correlation distances, network by network.
    """
    generator = np.random.default_rng(seed)
    found = []
    for network in trained:
        for layer in network["layers"]:
            values = layer.astype(np.float64)
            values = values + noise * values.std() * generator.normal(size=values.shape)
            found.append(rdm(values, "correlation"))
    return np.stack(found)


def layer_labels(n_networks: int) -> tuple[Array, Array]:
    """Return the layer and the network of every RDM of `noisy_rdms`."""
    layers = np.tile(np.arange(1, N_LAYERS + 1), n_networks)
    return layers, np.repeat(np.arange(n_networks), N_LAYERS)


def shape_points(name: str, n_points: int = 50) -> Array:
    """Return points along a shape in space, centred, of unit root mean square size.

    Parameters
    ----------
    name : {"circle", "figure eight", "trefoil", "two rings"}
        Which shape.
    n_points : int, default=50
        How many points.

    Returns
    -------
    ndarray of float64, shape (n_points, 3)
        Coordinates.
    """
    t = 2 * np.pi * np.arange(n_points) / n_points
    flat = np.zeros(n_points)
    side = np.where(np.arange(n_points) < n_points // 2, -1.5, 1.5)
    forms = {
        "circle": (np.cos(t), np.sin(t), flat),
        "figure eight": (np.sin(t), np.sin(t) * np.cos(t), flat),
        "trefoil": (
            np.sin(t) + 2 * np.sin(2 * t),
            np.cos(t) - 2 * np.cos(2 * t),
            -np.sin(3 * t),
        ),
        "two rings": (np.cos(2 * t) + side, np.sin(2 * t), flat),
    }
    points = np.stack(forms[name], axis=1)
    points -= points.mean(axis=0)
    scaled: Array = points / np.sqrt((points**2).sum(axis=1).mean())
    return scaled


def identify_shapes(seed: int, n_copies: int) -> dict[str, Any]:
    """Identify four shapes after random linear distortion.

    Parameters
    ----------
    seed : int
        Seed of the distortions: rotation, stretching by 0.5 to 2 along three axes, rotation.
    n_copies : int
        Distorted copies of each shape.

    Returns
    -------
    dict
        "accuracy" by statistic, and "rdms", "rgtm", "rgdm" of the undistorted shapes.
    """
    generator = make_generator(seed)
    points = [shape_points(name) for name in SHAPES]
    found = []
    for _ in range(n_copies):
        for shape in points:
            (u, _), (v, _) = (np.linalg.qr(generator.normal(size=(3, 3))) for _ in range(2))
            stretch = np.exp(generator.uniform(np.log(0.5), np.log(2.0), 3))
            found.append(rdm(shape @ (u * stretch) @ v, "euclidean"))
    labels = np.tile(np.arange(len(SHAPES)), n_copies), np.repeat(np.arange(n_copies), len(SHAPES))
    accuracy = {
        name: RegionIdentification(STATISTICS[name]).fit(np.stack(found), *labels).accuracy_
        for name in (RAW, RANKED, TOPOLOGY, GEODESIC)
    }
    plain = np.stack([rdm(shape, "euclidean") for shape in points])
    return {
        "accuracy": accuracy,
        "points": np.stack(points),
        "rdms": plain,
        "rgtm": GeoTopological(*family("topology")).fit_transform(plain),
        "rgdm": Geodesic(0.0, 0.3).fit_transform(plain),
    }


def load_areas(path: Path) -> tuple[Array, Array, Array]:
    """Read RDMs of several areas in several people.

    Parameters
    ----------
    path : Path
        An npz file with "rdms" (n_rdms, n_pairs), "region" (n_rdms,) and "subject" (n_rdms,).

    Returns
    -------
    rdms, region, subject : ndarray
        The arrays.

    Raises
    ------
    ReadError
        If the file cannot be read, or an array is missing.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive["rdms"], archive["region"], archive["subject"]
    except (OSError, ValueError, KeyError) as error:
        raise ReadError(
            f"study trsa: {path} must be an npz file with the arrays 'rdms' (n_rdms, n_pairs), "
            f"'region' and 'subject' (n_rdms,); {error}."
        ) from error
