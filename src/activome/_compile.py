"""Compiled kernels: numba's ``njit`` with types, cached on disk, without fast-math."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

__all__ = ["kernel", "parallel_range"]

F = TypeVar("F", bound=Callable[..., Any])

parallel_range = numba.prange


def kernel(*, parallel: bool = False, inline: bool = False) -> Callable[[F], F]:
    """Compile a function on arrays on first call; the result is cached beside the source.

    Fast-math stays off, so that results are equal on every machine of one kind; the interpreter
    lock is released while the kernel runs.
    """

    def decorate(function: F) -> F:
        compiled: F = numba.njit(
            cache=True, nogil=True, parallel=parallel, inline="always" if inline else "never"
        )(function)
        return compiled

    return decorate
