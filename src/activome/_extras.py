"""Optional packages: imported where they are used, and missed in one clear line."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from activome.errors import MissingExtraError

__all__ = ["is_installed", "require"]


def is_installed(module: str) -> bool:
    """Return whether a top-level module can be found, without importing it."""
    return importlib.util.find_spec(module.partition(".")[0]) is not None


def require(module: str, *, extra: str, owner: str, command: str | None = None) -> ModuleType:
    """Import an optional module.

    ``command`` is what installs it, where that is not the extra.

    Raises
    ------
    MissingExtraError
        If it, or a package it needs, is not installed; the message carries the command that mends
        it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        install = command or f"pip install 'activome[{extra}]'"
        raise MissingExtraError(
            f"{owner}: needs the package {missing!r}, which is not installed. "
            f"Install it with: {install}",
            name=missing,
        ) from error
