"""Rank of a tensor of affinities: stable, and beyond what unrelated units of that memory give."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from activome.activity.nulls import circular_shift
from activome.activity.statistics import monte_carlo_p
from activome.errors import ConvergenceWarning
from activome.graphs.affinity import pair_affinity
from activome.patterns.tensor import NonnegativeCP
from activome.patterns.tensor_rank import choose_rank

__all__ = ["affinity_rank", "affinity_tensor", "shifted"]

Array = np.ndarray[Any, Any]
_ALPHA = 0.05


def affinity_tensor(roots: Array) -> Array:
    """Return affinities (pair, time, trial) of all pairs from signed roots (trial, time, unit)."""
    first, second = np.triu_indices(roots.shape[2], 1)
    return np.ascontiguousarray(pair_affinity(roots, first, second).transpose(2, 1, 0))


def affinity_rank(
    roots: Array,
    tensor: Array,
    mask: Array | None,
    max_rank: int,
    n_surrogates: int,
    generator: np.random.Generator,
    options: dict[str, Any],
) -> tuple[int, list[float]]:
    """Choose the rank, and return the p-value of each step from rank 2 on that was tested.

    Neighbouring times are alike, and so held-out entries are predicted by parts of noise as well.
    Each step up to what ``choose_rank`` supports must therefore lower the error by more than it
    does for units shifted in time by lags of their own; the first that does not ends the search.
    """
    smallest = sorted(tensor.shape)[:2]
    most = min(max_rank, smallest[0] * smallest[1])
    # One start of the same seed for the data and the surrogates.
    seed = int(generator.integers(2**31))
    level = max(_ALPHA, 1 / (1 + n_surrogates))

    def step_to(rank: int) -> float:
        test = monte_carlo_p(
            _drop(tensor, mask, rank, seed, options),
            lambda: _drop(affinity_tensor(shifted(roots, generator)), mask, rank, seed, options),
            n_surrogates,
            stop_after=1,
        )
        return test.p_value

    p_values: list[float] = []
    while len(p_values) + 1 < most:
        p_values.append(step_to(len(p_values) + 2))
        if p_values[-1] > level:
            return len(p_values), p_values
        if len(p_values) == 1:
            # The dearer question only where there is anything at all.
            found = choose_rank(tensor, most, mask=mask, random_state=generator, **options)
            most = found.rank
    return most, p_values


def _drop(
    tensor: Array, mask: Array | None, rank: int, seed: int, options: dict[str, Any]
) -> float:
    errors = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for r in (rank - 1, rank):
            model = NonnegativeCP(r, random_state=seed, **{**options, "n_init": 1})
            errors.append(model.fit(tensor, mask).error_)
    return errors[0] - errors[1]


def shifted(roots: Array, generator: np.random.Generator) -> Array:
    """Return roots with each unit moved around the recording by a lag of its own."""
    n_trials, n_times, n_units = roots.shape
    # Changes are shifted, not traces, which would jump where their ends meet.
    offsets = np.arange(n_trials + 1) * n_times
    flat = circular_shift(roots.reshape(-1, n_units), generator, min_shift=0, offsets=offsets)
    return flat.reshape(roots.shape)
