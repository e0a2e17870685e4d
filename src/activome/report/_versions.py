"""Versions of what made the numbers of a report."""

from __future__ import annotations

import platform
from importlib.metadata import version

import activome

__all__ = ["versions"]

_PACKAGES = (
    "numpy", "scipy", "xarray", "zarr", "scikit-learn", "igraph", "leidenalg", "matplotlib",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Return the versions of activome, Python and the packages the analyses rest on."""
    found = {name: version(name) for name in _PACKAGES}
    return {"activome": activome.__version__, "python": platform.python_version()} | found
