"""One progress protocol: the library reports steps, whoever called it draws them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import Protocol, TypeVar

__all__ = ["Progress", "silent", "track"]

T = TypeVar("T")


class Progress(Protocol):
    """Called with the name of a task, the steps done, and the steps in all (0 when unknown)."""

    def __call__(self, task: str, done: int, total: int) -> None:
        """Take note of one step."""


def silent(task: str, done: int, total: int) -> None:
    """Ignore progress."""


def track(
    items: Iterable[T], task: str, progress: Progress = silent, *, total: int | None = None
) -> Iterator[T]:
    """Yield the items and report each one when it has been worked on."""
    if total is None:
        total = len(items) if isinstance(items, Sized) else 0
    progress(task, 0, total)
    for done, item in enumerate(items, start=1):
        yield item
        progress(task, done, total)
