"""The user's cache: what is made once from a file, and read back every time after."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from activome._checks import human_bytes
from activome.errors import ResourceError

__all__ = ["cache_folder", "cached", "sha256_of"]

_VARIABLE = "ACTIVOME_CACHE"
_PREFIX = ".building-"
_STALE_SECONDS = 86400.0


def cache_folder() -> Path:
    """Return the folder ACTIVOME_CACHE names, or the one of the system's conventions."""
    chosen = os.environ.get(_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
        return base / "activome" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "activome"
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # A relative path there is to be ignored, says the convention.
    return (base if base.is_absolute() else Path.home() / ".cache") / "activome"


def sha256_of(path: Path) -> str:
    """Return the checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached(key: str, build: Callable[[Path], None], n_bytes: int, *, owner: str) -> Path:
    """Return the folder of a key; ``build`` fills it the first time, under a temporary name.

    Raises
    ------
    ResourceError
        If the disk has no room for ``n_bytes``.
    """
    target = cache_folder() / key
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target.parent)
    free = shutil.disk_usage(target.parent).free
    if n_bytes > free:
        raise ResourceError(
            f"{owner}: the model takes {human_bytes(n_bytes)} in {target.parent}, where "
            f"{human_bytes(free)} are free. Set {_VARIABLE} to a folder with more room."
        )
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=_PREFIX) as temporary:
        built = Path(temporary) / "built"
        built.mkdir()
        build(built)
        try:
            built.rename(target)
        except OSError:
            # Another process was first; what it made is the same.
            if not target.is_dir():
                raise
    return target


def _sweep(folder: Path) -> None:
    """Remove what a process that was killed left behind."""
    for left in folder.glob(f"{_PREFIX}*"):
        if time.time() - left.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
