"""How alike two factorisations of a tensor are, and the rank at which starts agree."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_integer, check_number
from activome._progress import Progress, silent
from activome._random import RandomState, spawn_generators
from activome.activity.matching import match_matrix, row_similarity
from activome.errors import ActivityError, ConvergenceWarning
from activome.patterns.tensor import NonnegativeCP

__all__ = ["RankResult", "choose_rank", "factor_match_score"]

Array = np.ndarray[Any, Any]
_HELD_OUT = 0.1


@dataclass(frozen=True)
class RankResult:
    """Which rank a tensor supports.

    Attributes
    ----------
    rank : int
        The rank chosen.
    ranks : ndarray of int64, shape (n_ranks,)
        Ranks that were tried, from 1 on.
    match : ndarray of float64, shape (n_ranks,)
        Median factor match score between starts.
    error : ndarray of float64, shape (n_ranks,)
        Smallest relative squared error over starts.
    held_out : ndarray of float64, shape (n_ranks,)
        Relative squared error on entries that were held out, of the best start.
    """

    rank: int
    ranks: Array
    match: Array
    error: Array
    held_out: Array


def factor_match_score(a: Sequence[ArrayLike], b: Sequence[ArrayLike]) -> float:
    """Return how alike the components of two factorisations are, whatever their order and scale.

    The cosines of two components are multiplied over the modes; components are paired so that the
    mean of these products is largest.

    Parameters
    ----------
    a, b : sequence of array-like, each (n_k, rank) and (n_k, other_rank)
        Factors of each mode; with different ranks the components left over count as 0.

    Returns
    -------
    float
        From 0 to 1 for non-negative factors; 1 for equal ones.

    Raises
    ------
    ActivityError
        If the two have not the same modes.

    References
    ----------
    .. [1] E. Acar, D. M. Dunlavy, T. G. Kolda and M. Morup, "Scalable tensor factorizations for
       incomplete data", 2011.

    Examples
    --------
    >>> import numpy as np
    >>> a = [np.eye(3)[:, :2], np.eye(4)[:, :2]]
    >>> factor_match_score(a, [2 * factor[:, ::-1] for factor in a])
    1.0
    """
    first, second = [np.asarray(f) for f in a], [np.asarray(f) for f in b]
    if not first or [len(f) for f in first] != [len(f) for f in second]:
        raise ActivityError(
            "factor_match_score: both must have the same modes; got "
            f"{[f.shape for f in first]} and {[f.shape for f in second]}."
        )
    product = np.ones((first[0].shape[1], second[0].shape[1]))
    for mine, theirs in zip(first, second, strict=True):
        product = product * row_similarity(mine.T, theirs.T)
    return float(match_matrix(product).values.sum() / max(product.shape))


def agreement_of_starts(model: NonnegativeCP) -> float:
    """Return the median factor match score between the starts of a fit; 1 for a single one."""
    pairs = itertools.combinations(model.starts_, 2)
    scores = [factor_match_score(one, other) for one, other in pairs]
    return float(np.median(scores)) if scores else 1.0


def choose_rank(
    X: Any,
    max_rank: int = 6,
    *,
    mask: ArrayLike | None = None,
    n_init: int = 4,
    match: float = 0.9,
    gain: float = 0.01,
    max_iter: int = 500,
    tol: float = 1e-6,
    random_state: RandomState = 0,
    progress: Progress = silent,
) -> RankResult:
    """Choose the largest rank that starts agree on and that predicts more than the rank below.

    Each rank is fitted to the tensor from several starts, and once more with a tenth of the entries
    held out. A rank counts where the starts agree, the error falls by more than ``gain`` from the
    rank below, and so does the error on what was held out.

    Parameters
    ----------
    X : xarray.DataArray or array-like of float, shape (n_1, ..., n_d)
        Non-negative tensor.
    max_rank : int, default=6
        Ranks 1 to this are tried.
    mask : array-like of bool, broadcastable to the shape of X, optional
        False where an entry is missing.
    n_init : int, default=4
        Random starts of each rank, at least 2.
    match : float in (0, 1), default=0.9
        Least median factor match score between starts.
    gain : float in (0, 1), default=0.01
        Least fall of the error from the rank below, as a share of the error of rank 1.
    max_iter, tol : int and float
        As in ``NonnegativeCP``; default 500 and 1e-6.
    random_state : int, numpy.random.Generator or None, default=0
        Seed.
    progress : Progress, default=silent
        Told of each rank.

    Returns
    -------
    RankResult
        Rank 1 where no higher one is supported.

    Notes
    -----
    Our choice of criteria. Starts that fit noise mostly end in different places, but agree on small
    tensors; entries held out at random are not predicted by parts of noise, unless noise is alike
    in neighbouring entries. A tensor without structure beyond its mean has rank 1.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.einsum("ir,jr,kr->ijk", *(rng.random((n, 2)) ** 3 for n in (12, 10, 8)))
    >>> choose_rank(X + 0.02 * rng.random(X.shape), 3, n_init=2, max_iter=100).rank
    2
    """
    owner = "choose_rank"
    check_integer(max_rank, name="max_rank", owner=owner, low=1)
    check_integer(n_init, name="n_init", owner=owner, low=2)
    check_number(match, name="match", owner=owner, low=0.0, high=1.0)
    check_number(gain, name="gain", owner=owner, low=0.0, high=1.0)
    table = np.zeros((max_rank, 3))
    splitting, *generators = spawn_generators(random_state, max_rank + 1)
    values = np.asarray(getattr(X, "values", X))
    known = np.ones(values.shape, bool) if mask is None else np.broadcast_to(mask, values.shape)
    shown = known & (splitting.random(values.shape) >= _HELD_OUT)
    for k in range(max_rank):
        progress("ranks", k, max_rank)
        model = NonnegativeCP(
            k + 1, n_init=n_init, max_iter=max_iter, tol=tol, random_state=generators[k]
        )
        with warnings.catch_warnings():
            # A rank beyond the structure may never settle; that shows in the match.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(values, mask)
            table[k, :2] = agreement_of_starts(model), model.error_
            model.fit(values, shown)
        hidden = values[known & ~shown]
        missed = hidden - model.reconstruct()[known & ~shown]
        table[k, 2] = float(missed @ missed) / max(float(hidden @ hidden), 1e-300)
    progress("ranks", max_rank, max_rank)
    agreement, error, held_out = table.T
    least = gain * error[0]
    is_supported = (agreement >= match) & (-np.diff(error, prepend=np.inf) >= least)
    is_supported &= -np.diff(held_out, prepend=np.inf) >= least
    is_supported[0] = True
    ranks = np.arange(1, max_rank + 1)
    return RankResult(int(ranks[is_supported][-1]), ranks, agreement, error, held_out)
