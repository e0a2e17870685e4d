"""Validation of parameters and arrays; each refusal says what, where and how to mend it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from activome.errors import ActivityError, ParameterError, ResourceError

__all__ = [
    "DEFAULT_MEMORY_LIMIT",
    "check_choice",
    "check_finite",
    "check_integer",
    "check_memory",
    "check_number",
    "human_bytes",
    "nearest_names",
]

DEFAULT_MEMORY_LIMIT = 2 * 1024**3


def check_number(
    value: Any,
    *,
    name: str,
    owner: str,
    low: float = -math.inf,
    high: float = math.inf,
    include_low: bool = False,
    include_high: bool = False,
) -> float:
    """Return ``value`` as a float inside an interval, open at both ends unless told otherwise.

    Raises
    ------
    ParameterError
        If ``value`` is not a real number (booleans are not), is NaN, or is outside the interval.
    """
    left, right = "[" if include_low else "(", "]" if include_high else ")"
    interval = f"{left}{low:g}, {high:g}{right}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise ParameterError(f"{owner}: {name} must be a number in {interval}; got {value!r}.")
    number = float(value)
    above = number >= low if include_low else number > low
    below = number <= high if include_high else number < high
    if not (above and below):
        raise ParameterError(f"{owner}: {name} must be in {interval}; got {value!r}.")
    return number


def check_integer(
    value: Any, *, name: str, owner: str, low: int | None = None, high: int | None = None
) -> int:
    """Return ``value`` as an int between ``low`` and ``high``, both included.

    Raises
    ------
    ParameterError
        If ``value`` is not an integer (booleans and floats are not) or is outside the range.
    """
    limits = [f"at least {low}"] if low is not None else []
    limits += [f"at most {high}"] if high is not None else []
    wanted = " ".join(["an integer", " and ".join(limits)]).strip()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
        raise ParameterError(f"{owner}: {name} must be {wanted}; got {value!r}.")
    number = int(value)
    if (low is not None and number < low) or (high is not None and number > high):
        raise ParameterError(f"{owner}: {name} must be {wanted}; got {value!r}.")
    return number


def nearest_names(name: str, known: Iterable[str]) -> str:
    """Return a clause that offers the known names nearest to ``name``, or lists them all."""
    names = [str(item) for item in known]
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    listed = ", ".join(names[:12]) + (f", and {len(names) - 12} more" if len(names) > 12 else "")
    hint = f" Did you mean {' or '.join(repr(item) for item in close)}?" if close else ""
    return f"known: {listed or 'none'}.{hint}"


def check_choice(value: Any, choices: Iterable[str], *, name: str, owner: str) -> str:
    """Return ``value`` when it is one of ``choices``.

    Raises
    ------
    ParameterError
        If it is not; the message lists the known names and the nearest match.
    """
    known = list(choices)
    if not isinstance(value, str) or value not in known:
        hint = nearest_names(str(value), known)
        raise ParameterError(f"{owner}: unknown {name} {value!r}; {hint}")
    return value


def check_finite(
    values: np.ndarray[Any, Any],
    *,
    owner: str,
    axes: Sequence[str],
    what: str = "activity",
    cure: str = "Drop or interpolate them first.",
) -> None:
    """Refuse NaN and infinity, naming the first place by axis.

    Raises
    ------
    ActivityError
        If a value is not finite.
    """
    if values.dtype.kind not in "fc":
        return
    # The sum is finite when every value is, and costs one read; the mask is built only on failure.
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum(dtype=np.float64 if values.dtype.kind == "f" else np.complex128)
    if np.isfinite(total):
        return
    bad = ~np.isfinite(values)
    n_bad = int(np.count_nonzero(bad))
    if n_bad == 0:
        return
    first = np.unravel_index(int(np.argmax(bad)), values.shape)
    place = ", ".join(f"{axis} {int(i)}" for axis, i in zip(axes, first, strict=True))
    verb = "is" if n_bad == 1 else "are"
    raise ActivityError(
        f"{owner}: {what} must be finite; {n_bad} of {values.size} values {verb} NaN or infinite, "
        f"the first at {place}. {cure}"
    )


def human_bytes(n_bytes: float) -> str:
    """Return a byte count as text, such as ``'1.5 GiB'``."""
    size = float(n_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB" if abs(size) < 1e6 else f"{size:.1e} TiB"


def check_memory(
    n_bytes: float, *, owner: str, what: str, cure: str, limit: float = DEFAULT_MEMORY_LIMIT
) -> None:
    """Refuse a result before it is allocated when it would pass the memory limit.

    Raises
    ------
    ResourceError
        If ``n_bytes`` is more than ``limit``.
    """
    if n_bytes > limit:
        raise ResourceError(
            f"{owner}: {what} would take {human_bytes(n_bytes)}, more than the limit of "
            f"{human_bytes(limit)}. {cure}"
        )
