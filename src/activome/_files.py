"""Writing files whole: to a temporary name beside the target, then moved into place."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["atomic_path", "read_json", "remove_tree", "write_json", "write_text"]


@contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path (file or folder) that replaces ``target`` when the block succeeds.

    The temporary name keeps the suffix of the target, since many writers choose by it. On any
    exception it is removed and the target stays as it was.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    suffix = "".join(target.suffixes[-2:])
    stem = target.name.removesuffix(suffix)
    temporary = target.with_name(f".{stem}.{secrets.token_hex(6)}{suffix}")
    try:
        yield temporary
        if temporary.is_dir() and target.is_dir():
            retired = target.with_name(f".{target.name}.{secrets.token_hex(6)}.old")
            os.replace(target, retired)
            os.replace(temporary, target)
            remove_tree(retired)
        else:
            os.replace(temporary, target)
    finally:
        remove_tree(temporary)


def remove_tree(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_text(target: str | os.PathLike[str], text: str) -> None:
    """Write a text file whole."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: str | os.PathLike[str], value: Any) -> None:
    """Write a JSON file whole, with sorted keys and without NaN (which JSON does not know)."""
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_text(target, text + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))
