"""FEAST: numbers by hand, against a slow twin, its law, and its refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from activome.activity.events import Events
from activome.activity.persist import load_estimator, save_estimator
from activome.activity.schema import make
from activome.errors import ActivityError, ConvergenceWarning, ParameterError
from activome.patterns.feast import FEAST
from activome.patterns.feature_histogram import FeatureHistogram
from activome.patterns.time_surface import event_contexts, time_surface

few = pytest.mark.filterwarnings("ignore::activome.errors.ConvergenceWarning")


def random_events(n: int = 4000, side: int = 9, n_trials: int = 3, seed: int = 0) -> Events:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(side, size=(2, n))
    t = np.sort(rng.integers(0, 60_000, (n_trials, n // n_trials + 1)), axis=1).ravel()[:n]
    trial = np.repeat(np.arange(n_trials), n // n_trials + 1)[:n]
    p = rng.integers(2, size=n)
    return Events(t, y * side + x, x=x, y=y, p=p, trial=trial, shape=(side, side))


def slow_twin(model: FEAST, events: Events, weights: Any, thresholds: Any) -> Any:
    """Steps 1 to 5 in plain numpy; give labels, weights and thresholds."""
    w, theta = weights.copy(), thresholds.copy()
    r = model.radius
    rows, columns = events.shape or (0, 0)
    labels = []
    trial = np.zeros(len(events), int) if events.trial is None else events.trial
    assert events.x is not None
    assert events.y is not None
    assert events.p is not None
    for e in range(len(events)):
        if e == 0 or trial[e] != trial[e - 1]:
            last = np.full((2, rows + 2 * r, columns + 2 * r), -np.inf)
        x, y = int(events.x[e]), int(events.y[e])
        plane = int(events.p[e] > 0) if model.polarity == "separate" else 0
        last[plane, y + r, x + r] = events.t[e] * events.tick
        inside = r <= x < columns - r and r <= y < rows - r
        if not inside and model.border == "drop":
            labels.append(-2)
            continue
        patch = last[plane, y : y + 2 * r + 1, x : x + 2 * r + 1]
        context = np.exp((patch - events.t[e] * events.tick) / model.tau).ravel()
        context /= np.linalg.norm(context)
        like = w @ context
        eligible = np.flatnonzero(like >= theta)
        if eligible.size:
            k = int(eligible[np.argmax(like[eligible])])
            w[k] += model.eta * (context - w[k])
            w[k] /= np.linalg.norm(w[k])
            theta[k] += model.threshold_close
            labels.append(k)
        else:
            theta -= model.threshold_open
            labels.append(-1)
    return np.array(labels), w, theta


@few
@pytest.mark.parametrize("border", ["drop", "zero"])
@pytest.mark.parametrize("polarity", ["separate", "merge"])
def test_equals_the_slow_twin(border: str, polarity: str) -> None:
    events = random_events()
    options: dict[str, Any] = {"tau": 5e-3, "eta": 0.01, "border": border, "polarity": polarity}
    start = FEAST(6, 2, random_state=1, **options)
    rng = np.random.default_rng(1)
    weights = rng.random((6, 25))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    thresholds = rng.random(6)
    labels = start.fit_transform(events).feature
    wanted, w, theta = slow_twin(start, events, weights, thresholds)
    np.testing.assert_array_equal(labels, wanted)
    np.testing.assert_allclose(start.weights_, w, atol=1e-9)
    np.testing.assert_allclose(start.thresholds_, theta, atol=1e-12)
    assert start.activity_.sum() + start.missed_rate_ == pytest.approx(1.0)


def small(values: list[float], thresholds: list[float], **options: Any) -> FEAST:
    """Two features on 1 x 3 contexts seen in the middle of 3 x 3 patches."""
    model = FEAST(2, 1, tau=10e-3, border="zero", **options)
    events = Events([0], [0], x=[1], y=[1], p=[1], shape=(3, 3))
    with pytest.warns(ConvergenceWarning):
        model.fit(events)
    weights = np.zeros((2, 9))
    weights[0, 3:5] = values
    weights[1, 4] = 1.0
    model.weights_, model.thresholds_ = weights, np.array(thresholds)
    return model


def two() -> Events:
    """A left neighbour 10 ms before the centre."""
    return Events([0, 10_000], [3, 4], x=[0, 1], y=[1, 1], p=[1, 1], shape=(3, 3))


def test_context_by_hand() -> None:
    context = event_contexts(two(), [1], 1, 10e-3)[0]
    np.testing.assert_allclose(context[3:5], [0.34525, 0.93851], atol=1e-5)
    assert np.count_nonzero(context) == 2


@pytest.mark.parametrize(
    ("thresholds", "winner", "after"),
    [
        ([0.9, 0.1], 0, [0.901, 0.1]),
        ([1.1, 0.1], 1, [1.1, 0.101]),
        ([1.1, 1.2], -1, [1.097, 1.197]),
    ],
)
def test_selection_by_hand(thresholds: list[float], winner: int, after: list[float]) -> None:
    model = small([0.34525, 0.93851], thresholds, reset_between=False)
    events = two()
    model.thresholds_ = np.array([9.0, 9.0])
    first = events.between(0.0, 0.005)
    model.partial_fit(first)
    model.thresholds_ = np.array(thresholds)
    model.partial_fit(events.between(0.005, 0.02))
    np.testing.assert_allclose(model.thresholds_, after, atol=1e-12)
    won = model.won_ - (0 if winner < 0 else np.eye(2, dtype=int)[winner])
    assert won.min() >= 0


def test_winner_moves_half_way_on_the_circle() -> None:
    model = small([1.0, 0.0], [0.0, 2.0], eta=0.5)
    alone = Events([0], [4], x=[1], y=[1], p=[1], shape=(3, 3))
    model.partial_fit(alone)
    np.testing.assert_allclose(model.weights_[0, 3:5], [np.sqrt(0.5)] * 2)


@pytest.mark.parametrize("n_features", [2, 4, 8])
def test_missed_share_and_activity_settle_at_the_law(n_features: int) -> None:
    events = random_events(60_000, seed=3)
    model = FEAST(n_features, 2, tau=2e-3, random_state=0, block=20_000)
    label = model.fit_transform(events).feature
    wanted = 0.001 / (0.001 + n_features * 0.003)
    late = model.history_.sel(measure="missed_rate").values[1:].mean()
    assert late == pytest.approx(wanted, rel=0.08)
    assert model.equilibrium_missed_rate_ == pytest.approx(wanted)
    assert label is not None
    won = label[20_000:][label[20_000:] >= 0]
    share = np.bincount(won, minlength=n_features) / won.size
    np.testing.assert_allclose(share, 1 / n_features, rtol=0.1)


@few
def test_a_stream_in_pieces_gives_the_same_features() -> None:
    events = random_events(3000, n_trials=1).select(trials=[0])
    whole = FEAST(4, 2, tau=5e-3, reset_between=False, random_state=0).fit(events)
    pieces = FEAST(4, 2, tau=5e-3, reset_between=False, random_state=0)
    for start, stop in ((0.0, 0.02), (0.02, 0.06)):
        pieces.partial_fit(events.between(start, stop))
    np.testing.assert_array_equal(whole.weights_, pieces.weights_)
    np.testing.assert_array_equal(whole.thresholds_, pieces.thresholds_)
    assert whole.missed_rate_ == pieces.missed_rate_
    with pytest.raises(ActivityError, match="must not be before those of the last call"):
        pieces.partial_fit(events)


@few
def test_all_else_stays_and_learning_is_off_in_transform() -> None:
    events = random_events()
    model = FEAST(4, 2, random_state=0).fit(events)
    kept = model.weights_.copy()
    found = model.transform(events, similarity=True)
    np.testing.assert_array_equal(kept, model.weights_)
    np.testing.assert_array_equal(found.t, events.t)
    assert found.value is not None
    assert found.feature is not None
    assert found.value.max() <= 1 + 1e-6
    assert (found.value[found.feature == -2] == 0).all()
    np.testing.assert_array_equal(model.predict(events), found.feature)
    np.testing.assert_array_equal(clone(model).fit(events).weights_, kept)
    assert model.noise_features_().size <= 4
    assert model.quality_() > 0
    shares = np.stack(
        [
            np.bincount(label[label >= 0], minlength=4) / (label >= 0).sum()
            for label in np.split(found.feature, found.offsets[1:-1])
        ]
    )
    assert model.quality_(events) == pytest.approx(4 * shares.std(axis=0).mean())


@few
def test_file_keeps_the_features(tmp_path: Path) -> None:
    events = random_events(2000)
    model = FEAST(4, 2, random_state=0).fit(events)
    save_estimator(model, tmp_path / "feast.npz")
    again = load_estimator(tmp_path / "feast.npz")
    np.testing.assert_array_equal(again.predict(events), model.predict(events))
    np.testing.assert_array_equal(again.history_.values, model.history_.values)


@few
def test_a_raster_with_coords_is_a_stream() -> None:
    rng = np.random.default_rng(0)
    counts = (rng.random((2, 50, 25)) < 0.2).astype(int)
    x, y = np.tile(np.arange(5), 5), np.repeat(np.arange(5), 5)
    raster = make(counts, kind="spikes", sampling_rate=1000.0, coords={"x": ("unit", x)})
    raster = raster.assign_coords(y=("unit", y))
    model = FEAST(3, 1, random_state=0).fit(raster)
    events = Events.from_raster(raster)
    with_pixels = events.assign(x=x[events.unit], y=y[events.unit])
    np.testing.assert_array_equal(model.predict(raster), model.predict(with_pixels))


@few
def test_other_polarity_is_negative_when_signed() -> None:
    events = Events([0, 0], [3, 4], x=[0, 1], y=[1, 1], p=[-1, 1], shape=(3, 3))
    context = event_contexts(events, [1], 1, polarity="signed")[0]
    np.testing.assert_allclose(context[3:5], [-np.sqrt(0.5), np.sqrt(0.5)])
    merged = event_contexts(events, [1], 1, polarity="merge")[0]
    np.testing.assert_allclose(merged[3:5], [np.sqrt(0.5)] * 2)
    assert event_contexts(events, [1], 1)[0, 3] == 0


@few
def test_from_data_and_without_thresholds() -> None:
    events = random_events()
    started = FEAST(5, 2, init="data", random_state=0, n_passes=2).fit(events)
    assert np.linalg.norm(started.weights_, axis=1) == pytest.approx(np.ones(5))
    plain = FEAST(5, 2, selection="best", random_state=0).fit(events)
    assert plain.missed_rate_ == 0 == plain.equilibrium_missed_rate_
    assert not plain.converged_
    clipped = FEAST(5, 2, clip=True, random_state=0).fit(events)
    assert clipped.thresholds_.min() >= 0


def test_time_surface_equals_numpy() -> None:
    events = random_events(300, n_trials=1).select(trials=[0])
    times = np.array([0.0, 0.0101, 0.03])
    found = time_surface(events, times, 0.01)
    assert events.p is not None
    assert events.x is not None
    assert events.y is not None
    for k, t in enumerate(times):
        last = np.full((2, 9, 9), -np.inf)
        for e in np.flatnonzero(events.time <= t):
            last[events.p[e], events.y[e], events.x[e]] = events.time[e]
        np.testing.assert_allclose(found[k], np.exp((last - t) / 0.01), atol=1e-12)


def test_histogram_by_hand() -> None:
    seen = Events(
        [0, 1, 2, 0],
        [0, 1, 3, 3],
        trial=[0, 0, 0, 1],
        n_trials=3,
        x=[0, 1, 1, 1],
        y=[0, 0, 1, 1],
        p=[0, 1, 1, 0],
        feature=[0, 1, -2, 1],
    )
    rows = FeatureHistogram(2).fit_transform(seen)
    assert rows.shape == (3, 8)
    np.testing.assert_allclose(rows[0, [0, 5]], np.sqrt(0.5))
    np.testing.assert_allclose(rows.sum(axis=1), [np.sqrt(2), 1, 0])
    raw = FeatureHistogram(1, "none", norm="none", by="polarity").fit_transform(seen)
    assert raw.tolist() == [[1, 2], [1, 0], [0, 0]]
    with pytest.raises(ActivityError, match="features must be below 1"):
        FeatureHistogram(2, n_features=1).fit(seen).transform(seen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": 0.0}, "tau must be in"),
        ({"eta": 1.5}, "eta must be in"),
        ({"n_features": 0}, "n_features"),
        ({"polarity": "both"}, "polarity"),
        ({"threshold_open": -1.0}, "open must be in"),
        ({"clip": "yes"}, "clip must be True or False"),
    ],
)
def test_refuses_parameters(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        FEAST(**{"radius": 1, **options}).fit(random_events(100))


def test_refuses_events() -> None:
    good = random_events(100)
    with pytest.raises(ActivityError, match="must be Events"):
        FEAST().fit(np.zeros((3, 3)))
    with pytest.raises(ActivityError, match="must have pixels"):
        FEAST().fit(Events([0, 1], [0, 1]))
    with pytest.raises(ActivityError, match="at least one event"):
        FEAST().fit(Events([], [], x=[], y=[]))
    with pytest.raises(ActivityError, match="patch must fit on the sensor"):
        FEAST(radius=5).fit(good)
    with pytest.raises(ActivityError, match="p must hold 0 and 1"):
        FEAST(radius=1).fit(good.assign(p=np.arange(100) % 3))
    with pytest.raises(ActivityError, match="column feature"):
        FeatureHistogram().fit(good)
    with pytest.raises(ActivityError, match="must be of one trial"):
        time_surface(good, [0.0])
    with pytest.raises(ActivityError, match="index must increase"):
        event_contexts(good, [3, 2])
    with pytest.warns(ConvergenceWarning, match="events per feature"):
        model = FEAST(3, 1, random_state=0).fit(random_events(100, n_trials=1))
    with pytest.raises(ActivityError, match="at least two trials"):
        model.quality_()


def test_another_radius_is_refused_and_read_only_state_goes_on() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(9, size=(2, 400))
    events = Events(np.arange(400), y * 9 + x, x=x, y=y, p=rng.integers(2, size=400), shape=(9, 9))
    model = FEAST(1, radius=1, random_state=0)
    with pytest.warns(ConvergenceWarning):
        model.fit(events)
    expected = model.predict(events)
    model.weights_.flags.writeable = False  # as joblib gives it to a worker
    np.testing.assert_array_equal(model.predict(events), expected)
    going = FEAST(2, 1, reset_between=False, random_state=0)
    twin = FEAST(2, 1, reset_between=False, random_state=0)
    with pytest.warns(ConvergenceWarning):
        going.fit(events)
    twin.partial_fit(events)
    assert going.last_seen_ is not None
    for values in (*going.last_seen_, going.weights_, going.thresholds_):
        values.flags.writeable = False
    later = Events(events.t + 500, events.unit, x=x, y=y, p=events.p, shape=(9, 9))
    np.testing.assert_array_equal(
        going.partial_fit(later).weights_, twin.partial_fit(later).weights_
    )
    model.set_params(radius=2)
    for call in (model.transform, model.partial_fit, model.predict):
        with pytest.raises(ParameterError, match="radius must be that of fit, 1; got 2"):
            call(events)


def test_columns_of_a_histogram_have_names() -> None:
    seen = Events([0, 1, 2], [0, 1, 3], x=[0, 1, 1], y=[0, 0, 1], feature=[0, 1, -1])
    histogram = FeatureHistogram(2, norm="none").set_output(transform="pandas")
    found = histogram.fit_transform(seen)
    assert found.columns.tolist() == [f"featurehistogram{k}" for k in range(8)]
    assert found.to_numpy().tolist() == [[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]]
