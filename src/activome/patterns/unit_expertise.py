"""Expertise of units: how well the response of one unit alone tells a label from the others."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets

from activome._checks import check_integer, check_number, nearest_names
from activome._compile import kernel
from activome._random import RandomState, spawn_generators
from activome.activity.estimators.sample import SampleEstimator
from activome.errors import ActivityError, ParameterError

__all__ = ["UnitExpertise", "average_precision", "chance_average_precision"]

Array = np.ndarray[Any, Any]
_BLOCK_VALUES = 1 << 22


class UnitExpertise(SampleEstimator):
    """Score every unit by the average precision with which its response alone detects a label.

    A unit whose response is highest for the samples of a label, whatever else differs between
    them, is an expert of it. The score is that of a detector: samples are ranked by the response,
    and precision is averaged over the samples of the label. It is 1 when they all come first, and
    about the share of the label (``chance_``) for a unit that knows nothing. Any units and labels
    will do: neurons of a network and relations, cells and stimuli. For detectors that respond with
    either sign give absolute responses.

    Parameters
    ----------
    negatives_per_positive : float or None, default=4.0
        How many samples of other labels stand against each sample of a label, drawn without
        replacement as far as there are any; None takes all. It fixes chance over labels of
        different size.
    tie_break : {"margin", "order"}, default="margin"
        Among units of equal score prefer a large standardised difference of the means, or the
        order of the units. Scores tie often: many units are perfect on few samples.
    min_positives : int, default=5
        Fewest samples that a label must have; with less the score says nothing.
    random_state : int, Generator or None, default=0
        Seed of the draw of negatives.

    Attributes
    ----------
    classes_ : ndarray, shape (n_labels,)
        The labels, sorted.
    ap_ : ndarray of float64, shape (n_labels, n_units)
        Average precision, in (0, 1].
    margin_ : ndarray of float64, shape (n_labels, n_units)
        Difference of the mean responses over the root of the mean variance; 0 for a unit without
        variance.
    n_perfect_ : ndarray of int64, shape (n_labels,)
        Number of units with a score of 1.
    chance_ : ndarray of float64, shape (n_labels,)
        Expected score of a random order, which is above the share of the label in small samples.

    Raises
    ------
    ParameterError
        If a parameter is outside its range.
    ActivityError
        If there are fewer than two labels, one has fewer than ``min_positives`` samples, or the
        activity is not finite.

    Notes
    -----
    One sort of each unit, whatever the number of labels: O(n_units n_samples (log n_samples +
    n_labels)). Equal responses share one threshold, as in scikit-learn. The tie break is our
    choice: without one, the units chosen among the perfect ones are arbitrary.

    References
    ----------
    .. [1] X. Suau, L. Zappella and N. Apostoloff, "Finding experts in transformer models", 2020.
    .. [2] Y. Liu, R. Chen, L. Hirlimann, A. D. Hakimi, M. Wang, A. H. Kargaran, S. Rothe, F. Yvon
       and H. Schuetze, "On relation-specific neurons in large language models", 2025.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> relation = np.repeat(["capital", "plural"], 20)
    >>> response = rng.normal(size=(40, 3))
    >>> response[relation == "plural", 2] += 6.0
    >>> experts = UnitExpertise().fit(response, relation)
    >>> experts.top("plural", 1).tolist(), experts.n_perfect_.tolist()
    ([2], [0, 1])
    """

    _takes_target = True
    _min_samples = 2

    def __init__(
        self,
        negatives_per_positive: float | None = 4.0,
        tie_break: str = "margin",
        *,
        min_positives: int = 5,
        random_state: RandomState = 0,
    ) -> None:
        self.negatives_per_positive = negatives_per_positive
        self.tie_break = tie_break
        self.min_positives = min_positives
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        """Say that a target is needed, and that it names classes."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def _fit(self, values: Array, target: Array) -> None:
        self._check_parameters()
        check_classification_targets(target)
        self.classes_, codes = np.unique(np.asarray(target), return_inverse=True)
        counts = np.bincount(codes)
        if counts.size < 2:
            raise ActivityError(
                f"UnitExpertise.fit: needs two or more labels to tell apart; got one class, "
                f"{str(self.classes_[0])!r}. Add samples of others."
            )
        if counts.min() < self.min_positives:
            rare = int(counts.argmin())
            raise ActivityError(
                f"UnitExpertise.fit: each label needs at least {self.min_positives} samples; "
                f"{str(self.classes_[rare])!r} has {counts[rare]}. Drop it, or lower min_positives."
            )
        member = self._members(codes, counts)
        shape = (counts.size, values.shape[1])
        self.ap_, self.margin_ = np.empty(shape), np.empty(shape)
        step = max(1, _BLOCK_VALUES // len(values))
        for first in range(0, values.shape[1], step):
            block = slice(first, first + step)
            self.ap_[:, block], self.margin_[:, block] = _scores(values[:, block], member)
        self.n_perfect_ = np.count_nonzero(self.ap_ == 1.0, axis=1)
        self.chance_ = np.array(
            [chance_average_precision((m == 1).sum(), (m >= 0).sum()) for m in member]
        )

    def _check_parameters(self) -> None:
        owner = "UnitExpertise"
        if self.negatives_per_positive is not None:
            check_number(
                self.negatives_per_positive, name="negatives_per_positive", owner=owner, low=0.0
            )
        if self.tie_break not in _TIES:
            raise ParameterError(
                f"{owner}: unknown tie_break {self.tie_break!r}; "
                f"{nearest_names(str(self.tie_break), _TIES)}"
            )
        check_integer(self.min_positives, name="min_positives", owner=owner, low=1)

    def _members(self, codes: Array, counts: Array) -> Array:
        """Return, for each label and sample, 1 for positive, 0 for negative and -1 for unused."""
        member = np.full((counts.size, codes.size), -1, dtype=np.int8)
        generators = spawn_generators(self.random_state, counts.size)
        for label, generator in enumerate(generators):
            member[label, codes == label] = 1
            others = np.flatnonzero(codes != label)
            if self.negatives_per_positive is not None:
                wanted = max(1, round(self.negatives_per_positive * counts[label]))
                if wanted < others.size:
                    others = generator.choice(others, wanted, replace=False)
            member[label, others] = 0
        return member

    def top(self, label: Any, k: int) -> Array:
        """Return the best units of a label.

        Parameters
        ----------
        label : Any
            One of ``classes_``.
        k : int
            How many.

        Returns
        -------
        ndarray of int64, shape (k,)
            Places of the units, the best first.

        Raises
        ------
        ParameterError
            If the label is unknown, or ``k`` is above the number of units.
        """
        n_units = self.ap_.shape[1]
        check_integer(k, name="k", owner="UnitExpertise.top", low=1, high=n_units)
        return self._order(label, "top")[:k]

    def top_mask(self, label: Any, fraction: float, *, groups: Any = None) -> Array:
        """Mark the best share of the units, in each group of units apart.

        Parameters
        ----------
        label : Any
            One of ``classes_``.
        fraction : float in (0, 1]
            Share of the units of a group, rounded up.
        groups : array-like, shape (n_units,), optional
            Group of each unit, such as its layer or area; by default one group.

        Returns
        -------
        ndarray of bool, shape (n_units,)
            True for the chosen units.

        Raises
        ------
        ParameterError
            If the label is unknown, or a parameter is outside its range.
        """
        owner = "UnitExpertise.top_mask"
        check_number(fraction, name="fraction", owner=owner, low=0.0, high=1.0, include_high=True)
        order = self._order(label, "top_mask")
        names = np.zeros(order.size, dtype=np.int64) if groups is None else np.asarray(groups)
        if names.shape != order.shape:
            raise ParameterError(
                f"{owner}: groups must name one group for each of the {order.size} units; got "
                f"shape {names.shape}."
            )
        mask = np.zeros(order.size, dtype=bool)
        for group in np.unique(names):
            inside = order[names[order] == group]
            mask[inside[: int(np.ceil(fraction * inside.size))]] = True
        return mask

    def _order(self, label: Any, caller: str) -> Array:
        found = np.flatnonzero(self.classes_ == label)
        if found.size != 1:
            known = [str(name) for name in self.classes_]
            raise ParameterError(
                f"UnitExpertise.{caller}: unknown label {label!r}; "
                f"{nearest_names(str(label), known)}"
            )
        return _TIES[self.tie_break](self.ap_[found[0]], self.margin_[found[0]])


def _by_margin(ap: Array, margin: Array) -> Array:
    return np.asarray(np.lexsort((-margin, -ap)))


def _by_order(ap: Array, margin: Array) -> Array:
    return np.argsort(-ap, kind="stable").astype(np.int64, copy=False)


_TIES = {"margin": _by_margin, "order": _by_order}


def average_precision(responses: Any, is_positive: Any) -> Array:
    """Return the average precision of every unit as a detector of some samples.

    Parameters
    ----------
    responses : array-like, shape (n_samples, n_units)
        Response of each unit, in any unit of its own.
    is_positive : array-like of bool, shape (n_samples,)
        The samples to detect.

    Returns
    -------
    ndarray of float64, shape (n_units,)
        In (0, 1]; equal responses share one threshold.

    Raises
    ------
    ActivityError
        If the responses are not finite, the shapes differ, or nothing is positive.

    Examples
    --------
    >>> responses = [[0.1, 3.0], [0.9, 2.0], [0.8, 1.0]]
    >>> average_precision(responses, [False, True, True]).round(4).tolist()
    [1.0, 0.5833]
    """
    values, member = np.asarray(responses, dtype=np.float64), np.asarray(is_positive, dtype=bool)
    if values.ndim != 2 or member.shape != values.shape[:1]:
        raise ActivityError(
            "average_precision: responses must be (n_samples, n_units) with one is_positive for "
            f"each sample; got {values.shape} and {member.shape}."
        )
    if not np.isfinite(values).all():
        raise ActivityError("average_precision: responses must be finite; drop what is not first.")
    if not member.any():
        raise ActivityError("average_precision: needs a positive sample; got none.")
    scores, _ = _scores(values, member.astype(np.int8)[np.newaxis])
    return np.asarray(scores[0])


def chance_average_precision(n_positive: int, n_samples: int) -> float:
    """Return the expected average precision of samples in random order.

    Parameters
    ----------
    n_positive : int
        Samples to detect.
    n_samples : int
        All samples.

    Returns
    -------
    float
        Above ``n_positive / n_samples``, and close to it when there are many samples.

    Examples
    --------
    >>> round(chance_average_precision(1, 2), 2), round(chance_average_precision(40, 280), 3)
    (0.75, 0.159)
    """
    n, p = int(n_samples), int(n_positive)
    harmonic = float((1.0 / np.arange(1, n + 1)).sum())
    # A positive at rank k has (k - 1)(p - 1)/(n - 1) others before it on average.
    return float((harmonic + (n - harmonic) * (p - 1) / max(n - 1, 1)) / n)


def _scores(values: Array, member: Array) -> tuple[Array, Array]:
    values = np.ascontiguousarray(values.T)
    ap = np.empty((len(member), len(values)))
    _walk(values, np.argsort(values, axis=1), member, ap)
    margin = np.empty_like(ap)
    wide = values.astype(np.float64, copy=False)
    for label, row in enumerate(member):
        inside, outside = wide[:, row == 1], wide[:, row == 0]
        if outside.shape[1] == 0:
            margin[label] = 0.0
            continue
        difference = inside.mean(axis=1) - outside.mean(axis=1)
        spread = np.sqrt((inside.var(axis=1) + outside.var(axis=1)) / 2.0)
        # A constant unit keeps a rest of rounding.
        varies = spread > 1e-12 * np.abs(wide).max(axis=1)
        margin[label] = np.divide(difference, spread, out=np.zeros_like(spread), where=varies)
    return ap, margin


@kernel()
def _walk(values: Array, order: Array, member: Array, ap: Array) -> None:
    """Walk down each unit's samples; thresholds are the different values."""
    n_units, n_samples = values.shape
    for unit in range(n_units):
        for label in range(member.shape[0]):
            hits, seen, hits_before, total = 0, 0, 0, 0.0
            for k in range(n_samples - 1, -1, -1):
                sample = order[unit, k]
                kind = member[label, sample]
                if kind >= 0:
                    seen += 1
                    hits += kind
                is_last = k == 0 or values[unit, order[unit, k - 1]] != values[unit, sample]
                if is_last and hits > hits_before:
                    total += (hits - hits_before) * hits / seen
                    hits_before = hits
            ap[label, unit] = total / hits
