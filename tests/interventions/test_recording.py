"""Recording: equal to the bare model, labelled, batched, and refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
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

from activome.activity.schema import check
from activome.errors import ParameterError, ResourceError
from activome.interventions._hooks import n_active
from activome.interventions.edits import Zero
from activome.interventions.recording import record
from activome.interventions.selectors import Sel
from activome.interventions.taps import Taps
from activome.networks.small import SmallCNN

CASES: list[tuple[Callable[[], Any], Callable[[], Any], list[str]]] = [
    (tiny_llama, tokens, ["embed", "resid_pre", "q", "k", "head_out", "mlp_hidden", "logits"]),
    (tiny_gpt2, tokens, ["embed", "resid_post", "q", "v", "head_out", "mlp_pre", "logits"]),
    (tiny_bert, tokens, ["embed", "resid_mid", "q", "head_out", "mlp_hidden", "mlp_out"]),
    (
        lambda: SmallCNN((4, 8), 3, image_size=8, kernel_size=3),
        lambda: torch.ones(3, 1, 8, 8),
        ["module:convolutions.*#out", "module:head#in"],
    ),
    (CellNetwork, lambda: torch.ones(3, 6, 3), ["module:cell#out"]),
    (GatedNetwork, lambda: torch.ones(3, 16), ["resid_pre", "mlp_hidden[0]", "hands"]),
]
IDS = ["llama", "gpt2", "bert", "cnn", "rnn", "declared"]


@pytest.mark.parametrize(("build", "inputs", "sites"), CASES, ids=IDS)
def test_recording_leaves_the_forward_equal_bit_by_bit(
    build: Callable[[], Any], inputs: Callable[[], Any], sites: list[str]
) -> None:
    model, x = build(), inputs()
    with torch.no_grad():
        plain = logits(model(x)).clone()
        with Taps(model).record(*sites) as rec:
            hooked = logits(model(x))
    assert torch.equal(plain, hooked)
    assert n_active() == 0
    for site in sites:
        assert [p for p in check(rec[site]) if p.severity == "critical"] == []
    again = record(model, x, sites)
    for site in sites:
        np.testing.assert_array_equal(again[site].values, rec[site].values)


def test_values_equal_hooks_written_by_hand() -> None:
    model, ids = tiny_llama(), tokens()
    found: dict[str, Any] = {}
    block = model.model.layers[1]
    handles = [
        block.mlp.down_proj.register_forward_pre_hook(
            lambda m, args: found.update(hidden=args[0].detach())
        ),
        block.register_forward_hook(lambda m, args, out: found.update(post=out.detach())),
    ]
    with torch.no_grad():
        model(ids)
    for handle in handles:
        handle.remove()
    a = record(model, ids, ["mlp_hidden[1]", "resid_post[1]", "resid_pre[2]"])
    np.testing.assert_array_equal(a["mlp_hidden[1]"].values, found["hidden"].numpy())
    np.testing.assert_array_equal(a["resid_post[1]"].values, found["post"].numpy())
    np.testing.assert_array_equal(a["resid_pre[2]"].values, found["post"].numpy())


def test_hidden_states_of_the_library_are_the_residual_stream() -> None:
    model, ids = tiny_gpt2(), tokens()
    with torch.no_grad():
        states = model(ids, output_hidden_states=True).hidden_states
    a = record(model, ids, "resid_pre[*]")
    for layer in (0, 1):
        ours = a.isel(unit=np.flatnonzero(a["layer"].values == layer)).values
        np.testing.assert_array_equal(ours, states[layer].numpy())


def test_attention_pattern_needs_eager_and_rows_sum_to_one() -> None:
    ids = tokens()
    with pytest.raises(ParameterError, match='attn_implementation="eager"'):
        record(tiny_llama(), ids, "attn_pattern[0]")
    assert n_active() == 0
    a = record(tiny_llama(attention="eager"), ids, "attn_pattern[0]")
    assert a.shape == (3, 7, 4 * 7)
    sums = a.values.reshape(3, 7, 4, 7).sum(-1)
    np.testing.assert_allclose(sums, 1.0, rtol=1e-6)
    assert set(a["head"].values) == {0, 1, 2, 3}


def test_labels_tell_layer_head_feature_and_token() -> None:
    class Words:
        def convert_ids_to_tokens(self, index: int) -> str:
            return f"w{index}"

    ids = tokens()
    a = record(tiny_llama(), ids, "head_out[1:3]", tokenizer=Words())
    assert a.sizes == {"trial": 3, "time": 7, "unit": 2 * 4 * 8}
    assert a["layer"].values.tolist() == [1] * 32 + [2] * 32
    assert a["head"].values[:9].tolist() == [0] * 8 + [1]
    assert a["token"].values[2, 4] == f"w{int(ids[2, 4])}"
    assert a.attrs["kind"] == "activation"


def test_lists_of_ids_come_back_in_order_with_padding_marked() -> None:
    model = tiny_llama()
    lists = [[5, 6, 7, 8], [9], [3, 4], [11, 12, 13, 14, 15, 16]]
    a = record(model, lists, "resid_post[2]", max_tokens=6)
    assert a["valid"].values.sum(1).tolist() == [4, 1, 2, 6]
    for row, ids in enumerate(lists):
        alone = record(model, torch.tensor([ids]), "resid_post[2]")
        np.testing.assert_allclose(a.values[row, : len(ids)], alone.values[0], rtol=1e-4, atol=1e-5)


def test_a_cell_called_per_step_gives_times_and_a_sequence_first_network_too() -> None:
    model, x = CellNetwork(), torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(0))
    a = record(model, x, "module:cell#out")
    assert a.dims == ("trial", "time", "unit")
    assert a.shape == (4, 6, 5)
    state = torch.zeros(4, 5)
    with torch.no_grad():
        for step in range(6):
            state = model.cell(x[:, step], state)
            np.testing.assert_array_equal(a.values[:, step], state.numpy())
    first = nn.Sequential(nn.GRU(3, 5))
    b = record(first, x.transpose(0, 1).contiguous(), "module:0#out")
    with torch.no_grad():
        plain = first(x.transpose(0, 1).contiguous())[0]
    np.testing.assert_array_equal(b.values, plain.transpose(0, 1).numpy())


def test_a_shared_module_appends_along_call() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.layer(self.layer(x))
            return found

    model, x = Twice(), torch.ones(2, 3, 4)
    a = record(model, x, "module:layer#out")
    assert a["call"].values.tolist() == [0] * 4 + [1] * 4
    with torch.no_grad():
        once = model.layer(x)
        np.testing.assert_array_equal(a.values[..., :4], once.numpy())
        np.testing.assert_array_equal(a.values[..., 4:], model.layer(once).numpy())


def test_reduce_inside_the_hook_leaves_padding_out() -> None:
    model = tiny_llama()
    lists = [[5, 6, 7, 8], [9, 2]]
    whole = record(model, lists, "mlp_hidden[0]")
    mean = record(model, lists, "mlp_hidden[0]", reduce="mean")
    last = record(model, lists, "mlp_hidden[0]", reduce="last")
    top = record(model, lists, "mlp_hidden[0]", reduce="max")
    for row, n in enumerate((4, 2)):
        real = whole.values[row, :n]
        np.testing.assert_allclose(mean.values[row], real.mean(0), rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(last.values[row], real[-1])
        np.testing.assert_array_equal(top.values[row], real.max(0))


def test_only_what_is_asked_for_is_kept() -> None:
    model, ids = tiny_llama(), tokens()
    whole = record(model, ids, "mlp_hidden[1]")
    part = record(model, ids, "mlp_hidden[1]", at=Sel(pos=[1, 4], units=[2, 7, 9]))
    np.testing.assert_array_equal(part.values, whole.values[:, [1, 4]][..., [2, 7, 9]])
    assert part["time"].values.tolist() == [1.0, 4.0]
    with Taps(model).record("mlp_hidden[1]", at=Sel(pos="last", units=[2])) as rec:
        model(ids)
    assert rec.n_bytes == 3 * 4


def test_more_than_max_bytes_is_refused_with_the_size() -> None:
    with pytest.raises(ResourceError, match=r"record: .* would take .* stream"):
        record(tiny_llama(), tokens(200, 8), "mlp_hidden[*]", max_bytes=3e5, max_tokens=64)
    assert n_active() == 0


def test_float16_that_overflows_is_refused() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(ParameterError, match="float32"):
        record(model, torch.full((2, 2), 1e7), "module:0#in", dtype="float16")


@pytest.mark.parametrize(
    ("site", "message"),
    [
        ("mlp_hiden[0]", r"Did you mean 'mlp_hidden'"),
        ("mlp_out[9]", r"layer 9 is not there; layers are 0 to 2"),
        ("logits[1]", "the site has none"),
        ("mlp_out[a]", r"layers are given as"),
        ("module:model.layer.0.mlp#out", r"Did you mean 'model.layers.0.mlp'"),
        ("module:model.norm#at", "#in or #out"),
    ],
)
def test_unknown_sites_offer_the_nearest(site: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Taps(tiny_llama()).sites(site)


def test_grammar_of_layers() -> None:
    taps = Taps(tiny_llama(4))
    assert [s.layer for s in taps.sites("mlp_out[1:3]")] == [1, 2]
    assert [s.layer for s in taps.sites("mlp_out[0,3]")] == [0, 3]
    assert [s.layer for s in taps.sites("mlp_out[-1]")] == [3]
    assert [s.layer for s in taps.sites("mlp_out")] == [0, 1, 2, 3]
    assert len(taps.sites("module:model.layers.*.mlp#in")) == 4
    assert len(taps.sites("module:**.act_fn")) == 4


def test_bad_inputs_are_refused() -> None:
    model = tiny_llama()
    with pytest.raises(ParameterError, match="give the tokenizer"):
        record(model, ["a text"], "logits")
    with pytest.raises(ParameterError, match="sample 1 must be a list of at least one token"):
        record(model, [[1, 2], []], "logits")
    with pytest.raises(ParameterError, match="one sample per row"):
        record(model, {"input_ids": tokens(), "attention_mask": torch.ones(2, 7)}, "logits")
    with pytest.raises(ParameterError, match="model is on cpu and its input on meta"):
        record(model, tokens().to("meta"), "logits")
    with pytest.raises(ParameterError, match=r"must be a torch\.nn\.Module"):
        record("model", tokens(), "logits")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        scripted = torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2))
    with pytest.raises(ParameterError, match="scripted"):
        Taps(nn.Sequential(scripted))


def test_compiled_modules_are_refused() -> None:
    with pytest.raises(ParameterError, match="compiled"):
        Taps(torch.compile(nn.Linear(2, 2), backend="eager"))


@pytest.mark.parametrize("build", [tiny_llama, tiny_gpt2, tiny_bert], ids=["llama", "gpt2", "bert"])
def test_layers_that_nobody_looks_at_are_not_run(build: Callable[[], Any]) -> None:
    model, x = build(), tokens()
    table = Taps(model).table
    last = len(table.stack) - 1
    calls: list[int] = []

    def runs(site: str) -> tuple[int, Any]:
        layer = model.get_submodule(table.stack[last])
        forward = layer.forward

        def counted(*args: Any, **kwargs: Any) -> Any:
            calls.append(1)
            return forward(*args, **kwargs)

        calls.clear()
        layer.forward = counted
        found = record(model, x, site)
        del layer.forward
        return len(calls), found

    with torch.no_grad(), Taps(model).record("mlp_hidden[0]", "embed") as rec:
        model(x)
    for site in ("mlp_hidden[0]", "embed"):
        n_calls, found = runs(site)
        assert n_calls == 0
        np.testing.assert_array_equal(found.values, rec[site].values)
    assert runs(f"q[{last}]")[0] == 1
    assert runs("mlp_hidden[*]")[0] == 1
    with Taps(model).edit(Zero(f"mlp_out[{last}]")):
        assert runs("mlp_hidden[0]")[0] == 1
    handle = model.get_submodule(table.stack[last]).register_forward_hook(lambda *_: None)
    assert runs("mlp_hidden[0]")[0] == 1
    handle.remove()
    assert runs("module:" + table.stack[0] + "#in")[0] == 0
    assert n_active() == 0


def test_a_recording_answers_to_the_names_that_were_asked_for() -> None:
    model, ids = tiny_llama(), tokens()
    with torch.no_grad(), Taps(model).record("resid_pre[0:2]", "mlp_out[2]") as rec:
        model(ids)
    asked = rec["resid_pre[0:2]"]
    assert sorted(set(asked["layer"].values.tolist())) == [0, 1]
    np.testing.assert_array_equal(asked.values, rec["resid_pre"].values)
    assert "resid_pre[0:2]" in rec
    assert "resid_pre[0:3]" not in rec
    with pytest.raises(ParameterError, match=r"'mlp_out\[1\]' was not recorded; known: "):
        rec["mlp_out[1]"]


def test_numbers_of_numpy_take_the_type_of_the_model() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 2)).eval()
    values = np.random.default_rng(0).normal(size=(4, 3))
    a = record(network, values, "module:0#out")
    wanted = values.astype(np.float32) @ network[0].weight.detach().numpy().T
    np.testing.assert_allclose(
        a.values, wanted + network[0].bias.detach().numpy(), rtol=1e-5, atol=1e-6
    )


def test_token_ids_that_the_model_does_not_know_are_named() -> None:
    with pytest.raises(ParameterError, match=r"sample 1 holds token id 40; .* knows 0 to 39"):
        record(tiny_llama(), [[1, 2], [40, 3]], "embed")
    with pytest.raises(ParameterError, match="sample 0 holds token id -1; "):
        record(tiny_llama(), [[1, -1]], "embed")
