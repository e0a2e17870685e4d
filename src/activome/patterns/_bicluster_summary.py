"""What is kept of a chain, and what many points of a posterior say together."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome.activity.matching import match_labels, match_matrix
from activome.patterns._bicluster_model import Model, Point, predictors
from activome.patterns._count_laplace import LARGEST_PREDICTOR, count_log_likelihood
from activome.patterns.partitions import max_pear, posterior_similarity

__all__ = ["MOST_BINS", "Record", "aligned_trajectories", "estimate_labels", "estimate_states"]

Array = np.ndarray[Any, Any]
# Beyond this many bins the similarity of all pairs of bins is not made.
MOST_BINS = 2000
_MOST_PATHS = 100


class Record:
    """The kept points of one chain.

    Parameters
    ----------
    model : Model
        Counts and settings.
    held_out : ndarray of bool, shape (n_units, n_times)
        Cells to score, which the model does not see.
    values : ndarray of float64, shape (n_units, n_times)
        Their counts.
    n_kept : int
        Points that will be kept.
    """

    def __init__(self, model: Model, held_out: Array, values: Array, n_kept: int) -> None:
        self.units = np.empty((n_kept, model.n_units), dtype=np.int16)
        self.states = np.empty((n_kept, model.n_times), dtype=np.int16)
        self.rate = np.zeros((model.n_times, model.n_units))
        self.dispersion = np.zeros(model.n_units)
        self.paths: list[tuple[Array, Array, Array]] = []
        self.n_cut = 0
        self.n_kept = 0
        self._every = -(-n_kept // _MOST_PATHS)
        self._held_out, self._values = np.nonzero(held_out), values[held_out]
        self._log_sum = np.full(self._values.size, -np.inf)

    def add(self, point: Point) -> None:
        """Keep a point."""
        self.units[self.n_kept], self.states[self.n_kept] = point.labels, point.states
        eta = predictors(point)
        self.n_cut += int(np.count_nonzero(eta > LARGEST_PREDICTOR))
        self.rate += np.exp(np.minimum(eta, LARGEST_PREDICTOR)).T
        self.dispersion += np.minimum(point.dispersion, 1e12)
        if self.n_kept % self._every == 0:
            self.paths.append((point.labels.copy(), point.paths.copy(), point.loadings.copy()))
        if self._values.size:
            r = point.dispersion[self._held_out[0]]
            cells = count_log_likelihood(self._values, eta[self._held_out], r)
            self._log_sum = np.logaddexp(self._log_sum, cells)
        self.n_kept += 1

    def held_out(self) -> Array:
        """Return the log of the mean probability of each cell that was held out."""
        return np.asarray(self._log_sum - np.log(self.n_kept))


def estimate_labels(samples: Array) -> tuple[Array, Array]:
    """Return the similarity of items and one partition of them.

    Parameters
    ----------
    samples : ndarray of int16, shape (n_samples, n_items)
        Partitions.

    Returns
    -------
    similarity : ndarray of float64, shape (n_items, n_items)
        Posterior similarity.
    labels : ndarray of int64, shape (n_items,)
        The partition of the largest expected adjusted Rand index; all together where that is so in
        more than half of the samples.
    """
    similarity = posterior_similarity(samples)
    if np.mean(np.ptp(samples, axis=1) == 0) > 0.5:
        return similarity, np.zeros(samples.shape[1], dtype=np.int64)
    return similarity, max_pear(similarity)[0]


def estimate_states(samples: Array) -> tuple[Array | None, Array]:
    """Return the similarity of bins, where they are few, and one path of states.

    Parameters
    ----------
    samples : ndarray of int16, shape (n_samples, n_times)
        Paths of states.

    Returns
    -------
    similarity : ndarray of float64, shape (n_times, n_times), or None
        Posterior similarity; None above 2000 bins.
    labels : ndarray of int64, shape (n_times,)
        Estimate. For many bins it is the most frequent name of each bin, once the names of all
        samples are matched with those of the last.
    """
    if samples.shape[1] <= MOST_BINS:
        return estimate_labels(samples)
    last = samples[-1].astype(np.int64)
    renamed = np.stack([match_labels(last, row)[0] for row in samples])
    names = np.unique(renamed)
    votes = np.stack([(renamed == name).sum(axis=0) for name in names])
    return None, np.unique(names[votes.argmax(axis=0)], return_inverse=True)[1].astype(np.int64)


def aligned_trajectories(
    paths: list[tuple[Array, Array, Array]], labels: Array
) -> tuple[list[Array], list[Array], Array]:
    """Average trajectories over points after matching clusters and turning factors alike.

    Parameters
    ----------
    paths : list of tuple
        Labels, trajectories and loadings of points.
    labels : ndarray of int64, shape (n_units,)
        Clusters whose trajectories are wanted.

    Returns
    -------
    mean : list of ndarray of float64, each (n_times, n_factors + 1)
        Mean trajectory and factors of each cluster, each with mean 0 over time.
    spread : list of ndarray of float64
        Standard deviations over points.
    loadings : ndarray of float64, shape (n_units, n_factors + 1)
        Mean offsets and loadings that go with them.
    """
    n_clusters = int(labels.max()) + 1
    means, spreads = [], []
    loadings = np.zeros(paths[0][2].shape)
    matched = [_partners(labels, own) for own, _, _ in paths]
    for k in range(n_clusters):
        members = np.flatnonzero(labels == k)
        chosen = [
            (path[partner[k]], load[members])
            for partner, (_, path, load) in zip(matched, paths, strict=True)
        ]
        tracks, loads = _turned(chosen)
        means.append(tracks.mean(axis=0))
        spreads.append(tracks.std(axis=0))
        loadings[members] = loads.mean(axis=0)
    return means, spreads, loadings


def _partners(labels: Array, own: Array) -> Array:
    """For each final cluster its cluster at one point: by assignment, else by overlap alone."""
    table = np.zeros((labels.max() + 1, own.max() + 1))
    np.add.at(table, (labels, own), 1.0)
    partner = table.argmax(axis=1)
    match = match_matrix(table)
    is_met = match.values > 0
    partner[match.rows[is_met]] = match.columns[is_met]
    return np.asarray(partner)


def _turned(chosen: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    tracks, loads = [], []
    reference: Array | None = None
    for path, load in chosen:
        mean = path.mean(axis=0)
        track, load = path - mean, load.copy()
        load[:, 0] += mean[0] + load[:, 1:] @ mean[1:]
        if reference is None:
            # Principal axes, each with the sign that makes its largest value positive.
            axes = np.linalg.svd(track[:, 1:], full_matrices=False)[2].T
            turned = track[:, 1:] @ axes
            turn = axes * np.sign(turned[np.abs(turned).argmax(axis=0), np.arange(axes.shape[1])])
            reference = track[:, 1:] @ turn
        else:
            left, _, right = np.linalg.svd(track[:, 1:].T @ reference)
            turn = left @ right
        track[:, 1:] = track[:, 1:] @ turn
        load[:, 1:] = load[:, 1:] @ turn
        tracks.append(track)
        loads.append(load)
    return np.stack(tracks), np.stack(loads)
