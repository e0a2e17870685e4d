"""The spiking classifier: what it learns, its rules against slow twins, labels, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

torch = pytest.importorskip("torch", reason="torch is not installed")

from activome.activity.complexity import lempel_ziv_complexity  # noqa: E402  # after the skip
from activome.errors import ActivityError, ParameterError  # noqa: E402
from activome.networks._spiking_rules import RULES, SpikingLayer, pair_changes  # noqa: E402
from activome.networks.spiking.plasticity import PairSTDP  # noqa: E402
from activome.networks.spiking.torch_cells import LIFCell  # noqa: E402
from activome.networks.spiking_classifier import SpikingClassifier  # noqa: E402
from activome.networks.training import TrainConfig, seed_everything  # noqa: E402

Array = np.ndarray[Any, Any]


def bursts(n: int, seed: int, n_classes: int = 2) -> tuple[Array, Array]:
    """Trials of one mean rate: steady, in bursts of 5 steps, or of 10."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    time = np.arange(40)
    shapes = np.array([np.ones(40), 2.0 * (time // 5 % 2), 2.0 * (time // 10 % 2)])
    return rng.random((n, 40, 16)) < 0.2 * shapes[y][:, :, None], y


@pytest.mark.parametrize("neuron", ["lif", "meta"])
def test_constants_learn_and_help(neuron: str) -> None:
    X, y = bursts(240, 0)
    fresh, truth = bursts(200, 1)
    options: dict[str, Any] = {
        "n_hidden": 8,
        "neuron": neuron,
        "batch_size": 40,
        "lr": 0.05,
        "n_epochs": 6,
    }
    learnt = SpikingClassifier(**options).fit(X, y)
    fixed = SpikingClassifier(**options, learn_internal=False).fit(X, y)
    assert learnt.score(fresh, truth) > 0.85
    # Both began with the same weights and constants; only one changed the latter.
    for name, (before, after) in fixed.constants_.items():
        assert np.array_equal(before, after)
        assert np.array_equal(before, learnt.constants_[name][0])
        assert not np.array_equal(before, learnt.constants_[name][1])
    table = learnt.internal_parameters_
    assert table.columns.tolist() == ["unit", "parameter", "before", "after"]
    assert len(table) == 8 * len(learnt.constants_)
    assert table.query("parameter == 'tau'")["before"].tolist() == pytest.approx([10.0] * 8)


@pytest.mark.parametrize("rule", ["surrogate", "stdp", "tempotron"])
@pytest.mark.parametrize("readout", ["rate", "lzc"])
def test_every_rule_and_readout_beats_chance(rule: str, readout: str) -> None:
    X, y = bursts(240, 2)
    fresh, truth = bursts(200, 3)
    model = SpikingClassifier(
        12, rule=rule, readout=readout, batch_size=40, n_epochs=6, lr=0.05
    ).fit(X, y)
    assert model.score(fresh, truth) > 0.65
    hidden = model.transform(fresh)
    assert hidden.shape == (200, 40, 12)
    assert hidden.dtype == bool
    features = lempel_ziv_complexity(hidden, axis=1) if readout == "lzc" else 10 * hidden.mean(1)
    outputs = features @ model.coef_[0] + model.intercept_[0]
    np.testing.assert_allclose(model.decision_function(fresh), outputs)
    assert model.n_silent_ == int((~model.transform(X).any(axis=(0, 1))).sum())


def test_hidden_spikes_are_those_of_a_loop() -> None:
    X, y = bursts(40, 4)
    model = SpikingClassifier(5, n_epochs=3, batch_size=10, lr=0.05).fit(X, y)
    tau, threshold, reset = (model.constants_[k][1] for k in ("tau", "threshold", "reset"))
    v = np.zeros((40, 5))
    expected = np.zeros((40, 40, 5), bool)
    for t in range(40):
        v = np.exp(-1 / tau.astype(float)) * v + X[:, t] @ model.input_weights_.T.astype(float)
        expected[:, t] = v >= threshold
        v = np.where(expected[:, t], reset, v)
    hidden = model.transform(X)
    assert np.mean(hidden != expected) < 1e-3
    assert hidden.any()


def test_pairs_of_spikes_by_hand() -> None:
    rule = PairSTDP(tau_plus=10.0, tau_minus=20.0, a_plus=1.0, a_minus=0.5, zero_lag="potentiate")
    rng = np.random.default_rng(0)
    before, behind = rng.random((2, 30, 3)) < 0.2, rng.random((2, 30, 4)) < 0.2
    expected = np.zeros((4, 3))
    for n, s, i in np.argwhere(before):
        for _, t, j in np.argwhere(behind[n : n + 1]):
            lag = t - s
            expected[j, i] += np.exp(-lag / 10.0) if lag >= 0 else -0.5 * np.exp(lag / 20.0)
    found = pair_changes(before.astype(float), behind.astype(float), rule)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_thresholds_follow_the_target_rate() -> None:
    X, y = bursts(200, 5)
    model = SpikingClassifier(6, rule="stdp", n_epochs=60, batch_size=50, lr=0.05).fit(X, y)
    rates = model.transform(X).mean(axis=(0, 1))
    first = SpikingClassifier(6, rule="stdp", n_epochs=1, batch_size=50, lr=1e-9).fit(X, y)
    start = first.transform(X).mean(axis=(0, 1))
    assert np.abs(rates - 0.1).max() < 0.05 < np.abs(start - 0.1).max()
    # Without labels: they change nothing but the read-out.
    other = SpikingClassifier(6, rule="stdp", n_epochs=60, batch_size=50, lr=0.05).fit(X, 1 - y)
    assert np.array_equal(model.input_weights_, other.input_weights_)
    # The excitatory weights moved and kept their sum, the others stayed.
    before, after = first.input_weights_, model.input_weights_
    assert np.abs(after - before)[before > 0].max() > 0.05
    assert np.array_equal(before[before < 0], after[before < 0])
    total = np.where(before > 0, before, 0).sum(axis=1)
    np.testing.assert_allclose(np.where(before > 0, after, 0).sum(axis=1), total, rtol=1e-4)


def test_the_tempotron_step_is_the_kernel_at_the_peak() -> None:
    # One pattern that a cell misses: the weights move along sum of alpha^(t_max - t_i).
    with seed_everything(0):
        net = SpikingLayer(3, 2, LIFCell(2, tau=5.0, detach_reset=True)).double()
    with torch.no_grad():
        net.weigh.weight[:] = torch.tensor([[0.3, 0.2, -0.4], [0.1, 0.1, 0.1]])
    X = torch.zeros(1, 12, 3, dtype=torch.float64)
    X[0, 1, 0] = X[0, 3, 1] = X[0, 8, 2] = 1.0
    before = net.weigh.weight.detach().clone()
    config = TrainConfig(steps=1, batch_size=None, lr=0.1, optimizer="sgd")
    RULES["tempotron"](net, X, torch.tensor([0]), config, False)
    alpha = np.exp(-1 / 5.0)
    # 0.3 alpha^2 + 0.2 is the peak, at step 3; the cell of the other class is rightly silent.
    change = (net.weigh.weight - before).detach().numpy()
    assert change[0].tolist() == pytest.approx([0.1 * alpha**2, 0.1, 0.0])
    assert change[1].tolist() == [0.0, 0.0, 0.0]


def test_labels_of_an_activity() -> None:
    X, y = bursts(60, 6)
    names = np.array(["steady", "burst"])[y]
    activity = xr.DataArray(
        X.swapaxes(1, 2), dims=("trial", "unit", "time"), coords={"kind_of": ("trial", names)}
    )
    plain = SpikingClassifier(5, n_epochs=2).fit(X, names)
    labelled = SpikingClassifier(5, n_epochs=2).fit(activity, "kind_of")
    assert np.array_equal(plain.input_weights_, labelled.input_weights_)
    assert plain.score(X, names) == labelled.score(activity, "kind_of")
    hidden = labelled.transform(activity)
    assert hidden.dims == ("trial", "time", "unit")
    assert np.array_equal(hidden.values, plain.transform(X))
    assert np.array_equal(plain.predict(X.astype(np.uint8)), plain.predict(X))


def test_three_classes_and_probabilities() -> None:
    X, y = bursts(300, 7, n_classes=3)
    model = SpikingClassifier(12, batch_size=30, lr=0.02, n_epochs=12).fit(X, y)
    chances = model.predict_proba(X)
    assert chances.shape == (300, 3)
    np.testing.assert_allclose(chances.sum(axis=1), 1.0)
    assert model.score(X, y) > 0.55
    assert np.array_equal(model.predict(X), model.decision_function(X).argmax(axis=1))


def test_cells_that_fire_by_chance() -> None:
    X, y = bursts(200, 8)
    model = SpikingClassifier(8, stochastic=True, batch_size=40, n_epochs=10, lr=0.03).fit(X, y)
    assert set(model.constants_) == {"tau", "threshold", "reset", "temperature"}
    assert not np.array_equal(*model.constants_["temperature"])
    assert model.score(X, y) > 0.6
    # The same draws for every trial: a part of the trials gives a part of the results.
    assert np.array_equal(model.transform(X)[50:60], model.transform(X[50:60]))


def test_constants_can_be_given() -> None:
    X, y = bursts(40, 9)
    model = SpikingClassifier(
        4, "meta", learn_internal=False, internal={"tau": 7.0, "theta_u": 0.3}, n_epochs=1
    ).fit(X, y)
    assert model.constants_["tau"][1].tolist() == pytest.approx([7.0] * 4)
    assert model.constants_["theta_u"][1].tolist() == pytest.approx([0.3] * 4)
    assert model.constants_["theta_v"][1].tolist() == pytest.approx([-0.172] * 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neuron": "izhikevich"}, "unknown neuron 'izhikevich'"),
        ({"rule": "hebb"}, "unknown rule"),
        ({"readout": "count"}, "unknown readout"),
        ({"n_hidden": 0}, "n_hidden must be"),
        ({"lr": 0.0}, "lr must be"),
        ({"internal": {"tau": -1.0}}, "tau must be in"),
        ({"internal": {"theta_v": 1.0}}, "unknown constant 'theta_v'"),
        ({"internal": [1.0]}, "internal must be a dict"),
    ],
)
def test_parameters_out_of_range(options: dict[str, Any], message: str) -> None:
    X, y = bursts(10, 0)
    with pytest.raises(ParameterError, match=message):
        SpikingClassifier(**options).fit(X, y)


def test_refusals() -> None:
    X, y = bursts(10, 0)
    with pytest.raises(ActivityError, match="spikes must be 0 or 1; 800 of 6400 values are not"):
        SpikingClassifier().fit(np.where(np.arange(16) < 2, 2, X), y)
    with pytest.raises(ActivityError, match="at least two classes; got 1 class"):
        SpikingClassifier().fit(X, np.zeros(10))
    silent = X & (y == 1)[:, None, None]
    with pytest.raises(ActivityError, match="every class must have spikes; class 0 has none in 5"):
        SpikingClassifier().fit(silent, y)
    with pytest.raises(ActivityError, match=r"must be \(n_trials, n_times, n_units\); got 2 axes"):
        SpikingClassifier().fit(X[0], y)
    with pytest.raises(ActivityError, match="at least two steps; got 1"):
        SpikingClassifier().fit(X[:, :1] | True, y)
    damaged = X.astype(float)
    damaged[1, 2, 3] = np.nan
    with pytest.raises(ActivityError, match="trial 1, unit 3, time 2"):
        SpikingClassifier().fit(damaged, y)
    with pytest.raises(ActivityError, match="the 16 units of fit; got 7"):
        SpikingClassifier(4, n_epochs=1).fit(X, y).predict(X[:, :, :7])
