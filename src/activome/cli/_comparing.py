"""Command ``compare``: do two recordings hold the same conditions alike?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from activome.cli._screen import Bar

__all__ = ["compare"]

Source = Annotated[
    str,
    typer.Argument(help="A recording, or a model's activity (any format activome.load reads)."),
]


def compare(
    a: Source,
    b: Source,
    by: Annotated[
        str | None,
        typer.Option(help="Label that names the condition, or LABEL_OF_A=LABEL_OF_B, or trial."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Page (.html) or numbers (.json).")
    ] = None,
    metric: Annotated[
        str, typer.Option(help="auto, crossnobis, sqeuclidean, euclidean, correlation or cosine.")
    ] = "auto",
    permutations: Annotated[int, typer.Option(min=19, help="Draws of each null.")] = 999,
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples of the conditions.")] = 200,
    alpha: Annotated[float, typer.Option(help="Level of the statements.")] = 0.01,
    bin_width: Annotated[
        float | None, typer.Option("--bin", help="Width of bins in s, for events.")
    ] = None,
    max_memory: Annotated[
        str, typer.Option(help="Most memory per recording, such as 4GB; a bare number is GiB.")
    ] = "2GiB",
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the numbers as JSON, and nothing else.")
    ] = False,
) -> None:
    """Compare how two recordings hold the same conditions: geometry, topology, noise ceilings."""
    from activome.cli._sizes import memory_bytes
    from activome.report.comparison import check_output, compare_recordings, write_comparison

    memory_limit = memory_bytes(max_memory, owner="compare")
    if output is not None:
        check_output(output)
    with Bar() as progress:
        found = compare_recordings(
            a,
            b,
            by=by,
            metric=metric,
            alpha=alpha,
            n_permutations=permutations,
            n_bootstrap=bootstrap,
            bin_width=bin_width,
            memory_limit=memory_limit,
            random_state=seed,
            progress=progress,
        )
    written = [] if output is None else write_comparison(found, output)
    if as_json:
        import json

        typer.echo(json.dumps(found.record, indent=1))
        return
    _print(found.record)
    for path in written:
        typer.echo(f"wrote {path}")


def _print(record: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", "value", "interval", "noise ceiling", "p", "p (order)", "p corrected")
    for row in record["measures"]:
        numbers = [row[key] for key in ("p_value", "p_order", "p_corrected")]
        shown = [f"{value:.3g}" for value in numbers]
        value = "-" if row["value"] is None else f"{row['value']:.3f}"
        cells = [value, _range(row["interval"]), _range(row["ceiling"]), *shown]
        table.add_row(row["name"], *(["not applicable"] + ["-"] * 5 if value == "-" else cells))
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(f"{record['verdict']['text']}; {len(record['conditions'])} shared conditions")
    console.print(table)
    for statement in record["statements"]:
        console.print(statement["text"], highlight=False, markup=False)


def _range(ends: list[float] | None) -> str:
    return "-" if ends is None else f"{ends[0]:.2f} to {ends[1]:.2f}"
