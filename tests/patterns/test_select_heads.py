"""Selection of heads: by hand, against the formula written out, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from activome.errors import ActivityError, ParameterError
from activome.patterns.select_heads import select_heads


def test_a_head_of_both_tasks_is_in_neither_selection() -> None:
    a = [[-6.0, -3.0], [-1.0, 2.0]]
    b = [[-8.0, 0.0], [0.0, -2.0]]
    # Shares of a: 0.6, 0.3, 0.1; of b: 0.8 and 0.2.
    assert select_heads(a, b, 2) == [(0, 1), (1, 0)]
    assert select_heads(b, a, 1) == [(0, 0)]
    assert select_heads(b, a, 2) == [(0, 0), (1, 1)]


def test_against_the_formula() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 3))
    r, s = -a, -b
    rank = r / r[r > 0].sum() - np.clip(s, 0, None) / s[s > 0].sum()
    wanted = sorted(np.ndindex(5, 3), key=lambda place: -rank[place])[:6]
    assert select_heads(a, b, 6) == wanted


def test_labels_are_given_back() -> None:
    coords = {"layer": [4, 9], "head": [0, 1]}
    a = xr.DataArray([[-1.0, 0.0], [0.0, -3.0]], coords, ("layer", "head"))
    assert select_heads(a, xr.full_like(a, -1.0), 1) == [(9, 1)]
    other = a.assign_coords(layer=[4, 8])
    with pytest.raises(ActivityError, match="same heads"):
        select_heads(a, other, 1)


def test_refusals() -> None:
    good = np.array([[-1.0, -2.0, 1.0]])
    with pytest.raises(ParameterError, match="at most 3"):
        select_heads(good, good, 4)
    with pytest.raises(ParameterError, match="rests on, 2; got 3"):
        select_heads(good, good, 3)
    with pytest.raises(ActivityError, match="rests on none"):
        select_heads(np.ones((2, 2)), -np.ones((2, 2)), 1)
    with pytest.raises(ActivityError, match="finite"):
        select_heads([[np.nan, -1.0]], [[-1.0, -1.0]], 1)
    with pytest.raises(ActivityError, match="n_layers, n_heads"):
        select_heads([-1.0], [-1.0], 1)
