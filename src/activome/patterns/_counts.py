"""Sequences of counts: stacked, checked, and the constant predictor that suits a mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from activome.errors import ActivityError

__all__ = ["check_counts", "predictor_of", "stack_sequences"]

Array = np.ndarray[Any, Any]


def stack_sequences(sequences: list[Array]) -> tuple[Array, Array]:
    """Put sequences one below the other.

    Parameters
    ----------
    sequences : list of ndarray, each (n_times, n_units)
        Sequences of the same units.

    Returns
    -------
    values : ndarray of float64, shape (n_all_times, n_units)
        The stack.
    offsets : ndarray of int64, shape (n_sequences + 1,)
        Where each begins, and the end.
    """
    lengths = [len(values) for values in sequences]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return np.concatenate(sequences).astype(np.float64), offsets


def check_counts(
    counts: Array, *, owner: str, largest: float = np.inf, names: Array | None = None, silent: str
) -> None:
    """Refuse what no model of counts can describe.

    Parameters
    ----------
    counts : ndarray of float64, shape (n_times, n_units)
        Finite numbers.
    owner : str
        Who asks.
    largest : float, default=inf
        Largest count that the family allows.
    names : ndarray of object, shape (n_units,), optional
        Names of units.
    silent : {"refuse", "allow"}
        Whether every unit must be active, and not at the largest count throughout.

    Raises
    ------
    ActivityError
        If a count is negative or no whole number, is above ``largest``, or a unit is silent.
    """
    bad = (counts < 0) | (counts != np.floor(counts)) | (counts > largest)
    if bad.any():
        t, u = (int(i) for i in np.argwhere(bad)[0])
        limit = "" if np.isinf(largest) else f" of at most {largest:g}"
        raise ActivityError(
            f"{owner}: activity must be whole, non-negative counts per bin{limit}; "
            f"{int(bad.sum())} of {counts.size} are not, the first is {counts[t, u]:g} at time "
            f"{t} of all sequences together, unit {u}. Bin the spikes, or clip the counts."
        )
    if silent == "allow":
        return
    mean = counts.mean(axis=0)
    still = np.flatnonzero((mean == 0) | (mean == largest))
    if still.size:
        labels = still if names is None else np.asarray(names)[still]
        raise ActivityError(
            f"{owner}: every unit must be silent in some bins and active in others, else its best "
            f"rate is at an end of the range; {still.size} of {mean.size} are not, units "
            f"{[str(label) for label in labels[:5]]}. Drop them first."
        )


def predictor_of(mean: float, link: str) -> float:
    """Return the linear predictor that gives a mean count; at most 0.95 for the sigmoid."""
    value = float(mean)
    if link == "exp":
        return float(np.log(value))
    if link == "sigmoid":
        return float(special.logit(min(value, 0.95)))
    return float(value + np.log(-np.expm1(-value)))
