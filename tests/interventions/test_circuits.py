"""Circuits: curves by hand, their ends, and what is never ablated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from tiny_networks import tiny_gpt2, tiny_llama, tokens
from torch import nn

from activome.errors import ParameterError
from activome.interventions import circuits
from activome.interventions._hooks import n_active
from activome.interventions.activation_patching import activation_patching
from activome.interventions.circuits import circuit_curve
from activome.interventions.edits import Patch
from activome.interventions.taps import Taps


def third(found: Any) -> Any:
    return found[:, 3].mean()


def sums() -> Any:
    """Return a network that adds up 5, 3 and -1 times its inputs."""
    model = nn.Sequential(nn.Identity(), nn.Linear(3, 1, bias=False))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[5.0, 3.0, -1.0]]))
    return model


def scores(values: list[float]) -> xr.DataArray:
    return xr.DataArray(
        [values], {"site": ["module:0#out"], "unit": np.arange(len(values))}, ("site", "unit")
    )


def test_by_hand() -> None:
    def circuit_curve(ranked: Any, **options: Any) -> Any:
        model, clean = sums(), torch.ones(1, 3)
        return circuits.circuit_curve(model, clean, 0 * clean, torch.sum, ranked, **options)

    ranked = scores([5.0, 3.0, -1.0])
    found = circuit_curve(ranked, n_nodes=[0, 1, 2, 3])
    np.testing.assert_allclose(found.circuit_metric, [0.0, 5.0, 8.0, 7.0])
    np.testing.assert_allclose(found.rest_metric, [7.0, 2.0, -1.0, 0.0])
    np.testing.assert_allclose(found.faithfulness, np.array([0.0, 5.0, 8.0, 7.0]) / 7)
    np.testing.assert_allclose(found.completeness, np.array([7.0, 2.0, -1.0, 0.0]) / 7)
    assert (found.attrs["all_metric"], found.attrs["none_metric"]) == (7.0, 0.0)
    by_size = circuit_curve(scores([1.0, 3.0, -9.0]), n_nodes=[1])
    assert by_size.circuit_metric.values.tolist() == [-1.0]
    by_sign = circuit_curve(scores([1.0, 3.0, -9.0]), n_nodes=[1], rank="positive")
    assert by_sign.circuit_metric.values.tolist() == [3.0]
    two = circuit_curve(scores([5.0, np.nan, -1.0]), n_nodes=[0, 1, 2])
    # What is no node stays as it was.
    np.testing.assert_allclose(two.circuit_metric, [3.0, 8.0, 7.0])
    assert two.attrs["n_all"] == 2


def test_ablations_by_hand() -> None:
    clean, corrupted = torch.tensor([[1.0, 1.0, 1.0]]), torch.tensor([[3.0, 0.0, 0.0]])
    ranked = scores([1.0, 2.0, 3.0])
    none: float
    options: dict[str, Any]
    for options, none in (
        ({"ablation": "resample"}, 15.0),
        ({"ablation": "zero"}, 0.0),
        ({"ablation": "mean"}, 5 * 2.0 + 3 * 0.5 - 0.5),
        ({"ablation": "mean", "reference": torch.tensor([[0.0, 0.0, 0.0], [2.0, 4.0, 0.0]])}, 11.0),
    ):
        found = circuit_curve(
            sums(), clean, corrupted, torch.sum, ranked, n_nodes=[0, 3], **options
        )
        np.testing.assert_allclose(found.circuit_metric, [none, 7.0])


@pytest.mark.parametrize("build", [tiny_llama, tiny_gpt2])
def test_ends_of_the_curve_and_one_circuit_by_edits(build: Any) -> None:
    model, clean, corrupted = build(), tokens(2, 4, seed=0), tokens(2, 4, seed=1)
    effects = activation_patching(model, clean, corrupted, third, "head_out")
    found = circuit_curve(model, clean, corrupted, third, effects, max_tokens=50)
    np.testing.assert_allclose(found.faithfulness[[0, -1]], [0.0, 1.0], atol=1e-4)
    np.testing.assert_allclose(found.completeness[[0, -1]], [1.0, 0.0], atol=1e-4)
    assert int(found.n_nodes[-1]) == effects.size
    best = np.unravel_index(int(np.abs(effects.values).argmax()), effects.shape)
    _, layer, pos, head = (int(i) for i in best)
    taps = Taps(model)
    with torch.no_grad():
        with taps.record("head_out") as rec:
            model(clean)
            model(corrupted)
        edits = []
        for site in taps.sites("head_out"):
            other = rec.tensor(site.label, step=1)
            for h in range(4):
                is_best = (site.layer, h) == (layer, head)
                keep = [p for p in range(4) if not is_best or p != pos]
                edits.append(Patch(site.label, other, pos=keep, head=h))
        with taps.edit(*edits):
            wanted = float(third(model(clean).logits[:, -1]))
    assert float(found.circuit_metric.sel(n_nodes=1)) == pytest.approx(wanted, abs=1e-4)
    assert n_active() == 0


def test_dims_in_any_order_and_positions_in_part() -> None:
    model, clean, corrupted = tiny_llama(), tokens(2, 4, seed=0), tokens(2, 4, seed=1)
    effects = activation_patching(
        model, clean, corrupted, third, ["attn_out", "mlp_out[1:]"], positions=[1, 3]
    )
    wanted = circuit_curve(model, clean, corrupted, third, effects)
    turned = effects.transpose("position", "layer", "site")
    xr.testing.assert_equal(wanted, circuit_curve(model, clean, corrupted, third, turned))
    assert wanted.attrs["n_all"] == 2 * (3 + 2)
    assert wanted.attrs["ranked_by"] == "activation_patching"


def test_refusals() -> None:
    model, a, b = sums(), torch.ones(1, 3), torch.zeros(1, 3)
    good = scores([1.0, 2.0, 3.0])
    cases: list[tuple[str, Any, dict[str, Any]]] = [
        ("scores must be a DataArray with dim 'site'", np.ones(3), {}),
        ("at least one number", scores([np.nan] * 3), {}),
        (r"module:0#out has 3 nodes and 2 scores", scores([1.0, 2.0]), {}),
        ("n_nodes must be an integer at least 0 and at most 3", good, {"n_nodes": [4]}),
        ("unknown ablation 'drop'", good, {"ablation": "drop"}),
        ("unknown rank 'size'", good, {"rank": "size"}),
        ("no module matches 'x'", good.assign_coords(site=["module:x#out"]), {}),
    ]
    for message, given, options in cases:
        with pytest.raises(ParameterError, match=message):
            circuit_curve(model, a, b, torch.sum, given, **options)
    with pytest.raises(ParameterError, match="must differ between clean and corrupted"):
        circuit_curve(model, a, a, torch.sum, good)
    llama = tiny_llama()
    effects = activation_patching(llama, tokens(2, 4), tokens(2, 4, seed=1), third, "mlp_out")
    with pytest.raises(ParameterError, match="reference must have prompts of the length"):
        circuit_curve(
            llama, tokens(2, 4), tokens(2, 4, seed=1), third, effects,
            ablation="mean", reference=tokens(2, 5),
        )  # fmt: skip
