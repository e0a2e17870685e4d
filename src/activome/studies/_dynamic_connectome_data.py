"""Planted motifs, graphs and lesions for the study of the dynamic connectome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

__all__ = ["MOTIFS", "Motif", "motif_recording", "planted_graph", "smooth_noise"]

Array = np.ndarray[Any, Any]
_SIGMA = 4.0
_LAG = 2


@dataclass(frozen=True)
class Motif:
    """Units that share a trace in a span of time, in some animals."""

    units: tuple[int, int]
    times: tuple[int, int]
    animals: tuple[int, int]


MOTIFS = (
    Motif((0, 10), (20, 90), (0, 5)),
    Motif((8, 18), (90, 160), (0, 3)),
    Motif((18, 28), (150, 230), (2, 5)),
)


def smooth_noise(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return white noise smoothed along its last axis."""
    return np.asarray(gaussian_filter1d(rng.standard_normal(shape), _SIGMA, axis=-1))


def motif_recording(
    seed: int,
    *,
    noise: float = 0.3,
    motifs: tuple[Motif, ...] = MOTIFS,
    n_animals: int = 5,
    n_units: int = 30,
    n_times: int = 240,
    driver: int | None = None,
    silent: bool = False,
) -> tuple[Array, dict[str, Array]]:
    """Make traces of animals in which groups of units share a trace for a while.

    Parameters
    ----------
    seed : int
        Of everything random; the same with and without the driver silenced.
    noise : float
        Size of what each unit has for itself.
    motifs : tuple of Motif
        What is planted.
    n_animals, n_units, n_times : int
        Sizes.
    driver : int, optional
        Unit whose trace the others of the second motif follow two samples later.
    silent : bool
        Whether the driver is silenced, and with it what it drives.

    Returns
    -------
    traces : ndarray, shape (n_animals, n_units, n_times)
        The recording.
    truth : dict
        ``units`` (n_motifs, n_units), ``times`` (n_motifs, n_times), ``animals``
        (n_motifs, n_animals).
    """
    rng = np.random.default_rng([8, seed])
    traces = 4 * noise * smooth_noise((n_animals, n_units, n_times), rng)
    units = np.zeros((len(motifs), n_units))
    times = np.zeros((len(motifs), n_times))
    animals = np.zeros((len(motifs), n_animals))
    for k, motif in enumerate(motifs):
        units[k, slice(*motif.units)] = 1.0
        times[k, slice(*motif.times)] = 1.0
        times[k] = gaussian_filter1d(times[k], _SIGMA)
        animals[k, slice(*motif.animals)] = 1.0
        shared = smooth_noise((n_animals, n_times), rng)
        shared *= times[k] * animals[k][:, np.newaxis] / shared.std(axis=1, keepdims=True)
        gain = units[k] * rng.uniform(0.8, 1.2, n_units)
        is_driven = driver is not None and k == 1
        for unit in np.flatnonzero(gain):
            follows = is_driven and unit != driver
            if not (is_driven and silent):
                traces[:, unit] += gain[unit] * (
                    np.roll(shared, _LAG, axis=1) if follows else shared
                )
    if driver is not None and silent:
        traces[:, driver] = np.nan
    return traces, {"units": units, "times": times, "animals": animals}


def planted_graph(
    seed: int, n_groups: int, inside: tuple[float, float], outside: tuple[float, float], n: int
) -> tuple[Array, Array]:
    """Draw groups of equal chance, edges by probability, and exponential weights by their mean."""
    rng = np.random.default_rng([80, seed])
    groups = rng.integers(n_groups, size=n)
    same = groups[:, np.newaxis] == groups
    is_edge = rng.random((n, n)) < np.where(same, inside[0], outside[0])
    upper = np.triu(is_edge * rng.exponential(np.where(same, inside[1], outside[1])), 1)
    return upper + upper.T, groups
