"""Edits: what they change, what they leave alone, and that nothing is left behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_networks import (
    CellNetwork,
    GatedNetwork,
    logits,
    tiny_bert,
    tiny_gpt2,
    tiny_llama,
    tokens,
)
from torch import nn

from activome.errors import ActivityWarning, ParameterError
from activome.interventions._hooks import n_active
from activome.interventions.edits import (
    Add,
    Apply,
    Clamp,
    Edit,
    Gate,
    Mean,
    Patch,
    Resample,
    Scale,
    Set,
    Splice,
    Zero,
)
from activome.interventions.taps import Taps, edit
from activome.networks.small import SmallCNN


@pytest.mark.parametrize(
    ("build", "site"),
    [
        (tiny_llama, "head_out[*]"),
        (tiny_llama, "resid_pre[1]"),
        (tiny_gpt2, "k[*]"),
        (tiny_gpt2, "mlp_out[1]"),
        (tiny_bert, "attn_out[*]"),
    ],
)
def test_patching_a_run_with_itself_changes_nothing(build: Any, site: str) -> None:
    model, ids = build(), tokens()
    taps = Taps(model)
    with torch.no_grad():
        with taps.record(site) as rec:
            plain = logits(model(ids)).clone()
        with taps.edit(Patch(site, rec)):
            patched = logits(model(ids))
    assert torch.equal(plain, patched)


def test_patching_everything_from_another_run_gives_that_run() -> None:
    model, a, b = tiny_llama(), tokens(seed=0), tokens(seed=1)
    taps = Taps(model)
    with torch.no_grad():
        with taps.record("resid_pre[1]") as rec:
            wanted = logits(model(a)).clone()
        with taps.edit(Patch("resid_pre[1]", rec)):
            assert torch.equal(logits(model(b)), wanted)
        with taps.edit(Patch("resid_pre[1]", rec["resid_pre"])):
            # Memory of numpy is aligned otherwise, and products round otherwise in the last bits.
            torch.testing.assert_close(logits(model(b)), wanted, rtol=1e-4, atol=1e-5)


def test_what_is_set_is_what_is_recorded_in_either_order_of_blocks() -> None:
    model, ids = tiny_gpt2(), tokens()
    taps = Taps(model)
    with taps.record("q[1]", "k[1]") as rec, taps.edit(Set("q[1]", 2.0), Add("q[1]", 1.0)):
        model(ids)
    assert bool((rec.tensor("q[1]") == 3.0).all())
    with taps.record("k[1]") as bare:
        model(ids)
    assert torch.equal(bare.tensor("k[1]"), rec.tensor("k[1]"))


def test_an_edit_of_one_head_touches_its_columns_alone() -> None:
    model, ids = tiny_llama(), tokens()
    taps = Taps(model)
    with taps.record("head_out[1]") as plain:
        model(ids)
    with taps.edit(Zero("head_out[1]", head=2)), taps.record("head_out[1]") as edited:
        model(ids)
    before, after = plain["head_out[1]"].values, edited["head_out[1]"].values
    changed = np.flatnonzero((before != after).any((0, 1)))
    assert changed.tolist() == list(range(16, 24))
    assert bool((after[..., 16:24] == 0).all())


def test_edits_by_hand_on_a_two_layer_network() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Identity())
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    x = torch.tensor([[1.0, 1.0], [3.0, -1.0]])  # hidden: [1, 2], [3, -2]
    cases: list[tuple[Any, list[list[float]]]] = [
        ("zero", [[0.0, 0.0], [0.0, 0.0]]),
        (Zero(units=0), [[0.0, 2.0], [0.0, -2.0]]),
        (Zero(sample=1), [[1.0, 2.0], [0.0, 0.0]]),
        (Mean(), [[2.0, 0.0], [2.0, 0.0]]),
        (Mean(reference=[5.0, 6.0], units=[1]), [[1.0, 6.0], [3.0, 6.0]]),
        (Resample(from_batch=[1, 0]), [[3.0, -2.0], [1.0, 2.0]]),
        (Add(direction=[1.0, 0.0], alpha=2.0), [[3.0, 2.0], [5.0, -2.0]]),
        (Scale(factor=-1.0), [[-1.0, -2.0], [-3.0, 2.0]]),
        (Clamp(low=0.0, high=2.5), [[1.0, 2.0], [2.5, 0.0]]),
        (Clamp(value=7.0, units=1), [[1.0, 7.0], [3.0, 7.0]]),
        (Gate(gate=[0.5, 2.0]), [[0.5, 2.0], [1.5, -2.0]]),
        (lambda value: value * 10, [[10.0, 20.0], [30.0, -20.0]]),
        (torch.tensor([8.0, 9.0]), [[8.0, 9.0], [8.0, 9.0]]),
        (Scale(factor=0.0, schedule=lambda step: 0.25), [[0.75, 1.5], [2.25, -1.5]]),
        ([Scale(factor=2.0), Add(direction=1.0)], [[3.0, 5.0], [7.0, -3.0]]),
        (Splice(autoencoder=lambda v: (v * 0, None)), [[0.0, 0.0], [0.0, 0.0]]),
        (Splice(autoencoder=lambda v: v * 0, error_term=True), [[1.0, 2.0], [3.0, -2.0]]),
    ]
    for change, wanted in cases:
        with edit(model, {"module:0#out": change}):
            assert model(x).tolist() == wanted, change
    assert n_active() == 0


def test_hooks_are_gone_after_an_exception_anywhere() -> None:
    model, ids = tiny_llama(), tokens()
    plain = logits(model(ids))

    def fails(value: Any) -> Any:
        raise RuntimeError("in the edit")

    with pytest.raises(RuntimeError, match="in the edit"), edit(model, {"mlp_out[1]": fails}):
        model(ids)
    assert n_active() == 0
    with pytest.raises(KeyError), edit(model, {"mlp_out[*]": "zero"}), Taps(model).record("q"):
        raise KeyError("in the block")
    assert n_active() == 0
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert torch.equal(logits(model(ids)), plain)


def test_a_wrong_second_site_leaves_no_hook_of_the_first() -> None:
    model = tiny_llama()
    with (
        pytest.raises(ParameterError, match="no site is called 'mlp_owt\\[1\\]'"),
        edit(model, {"mlp_out[0]": "zero", "mlp_owt[1]": "zero"}),
    ):
        pass
    assert n_active() == 0


def test_blocks_nest_and_undo_in_turn() -> None:
    model, x = nn.Sequential(nn.Identity()), torch.ones(1, 2)
    with edit(model, {"module:0#out": Add(direction=1.0)}):
        with edit(model, {"module:0#out": Scale(factor=3.0)}):
            assert model(x).tolist() == [[6.0, 6.0]]
        assert model(x).tolist() == [[2.0, 2.0]]
    assert model(x).tolist() == [[1.0, 1.0]]


def test_sites_that_would_change_nothing_downstream_are_refused() -> None:
    for site in ("attn_pattern[0]", "resid_mid[1]", "norm_scale[0]"):
        with (
            pytest.raises(ParameterError, match="can be read, not edited"),
            edit(tiny_llama(), {site: "zero"}),
        ):
            pass


def test_a_position_that_never_comes_is_told() -> None:
    model, ids = tiny_llama(), tokens()
    with (
        pytest.warns(ActivityWarning, match="Zero at 'mlp_out' met none of the positions 50"),
        Taps(model).edit(Zero("mlp_out", pos=50)),
    ):
        model(ids)


def test_values_that_do_not_fit_name_both_shapes() -> None:
    model, ids = tiny_llama(), tokens()
    with (
        pytest.raises(
            ParameterError, match=r"shape \(5,\) does not fit mlp_out\[0\].*\(3, 7, 32\)"
        ),
        edit(model, {"mlp_out[0]": Set(value=torch.ones(5))}),
    ):
        model(ids)
    with (
        pytest.raises(ParameterError, match="has no axis of heads"),
        edit(model, {"mlp_out[0]": Zero(head=1)}),
    ):
        model(ids)
    with (
        pytest.raises(ParameterError, match=r"has 4 heads; asked for \[4\]"),
        edit(model, {"head_out[0]": Zero(head=4)}),
    ):
        model(ids)
    with pytest.raises(ParameterError, match="either value, or low"):
        Clamp("mlp_out[0]")
    with pytest.raises(ParameterError, match="unknown change 'drop'"), edit(model, {"q": "drop"}):
        pass


def test_no_gradient_passes_a_detached_clamp() -> None:
    model, x = GatedNetwork(), torch.randn(3, 16, requires_grad=True)
    with edit(model, {"mlp_hidden[0]": Clamp(value=0.5, detach=True)}):
        model(x).sum().backward()
    assert model.gates[0].weight.grad is None
    assert model.ups[0].weight.grad is None
    assert float(model.gates[1].weight.grad.abs().max()) > 0.0
    model.zero_grad()
    low = Clamp(low=-100.0, detach=True, units=[3])
    with edit(model, {"mlp_hidden[0]": low}):
        model(x).sum().backward()
    slopes: Any = model.ups[0].weight.grad
    assert float(slopes[3].abs().max()) == 0.0
    assert float(slopes[4].abs().max()) > 0.0


def test_gradients_of_a_gate_equal_finite_differences() -> None:
    model = GatedNetwork().double()
    x = torch.randn(3, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    gate = nn.Parameter(torch.full((24,), 0.5, dtype=torch.float64))

    def value(g: Any) -> Any:
        with edit(model, {"mlp_hidden[1]": Gate(gate=g)}):
            return model(x).pow(2).sum()

    value(gate).backward()
    with torch.no_grad():
        for unit in (0, 7, 23):
            step = torch.zeros(24, dtype=torch.float64)
            step[unit] = 1e-6
            slope = float(value(gate.detach() + step) - value(gate.detach() - step)) / 2e-6
            assert float(gate.grad[unit]) == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_gradient_of_a_recorded_site_equals_autograd() -> None:
    model, ids = tiny_llama(), tokens()
    taps = Taps(model)
    with taps.record("head_out[1]", grad=True) as rec:
        logits(model(ids))[:, -1, 3].sum().backward()
    found = rec.gradient("head_out[1]")
    zero = torch.zeros(32, requires_grad=True)
    with edit(model, {"head_out[1]": Add(direction=zero)}):
        logits(model(ids))[:, -1, 3].sum().backward()
    torch.testing.assert_close(found.sum((0, 1)).flatten(), zero.grad, rtol=1e-4, atol=1e-6)


def test_checkpointing_keeps_the_last_call() -> None:
    from torch.utils.checkpoint import checkpoint

    class Checked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> Any:
            return checkpoint(self.inner, x, use_reentrant=False)

    model = Checked()
    with Taps(model).record("module:inner#out") as rec:
        model(torch.ones(2, 3, requires_grad=True)).sum().backward()
    assert rec["module:inner#out"].shape == (2, 3)


def test_maps_of_a_cnn_are_edited_by_channel_and_cells_by_step() -> None:
    model = SmallCNN((4, 8), 3, image_size=8, kernel_size=3)
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with (
        edit(model, {"module:convolutions.0#out": Zero(units=[1])}),
        Taps(model).record("module:convolutions.0#out") as rec,
    ):
        model(x)
    assert float(rec.tensor("module:convolutions.0#out")[:, 1].abs().max()) == 0.0
    cells = CellNetwork()
    y = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    with (
        edit(cells, {"module:cell#out": Zero(pos=2)}),
        Taps(cells).record("module:cell#out") as steps,
    ):
        edited = cells(y)
    zero_at = np.flatnonzero((steps["module:cell#out"].values == 0).all((0, 2)))
    assert zero_at.tolist() == [2]
    assert torch.equal(edited, cells(torch.cat([y[:, 3:]], 1)))


def test_an_edit_is_frozen() -> None:
    change: Edit = Apply("q", torch.tanh)
    with pytest.raises(AttributeError):
        change.site = "k"  # type: ignore[misc]
