"""Where chains start, and the search for clusters and states while they warm up."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from scipy import special
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.cluster.vq import kmeans2
from scipy.ndimage import gaussian_filter1d
from sklearn.metrics import silhouette_score

from activome.patterns._bicluster_fit import Fit, fit_cluster
from activome.patterns._bicluster_model import Model, Point
from activome.patterns._count_laplace import LARGEST_PREDICTOR, fit_loadings
from activome.patterns._switching_laws import (
    draw_laws,
    transition_counts,
    transition_log_marginal,
)

__all__ = ["improve", "partition_log_prior", "smooth_features", "start_point"]

Array = np.ndarray[Any, Any]
_SIGMA, _WINDOW = 4.0, 20
# What one more cluster or state must add to the approximate log evidence: the best of many trials
# gains some nats from noise alone.
_MARGIN = 5.0
# Before states are known clusters look less different than they are, and too many do no harm.
_FIRST_MARGIN = -10.0
_MOST_CLUSTERS, _FIRST_STATES, _FIRST_DISPERSION = 8, 3, 10.0


def smooth_features(model: Model) -> Array:
    """Return smoothed log counts of each unit, less their mean.

    Parameters
    ----------
    model : Model
        Counts.

    Returns
    -------
    ndarray of float64, shape (n_units, n_times)
        Features; cells that are not seen count as the unit's mean.
    """
    logs = np.log(model.counts + 0.5)
    number = np.maximum(model.is_seen.sum(axis=1, keepdims=True), 1)
    mean = np.where(model.is_seen, logs, 0.0).sum(axis=1, keepdims=True) / number
    rest = np.where(model.is_seen, logs - mean, 0.0)
    parts = [
        gaussian_filter1d(rest[:, low:high], _SIGMA, axis=1)
        for low, high in itertools.pairwise(model.offsets)
    ]
    smooth = np.concatenate(parts, axis=1)
    return np.asarray(smooth - smooth.mean(axis=1, keepdims=True))


def partition_log_prior(model: Model, labels: Array) -> float:
    """Return the log prior of a partition of the units.

    Parameters
    ----------
    model : Model
        Settings.
    labels : ndarray of int64, shape (n_units,)
        Clusters.

    Returns
    -------
    float
        In nats.
    """
    sizes = np.unique(labels, return_counts=True)[1]
    rising = special.gammaln(model.mfm_gamma + sizes) - special.gammaln(model.mfm_gamma)
    return float(model.log_v[sizes.size] + rising.sum())


class Search:
    """Fits of clusters under given states, each made once."""

    def __init__(
        self,
        model: Model,
        states: Array,
        dispersion: Array,
        features: Array,
        margin: float = _MARGIN,
    ) -> None:
        self.model, self.states, self.margin = model, states, margin
        self.dispersion, self.features = dispersion, features
        self._fits: dict[tuple[int, ...], Fit] = {}

    def fit(self, members: Array) -> Fit:
        """Fit one cluster of units."""
        key = tuple(int(i) for i in members)
        if key not in self._fits:
            self._fits[key] = fit_cluster(
                self.model, members, self.states, self.dispersion, self.features
            )
        return self._fits[key]

    def score(self, labels: Array) -> float:
        """Return the approximate log evidence of a partition, with its prior and the margin."""
        parts = [self.fit(np.flatnonzero(labels == k)).score for k in np.unique(labels)]
        prior = partition_log_prior(self.model, labels)
        return float(sum(parts)) + prior - self.margin * len(parts)

    def cluster(self, labels: Array) -> Array:
        """Merge, split and regroup clusters while the evidence rises."""
        labels, best = labels.copy(), self.score(labels)
        for _ in range(4 * self.model.n_units):
            trials = [*self._merged(labels), *self._divided(labels), self.regroup(labels)]
            trials.append(np.zeros_like(labels))
            scores = [self.score(trial) for trial in trials]
            if max(scores) <= best + 1e-9:
                trials = [self.regroup(labels, n_rounds=1, apart=True)]
                scores = [self.score(trials[0])]
            if max(scores) <= best + 1e-9:
                break
            best, labels = max(scores), trials[int(np.argmax(scores))]
        return np.unique(labels, return_inverse=True)[1].astype(np.int64)

    def regroup(
        self, labels: Array, members: Array | None = None, n_rounds: int = 3, *, apart: bool = False
    ) -> Array:
        """Give each unit (of some) the cluster whose trajectories suit it best, some times over.

        With ``apart`` the trajectories of a unit's own cluster are fitted without it. They bend
        towards each of their units, so that a unit in the wrong cluster seems to be in the right
        one; apart costs one more fit per unit.
        """
        chosen = np.arange(labels.size) if members is None else members
        for _ in range(n_rounds):
            names = np.unique(labels[chosen])
            values = np.stack([self._suits(chosen, labels == name, apart) for name in names])
            changed = labels.copy()
            changed[chosen] = names[values.argmax(axis=0)]
            if np.array_equal(changed, labels):
                break
            labels = changed
        return labels

    def _suits(self, units: Array, is_member: Array, apart: bool) -> Array:
        members = np.flatnonzero(is_member)
        value = self._marginals(units, members)
        if apart and members.size > 1:
            for place in np.flatnonzero(is_member[units]):
                others = members[members != units[place]]
                value[place] = self._marginals(units[place : place + 1], others)[0]
        return value

    def _marginals(self, units: Array, members: Array) -> Array:
        path, n = self.fit(members).path, self.model.prior.n_dims
        value = np.empty(units.size)
        fit_loadings(
            self.model.counts[units], self.model.is_seen[units], self.dispersion[units], path,
            LARGEST_PREDICTOR, value, np.empty((units.size, n)), np.empty((units.size, n, n)),
        )  # fmt: skip
        return value

    def _merged(self, labels: Array) -> Any:
        for a, b in itertools.combinations(np.unique(labels), 2):
            yield np.where(labels == b, a, labels)

    def _divided(self, labels: Array) -> Any:
        for k in np.unique(labels):
            members = np.flatnonzero(labels == k)
            if members.size >= 4:
                halves = _ward(self.features[members], 2)
                trial = labels.copy()
                trial[members[halves == 1]] = labels.max() + 1
                yield trial
                yield self.regroup(trial, members)


def _ward(features: Array, n: int) -> Array:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(length > 0, length, 1.0)
    return np.asarray(fcluster(linkage(unit, "ward"), n, "maxclust") - 1, dtype=np.int64)


def _first_states(model: Model, paths: Array, n: int, generator: np.random.Generator) -> Array:
    """Group windows of bins by how large trajectories are and how fast they change."""
    rows = []
    for low, high in itertools.pairwise(model.offsets):
        width = min(_WINDOW, max(4, (high - low) // 4))
        columns = []
        for path in paths:
            part = path[low:high] - path.mean(axis=0)
            step = np.diff(part, axis=0, prepend=part[:1])
            for values in (part, step):
                power = gaussian_filter1d((values**2).mean(axis=1), width / 2)
                columns.append(0.5 * np.log(power + 1e-6))
        rows.append(np.stack(columns, axis=1))
    features = np.concatenate(rows)
    spread = features.std(axis=0)
    features = (features - features.mean(axis=0)) / np.where(spread > 1e-9, spread, 1.0)
    if n < 2 or np.unique(features, axis=0).shape[0] <= n:
        return np.zeros(model.n_times, dtype=np.int64)
    labels = kmeans2(features, n, minit="++", rng=generator, missing="warn")[1]
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def start_point(
    model: Model, init_clusters: int | str, search: bool, generator: np.random.Generator
) -> Point:
    """Return where a chain starts.

    Parameters
    ----------
    model : Model
        Counts and settings.
    init_clusters : int or "auto"
        Clusters of the smoothed log counts.
    search : bool
        Whether clusters are merged and split by their evidence.
    generator : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Point
        A point.
    """
    features = smooth_features(model)
    r0 = _FIRST_DISPERSION if model.dispersion is None else model.dispersion
    dispersion = np.full(model.n_units, r0)
    states = np.zeros(model.n_times, dtype=np.int64)
    labels = _first_labels(features, init_clusters, search)
    finder = Search(model, states, dispersion, features, _FIRST_MARGIN)
    if search:
        labels = finder.cluster(finder.regroup(labels))
    paths = np.stack(
        [finder.fit(np.flatnonzero(labels == k)).path for k in range(labels.max() + 1)]
    )
    states = _first_states(model, paths, min(_FIRST_STATES, model.n_states), generator)
    finder = Search(model, states, dispersion, features)
    share = np.full(model.n_states, 1.0 / model.n_states)
    return _point(model, finder, labels, states, share, dispersion, generator)


def _first_labels(features: Array, init_clusters: int | str, search: bool) -> Array:
    n_units = len(features)
    if init_clusters != "auto":
        return _ward(features, int(init_clusters))
    most = min(_MOST_CLUSTERS, max(1, n_units // 3))
    if search or most < 2:
        return _ward(features, most)
    cuts = [_ward(features, n) for n in range(2, most + 1)]
    cuts = [cut for cut in cuts if 1 < np.unique(cut).size < n_units]
    if not cuts:
        return np.zeros(n_units, dtype=np.int64)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(length > 0, length, 1.0)
    return cuts[int(np.argmax([silhouette_score(unit, cut) for cut in cuts]))]


def _point(
    model: Model, finder: Search, labels: Array, states: Array, share: Array, dispersion: Array,
    generator: np.random.Generator,
) -> Point:  # fmt: skip
    n_clusters = int(labels.max()) + 1
    fits = [finder.fit(np.flatnonzero(labels == k)) for k in range(n_clusters)]
    loadings = np.empty((model.n_units, model.prior.n_dims))
    for k, fit in enumerate(fits):
        loadings[labels == k] = fit.loadings
    number = np.stack([fit.number for fit in fits])
    A, b, Q = draw_laws(model.prior, number, np.stack([fit.sums for fit in fits]), generator)
    counts = transition_counts(states, model.is_first, model.n_states)
    stay = counts + model.alpha * share + model.kappa * np.eye(model.n_states)
    return Point(
        labels=labels, loadings=loadings, paths=np.stack([fit.path for fit in fits]), A=A, b=b,
        Q=Q, states=states, share=share, transition=stay / stay.sum(axis=1, keepdims=True),
        dispersion=dispersion,
    )  # fmt: skip


def improve(model: Model, point: Point, generator: np.random.Generator) -> Point:
    """Look for a better number of states, then of clusters, by approximate evidence.

    Parameters
    ----------
    model : Model
        Counts and settings.
    point : Point
        Where the chain is; not changed.
    generator : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Point
        The point itself where nothing better was found, else another one.
    """
    features = smooth_features(model)
    share = np.full(model.n_states, 1.0 / model.n_states)

    def evidence(states: Array) -> tuple[float, Search]:
        finder = Search(model, states, point.dispersion, features)
        counts = transition_counts(states, model.is_first, model.n_states)
        prior = transition_log_marginal(counts, share, model.alpha, model.kappa)
        margin = _MARGIN * np.unique(states).size
        return finder.score(point.labels) + prior - margin, finder

    states = point.states
    best, finder = evidence(states)
    while True:
        used = np.unique(states)
        trials = [np.where(states == b, a, states) for a, b in itertools.combinations(used, 2)]
        found = [evidence(trial) for trial in trials]
        if not found or max(value for value, _ in found) <= best:
            break
        place = int(np.argmax([value for value, _ in found]))
        (best, finder), states = found[place], trials[place]
    afresh = finder.regroup(_first_labels(features, "auto", True))
    labels = max((finder.cluster(trial) for trial in (point.labels, afresh)), key=finder.score)
    same = np.array_equal(labels, point.labels) and np.array_equal(states, point.states)
    if same:
        return point
    return _point(model, finder, labels, states, point.share, point.dispersion, generator)
