"""Counts as a decoder sees them: their square root, standardised per unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome.activity.stacking import label_values, to_trials
from activome.errors import ActivityError

__all__ = ["TRANSFORMS", "Scale", "as_plain", "labels_of", "refuse_negative", "rooted"]

Array = np.ndarray[Any, Any]
TRANSFORMS = ("sqrt", "none")
# Added to the deviation of each unit: a unit that hardly fires is not blown up.
_FLOOR = 0.1


class Scale:
    """Mean and deviation of every unit over trials and times.

    Parameters
    ----------
    mean, spread : ndarray of float64, shape (n_units,)
        What is taken off, and divided by.
    """

    def __init__(self, mean: Array, spread: Array) -> None:
        self.mean, self.spread = mean, spread

    @classmethod
    def of(cls, values: Array, *, standardise: bool = True) -> Scale:
        """Learn from training trials (n_trials, n_units, n_times)."""
        n_units = values.shape[1]
        if not standardise:
            return cls(np.zeros(n_units), np.ones(n_units))
        return cls(values.mean(axis=(0, 2)), values.std(axis=(0, 2)) + _FLOOR)

    def apply(self, values: Array) -> Array:
        """Standardise."""
        return np.asarray((values - self.mean[:, np.newaxis]) / self.spread[:, np.newaxis])

    def undo(self, values: Array) -> Array:
        """Go back."""
        return np.asarray(values * self.spread[:, np.newaxis] + self.mean[:, np.newaxis])


def rooted(values: Array, transform: str) -> Array:
    """Return the root of counts in float64; estimated responses below zero keep their sign."""
    # In one layout, so that sums over trials do not depend on that of the input.
    plain = np.ascontiguousarray(values, dtype=np.float64)
    return np.sign(plain) * np.sqrt(np.abs(plain)) if transform == "sqrt" else plain


def refuse_negative(values: Array, transform: str, owner: str) -> None:
    """Refuse negative counts, where their root is asked for.

    Raises
    ------
    ActivityError
        If there is one.
    """
    if transform != "sqrt":
        return
    low = float(values.min())
    if low < 0:
        place = np.unravel_index(int(values.argmin()), values.shape)
        where = ", ".join(
            f"{axis} {int(k)}" for axis, k in zip(("trial", "unit", "time"), place, strict=True)
        )
        raise ActivityError(
            f"{owner}: counts must not be negative; the lowest is {low:g}, at {where}. "
            "Give count_transform='none' for responses that are no counts."
        )


def as_plain(X: Any, owner: str) -> tuple[Array, Any]:
    """Return trials (n_trials, n_units, n_times) of an Activity or of plain numbers.

    Raises
    ------
    ActivityError
        If there are not three axes, or values are missing or not finite.
    """
    from activome._checks import check_finite

    index = None
    if hasattr(X, "dims"):
        values, index = to_trials(X, owner=owner)
        if index.mask is not None and not index.mask.all():
            raise ActivityError(
                f"{owner}: trials must have equal lengths; {int((~index.mask).sum())} samples are "
                "not valid. Cut the trials to a common window."
            )
    else:
        values = np.asarray(X)
    if values.ndim != 3 or values.size == 0:
        raise ActivityError(
            f"{owner}: responses must be (n_trials, n_units, n_times), none of them 0; got shape "
            f"{values.shape}."
        )
    if values.dtype.kind not in "buif":
        raise ActivityError(f"{owner}: responses must be numbers; got {values.dtype}.")
    values = values.astype(np.float64)
    check_finite(values, owner=owner, axes=("trial", "unit", "time"))
    return values, index


def labels_of(y: Any, index: Any, n_trials: int, owner: str) -> Array:
    """Return one label per trial, given as an array or as the name of a label.

    Raises
    ------
    ActivityError
        If there is no such label, or there are not as many labels as trials.
    """
    if isinstance(y, str):
        if index is None:
            raise ActivityError(
                f"{owner}: y={y!r} names a label, but the responses are a plain array. "
                "Give the labels themselves."
            )
        return label_values(index, y, owner=owner, per="trial")
    labels = np.asarray(y)
    if labels.shape != (n_trials,):
        raise ActivityError(
            f"{owner}: there must be one label per trial ({n_trials}); got shape {labels.shape}."
        )
    return labels
