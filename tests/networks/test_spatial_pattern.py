"""The detector of spatial patterns: numbers by hand, closed form against spikes, refusals."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from activome.errors import ActivityError, ConvergenceWarning, ParameterError
from activome.networks.pattern_confusion import pattern_confusion
from activome.networks.spatial_pattern import SpatialPatternDetector
from activome.networks.spiking.plasticity import PairSTDP

Array = np.ndarray[Any, Any]
FIVE = np.array([[1, 1, 1, 1, 1, 0, 0, 0]])


def every(n_lines: int) -> Array:
    return (np.arange(2**n_lines)[:, None] >> np.arange(n_lines) & 1).astype(bool)


def by_closed_form(patterns: Array, threshold: float, factor: float, cycles: int) -> Array:
    """Weights of one output, excitatory minus inhibitory, without a spike."""
    exc, inh = np.zeros(patterns.shape[1]), np.full(patterns.shape[1], threshold)
    for _ in range(cycles):
        for row in patterns.astype(bool):
            new = row & (exc == 0)
            exc[new] = threshold / row.sum() * np.exp(-2.0 / 20.0)
            inh[row] = 0.0
            exc[row] *= factor * threshold / exc[row].sum()
        if np.abs(factor * threshold / (patterns @ exc) - 1).max() < 1e-4:
            break
    return exc - inh


def test_worked_numbers() -> None:
    raw = SpatialPatternDetector(homeostasis=None).fit(FIVE)
    assert raw.drive_threshold_ == pytest.approx(3.1748, abs=5e-5)
    np.testing.assert_allclose(raw.w_exc_[:5, 0], 0.5745, atol=5e-5)
    detector = SpatialPatternDetector().fit(FIVE)
    np.testing.assert_allclose(detector.w_exc_[:5, 0], 0.66671, atol=5e-5)
    assert detector.w_exc_.sum() == pytest.approx(3.3336, abs=1e-4)
    np.testing.assert_array_equal(detector.w_inh_[:5, 0], 0.0)
    np.testing.assert_array_equal(detector.w_inh_[5:, 0], detector.drive_threshold_)
    assert len(detector.history_) == detector.n_iter_ == 1
    rows = np.array([[1] * 5 + [0] * 3, [1] * 4 + [0] * 4, [1] * 6 + [0] * 2])
    seen = detector.activity(rows)
    assert seen["v"].dims == ("trial", "time", "unit")
    assert seen["v"].values[1].max() == pytest.approx(8.4, abs=1e-9)
    assert seen["v"].values[2].max() == pytest.approx(0.5, abs=1e-9)
    assert seen["latency"].values[0, 0] < 9.3
    assert np.isnan(seen["latency"].values[1:]).all()


def test_the_factor_sets_how_many_lines_may_miss() -> None:
    detector = SpatialPatternDetector(homeostasis=1.3).fit(FIVE)
    rows = np.array([[1] * k + [0] * (8 - k) for k in range(6)])
    assert detector.predict(rows)[:, 0].tolist() == [False, False, False, False, True, True]


@pytest.mark.parametrize("factor", [1.0, 1.05, 1.3, 2.6])
@pytest.mark.parametrize("taus", [(20.0, 5.0), (10.0, 10.0)])
def test_spikes_and_closed_form_agree(factor: float, taus: tuple[float, float]) -> None:
    generator = np.random.default_rng(0)
    for _ in range(4):
        patterns = generator.random((1, 7)) < 0.5
        patterns[0, 0] = True
        detector = SpatialPatternDetector(homeostasis=factor, tau_m=taus[0], tau_syn=taus[1])
        detector.fit(patterns)
        weights = by_closed_form(patterns, detector.drive_threshold_, factor, 30)
        np.testing.assert_allclose(
            detector.w_exc_[:, 0] - detector.w_inh_[:, 0], weights, atol=1e-12
        )
        wanted = every(7) @ weights >= detector.drive_threshold_ * (1 - 1e-9)
        np.testing.assert_array_equal(detector.predict(every(7))[:, 0], wanted)


def test_several_patterns_on_one_output() -> None:
    patterns = np.array([[1, 1, 1, 1, 1, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 1, 1, 0, 0, 0]])
    detector = SpatialPatternDetector().fit(patterns)
    weights = by_closed_form(patterns, detector.drive_threshold_, 1.05, 30)
    np.testing.assert_allclose(detector.w_exc_[:, 0] - detector.w_inh_[:, 0], weights, atol=1e-12)
    found = pattern_confusion(detector, patterns)
    wanted = every(10) @ weights >= detector.drive_threshold_
    assert found["tp"] + found["fp"] == wanted.sum() > 2
    assert (found["recall"], found["fn"]) == (1.0, 0)
    assert sum(n for n, _ in found["by_distance"].values()) == 1024
    assert found["by_distance"][0] == (2, 2)


def test_one_output_per_pattern_is_ideal() -> None:
    patterns = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 0], [1, 0, 0, 0, 1, 1]])
    detector = SpatialPatternDetector(3).fit(patterns, [2, 0, 1])
    labels = detector.predict(every(6))
    assert (labels >= 0).sum() == 3
    assert detector.predict(patterns).tolist() == [2, 0, 1]
    assert pattern_confusion(detector, patterns)["accuracy"] == 1.0
    again = clone(detector).fit(xr.DataArray(patterns, dims=("trial", "unit")), [2, 0, 1])
    np.testing.assert_array_equal(again.w_exc_, detector.w_exc_)


def test_the_earliest_output_gives_the_label() -> None:
    patterns = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 0, 1]])
    detector = SpatialPatternDetector(2, 1.4, inhibition="none").fit(patterns, [0, 1])
    assert not np.isnan(detector.latency([[1, 1, 1, 1, 0]])).any()
    assert detector.predict([[1, 1, 1, 1, 0], [1, 1, 1, 0, 1], [0] * 5]).tolist() == [0, 1, -1]


def test_lines_that_are_left_out_do_not_matter() -> None:
    joined = [[1, 1, 1, 1, 0, 0]]
    detector = SpatialPatternDetector().fit([[1, 1, 1, 0, 0, 0]], connected=joined)
    rows = [[1, 1, 1, 0, 1, 1], [1, 1, 1, 1, 0, 0]]
    assert detector.predict(rows)[:, 0].tolist() == [True, False]


def test_ablations() -> None:
    assert not SpatialPatternDetector(homeostasis=None).fit(FIVE).predict(every(8)).any()
    found = SpatialPatternDetector(inhibition="none").fit(FIVE).predict(every(8))[:, 0]
    np.testing.assert_array_equal(found, every(8)[:, :5].all(axis=1))


def test_a_slow_rule_of_ones_own() -> None:
    rule = PairSTDP(a_plus=0.5, a_minus=0.0, w_max=10.0, weight_rule="once", delay="axonal")
    raw = SpatialPatternDetector(homeostasis=None, stdp=rule).fit(FIVE)
    np.testing.assert_allclose(raw.w_exc_[:5, 0], 0.5745 / 2, atol=5e-5)


def test_refusals() -> None:
    detector = SpatialPatternDetector()
    for bad, what in (
        ([[1, 0], [0, 0]], "row 1 has none"),
        ([[1, 2]], "hold 1 to 2"),
        ([[1, np.nan]], "must be finite"),
        ([1, 0], "shape"),
        (np.zeros((0, 3)), "got no pattern"),
    ):
        with pytest.raises(ActivityError, match=what):
            detector.fit(bad)
    with pytest.raises(ActivityError, match="trials and units"):
        detector.fit(xr.DataArray(np.ones((2, 2)), dims=("time", "unit")))
    detector.fit([[1, 1, 0]])
    with pytest.raises(ActivityError, match="3 lines of fit; got 2"):
        detector.predict([[1, 1]])
    with pytest.raises(ParameterError, match="never reach the threshold"):
        SpatialPatternDetector(homeostasis=0.9).fit(FIVE)
    for delay in (30.0, 0.15):
        with pytest.raises(ParameterError, match="teacher_delay must be a whole number"):
            SpatialPatternDetector(teacher_delay=delay).fit(FIVE)
    with pytest.raises(ParameterError, match="teacher_delay must be in"):
        SpatialPatternDetector(teacher_delay=0.0).fit(FIVE)
    with pytest.raises(ParameterError, match="hold the peak"):
        SpatialPatternDetector(window=5.0).fit(FIVE)
    with pytest.raises(ActivityError, match="rows 0 and 1 are equal"):
        SpatialPatternDetector(2).fit([[1, 1, 0], [1, 1, 0]], [0, 1])
    with pytest.raises(ActivityError, match="labels must be in"):
        SpatialPatternDetector(2).fit([[1, 1, 0]], [2])
    with pytest.raises(ActivityError, match="one integer per pattern"):
        SpatialPatternDetector(2).fit([[1, 1, 0]], [0.5])
    with pytest.raises(ActivityError, match="connected lines only"):
        SpatialPatternDetector().fit([[1, 1, 0]], connected=[[1, 0, 1]])
    with pytest.raises(ActivityError, match="connected must be zeros and ones"):
        SpatialPatternDetector().fit([[1, 1, 0]], connected=[[1, 0]])
    wide = SpatialPatternDetector().fit(np.ones((1, 21)))
    with pytest.raises(ActivityError, match="at most 20 lines"):
        pattern_confusion(wide, np.ones((1, 21)))
    with pytest.raises(ActivityError, match="patterns must be"):
        pattern_confusion(wide, np.ones((1, 2)))
    with pytest.raises(ActivityError, match="inputs must be"):
        pattern_confusion(wide, np.ones((1, 21)), inputs=np.ones((1, 2)))


def test_dependent_patterns_warn() -> None:
    with pytest.warns(ConvergenceWarning, match="after 3 rounds"):
        SpatialPatternDetector(cycles=3).fit([[1, 1, 0, 0], [1, 1, 1, 0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SpatialPatternDetector().fit([[1, 1, 0, 0], [0, 0, 1, 1]])


def test_stray_arguments_are_refused() -> None:
    detector = SpatialPatternDetector().fit(FIVE)
    for wrong, message in (
        ([[2, 0, 0, 0.5, 0, 0, 0, 0]], "zeros and ones"),
        ([[1, np.nan, 0, 0, 0, 0, 0, 0]], "finite"),
    ):
        with pytest.raises(ActivityError, match=message):
            pattern_confusion(detector, wrong)
        with pytest.raises(ActivityError, match=message):
            pattern_confusion(detector, FIVE, inputs=wrong)
    with pytest.raises(NotFittedError):
        pattern_confusion(SpatialPatternDetector(), FIVE)
    with pytest.raises(ParameterError, match="stdp must be a PairSTDP"):
        SpatialPatternDetector(stdp="once").fit(FIVE)  # type: ignore[arg-type]  # refused


def volley_peak(dt: float, tau_m: float, tau_syn: float, n_steps: int) -> float:
    """Step the equations of the cell, exact between steps, from a current of 1 nA."""
    mean = dt * np.exp(-dt / tau_m)
    if tau_m != tau_syn:
        mean = (np.exp(-dt / tau_m) - np.exp(-dt / tau_syn)) * tau_m * tau_syn / (tau_m - tau_syn)
    v, current, peak = 0.0, 1.0, 0.0
    for _ in range(n_steps):
        v = np.exp(-dt / tau_m) * v + mean * current
        current *= np.exp(-dt / tau_syn)
        peak = max(peak, v)
    return float(peak)


@pytest.mark.parametrize(
    ("tau_m", "tau_syn", "dt", "threshold", "factor", "n_lines", "n_in"),
    [
        (7.3, 2.2, 0.25, 0.02, 1.2, 7, 5),
        (5.0, 5.0, 0.5, 400.0, 1.5, 6, 3),
        (3.1, 11.0, 1.0, 1.7, 2.5, 5, 5),
        (20.0, 11.0, 0.1, 10.0, 1.0, 4, 1),
    ],
)
def test_other_cells_and_clocks_decide_by_the_closed_form(
    tau_m: float, tau_syn: float, dt: float, threshold: float, factor: float, n_lines: int,
    n_in: int,
) -> None:  # fmt: skip
    pattern = (np.arange(n_lines) < n_in).astype(int)
    detector = SpatialPatternDetector(
        homeostasis=factor, dt=dt, tau_m=tau_m, tau_syn=tau_syn, v_threshold=threshold, window=35.0
    ).fit(pattern[np.newaxis])
    peak = volley_peak(dt, tau_m, tau_syn, round(35 / dt))
    assert detector.drive_threshold_ == pytest.approx(threshold / peak, rel=1e-12)
    inputs = every(n_lines)
    drive = (inputs @ pattern) * factor / n_in - inputs @ (1 - pattern)
    assert detector.predict(inputs)[:, 0].tolist() == (drive >= 1 - 1e-9).tolist()
