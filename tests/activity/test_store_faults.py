"""Stores under faults: damage is named, a killed writer leaves nothing that opens as whole."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from activome.activity.events import Events
from activome.activity.schema import make
from activome.activity.store import (
    StoreWriter,
    is_complete,
    open_store,
    store_status,
    write_store,
)
from activome.errors import ResourceError, StoreError

_CHUNK = 400


def _counts(n_trials: int = 20) -> xr.DataArray:
    values = np.random.default_rng(0).integers(0, 200, (n_trials, 10, 10)).astype(np.int32)
    return make(values, trial=[f"t{i}" for i in range(n_trials)], sampling_rate=10.0, source="test")


def _floats(n_trials: int = 20) -> xr.DataArray:
    values = np.random.default_rng(0).standard_normal((n_trials, 10, 10)).astype(np.float32)
    labels = np.array(["å" * (i % 5 + 1) for i in range(n_trials)])
    return make(
        values,
        trial=[f"t{i}" for i in range(n_trials)],
        sampling_rate=10.0,
        coords={"stimulus": ("trial", labels)},
        source="test",
    )


def _opened(path: Any, **options: Any) -> xr.DataArray:
    found = open_store(path, **options)
    assert isinstance(found, xr.DataArray)
    return found


def _tree(folder: str | Path) -> dict[str, bytes]:
    root = Path(folder)
    return {str(f.relative_to(root)): f.read_bytes() for f in root.rglob("*") if f.is_file()}


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 4
    file.write_bytes(data)


def _flip_last(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


_IN_CHUNK = r"chunk values/c/7/0/0 of .*s\.zarr, which holds trial 7:8, time 0:10, unit 0:10, "


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (Path.unlink, "is missing"),
        (_cut, "is cut short"),
        (_empty, "is cut short"),
        (_flip_last, "is another than was written"),
    ],
)
@pytest.mark.parametrize("compress", ["none", "zstd"])
def test_a_damaged_chunk_is_named_on_opening(
    harm: Callable[[Path], None], message: str, compress: str
) -> None:
    write_store(_counts(), "s.zarr", chunk_bytes=_CHUNK, compress=compress)
    harm(Path("s.zarr/values/c/7/0/0"))
    with pytest.raises(StoreError, match=_IN_CHUNK + message + r".*Restore that file"):
        open_store("s.zarr")
    status = store_status("s.zarr")
    assert status.state == "damaged"
    assert "values/c/7/0/0" in str(status.problem)
    assert not is_complete("s.zarr")


@pytest.mark.parametrize("compress", ["none", "zstd"])
@pytest.mark.parametrize("activity", [_counts(), _floats()], ids=["int", "float"])
def test_a_flipped_bit_is_named_on_reading(activity: xr.DataArray, compress: str) -> None:
    write_store(activity, "s.zarr", chunk_bytes=_CHUNK, compress=compress)
    _flip(Path("s.zarr/values/c/7/0/0"))
    message = _IN_CHUNK + r"does not match its checksum \(stored [0-9a-f]{8}, computed"
    lazy = _opened("s.zarr")
    np.testing.assert_array_equal(lazy[:7].values, activity[:7].values)
    with pytest.raises(StoreError, match=message):
        lazy.load()
    with pytest.raises(StoreError, match=message):
        open_store("s.zarr", lazy=False)


def test_every_flipped_bit_of_a_chunk_is_found() -> None:
    write_store(_counts(2), "s.zarr", chunk_bytes=_CHUNK, compress="zstd")
    file = Path("s.zarr/values/c/1/0/0")
    whole = file.read_bytes()
    for place in np.random.default_rng(0).integers(0, 8 * len(whole), 30).tolist():
        data = bytearray(whole)
        data[place // 8] ^= 1 << (place % 8)
        file.write_bytes(data)
        with pytest.raises(StoreError, match=r"values/c/1/0/0"):
            open_store("s.zarr", lazy=False)


def test_a_chunk_that_goes_missing_after_opening_is_no_zero() -> None:
    write_store(_counts(), "s.zarr", chunk_bytes=_CHUNK)
    lazy = _opened("s.zarr")
    Path("s.zarr/values/c/7/0/0").unlink()
    with pytest.raises(StoreError, match=_IN_CHUNK + "is missing"):
        lazy.load()


def test_chunks_that_changed_places_are_found() -> None:
    write_store(_floats(), "s.zarr", chunk_bytes=_CHUNK, compress="none")
    shutil.copy("s.zarr/values/c/3/0/0", "s.zarr/values/c/7/0/0")
    with pytest.raises(StoreError, match=_IN_CHUNK + "is another than was written"):
        open_store("s.zarr")


@pytest.mark.parametrize("file", ["zarr.json", "values/zarr.json", "trial/zarr.json"])
@pytest.mark.parametrize("harm", [_cut, _empty, _flip, Path.unlink])
def test_damaged_metadata_is_named(file: str, harm: Callable[[Path], None]) -> None:
    write_store(_counts(3), "s.zarr", chunk_bytes=_CHUNK)
    harm(Path("s.zarr") / file)
    with pytest.raises(StoreError, match=rf"s\.zarr/{file} is (damaged|missing).*Restore it"):
        open_store("s.zarr")


@pytest.mark.parametrize("n_left", [0, 1, 5, 9, 10, 100, -2])
def test_a_cut_manifest_is_named(n_left: int) -> None:
    write_store(_counts(3), "s.zarr")
    file = Path("s.zarr/activome.json")
    file.write_bytes(file.read_bytes()[:n_left])
    with pytest.raises(StoreError, match=r"activome\.json is damaged"):
        open_store("s.zarr")


def test_every_flipped_bit_of_the_manifest_is_found() -> None:
    write_store(_counts(3), "s.zarr")
    file = Path("s.zarr/activome.json")
    whole = file.read_bytes()
    for place in np.random.default_rng(0).integers(0, 8 * len(whole) - 8, 50).tolist():
        data = bytearray(whole)
        data[place // 8] ^= 1 << (place % 8)
        file.write_bytes(data)
        with pytest.raises(StoreError, match=r"activome\.json"):
            open_store("s.zarr")


def test_damaged_labels_and_events_are_named() -> None:
    write_store(_floats(), "a.zarr", chunk_bytes=_CHUNK)
    _flip(Path("a.zarr/stimulus/c/0"))
    with pytest.raises(StoreError, match=r"chunk stimulus/c/0 of .*checksum"):
        open_store("a.zarr")
    write_store(Events(np.arange(500), np.arange(500) % 7), "e.zarr", chunk_bytes=_CHUNK)
    _flip(Path("e.zarr/t/c/2"))
    with pytest.raises(StoreError, match=r"chunk t/c/2 of .*which holds event 100:150.*checksum"):
        open_store("e.zarr")


def test_what_is_no_store_is_said() -> None:
    Path("folder").mkdir()
    xr.Dataset({"v": ("x", [1.0])}).to_zarr("other.zarr", consolidated=False)
    Path("file").write_text("x")
    for path in ("folder", "other.zarr", "file"):
        with pytest.raises(StoreError, match=r"is no store of activome.*xarray\.open_zarr"):
            open_store(path)
        assert store_status(path).state == "damaged"
    with pytest.raises(StoreError, match="there is no nowhere"):
        open_store("nowhere")
    assert store_status("nowhere").state == "absent"


def test_a_store_of_a_later_format_is_refused() -> None:
    from activome.activity.store._manifest import seal, unseal

    write_store(_counts(3), "s.zarr")
    file = Path("s.zarr/activome.json")
    file.write_text(seal(unseal(file.read_text()) | {"format": 2}))
    with pytest.raises(StoreError, match=r"format 2; this version reads format 1"):
        open_store("s.zarr")


_CHILD = """
import os, signal, sys
import numpy as np
sys.path.insert(0, {tests!r})
from test_store_faults import _floats, _CHUNK
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

activity = _floats()
with StoreWriter("s.zarr", activity, length=20, chunk_bytes=3 * _CHUNK, resume=True) as writer:
    while writer.n_written < 20:
        writer.append(activity[writer.n_written : writer.n_written + 2])
"""


def _child(*arguments: str) -> int:
    code = _CHILD.format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60
    )
    if done.returncode > 0:
        raise AssertionError(done.stderr)
    return done.returncode


def _resume(activity: xr.DataArray) -> None:
    with StoreWriter("s.zarr", activity, length=20, chunk_bytes=3 * _CHUNK, resume=True) as writer:
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
    activity = _floats()
    with StoreWriter("whole.zarr", activity, length=20, chunk_bytes=3 * _CHUNK) as writer:
        writer.append(activity)
    assert _child(when, n) == -9
    assert not is_complete("s.zarr")
    assert not Path("s.zarr/zarr.json").exists()
    with pytest.raises(StoreError, match=f"incomplete: {n_chunks} of 7 chunks; resume"):
        open_store("s.zarr")
    if n_chunks:
        n_rows = store_status("s.zarr").n_rows
        xr.testing.assert_identical(_opened("s.zarr", partial=True).load(), activity[:n_rows])
    _resume(activity)
    assert is_complete("s.zarr")
    assert _tree("s.zarr") == _tree("whole.zarr")
    xr.testing.assert_identical(_opened("s.zarr").load(), activity)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is part of POSIX systems only")
def test_a_writer_killed_after_the_mark_left_a_whole_store() -> None:
    assert _child("sealed", "1") == -9
    xr.testing.assert_identical(_opened("s.zarr").load(), _floats())
    _resume(_floats())
    assert not Path("s.zarr/activome.journal").exists()


def _write_in_part(activity: xr.DataArray, n_trials: int) -> None:
    """Leave a store incomplete, as an error in the source would."""
    with ExitStack() as stack:
        stack.enter_context(suppress(RuntimeError))
        writer = stack.enter_context(StoreWriter("s.zarr", activity, chunk_bytes=_CHUNK))
        for i in range(n_trials):
            writer.append(activity[i : i + 1])
        raise RuntimeError("the source broke")


def test_resuming_drops_chunks_that_are_not_as_committed() -> None:
    activity = _floats()
    _write_in_part(activity, 10)
    _cut(Path("s.zarr/values/c/6/0/0"))
    Path("s.zarr/values/c/9/0/0.partial").write_bytes(b"left over")
    with StoreWriter("s.zarr", activity, chunk_bytes=_CHUNK, resume=True) as writer:
        assert writer.n_written == 6
        writer.append(activity[6:])
    with StoreWriter("whole.zarr", activity, chunk_bytes=_CHUNK) as writer:
        writer.append(activity)
    assert _tree("s.zarr") == _tree("whole.zarr")


def test_resuming_with_other_options_is_refused() -> None:
    activity = _floats()
    _write_in_part(activity, 3)
    others: list[tuple[xr.DataArray, dict[str, Any], str]] = [
        (activity, {"chunk_bytes": 2 * _CHUNK}, "another chunk_bytes, chunks"),
        (activity.assign_attrs(kind="rate"), {"chunk_bytes": _CHUNK}, "another activity"),
        (activity, {"chunk_bytes": _CHUNK, "length": 20}, "another length"),
        (activity[:, :5], {"chunk_bytes": _CHUNK}, "another .*shape"),
    ]
    for template, options, message in others:
        with (
            pytest.raises(StoreError, match=message),
            StoreWriter("s.zarr", template, **options, resume=True),
        ):
            pass
    _flip(Path("s.zarr/activome.journal"))
    with (
        pytest.raises(StoreError, match=r"activome\.journal is damaged"),
        StoreWriter("s.zarr", activity, chunk_bytes=_CHUNK, resume=True),
    ):
        pass


def test_a_second_writer_is_refused_with_the_pid_of_the_first() -> None:
    activity = _floats()
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
    activity = _floats()
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
        write_store(_counts(), "s.zarr", overwrite=True)
        assert not Path(".s.zarr.lock").exists()


def test_a_read_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from activome.activity.store import _chunks

    write_store(_counts(), "s.zarr")

    class Full:
        shape, chunks, dtype = (20, 10, 10), (20, 10, 10), np.dtype("int32")

        def __getitem__(self, box: Any) -> Any:
            raise MemoryError("Unable to allocate")

    monkeypatch.setattr(_chunks, "open_array", lambda *args, **options: Full())
    with pytest.raises(ResourceError, match=r"needs 7\.8 KiB.*lazy=True"):
        _chunks.ChunkReader(
            Path("s.zarr"), "values", (20, 10, 10), ("trial", "time", "unit")
        ).read()
