"""Command ``run``: one estimator on one recording."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from activome.cli._screen import Bar
from activome.errors import ParameterError

__all__ = ["run"]


def run(
    method: Annotated[
        str | None, typer.Argument(help="An estimator, such as SemiNMF; --list shows them.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Argument(
            help="A recording (any format activome.load reads, or the name of one that ships)."
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", help="Parameter, as name=value; repeat for several."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Store to write.")] = Path(
        "result.zarr"
    ),
    label: Annotated[
        str | None, typer.Option(help="Label column: what is learned, or the conditions of RDMs.")
    ] = None,
    output_of: Annotated[
        str | None, typer.Option(help="transform, predict_proba, predict ...: the result.")
    ] = None,
    bin_width: Annotated[
        float | None, typer.Option("--bin", help="Width of bins in s, for events.")
    ] = None,
    blocks: Annotated[
        bool, typer.Option("--blocks", help="Read block by block, where the method allows it.")
    ] = False,
    max_memory: Annotated[
        str, typer.Option(help="Most memory, such as 500MB or 4GB; a bare number is GiB.")
    ] = "2GiB",
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the result of another run.")
    ] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="List the methods, or the parameters of one.")
    ] = False,
) -> None:
    """Run a method on a recording: its result as a store, and what it learned beside it."""
    if listed:
        _list(method)
        return
    if method is None or source is None:
        raise ParameterError(
            "run: give a method and a recording, as in `activome run SemiNMF motor_cortex`; "
            "`activome run --list` shows the methods."
        )
    from activome.cli._parameters import parse_parameters
    from activome.cli._sizes import memory_bytes
    from activome.report._method_ways import estimator_class, find_row
    from activome.report.method_run import run_method

    memory_limit = memory_bytes(max_memory, owner="run")
    row = find_row(method)
    parameters = parse_parameters(estimator_class(row), param or [], owner="run")
    with Bar() as progress:
        done = run_method(
            row.name,
            source,
            output,
            parameters=parameters,
            label=label,
            output_of=output_of,
            bin_width=bin_width,
            blocks=blocks,
            memory_limit=memory_limit,
            overwrite=overwrite,
            random_state=seed,
            progress=progress,
        )
    for warning in done.record["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    wrote = "found" if done.is_reused else "wrote"
    result = "" if done.activity is None else f"{done.activity} ({done.record['output']}), "
    typer.echo(f"{wrote} {result}{done.estimator} and {done.json}")
    if done.activity is None:
        typer.echo(f"{row.name} only learns: there is no activity to write.")


def _list(method: str | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from activome.report._method_ways import estimator_class, estimators, find_row

    if method is None:
        table = Table("method", "what")
        for row in estimators():
            table.add_row(row.name, _first_line(row))
    else:
        table = Table("parameter", "default")
        for name, item in inspect.signature(estimator_class(find_row(method))).parameters.items():
            default = "" if item.default is item.empty else repr(item.default)
            table.add_row(name, default)
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _first_line(row: Any) -> str:
    from importlib import import_module

    return (inspect.getdoc(getattr(import_module(row.module), row.name)) or "").partition("\n")[0]
