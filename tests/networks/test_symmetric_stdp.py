"""The symmetric STDP classifier: its loop against the general engine, its rules, its refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from activome.activity.events import Events
from activome.errors import ActivityError, ActivityWarning, ParameterError
from activome.networks._image_loop import draw_trains, show
from activome.networks._image_network import Layers, Traces, network, scale, tables
from activome.networks.spiking.homeostasis import SynapticScaling
from activome.networks.spiking.simulate import simulate
from activome.networks.symmetric_stdp import SymmetricSTDPClassifier

Array = np.ndarray[Any, Any]
DT, N_INPUTS, N_STEPS = 0.5, 30, 400


def layers(order: Any = "symmetric", n_hidden: int = 8) -> Layers:
    numbers = (N_STEPS * DT, 150.0, -52.0, 0.3, 1e5, 0.02, 0.2)
    return Layers(n_hidden, 3, DT, *numbers, order)


def events(trains: tuple[Array, Array], n: int) -> Events:
    """Spikes one step before they arrive: the loop takes arrivals."""
    step = np.repeat(np.arange(trains[0].size - 1), np.diff(trains[0]))
    return Events(step * 500, trains[1], n_units=n)


def loop(
    made: Layers,
    trains: tuple[Array, Array],
    teacher: tuple[Array, Array],
    w: Array,
    wc: Array,
    learns: Array,
    theta: Array,
) -> tuple[Array, Array]:
    table, n = tables(made), 2 * made.n_hidden + 3
    traces = Traces(N_INPUTS, n)
    room = N_STEPS * n
    steps, units = np.empty(room, np.int64), np.empty(room, np.int64)
    n_spikes = show(
        *trains, *teacher, table.sizes, table.par, table.strict, table.adaptation, table.rules,
        table.couplings, learns, w, wc, theta, traces.value[0], traces.step[0], traces.value[1],
        traces.step[1], np.zeros(made.n_hidden, np.int64), np.zeros(3, np.int64), np.zeros(3),
        steps, units,
    )  # fmt: skip
    return steps[:n_spikes], units[:n_spikes]


@pytest.mark.filterwarnings("ignore:simulate. dt of 0.5 ms is coarse")
@pytest.mark.parametrize("order", ["symmetric", "asymmetric"])
@pytest.mark.parametrize("is_taught", [True, False])
def test_the_loop_equals_the_general_engine(order: Any, is_taught: bool) -> None:
    made = layers(order)
    generator = np.random.default_rng(3)
    weight = generator.uniform(0.02, 0.4, (N_INPUTS, 8))
    class_weight = generator.uniform(2.0, 7.5, (8, 3))
    trains = draw_trains(np.full(N_INPUTS, 0.05), N_STEPS, generator)
    teacher = draw_trains(np.array([0.0, 0.1, 0.02]), N_STEPS, generator)
    # The general engine starts a step earlier: a spike of a source arrives one step later.
    inputs = {"input": events(trains, N_INPUTS)}
    shifted = Events(
        (np.repeat(np.arange(N_STEPS), np.diff(teacher[0])) + 1) * 500, teacher[1], n_units=3
    )
    if is_taught:
        inputs["class"] = shifted
    net = network(made, weight, class_weight, is_taught=is_taught, is_plastic=is_taught)
    wanted = simulate(
        net,
        inputs,
        (N_STEPS + 1) * DT,
        DT,
        record={name: ["spikes", "theta"] if name == "hidden" else ["spikes"] for name in LAYERS},
    )
    theta = np.r_[np.full(8, 20.0), np.zeros(11)]
    # The step ahead of the first arrival, in which theta only decays.
    theta[:8] *= np.exp(-DT / made.tau_theta)
    learns = np.array([1, 1, 1]) if is_taught else np.array([0, 1, 0])
    none = np.zeros(1, np.int64), np.empty(0, np.int64)
    w, wc = weight.copy(), class_weight.copy()
    steps, units = loop(made, trains, teacher if is_taught else none, w, wc, learns, theta)
    first = (0, 8, 16, 19)
    for k, name in enumerate(LAYERS):
        spikes = wanted.spikes[name]
        mine = (units >= first[k]) & (units < first[k + 1])
        assert spikes.unit.size > 5
        np.testing.assert_array_equal(steps[mine] + 1, spikes.t // 500)
        np.testing.assert_array_equal(units[mine] - first[k], spikes.unit)
    np.testing.assert_array_equal(theta[:8], wanted.states["hidden"]["theta"].values[-1])
    if is_taught:
        exact = 0.0 if order == "symmetric" else 1e-12
        np.testing.assert_allclose(w.ravel(), wanted.weights["input->hidden"], rtol=exact)
        np.testing.assert_allclose(wc.ravel(), wanted.weights["hidden->class"], rtol=exact)
        assert np.abs(w - weight).max() > 0.01
        assert (np.diff(np.sort((w - weight).ravel()))[:1] >= 0).all()
        assert ((w >= weight - 1e-15).all()) is np.bool_(order == "symmetric")


LAYERS = ("hidden", "inhibitory", "class")


def test_gaps_have_the_chance_of_a_coin_per_step() -> None:
    chance = np.array([0.0, 0.031875, 0.3, 1.0])
    ptr, unit = draw_trains(np.tile(chance, 200), 700, np.random.default_rng(5))
    assert ptr[-1] == unit.size
    counts = np.bincount(unit, minlength=800).reshape(200, 4)
    assert not counts[:, 0].any()
    assert (counts[:, 3] == 700).all()
    for k in (1, 2):
        p = chance[k]
        sd = np.sqrt(700 * p * (1 - p))
        assert abs(counts[:, k].mean() - 700 * p) < 4 * sd / np.sqrt(200)
        assert counts[:, k].var() == pytest.approx(sd**2, rel=0.35)
    for t in range(0, 700, 50):
        here = unit[ptr[t] : ptr[t + 1]]
        assert (np.diff(here) > 0).all()


def test_scaling_equals_the_rule_of_the_engine() -> None:
    weight = np.random.default_rng(0).random((784, 3))
    weight[:, 1] = 0.15
    weight[:, 2] = 0.0
    rule = SynapticScaling(total=78.4)
    wanted = rule.scale(weight.ravel(), np.tile(np.arange(3), 784), 3).reshape(784, 3)
    scale(weight, 78.4)
    np.testing.assert_allclose(weight, wanted, rtol=1e-14)
    np.testing.assert_allclose(weight[:, 1], 0.1)
    assert not weight[:, 2].any()


def test_traces_fade_in_the_pause() -> None:
    traces = Traces(2, 3)
    traces.value[0][:] = 0.1, 1e-9
    traces.step[0][:] = N_STEPS - 1
    traces.rest(layers())
    np.testing.assert_allclose(traces.value[0], [0.1 * np.exp(-150.0 / 20.0), 0.0])
    assert (traces.step[0] == -1).all()


def shapes(n: int, seed: int) -> tuple[Array, Array]:
    """Three shapes of 20 of 60 pixels, noisy."""
    generator = np.random.default_rng(seed)
    y = generator.integers(3, size=n)
    X = np.repeat(np.eye(3), 20, axis=1)[y] * generator.uniform(0.4, 1.0, (n, 60))
    return X + 0.1 * generator.random((n, 60)) * (X == 0), np.array(["a", "b", "c"])[y]


OPTIONS: dict[str, Any] = {"n_hidden": 24, "max_rate": 200.0, "duration": 150.0, "random_state": 0}


@pytest.mark.parametrize("training", ["simultaneous", "layerwise"])
def test_shapes_are_told_apart(training: Any) -> None:
    X, y = shapes(90, 0)
    model = SymmetricSTDPClassifier(**OPTIONS, training=training, eta_class=0.2).fit(X, y)
    X_test, y_test = shapes(40, 1)
    assert model.score(X_test, y_test) >= 0.9
    assert model.n_silent_ <= 4
    assert (model.predict_unsupervised(X_test) == y_test).mean() >= 0.9
    assert model.theta_.shape == (24,)
    assert (model.theta_ > 0).all()
    assert model.hidden_weights_.max() <= 1.0
    assert model.class_weights_.max() <= 8.0
    counts = model.decision_function(X_test)
    np.testing.assert_array_equal(counts, model.decision_function(X_test))
    model.n_jobs = 2
    np.testing.assert_array_equal(counts, model.decision_function(X_test))
    assert (model.transform(X_test).sum(axis=1) >= 5).all()


@pytest.mark.filterwarnings("ignore:SymmetricSTDPClassifier.predict. 30 of 30 images")
def test_nothing_is_learned_at_test_and_seeds_repeat() -> None:
    X, y = shapes(30, 0)
    model = SymmetricSTDPClassifier(**OPTIONS).fit(X, y)
    kept = model.hidden_weights_.copy(), model.class_weights_.copy(), model._theta.copy()
    spikes = model.record(X[:4])
    model.predict(X)
    for one, other in zip(
        kept, (model.hidden_weights_, model.class_weights_, model._theta), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert spikes["hidden"].trial is not None
    np.testing.assert_array_equal(
        np.bincount(spikes["hidden"].trial, minlength=4), model.transform(X[:4]).sum(axis=1)
    )
    assert spikes["input"].n_units == 60
    assert spikes["class"].n_trials == 4
    again = SymmetricSTDPClassifier(**OPTIONS).fit(X, y)
    np.testing.assert_array_equal(again.hidden_weights_, kept[0])


def test_fitting_goes_on() -> None:
    X, y = shapes(30, 0)
    whole = SymmetricSTDPClassifier(**OPTIONS).fit(X, y)
    parts = SymmetricSTDPClassifier(**OPTIONS)
    parts.partial_fit(X[:12], y[:12], classes=["a", "b", "c"]).partial_fit(X[12:], y[12:])
    np.testing.assert_array_equal(parts.hidden_weights_, whole.hidden_weights_)
    np.testing.assert_array_equal(parts.assignments_, whole.assignments_)
    warm = SymmetricSTDPClassifier(**OPTIONS, warm_start=True).fit(X[:12], y[:12])
    before = warm.theta_.copy()
    warm.fit(X[12:], y[12:])
    assert (warm.theta_ != before).any()
    with pytest.raises(ActivityError, match="60 inputs of fit"):
        warm.fit(X[:, :50], y)


def test_dim_images_are_shown_brighter_and_silent_ones_counted() -> None:
    X, y = shapes(30, 0)
    model = SymmetricSTDPClassifier(**OPTIONS).fit(X, y)
    assert (model.transform(X[:5] * 0.3).sum(axis=1) >= 5).all()
    model.class_weights_[:] = 0.0
    with pytest.warns(ActivityWarning, match="5 of 5 images evoke no class spike"):
        found = model.predict(X[:5])
    assert (found == model.classes_[model._n_seen.argmax()]).all()
    assert model.n_silent_ == 5


def test_a_constant_sum_of_pixels() -> None:
    X, y = shapes(20, 0)
    options = OPTIONS | {"input_sum": 15.0}
    one = SymmetricSTDPClassifier(**options).fit(X, y)
    other = SymmetricSTDPClassifier(**options, max_input=255.0).fit(X * 255 * 0.5, y)
    np.testing.assert_allclose(one.hidden_weights_, other.hidden_weights_)


def test_refusals() -> None:
    X, y = shapes(20, 0)
    model = SymmetricSTDPClassifier(**OPTIONS)
    dark = X.copy()
    dark[[3, 5]] = 0.0
    for bad, match in (
        (-X, "from 0 to max_input"),
        (X * 2, "from 0 to max_input"),
        (X * np.nan, "must be finite"),
        (dark, "dark are 2: 3, 5"),
        (X[0], "shape"),
        (X[:0], "shape"),
    ):
        with pytest.raises(ActivityError, match=match):
            model.fit(bad, y[: len(bad)])
    with pytest.raises(ActivityError, match="one label per image"):
        model.fit(X, y[:, None])
    with pytest.raises(ActivityError, match="two classes"):
        model.fit(X, np.zeros(20))
    with pytest.raises(ParameterError, match="number of classes, 3; got 2"):
        SymmetricSTDPClassifier(2).fit(X, y)
    for name, value in (("dt", 1.5), ("scaling", 0.0), ("training", "both"), ("n_epochs", 0)):
        with pytest.raises(ParameterError, match=name):
            SymmetricSTDPClassifier(**(OPTIONS | {name: value})).fit(X, y)
    with pytest.raises(ParameterError, match="at most one spike per step"):
        SymmetricSTDPClassifier(9, max_rate=4000.0).fit(X, y)
    model.fit(X, y)
    with pytest.raises(ActivityError, match="60 inputs of fit; got 10"):
        model.predict(X[:, 5:15])
    with pytest.raises(ActivityError, match="among those of the first call"):
        model.partial_fit(X, np.full(20, "z"))
