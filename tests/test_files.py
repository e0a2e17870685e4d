"""Files are written whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from activome._files import atomic_path, read_json, remove_tree, write_json, write_text

_KILLED = """
import os, signal, sys
from activome._files import atomic_path
with atomic_path(sys.argv[1]) as path:
    path.write_text("half of it")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.txt"
    write_text(target, "one")
    write_text(target, "two")
    assert target.read_text() == "two"
    assert os.listdir(target.parent) == ["a.txt"]


def test_failure_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.tar.gz"
    write_text(target, "old")

    def interrupted() -> None:
        with atomic_path(target) as path:
            assert path.name.endswith(".tar.gz")
            assert path.parent == target.parent
            path.write_text("new")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        interrupted()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.tar.gz"]


def test_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    done = subprocess.run([sys.executable, "-c", _KILLED, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert target.read_text() == "old"


def test_nothing_written_is_an_error_and_keeps_the_old(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(FileNotFoundError), atomic_path(target):
        pass
    assert target.read_text() == "old"


def test_folders_are_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "store.zarr"
    for name in ("one", "two"):
        with atomic_path(target) as path:
            path.mkdir()
            (path / name).write_text(name)
    assert os.listdir(target) == ["two"]
    assert os.listdir(tmp_path) == ["store.zarr"]


def test_file_in_place_of_a_folder_and_back(tmp_path: Path) -> None:
    target = tmp_path / "thing"
    with atomic_path(target) as path:
        path.mkdir()
    with pytest.raises(OSError, match="directory"), atomic_path(target) as path:
        path.write_text("a file")
    assert target.is_dir()
    assert os.listdir(tmp_path) == ["thing"]


def test_json_round_trip_and_refusal_of_nan(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    value = {"b": [1, 2.5, None], "a": "ü"}
    write_json(target, value)
    assert read_json(target) == value
    assert target.read_text("utf-8").index('"a"') < target.read_text("utf-8").index('"b"')
    with pytest.raises(ValueError, match="JSON"):
        write_json(target, {"x": float("nan")})
    assert read_json(target) == value


def test_links_are_removed_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "kept")
    remove_tree(link)
    assert not link.exists()
    assert (tmp_path / "kept" / "file").exists()
    remove_tree(tmp_path / "nothing")
