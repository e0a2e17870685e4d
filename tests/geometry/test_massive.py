"""Massive activations: by hand, over layouts, with padding, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from activome.errors import ActivityError, ParameterError
from activome.geometry.massive import massive_activations, massive_ratio

Array = np.ndarray[Any, Any]


def planted() -> Array:
    """Return (2 samples, 3 layers, 5 positions, 7 units), with massive ones in layer 1."""
    h = np.random.default_rng(0).normal(size=(2, 3, 5, 7))
    h[0, 1, 0, 4], h[1, 1, 0, 4], h[1, 1, 2, 6] = 9000.0, -8000.0, 2000.0
    return h


def slow(h: Array) -> Array:
    """Return the ratio one layer and sample at a time."""
    return np.array(
        [
            np.mean([np.abs(s[k]).max() / np.median(np.abs(s[k])) for s in h])
            for k in range(h.shape[1])
        ]
    )


def test_by_hand() -> None:
    h = np.array([[[[1.0, -2.0, 3.0]]], [[[4.0, -40.0, 8.0]]]])
    assert massive_ratio(h).values.tolist() == [(3 / 2 + 40 / 8) / 2]
    assert massive_ratio(h, per_sample=True).values.tolist() == [[1.5], [5.0]]
    np.testing.assert_allclose(massive_ratio(planted()), slow(planted()))


def test_lists_what_is_massive() -> None:
    h = planted()
    table = massive_activations(h)
    assert table[["layer", "sample", "position", "unit", "value"]].values.tolist() == [
        [1, 0, 0, 4, 9000.0],
        [1, 1, 0, 4, -8000.0],
        [1, 1, 2, 6, 2000.0],
    ]
    np.testing.assert_allclose(table.ratio[0], 9000 / np.median(np.abs(h[0, 1])))
    assert len(massive_activations(h, top=1)) == 2
    assert len(massive_activations(h, abs_min=5000.0)) == 2
    assert len(massive_activations(h, ratio_min=1e5)) == 0
    assert len(massive_activations(h / 100)) == 0
    assert len(massive_activations(h / 100, abs_min=0.0)) == 3


def test_layouts_agree() -> None:
    h = planted()
    dims = ("sample", "layer", "position", "unit")
    stacked = xr.DataArray(h, dims=dims, coords={"layer": [3, 4, 5]})
    flat = xr.DataArray(
        h.transpose(0, 2, 1, 3).reshape(2, 5, 21),
        dims=("trial", "time", "unit"),
        coords={"layer": ("unit", np.repeat([3, 4, 5], 7))},
    )
    for one in (stacked, stacked.transpose("unit", "layer", "sample", "position"), flat):
        found = massive_ratio(one)
        assert found.layer.values.tolist() == [3, 4, 5]
        np.testing.assert_allclose(found, slow(h))
        assert massive_activations(one).unit.tolist() == [4, 4, 6]
    single = xr.DataArray(h[0, 1], dims=("time", "unit"))
    np.testing.assert_allclose(massive_ratio(single), slow(h[:1])[1])


def test_padding_is_left_out_and_half_precision_is_widened() -> None:
    h = planted()
    valid = np.ones((2, 5), dtype=bool)
    valid[0, 3:] = valid[1, 0] = False
    spoilt = h.copy()
    spoilt[0, :, 3:] = np.nan
    flat = xr.DataArray(
        spoilt.transpose(0, 2, 1, 3).reshape(2, 5, 21),
        dims=("trial", "time", "unit"),
        coords={"layer": ("unit", np.repeat(range(3), 7)), "valid": (("trial", "time"), valid)},
    )
    expected = (slow(h[:1, :, :3]) + slow(h[1:, :, 1:])) / 2
    np.testing.assert_allclose(massive_ratio(flat), expected)
    assert massive_activations(flat).position.tolist() == [0, 2]
    np.testing.assert_allclose(massive_ratio(h.astype(np.float16)), slow(h), rtol=1e-2)


def test_scale_does_not_matter_and_units_have_no_order() -> None:
    h = planted()
    np.testing.assert_allclose(massive_ratio(-1e3 * h[..., ::-1]), massive_ratio(h))


def test_refuses() -> None:
    h = planted()
    holed = h.copy()
    holed[1, 2, 3, 4] = np.nan
    for bad, message in (
        (h[0], r"got shape \(3, 5, 7\)"),
        (holed, "sample 1, layer 2, position 3, unit 4"),
        (h[:0], "needs positions"),
        (np.where(h > 100, h, 0.0), "median magnitude must not be 0; it is in sample 0, layer 0"),
        (h.astype(str), "must be numbers"),
        (xr.DataArray(h, dims=("sample", "layer", "token", "unit")), "dims must be out of"),
    ):
        with pytest.raises(ActivityError, match=message):
            massive_ratio(bad)
    uneven = xr.DataArray(
        h[:, 0], dims=("trial", "time", "unit"), coords={"layer": ("unit", [0, 0, 0, 1, 1, 1, 1])}
    )
    with pytest.raises(ActivityError, match="equally many units"):
        massive_ratio(uneven)
    with pytest.raises(ParameterError, match="top"):
        massive_activations(h, top=0)
    with pytest.raises(ParameterError, match="abs_min"):
        massive_activations(h, abs_min=-1.0)
