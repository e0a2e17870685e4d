"""Stores under kills and rivals: a killed writer leaves nothing that opens as whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from stores import CHUNK, counts, cut_file, files_of, flip_bit, floats, opened

from activome.activity.store import (
    StoreWriter,
    is_complete,
    open_store,
    store_status,
    write_store,
)
from activome.errors import ResourceError, StoreError

_CHILD = """
import os, signal, sys
import numpy as np
sys.path.insert(0, {tests!r})
from stores import floats, CHUNK
from activome.activity.store import StoreWriter
from activome.activity.store import _activity, _journal, writer, _manifest

when, n = sys.argv[1], int(sys.argv[2])
calls = 0

def dying(function, before):
    def wrapped(*args, **kwargs):
        global calls
        calls += 1
        if before and calls == n:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*args, **kwargs)
        if not before and calls == n:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return wrapped

if when == "write":
    _activity.ActivityFiles.write = dying(_activity.ActivityFiles.write, False)
elif when == "journal":
    _journal.Journal.add = dying(_journal.Journal.add, False)
elif when == "torn":
    whole = _journal.Commit.as_line
    _journal.Journal.add = dying(_journal.Journal.add, False)
    _journal.Commit.as_line = lambda self: whole(self)[:40] if calls == n else whole(self)
elif when == "labels":
    _activity.write_labels = dying(_activity.write_labels, True)
elif when == "manifest":
    _activity.write_manifest = dying(_activity.write_manifest, True)
elif when == "sealed":
    _activity.write_manifest = dying(_activity.write_manifest, False)

activity = floats()
with StoreWriter("s.zarr", activity, length=20, chunk_bytes=3 * CHUNK, resume=True) as writer:
    while writer.n_written < 20:
        writer.append(activity[writer.n_written : writer.n_written + 2])
"""


def _child(*arguments: str) -> int:
    code = _CHILD.format(tests=str(Path(__file__).parents[1] / "testing"))
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60
    )
    if done.returncode > 0:
        raise AssertionError(done.stderr)
    return done.returncode


def _resume(activity: xr.DataArray) -> None:
    with StoreWriter("s.zarr", activity, length=20, chunk_bytes=3 * CHUNK, resume=True) as writer:
        if writer.n_written < 20:
            writer.append(activity[writer.n_written :])


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is part of POSIX systems only")
@pytest.mark.parametrize(
    ("when", "n", "n_chunks"),
    [
        ("write", "1", 0),
        ("write", "4", 3),
        ("journal", "1", 1),
        ("journal", "6", 6),
        ("torn", "3", 2),
        ("labels", "2", 7),
        ("manifest", "1", 7),
    ],
)
def test_a_killed_writer_is_resumed(when: str, n: str, n_chunks: int) -> None:
    activity = floats()
    with StoreWriter("whole.zarr", activity, length=20, chunk_bytes=3 * CHUNK) as writer:
        writer.append(activity)
    assert _child(when, n) == -9
    assert not is_complete("s.zarr")
    assert not Path("s.zarr/zarr.json").exists()
    with pytest.raises(StoreError, match=f"incomplete: {n_chunks} of 7 chunks; resume"):
        open_store("s.zarr")
    if n_chunks:
        n_rows = store_status("s.zarr").n_rows
        xr.testing.assert_identical(opened("s.zarr", partial=True).load(), activity[:n_rows])
    _resume(activity)
    assert is_complete("s.zarr")
    assert files_of("s.zarr") == files_of("whole.zarr")
    xr.testing.assert_identical(opened("s.zarr").load(), activity)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is part of POSIX systems only")
def test_a_writer_killed_after_the_mark_left_a_whole_store() -> None:
    assert _child("sealed", "1") == -9
    xr.testing.assert_identical(opened("s.zarr").load(), floats())
    _resume(floats())
    assert not Path("s.zarr/activome.journal").exists()


def _write_in_part(activity: xr.DataArray, n_trials: int) -> None:
    """Leave a store incomplete, as an error in the source would."""
    with ExitStack() as stack:
        stack.enter_context(suppress(RuntimeError))
        writer = stack.enter_context(StoreWriter("s.zarr", activity, chunk_bytes=CHUNK))
        for i in range(n_trials):
            writer.append(activity[i : i + 1])
        raise RuntimeError("the source broke")


def test_resuming_drops_chunks_that_are_not_as_committed() -> None:
    activity = floats()
    _write_in_part(activity, 10)
    cut_file(Path("s.zarr/values/c/6/0/0"))
    Path("s.zarr/values/c/9/0/0.partial").write_bytes(b"left over")
    with StoreWriter("s.zarr", activity, chunk_bytes=CHUNK, resume=True) as writer:
        assert writer.n_written == 6
        writer.append(activity[6:])
    with StoreWriter("whole.zarr", activity, chunk_bytes=CHUNK) as writer:
        writer.append(activity)
    assert files_of("s.zarr") == files_of("whole.zarr")


def test_resuming_with_other_options_is_refused() -> None:
    activity = floats()
    _write_in_part(activity, 3)
    others: list[tuple[xr.DataArray, dict[str, Any], str]] = [
        (activity, {"chunk_bytes": 2 * CHUNK}, "another chunk_bytes, chunks"),
        (activity.assign_attrs(kind="rate"), {"chunk_bytes": CHUNK}, "another activity"),
        (activity, {"chunk_bytes": CHUNK, "length": 20}, "another length"),
        (activity[:, :5], {"chunk_bytes": CHUNK}, "another .*shape"),
    ]
    for template, options, message in others:
        with (
            pytest.raises(StoreError, match=message),
            StoreWriter("s.zarr", template, **options, resume=True),
        ):
            pass
    flip_bit(Path("s.zarr/activome.journal"))
    with (
        pytest.raises(StoreError, match=r"activome\.journal is damaged"),
        StoreWriter("s.zarr", activity, chunk_bytes=CHUNK, resume=True),
    ):
        pass


def test_a_second_writer_is_refused_with_the_pid_of_the_first() -> None:
    activity = floats()
    refused = f"one writer per store; process {os.getpid()} on"
    found: list[BaseException] = []

    def write() -> None:
        try:
            write_store(activity, "s.zarr", overwrite=True)
        except StoreError as error:
            found.append(error)

    with StoreWriter("s.zarr", activity) as writer:
        with pytest.raises(StoreError, match=refused), StoreWriter("s.zarr", activity, resume=True):
            pass
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        assert refused in str(found[0])
        code = (
            "from activome.activity.schema import make\n"
            "from activome.activity.store import write_store\n"
            "import numpy as np\n"
            "try: write_store(make(np.zeros((2, 2))), 's.zarr')\n"
            "except OSError as error: print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert refused in done.stdout
        writer.append(activity)
    assert is_complete("s.zarr")
    assert [p.name for p in Path().iterdir()] == ["s.zarr"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is part of POSIX systems only")
@pytest.mark.filterwarnings(
    # The child only tries the lock and leaves by _exit, so the parent's threads do not matter.
    "ignore:.*use of fork.*:DeprecationWarning"
)
def test_a_forked_child_does_not_write_for_its_parent() -> None:
    activity = floats()
    with StoreWriter("s.zarr", activity) as writer:
        child = os.fork()
        if child == 0:
            refusals = 0
            try:
                writer.append(activity)
            except StoreError:
                refusals += 1
            try:
                StoreWriter("s.zarr", activity, resume=True).__enter__()
            except StoreError as error:
                refusals += f"process {os.getppid()} on" in str(error)
            os._exit(refusals)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
        writer.append(activity)
    assert is_complete("s.zarr")


def test_the_lock_of_a_dead_writer_is_broken() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    text = json.dumps({"pid": int(done.stdout), "host": os.uname().nodename})
    for stale in (text, "", "not json", "[]"):
        Path(".s.zarr.lock").write_text(stale)
        assert store_status("s.zarr").writer is None
        write_store(counts(), "s.zarr", overwrite=True)
        assert not Path(".s.zarr.lock").exists()


def test_a_read_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from activome.activity.store import _chunks

    write_store(counts(), "s.zarr")

    class Full:
        shape, chunks, dtype = (20, 10, 10), (20, 10, 10), np.dtype("int32")

        def __getitem__(self, box: Any) -> Any:
            raise MemoryError("Unable to allocate")

    monkeypatch.setattr(_chunks, "open_array", lambda *args, **options: Full())
    with pytest.raises(ResourceError, match=r"needs 7\.8 KiB.*lazy=True"):
        _chunks.ChunkReader(
            Path("s.zarr"), "values", (20, 10, 10), ("trial", "time", "unit")
        ).read()
