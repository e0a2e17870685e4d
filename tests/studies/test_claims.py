"""The bench of studies: claims, steps that resume, and the record."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from activome.errors import ParameterError
from activome.studies._cache import read_value, write_value
from activome.studies.claims import Study

CALLS: list[int] = []


def square(value: int) -> int:
    """Return the square and note the call."""
    CALLS.append(value)
    return value**2


def fail_at_three(value: int) -> int:
    """Fail at 3, as an interrupted run does."""
    if value == 3 and CALLS.count(3) == 0:
        CALLS.append(3)
        raise KeyboardInterrupt
    return square(value)


def make_study(folder: Path, **fields: Any) -> Study:
    """Return a study in a folder of the test."""
    return Study(name="invented", size="smoke", folder=folder, **fields)


@pytest.fixture(autouse=True)
def _forget_calls() -> None:
    CALLS.clear()


@pytest.mark.parametrize(
    ("measured", "threshold", "holds"),
    [
        (0.9, {"at_least": 0.85}, True),
        (0.85, {"at_least": 0.85}, True),
        (0.8, {"at_least": 0.85}, False),
        (0.4, {"at_least": 0.35, "at_most": 0.55}, True),
        (0.6, {"at_least": 0.35, "at_most": 0.55}, False),
        (math.nan, {"at_most": 1.0}, False),
        (True, {"equals": True}, True),
        (False, {"equals": True}, False),
        (3.0, {"equals": 3}, True),
    ],
)
def test_claim_holds_exactly_at_its_threshold(
    tmp_path: Path, measured: float, threshold: dict[str, Any], holds: bool
) -> None:
    study = make_study(tmp_path)
    claim = study.claim("a claim", measured, **threshold)
    assert claim.holds is holds
    assert study.claims == [claim]
    json.dumps(study.table(), allow_nan=False)


def test_claim_without_threshold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="needs a threshold"):
        make_study(tmp_path).claim("a claim", 1.0)


def test_claim_not_run_is_neither_held_nor_failed(tmp_path: Path) -> None:
    claim = make_study(tmp_path).not_run("a claim", threshold=">= 1", reason="no data")
    assert claim.holds is None
    assert claim.measured is None


def test_steps_run_once_and_resume_after_an_interruption(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        study.map("squares", fail_at_three, [1, 2, 3, 4])
    assert CALLS == [1, 2, 3]
    again = make_study(tmp_path)
    assert again.map("squares", fail_at_three, [1, 2, 3, 4]) == [1, 4, 9, 16]
    assert CALLS == [1, 2, 3, 3, 4]


def test_another_seed_or_source_starts_afresh(tmp_path: Path) -> None:
    make_study(tmp_path).step("square", square, 5)
    make_study(tmp_path).step("square", square, 5)
    make_study(tmp_path, random_state=1).step("square", square, 5)
    make_study(tmp_path, fingerprint="changed").step("square", square, 5)
    assert CALLS == [5, 5, 5]


def test_values_come_back_as_they_were(tmp_path: Path) -> None:
    value = {
        "scores": [0.1, math.inf, None, True, "text"],
        3: (np.arange(4, dtype=np.int16), {"nested": np.array(["a", "b"])}),
    }
    write_value(tmp_path / "value.npz", value)
    back = read_value(tmp_path / "value.npz")
    assert back["scores"] == value["scores"]
    array, nested = back[3]
    assert array.dtype == np.int16
    np.testing.assert_array_equal(array, np.arange(4))
    assert nested["nested"].tolist() == ["a", "b"]


@pytest.mark.parametrize("value", [object(), np.array([object()]), {"x": {1, 2}}])
def test_values_that_need_pickle_are_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ParameterError, match="a step must return"):
        write_value(tmp_path / "value.npz", value)
    assert list(tmp_path.iterdir()) == []
