"""A network built from bricks: grow, update, merge, retrieve and route, the base untouched."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from activome._checks import check_choice, check_integer, check_number, nearest_names
from activome.errors import ParameterError
from activome.networks.bricks import Brick, LoRABrick, NeuronBrick, fingerprint
from activome.networks.routing import LinearRouter
from activome.networks.training import TrainConfig, Trainer, TrainLog

__all__ = ["BrickModel"]

Array = np.ndarray[Any, Any]
Active = Sequence[str] | Mapping[str, float]
_NAME = re.compile(r"^[A-Za-z0-9_ -]+$")


class BrickModel(nn.Module):
    """A network and the bricks that were added to it.

    The network is used in place and none of its weights ever change. A brick works inside an
    ``active`` block; a new one adds zero, so that growing changes nothing.

    Parameters
    ----------
    model : torch.nn.Module
        The base.

    Attributes
    ----------
    model : torch.nn.Module
        The base.
    bricks : torch.nn.ModuleDict
        Bricks by name.
    keys : dict of str to ndarray of float64, shape (n_features,)
        Keys of the bricks that can be retrieved.
    router : LinearRouter or None
        From hidden states to the bricks of neurons, after ``fit_router``.

    Raises
    ------
    ParameterError
        If a name is taken or unknown, a brick is of another base, or an argument does not fit.

    References
    ----------
    .. [1] C. Xiao et al., "Configurable foundation models: building LLMs from a modular
       perspective", 2024.
    .. [2] G. Ilharco et al., "Editing models with task arithmetic", 2023.

    Examples
    --------
    >>> import torch
    >>> from activome.networks import LoRABrick, TinyGPT, seed_everything
    >>> with seed_everything(0):
    ...     bricks = BrickModel(TinyGPT(11, 8, d_model=16))
    >>> ids = torch.randint(11, (32, 9), generator=torch.Generator().manual_seed(0))
    >>> bricks = bricks.add("tuned", LoRABrick(bricks.model, "blocks.*.mlp.*"))
    >>> log = bricks.update("tuned", ids, steps=5)
    >>> with bricks.active(["tuned"]):
    ...     changed = bricks(ids[:, :8])
    >>> bool(torch.equal(changed, bricks(ids[:, :8])))
    False
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.bricks = nn.ModuleDict()
        self.keys: dict[str, Array] = {}
        self.router: LinearRouter | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the base, with the bricks that are active.

        Parameters
        ----------
        *args, **kwargs : Any
            As the base takes them.

        Returns
        -------
        Any
            As the base gives it.
        """
        return self.model(*args, **kwargs)

    def add(self, name: str, brick: Brick, key: Any = None) -> Self:
        """Grow: keep a brick under a name.

        Parameters
        ----------
        name : str
            Letters, digits, spaces, "-" and "_".
        brick : Brick
            Made for this base.
        key : array-like, shape (n_features,), optional
            What queries are compared with in ``retrieve``.

        Returns
        -------
        Self
            The model.

        Raises
        ------
        ParameterError
            If the name is taken or malformed, the brick was made for other weights, or the key is
            not finite or of another size than those that are there.
        """
        owner = "BrickModel.add"
        if not isinstance(name, str) or not _NAME.match(name):
            raise ParameterError(
                f"{owner}: a name must consist of letters, digits, spaces, - and _; got {name!r}."
            )
        if name in self.bricks:
            raise ParameterError(f"{owner}: there is a brick {name!r} already; take another name.")
        if not isinstance(brick, Brick):
            raise ParameterError(f"{owner}: a brick is needed; got {type(brick).__name__}.")
        known = dict(self.model.named_modules())
        missing = [path for path in brick.paths if path not in known]
        if missing or fingerprint(self.model, brick.paths) != brick.base:
            raise ParameterError(
                f"{owner}: {name!r} was made for a network of other weights. Make it for this one."
            )
        if key is not None:
            self.keys[name] = self._checked_key(key)
        self.bricks[name] = brick
        return self

    def _checked_key(self, key: Any) -> Array:
        found = np.asarray(key, dtype=np.float64)
        sizes = {other.shape for other in self.keys.values()} or {found.shape}
        if found.ndim != 1 or not found.size or not np.isfinite(found).all():
            raise ParameterError(
                f"BrickModel.add: a key must be a finite vector; got shape {found.shape}."
            )
        if found.shape not in sizes:
            raise ParameterError(
                f"BrickModel.add: keys must be of one size; got {found.size}, the others have "
                f"{next(iter(sizes))[0]}."
            )
        return found

    @contextmanager
    def active(self, names: Active) -> Iterator[None]:
        """Let bricks work on the calls of the block.

        Parameters
        ----------
        names : sequence of str, or mapping of str to float
            Bricks, each once; a mapping gives how many times the effect of each is added. Where
            bricks of neurons are among them, other hidden neurons of their modules are off.

        Yields
        ------
        None
            They are active inside the block, on top of those of an outer block.

        Raises
        ------
        ParameterError
            If a name is unknown or given twice, or a weight is not finite.
        """
        weights = self._weights(names, "BrickModel.active")
        handles: list[Any] = []
        try:
            masks: dict[str, Any] = {}
            for name, weight in weights.items():
                brick: Any = self.bricks[name]
                if isinstance(brick, NeuronBrick):
                    for path in brick.paths:
                        mine = brick.mask(path)
                        masks[path] = masks[path] | mine if path in masks else mine
                else:
                    handles += brick.attach(self.model, weight)
            for path, mask in masks.items():
                module = self.model.get_submodule(path)
                handles.append(module.register_forward_pre_hook(_masking(mask)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _weights(self, names: Active, owner: str) -> dict[str, float]:
        if isinstance(names, str):
            raise ParameterError(f"{owner}: names must be a list; got {names!r}.")
        listed = list(names)
        for name in listed:
            self._require(name, owner)
        if len(set(listed)) != len(listed):
            raise ParameterError(f"{owner}: a brick is given twice in {listed}.")
        pairs = names.items() if isinstance(names, Mapping) else ((name, 1.0) for name in listed)
        return {name: check_number(w, name=f"weight of {name!r}", owner=owner) for name, w in pairs}

    def _require(self, name: str, owner: str) -> Any:
        if name not in self.bricks:
            raise ParameterError(
                f"{owner}: unknown brick {name!r}; {nearest_names(str(name), self.bricks)}"
            )
        return self.bricks[name]

    def update(
        self,
        name: str,
        data: Any,
        steps: int,
        *,
        lr: float = 1e-2,
        batch_size: int | None = 16,
        loss_fn: Any = None,
        random_state: int = 0,
    ) -> TrainLog:
        """Train one brick; the base and every other brick stay as they are.

        Parameters
        ----------
        name : str
            The brick.
        data : Tensor of int64 (n_sequences, n_positions + 1), tuple of Tensor, or callable
            Token ids, or data as ``Trainer.fit`` takes them.
        steps : int
            Optimiser steps.
        lr : float, default=1e-2
            Learning rate of Adam.
        batch_size : int or None, default=16
            Sequences per step; None takes all.
        loss_fn : callable, optional
            As of ``Trainer``; by default the cross-entropy of each next token.
        random_state : int, default=0
            Seed of the order of the data.

        Returns
        -------
        TrainLog
            Losses at the logged steps.

        Raises
        ------
        ParameterError
            If the name is unknown, the brick has nothing to train, or a number is out of range.
        ActivityError
            If there are fewer sequences than a batch holds.
        TrainingDiverged
            If the loss is not finite.
        """
        owner = "BrickModel.update"
        brick = self._require(name, owner)
        check_integer(steps, name="steps", owner=owner, low=1)
        if not any(True for _ in brick.parameters()):
            raise ParameterError(
                f"{owner}: {name!r} is a brick of neurons of the base, which has nothing to train."
            )
        config = TrainConfig(
            steps, batch_size=batch_size, lr=lr, seed=random_state, eval_at=max(1, steps // 10)
        )
        frozen = [(p, p.requires_grad) for p in self.parameters()]
        mine = {id(p) for p in brick.parameters()}
        batch = (data,) if isinstance(data, torch.Tensor) else data
        try:
            for parameter, _ in frozen:
                parameter.requires_grad_(id(parameter) in mine)
            with self.active([name]):
                trainer = Trainer(_Tuned(brick, self.model), loss_fn or _next_token, config)
                return trainer.fit(batch)
        finally:
            for parameter, needed in frozen:
                parameter.requires_grad_(needed)
                if id(parameter) in mine:
                    parameter.grad = None

    def merge(
        self, names: Sequence[str], weights: Sequence[float], *, method: str = "effects"
    ) -> Brick:
        """Make one brick from several of one kind, on the same modules.

        Parameters
        ----------
        names : sequence of str
            Bricks.
        weights : sequence of float
            One per brick; a negative one subtracts what a brick can do.
        method : {"effects", "parameters"}, default="effects"
            "effects": what the new brick adds is the weighted sum of what they add, exactly, at the
            sum of their sizes. "parameters": its parameters are the weighted sum of theirs, at the
            size of one; for bricks tuned from the same start.

        Returns
        -------
        Brick
            Not yet added.

        Raises
        ------
        ParameterError
            If a name is unknown, the bricks differ in kind, modules, base or shape, or the weights
            are not one finite number per brick.
        """
        owner = "BrickModel.merge"
        check_choice(method, ("effects", "parameters"), name="method", owner=owner)
        if not names or len(names) != len(weights):
            raise ParameterError(
                f"{owner}: give one weight for each of at least one brick; got {len(names)} bricks "
                f"and {len(weights)} weights."
            )
        given = self._weights(dict(zip(names, weights, strict=True)), owner)
        if len(given) != len(names):
            raise ParameterError(f"{owner}: a brick is given twice in {list(names)}.")
        bricks = [self._require(name, owner) for name in given]
        first = bricks[0]
        for name, brick in zip(given, bricks, strict=True):
            is_alike = type(brick) is type(first) and brick.paths == first.paths
            if not is_alike or brick.base != first.base:
                raise ParameterError(
                    f"{owner}: bricks must be of one kind, on the same modules of the same base; "
                    f"{name!r} is a {type(brick).__name__} on {len(brick.paths)} modules, "
                    f"{names[0]!r} a {type(first).__name__} on {len(first.paths)}."
                )
        merged: Brick = type(first).combined(bricks, list(given.values()), method)
        return merged

    def fold(self, names: Active) -> dict[str, torch.Tensor]:
        """Return the weights of the base with bricks of low rank worked into them.

        Parameters
        ----------
        names : sequence of str, or mapping of str to float
            Bricks of low rank, as in ``active``.

        Returns
        -------
        dict of str to Tensor
            A state of the base: with it a copy of the base gives what the bricks make of this one.

        Raises
        ------
        ParameterError
            If a name is unknown, or a brick is of another kind.
        """
        weights = self._weights(names, "BrickModel.fold")
        state = {name: value.clone() for name, value in self.model.state_dict().items()}
        for name, weight in weights.items():
            brick: Any = self.bricks[name]
            if not isinstance(brick, LoRABrick):
                raise ParameterError(
                    f"BrickModel.fold: only changes of low rank become weights; {name!r} is a "
                    f"{type(brick).__name__}."
                )
            for path in brick.paths:
                target = state[f"{path}.weight"]
                delta = brick.delta(path).detach()
                is_plain = isinstance(self.model.get_submodule(path), nn.Linear)
                target += weight * (delta if is_plain else delta.T)
        return state

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


class _Tuned(nn.Module):
    """The parameters of one brick, with the call of the whole network."""

    def __init__(self, brick: nn.Module, model: nn.Module) -> None:
        super().__init__()
        self.brick = brick
        # In a tuple: the base is no part of what is trained.
        self._base = (model,)

    def forward(self, inputs: Any) -> Any:
        out = self._base[0](inputs)
        return getattr(out, "logits", out)


def _next_token(
    model: nn.Module, batch: tuple[torch.Tensor, ...], _: torch.Generator
) -> tuple[torch.Tensor, dict[str, Any]]:
    ids = batch[0]
    logits = model(ids[:, :-1])
    return nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()), {}


def _masking(mask: torch.Tensor) -> Any:
    def cut(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0] * mask.to(args[0]), *args[1:])

    return cut


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
