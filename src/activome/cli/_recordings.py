"""Commands on files: what they hold, what is wrong with them, other formats, what ships."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["check", "convert", "info", "samples"]

Source = Annotated[
    str, typer.Argument(help="A file of any format activome.load reads, or a recording that ships.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
_SHOWN = 5


def info(source: Source, as_json: AsJson = False) -> None:
    """Say what a file holds: format, sizes, times, units and labels."""
    record = _describe(_recording(source), source)
    if as_json:
        typer.echo(json.dumps(record, indent=1))
        return
    for name, value in record.items():
        if name != "labels":
            typer.echo(f"{name:<14}{_shown(value)}")
    for label in record["labels"]:
        typer.echo(
            f"label         {label['name']} ({label['dim']}): {label['n_values']} values, such as "
            f"{', '.join(label['examples'])}"
        )


def check(source: Source, as_json: AsJson = False) -> None:
    """Say what is wrong with a recording, the worst first."""
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


def convert(
    source: Source,
    target: Annotated[Path, typer.Argument(help="File to write; its suffix names the format.")],
) -> None:
    """Write a recording in another format, labels and all."""
    from activome.activity.readers import save

    save(_recording(source), target)
    typer.echo(f"wrote {target}")


def samples(as_json: AsJson = False) -> None:
    """List the real recordings that activome knows, and which ship with it."""
    from activome.samples.catalog import describe

    rows = describe()
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "ships", "what")
    for row in rows:
        table.add_row(row["name"], "yes" if row["ships"] else "no", row["summary"])
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    console.print(
        "Those that ship go by their name: activome report motor_cortex. For the others, "
        "activome.samples.load(name) says what it needs.",
        highlight=False,
    )


def _recording(source: str) -> Any:
    from activome.activity.readers import load
    from activome.samples.catalog import shipped_activity

    shipped = shipped_activity(source)
    return load(source) if shipped is None else shipped


def _describe(recording: Any, source: str) -> dict[str, Any]:
    from activome.activity.events import Events
    from activome.activity.readers import sniff

    path = Path(source)
    record: dict[str, Any] = {
        "source": source,
        "format": sniff(path) if path.exists() else "ships with activome",
    }
    if isinstance(recording, Events):
        record |= {
            "holds": "events",
            "n_events": recording.n_events,
            "n_units": recording.n_units,
            "n_trials": recording.n_trials,
            "start": recording.start,
            "stop": recording.stop,
            "tick": recording.tick,
        }
        table = recording.unit_table
        columns = [] if table is None else list(table.columns)
        record["labels"] = [_label(str(name), "unit", table[name].to_numpy()) for name in columns]
        return record
    record |= {
        "holds": recording.attrs.get("kind", "activity"),
        "sizes": {str(dim): int(n) for dim, n in recording.sizes.items()},
        "dtype": str(recording.dtype),
        "units": recording.attrs.get("units"),
        "sampling_rate": recording.attrs.get("sampling_rate"),
    }
    if "time" in recording.coords and recording.sizes.get("time"):
        stamps = recording["time"].values
        record |= {"start": float(stamps[0]), "stop": float(stamps[-1])}
    record["labels"] = [
        _label(str(name), ", ".join(map(str, values.dims)), values.values)
        for name, values in recording.coords.items()
        if name not in ("time", "trial")
    ]
    return record


def _label(name: str, dim: str, values: Any) -> dict[str, Any]:
    import pandas as pd

    different = pd.unique(values.reshape(-1))
    examples = [f"{v:g}" if isinstance(v, float) else str(v) for v in different[:_SHOWN].tolist()]
    return {"name": name, "dim": dim, "n_values": len(different), "examples": examples}


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{n} {dim}s" for dim, n in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)
