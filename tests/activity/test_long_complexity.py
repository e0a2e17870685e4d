"""Phrases of long sequences: buckets of suffixes and suffix arrays against slow twins."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activome.activity._lempel_ziv import _count_long, _count_on_automaton, bytes_needed
from activome.activity._packed_symbols import common_bits, pack
from activome.activity._suffix_array import count_by_suffix_array, suffix_array
from activome.activity._suffix_buckets import count_in_buckets
from activome.activity.complexity import lempel_ziv_complexity

Array = np.ndarray[Any, Any]


def n_bits_of(n_symbols: int) -> int:
    return (n_symbols - 1).bit_length()


def by_buckets(codes: Array, n_symbols: int) -> int:
    n_bits = n_bits_of(n_symbols)
    return count_in_buckets(codes, pack(codes, n_bits), n_bits)


def by_array(codes: Array, n_symbols: int) -> int:
    n_bits = n_bits_of(n_symbols)
    return count_by_suffix_array(codes, pack(codes, n_bits), n_bits, n_symbols)


def by_automaton(codes: Array, n_symbols: int) -> int:
    return int(_count_on_automaton(codes.reshape(1, -1), n_symbols)[0])


def slow_phrases(text: bytes) -> int:
    """Try every earlier beginning of every phrase, symbol by symbol."""
    at = n_phrases = 0
    while at < len(text):
        longest = 0
        for start in range(at):
            length = 0
            while at + length < len(text) and text[start + length] == text[at + length]:
                length += 1
            longest = max(longest, length)
        at += longest + 1
        n_phrases += 1
    return n_phrases


def automaton_phrases(codes: Array) -> int:
    """Read the phrases off a suffix automaton that is kept in dictionaries."""
    lengths, links, steps = [0], [-1], [dict[int, int]()]
    last = length = n_phrases = 0
    for symbol in codes.tolist():
        new = len(lengths)
        lengths.append(lengths[last] + 1)
        links.append(0)
        steps.append({})
        at = last
        while at != -1 and symbol not in steps[at]:
            steps[at][symbol] = new
            at = links[at]
        if at != -1:
            target = steps[at][symbol]
            if lengths[target] == lengths[at] + 1:
                links[new] = target
            else:
                copy = len(lengths)
                lengths.append(lengths[at] + 1)
                links.append(links[target])
                steps.append(dict(steps[target]))
                links[target] = links[new] = copy
                while at != -1 and steps[at].get(symbol) == target:
                    steps[at][symbol] = copy
                    at = links[at]
        last = new
        length += 1
        if lengths[links[new]] < length:
            n_phrases += 1
            length = 0
    return n_phrases + (length > 0)


def grow(rules: dict[int, list[int]], n: int) -> Array:
    """Rewrite every symbol by its rule until there are n."""
    word = [0]
    while len(word) < n:
        word = [symbol for old in word for symbol in rules[old]]
    return np.array(word[:n], dtype=np.uint8)


def de_bruijn(n: int) -> Array:
    """Prefer one: each window of the order is there once."""
    order = int(np.log2(n))
    seen, word = {(0,) * order}, [0] * order
    while True:
        for bit in (1, 0):
            window = (*word[len(word) - order + 1 :], bit)
            if window not in seen:
                seen.add(window)
                word.append(bit)
                break
        else:
            return np.array(word[:n], dtype=np.uint8)


def chain(n: int, leave: tuple[float, float]) -> Array:
    state, word = 0, np.empty(n, dtype=np.uint8)
    for k, u in enumerate(np.random.default_rng(0).random(n)):
        state ^= int(u < leave[state])
        word[k] = state
    return word


def draw(n: int, n_symbols: int) -> Array:
    codes = np.random.default_rng(0).integers(0, n_symbols, n)
    return codes.astype(np.uint8 if n_symbols <= 256 else np.uint32)


def flawed_copies(n: int, period: int, share: float) -> Array:
    rng = np.random.default_rng(0)
    word = np.resize(rng.integers(0, 2, period, dtype=np.uint8), n)
    return word ^ (rng.random(n) < share)


def joined(n: int, length: int) -> Array:
    """Two long words in random order: suffixes share much, and many share as much."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2, (2, length), dtype=np.uint8)
    return words[rng.integers(0, 2, n // length)].ravel()


N = 20_000
HARD: dict[str, tuple[Callable[[], Array], int]] = {
    "one symbol": (lambda: np.zeros(N, dtype=np.uint8), 2),
    "period of 7": (lambda: np.resize(np.array([0, 1, 1, 0, 0, 0, 1], dtype=np.uint8), N), 2),
    "Fibonacci": (lambda: grow({0: [0, 1], 1: [0]}, N), 2),
    "Thue-Morse": (lambda: grow({0: [0, 1], 1: [1, 0]}, N), 2),
    "period doubling": (lambda: grow({0: [0, 1], 1: [0, 0]}, N), 2),
    "de Bruijn": (lambda: de_bruijn(N), 2),
    "spikes in one bin of a hundred": (lambda: (draw(N, 100) == 0).astype(np.uint8), 2),
    "spikes in one bin of a thousand": (lambda: (draw(N, 1000) == 0).astype(np.uint8), 2),
    "slow chain": (lambda: chain(N, (0.002, 0.02)), 2),
    "copies with flaws": (lambda: flawed_copies(N, 50, 0.001), 2),
    "two words in random order": (lambda: joined(N, 100), 2),
    "zeros, then coins": (lambda: np.repeat([0, 1], N // 2).astype(np.uint8) & draw(N, 2), 2),
    "runs": (lambda: np.repeat(np.arange(N) % 2, 1 + draw(N, 400))[:N].astype(np.uint8), 2),
    "three symbols": (lambda: draw(N, 3), 3),
    "256 symbols": (lambda: draw(N, 256), 256),
    "as many symbols as places": (
        lambda: np.random.default_rng(0).permutation(N).astype(np.uint32),
        N,
    ),
}


@pytest.mark.parametrize("name", HARD)
def test_hard_sequences_equal_the_automaton(name: str) -> None:
    make, n_symbols = HARD[name]
    codes = make()
    expected = automaton_phrases(codes)
    assert by_array(codes, n_symbols) == expected
    # What is too unequal for the buckets goes to the suffix array, and says so.
    assert by_buckets(codes, n_symbols) in {expected, -1}
    assert _count_long(codes, n_symbols) == expected
    if n_symbols <= 256:
        assert by_automaton(codes, n_symbols) == expected


@given(data=st.data())
@settings(deadline=None)  # the first call compiles
def test_equal_the_slow_search(data: st.DataObject) -> None:
    n_symbols = data.draw(st.sampled_from([2, 3, 8, 200]))
    symbol = st.integers(0, n_symbols - 1)
    part = data.draw(st.lists(symbol, min_size=2, max_size=60))
    word = part * data.draw(st.integers(1, 5)) + data.draw(st.lists(symbol, max_size=60))
    codes = np.array(word, dtype=np.uint8)
    expected = slow_phrases(bytes(word))
    assert by_array(codes, n_symbols) == expected
    assert by_buckets(codes, n_symbols) in {expected, -1}
    suffixes = sorted(range(len(word)), key=lambda k: word[k:])
    assert suffix_array(codes, n_symbols).tolist() == suffixes


@given(
    codes=st.lists(st.integers(0, 6), min_size=2, max_size=90),
    n_bits=st.sampled_from([3, 7, 13]),
    best=st.integers(0, 300),
)
@settings(deadline=None)  # the first call compiles
def test_common_bits_equal_those_of_a_text(codes: list[int], n_bits: int, best: int) -> None:
    words = pack(np.array(codes, dtype=np.uint8), n_bits)
    text = "".join(f"{code:0{n_bits}b}"[::-1] for code in codes)
    for a in range(len(codes) - 1):
        rest, here = text[(a + 1) * n_bits :], text[a * n_bits :]
        expected = next((k for k, bit in enumerate(rest) if bit != here[k]), len(rest))
        found = common_bits(words, a * n_bits, (a + 1) * n_bits, best, len(rest))
        assert found == expected or (expected <= best and found == -1)


def test_what_is_too_much_for_the_buckets_is_counted_another_way() -> None:
    # Each suffix has as many equal neighbours as there are copies, and there are many phrases.
    codes = flawed_copies(1_000_000, 50, 0.001)
    assert by_buckets(codes, 2) == by_buckets(codes, 3) == -1
    expected = by_automaton(codes, 2)
    assert by_array(codes, 2) == expected
    assert _count_long(codes, 2) == _count_long(codes, 3) == expected
    assert lempel_ziv_complexity(codes, normalise=False) == expected


@pytest.mark.parametrize("share", [0.5, 0.05, 0.01, 0.0001])
def test_a_million_spikes_equal_the_automaton(share: float) -> None:
    codes = (np.random.default_rng(0).random(1_000_000) < share).astype(np.uint8)
    assert by_buckets(codes, 2) == by_automaton(codes, 2)


def test_large_numbers_as_symbols() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 300, 5000)
    names = np.sort(rng.choice(10**12, 300, replace=False))
    expected = automaton_phrases(codes)
    assert lempel_ziv_complexity(names[codes], alphabet=names.tolist(), normalise=False) == expected
    assert lempel_ziv_complexity(codes, alphabet=100_000, normalise=False) == expected
    assert lempel_ziv_complexity(codes * 1.0, alphabet=2**31, normalise=False) == expected
    # Each of 300 symbols 16 or 17 times: the entropy is log 300.
    even = rng.permutation(np.resize(np.arange(300), 5000))
    found = lempel_ziv_complexity(even, alphabet=2**31, normalise="entropy")
    phrases = lempel_ziv_complexity(even, alphabet=300, normalise=False)
    assert found == pytest.approx(phrases * np.log(5000) / 5000 / np.log(300), rel=1e-4)


@pytest.mark.parametrize("n_symbols", [2, 256, 100_000])
def test_memory_stays_below_what_is_stated(n_symbols: int) -> None:
    codes = draw(100_000, n_symbols)
    _count_long(codes, n_symbols)
    by_array(codes, n_symbols)
    limit = bytes_needed(codes.size, n_symbols, "lz76")
    assert limit < {2: 34, 256: 28}.get(n_symbols, 112) * codes.size
    for count in (_count_long, by_array):
        tracemalloc.start()
        count(codes, n_symbols)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # The lanes and the tables of the chain are constant.
        assert peak < limit + 300_000
