"""Textures of band-limited noise, whitened photographs, and walks of the eye over them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_finite, check_integer, check_number
from activome._random import RandomState, make_generator
from activome.errors import ActivityError

__all__ = ["band_texture", "saccadic_walk", "whiten_image"]

Array = np.ndarray[Any, Any]


def band_texture(
    size: int = 256,
    *,
    cutoff: float = 0.25,
    low: float = 0.01,
    orientation: float | None = None,
    bandwidth: float = 0.2,
    random_state: RandomState = None,
) -> Array:
    """Draw noise whose spatial frequencies lie in a band.

    The amplitude is ``exp(-(f / cutoff)**4)`` above ``low``. With an orientation it is narrowed to
    frequencies about one axis, from a cloud without any (a large bandwidth) to a grating.

    Parameters
    ----------
    size : int, default=256
        Rows and columns, pixels.
    cutoff : float in (0, inf), default=0.25
        Where the band ends, cycles per pixel.
    low : float in [0, inf), default=0.01
        Where it begins, cycles per pixel; the mean is always left out.
    orientation : float, optional
        Direction across the stripes, rad, from the x axis towards larger y; by default none.
    bandwidth : float in (0, inf), default=0.2
        Spread of the orientation, rad.
    random_state : int, Generator or None, default=None
        Seed of the noise.

    Returns
    -------
    ndarray of float64, shape (size, size)
        Mean 0 and variance 1.

    Raises
    ------
    ParameterError
        If a parameter is outside its range.
    ActivityError
        If the band is empty at this size.

    References
    ----------
    .. [1] P. Sanz Leon, I. Vanzetta, G. S. Masson and L. U. Perrinet, "Motion clouds: model-based
       stimulus synthesis of natural-like random textures for the study of motion perception", 2012.

    Examples
    --------
    >>> texture = band_texture(64, random_state=0)
    >>> round(abs(float(texture.mean())), 6), round(float(texture.std()), 6)
    (0.0, 1.0)
    """
    owner = "band_texture"
    size = check_integer(size, name="size", owner=owner, low=2)
    check_number(bandwidth, name="bandwidth", owner=owner, low=0.0)
    noise = make_generator(random_state).normal(size=(size, size))
    amplitude = _band((size, size), cutoff, low, owner)
    if orientation is not None:
        fy, fx = np.meshgrid(np.fft.fftfreq(size), np.fft.rfftfreq(size), indexing="ij")
        turn = np.arctan2(fy, fx) - check_number(orientation, name="orientation", owner=owner)
        amplitude = amplitude * np.exp((np.cos(2 * turn) - 1) / (4 * bandwidth**2))
    return _filtered(noise, amplitude, owner)


def whiten_image(image: ArrayLike, *, cutoff: float = 0.25, low: float = 0.01) -> Array:
    """Flatten the spectrum of a photograph up to a cutoff: ``f exp(-(f / cutoff)**4)``.

    Parameters
    ----------
    image : array-like of float, shape (n_rows, n_columns)
        Brightness.
    cutoff : float in (0, inf), default=0.25
        Where the band ends, cycles per pixel.
    low : float in [0, inf), default=0.01
        Where it begins, cycles per pixel.

    Returns
    -------
    ndarray of float64, shape (n_rows, n_columns)
        Mean 0 and variance 1.

    Raises
    ------
    ActivityError
        If the image has another shape, is not finite, or is uniform.
    ParameterError
        If a parameter is outside its range.
    """
    owner = "whiten_image"
    values = np.asarray(image, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2:
        raise ActivityError(f"{owner}: image must be (n_rows, n_columns); got {values.shape}.")
    check_finite(values, owner=owner, axes=("row", "column"), what="image")
    frequency = _frequency(values.shape)
    band = _band((values.shape[0], values.shape[1]), cutoff, low, owner)
    return _filtered(values - values.mean(), frequency * band, owner)


def saccadic_walk(
    n_bins: int,
    velocities: ArrayLike,
    *,
    mean_block: float = 24.0,
    random_state: RandomState = None,
) -> tuple[Array, Array]:
    """Draw a walk in straight segments, each at a velocity drawn from a list.

    Parameters
    ----------
    n_bins : int
        Bins of the walk.
    velocities : array-like of float, shape (n_classes, 2)
        Columns and rows per bin of each class.
    mean_block : float in (0, inf), default=24.0
        Mean of the Poisson length of a segment, bins; none is shorter than 4.
    random_state : int, Generator or None, default=None
        Seed.

    Returns
    -------
    y : ndarray of int64, shape (n_bins,)
        Class of each bin.
    path : ndarray of float64, shape (n_bins, 2)
        Column and row at the end of each bin, from (0, 0) before the first.

    Raises
    ------
    ActivityError
        If velocities have another shape or are not finite.
    ParameterError
        If a parameter is outside its range.
    """
    owner = "saccadic_walk"
    n_bins = check_integer(n_bins, name="n_bins", owner=owner, low=1)
    check_number(mean_block, name="mean_block", owner=owner, low=0.0)
    table = np.asarray(velocities, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != 2 or not len(table):
        raise ActivityError(f"{owner}: velocities must be (n_classes, 2); got {table.shape}.")
    check_finite(table, owner=owner, axes=("class", "axis"), what="velocities")
    generator = make_generator(random_state)
    y = np.empty(n_bins, np.int64)
    begin = 0
    while begin < n_bins:
        length = max(4, int(generator.poisson(mean_block)))
        y[begin : begin + length] = generator.integers(len(table))
        begin += length
    return y, table[y].cumsum(axis=0)


def _frequency(shape: tuple[int, ...]) -> Array:
    down, right = np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1])
    return np.asarray(np.hypot(down[:, None], right[None, :]))


def _band(shape: tuple[int, int], cutoff: float, low: float, owner: str) -> Array:
    check_number(cutoff, name="cutoff", owner=owner, low=0.0)
    check_number(low, name="low", owner=owner, low=0.0, include_low=True)
    frequency = _frequency(shape)
    return np.exp(-((frequency / cutoff) ** 4)) * (frequency > low)


def _filtered(values: Array, amplitude: Array, owner: str) -> Array:
    found = np.fft.irfft2(np.fft.rfft2(values) * amplitude, s=values.shape)
    spread = found.std()
    if not spread > 1e-12 * max(1.0, float(np.abs(values).max())):
        raise ActivityError(
            f"{owner}: the image must vary within the band; it does not. Widen the band."
        )
    return np.asarray((found - found.mean()) / spread)
