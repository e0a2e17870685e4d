"""Lempel-Ziv complexity of 1976: phrases of many kinds of sequences, against antropy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from activome.activity.complexity import lempel_ziv_complexity
from harness import Case, Peer, main

_STRINGS = 500


def make_coins(n: float) -> Any:
    """Fair coins: the entropy is the highest, and so is the number of phrases."""
    return np.random.default_rng(0).integers(0, 2, int(n), dtype=np.uint8)


def make_spikes(n: float) -> Any:
    """Independent bins with a spike in one of twenty."""
    return (np.random.default_rng(0).random(int(n)) < 0.05).astype(np.uint8)


def make_rare_spikes(n: float) -> Any:
    """Independent bins with a spike in one of a hundred."""
    return (np.random.default_rng(0).random(int(n)) < 0.01).astype(np.uint8)


def make_chain(n: float) -> Any:
    """A chain that stays at 0 for 500 steps and at 1 for 50, on average."""
    rng = np.random.default_rng(0)
    n_runs = int(n) // 100 + 10
    runs = np.ravel([rng.geometric(1 / 500, n_runs), rng.geometric(1 / 50, n_runs)], order="F")
    return np.repeat(np.arange(runs.size) % 2, runs)[: int(n)].astype(np.uint8)


def make_fibonacci(n: float) -> Any:
    """The Fibonacci word: it repeats itself as much as a word without a period can."""
    word, longer = b"\0", b"\0\1"
    while len(longer) < n:
        word, longer = longer, longer + word
    return np.frombuffer(longer[: int(n)], dtype=np.uint8).copy()


def make_thue_morse(n: float) -> Any:
    """The word of Thue and Morse: parity of the bits of the place."""
    return (np.bitwise_count(np.arange(int(n))) % 2).astype(np.uint8)


def make_copies(n: float) -> Any:
    """A period of 50 with a flaw in one of a thousand places: many suffixes share as much."""
    rng = np.random.default_rng(0)
    word = np.resize(rng.integers(0, 2, 50, dtype=np.uint8), int(n))
    return word ^ (rng.random(int(n)) < 0.001)


def make_bytes(n: float) -> Any:
    """Independent symbols of an alphabet of 256."""
    return np.random.default_rng(0).integers(0, 256, int(n), dtype=np.uint8)


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


def count_bytes(x: Any) -> Any:
    """Count the phrases of an alphabet of 256, ours."""
    return lempel_ziv_complexity(x, alphabet=256, normalise=False)


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
        *(
            Case(
                name=f"{name}, alone",
                sizes=(1e4, 1e5, 1e6, 1e7),
                smoke=(1e4,),
                make=make,
                ours=count_bytes if make is make_bytes else count,
                aim="grows as n^1.0, within 0.1",
            )
            for name, make in _KINDS.items()
        ),
    ]


_KINDS = {
    "fair coins": make_coins,
    "spikes in one bin of twenty": make_spikes,
    "spikes in one bin of a hundred": make_rare_spikes,
    "a slow chain": make_chain,
    "the Fibonacci word": make_fibonacci,
    "the word of Thue and Morse": make_thue_morse,
    "copies with flaws": make_copies,
    "256 symbols": make_bytes,
}


if __name__ == "__main__":
    raise SystemExit(main(cases))
