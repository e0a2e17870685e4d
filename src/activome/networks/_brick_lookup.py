"""Looking bricks up: by the keys of those that were added, by a router for those that emerged."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from torch import nn

from activome._checks import check_integer
from activome.errors import ParameterError
from activome.networks.bricks import NeuronBrick
from activome.networks.routing import LinearRouter

__all__ = ["BrickLookup"]

Array = np.ndarray[Any, Any]


class BrickLookup(nn.Module):
    """Bricks by name, found by their keys or by a router."""

    def __init__(self) -> None:
        super().__init__()
        self.bricks = nn.ModuleDict()
        self.keys: dict[str, Array] = {}
        self.router: LinearRouter | None = None

    def retrieve(self, query: Any, top_k: int = 1) -> tuple[Array, Array]:
        """Find the bricks whose keys have the largest inner product with a query.

        Parameters
        ----------
        query : array-like, shape (n_features,) or (n_queries, n_features)
            One query or several.
        top_k : int, default=1
            How many bricks.

        Returns
        -------
        names : ndarray of str, shape (top_k,) or (n_queries, top_k)
            The best first.
        scores : ndarray of float64, the same shape
            Inner products.

        Raises
        ------
        ParameterError
            If there are fewer bricks with keys, or the queries are not finite or of another size.
        """
        owner = "BrickModel.retrieve"
        names = np.array(list(self.keys))
        check_integer(top_k, name="top_k", owner=owner, low=1, high=names.size)
        keys = np.stack(list(self.keys.values()))
        rows = _rows(query, keys.shape[1], owner)
        return _best(names, rows @ keys.T, top_k, is_one=np.ndim(query) == 1)

    def fit_router(self, h: Any, is_active: Any) -> Self:
        """Learn from hidden states which bricks of neurons are needed.

        Parameters
        ----------
        h : array-like, shape (n_samples, n_features)
            Hidden states.
        is_active : array-like of bool, shape (n_samples, n_bricks)
            Whether each brick of neurons, in the order they were added, was needed.

        Returns
        -------
        Self
            The model, with ``router``.

        Raises
        ------
        ParameterError
            If there is no brick of neurons, or the shapes do not fit.
        """
        n_bricks = len(self._emergent())
        needed = np.asarray(is_active)
        if not n_bricks or needed.ndim != 2 or needed.shape[1] != n_bricks:
            raise ParameterError(
                f"BrickModel.fit_router: is_active must have a column for each of the {n_bricks} "
                f"bricks of neurons, at least one; got shape {needed.shape}."
            )
        self.router = LinearRouter().fit(h, needed)
        return self

    def route(self, h: Any, top_k: int) -> tuple[Array, Array]:
        """Choose bricks of neurons for hidden states.

        Parameters
        ----------
        h : array-like, shape (n_features,) or (n_samples, n_features)
            One hidden state or several.
        top_k : int
            How many bricks.

        Returns
        -------
        names : ndarray of str, shape (top_k,) or (n_samples, top_k)
            The best first.
        weights : ndarray of float64, the same shape
            Softmax of the scores of the chosen ones.

        Raises
        ------
        ParameterError
            If there is no router, more bricks are asked for than exist, or the states do not fit.
        """
        owner = "BrickModel.route"
        names = np.array(self._emergent())
        check_integer(top_k, name="top_k", owner=owner, low=1, high=names.size)
        if self.router is None or self.router.bias_.size != names.size:
            raise ParameterError(f"{owner}: call fit_router first, after bricks were added.")
        rows = _rows(h, self.router.weight_.shape[0], owner)
        chosen, scores = _best(names, self.router.scores(rows), top_k, is_one=np.ndim(h) == 1)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return chosen, weights / weights.sum(axis=-1, keepdims=True)

    def _emergent(self) -> list[str]:
        return [name for name, brick in self.bricks.items() if isinstance(brick, NeuronBrick)]


def _rows(values: Any, n_features: int, owner: str) -> Array:
    rows = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if rows.ndim != 2 or rows.shape[1] != n_features or not np.isfinite(rows).all():
        raise ParameterError(
            f"{owner}: give finite vectors of {n_features} numbers; got shape {rows.shape}."
        )
    return rows


def _best(names: Array, scores: Array, top_k: int, *, is_one: bool) -> tuple[Array, Array]:
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
    found = names[order], np.take_along_axis(scores, order, axis=1)
    return (found[0][0], found[1][0]) if is_one else found
