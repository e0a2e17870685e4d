"""Resampling of irregular traces: linear to finer steps, block means to coarser ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import make_interp_spline
from scipy.sparse import csr_array

from activome._checks import check_choice, check_memory, check_number
from activome.errors import ActivityError

__all__ = ["Resampler", "check_stamps", "resample"]

Array = np.ndarray[Any, Any]

_PARTS = 6
_SPLINES = {"quadratic": 2, "cubic": 3}


class Resampler:
    """Bring traces with one set of irregular time stamps to a regular step.

    The grid is ``0, dt, 2 dt ...`` from the first stamp, up to the last. Where ``dt`` is below the
    median step of the recording, values are interpolated at the grid. Otherwise they would alias:
    each grid value is then the mean of 6 interpolated values, ``dt / 6`` apart. For linear
    interpolation the whole of it is one sparse matrix, made once for all traces of a recording.

    Parameters
    ----------
    time : array-like of float, shape (n_times,)
        Stamps in s, finite and strictly increasing.
    dt : float > 0
        Step of the result in s.
    method : {"linear", "quadratic", "cubic"}, default="linear"
        How values between stamps are found; the last two are splines through every sample.
    blocks : {"centred", "leading"}, default="centred"
        Where the block of a mean lies. "centred": around its grid time. "leading": the 6 values
        from the grid time on, which puts every trace ``5 dt / 12`` early.

    Attributes
    ----------
    times : ndarray of float64, shape (n_out,)
        Grid times in s, from 0.
    is_mean : bool
        Whether values are block means, because ``dt`` is not below the median step.
    median_step : float
        Median step of the stamps in s.

    Raises
    ------
    ActivityError
        If the stamps are not a finite increasing sequence of at least two, or are shorter than a
        grid of two steps; or if traces do not fit the stamps, or hold NaN with a spline.
    ParameterError
        If ``dt`` is not positive, or ``method`` or ``blocks`` is unknown.
    ResourceError
        If the result would pass the memory limit.

    Notes
    -----
    A missing sample (NaN) makes the grid values that rest on it NaN, and no others. Centred blocks
    are our choice: the published pipeline stamps a block with its first time, which shifts
    recordings that are thinned against those that are not. Blocks shrink evenly towards the ends
    of the recording, so that they stay centred there.

    References
    ----------
    .. [1] Q. Simeon, A. Kashyap, K. P. Kording and E. S. Boyden, "Homogenized C. elegans neural
       activity and connectivity data", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> resampler = Resampler([0.0, 1.0, 3.0, 4.0], 0.5)
    >>> resampler(np.array([[0.0], [2.0], [6.0], [8.0]])).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    """

    def __init__(
        self, time: ArrayLike, dt: float, method: str = "linear", *, blocks: str = "centred"
    ) -> None:
        stamps = check_stamps(time, owner="Resampler")
        dt = check_number(dt, name="dt", owner="Resampler", low=0.0)
        check_choice(method, ("linear", *_SPLINES), name="method", owner="Resampler")
        check_choice(blocks, _BLOCKS, name="blocks", owner="Resampler")
        self.dt, self.method, self.blocks = dt, method, blocks
        self._stamps = stamps - stamps[0]
        self.median_step = float(np.median(np.diff(stamps)))
        self.is_mean = not dt < self.median_step
        end = float(self._stamps[-1])
        n_out = int(np.floor(end / dt + 1e-9)) + 1
        if n_out < 2:
            raise ActivityError(
                f"Resampler: the recording must be longer than one step of dt={dt:g} s; it lasts "
                f"{end:g} s. Give a smaller dt."
            )
        check_memory(
            n_out * _PARTS * 24.0, owner="Resampler", what="the grid", cure="Give a larger dt."
        )
        # k * dt, never accumulated: sums of a rounded step drift.
        self.times = np.minimum(np.arange(n_out) * dt, end)
        if self.is_mean:
            self._fine = _BLOCKS[blocks](self.times, dt, end)
            self.times = self.times[: self._fine.shape[0]]
        else:
            self._fine = self.times[:, None]
        self._matrix = _linear_matrix(self._stamps, self._fine) if method == "linear" else None
        self.times = np.arange(self.times.size) * dt

    def __call__(self, traces: ArrayLike) -> Array:
        """Resample traces.

        Parameters
        ----------
        traces : array-like of float, shape (n_times, n_units) or (n_times,)
            Values at the stamps; NaN where a sample is missing.

        Returns
        -------
        ndarray of float64, shape (n_out, n_units) or (n_out,)
            Values at ``times``.

        Raises
        ------
        ActivityError
            If the traces do not fit the stamps, or hold NaN with a spline.
        """
        values = np.asarray(traces, dtype=np.float64)
        if values.ndim not in (1, 2) or values.shape[0] != self._stamps.size:
            raise ActivityError(
                f"Resampler: traces must be (n_times, n_units) with n_times = {self._stamps.size}; "
                f"got shape {values.shape}."
            )
        check_memory(
            8.0 * self._fine.size * values[0].size,
            owner="Resampler",
            what="the resampled traces",
            cure="Resample fewer units at a time.",
        )
        result: Array
        if self._matrix is not None:
            result = np.asarray(self._matrix @ values)
            return result
        if not np.isfinite(values).all():
            raise ActivityError(
                f"Resampler: a {self.method} spline needs finite traces; "
                f"{int((~np.isfinite(values)).sum())} of {values.size} values are not. "
                "Use method='linear', which leaves gaps as gaps."
            )
        spline = make_interp_spline(self._stamps, values, k=_SPLINES[self.method], axis=0)
        result = spline(self._fine).mean(axis=1)
        return result


def resample(
    time: ArrayLike,
    traces: ArrayLike,
    dt: float,
    method: str = "linear",
    *,
    blocks: str = "centred",
) -> tuple[Array, Array]:
    """Resample irregular traces to a regular step, with a mean against aliasing.

    Use it to bring recordings with jittered or different steps to one. See `Resampler` for the
    rule, and to resample several arrays that share their stamps.

    Parameters
    ----------
    time : array-like of float, shape (n_times,)
        Stamps in s, finite and strictly increasing.
    traces : array-like of float, shape (n_times, n_units) or (n_times,)
        Values at the stamps; NaN where a sample is missing.
    dt : float > 0
        Step of the result in s.
    method : {"linear", "quadratic", "cubic"}, default="linear"
        How values between stamps are found.
    blocks : {"centred", "leading"}, default="centred"
        Where the block of a mean lies against its grid time.

    Returns
    -------
    times : ndarray of float64, shape (n_out,)
        Grid times in s after the first stamp: 0, dt, 2 dt ...
    values : ndarray of float64, shape (n_out, n_units) or (n_out,)
        Values at the grid times.

    References
    ----------
    .. [1] Q. Simeon, A. Kashyap, K. P. Kording and E. S. Boyden, "Homogenized C. elegans neural
       activity and connectivity data", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> times, values = resample(np.arange(0.0, 10.0), np.arange(0.0, 10.0), 3.0)
    >>> times.tolist(), values.round(6).tolist()
    ([0.0, 3.0, 6.0, 9.0], [0.0, 3.0, 6.0, 9.0])
    """
    resampler = Resampler(time, dt, method, blocks=blocks)
    return resampler.times, resampler(traces)


def check_stamps(time: ArrayLike, *, owner: str) -> Array:
    """Return time stamps as float64, refusing what is not a finite increasing sequence.

    Parameters
    ----------
    time : array-like of float, shape (n_times,)
        Stamps in s.
    owner : str
        Who asks, for the message.

    Returns
    -------
    ndarray of float64, shape (n_times,)
        The same stamps.

    Raises
    ------
    ActivityError
        If there are fewer than two, or they are not numbers, not finite or not increasing.
    """
    stamps = np.asarray(time)
    if stamps.ndim == 2 and 1 in stamps.shape:
        stamps = stamps.ravel()
    if stamps.ndim != 1 or stamps.size < 2 or stamps.dtype.kind not in "iuf":
        raise ActivityError(
            f"{owner}: time must hold at least two stamps in s; got {stamps.dtype} of shape "
            f"{stamps.shape}."
        )
    stamps = stamps.astype(np.float64)
    if not np.isfinite(stamps).all():
        raise ActivityError(
            f"{owner}: time must be finite; stamp {int(np.argmin(np.isfinite(stamps)))} is "
            f"{stamps[np.argmin(np.isfinite(stamps))]}. Drop the samples without a stamp."
        )
    steps = np.diff(stamps)
    if (steps <= 0).any():
        place = int(np.argmax(steps <= 0)) + 1
        raise ActivityError(
            f"{owner}: time must increase; stamp {place} ({stamps[place]:g} s) does not exceed the "
            f"one before ({stamps[place - 1]:g} s). Sort the samples and drop repeated stamps."
        )
    return stamps


def _linear_matrix(stamps: Array, fine: Array) -> csr_array:
    """The weights of each sample in each grid value, of shape (n_out, n_times)."""
    n_out, parts = fine.shape
    left = np.clip(np.searchsorted(stamps, fine, side="right") - 1, 0, stamps.size - 2)
    share = (fine - stamps[left]) / (stamps[left + 1] - stamps[left])
    weights = np.stack([1.0 - share, share], axis=-1) / parts
    columns = np.stack([left, left + 1], axis=-1)
    rows = np.broadcast_to(np.arange(n_out)[:, None, None], columns.shape)
    matrix = csr_array(
        (weights.ravel(), (rows.ravel(), columns.ravel())), shape=(n_out, stamps.size)
    )
    matrix.sum_duplicates()
    # A weight of zero on a missing sample would make the value missing too: 0 * NaN is NaN.
    matrix.eliminate_zeros()
    return matrix


def _centred(times: Array, dt: float, end: float) -> Array:
    offsets = (np.arange(_PARTS) - (_PARTS - 1) / 2) * (dt / _PARTS)
    room = np.minimum(times, end - times)
    shrink = np.clip(room / offsets[-1], 0.0, 1.0)
    return np.asarray(np.clip(times[:, None] + shrink[:, None] * offsets, 0.0, end))


def _leading(times: Array, dt: float, end: float) -> Array:
    fine = times[:, None] + np.arange(_PARTS) * (dt / _PARTS)
    whole = fine[:, -1] <= end * (1 + 1e-12)
    return np.asarray(np.minimum(fine[whole], end))


_BLOCKS: dict[str, Callable[[Array, float, float], Array]] = {
    "centred": _centred,
    "leading": _leading,
}
