"""What an import loads: counted by module names, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import activome

HEAVY = {
    "dask",
    "distributed",
    "igraph",
    "matplotlib",
    "mne",
    "numba",
    "pandas",
    "scipy",
    "sklearn",
    "torch",
    "xarray",
    "zarr",
}
_LOADED = "import json, sys; print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"


def loaded(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{_LOADED}"], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.strip().splitlines()[-1]))


def test_import_loads_nothing_heavy() -> None:
    found = loaded("import activome")
    assert not found & (HEAVY | {"numpy"})
    assert len(found) < 120


def test_rooms_load_nothing_heavy_either() -> None:
    rooms = [path.parent.name for path in Path(activome.__file__).parent.glob("*/__init__.pyi")]
    code = "\n".join(f"import activome.{room}; dir(activome.{room})" for room in rooms)
    assert not loaded(code) & HEAVY


def test_help_of_the_command_line_loads_nothing_heavy() -> None:
    pytest.importorskip("activome.cli", reason="the command line is not part of this build")
    code = (
        "import sys; sys.argv = ['activome', '--help']\n"
        "from activome.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code"
    )
    assert not loaded(code) & HEAVY


def test_activity_needs_no_optional_package() -> None:
    found = loaded("import activome; activome.make([[1.0, 2.0]]); activome.Events([1], [0])")
    assert not found & {"torch", "mne", "matplotlib", "pynwb", "neo", "pynapple", "igraph"}


def test_public_names_are_there() -> None:
    assert {"make", "check", "load", "save", "Events", "samples"} <= set(dir(activome))
    with pytest.raises(AttributeError):
        getattr(activome, "no_such_name")  # noqa: B009  # the type checker knows better
