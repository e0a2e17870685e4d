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


def require(module: str, *, extra: str, owner: str) -> ModuleType:
    """Import an optional module.

    Raises
    ------
    MissingExtraError
        If it is not installed; the message carries the pip command that mends it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        if missing.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"{owner}: needs the package {missing!r}, which is not installed. "
            f"Install it with: pip install 'activome[{extra}]'",
            name=missing,
        ) from error
