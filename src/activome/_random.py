"""Seeds: one place that turns ``random_state`` into a generator."""

from __future__ import annotations

import hashlib
from typing import Any, TypeAlias

import numpy as np

from activome.errors import ParameterError

__all__ = [
    "RandomState",
    "content_generator",
    "integer_seed",
    "make_generator",
    "spawn_generators",
]

RandomState: TypeAlias = int | np.integer | np.random.Generator | np.random.RandomState | None


def make_generator(random_state: RandomState = None) -> np.random.Generator:
    """Return a numpy Generator for a seed, a generator (returned as it is), or fresh entropy.

    Raises
    ------
    ParameterError
        If ``random_state`` is none of these, or a negative integer.
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(0, 2**31 - 1))
    if random_state is None:
        return np.random.default_rng()
    is_integer = isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool)
    if is_integer and random_state >= 0:
        return np.random.default_rng(int(random_state))
    raise ParameterError(
        "random_state must be None, a non-negative integer or a numpy Generator; "
        f"got {random_state!r}."
    )


def spawn_generators(random_state: RandomState, n: int) -> list[np.random.Generator]:
    """Return ``n`` independent generators, the same ones for the same integer seed."""
    return list(make_generator(random_state).spawn(n))


def content_generator(seed: int, values: np.ndarray[Any, Any]) -> np.random.Generator:
    """Return the generator of one sample, from a seed and the sample's own numbers.

    What is drawn for a sample then does not depend on which others are there, or on its place.
    """
    # Adding 0 makes -0 and 0, which are equal numbers, equal bytes.
    digest = hashlib.blake2b(np.ascontiguousarray(values + 0.0).tobytes(), digest_size=8).digest()
    return np.random.default_rng([seed, int.from_bytes(digest, "little")])


def integer_seed(random_state: RandomState) -> int:
    """Return a 31-bit integer seed, for libraries that take nothing else."""
    generator = make_generator(random_state)  # refuses what is no seed
    if isinstance(random_state, (int, np.integer)):
        return int(random_state) % (2**31 - 1)
    return int(generator.integers(2**31 - 1))
