"""The manifest of a store: what it holds, and the size and checksum of each of its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import google_crc32c

from activome._files import write_text
from activome.activity.store._chunks import (
    chunk_files,
    chunk_stamp,
    damage_error,
)
from activome.errors import StoreError

__all__ = ["FORMAT", "MANIFEST", "check_files", "read_manifest", "seal", "stamp_array"]

FORMAT = 1
MANIFEST = "activome.json"


def seal(body: Any) -> str:
    """Return JSON on one line behind its checksum."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"{google_crc32c.value(text.encode()):08x} {text}\n"


def unseal(line: str) -> Any:
    """Return what was sealed, or None when a single bit has changed."""
    stamp, _, text = line.rstrip("\n").partition(" ")
    if stamp != f"{google_crc32c.value(text.encode()):08x}":
        return None
    return json.loads(text)


def stamp_array(folder: Path, name: str, document: dict[str, Any]) -> dict[str, Any]:
    """Return the record of one array: its layout, and size and checksum of each file."""
    shape = document["shape"]
    chunks = document["chunk_grid"]["configuration"]["chunk_shape"]
    stamps = [chunk_stamp(folder, name, i) for i in chunk_files(shape, chunks)]
    return {
        "shape": shape,
        "chunks": chunks,
        "dims": document.get("dimension_names") or [],
        "sizes": [size for size, _ in stamps],
        "sums": [total for _, total in stamps],
    }


def write_manifest(folder: Path, kind: str, content: dict[str, Any], names: list[str]) -> None:
    """Finish a store: its root for readers of Zarr, then the mark that it is complete, last."""
    documents = {name: json.loads((folder / name / "zarr.json").read_text()) for name in names}
    root = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {"activome": {"format": FORMAT, "kind": kind}},
        # Written inline, so that readers find the arrays without listing the folder.
        "consolidated_metadata": {
            "kind": "inline",
            "must_understand": False,
            "metadata": documents,
        },
    }
    write_text(folder / "zarr.json", json.dumps(root, indent=1) + "\n")
    files = ["zarr.json", *(f"{name}/zarr.json" for name in names)]
    body = {
        "format": FORMAT,
        "kind": kind,
        "content": content,
        "arrays": {
            name: stamp_array(folder, name, document) for name, document in documents.items()
        },
        "documents": {file: google_crc32c.value((folder / file).read_bytes()) for file in files},
    }
    write_text(folder / MANIFEST, seal({"complete": True, **body}))


def read_manifest(folder: Path, *, owner: str) -> dict[str, Any]:
    """Read the manifest of a complete store."""
    file = folder / MANIFEST
    cure = "Restore it from a copy, or write the store again."
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{owner}: {file} cannot be read: {error}. {cure}") from error
    body = unseal(text)
    if not isinstance(body, dict) or body.get("complete") is not True:
        raise StoreError(
            f"{owner}: {file} is damaged: it is cut short or was changed ({len(text)} characters). "
            f"{cure}"
        )
    if body["format"] != FORMAT:
        raise StoreError(
            f"{owner}: {folder} was written in format {body['format']}; this version reads format "
            f"{FORMAT}. Install a newer activome."
        )
    return body


def check_files(folder: Path, manifest: dict[str, Any], *, owner: str) -> None:
    """Compare every file with the manifest: metadata whole, chunks by size and checksum."""
    for file, expected in manifest["documents"].items():
        try:
            found = google_crc32c.value((folder / file).read_bytes())
        except OSError as error:
            raise StoreError(
                f"{owner}: {folder / file} is missing or cannot be read ({error.strerror}). "
                "Restore it from a copy, or write the store again."
            ) from error
        if found != expected:
            raise StoreError(
                f"{owner}: {folder / file} is damaged: it is cut short or was changed since it was "
                "written. Restore it from a copy, or write the store again."
            )
    for name, record in manifest["arrays"].items():
        stamps = zip(record["sizes"], record["sums"], strict=True)
        indices = chunk_files(record["shape"], record["chunks"])
        for index, expected in zip(indices, stamps, strict=True):
            found_stamp = chunk_stamp(folder, name, index)
            if found_stamp != expected:
                layout = (record["shape"], record["chunks"], record["dims"])
                what = _difference(found_stamp, expected)
                raise damage_error(owner, folder, name, index, layout, what)


def _difference(found: tuple[int, int], expected: tuple[int, int]) -> str:
    if found[0] < 0:
        return "is missing"
    if found[0] < expected[0]:
        return f"is cut short ({found[0]} of {expected[0]} bytes)"
    if found[0] > expected[0]:
        return f"has grown ({found[0]} bytes instead of {expected[0]})"
    return f"is another than was written (checksum {found[1]:08x} instead of {expected[1]:08x})"
