"""Decisions from Lempel-Ziv complexity: the class is in the timing, not in the count."""

from __future__ import annotations

from activome.activity.complexity import lempel_ziv_complexity

__all__ = ["lempel_ziv_complexity"]
