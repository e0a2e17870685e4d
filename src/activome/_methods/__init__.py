"""The table of every public method; the contract tests run over it, and the command line reads it.

Each room has a module of rows: the public name, where it is, and for estimators the smallest
sensible arguments.
"""

from __future__ import annotations

from activome._methods import (
    activity,
    decoding,
    encoding,
    geometry,
    graphs,
    interventions,
    networks,
    patterns,
)
from activome._methods._method import Method

__all__ = ["METHODS", "Method"]

METHODS: tuple[Method, ...] = (
    *activity.ROWS,
    *decoding.ROWS,
    *encoding.ROWS,
    *geometry.ROWS,
    *graphs.ROWS,
    *interventions.ROWS,
    *networks.ROWS,
    *patterns.ROWS,
)
