"""The table of systems says what is there."""

from __future__ import annotations

import importlib

import pytest

from activome._systems import System, find_system, systems
from activome.errors import ParameterError


@pytest.mark.parametrize("system", systems(), ids=lambda system: system.slug)
def test_entry_points_and_study_exist(system: System) -> None:
    assert system.entry_points
    for entry in system.entry_points:
        module, _, name = entry.partition(":")
        assert callable(getattr(importlib.import_module(module), name)) or name.isupper()
    assert callable(importlib.import_module(f"activome.studies.{system.study}").run)


@pytest.mark.parametrize("system", systems(), ids=lambda system: system.slug)
def test_counts_of_claims_are_consistent(system: System) -> None:
    assert 0 <= system.held <= system.claims
    assert len(system.not_held) == system.claims - system.held
    assert (system.status == "works") == (system.claims > 0 and system.held == system.claims)


def test_numbers_and_slugs_are_unique() -> None:
    rows = systems()
    assert len({row.number for row in rows}) == len({row.slug for row in rows}) == len(rows)


@pytest.mark.parametrize("name", ["snmf", "14", 14, "014"])
def test_a_system_is_found_by_name_and_number(name: str | int) -> None:
    assert find_system(name).slug == "snmf"


def test_an_unknown_system_names_the_nearest() -> None:
    with pytest.raises(ParameterError, match="Did you mean 'snmf'"):
        find_system("snfm")
