"""One training loop for every network: reproducible, with a log of metrics at chosen steps."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
import xarray as xr
from torch import nn

from activome._checks import check_integer, check_number
from activome._progress import Progress, silent
from activome.errors import ActivomeError
from activome.networks._batches import Batch, Sampler, make_batches
from activome.networks._optimizing import make_optimizer, make_schedule

__all__ = [
    "StopTraining",
    "TrainConfig",
    "TrainLog",
    "Trainer",
    "TrainingDiverged",
    "log_spaced",
    "seed_everything",
]

LossFunction: TypeAlias = Callable[
    [nn.Module, Batch, torch.Generator], tuple[torch.Tensor, Mapping[str, Any]]
]
Metrics: TypeAlias = Callable[[nn.Module, int], Mapping[str, Any]]
Callback: TypeAlias = Callable[["Trainer", int, Mapping[str, Any]], None]


class TrainingDiverged(ActivomeError, ArithmeticError):  # noqa: N818  # the field's word
    """The loss became NaN or infinite; the network keeps the weights of the last good step."""


class StopTraining(Exception):  # noqa: N818  # a signal, not an error
    """Raised by a callback to end training cleanly after the step."""


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
    loss_dtype: torch.dtype = torch.float32
    stop: Callable[[Mapping[str, Any]], bool] | None = None
    threads: int = 1
    device: str = "cpu"
    deterministic: bool = True


@dataclass(frozen=True)
class TrainLog:
    """What a training gave.

    Attributes
    ----------
    dataset : xarray.Dataset
        Logged metrics, dim "step"; metrics that are arrays have further dims. "loss" is the mean
        over the batches since the step logged before, each before its update: at step 0 it is the
        first batch's loss for the untrained network.
    seconds : float
        Wall time in s.
    config : TrainConfig
        How it was trained.
    """

    dataset: xr.Dataset
    seconds: float
    config: TrainConfig

    def first(self, condition: Callable[[xr.Dataset], xr.DataArray]) -> int | None:
        """Return the first logged step at which a condition holds.

        Parameters
        ----------
        condition : callable
            From the dataset to booleans over "step", such as ``lambda d: d.loss < 0.1``.

        Returns
        -------
        int or None
            None when it never holds.
        """
        holds = np.flatnonzero(np.asarray(condition(self.dataset)))
        return int(self.dataset.step.values[holds[0]]) if holds.size else None


def log_spaced(n: int, last: int) -> list[int]:
    """Return steps that are evenly spaced on a log scale.

    Parameters
    ----------
    n : int
        How many, before repeats are dropped.
    last : int
        The last step.

    Returns
    -------
    list of int
        Increasing, 0 included.

    Raises
    ------
    ParameterError
        If a number is not positive.

    Examples
    --------
    >>> log_spaced(4, 1000)
    [0, 1, 10, 100, 1000]
    """
    n = check_integer(n, name="n", owner="log_spaced", low=1)
    last = check_integer(last, name="last", owner="log_spaced", low=1)
    return sorted({0, *np.geomspace(1, last, n).round().astype(int).tolist()})


@contextlib.contextmanager
def seed_everything(seed: int) -> Iterator[None]:
    """Seed torch within a block, such as to build a network; outside nothing changes.

    Parameters
    ----------
    seed : int
        Non-negative seed.

    Returns
    -------
    context manager
        Nothing is bound; the state of torch's generator is put back at the end.

    Raises
    ------
    ParameterError
        If the seed is not a non-negative integer.
    """
    seed = check_integer(seed, name="seed", owner="seed_everything", low=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class Trainer:
    """Train a network.

    Each step: a batch is drawn and its loss computed, metrics are logged if due, then the gradient
    is computed and clipped, and the optimiser and the schedule move on. So step 0 is logged before
    any update, and the last state too. Data order and noise draw from streams of their own, so that
    one more evaluation changes no batch.

    Parameters
    ----------
    model : torch.nn.Module
        Network, trained in place.
    loss_fn : callable
        ``loss_fn(model, batch, generator)`` gives a scalar tensor and a dict of numbers to log.
    config : TrainConfig
        How to train.
    metrics : callable, optional
        ``metrics(model, step)`` gives numbers or arrays to log; called without gradients, in
        evaluation mode. Dims of arrays are named by the attribute ``metrics.dims``.
    callbacks : sequence of callable, default=()
        ``callback(trainer, step, values)`` after each logged step; raising `StopTraining` ends the
        training cleanly.
    progress : Progress, optional
        Told about every step.

    Raises
    ------
    ParameterError
        If a value of the configuration is out of range, or a name is unknown.
    ActivityError
        If there are fewer samples than a batch holds, or inputs are not finite.
    TrainingDiverged
        If the loss is not finite.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> x = torch.linspace(-1, 1, 64)[:, None]
    >>> def loss(model, batch, generator):
    ...     return ((model(batch[0]) - batch[1]) ** 2).mean(), {}
    >>> with seed_everything(0):
    ...     model = nn.Linear(1, 1)
    >>> log = Trainer(model, loss, TrainConfig(steps=300, lr=0.05, batch_size=None)).fit((x, 3 * x))
    >>> round(model.weight.item(), 2), log.first(lambda d: d.loss < 0.1)
    (3.0, 200)
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: LossFunction,
        config: TrainConfig,
        *,
        metrics: Metrics | None = None,
        callbacks: Sequence[Callback] = (),
        progress: Progress = silent,
    ) -> None:
        check_integer(config.steps, name="steps", owner="Trainer", low=1)
        check_integer(config.threads, name="threads", owner="Trainer", low=1)
        check_integer(config.seed, name="seed", owner="Trainer", low=0)
        check_number(config.lr, name="lr", owner="Trainer", low=0.0)
        if config.batch_size is not None:
            check_integer(config.batch_size, name="batch_size", owner="Trainer", low=1)
        if config.grad_clip is not None:
            check_number(config.grad_clip, name="grad_clip", owner="Trainer", low=0.0)
        self.model = model
        self.loss_fn = loss_fn
        self.config = config
        self.metrics = metrics
        self.callbacks = tuple(callbacks)
        self.progress = progress
        self.optimizer = make_optimizer(model, config)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, make_schedule(config.schedule, config.steps)
        )

    def fit(self, data: Batch | Sampler) -> TrainLog:
        """Train on data.

        Parameters
        ----------
        data : tuple of Tensor, or callable
            Tensors with one row per sample, or ``sampler(generator)`` that gives a batch.

        Returns
        -------
        TrainLog
            Metrics at the logged steps.

        Raises
        ------
        ActivityError
            If there are fewer samples than a batch holds, or inputs are not finite.
        TrainingDiverged
            If the loss is not finite.
        """
        start = time.perf_counter()
        order, noise = (
            torch.Generator().manual_seed(int(child.generate_state(1)[0]))
            for child in np.random.SeedSequence(self.config.seed).spawn(2)
        )
        batches = make_batches(data, self.config.batch_size, order)
        rows: list[tuple[int, dict[str, Any]]] = []
        losses: list[float] = []
        with _scope(self.config, noise.initial_seed()):
            self.model.to(self.config.device)
            self.model.train()
            for step in range(self.config.steps + 1):
                loss, extra = self._loss(next(batches), noise)
                losses.append(float(loss.detach()))
                if not math.isfinite(losses[-1]):
                    raise TrainingDiverged(
                        f"Trainer.fit: the loss must stay finite; it is {losses[-1]} at step "
                        f"{step}. Lower the learning rate, or clip the gradient."
                    )
                if step in (0, self.config.steps) or self._is_due(step):
                    values = {"loss": float(np.mean(losses)), **extra, **self._measured(step)}
                    rows.append((step, values))
                    losses = []
                    if self._ends(step, values):
                        break
                if step < self.config.steps:
                    self._update(loss)
                    self.progress("train", step + 1, self.config.steps)
            self.model.eval()
        return TrainLog(self._dataset(rows), time.perf_counter() - start, self.config)

    def _loss(self, batch: Batch, noise: torch.Generator) -> tuple[torch.Tensor, Mapping[str, Any]]:
        moved = tuple(part.to(self.config.device) for part in batch)
        loss, extra = self.loss_fn(self.model, moved, noise)
        return loss.to(self.config.loss_dtype), extra

    def _update(self, loss: torch.Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.grad_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_clip)
        self.optimizer.step()
        self.scheduler.step()

    def _is_due(self, step: int) -> bool:
        due = self.config.eval_at
        if callable(due):
            return bool(due(step))
        return step % due == 0 if isinstance(due, int) else step in due

    def _measured(self, step: int) -> Mapping[str, Any]:
        if self.metrics is None:
            return {}
        self.model.eval()
        try:
            with torch.no_grad():
                return dict(self.metrics(self.model, step))
        finally:
            self.model.train()

    def _ends(self, step: int, values: Mapping[str, Any]) -> bool:
        try:
            for callback in self.callbacks:
                callback(self, step, values)
        except StopTraining:
            return True
        return self.config.stop is not None and bool(self.config.stop(values))

    def _dataset(self, rows: list[tuple[int, dict[str, Any]]]) -> xr.Dataset:
        dims = getattr(self.metrics, "dims", {})
        variables = {}
        for name in rows[0][1]:
            values = np.stack([np.asarray(row[name], dtype=np.float64) for _, row in rows])
            default = tuple(f"{name}_{k}" for k in range(values.ndim - 1))
            variables[name] = (("step", *dims.get(name, default)), values)
        return xr.Dataset(variables, coords={"step": [step for step, _ in rows]})


@contextlib.contextmanager
def _scope(config: TrainConfig, noise_seed: int) -> Iterator[None]:
    """Set threads, determinism and the seed of dropout, and put everything back afterwards."""
    threads = torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    try:
        torch.set_num_threads(config.threads)
        torch.use_deterministic_algorithms(config.deterministic)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(noise_seed)
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)
