"""Images for the study of symmetric STDP, and what common methods make of them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from activome.errors import ReadError
from activome.samples.images import ImageSet, images

__all__ = ["baselines", "find", "pixels"]

Array = np.ndarray[Any, Any]


def find(name: str, root: str | None, n_train: int, n_test: int, seed: int = 0) -> ImageSet:
    """Load stratified subsets, from the folder of the study or where a package put them."""
    sizes: Any = {"n_train": n_train, "n_test": n_test, "seed": seed}
    try:
        return images(name, root, **sizes)
    except ReadError:
        # Without a folder the places of packages are searched too.
        return images(name, **sizes)


def pixels(found: ImageSet) -> tuple[Array, Array, Array, Array]:
    """Return flat images from 0 to 1; those of 8 x 8 with each pixel repeated 3 x 3."""
    flat = []
    for stack in (found.x_train, found.x_test):
        large = np.repeat(np.repeat(stack, 3, axis=1), 3, axis=2) if stack.shape[1] == 8 else stack
        flat.append(large.reshape(len(large), -1) / found.maximum)
    return flat[0], found.y_train, flat[1], found.y_test


def baselines(
    name: str, root: str | None, n_train: int, n_test: int, n_clusters: tuple[int, ...]
) -> dict[str, float]:
    """Return the accuracy of logistic regression, and of k-means whose centres get a class."""
    X, y, X_test, y_test = pixels(find(name, root, n_train, n_test))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        line = LogisticRegression(C=0.1, max_iter=60).fit(X, y)
    scores = {"logistic": float(line.score(X_test, y_test))}
    for n in n_clusters:
        clusters = KMeans(n, n_init=1, random_state=0).fit(X)
        table = np.zeros((n, int(y.max()) + 1))
        np.add.at(table, (clusters.labels_, y), 1)
        found = table.argmax(axis=1)[clusters.predict(X_test)]
        scores[f"k-means {n}"] = float((found == y_test).mean())
    return scores
