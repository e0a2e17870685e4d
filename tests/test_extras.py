"""Optional packages are missed in one clear line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from activome._extras import is_installed, require
from activome.errors import MissingExtraError


def test_installed_module_is_returned() -> None:
    assert require("json.decoder", extra="none", owner="f") is sys.modules["json.decoder"]
    assert is_installed("json.decoder")


def test_missing_module_names_the_extra() -> None:
    assert not is_installed("no_such_module_at_all")
    with pytest.raises(
        MissingExtraError,
        match=r"f: needs the package 'no_such_module_at_all'.*"
        r"pip install 'activome\[spikes\]'",
    ) as caught:
        require("no_such_module_at_all.part", extra="spikes", owner="f")
    assert caught.value.name == "no_such_module_at_all"


def test_missing_dependency_of_an_installed_module_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "present_but_broken.py").write_text("import not_there_either\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match=r"'not_there_either'.*'activome\[x\]'"):
        require("present_but_broken", extra="x", owner="f")


def test_own_command_takes_the_place_of_the_extra() -> None:
    with pytest.raises(MissingExtraError, match="Install it with: conda install it"):
        require("no_such_module_at_all", extra="x", owner="f", command="conda install it")
