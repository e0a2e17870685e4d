"""The study of learnable constants and complexity: its data, and its smoke size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from activome.studies._meta_neuron_lzc_data import (
    SOURCES,
    digit_latencies,
    latency_raster,
    rate_task,
    source,
    timing_task,
)
from activome.studies.runner import run_study


def test_classes_have_one_rate_and_another_timing() -> None:
    X, y, *_ = timing_task(0, n=2000)
    counts = X.sum(axis=(1, 2))
    # 128 spikes a trial; the mean of 1000 trials is within 4 standard errors of it.
    error = 4 * counts.std() / np.sqrt(1000)
    assert X.shape == (2000, 100, 16)
    for k in range(2):
        assert counts[y == k].mean() == pytest.approx(128.0, abs=error)
    # At every phase bursts are fifty steps of a hundred.
    assert set(X[y == 1].any(axis=2).sum(axis=1)) <= set(range(30, 51))
    rate, label, *_ = rate_task(0, n=2000)
    means = [1e3 * rate[label == k].mean() for k in range(2)]
    assert means == pytest.approx([30.0, 36.0], abs=0.6)


def test_latencies_and_their_raster() -> None:
    X, y, fresh, truth = digit_latencies((3, 8), 0)
    assert X.shape[1] == 64
    assert set(y) == set(truth) == {3, 8}
    assert not set(map(bytes, np.nan_to_num(X))) & set(map(bytes, np.nan_to_num(fresh)))
    assert np.nanmin(X) == 0.0
    assert np.nanmax(X) == 50.0 * 15 / 16
    raster = latency_raster(X)
    assert np.array_equal(raster.sum(axis=1), np.isfinite(X))
    when = raster.argmax(axis=1)[np.isfinite(X)]
    assert np.array_equal(when, np.floor(X[np.isfinite(X)]))


def test_sources_have_the_entropy_they_tell() -> None:
    assert source("coin of 0.5", 10, 0)[1] == 1.0
    assert source("Markov (0.1, 0.3)", 10, 0)[1] == pytest.approx(0.572, abs=5e-4)
    for name, (up, down) in SOURCES.items():
        x, _ = source(name, 20_000, 0)
        assert x.mean() == pytest.approx(up / (up + down), abs=0.03)
        assert np.mean(x[1:][x[:-1] == 0]) == pytest.approx(up, abs=0.03)


def test_smoke_runs_and_draws(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    result = run_study("meta-neuron-lzc", "smoke", folder=tmp_path)
    assert all(claim.holds for claim in result.claims), result.claims
    assert result.figure is not None
    assert result.figure.stat().st_size > 10_000
