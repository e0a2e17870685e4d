"""The three estimator bases: labels, lazy input, targets, refusals."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_estimator
from sound_estimators import NearestMean, Power, Projection, Running, Standard

from activome.activity.estimators.sequence import SequenceTransformer
from activome.activity.estimators.trial import TrialTransformer
from activome.activity.schema import make
from activome.activity.stacking import from_ragged
from activome.errors import ActivityError, ResourceError
from activome.testing.data import check_activity

Array = np.ndarray[Any, Any]


class Shortened(TrialTransformer):
    """Keep every second sample."""

    def _fit(self, values: Array) -> None:
        self.n_times_ = values.shape[2]

    def _transform(self, values: Array) -> Array:
        return values[:, :, ::2]


class Peak(TrialTransformer):
    """Keep the largest value of each trial."""

    def _fit(self, values: Array) -> None:
        self.n_times_ = values.shape[2]

    def _transform(self, values: Array) -> Array:
        return np.asarray(values.max(axis=(1, 2)))


class Same(SequenceTransformer):
    """Return the sequence."""

    _keeps_units = True

    def _fit(self, values: list[Array]) -> None:
        self.n_ = len(values)

    def _transform(self, values: Array) -> Array:
        return values


@pytest.mark.parametrize("estimator", [Standard(), Projection()], ids=["Standard", "Projection"])
@pytest.mark.filterwarnings("ignore")  # its checks provoke the warnings of degenerate fits
def test_sample_base_passes_scikit_learn(estimator: Any) -> None:
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert not failed


def test_standard_worked_example() -> None:
    a = make(np.array([[1.0, 2.0], [3.0, 6.0]]), unit=["a", "b"], units="Hz")
    out = Standard().fit_transform(a)
    assert out.values.tolist() == [[-1.0, -1.0], [1.0, 1.0]]
    assert out["unit"].values.tolist() == ["a", "b"]


def test_named_outputs_are_without_unit() -> None:
    a = check_activity().assign_attrs(units="V")
    out = Projection(random_state=0).fit(a).transform(a)
    assert out["unit"].values.tolist() == ["projection0", "projection1"]
    assert out.attrs["units"] == "1"
    assert out.attrs["kind"] == "feature"


def test_ragged_results_are_nan_outside_valid() -> None:
    a = from_ragged([np.arange(6.0).reshape(3, 2), np.ones((1, 2))])
    out = Standard().fit(a).transform(a)
    assert np.isnan(out.values[1, 1:]).all()
    assert np.isfinite(out.values[a["valid"].values]).all()


def test_place_of_nan_is_told_on_ragged_grids() -> None:
    a = from_ragged([np.zeros((3, 2)), np.zeros((2, 2))])
    a.values[1, 1, 0] = np.nan
    with pytest.raises(ActivityError, match=r"Standard\.fit.*1 of .* trial 1, time 1, unit 0"):
        Standard().fit(a)


def test_lazy_activity_beyond_the_limit_is_refused() -> None:
    big = make(da.zeros((20_000_000, 20), chunks=(100_000, 20)))
    with pytest.raises(
        ResourceError, match=r"Standard\.fit: loading this lazy activity would take"
    ):
        Standard().fit(big)


def test_lazy_transform_runs_in_blocks() -> None:
    a = check_activity()
    fitted = Standard().fit(a)
    assert fitted.transform(a.chunk({"trial": 3})).identical(fitted.transform(a))


def test_trial_features_and_series() -> None:
    a = check_activity()
    power = Power().fit(a).transform(a)
    assert power.dims == ("trial", "unit")
    assert power["condition"].values.tolist() == a["condition"].values.tolist()
    assert "sampling_rate" not in power.attrs
    shorter = Shortened().fit(a).transform(a)
    assert shorter.dims == ("trial", "time", "unit")
    assert np.array_equal(shorter.values, a.values[:, ::2])
    # The samples are other ones now: their times and their rate are not those of the input.
    assert "sampling_rate" not in shorter.attrs
    assert "phase" not in shorter.coords
    peak = Peak().fit(a).transform(a)
    assert peak.dims == ("trial",)
    assert np.array_equal(peak.values, a.values.max(axis=(1, 2)))


def test_trial_method_refuses_ragged_trials() -> None:
    a = from_ragged([np.zeros((3, 2)), np.zeros((2, 2))])
    with pytest.raises(ActivityError, match=r"1 samples are not valid. Cut the trials"):
        Power().fit(a)


def test_sequences_as_array_list_and_activity() -> None:
    x, y = np.arange(6.0).reshape(3, 2), np.ones((2, 2))
    running = Running().fit([x, y])
    one, two = running.transform([x, y])
    assert one.tolist() == np.cumsum(x, axis=0).tolist()
    assert two.shape == (2, 2)
    assert running.transform(x).tolist() == one.tolist()
    labelled = running.transform(from_ragged([x, y]))
    assert labelled.values[1, :2].tolist() == two.tolist()
    with pytest.raises(ActivityError, match=r"sequence 1"):
        Running().fit([x, np.full((2, 2), np.nan)])


def test_sequence_method_that_keeps_units_keeps_their_names() -> None:
    a = check_activity()
    out = Same().fit(a).transform(a)
    assert out["unit"].values.tolist() == a["unit"].values.tolist()
    assert "region" in out.coords


def test_target_of_samples() -> None:
    a = check_activity()
    grid = np.repeat(a["condition"].values[:, None], a.sizes["time"], axis=1)
    by_name = NearestMean().fit(a, "condition").means_
    for y in (grid, grid.reshape(-1), make_like(a, grid)):
        assert np.array_equal(NearestMean().fit(a, y).means_, by_name)
    with pytest.raises(ActivityError, match=r"y must have one entry per sample \(288\); got 12"):
        NearestMean().fit(a, a["condition"].values)
    with pytest.raises(ActivityError, match="names a label, but the activity is a plain array"):
        NearestMean().fit(a.values[0], "condition")
    with pytest.raises(ActivityError, match="requires y to be passed"):
        NearestMean().fit(a)


def make_like(a: Any, grid: Array) -> Any:
    return a.isel(unit=0, drop=True).copy(data=grid)


def test_plain_fit_then_other_count() -> None:
    fitted = Standard().fit(np.random.default_rng(0).normal(size=(10, 3)))
    with pytest.raises(ActivityError, match="3 features"):
        fitted.transform(np.zeros((2, 4)))
    with pytest.raises(ActivityError, match="must have the 3 units of fit; got 4"):
        fitted.transform(make(np.zeros((2, 4))))
    trial = Power().fit(np.ones((4, 3, 5)))
    with pytest.raises(ActivityError, match="must have the 3 units of fit; got 2"):
        trial.transform(np.ones((4, 2, 5)))


def test_what_cannot_be_inverted_says_so() -> None:
    with pytest.raises(ActivityError, match="it has no inverse"):
        Projection().fit(np.random.default_rng(0).normal(size=(9, 3))).inverse_transform(
            np.ones((1, 2))
        )
