"""Small transformers: against a row by hand, transformers' own modules, causality, sites."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from activome.errors import ParameterError

torch = pytest.importorskip("torch", reason="torch is not installed")

from activome.interventions.edits import Set, Zero  # noqa: E402  # only where torch is installed
from activome.interventions.taps import Taps  # noqa: E402
from activome.networks.training import seed_everything  # noqa: E402
from activome.networks.transformer import AttentionOnly, TinyGPT  # noqa: E402


def build(seed: int = 0, kind: Any = TinyGPT, **options: Any) -> Any:
    """Return a network, by default with weights so large that nothing hides."""
    wide = options.pop("std", 0.3)
    with seed_everything(seed):
        model = kind(11, 12, **{"d_model": 16, "n_heads": 2, "n_layers": 2, **options})
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(1.0 if parameter.ndim == 1 else 0.0, wide)
    return model


def ids(n: int = 3, length: int = 12) -> Any:
    """Return token ids."""
    return torch.randint(11, (n, length), generator=torch.Generator().manual_seed(1))


def test_one_head_by_hand() -> None:
    model = AttentionOnly(
        2, 2, 2, 1, 1, norm="none", positions="none", tied=False, bias=False, init="lecun"
    )
    attention = model.blocks[0].attention
    with torch.no_grad():
        model.embed.weight.copy_(torch.eye(2))
        attention.query.weight.copy_(math.sqrt(2) * math.log(3) * torch.eye(2))
        for part in (attention.key, attention.value, attention.output, model.unembed):
            part.weight.copy_(torch.eye(2))
    # Position 1 scores itself log 3 and position 0 nothing: it takes 3/4 of itself and 1/4 of 0.
    found = model(torch.tensor([[0, 1]])).detach().numpy()
    np.testing.assert_allclose(found, [[[2.0, 0.0], [0.25, 1.75]]], rtol=1e-6)


@pytest.mark.parametrize("positions", ["learned", "rotary", "none"])
@pytest.mark.parametrize("norm", ["layer", "rms", "none"])
@pytest.mark.parametrize("mlp", ["gelu", "swiglu"])
def test_fused_equals_explicit_and_nothing_sees_its_future(
    positions: str, norm: str, mlp: str
) -> None:
    options: Any = {"positions": positions, "norm": norm, "mlp": mlp, "std": 0.2}
    explicit, fused = build(**options), build(attention="fused", **options)
    fused.load_state_dict(explicit.state_dict())
    tokens = ids()
    with torch.no_grad():
        logits = explicit(tokens)
        assert logits.std() > 0.1
        near: Any = {"atol": 1e-5 * logits.abs().max().item(), "rtol": 0}
        torch.testing.assert_close(fused(tokens), logits, **near)
        changed = tokens.clone()
        changed[:, 7:] = (changed[:, 7:] + 1) % 11
        torch.testing.assert_close(explicit(changed)[:, :7], logits[:, :7], **near)
        torch.testing.assert_close(explicit(tokens[:, :7]), logits[:, :7], **near)
        assert (explicit(changed)[:, 7:] - logits[:, 7:]).abs().max() > 1e-3


def test_order_is_seen_through_positions_alone() -> None:
    tokens = torch.tensor([[1, 2, 3, 4], [2, 1, 3, 4]])
    for positions in ("none", "learned", "rotary"):
        first, second = build(positions=positions, n_layers=1)(tokens)[:, -1]
        assert torch.allclose(first, second, atol=1e-4) is (positions == "none")


def test_rotary_scores_depend_on_distance_alone() -> None:
    model = build(positions="rotary", norm="none", n_layers=1)
    with Taps(model).record("attn_scores[0]") as recording, torch.no_grad():
        model(torch.full((1, 12), 3))
    scores = recording.tensor("attn_scores[0]")[0, 0]
    for shift in (0, 1, 5):
        diagonal = scores.diagonal(-shift)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-4, rtol=1e-4)


def test_equals_gpt2_of_transformers() -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.GPT2Config(
        vocab_size=11,
        n_positions=12,
        n_embd=16,
        n_head=2,
        n_layer=2,
        activation_function="gelu",
        attn_pdrop=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
    )
    theirs = transformers.GPT2LMHeadModel(config).eval()
    ours = build()
    state = theirs.transformer.state_dict()
    with torch.no_grad():
        for name, value in state.items():
            state[name] = torch.randn(value.shape, generator=torch.Generator().manual_seed(2)) * 0.2
        theirs.transformer.load_state_dict(state)
        ours.embed.weight.copy_(state["wte.weight"])
        ours.position.weight.copy_(state["wpe.weight"])
        _copy_affine(ours.norm, state, "ln_f")
        for number, block in enumerate(ours.blocks):
            layer = f"h.{number}."
            _copy_affine(block.norm_attention, state, layer + "ln_1")
            _copy_affine(block.norm_mlp, state, layer + "ln_2")
            weight = state[layer + "attn.c_attn.weight"].T.chunk(3)
            bias = state[layer + "attn.c_attn.bias"].chunk(3)
            attention = block.attention
            for part, w, b in zip(
                (attention.query, attention.key, attention.value), weight, bias, strict=True
            ):
                part.weight.copy_(w)
                part.bias.copy_(b)
            for part, name in (
                (attention.output, "attn.c_proj"),
                (block.mlp.pre, "mlp.c_fc"),
                (block.mlp.down, "mlp.c_proj"),
            ):
                part.weight.copy_(state[f"{layer}{name}.weight"].T)
                part.bias.copy_(state[f"{layer}{name}.bias"])
        torch.testing.assert_close(ours(ids()), theirs(ids()).logits, atol=1e-5, rtol=1e-4)


def _copy_affine(norm: Any, state: Any, name: str) -> None:
    norm.weight.copy_(state[name + ".weight"])
    norm.bias.copy_(state[name + ".bias"])


def test_equals_llama_of_transformers() -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.LlamaConfig(
        vocab_size=11,
        hidden_size=16,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=12,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
    )
    theirs = transformers.LlamaForCausalLM(config).eval()
    ours = build(
        positions="rotary", norm="rms", mlp="swiglu", mlp_ratio=2.5, bias=False, tied=False
    )
    with torch.no_grad():
        for name, value in theirs.named_parameters():
            value.copy_(_ours(ours, name))
        torch.testing.assert_close(ours(ids()), theirs(ids()).logits, atol=1e-4, rtol=1e-4)


def _ours(model: Any, name: str) -> Any:
    for theirs, ours in (
        ("model.layers", "blocks"),
        ("model.embed_tokens", "embed"),
        ("model.norm", "norm"),
        ("lm_head", "unembed"),
        ("self_attn.q_proj", "attention.query"),
        ("self_attn.k_proj", "attention.key"),
        ("self_attn.v_proj", "attention.value"),
        ("self_attn.o_proj", "attention.output"),
        ("mlp.gate_proj", "mlp.pre"),
        ("mlp.up_proj", "mlp.up"),
        ("mlp.down_proj", "mlp.down"),
        ("input_layernorm", "norm_attention"),
        ("post_attention_layernorm", "norm_mlp"),
    ):
        name = name.replace(theirs, ours)
    return model.get_parameter(name)


@pytest.mark.parametrize("options", [{}, {"tied": False, "norm": "rms", "mlp": "swiglu"}])
def test_starts_with_the_loss_of_a_guess(options: dict[str, Any]) -> None:
    with seed_everything(0):
        model = TinyGPT(64, 32, **options)
    tokens = torch.randint(64, (16, 33), generator=torch.Generator().manual_seed(0))
    loss = torch.nn.functional.cross_entropy(
        model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()
    )
    assert loss.item() == pytest.approx(math.log(64), abs=0.02)
    assert (model.unembed.weight is model.embed.weight) is model.config["tied"]
    deviation = model.blocks[0].attention.output.weight.std().item()
    assert deviation == pytest.approx(0.02 / 2, rel=0.1)


def test_sites_are_recorded_and_edited() -> None:
    model = build(mlp="swiglu")
    taps = Taps(model)
    names = {site.name for site in taps.sites()}
    assert names == set(TinyGPT.tap_sites)
    stacked = [f"{name}[*]" for name in names if name not in ("embed", "logits")]
    with taps.record(*stacked) as rec, torch.no_grad():
        logits = model(ids())
    block = model.blocks[1]
    torch.testing.assert_close(
        rec.tensor("resid_pre[1]") + rec.tensor("attn_out[1]"), rec.tensor("resid_mid[1]")
    )
    torch.testing.assert_close(
        rec.tensor("resid_mid[1]") + rec.tensor("mlp_out[1]"), rec.tensor("resid_post[1]")
    )
    torch.testing.assert_close(
        block.mlp.down(rec.tensor("mlp_hidden[1]")), rec.tensor("mlp_out[1]")
    )
    pattern, heads = rec.tensor("attn_pattern[1]"), rec.tensor("head_out[1]")
    assert tuple(pattern.shape) == (3, 2, 12, 12)
    assert tuple(heads.shape) == (3, 12, 2, 8)
    torch.testing.assert_close(pattern.sum(-1), torch.ones(3, 2, 12))
    torch.testing.assert_close(torch.einsum("bhqk,bkhd->bqhd", pattern, rec.tensor("v[1]")), heads)
    assert torch.equal(model(ids()), logits)
    eye = Set("attn_pattern[0]", torch.eye(12))
    with taps.edit(eye), taps.record("head_out[0]", "v[0]") as clamped, torch.no_grad():
        model(ids())
    torch.testing.assert_close(clamped.tensor("head_out[0]"), clamped.tensor("v[0]"))
    with taps.edit(Zero("head_out[*]"), Zero("mlp_out[*]")), taps.record("resid_post[1]") as rec:
        model(ids())
    torch.testing.assert_close(
        rec.tensor("resid_post[1]")
        - block.attention.output.bias
        - model.blocks[0].attention.output.bias,
        model.embed(ids()) + model.position.weight,
    )


def test_parts_that_are_not_there_have_no_site() -> None:
    hidden = {site.name for site in Taps(build(attention="fused")).sites()}
    assert "attn_pattern" not in hidden
    assert "head_out" in hidden
    bare = {site.name for site in Taps(build(kind=AttentionOnly)).sites()}
    assert not {name for name in bare if name.startswith("mlp") or name == "resid_mid"}


def test_config_builds_the_same_network() -> None:
    for model in (build(positions="rotary", norm="rms"), build(kind=AttentionOnly)):
        again = type(model).from_config(model.config)
        again.load_state_dict(model.state_dict())
        assert torch.equal(again(ids()), model(ids()))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_heads": 3}, "d_model must be a multiple of n_heads; got 16 and 3"),
        ({"n_layers": 0}, "n_layers must be an integer at least 1"),
        ({"positions": "rotery"}, "Did you mean 'rotary'"),
        ({"positions": "rotary", "n_heads": 16}, "even size"),
        ({"norm": "pre"}, "known: layer, rms, none"),
        ({"mlp_ratio": 0}, "mlp_ratio"),
        ({"inputs": "vectors"}, "d_in"),
        ({"d_in": 3}, "d_in"),
        ({"kind": AttentionOnly, "mlp_ratio": 4}, "Use TinyGPT"),
    ],
)
def test_refuses_sizes(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        build(**fields)


def test_refuses_inputs() -> None:
    model = build()
    with pytest.raises(ParameterError, match=r"1 to 12 positions \(context\); got 13"):
        model(torch.zeros(1, 13, dtype=torch.long))
    with pytest.raises(ParameterError, match="token ids must be 0 to 10; got 11"):
        model(torch.tensor([[3, 11]]))
    with pytest.raises(ParameterError, match="got -1"):
        model(torch.tensor([[3, -1]]))
    with pytest.raises(ParameterError, match="ids"):
        model(torch.zeros(1, 3))
    vectors = build(inputs="vectors", d_in=4)
    assert tuple(vectors(torch.zeros(2, 3, 4)).shape) == (2, 3, 11)
    with pytest.raises(ParameterError, match="vectors must have 4 numbers; got 5"):
        vectors(torch.zeros(2, 3, 5))
