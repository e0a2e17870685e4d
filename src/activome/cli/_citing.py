"""Command ``cite``: how to cite the package, the papers of systems, and the recordings."""

from __future__ import annotations

from typing import Annotated

import typer

from activome.errors import ParameterError

__all__ = ["cite"]


def cite(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Systems (name or number) or recordings that ship; none: activome."),
    ] = None,
) -> None:
    """Print what to cite: activome as BibTeX, the papers of systems, the origin of recordings."""
    if not names:
        from activome import __version__

        typer.echo(
            "@software{activome,\n"
            "  title = {activome: patterns of neural activity, in brains and in artificial "
            "networks},\n"
            "  author = {{The activome developers}},\n"
            f"  version = {{{__version__}}},\n"
            "  license = {BSD-3-Clause}\n"
            "}\n"
            "Cite the papers of the systems you use as well: activome cite snmf."
        )
        return
    for name in names:
        typer.echo(_entry(name))


def _entry(name: str) -> str:
    from activome._systems import find_system
    from activome.samples.catalog import names as recordings
    from activome.samples.catalog import provenance

    known = recordings("shipped")
    if name in known:
        return provenance(name)
    try:
        system = find_system(name)
    except ParameterError as error:
        raise ParameterError(f"{error} Recordings that ship: {', '.join(known)}.") from None
    return f"{system.slug}: {system.paper}"
