"""Posterior samples of partitions: who is with whom how often, and one partition to show."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.spatial.distance import squareform

from activome._checks import check_integer, check_memory, check_number
from activome.errors import ActivityError

__all__ = ["max_pear", "mfm_log_v", "posterior_similarity"]

Array = np.ndarray[Any, Any]


def posterior_similarity(samples: ArrayLike) -> Array:
    """Return how often any two items have the same label.

    Parameters
    ----------
    samples : array-like of int, shape (n_samples, n_items)
        One partition per row; labels are names only.

    Returns
    -------
    ndarray of float64, shape (n_items, n_items)
        Shares of the samples; 1 on the diagonal.

    Raises
    ------
    ActivityError
        If the samples are not integers of that shape, at least 1 x 1.
    ResourceError
        If the matrix would pass the memory limit.

    Examples
    --------
    >>> posterior_similarity([[0, 0, 1], [4, 4, 4]]).tolist()
    [[1.0, 1.0, 0.5], [1.0, 1.0, 0.5], [0.5, 0.5, 1.0]]
    """
    labels = _check_samples(samples, "posterior_similarity")
    n_samples, n_items = labels.shape
    check_memory(
        8 * n_items**2,
        owner="posterior_similarity",
        what=f"the similarity of {n_items} items",
        cure="Take fewer items.",
    )
    together = np.zeros((n_items, n_items))
    for row in labels:
        found, codes = np.unique(row, return_inverse=True)
        is_in = np.zeros((n_items, found.size), dtype=np.float32)
        is_in[np.arange(n_items), codes] = 1.0
        together += is_in @ is_in.T
    return np.asarray(together / n_samples)


def max_pear(similarity: ArrayLike, *, max_clusters: int = 12) -> tuple[Array, float]:
    """Return the partition with the largest posterior expected adjusted Rand index.

    Candidates are the cuts of the average-linkage tree of ``1 - similarity`` into 1 to
    ``max_clusters`` clusters [1]_.

    Parameters
    ----------
    similarity : array-like of float, shape (n_items, n_items)
        Posterior similarity: symmetric, in [0, 1], 1 on the diagonal.
    max_clusters : int, default=12
        Most clusters.

    Returns
    -------
    labels : ndarray of int64, shape (n_items,)
        Labels from 0 in the order of their first item.
    pear : float
        The index of that partition; of equal ones the one with the fewest clusters is taken. One
        cluster has the index 0, or 1 where all pairs are together in all samples.

    Raises
    ------
    ActivityError
        If the matrix is not a similarity.

    References
    ----------
    .. [1] A. Fritsch and K. Ickstadt, "Improved criteria for clustering based on the posterior
       similarity matrix", 2009.

    Examples
    --------
    >>> labels, pear = max_pear([[1.0, 0.9, 0.1], [0.9, 1.0, 0.0], [0.1, 0.0, 1.0]])
    >>> labels.tolist()
    [0, 0, 1]
    """
    owner = "max_pear"
    values = np.asarray(similarity, dtype=np.float64)
    limit = check_integer(max_clusters, name="max_clusters", owner=owner, low=1)
    is_square = values.ndim == 2 and values.shape[0] == values.shape[1] and values.size > 0
    if not is_square or not (
        np.allclose(values, values.T, atol=1e-8)
        and np.allclose(np.diag(values), 1.0)
        and values.min() >= -1e-8
        and values.max() <= 1 + 1e-8
    ):
        raise ActivityError(
            f"{owner}: similarity must be a symmetric matrix in [0, 1] with ones on its diagonal; "
            f"got shape {values.shape}. Make it by posterior_similarity."
        )
    n_items = values.shape[0]
    best = np.zeros(n_items, dtype=np.int64)
    pairs = squareform(np.clip(values, 0.0, 1.0), checks=False)
    if n_items < 2 or pairs.min() == 1.0:
        return best, 1.0
    cuts = cut_tree(linkage(1.0 - pairs, "average"), np.arange(1, min(limit, n_items) + 1)).T
    best_value = 0.0
    for cut in cuts[1:]:
        value = _pear(cut, values, float(pairs.sum()))
        if value > best_value + 1e-12:
            best, best_value = cut.astype(np.int64), value
    return _in_order(best), best_value


def _pear(labels: Array, similarity: Array, expected_pairs: float) -> float:
    n_items = labels.size
    is_in = np.eye(int(labels.max()) + 1)[labels]
    together = is_in.sum(axis=0)
    own_pairs = float((together * (together - 1)).sum() / 2)
    agreed = float((np.einsum("ik,ij,jk->", is_in, similarity, is_in) - n_items) / 2)
    chance = own_pairs * expected_pairs / (n_items * (n_items - 1) / 2)
    scale = (own_pairs + expected_pairs) / 2 - chance
    return (agreed - chance) / scale if scale > 1e-12 else 0.0


def _in_order(labels: Array) -> Array:
    _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[codes], dtype=np.int64)


def mfm_log_v(n_items: int, *, gamma: float = 1.0, rate: float = 0.2) -> Array:
    """Return the log coefficients of the partitions of a mixture of finite mixtures.

    The number of components is geometric, ``p(k) = rate (1 - rate)^(k - 1)``, their shares are
    Dirichlet(gamma). A partition into t clusters of sizes n_c has the probability
    ``V(t) prod_c Gamma(gamma + n_c) / Gamma(gamma)`` [1]_.

    Parameters
    ----------
    n_items : int
        Number of items.
    gamma : float in (0, inf), default=1.0
        Parameter of the Dirichlet distribution.
    rate : float in (0, 1), default=0.2
        Of the geometric distribution.

    Returns
    -------
    ndarray of float64, shape (n_items + 2,)
        ``log V(t)`` at index t; minus infinity at 0.

    Raises
    ------
    ParameterError
        If a number is outside its range.

    References
    ----------
    .. [1] J. W. Miller and M. T. Harrison, "Mixture models with a prior on the number of
       components", 2018.

    Examples
    --------
    >>> log_v = mfm_log_v(2)
    >>> together, apart = np.exp(log_v[1]) * 2, np.exp(log_v[2])
    >>> round(float(together + apart), 9)
    1.0
    """
    owner = "mfm_log_v"
    check_integer(n_items, name="n_items", owner=owner, low=1)
    check_number(gamma, name="gamma", owner=owner, low=0.0)
    check_number(rate, name="rate", owner=owner, low=0.0, high=1.0)
    # Beyond this many components the geometric tail is below rounding.
    most = n_items + 2 + int(np.ceil(-45.0 / np.log1p(-rate)))
    k = np.arange(1, most + 1, dtype=np.float64)
    log_p = np.log(rate) + (k - 1) * np.log1p(-rate)
    rising = special.gammaln(gamma * k) - special.gammaln(gamma * k + n_items)
    log_v = np.full(n_items + 2, -np.inf)
    for t in range(1, n_items + 2):
        fits = k >= t
        falling = special.gammaln(k[fits] + 1) - special.gammaln(k[fits] - t + 1)
        log_v[t] = special.logsumexp(log_p[fits] + falling + rising[fits])
    return log_v


def _check_samples(samples: ArrayLike, owner: str) -> Array:
    labels = np.asarray(samples)
    if labels.ndim != 2 or labels.size == 0 or labels.dtype.kind not in "iu":
        raise ActivityError(
            f"{owner}: samples must be integers (n_samples, n_items), at least 1 x 1; got "
            f"{labels.dtype} {labels.shape}."
        )
    return labels
