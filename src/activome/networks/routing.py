"""Routing: predict from its input which groups of hidden neurons a layer needs, and skip others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from activome._checks import check_choice, check_integer, check_number
from activome._random import RandomState, integer_seed
from activome.errors import ParameterError
from activome.networks._linear_maps import linear_shape, norms_into

__all__ = ["GroupRouter", "LinearRouter", "fit_group_router", "routed"]

Array = np.ndarray[Any, Any]


class LinearRouter:
    """Predict which groups are needed, each by a logistic regression on the hidden state.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty, on standardised states.

    Attributes
    ----------
    weight_ : ndarray of float64, shape (n_features, n_groups)
        Weights on the states as they are.
    bias_ : ndarray of float64, shape (n_groups,)
        Log odds at a state of zeros.

    Raises
    ------
    ParameterError
        If the states and needs do not fit together, or are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> h = np.random.default_rng(0).normal(size=(200, 3))
    >>> router = LinearRouter().fit(h, h[:, :2] > 0)
    >>> (router.scores(np.array([[2.0, -2.0, 0.0]])) > 0).tolist()
    [[True, False]]
    """

    def __init__(self, C: float = 1.0) -> None:
        self.C = check_number(C, name="C", owner="LinearRouter", low=0.0)

    def fit(self, h: Any, is_needed: Any) -> Self:
        """Learn from hidden states and what was needed.

        Parameters
        ----------
        h : array-like, shape (n_samples, n_features)
            Hidden states.
        is_needed : array-like of bool, shape (n_samples, n_groups)
            What each sample needed.

        Returns
        -------
        Self
            The fitted router.

        Raises
        ------
        ParameterError
            If the states and needs do not fit together, or are not finite.
        """
        states, needed = np.asarray(h, dtype=np.float64), np.asarray(is_needed)
        shapes = f"got {states.shape} and {needed.shape}"
        if states.ndim != 2 or needed.ndim != 2 or len(states) != len(needed) or len(states) < 2:
            raise ParameterError(
                "LinearRouter.fit: h must be (n_samples, n_features) and is_needed (n_samples, "
                f"n_groups), of two samples or more; {shapes}."
            )
        if needed.dtype != bool or not np.isfinite(states).all():
            raise ParameterError(
                f"LinearRouter.fit: h must be finite and is_needed boolean; {shapes}, "
                f"{needed.dtype}."
            )
        scaler = StandardScaler().fit(states)
        scaled = scaler.transform(states)
        weight = np.zeros((states.shape[1], needed.shape[1]))
        # A group that is always needed, or never, has the odds of one more sample.
        counts = needed.sum(axis=0)
        bias = np.log((counts + 0.5) / (len(needed) - counts + 0.5))
        for group in np.flatnonzero((counts > 0) & (counts < len(needed))):
            model = LogisticRegression(C=self.C, max_iter=500, tol=1e-3)
            model.fit(scaled, needed[:, group])
            weight[:, group], bias[group] = model.coef_[0], model.intercept_[0]
        self.weight_: Array = weight / scaler.scale_[:, np.newaxis]
        self.bias_: Array = bias - scaler.mean_ @ self.weight_
        return self

    def scores(self, h: Any) -> Array:
        """Return the log odds that each group is needed.

        Parameters
        ----------
        h : array-like, shape (n_samples, n_features)
            Hidden states.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_groups)
            Positive where it is more likely than not.
        """
        odds: Array = np.asarray(h, dtype=np.float64) @ self.weight_ + self.bias_
        return odds


@dataclass(frozen=True)
class GroupRouter:
    """Router of one MLP.

    Attributes
    ----------
    reader : str
        Path of the map that reads the input of the MLP.
    hidden : str
        Path of the map that reads its hidden neurons.
    labels : ndarray of int64, shape (n_hidden,)
        Group of each neuron, from 0.
    router : LinearRouter
        From the input to the groups.
    """

    reader: str
    hidden: str
    labels: Array
    router: LinearRouter


def fit_group_router(
    model: nn.Module,
    batches: Iterable[torch.Tensor],
    reader: str,
    hidden: str,
    labels: Any,
    n_active: int,
    *,
    C: float = 1.0,
) -> GroupRouter:
    """Learn to route one MLP: which groups of neurons write most, from its input alone.

    A group is needed at a position when it is among the ``n_active`` whose neurons write most:
    the sum of magnitude times norm of the output weights.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    batches : iterable of Tensor
        Inputs of one call each.
    reader : str
        Path of the map that reads the input of the MLP, such as "blocks.0.mlp.pre".
    hidden : str
        Path of the map that reads its hidden neurons, such as "blocks.0.mlp.down".
    labels : array-like of int, shape (n_hidden,)
        Group of each neuron, from 0; ``BrickPartition`` finds them.
    n_active : int
        Groups to keep.
    C : float, default=1.0
        As in ``LinearRouter``.

    Returns
    -------
    GroupRouter
        The router.

    Raises
    ------
    ParameterError
        If a path is no linear map, the labels do not fit, or more groups are asked for than exist.
    """
    owner = "fit_group_router"
    groups = _checked_labels(model, hidden, labels, owner)
    n_groups = int(groups.max()) + 1
    check_integer(n_active, name="n_active", owner=owner, low=1, high=n_groups)
    norms = norms_into(model.get_submodule(hidden))
    member = torch.eye(n_groups)[torch.as_tensor(groups)].to(norms)
    states: list[Array] = []
    needed: list[Array] = []

    def see_input(_: nn.Module, args: tuple[Any, ...]) -> None:
        states.append(args[0].detach().flatten(0, -2).cpu().double().numpy())

    def see_hidden(_: nn.Module, args: tuple[Any, ...]) -> None:
        written = (args[0].detach().flatten(0, -2).abs() * norms) @ member
        needed.append(_top_mask(written, n_active).cpu().numpy())

    handles = [
        model.get_submodule(reader).register_forward_pre_hook(see_input),
        model.get_submodule(hidden).register_forward_pre_hook(see_hidden),
    ]
    try:
        with torch.no_grad():
            for batch in batches:
                model(batch)
    finally:
        for handle in handles:
            handle.remove()
    if not states:
        raise ParameterError(f"{owner}: give at least one batch; got none.")
    router = LinearRouter(C).fit(np.concatenate(states), np.concatenate(needed))
    return GroupRouter(reader, hidden, groups, router)


def _checked_labels(model: nn.Module, hidden: str, labels: Any, owner: str) -> Array:
    shape = linear_shape(model.get_submodule(hidden))
    found = np.asarray(labels)
    is_fit = shape is not None and found.shape == (shape[0],) and found.dtype.kind in "iu"
    if not is_fit or found.min() < 0:
        raise ParameterError(
            f"{owner}: labels must give a group from 0 for each neuron that {hidden!r}, a linear "
            f"map, reads; got {found.dtype} of shape {found.shape}."
        )
    return found.astype(np.int64)


@contextmanager
def routed(
    model: nn.Module,
    routers: Sequence[GroupRouter],
    n_active: int,
    *,
    choice: str = "router",
    random_state: RandomState = 0,
) -> Iterator[None]:
    """Keep only some groups of neurons at each position, chosen before they are computed.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    routers : sequence of GroupRouter
        One per MLP.
    n_active : int
        Groups to keep in each.
    choice : {"router", "random", "largest"}, default="router"
        Choose by the router; at random, as a control; or those that write most, which is what the
        router was taught and the bound for it.
    random_state : int, Generator or None, default=0
        Seed of the random choice.

    Yields
    ------
    None
        Other groups are zero inside the block.

    Raises
    ------
    ParameterError
        If more groups are asked for than exist, or the choice is unknown.

    Notes
    -----
    Groups are set to zero, not left out of the products: the harm is measured, not the time saved.
    """
    check_choice(choice, ("router", "random", "largest"), name="choice", owner="routed")
    for one in routers:
        high = int(one.labels.max()) + 1
        check_integer(n_active, name="n_active", owner="routed", low=1, high=high)
    generator = torch.Generator().manual_seed(integer_seed(random_state))
    handles: list[Any] = []
    try:
        for one in routers:
            handles += _route_one(model, one, n_active, choice, generator)
        yield
    finally:
        for handle in handles:
            handle.remove()


def _route_one(
    model: nn.Module, one: GroupRouter, n_active: int, choice: str, generator: torch.Generator
) -> list[Any]:
    reader, hidden = model.get_submodule(one.reader), model.get_submodule(one.hidden)
    norms = norms_into(hidden)
    labels = torch.as_tensor(one.labels, device=norms.device)
    member = torch.eye(int(labels.max()) + 1).to(norms)[labels]
    weight, bias = (torch.as_tensor(x).to(norms) for x in (one.router.weight_, one.router.bias_))
    latest: dict[str, Any] = {}

    def choose(_: nn.Module, args: tuple[Any, ...]) -> None:
        latest["scores"] = args[0] @ weight + bias

    def cut(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        scores = latest["scores"]
        if choice == "random":
            scores = torch.rand(scores.shape, generator=generator).to(scores)
        elif choice == "largest":
            scores = (args[0].abs() * norms) @ member
        keep = _top_mask(scores, n_active)[..., labels]
        return (args[0] * keep, *args[1:])

    return [reader.register_forward_pre_hook(choose), hidden.register_forward_pre_hook(cut)]


def _top_mask(scores: Any, k: int) -> Any:
    chosen = scores.topk(k, dim=-1).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter(-1, chosen, True)
