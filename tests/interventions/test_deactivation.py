"""Switching units off: against weights set to zero by hand, and the matched control."""

from __future__ import annotations

import copy

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch
from tiny_networks import tiny_gpt2, tiny_llama, tokens

from activome.errors import ParameterError
from activome.interventions import Taps, n_active
from activome.interventions.deactivation import deactivate, matched_random_units, site_widths
from activome.networks import TinyGPT, seed_everything


def tiny_network(**options: object) -> TinyGPT:
    with seed_everything(0):
        return TinyGPT(40, 12, d_model=16, n_heads=2, init="lecun", **options)  # type: ignore[arg-type]


def test_equals_columns_of_weights_set_to_zero() -> None:
    """A hidden unit at 0 and a zero column of the map that reads it are the same thing."""
    model = tiny_llama(double=True)
    ids = tokens()
    units = [3, 47, 48 + 10, 96 + 47]
    cut = copy.deepcopy(model)
    with torch.no_grad():
        for unit in units:
            cut.model.layers[unit // 48].mlp.down_proj.weight[:, unit % 48] = 0
    before = model(ids).logits
    with deactivate(model, units):
        found = model(ids).logits
    torch.testing.assert_close(found, cut(ids).logits, rtol=1e-12, atol=1e-12)
    mask = np.zeros(144, dtype=bool)
    mask[units] = True
    with deactivate(model, mask):
        assert torch.equal(model(ids).logits, found)
    assert torch.equal(model(ids).logits, before)
    assert not torch.allclose(found, before)
    assert n_active() == 0


def test_held_at_a_value_or_a_mean() -> None:
    model = tiny_network()
    ids = tokens(4, 8)
    taps = Taps(model)
    with taps.record("mlp_hidden[*]") as clean:
        model(ids)
    hidden = [clean.tensor(f"mlp_hidden[{layer}]") for layer in (0, 1)]
    with deactivate(model, [5, 70], 0.25), taps.record("mlp_hidden[*]") as held:
        model(ids)
    assert bool((held.tensor("mlp_hidden[0]")[..., 5] == 0.25).all())
    assert bool((held.tensor("mlp_hidden[1]")[..., 6] == 0.25).all())
    assert torch.equal(held.tensor("mlp_hidden[0]")[..., 6], hidden[0][..., 6])
    with deactivate(model, [5], "mean"), taps.record("mlp_hidden[0]") as held:
        model(ids)
    expected = hidden[0][..., 5].mean().expand(4, 8)
    torch.testing.assert_close(held.tensor("mlp_hidden[0]")[..., 5], expected)
    means = np.arange(128.0)
    with deactivate(model, [70], "mean", reference=means), taps.record("mlp_hidden[1]") as held:
        model(ids)
    assert bool((held.tensor("mlp_hidden[1]")[..., 6] == 70.0).all())


def test_widths_of_other_schemes() -> None:
    model = tiny_gpt2()
    taps = Taps(model)
    assert site_widths(model, taps.sites("mlp_hidden[*]")) == [128, 128]
    assert site_widths(model, taps.sites("mlp_out[*]")[:0]) == []
    with deactivate(model, [130]), taps.record("mlp_hidden[1]") as held:
        model(tokens())
    assert not held.tensor("mlp_hidden[1]")[..., 2].any()


@pytest.mark.parametrize(
    ("units", "options", "message"),
    [
        ([128], {}, "units must be 0 to 127; got 128 to 128"),
        ([-1], {}, "units must be 0 to 127"),
        ([], {}, "at least one unit"),
        (np.zeros(128, dtype=bool), {}, "at least one unit"),
        (np.ones(64, dtype=bool), {}, r"shape \(128,\).*\(64,\)"),
        ([0.5], {}, "list of numbers or a boolean mask"),
        ([0], {"value": "median"}, "unknown value 'median'"),
        ([0], {"value": float("nan")}, "value must be in"),
        ([0], {"reference": np.zeros(128)}, "goes with value='mean'"),
        ([0], {"value": "mean", "reference": np.zeros(3)}, "one finite mean for each of the 128"),
        ([0], {"site": "embed"}, "inputs and outputs of linear maps; embed"),
        ([0], {"site": "mlp_hiden[*]"}, "mlp_hidden"),
    ],
)
def test_refusals(units: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message), deactivate(tiny_network(), units, **options):  # type: ignore[arg-type]
        pass


def test_matched_in_each_group_for_every_prefix() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(6), 50)
    units = rng.permutation(300)[:80]
    drawn = matched_random_units(units, groups, random_state=1)
    np.testing.assert_array_equal(groups[drawn], groups[units])
    assert np.unique(drawn).size == 80
    assert not np.isin(drawn, units).any()
    assert (matched_random_units(units, groups, random_state=2) != drawn).any()
    with pytest.raises(ParameterError, match="group 0 has 1 units besides the 3"):
        matched_random_units([0, 1, 2], [0, 0, 0, 0, 1])
    with pytest.raises(ParameterError, match="given twice"):
        matched_random_units([0, 0], [0, 0, 0, 0])
    with pytest.raises(ParameterError, match="numbers of 0 to 2"):
        matched_random_units([5], [0, 0, 0])
