"""Sums of a block that stand for it in EM, and how the sums of two neighbours are joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp

from activome.patterns._population_hmm_kernels import block_messages

__all__ = ["BlockSums", "close", "join", "summarise_block"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class BlockSums:
    """Expectations of EM over a stretch of bins, for every state of its first and last bin.

    Attributes
    ----------
    joint : ndarray, shape (n_states, n_states)
        Log probability of the bins and of the last state, given the first state.
    pairs : ndarray, shape (n_states, n_states, n_states, n_states)
        Expected transitions, given first and last state.
    moments : ndarray, shape (n_states, n_states, n_states, 1 + k n_units)
        Expected bins, and sums of the values (and of their squares) in each state.
    transition : ndarray, shape (n_states, n_states)
        Transition probabilities from the last bin to the next.
    """

    joint: Array
    pairs: Array
    moments: Array
    transition: Array


def summarise_block(features: Array, log_b: Array, transition: Array) -> BlockSums:
    """Return the sums of a block; ``features`` are (n_times, 1 + k n_units), ones first."""
    n_times, n_states = log_b.shape
    joint = np.empty((n_states, n_states))
    gamma = np.empty((n_states, n_states, n_times, n_states))
    pairs = np.zeros((n_states,) * 4)
    block_messages(log_b, transition, joint, gamma, pairs)
    weights = gamma.swapaxes(2, 3).reshape(n_states**3, n_times)
    moments = (weights @ features).reshape(n_states, n_states, n_states, -1)
    return BlockSums(joint, pairs, moments, transition)


def join(a: BlockSums, b: BlockSums) -> BlockSums:
    """Return the sums of two neighbours, ``a`` first: the states where they meet are summed out."""
    n_states = len(a.joint)
    with np.errstate(divide="ignore"):
        step = np.log(a.transition)
    # Paths i -> (k -> l) -> j: k is the last state of a, and l the first one of b.
    paths = a.joint[:, :, None, None] + step[None, :, :, None] + b.joint[None, None]
    joint = np.asarray(logsumexp(paths, axis=(1, 2)))
    with np.errstate(invalid="ignore"):
        weight = np.exp(paths - joint[:, None, None, :])
    weight = np.where(np.isfinite(joint)[:, None, None, :], weight, 0.0)
    first = weight.sum(axis=2)
    second = weight.sum(axis=1)
    pairs = np.einsum("ikj,ikab->ijab", first, a.pairs)
    pairs += np.einsum("ilj,ljab->ijab", second, b.pairs)
    pairs += np.einsum("iklj->ijkl", weight)
    moments = np.einsum("ikj,iksf->ijsf", first, a.moments, optimize=True)
    moments += np.einsum("ilj,ljsf->ijsf", second, b.moments, optimize=True)
    return BlockSums(joint, pairs, moments.reshape(n_states, n_states, n_states, -1), b.transition)


def close(sums: BlockSums, initial: Array) -> tuple[float, Array, Array, Array]:
    """Return log likelihood, probabilities of the first state, transitions and moments."""
    with np.errstate(divide="ignore"):
        paths = np.log(initial)[:, np.newaxis] + sums.joint
    likelihood = float(logsumexp(paths))
    weight = np.exp(paths - likelihood)
    pairs = np.einsum("ij,ijab->ab", weight, sums.pairs)
    return likelihood, weight.sum(axis=1), pairs, np.einsum("ij,ijsf->sf", weight, sums.moments)
