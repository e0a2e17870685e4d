"""The sections of a report, in order; one line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from activome.report.recording import Recording
from activome.report.section import Section
from activome.report.settings import ReportSettings

__all__ = ["SECTIONS", "SectionEntry"]


@dataclass(frozen=True)
class SectionEntry:
    """One section.

    Attributes
    ----------
    name : str
        Of the file in ``report/sections``.
    title : str
        Heading.
    question : str
        What it answers.
    chip : str
        What its number counts on the first screen; empty for none.
    """

    name: str
    title: str
    question: str
    chip: str

    def analyse(self) -> Callable[[Recording, ReportSettings], Section]:
        """Return the function of the section.

        Returns
        -------
        callable
            Takes a recording and settings.
        """
        module = import_module(f"activome.report.sections.{self.name}")
        function: Callable[[Recording, ReportSettings], Section] = module.analyse
        return function


SECTIONS = (
    SectionEntry("overview", "Overview and quality", "Can the data be trusted?", "Quality"),
    SectionEntry("activity", "Activity", "What does the recording look like?", "Ensembles"),
    SectionEntry("statistics", "Statistics of the units", "How do single units behave?", "Memory"),
    SectionEntry(
        "spike_trains", "Spike trains", "Are spikes timed beyond their rates?", "Spike trains"
    ),
    SectionEntry("dimensions", "Dimensionality", "How many dimensions does it use?", "Dimensions"),
    SectionEntry("parts", "Parts", "Of which parts is it made?", "Parts"),
    SectionEntry("trials", "Parts of trials", "Which units, when, in which trials?", "Trials"),
    SectionEntry("states", "States", "Which states does it move through?", "States"),
    SectionEntry("graph", "Functional graph", "Which units go together?", "Graph"),
    SectionEntry("changes", "Communities over time", "Do the groups change?", "Changes"),
    SectionEntry("geometry", "Geometry", "How are conditions told apart?", "Geometry"),
    SectionEntry("decoding", "Decoding", "What can be read from it?", "Decoding"),
    SectionEntry(
        "decoding_over_time", "Decoding over time", "When can it be read?", "Decoding over time"
    ),
)
