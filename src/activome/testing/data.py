"""Small labelled activity for checks: two conditions, a shared latent, no constant unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._checks import check_choice, check_integer, check_number
from activome._random import RandomState, make_generator
from activome.activity.schema import Activity, make

__all__ = ["VALUES", "check_activity"]

VALUES = ("rate", "count", "binary", "signed")
_KINDS = {"rate": "rate", "count": "spikes", "binary": "spikes", "signed": "field"}


def check_activity(
    values: str = "rate",
    *,
    n_trials: int = 12,
    n_times: int = 24,
    n_units: int = 6,
    sampling_rate: float = 100.0,
    random_state: RandomState = 0,
) -> Activity:
    """Generate the activity that the checks run on.

    A slow wave and the condition of the trial drive every unit with weights of its own; noise is
    added per sample. Conditions alternate over trials.

    Parameters
    ----------
    values : {"rate", "count", "binary", "signed"}, default="rate"
        Positive real numbers, Poisson counts, zeros and ones, or real numbers of both signs.
    n_trials, n_times, n_units : int
        Sizes, at least 2 each; default 12, 24 and 6.
    sampling_rate : float, default=100.0
        Rate in Hz.
    random_state : int, Generator or None, default=0
        Seed.

    Returns
    -------
    xarray.DataArray of float64
        Dims (trial, time, unit). Labels: ``condition`` ("left" or "right") and ``block`` on trial,
        ``phase`` (float) on time, ``region`` on unit.

    Raises
    ------
    ParameterError
        If ``values`` is unknown or a size is too small.

    Examples
    --------
    >>> a = check_activity("count", n_trials=4)
    >>> a.shape, sorted(set(a["condition"].values.tolist()))
    ((4, 24, 6), ['left', 'right'])
    """
    owner = "check_activity"
    check_choice(values, VALUES, name="values", owner=owner)
    for name, size in (("n_trials", n_trials), ("n_times", n_times), ("n_units", n_units)):
        check_integer(size, name=name, owner=owner, low=2)
    check_number(sampling_rate, name="sampling_rate", owner=owner, low=0.0)
    rng = make_generator(random_state)
    condition = np.arange(n_trials) % 2
    phase = 2 * np.pi * 2 * np.arange(n_times) / n_times
    weights = rng.normal(size=(2, n_units))
    shift = rng.uniform(0, 2 * np.pi, size=(n_trials, 1, 1))
    drive = np.sin(phase[:, np.newaxis] + shift) * weights[0]
    drive = 0.5 * drive + 0.8 * condition[:, np.newaxis, np.newaxis] * weights[1]
    drive = drive + 0.3 * rng.normal(size=(n_trials, n_times, n_units))
    return make(
        _observe(drive, values, rng),
        sampling_rate=sampling_rate,
        unit=[f"n{i:02d}" for i in range(n_units)],
        trial=np.arange(n_trials) + 100,
        coords={
            "condition": ("trial", np.where(condition == 0, "left", "right")),
            "block": ("trial", np.arange(n_trials) // 2),
            "phase": ("time", phase),
            "region": ("unit", np.where(np.arange(n_units) % 2 == 0, "A", "B")),
        },
        kind=_KINDS[values],
        source="activome.testing",
    )


def _observe(drive: Any, values: str, rng: np.random.Generator) -> Any:
    if values == "signed":
        return drive
    if values == "rate":
        return np.exp(0.5 * drive)
    if values == "count":
        return rng.poisson(4.0 * np.exp(0.5 * drive)).astype(np.float64)
    return (drive > np.median(drive, axis=(0, 1))).astype(np.float64)
