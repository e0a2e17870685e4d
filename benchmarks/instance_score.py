"""Overlap and matching of instances on flat indices, against whole volumes pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from activome.decoding.instance_matching import centerline_overlap, match_many_to_many
from activome.graphs.filaments import centre_line
from activome.samples.tubes import tubes
from harness import Case, Peer, main

_TRUTHS, _FOUND = 6, 8


def make_volumes(side: float) -> dict[str, Any]:
    """Tubes in a cube, pieces and unions of them, and the centre lines of both."""
    n = int(side)
    rng = np.random.default_rng(0)
    truth = tubes(_TRUTHS, shape=(n // 2, n, n), n_steps=n, random_state=rng)[1].masks
    found = []
    for k in range(_FOUND):
        chosen = truth[k % _TRUTHS] | truth[int(rng.integers(_TRUTHS))]
        places = np.flatnonzero(chosen)
        cut = np.zeros_like(chosen)
        cut.flat[places[: int(rng.uniform(0.5, 0.9) * places.size)]] = True
        found.append(cut)
    masks = np.stack(found)
    flat = [[np.flatnonzero(m) for m in stack] for stack in (truth, masks)]
    lines = [[centre_line(v, truth.shape[1:]) for v in stack] for stack in flat]
    return {"masks": (truth, masks), "flat": flat, "lines": lines}


def ours(data: dict[str, Any]) -> Any:
    """Both tables of overlaps and the pairs of the consuming matching, from flat indices."""
    (truth, found), (lines, lines_found) = data["flat"], data["lines"]
    precision = centerline_overlap(lines_found, truth)
    recall = centerline_overlap(lines, found)
    pairs = match_many_to_many(lines, truth, found, 0.05)
    return precision, recall, sorted(map(tuple, pairs.tolist()))


def prepare(data: dict[str, Any]) -> Any:
    """Put the centre lines into whole volumes."""
    truth, found = data["masks"]
    dense = []
    for lines in data["lines"]:
        volumes = np.zeros((len(lines), *truth.shape[1:]), dtype=bool)
        for volume, line in zip(volumes, lines, strict=True):
            volume.flat[line] = True
        dense.append(volumes)
    return truth, found, dense[0], dense[1]


def pairwise(data: Any) -> Any:
    """Do the same on whole volumes, pair by pair."""
    truth, found, lines, lines_found = data
    tables = []
    for these, masks in ((lines_found, truth), (lines, found)):
        outside = ~masks.any(axis=0)
        rows = [[(line & m).sum() / line.sum() for m in (outside, *masks)] for line in these]
        tables.append(np.array(rows))
    recall = tables[1][:, 1:]
    waiting = {pair: recall[pair] for pair in np.ndindex(*recall.shape) if recall[pair] > 0.05}
    candidates, left, left_found, pairs = list(waiting), lines.copy(), found.copy(), []
    while waiting:
        g, p = max(waiting, key=lambda pair: (waiting[pair], -pair[0], -pair[1]))
        del waiting[g, p]
        pairs.append((g, p))
        left[g] &= ~found[p]
        left_found[p] &= ~truth[g]
        for other in candidates:
            if other != (g, p) and (other[0] == g or other[1] == p):
                mine = other[0] == g
                rest = left[g] & found[other[1]] if mine else lines[other[0]] & left_found[p]
                value = rest.sum() / lines[other[0]].sum()
                waiting.pop(other, None)
                if value > 0.05:
                    waiting[other] = value
    return tables[0], tables[1], sorted(pairs)


def differs(one: Any, other: Any) -> float:
    """Tell the largest difference of the tables; infinity where the pairs differ."""
    if one[2] != other[2]:
        return float("inf")
    return max(float(np.abs(a - b).max()) for a, b in zip(one[:2], other[:2], strict=True))


def cases() -> Sequence[Case]:
    """Three sizes of the volume."""
    peer = Peer("whole volumes, pair by pair", pairwise, differs, tolerance=1e-12, prepare=prepare)
    return [
        Case(
            name=f"overlap and matching, {_TRUTHS} truths x {_FOUND} predictions, cube of side n",
            sizes=(64, 128, 256),
            smoke=(64,),
            make=make_volumes,
            ours=ours,
            peers=[peer],
            aim="ratio at least 5 from side 128 on, and growing with the volume",
        )
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
