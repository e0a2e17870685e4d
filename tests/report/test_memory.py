"""The report reads a store block by block: its memory does not grow with the recording."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from activome.activity.schema import make
from activome.activity.store import write_store

PROGRAM = """
import resource, sys
from activome.report.recording import open_recording
from activome.report.settings import ReportSettings
import activome.samples.null_recordings
settings = ReportSettings(max_samples=2000)
if sys.argv[1] != "nothing":
    recording = open_recording(sys.argv[1], settings)
    print(recording.grid.sizes["time"], recording.scan.bin_size, recording.scan.n_used)
else:
    import activome.activity.store.api, activome.activity.readers.loading, dask.array
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def run(argument: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, argument], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.skipif(sys.platform != "linux", reason="counts resident memory in KiB, as Linux does")
def test_a_store_larger_than_the_working_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = np.tile(rng.normal(size=(20_000, 200)).astype(np.float32), (10, 1))
    values += np.arange(values.shape[0], dtype=np.float32)[:, np.newaxis] / values.shape[0]
    write_store(make(values, sampling_rate=100.0), tmp_path / "long.zarr")
    n_bytes = values.nbytes
    del values
    base = int(run("nothing")[-1])
    *sizes, peak = run(str(tmp_path / "long.zarr"))
    assert sizes == ["2000", "100", "200000"]
    assert n_bytes == 160_000_000
    assert int(peak) - base < 0.7 * n_bytes
