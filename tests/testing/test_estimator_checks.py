"""Every check passes on sound estimators, and fails on the one that breaks what it looks at."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from broken_results import BROKEN_RESULTS
from broken_state import BROKEN_STATE, Pickles
from sklearn.decomposition import PCA
from sound_estimators import SOUND, NearestMean, Power, Projection, Standard

from activome.errors import ParameterError
from activome.geometry.principal import PrincipalComponents
from activome.testing.data import VALUES, check_activity
from activome.testing.estimator_checks import (
    CHECK_NAMES,
    activity_checks,
    check_activity_estimator,
)

BROKEN = BROKEN_RESULTS | BROKEN_STATE


def test_there_are_enough_checks_and_each_has_a_broken_twin() -> None:
    assert len(CHECK_NAMES) == len(set(CHECK_NAMES)) >= 40
    assert set(BROKEN) == set(CHECK_NAMES)


@pytest.mark.parametrize("estimator", SOUND, ids=lambda e: type(e).__name__)
def test_sound_estimators_pass(estimator: Any) -> None:
    checks = check_activity_estimator(estimator)
    n_passed = sum(check.status == "passed" for check in checks)
    assert n_passed >= 55
    assert all(check.message for check in checks if check.status == "not applicable")


@pytest.mark.parametrize("values", VALUES)
def test_sound_estimator_passes_on_every_kind_of_values(values: str) -> None:
    check_activity_estimator(Standard(), data={"values": values})


def test_every_check_applies_to_some_sound_estimator() -> None:
    applied = set()
    # Only classes of the package itself can be saved.
    for estimator in (*SOUND, PrincipalComponents(2)):
        for check in check_activity_estimator(estimator, on_fail="return"):
            applied |= {check.name} if check.status == "passed" else set()
    assert applied == set(CHECK_NAMES)


@pytest.mark.parametrize("name", CHECK_NAMES)
def test_check_fails_on_its_broken_twin(name: str) -> None:
    (check,) = (c for c in activity_checks(BROKEN[name]) if c.name == name)
    check.run()
    assert check.status == "failed", f"{check.status}: {check.message}"
    assert check.promise.endswith((".", ":"))


def test_pickles_are_found() -> None:
    (check,) = (c for c in activity_checks(Pickles()) if c.name == "save_and_load")
    assert check.run().message == "the saved file is a pickle"


def test_all_failures_are_told_at_once() -> None:
    with pytest.raises(AssertionError, match=r"PCA fails \d+ of \d+ checks:\n  labels_kept: "):
        check_activity_estimator(PCA(n_components=2))


def test_exemption_skips_a_check_and_keeps_the_reason() -> None:
    reason = "its results depend on the place"
    broken = BROKEN["init_only_stores"]
    checks = {c.name: c for c in activity_checks(broken, exempt={"init_only_stores": reason})}
    check = checks["init_only_stores"].run()
    assert (check.status, check.message) == ("exempt", reason)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"exempt": {"label_kept": "typo"}}, r"Did you mean 'labels_kept'"),
        ({"exempt": {"labels_kept": " "}}, r"must map names of checks to reasons"),
        ({"base": "event"}, r"unknown base 'event'"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        list(activity_checks(Standard(), **arguments))


def test_class_instead_of_instance_is_refused() -> None:
    with pytest.raises(ParameterError, match="must be an instance; got the class Standard"):
        list(activity_checks(Standard))


def test_base_is_found_from_the_tags() -> None:
    (check, *_) = activity_checks(PCA())
    assert check._case.base == "sample"
    (check, *_) = activity_checks(Power())
    assert check._case.base == "trial"


@pytest.mark.parametrize("values", VALUES)
def test_data_have_what_they_promise(values: str) -> None:
    a = check_activity(values, n_trials=8, n_times=30, n_units=5, random_state=2)
    assert a.shape == (8, 30, 5)
    assert (a.std(("trial", "time")) > 0).all()
    rules = {
        "rate": (a > 0).all(),
        "count": ((a >= 0) & (a == np.rint(a))).all(),
        "binary": np.isin(a, (0, 1)).all(),
        "signed": (a.min() < 0) and (a.max() > 0),
    }
    assert rules[values]
    by_condition = a.groupby("condition").mean(...)
    assert abs(float(by_condition[0] - by_condition[1])) > 0
    again = check_activity(values, n_trials=8, n_times=30, n_units=5, random_state=2)
    assert a.identical(again)


def test_data_refuse_sizes_below_two() -> None:
    with pytest.raises(ParameterError, match="n_units must be an integer at least 2; got 1"):
        check_activity(n_units=1)
    with pytest.raises(ParameterError, match="unknown values 'spikes'"):
        check_activity("spikes")


def test_seeded_estimators_differ_between_seeds() -> None:
    a = check_activity()
    one, two = (Projection(random_state=s).fit(a).transform(a) for s in (0, 1))
    assert not np.allclose(one, two)
    assert re.fullmatch("left|right", str(NearestMean().fit(a, "condition").predict(a)[0]))
