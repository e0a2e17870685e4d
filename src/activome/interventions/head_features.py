"""Features of attention heads: where a head looks from one position, and how much it writes."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from activome._checks import check_finite
from activome.errors import ActivityError

__all__ = ["head_features"]

Array = np.ndarray[Any, Any]
FEATURES = ("output_norm", "attention_mean", "entropy", "maximum", "distance", "sparsity")


def head_features(attn: ArrayLike, h: ArrayLike, *, mask: ArrayLike | None = None) -> xr.DataArray:
    """Describe each head of a layer on each prompt by six numbers, at its last position.

    The attention to the first real position is left out, since most heads of language models rest
    there when they have nothing to do, and would be described by that alone.

    Parameters
    ----------
    attn : array-like of float, shape (n_prompts, n_heads, n_positions, n_positions)
        Attention, a row per query, at least 0; of "attn_pattern".
    h : array-like of float, shape (n_prompts, n_positions, n_heads, n_features)
        Outputs of the heads, of "head_out".
    mask : array-like of bool, shape (n_prompts, n_positions), optional
        Real positions, one stretch of at least three per prompt; by default all.

    Returns
    -------
    xarray.DataArray of float64
        Dims (sample, head, feature), with the features

        - output_norm: length of the output, in units of the stream;
        - attention_mean: mean weight of a key, 1 over the number of keys where none rests;
        - entropy: of the weights scaled to a sum of 1, over its largest value: 0 to 1;
        - maximum: largest weight;
        - distance: mean distance of query and key under the scaled weights, in positions;
        - sparsity: 0 where all keys have equal weight, 1 where one key has it all (Hoyer).

    Raises
    ------
    ActivityError
        If the shapes do not fit, a value is not finite, a weight is negative, a prompt has fewer
        than three real positions, or a row gives the first position all its weight.

    Notes
    -----
    Numbers of prompts of different length differ by that alone in all but the first: compare
    prompts of one length.

    References
    ----------
    .. [1] H. Fartale, A. Kattamuri, R. Raja, A. Vats, I. Prasad and A. K. Moharir, "Disentangling
       recall and reasoning in transformer models through layer-wise attention and activation
       analysis", 2025.
    .. [2] P. O. Hoyer, "Non-negative matrix factorization with sparseness constraints", 2004.

    Examples
    --------
    >>> import numpy as np
    >>> attn = np.tril(np.ones((1, 1, 3, 3))) / np.array([1.0, 2.0, 3.0])[:, np.newaxis]
    >>> found = head_features(attn, np.ones((1, 3, 1, 4)))
    >>> dict(zip(found.feature.values.tolist(), found.values[0, 0].round(2).tolist()))["entropy"]
    1.0
    """
    owner = "head_features"
    pattern, output = np.asarray(attn, dtype=np.float64), np.asarray(h, dtype=np.float64)
    real = _check(pattern, output, mask, owner)
    n_prompts, n_heads, n_positions, _ = pattern.shape
    rows = np.arange(n_prompts)
    first = real.argmax(axis=1)
    last = n_positions - 1 - real[:, ::-1].argmax(axis=1)
    keys = real & (np.arange(n_positions) > first[:, np.newaxis])
    weight = np.where(keys[:, np.newaxis], pattern[rows, :, last], 0.0)  # prompt, head, key
    total = weight.sum(axis=2)
    if (total <= 0).any():
        prompt, head = np.argwhere(total <= 0)[0]
        raise ActivityError(
            f"{owner}: each row must leave weight for keys after the first; prompt {prompt}, head "
            f"{head} has none. Leave the head out, or give attention in higher precision."
        )
    n_keys = keys.sum(axis=1)[:, np.newaxis].astype(np.float64)
    share = weight / total[..., np.newaxis]
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    back = last[:, np.newaxis] - np.arange(n_positions)
    peak = np.sqrt((share**2).sum(axis=2))
    found = np.stack(
        [
            np.linalg.norm(output[rows, last], axis=2),
            total / n_keys,
            -(share * logs).sum(axis=2) / np.log(n_keys),
            weight.max(axis=2),
            (share * back[:, np.newaxis]).sum(axis=2),
            (np.sqrt(n_keys) - 1 / peak) / (np.sqrt(n_keys) - 1),
        ],
        axis=2,
    )
    coords = {"head": np.arange(n_heads), "feature": list(FEATURES)}
    return xr.DataArray(found, coords, ("sample", "head", "feature"), name="head_features")


def _check(pattern: Array, output: Array, mask: ArrayLike | None, owner: str) -> Array:
    n = pattern.shape
    fits = pattern.ndim == 4 and output.ndim == 4 and n[2] == n[3]
    if not fits or output.shape[:3] != (n[0], n[2], n[1]):
        raise ActivityError(
            f"{owner}: attn must be (n_prompts, n_heads, n_positions, n_positions) and h "
            f"(n_prompts, n_positions, n_heads, n_features); got {n} and {output.shape}."
        )
    for values, axes, what in (
        (pattern, ("prompt", "head", "query", "key"), "attention"),
        (output, ("prompt", "position", "head", "feature"), "output"),
    ):
        check_finite(values, owner=owner, axes=axes, what=what, cure="Check the recording.")
    if (pattern < 0).any():
        raise ActivityError(
            f"{owner}: attention must be at least 0; the smallest weight is {pattern.min():g}. "
            "Give the pattern after the softmax."
        )
    real = np.ones((n[0], n[2]), dtype=bool) if mask is None else np.asarray(mask).astype(bool)
    if real.shape != (n[0], n[2]) or (n[0] and real.sum(axis=1).min() < 3):
        raise ActivityError(
            f"{owner}: mask must be (n_prompts, n_positions) = ({n[0]}, {n[2]}), with at least "
            f"three real positions per prompt; got shape {real.shape}."
        )
    return real
