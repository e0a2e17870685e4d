"""Kernels that pack symbols into words of 64 bits and compare stretches of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel

__all__ = ["common_bits", "pack"]

Array = np.ndarray[Any, Any]
_ONE = np.uint64(1)
_MOST_SHIFT = np.uint64(63)
_ALL = np.uint64(2**64 - 1)
# A product with this de Bruijn word puts a different number in the six highest bits for each
# single bit that is set.
_DE_BRUIJN = np.uint64(0x022FDD63CC95386D)
_HIGHEST = np.uint64(58)
_PLACES = np.zeros(64, dtype=np.int64)
for _bit in range(64):
    _PLACES[((0x022FDD63CC95386D << _bit) % 2**64) >> 58] = _bit


@kernel(inline=True)
def _load(words: Array, offset: int) -> Any:
    """Give the 64 bits from an offset; beyond the end they are 0."""
    at = min(offset >> 6, words.shape[0] - 2)
    shift = np.uint64(offset & 63)
    return (words[at] >> shift) | ((words[at + 1] << _ONE) << (_MOST_SHIFT - shift))


@kernel(inline=True)
def _first_bit(word: Any) -> int:
    """Give the place of the lowest bit that is set; there must be one."""
    return _PLACES[((word & (~word + _ONE)) * _DE_BRUIJN) >> _HIGHEST]  # type: ignore[no-any-return]


@kernel()
def _pack(codes: Array, n_bits: int, words: Array) -> None:
    words[:] = 0
    if n_bits == 1:
        for at in range(codes.shape[0] >> 6):
            word = np.uint64(0)
            for bit in range(64):
                word |= np.uint64(codes[(at << 6) + bit]) << np.uint64(bit)
            words[at] = word
    start = codes.shape[0] >> 6 << 6 if n_bits == 1 else 0
    for j in range(start, codes.shape[0]):
        offset = j * n_bits
        code, shift = np.uint64(codes[j]), np.uint64(offset & 63)
        words[offset >> 6] |= code << shift
        words[(offset >> 6) + 1] |= (code >> _ONE) >> (_MOST_SHIFT - shift)


def pack(codes: Array, n_bits: int) -> Array:
    """Pack symbols one after the other, the lowest bit first.

    Parameters
    ----------
    codes : ndarray of unsigned int, shape (n_times,)
        Symbols, each of at most ``n_bits`` bits.
    n_bits : int
        Bits of a symbol.

    Returns
    -------
    ndarray of uint64, shape (n_words,)
        The bits, then at least 64 zeros.
    """
    # Two more: a stretch is read from two words, and what lies beyond the end reads the last two.
    words = np.empty(codes.shape[0] * n_bits // 64 + 3, dtype=np.uint64)
    _pack(codes, n_bits, words)
    return words


@kernel()
def common_bits(words: Array, a: int, b: int, best: int, room: int) -> int:
    """Count the bits that agree from two offsets on, up to ``room``.

    Gives -1 where the bits that would let the count exceed ``best`` differ: nothing else is
    compared then.
    """
    from_bit = max(best - 63, 0)
    differs = _load(words, a + from_bit) ^ _load(words, b + from_bit)
    if differs & (_ALL >> np.uint64(63 - best + from_bit)):
        return -1
    n_common = 0
    while n_common < room:
        differs = _load(words, a + n_common) ^ _load(words, b + n_common)
        if differs:
            return min(n_common + _first_bit(differs), room)
        n_common += 64
    return room
