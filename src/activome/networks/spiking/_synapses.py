"""Checks of the lists and matrices that projections are made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_choice, check_finite, check_integer
from activome.errors import ActivityError, ParameterError
from activome.networks.spiking.homeostasis import DriveHomeostasis, SynapticScaling

__all__ = [
    "check_synapses",
    "order_of_rows",
    "read_array",
    "read_dtype",
    "read_indices",
    "read_rules",
    "read_sizes",
    "read_values",
]

Array = np.ndarray[Any, Any]


def read_sizes(sizes: Sequence[int]) -> tuple[int, int]:
    try:
        n_pre, n_post = sizes
    except (TypeError, ValueError):
        raise ParameterError(
            f"Projection: sizes must be two numbers of cells, (n_pre, n_post); got {sizes!r:.60}."
        ) from None
    return (
        check_integer(n_pre, name="n_pre", owner="Projection", low=1),
        check_integer(n_post, name="n_post", owner="Projection", low=1),
    )


def read_rules(
    options: Mapping[str, Any],
) -> tuple[Any, tuple[SynapticScaling | DriveHomeostasis, ...]]:
    """Return the receptor and the homeostatic rules."""
    unknown = set(options) - {"receptor", "plasticity", "homeostasis", "name", "dtype"}
    if unknown:
        raise ParameterError(f"Projection: unknown options {sorted(unknown)}.")
    receptor = options.get("receptor", "exc")
    check_choice(receptor, ("exc", "inh"), name="receptor", owner="Projection")
    rules = options.get("homeostasis", ())
    if isinstance(rules, SynapticScaling | DriveHomeostasis):
        return receptor, (rules,)
    if isinstance(rules, str) or not isinstance(rules, Iterable):
        raise ParameterError(
            "Projection: homeostasis must be a SynapticScaling, a DriveHomeostasis, or a list of "
            f"these; got {rules!r:.60}."
        )
    return receptor, tuple(rules)


def check_synapses(weight: Array, delay: Array) -> None:
    """Refuse weights below zero and delays that are not above it."""
    if weight.size and weight.min() < 0:
        raise ParameterError(
            "Projection: weights must not be negative; use receptor='inh' for inhibition."
        )
    if delay.size and not delay.min() > 0:
        raise ParameterError(
            f"Projection: delays must be at least one step; got {delay.min():g} ms. A delay of "
            "0 would make the result depend on the order of cells."
        )


def read_dtype(options: Mapping[str, Any]) -> np.dtype[Any]:
    """Return the type that weights and delays are kept in."""
    dtype = options.get("dtype", "float64")
    known = {"float64", "float32"}
    name = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", str(dtype))
    check_choice(name, sorted(known), name="dtype", owner="Projection")
    if name == "float32" and (options.get("plasticity") or options.get("homeostasis")):
        raise ParameterError(
            "Projection: weights that change are float64; got dtype float32 and a rule of change."
        )
    return np.dtype(name)


def read_array(
    values: ArrayLike, name: str, shape: tuple[int, int] | None = None, *, dtype: Any = np.float64
) -> Array:
    """Return numbers as an array; one of a shape, or a single number, where a shape is asked."""
    try:
        array = np.asarray(values, dtype=dtype)
    except (TypeError, ValueError):
        raise ActivityError(
            f"Projection: {name} must be numbers, of one length in each row; got {values!r:.60}."
        ) from None
    if shape is not None and array.shape not in ((), shape):
        raise ActivityError(
            f"Projection: {name} must be one number or (n_pre, n_post) = {shape}; got "
            f"{array.shape}."
        )
    return array


def read_indices(values: ArrayLike, n: int, name: str) -> Array:
    array = read_array(values, name, dtype=None)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ActivityError(f"Projection: {name} must be a list of integers; got {array.dtype}.")
    if array.size and not (array.min() >= 0 and array.max() < n):
        first = int(np.argmax((array < 0) | (array >= n)))
        raise ActivityError(
            f"Projection: {name} must be in [0, {n - 1}]; synapse {first} has {array[first]}."
        )
    return array.astype(np.int32)


def read_values(values: ArrayLike, n: int, name: str, *, single: bool = False) -> Array:
    array = read_array(values, name)
    check_finite(
        array.ravel(), owner="Projection", axes=("synapse",), what=f"{name}s", cure="Mend them."
    )
    if array.ndim == 0:
        return np.full(1 if single else n, float(array))
    if array.shape != (n,):
        raise ActivityError(
            f"Projection: {name} must be one number or one per synapse ({n}); got {array.shape}."
        )
    return array


def order_of_rows(rows: Array, delays: Array) -> Array:
    """Return the order by row, then delay, then place; as ``lexsort`` gives it, in less time."""
    kinds, rank = np.unique(delays, return_inverse=True)
    n_bits, n_rank = max(rows.size - 1, 0).bit_length(), (kinds.size - 1).bit_length()
    if n_bits + n_rank + int(rows.max(initial=0)).bit_length() > 63:
        return np.lexsort((delays, rows))
    # One number for all three: numbers are sorted faster than their places.
    key = rows.astype(np.int64)
    key <<= n_rank
    key |= rank
    key <<= n_bits
    key |= np.arange(rows.size)
    key.sort()
    key &= (1 << n_bits) - 1
    return key
