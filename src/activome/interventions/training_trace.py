"""Follow the residual stream of a transformer while it is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from activome._progress import Progress, silent
from activome.geometry.massive import massive_ratio
from activome.interventions.taps import Taps
from activome.networks.next_token import next_token_loss
from activome.networks.training import TrainConfig, Trainer, seed_everything

__all__ = ["training_trace"]


def training_trace(
    make_model: Callable[[], nn.Module],
    data: Any,
    config: TrainConfig,
    probes: torch.Tensor,
    *,
    site: str = "resid_post[*]",
    progress: Progress = silent,
) -> xr.Dataset:
    """Train a language model and measure how massive its activations are at each logged step.

    Parameters
    ----------
    make_model : callable
        Builds the network; called with torch seeded by ``config.seed``. It takes token ids
        (n_sequences, n_positions) and gives logits, as ``TinyGPT`` does.
    data : tuple of Tensor, or callable
        Sequences of token ids (n_sequences, n_positions + 1), or a sampler of such batches, as
        ``Trainer.fit`` takes them. Every token but the first is predicted.
    config : TrainConfig
        How to train; ``eval_at`` says when to measure.
    probes : Tensor of int64, shape (n_probes, n_positions)
        Sequences that the statistic is taken on.
    site : str, default="resid_post[*]"
        Stream of each layer, as ``Taps`` names it.
    progress : Progress, default=silent
        Told about every step.

    Returns
    -------
    xarray.Dataset
        "ratio" (step, layer), the mean ratio of the largest to the median magnitude; "largest" and
        "median" (step, layer), means over probes; "attention" (step, layer), the mean attention of
        later positions to the first, for networks with explicit attention; "loss" and "lr" (step).

    Raises
    ------
    ParameterError
        If the network has no such site, or a value of the configuration is out of range.

    Notes
    -----
    A change of the learning rate bends the curves; "lr" tells where.

    Examples
    --------
    >>> import torch
    >>> from activome.networks import TinyGPT, TrainConfig
    >>> ids = torch.randint(5, (64, 9), generator=torch.Generator().manual_seed(0))
    >>> config = TrainConfig(20, eval_at=10)
    >>> make = lambda: TinyGPT(5, 8, d_model=8, n_heads=2)
    >>> trace = training_trace(make, (ids,), config, ids[:3, :8])
    >>> dict(trace.ratio.sizes)
    {'step': 3, 'layer': 2}
    """
    with seed_everything(config.seed):
        model = make_model()
    taps = Taps(model)
    streams = [found.label for found in taps.sites(site)]
    patterns = [found.label for found in taps.sites() if found.name == "attn_pattern"]

    class Metrics:
        dims: Mapping[str, tuple[str, ...]] = dict.fromkeys(
            ("ratio", "largest", "median", "attention"), ("layer",)
        )

        def __call__(self, model: nn.Module, step: int) -> dict[str, Any]:
            with taps.record(*streams, *patterns) as recording:
                model(probes)
            h = torch.stack([recording.tensor(label) for label in streams], 1).numpy()
            flat = np.abs(h).reshape(*h.shape[:2], -1)
            found = {
                "ratio": massive_ratio(h).values,
                "largest": flat.max(-1).mean(0),
                "median": np.median(flat, axis=-1).mean(0),
                "lr": float(trainer.scheduler.get_last_lr()[0]),
            }
            if patterns:
                seen = [recording.tensor(label)[:, :, 1:, 0].mean() for label in patterns]
                found["attention"] = np.array([float(value) for value in seen])
            return found

    trainer = Trainer(model, next_token_loss, config, metrics=Metrics(), progress=progress)
    return trainer.fit(data).dataset
