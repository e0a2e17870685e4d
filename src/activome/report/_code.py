"""The three lines of Python that redo a section."""

from __future__ import annotations

from dataclasses import fields

from activome.report.recording import Recording
from activome.report.settings import ReportSettings

__all__ = ["three_lines"]


def three_lines(recording: Recording, settings: ReportSettings, analysis: str) -> str:
    """Return code that reads the recording as the report did, and analyses it.

    Parameters
    ----------
    recording : Recording
        Where the data came from.
    settings : ReportSettings
        Those that differ from the defaults are written out.
    analysis : str
        The last line; ``grid`` is the data.

    Returns
    -------
    str
        Three lines.
    """
    defaults = ReportSettings()
    given = [
        f"{field.name}={getattr(settings, field.name)!r}"
        for field in fields(settings)
        if field.name != "labels" and getattr(settings, field.name) != getattr(defaults, field.name)
    ]
    chosen = f", activome.report.ReportSettings({', '.join(given)})" if given else ""
    source = "" if recording.source_code == "None" and not given else recording.source_code
    return "\n".join(
        ("import activome", f"grid = activome.report.analysis_grid({source}{chosen})", analysis)
    )
