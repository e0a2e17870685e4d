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
from activome.networks._brick_lookup import BrickLookup
from activome.networks._brick_parts import fingerprint
from activome.networks._brick_update import TunedBrick, only
from activome.networks.bricks import Brick, LoRABrick, NeuronBrick
from activome.networks.next_token import next_token_loss
from activome.networks.training import TrainConfig, Trainer, TrainLog

__all__ = ["BrickModel"]

Array = np.ndarray[Any, Any]
Active = Sequence[str] | Mapping[str, float]
_NAME = re.compile(r"^[A-Za-z0-9_ -]+$")


class BrickModel(BrickLookup):
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
        batch = (data,) if isinstance(data, torch.Tensor) else data
        with only(brick, self), self.active([name]):
            return Trainer(TunedBrick(brick, self.model), loss_fn or next_token_loss, config).fit(
                batch
            )

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


def _masking(mask: torch.Tensor) -> Any:
    def cut(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0] * mask.to(args[0]), *args[1:])

    return cut
