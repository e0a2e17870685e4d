"""Reading what a region identification is given: RDMs, labels, cuts."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from activome._checks import check_choice, check_number
from activome.errors import ActivityError
from activome.geometry.rdm_forms import n_conditions_of

__all__ = ["check_design", "condensed_rows", "grid_steps", "row_labels"]

Array: TypeAlias = np.ndarray[Any, Any]


def check_design(
    region_codes: Array, subject_codes: Array, regions: Array, subjects: Array
) -> None:
    """Refuse a design in which a subject lacks a region.

    Raises
    ------
    ActivityError
        If there are fewer than two subjects or regions, or a pair of them has no RDM.
    """
    for names, what in ((subjects, "subjects"), (regions, "regions")):
        if names.size < 2:
            raise ActivityError(
                f"RegionIdentification.fit: needs at least two {what}; got {names.size}."
            )
    counts = np.zeros((subjects.size, regions.size), dtype=np.int64)
    np.add.at(counts, (subject_codes, region_codes), 1)
    if (counts == 0).any():
        who, where = np.argwhere(counts == 0)[0]
        raise ActivityError(
            f"RegionIdentification.fit: each subject needs each region; subject {subjects[who]!s} "
            f"has no RDM of region {regions[where]!s} ({np.count_nonzero(counts == 0)} missing in "
            "all). Leave out the subject or the region."
        )


def grid_steps(resolution: float) -> Array:
    """Return the cuts of a grid from 0 to 1.

    Raises
    ------
    ParameterError
        If the step is not in (0, 0.5].
    """
    step = check_number(
        resolution,
        name="resolution",
        owner="RegionIdentification",
        low=0.0,
        high=0.5,
        include_high=True,
    )
    return np.round(np.linspace(0.0, 1.0, round(1.0 / step) + 1), 9)


def condensed_rows(rdms: Any, method: str) -> Array:
    """Return condensed RDMs as an array of shape (n_rdms, n_pairs).

    Raises
    ------
    ActivityError
        If they are not finite condensed RDMs.
    """
    owner = f"RegionIdentification.{method}"
    if isinstance(rdms, xr.DataArray):
        if "pair" not in rdms.dims:
            raise ActivityError(f"{owner}: a labelled array needs the dim 'pair'; got {rdms.dims}.")
        rdms = rdms.transpose(..., "pair").values
    values = np.asarray(rdms, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ActivityError(
            f"{owner}: rdms must be finite, of shape (n_rdms, n_pairs); got shape {values.shape}. "
            "Turn square ones into this form with to_condensed."
        )
    n_conditions_of(values.shape[1], owner=owner)
    return values


def row_labels(rdms: Any, labels: Any, n_rdms: int, name: str) -> Array:
    """Return one label per RDM, from the coordinates where a name is given.

    Raises
    ------
    ActivityError
        If their number is not that of the RDMs.
    """
    if isinstance(labels, str):
        known = list(rdms.coords) if isinstance(rdms, xr.DataArray) else []
        check_choice(labels, map(str, known), name=name, owner="RegionIdentification.fit")
        labels = rdms.coords[labels].values
    array = np.asarray(labels)
    if array.shape != (n_rdms,):
        raise ActivityError(
            f"RegionIdentification.fit: {name} must hold one label for each of the {n_rdms} RDMs; "
            f"got shape {array.shape}."
        )
    return array
