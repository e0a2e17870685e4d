"""Public methods of the room ``activity``."""

from __future__ import annotations

from activome._methods._method import Method

__all__ = ["ROWS"]

ROWS: tuple[Method, ...] = (
    Method("lempel_ziv_complexity", "activome.activity.complexity", "function"),
)
