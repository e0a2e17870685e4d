"""What a training is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["TrainConfig", "is_due"]


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Attributes
    ----------
    steps : int
        Optimiser steps.
    batch_size : int or None, default=64
        Samples per step, drawn without replacement until all were used; None takes all data. Data
        left over at the end of a pass that do not fill a batch are dropped.
    lr : float, default=1e-3
        Learning rate.
    optimizer : {"adam", "adamw", "sgd"} or callable, default="adam"
        A callable takes the parameters and gives a torch optimiser.
    betas : tuple of float, default=(0.9, 0.999)
        Decay of Adam's averages.
    weight_decay : float, default=0.0
        Weight decay; decoupled from the gradient for "adamw".
    momentum : float, default=0.0
        Momentum of "sgd".
    schedule : str or callable, default="constant"
        "constant", "warmup:10", "cosine:warmup=100", "step:every=20,gamma=0.1", or a function from
        the step to a factor of the learning rate.
    grad_clip : float, optional
        Largest norm of the gradient.
    seed : int, default=0
        Seed of data order and of noise, each a stream of its own.
    eval_at : int, sequence of int, or callable, default=100
        Steps at which metrics are logged: every n steps, these steps, or those a function of the
        step is true for. Step 0 and the last are always logged.
    checkpoint_at : int, sequence of int, or callable, optional
        Steps at which a checkpoint is kept: every n steps, these steps, or those a function of the
        step is true for.
    loss_dtype : torch.dtype, default=torch.float32
        Precision of the loss.
    stop : callable, optional
        From the logged metrics to whether to stop.
    threads : int, default=1
        Threads of torch during the training.
    device : str, default="cpu"
        Where the training runs.
    deterministic : bool, default=True
        Whether only reproducible kernels are allowed.
    """

    steps: int
    batch_size: int | None = 64
    lr: float = 1e-3
    optimizer: str | Callable[[Any], torch.optim.Optimizer] = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    momentum: float = 0.0
    schedule: str | Callable[[int], float] = "constant"
    grad_clip: float | None = None
    seed: int = 0
    eval_at: int | Sequence[int] | Callable[[int], bool] = 100
    checkpoint_at: int | Sequence[int] | Callable[[int], bool] | None = None
    loss_dtype: torch.dtype = torch.float32
    stop: Callable[[Mapping[str, Any]], bool] | None = None
    threads: int = 1
    device: str = "cpu"
    deterministic: bool = True


def is_due(step: int, due: int | Sequence[int] | Callable[[int], bool] | None) -> bool:
    """Return whether what is done every n steps, or at some steps, is done at this one."""
    if due is None:
        return False
    if callable(due):
        return bool(due(step))
    return step % due == 0 if isinstance(due, int) else step in due
