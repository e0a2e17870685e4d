"""Kernels that count Lempel-Ziv phrases on suffixes in buckets of about equal size.

Every suffix gets a key: the share of all suffixes that a Markov chain, fitted to the sequence,
puts before it in lexical order (what an arithmetic coder would write). Keys never contradict the
lexical order, and where the chain is right they are uniform, so that equal intervals of the key
hold few suffixes each whatever the entropy. The longest copy of a phrase begins at the suffix
next to it in lexical order, on one side or the other, among those that began earlier: a phrase
costs a look into its bucket. All large arrays are written and read in order, or part by part.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel
from activome.activity._packed_symbols import common_bits

__all__ = ["BYTES_PER_SUFFIX", "BYTES_PER_SYMBOL", "count_in_buckets"]

Array = np.ndarray[Any, Any]
# The tables of the chain, the bits of a symbol and of its context, and the number of keys.
_Chain = tuple[Array, Array, int, int, float]
# Where each bucket begins, and the positions and keys of all suffixes, bucket by bucket.
_Buckets = tuple[Array, Array, Array]
# The bits to the end of the sequence, and the work that is left.
_Ends = tuple[int, int]
# Records of 8 bytes, places and keys of 6; heads, marks and packed symbols are a little.
BYTES_PER_SUFFIX = 16
# Of the alphabet: counts and intervals, of at most twice as many symbols as there are.
BYTES_PER_SYMBOL = 80
_CONTEXT_BITS = 10
_SUFFIXES_PER_BUCKET = 32
_BLOCK = 128
_LANES = 16
# A record is a position below the lowest bits of its key.
_PLACE_BITS = np.uint64(31)
_PLACE = np.uint64(2**31 - 1)
_KEY_BITS = 33
_NO_KEY = 2**16
# What the search may cost: in units of about a nanosecond, per suffix and per phrase.
_WORK_PER_SUFFIX, _WORK_PER_PHRASE = 3, 64


@kernel()
def _fit_chain(
    codes: Array, n_bits: int, top: int, counts: Array, first: Array, inner: Array
) -> None:
    """Count words of a context and a symbol, zeros behind the end, and make intervals of them.

    ``first`` gets the start and the width of the interval of each context among all,
    ``inner`` those of each symbol within that of the context before it. A start is the sum
    of the widths before it, rounded as the end of an interval will be: keys stay in order.
    """
    word: Any = 0
    for j in range(codes.shape[0] - 1, -1, -1):
        word = (word >> n_bits) | (np.int64(codes[j]) << top)
        counts[word] += 1
    n_symbols = 1 << n_bits
    first_start = 0.0
    for context in range(first.shape[0]):
        n_context = 0
        for symbol in range(n_symbols):
            n_context += counts[context * n_symbols + symbol]
        first[context, 0] = first_start
        first[context, 1] = min(n_context / codes.shape[0], 1.0 - first_start)
        first_start += first[context, 1]
        start = 0.0
        for word in range(context * n_symbols, (context + 1) * n_symbols):
            inner[word, 0] = start
            inner[word, 1] = min(counts[word] / max(n_context, 1), 1.0 - start)
            start += inner[word, 1]


@kernel(inline=True)
def _step(chain: _Chain, code: Any, word: Any, share: float) -> tuple[Any, float]:
    """Put a symbol before a suffix: its first symbols, and the share of those that come before."""
    _, inner, n_bits, top, _ = chain
    word = (word >> n_bits) | (np.int64(code) << top)
    return word, inner[word, 0] + inner[word, 1] * share


@kernel(inline=True)
def _to_key(chain: _Chain, word: int, share: float) -> int:
    first, _, n_bits, _, scale = chain
    context = word >> n_bits
    key: Any = np.int64((first[context, 0] + first[context, 1] * share) * scale)
    return min(key, np.int64(scale) - 1)  # type: ignore[no-any-return]


@kernel()
def _count_parts(codes: Array, chain: _Chain, ends: Array, marks: Array) -> None:
    """Find where each part of the keys ends; remember the share that every block begins with."""
    word, share = 0, 0.0
    for j in range(codes.shape[0] - 1, -1, -1):
        if (j + 1) % _BLOCK == 0:
            marks[(j + 1) // _BLOCK] = share
        word, share = _step(chain, codes[j], word, share)
        ends[_to_key(chain, word, share) >> _KEY_BITS] += 1
    for part in range(1, ends.shape[0]):
        ends[part] += ends[part - 1]


@kernel()
def _part(codes: Array, chain: _Chain, ends: Array, records: Array) -> None:
    """Write the records part by part, those of a part by position, from its end on."""
    mask = (1 << _KEY_BITS) - 1
    word, share = 0, 0.0
    for j in range(codes.shape[0] - 1, -1, -1):
        word, share = _step(chain, codes[j], word, share)
        key = _to_key(chain, word, share)
        part = key >> _KEY_BITS
        ends[part] -= 1
        records[ends[part]] = (np.uint64(key & mask) << _PLACE_BITS) | np.uint64(j)


@kernel()
def _spread(
    starts: Array, shift: int, records: Array, heads: Array, places: Array, keys: Array
) -> None:
    """Sort the records of every part into its buckets, those of a bucket by position.

    Positions and keys go to arrays of their own, so that a bucket is two lines of memory which are
    fetched at once.
    """
    to_bucket, to_key = np.uint64(shift) + _PLACE_BITS, np.uint64(shift - 16) + _PLACE_BITS
    n_inner = (heads.shape[0] - 1) // starts.shape[0]
    n = records.shape[0]
    for part in range(starts.shape[0]):
        start = starts[part]
        stop = starts[part + 1] if part + 1 < starts.shape[0] else n
        # One place on: what is the end of a bucket while it fills is the start of the next.
        nexts = heads[part * n_inner + 1 : (part + 1) * n_inner + 1]
        nexts[:] = 0
        for j in range(start, stop):
            nexts[np.int64(records[j] >> to_bucket)] += 1
        end = stop
        for k in range(n_inner - 1, -1, -1):
            end -= nexts[k]
            nexts[k] = end
        for j in range(start, stop):
            bucket = np.int64(records[j] >> to_bucket)
            places[nexts[bucket]] = records[j] & _PLACE
            keys[nexts[bucket]] = records[j] >> to_key
            nexts[bucket] += 1


@kernel()
def _read_block(codes: Array, chain: _Chain, start: int, share: float, keys: Array) -> None:
    """Compute the keys of a block once more: the buckets do not tell which suffix is where."""
    stop = min(start + keys.shape[0], codes.shape[0])
    _, _, n_bits, top, _ = chain
    word: Any = 0
    for j in range(min(stop + top // n_bits, codes.shape[0]) - 1, stop - 1, -1):
        word = (word >> n_bits) | (np.int64(codes[j]) << top)
    for j in range(stop - 1, start - 1, -1):
        word, share = _step(chain, codes[j], word, share)
        keys[j - start] = _to_key(chain, word, share)


@kernel()
def _search(
    words: Array,
    buckets: _Buckets,
    bucket: int,
    own: tuple[int, int, int, int],
    best: int,
    most: int,
) -> tuple[int, bool, bool, int]:
    """Compare a suffix with those in a bucket that began earlier and are next to it.

    Gives the most bits in common, whether any come before and after it, and the work; where that
    passes ``most`` the rest is left.
    """
    heads, places, keys = buckets
    at, key, n_bits, room = own
    start: Any = np.int64(heads[bucket])
    stop = np.int64(heads[bucket + 1])
    below, above, end = -1, _NO_KEY, start
    while end < stop and places[end] < at:
        other: Any = np.int64(keys[end])
        below = max(below, other if other < key else -1)
        above = min(above, other if other > key else _NO_KEY)
        end += 1
    work = end - start
    for j in range(start, end):
        # Keys are rounded: several suffixes may have the same.
        other = np.int64(keys[j])
        if other in (key, below, above):
            place: Any = np.int64(places[j])
            found = common_bits(words, place * n_bits, at * n_bits, best, room)
            work += 1 + (max(found, 0) >> 6)
            best = max(best, found)
            if best == room or work > most:
                break
    return best, below >= 0, above < _NO_KEY, work


@kernel()
def _walk(buckets: _Buckets, bucket: int, stop: int, step: int, at: int) -> int:
    """Find the next bucket that holds a suffix which began earlier."""
    heads, places, _ = buckets
    while bucket != stop:
        start = heads[bucket]
        if start < heads[bucket + 1] and places[start] < at:
            break
        bucket += step
    return bucket


@kernel()
def _longest(
    words: Array, shift: int, n_bits: int, buckets: _Buckets, at: int, whole: int, ends: _Ends
) -> tuple[int, int]:
    """Find how many bits from a position on are a copy of what began earlier, and the work."""
    room, most = ends
    n_buckets = buckets[0].shape[0] - 1
    bucket, edge = whole >> shift, (whole >> (shift - 16)) & 0xFFFF
    # Numbers of one type, or the search is compiled for each: it takes the compiler a while.
    best: Any = np.int64(0)
    step: Any = np.int64(-1)
    stop: Any = np.int64(-1)
    own = (at, edge, n_bits, room)
    best, is_below, is_above, work = _search(words, buckets, bucket, own, best, most)
    for is_beside in (is_below, is_above):
        if not is_beside and best < room:
            other = _walk(buckets, bucket + step, stop, step, at)
            work += abs(other - bucket)
            if other != stop:
                # All keys there are on one side of this one.
                side: Any = np.int64(_NO_KEY if step < 0 else -1)
                own = (at, side, n_bits, room)
                best, _, _, cost = _search(words, buckets, other, own, best, most)
                work += cost
        step, stop = np.int64(1), np.int64(n_buckets)
    return best, work


@kernel(inline=True)
def _allowance(n: int, n_phrases: int, work: int) -> int:
    """Tell the work that is left after some phrases: it is linear in the number of symbols."""
    return n * _WORK_PER_SUFFIX + n_phrases * _WORK_PER_PHRASE - work


@kernel()
def _parse_lanes(
    codes: Array,
    words: Array,
    chain: _Chain,
    shift: int,
    buckets: _Buckets,
    marks: Array,
    lanes: tuple[Array, Array, Array],
) -> tuple[int, int]:
    """Parse from several places at once, each up to the next; give the work, and what to ignore.

    The next phrase of a lane is not known before the last one is, and most of the time goes by
    waiting for memory: the lanes wait together.
    """
    ats, begun, found = lanes
    heads, places, keys = buckets
    n, n_bits, n_lanes = codes.shape[0], chain[2], ats.shape[0]
    length = -(-n // n_lanes)
    blocks = np.full(n_lanes, -1)
    block_keys = np.empty((n_lanes, _BLOCK), np.int64)
    wholes, starts = np.zeros(n_lanes, np.int64), np.zeros(n_lanes, np.int64)
    work, touched, n_phrases, is_busy = 0, 0, 0, True
    while is_busy:
        is_busy = False
        for lane in range(n_lanes):
            at = ats[lane]
            if at < min((lane + 1) * length, n):
                is_busy = True
                if at // _BLOCK != blocks[lane]:
                    blocks[lane] = at // _BLOCK
                    share = marks[blocks[lane] + 1]
                    _read_block(codes, chain, blocks[lane] * _BLOCK, share, block_keys[lane])
                wholes[lane] = block_keys[lane, at % _BLOCK]
                starts[lane] = min(heads[wholes[lane] >> shift], n - 1)
        for lane in range(n_lanes):
            touched += places[starts[lane]] + keys[starts[lane]]
        for lane in range(n_lanes):
            at = ats[lane]
            if at < min((lane + 1) * length, n):
                begun[lane * length + found[lane]] = at
                found[lane] += 1
                room = (n - at) * n_bits
                ends = (room, _allowance(n, n_phrases, work))
                best, cost = _longest(words, shift, n_bits, buckets, at, wholes[lane], ends)
                ats[lane] = at + best // n_bits + 1
                work += cost
                n_phrases += 1
        if _allowance(n, n_phrases, work) < 0:
            return -1, touched
    return work, touched


@kernel()
def _parse(
    codes: Array,
    words: Array,
    chain: _Chain,
    shift: int,
    buckets: _Buckets,
    marks: Array,
    lanes: tuple[Array, Array, Array],
    work: int,
) -> int:
    """Count the phrases, or give -1 where that would cost more than a fixed work per symbol.

    From where the parsing meets a lane, they go on together to the end of the lane.
    """
    ats, begun, found = lanes
    n, n_bits = codes.shape[0], chain[2]
    length = -(-n // ats.shape[0])
    block_keys = np.empty(_BLOCK, np.int64)
    at: Any = np.int64(0)
    n_phrases, block = 0, -1
    while at < n:
        lane = at // length
        mine = begun[lane * length : lane * length + found[lane]]
        k = np.searchsorted(mine, at)
        if k < mine.shape[0] and mine[k] == at:
            n_phrases += mine.shape[0] - k
            at = ats[lane]
            continue
        n_phrases += 1
        if at // _BLOCK != block:
            block = at // _BLOCK
            _read_block(codes, chain, block * _BLOCK, marks[block + 1], block_keys)
        room = (n - at) * n_bits
        whole = block_keys[at % _BLOCK]
        ends = (room, _allowance(n, n_phrases, work))
        best, cost = _longest(words, shift, n_bits, buckets, at, whole, ends)
        at += best // n_bits + 1
        work += cost
        if _allowance(n, n_phrases, work) < 0:
            return -1
    return n_phrases


def count_in_buckets(codes: Array, words: Array, n_bits: int) -> int:
    """Count the phrases of Lempel and Ziv (1976).

    Parameters
    ----------
    codes : ndarray of unsigned int, shape (n_times,)
        Symbols, fewer than 2^31 of them.
    words : ndarray of uint64, shape (n_words,)
        The same, packed.
    n_bits : int
        Bits of a symbol.

    Returns
    -------
    int
        Phrases; -1 where neighbours share so much, or buckets are so unequal, that the search
        would not be linear in the number of symbols.
    """
    n = codes.shape[0]
    top = n_bits * max(_CONTEXT_BITS // n_bits - 1, 0)
    first, inner = np.empty((1 << top, 2)), np.empty((1 << (top + n_bits), 2))
    _fit_chain(codes, n_bits, top, np.zeros(len(inner), np.int32), first, inner)
    depth = max(2, (n // _SUFFIXES_PER_BUCKET).bit_length())
    n_parts = 1 << (depth + 1) // 2
    shift = _KEY_BITS - depth // 2
    chain = (first, inner, n_bits, top, float(n_parts << _KEY_BITS))
    ends, marks = np.zeros(n_parts, np.int32), np.zeros(n // _BLOCK + 2)
    _count_parts(codes, chain, ends, marks)
    # Large arrays are allocated here, not in the kernels: numpy asks for large pages.
    records = np.empty(n, np.uint64)
    _part(codes, chain, ends, records)
    heads = np.zeros((1 << depth) + 1, np.int32)
    places, keys = np.empty(n, np.int32), np.empty(n, np.uint16)
    _spread(ends, shift, records, heads, places, keys)
    del records
    buckets = (heads, places, keys)
    n_lanes = min(_LANES, n)
    length = -(-n // n_lanes)
    ats = np.arange(n_lanes) * length
    lanes = (ats, np.empty(n_lanes * length, np.int32), np.zeros(n_lanes, np.int64))
    work, _ = _parse_lanes(codes, words, chain, shift, buckets, marks, lanes)
    if work < 0:
        return -1
    return int(_parse(codes, words, chain, shift, buckets, marks, lanes, work))
