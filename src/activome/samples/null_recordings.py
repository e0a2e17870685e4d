"""Recordings without structure between units, of the kinds that mislead methods most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from activome._checks import check_choice, check_integer, check_number
from activome._random import RandomState, make_generator
from activome.activity.schema import Activity, make
from activome.activity.stacking import from_ragged
from activome.samples.responses import autoregression

__all__ = ["NULL_KINDS", "NullTruth", "null_recording"]

Array = np.ndarray[Any, Any]
_SOURCE = "activome.samples generator"
_FREEDOM = 3.0


@dataclass(frozen=True)
class NullTruth:
    """What is true of a null recording: units are independent of each other and of the trials.

    Attributes
    ----------
    mean : ndarray of float64, shape (n_units,)
        Expected value of each unit.
    variance : ndarray of float64, shape (n_units,)
        Expected variance of each unit.
    autocorrelation : float
        Correlation from one sample to the next.
    lengths : ndarray of int64, shape (n_trials,)
        Samples per trial.
    """

    mean: Array
    variance: Array
    autocorrelation: float
    lengths: Array


def null_recording(
    kind: str = "poisson",
    *,
    n_units: int = 30,
    n_times: int = 400,
    n_trials: int = 4,
    sampling_rate: float = 20.0,
    memory: float = 0.95,
    random_state: RandomState = None,
) -> tuple[Activity, NullTruth]:
    """Generate a recording in which there is nothing to be found.

    - ``poisson``: independent Poisson counts, rates log-normal over units (sigma 1, median 1);
    - ``ar1``: independent stationary autoregressions ``x(t) = memory x(t - 1) + e(t)``, variance 1;
    - ``drift``: white noise of variance 1/2 plus an independent slow wave per unit and trial,
      ``cos(2 pi c t / T + phase)`` with 0.5 to 1.5 cycles c in a trial of T samples, which
      correlates any two units by chance;
    - ``heavy_tailed``: independent Student t noise with 3 degrees of freedom, variance 3;
    - ``ragged``: as ``poisson``, with trials of 50 to 100 % of ``n_times`` samples.

    Parameters
    ----------
    kind : {"poisson", "ar1", "drift", "heavy_tailed", "ragged"}, default="poisson"
        Which kind.
    n_units, n_times, n_trials : int
        Sizes; default 30, 400 and 4.
    sampling_rate : float, default=20.0
        Rate in Hz.
    memory : float in [0, 1), default=0.95
        For ``ar1``.
    random_state : int, Generator or None, default=None
        Seed.

    Returns
    -------
    activity : xarray.DataArray
        Dims (trial, time, unit); label ``condition`` on trial, drawn at random.
    truth : NullTruth
        Moments of each unit.

    Raises
    ------
    ParameterError
        If ``kind`` is unknown or a number is outside its range.

    Examples
    --------
    >>> a, truth = null_recording("ar1", n_units=3, random_state=0)
    >>> a.shape, truth.autocorrelation
    ((4, 400, 3), 0.95)
    """
    owner = "samples.null_recording"
    check_choice(kind, NULL_KINDS, name="kind", owner=owner)
    for name, value in (("n_units", n_units), ("n_times", n_times), ("n_trials", n_trials)):
        check_integer(value, name=name, owner=owner, low=1)
    check_number(memory, name="memory", owner=owner, low=0.0, high=1.0, include_low=True)
    rng = make_generator(random_state)
    values, mean, variance = _KINDS[kind]((n_trials, n_times, n_units), rng, memory)
    condition = rng.choice(["left", "right"], size=n_trials)
    labels: dict[str, Any] = {
        "sampling_rate": sampling_rate,
        "coords": {"condition": ("trial", condition)},
        "kind": "spikes" if kind in ("poisson", "ragged") else "feature",
        "source": _SOURCE,
        "name": f"null_{kind}",
    }
    lengths = np.full(n_trials, n_times)
    if kind == "ragged":
        lengths = rng.integers(-(-n_times // 2), n_times + 1, size=n_trials)
        lengths[int(rng.integers(n_trials))] = n_times
        cut = [trial[:n] for trial, n in zip(values, lengths, strict=True)]
        activity = from_ragged(cut, **labels)
    else:
        activity = make(values, **labels)
    autocorrelation = memory if kind == "ar1" else _slow(n_times) if kind == "drift" else 0.0
    return activity, NullTruth(mean, variance, autocorrelation, lengths)


def _slow(n_times: int) -> float:
    # Mean of cos(2 pi c / T) over c in [0.5, 1.5]; noise carries the other half of the variance.
    step = 2 * np.pi / n_times
    return float(0.5 * (np.sin(1.5 * step) - np.sin(0.5 * step)) / step)


def _poisson(
    shape: tuple[int, int, int], rng: np.random.Generator, memory: float
) -> tuple[Array, Array, Array]:
    rates = rng.lognormal(0.0, 1.0, shape[2])
    return rng.poisson(rates, size=shape), rates, rates


def _ar1(
    shape: tuple[int, int, int], rng: np.random.Generator, memory: float
) -> tuple[Array, Array, Array]:
    return autoregression(shape, memory, rng), np.zeros(shape[2]), np.ones(shape[2])


def _drift(
    shape: tuple[int, int, int], rng: np.random.Generator, memory: float
) -> tuple[Array, Array, Array]:
    n_trials, n_times, n_units = shape
    cycles = rng.uniform(0.5, 1.5, size=(n_trials, 1, n_units))
    phase = rng.uniform(0, 2 * np.pi, size=(n_trials, 1, n_units))
    angle = 2 * np.pi * cycles * np.arange(n_times)[:, np.newaxis] / n_times + phase
    values = np.cos(angle) + np.sqrt(0.5) * rng.normal(size=shape)
    return values, np.zeros(n_units), np.ones(n_units)


def _heavy_tailed(
    shape: tuple[int, int, int], rng: np.random.Generator, memory: float
) -> tuple[Array, Array, Array]:
    variance = np.full(shape[2], _FREEDOM / (_FREEDOM - 2))
    return rng.standard_t(_FREEDOM, size=shape), np.zeros(shape[2]), variance


_KINDS: dict[str, Callable[..., tuple[Array, Array, Array]]] = {
    "poisson": _poisson,
    "ar1": _ar1,
    "drift": _drift,
    "heavy_tailed": _heavy_tailed,
    "ragged": _poisson,
}
NULL_KINDS = tuple(_KINDS)
