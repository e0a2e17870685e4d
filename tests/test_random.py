"""Seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from activome._random import content_generator, integer_seed, make_generator, spawn_generators
from activome.errors import ParameterError


def test_same_seed_same_numbers() -> None:
    assert make_generator(3).random() == make_generator(np.int64(3)).random()
    assert make_generator(3).random() != make_generator(4).random()
    assert make_generator(None).random() != make_generator(None).random()


def test_generator_is_passed_through_and_advances() -> None:
    rng = np.random.default_rng(0)
    assert make_generator(rng) is rng


def test_legacy_state_is_accepted() -> None:
    old = np.random.RandomState(0)  # scikit-learn hands these on
    again = np.random.RandomState(0)
    assert make_generator(old).random() == make_generator(again).random()


@pytest.mark.parametrize("seed", [-1, 1.5, "0", True, [1]])
def test_other_seeds_are_refused(seed: Any) -> None:
    with pytest.raises(ParameterError, match="random_state must be None, a non-negative integer"):
        make_generator(seed)


def test_spawned_generators_are_independent_and_reproducible() -> None:
    one, two = spawn_generators(5, 2), spawn_generators(5, 3)
    first = [rng.random() for rng in one]
    assert first == [rng.random() for rng in two][:2]
    assert first[0] != first[1]


def test_integer_seeds() -> None:
    assert integer_seed(7) == 7
    assert 0 <= integer_seed(2**40) < 2**31
    assert integer_seed(np.random.default_rng(1)) == integer_seed(np.random.default_rng(1))
    with pytest.raises(ParameterError):
        integer_seed(-1)


def test_content_decides_what_is_drawn() -> None:
    rows = np.array([[0.0, 0.5], [0.5, 0.0], [-0.0, 0.5]])
    drawn = [content_generator(1, row).random() for row in rows]
    assert drawn[0] == drawn[2]  # equal numbers
    assert len({*drawn, content_generator(2, rows[0]).random()}) == 3
    # The place in memory does not matter, nor the order of the axes there.
    wide = np.zeros((2, 4))
    wide[:, ::2] = rows[:2]
    assert content_generator(1, wide[0, ::2]).random() == drawn[0]
    matrix = np.arange(6.0).reshape(2, 3)
    turned = np.asfortranarray(matrix)
    assert content_generator(0, matrix).random() == content_generator(0, turned).random()
