"""Overlap of lines with instances, and the ways to match: on sorted flat indices throughout."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

import numpy as np

from activome.activity.matching import match_matrix

__all__ = [
    "MATCHERS", "covered_share", "inside", "match_consuming", "match_one_to_one", "overlap_table",
]  # fmt: skip

Array = np.ndarray[Any, Any]


def inside(points: Array, mask: Array) -> Array:
    """Return for each of some increasing indices whether it is among other increasing ones."""
    if points.size == 0 or mask.size == 0:
        return np.zeros(points.size, dtype=bool)
    place = np.searchsorted(mask, points)
    return np.asarray(mask[np.minimum(place, mask.size - 1)] == points)


def overlap_table(lines: Sequence[Array], masks: Sequence[Array]) -> Array:
    """Return the share of each line inside each mask; column 0 is outside all of them."""
    table = np.zeros((len(lines), len(masks) + 1))
    if not lines:
        return table
    owner = np.repeat(np.arange(len(lines)), [line.size for line in lines])
    points = np.concatenate(list(lines))
    # Sorted over all lines: a mask then meets only the points between its ends.
    order = np.argsort(points, kind="stable")
    points, owner = points[order], owner[order]
    is_covered = np.zeros(points.size, dtype=bool)
    for column, mask in enumerate(masks, start=1):
        if mask.size == 0:
            continue
        low, high = np.searchsorted(points, [mask[0], mask[-1] + 1])
        part = slice(low, high)
        hit = inside(points[part], mask)
        is_covered[part] |= hit
        table[:, column] = np.bincount(owner[part][hit], minlength=len(lines))
    table[:, 0] = np.bincount(owner[~is_covered], minlength=len(lines))
    return np.asarray(table / np.array([line.size for line in lines])[:, np.newaxis])


def covered_share(line: Array, masks: Sequence[Array]) -> float:
    """Return the share of a line inside the union of some masks."""
    is_covered = np.zeros(line.size, dtype=bool)
    for mask in masks:
        is_covered |= inside(line, mask)
    return float(is_covered.mean())


def _greedy(table: Array, threshold: float) -> Array:
    rows, columns = np.nonzero(table > threshold)
    values = table[rows, columns]
    free_rows, free_columns = np.ones(table.shape[0], bool), np.ones(table.shape[1], bool)
    pairs = []
    for k in np.lexsort((columns, rows, -values)):
        if free_rows[rows[k]] and free_columns[columns[k]]:
            free_rows[rows[k]] = free_columns[columns[k]] = False
            pairs.append((rows[k], columns[k]))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _hungarian(table: Array, threshold: float) -> Array:
    if 0 in table.shape:
        return np.zeros((0, 2), dtype=np.int64)
    # Matches first, their values second: all values together weigh less than one match.
    found = match_matrix((table > threshold) + table / (2.0 * min(table.shape)))
    is_match = table[found.rows, found.columns] > threshold
    return np.stack([found.rows, found.columns], axis=1)[is_match].astype(np.int64)


MATCHERS = {"greedy": _greedy, "hungarian": _hungarian}


def match_one_to_one(table: Array, threshold: float, how: str) -> Array:
    """Return the matched (row, column) pairs of a table, each row and column once at most."""
    return MATCHERS[how](table, threshold)


def match_consuming(
    lines: Sequence[Array],
    truths: Sequence[Array],
    predictions: Sequence[Array],
    recall: Array,
    threshold: float,
) -> Array:
    """Return (truth, prediction) pairs of a matching in which what is matched is used up."""
    board = _Board(lines, truths, predictions, recall > threshold, threshold)
    for truth, prediction in zip(*np.nonzero(board.candidates), strict=True):
        board.queue(int(truth), int(prediction), float(recall[truth, prediction]))
    pairs = []
    while (best := board.take()) is not None:
        pairs.append(best)
        board.consume(*best)
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


class _Board:
    """What is left of every line and every prediction, and the queue of pairs by what they share.

    All of it is kept on the voxels of the lines: what is left of a prediction matters only where a
    line runs.
    """

    def __init__(
        self,
        lines: Sequence[Array],
        truths: Sequence[Array],
        predictions: Sequence[Array],
        candidates: Array,
        threshold: float,
    ) -> None:
        self.lines, self.truths, self.candidates = lines, truths, candidates
        self.threshold = threshold
        self.left: dict[int, Array] = {
            t: np.ones(lines[t].size, dtype=np.bool_)
            for t in np.flatnonzero(candidates.any(axis=1)).tolist()
        }
        self.shared = {
            (int(t), int(p)): inside(lines[t], predictions[p])
            for t, p in zip(*np.nonzero(candidates), strict=True)
        }
        # What is left of a prediction on the line of each truth.
        self.of_prediction: dict[tuple[int, int], Array] = {
            pair: hit.copy() for pair, hit in self.shared.items()
        }
        self.heap: list[tuple[float, int, int]] = []
        self.value: dict[tuple[int, int], float] = {}

    def queue(self, truth: int, prediction: int, value: float) -> None:
        """Put a pair in the queue with a new value, or out of it."""
        if value > self.threshold:
            self.value[truth, prediction] = value
            heapq.heappush(self.heap, (-value, truth, prediction))
        else:
            self.value.pop((truth, prediction), None)

    def take(self) -> tuple[int, int] | None:
        """Take the best pair whose value still stands."""
        while self.heap:
            negative, truth, prediction = heapq.heappop(self.heap)
            if self.value.get((truth, prediction)) == -negative:
                del self.value[truth, prediction]
                return truth, prediction
        return None

    def consume(self, truth: int, prediction: int) -> None:
        """Use up what a matched pair shares, and queue what it changes anew."""
        self.left[truth] &= ~self.shared[truth, prediction]
        for other in np.flatnonzero(self.candidates[truth]).tolist():
            rest = self.left[truth] & self.shared[truth, other]
            self.queue(truth, other, float(rest.mean()))
        for other in np.flatnonzero(self.candidates[:, prediction]).tolist():
            rest = self.of_prediction[other, prediction]
            rest &= ~inside(self.lines[other], self.truths[truth])
            self.queue(other, prediction, float(rest.mean()))
