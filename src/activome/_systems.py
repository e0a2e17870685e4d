"""The table of systems: one row per published system, read from ``systems.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from activome._checks import nearest_names
from activome.errors import ParameterError

__all__ = ["System", "find_system", "systems"]


@dataclass(frozen=True)
class System:
    """One published system: what it is, where it is built, and what its study found.

    Attributes
    ----------
    number : int
        Number of the system.
    slug : str
        Name on the command line.
    name : str
        Title.
    paper : str
        Authors, title and year of the paper.
    year : int
        Year of the paper.
    room : str
        Rooms that hold its parts.
    entry_points : tuple of str
        Public names, as ``activome.room.file:name``.
    study : str
        File of the study in ``activome.studies``.
    claims : int
        Claims that the full study measured.
    held : int
        Claims that held.
    not_held : tuple of str
        Which did not hold and what was measured, or what was not run and why.
    """

    number: int
    slug: str
    name: str
    paper: str
    year: int
    room: str
    entry_points: tuple[str, ...]
    study: str
    claims: int = 0
    held: int = 0
    not_held: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """Return "works", "works in part", or "not measured"."""
        if not self.claims:
            return "not measured"
        return "works" if self.held == self.claims and not self.not_held else "works in part"


@cache
def systems() -> tuple[System, ...]:
    """Return every row of the table, by number."""
    text = resources.files("activome").joinpath("systems.toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text).get("system", [])
    tuples = ("entry_points", "not_held")
    made: list[System] = []
    for row in rows:
        fields: dict[str, Any] = {k: tuple(v) if k in tuples else v for k, v in row.items()}
        made.append(System(**fields))
    return tuple(sorted(made, key=lambda system: system.number))


def find_system(name: str | int) -> System:
    """Return the system of a slug or a number.

    Raises
    ------
    ParameterError
        If there is none; the message lists the nearest.
    """
    wanted = str(name).strip()
    for system in systems():
        if wanted in (system.slug, system.study) or wanted.lstrip("0") == str(system.number):
            return system
    known = [f"{system.number} {system.slug}" for system in systems()]
    hint = nearest_names(wanted, [system.slug for system in systems()])
    raise ParameterError(f"unknown system {wanted!r}; {hint} By number: {', '.join(known)}.")
