"""Texts of seven functions for the study of bricks, in an order that mixes their templates."""

from __future__ import annotations

import functools

import numpy as np

from activome.samples.corpora import FUNCTIONS, function_corpora

__all__ = ["FUNCTIONS", "texts_of"]

_MOST = 150


@functools.cache
def _shuffled(function: str, seed: int) -> list[str]:
    texts = function_corpora(_MOST, [function], random_state=seed).text
    order = np.random.default_rng([seed, FUNCTIONS.index(function)]).permutation(_MOST)
    return [str(text) for text in texts.iloc[order]]


def texts_of(function: str, n: int, seed: int) -> list[str]:
    """Return different texts that need one of the functions, at most 150."""
    return _shuffled(function, seed)[:n]
