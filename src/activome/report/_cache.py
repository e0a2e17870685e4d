"""Sections on disk: each is written whole when it is done, and taken over by a later run."""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from activome import __version__
from activome._files import atomic_path, read_json, write_json
from activome.errors import ActivityError, ResourceError
from activome.report._code import three_lines
from activome.report.recording import Recording
from activome.report.registry import SectionEntry
from activome.report.section import Section
from activome.report.sections._shared import not_applicable
from activome.report.settings import ReportSettings

__all__ = ["Cache", "SectionRun", "read_section", "run_section"]


@dataclass(frozen=True)
class Cache:
    """The folder beside a report.

    Attributes
    ----------
    folder : pathlib.Path
        Holds ``sections``, ``figures``, ``arrays.zarr`` and ``report.json``.
    """

    folder: Path

    def prepare(self) -> None:
        """Make the folder, and in it an empty group of arrays."""
        for name in ("sections", "figures"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        zarr.open_group(self.folder / "arrays.zarr", mode="a")

    def section(self, name: str) -> Path:
        """Return where the record of a section is."""
        return self.folder / "sections" / f"{name}.json"

    def figure(self, name: str) -> Path:
        """Return where a picture is."""
        return self.folder / "figures" / f"{name}.png"


@dataclass(frozen=True)
class SectionRun:
    """A section as it stands in ``report.json``.

    Attributes
    ----------
    name : str
        Of the section.
    record : dict
        What it says.
    cost : dict
        Wall and CPU seconds, peak memory in bytes.
    """

    name: str
    record: dict[str, Any]
    cost: dict[str, float]


def _key(entry: SectionEntry, recording: Recording, settings: ReportSettings) -> str:
    # The memory limit decides the grid, whose content is in the checksum; alone it changes nothing.
    chosen = {k: v for k, v in settings.as_record().items() if k != "memory_limit"}
    content = [__version__, entry.name, recording.checksum, recording.source_code, chosen]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_section(
    cache: Cache, entry: SectionEntry, recording: Recording, settings: ReportSettings
) -> SectionRun | None:
    """Return a section of an earlier run, or None when there is none of these data and settings."""
    try:
        stored = read_json(cache.section(entry.name))
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(stored, dict) or stored.get("key") != _key(entry, recording, settings):
        return None
    for name, digest in stored["pictures"].items():
        path = cache.figure(name)
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return None
    if not (cache.folder / "arrays.zarr" / entry.name / "zarr.json").is_file():
        return None
    return SectionRun(entry.name, stored["record"], stored["cost"])


def run_section(
    cache: Cache, entry: SectionEntry, recording: Recording, settings: ReportSettings
) -> SectionRun:
    """Analyse, and write the section whole: arrays and pictures first, the record last."""
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        section = entry.analyse()(recording, settings)
    except (ActivityError, ResourceError) as error:
        section = not_applicable(str(error), three_lines(recording, settings, "print(grid.sizes)"))
    _write_arrays(cache.folder / "arrays.zarr" / entry.name, section)
    pictures = {}
    for figure in section.figures:
        with atomic_path(cache.figure(figure.name)) as temporary:
            temporary.write_bytes(figure.png)
        pictures[figure.name] = hashlib.sha256(figure.png).hexdigest()
    cost = {
        "wall_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_memory_bytes": float(_peak_memory()),
    }
    run = SectionRun(entry.name, section.record(), cost)
    write_json(
        cache.section(entry.name),
        {
            "key": _key(entry, recording, settings),
            "record": run.record,
            "cost": cost,
            "pictures": pictures,
        },
    )
    return run


def _write_arrays(folder: Path, section: Section) -> None:
    with atomic_path(folder) as temporary:
        group = zarr.open_group(temporary, mode="w")
        for name, values in section.arrays.items():
            # Names of labels come from files: they become keys, so a slash must not make a folder.
            key = name.replace("/", "_").replace("\\", "_").strip(".") or "unnamed"
            group.create_array(key[:120], data=np.ascontiguousarray(values))


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
