"""Resamples of the conditions: intervals of each measure, and its noise ceilings."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._progress import Progress, silent
from activome.errors import ActivityError
from activome.geometry.rdm_forms import to_square
from activome.report._compare_measures import Measure, Result
from activome.report._compare_sides import FEWEST, Side

__all__ = ["resample_conditions"]

Array = np.ndarray[Any, Any]
_TIE_AWARE = ("rho-a", "kendall-a")
# Splits that each resample looks at; they take turns.
_SPLITS_PER_DRAW = 3


def resample_conditions(
    results: list[Result],
    a: Side,
    b: Side,
    rdms: tuple[Array, Array],
    *,
    n_bootstrap: int,
    n_splits: int,
    generator: np.random.Generator,
    progress: Progress = silent,
) -> None:
    """Draw conditions with replacement, and set the draws and ceilings of each result."""
    halves: dict[str, Array] = {}
    factors: dict[str, int] = {}
    for name, side in (("a", a), ("b", b)):
        found = [side.half_rdms(generator) for _ in range(n_splits)]
        pairs = [pair for pair in found if pair is not None]
        if pairs:
            halves[name], factors[name] = np.stack(pairs), side.half_factor
    applied = [result for result in results if not result.reason]
    values: dict[str, list[Array]] = {result.measure.name: [] for result in applied}
    for draw in range(n_bootstrap):
        progress("resampling conditions", draw, n_bootstrap)
        chosen = generator.integers(0, a.n_conditions, a.n_conditions)
        kept, times = np.unique(chosen, return_counts=True)
        if kept.size >= FEWEST:
            drawn = _Drawn(a.n_conditions, kept, times)
            turn = (draw * _SPLITS_PER_DRAW + np.arange(_SPLITS_PER_DRAW)) % n_splits
            parts = [pairs[turn].reshape(-1, rdms[0].size) for pairs in halves.values()]
            rows = drawn.take(np.concatenate([np.stack(rdms), *parts]))
            for result in applied:
                values[result.measure.name] += _draw(result.measure, rows, drawn, factors)
    progress("resampling conditions", n_bootstrap, n_bootstrap)
    for result in applied:
        table = np.array(values[result.measure.name]).reshape(-1, 1 + 2 * len(factors))
        result.draws = table[:, 0]
        for k, name in enumerate(factors):
            side = a if name == "a" else b
            if table.size and _has_ceiling(result.measure, side):
                result.ceilings[name] = table[:, 1 + 2 * k : 3 + 2 * k]


class _Drawn:
    """The pairs of drawn conditions, each as often as drawn; a copy of itself is no pair."""

    def __init__(self, n: int, kept: Array, times: Array) -> None:
        place = np.asarray(to_square(np.arange(n * (n - 1) // 2)))
        first, second = np.triu_indices(kept.size, 1)
        self._pairs = place[kept[first], kept[second]]
        self._times = times[first] * times[second]

    def take(self, rdms: Array) -> Array:
        """Return the RDMs of the distinct conditions drawn."""
        return rdms[:, self._pairs]

    def repeat(self, rdms: Array) -> Array:
        """Return each pair as often as it was drawn."""
        return np.repeat(rdms, self._times, axis=1)


def _draw(measure: Measure, rows: Array, drawn: _Drawn, factors: dict[str, int]) -> list[Array]:
    """Return the value and the bounds of each side in one resample, as a list of one row."""
    try:
        # Maps see the distinct conditions; only then does each pair count as often as drawn.
        mapped = measure.map(rows)
        found = [
            _similarity(measure, mapped[k], mapped[k + 1], drawn) for k in range(0, len(mapped), 2)
        ]
    except ActivityError:
        # Distances that are all alike order nothing: such a resample is not counted.
        return []
    bounds: list[float] = []
    for k, factor in enumerate(factors.values()):
        splits = found[1 + k * _SPLITS_PER_DRAW : 1 + (k + 1) * _SPLITS_PER_DRAW]
        bounds += _bounds(float(np.mean(splits)), factor)
    return [np.array([found[0], *bounds])]


def _similarity(measure: Measure, one: Array, other: Array, drawn: _Drawn) -> float:
    first, second = drawn.repeat(np.stack([one, other]))
    value = float(measure.compare(first, second)[0])
    if measure.method in _TIE_AWARE:
        # Copies of a pair are ties, which these measures count against the RDMs: what that takes
        # from the similarity of an RDM with itself is given back.
        for row, copies in ((one, first), (other, second)):
            value *= np.sqrt(measure.compare(row, row)[0] / measure.compare(copies, copies)[0])
    return min(1.0, value)


def _bounds(r: float, factor: int) -> list[float]:
    """Return bounds of the similarity of the whole RDM with one free of noise.

    A half that agrees with the other by r agrees with the truth by the root of r, and the whole,
    less noisy than a half, by more. It is less noisy by at most ``factor`` in variance; and the
    mean of two halves agrees with each by ``sqrt((1 + r) / 2)``, more than it should (as in
    ``noise_ceiling``).
    """
    r = max(r, 0.0)
    best = np.sqrt(factor * r / (1.0 + (factor - 1.0) * r))
    return [float(np.sqrt(r)), float(max(best, np.sqrt((1.0 + r) / 2.0)))]


def _has_ceiling(measure: Measure, side: Side) -> bool:
    # The distances of halves are shifted by their noise, which a cosine does not forgive.
    return not (measure.method == "cosine" and side.metric == "crossnobis")
