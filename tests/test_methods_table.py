"""The one table of methods is whole: it names what exists, and misses nothing that is public."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

import activome
from activome._methods import METHODS, Method
from activome.activity.estimators.base import ActivityEstimator
from activome.activity.estimators.sample import SampleEstimator
from activome.activity.estimators.sequence import SequenceEstimator
from activome.activity.estimators.trial import TrialEstimator

# Every public function and estimator of these rooms is a method. The other rooms hold data
# (activity, samples), the contract itself (testing) and programs (studies, report, studio); an
# estimator that is public there counts all the same.
METHOD_ROOMS = (
    "networks",
    "geometry",
    "graphs",
    "interventions",
    "patterns",
    "decoding",
    "encoding",
    "generative",
    "verification",
)
BASES: dict[str, Any] = {
    "sample": SampleEstimator,
    "trial": TrialEstimator,
    "sequence": SequenceEstimator,
}
ROOT = Path(activome.__file__).parent


def public_names(room: str) -> list[tuple[str, str]]:
    """Return (name, module) of what the stub of a room offers."""
    stub = ROOT / room / "__init__.pyi"
    if not stub.exists():
        return []
    found = []
    for node in ast.parse(stub.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            module = f"activome.{room}.{node.module}"
            found += [(alias.asname or alias.name, module) for alias in node.names]
    return found


def is_method(found: Any, room: str) -> bool:
    if inspect.isclass(found):
        return issubclass(found, ActivityEstimator) and found.__module__.startswith("activome.")
    return room in METHOD_ROOMS and inspect.isfunction(found)


ROOMS = sorted(path.parent.name for path in ROOT.glob("*/__init__.pyi"))


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_method_is_in_the_table(room: str) -> None:
    listed = {method.name for method in METHODS}
    missing = []
    for name, module in public_names(room):
        found = getattr(importlib.import_module(module), name)
        if room != "activity" or not name.endswith(("Estimator", "Transformer")):
            missing += [name] if is_method(found, room) and name not in listed else []
    assert not missing, f"not in activome/_methods: {missing}"


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_exists(room: str) -> None:
    package = importlib.import_module(f"activome.{room}")
    for name, module in public_names(room):
        assert getattr(package, name) is getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_row_tells_the_truth(method: Method) -> None:
    found = getattr(importlib.import_module(method.module), method.name)
    assert method.name in importlib.import_module(method.module).__all__
    room = method.module.split(".")[1]
    assert method.name in [name for name, _ in public_names(room)], "the room does not offer it"
    if method.kind in BASES:
        assert issubclass(found, BASES[method.kind])
        found(**method.arguments)
    elif method.kind == "function":
        assert inspect.isfunction(found)
    else:
        assert method.kind == "other"
        assert inspect.isclass(found)
        assert not issubclass(found, ActivityEstimator)


def test_names_are_unique() -> None:
    names = [method.name for method in METHODS]
    assert len(names) == len(set(names))
