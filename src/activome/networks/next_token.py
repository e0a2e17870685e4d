"""The loss that language models are trained with, in the form that ``Trainer`` takes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

__all__ = ["next_token_loss"]


def next_token_loss(
    model: nn.Module, batch: tuple[torch.Tensor, ...], generator: torch.Generator
) -> tuple[torch.Tensor, dict[str, Any]]:
    """Return the cross-entropy of each next token of a batch.

    Parameters
    ----------
    model : torch.nn.Module
        From token ids to logits.
    batch : tuple of Tensor
        Token ids (n_sequences, n_positions + 1), and what else the loss does not look at.
    generator : torch.Generator
        Not used: the loss has no noise of its own.

    Returns
    -------
    tuple of (Tensor, dict)
        The mean loss in nats, and nothing further to log.

    Examples
    --------
    >>> import torch
    >>> uniform = torch.nn.Embedding.from_pretrained(torch.zeros(5, 5))
    >>> loss, _ = next_token_loss(uniform, (torch.ones(2, 4, dtype=int),), torch.Generator())
    >>> round(float(loss.exp()), 3)
    5.0
    """
    ids = batch[0]
    logits = model(ids[:, :-1])
    return nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()), {}
