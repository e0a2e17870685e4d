"""From labelled activity to plain arrays and back: samples, trials and sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from activome.activity.schema import Activity, ensure, make
from activome.errors import ActivityError

__all__ = ["SampleIndex", "from_ragged", "label_values", "to_samples", "to_sequences", "to_trials"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class SampleIndex:
    """Where the rows of a sample matrix came from, so that results can go back to their labels.

    Attributes
    ----------
    frame : xarray.DataArray
        The labels of the activity without its units: dims (trial, time), any subset; no values of
        the activity are kept.
    mask : ndarray of bool, shape (n_trials, n_times), or None
        Which samples are rows of the matrix; None when all are.
    unit_coords : dict
        The coordinates that ride along the units.
    attrs : dict
        The attributes of the activity.
    """

    frame: xr.DataArray
    mask: Array | None
    unit_coords: dict[str, Any]
    attrs: dict[str, Any]

    def restore(
        self, values: Array, *, units: Sequence[Any] | None = None, **attrs: Any
    ) -> Activity:
        """Return rows of results as an activity with the labels of the samples.

        Parameters
        ----------
        values : ndarray, shape (n_samples, n_outputs) or (n_samples,)
            One row per sample.
        units : sequence, optional
            Names of the outputs. By default the units are those of the activity.
        **attrs : Any
            Attributes to replace, such as ``kind``.

        Returns
        -------
        xarray.DataArray
            Dims (trial, time) as in the activity, and unit for two-dimensional results. Samples
            outside ``valid`` are NaN (0 or False for integers and booleans).

        Raises
        ------
        ActivityError
            If the number of rows is not the number of samples.
        """
        lead = self.frame.shape
        n_rows = int(np.prod(lead)) if self.mask is None else int(self.mask.sum())
        if values.shape[0] != n_rows:
            raise ActivityError(
                f"restore: values must have one row per sample ({n_rows}); got {values.shape[0]}."
            )
        if self.mask is None:
            full = values.reshape(*lead, *values.shape[1:])
        else:
            fill = np.nan if values.dtype.kind == "f" else 0
            full = np.full((*lead, *values.shape[1:]), fill, dtype=values.dtype)
            full[self.mask.reshape(lead)] = values
        dims: tuple[str, ...] = tuple(str(dim) for dim in self.frame.dims)
        coords: dict[str, Any] = {str(k): c for k, c in self.frame.coords.items()}
        if values.ndim > 1:
            dims = (*dims, "unit")
            coords |= self.unit_coords if units is None else {"unit": np.asarray(units)}
        return xr.DataArray(full, dims=dims, coords=coords, attrs=self.attrs | attrs)


def _split(activity: Activity, owner: str) -> tuple[Activity, SampleIndex]:
    activity = ensure(activity, owner=owner)
    lead = [dim for dim in ("trial", "time") if dim in activity.dims]
    frame = xr.DataArray(
        np.broadcast_to(np.zeros((), dtype=bool), [activity.sizes[dim] for dim in lead]),
        dims=lead,
        coords={k: c.variable for k, c in activity.coords.items() if "unit" not in c.dims},
    )
    unit_coords = {str(k): c.variable for k, c in activity.coords.items() if c.dims == ("unit",)}
    mask = activity.coords["valid"].values if "valid" in activity.coords else None
    return activity, SampleIndex(frame, mask, unit_coords, dict(activity.attrs))


def to_samples(activity: Activity, *, owner: str = "to_samples") -> tuple[Array, SampleIndex]:
    """Stack trials and times into rows.

    Parameters
    ----------
    activity : xarray.DataArray
        Any subset of (trial, time, unit), in any order.
    owner : str, default="to_samples"
        Who asks, for the messages.

    Returns
    -------
    values : ndarray, shape (n_samples, n_units)
        Rows ordered by trial, then time; samples outside ``valid`` are left out. A view where the
        layout allows it.
    index : SampleIndex
        Takes results back to the labels.

    Examples
    --------
    >>> import numpy as np
    >>> a = make(np.arange(12.0).reshape(2, 3, 2))
    >>> values, index = to_samples(a)
    >>> values.shape, index.restore(values).equals(a)
    ((6, 2), True)
    """
    activity, index = _split(activity, owner)
    values = np.asarray(activity.values)
    if "unit" not in activity.dims:
        values = values[..., np.newaxis]
    if index.mask is not None:
        return values[index.mask], index
    return values.reshape(-1, values.shape[-1]), index


def to_trials(activity: Activity, *, owner: str = "to_trials") -> tuple[Array, SampleIndex]:
    """Arrange as trials, in the order that trial methods take.

    Parameters
    ----------
    activity : xarray.DataArray
        Any subset of (trial, time, unit), in any order.
    owner : str, default="to_trials"
        Who asks, for the messages.

    Returns
    -------
    values : ndarray, shape (n_trials, n_units, n_times)
        A missing dim has length 1.
    index : SampleIndex
        The labels; ``index.mask`` tells the valid samples of ragged trials.
    """
    activity, index = _split(activity, owner)
    for dim in ("trial", "time", "unit"):
        if dim not in activity.dims:
            activity = activity.expand_dims(dim)
    return np.asarray(activity.transpose("trial", "unit", "time").values), index


def to_sequences(
    activity: Activity, *, owner: str = "to_sequences"
) -> tuple[list[Array], SampleIndex]:
    """Arrange as one array per trial, in the order that sequence methods take.

    Parameters
    ----------
    activity : xarray.DataArray
        Any subset of (trial, time, unit), in any order.
    owner : str, default="to_sequences"
        Who asks, for the messages.

    Returns
    -------
    sequences : list of ndarray, shape (n_times_of_trial, n_units)
        Samples outside ``valid`` are left out.
    index : SampleIndex
        Takes results, concatenated over the sequences, back to the labels.
    """
    values, index = to_trials(activity, owner=owner)
    sequences = [np.ascontiguousarray(trial.T) for trial in values]
    if index.mask is not None:
        sequences = [seq[keep] for seq, keep in zip(sequences, index.mask, strict=True)]
    return sequences, index


def label_values(index: SampleIndex, name: str, *, owner: str, per: str = "sample") -> Array:
    """Return a label column aligned with the samples or the trials.

    Parameters
    ----------
    index : SampleIndex
        The labels of an activity.
    name : str
        A coordinate along trial, time or both.
    owner : str
        Who asks, for the messages.
    per : {"sample", "trial"}, default="sample"
        One label per valid sample, or one per trial.

    Returns
    -------
    ndarray, shape (n_samples,) or (n_trials,)
        The labels; one that rides on trials is repeated over the times of its trial.

    Raises
    ------
    ActivityError
        If there is no such coordinate, or it varies within trials when one per trial is asked.
    """
    known = [str(k) for k in index.frame.coords if k not in ("trial", "time", "valid")]
    if name not in index.frame.coords:
        raise ActivityError(f"{owner}: there is no label {name!r}; there are: {known or 'none'}.")
    column = index.frame.coords[name]
    if per == "trial":
        if column.dims != ("trial",):
            raise ActivityError(
                f"{owner}: label {name!r} must ride on trial, one per trial; it rides on "
                f"{column.dims}."
            )
        return np.asarray(column.values)
    values = np.asarray(column.broadcast_like(index.frame).transpose(*index.frame.dims).values)
    return values[index.mask] if index.mask is not None else values.reshape(-1)


def from_ragged(
    trials: Sequence[ArrayLike], *, time: ArrayLike | None = None, **labels: Any
) -> Activity:
    """Build an activity from trials of unequal length.

    Parameters
    ----------
    trials : sequence of array-like, shape (n_times_of_trial, n_units)
        One array per trial, all with the same units.
    time : array-like of float, shape (n_times_of_longest,), optional
        Times in s of the longest trial.
    **labels : Any
        Further arguments of ``make``.

    Returns
    -------
    xarray.DataArray
        Dims (trial, time, unit); ``valid`` marks the samples, the others are NaN (0 for integers
        and booleans).

    Raises
    ------
    ActivityError
        If there is no trial, or the trials differ in units or are not two-dimensional.

    Examples
    --------
    >>> import numpy as np
    >>> a = from_ragged([np.ones((3, 2)), np.ones((1, 2))])
    >>> a.shape, a.coords["valid"].values.tolist()
    ((2, 3, 2), [[True, True, True], [True, False, False]])
    """
    arrays = [np.asarray(trial) for trial in trials]
    if not arrays:
        raise ActivityError("from_ragged: there must be at least one trial; got none.")
    for i, array in enumerate(arrays):
        if array.ndim != 2 or array.shape[1] != arrays[0].shape[-1]:
            raise ActivityError(
                f"from_ragged: every trial must be (n_times, {arrays[0].shape[-1]}); "
                f"trial {i} has shape {array.shape}."
            )
    longest = max(array.shape[0] for array in arrays)
    dtype = np.result_type(*arrays)
    fill = np.nan if dtype.kind == "f" else 0
    values = np.full((len(arrays), longest, arrays[0].shape[1]), fill, dtype=dtype)
    valid = np.zeros((len(arrays), longest), dtype=bool)
    for i, array in enumerate(arrays):
        values[i, : array.shape[0]] = array
        valid[i, : array.shape[0]] = True
    return make(values, ("trial", "time", "unit"), time=time, valid=valid, **labels)
