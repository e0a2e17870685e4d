"""The form of a homogenized recording, as a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from activome.activity._worm_neurons import NEURONS
from activome.activity.schema import Activity, Problem, ensure
from activome.errors import ActivityError

__all__ = ["WormSchema"]

_MASKS = ("labelled", "observed")


@dataclass(frozen=True)
class WormSchema:
    """What every homogenized recording has in common.

    Parameters
    ----------
    names : tuple of str, default=NEURONS
        Names of the units, in order.
    dt : float, optional
        Step in s; by default any, as long as it is regular and starts at 0.

    Raises
    ------
    ActivityError
        By ``ensure``, if a recording does not have the form.

    Examples
    --------
    >>> import numpy as np
    >>> from activome.activity.schema import make
    >>> stranger = make(np.ones((4, 2)), sampling_rate=3.0, kind="calcium")
    >>> print(WormSchema().check(stranger)[0])
    critical: unit: there are 2 units, not the 300 names. Bring it to the form with homogenize.
    """

    names: tuple[str, ...] = NEURONS
    dt: float | None = None

    def check(self, worm: Activity | xr.Dataset) -> list[Problem]:
        """List what keeps a recording from the form.

        Parameters
        ----------
        worm : xarray.DataArray or xarray.Dataset
            A recording, or one with companions, of which ``calcium`` is looked at.

        Returns
        -------
        list of Problem
            Empty when it has the form.
        """
        array = worm.get("calcium") if isinstance(worm, xr.Dataset) else worm
        cure = "Bring it to the form with homogenize."
        if not isinstance(array, xr.DataArray) or array.dims != ("time", "unit"):
            found = getattr(array, "dims", "no variable 'calcium'")
            return [Problem("critical", "dims", f"must be ('time', 'unit'); got {found}.", cure)]
        problems = []
        units = [str(name) for name in array["unit"].values] if "unit" in array.coords else []
        if len(units) != len(self.names):
            what = f"there are {array.sizes['unit']} units, not the {len(self.names)} names."
            return [Problem("critical", "unit", what, cure)]
        wrong = [k for k, name in enumerate(units) if name != self.names[k]]
        if wrong:
            what = f"unit {wrong[0]} is {units[wrong[0]]!r}, not {self.names[wrong[0]]!r}."
            problems.append(Problem("critical", "unit", what, "Use the canonical order."))
        problems += self._time_problems(array) + self._mask_problems(array)
        if array.attrs.get("kind") != "calcium":
            what = f"kind must be calcium; got {array.attrs.get('kind')!r}."
            problems.append(Problem("violation", "attrs.kind", what, cure))
        return problems

    def ensure(self, worm: Any, *, owner: str) -> Activity:
        """Return the activity of a recording that has the form.

        Parameters
        ----------
        worm : xarray.DataArray or xarray.Dataset
            A recording, or one with companions.
        owner : str
            Who asks, for the message.

        Returns
        -------
        xarray.DataArray
            The activity.

        Raises
        ------
        ActivityError
            If it does not have the form.
        """
        for problem in self.check(worm):
            if problem.severity == "critical":
                raise ActivityError(f"{owner}: {problem.where}: {problem.what} {problem.cure}")
        return ensure(worm["calcium"] if isinstance(worm, xr.Dataset) else worm, owner=owner)

    def _time_problems(self, array: Activity) -> list[Problem]:
        stamps = array["time"].values
        if stamps.dtype != np.float64:
            # At half precision a third of the stamps of half an hour fall together.
            return [Problem("critical", "time", f"is {stamps.dtype}.", "Store it as float64.")]
        step = self.dt if self.dt is not None else float(array.attrs.get("dt", np.nan))
        if not np.allclose(stamps, np.arange(stamps.size) * step, rtol=1e-9, atol=1e-9):
            what = f"must be 0, {step:g}, {2 * step:g} ... s; it is not."
            return [Problem("critical", "time", what, "Resample it.")]
        return []

    def _mask_problems(self, array: Activity) -> list[Problem]:
        missing = [name for name in _MASKS if name not in array.coords]
        if missing:
            cure = "Bring it to the form with homogenize."
            return [Problem("critical", missing[0], "the mask is missing.", cure)]
        labelled, observed = (np.asarray(array[name].values, dtype=bool) for name in _MASKS)
        if (labelled & ~observed).any():
            name = array["unit"].values[labelled & ~observed][0]
            what = f"{name!r} is labelled but not observed."
            return [Problem("critical", "labelled", what, "Correct the masks.")]
        seen = ~np.isnan(array.values).all(axis=0)
        if (seen != observed).any():
            name = array["unit"].values[seen != observed][0]
            what = f"the values of {name!r} contradict the mask."
            return [Problem("critical", "observed", what, "Put NaN where nothing was observed.")]
        return []
