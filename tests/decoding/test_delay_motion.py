"""Motion read from event streams: learning, labels, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from activome.activity.events import Events
from activome.decoding.delay_motion import DelayMotionClassifier
from activome.errors import ActivityError, ActivityWarning, ParameterError


def bars(n: int = 24, seed: int = 0) -> tuple[Any, Any]:
    """Bars of either contrast that go right in odd movies and left in even ones."""
    rng = np.random.default_rng(seed)
    X, y = np.zeros((n, 2, 14, 9, 9), bool), np.arange(n)[:, None] % 2 + np.zeros((n, 14), int)
    start, sign = rng.integers(9, size=n), rng.integers(2, size=n)
    for k in range(n):
        for t in range(14):
            X[k, sign[k], t, :, (start[k] + (t if k % 2 else -t)) % 9] = True
    return X, y


def fitted(**options: Any) -> DelayMotionClassifier:
    return DelayMotionClassifier(3, 5, 2, **{"lr": 0.05, "n_epochs": 5, **options}).fit(*bars())


@pytest.mark.parametrize("loss", ["readout", "voxel"])
def test_learns_motion_and_keeps_the_best(loss: str) -> None:
    model = fitted(loss=loss)
    X, y = bars(seed=1)
    assert model.score(X, y) > 0.95
    assert model.learning_curve_.shape == (6,)
    assert model.classes_.tolist() == [0, 1]
    model.layer_.weight.data = model.layer_.weight.data.flip(2)
    assert model.score(X, y) < 0.2


def test_outputs_and_repeats() -> None:
    model, (X, y) = fitted(), bars(8, seed=2)
    chance = model.predict_proba(X)
    assert chance.shape == (8, 14, 2)
    np.testing.assert_allclose(chance.sum(axis=2), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(chance.argmax(axis=2), model.predict(X))
    assert model.flow(X).shape == (8, 14, 3, 3)
    spikes = model.spikes(X, rate=50.0)
    assert spikes.shape == (8, 2, 14, 3, 3)
    assert spikes.mean() == pytest.approx(0.05, abs=0.01)
    again = clone(model).fit(*bars())
    np.testing.assert_array_equal(again.predict_proba(X), chance)
    assert model.score(X, y, skip=0) <= 1.0


def test_events_are_movies() -> None:
    model, (X, _) = fitted(), bars(4, seed=2)
    k, p, t, row, column = np.nonzero(X)
    order = np.lexsort((t, k))
    k, p, t, row, column = (a[order] for a in (k, p, t, row, column))
    events = Events(
        t * 1000,
        row * 9 + column,
        x=column,
        y=row,
        p=2 * p - 1,
        trial=k,
        shape=(9, 9),
        t_stop=14_000,
    )
    np.testing.assert_array_equal(model.predict(events), model.predict(X))


def test_refusals() -> None:
    X, y = bars(4)
    with pytest.raises(ActivityError, match="movies must have shape"):
        DelayMotionClassifier().fit(X[0], y)
    with pytest.raises(ActivityError, match="hold 0 and 1 alone"):
        DelayMotionClassifier().fit(np.where(X, np.nan, 0.0), y)
    with pytest.raises(ActivityError, match="y must hold a class"):
        DelayMotionClassifier().fit(X, y[:, :-1])
    with pytest.raises(ActivityError, match="more bins than delays"):
        DelayMotionClassifier(20).fit(X, y)
    with pytest.raises(ParameterError, match="loss"):
        DelayMotionClassifier(loss="hinge").fit(X, y)
    with pytest.raises(ParameterError, match="stride"):
        DelayMotionClassifier(3, 5, 0).fit(X, y)
    with pytest.warns(ActivityWarning, match=r"absent are \[0\]"):
        DelayMotionClassifier(3, 5, 2, n_epochs=1).fit(X, np.ones_like(y))


def test_a_score_without_bins_is_refused() -> None:
    X, y = np.zeros((3, 2, 6, 9, 9), bool), np.arange(18).reshape(3, 6) % 2
    model = DelayMotionClassifier(3, 5, 2, n_epochs=1).fit(X, y)
    with pytest.raises(ActivityError, match="3 of 3 are skipped"):
        model.score(X[:, :, :3], y[:, :3])
    with pytest.raises(ActivityError, match="6 of 6 are skipped"):
        model.score(X, y, skip=6)
    with pytest.raises(ParameterError, match="skip must be an integer"):
        model.score(X, y, skip=-2)
    assert 0 <= model.score(X, y, skip=5) <= 1


def test_other_shapes_than_in_fit_and_the_order_of_movies() -> None:
    rng = np.random.default_rng(4)
    X, y = rng.random((20, 2, 7, 9, 13)) < 0.2, rng.integers(3, size=(20, 7))
    model = DelayMotionClassifier(2, 3, 2, n_epochs=2).fit(X, y)
    order = rng.permutation(20)
    np.testing.assert_array_equal(model.predict(X[order]), model.predict(X)[order])
    other = rng.random((2, 2, 11, 4, 21)) < 0.3
    rows, columns = model.layer_.places((4, 21))
    assert model.predict(other).shape == (2, 11)
    assert model.flow(other).shape == (2, 11, rows.size, columns.size)
    np.testing.assert_allclose(model.predict_proba(other).sum(axis=2), 1.0, rtol=1e-5)
    with pytest.raises(ActivityError, match="must fit into the frame"):
        model.predict(other[:, :, :, :2])
