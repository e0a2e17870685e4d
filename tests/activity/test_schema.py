"""Building and checking an Activity."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from activome.activity.schema import DIMS, check, ensure, make, regular_rate
from activome.errors import ActivityError, ParameterError


def test_worked_example() -> None:
    a = make(
        np.arange(12).reshape(2, 3, 2),
        sampling_rate=10.0,
        start=1.0,
        unit=["a", "b"],
        coords={"stimulus": ("trial", ["x", "y"])},
        kind="spikes",
        units="events per bin",
        source="a test",
    )
    assert a.dims == DIMS
    assert a["time"].values.tolist() == [1.0, 1.1, 1.2]
    assert a.sel(trial=1, unit="b").values.tolist() == [7, 9, 11]
    assert a.attrs == {
        "kind": "spikes",
        "units": "events per bin",
        "source": "a test",
        "sampling_rate": 10.0,
    }
    assert check(a) == []


@given(st.permutations(DIMS), st.integers(1, 3))
def test_any_order_of_dims_is_stored_in_one(order: list[str], n_dims: int) -> None:
    dims = order[:n_dims]
    values = np.arange(24.0).reshape(*(2, 3, 4)[:n_dims], -1)[..., 0]
    a = make(values, dims)
    assert a.dims == tuple(dim for dim in DIMS if dim in dims)
    assert np.array_equal(a.transpose(*dims).values, values)


def test_dask_stays_lazy() -> None:
    a = make(da.zeros((4, 3), chunks=(2, 3)))
    assert a.chunks is not None
    assert [p.severity for p in check(a)] == ["violation"]


@pytest.mark.parametrize(
    ("values", "arguments", "message"),
    [
        (np.array(["x"]), {}, "values must be real numbers; got dtype <U1"),
        (np.zeros(3, complex), {}, "values must be real numbers"),
        (np.zeros((2, 2)), {"dims": ("time",)}, "dims must name each of the 2 axes once"),
        (np.zeros((2, 2)), {"dims": ("time", "time")}, "dims must name each of the 2 axes once"),
        (np.zeros((2, 2)), {"dims": ("time", "channel")}, "out of"),
        (np.zeros((2, 2, 2, 2)), {}, "dims must name each of the 4 axes"),
        (np.zeros((3, 2)), {"time": [0.0, 1.0]}, r"time must have shape \(3,\); got \(2,\)"),
        (np.zeros((3, 2)), {"time": [0.0, 2.0, 1.0]}, "finite and strictly increasing"),
        (np.zeros((3, 2)), {"time": [0.0, 1.0, np.nan]}, "finite and strictly increasing"),
        (np.zeros((3, 2)), {"unit": ["a", "a"]}, "'a' stands 2 times"),
        (np.zeros((3, 2)), {"trial": [1]}, "names of trials are given, but there is no dim"),
        (np.zeros((3, 2)), {"coords": {"unit": ("unit", [1, 2])}}, "must not hold 'unit'"),
        (np.zeros((3, 2)), {"coords": {"s": ("trial", [1])}}, "'trial', which is not a dim"),
        (np.zeros((3, 2)), {"coords": {"s": ("unit", [1])}}, r"must have shape \(2,\)"),
        (np.zeros((2, 3, 2)), {"valid": np.ones((2, 2), bool)}, "valid must be boolean of shape"),
        (np.zeros((2, 3, 2)), {"valid": np.ones((2, 3))}, "got float64"),
        (np.zeros((3, 2)), {"dims": ("trial", "unit"), "time": [0, 1, 2]}, "no dim 'time'"),
    ],
)
def test_refusals(values: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ActivityError, match=message):
        make(values, **arguments)


def test_contradicting_rates_and_unknown_kinds_are_refused() -> None:
    with pytest.raises(
        ParameterError, match="sampling_rate is 20 Hz, but time has steps of 1/10 s"
    ):
        make(np.zeros((3, 1)), time=[0.0, 0.1, 0.2], sampling_rate=20.0)
    with pytest.raises(ParameterError, match="but time has irregular steps"):
        make(np.zeros((3, 1)), time=[0.0, 0.1, 0.3], sampling_rate=10.0)
    with pytest.raises(ParameterError, match=r"sampling_rate must be in \(0, inf\)"):
        make(np.zeros((3, 1)), sampling_rate=0.0)
    with pytest.raises(ParameterError, match="Did you mean 'spikes'"):
        make(np.zeros(3), kind="spike")


def test_regular_rate_of_long_and_jittered_clocks() -> None:
    k = np.arange(1_000_000)
    assert regular_rate(k / 30_000) == 30_000.0
    assert regular_rate(1.7e9 + k[:1000] / 1000) == pytest.approx(1000.0, rel=1e-6)
    assert regular_rate(np.array([0.0, 1.0, 2.01])) is None
    assert regular_rate(np.array([5.0])) is None
    assert regular_rate(np.array([0.0, 0.1])) == 10.0


def test_time_does_not_drift() -> None:
    a = make(np.zeros((100_001, 1)), sampling_rate=10.0)
    assert float(a["time"][-1]) == 10_000.0


def test_check_names_what_is_wrong() -> None:
    values = np.arange(12.0).reshape(4, 3)
    values[:, 1] = 1.0
    values[:, 2] = values[:, 0]
    values[2, 0] = np.nan
    values[2, 2] = np.nan
    a = make(values, sampling_rate=1.0, source="")
    told = {(p.severity, p.where): str(p) for p in check(a)}
    assert "2 of 12 values are NaN" in told["violation", "values"]
    assert ("suggestion", "attrs.source") in told
    units = [p.what for p in check(a) if p.where == "unit"]
    assert units == [
        "1 of 3 units is constant: 1.",
        "2 units hold the same values as another: 0, 2.",
    ]


def test_check_ignores_samples_outside_valid() -> None:
    values = np.random.default_rng(0).normal(size=(2, 5, 3))
    values[1, 3:] = np.nan
    valid = np.ones((2, 5), dtype=bool)
    valid[1, 3:] = False
    assert check(make(values, valid=valid, sampling_rate=1.0)) == []
    empty = valid.copy()
    empty[1] = False
    (problem,) = check(make(values, valid=empty, sampling_rate=1.0))
    assert problem.where == "valid"


@pytest.mark.parametrize("chunks", [{"trial": 1}, {"time": 2}, {"unit": 1}])
def test_check_of_lazy_is_check_of_eager(chunks: dict[str, int]) -> None:
    values = np.random.default_rng(0).normal(size=(3, 5, 4))
    values[..., 2] = values[..., 0]
    values[1, 1, 1] = np.inf
    a = make(values, sampling_rate=1.0)
    assert check(a.chunk(chunks)) == check(a)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (np.zeros(3), "f: type: an Activity is an xarray.DataArray; got ndarray"),
        (xr.DataArray(np.zeros((2, 2)), dims=("time", "band")), "got band besides"),
        (make(np.zeros((3, 2))).isel(time=slice(0, 0)), "there are no values"),
        (make(np.zeros((2, 2))).assign_coords(unit=["a", "a"]), "'a' stands 2 times"),
        (make(np.zeros((2, 2))).assign_coords(time=[1.0, 0.0]), "f: time: "),
        (make(np.zeros((2, 2))).astype("U1"), "values must be real numbers"),
    ],
)
def test_ensure_refuses_with_place_and_cure(broken: Any, message: str) -> None:
    with pytest.raises(ActivityError, match=message):
        ensure(broken, owner="f")


def test_ensure_puts_dims_in_order_and_copies_nothing() -> None:
    a = make(np.zeros((2, 3, 4)))
    turned = ensure(a.transpose("unit", "time", "trial"), owner="f")
    assert turned.dims == DIMS
    assert np.shares_memory(turned.values, a.values)
