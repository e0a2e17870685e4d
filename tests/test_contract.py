"""The contract of every public method, over the one table of methods."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_estimator

from activome._methods import METHODS, Method
from activome.testing._case import Case
from activome.testing.estimator_checks import CHECK_NAMES, check_activity_estimator

ESTIMATORS = [method for method in METHODS if method.kind in ("sample", "trial", "sequence")]
TWO_DIMENSIONAL = [method for method in ESTIMATORS if method.kind == "sample"]
OTHERS = [method for method in METHODS if method.kind in ("function", "other")]


def build(method: Method) -> Any:
    return getattr(importlib.import_module(method.module), method.name)(**method.arguments)


def reasons(method: Method, *, ours: bool) -> dict[str, str]:
    """Exemptions of our checks, or of scikit-learn's, which begin with ``check_``."""
    return {k: v for k, v in method.exempt.items() if k.startswith("check_") is not ours}


def names(method: Method) -> str:
    return method.name


@pytest.mark.parametrize("method", ESTIMATORS, ids=names)
def test_contract_of_activity(method: Method) -> None:
    base: Any = method.kind
    exempt = reasons(method, ours=True)
    checks = check_activity_estimator(build(method), base=base, data=method.data, exempt=exempt)
    assert len(checks) == len(CHECK_NAMES)


@pytest.mark.parametrize("method", TWO_DIMENSIONAL, ids=names)
@pytest.mark.filterwarnings("ignore")  # its checks provoke the warnings of degenerate fits
def test_contract_of_scikit_learn(method: Method) -> None:
    expected = reasons(method, ours=False)
    results = check_estimator(
        build(method), expected_failed_checks=expected, on_skip=None, on_fail=None
    )
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert not failed, f"{method.name}: {failed}"


@pytest.mark.parametrize("method", OTHERS, ids=names)
def test_other_methods_are_documented(method: Method) -> None:
    found = getattr(importlib.import_module(method.module), method.name)
    assert callable(found)
    text = inspect.getdoc(found) or ""
    parameters = [
        parameter
        for parameter in inspect.signature(found).parameters.values()
        if parameter.name not in ("self", "args", "kwargs")
    ]
    missing = [parameter.name for parameter in parameters if parameter.name not in text]
    assert text, f"{method.name} has no docstring"
    assert not missing, f"{method.name} does not document {missing}"


def digest(method: Method) -> str:
    """Hash the results of a fit, without the last bits that a library may leave open."""
    case = Case(build(method), method.kind, dict(method.data))
    total = hashlib.sha256()
    for name, values in sorted(case.reference.items()):
        total.update(name.encode())
        if values.dtype.kind in "fc":
            scale = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
            values = np.round(np.nan_to_num(values) / scale, 6) + 0.0
        total.update(np.ascontiguousarray(values.astype(str)).tobytes())
    return total.hexdigest()


_OTHER_PROCESS = """
import json, runpy, sys
space = runpy.run_path(sys.argv[1])
print(json.dumps({m.name: space["digest"](m) for m in space["ESTIMATORS"]}))
"""


@pytest.mark.skipif(not ESTIMATORS, reason="the table holds no estimator")
def test_same_numbers_in_another_process() -> None:
    environment = os.environ | {"PYTHONHASHSEED": "12345"}
    done = subprocess.run(
        [sys.executable, "-c", _OTHER_PROCESS, __file__],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    there = json.loads(done.stdout.strip().splitlines()[-1])
    here = {method.name: digest(method) for method in ESTIMATORS}
    assert here == there


def test_exemptions_have_reasons_and_name_checks() -> None:
    for method in METHODS:
        for name, reason in method.exempt.items():
            known = name in CHECK_NAMES or name.startswith("check_")
            assert known, f"{method.name} is exempt from {name!r}, which is no check"
            assert len(reason.split()) >= 3, f"{method.name}: {name} has no reason"
