"""Validation of parameters and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from activome._checks import (
    check_choice,
    check_finite,
    check_integer,
    check_memory,
    check_number,
    human_bytes,
    nearest_names,
)
from activome.errors import ActivityError, ActivomeError, ParameterError, ResourceError


@given(st.floats(allow_nan=False), st.booleans(), st.booleans())
def test_number_is_inside_exactly_when_accepted(x: float, low: bool, high: bool) -> None:
    inside = (x >= 0 if low else x > 0) and (x <= 1 if high else x < 1)
    arguments: Any = {"name": "x", "owner": "f", "low": 0.0, "high": 1.0}
    if inside:
        assert check_number(x, **arguments, include_low=low, include_high=high) == x
        return
    brackets = r"\[" if low else r"\("
    with pytest.raises(ParameterError, match=f"f: x must be in {brackets}0, 1"):
        check_number(x, **arguments, include_low=low, include_high=high)


@pytest.mark.parametrize("value", [True, np.True_, "1", None, 1j, float("nan"), [1.0]])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(ParameterError, match="f: x must be"):
        check_number(value, name="x", owner="f")


@pytest.mark.parametrize("value", [1.0, True, "1", None, np.float64(2)])
def test_what_is_no_integer_is_refused(value: Any) -> None:
    with pytest.raises(ParameterError, match="f: n must be an integer at least 1 and at most 3"):
        check_integer(value, name="n", owner="f", low=1, high=3)


def test_integers() -> None:
    assert check_integer(np.int16(3), name="n", owner="f", low=1, high=3) == 3
    assert type(check_integer(np.int16(3), name="n", owner="f")) is int
    for value in (0, 4):
        with pytest.raises(ParameterError, match=f"got {value}"):
            check_integer(value, name="n", owner="f", low=1, high=3)


def test_choice_offers_the_nearest() -> None:
    assert check_choice("mean", ("mean", "sum"), name="mode", owner="f") == "mean"
    with pytest.raises(ParameterError, match=r"f: unknown mode 'maen'; known: mean, sum\. Did you"):
        check_choice("maen", ("mean", "sum"), name="mode", owner="f")
    with pytest.raises(ParameterError, match="unknown mode 3"):
        check_choice(3, ("mean",), name="mode", owner="f")
    assert nearest_names("x", []) == "known: none."
    assert "and 3 more" in nearest_names("q", [f"name{i}" for i in range(15)])


@given(st.integers(0, 3), st.integers(0, 4), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_place_of_what_is_not_finite(i: int, j: int, bad: float) -> None:
    values = np.zeros((4, 5))
    check_finite(values, owner="f", axes=("a", "b"))
    values[i, j] = bad
    with pytest.raises(ActivityError, match=rf"1 of 20 values is .* first at a {i}, b {j}\."):
        check_finite(values, owner="f", axes=("a", "b"))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_finite_values_whose_sum_overflows_pass(dtype: Any) -> None:
    check_finite(np.full(5, np.finfo(dtype).max, dtype), owner="f", axes=("a",))
    both = np.array([np.inf, -np.inf], dtype)
    with pytest.raises(ActivityError, match="2 of 2 values are NaN or infinite"):
        check_finite(both, owner="f", axes=("a",))


def test_integers_and_empty_are_finite() -> None:
    check_finite(np.arange(3), owner="f", axes=("a",))
    check_finite(np.empty((0, 2)), owner="f", axes=("a", "b"))
    with pytest.raises(ActivityError):
        check_finite(np.array([1j * np.inf]), owner="f", axes=("a",))


def test_memory() -> None:
    check_memory(10, owner="f", what="x", cure="y", limit=10)
    with pytest.raises(ResourceError, match=r"f: x would take 3\.0 GiB, more than the limit of 2"):
        check_memory(3 * 1024**3, owner="f", what="x", cure="y")
    expected = {0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 5 * 1024**4: "5.0 TiB"}
    assert {n: human_bytes(n) for n in expected} == expected


def test_errors_are_also_what_a_caller_expects() -> None:
    for error, builtin in ((ActivityError, ValueError), (ResourceError, MemoryError)):
        assert issubclass(error, builtin)
        assert issubclass(error, ActivomeError)
