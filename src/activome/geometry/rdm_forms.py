"""Forms of an RDM: condensed pairs and square matrices."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from activome._checks import check_choice, check_finite
from activome.errors import ActivityError

__all__ = ["RDM", "n_conditions_of", "to_condensed", "to_square"]

Array: TypeAlias = np.ndarray[Any, Any]
RDM: TypeAlias = np.ndarray[Any, Any] | xr.DataArray


def n_conditions_of(n_pairs: int, *, owner: str = "n_conditions_of") -> int:
    """Return the number of conditions whose pairs an RDM holds.

    Parameters
    ----------
    n_pairs : int
        Length of a condensed RDM.
    owner : str, default="n_conditions_of"
        Who asks, for the message.

    Returns
    -------
    int
        n with n (n - 1) / 2 = ``n_pairs``.

    Raises
    ------
    ActivityError
        If there is none that is at least 3.

    Examples
    --------
    >>> n_conditions_of(4186)
    92
    """
    n_conditions = (1 + math.isqrt(1 + 8 * n_pairs)) // 2
    if n_conditions < 3 or n_conditions * (n_conditions - 1) // 2 != n_pairs:
        raise ActivityError(
            f"{owner}: a condensed RDM of n >= 3 conditions has n (n - 1) / 2 entries (3, 6, 10, "
            f"...); got {n_pairs}. Turn a square one into this form with to_condensed."
        )
    return n_conditions


def to_square(condensed: ArrayLike | xr.DataArray) -> RDM:
    """Return condensed RDMs as symmetric matrices with a zero diagonal.

    Parameters
    ----------
    condensed : array-like of float, shape (..., n_pairs), or xarray.DataArray
        As `rdm` gives them.

    Returns
    -------
    ndarray, shape (..., n_conditions, n_conditions), or xarray.DataArray
        Of a labelled RDM: dims "condition_a" and "condition_b" in place of "pair".

    Raises
    ------
    ActivityError
        If the length is not that of a condensed RDM.

    Examples
    --------
    >>> to_square([1.0, 2.0, 3.0]).tolist()
    [[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]]
    """
    frame = condensed.transpose(..., "pair") if isinstance(condensed, xr.DataArray) else None
    values = np.asarray(condensed if frame is None else frame.values)
    n_conditions = n_conditions_of(values.shape[-1] if values.ndim else 0, owner="to_square")
    first, second = np.triu_indices(n_conditions, 1)
    square = np.zeros((*values.shape[:-1], n_conditions, n_conditions), dtype=values.dtype)
    square[..., first, second] = values
    square[..., second, first] = values
    if frame is None:
        return square
    names = np.concatenate(
        [frame.condition_a.values[:1], frame.condition_b.values[: n_conditions - 1]]
    )
    coords = {key: coord for key, coord in frame.coords.items() if "pair" not in coord.dims}
    return xr.DataArray(
        square,
        dims=(*frame.dims[:-1], "condition_a", "condition_b"),
        coords={**coords, "condition_a": names, "condition_b": names},
        attrs=frame.attrs,
    )


def to_condensed(square: ArrayLike, *, asymmetry: str = "refuse") -> Array:
    """Return the pairs above the diagonal of square RDMs.

    Parameters
    ----------
    square : array-like of float, shape (..., n_conditions, n_conditions)
        Dissimilarities with a zero diagonal.
    asymmetry : {"refuse", "mean"}
        What to do with entries that differ across the diagonal by more than rounding (1e-8 of the
        largest entry), default "refuse"; "mean" averages the two.

    Returns
    -------
    ndarray of float64, shape (..., n_pairs)
        In the order (0, 1), (0, 2), ...; entries equal up to rounding are averaged.

    Raises
    ------
    ActivityError
        If the matrices are not square with a zero diagonal, hold fewer than 3 conditions, NaN or
        infinity, or are not symmetric.
    ParameterError
        If ``asymmetry`` is unknown.

    Examples
    --------
    >>> to_condensed([[0, 1, 2], [1, 0, 3], [2, 3, 0]]).tolist()
    [1.0, 2.0, 3.0]
    """
    check_choice(asymmetry, ("refuse", "mean"), name="asymmetry", owner="to_condensed")
    values = np.asarray(square, dtype=np.float64)
    if values.ndim < 2 or values.shape[-1] != values.shape[-2] or values.shape[-1] < 3:
        raise ActivityError(
            "to_condensed: RDMs must have shape (..., n_conditions, n_conditions) with at least 3 "
            f"conditions; got {values.shape}."
        )
    axes = [*(f"axis {k}" for k in range(values.ndim - 2)), "row", "column"]
    check_finite(values, owner="to_condensed", axes=axes, what="RDMs")
    tolerance = 1e-8 * np.abs(values).max(initial=0.0)
    if np.abs(np.diagonal(values, axis1=-2, axis2=-1)).max(initial=0.0) > tolerance:
        raise ActivityError(
            "to_condensed: the diagonal must be zero: dissimilarities, not similarities. "
            "Turn similarities into dissimilarities first, such as 1 - similarity."
        )
    first, second = np.triu_indices(values.shape[-1], 1)
    above, below = values[..., first, second], values[..., second, first]
    gap = np.abs(above - below)
    if asymmetry == "refuse" and gap.max(initial=0.0) > tolerance:
        pair = int(np.argmax(gap.reshape(-1, gap.shape[-1]).max(axis=0)))
        raise ActivityError(
            "to_condensed: RDMs must be symmetric; they differ most, by "
            f"{gap.max():.3g}, at conditions {first[pair]} and {second[pair]}. Give "
            "asymmetry='mean' to average both sides."
        )
    return 0.5 * (above + below)
