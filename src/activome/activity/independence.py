"""Units that do not know of each other: the null of graphs, communities and dimensionality."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy import fft

from activome._checks import check_choice, check_finite, check_memory
from activome.activity.bootstrap import autocorrelation_time
from activome.activity.nulls import close_ends
from activome.activity.schema import Activity
from activome.activity.stacking import to_samples
from activome.errors import ActivityError

__all__ = ["IndependentUnits", "trial_lengths"]

Array = np.ndarray[Any, Any]
_MIN_SAMPLES = 10
_MIN_TRIALS = 20
_MIN_PER_TIME = 5
_N_BLOCKS = 50
_SHIFTS = ("auto", "time", "trial")


class IndependentUnits:
    """The correlations of a recording, and what they would be if the units were independent.

    Every unit is shifted around the recording by a lag of its own. Units keep their values and
    their autocorrelation; only what they share is broken.

    Parameters
    ----------
    activity : xarray.DataArray or array-like, shape (n_samples, n_units)
        An Activity, or plain numbers.
    owner : str
        Who asks, for the messages.
    detrend : bool, default=True
        Take the ramp out of slowly drifting units (see ``close_ends``), and widen the null of slow
        units (see Notes).
    shifts : {"auto", "time", "trial"}, default="auto"
        "time" shifts along the samples, trials laid end to end. "trial" shifts whole trials, so
        that times within trials stay aligned; the mean over trials is then no part of the null,
        and a response that units share counts as structure. "auto" takes trials when there are at
        least 20 of them with more than one time.

    Attributes
    ----------
    names : ndarray, shape (n_units,)
        Names of the units.
    active : ndarray of bool, shape (n_units,)
        Units that are not constant; the matrices are of these.
    n_samples : int
        Valid samples.
    n_shifts : int
        Lags that there are.
    by_trial : bool
        Whether whole trials are shifted.
    centred : ndarray of float64, shape (n_samples, n_active)
        The series, in the order of ``active``, minus their means.
    is_count : ndarray of bool, shape (n_active,)
        Units whose values are whole numbers.

    Raises
    ------
    ActivityError
        If there are fewer than 10 samples, values are not finite, or trials are asked for where
        there are fewer than 20.
    ParameterError
        If ``shifts`` is unknown.

    Notes
    -----
    Exact for series that are stationary on the circle. The jump where the end meets the start
    matters when the autocorrelation time is above about a hundredth of the recording: of a series
    with memory ``m`` (as a share of the recording) lag ``k`` is seen ``1 - k`` times as often, but
    ``(1 - k)^2`` in the square that the shifts have, so that the variance is ``1 + m / 2`` times
    that of the shifts. With ``detrend`` this factor, from the means of 50 blocks, widens the null.
    """

    def __init__(
        self, activity: Any, *, owner: str, detrend: bool = True, shifts: str = "auto"
    ) -> None:
        check_choice(shifts, _SHIFTS, name="shifts", owner=owner)
        values, self.names, lengths = _read(activity, owner)
        self.n_samples = values.shape[0]
        if self.n_samples < _MIN_SAMPLES:
            raise ActivityError(
                f"{owner}: needs at least {_MIN_SAMPLES} samples; got {self.n_samples}."
            )
        many = lengths.size >= _MIN_TRIALS and bool((lengths > 1).any())
        if shifts == "trial" and not many:
            raise ActivityError(
                f"{owner}: shifting trials needs at least {_MIN_TRIALS} trials with a time axis; "
                f"got {lengths.size}. Use shifts='time'."
            )
        self.by_trial = many and shifts != "time"
        self.is_count = (values == np.rint(values)).all(axis=0)
        values = close_ends(values) if detrend else values
        centred = values - values.mean(axis=0)
        scale = np.abs(values).max(axis=0)
        norms = np.sqrt(np.einsum("tu,tu->u", centred, centred))
        self.active = norms > 1e-10 * np.sqrt(self.n_samples) * np.maximum(scale, 1e-300)
        self.is_count = self.is_count[self.active]
        self.centred = centred[:, self.active]
        self._norms = norms[self.active]
        self._widening: Any = 1.0
        self._step = 1
        rows = (self.centred / self._norms).T
        if detrend and not self.by_trial:
            width = _memory_factor(self.centred)
            self._widening = np.outer(width, width)
        if self.by_trial:
            rows, self._step, self._widening = _lay_out_trials(rows, lengths)
        # One row per unit: a shift is then two copies of consecutive memory.
        self._rows = np.ascontiguousarray(rows, dtype=np.float32)
        self.n_shifts = self._rows.shape[1] // self._step

    @property
    def n_active(self) -> int:
        """Units that are not constant."""
        return int(self._rows.shape[0])

    @property
    def smallest_step(self) -> Array:
        """Change of a correlation when a count changes by one, shape (n_active, n_active)."""
        steps = np.where(self.is_count, 1.0, 0.0) / self._norms
        return np.outer(steps, steps)

    def correlation(self) -> Array:
        """Return the correlations found.

        Returns
        -------
        ndarray of float64, shape (n_active, n_active)
            Correlations, 1 on the diagonal.
        """
        unit = self.centred / self._norms
        found: Array = unit.T @ unit
        np.fill_diagonal(found, 1.0)
        return np.clip(found, -1.0, 1.0)

    def surrogate(self, generator: np.random.Generator) -> Array:
        """Return the correlations of shifted units.

        Parameters
        ----------
        generator : numpy.random.Generator
            Source of the lags.

        Returns
        -------
        ndarray of float64, shape (n_active, n_active)
            Correlations, 1 on the diagonal.
        """
        shifted = np.empty_like(self._rows)
        length = self._rows.shape[1]
        lags = generator.integers(0, self.n_shifts, self.n_active) * self._step
        for row, lag, out in zip(self._rows, lags, shifted, strict=True):
            out[: length - lag] = row[lag:]
            out[length - lag :] = row[:lag]
        null = (shifted @ shifted.T).astype(np.float64) * self._widening
        np.fill_diagonal(null, 1.0)
        return np.asarray(null)

    def variance(self) -> Array:
        """Return the mean square of each correlation over all lags.

        By Parseval's theorem it is the sum over frequencies of the product of the two units'
        power, each normalised to 1: Bartlett's formula, without drawing any surrogate. For whole
        trials it is summed over the lags themselves, the true one left out.

        Returns
        -------
        ndarray of float64, shape (n_active, n_active)
            Variance of each correlation if the units were independent; the diagonal is 0.
        """
        if self.by_trial:
            found = self._variance_of_trials()
        else:
            length = self._rows.shape[1]
            power = np.abs(fft.rfft(self._rows.astype(np.float64), axis=1)) ** 2 / length
            # A real series has each frequency twice, but for zero and the highest one.
            power[:, 1 : (length + 1) // 2] *= np.sqrt(2.0)
            found = power @ power.T * self._widening**2
        np.fill_diagonal(found, 0.0)
        return found

    def _variance_of_trials(self) -> Array:
        n_trials = self.n_shifts
        cube = self._rows.astype(np.float64).reshape(self.n_active, n_trials, self._step)
        check_memory(
            16.0 * cube.size, owner="IndependentUnits", what="the spectra", cure="Use fewer trials."
        )
        spectra = fft.rfft(cube, axis=1)
        total = np.zeros((self.n_active, self.n_active))
        for k in range(spectra.shape[1]):
            part = spectra[:, k]
            product = part.conj() @ part.T
            weight = 1.0 if k in (0, n_trials / 2) else 2.0
            total += weight * (product.real**2 + product.imag**2)
        at_zero = np.einsum("ikt,jkt->ij", cube, cube, optimize=True)
        others = (total / n_trials - at_zero**2) / (n_trials - 1)
        return np.asarray(np.maximum(others, 1e-12) * self._widening**2)

    def full(self, matrix: Array, fill: float) -> Array:
        """Put a matrix of the active units back among all units.

        Parameters
        ----------
        matrix : ndarray, shape (n_active, n_active)
            Values of pairs of active units.
        fill : float
            Value of the other pairs.

        Returns
        -------
        ndarray, shape (n_units, n_units)
            Values of all pairs.
        """
        out = np.full((self.active.size, self.active.size), fill, dtype=matrix.dtype)
        out[np.ix_(self.active, self.active)] = matrix
        return out


def _read(activity: Any, owner: str) -> tuple[Array, Array, Array]:
    """Return samples, names of units, and the number of samples of each trial."""
    if not isinstance(activity, xr.DataArray):
        values = np.asarray(activity)
        if values.ndim != 2 or values.dtype.kind not in "biuf":
            raise ActivityError(
                f"{owner}: plain numbers must be (n_samples, n_units); got {values.dtype} of shape "
                f"{values.shape}. Build an Activity for trials."
            )
        check_finite(values, owner=owner, axes=("sample", "unit"))
        return values.astype(np.float64), np.arange(values.shape[1]), np.array([values.shape[0]])
    stacked, index = to_samples(activity, owner=owner)
    if not np.isfinite(stacked.sum(dtype=np.float64)):
        check_finite(stacked, owner=owner, axes=("sample", "unit"))
    names = index.unit_coords.get("unit")
    labels = np.arange(stacked.shape[1]) if names is None else np.asarray(names)
    return stacked.astype(np.float64), labels, trial_lengths(activity, index.mask, len(stacked))


def _memory_factor(centred: Array) -> Array:
    """Return what widens each unit's part of a correlation, from its memory between blocks."""
    length = centred.shape[0] // _N_BLOCKS
    if length == 0:
        return np.ones(centred.shape[1])
    blocks = centred[: length * _N_BLOCKS].reshape(_N_BLOCKS, length, -1).mean(axis=1)
    # The integrated time has both sides of the autocorrelation, the memory one.
    memory = (autocorrelation_time(blocks) - 1.0) / 2 / _N_BLOCKS
    return np.asarray((1.0 + memory / 2) ** 0.25)


def trial_lengths(activity: Activity, mask: Array | None, n_samples: int) -> Array:
    """Return the number of valid samples of each trial.

    Parameters
    ----------
    activity : xarray.DataArray
        An Activity.
    mask : ndarray of bool, shape (n_trials, n_times), optional
        Valid samples.
    n_samples : int
        Valid samples of all trials.

    Returns
    -------
    ndarray of int64, shape (n_trials,)
        Samples per trial; one trial where there is no such dim.
    """
    if "trial" not in activity.dims:
        return np.array([n_samples])
    if mask is not None:
        return np.asarray(mask.sum(axis=1))
    n_times = activity.sizes.get("time", 1)
    return np.full(activity.sizes["trial"], n_times)


def _lay_out_trials(rows: Array, lengths: Array) -> tuple[Array, int, float]:
    """Pad the trials to one length and take out the mean over trials; return also the widening.

    Shifted trials of unequal length overlap less than a trial does with itself: the correlations
    are widened to make up for it, by the factor that holds for activity constant over a trial.
    """
    lengths = lengths[lengths > 0]
    n_units, n_trials, longest = rows.shape[0], lengths.size, int(lengths.max())
    valid = np.arange(longest) < lengths[:, np.newaxis]
    cube = np.zeros((n_units, n_trials, longest))
    cube[:, valid] = rows
    count = valid.sum(axis=0)
    mean = cube.sum(axis=1) / count
    mean[:, count < _MIN_PER_TIME] = 0.0
    cube -= mean[:, np.newaxis] * valid
    freedom = np.where(count < _MIN_PER_TIME, 1.0, np.sqrt(count / np.maximum(count - 1, 1)))
    cube *= freedom
    laid: Array = cube.reshape(n_units, n_trials * longest)
    norms = np.sqrt(np.einsum("ut,ut->u", laid, laid))
    laid = laid / np.where(norms > 0, norms, 1.0)[:, np.newaxis]
    order = np.sort(lengths).astype(np.float64)
    # Mean over pairs of different trials of the square of the shorter length.
    shorter = 2 * (order**2 * np.arange(n_trials - 1, -1, -1)).sum() / (n_trials * (n_trials - 1))
    return laid, longest, float(np.sqrt((order**2).mean() / shorter))
