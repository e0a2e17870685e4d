"""The commands ``report``, ``study`` and ``systems``, and the entry point of all of them."""

from __future__ import annotations

import json
import sys
import warnings
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from activome.cli import _citing, _comparing, _models, _record, _recordings, _running, _simulating
from activome.cli._screen import Bar, print_claims
from activome.errors import ActivomeError, ParameterError

__all__ = ["app", "main"]

app = typer.Typer(
    name="activome",
    help="Patterns of neural activity, in brains and in artificial networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_DEBUG = "--debug"


class StudySize(StrEnum):
    """Size of a study."""

    smoke = "smoke"
    full = "full"


def _version(value: bool) -> None:
    if value:
        from activome import __version__

        typer.echo(f"activome {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option(_DEBUG, help="Show where an error came from; stands anywhere.")
    ] = False,
) -> None:
    pass


@app.command()
def report(
    source: Annotated[
        str | None,
        typer.Argument(
            help="A recording (any format activome.load reads, or the name of one that ships); "
            "that of motor cortex without."
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")] = Path(
        "report.html"
    ),
    title: Annotated[str | None, typer.Option(help="Title of the report.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Label column to decode; repeat for several.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    max_memory: Annotated[
        str, typer.Option(help="Most memory, such as 500MB or 4GB; a bare number is GiB.")
    ] = "2GiB",
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Do not resume an interrupted report.")
    ] = False,
    show: Annotated[bool, typer.Option("--open", help="Open the report when done.")] = False,
) -> None:
    """Write a report of the patterns in a recording: one HTML file, and its data beside it."""
    from activome.cli._sizes import memory_bytes
    from activome.report import run_report

    memory_limit = memory_bytes(max_memory, owner="report")
    with Bar() as progress:
        result = run_report(
            source,
            output,
            title=title,
            labels=label,
            random_state=seed,
            memory_limit=memory_limit,
            resume=not fresh,
            progress=progress,
        )
    typer.echo(f"wrote {result.html} and its data in {result.folder}")
    if show:
        typer.launch(result.html.resolve().as_uri())


@app.command()
def study(
    name: Annotated[
        str | None, typer.Argument(help="Name or number of a system; see `activome systems`.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Run the study of every system.")] = False,
    size: Annotated[
        StudySize, typer.Option(help="smoke checks the machinery; full carries the claims.")
    ] = StudySize.smoke,
    client: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler to fan out over.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder with real data that cannot be shipped.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of results.")] = Path(
        "results"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the study.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the results as JSON, and nothing else.")
    ] = False,
) -> None:
    """Check the claims of a published system and print what was measured.

    The exit code is 0 when the study ran, whatever held.
    """
    from activome._systems import systems as rows
    from activome.studies.runner import run_study

    if (name is None) == (not every):
        raise ParameterError("study: give the name or number of one system, or --all.")
    names = [row.slug for row in rows()] if name is None else [name]
    cluster = _connect(client)
    results = []
    for slug in names:
        with Bar() as progress:
            results.append(
                run_study(
                    slug,
                    size.value,
                    folder=output,
                    random_state=seed,
                    client=cluster,
                    data=data,
                    progress=progress,
                )
            )
        if not as_json:
            print_claims(results[-1])
    if as_json:
        records = [result.record for result in results]
        typer.echo(json.dumps(records if every else records[0], indent=1))


@app.command()
def systems(
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Print the table of systems: what works, and which claims held."""
    from activome._systems import systems as rows

    if as_json:
        table = [vars(row) | {"status": row.status} for row in rows()]
        typer.echo(json.dumps(table, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    printed = Table("no.", "name", "title", "room", "status", "claims held")
    for row in rows():
        held = f"{row.held} of {row.claims}" if row.claims else "-"
        printed.add_row(str(row.number), row.slug, row.name, row.room, row.status, held)
    Console(width=None if sys.stdout.isatty() else 140).print(printed)


def _connect(address: str | None) -> Any:
    if address is None:
        return None
    from distributed import Client

    try:
        return Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise ParameterError(
            f"study: no Dask scheduler answers at {address!r} ({error}). Start one with "
            "`dask scheduler` and give its address."
        ) from error


for _command in (
    _running.run,
    _comparing.compare,
    _recordings.info,
    _recordings.check,
    _recordings.convert,
    _recordings.samples,
    _record.record,
    _simulating.simulate,
    _citing.cite,
):
    app.command()(_command)
app.add_typer(_models.assets, name="assets")


def main() -> None:
    """Run the command line; an error is one sentence on standard error, and ``--debug`` shows all.

    Raises
    ------
    SystemExit
        Always: 0 when done, 2 for a refusal, a wrong argument or a file that cannot be read or
        written, 130 when interrupted, 1 for an error of activome's own.
    """
    before, separator, after = _split(sys.argv[1:])
    is_debug = _DEBUG in before
    arguments = [argument for argument in before if argument != _DEBUG] + separator + after
    if not is_debug:
        warnings.showwarning = _show_warning
    try:
        app(arguments, standalone_mode=True)
    except (ActivomeError, OSError, MemoryError) as error:
        if is_debug:
            raise
        typer.echo(f"activome: {error or type(error).__name__}", err=True)
        raise SystemExit(2) from None
    except Exception as error:
        if is_debug:
            raise
        typer.echo(
            f"activome: an error of its own, {type(error).__name__}: {error}. Please report it, "
            f"with what the same command prints with {_DEBUG}.",
            err=True,
        )
        raise SystemExit(1) from None


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning as the errors are: in one sentence, without the line of code."""
    typer.echo(f"activome: warning: {message}", err=True)


def _split(arguments: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Part the arguments at ``--``, behind which everything is a name."""
    if "--" not in arguments:
        return arguments, [], []
    place = arguments.index("--")
    return arguments[:place], ["--"], arguments[place + 1 :]
