"""What the command line draws: progress, and the claims of a study."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from activome.studies.runner import StudyResult

__all__ = ["Bar", "print_claims"]


def print_claims(result: StudyResult) -> None:
    """Print the table of claims, their notes, and the cost."""
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


class Bar:
    """Draw progress on standard error, where that is a terminal."""

    def __init__(self) -> None:
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Bar:
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
