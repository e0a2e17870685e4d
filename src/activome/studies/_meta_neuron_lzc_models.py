"""Models of the study on learnable constants: what each is told, and what it gets right."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from activome.activity.complexity import lempel_ziv_complexity
from activome.decoding.lempel_ziv import LempelZivClassifier
from activome.errors import ConvergenceWarning
from activome.networks.spiking_classifier import SpikingClassifier
from activome.networks.tempotron import Tempotron
from activome.studies._meta_neuron_lzc_data import (
    Task,
    digit_latencies,
    latency_raster,
    rate_task,
    source,
    timing_task,
)

__all__ = ["capacity", "digits", "held_out", "plain", "source_error", "spiking"]

Array = np.ndarray[Any, Any]


def make_task(name: str, seed: int) -> Task:
    """Draw one of the tasks by name."""
    if name == "rate":
        return rate_task(seed)
    return timing_task(seed, 30.0, 8) if name == "weak" else timing_task(seed)


def spiking(task: str, seed: int, neuron: str, learns: bool, options: dict[str, Any]) -> Any:
    """Fit a spiking classifier; read its rates, and the complexity of its hidden trains."""
    X, y, fresh, truth = make_task(task, seed)
    start = time.process_time()
    model = SpikingClassifier(16, neuron, learn_internal=learns, random_state=seed, **options)
    model.fit(X, y)
    seconds = time.process_time() - start
    hidden, test = model.transform(X), model.transform(fresh)
    complexity = LempelZivClassifier().fit(hidden, y)
    single = LempelZivClassifier(rule="threshold").fit(hidden, y)
    start = time.process_time()
    named = complexity.predict(test)
    decision = (time.process_time() - start) / len(test)
    return {
        "rate": model.score(fresh, truth),
        "lzc": float(np.mean(named == truth)),
        "threshold": single.threshold_,
        "mean_complexity": single.transform(test).mean(axis=1),
        "truth": truth,
        "train": test[np.argmax(truth == 1), :, int(test.sum(axis=(0, 1)).argmax())],
        "constants": model.constants_,
        "n_silent": model.n_silent_,
        "active": float(hidden.mean()),
        "seconds": seconds,
        "decision": decision,
    }


def held_out(task: str, seed: int, neuron: str, learns: bool, lr: float) -> float:
    """Fit to three quarters of the training trials; give the accuracy on the others."""
    X, y, *_ = make_task(task, seed)
    n = 3 * len(y) // 4
    model = SpikingClassifier(16, neuron, learn_internal=learns, random_state=seed, lr=lr)
    return float(model.fit(X[:n], y[:n]).score(X[n:], y[n:]))


def plain(task: str, seed: int) -> dict[str, float]:
    """Decide without a network: from counts, and from the complexity of the inputs."""
    X, y, fresh, truth = make_task(task, seed)
    counts = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    return {
        "counts": float(counts.fit(X.sum(axis=1), y).score(fresh.sum(axis=1), truth)),
        "lzc": LempelZivClassifier().fit(X, y).score(fresh, truth),
    }


def capacity(load: float, seed: int, n_epochs: int = 1000) -> dict[str, float]:
    """Teach a tempotron random latencies and labels of a load, 100 inputs in 500 ms."""
    rng = np.random.default_rng([seed, round(100 * load)])
    n = round(100 * load)
    X, y = rng.uniform(0.0, 500.0, (n, 100)), rng.integers(0, 2, n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = Tempotron(n_epochs=n_epochs, random_state=seed).fit(X, y)
    return {"error": 1.0 - float(model.score(X, y)), "epochs": float(model.n_iter_)}


def source_error(name: str, n: int, n_seeds: int) -> dict[str, float]:
    """Compare the mean complexity of drawn sequences with the entropy rate of their source."""
    drawn = [source(name, n, seed) for seed in range(n_seeds)]
    found = lempel_ziv_complexity(np.array([x for x, _ in drawn])).mean()
    return {"complexity": float(found), "entropy": drawn[0][1]}


def digits(pair: tuple[int, int], seed: int) -> dict[str, float]:
    """Tell two digits apart by the latencies of their pixels, with every model."""
    X, y, fresh, truth = digit_latencies(pair, seed)
    before, after = latency_raster(X), latency_raster(fresh)
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found["tempotron"] = float(Tempotron(random_state=seed).fit(X, y).score(fresh, truth))
    for neuron in ("lif", "meta"):
        for readout in ("rate", "lzc"):
            model = SpikingClassifier(16, neuron, readout=readout, random_state=seed)
            found[f"{neuron}, {readout}"] = model.fit(before, y).score(after, truth)
    flat = LogisticRegression(max_iter=500).fit(np.nan_to_num(X, nan=50.0) / 50.0, y)
    found["logistic regression of latencies"] = float(
        flat.score(np.nan_to_num(fresh, nan=50.0) / 50.0, truth)
    )
    return found
