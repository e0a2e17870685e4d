"""The tempotron: by hand, against a slow twin, on a grid of times, its capacity, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activome._random import spawn_generators
from activome.activity.events import Events
from activome.errors import ActivityError, ConvergenceWarning, ParameterError
from activome.networks.tempotron import Tempotron

Array = np.ndarray[Any, Any]
TAUS = (15.0, 3.75)


def shape(s: Any, tau_m: float, tau_s: float) -> Any:
    """The kernel, normalised to a peak of 1."""
    top = tau_m * tau_s / (tau_m - tau_s) * np.log(tau_m / tau_s)
    scale = 1.0 / (np.exp(-top / tau_m) - np.exp(-top / tau_s))
    return np.where(s >= 0, scale * (np.exp(-s / tau_m) - np.exp(-s / tau_s)), 0.0)


def slow_peak(times: Array, w: Array, tau_m: float, tau_s: float) -> tuple[float, float]:
    """Try every candidate: each spike, the stationary point after it, and the end."""
    order = np.argsort(times, kind="stable")
    times, w = times[order], w[order]
    candidates = list(times[1:])
    for k in range(times.size):
        before = times[: k + 1] - times[k]
        slow = np.sum(w[: k + 1] * np.exp(before / tau_m))
        fast = np.sum(w[: k + 1] * np.exp(before / tau_s))
        if slow > 0 and fast * tau_m > slow * tau_s:
            stay = np.log(fast * tau_m / (slow * tau_s)) / (1 / tau_s - 1 / tau_m)
            if k + 1 == times.size or stay < times[k + 1] - times[k]:
                candidates.append(times[k] + stay)
    candidates.append(times[-1] + tau_m * tau_s / (tau_m - tau_s) * np.log(tau_m / tau_s))
    values = [np.sum(w * shape(t - times, tau_m, tau_s)) for t in candidates]
    best = int(np.argmax(values))
    return float(values[best]), float(candidates[best])


def slow_fit(X: Array, y: Array, model: Tempotron) -> tuple[Array, Array, int]:
    """Learn with a loop over patterns, and the gradient of time constants by differences."""
    (rng,) = spawn_generators(model.random_state, 1)
    w = rng.normal(0.0, 0.1 / np.sqrt(X.shape[1]), X.shape[1])
    taus, change, turn = np.array([model.tau_m, model.tau_s]), np.zeros(X.shape[1]), np.zeros(2)
    fewest = len(y) + 1
    for _ in range(model.n_epochs):
        n_errors = 0
        for i in rng.permutation(len(X)):
            on = np.isfinite(X[i])
            value, at = slow_peak(X[i][on], w[on], *taus)
            if (value >= 1) == y[i]:
                continue
            n_errors += 1
            step = model.lr if y[i] else -model.lr
            change *= model.momentum
            change[on] += step * shape(at - X[i][on], *taus)
            if model.learn_tau:
                turn *= model.momentum
                for j in range(2):
                    ends = []
                    for sign in (1, -1):
                        moved = taus.copy()
                        moved[j] *= np.exp(sign * 1e-5)
                        ends.append(np.sum(w[on] * shape(at - X[i][on], *moved)))
                    turn[j] += step * (ends[0] - ends[1]) / 2e-5
                taus = taus * np.exp(turn)
                taus[1] = min(taus[1], 0.9 * taus[0])
            w = w + change
        if n_errors < fewest:
            fewest, kept = n_errors, (w.copy(), taus.copy())
        if n_errors == 0:
            break
    return *kept, fewest


def patterns(n: int, n_inputs: int, seed: int, missing: float = 0.0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    X = rng.uniform(0.0, 500.0, (n, n_inputs))
    X[rng.random(X.shape) < missing] = np.nan
    return X, rng.integers(0, 2, n) == 1


def with_weights(weights: Any, **options: Any) -> Tempotron:
    """A fitted model with weights of our choice."""
    X = np.full((2, len(weights)), np.nan)
    X[1] = 0.0
    model = Tempotron(**options).fit(X, [False, True])
    model.weights_ = np.array([weights], dtype=np.float64)
    return model


def test_one_spike_by_hand() -> None:
    # tau_m = 4 tau_s: the kernel peaks after 15 * 3.75 / 11.25 * ln 4 = 5 ln 4 = 6.93 ms, at 1.
    model = with_weights([0.7, 1.5])
    X = np.array([[10.0, np.nan], [np.inf, 20.0], [np.nan, np.nan]])
    assert model.decision_function(X).tolist() == pytest.approx([0.7, 1.5, 0.0], abs=1e-14)
    assert model.peak_time(X)[:2].tolist() == pytest.approx(
        [10 + 5 * np.log(4), 20 + 5 * np.log(4)]
    )
    assert model.predict(X).tolist() == [False, True, False]
    # Inhibition never raises the potential above rest.
    assert with_weights([-1.0, -2.0]).decision_function(np.array([[3.0, 5.0]])).tolist() == [0.0]
    # Both at once add up; the scale is 4 ** (4 / 3) / 3.
    assert model.decision_function([[5.0, 5.0]]).tolist() == pytest.approx([2.2])
    assert shape(3.0, *TAUS) == pytest.approx(4 ** (4 / 3) / 3 * (np.exp(-0.2) - np.exp(-0.8)))


@given(seed=st.integers(0, 10_000), n_inputs=st.integers(1, 12), span=st.floats(0.1, 300.0))
@settings(max_examples=60, deadline=None)
def test_peak_is_that_of_a_fine_grid(seed: int, n_inputs: int, span: float) -> None:
    rng = np.random.default_rng(seed)
    model = with_weights(rng.normal(0.0, 1.0, n_inputs))
    X = rng.uniform(0.0, span, (3, n_inputs))
    X[0] = np.round(X[0])  # ties
    value, when = model.decision_function(X), model.peak_time(X)
    w = model.weights_[0]
    for i in range(3):
        grid = np.linspace(0.0, span + 60.0, 4001)
        course = shape(grid[:, None] - X[i], *TAUS) @ w
        assert value[i] >= course.max() - 1e-12
        reach = np.abs(w).sum() * 0.3 * (grid[1] - grid[0])
        assert value[i] <= max(course.max(), 0.0) + reach
        expected, at = slow_peak(X[i], w, *TAUS)
        assert value[i] == pytest.approx(max(expected, 0.0), abs=1e-12)
        assert np.sum(w * shape(when[i] - X[i], *TAUS)) == pytest.approx(expected, abs=1e-12)
        assert when[i] == pytest.approx(at, abs=1e-6) or expected < 1e-9


@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.filterwarnings("ignore:Tempotron.fit")  # errors may be left; the twin has as many
def test_weights_and_decisions_of_a_slow_loop(missing: float) -> None:
    X, y = patterns(30, 40, 1, missing)
    model = Tempotron(n_epochs=60, random_state=3).fit(X, y)
    w, taus, n_errors = slow_fit(X, y, model)
    np.testing.assert_allclose(model.weights_[0], w, rtol=0, atol=1e-12)
    assert model.n_errors_.tolist() == [n_errors]
    assert model.taus_[0].tolist() == taus.tolist() == [15.0, 3.75]
    fresh = patterns(200, 40, 2, missing)[0]
    on = [np.isfinite(row) for row in fresh]
    expected = [slow_peak(row[k], w[k], *TAUS)[0] >= 1 for row, k in zip(fresh, on, strict=True)]
    assert model.predict(fresh).tolist() == expected
    assert 0 < np.mean(expected) < 1


def test_time_constants_follow_the_gradient() -> None:
    X, y = patterns(20, 15, 4)
    model = Tempotron(n_epochs=15, lr=2e-3, learn_tau=True)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    w, taus, n_errors = slow_fit(X, y, model)
    np.testing.assert_allclose(model.taus_[0], taus, rtol=1e-6)
    np.testing.assert_allclose(model.weights_[0], w, atol=1e-6)
    assert model.n_errors_.tolist() == [n_errors]
    assert np.abs(np.log(taus / TAUS)).min() > 1e-3


def test_learnt_time_constants_stay_in_bounds() -> None:
    X, y = patterns(300, 5, 5)
    model = Tempotron(n_epochs=20, lr=0.5, learn_tau=True)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    tau_m, tau_s = model.taus_[0]
    assert 1.5 <= tau_m <= 150.0
    assert 0.375 <= tau_s <= min(37.5, 0.9 * tau_m)


def test_capacity_is_near_three_patterns_for_each_input() -> None:
    for load in (0.5, 1.5):
        X, y = patterns(int(100 * load), 100, 0)
        model = Tempotron(n_epochs=200).fit(X, y)
        assert model.score(X, y) == 1.0
    X, y = patterns(500, 100, 0)
    with pytest.warns(ConvergenceWarning, match="of 500 patterns were wrong in the best of 50"):
        model = Tempotron(n_epochs=50).fit(X, y)
    assert model.score(X, y) < 1.0


def test_events_are_latencies() -> None:
    X, y = patterns(12, 20, 6)
    X = np.round(X, 3)
    trial, unit = np.indices(X.shape)
    order = np.lexsort((X.ravel(), trial.ravel()))
    events = Events.from_times(
        X.ravel()[order] / 1e3, unit.ravel()[order], trial=trial.ravel()[order], stop=0.6
    )
    one, two = Tempotron().fit(X, y), Tempotron().fit(events, y)
    np.testing.assert_allclose(one.weights_, two.weights_, atol=1e-9)
    np.testing.assert_allclose(one.decision_function(X), two.decision_function(events), atol=1e-9)
    # A unit that fires twice counts twice, and a trial without events stays at rest.
    twice = Events([0, 0], [0, 0], trial=[1, 1], n_units=20, n_trials=2, tick=1e-3)
    w = max(2 * two.weights_[0, 0], 0.0)
    assert two.decision_function(twice).tolist() == pytest.approx([0.0, w])
    with pytest.raises(ActivityError, match="events must have the 20 units of fit; got 3"):
        two.predict(Events([0], [0], trial=[0], n_units=3))


def test_several_classes_have_a_cell_each() -> None:
    rng = np.random.default_rng(0)
    centre = rng.uniform(0.0, 100.0, (3, 30))
    y = np.repeat(["a", "b", "c"], 20)
    X = np.repeat(centre, 20, axis=0) + rng.normal(0.0, 1.0, (60, 30))
    model = Tempotron().fit(X, y)
    assert model.weights_.shape == (3, 30)
    assert model.score(X, y) == 1.0
    value = model.decision_function(X)
    assert value.shape == (60, 3)
    assert ((value >= 1.0) == (y[:, None] == model.classes_)).all()


@given(seed=st.integers(0, 10_000), n_cells=st.sampled_from([1, 3]), spread=st.floats(0.05, 2.0))
@settings(max_examples=60, deadline=None)
def test_decisions_are_those_of_the_peaks(seed: int, n_cells: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    model = with_weights(rng.normal(0.0, spread, 9))
    if n_cells > 1:
        model.classes_ = np.array(["a", "b", "c"])
        model.weights_ = rng.normal(0.0, spread, (3, 9))
        model.weights_[2] = model.weights_[seed % 2]  # ties
        model.taus_ = np.array([TAUS, TAUS, (30.0, 5.0) if seed % 3 else TAUS])
    X = rng.uniform(0.0, 80.0, (40, 9))
    X[rng.random(X.shape) < 0.3] = np.nan
    X[5] = np.nan
    value = model.decision_function(X)
    expected = (value >= 1.0).astype(int) if n_cells == 1 else value.argmax(axis=1)
    np.testing.assert_array_equal(model.predict(X), model.classes_[expected])


def test_a_peak_of_exactly_the_threshold_fires() -> None:
    X = np.linspace(0.0, 50.0, 200)[:, None]
    for w in (1.0, np.nextafter(1.0, 0.0), np.nextafter(1.0, 2.0)):
        model = with_weights([w])
        expected = model.decision_function(X) >= 1.0
        np.testing.assert_array_equal(model.predict(X), expected)


@pytest.mark.filterwarnings("ignore:Tempotron.fit")  # random labels
def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = patterns(60, 20, 8, 0.5)
    model = Tempotron(n_epochs=30).fit(X, y + (X[:, 0] > 200.0))
    whole = model.decision_function(X), model.peak_time(X), model.predict(X)
    for few in (1, 100):
        monkeypatch.setattr("activome.networks.tempotron._AT_ONCE", few)
        parts = model.decision_function(X), model.peak_time(X), model.predict(X)
        for part, one in zip(parts, whole, strict=True):
            np.testing.assert_array_equal(part, one)


def test_a_shift_in_time_changes_nothing() -> None:
    X, y = patterns(20, 30, 7)
    model = Tempotron().fit(X, y)
    moved = model.decision_function(X + 1000.0)
    np.testing.assert_allclose(moved, model.decision_function(X), atol=1e-10)


def test_refusals() -> None:
    X, y = patterns(10, 5, 0)
    with pytest.raises(ParameterError, match="tau_s must be below tau_m; got 20 and 15 ms"):
        Tempotron(tau_s=20.0).fit(X, y)
    wrong: tuple[tuple[str, Any], ...] = (
        ("lr", 0.0),
        ("momentum", 1.0),
        ("n_epochs", 0),
        ("tau_m", -1.0),
    )
    for name, value in wrong:
        with pytest.raises(ParameterError, match=name):
            Tempotron(**{name: value}).fit(X, y)
    with pytest.raises(ActivityError, match="at least two classes; got 1 class"):
        Tempotron().fit(X, np.zeros(10))
    for labels, said in (
        (np.where(y, np.nan, 1.0), "Input y contains NaN"),
        (X[:, 0], "Unknown label type: continuous"),
        (np.stack([y, y], axis=1), "y should be a 1d array"),
    ):
        with pytest.raises(ActivityError, match=f"^Tempotron.fit: {said}"):
            Tempotron().fit(X, labels)
    X[3, 2] = -np.inf
    with pytest.raises(ActivityError, match="minus infinity; 1 of 50 are, the first at sample 3"):
        Tempotron().fit(X, y)
    with pytest.raises(ActivityError, match="y must have one entry per sample"):
        Tempotron().fit(X, y[:4])
