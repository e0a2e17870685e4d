"""A neuron that detects stored sparse patterns by its dendritic segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_choice, check_integer, check_memory, check_number
from activome._random import RandomState, make_generator
from activome.errors import ActivityError, ParameterError
from activome.networks._binary_rows import check_same_units, read_binary_rows
from activome.networks.dendrites import (
    false_negative_probability,
    optimal_threshold,
    union_false_match_probability,
)

__all__ = ["ActiveDendriteNeuron", "DendriticSegment"]

Array = np.ndarray[Any, Any]
_ENTRIES = 1 << 22


@dataclass(frozen=True, eq=False)
class DendriticSegment:
    """Synapses on some cells, and how many of them must be active at once.

    Attributes
    ----------
    cells : ndarray of int64, shape (n_synapses,)
        Distinct cells.
    theta : int
        Active synapses that make a match, from 1 to n_synapses.

    Raises
    ------
    ParameterError
        If cells repeat or are negative, or the threshold is outside its range.

    Examples
    --------
    >>> segment = DendriticSegment([1, 4, 9], 2)
    >>> segment.overlap([0, 1, 9]), segment.match([0, 1, 9]), segment.match([1, 2])
    (2, True, False)
    """

    cells: Any
    theta: int

    def __post_init__(self) -> None:
        """Check the cells and the threshold."""
        cells = np.asarray(self.cells)
        is_set = cells.ndim == 1 and cells.size and cells.dtype.kind in "iu"
        if not is_set or cells.min() < 0 or np.unique(cells).size != cells.size:
            raise ParameterError(
                "DendriticSegment: cells must be distinct indices from 0 on, one synapse each; got "
                f"{self.cells!r}."
            )
        check_integer(self.theta, name="theta", owner="DendriticSegment", low=1, high=cells.size)
        object.__setattr__(self, "cells", cells.astype(np.int64))

    def __eq__(self, other: object) -> bool:
        """Return whether cells, in their order, and threshold are the same."""
        if not isinstance(other, DendriticSegment):
            return NotImplemented
        return self.theta == other.theta and np.array_equal(self.cells, other.cells)

    def __hash__(self) -> int:
        """Return a hash that equal segments share."""
        return hash((self.theta, self.cells.tobytes()))

    def overlap(self, active: ArrayLike) -> int:
        """Return how many synapses are on active cells.

        Parameters
        ----------
        active : array-like of int, shape (n_active,)
            Active cells.

        Returns
        -------
        int
            Their number.

        Raises
        ------
        ActivityError
            If the cells are no indices, such as a row of zeros and ones.
        """
        found = np.asarray(active)
        if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
            raise ActivityError(
                "DendriticSegment: active must be indices of cells; got "
                f"{found.dtype} of shape {found.shape}. Of a mask take numpy.flatnonzero."
            )
        return int(np.isin(self.cells, found).sum())

    def match(self, active: ArrayLike) -> bool:
        """Return whether the segment matches.

        Parameters
        ----------
        active : array-like of int, shape (n_active,)
            Active cells.

        Returns
        -------
        bool
            Whether at least ``theta`` synapses are active.

        Raises
        ------
        ActivityError
            As ``overlap``.
        """
        return self.overlap(active) >= self.theta


class ActiveDendriteNeuron(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Store sparse binary patterns on dendritic segments, and detect them again in noise.

    A segment holds synapses on a few random active cells of each of its patterns and matches where
    at least a threshold of them are active; the neuron detects where any segment matches. The
    closed forms of [1]_ say how often it is wrong (``expected_errors``).

    Parameters
    ----------
    n_synapses : int, default=20
        Synapses per stored pattern.
    threshold : int or "optimal", default="optimal"
        Active synapses that make a match; "optimal" has the fewest errors
        (``optimal_threshold``).
    patterns_per_segment : int, default=1
        Patterns that share a segment, in their order.
    noise : float in [0, 1], default=0.3
        Share of active cells that are wrong, for the optimal threshold and the expected errors.
    random_state : int, numpy.random.Generator or None, default=None
        Seed of the choice of cells.

    Attributes
    ----------
    segments_ : list of ndarray of int64, each (n_synapses_of_segment,)
        Cells of each segment, ascending.
    threshold_ : int
        The threshold.
    n_features_in_ : int
        Cells.
    n_active_ : int
        Active cells of a stored pattern, the median.
    unit_names_ : ndarray of shape (n_cells,) or None
        Names of the cells, where the patterns had them.

    Raises
    ------
    ParameterError
        If a parameter is outside its range.
    ActivityError
        If patterns are not binary, one has fewer active cells than ``n_synapses``, or cells are
        others than in ``fit``.

    Notes
    -----
    Overlaps are one product of sparse matrices: its cost is the number of synapses that active
    cells meet.

    References
    ----------
    .. [1] S. Ahmad and J. Hawkins, "How do neurons operate on sparse distributed representations?
       A mathematical theory of sparsity, neurons and active dendrites", 2016.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> stored = np.zeros((5, 1000), dtype=bool)
    >>> for row in stored:
    ...     row[rng.choice(1000, 40, replace=False)] = True
    >>> neuron = ActiveDendriteNeuron(random_state=0).fit(stored)
    >>> neuron.threshold_, neuron.predict(stored).tolist()
    (8, [True, True, True, True, True])
    >>> neuron.predict(np.roll(stored, 7, axis=1)).any()
    np.False_
    """

    def __init__(
        self,
        n_synapses: int = 20,
        threshold: int | str = "optimal",
        *,
        patterns_per_segment: int = 1,
        noise: float = 0.3,
        random_state: RandomState = None,
    ) -> None:
        self.n_synapses = n_synapses
        self.threshold = threshold
        self.patterns_per_segment = patterns_per_segment
        self.noise = noise
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Store patterns.

        Parameters
        ----------
        X : xarray.DataArray, array-like or sparse array, shape (n_patterns, n_cells)
            Zeros and ones; an Activity has dims (trial, unit) or (time, unit).
        y : None
            Not used.

        Returns
        -------
        Self
            The fitted neuron.

        Raises
        ------
        ActivityError
            If patterns are not binary, or one has fewer active cells than ``n_synapses``.
        """
        owner = "ActiveDendriteNeuron.fit"
        patterns, names = read_binary_rows(X, owner)
        self._check_parameters()
        counts = np.diff(patterns.indptr)
        if patterns.shape[0] == 0 or counts.min() < self.n_synapses:
            place = int(np.argmin(counts)) if counts.size else 0
            found = f"row {place} has {counts.min()}" if counts.size else "there is no row"
            raise ActivityError(
                f"{owner}: every pattern must have at least n_synapses = {self.n_synapses} active "
                f"cells; {found}. Take fewer synapses, or drop it."
            )
        self.n_features_in_, self.unit_names_ = int(patterns.shape[1]), names
        self.n_active_ = int(np.median(counts))
        generator = make_generator(self.random_state)
        chosen = [
            generator.choice(patterns.indices[start:stop], self.n_synapses, replace=False)
            for start, stop in zip(patterns.indptr[:-1], patterns.indptr[1:], strict=True)
        ]
        step = int(self.patterns_per_segment)
        self.segments_ = [
            np.unique(np.concatenate(chosen[k : k + step])).astype(np.int64)
            for k in range(0, len(chosen), step)
        ]
        self.threshold_ = self._choose_threshold()
        return self

    def decision_function(self, X: Any) -> Array:
        """Return how far the best segment is above the threshold.

        Parameters
        ----------
        X : xarray.DataArray, array-like or sparse array, shape (n_samples, n_cells)
            Zeros and ones.

        Returns
        -------
        ndarray of int32, shape (n_samples,)
            Largest overlap of a segment minus the threshold; 0 is a match.

        Raises
        ------
        ActivityError
            If the samples are not binary, or have another number of cells than in ``fit``.
        """
        samples = self._read_samples(X, "decision_function")
        best = np.zeros(samples.shape[0], dtype=np.int32)
        if samples.nnz:
            synapses = _matrix(self.segments_, self.n_features_in_).T.tocsr()
            met = int(np.diff(synapses.indptr)[samples.indices].sum())
            step = max(1, _ENTRIES * samples.shape[0] // max(met, 1))
            for start in range(0, samples.shape[0], step):
                overlap = samples[start : start + step] @ synapses
                best[start : start + step] = overlap.max(axis=1).toarray().ravel()
        margin: Array = best - np.int32(self.threshold_)
        return margin

    def transform(self, X: Any) -> Array:
        """Return the overlap with every segment.

        Parameters
        ----------
        X : xarray.DataArray, array-like or sparse array, shape (n_samples, n_cells)
            Zeros and ones.

        Returns
        -------
        ndarray of int32, shape (n_samples, n_segments)
            Synapses on active cells.

        Raises
        ------
        ActivityError
            If the samples are not binary, or have another number of cells than in ``fit``.
        ResourceError
            If the result would take more than 2 GiB.
        """
        samples = self._read_samples(X, "transform")
        check_memory(
            4.0 * samples.shape[0] * len(self.segments_),
            owner="ActiveDendriteNeuron.transform",
            what=f"the overlaps of {samples.shape[0]} samples",
            cure="Give fewer samples at a time, or take decision_function.",
        )
        overlaps: Array = (samples @ _matrix(self.segments_, self.n_features_in_).T).toarray()
        return overlaps

    def _read_samples(self, X: Any, method: str) -> Any:
        check_is_fitted(self)
        owner = f"ActiveDendriteNeuron.{method}"
        samples, names = read_binary_rows(X, owner)
        if samples.shape[1] != self.n_features_in_:
            raise ActivityError(
                f"{owner}: samples must have the {self.n_features_in_} cells of fit; got "
                f"{samples.shape[1]}."
            )
        check_same_units(self.unit_names_, names, owner)
        return samples

    @property
    def _n_features_out(self) -> int:
        return len(self.segments_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def predict(self, X: Any) -> Array:
        """Return where the neuron detects a stored pattern.

        Parameters
        ----------
        X : xarray.DataArray, array-like or sparse array, shape (n_samples, n_cells)
            Zeros and ones.

        Returns
        -------
        ndarray of bool, shape (n_samples,)
            Whether any segment matches.
        """
        detected: Array = self.decision_function(X) >= 0
        return detected

    def expected_errors(self) -> dict[str, float]:
        """Return what the theory says of the fitted neuron.

        Returns
        -------
        dict of str to float
            ``false_match_segment``, ``false_match`` of the neuron (an upper bound, the sum over
            segments) and ``false_negative`` (one too where patterns share a segment).
        """
        check_is_fitted(self)
        sizes = (self.n_features_in_, self.n_active_, self.n_synapses, self.threshold_)
        wrong = union_false_match_probability(*sizes, self.patterns_per_segment)
        return {
            "false_match_segment": wrong,
            "false_match": min(1.0, len(self.segments_) * wrong),
            "false_negative": false_negative_probability(*sizes, self.noise, model="drop"),
        }

    def _check_parameters(self) -> None:
        owner = "ActiveDendriteNeuron"
        check_integer(self.n_synapses, name="n_synapses", owner=owner, low=1)
        check_integer(self.patterns_per_segment, name="patterns_per_segment", owner=owner, low=1)
        check_number(
            self.noise, name="noise", owner=owner, low=0.0, high=1.0, include_low=True,
            include_high=True,
        )  # fmt: skip
        if isinstance(self.threshold, str):
            check_choice(self.threshold, ("optimal",), name="threshold", owner=owner)
        else:
            check_integer(
                self.threshold, name="threshold", owner=owner, low=1, high=self.n_synapses
            )

    def _choose_threshold(self) -> int:
        if not isinstance(self.threshold, str):
            return int(self.threshold)
        return optimal_threshold(
            self.n_features_in_,
            self.n_active_,
            self.n_synapses,
            noise=self.noise,
            n_patterns=self.patterns_per_segment,
        ).theta


def _matrix(segments: Sequence[Array], n_cells: int) -> Any:
    pointers = np.concatenate([[0], np.cumsum([segment.size for segment in segments])])
    cells = np.concatenate(segments)
    ones = np.ones(cells.size, dtype=np.int32)
    return sparse.csr_array((ones, cells, pointers), shape=(len(segments), n_cells))
