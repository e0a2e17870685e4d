"""What every reader does around its library: look at the file, guard the reading, name it."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import stat
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from activome._checks import DEFAULT_MEMORY_LIMIT, human_bytes, nearest_names
from activome.errors import (
    ActivityWarning,
    MissingExtraError,
    ParameterError,
    ReadError,
    ResourceError,
    StoreError,
)

__all__ = [
    "alias_with_suffix",
    "check_file",
    "check_rate",
    "choose_entry",
    "fits_memory",
    "opening_bytes",
    "reading",
    "source_of",
    "unique_names",
]

_HASH_WHOLE = 64 * 1024**2
_HASH_HEAD = 1024**2
# Refusals that already say what a user can do; everything else is the library's own wording.
_OURS = (ReadError, ResourceError, StoreError, MissingExtraError, ParameterError)


def check_file(path: str | os.PathLike[str], *, owner: str) -> Path:
    """Return the path of a regular file that can be read and is not empty.

    Raises
    ------
    ReadError
        If there is no such file, or it is a folder, a pipe, a loop of links, or empty.
    """
    file = Path(path).expanduser()
    cure = "Check the path."
    try:
        status = file.stat()
        if stat.S_ISREG(status.st_mode) and status.st_size:
            with file.open("rb"):
                return file
        what, cure = "it is empty", "Copy it again from where it was made."
        if stat.S_ISDIR(status.st_mode):
            what, cure = "it is a folder", "Give the file inside it."
        elif not stat.S_ISREG(status.st_mode):
            what, cure = "it is a pipe or a device", "Save it to a file first."
    except FileNotFoundError:
        what = "there is no such file"
    except (OSError, ValueError) as error:
        what = f"it cannot be opened: {getattr(error, 'strerror', None) or error}"
    raise ReadError(f"{owner}: {os.fspath(path)!r} must be a file; {what}. {cure}")


def opening_bytes(path: Path, count: int, *, owner: str) -> bytes:
    """Return the first bytes of a file.

    Raises
    ------
    ReadError
        If it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(count)
    except OSError as error:
        raise ReadError(f"{owner}: {str(path)!r} cannot be read: {error.strerror}.") from error


@contextmanager
def reading(path: Path, form: str, *, owner: str, cure: str = "") -> Iterator[None]:
    """Turn every failure of a library on a file into one refusal, and its warnings into ours.

    Raises
    ------
    ReadError
        If the library fails in any way on the file.
    ResourceError
        If it runs out of memory.
    """
    cure = cure or "The file is damaged or is written in another way; copy or export it again."
    with warnings.catch_warnings(record=True) as caught, _without_log("mne"):
        warnings.simplefilter("always")
        try:
            yield
        except _OURS:
            raise
        except MemoryError as error:
            raise ResourceError(
                f"{owner}: {str(path)!r} asks for more memory than there is ({_text(error)}). "
                "It is larger than this machine holds, or its header is damaged."
            ) from error
        # Libraries raise anything on damaged files, from struct.error to AssertionError.
        except Exception as error:
            raise ReadError(
                f"{owner}: {str(path)!r} is no sound {form} file: {_text(error)}. {cure}"
            ) from error
    _pass_on(caught, path, owner)


@contextmanager
def _without_log(name: str) -> Iterator[None]:
    """Keep a library from printing what it also warns of."""

    def drop(record: logging.LogRecord) -> bool:
        return False

    logger = logging.getLogger(name)
    logger.addFilter(drop)
    try:
        yield
    finally:
        logger.removeFilter(drop)


def _text(error: BaseException) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    return (words if len(words) <= 300 else words[:297] + "...").rstrip(".")


def _pass_on(caught: Sequence[warnings.WarningMessage], path: Path, owner: str) -> None:
    """Warnings about the file become ours, once each; others (deprecations) go on unchanged."""
    seen = set()
    for item in caught:
        text = " ".join(str(item.message).split())
        if not issubclass(item.category, (UserWarning, RuntimeWarning)):
            # A handle that a failed parser left open is closed by the collector, not our concern.
            if not issubclass(item.category, ResourceWarning):
                warnings.warn_explicit(item.message, item.category, item.filename, item.lineno)
        elif text not in seen:
            seen.add(text)
            shown = (
                text
                if issubclass(item.category, ActivityWarning)
                else (f"{owner}: {path.name}: {text}")
            )
            warnings.warn(shown, ActivityWarning, stacklevel=4)


def source_of(path: Path, form: str) -> str:
    """Return ``name (form, sha256 ...)``; of large files the first mebibyte stands for the "
    "whole."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        if size <= _HASH_WHOLE:
            digest, part = hashlib.file_digest(stream, "sha256").hexdigest(), "sha256"
        else:
            digest = hashlib.sha256(stream.read(_HASH_HEAD)).hexdigest()
            part = "sha256 of the first MiB"
    return f"{path.name} ({form}, {part} {digest})"


def check_rate(rate: Any, path: Path, *, owner: str) -> float:
    """Return a sampling rate read from a file, in Hz.

    Raises
    ------
    ReadError
        If it is not a positive finite number.
    """
    number = float(rate)
    if not (math.isfinite(number) and number > 0):
        raise ReadError(
            f"{owner}: {str(path)!r} must state a positive sampling rate; it says {number:g} Hz. "
            "Its header is damaged; export it again."
        )
    return number


def fits_memory(
    n_bytes: float,
    path: Path,
    *,
    owner: str,
    limit: float | None = None,
    cure: str = "Load it with lazy=True, or raise memory_limit.",
) -> None:
    """Refuse a reading that would pass the memory limit (2 GiB by default) before it starts.

    Raises
    ------
    ResourceError
        If it would.
    """
    allowed = DEFAULT_MEMORY_LIMIT if limit is None else limit
    if n_bytes > allowed:
        raise ResourceError(
            f"{owner}: {str(path)!r} would take {human_bytes(n_bytes)} in memory, more than the "
            f"limit of {human_bytes(allowed)}. {cure}"
        )


def choose_entry(
    what: str | None,
    entries: Mapping[str, str],
    path: Path,
    *,
    owner: str,
    default: str | None = None,
) -> str:
    """Return which of the things inside a file is meant.

    Raises
    ------
    ReadError
        If there is nothing inside, or several things and no choice between them.
    ParameterError
        If the name given is not inside.
    """
    if what is not None:
        if what not in entries:
            hint = nearest_names(str(what), entries)
            raise ParameterError(f"{owner}: {str(path)!r} holds no {what!r}; {hint}")
        return what
    if default is not None:
        return default
    if len(entries) == 1:
        return next(iter(entries))
    if not entries:
        raise ReadError(f"{owner}: {str(path)!r} holds no activity and no events that can be read.")
    listed = "; ".join(f"{name!r}: {text}" for name, text in list(entries.items())[:20])
    raise ReadError(
        f"{owner}: {str(path)!r} holds {len(entries)} things, and one must be chosen: {listed}. "
        f"Name it, such as what={next(iter(entries))!r}."
    )


@contextmanager
def alias_with_suffix(path: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    """Yield the path under a name that ends as a library insists, by a link where it does not."""
    if any(path.name.lower().endswith(suffix) for suffix in suffixes):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        alias = Path(folder) / f"recording{suffixes[0]}"
        alias.symlink_to(path.resolve())
        yield alias


def unique_names(names: Iterable[Any], path: Path, *, owner: str) -> np.ndarray[Any, Any]:
    """Return the names as strings, with repeats numbered and a warning that says so."""
    texts = [str(name) for name in names]
    taken: set[str] = set()
    result = []
    repeats = []
    for text in texts:
        name, count = text, 1
        while name in taken:
            count += 1
            name = f"{text}-{count}"
        if count > 1:
            repeats.append(text)
        taken.add(name)
        result.append(name)
    if repeats:
        warnings.warn(
            f"{owner}: {path.name}: {len(repeats)} names of units are repeated, the first "
            f"{repeats[0]!r}; the repeats were numbered.",
            ActivityWarning,
            stacklevel=3,
        )
    return np.asarray(result)
