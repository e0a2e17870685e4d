"""Signals with planted structure: oscillations, and trials evoked by conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.signal import lfilter

from activome._checks import check_integer, check_number
from activome._random import RandomState, make_generator
from activome.activity.schema import Activity, make
from activome.errors import ParameterError

__all__ = ["EvokedTruth", "OscillationTruth", "evoked_trials", "oscillations"]

Array = np.ndarray[Any, Any]
_SOURCE = "activome.samples generator"


@dataclass(frozen=True)
class OscillationTruth:
    """What ``oscillations`` planted.

    Attributes
    ----------
    frequencies : ndarray of float64, shape (n_oscillations,)
        Frequencies in Hz.
    amplitude : ndarray of float64, shape (n_oscillations, n_units)
        Amplitude of each oscillation in each unit.
    lag : ndarray of float64, shape (n_oscillations, n_units)
        Phase of each unit behind the oscillation, in radians.
    phase : ndarray of float64, shape (n_trials, n_oscillations)
        Phase of each oscillation at time 0 of each trial, in radians.
    background : ndarray of float64, shape (n_lags,)
        Autocovariance of the background at lags 0, 1, ... 20 samples.
    """

    frequencies: Array
    amplitude: Array
    lag: Array
    phase: Array
    background: Array


def oscillations(
    n_units: int = 16,
    frequencies: Sequence[float] = (10.0, 24.0),
    *,
    n_times: int = 512,
    n_trials: int = 20,
    sampling_rate: float = 256.0,
    amplitude: float = 1.0,
    memory: float = 0.9,
    noise: float = 1.0,
    phase_locked: bool = False,
    random_state: RandomState = None,
) -> tuple[Activity, OscillationTruth]:
    """Generate trials of units that share oscillations over a correlated background.

    ``x_ru(t) = sum_k a_ku cos(2 pi f_k t + theta_rk - lag_ku) + n_ru(t)``. Amplitudes a_ku are
    uniform in [0.5, 1.5] times ``amplitude`` and lags uniform in [-pi/2, pi/2]; theta_rk is uniform
    on the circle, or 0 in all trials when ``phase_locked``. The background is a stationary
    autoregression ``n(t) = memory n(t - 1) + e(t)`` of variance ``noise**2``, whose autocovariance
    at lag l is ``noise**2 memory**l``.

    Parameters
    ----------
    n_units : int, default=16
        Number of units.
    frequencies : sequence of float, default=(10.0, 24.0)
        Frequencies in Hz, below half the sampling rate.
    n_times, n_trials : int
        Sizes; default 512 and 20.
    sampling_rate : float, default=256.0
        Rate in Hz.
    amplitude : float, default=1.0
        Mean amplitude.
    memory : float in [0, 1), default=0.9
        Correlation of the background from one sample to the next.
    noise : float, default=1.0
        Standard deviation of the background; 0 leaves it out.
    phase_locked : bool, default=False
        Start every trial at the same phase.
    random_state : int, Generator or None, default=None
        Seed.

    Returns
    -------
    activity : xarray.DataArray of float64
        Dims (trial, time, unit), arbitrary unit.
    truth : OscillationTruth
        What was planted.

    Raises
    ------
    ParameterError
        If a number is outside its range.

    Examples
    --------
    >>> a, truth = oscillations(2, (8.0,), n_trials=1, noise=0.0, random_state=0)
    >>> spectrum = np.abs(np.fft.rfft(a.values[0, :, 0]))
    >>> np.fft.rfftfreq(512, 1 / 256)[spectrum.argmax()].item()
    8.0
    """
    owner = "samples.oscillations"
    for name, value in (("n_units", n_units), ("n_times", n_times), ("n_trials", n_trials)):
        check_integer(value, name=name, owner=owner, low=1)
    check_number(sampling_rate, name="sampling_rate", owner=owner, low=0.0)
    for frequency in frequencies:
        check_number(frequency, name="frequency", owner=owner, low=0.0, high=sampling_rate / 2)
    check_number(amplitude, name="amplitude", owner=owner, low=0.0, include_low=True)
    check_number(memory, name="memory", owner=owner, low=0.0, high=1.0, include_low=True)
    check_number(noise, name="noise", owner=owner, low=0.0, include_low=True)
    rng = make_generator(random_state)
    f = np.asarray(frequencies, dtype=np.float64)
    a = amplitude * rng.uniform(0.5, 1.5, size=(f.size, n_units))
    lag = rng.uniform(-np.pi / 2, np.pi / 2, size=(f.size, n_units))
    theta = rng.uniform(-np.pi, np.pi, size=(n_trials, f.size)) * (not phase_locked)
    t = np.arange(n_times) / sampling_rate
    values = noise * autoregression((n_trials, n_times, n_units), memory, rng)
    for k in range(f.size):
        angle = 2 * np.pi * f[k] * t[:, np.newaxis] - lag[k]
        values += a[k] * np.cos(angle + theta[:, k, np.newaxis, np.newaxis])
    activity = make(
        values, sampling_rate=sampling_rate, kind="field", source=_SOURCE, name="oscillations"
    )
    background = noise**2 * memory ** np.arange(21)
    return activity, OscillationTruth(f, a, lag, theta, background)


def autoregression(
    shape: tuple[int, ...], memory: float, rng: np.random.Generator, *, axis: int = 1
) -> Array:
    """Draw a stationary first-order autoregression of unit variance along an axis.

    Parameters
    ----------
    shape : tuple of int
        Shape of the result.
    memory : float in [0, 1)
        Correlation from one sample to the next.
    rng : numpy.random.Generator
        Source of randomness.
    axis : int, default=1
        Axis of time.

    Returns
    -------
    ndarray of float64, of the shape given
        The process, stationary from the first sample on.
    """
    shocks = np.moveaxis(rng.normal(size=shape), axis, 0)
    shocks[1:] *= np.sqrt(1 - memory**2)
    result: Array = lfilter([1.0], [1.0, -memory], shocks, axis=0)
    return np.moveaxis(result, 0, axis)


@dataclass(frozen=True)
class EvokedTruth:
    """What ``evoked_trials`` planted.

    Attributes
    ----------
    templates : ndarray of float64, shape (n_conditions, n_times, n_units)
        Expected response to each condition.
    latency : ndarray of float64, shape (n_units,)
        Time in s of the peak of each unit.
    noise_covariance : ndarray of float64, shape (n_units, n_units)
        Covariance of the noise of one sample; samples are independent in time.
    discriminability : ndarray of float64, shape (n_conditions, n_conditions)
        Distance d' of two conditions given the whole trial and the noise; the best possible
        accuracy for the pair is ``Phi(d' / 2)``.
    """

    templates: Array
    latency: Array
    noise_covariance: Array
    discriminability: Array


def evoked_trials(
    n_units: int = 20,
    n_conditions: int = 2,
    *,
    n_trials: int = 40,
    n_times: int = 100,
    sampling_rate: float = 100.0,
    onset: float = 0.2,
    gain: float = 1.0,
    contrast: float = 0.5,
    noise: float = 1.0,
    noise_correlation: float = 0.1,
    random_state: RandomState = None,
) -> tuple[Activity, EvokedTruth]:
    """Generate trials in which units respond to labelled conditions.

    Unit u answers condition c with a Gaussian bump of width 50 ms at its latency, 50 to 250 ms
    after ``onset``: ``m_cu(t) = (gain + contrast z_cu) exp(-(t - latency_u)**2 / (2 0.05**2))``,
    z standard normal. Added noise is Gaussian, independent in time, with standard deviation
    ``noise`` and the same correlation between all units. Conditions alternate and are then
    shuffled, so that they are balanced.

    Parameters
    ----------
    n_units, n_conditions, n_trials, n_times : int
        Sizes; default 20, 2, 40 and 100.
    sampling_rate : float, default=100.0
        Rate in Hz.
    onset : float, default=0.2
        Time of the stimulus in s after the start; ``time`` counts from the stimulus.
    gain, contrast : float
        Size of the response, and of its difference between conditions (0: none); default 1.0, 0.5.
    noise : float, default=1.0
        Standard deviation of the noise.
    noise_correlation : float in [0, 1), default=0.1
        Correlation of the noise of two units.
    random_state : int, Generator or None, default=None
        Seed.

    Returns
    -------
    activity : xarray.DataArray of float64
        Dims (trial, time, unit), label ``condition`` ("c0", "c1" ...) on trial.
    truth : EvokedTruth
        What was planted.

    Raises
    ------
    ParameterError
        If a number is outside its range, or there are fewer trials than conditions.

    Examples
    --------
    >>> a, truth = evoked_trials(5, 3, n_trials=9, random_state=0)
    >>> a.shape, sorted(a["condition"].values.tolist())[::3]
    ((9, 100, 5), ['c0', 'c1', 'c2'])
    """
    owner = "samples.evoked_trials"
    for name, value in (("n_units", n_units), ("n_conditions", n_conditions), ("n_times", n_times)):
        check_integer(value, name=name, owner=owner, low=1)
    check_integer(n_trials, name="n_trials", owner=owner, low=n_conditions)
    check_number(sampling_rate, name="sampling_rate", owner=owner, low=0.0)
    check_number(onset, name="onset", owner=owner, low=0.0, include_low=True)
    check_number(gain, name="gain", owner=owner)
    check_number(contrast, name="contrast", owner=owner, low=0.0, include_low=True)
    check_number(noise, name="noise", owner=owner, low=0.0)
    rho = check_number(
        noise_correlation, name="noise_correlation", owner=owner, low=0, high=1, include_low=True
    )
    if onset * sampling_rate >= n_times:
        raise ParameterError(
            f"{owner}: onset must lie within the trial of {n_times / sampling_rate:g} s; got "
            f"{onset:g} s."
        )
    rng = make_generator(random_state)
    time = np.arange(n_times) / sampling_rate - onset
    latency = rng.uniform(0.05, 0.25, n_units)
    bump = np.exp(-((time[:, np.newaxis] - latency) ** 2) / (2 * 0.05**2))
    size = gain + contrast * rng.normal(size=(n_conditions, n_units))
    templates = size[:, np.newaxis, :] * bump
    which = rng.permutation(np.arange(n_trials) % n_conditions)
    shared = np.sqrt(rho) * rng.normal(size=(n_trials, n_times, 1))
    own = np.sqrt(1 - rho) * rng.normal(size=(n_trials, n_times, n_units))
    covariance = noise**2 * ((1 - rho) * np.eye(n_units) + rho)
    apart = templates[:, np.newaxis] - templates
    whitened = np.linalg.solve(covariance, np.moveaxis(apart, -1, -2))
    squared = (np.moveaxis(whitened, -1, -2) * apart).sum(axis=(2, 3))
    activity = make(
        templates[which] + noise * (shared + own),
        time=time,
        sampling_rate=sampling_rate if n_times > 1 else None,
        coords={"condition": ("trial", np.array([f"c{c}" for c in which]))},
        kind="rate",
        source=_SOURCE,
        name="evoked_trials",
    )
    return activity, EvokedTruth(templates, latency, covariance, np.sqrt(squared))
