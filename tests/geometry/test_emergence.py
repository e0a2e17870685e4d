"""Emergence curves: planted ones, the closed form of the peak, the plain fit, refusals."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import OptimizeWarning, curve_fit
from sklearn.base import clone

from activome.activity.persist import load_estimator, save_estimator
from activome.errors import ActivityError, ActivityWarning, ParameterError
from activome.geometry.curve_prediction import predict_curve_params
from activome.geometry.emergence import EmergenceCurve

Array = np.ndarray[Any, Any]
STEPS = np.linspace(0, 143_000, 40)


def curve(t: Any, a: float, lam: float, gamma: float, t0: float, k: float) -> Array:
    """Return the curve as it is written."""
    x = gamma * np.asarray(t, dtype=np.float64) + t0
    found: Array = a * np.exp(-lam * x) * np.log(x) + k
    return found


def draw(seed: int) -> tuple[float, ...]:
    """Return parameters of a curve."""
    rng = np.random.default_rng(seed)
    return (
        rng.uniform(50, 3000),
        10 ** rng.uniform(-2.5, -0.5),
        10 ** rng.uniform(-4.5, -3),
        rng.uniform(1, 3),
        rng.uniform(5, 300),
    )


@pytest.mark.parametrize("seed", range(8))
def test_planted_curves_and_the_closed_form_of_the_peak(seed: int) -> None:
    a, lam, gamma, t0, k = draw(seed)
    y = curve(STEPS, a, lam, gamma, t0, k)
    fit = EmergenceCurve().fit(STEPS, y)
    assert fit.r2_ > 0.999999
    np.testing.assert_allclose(fit.predict(STEPS), y, atol=1e-3 * np.ptp(y))
    named = curve(STEPS, fit.A_, fit.lam_, fit.gamma_, fit.t0_, fit.K_)
    np.testing.assert_allclose(named, fit.predict(STEPS), atol=1e-6 * np.ptp(y))
    grid = np.linspace(0, STEPS[-1], 400_001)
    top = grid[np.argmax(fit.predict(grid))]
    if 0 < top < grid[-1]:
        assert fit.peak() == pytest.approx(top, abs=grid[1])
    else:
        assert np.isnan(fit.peak())


def test_parameters_come_back_where_they_are_identified() -> None:
    truth = (300.0, 0.2, 0.02, 1.5, 10.0)
    t = np.linspace(0, 1000, 60)
    fit = EmergenceCurve().fit(t, curve(t, *truth))
    found = (fit.A_, fit.lam_, fit.gamma_, fit.t0_, fit.K_)
    np.testing.assert_allclose(found, truth, rtol=1e-4)
    # x log x = 1 / lam = 5: x = 3.7687, so the peak is at (3.7687 - 1.5) / 0.02.
    assert fit.peak() == pytest.approx(113.43, abs=0.02)
    assert fit.rate_ == pytest.approx(0.2 * 0.02, rel=1e-4)
    assert fit.offset_ == pytest.approx(1.5 / 0.02, rel=1e-4)


def test_not_worse_than_the_plain_fit() -> None:
    rng = np.random.default_rng(0)
    for seed in range(5):
        clean = curve(STEPS, *draw(seed))
        y = clean + 0.02 * np.ptp(clean) * rng.normal(size=len(clean))
        ours = EmergenceCurve().fit(STEPS, y)
        start = (np.ptp(y), 1 / STEPS.std(), 1 / np.ptp(STEPS), 1.0, y.min() + np.ptp(y) / 2)
        low, high = (-np.inf, 0, 1e-9, 1e-6, -np.inf), (np.inf, 50, 1, 50, np.inf)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)
            try:
                found, _ = curve_fit(curve, STEPS, y, start, bounds=(low, high), max_nfev=4000)
            except RuntimeError:
                continue
        error = ((y - curve(STEPS, *found)) ** 2).sum()
        assert ours.r2_ > 1 - error / ((y - y.mean()) ** 2).sum() - 0.002
        assert ours.r2_ > 0.98


def test_a_logarithm_has_no_peak_and_time_has_no_unit() -> None:
    t = np.linspace(0, 500, 30)
    y = 4 * np.log(0.05 * t + 1) + 2
    fit = EmergenceCurve().fit(t, y)
    assert fit.r2_ > 0.9999
    assert np.isnan(fit.peak())
    assert fit.rate_ * 500 < 0.05
    truth = curve(t, 300.0, 0.2, 0.02, 1.5, 10.0)
    one, other = EmergenceCurve().fit(t, truth), EmergenceCurve().fit(60 * t, 3 * truth + 5)
    assert other.peak() == pytest.approx(60 * one.peak(), rel=1e-4)
    np.testing.assert_allclose((other.A_, other.lam_), (3 * one.A_, one.lam_), rtol=1e-3)
    assert other.score(60 * t[:, None], 3 * truth + 5) == pytest.approx(other.r2_)


def test_aic_by_hand_saved_and_cloned(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    t = np.arange(12.0)
    y = np.log1p(t) + 0.1 * rng.normal(size=12)
    fit = EmergenceCurve(n_starts=3).fit(t, y)
    sse = ((y - fit.predict(t)) ** 2).sum()
    assert fit.aic_ == pytest.approx(12 * np.log(sse / 12) + 10)
    save_estimator(fit, tmp_path / "curve.npz")
    again: Any = load_estimator(tmp_path / "curve.npz")
    np.testing.assert_array_equal(again.predict(t), fit.predict(t))
    assert clone(fit).get_params() == {"n_starts": 3, "lam_min": 1e-9}


def test_refuses() -> None:
    t = np.arange(10.0)
    for bad_t, bad_y, message in (
        (t[:7], t[:7], "at least 8 times"),
        (t, t[:9], r"shapes \(10,\) and \(9,\)"),
        (t[::-1], t, "times must increase"),
        (np.r_[t[:9], 8.0], t, "the one at place 9 is 8"),
        (t - 1, t, "the one at place 0 is -1"),
        (t, np.where(t == 3, np.nan, t), "values must be finite.*time 3"),
    ):
        with pytest.raises(ActivityError, match=message):
            EmergenceCurve().fit(bad_t, bad_y)
    with pytest.raises(ParameterError, match="n_starts"):
        EmergenceCurve(n_starts=0).fit(t, t)
    with pytest.warns(ActivityWarning, match="constant"):
        flat = EmergenceCurve().fit(t, np.full(10, 3.0))
    assert np.isnan(flat.r2_)
    np.testing.assert_allclose(flat.predict(t), 3.0)


def layers() -> pd.DataFrame:
    """Return layers of six networks."""
    grid = [
        (layer, depth, heads, width, 4.0)
        for depth in (4, 6, 8)
        for heads, width in ((2, 32), (4, 128))
        for layer in range(depth)
    ]
    names = ["layer", "n_layers", "n_heads", "d_model", "mlp_ratio"]
    return pd.DataFrame(grid, columns=names)


@pytest.mark.parametrize("model", ["forest", "boosting", "ridge", "lasso"])
def test_predicts_parameters_that_follow_from_the_architecture(model: str) -> None:
    table = layers()
    share = (table.layer + 1) / table.n_layers
    params = pd.DataFrame({"K": 5 + 3 * share + np.log(table.d_model), "lam": np.exp(share)})
    noise = pd.DataFrame({"gamma": np.random.default_rng(0).exponential(size=len(table))})
    found = predict_curve_params(table, params.join(noise), model=model)
    assert found.r2["K"] > 0.9
    assert found.r2["lam"] > 0.9
    assert found.r2["gamma"] < 0.3
    assert list(found.predict(table.head(3)).columns) == ["K", "lam", "gamma"]
    names = table.n_layers * 1000 + table.d_model
    apart = predict_curve_params(table, params[["K"]], model=model, groups=names)
    assert apart.r2["K"] < found.r2["K"]
    assert len(apart.held_out) == len(table)


def test_prediction_refuses() -> None:
    table = layers()
    level = pd.DataFrame({"K": np.ones(len(table))})
    for bad, params, message in (
        (table.drop(columns="n_heads"), level, "n_heads is missing"),
        (table, level[:5], "at least 10 rows"),
        (table, pd.DataFrame({"lam": -np.ones(len(table))}), "lam must not be below 0; row 0"),
        (table, level * np.nan, "parameter K must be finite"),
    ):
        with pytest.raises(ActivityError, match=message):
            predict_curve_params(bad, params)
    with pytest.raises(ActivityError, match="at least two kinds"):
        predict_curve_params(table, level, groups=np.zeros(len(table)))
    with pytest.raises(ParameterError, match="Did you mean 'forest'"):
        predict_curve_params(table, level, model="forrest")
