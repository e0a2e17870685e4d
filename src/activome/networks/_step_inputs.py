"""Numbers as the input of networks that step through time: currents or spikes."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from activome._random import content_generator
from activome.errors import ActivityError

__all__ = ["ENCODINGS", "Encoding", "check_unit_interval", "encode"]

Encoding = Literal["current", "poisson", "latency"]
ENCODINGS = ("current", "poisson", "latency")
# Intensities below it stay silent, as in activome.encoding.LatencyEncoder.
_LEAST = 0.01


def check_unit_interval(values: np.ndarray[Any, Any], *, owner: str, most: float = 1.0) -> None:
    """Refuse intensities outside [0, most].

    Raises
    ------
    ActivityError
        If one is.
    """
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > most:
        raise ActivityError(
            f"{owner}: inputs must be from 0 to {most:g}; they run from {low:g} to {high:g}. "
            "Rescale them first."
        )


def encode(values: Tensor, encoding: str, n_steps: int, source: torch.Generator | int) -> Tensor:
    """Return the input of each step.

    Parameters
    ----------
    values : torch.Tensor, shape (n_samples, ...)
        Intensities; in [0, 1] unless they are currents.
    encoding : {"current", "poisson", "latency"}
        The same current in every step; a spike with chance x in each; or one spike, in the step
        nearest to ``(n_steps - 1)(1 - x)``.
    n_steps : int
        Steps.
    source : torch.Generator or int
        Where chance comes from: a stream, one draw after the other, for training; or a seed, which
        gives a sample the same spikes whichever others are there, and fewer steps the first ones.

    Returns
    -------
    torch.Tensor, shape (n_steps, n_samples, ...)
        Currents (a view), or spikes.
    """
    shape = (n_steps, *values.shape)
    if encoding == "current":
        return values.expand(shape)
    if encoding == "poisson":
        drawn = (
            _drawn_by_content(values, n_steps, source)
            if isinstance(source, int)
            else torch.rand(shape, generator=source, dtype=values.dtype)
        )
        return (drawn.to(values.device) < values).to(values.dtype)
    when = torch.round((n_steps - 1) * (1 - values))
    when = when.masked_fill(values < _LEAST, n_steps)
    steps = torch.arange(n_steps, device=values.device).reshape(-1, *[1] * values.ndim)
    return (steps == when).to(values.dtype)


def _drawn_by_content(values: Tensor, n_steps: int, seed: int) -> Tensor:
    # In float64 a sample is the same numbers for networks of every precision.
    samples = values.double().numpy(force=True)
    drawn = [content_generator(seed, one).random((n_steps, *one.shape)) for one in samples]
    return torch.from_numpy(np.stack(drawn, axis=1))
