"""Activation patching: equal to one run per node, labelled, and refused in one sentence."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tiny_networks import GatedNetwork, tiny_bert, tiny_gpt2, tiny_llama, tokens
from torch import nn

from activome.errors import ParameterError
from activome.interventions._hooks import n_active
from activome.interventions.activation_patching import activation_patching
from activome.interventions.edits import Patch
from activome.interventions.taps import Taps
from activome.networks.small import SmallCNN


def third(logits: Any) -> Any:
    """Return the mean of one logit, the metric of these tests."""
    return logits[:, 3].mean()


def last(output: Any) -> Any:
    found = getattr(output, "logits", None)
    return (output.last_hidden_state if found is None else found)[:, -1]


def one_by_one(model: Any, clean: Any, corrupted: Any, site: str, axes: tuple[str, ...]) -> Any:
    """Patch each node of a site in a whole pass of its own."""
    taps = Taps(model)
    found = []
    with torch.no_grad():
        with taps.record(site) as rec:
            high = float(third(last(model(clean))))
        low = float(third(last(model(corrupted))))
        for one in taps.sites(site):
            shape = rec.tensor(one.label).shape
            names = one.axes(len(shape))
            sizes = [shape[names.index(axis)] for axis in axes]
            row = []
            for place in itertools.product(*map(range, sizes)):
                part: Any = dict(zip(axes, place, strict=True))
                pos = part.pop("position", None)
                with taps.edit(Patch(one.label, rec, pos=pos, **part)):
                    row.append((float(third(last(model(corrupted)))) - low) / (high - low))
            found.append(np.reshape(row, sizes))
    return np.array(found)


@pytest.mark.parametrize("build", [tiny_llama, tiny_gpt2, tiny_bert], ids=["llama", "gpt2", "bert"])
@pytest.mark.parametrize(
    ("site", "axes"),
    [
        ("resid_pre", ("position",)),
        ("resid_post", ("position",)),
        ("attn_out", ("position",)),
        ("mlp_out", ("position",)),
        ("head_out", ("position", "head")),
    ],
)
def test_it_equals_one_run_per_node(
    build: Callable[[], Any], site: str, axes: tuple[str, ...]
) -> None:
    model, clean, corrupted = build(), tokens(2, 5, seed=0), tokens(2, 5, seed=1)
    found = activation_patching(model, clean, corrupted, third, site, max_tokens=37)
    assert found.dims == ("site", "layer", *axes)
    wanted = one_by_one(model, clean, corrupted, site, axes)
    scale = max(1.0, float(np.abs(wanted).max()))
    np.testing.assert_allclose(found.values[0], wanted, atol=2e-4 * scale, rtol=0)
    assert n_active() == 0


def test_doubles_agree_to_the_last_digits_and_the_prefix_is_not_run_again() -> None:
    model, clean, corrupted = tiny_llama(4, double=True), tokens(2, 5), tokens(2, 5, seed=1)
    found = activation_patching(model, clean, corrupted, third, "mlp_out")
    wanted = one_by_one(model, clean, corrupted, "mlp_out", ("position",))
    # Norms of this family round to single precision on the way.
    np.testing.assert_allclose(found.values[0], wanted, atol=1e-6)
    assert found.dtype == np.float64
    # 2 bare passes; 5 positions at 4 layers, each from its layer on; 3 checks of an entry.
    assert found.attrs["n_forwards"] == 2 + (5 * (4 + 3 + 2 + 1) + 3 + 2 + 1) / 4


@pytest.mark.parametrize("build", [tiny_llama, tiny_gpt2], ids=["llama", "gpt2"])
@pytest.mark.parametrize(("n_samples", "site"), [(1, "resid_pre"), (2, "mlp_out"), (2, "head_out")])
def test_positions_before_a_patch_are_not_run_again(
    build: Callable[[], Any], n_samples: int, site: str
) -> None:
    model, clean, corrupted = build(), tokens(n_samples, 12), tokens(n_samples, 12, seed=1)
    corrupted[:, :4] = clean[:, :4]
    found = activation_patching(model, clean, corrupted, third, site)
    axes = ("position", "head") if site == "head_out" else ("position",)
    wanted = one_by_one(model, clean, corrupted, site, axes)
    scale = max(1.0, float(np.abs(wanted).max()))
    np.testing.assert_allclose(found.values[0], wanted, atol=2e-4 * scale, rtol=0)
    in_part = activation_patching(model, clean, corrupted, third, site, positions=[5, 9, 11])
    np.testing.assert_allclose(in_part, found.sel(position=[5, 9, 11]), atol=2e-4 * scale)


def test_a_network_that_is_not_causal_is_run_at_all_positions() -> None:
    model, clean, corrupted = tiny_llama(), tokens(2, 10), tokens(2, 10, seed=1)
    for layer in model.model.layers:
        layer.self_attn.is_causal = False
    with torch.no_grad():
        moved = model(clean[:, 1:]).logits[:, 0] - model(clean[:, 1:-1]).logits[:, 0]
    assert float(moved.abs().max()) > 1e-3
    found = activation_patching(model, clean, corrupted, third, "resid_pre")
    wanted = one_by_one(model, clean, corrupted, "resid_pre", ("position",))
    np.testing.assert_allclose(found.values[0], wanted, atol=1e-3, rtol=0)


def test_by_hand_on_a_linear_network() -> None:
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(3))
        model[1].weight.copy_(torch.tensor([[5.0, 3.0, 2.0]]))
    clean, corrupted = torch.ones(1, 3), torch.zeros(1, 3)
    found = activation_patching(model, clean, corrupted, torch.sum, "module:0#out", by="unit")
    assert found.dims == ("site", "unit")
    np.testing.assert_allclose(found.values, [[0.5, 0.3, 0.2]], atol=1e-6)
    plain = activation_patching(
        model, clean, corrupted, torch.sum, "module:0#out", by="unit", normalize=False
    )
    np.testing.assert_allclose(plain.values, [[5.0, 3.0, 2.0]], atol=1e-6)


@pytest.mark.parametrize("build", [tiny_llama, tiny_gpt2, tiny_bert])
def test_patching_nothing_gives_0_and_everything_gives_1(build: Callable[[], Any]) -> None:
    model, clean, corrupted = build(), tokens(2, 5, seed=0), tokens(2, 5, seed=1)
    same = activation_patching(
        model, clean, clean, third, ["resid_pre", "mlp_out"], normalize=False
    )
    np.testing.assert_allclose(same.values, 0.0, atol=1e-5)
    whole = activation_patching(model, clean, corrupted, third, "resid_pre", by=())
    assert whole.dims == ("site", "layer")
    np.testing.assert_allclose(whole.values, 1.0, atol=1e-3)


class SideChannel(nn.Module):
    """Blocks of which later ones see what the first one left aside."""

    tap_sites = {"resid_pre": "blocks.*#in"}  # noqa: RUF012  # read, never written

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.blocks = nn.ModuleList(Leaving(self) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n_samples, n_positions, 4) for the same."""
        self.__dict__["left"] = []
        for block in self.blocks:
            x = block(x)
        return x


class Leaving(nn.Module):
    def __init__(self, owner: nn.Module) -> None:
        super().__init__()
        self.__dict__["owner"] = owner
        self.inner = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> Any:
        """Return the stream, with what all blocks before have left."""
        owner = self.__dict__["owner"]
        owner.left.append(torch.tanh(self.inner(x)))
        return x + sum(owner.left)


def test_a_model_whose_blocks_see_more_than_the_stream_is_run_whole() -> None:
    model = SideChannel()
    clean, corrupted = torch.randn(2, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    found = activation_patching(model, clean, corrupted, third, "resid_pre")
    taps = Taps(model)
    with torch.no_grad():
        with taps.record("resid_pre") as rec:
            high = float(third(model(clean)[:, -1]))
        low = float(third(model(corrupted)[:, -1]))
        for layer, pos in itertools.product(range(3), range(3)):
            with taps.edit(Patch(f"resid_pre[{layer}]", rec, pos=pos)):
                wanted = (float(third(model(corrupted)[:, -1])) - low) / (high - low)
            assert found.values[0, layer, pos] == pytest.approx(wanted, abs=1e-5)


def test_sites_that_a_network_declares_beside_the_stream_work() -> None:
    model = GatedNetwork()
    clean, corrupted = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(0))
    found = activation_patching(
        model, clean, corrupted, lambda y: y[:, 1].sum(), ["resid_pre", "mlp_out"]
    )
    assert found.dims == ("site", "layer")
    assert np.isfinite(found.values).all()
    hands = activation_patching(model, clean, corrupted, lambda y: y[:, 1].sum(), "hands")
    assert hands.dims == ("site", "head")
    # The read-out is linear: its parts make up the whole.
    assert float(hands.sum()) == pytest.approx(1.0, abs=1e-4)


def test_maps_of_a_cnn_are_patched_by_channel() -> None:
    model = SmallCNN((4, 8), 3, image_size=8, kernel_size=3).eval()
    clean, corrupted = torch.randn(2, 2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = activation_patching(
        model, clean, corrupted, lambda y: y[:, 1].sum(), "module:convolutions.0#out", by="unit"
    )
    assert found.dims == ("site", "unit")
    assert found.sizes["unit"] == 4


class Words:
    """A tokenizer of one letter per token."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) - 96 for letter in text]

    def convert_ids_to_tokens(self, number: int) -> str:
        return chr(number + 96)


def test_labels() -> None:
    model = tiny_llama()
    found = activation_patching(
        model,
        ["abcde"],
        ["abzde"],
        third,
        ["resid_pre[1:]", "mlp_out[0]"],
        positions=[2, -1],
        tokenizer=Words(),
    )
    assert found["site"].values.tolist() == ["resid_pre", "mlp_out"]
    assert found["layer"].values.tolist() == [0, 1, 2]
    assert found["position"].values.tolist() == [2, 4]
    assert found["clean_token"].values.tolist() == ["c", "e"]
    assert found["corrupted_token"].values.tolist() == ["z", "e"]
    assert np.isnan(found.sel(site="resid_pre", layer=0)).all()
    assert np.isfinite(found.sel(site="resid_pre", layer=[1, 2])).all()
    assert np.isfinite(found.sel(site="mlp_out", layer=0)).all()
    assert found.attrs["model"] == "LlamaForCausalLM"
    embed = activation_patching(model, tokens(), tokens(seed=1), third, ["embed", "resid_pre"])
    assert embed["layer"].values.tolist() == [-1, 0, 1, 2]
    np.testing.assert_allclose(
        embed.sel(site="embed", layer=-1), embed.sel(site="resid_pre", layer=0), atol=1e-4
    )


def test_padded_prompts_are_read_at_their_last_token() -> None:
    model, clean, corrupted = tiny_llama(), tokens(2, 5, seed=0), tokens(2, 5, seed=1)
    wanted = activation_patching(model, clean, corrupted, third, "attn_out[1]")
    mask = torch.cat([torch.ones(2, 5), torch.zeros(2, 2)], 1).long()
    pad = torch.zeros(2, 2, dtype=torch.long)
    first, second = (
        {"input_ids": torch.cat([ids, pad], 1), "attention_mask": mask}
        for ids in (clean, corrupted)
    )
    found = activation_patching(model, first, second, third, "attn_out[1]")
    np.testing.assert_allclose(found.values[..., :5], wanted.values, atol=2e-4)
    np.testing.assert_allclose(found.values[..., 5:], 0.0, atol=2e-4)


def test_all_logits_or_what_a_function_reads() -> None:
    model, clean, corrupted = tiny_bert(), tokens(2, 5, seed=0), tokens(2, 5, seed=1)
    found = [
        activation_patching(model, clean, corrupted, metric, "resid_pre", readout=readout).values
        for metric, readout in (
            (lambda h: h[:, 2, 3].mean(), "all"),
            (third, lambda output: output.last_hidden_state[:, 2]),
        )
    ]
    np.testing.assert_array_equal(found[0], found[1])


def test_a_metric_may_be_a_number() -> None:
    model, clean, corrupted = tiny_gpt2(), tokens(2, 5, seed=0), tokens(2, 5, seed=1)
    numbers = activation_patching(
        model, clean, corrupted, lambda x: float(x[:, 3].mean()), "mlp_out"
    )
    np.testing.assert_allclose(
        numbers.values, activation_patching(model, clean, corrupted, third, "mlp_out").values
    )


def test_refusals() -> None:
    model, a, b = tiny_llama(), tokens(2, 5, seed=0), tokens(2, 5, seed=1)

    def call(*given: Any, **options: Any) -> Any:
        return activation_patching(model, *given, **options)

    cases: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        (r"one shape.*\(2, 5\) and \(2, 6\)", (a, tokens(2, 6), third, "q"), {}),
        (r"must have shape \(n_prompts, n_positions\); got \(5,\)", (a[0], b[0], third, "q"), {}),
        ("one length.*lengths \\[2, 3\\]", ([[1, 2], [1, 2, 3]], a, third, "q"), {}),
        (r"one number; got a tensor of shape \(2,\)", (a, b, lambda x: x[:, 3], "mlp_out"), {}),
        ("one number; got str", (a, b, lambda x: "no", "mlp_out"), {}),
        ("must be a function of the logits; got int", (a, b, 3, "mlp_out"), {}),
        ("finite; it is nan", (a, b, lambda x: x.sum() * float("nan"), "mlp_out"), {}),
        ("must differ between clean and corrupted", (a, a, third, "mlp_out"), {}),
        ("no site is called 'mlp_owt'.*'mlp_out'", (a, b, third, "mlp_owt"), {}),
        ("name at least one site", (a, b, third, []), {}),
        ("can be read, not patched", (a, b, third, "resid_mid"), {}),
        ("unknown readout 'first'", (a, b, third, "mlp_out"), {"readout": "first"}),
        ("unknown axis in by 'layer'", (a, b, third, "mlp_out"), {"by": "layer"}),
        ("integers from -5 to 4; got \\[5\\]", (a, b, third, "mlp_out"), {"positions": [5]}),
        ("max_tokens must be an integer", (a, b, third, "mlp_out"), {"max_tokens": 0}),
        (
            r"same axes; mlp_out\[0\] has 5 positions and head_out\[0\] has 5 positions, 4 heads",
            (a, b, third, ["mlp_out", "head_out"]),
            {},
        ),
        ("on cpu and its input on meta", (a.to("meta"), b.to("meta"), third, "mlp_out"), {}),
    ]
    for message, given, options in cases:
        with pytest.raises(ParameterError, match=message):
            call(*given, **options)
    assert n_active() == 0
    noisy = tiny_gpt2().train()
    with pytest.raises(ParameterError, match=r"training mode.*Dropout.*model.eval\(\)"):
        activation_patching(noisy, a, b, third, "mlp_out")


def test_modules_called_twice_and_outputs_without_samples_are_refused() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> Any:
            return self.inner(self.inner(x))

    x = torch.ones(2, 3)
    with pytest.raises(ParameterError, match="called 2 times in one pass"):
        activation_patching(Twice(), x, 2 * x, torch.sum, "module:inner#out")

    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, x: torch.Tensor) -> Any:
            return self.inner(x.sum(0, keepdim=True)).expand(len(x), -1)

    with pytest.raises(ParameterError, match=r"one row per sample; it has shape \(1, 3\) for 2"):
        activation_patching(Summed(), x, 2 * x, torch.sum, "module:inner#out")


def test_a_metric_that_expects_all_positions_is_told_how_to_get_them() -> None:
    model, ids = tiny_llama(), tokens()

    def later(logits: Any) -> Any:
        return logits[:, -1, 3].mean()

    with pytest.raises(ParameterError, match=r"readout='last' gives, Tensor of shape \(3, \d+\)"):
        activation_patching(model, ids, ids.flip(1), later, "mlp_out")
    effects = activation_patching(model, ids, ids.flip(1), later, "mlp_out", readout="all")
    plain = activation_patching(model, ids, ids.flip(1), third, "mlp_out")
    np.testing.assert_allclose(effects.values, plain.values, rtol=1e-5, atol=1e-7)


def test_rows_go_through_the_output_layer_together(monkeypatch: pytest.MonkeyPatch) -> None:
    model, clean, corrupted = tiny_llama(), tokens(), tokens(seed=1)
    head, seen = model.lm_head, []

    def watch(value: Any) -> Any:
        seen.append((value.shape[1], value.is_contiguous()))
        return nn.functional.linear(value, head.weight)

    monkeypatch.setattr(head, "forward", watch)
    found = activation_patching(model, clean, corrupted, third, "resid_pre[1]")
    assert set(seen) == {(1, True)}
    assert not head._forward_pre_hooks
    monkeypatch.undo()
    plain = one_by_one(model, clean, corrupted, "resid_pre[1]", ("position",))
    np.testing.assert_allclose(found.values.ravel(), np.ravel(plain), rtol=1e-4, atol=1e-5)
