"""One training loop for every network: reproducible, with a log of metrics at chosen steps."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import torch
import xarray as xr
from torch import nn

from activome._checks import check_integer, check_number
from activome._progress import Progress, silent
from activome.errors import ActivomeError, ParameterError
from activome.networks._batches import Batch, Sampler, make_batches
from activome.networks._checkpoints import Checkpoint, keep, restore
from activome.networks._optimizing import make_optimizer, make_schedule
from activome.networks._train_config import TrainConfig, is_due

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
    checkpoints : mapping of int to Checkpoint
        States by step, as they were before the update of that step.
    """

    dataset: xr.Dataset
    seconds: float
    config: TrainConfig
    checkpoints: Mapping[int, Checkpoint] = field(default_factory=dict)

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
    checkpoint_dir : path-like, optional
        Folder for the checkpoints of ``config.checkpoint_at``; without it they stay in memory.

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
        checkpoint_dir: str | os.PathLike[str] | None = None,
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
        self.checkpoint_dir = None if checkpoint_dir is None else Path(checkpoint_dir)
        self._resumed: dict[str, Any] | None = None
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
        kept: dict[int, Checkpoint] = {}
        with _scope(self.config, noise.initial_seed()):
            self.model.to(self.config.device)
            self.model.train()
            first = self._go_on(batches, noise, losses)
            for step in range(first, self.config.steps + 1):
                if is_due(step, self.config.checkpoint_at):
                    kept[step] = keep(self, step, batches, noise, losses)
                loss, extra = self._loss(next(batches), noise)
                losses.append(float(loss.detach()))
                if not math.isfinite(losses[-1]):
                    raise TrainingDiverged(
                        f"Trainer.fit: the loss must stay finite; it is {losses[-1]} at step "
                        f"{step}. Lower the learning rate, or clip the gradient."
                    )
                if step in (0, self.config.steps) or is_due(step, self.config.eval_at):
                    values = {"loss": float(np.mean(losses)), **extra, **self._measured(step)}
                    rows.append((step, values))
                    losses.clear()
                    if self._ends(step, values):
                        break
                if step < self.config.steps:
                    self._update(loss)
                    self.progress("train", step + 1, self.config.steps)
            self.model.eval()
        return TrainLog(self._dataset(rows), time.perf_counter() - start, self.config, kept)

    def resume(self, checkpoint: Checkpoint | str | os.PathLike[str]) -> Self:
        """Let the next ``fit`` go on from a checkpoint, as if there had been no break.

        Parameters
        ----------
        checkpoint : Checkpoint or path-like
            One of ``TrainLog.checkpoints``, or its file.

        Returns
        -------
        Self
            The trainer; its network has the weights of the checkpoint.

        Raises
        ------
        StoreError
            If the file is missing, damaged, or of another format.
        ParameterError
            If the network or the optimiser is not the one of the checkpoint, or the checkpoint is
            beyond ``config.steps``.

        Notes
        -----
        With the data and the configuration of before, weights and losses are equal bit by bit to
        those of an uninterrupted training; the log begins at the step of the checkpoint.
        """
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = Checkpoint.read(checkpoint)
        if checkpoint.step > self.config.steps:
            raise ParameterError(
                f"Trainer.resume: the checkpoint must be within the {self.config.steps} steps of "
                f"the configuration; it is at step {checkpoint.step}."
            )
        self._resumed = restore(self, checkpoint)
        return self

    def _go_on(self, batches: Any, noise: torch.Generator, losses: list[float]) -> int:
        """Put streams where a checkpoint left them, and return the step to begin with."""
        state, self._resumed = self._resumed, None
        if state is None:
            return 0
        batches.load_state(state["batches"])
        noise.set_state(state["noise"])
        torch.set_rng_state(state["dropout"])
        losses.extend(state["losses"])
        return int(state["step"])

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
