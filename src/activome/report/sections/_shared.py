"""What several sections need: the communities, found once, and texts about nulls."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome.graphs.communities import Communities, communities
from activome.graphs.ordering import order_units
from activome.report.recording import Recording
from activome.report.section import Section, Verdict
from activome.report.settings import ReportSettings

__all__ = [
    "count_groups", "found_communities", "not_applicable", "number", "p_text", "plural",
    "shift_null", "standardised", "unit_order",
]  # fmt: skip

Array = np.ndarray[Any, Any]
_FEWEST_MEMBERS = 3


def found_communities(recording: Recording, settings: ReportSettings) -> Communities:
    """Return the communities of the core units; found once per recording."""
    if "communities" not in recording.memo:
        recording.memo["communities"] = communities(
            recording.core,
            alpha=settings.alpha / 2,
            n_surrogates=settings.surrogates_for(2),
            random_state=settings.random_state,
            progress=recording.progress,
        )
    found: Communities = recording.memo["communities"]
    return found


def count_groups(labels: Array) -> tuple[int, str]:
    """Return how many groups hold three units or more, and their sizes in words."""
    sizes = np.bincount(labels)
    large = sizes[sizes >= _FEWEST_MEMBERS]
    text = ", ".join(str(n) for n in large[:8]) + (" ..." if large.size > 8 else "") + " units"
    apart = int(sizes.sum() - large.sum())
    if apart:
        text += f"; {plural(apart, 'unit')} {'stands' if apart == 1 else 'stand'} apart"
    return int(large.size), text


def unit_order(recording: Recording, labels: Array) -> Array:
    """Return the order of the core units by community and likeness."""
    if "order" not in recording.memo:
        recording.memo["order"] = order_units(recording.core, labels)
    order: Array = recording.memo["order"]
    return order


def not_applicable(reason: str, code: str) -> Section:
    """Return a section that says why there is nothing in it."""
    return Section(
        verdict=Verdict("not applicable", reason), headline=("–", "not applicable"),
        statements=[], code=code,
    )  # fmt: skip


def shift_null(recording: Recording) -> str:
    """Return what was shifted, in words."""
    by_trial = recording.has_trials and recording.grid.sizes["trial"] >= 20
    what = (
        "whole trials of each unit" if by_trial and "time" in recording.grid.dims else "each unit"
    )
    return f"{what} shifted around the recording by a lag of its own"


def standardised(values: Array) -> Array:
    """Return samples minus their mean, over their standard deviation, as float32."""
    centred = values - values.mean(axis=0, dtype=np.float64).astype(values.dtype)
    spread = np.sqrt(np.einsum("tu,tu->u", centred, centred, dtype=np.float64) / len(values))
    scaled: Array = (centred / np.where(spread > 0, spread, 1.0)).astype(np.float32)
    return scaled


def number(value: float, digits: int = 3) -> str:
    """Return a number as text, without an exponent where that can be read."""
    if value != 0 and (abs(value) >= 1e6 or abs(value) < 1e-3):
        return f"{value:.{digits - 1}e}"
    text = f"{value:.{digits}g}"
    return f"{float(text):,.0f}" if "e" in text else text


def p_text(p_value: float, smallest: float = 1e-12) -> str:
    """Return a p-value as text."""
    return f"p < {smallest:g}" if p_value < smallest else f"p = {p_value:.2g}"


def plural(n: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
