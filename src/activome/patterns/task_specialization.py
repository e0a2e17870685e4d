"""Task specialisation: the components whose activity differs between two tasks or conditions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import xarray as xr
from scipy.stats import false_discovery_control, mannwhitneyu, ttest_ind
from sklearn.model_selection import check_cv
from sklearn.utils import ClassifierTags, Tags
from sklearn.utils.multiclass import check_classification_targets

from activome._checks import check_choice, check_integer, check_number
from activome._random import RandomState, make_generator
from activome.activity.estimators import SampleEstimator
from activome.errors import ActivityError, ParameterError

__all__ = ["TaskSpecialization"]

Array = np.ndarray[Any, Any]
_NAMES = ("recall", "reasoning")


class TaskSpecialization(SampleEstimator):
    """Label the components of a network or a brain that are active differently in two tasks.

    Each component is tested between the samples of the two tasks, and is specialised where the
    corrected p-value is below ``alpha``, the standardised difference (Cohen's d) is above
    ``d_min``, and the difference has the same sign in every part of the data. Components are
    whatever samples are described by: layers, heads, neurons, cells, channels.

    Parameters
    ----------
    test : {"mannwhitney", "ttest"}, default="mannwhitney"
        Rank test of Mann and Whitney, or Welch's t-test; two-sided.
    alpha : float in (0, 1), default=0.01
        Level of the corrected p-values.
    d_min : float, default=0.8
        Least absolute standardised difference.
    correction : {"bh", "by", "none"}, default="bh"
        False discovery rate of Benjamini and Hochberg or of Benjamini and Yekutieli over all tests,
        or none.
    cv : int or splitter, default=5
        Parts in which the sign must agree, each with samples of both tasks: the folds of a
        stratified split in the order of the samples, or the test sets of a splitter of
        scikit-learn.
    min_samples : int, default=8
        Fewest samples of each task.
    names : tuple of str, optional
        Names of the two tasks in ``label_``; by default "recall" and "reasoning" for a target of 0
        and 1, and the labels themselves for any other.
    n_permutations : int, default=0
        How often the target is shuffled and everything done again, for ``null_share_``.
    random_state : int, Generator or None, default=0
        Seed of the shuffles.

    Attributes
    ----------
    classes_ : ndarray, shape (2,)
        The two labels, sorted; differences are of the first less the second.
    statistic_ : ndarray of float64, shape (n_components,) or (n_components, n_features)
        U of the first task, or t.
    p_, p_adj_ : ndarray of float64, shape of ``statistic_``
        Two-sided p-values, and the same corrected over all tests; 1 for what never varies.
    d_ : ndarray of float64, shape of ``statistic_``
        ``(m1 - m2) / sqrt((s1**2 + s2**2) / 2)``; 0 for what never varies, infinite for what
        varies between the tasks alone.
    consistency_ : ndarray of float64, shape of ``statistic_``
        Share of the parts in which the difference has the sign that it has in all samples.
    is_significant_ : ndarray of bool, shape of ``statistic_``
        Tests that pass all three conditions.
    n_features_each_ : int
        Features per component; 1 for (n_samples, n_components).
    label_ : ndarray of str, shape (n_components,)
        The task in which a component is more active, "mixed" where its features disagree, or
        "none".
    null_share_ : ndarray of float64, shape (n_permutations,)
        Share of the components that are specialised under each shuffled target. It should be
        next to 0; where it is not, the counts of ``label_`` say little.

    Raises
    ------
    ParameterError
        If a parameter is outside its range.
    ActivityError
        If the target has not two classes, one has fewer than ``min_samples`` samples or is missing
        from a part, or the activity is not finite or has another shape.

    Notes
    -----
    Differences of length, wording or place between the two sets of samples make everything differ:
    match them. A part of the data, not what is left without it, must show the sign (our choice):
    large sets without a part agree with the whole whatever they hold. Consecutive samples of a slow
    recording are not independent; give trial averages.

    References
    ----------
    .. [1] H. Fartale, A. Kattamuri, R. Raja, A. Vats, I. Prasad and A. K. Moharir, "Disentangling
       recall and reasoning in transformer models through layer-wise attention and activation
       analysis", 2025.
    .. [2] Y. Benjamini and Y. Hochberg, "Controlling the false discovery rate: a practical and
       powerful approach to multiple testing", 1995.
    .. [3] J. Cohen, "Statistical power analysis for the behavioral sciences", 1988.

    Examples
    --------
    >>> import numpy as np
    >>> task = np.repeat([0, 1], 20)
    >>> activity = np.random.default_rng(0).normal(size=(40, 3))
    >>> activity[task == 1, 2] += 4.0
    >>> found = TaskSpecialization(n_permutations=10).fit(activity, task)
    >>> found.label_.tolist(), float(found.null_share_.max())
    (['none', 'none', 'reasoning'], 0.0)
    """

    _takes_target = True
    _min_samples = 2

    def __init__(
        self,
        test: str = "mannwhitney",
        alpha: float = 0.01,
        *,
        d_min: float = 0.8,
        correction: str = "bh",
        cv: Any = 5,
        min_samples: int = 8,
        names: tuple[str, str] | None = None,
        n_permutations: int = 0,
        random_state: RandomState = 0,
    ) -> None:
        self.test = test
        self.alpha = alpha
        self.d_min = d_min
        self.correction = correction
        self.cv = cv
        self.min_samples = min_samples
        self.names = names
        self.n_permutations = n_permutations
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        """Say that a target is needed, and that it names two classes."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.classifier_tags = ClassifierTags(multi_class=False)
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Test every component.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_components[, n_features])
            An Activity whose units are the components, or plain numbers; with several features per
            component all are tested.
        y : array-like or str, shape (n_samples,)
            Task of each sample, or the name of a label of the activity; two classes.

        Returns
        -------
        Self
            The fitted estimator.

        Raises
        ------
        ActivityError
            If the target has not two classes, one has too few samples, or the activity does not
            fit.
        ParameterError
            If a parameter is outside its range.
        """
        self._check_parameters()
        is_activity = isinstance(X, xr.DataArray) and bool({"trial", "time"} & set(X.dims))
        self.n_features_each_ = 1
        if not is_activity and np.ndim(X) == 3:
            self.n_features_each_ = int(np.shape(X)[2])
            X = np.asarray(X).reshape(np.shape(X)[0], -1)
        super().fit(X, y)
        return self

    def _fit(self, values: Array, target: Array) -> None:
        check_classification_targets(target)
        self.classes_, codes = np.unique(np.asarray(target), return_inverse=True)
        self._check_classes(codes)
        table = values.astype(np.float64, copy=False)
        found = self._examine(table, codes)
        is_in = found["is_significant"]
        for name, result in found.items():
            setattr(self, f"{name}_", result)
        self.label_ = self._labels(is_in, found["d"])
        rng = make_generator(self.random_state)
        n_components = len(is_in)
        self.null_share_ = np.empty(self.n_permutations)
        for i in range(self.n_permutations):
            drawn = self._examine(table, rng.permutation(codes))["is_significant"]
            self.null_share_[i] = drawn.reshape(n_components, -1).any(axis=1).mean()

    def _check_parameters(self) -> None:
        owner = "TaskSpecialization"
        check_choice(self.test, _TESTS, name="test", owner=owner)
        check_number(self.alpha, name="alpha", owner=owner, low=0.0, high=1.0)
        check_number(self.d_min, name="d_min", owner=owner, low=0.0, include_low=True)
        check_choice(self.correction, _CORRECTIONS, name="correction", owner=owner)
        check_integer(self.min_samples, name="min_samples", owner=owner, low=2)
        check_integer(self.n_permutations, name="n_permutations", owner=owner, low=0)
        if isinstance(self.cv, (int, float, str)):
            check_integer(self.cv, name="cv", owner=owner, low=2)
        if self.names is not None and (isinstance(self.names, str) or len(self.names) != 2):
            raise ParameterError(
                f"{owner}: names must be the names of the two tasks; got {self.names!r}."
            )

    def _check_classes(self, codes: Array) -> None:
        owner = "TaskSpecialization.fit"
        if self.classes_.size != 2:
            some = ", ".join(repr(str(name)) for name in self.classes_[:5])
            raise ActivityError(
                f"{owner}: needs two tasks to tell apart; got {self.classes_.size} class"
                f"{'' if self.classes_.size == 1 else 'es'}: {some}. Select the samples of two."
            )
        counts = np.bincount(codes)
        if counts.min() < self.min_samples:
            rare = int(counts.argmin())
            raise ActivityError(
                f"{owner}: each task needs at least {self.min_samples} samples; "
                f"{str(self.classes_[rare])!r} has {counts[rare]}. Add samples, or lower "
                "min_samples."
            )

    def _examine(self, values: Array, codes: Array) -> dict[str, Array]:
        """Return what is learned of each test, in the shape of the results."""
        first, second = values[codes == 0], values[codes == 1]
        d = _cohen(first, second)
        statistic, p = _TESTS[self.test](first, second)
        is_flat = np.ptp(values, axis=0) == 0
        p = np.where(is_flat, 1.0, p)
        statistic = np.where(
            is_flat, len(first) * len(second) / 2 * (self.test[0] == "m"), statistic
        )
        p_adj = _CORRECTIONS[self.correction](p)
        signs = np.sign(d)
        agrees = [
            np.sign(_difference(values[rows], codes[rows])) == signs
            for rows in self._parts(values, codes)
        ]
        consistency = np.where(signs == 0, 0.0, np.mean(agrees, axis=0))
        is_in = (p_adj < self.alpha) & (np.abs(d) > self.d_min) & (consistency == 1.0)
        found = {
            "statistic": statistic, "p": p, "p_adj": p_adj, "d": d, "consistency": consistency,
            "is_significant": is_in,
        }  # fmt: skip
        if self.n_features_each_ == 1:
            return found
        return {name: table.reshape(-1, self.n_features_each_) for name, table in found.items()}

    def _parts(self, values: Array, codes: Array) -> list[Array]:
        owner = "TaskSpecialization.fit"
        splitter = check_cv(self.cv, codes, classifier=True)
        fewest = int(np.bincount(codes).min())
        if isinstance(self.cv, (int, np.integer)) and self.cv > fewest:
            raise ActivityError(
                f"{owner}: each of the {self.cv} parts needs a sample of both tasks; one task has "
                f"{fewest}. Lower cv."
            )
        parts = [np.asarray(test) for _, test in splitter.split(values, codes)]
        for number, rows in enumerate(parts):
            if np.unique(codes[rows]).size != 2:
                raise ActivityError(
                    f"{owner}: each part needs a sample of both tasks; part {number} has one task "
                    "alone. Give cv another splitter."
                )
        return parts

    def _labels(self, is_in: Array, d: Array) -> Array:
        names = self.names
        if names is None:
            is_plain = self.classes_.dtype.kind in "biuf" and self.classes_.tolist() == [0, 1]
            names = _NAMES if is_plain else (str(self.classes_[0]), str(self.classes_[1]))
        rows = len(is_in)
        up = (is_in & (d > 0)).reshape(rows, -1).any(axis=1)
        down = (is_in & (d < 0)).reshape(rows, -1).any(axis=1)
        return np.select([up & down, up, down], ["mixed", names[0], names[1]], "none")


def _difference(values: Array, codes: Array) -> Array:
    return np.asarray(values[codes == 0].mean(axis=0) - values[codes == 1].mean(axis=0))


def _cohen(first: Array, second: Array) -> Array:
    difference = first.mean(axis=0) - second.mean(axis=0)
    # A constant keeps a rest of rounding in its variance and in the difference of its means.
    spread = np.zeros(difference.size)
    for part in (first, second):
        spread += np.where(np.ptp(part, axis=0) == 0, 0.0, part.var(axis=0, ddof=1)) / 2
    is_flat = np.ptp(np.concatenate([first, second]), axis=0) == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(is_flat, 0.0, difference / np.sqrt(spread))


def _mann_whitney(first: Array, second: Array) -> tuple[Array, Array]:
    with np.errstate(divide="ignore", invalid="ignore"):
        found = mannwhitneyu(first, second, axis=0)
    return np.asarray(found.statistic), np.asarray(found.pvalue)


def _welch(first: Array, second: Array) -> tuple[Array, Array]:
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        # Constant components: their result is set by the caller, or infinite as it should be.
        warnings.simplefilter("ignore", RuntimeWarning)
        found = ttest_ind(first, second, axis=0, equal_var=False)
    return np.asarray(found.statistic), np.asarray(found.pvalue)


_TESTS = {"mannwhitney": _mann_whitney, "ttest": _welch}
_CORRECTIONS: dict[str, Callable[[Array], Array]] = {
    "bh": lambda p: np.asarray(false_discovery_control(p, method="bh")),
    "by": lambda p: np.asarray(false_discovery_control(p, method="by")),
    "none": lambda p: p,
}
