"""Optimisers and learning-rate schedules by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from activome._checks import check_choice
from activome.errors import ParameterError

if TYPE_CHECKING:
    from activome.networks._train_config import TrainConfig

__all__ = ["make_optimizer", "make_schedule"]


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimiser that a configuration names.

    Raises
    ------
    ParameterError
        If the name is unknown.
    """
    if callable(config.optimizer):
        return config.optimizer(model.parameters())
    build = _OPTIMIZERS[
        check_choice(config.optimizer, _OPTIMIZERS, name="optimizer", owner="Trainer")
    ]
    return build(model.parameters(), config)


def _adam(parameters: Any, config: TrainConfig) -> torch.optim.Optimizer:
    return torch.optim.Adam(
        parameters, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay
    )


def _adamw(parameters: Any, config: TrainConfig) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        parameters, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay
    )


def _sgd(parameters: Any, config: TrainConfig) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        parameters, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
    )


_OPTIMIZERS: dict[str, Callable[[Any, TrainConfig], torch.optim.Optimizer]] = {
    "adam": _adam,
    "adamw": _adamw,
    "sgd": _sgd,
}


def make_schedule(schedule: str | Callable[[int], float], steps: int) -> Callable[[int], float]:
    """Return the factor of the learning rate as a function of the step.

    Raises
    ------
    ParameterError
        If the name or an option is unknown, or a number cannot be read.
    """
    if callable(schedule):
        return schedule
    name, _, text = schedule.partition(":")
    check_choice(name, _SCHEDULES, name="schedule", owner="Trainer")
    defaults, build = _SCHEDULES[name]
    options = _read_options(schedule, text, defaults)
    return build(steps, options)


def _read_options(schedule: str, text: str, defaults: dict[str, float]) -> dict[str, float]:
    options = dict(defaults)
    for number, part in enumerate(filter(None, text.split(","))):
        name, has_name, value = part.partition("=")
        if not has_name:
            # A number alone is the first option: "warmup:10".
            name, value = next(iter(defaults), "") if number == 0 else "", part
        if name not in defaults:
            raise ParameterError(
                f"Trainer: schedule {schedule!r} has an unknown option {part!r}; "
                f"known: {', '.join(defaults) or 'none'}."
            )
        try:
            options[name] = float(value)
        except ValueError as error:
            raise ParameterError(
                f"Trainer: schedule {schedule!r} needs numbers; got {value!r} for {name}."
            ) from error
    if not all(math.isfinite(value) and value >= 0 for value in options.values()):
        raise ParameterError(f"Trainer: schedule {schedule!r} needs finite numbers >= 0.")
    return options


def _constant(steps: int, options: dict[str, float]) -> Callable[[int], float]:
    return lambda step: 1.0


def _warmup(steps: int, options: dict[str, float]) -> Callable[[int], float]:
    return lambda step: min(1.0, (step + 1) / max(options["steps"], 1.0))


def _cosine(steps: int, options: dict[str, float]) -> Callable[[int], float]:
    warmup = options["warmup"]

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        share = (step - warmup) / max(steps - warmup, 1.0)
        return 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))

    return factor


def _step(steps: int, options: dict[str, float]) -> Callable[[int], float]:
    return lambda step: float(options["gamma"] ** (step // max(options["every"], 1.0)))


_SCHEDULES: dict[
    str, tuple[dict[str, float], Callable[[int, dict[str, float]], Callable[[int], float]]]
] = {
    "constant": ({}, _constant),
    "warmup": ({"steps": 10.0}, _warmup),
    "cosine": ({"warmup": 0.0}, _cosine),
    "step": ({"every": 100.0, "gamma": 0.1}, _step),
}
