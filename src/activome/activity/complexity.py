"""Lempel-Ziv complexity: how many phrases a sequence needs that were not there before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from activome._checks import (
    DEFAULT_MEMORY_LIMIT,
    check_choice,
    check_finite,
    check_integer,
    check_memory,
)
from activome.activity._lempel_ziv import bytes_needed, count_phrases
from activome.activity.events import Events
from activome.activity.schema import Activity, ensure
from activome.errors import ActivityError, ParameterError

__all__ = ["lempel_ziv_complexity"]

Array = np.ndarray[Any, Any]
_OWNER = "lempel_ziv_complexity"
_TOO_MANY = 2**31


def lempel_ziv_complexity(
    x: ArrayLike | str | Activity | Events,
    *,
    normalise: bool | str = True,
    axis: int = -1,
    variant: str = "lz76",
    alphabet: int | str | Sequence[Any] | None = None,
    dt: float | None = None,
    memory_limit: float = DEFAULT_MEMORY_LIMIT,
) -> Any:
    """Measure the Lempel-Ziv complexity of sequences of symbols.

    The sequence is read from left to right and cut into phrases. In the parsing of 1976 a phrase
    ends as soon as it is no copy of anything that began earlier; in that of 1978 as soon as it is
    no earlier phrase. For a stationary source the normalised number of phrases
    ``c log_a(n) / n`` tends to the entropy rate, in units of log(a) for an alphabet of ``a``
    symbols: 0 for what repeats, 1 for fair coins. It overshoots for short sequences and depends on
    their length: compare equal lengths only.

    Parameters
    ----------
    x : array-like, shape (..., n_times), str, Activity or Events
        Symbols. Arrays of any shape hold sequences along ``axis``; an Activity along its time;
        Events are binned in ``dt``, 1 where a unit has an event.
    normalise : {True, False, "length", "entropy"}, default=True
        True and "length" give ``c log_a(n) / n``; False the phrases themselves; "entropy" divides
        by the entropy of the symbols' frequencies as well, so that independent draws give 1
        whatever their rate.
    axis : int, default=-1
        Axis of the sequence, for arrays.
    variant : {"lz76", "lz78"}, default="lz76"
        Parsing. The numbers of the two cannot be compared.
    alphabet : int, str or sequence, optional
        Number of symbols, which are then 0 to ``alphabet - 1``, or the symbols themselves; by
        default 0 and 1.
    dt : float, optional
        Bin width in s, for Events.
    memory_limit : float, default=2 GiB
        Most memory in bytes.

    Returns
    -------
    ndarray of float64 or int64, shape of x without ``axis``
        Complexity of each sequence, int64 phrases where ``normalise`` is False; a scalar for one
        sequence, a labelled array (trial, unit) for Activity and Events.

    Raises
    ------
    ActivityError
        If a value is NaN or no symbol of the alphabet, a sequence has fewer than two symbols or
        2^31, trials differ in length, or a constant sequence is to be divided by its entropy.
    ParameterError
        If an option is unknown, the alphabet has fewer than two symbols or one twice, or ``dt`` is
        missing for Events or given without.
    ResourceError
        If the phrases of one sequence would take more than the memory limit.

    Notes
    -----
    The steps of "lz76" are proportional to the number of symbols for any sequence. While it fits
    in 1 MiB the suffix automaton of what was read gives the phrases [4]_. A longer sequence has
    its suffixes sorted into small buckets by their place in lexical order, as a Markov chain of
    the sequence predicts it, and looks up the neighbours of each phrase: memory is reached in
    order, so that time stays linear too. Where buckets are so unequal that this would cost more
    than a fixed work per symbol, the automaton takes over for two symbols and a suffix array [5]_
    for more. All take at most 34 bytes per symbol of one sequence for two symbols, 28 for up to 256
    and 112 for an alphabet as large as the sequence is long; "lz78" takes 4 per symbol of the
    sequence and of the alphabet. A last phrase that the end cuts short counts in "lz76" and, being
    one from before, not in "lz78".

    References
    ----------
    .. [1] A. Lempel and J. Ziv, "On the complexity of finite sequences", 1976.
    .. [2] J. Ziv and A. Lempel, "Compression of individual sequences via variable-rate coding",
       1978.
    .. [3] F. Kaspar and H. G. Schuster, "Easily calculable measure for the complexity of
       spatiotemporal patterns", 1987.
    .. [4] A. Blumer, J. Blumer, D. Haussler, A. Ehrenfeucht, M. T. Chen and J. Seiferas, "The
       smallest automaton recognizing the subwords of a text", 1985.
    .. [5] G. Nong, S. Zhang and W. H. Chan, "Two efficient algorithms for linear time suffix array
       construction", 2011.

    Examples
    --------
    >>> int(lempel_ziv_complexity("0001101001000101", normalise=False))
    6
    >>> times = [[0.0, 0.2, 0.4, 0.6], [0.1]]
    >>> spikes = Events.from_unit_times(times, start=0.0, stop=0.8)
    >>> lempel_ziv_complexity(spikes, dt=0.1, normalise=False).values.tolist()
    [3, 4]
    """
    check_choice(variant, ("lz76", "lz78"), name="variant", owner=_OWNER)
    rule = _rule(normalise)
    if (dt is not None) != isinstance(x, Events):
        raise ParameterError(
            f"{_OWNER}: dt must be given with Events, and only then: it is the width of their bins "
            f"in s; got {type(x).__name__} and dt={dt!r}."
        )
    if isinstance(x, Events):
        x = x.to_raster(float(dt or 0.0))
    if isinstance(x, xr.DataArray):
        return _labelled(x, rule, variant, alphabet, memory_limit)
    codes, n_symbols = _codes(x, alphabet)
    if codes.ndim == 0:
        raise ActivityError(f"{_OWNER}: x must have at least one axis; got one value.")
    place = check_integer(axis, name="axis", owner=_OWNER, low=-codes.ndim, high=codes.ndim - 1)
    return _measure(np.moveaxis(codes, place, -1), n_symbols, rule, variant, memory_limit)[()]


def _rule(normalise: bool | str) -> str:
    if isinstance(normalise, (bool, np.bool_)):
        return "length" if normalise else "none"
    return check_choice(normalise, ("length", "entropy"), name="normalise", owner=_OWNER)


def _labelled(x: Activity, rule: str, variant: str, alphabet: Any, memory_limit: float) -> Activity:
    activity = ensure(x, owner=_OWNER)
    if "time" not in activity.dims:
        raise ActivityError(f"{_OWNER}: an Activity must have a dim 'time'; got {activity.dims}.")
    if "valid" in activity.coords and not bool(activity["valid"].all()):
        raise ActivityError(
            f"{_OWNER}: trials must be equally long, because the complexity depends on the length. "
            "Cut them to the shortest first."
        )
    codes, n_symbols = _codes(activity.transpose(..., "time").values, alphabet)
    first = activity.isel(time=0, drop=True).drop_vars("valid", errors="ignore")
    found = first.copy(data=_measure(codes, n_symbols, rule, variant, memory_limit))
    units = {"none": "phrases", "length": "1", "entropy": "1"}[rule]
    return found.assign_attrs(kind="feature", units=units).rename("complexity")


def _codes(x: Any, alphabet: Any) -> tuple[Array, int]:
    """Return symbols as numbers from 0, and how many symbols there are."""
    values = np.array(list(x)) if isinstance(x, str) else np.asarray(x)
    if values.size == 0:
        raise ActivityError(f"{_OWNER}: x must hold symbols; got shape {values.shape}.")
    check_finite(values, owner=_OWNER, axes=[f"axis {k}" for k in range(values.ndim)], what="x")
    is_text = values.dtype.kind in "US"
    symbols = _alphabet(alphabet, is_text=is_text)
    kind = symbols.dtype.kind if isinstance(symbols, np.ndarray) else "i"
    if is_text != (kind in "US") or values.dtype.kind not in "biufUS":
        raise ActivityError(
            f"{_OWNER}: x must hold symbols of the alphabet ({_shown(symbols)}); got dtype "
            f"{values.dtype}."
        )
    if values.dtype.kind == "b":
        values = values.view(np.uint8)
    if isinstance(symbols, range):
        codes, is_known = values, (values >= 0) & (values < len(symbols))
        if values.dtype.kind == "f":
            is_known &= values == np.floor(values)
    else:
        order = np.argsort(symbols, kind="stable")
        place = np.minimum(np.searchsorted(symbols[order], values), symbols.size - 1)
        codes, is_known = order[place], symbols[order][place] == values
    if not np.all(is_known):
        where = tuple(int(k) for k in np.argwhere(~is_known)[0])
        raise ActivityError(
            f"{_OWNER}: x must hold symbols of the alphabet ({_shown(symbols)}); "
            f"{int((~is_known).sum())} of {values.size} are none, the first "
            f"{values[where].item()!r} at {where}. Binarise the data first, or give alphabet=."
        )
    return codes.astype(np.min_scalar_type(len(symbols)), copy=False), len(symbols)


def _alphabet(alphabet: Any, *, is_text: bool) -> Array | range:
    """Return the symbols: numbers from 0 as a range, which takes no memory, others by name."""
    if alphabet is None or isinstance(alphabet, (int, np.integer)):
        given = 2 if alphabet is None else alphabet
        n = check_integer(given, name="alphabet", owner=_OWNER, low=2, high=_TOO_MANY)
        return np.arange(n).astype(str) if is_text else range(n)
    symbols = np.array(list(alphabet))
    if symbols.ndim != 1 or symbols.size < 2 or np.unique(symbols).size < symbols.size:
        raise ParameterError(
            f"{_OWNER}: alphabet must be at least two different symbols; got {alphabet!r}."
        )
    return symbols


def _shown(symbols: Array | range) -> str:
    names = [str(symbol) for symbol in symbols[:4]]
    return ", ".join(names) + (f", ... {symbols[-1]}" if len(symbols) > 4 else "")


def _measure(codes: Array, n_symbols: int, rule: str, variant: str, memory_limit: float) -> Array:
    n = codes.shape[-1]
    if n < 2:
        raise ActivityError(f"{_OWNER}: a sequence must have at least two symbols; got {n}.")
    if n >= _TOO_MANY:
        raise ActivityError(
            f"{_OWNER}: a sequence must have fewer than {_TOO_MANY} symbols; got {n}. Cut it."
        )
    check_memory(
        bytes_needed(n, n_symbols, variant) + codes.nbytes,
        owner=_OWNER,
        what=f"the phrases of {n} symbols of an alphabet of {n_symbols}",
        cure="Cut the sequence, or code it with fewer symbols.",
        limit=memory_limit,
    )
    rows = np.ascontiguousarray(codes).reshape(-1, n)
    counts = count_phrases(rows, n_symbols, variant)
    if rule == "none":
        return counts.reshape(codes.shape[:-1])
    values = counts * (np.log(n) / np.log(n_symbols) / n)
    if rule == "entropy":
        values = values / _entropy(rows, n_symbols)
    return np.asarray(values).reshape(codes.shape[:-1])


def _entropy(rows: Array, n_symbols: int) -> Array:
    """Return the entropy of the frequencies of each row, in units of log(n_symbols)."""
    entropy = np.empty(len(rows))
    for k, row in enumerate(rows):
        # A table of the alphabet only where it is no larger than the row.
        is_short = n_symbols > row.size
        counts = np.unique(row, return_counts=True)[1] if is_short else np.bincount(row)
        share = counts[counts > 0] / row.size
        entropy[k] = -np.sum(share * np.log(share)) / np.log(n_symbols)
    constant = np.flatnonzero(entropy <= 0)
    if constant.size:
        raise ActivityError(
            f"{_OWNER}: a constant sequence has no entropy to divide by; {constant.size} of "
            f"{len(rows)} are constant, the first is number {constant[0]}. Drop them, or choose "
            "normalise='length'."
        )
    return np.asarray(entropy)
