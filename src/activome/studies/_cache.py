"""Results of steps on disk: nested dicts and lists of numbers, strings and arrays, no pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from activome._files import atomic_path
from activome.errors import ParameterError

__all__ = ["read_value", "write_value"]


def write_value(path: Path, value: Any) -> None:
    """Write a nested value to one npz file, whole or not at all."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    tree = json.dumps(_to_tree(value, arrays))
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, tree=np.array(tree), **arrays)  # type: ignore[arg-type]  # names are free


def read_value(path: Path) -> Any:
    """Read what ``write_value`` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        return _from_tree(json.loads(str(stored["tree"])), stored)


def _to_tree(value: Any, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise ParameterError("a step must return plain numbers; got an array of objects.")
        name = f"array{len(arrays)}"
        arrays[name] = value
        return {"kind": "array", "name": name}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict):
        pairs = [[_to_tree(k, arrays), _to_tree(v, arrays)] for k, v in value.items()]
        return {"kind": "dict", "items": pairs}
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {"kind": kind, "items": [_to_tree(item, arrays) for item in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"kind": "value", "value": value}
    raise ParameterError(
        "a step must return numbers, strings, arrays, and dicts or lists of these; "
        f"got {type(value).__name__}."
    )


def _from_tree(tree: Any, stored: Any) -> Any:
    if tree["kind"] == "array":
        return stored[tree["name"]]
    if tree["kind"] == "dict":
        return {_from_tree(k, stored): _from_tree(v, stored) for k, v in tree["items"]}
    if tree["kind"] in ("list", "tuple"):
        items = [_from_tree(item, stored) for item in tree["items"]]
        return tuple(items) if tree["kind"] == "tuple" else items
    return tree["value"]
