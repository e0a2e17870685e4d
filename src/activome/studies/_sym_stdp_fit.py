"""Training of the symmetric STDP classifier for its study, and what is measured on it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score
from sklearn.model_selection import train_test_split

from activome.errors import ActivityWarning
from activome.networks.symmetric_stdp import SymmetricSTDPClassifier
from activome.studies._sym_stdp_data import find, pixels

__all__ = ["Options", "fit", "validate"]

Array = np.ndarray[Any, Any]
Options = tuple[tuple[str, Any], ...]


def fit(
    name: str,
    root: str | None,
    n_train: int,
    n_test: int,
    n_hidden: int,
    n_epochs: int,
    seed: int,
    options: Options,
    *,
    embed: bool = False,
) -> dict[str, Any]:
    """Train epoch by epoch; return accuracies, how well counts cluster, weights, and a raster."""
    images = find(name, root, n_train, n_test)
    X, y, X_test, y_test = pixels(images)
    model = SymmetricSTDPClassifier(n_hidden, warm_start=True, random_state=seed, **dict(options))
    supervised, unsupervised, silent = [], [], []
    for _ in range(n_epochs):
        model.fit(X, y)
        supervised.append(float((_predicted(model, X_test) == y_test).mean()))
        unsupervised.append(float((model.predict_unsupervised(X_test) == y_test).mean()))
        silent.append(model.n_silent_)
    counts = {"hidden": model.transform(X_test), "class": model.decision_function(X_test)}
    spikes = model.record(X_test[:1])
    found: dict[str, Any] = {
        "source": images.source,
        "supervised": np.array(supervised),
        "unsupervised": np.array(unsupervised),
        "silent": silent,
        "hidden spikes": float(counts["hidden"].sum(axis=1).mean()),
        "theta": model.theta_,
        "fields": model.hidden_weights_.astype(np.float32),
        "class weights": model.class_weights_,
        "assignments": model.assignments_,
        "shown": X_test[0],
        "label": int(y_test[0]),
        "labels": y_test,
    }
    for layer, values in {"pixels": X_test, **counts}.items():
        found[f"silhouette {layer}"] = float(silhouette_score(values, y_test))
        if embed:
            placed = TSNE(init="pca", random_state=seed).fit_transform(values.astype(np.float64))
            found[f"t-SNE {layer}"] = placed
            found[f"silhouette t-SNE {layer}"] = float(silhouette_score(placed, y_test))
    if embed:
        is_used = counts["hidden"].any(axis=0)
        cells = model.assignments_[is_used]
        for layer, rows in (("input", model.hidden_weights_.T), ("class", model.class_weights_)):
            # The default of 30 needs more than 30 cells; from 91 on it is taken.
            near = min(30.0, (is_used.sum() - 1) / 3)
            space = TSNE(perplexity=near, init="pca", random_state=seed)
            placed = space.fit_transform(rows[is_used])
            found[f"silhouette t-SNE {layer} weights"] = float(silhouette_score(placed, cells))
    for layer, events in spikes.items():
        found[f"time {layer}"], found[f"unit {layer}"] = events.time, events.unit
    return found


def validate(
    name: str, root: str | None, n_train: int, n_hidden: int, seed: int, options: Options
) -> float:
    """Return the accuracy of the class layer on a quarter of the training images, held out."""
    X, y, _, _ = pixels(find(name, root, n_train, 10))
    X, X_held, y, y_held = train_test_split(X, y, test_size=0.25, stratify=y, random_state=seed)
    model = SymmetricSTDPClassifier(n_hidden, random_state=seed, **dict(options)).fit(X, y)
    return float((_predicted(model, X_held) == y_held).mean())


def _predicted(model: SymmetricSTDPClassifier, X: Array) -> Array:
    with warnings.catch_warnings():
        # How many images evoke no class spike is reported.
        warnings.simplefilter("ignore", ActivityWarning)
        return model.predict(X)
