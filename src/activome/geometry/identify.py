"""Identifying regions and layers from their RDMs, over other subjects: what a statistic keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_choice, check_integer
from activome._random import RandomState, make_generator
from activome.errors import ActivityError, ParameterError
from activome.geometry._identification_input import (
    check_design,
    condensed_rows,
    grid_steps,
    row_labels,
)
from activome.geometry._nearest_average import identify, nested_choice, resampled_pairs
from activome.geometry.rdm_comparison import rank_rdms
from activome.geometry.rdm_forms import n_conditions_of
from activome.geometry.topology import FAMILY, GeoTopological

__all__ = ["RegionIdentification"]

Array: TypeAlias = np.ndarray[Any, Any]

_METRICS = ("euclidean", "correlation", "cosine")


class RegionIdentification(BaseEstimator):
    """Tell from which region an RDM comes, by the nearest mean RDM of the other subjects.

    One subject (person, animal, network seed) is left out in turn; the RDMs of the others, mapped
    by the statistic, are averaged per region, and each left-out RDM goes to the nearest average. A
    statistic of RDMs is good when it identifies regions well: it keeps what differs between
    regions and drops what differs between subjects.

    Parameters
    ----------
    statistic : transformer, callable, str or None, default=None
        Map from condensed RDMs (n_rdms, n_pairs) to vectors, applied to each RDM by itself: a
        `GeoTopological` or `Geodesic`, a function, "raw" for the dissimilarities as they are, or
        the name of a member of the geo-topological family. None is ``GeoTopological()``.
    metric : {"euclidean", "correlation", "cosine"}, default="euclidean"
        Distance to the averages.
    bootstrap : int, default=0
        Number of resamples of subjects and stimuli, for the spread of the accuracy.
    random_state : int, Generator or None, default=None
        Seed of the bootstrap.

    Attributes
    ----------
    accuracy_ : float
        Share of left-out RDMs that go to their region; chance is 1 / n_regions.
    predicted_ : ndarray, shape (n_rdms,)
        Region that each RDM goes to when its subject is left out.
    confusion_ : xarray.DataArray of int64, dims (true, predicted)
        Counts.
    bootstrap_ : ndarray of float64, shape (bootstrap,)
        Accuracy in each resample.
    regions_ : ndarray, shape (n_regions,)
        Names, sorted.
    subjects_ : ndarray, shape (n_subjects,)
        Names, sorted.
    centroids_ : ndarray of float64, shape (n_regions, n_features)
        Mean vector of each region over all subjects, which ``predict`` uses.
    n_features_in_ : int
        Number of pairs.

    Raises
    ------
    ActivityError
        If there are fewer than two subjects or regions, a subject has no RDM of a region, labels
        do not fit, or the RDMs are not accepted by the statistic.
    ParameterError
        If the metric or the statistic is unknown, or ``bootstrap`` is negative.

    Notes
    -----
    Distances come from one product of the vectors with themselves. In a resample all copies of a
    subject are left out together, so that none is found by its twin, and pairs of a stimulus with
    its copy are dropped; the statistic is computed on the distinct stimuli, and each pair then
    counts as often as it was drawn. Resamples with fewer than two distinct subjects or four
    distinct stimuli are drawn again. Raw dissimilarities are dominated by the scale that regions
    differ in: take ranked ones, "rdm", as the fair baseline.

    References
    ----------
    .. [1] B. Lin and N. Kriegeskorte, "The topology and geometry of neural representations", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.random((3, 45))
    >>> rdms = np.concatenate([truth + 0.3 * rng.random((3, 45)) for _ in range(5)])
    >>> region, subject = ["V1", "V2", "IT"] * 5, np.repeat(np.arange(5), 3)
    >>> found = RegionIdentification("topology").fit(rdms, region, subject)
    >>> found.accuracy_, found.confusion_.sel(true="IT").values.tolist()
    (1.0, [5, 0, 0])
    """

    def __init__(
        self,
        statistic: Any = None,
        metric: str = "euclidean",
        *,
        bootstrap: int = 0,
        random_state: RandomState = None,
    ) -> None:
        self.statistic = statistic
        self.metric = metric
        self.bootstrap = bootstrap
        self.random_state = random_state

    def fit(self, rdms: Any, region: ArrayLike | str, subject: ArrayLike | str) -> Self:
        """Identify every RDM with its subject left out.

        Parameters
        ----------
        rdms : array-like of float, shape (n_rdms, n_pairs), or xarray.DataArray
            Condensed dissimilarities over the same conditions; a labelled array has the dim "pair"
            and one more.
        region, subject : array-like, shape (n_rdms,), or str
            Labels of each RDM, or the names of coordinates of a labelled array. Each subject needs
            each region, once or more often.

        Returns
        -------
        Self
            The fitted estimator.

        Raises
        ------
        ActivityError
            If labels and RDMs do not fit, or a subject has no RDM of a region.
        ParameterError
            If a parameter is unknown or out of range.
        """
        check_choice(self.metric, _METRICS, name="metric", owner="RegionIdentification")
        n_resamples = check_integer(
            self.bootstrap, name="bootstrap", owner="RegionIdentification", low=0
        )
        values = condensed_rows(rdms, "fit")
        regions, subjects = (
            row_labels(rdms, labels, len(values), name)
            for labels, name in ((region, "region"), (subject, "subject"))
        )
        self.regions_, region_codes = np.unique(regions, return_inverse=True)
        self.subjects_, subject_codes = np.unique(subjects, return_inverse=True)
        check_design(region_codes, subject_codes, self.regions_, self.subjects_)
        statistic = self._function()
        vectors = np.asarray(statistic(values), dtype=np.float64)
        self.n_features_in_ = values.shape[1]
        self._rdms, self._codes = values, (region_codes, subject_codes)
        found = identify(vectors, region_codes, subject_codes, self.metric)
        self.predicted_ = self.regions_[found]
        self.accuracy_ = float(np.mean(found == region_codes))
        self.confusion_ = self._confusion(region_codes, found)
        members = np.eye(self.regions_.size)[region_codes]
        self.centroids_ = (members.T @ vectors) / members.sum(axis=0)[:, None]
        self.bootstrap_ = self._resample(statistic, n_resamples)
        return self

    def predict(self, rdms: Any) -> Array:
        """Name the region of RDMs of new subjects.

        Parameters
        ----------
        rdms : array-like of float, shape (n_rdms, n_pairs), or xarray.DataArray
            Condensed dissimilarities over the conditions of ``fit``.

        Returns
        -------
        ndarray, shape (n_rdms,)
            Region whose mean over all subjects of ``fit`` is nearest.

        Raises
        ------
        ActivityError
            If the number of pairs is another than in ``fit``.
        ParameterError
            If the statistic was set to something unknown after ``fit``.
        """
        check_is_fitted(self)
        values = condensed_rows(rdms, "predict")
        if values.shape[1] != self.n_features_in_:
            raise ActivityError(
                f"RegionIdentification.predict: RDMs must have the {self.n_features_in_} pairs of "
                f"fit; got {values.shape[1]}."
            )
        vectors = np.asarray(self._function()(values), dtype=np.float64)
        n_new, n_regions = len(vectors), self.regions_.size
        # The averages stand in as one other subject, whose regions are the known ones.
        joined = np.concatenate([self.centroids_, vectors])
        codes = np.concatenate([np.arange(n_regions), np.zeros(n_new, dtype=np.int64)])
        subjects = np.concatenate([np.zeros(n_regions), np.ones(n_new)]).astype(np.int64)
        found = identify(joined, codes, subjects, self.metric, held_out=1)
        named: Array = self.regions_[found[n_regions:]]
        return named

    def grid(self, resolution: float = 0.05) -> xr.DataArray:
        """Measure the accuracy of the geo-topological map over all cuts.

        A description of the family, not a way to choose: the accuracy of the best cell is
        inflated by the choice. For an accuracy with chosen cuts take `nested_accuracy`.

        Parameters
        ----------
        resolution : float in (0, 0.5], default=0.05
            Step between cuts.

        Returns
        -------
        xarray.DataArray of float64, dims (low, high)
            Accuracy with subjects left out, for the family that ``statistic`` belongs to (its
            other options are kept). NaN where ``low`` is above ``high``, where the cuts keep next
            to nothing (their mean is below 0.05 or above 0.95), and where the statistic cannot be
            computed.

        Raises
        ------
        ParameterError
            If ``resolution`` is out of range, or the statistic has no cuts.
        """
        check_is_fitted(self)
        steps = grid_steps(resolution)
        region_codes, subject_codes = self._codes
        table = np.full((steps.size, steps.size), np.nan)
        for i, j, vectors in self._settings(steps):
            found = identify(vectors, region_codes, subject_codes, self.metric)
            table[i, j] = np.mean(found == region_codes)
        return xr.DataArray(table, dims=("low", "high"), coords={"low": steps, "high": steps})

    def nested_accuracy(self, resolution: float = 0.05) -> xr.Dataset:
        """Measure the accuracy with cuts that are chosen without the tested subject.

        For each subject the cuts are those that identify the other subjects best among
        themselves; of equally good ones the first is taken, in order of ``low``, then ``high``.

        Parameters
        ----------
        resolution : float in (0, 0.5], default=0.05
            Step between cuts.

        Returns
        -------
        xarray.Dataset, dim subject
            Variables "accuracy" of each left-out subject, and the chosen "low" and "high". The
            attribute "accuracy" is the share of all RDMs that are identified.

        Raises
        ------
        ActivityError
            If there are fewer than three subjects: two must remain to choose by.
        ParameterError
            If ``resolution`` is out of range, or the statistic has no cuts.
        """
        check_is_fitted(self)
        if self.subjects_.size < 3:
            raise ActivityError(
                "RegionIdentification.nested_accuracy: needs at least three subjects; got "
                f"{self.subjects_.size}. Two must remain to choose the cuts by."
            )
        steps = grid_steps(resolution)
        n_subjects = self.subjects_.size
        chosen = np.zeros((n_subjects, 2))
        best, accuracy = np.full(n_subjects, -1.0), np.zeros(n_subjects)
        for i, j, vectors in self._settings(steps):
            inner, outer = nested_choice(vectors, *self._codes, self.metric)
            is_better = inner > best
            best[is_better] = inner[is_better]
            accuracy[is_better] = outer[is_better]
            chosen[is_better] = steps[i], steps[j]
        counts = np.bincount(self._codes[1])
        return xr.Dataset(
            {
                "accuracy": ("subject", accuracy),
                "low": ("subject", chosen[:, 0]),
                "high": ("subject", chosen[:, 1]),
            },
            coords={"subject": self.subjects_},
            attrs={"accuracy": float(accuracy @ counts / counts.sum())},
        )

    def _settings(self, steps: Array) -> Iterator[tuple[int, int, Array]]:
        """Yield the mapped RDMs for every pair of cuts that keeps something."""
        statistic = GeoTopological() if self.statistic is None else self.statistic
        if isinstance(statistic, str) and statistic in FAMILY:
            statistic = GeoTopological(*FAMILY[statistic])
        if not {"low", "high", "rank"} <= set(getattr(statistic, "get_params", dict)()):
            raise ParameterError(
                "RegionIdentification: a grid needs a statistic with cuts, such as "
                f"GeoTopological() or Geodesic(); got {self.statistic!r}."
            )
        # Ranked once for all settings: the cuts do not change the ranks.
        values = rank_rdms(self._rdms) if statistic.rank else self._rdms
        for i, low in enumerate(steps):
            for j, high in enumerate(steps):
                if low > high or not 0.1 <= low + high <= 1.9:
                    continue
                mapped = clone(statistic).set_params(low=low, high=high, rank=False)
                try:
                    vectors = mapped.fit_transform(values)
                except (ActivityError, ParameterError):
                    continue
                yield i, j, vectors

    def _function(self) -> Callable[[Array], Any]:
        statistic = self.statistic
        if isinstance(statistic, str):
            check_choice(
                statistic, ("raw", *FAMILY), name="statistic", owner="RegionIdentification"
            )
            statistic = np.asarray if statistic == "raw" else GeoTopological(*FAMILY[statistic])
        if statistic is None:
            statistic = GeoTopological()
        if hasattr(statistic, "fit_transform"):
            return lambda values: clone(statistic).fit_transform(values)
        if not callable(statistic):
            raise ParameterError(
                "RegionIdentification: statistic must be a transformer, a function or a name; got "
                f"{statistic!r}."
            )
        function: Callable[[Array], Any] = statistic
        return function

    def _confusion(self, true: Array, found: Array) -> xr.DataArray:
        n_regions = self.regions_.size
        counts = np.bincount(true * n_regions + found, minlength=n_regions**2)
        return xr.DataArray(
            counts.reshape(n_regions, n_regions),
            dims=("true", "predicted"),
            coords={"true": self.regions_, "predicted": self.regions_},
        )

    def _resample(self, statistic: Callable[[Array], Any], n_resamples: int) -> Array:
        accuracies = np.empty(n_resamples)
        if not n_resamples:
            return accuracies
        generator = make_generator(self.random_state)
        n_conditions = n_conditions_of(self._rdms.shape[1], owner="RegionIdentification.fit")
        if n_conditions < 4:
            raise ActivityError(
                "RegionIdentification.fit: a bootstrap over stimuli needs at least 4 of them; got "
                f"{n_conditions}. Give bootstrap=0."
            )
        region_codes, subject_codes = self._codes
        members = [np.flatnonzero(subject_codes == code) for code in range(self.subjects_.size)]
        for k in range(n_resamples):
            subjects = _draw(generator, self.subjects_.size, 2)
            columns, copies = resampled_pairs(_draw(generator, n_conditions, 4), n_conditions)
            rows = np.concatenate([members[code] for code in subjects])
            distinct, places = np.unique(rows, return_inverse=True)
            vectors = np.asarray(statistic(self._rdms[np.ix_(distinct, columns)]))
            vectors = vectors[places][:, copies]
            found = identify(vectors, region_codes[rows], subject_codes[rows], self.metric)
            accuracies[k] = np.mean(found == region_codes[rows])
        return accuracies


def _draw(generator: np.random.Generator, n: int, least: int) -> Array:
    while True:
        drawn = generator.integers(n, size=n)
        if np.unique(drawn).size >= least:
            return drawn
