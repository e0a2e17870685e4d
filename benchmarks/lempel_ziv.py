"""Lempel-Ziv complexity of 1976: phrases of fair coins and of spike trains, against antropy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from activome.activity.complexity import lempel_ziv_complexity
from harness import Case, Peer, main

_STRINGS = 500


def make_coins(n: float) -> Any:
    """Fair coins: the entropy is the highest, and the automaton the largest."""
    return np.random.default_rng(0).integers(0, 2, int(n), dtype=np.uint8)


def make_spikes(n: float) -> Any:
    """Independent bins with a spike in one of twenty."""
    return (np.random.default_rng(0).random(int(n)) < 0.05).astype(np.uint8)


def make_strings(n: float) -> Any:
    """Random strings of up to n symbols, of any rate."""
    rng = np.random.default_rng(0)
    return [
        (rng.random(rng.integers(2, int(n))) < rng.random()).astype(np.uint8)
        for _ in range(_STRINGS)
    ]


def count(x: Any) -> Any:
    """Count phrases, ours."""
    return lempel_ziv_complexity(x, normalise=False)


def count_each(strings: Any) -> Any:
    """Count the phrases of every string, ours."""
    return np.array([count(x) for x in strings])


def count_antropy(x: Any) -> Any:
    """Count phrases with antropy."""
    import antropy

    return antropy.lziv_complexity(x, normalize=False)


def count_each_antropy(strings: Any) -> Any:
    """Count the phrases of every string with antropy."""
    return np.array([count_antropy(x) for x in strings])


def differs(ours: Any, theirs: Any) -> float:
    """Tell the largest difference of the phrases."""
    return float(np.max(np.abs(np.asarray(ours) - np.asarray(theirs))))


def cases() -> Sequence[Case]:
    """The peer at 10^5 symbols, where it takes seconds; ours alone up to 10^7."""
    antropy = Peer("antropy lziv_complexity", count_antropy, differs, requires="antropy")
    each = Peer("antropy lziv_complexity", count_each_antropy, differs, requires="antropy")
    long = (1e4, 1e5, 1e6, 1e7)
    return [
        Case(
            name=f"{_STRINGS} random strings of up to n symbols",
            sizes=(400,),
            make=make_strings,
            ours=count_each,
            peers=[each],
            aim="equal phrases",
        ),
        Case(
            name="fair coins",
            sizes=(1e5,),
            smoke=(1e4,),
            make=make_coins,
            ours=count,
            peers=[antropy],
            aim="ratio at least 100",
        ),
        Case(
            name="fair coins, alone",
            sizes=long,
            smoke=(1e4,),
            make=make_coins,
            ours=count,
            aim="grows as n^1.0, within 0.1",
        ),
        Case(
            name="spikes in one bin of twenty, alone",
            sizes=long,
            smoke=(1e4,),
            make=make_spikes,
            ours=count,
            aim="grows as n^1.0, within 0.1",
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
