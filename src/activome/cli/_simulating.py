"""Command ``simulate``: activity of an example network, written to a store."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from activome.errors import ParameterError

__all__ = ["simulate"]


def simulate(
    name: Annotated[
        str | None, typer.Argument(help="An example network, such as balanced; --list shows them.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Store to write.")] = Path(
        "run.zarr"
    ),
    duration: Annotated[float, typer.Option(help="Time to simulate in s.")] = 10.0,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", help="Parameter, as name=value; repeat for several."),
    ] = None,
    state: Annotated[
        bool,
        typer.Option(
            "--state", help="Write the state of the network too, into a store beside the first."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace stores that are there.")
    ] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="List the networks, or the parameters of one.")
    ] = False,
) -> None:
    """Make activity with a spiking network; `activome report` reads what it writes."""
    from activome._checks import check_choice, check_number
    from activome.activity.store import write_store
    from activome.cli._examples import EXAMPLES
    from activome.cli._parameters import parse_parameters

    if name is not None:
        check_choice(name, EXAMPLES, name="network", owner="simulate")
    if listed:
        _list(name)
        return
    if name is None:
        raise ParameterError(
            "simulate: give a network, as in `activome simulate balanced`; "
            "`activome simulate --list` shows them."
        )
    check_number(duration, name="duration", owner="simulate", low=0.0)
    places = [output, output.with_name(f"{output.stem}-state{output.suffix}")][: 1 + state]
    for place in places:
        if place.exists() and not overwrite:
            raise ParameterError(
                f"simulate: {str(place)!r} is there already. Choose another name with --output, or "
                "replace it with --overwrite."
            )
    given = parse_parameters(EXAMPLES[name], param or [], owner="simulate", name=name)
    example = EXAMPLES[name](**given)
    events, activity = example.run(duration, seed, with_state=state)
    for place, data in zip(places, (events, activity), strict=False):
        write_store(data, place, overwrite=overwrite)
    typer.echo(
        f"wrote {output}: {events.n_events} events of {events.n_units} units in {duration:g} s; "
        f"look at them with: activome report {output}"
    )
    if activity is not None:
        sizes = ", ".join(f"{n} {dim}s" for dim, n in activity.sizes.items())
        typer.echo(f"wrote {places[1]}: {sizes}")


def _list(name: str | None) -> None:
    """Print the networks, or what is to be known of one."""
    from activome.cli._examples import EXAMPLES

    if name is None:
        for key, cls in EXAMPLES.items():
            line = inspect.getdoc(cls) or ""
            typer.echo(f"{key}: {line.splitlines()[0]}")
        return
    cls = EXAMPLES[name]
    typer.echo(inspect.getdoc(cls))
    example = " ".join(f"-p {field.name}={field.default}" for field in fields(cls)[:2])
    typer.echo(f"\nTo set some of them: activome simulate {name} {example}")
