"""The command line: ``activome report``, ``study``, ``systems``, ``check``, ``convert``."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from activome.errors import ActivomeError, ParameterError

if TYPE_CHECKING:
    from activome.studies.runner import StudyResult

__all__ = ["app", "main"]

app = typer.Typer(
    name="activome",
    help="Patterns of neural activity, in brains and in artificial networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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
    memory: Annotated[float, typer.Option(min=0.1, help="Memory limit in GiB.")] = 2.0,
    fresh: Annotated[bool, typer.Option(help="Do not resume an interrupted report.")] = False,
) -> None:
    """Write a report of the patterns in a recording: one HTML file, and its data beside it."""
    from activome.report import run_report

    with _Bar() as progress:
        result = run_report(
            source,
            output,
            title=title,
            labels=label,
            random_state=seed,
            memory_limit=int(memory * 2**30),
            resume=not fresh,
            progress=progress,
        )
    typer.echo(f"wrote {result.html} and its data in {result.folder}")


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
        with _Bar() as progress:
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
            _print_claims(results[-1])
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


@app.command()
def check(
    source: Annotated[str, typer.Argument(help="A recording, as for report.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the problems as JSON.")] = False,
) -> None:
    """Say what a file holds and what is wrong with it, the worst first."""
    from activome.activity.events import Events
    from activome.activity.schema import check as problems_of

    recording = _recording(source)
    problems = [] if isinstance(recording, Events) else problems_of(recording)
    if as_json:
        typer.echo(json.dumps([vars(problem) for problem in problems], indent=1))
        return
    if isinstance(recording, Events):
        typer.echo(repr(recording))
    else:
        sizes = ", ".join(f"{n} {dim}s" for dim, n in recording.sizes.items())
        typer.echo(f"{recording.attrs.get('kind', 'activity')}: {sizes}")
    for problem in problems:
        typer.echo(str(problem))
    if not problems:
        typer.echo("nothing is wrong with it")


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="A recording, as for report.")],
    target: Annotated[Path, typer.Argument(help="File to write; its suffix names the format.")],
) -> None:
    """Write a recording in another format, labels and all."""
    from activome.activity.readers import save

    save(_recording(source), target)
    typer.echo(f"wrote {target}")


def _recording(source: str) -> Any:
    from activome.activity.readers import load
    from activome.samples.catalog import shipped_activity

    shipped = shipped_activity(source)
    return load(source) if shipped is None else shipped


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


def _print_claims(result: StudyResult) -> None:
    from rich.console import Console
    from rich.table import Table

    record = result.record
    table = Table(title=f"{record['number']} {record['title']} ({record['size']})")
    for column in ("claim", "paper", "measured", "threshold", "holds"):
        table.add_column(column, overflow="fold")
    for claim in result.claims:
        measured = claim.measured
        shown = f"{measured:.4g}" if isinstance(measured, float) else str(measured or "not run")
        holds = {True: "yes", False: "NO", None: "not run"}[claim.holds]
        table.add_row(claim.name, claim.paper, shown, claim.threshold, holds)
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    for claim in result.claims:
        if claim.note:
            console.print(f"{claim.name}: {claim.note}", highlight=False)
    for note in record["notes"]:
        console.print(note, highlight=False)
    console.print(
        f"{record['wall_seconds']:.1f} s wall, {record['cpu_seconds']:.1f} s CPU, peak memory "
        f"{record['peak_memory_bytes'] / 2**20:.0f} MiB; {result.path}",
        highlight=False,
    )


class _Bar:
    """Draw progress on standard error, where that is a terminal."""

    def __init__(self) -> None:
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> _Bar:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._bar.stop()
        if kind is KeyboardInterrupt:
            typer.echo("interrupted; run the same command again to go on from here", err=True)

    def __call__(self, task: str, done: int, total: int) -> None:
        if task not in self._tasks:
            self._tasks[task] = self._bar.add_task(task, total=total or None)
        self._bar.update(self._tasks[task], completed=done, total=total or None)


def main() -> None:
    """Run the command line; a refusal is one sentence on standard error and exit code 2.

    Raises
    ------
    SystemExit
        Always: 0 when done, 2 for a refusal or a wrong argument, 130 when interrupted.
    """
    try:
        app(standalone_mode=True)
    except ActivomeError as error:
        typer.echo(f"activome: {error}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
