"""One writer per store: a lock that the system frees when its owner dies."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from activome.errors import StoreError

try:
    import fcntl
except ImportError:  # no POSIX locks on this system
    fcntl = None  # type: ignore[assignment]

__all__ = ["lock_owner", "lock_path", "writer_lock"]

# Locks of POSIX hold between processes only, and closing any descriptor of the file frees them:
# writers of one process are told apart here, before the file is touched. Keyed by process too, so
# that a forked child does not take its parent's locks for its own.
_held: dict[tuple[int, str], int] = {}
_guard = threading.Lock()


def lock_path(store: Path) -> Path:
    """Return the lock file of a store: hidden, beside it."""
    store = store.absolute()
    return store.with_name(f".{store.name}.lock")


@contextmanager
def writer_lock(store: Path, *, owner: str) -> Iterator[None]:
    """Hold the right to write a store; a second writer is refused at once."""
    file = Path(os.path.realpath(lock_path(store)))
    key = (os.getpid(), str(file))
    with _guard:
        if key in _held:
            raise _refusal(owner, store, {"pid": os.getpid(), "host": socket.gethostname()})
        descriptor = _acquire(file, store, owner)
        _held[key] = descriptor
    try:
        yield
    finally:
        with _guard:
            _held.pop(key, None)
            if os.getpid() == key[0]:
                # Removed while still held: whoever opened the old file sees that it is gone.
                file.unlink(missing_ok=True)
            os.close(descriptor)


def _acquire(file: Path, store: Path, owner: str) -> int:
    if fcntl is None:
        raise StoreError(
            f"{owner}: writing {store} needs the file locks of POSIX, which this system lacks. "
            "Write from Linux, macOS or WSL; reading works everywhere."
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            told = _read(descriptor)
            os.close(descriptor)
            raise _refusal(owner, store, told) from error
        try:
            is_current = os.fstat(descriptor).st_ino == file.stat().st_ino
        except FileNotFoundError:
            is_current = False
        if is_current:
            break
        os.close(descriptor)
    os.ftruncate(descriptor, 0)
    text = json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
    os.pwrite(descriptor, text.encode(), 0)
    return descriptor


def _read(descriptor: int) -> dict[str, Any]:
    try:
        told = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _refusal(owner: str, store: Path, told: dict[str, Any]) -> StoreError:
    who = f"process {told['pid']} on {told['host']}" if "pid" in told else "another process"
    return StoreError(
        f"{owner}: one writer per store; {who} is writing {store}. Wait for it, or stop it and "
        "go on with resume=True."
    )


def lock_owner(store: Path) -> int | None:
    """Return the process that writes a store now, or None; a lock left by a dead one is none."""
    file = Path(os.path.realpath(lock_path(store)))
    with _guard:
        if (os.getpid(), str(file)) in _held:
            return os.getpid()
        try:
            told = json.loads(file.read_bytes())
        except (OSError, ValueError):
            return None
    if not isinstance(told, dict) or not isinstance(told.get("pid"), int):
        return None
    pid = int(told["pid"])
    if told.get("host") != socket.gethostname():
        return pid
    # The lock itself is not tried: a writer that starts at this moment would be refused for it.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return pid
    return pid
