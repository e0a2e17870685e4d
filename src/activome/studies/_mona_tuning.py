"""What a selection is worth: a language model tuned on it, and its loss on the task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from activome.networks.training import TrainConfig, Trainer
from activome.studies._mona_model import loaded, padded, text_losses, token_ids

__all__ = ["answer_loss", "tune"]

_BATCH = 7
_LAST = 2  # blocks that are tuned


def tune(texts: Sequence[str], answers: Sequence[tuple[str, str]], epochs: int, seed: int) -> float:
    """Tune the last blocks on some texts; return the loss on answers, and put the blocks back."""
    model = loaded().model
    blocks = model.model.layers[-_LAST:]
    before = {name: value.clone() for name, value in blocks.state_dict().items()}
    model.requires_grad_(False)
    blocks.requires_grad_(True)
    ids, mask = padded(token_ids(texts))
    n_steps = epochs * (len(texts) // _BATCH)
    config = TrainConfig(
        steps=n_steps,
        batch_size=_BATCH,
        lr=1e-4,
        optimizer="adamw",
        weight_decay=0.1,
        schedule="cosine:warmup=1",
        grad_clip=1.0,
        seed=seed,
        eval_at=n_steps,
    )
    try:
        Trainer(model, _loss, config).fit((ids, mask))
        return answer_loss(answers)
    finally:
        blocks.load_state_dict(before)
        model.requires_grad_(False)
        model.eval()


def _loss(model: Any, batch: Any, _generator: Any) -> tuple[torch.Tensor, dict[str, float]]:
    ids, mask = batch
    return text_losses(model, ids, mask).mean(), {}


def answer_loss(answers: Sequence[tuple[str, str]]) -> float:
    """Return the mean loss of the tokens of the answers after their questions, in nats."""
    before = token_ids([question for question, _ in answers])
    ids = token_ids([question + answer for question, answer in answers])
    first = torch.tensor([len(item) for item in before])
    losses = []
    with torch.no_grad():
        for start in range(0, len(ids), 16):
            part = slice(start, start + 16)
            batch, mask = padded(ids[part])
            losses += text_losses(loaded().model, batch, mask, first[part]).tolist()
    return float(np.mean(losses))
