"""What the tests of stores share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from activome.activity.schema import make
from activome.activity.store import open_store

CHUNK = 400


def opened(path: Any, **options: Any) -> xr.DataArray:
    """Open a store that holds an activity."""
    found = open_store(path, **options)
    assert isinstance(found, xr.DataArray)
    return found


def recording(n_trials: int = 5, n_times: int = 7, n_units: int = 3) -> xr.DataArray:
    """Return an activity with every kind of label."""
    rng = np.random.default_rng(0)
    mixed = np.array(["a", None, 1.5, True, 3][:n_units], dtype=object)
    activity = make(
        rng.standard_normal((n_trials, n_times, n_units)).astype(np.float32),
        sampling_rate=250.0,
        start=-0.5,
        trial=[f"t{i}" for i in range(n_trials)],
        unit=[f"ü{i}" for i in range(n_units)],
        coords={
            "stimulus": ("trial", np.array(["blå", "röd", "x", "", "y"] * n_trials)[:n_trials]),
            "is_correct": ("trial", np.arange(n_trials) % 2 == 0),
            "block": ("time", np.arange(n_times, dtype=np.uint8)),
            "depth": ("unit", np.linspace(0, 1, n_units, dtype=np.float32)),
            "mixed": ("unit", mixed),
        },
        valid=rng.random((n_trials, n_times)) < 0.7,
        kind="voltage",
        units="V",
        source="généré",
        name="lfp",
    )
    activity = activity.assign_coords(subject="m1", session=3)
    activity["depth"].attrs["units"] = "mm"
    activity.attrs |= {
        "note": [1, "two", None, {"three": 3.5}],
        "size": (1, 2),
        "gain": np.float32(2),
    }
    return activity


def assert_same(found: xr.DataArray, wanted: xr.DataArray) -> None:
    """Check that values, labels, dtypes and attributes are the same."""
    xr.testing.assert_identical(found.load(), wanted)
    assert found.dtype == wanted.dtype
    for name, coordinate in wanted.coords.items():
        assert found[name].dtype == coordinate.dtype, name
    assert {k: type(v) for k, v in found.attrs.items()} == {
        k: type(v) for k, v in wanted.attrs.items()
    }


def files_of(folder: str | Path) -> dict[str, bytes]:
    """Return every file of a folder with its bytes."""
    root = Path(folder)
    return {str(f.relative_to(root)): f.read_bytes() for f in root.rglob("*") if f.is_file()}


def counts(n_trials: int = 20) -> xr.DataArray:
    """Return counts."""
    values = np.random.default_rng(0).integers(0, 200, (n_trials, 10, 10)).astype(np.int32)
    return make(values, trial=[f"t{i}" for i in range(n_trials)], sampling_rate=10.0, source="test")


def floats(n_trials: int = 20) -> xr.DataArray:
    """Return floats with labels of unequal length."""
    values = np.random.default_rng(0).standard_normal((n_trials, 10, 10)).astype(np.float32)
    labels = np.array(["å" * (i % 5 + 1) for i in range(n_trials)])
    return make(
        values,
        trial=[f"t{i}" for i in range(n_trials)],
        sampling_rate=10.0,
        coords={"stimulus": ("trial", labels)},
        source="test",
    )


def cut_file(file: Path) -> None:
    """Cut a file in half."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip_bit(file: Path) -> None:
    """Flip one bit in the middle of a file."""
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 4
    file.write_bytes(data)
