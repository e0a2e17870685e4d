"""One pass over a recording: statistics of every unit, the analysis grid, and a checksum."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import dask
import numpy as np
import xarray as xr
from scipy import signal

from activome._progress import Progress, silent

__all__ = ["PassResult", "stream"]

Array = np.ndarray[Any, Any]
_BLOCK_BYTES = 1 << 25
_MOST_SPECTRA = 256


@dataclass
class PassResult:
    """What one pass gives.

    Attributes
    ----------
    n_used : int
        Valid samples per unit.
    n_bad, n_low, n_high : ndarray of int64, shape (n_units,)
        Samples that are not finite; samples at the smallest and the largest value.
    low, high, mean, std : ndarray of float64, shape (n_units,)
        Range and moments of the finite samples.
    digest : ndarray of float64, shape (n_units,)
        Equal for units that hold the same values.
    grid : ndarray of float32, shape (n_trials, n_bins, n_units)
        Mean of the finite samples of each bin, or their sum; NaN where there are none.
    bin_size : int
        Samples per bin.
    frequencies : ndarray of float64, shape (n_frequencies,)
        In Hz; empty for recordings without a spectrum.
    power : ndarray of float64, shape (n_frequencies, n_spectra)
        Welch estimate at the sampling rate of the recording.
    spectrum_units : ndarray of int64, shape (n_spectra,)
        Units of the columns of ``power``.
    n_segments : int
        Segments averaged.
    checksum : str
        Of all values.
    """

    n_used: int
    n_bad: Array
    n_low: Array
    n_high: Array
    low: Array
    high: Array
    mean: Array
    std: Array
    digest: Array
    grid: Array
    bin_size: int
    frequencies: Array
    power: Array
    spectrum_units: Array
    n_segments: int
    checksum: str


def stream(
    activity: xr.DataArray,
    *,
    bin_size: int,
    add_up: bool,
    sampling_rate: float | None,
    progress: Progress = silent,
) -> PassResult:
    """Read an activity once, block by block.

    Parameters
    ----------
    activity : xarray.DataArray
        Dims (trial, time, unit), all three.
    bin_size : int
        Samples per bin of the grid; the last bin of a trial may hold fewer.
    add_up : bool
        Whether a bin holds the sum of its samples, as for counts, or their mean.
    sampling_rate : float or None
        In Hz, for a spectrum; None for none.
    progress : Progress, default=silent
        Told of each block.

    Returns
    -------
    PassResult
        Statistics, grid, spectrum and checksum.
    """
    n_trials, n_times, n_units = activity.shape
    valid = np.asarray(activity.coords["valid"].values) if "valid" in activity.coords else None
    n_bins = -(-n_times // bin_size)
    state = _Sums(n_units)
    grid = _Grid(np.zeros((n_trials, n_bins, n_units), np.float32), bin_size)
    spectrum = _Spectrum(n_units, n_times, sampling_rate)
    checksum = hashlib.sha256(repr((activity.shape, str(activity.dtype))).encode())
    boxes = list(_boxes(activity))
    progress("reading the recording", 0, len(boxes))
    for done, (trials, times) in enumerate(boxes, start=1):
        block = _read(activity, trials, times)
        checksum.update(np.ascontiguousarray(block).data)
        mask = None if valid is None else valid[trials, times]
        values, finite = _as_float(block, mask)
        state.add(values, finite, mask)
        grid.add(values, finite, trials, times)
        spectrum.add(values, finite)
        progress("reading the recording", done, len(boxes))
    return PassResult(
        **state.result(),
        grid=grid.result(add_up=add_up, n_times=n_times),
        bin_size=bin_size,
        **spectrum.result(),
        checksum=checksum.hexdigest(),
    )


def _boxes(activity: xr.DataArray) -> Iterator[tuple[slice, slice]]:
    """Cut into whole trials where several fit in a block, else into stretches of one trial."""
    n_trials, n_times, n_units = activity.shape
    rows = max(1, _BLOCK_BYTES // (4 * max(n_units, 1)))
    chunks = activity.chunksizes
    if n_times <= rows:
        step = max(1, rows // max(n_times, 1))
        for first in range(0, n_trials, step):
            yield slice(first, min(first + step, n_trials)), slice(0, n_times)
        return
    chunk = max(chunks["time"]) if "time" in chunks else 1
    step = rows // chunk * chunk if chunk <= rows else rows
    for trial in range(n_trials):
        for first in range(0, n_times, step):
            yield slice(trial, trial + 1), slice(first, min(first + step, n_times))


def _read(activity: xr.DataArray, trials: slice, times: slice) -> Array:
    values = activity.data[trials, times]
    if dask.is_dask_collection(values):
        values = values.compute(scheduler="synchronous")
    return np.asarray(values)


def _as_float(block: Array, mask: Array | None) -> tuple[Array, Array | None]:
    """Return float32 values with 0 where there are none, and where they are finite (None: all)."""
    exact = block.dtype.kind == "f" and block.dtype.itemsize > 4
    values = block.astype(np.float64 if exact else np.float32)
    if mask is None and (block.dtype.kind != "f" or np.isfinite(values.sum(dtype=np.float64))):
        return values, None
    finite = np.isfinite(values)
    if mask is not None:
        finite &= mask[..., np.newaxis]
    if finite.all():
        return values, None
    return np.where(finite, values, 0).astype(values.dtype), finite


class _Sums:
    def __init__(self, n_units: int) -> None:
        self.n_used = 0
        self.n_good = np.zeros(n_units, np.int64)
        self.low, self.high = np.full(n_units, np.inf), np.full(n_units, -np.inf)
        self.n_low, self.n_high = np.zeros(n_units, np.int64), np.zeros(n_units, np.int64)
        self.mean, self.square = np.zeros(n_units), np.zeros(n_units)
        self.digest = np.zeros(n_units)
        self._generator = np.random.default_rng(0)

    def add(self, values: Array, finite: Array | None, mask: Array | None) -> None:
        rows = values.reshape(-1, values.shape[-1])
        good = None if finite is None else finite.reshape(rows.shape)
        n_rows = rows.shape[0] if mask is None else int(mask.sum())
        count = np.full(rows.shape[1], n_rows) if good is None else good.sum(axis=0)
        shown = rows if good is None else np.where(good, rows, np.inf)
        self._ends(shown.min(axis=0, initial=np.inf), rows, good, is_low=True)
        shown = rows if good is None else np.where(good, rows, -np.inf)
        self._ends(shown.max(axis=0, initial=-np.inf), rows, good, is_low=False)
        # Moments block by block around the block's own mean: no cancellation for large offsets.
        mean = rows.sum(axis=0, dtype=np.float64) / np.maximum(count, 1)
        centred = rows - mean.astype(rows.dtype)
        if good is not None:
            centred *= good
        offset = centred.sum(axis=0, dtype=np.float64) / np.maximum(count, 1)
        square = np.einsum("tu,tu->u", centred, centred, dtype=np.float64) - count * offset**2
        mean += offset
        total = np.maximum(self.n_good + count, 1)
        gap = mean - self.mean
        self.square += np.maximum(square, 0) + gap**2 * self.n_good * count / total
        self.mean += np.where(count > 0, gap * count / total, 0.0)
        self.digest += self._generator.standard_normal(rows.shape[0]) @ rows.astype(np.float64)
        self.n_good += count
        self.n_used += n_rows

    def _ends(self, end: Array, rows: Array, good: Array | None, *, is_low: bool) -> None:
        so_far, n = (self.low, self.n_low) if is_low else (self.high, self.n_high)
        hit = rows == end
        if good is not None:
            hit &= good
        here = hit.sum(axis=0)
        beyond = end < so_far if is_low else end > so_far
        n[:] = np.where(beyond, here, np.where(end == so_far, n + here, n))
        so_far[:] = np.where(beyond, end, so_far)

    def result(self) -> dict[str, Any]:
        return {
            "n_used": self.n_used,
            "n_bad": self.n_used - self.n_good,
            "n_low": self.n_low,
            "n_high": self.n_high,
            "low": np.where(self.n_good > 0, self.low, np.nan),
            "high": np.where(self.n_good > 0, self.high, np.nan),
            "mean": np.where(self.n_good > 0, self.mean, np.nan),
            "std": np.sqrt(self.square / np.maximum(self.n_good, 1)),
            "digest": self.digest,
        }


@dataclass
class _Grid:
    sums: Array
    bin_size: int
    missing: Array | None = field(default=None)

    def add(self, values: Array, finite: Array | None, trials: slice, times: slice) -> None:
        place = np.arange(times.start, times.stop) // self.bin_size
        starts = np.flatnonzero(np.diff(place, prepend=-1))
        bins = place[starts]
        target = (trials, slice(int(bins[0]), int(bins[-1]) + 1))
        self.sums[target] += self._fold(values, starts)
        if finite is not None:
            if self.missing is None:
                self.missing = np.zeros(self.sums.shape, np.int32)
            self.missing[target] += self._fold((~finite).astype(np.int32), starts)

    def _fold(self, values: Array, starts: Array) -> Array:
        folded: Array = values if self.bin_size == 1 else np.add.reduceat(values, starts, axis=1)
        return folded

    def result(self, *, add_up: bool, n_times: int) -> Array:
        n_bins = self.sums.shape[1]
        length = np.full(n_bins, self.bin_size)
        length[-1] = n_times - (n_bins - 1) * self.bin_size
        if self.missing is None:
            if not add_up and self.bin_size > 1:
                self.sums /= length[:, np.newaxis].astype(np.float32)
            return self.sums
        present = length[:, np.newaxis] - self.missing
        with np.errstate(invalid="ignore", divide="ignore"):
            share = present / length[:, np.newaxis] if add_up else present
            self.sums /= share.astype(np.float32)
        self.sums[present == 0] = np.nan
        return self.sums


class _Spectrum:
    def __init__(self, n_units: int, n_times: int, rate: float | None) -> None:
        self.rate = rate
        self.length = 0 if rate is None else min(n_times, 1 << int(np.ceil(np.log2(2 * rate))))
        if self.length < 16:
            self.rate = None
        step = max(1, -(-n_units // _MOST_SPECTRA))
        self.units = np.arange(0, n_units, step)
        self.power = np.zeros((self.length // 2 + 1, self.units.size))
        self.n_segments = 0

    def add(self, values: Array, finite: Array | None) -> None:
        n = values.shape[1] // self.length if self.rate is not None else 0
        if n == 0:
            return
        window = signal.get_window("hann", self.length)
        scale = 1.0 / (float(self.rate or 1.0) * (window**2).sum())
        for k in range(n):
            part = slice(k * self.length, (k + 1) * self.length)
            for trial in range(values.shape[0]):
                if finite is not None and not finite[trial, part].all():
                    continue
                segment = values[trial, part][:, self.units].astype(np.float64)
                segment = (segment - segment.mean(axis=0)) * window[:, np.newaxis]
                self.power += 2 * scale * np.abs(np.fft.rfft(segment, axis=0)) ** 2
                self.n_segments += 1

    def result(self) -> dict[str, Any]:
        if self.rate is None or self.n_segments == 0:
            empty = np.empty(0)
            return {
                "frequencies": empty,
                "power": np.empty((0, 0)),
                "spectrum_units": np.empty(0, np.int64),
                "n_segments": 0,
            }
        return {
            "frequencies": np.fft.rfftfreq(self.length, 1.0 / self.rate)[1:-1],
            "power": (self.power / self.n_segments)[1:-1],
            "spectrum_units": self.units,
            "n_segments": self.n_segments,
        }
