"""Selection of heads that one task rests on and another does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from activome._checks import check_finite, check_integer
from activome.errors import ActivityError, ParameterError

__all__ = ["select_heads"]

Array = np.ndarray[Any, Any]


def select_heads(
    score_a: xr.DataArray | ArrayLike, score_b: xr.DataArray | ArrayLike, n: int
) -> list[tuple[int, int]]:
    """Return the heads that one task needs most, over what another task needs of them.

    With ``r = -score``, the fall of a task's metric without the head, heads are ranked by
    ``r_a / sum of positive r_a - max(r_b, 0) / sum of positive r_b``: by their share of the one
    task less their share of the other. A head that serves both is then in neither selection. Call
    it the other way round for the heads of the other task.

    Parameters
    ----------
    score_a, score_b : xarray.DataArray or array-like, shape (n_layers, n_heads)
        Change of the metric of each task when a head is removed, as ``head_scores`` gives it, of
        the heads to select and of the task to avoid. The more negative, the more important.
    n : int
        How many heads.

    Returns
    -------
    list of (int, int)
        Layer and head of each, the first one first; equal ones in the order of layers.

    Raises
    ------
    ActivityError
        If the scores are not (n_layers, n_heads), differ in shape or labels, are not finite, or a
        task rests on no head.
    ParameterError
        If ``n`` is below 1 or above the number of heads that ``score_a`` rests on.

    References
    ----------
    .. [1] H. Fartale, A. Kattamuri, R. Raja, A. Vats, I. Prasad and A. K. Moharir, "Disentangling
       recall and reasoning in transformer models through layer-wise attention and activation
       analysis", 2025.

    Examples
    --------
    >>> recall = [[-4.0, 0.0], [-3.0, -1.0]]
    >>> reasoning = [[-5.0, -5.0], [1.0, 0.0]]
    >>> select_heads(recall, reasoning, 2)
    [(1, 0), (1, 1)]
    >>> select_heads(reasoning, recall, 1)
    [(0, 1)]
    """
    owner = "select_heads"
    a, b = _share(score_a, "score_a", owner), _share(score_b, "score_b", owner)
    if a.shape != b.shape or _labels(score_a) != _labels(score_b):
        raise ActivityError(
            f"{owner}: the scores must be of the same heads; got shapes {a.shape} and {b.shape}, "
            f"labels {_labels(score_a)} and {_labels(score_b)}."
        )
    n_useful = int((a > 0).sum())
    check_integer(n, name="n", owner=owner, low=1, high=a.size)
    if n > n_useful:
        raise ParameterError(
            f"{owner}: n must be at most the number of heads that score_a rests on, {n_useful}; "
            f"got {n}. The metric rises without the others."
        )
    rank = a - np.maximum(b, 0.0)
    order = np.argsort(-rank.ravel(), kind="stable")[:n]
    layers, heads = _labels(score_a) or (list(range(a.shape[0])), list(range(a.shape[1])))
    return [(layers[i], heads[j]) for i, j in zip(*np.unravel_index(order, a.shape), strict=True)]


def _share(score: Any, name: str, owner: str) -> Array:
    values = np.asarray(score, dtype=np.float64)
    if values.ndim != 2 or values.size == 0:
        raise ActivityError(
            f"{owner}: {name} must be (n_layers, n_heads), not empty; got shape {values.shape}."
        )
    check_finite(values, owner=owner, axes=("layer", "head"), what=name, cure="Score them again.")
    total = np.maximum(-values, 0.0).sum()
    if total == 0:
        raise ActivityError(
            f"{owner}: {name} must be below 0 for a head at least: the task rests on none. The "
            "score is the change of the metric without the head."
        )
    return np.asarray(-values / total)


def _labels(score: Any) -> tuple[list[int], list[int]] | None:
    if not isinstance(score, xr.DataArray):
        return None
    layers, heads = (score[dim].values.astype(int).tolist() for dim in score.dims[:2])
    return layers, heads
