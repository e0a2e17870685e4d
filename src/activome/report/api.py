"""The main job: a recording in, a readable report of its patterns out."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from activome._checks import check_integer
from activome._files import write_json, write_text
from activome._progress import Progress, silent
from activome._random import RandomState, integer_seed
from activome.report._cache import Cache, SectionRun, read_section, run_section
from activome.report.page import render_page
from activome.report.recording import Recording, open_recording
from activome.report.registry import SECTIONS
from activome.report.section import plain_values
from activome.report.settings import ReportSettings

__all__ = ["ReportResult", "run_report"]


@dataclass(frozen=True)
class ReportResult:
    """What a report wrote.

    Attributes
    ----------
    html : pathlib.Path
        The report, one self-contained file.
    folder : pathlib.Path
        Its data: ``report.json``, ``arrays.zarr`` and the pictures.
    record : dict
        What ``report.json`` holds.
    """

    html: Path
    folder: Path
    record: dict[str, Any]


def run_report(
    source: Any = None,
    output: str | os.PathLike[str] = "report.html",
    *,
    title: str | None = None,
    labels: list[str] | tuple[str, ...] | None = None,
    random_state: RandomState = 0,
    memory_limit: int | None = None,
    n_jobs: int = 1,
    resume: bool = True,
    settings: ReportSettings | None = None,
    progress: Progress = silent,
) -> ReportResult:
    """Write a report of the patterns in a recording.

    Quality, raster, statistics, spike trains, dimensionality, parts, parts of trials, states,
    functional graph, communities over time, geometry, decoding, and decoding over time; each
    statement that there is structure carries the null it was tested against.

    Parameters
    ----------
    source : path-like, Activity, Events or None
        A file of any format ``activome.load`` reads, data, the name of a recording that ships
        (``activome.samples.names("shipped")``), or None for that of motor cortex.
    output : path-like, default="report.html"
        The file to write; its data go into a folder beside it, named after its stem.
    title : str, optional
        Heading, by default the name of the source.
    labels : sequence of str, optional
        Label columns to use, by default all.
    random_state : int, Generator or None, default=0
        Seed of everything random.
    memory_limit : int, optional
        Most memory in bytes, default 2 GiB.
    n_jobs : int, default=1
        Threads of linear algebra.
    resume : bool, default=True
        Take over sections of an earlier run on the same data with the same settings.
    settings : ReportSettings, optional
        All other settings.
    progress : Progress, default=silent
        Told of each block read and each section.

    Returns
    -------
    ReportResult
        Where the report is, and its numbers.

    Raises
    ------
    ActivityError
        If the source is no recording, or no unit varies.
    ParameterError
        If a setting is outside its range, or a label is unknown.
    ReadError
        If the file is missing, damaged or of no known format.

    Notes
    -----
    The source is read once, block by block. Sections are kept as they are done: an interrupted
    report goes on where it stopped.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import activome, numpy as np
    >>> noise = activome.make(np.random.default_rng(0).normal(size=(100, 2)), sampling_rate=10.0)
    >>> settings = ReportSettings(n_surrogates=19)
    >>> output = pathlib.Path(tempfile.mkdtemp()) / "noise.html"
    >>> result = run_report(noise, output, settings=settings)
    >>> result.record["sections"]["dimensions"]["verdict"]["kind"]
    'nothing'
    """
    check_integer(n_jobs, name="n_jobs", owner="run_report", low=1)
    chosen = settings or ReportSettings()
    chosen = replace(
        chosen,
        random_state=integer_seed(random_state),
        memory_limit=chosen.memory_limit if memory_limit is None else memory_limit,
        labels=chosen.labels if labels is None else tuple(labels),
    )
    html = Path(output)
    cache = Cache(html.with_name(f"{html.stem}_data"))
    total = len(SECTIONS) + 1
    progress("report", 0, total)
    with threadpool_limits(n_jobs):
        recording = open_recording(source, chosen, progress=progress)
        cache.prepare()
        runs: list[SectionRun] = []
        for done, entry in enumerate(SECTIONS, start=1):
            progress("report", done, total)
            progress(entry.title, 0, 1)
            run = read_section(cache, entry, recording, chosen) if resume else None
            runs.append(run or run_section(cache, entry, recording, chosen))
            progress(entry.title, 1, 1)
    record = _record(title or recording.name, recording, chosen, runs)
    write_json(cache.folder / "report.json", record)
    write_text(html, render_page(record, cache))
    progress("report", total, total)
    return ReportResult(html, cache.folder, record)


def _record(
    title: str, recording: Recording, settings: ReportSettings, runs: list[SectionRun]
) -> dict[str, Any]:
    from activome.report._versions import versions

    record = {
        "title": title,
        "source": {
            "name": recording.name,
            "source": recording.source,
            "kind": recording.kind,
            "units": recording.units,
            "dtype": recording.dtype,
            "sizes": recording.sizes,
            "n_units": recording.n_units,
            "n_events": None if recording.events is None else recording.events.n_events,
            "duration": recording.duration,
            "time_unit": recording.time_unit,
            "sampling_rate": recording.sampling_rate,
            "bin_width": recording.bin_width,
            "checksum": recording.checksum,
            "labels": [
                asdict(label) | {"classes": [str(c) for c in label.classes]}
                for label in recording.labels
            ],
        },
        "settings": settings.as_record(),
        "versions": versions(),
        "sections": {run.name: run.record for run in runs},
        "cost": {run.name: run.cost for run in runs},
    }
    return dict(plain_values(record))
