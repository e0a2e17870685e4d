"""Features of heads: by hand, at their limits, under padding, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import entropy

from activome.errors import ActivityError
from activome.interventions.head_features import head_features


def patterns(n_prompts: int = 3, n_heads: int = 2, n_positions: int = 6, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    scores = np.exp(rng.normal(size=(n_prompts, n_heads, n_positions, n_positions)))
    scores = np.tril(scores)
    attn = scores / scores.sum(axis=3, keepdims=True)
    return attn, rng.normal(size=(n_prompts, n_positions, n_heads, 4))


def test_by_hand() -> None:
    attn = np.zeros((1, 1, 4, 4))
    attn[0, 0, 3] = [0.5, 0.25, 0.25, 0.0]
    h = np.zeros((1, 4, 1, 2))
    h[0, 3, 0] = [3.0, 4.0]
    found = head_features(attn, h).sel(sample=0, head=0)
    assert found.sel(feature="output_norm") == 5.0
    assert found.sel(feature="attention_mean") == pytest.approx(0.5 / 3)
    assert found.sel(feature="entropy") == pytest.approx(np.log(2) / np.log(3))
    assert found.sel(feature="maximum") == 0.25
    assert found.sel(feature="distance") == pytest.approx((2 + 1) / 2)
    hoyer = (np.sqrt(3) - 1 / np.sqrt(0.5)) / (np.sqrt(3) - 1)
    assert found.sel(feature="sparsity") == pytest.approx(hoyer)


def test_against_scipy_and_at_the_limits() -> None:
    attn, h = patterns()
    attn[0, 0, -1], attn[0, 1, -1] = np.full(6, 1 / 6), [0.1, 0, 0.9, 0, 0, 0]
    found = head_features(attn, h)
    wanted = entropy(attn[:, :, -1, 1:], axis=2) / np.log(5)
    np.testing.assert_allclose(found.sel(feature="entropy"), wanted, atol=1e-12)
    np.testing.assert_allclose(found.values[0, 0, [2, 5]], [1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(found.values[0, 1, [2, 4, 5]], [0.0, 3.0, 1.0], atol=1e-12)


def test_padding_on_either_side_changes_nothing() -> None:
    attn, h = patterns()
    plain = head_features(attn, h)
    for first in (0, 2):
        wide, long = np.zeros((3, 2, 8, 8)), np.zeros((3, 8, 2, 4))
        wide[:, :, first : first + 6, first : first + 6] = attn
        long[:, first : first + 6] = h
        mask = np.zeros((3, 8), dtype=bool)
        mask[:, first : first + 6] = True
        np.testing.assert_allclose(head_features(wide, long, mask=mask), plain, rtol=1e-12)


def test_refusals() -> None:
    attn, h = patterns()
    with pytest.raises(ActivityError, match="n_prompts, n_heads"):
        head_features(attn, h[:, :, :1])
    with pytest.raises(ActivityError, match="finite"):
        head_features(attn * np.nan, h)
    with pytest.raises(ActivityError, match="at least 0"):
        head_features(-attn, h)
    with pytest.raises(ActivityError, match="three real positions"):
        head_features(attn[:, :, :2, :2], h[:, :2])
    sink = attn.copy()
    sink[1, 0, -1] = [1.0, 0, 0, 0, 0, 0]
    with pytest.raises(ActivityError, match="prompt 1, head 0 has none"):
        head_features(sink, h)
