"""Compiled kernels: numba's ``njit`` with types, cached on disk, without fast-math."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import numba

__all__ = ["kernel", "parallel_range"]

F = TypeVar("F", bound=Callable[..., Any])
Stamp = tuple[str, float, int]

parallel_range = numba.prange
_STAMPS: dict[int, frozenset[Stamp]] = {}


def kernel(*, parallel: bool = False, inline: bool = False) -> Callable[[F], F]:
    """Compile a function on arrays on first call; the result is cached beside the source.

    Fast-math stays off, so that results are equal on every machine of one kind; the interpreter
    lock is released while the kernel runs. What is cached is compiled anew when the file of the
    kernel has changed, or that of a kernel it calls.
    """

    def decorate(function: F) -> F:
        compiled: F = numba.njit(
            cache=True, nogil=True, parallel=parallel, inline="always" if inline else "never"
        )(function)
        _stamp(function, compiled)
        return compiled

    return decorate


def _stamp(function: Any, compiled: Any) -> None:
    """Let the cache depend on the files of all kernels that are called; numba looks at one."""
    path = function.__code__.co_filename
    found = {_of_file(path)}
    for name in function.__code__.co_names:
        found |= _STAMPS.get(id(function.__globals__.get(name)), frozenset())
    _STAMPS[id(compiled)] = frozenset(found)
    file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if file is not None and hasattr(file, "_source_stamp"):
        file._source_stamp = tuple(sorted(found))


def _of_file(path: str) -> Stamp:
    try:
        state = os.stat(path)
    except OSError:  # a function that was typed, or read from an archive
        return path, 0.0, 0
    return path, state.st_mtime, state.st_size
