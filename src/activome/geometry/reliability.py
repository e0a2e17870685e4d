"""Is the geometry of the conditions reliable? Split-half reliability of an RDM, with a null."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.spatial.distance import pdist
from scipy.stats import rankdata

from activome._checks import check_choice, check_finite, check_integer
from activome._random import RandomState, make_generator
from activome.activity.stacking import label_values, to_trials
from activome.activity.statistics import monte_carlo_p, permute_labels
from activome.errors import ActivityError

__all__ = ["RdmReliability", "rdm_reliability"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class RdmReliability:
    """How well two halves of the trials agree on the dissimilarities of the conditions.

    Attributes
    ----------
    reliability : float
        Mean correlation of the two halves' dissimilarities over the splits.
    p_value : float
        Against permuted conditions.
    null : ndarray of float64, shape (n_draws,)
        The same for permuted conditions.
    conditions : ndarray, shape (n_conditions,)
        Conditions with at least two trials.
    n_splits : int
        Random halvings.
    """

    reliability: float
    p_value: float
    null: Array
    conditions: Array
    n_splits: int


def rdm_reliability(
    activity: Any,
    condition: str | ArrayLike,
    *,
    metric: str = "correlation",
    compare: str = "spearman",
    groups: ArrayLike | None = None,
    n_splits: int = 20,
    n_permutations: int = 199,
    stop_after: int | None = 20,
    random_state: RandomState = None,
) -> RdmReliability:
    """Correlate the dissimilarities of two halves of the trials, and test on permuted conditions.

    The trials of each condition are halved at random; each half gives a mean pattern per
    condition, and the dissimilarities of these; the two halves' dissimilarities are correlated.
    Where conditions do not matter to the units, their order is noise and the halves do not agree.

    Parameters
    ----------
    activity : xarray.DataArray or array-like, shape (n_trials, n_units)
        An Activity with trials (times are averaged over valid samples), or one pattern per trial.
    condition : str or array-like, shape (n_trials,)
        A label of the trials, or the labels.
    metric : str, default="correlation"
        Dissimilarity of scipy's ``pdist``.
    compare : {"spearman", "pearson"}, default="spearman"
        Correlation of the dissimilarities.
    groups : array-like, shape (n_trials,), optional
        Session or animal; conditions are permuted within groups.
    n_splits : int, default=20
        Random halvings, the same ones for data and null.
    n_permutations : int, default=199
        Most permutations.
    stop_after : int or None, default=20
        Stop once this many permutations are as reliable.
    random_state : int, Generator or None
        Seed.

    Returns
    -------
    RdmReliability
        Reliability, p-value and null.

    Raises
    ------
    ActivityError
        If labels are not one per trial, fewer than three conditions have two trials, values are
        not finite, or the patterns have no dissimilarity (a single unit with a correlation metric).
    ParameterError
        If ``compare`` is unknown, or a count is below 1.

    References
    ----------
    .. [1] H. Nili, C. Wingfield, A. Walther, L. Su, W. Marslen-Wilson and N. Kriegeskorte, "A
       toolbox for representational similarity analysis", 2014.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(0)
    >>> patterns = generator.normal(size=(5, 30))
    >>> labels = np.repeat(np.arange(5), 8)
    >>> trials = patterns[labels] + generator.normal(size=(40, 30))
    >>> found = rdm_reliability(trials, labels, random_state=0)
    >>> round(found.reliability, 1) > 0.5, found.p_value
    (True, 0.005)
    """
    owner = "rdm_reliability"
    check_choice(compare, ("spearman", "pearson"), name="compare", owner=owner)
    check_integer(n_splits, name="n_splits", owner=owner, low=1)
    check_integer(n_permutations, name="n_permutations", owner=owner, low=1)
    patterns, labels = _read(activity, condition, owner)
    names, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    keep = counts[codes] >= 2
    if (counts >= 2).sum() < 3:
        raise ActivityError(
            f"{owner}: at least three conditions must have two trials; {(counts >= 2).sum()} of "
            f"{names.size} have."
        )
    patterns, session = patterns[keep], None if groups is None else np.asarray(groups)[keep]
    names, codes = np.unique(labels[keep], return_inverse=True)
    generator = make_generator(random_state)
    weights = _half_weights(codes, names.size, n_splits, generator)

    def reliability(order: Array) -> float:
        means = weights @ patterns[order]
        return _agreement(means, names.size, metric, compare, owner)

    places = np.arange(codes.size)
    test = monte_carlo_p(
        reliability(places),
        lambda: reliability(permute_labels(places, session, generator)),
        n_permutations,
        stop_after=stop_after,
    )
    return RdmReliability(test.observed, test.p_value, test.null, names, n_splits)


def _read(activity: Any, condition: str | ArrayLike, owner: str) -> tuple[Array, Array]:
    if isinstance(activity, xr.DataArray):
        cube, index = to_trials(activity, owner=owner)
        cube = cube.astype(np.float64)
        if index.mask is None:
            patterns = cube.mean(axis=2)
        else:
            count = np.maximum(index.mask.sum(axis=1), 1)
            patterns = np.where(index.mask[:, np.newaxis], cube, 0.0).sum(axis=2)
            patterns = patterns / count[:, np.newaxis]
        if isinstance(condition, str):
            condition = label_values(index, condition, owner=owner, per="trial")
    else:
        patterns = np.asarray(activity, dtype=np.float64)
    labels = np.asarray(condition)
    if patterns.ndim != 2 or labels.shape != patterns.shape[:1]:
        raise ActivityError(
            f"{owner}: there must be one condition per trial; got {labels.shape} for trials of "
            f"shape {patterns.shape}."
        )
    check_finite(patterns, owner=owner, axes=("trial", "unit"))
    return patterns, labels


def _half_weights(
    codes: Array, n_conditions: int, n_splits: int, generator: np.random.Generator
) -> Any:
    """Return the averaging over half the trials of each condition, two halves for each split."""
    entries: list[tuple[Array, Array, Array]] = []
    for k in range(n_conditions):
        rows = np.flatnonzero(codes == k)
        middle = rows.size // 2
        for split in range(n_splits):
            order = generator.permutation(rows)
            # An odd trial goes to either half in turn.
            cut = middle + (rows.size % 2) * (split % 2)
            for half, chosen in enumerate((order[:cut], order[cut:])):
                place = (2 * split + half) * n_conditions + k
                entries.append(
                    (np.full(chosen.size, 1.0 / chosen.size), np.full(chosen.size, place), chosen)
                )
    values, places, columns = (np.concatenate(part) for part in zip(*entries, strict=True))
    return csr_array((values, (places, columns)), shape=(2 * n_splits * n_conditions, codes.size))


def _agreement(means: Array, n_conditions: int, metric: str, compare: str, owner: str) -> float:
    halves = means.reshape(-1, n_conditions, means.shape[1])
    rdms = np.stack([pdist(half, metric) for half in halves])  # type: ignore[call-overload]  # any name of scipy
    if not np.isfinite(rdms).all():
        raise ActivityError(
            f"{owner}: every dissimilarity must be finite; metric {metric!r} gives none for these "
            "patterns. Drop constant patterns, or use 'euclidean'."
        )
    if compare == "spearman":
        rdms = rankdata(rdms, axis=1)
    rdms = rdms - rdms.mean(axis=1, keepdims=True)
    norms = np.sqrt(np.einsum("sp,sp->s", rdms, rdms))
    first, second = rdms[0::2], rdms[1::2]
    product = np.einsum("sp,sp->s", first, second)
    scale = norms[0::2] * norms[1::2]
    return float(np.mean(np.where(scale > 0, product / np.where(scale > 0, scale, 1.0), 0.0)))
