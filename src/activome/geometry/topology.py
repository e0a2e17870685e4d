"""Geo-topological maps of RDMs: from geometry to topology by a lower and an upper cut."""

from __future__ import annotations

from typing import Any, Self, TypeAlias

import numpy as np
import xarray as xr
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_choice, check_finite
from activome.errors import ActivityError, ParameterError
from activome.geometry._cuts import FAMILY, Cuts, checked_cuts, family, kind_of
from activome.geometry._rdm_kernels import clip_between, order_statistics, shortest_paths
from activome.geometry.rdm_comparison import rank_rdms
from activome.geometry.rdm_forms import n_conditions_of, to_square

__all__ = ["FAMILY", "Cuts", "GeoTopological", "Geodesic", "family", "kind_of"]

Array: TypeAlias = np.ndarray[Any, Any]


class _RDMTransformer(TransformerMixin, BaseEstimator):
    """Base of maps from condensed RDMs to condensed RDMs; labelled ones keep their labels."""

    negative: str

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the RDMs and count their pairs; nothing is learned from them.

        Parameters
        ----------
        X : array-like of float, shape (n_rdms, n_pairs), or xarray.DataArray with dim "pair"
            Condensed dissimilarities.
        y : None
            Ignored.

        Returns
        -------
        Self
            The fitted transformer.
        """
        self._check_parameters()
        self.n_features_in_ = self._read(X, "fit").shape[1]
        return self

    def transform(self, X: Any) -> Any:
        """Map each RDM.

        Parameters
        ----------
        X : array-like of float, shape (n_rdms, n_pairs), or xarray.DataArray with dim "pair"
            Condensed dissimilarities.

        Returns
        -------
        ndarray of float64, shape (n_rdms, n_pairs), or xarray.DataArray
            Mapped dissimilarities in [0, 1], in the form of ``X``; ``X`` stays as it is.

        Raises
        ------
        ActivityError
            If the number of pairs is another than in ``fit``, or an RDM is not accepted.
        """
        check_is_fitted(self)
        self._check_parameters()
        values = self._read(X, "transform")
        if values.shape[1] != self.n_features_in_:
            raise ActivityError(
                f"{type(self).__name__}.transform: RDMs must have the {self.n_features_in_} pairs "
                f"of fit; got {values.shape[1]}."
            )
        mapped = self._transform(values)
        if not _is_labelled(X):
            return mapped
        frame = X.transpose(..., "pair")
        return frame.copy(data=mapped.reshape(frame.shape)).transpose(*X.dims)

    def _transform(self, values: Array) -> Array:
        raise TypeError(f"{type(self).__name__} has no _transform.")

    def _check_parameters(self) -> None:
        check_choice(self.negative, ("refuse", "allow"), name="negative", owner=type(self).__name__)

    def _read(self, X: Any, method: str) -> Array:
        owner = f"{type(self).__name__}.{method}"
        values = np.asarray(_rows(X))
        if values.ndim != 2 or values.shape[1] < 3 or values.dtype.kind not in "biuf":
            raise ActivityError(
                f"{owner}: RDMs must be real numbers of shape (n_rdms, n_pairs), at least 3 pairs; "
                f"got {values.dtype} of shape {values.shape}. Turn square ones into this form with "
                "to_condensed."
            )
        check_finite(values, owner=owner, axes=("RDM", "pair"), what="RDMs")
        if self.negative == "refuse" and values.min(initial=0) < 0:
            row, pair = np.unravel_index(int(np.argmin(values)), values.shape)
            raise ActivityError(
                f"{owner}: dissimilarities must not be negative; {values.min():.3g} stands at RDM "
                f"{row}, pair {pair}. Cross-validated ones may be: for these give negative='allow'."
            )
        return values

    def _ends(self, row: Array, number: int) -> tuple[float, float]:
        """Return the smallest and the largest dissimilarity of one RDM."""
        low, high = float(row.min()), float(row.max())
        if low == high:
            raise ActivityError(
                f"{type(self).__name__}: an RDM must not be constant; RDM {number} is. It orders "
                "nothing: leave it out."
            )
        return low, high


def _is_labelled(rdms: Any) -> bool:
    return isinstance(rdms, xr.DataArray) and "pair" in rdms.dims


def _rows(rdms: Any) -> Any:
    if not _is_labelled(rdms):
        return rdms
    return rdms.transpose(..., "pair").values.reshape(-1, rdms.sizes["pair"])


class GeoTopological(_RDMTransformer):
    """Clip each RDM between two of its quantiles and scale it to [0, 1] (RGTM).

    Dissimilarities up to the lower cut (mostly noise) become 0, those from the upper cut on
    (mostly idiosyncratic) become 1. Narrow cuts in the middle keep only who is a neighbour of
    whom, wide ones keep the geometry: g(d) = clip((d - a) / (b - a), 0, 1). Each RDM is mapped by
    itself; nothing is pooled.

    Parameters
    ----------
    low : float in [0, 1], default=0.0
        Lower cut.
    high : float in [0, 1], default=0.3
        Upper cut, at least ``low``. With ``low == high`` the map is a step: 1 from the cut on.
    rank : bool, default=True
        Whether dissimilarities are ranked first, ties sharing their mean rank.
    relative : {"quantile", "value"}, default="quantile"
        Whether the cuts are quantiles of the RDM's dissimilarities, or values of the
        dissimilarities after these are scaled to [0, 1].
    negative : {"refuse", "allow"}, default="refuse"
        Whether negative dissimilarities, which only cross-validated ones can be, are accepted.

    Attributes
    ----------
    n_features_in_ : int
        Number of pairs.

    Raises
    ------
    ParameterError
        If a cut is outside [0, 1], ``low`` is above ``high``, both are 0 or both are 1 (the result
        would be constant), or an option is unknown.
    ActivityError
        If an RDM is constant, negative, not finite, or has fewer than 3 pairs.

    Notes
    -----
    Without ranks one pass over each RDM and a selection of the two quantiles; with ranks one sort.
    Where many ties make both quantiles equal the map is a step as well; if they are the smallest
    dissimilarity, the step is right above it, since everything would be 1 otherwise (our choice).

    References
    ----------
    .. [1] B. Lin and N. Kriegeskorte, "The topology and geometry of neural representations", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> GeoTopological(0.2, 0.8).fit_transform(np.array([[5.0, 1.0, 2.0, 3.0, 4.0, 9.0]]))
    array([[1.        , 0.        , 0.        , 0.33333333, 0.66666667,
            1.        ]])
    """

    def __init__(
        self,
        low: float = 0.0,
        high: float = 0.3,
        *,
        rank: bool = True,
        relative: str = "quantile",
        negative: str = "refuse",
    ) -> None:
        self.low = low
        self.high = high
        self.rank = rank
        self.relative = relative
        self.negative = negative

    def _check_parameters(self) -> None:
        super()._check_parameters()
        low, high = checked_cuts(self.low, self.high, "GeoTopological")
        check_choice(self.relative, ("quantile", "value"), name="relative", owner="GeoTopological")
        if low + high in (0.0, 2.0):
            raise ParameterError(
                "GeoTopological: low and high must not both be 0 or both be 1; every "
                "dissimilarity would become the same."
            )

    def _transform(self, values: Array) -> Array:
        mapped = np.empty(values.shape)
        for number in range(len(values)):
            out: Array = mapped[number]
            ready: Array = np.ascontiguousarray(values[number], dtype=np.float64)
            self._ends(ready, number)
            ready = rank_rdms(ready) if self.rank else ready
            ends = self._ends(ready, number)
            low, high = self._cuts(ready, *ends)
            if low < high:
                clip_between(ready, low, high, out)
            else:
                out[:] = ready > low if low == ends[0] else ready >= low
        return mapped

    def _cuts(self, row: Array, smallest: float, largest: float) -> tuple[float, float]:
        if (self.low, self.high) == (0.0, 1.0):
            return smallest, largest
        if self.relative == "value":
            spread = largest - smallest
            return smallest + self.low * spread, smallest + self.high * spread
        positions = np.array([self.low, self.high]) * (row.size - 1)
        below = np.floor(positions).astype(np.int64)
        wanted = np.unique(np.concatenate([below, np.minimum(below + 1, row.size - 1)]))
        found = np.empty(wanted.size)
        order_statistics(row, smallest, largest, wanted, found)
        # The form of linear interpolation that gives the value itself where neighbours are equal.
        left = found[np.searchsorted(wanted, below)]
        right = found[np.searchsorted(wanted, np.minimum(below + 1, row.size - 1))]
        low, high = left + (right - left) * (positions - below)
        return float(low), float(high)


class Geodesic(_RDMTransformer):
    """Replace each dissimilarity by the shortest path over the neighbourhood graph (RGDM).

    Conditions are joined by edges of length g, their geo-topological dissimilarity; pairs with
    g = 1 are not joined. Paths along the graph then measure distance within the manifold that the
    representation lies on, rather than straight through it.

    Parameters
    ----------
    low : float in [0, 1), default=0.0
        Lower cut; below it edges have length 0.
    high : float in (0, 1], default=0.3
        Upper cut, above ``low``; above it there is no edge.
    rank : bool, default=True
        Whether dissimilarities are ranked before the cuts.
    rerank : bool, default=True
        Whether the paths are ranked again. Either way the result is scaled to [0, 1].
    negative : {"refuse", "allow"}, default="refuse"
        Whether negative dissimilarities, which only cross-validated ones can be, are accepted.

    Attributes
    ----------
    n_features_in_ : int
        Number of pairs, n (n - 1) / 2 for n conditions.

    Raises
    ------
    ParameterError
        If a cut is outside [0, 1] or ``low`` is not below ``high``: a step leaves edges of length
        0 only.
    ActivityError
        If an RDM is constant, negative, not finite, no condensed RDM, or if all of its paths have
        one length, as when edges of length 0 join everything.

    Notes
    -----
    O(n^3) per RDM, compiled. Pairs that no path joins get the longest path found. Edges of length
    0 are edges, exactly (a sparse matrix would take them for missing ones). Paths whose lengths
    differ by less than 1e-9 share their rank: sums of ranks are often equal but for rounding.

    References
    ----------
    .. [1] B. Lin and N. Kriegeskorte, "The topology and geometry of neural representations", 2024.

    Examples
    --------
    Four points on a line, at 0, 1, 2.5 and 4.5. The ends are joined only by way of the others, and
    the two closest points, at edge length 0, become one.

    >>> import numpy as np
    >>> line = np.array([[1.0, 2.5, 4.5, 1.5, 3.5, 2.0]])
    >>> Geodesic(0.0, 1.0, rank=False, rerank=False).fit_transform(line).round(2)
    array([[0.  , 0.33, 1.  , 0.33, 1.  , 0.67]])
    """

    def __init__(
        self,
        low: float = 0.0,
        high: float = 0.3,
        *,
        rank: bool = True,
        rerank: bool = True,
        negative: str = "refuse",
    ) -> None:
        self.low = low
        self.high = high
        self.rank = rank
        self.rerank = rerank
        self.negative = negative

    def _check_parameters(self) -> None:
        super()._check_parameters()
        low, high = checked_cuts(self.low, self.high, "Geodesic")
        if low == high:
            raise ParameterError(
                f"Geodesic: low must be below high; got {low:g} twice. A step leaves edges of "
                "length 0 only."
            )

    def _read(self, X: Any, method: str) -> Array:
        values = super()._read(X, method)
        n_conditions_of(values.shape[1], owner=f"Geodesic.{method}")
        return values

    def _transform(self, values: Array) -> Array:
        for number, row in enumerate(values):
            self._ends(row, number)
        edges = GeoTopological(self.low, self.high, rank=self.rank, negative=self.negative)
        paths = _paths(edges.fit_transform(values))
        flat = paths.min(axis=1) == paths.max(axis=1)
        if flat.any():
            raise ActivityError(
                f"Geodesic: the paths of RDM {int(np.argmax(flat))} all have one length, so that "
                f"they order nothing ({flat.sum()} of {flat.size} RDMs). Lower `low`: edges of "
                "length 0 join its conditions."
            )
        if self.rerank:
            # Sums of ranks are often equal; ranked as they are, rounding would order them.
            paths = np.round(paths, 9)
        scaled: Array = GeoTopological(0.0, 1.0, rank=self.rerank).fit_transform(paths)
        return scaled


def _paths(edges: Array) -> Array:
    """Return the shortest paths for condensed edge lengths; 1 is no edge."""
    n_conditions = n_conditions_of(edges.shape[1], owner="Geodesic")
    first, second = np.triu_indices(n_conditions, 1)
    paths = np.empty_like(edges)
    for row, out in zip(edges, paths, strict=True):
        graph = np.array(to_square(np.where(row < 1.0, row, np.inf)))
        shortest_paths(graph)
        out[:] = graph[first, second]
        is_joined = np.isfinite(out)
        out[~is_joined] = out[is_joined].max()
    return paths
