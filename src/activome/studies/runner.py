"""Running studies: by name or number, resumable, with what it cost."""

from __future__ import annotations

import importlib
import inspect
import os
import platform
import resource
import time
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

from activome import __version__
from activome._checks import check_choice
from activome._files import write_json
from activome._progress import Progress, silent
from activome._systems import find_system
from activome.studies.claims import Claim, Size, Study

__all__ = ["StudyResult", "run_study"]

_VERSIONS = ("numpy", "scipy", "scikit-learn", "xarray", "numba", "torch")


@dataclass(frozen=True)
class StudyResult:
    """What a study gave.

    Attributes
    ----------
    system : str
        Slug of the system.
    claims : list of Claim
        Every claim with its figure.
    record : dict
        The same as JSON is written, with versions, seed, time and memory.
    path : Path
        The JSON file.
    figure : Path or None
        The figure as PNG.
    """

    system: str
    claims: list[Claim]
    record: dict[str, Any]
    path: Path
    figure: Path | None


def run_study(
    name: str | int,
    size: Size = "smoke",
    *,
    folder: str | os.PathLike[str] = "results",
    random_state: int = 0,
    client: Any = None,
    data: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
) -> StudyResult:
    """Run the study of one system and write its claims.

    Parameters
    ----------
    name : str or int
        Slug of the system, or its number.
    size : {"smoke", "full"}, default="smoke"
        Smoke checks the machinery in seconds; full carries the claims.
    folder : path-like, default="results"
        Where ``NAME.json``, ``NAME.png`` and the steps go. A smoke run writes ``NAME-smoke.json``.
    random_state : int, default=0
        Seed of the study.
    client : distributed.Client, optional
        Dask cluster over which the study fans out.
    data : path-like, optional
        Folder with real data that the package cannot ship; by default that of the environment
        variable ``ACTIVOME_DATA``.
    progress : Progress, optional
        Told about every step.

    Returns
    -------
    StudyResult
        The claims and what they cost.

    Raises
    ------
    ParameterError
        If the system or the size is unknown.
    """
    check_choice(size, ("smoke", "full"), name="size", owner="run_study")
    system = find_system(name)
    module = importlib.import_module(f"activome.studies.{system.study}")
    folder = Path(folder)
    data = data if data is not None else os.environ.get("ACTIVOME_DATA")
    study = Study(
        name=system.slug if size == "full" else f"{system.slug}-smoke",
        size=size,
        folder=folder,
        random_state=random_state,
        client=client,
        data=None if data is None else Path(data),
        progress=progress,
        fingerprint=sha256(inspect.getsource(module).encode()).hexdigest(),
    )
    wall, cpu = time.perf_counter(), time.process_time()
    module.run(study)
    figure = study.figure_path if study.figure_path.exists() else None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    record = {
        "system": system.slug,
        "number": system.number,
        "title": system.name,
        "size": size,
        "seed": random_state,
        "claims": study.table(),
        "notes": study.notes,
        "versions": _versions(),
        "wall_seconds": round(time.perf_counter() - wall, 3),
        "cpu_seconds": round(time.process_time() - cpu, 3),
        # Linux counts in KiB, macOS in bytes.
        "peak_memory_bytes": peak if platform.system() == "Darwin" else peak * 1024,
        "figure": None if figure is None else figure.name,
    }
    path = folder / f"{study.name}.json"
    write_json(path, record)
    return StudyResult(system.slug, study.claims, record, path, figure)


def _versions() -> dict[str, str]:
    found = {"activome": __version__, "python": platform.python_version()}
    for package in _VERSIONS:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "absent"
    return found
