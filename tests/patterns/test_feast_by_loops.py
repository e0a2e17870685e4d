"""FEAST against the rules of its paper as loops over dictionaries, on sensors of other shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from activome.activity.events import Events
from activome.patterns.feast import FEAST

Array = np.ndarray[Any, Any]
pytestmark = pytest.mark.filterwarnings("ignore::activome.errors.ConvergenceWarning")


def context(seen: dict[Any, Any], now: float, here: Any, model: FEAST) -> Array:
    """Return the surroundings of an event as it sees them, of unit norm."""
    x, y, p = here
    side = range(-model.radius, model.radius + 1)
    found = np.zeros((len(side), len(side)))
    for v in side:
        for u in side:
            times = [(seen[q][y + v, x + u], q) for q in (0, 1) if (y + v, x + u) in seen[q]]
            if model.polarity == "separate":
                times = [pair for pair in times if pair[1] == p]
            if times:
                ((last, _), q) = max(times, key=lambda pair: pair[0][1])
                sign = -1.0 if model.polarity == "signed" and q != p else 1.0
                found[v + model.radius, u + model.radius] = sign * np.exp((last - now) / model.tau)
    flat = found.ravel()
    return flat / np.linalg.norm(flat)


def by_loops(events: Events, model: FEAST, w: Array, th: Array, learns: bool) -> Any:
    """Return labels, weights and thresholds, one event after the other."""
    w, th, labels = w.copy(), th.copy(), []
    assert events.shape is not None
    rows, columns = events.shape
    seen: dict[Any, Any] = {0: {}, 1: {}}
    trials = np.asarray(events.trial)
    tables = [np.asarray(column) for column in (events.x, events.y, events.p)]
    for k in range(events.n_events):
        if model.reset_between and k and trials[k] != trials[k - 1]:
            seen = {0: {}, 1: {}}
        x, y, p = here = tuple(int(table[k]) for table in tables)
        late = 0 if model.reset_between else int(trials[k]) * (events.t_stop - events.t_start)
        now = (int(events.t[k]) + late) * events.tick
        # The order of events of one time is kept: the later of two is the last.
        seen[p][y, x] = (now, k)
        margin = min(x, y, columns - 1 - x, rows - 1 - y)
        if model.border == "drop" and margin < model.radius:
            labels.append(-2)
            continue
        seen_at = context(seen, now, here, model)
        alike = w @ seen_at
        able = alike >= th if model.selection == "threshold" else np.ones(th.size, bool)
        winner = int(np.where(able, alike, -np.inf).argmax()) if able.any() else -1
        labels.append(winner)
        if not learns:
            continue
        if winner < 0:
            th -= model.threshold_open
        else:
            w[winner] += model.eta * (seen_at - w[winner])
            w[winner] /= np.linalg.norm(w[winner])
            th[winner] += model.threshold_close if model.selection == "threshold" else 0.0
        th = np.clip(th, 0.0, 1.0) if model.clip else th
    return labels, w, th


@pytest.mark.parametrize(
    ("shape", "radius", "tick", "span", "options"),
    [
        ((5, 17), 2, 1e-6, 10**5, {"tau": 0.03, "polarity": "signed", "border": "zero"}),
        ((19, 4), 1, 1e-3, 50, {"tau": 1e-3, "polarity": "merge", "reset_between": False}),
        ((7, 9), 3, 1e-9, 1000, {"tau": 1e3, "eta": 1.0, "clip": True}),
        ((3, 8), 0, 1e-6, 40, {"tau": 1e-6, "border": "zero"}),
        ((6, 11), 1, 1e-6, 1000, {"tau": 1e-4, "selection": "best", "polarity": "signed"}),
    ],
)
def test_labels_weights_and_thresholds(
    shape: tuple[int, int], radius: int, tick: float, span: int, options: dict[str, Any]
) -> None:
    rng = np.random.default_rng(radius + span)
    n = 500
    trial = np.sort(rng.integers(0, 3, n))
    # Many events share a time.
    t = rng.integers(0, span, n)
    t = t[np.lexsort((t, trial))]
    y, x = rng.integers(shape[0], size=n), rng.integers(shape[1], size=n)
    events = Events(
        t, y * shape[1] + x, x=x, y=y, p=rng.integers(2, size=n), trial=trial, n_trials=3,
        tick=tick, t_start=0, t_stop=span, shape=shape, n_units=shape[0] * shape[1],
    )  # fmt: skip
    model = FEAST(
        5, radius, threshold_open=0.05, threshold_close=0.02, block=37, random_state=3, **options
    )
    found = np.asarray(model.fit_transform(events).feature)
    generator = np.random.default_rng(3)
    start = generator.random((5, (2 * radius + 1) ** 2))
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    labels, weights, thresholds = by_loops(events, model, start, generator.random(5), True)
    assert found.tolist() == labels
    np.testing.assert_allclose(model.weights_, weights, atol=1e-9)
    np.testing.assert_allclose(model.thresholds_, thresholds, atol=1e-9)
    frozen = by_loops(events, model, model.weights_, model.thresholds_, False)[0]
    assert model.predict(events).tolist() == frozen
