"""Pictures of effects: what is drawn, what it is called, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt

from activome.errors import ParameterError
from activome.interventions.plots import plot_effects, plot_heads, plot_scatter


def effects() -> xr.DataArray:
    rng = np.random.default_rng(0)
    coords: Any = {
        "site": ["attn_out", "mlp_out"],
        "layer": [0, 1, 2],
        "position": [0, 1],
        "head": [0, 1, 2, 3],
        "clean_token": ("position", ["Ġa", "Ċ"]),
        "corrupted_token": ("position", ["Ġa", "Ġb"]),
    }
    values = rng.standard_normal((2, 3, 2, 4))
    return xr.DataArray(values, coords, ("site", "layer", "position", "head"))


def test_heat_maps_sum_over_the_rest_and_mark_the_sign() -> None:
    found = effects()
    ax = plot_effects(found, site="mlp_out")
    image = ax.images[0].get_array()
    wanted = found.sel(site="mlp_out").sum("head").values
    np.testing.assert_allclose(image, wanted)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "\\n | b"]
    assert ax.get_ylabel() == "layer"
    marked = {(round(t.get_position()[1]), round(t.get_position()[0])) for t in ax.texts}
    below = np.argwhere(wanted < -0.2 * np.abs(wanted).max())
    assert marked == {tuple(place) for place in below.tolist()}
    plt.close(ax.figure)
    ax = plot_heads(found, site="attn_out", limit=3.0, title="heads")
    np.testing.assert_allclose(
        ax.images[0].get_array(), found.sel(site="attn_out").sum("position").values
    )
    assert ax.images[0].get_clim() == (-3.0, 3.0)
    assert ax.get_title() == "heads"
    plt.close(ax.figure)


def test_layers_without_effects_are_left_out() -> None:
    found = effects().sum("head")
    found[:, 1] = np.nan
    ax = plot_effects(found, site="mlp_out", tokens=["x", "y"])
    assert ax.images[0].get_array().shape == (2, 2)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["0", "2"]
    plt.close(ax.figure)


def test_scatter_tells_the_correlation() -> None:
    truth = effects()
    ax = plot_scatter(truth, {"same": 2 * truth, "flat": 0 * truth})
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["same  r = 1.00", "flat"]
    plt.close(ax.figure)
    ax = plot_scatter(truth, truth, ax=plt.subplots()[1])
    plt.close(ax.figure)


def test_refusals() -> None:
    found = effects()
    cases: list[tuple[str, Callable[[], Any]]] = [
        ("site must be one of", lambda: plot_effects(found)),
        ("site must be one of .*got 'q'", lambda: plot_heads(found, site="q")),
        ("must have dims site, layer and head", lambda: plot_heads(found.sum("head"))),
        ("one label per position; got 1 for 2", lambda: plot_effects(found[:1], tokens=["a"])),
        ("estimates must be of the nodes", lambda: plot_scatter(found, found[:1])),
    ]
    for message, call in cases:
        with pytest.raises(ParameterError, match=message):
            call()
