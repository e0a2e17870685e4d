"""The journal of a store that is being written: which slabs are committed, line by line."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from activome._files import write_text
from activome.activity._json_values import decode, encode
from activome.activity.store._chunks import chunk_stamp
from activome.activity.store._manifest import seal, unseal
from activome.errors import StoreError

__all__ = ["JOURNAL", "Commit", "Journal"]

JOURNAL = "activome.journal"
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Commit:
    """Rows that are on disk: their range, their labels, and the stamps of their chunks."""

    start: int
    stop: int
    coords: dict[str, Array]
    stamps: list[tuple[list[int], int, int]]

    def as_line(self) -> str:
        """Return the sealed line of this commit."""
        coords = {name: encode(values) for name, values in self.coords.items()}
        rows = [self.start, self.stop]
        return seal({"rows": rows, "coords": coords, "stamps": [list(s) for s in self.stamps]})

    @classmethod
    def from_body(cls, body: dict[str, Any]) -> Commit:
        """Return the commit of a line."""
        coords = {name: decode(values) for name, values in body["coords"].items()}
        stamps = [(list(index), size, total) for index, size, total in body["stamps"]]
        start, stop = body["rows"]
        return cls(start, stop, coords, stamps)

    def is_on_disk(self, folder: Path, name: str) -> bool:
        """Tell whether every chunk is there, as it was written."""
        return all(chunk_stamp(folder, name, i) == (size, total) for i, size, total in self.stamps)


@dataclass
class Journal:
    """Header and commits, as far as their lines are whole.

    Attributes
    ----------
    header : dict
        What is being written: layout, static labels, sizes.
    commits : list of Commit
        One after the other, without gaps.
    """

    header: dict[str, Any]
    commits: list[Commit] = field(default_factory=list)

    @property
    def n_rows(self) -> int:
        """Rows committed."""
        return self.commits[-1].stop if self.commits else 0

    @property
    def n_chunks(self) -> int:
        """Chunks committed."""
        return sum(len(commit.stamps) for commit in self.commits)

    def write(self, folder: Path) -> None:
        """Write the journal whole, in place of the one that is there."""
        text = seal({"header": self.header}) + "".join(c.as_line() for c in self.commits)
        write_text(folder / JOURNAL, text)

    def add(self, folder: Path, commit: Commit) -> None:
        """Append one line; its checksum tells a reader whether it has seen all of it."""
        descriptor = os.open(folder / JOURNAL, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, commit.as_line().encode())
        finally:
            os.close(descriptor)
        self.commits.append(commit)

    @classmethod
    def read(cls, folder: Path, *, owner: str) -> Journal:
        """Read the journal up to the first line that is not whole."""
        file = folder / JOURNAL
        try:
            lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
            bodies = [unseal(line) if line.endswith("\n") else None for line in lines]
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(
                f"{owner}: {file} cannot be read: {error}. Write the store again."
            ) from error
        if not bodies or bodies[0] is None or "header" not in bodies[0]:
            raise StoreError(f"{owner}: {file} is damaged. Remove {folder} and write it again.")
        journal = cls(bodies[0]["header"])
        for body in bodies[1:]:
            if body is None or body["rows"][0] != journal.n_rows:
                break
            journal.commits.append(Commit.from_body(body))
        return journal
