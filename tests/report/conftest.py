"""Small recordings and settings that the tests of the report share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from activome.activity.events import Events
from activome.activity.schema import Activity, make
from activome.report.settings import ReportSettings


@pytest.fixture
def quick() -> ReportSettings:
    """Return settings that keep a report under a few seconds."""
    return ReportSettings(n_surrogates=19, alpha=0.05, max_samples=800, max_components=3)


@pytest.fixture
def continuous() -> Activity:
    """Return two ensembles of units, driven by a label of times, with an idle unit among them."""
    rng = np.random.default_rng(0)
    n = 600
    drive = np.repeat(rng.normal(size=(n // 10, 2)), 10, axis=0)
    values = np.repeat(drive, [6, 5], axis=1) + rng.normal(size=(n, 11))
    values = np.column_stack([values, np.full(n, 3.0)])
    state = np.where(drive[:, 0] > 0, "up", "down")
    coords: dict[str, Any] = {
        "speed": ("time", drive[:, 1]),
        "state": ("time", state),
        "stamp": ("time", np.arange(n) * 0.1),
        "word": ("time", [f"w{k}" for k in range(n)]),
    }
    return make(values, sampling_rate=10.0, coords=coords, kind="rate", units="Hz", name="two")


@pytest.fixture
def trials() -> Activity:
    """Return trials of four conditions, each with a pattern of its own."""
    rng = np.random.default_rng(1)
    condition = np.repeat(["a", "b", "c", "d"], 10)
    patterns = rng.normal(size=(4, 9))
    rate = np.exp(patterns[np.repeat(np.arange(4), 10)])[:, np.newaxis]
    counts = rng.poisson(np.broadcast_to(rate, (40, 12, 9))).astype(np.uint8)
    return make(
        counts, sampling_rate=50.0, coords={"condition": ("trial", condition)}, kind="spikes"
    )


@pytest.fixture
def events() -> Events:
    """Return Poisson spikes of eight units in 60 s."""
    rng = np.random.default_rng(2)
    return Events.from_unit_times(
        [np.sort(rng.uniform(0, 60, rng.poisson(60 * 8))) for _ in range(8)], start=0.0, stop=60.0
    )
