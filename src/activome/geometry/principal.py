"""Covariance and principal components, solved from sums: in memory, in blocks or on a cluster."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import linalg

from activome._checks import check_integer, check_memory, check_number
from activome.activity.estimators import SampleEstimator, SampleTransformer
from activome.errors import ActivityError, ParameterError

__all__ = ["Covariance", "Moments", "PrincipalComponents", "merge_moments", "moments"]

Array = np.ndarray[Any, Any]


class Moments(NamedTuple):
    """Count, mean and scatter of rows.

    Attributes
    ----------
    n_samples : int
        Number of rows.
    mean : ndarray of float64, shape (n_units,)
        Mean of each unit.
    scatter : ndarray of float64, shape (n_units, n_units)
        Sum of the outer products of the rows about their mean.
    """

    n_samples: int
    mean: Array
    scatter: Array


def moments(rows: Array) -> Moments:
    """Measure the moments of rows, about their own mean.

    Parameters
    ----------
    rows : ndarray of float, shape (n_samples, n_units)
        At least one row.

    Returns
    -------
    Moments
        In float64, whatever the rows are.
    """
    rows = np.asarray(rows, dtype=np.float64)
    mean = rows.mean(axis=0)
    centred = rows - mean
    # The rest that the rounded mean leaves is taken off as well: it matters when the mean is large.
    rest = centred.mean(axis=0)
    scatter = centred.T @ centred - rows.shape[0] * np.outer(rest, rest)
    return Moments(rows.shape[0], mean + rest, scatter)


def merge_moments(a: Moments, b: Moments) -> Moments:
    """Join the moments of two sets of rows without cancellation.

    Parameters
    ----------
    a, b : Moments
        Of sets with the same units.

    Returns
    -------
    Moments
        Those of all rows.

    References
    ----------
    .. [1] T. F. Chan, G. H. Golub and R. J. LeVeque, "Updating formulae and a pairwise algorithm
       for computing sample variances", 1979.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([[0.0], [2.0], [4.0]])
    >>> merge_moments(moments(rows[:1]), moments(rows[1:]))
    Moments(n_samples=3, mean=array([2.]), scatter=array([[8.]]))
    """
    n = a.n_samples + b.n_samples
    step = b.mean - a.mean
    weight = b.n_samples / n
    between = np.outer(step, step) * (a.n_samples * weight)
    return Moments(n, a.mean + step * weight, a.scatter + b.scatter + between)


def _check_scatter(n_units: int, owner: str) -> None:
    check_memory(
        3 * 8 * n_units**2,
        owner=owner,
        what=f"the covariance of {n_units} units, with two copies to work on,",
        cure="Select fewer units, or project them first.",
    )


class Covariance(SampleEstimator):
    """Measure the covariance of units over samples.

    The sums are taken about running means and merged pairwise, so that a large offset does not
    swamp the variance; the same sums serve data in memory, in blocks and on a cluster.

    Parameters
    ----------
    ddof : int >= 0, default=1
        Taken off the number of samples in the divisor: 1 for the unbiased estimate, 0 for the
        mean.

    Attributes
    ----------
    covariance_ : ndarray of float64, shape (n_units, n_units)
        Covariance, in squared units of the activity.
    mean_ : ndarray of float64, shape (n_units,)
        Mean of each unit.
    n_samples_ : int
        Number of samples.

    Raises
    ------
    ParameterError
        If ``ddof`` is no integer of at least 0.
    ActivityError
        If the activity is not finite, or has not more than ``ddof`` samples.
    ResourceError
        If the matrix would pass the memory limit.

    References
    ----------
    .. [1] T. F. Chan, G. H. Golub and R. J. LeVeque, "Updating formulae and a pairwise algorithm
       for computing sample variances", 1979.

    Examples
    --------
    >>> import numpy as np
    >>> Covariance().fit(np.array([[0.0, 1.0], [2.0, 5.0]])).covariance_.tolist()
    [[2.0, 4.0], [4.0, 8.0]]
    """

    def __init__(self, ddof: int = 1) -> None:
        self.ddof = ddof

    def summarise(self, block: Array) -> Moments:
        """Reduce rows to their moments.

        Parameters
        ----------
        block : ndarray, shape (n_samples, n_units)
            At least one row.

        Returns
        -------
        Moments
            Count, mean and scatter.
        """
        _check_scatter(block.shape[1], "Covariance.fit")
        return moments(block)

    def merge(self, a: Moments, b: Moments) -> Moments:
        """Join the moments of two sets of rows.

        Parameters
        ----------
        a, b : Moments
            What ``summarise`` gave.

        Returns
        -------
        Moments
            Those of all rows.
        """
        return merge_moments(a, b)

    def solve(self, stats: Moments) -> None:
        """Learn from the moments of all rows.

        Parameters
        ----------
        stats : Moments
            What ``merge`` gave.

        Raises
        ------
        ActivityError
            If there are not more than ``ddof`` samples.
        """
        ddof = check_integer(self.ddof, name="ddof", owner="Covariance", low=0)
        if stats.n_samples <= ddof:
            raise ActivityError(
                f"Covariance.fit: needs more than ddof = {ddof} samples; got "
                f"{stats.n_samples}. Give more samples, or ddof=0."
            )
        self.covariance_ = stats.scatter / (stats.n_samples - ddof)
        self.mean_ = stats.mean
        self.n_samples_ = stats.n_samples

    def _fit(self, values: Array) -> None:
        self.solve(self.summarise(values))


class PrincipalComponents(SampleTransformer):
    """Find the orthogonal directions of largest variance.

    Component ``i`` is the unit vector of largest variance orthogonal to those before it. Use it to
    reduce, decorrelate or inspect activity of any length: it is solved from the covariance, so
    that a store is read once and never held whole.

    Parameters
    ----------
    n_components : int, float in (0, 1) or None, default=None
        Number of components; or the share of the variance that they must pass; or all,
        min(n_samples, n_units).
    whiten : bool, default=False
        Scale every component to variance 1.

    Attributes
    ----------
    components_ : ndarray of float64, shape (n_components, n_units)
        Directions, by falling variance. The sign is that which makes the largest loading (the
        first, among equals) positive.
    explained_variance_ : ndarray of float64, shape (n_components,)
        Variance along each (divisor n_samples - 1), in squared units of the activity.
    explained_variance_ratio_ : ndarray of float64, shape (n_components,)
        Its share of the variance of all units.
    mean_ : ndarray of float64, shape (n_units,)
        Mean of each unit.
    n_components_ : int
        Number of components.
    n_samples_ : int
        Number of samples.

    Raises
    ------
    ParameterError
        If ``n_components`` is neither a share in (0, 1) nor an integer in
        [1, min(n_samples, n_units)], or ``whiten`` is no boolean.
    ActivityError
        If the activity is not finite, has fewer than two samples or does not vary; or if
        ``whiten`` asks for a component without variance.
    ResourceError
        If the covariance would pass the memory limit.

    Notes
    -----
    Cost is one read and n_samples n_units^2 multiplications; memory 3 n_units^2 doubles. Variances
    below 1e-16 of the largest are rounding. In memory, fewer samples than units are solved by a
    singular value decomposition of the centred rows instead.

    References
    ----------
    .. [1] H. Hotelling, "Analysis of a complex of statistical variables into principal
       components", 1933.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[-2.0, -2.0], [0.0, 0.0], [2.0, 2.0], [0.5, -0.5], [-0.5, 0.5]])
    >>> pca = PrincipalComponents().fit(x)
    >>> pca.components_.round(3).tolist(), pca.explained_variance_.round(3).tolist()
    ([[0.707, 0.707], [0.707, -0.707]], [4.0, 0.25])
    """

    _min_samples = 2

    def __init__(self, n_components: float | None = None, *, whiten: bool = False) -> None:
        self.n_components = n_components
        self.whiten = whiten

    def summarise(self, block: Array) -> Moments:
        """Reduce rows to their moments.

        Parameters
        ----------
        block : ndarray, shape (n_samples, n_units)
            At least one row.

        Returns
        -------
        Moments
            Count, mean and scatter.
        """
        _check_scatter(block.shape[1], "PrincipalComponents.fit")
        return moments(block)

    def merge(self, a: Moments, b: Moments) -> Moments:
        """Join the moments of two sets of rows.

        Parameters
        ----------
        a, b : Moments
            What ``summarise`` gave.

        Returns
        -------
        Moments
            Those of all rows.
        """
        return merge_moments(a, b)

    def solve(self, stats: Moments) -> None:
        """Learn from the moments of all rows.

        Parameters
        ----------
        stats : Moments
            What ``merge`` gave, for at least two rows.

        Raises
        ------
        ParameterError
            If ``n_components`` or ``whiten`` is not what it may be.
        ActivityError
            If nothing varies, or ``whiten`` asks for a component without variance.
        """
        variance, vectors = linalg.eigh(stats.scatter / (stats.n_samples - 1))
        most = min(stats.n_samples, stats.mean.size)
        self._learn(stats, np.maximum(variance[::-1], 0.0)[:most], vectors.T[::-1][:most])

    def _fit(self, values: Array) -> None:
        n_samples, n_units = values.shape
        if n_samples >= n_units:
            self.solve(self.summarise(values))
            return
        mean = values.mean(axis=0, dtype=np.float64)
        _, singular, vectors = linalg.svd(values - mean, full_matrices=False)
        counted = Moments(n_samples, mean, np.empty((0, 0)))
        self._learn(counted, singular**2 / (n_samples - 1), vectors)

    def _learn(self, stats: Moments, variance: Array, vectors: Array) -> None:
        total = variance.sum()
        # Below this, differences of equal values that were rounded would pass for variance.
        rounding = (np.finfo(np.float64).eps * np.abs(stats.mean).max()) ** 2 * variance.size
        if total <= rounding:
            raise ActivityError(
                "PrincipalComponents.fit: activity must vary; all units are constant over the "
                f"{stats.n_samples} samples. Drop constant units."
            )
        n = self._count(variance / total)
        whiten: Any = self.whiten
        if not isinstance(whiten, bool):
            raise ParameterError(
                f"PrincipalComponents: whiten must be True or False; got {self.whiten!r}."
            )
        empty = variance[:n] <= np.finfo(np.float64).eps * variance.size * variance[0]
        if self.whiten and empty.any():
            raise ActivityError(
                f"PrincipalComponents.fit: whitening needs variance along all {n} components; "
                f"component {int(np.argmax(empty))} has none. Choose n_components at most "
                f"{int(np.argmax(empty))}."
            )
        vectors = vectors[:n]
        largest = vectors[np.arange(n), _first_largest(vectors)]
        self.components_ = vectors * np.where(largest < 0, -1.0, 1.0)[:, np.newaxis]
        self.explained_variance_ = variance[:n]
        self.explained_variance_ratio_ = variance[:n] / total
        self.mean_ = stats.mean
        self.n_components_ = n
        self.n_samples_ = stats.n_samples

    def _count(self, shares: Array) -> int:
        owner = "PrincipalComponents"
        wanted: Any = self.n_components
        if wanted is None:
            return int(shares.size)
        if isinstance(wanted, (float, np.floating)):
            share = check_number(wanted, name="n_components", owner=owner, low=0.0, high=1.0)
            return min(
                int(np.searchsorted(np.cumsum(shares), share, side="right")) + 1, shares.size
            )
        return check_integer(wanted, name="n_components", owner=owner, low=1, high=shares.size)

    def _transform(self, values: Array) -> Array:
        result: Array = (values - self.mean_) @ self.components_.T
        return result / np.sqrt(self.explained_variance_) if self.whiten else result

    def _inverse_transform(self, values: Array) -> Array:
        if self.whiten:
            values = values * np.sqrt(self.explained_variance_)
        result: Array = values @ self.components_ + self.mean_
        return result


def _first_largest(vectors: Array) -> Array:
    """Return, for each row, the first place whose size is largest up to rounding."""
    size = np.abs(vectors)
    first: Array = np.argmax(size >= size.max(axis=1, keepdims=True) * (1 - 1e-9), axis=1)
    return first
