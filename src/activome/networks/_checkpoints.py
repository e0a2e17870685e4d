"""Checkpoints of a training: everything that a bit-equal continuation needs, without pickle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn

from activome._files import atomic_path
from activome.errors import ParameterError, StoreError

if TYPE_CHECKING:
    from activome.networks.training import Trainer

__all__ = ["Checkpoint", "keep", "restore"]

_FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training before the update of one step.

    Attributes
    ----------
    step : int
        Updates done.
    path : Path or None
        File that holds the state.
    state : dict or None
        The state itself, where there is no file.

    Raises
    ------
    StoreError
        If the file is missing, damaged, or of another format.
    ParameterError
        If the weights do not fit the network.
    """

    step: int
    path: Path | None = None
    state: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Find the checkpoint that is in a file.

        Parameters
        ----------
        path : path-like
            File of a checkpoint.

        Returns
        -------
        Self
            The checkpoint; the file must stay where it is.

        Raises
        ------
        StoreError
            If the file is missing, damaged, or of another format.
        """
        return cls(int(_load(Path(path))["step"]), Path(path))

    def load(self) -> dict[str, Any]:
        """Return the state.

        Returns
        -------
        dict
            "format", "step", "config", "model", "optimizer", "schedule", "batches", "noise",
            "dropout" and "losses".

        Raises
        ------
        StoreError
            If the file is missing, damaged, or of another format.
        """
        if self.path is not None:
            return _load(self.path)
        return dict(_copied(self.state))

    def apply(self, model: nn.Module) -> nn.Module:
        """Give a network the weights of the checkpoint.

        Parameters
        ----------
        model : torch.nn.Module
            A network of the same shape; changed in place.

        Returns
        -------
        torch.nn.Module
            The same network.

        Raises
        ------
        ParameterError
            If a weight is missing or has another shape; the first one is named.
        """
        return _apply(model, self.load()["model"])


def keep(
    trainer: Trainer, step: int, batches: Any, noise: torch.Generator, losses: list[float]
) -> Checkpoint:
    """Keep the state of a training, in a file where the trainer has a folder."""
    state = {
        "format": _FORMAT,
        "step": step,
        "config": {name: _plain(value) for name, value in asdict(trainer.config).items()},
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "schedule": trainer.scheduler.last_epoch,
        "batches": batches.state(),
        "noise": noise.get_state(),
        "dropout": torch.get_rng_state(),
        "losses": list(losses),
    }
    if trainer.checkpoint_dir is None:
        return Checkpoint(step, state=_copied(state))
    trainer.checkpoint_dir.mkdir(parents=True, exist_ok=True)
    path = trainer.checkpoint_dir / f"step-{step:08d}.pt"
    with atomic_path(path) as temporary:
        torch.save(state, temporary)
    return Checkpoint(step, path)


def restore(trainer: Trainer, checkpoint: Checkpoint) -> dict[str, Any]:
    """Put network, optimiser and schedule of a trainer where they were; return the whole state."""
    state = checkpoint.load()
    _apply(trainer.model, state["model"])
    try:
        trainer.optimizer.load_state_dict(state["optimizer"])
    except (ValueError, KeyError) as error:
        raise ParameterError(
            f"Trainer.resume: the optimiser must be the one of the checkpoint: {error}."
        ) from error
    scheduler = trainer.scheduler
    scheduler.last_epoch = int(state["schedule"])
    factor = scheduler.lr_lambdas[0](scheduler.last_epoch)
    for group in trainer.optimizer.param_groups:
        group["initial_lr"] = trainer.config.lr
        group["lr"] = trainer.config.lr * factor
    return state


def _apply(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> nn.Module:
    own = model.state_dict()
    for name in [*own, *weights]:
        found, wanted = (
            None if s.get(name) is None else tuple(s[name].shape) for s in (weights, own)
        )
        if found != wanted:
            raise ParameterError(
                f"Checkpoint.apply: the network must have the weights of the checkpoint; {name!r} "
                f"is {_shape(wanted)} in the network and {_shape(found)} in the checkpoint."
            )
    model.load_state_dict(weights)
    return model


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else f"of shape {shape}"


def _load(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = state["format"]
    except Exception as error:  # a damaged file can raise anything
        raise StoreError(
            f"Checkpoint.read: {path} is missing, damaged or no checkpoint: "
            f"{type(error).__name__}. Train again, or go on from another checkpoint."
        ) from error
    if found != _FORMAT:
        raise StoreError(
            f"Checkpoint.read: {path} was written in format {found!r}; this version reads format "
            f"{_FORMAT}."
        )
    return state


def _plain(value: Any) -> Any:
    """Return a value of a configuration as number, text or list; functions by their name."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return getattr(value, "__qualname__", str(value))


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value
