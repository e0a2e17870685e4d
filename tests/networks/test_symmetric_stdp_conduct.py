"""The symmetric STDP classifier as scikit-learn uses it, and its loop by the equations alone."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from activome.errors import ActivityError, ParameterError
from activome.networks._image_network import Layers, Traces, present, tables
from activome.networks.stdp_features import STDPFeatures
from activome.networks.symmetric_stdp import SymmetricSTDPClassifier

Array = np.ndarray[Any, Any]
OPTIONS: Any = {"max_rate": 200.0, "duration": 100.0, "eta_class": 1.0, "random_state": 0}


def blocks(n: int = 45) -> tuple[Array, Array]:
    """Return images with one of three blocks of ten pixels bright."""
    rng = np.random.default_rng(3)
    y = rng.integers(3, size=n)
    bright = (np.arange(30) // 10)[None] == y[:, None]
    return bright * 0.7 + rng.random((n, 30)) * 0.3, y


def test_sizes_are_those_of_the_fit_whatever_the_parameters_say() -> None:
    X, y = blocks()
    model = SymmetricSTDPClassifier(12, **OPTIONS).fit(X, y)
    expected = model.predict(X)
    for other in (5, 200):
        changed = pickle.loads(pickle.dumps(model)).set_params(n_hidden=other)  # noqa: S301
        np.testing.assert_array_equal(changed.predict(X), expected)
        assert changed.transform(X[:2]).shape == (2, 12)
        with pytest.raises(ParameterError, match="n_hidden must stay 12"):
            changed.partial_fit(X, y)
        with pytest.raises(ParameterError, match="n_hidden must stay 12"):
            changed.set_params(warm_start=True).fit(X, y)
    features = STDPFeatures(4, duration=60.0, max_rate=300.0).fit(X)
    counts = features.transform(X[:5])
    np.testing.assert_array_equal(features.set_params(n_features=9).transform(X[:5]), counts)


def test_read_only_weights_of_a_worker() -> None:
    X, y = blocks()
    model = SymmetricSTDPClassifier(12, **OPTIONS).fit(X, y)
    expected = model.predict(X)
    for values in (model.hidden_weights_, model.class_weights_, model._theta):
        values.flags.writeable = False
    np.testing.assert_array_equal(model.predict(X), expected)
    model.hidden_weights_.flags.writeable = False
    assert model.partial_fit(X, y).score(X, y) > 0.5


def test_conduct() -> None:
    X, y = blocks()
    names = np.array(["b", "a", "c"])[y]
    model = SymmetricSTDPClassifier(12, **OPTIONS)
    assert cross_val_score(model, X, names, cv=3).min() > 0.6
    found = model.fit(X, names).predict(X)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_array_equal(model.predict(X[order]), found[order])
    np.testing.assert_array_equal([model.predict(row[None])[0] for row in X], found)
    np.testing.assert_array_equal(clone(model).fit(X, names).hidden_weights_, model.hidden_weights_)
    halves = clone(model).partial_fit(X[:9], names[:9], classes=["a", "b", "c"])
    halves.partial_fit(X[9:], names[9:])
    np.testing.assert_array_equal(halves.hidden_weights_, model.hidden_weights_)
    outputs = [f"symmetricstdpclassifier{k}" for k in range(12)]
    assert model.get_feature_names_out().tolist() == outputs
    frame = clone(model).set_output(transform="pandas").fit(X, names).transform(X[:2])
    assert frame.columns.tolist() == outputs


def test_columns_of_a_table_keep_their_places() -> None:
    X, y = blocks()
    table = pd.DataFrame(X, columns=[f"p{k}" for k in range(30)])
    model = SymmetricSTDPClassifier(12, **OPTIONS).fit(table, pd.Series(y))
    assert model.feature_names_in_[3] == "p3"
    with pytest.raises(ValueError, match="same order"):
        model.predict(table[table.columns[::-1]])


def test_refusals_of_labels_images_and_clocks() -> None:
    X, y = blocks()
    model = SymmetricSTDPClassifier(12, **OPTIONS)
    missing = np.where(np.arange(45) == 7, np.nan, y)
    with pytest.raises(ActivityError, match="the first is image 7"):
        model.fit(X, missing)
    with pytest.raises(ActivityError, match="the first is image 0"):
        model.fit(X, np.full(45, None))
    with pytest.raises(ActivityError, match="rows differ"):
        model.fit([[1, 2], [3]], [0, 1])
    with pytest.raises(ParameterError, match="duration must be a whole number of steps"):
        clone(model).set_params(duration=100.3).fit(X, y)
    with pytest.raises(ParameterError, match="rest must be a whole number of steps"):
        clone(model).set_params(dt=0.4, duration=100.0, rest=150.1).fit(X, y)
    model.partial_fit(X, y)
    with pytest.raises(ActivityError, match=r"partial_fit: classes must be those"):
        model.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ActivityError, match=r"partial_fit: labels must be among"):
        model.partial_fit(X, y + 1)


def euler(v: Array, left: Array, exc: Array, inh: Array, rest: float, step: float) -> Array:
    """Advance membranes that are not refractory; returns which are not."""
    able: Array = left == 0
    moved = v + step * (rest - v + exc * (0.0 - v) + inh * (-100.0 - v))
    v[able] = np.maximum(moved[able], -100.0)
    left[~able] -= 1
    return able


@pytest.mark.parametrize(
    ("n_inputs", "n", "n_classes", "dt", "tau_theta"),
    [(31, 9, 3, 0.5, 6e6), (50, 7, 4, 0.25, 500.0)],
)
def test_learning_by_the_equations(
    n_inputs: int, n: int, n_classes: int, dt: float, tau_theta: float
) -> None:
    rng = np.random.default_rng(n_inputs)
    layers = Layers(n, n_classes, dt, 220.0, 150.0, -52.0, 0.3, tau_theta, 0.02, 0.1, "symmetric")
    weight, class_weight = rng.uniform(0, 0.3, (n_inputs, n)), rng.uniform(0, 0.3, (n, n_classes))
    theta = np.where(np.arange(2 * n + n_classes) < n, 20.0, 0.0)
    traces, generator = Traces(n_inputs, theta.size), np.random.default_rng(1)
    w, c, level = weight.copy(), class_weight.copy(), np.full(n, 20.0)
    x_in, x_hidden, x_class = np.zeros(n_inputs), np.zeros(n), np.zeros(n_classes)
    others = ~np.eye(n, dtype=bool)
    for _ in range(4):
        chance, label = rng.random(n_inputs) * 0.2, int(rng.integers(n_classes))
        shown = present(
            layers, tables(layers), chance, label, np.ones(3, np.int64), weight, class_weight,
            theta, traces, 0.1, generator, record=True,
        )  # fmt: skip
        w *= 0.1 * n_inputs / w.sum(axis=0)
        c *= 0.1 * 8 * n / c.sum(axis=0)
        v, v_inh = np.full(n, -65.0), np.full(n, -60.0)
        exc, inh, partner = np.zeros(n), np.zeros(n), np.zeros(n)
        left, left_inh = np.zeros(n, int), np.zeros(n, int)
        late, late_inh = np.empty(0, int), np.empty(0, int)
        for t in range(layers.n_steps):
            for x in (x_in, x_class):
                x *= np.exp(-dt / 20)
            arriving = shown.arrivals[1][slice(*shown.arrivals[0][t : t + 2])]
            exc += w[arriving].sum(axis=0)
            partner[late] += 10.4
            inh += 17.0 * others[late_inh].sum(axis=0)
            able = euler(v, left, exc, inh, -65.0, dt / 100)
            able_inh = euler(v_inh, left_inh, partner, np.zeros(n), -60.0, dt / 10)
            exc, partner, inh = exc * np.exp(-dt), partner * np.exp(-dt), inh * np.exp(-dt / 2)
            fired = np.flatnonzero(able & (v > level - 72.0))
            fired_inh = np.flatnonzero(able_inh & (v_inh > -40.0))
            v[fired], left[fired] = -65.0, round(2 / dt)
            v_inh[fired_inh], left_inh[fired_inh] = -45.0, round(2 / dt)
            units = shown.spikes[1][shown.spikes[0] == t]
            assert np.sort(units[units < n]).tolist() == fired.tolist()
            taught = units[units >= 2 * n] - 2 * n
            raised = level[fired] + 0.3 * 10 / np.abs(level[fired] - 10)
            level *= np.exp(-dt / tau_theta)
            level[fired] = raised
            # Symmetric: whoever is second finds the trace of the first, of 0.1 per spike.
            w[arriving] = np.minimum(1.0, w[arriving] + 0.02 * x_hidden * np.exp(-dt / 20))
            x_in[arriving] += 0.1
            w[:, fired] = np.minimum(1.0, w[:, fired] + 0.02 * x_in[:, None])
            # A hidden spike reaches the class cells one step later, and its trace with it.
            c[late] = np.minimum(8.0, c[late] + 0.1 * x_class)
            c[:, taught] = np.minimum(8.0, c[:, taught] + 0.1 * x_hidden[:, None])
            x_hidden *= np.exp(-dt / 20)
            x_hidden[fired] += 0.1
            x_class[taught] += 0.1
            late, late_inh = fired, fired_inh
        for x in (x_in, x_hidden, x_class):
            x *= np.exp(-150 / 20)
        # Traces below 1e-7 are forgotten in the pause.
        np.testing.assert_allclose(weight, w, atol=1e-8)
        np.testing.assert_allclose(class_weight, c, atol=1e-8)
        np.testing.assert_allclose(theta[:n], level, rtol=1e-12)
