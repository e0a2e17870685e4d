"""Selection: the samples of a large pool that are most like a few examples of a task."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_choice, check_integer, check_number
from activome.activity.estimators.sample import SampleEstimator
from activome.errors import ActivityError, ParameterError
from activome.patterns._overlap import distinct_rows, refuse_negative, signed_parts
from activome.patterns.code_overlap import SIMILARITIES

__all__ = ["TaskSelector"]

Array = np.ndarray[Any, Any]


class TaskSelector(SampleEstimator):
    """Select the samples of a pool whose codes are most like those of a few target samples.

    The prototype is the mean code of the targets. Each sample of the pool is compared with it once,
    and the best are taken, the best first; a sample that repeats a better one is passed over. Codes
    are non-negative numbers in which each place has a meaning of its own: what parts, components of
    an autoencoder or neurons a text or a trial makes active. With texts the result is data to tune
    a model for one task; with trials it is those that resemble a template.

    Parameters
    ----------
    metric : {"jaccard", "cosine", "euclidean"}, default="jaccard"
        "jaccard" is the generalised Jaccard index (``generalized_jaccard``), for codes that are at
        least 0; the others take any numbers. The score of "euclidean" is the distance, with its
        sign changed.
    budget : float in (0, 1] or int >= 1, default=0.05
        Share of the pool that is selected, rounded up, or number of samples.
    duplicate_at : float in (0, 1] or None, default=1.0
        Generalised Jaccard index from which a sample repeats a better one; 1 passes equal codes
        over, and None nothing.
    embedder : object, optional
        With ``transform``, from what is given (such as texts) to codes; by default codes are given.

    Attributes
    ----------
    prototype_ : ndarray of float64, shape (n_units,)
        Mean code of the targets.
    n_targets_ : int
        Number of targets.

    Raises
    ------
    ParameterError
        If a parameter is outside its range, or the budget is larger than the pool.
    ActivityError
        If there is no target, codes are not finite, are negative with "jaccard", have another
        number of units than in ``fit``, all targets are zero, or the pool has fewer different
        samples than the budget.

    Notes
    -----
    One read of the codes for any number of targets; codes in CSR form stay so. Repetitions are
    looked for among what is selected alone. A mean as the prototype costs O(n_pool) in place of
    O(n_pool n_targets). Scores between a sample and its own prototype say nothing: keep the targets
    out of the pool, and what is evaluated out of both.

    Our choice: repetitions are passed over by their codes; codes with negative values are compared
    by their positive and negative parts for that.

    References
    ----------
    .. [1] D. Ma, G. Shang, Z. Chen, L. Qin, Y. Luo, H. Xu, L. Pan, S. Fan, K. Yu and L. Chen,
       "Task-specific data selection for instruction tuning via monosemantic neuronal activations",
       2025.

    Examples
    --------
    >>> import numpy as np
    >>> pool = np.array([[4.0, 0.0, 1.0], [0.0, 3.0, 1.0], [4.0, 0.0, 1.0], [2.0, 0.0, 0.0]])
    >>> selector = TaskSelector(budget=2).fit([[5.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    >>> selector.score_samples(pool).round(2).tolist(), selector.select(pool).tolist()
    ([0.8, 0.0, 0.8, 0.5], [0, 3])
    """

    _accept_sparse: ClassVar[tuple[str, ...]] = ("csr",)

    def __init__(
        self,
        metric: str = "jaccard",
        budget: float = 0.05,
        *,
        duplicate_at: float | None = 1.0,
        embedder: Any = None,
    ) -> None:
        self.metric = metric
        self.budget = budget
        self.duplicate_at = duplicate_at
        self.embedder = embedder

    def __sklearn_tags__(self) -> Tags:
        """Say that codes may be sparse, and whether they may be negative."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = self.metric == "jaccard"
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the prototype of the task.

        Parameters
        ----------
        X : xarray.DataArray, sparse matrix or array-like, shape (n_targets, n_units)
            Codes of the targets: an Activity, whose samples are its trials and times, or plain
            numbers. With ``embedder``, what that takes, such as a list of texts.
        y : None
            Ignored.

        Returns
        -------
        Self
            The fitted estimator.

        Raises
        ------
        ActivityError
            If there is no target, or codes are not finite, negative or all zero.
        ParameterError
            If a parameter is outside its range.
        """
        self._check_parameters()
        return super().fit(self._embedded(X), y)

    def _embedded(self, X: Any) -> Any:
        return X if self.embedder is None else self.embedder.transform(X)

    def _check_parameters(self) -> None:
        owner = type(self).__name__
        check_choice(self.metric, SIMILARITIES, name="metric", owner=owner)
        if _is_count(self.budget):
            check_integer(self.budget, name="budget", owner=owner, low=1)
        else:
            check_number(
                self.budget, name="budget", owner=owner, low=0.0, high=1.0, include_high=True
            )
        if self.duplicate_at is not None:
            check_number(
                self.duplicate_at,
                name="duplicate_at",
                owner=owner,
                low=0.0,
                high=1.0,
                include_high=True,
            )

    def _fit(self, values: Any) -> None:
        owner = f"{type(self).__name__}.fit"
        if self.metric == "jaccard":
            refuse_negative(values, owner)
        total = values.sum(axis=0, dtype=np.float64)
        self.prototype_: Array = np.asarray(total).ravel() / values.shape[0]
        self.n_targets_ = int(values.shape[0])
        if not self.prototype_.any():
            raise ActivityError(
                f"{owner}: the mean code of the targets must have a value that is not zero; all "
                f"{values.shape[1]} are 0. Give targets that make something active."
            )

    def score_samples(self, X: Any) -> Any:
        """Return how much each sample is like the targets.

        Parameters
        ----------
        X : xarray.DataArray, sparse matrix or array-like, shape (n_samples, n_units)
            Codes, or with ``embedder`` what that takes.

        Returns
        -------
        ndarray or xarray.DataArray of float64, shape (n_samples,)
            The higher, the more alike: in [0, 1] for "jaccard", in [-1, 1] for "cosine", at most 0
            for "euclidean". For an Activity, with its labels of trials and times.

        Raises
        ------
        ActivityError
            If codes are not finite, are negative with "jaccard", or have other units than in
            ``fit``.
        """
        check_is_fitted(self)
        values, index = self._read(self._embedded(X), reset=False)
        return self._label(self._scores(values), index)

    def _label(self, scores: Array, index: Any) -> Any:
        if index is None:
            return scores
        labelled: xr.DataArray = index.restore(scores, kind=self._output_kind)
        return labelled.assign_attrs(units="1")

    def _scores(self, values: Any) -> Array:
        if self.metric == "jaccard":
            refuse_negative(values, f"{type(self).__name__}.score_samples")
        return SIMILARITIES[self.metric](values, self.prototype_)

    def select(self, X: Any) -> Array:
        """Select the samples of a pool that are most like the targets.

        Parameters
        ----------
        X : xarray.DataArray, sparse matrix or array-like, shape (n_samples, n_units)
            Codes of the pool, or with ``embedder`` what that takes. Rows of an Activity are its
            valid samples, by trial and then time.

        Returns
        -------
        ndarray of int64, shape (n_selected,)
            Rows of the pool, the best first; of equal scores the first.

        Raises
        ------
        ParameterError
            If the budget is larger than the pool, or out of range.
        ActivityError
            If codes are not finite, are negative with "jaccard", have other units than in ``fit``,
            or there are fewer different ones than the budget.
        """
        check_is_fitted(self)
        self._check_parameters()
        owner = f"{type(self).__name__}.select"
        values, _ = self._read(self._embedded(X), reset=False)
        n_pool = int(values.shape[0])
        # A product such as 0.07 * 100 is a little above the whole number that is meant.
        n_wanted = (
            int(self.budget)
            if _is_count(self.budget)
            else int(np.ceil(round(self.budget * n_pool, 9)))
        )
        if n_wanted > n_pool:
            raise ParameterError(
                f"{owner}: budget must be at most the {n_pool} samples of the pool; got "
                f"{n_wanted}. Give a larger pool, or a share."
            )
        order = np.argsort(-self._scores(values), kind="stable").astype(np.int64, copy=False)
        if self.duplicate_at is None:
            return order[:n_wanted]
        chosen = _first_distinct(values, order, self.duplicate_at, n_wanted)
        if chosen.size < n_wanted:
            raise ActivityError(
                f"{owner}: the pool must have as many different samples as the budget, {n_wanted}; "
                f"it has {chosen.size} of {n_pool}. Lower the budget, or set duplicate_at=None to "
                "take repetitions too."
            )
        return chosen


def _first_distinct(codes: Any, order: Array, threshold: float, n_wanted: int) -> Array:
    """Return the first places of an order whose rows repeat none before; fewer where there are."""
    n_read = min(2 * n_wanted, len(order))
    while True:
        # Only the rows at the top are looked at: those of the budget, and those passed over.
        repeats = distinct_rows(signed_parts(codes[order[:n_read]]), threshold, n_wanted)
        kept: Array = order[:n_read][repeats == np.arange(n_read)]
        if len(kept) == n_wanted or n_read == len(order):
            return kept
        n_read = min(2 * n_read, len(order))


def _is_count(budget: Any) -> bool:
    return isinstance(budget, Integral) and not isinstance(budget, bool)
