"""Tables of site names: which module of which architecture holds the residual stream, the heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from activome.errors import ParameterError

__all__ = ["SCHEMES", "UNGATED", "Rule", "Scheme", "declared_scheme", "find_scheme"]


@dataclass(frozen=True)
class Rule:
    """Where one named site is, for every layer.

    ``path`` is a dotted path with ``*`` for the layer. ``heads`` is a number, or the dotted name of
    an attribute that holds it, looked up from the layer and then from the model. ``part`` is
    (k, n): the k-th of n equal parts of the last axis, or of each head's share of it where the
    parts are interleaved. ``item`` is the place in a tuple.
    """

    path: str
    io: str = "out"
    heads: int | str | None = None
    part: tuple[int, int] | None = None
    item: int = 0
    is_editable: bool = True
    layout: str = "tokens"
    is_interleaved: bool = False


@dataclass(frozen=True)
class Scheme:
    """Names of one family; ``landmarks`` are modules that tell a model of this family."""

    rules: Mapping[str, Rule]
    landmarks: tuple[str, ...] = ()
    stack: str = ""


_LLAMA = Scheme(
    {
        "embed": Rule("embed_tokens"),
        "resid_pre": Rule("layers.*", "in"),
        "resid_post": Rule("layers.*"),
        "attn_out": Rule("layers.*.self_attn"),
        # The residual branch has left before the norm: an edit here would reach the MLP alone.
        "resid_mid": Rule("layers.*.post_attention_layernorm", "in", is_editable=False),
        "q": Rule("layers.*.self_attn.q_proj", heads="self_attn.q_proj.out_features"),
        "k": Rule("layers.*.self_attn.k_proj", heads="self_attn.k_proj.out_features"),
        "v": Rule("layers.*.self_attn.v_proj", heads="self_attn.v_proj.out_features"),
        "head_out": Rule("layers.*.self_attn.o_proj", "in", heads="self_attn.o_proj.in_features"),
        "attn_pattern": Rule("layers.*.self_attn", item=1, is_editable=False, layout="pattern"),
        "mlp_pre": Rule("layers.*.mlp.gate_proj"),
        "mlp_up": Rule("layers.*.mlp.up_proj"),
        "mlp_hidden": Rule("layers.*.mlp.down_proj", "in"),
        "mlp_out": Rule("layers.*.mlp"),
        "norm_scale": Rule("layers.*.input_layernorm", "in", is_editable=False, layout="rms"),
        "logits": Rule("^lm_head"),
    },
    ("layers.0.self_attn.o_proj", "layers.0.mlp"),
    "layers",
)
# What a block adds to the stream is what leaves its second norm, not what the module gives.
_GEMMA2 = Scheme(
    dict(_LLAMA.rules)
    | {
        "attn_out": Rule("layers.*.post_attention_layernorm"),
        "resid_mid": Rule("layers.*.pre_feedforward_layernorm", "in", is_editable=False),
        "mlp_out": Rule("layers.*.post_feedforward_layernorm"),
    },
    ("layers.0.self_attn.o_proj", "layers.0.pre_feedforward_layernorm"),
    "layers",
)
_OLMO2 = Scheme(
    {name: rule for name, rule in _LLAMA.rules.items() if name != "norm_scale"}
    | {
        "attn_out": Rule("layers.*.post_attention_layernorm"),
        "resid_mid": Rule("layers.*.mlp", "in", is_editable=False),
        "mlp_out": Rule("layers.*.post_feedforward_layernorm"),
    },
    ("layers.0.self_attn.o_proj", "layers.0.post_feedforward_layernorm"),
    "layers",
)
# Queries, keys and values of unequal width share one projection, and have no names here.
_PHI3 = Scheme(
    {name: rule for name, rule in _LLAMA.rules.items() if name not in ("q", "k", "v")}
    | {
        "mlp_pre": Rule("layers.*.mlp.gate_up_proj", part=(0, 2)),
        "mlp_up": Rule("layers.*.mlp.gate_up_proj", part=(1, 2)),
    },
    ("layers.0.self_attn.qkv_proj", "layers.0.mlp.gate_up_proj"),
    "layers",
)
_NEOX_HEADS: dict[str, Any] = {"heads": "config.num_attention_heads", "is_interleaved": True}
_NEOX = Scheme(
    {
        "embed": Rule("embed_in"),
        "resid_pre": Rule("layers.*", "in"),
        "resid_post": Rule("layers.*"),
        "attn_out": Rule("layers.*.attention"),
        "q": Rule("layers.*.attention.query_key_value", part=(0, 3), **_NEOX_HEADS),
        "k": Rule("layers.*.attention.query_key_value", part=(1, 3), **_NEOX_HEADS),
        "v": Rule("layers.*.attention.query_key_value", part=(2, 3), **_NEOX_HEADS),
        "head_out": Rule("layers.*.attention.dense", "in", heads="config.num_attention_heads"),
        "attn_pattern": Rule("layers.*.attention", item=1, is_editable=False, layout="pattern"),
        "mlp_pre": Rule("layers.*.mlp.dense_h_to_4h"),
        "mlp_hidden": Rule("layers.*.mlp.dense_4h_to_h", "in"),
        "mlp_out": Rule("layers.*.mlp"),
        "norm_scale": Rule("layers.*.input_layernorm", "in", is_editable=False, layout="std"),
        "logits": Rule("^embed_out"),
    },
    ("layers.0.attention.query_key_value", "layers.0.mlp.dense_4h_to_h"),
    "layers",
)
_GPT2 = Scheme(
    {
        "embed": Rule("wte"),
        "resid_pre": Rule("h.*", "in"),
        "resid_post": Rule("h.*"),
        "attn_out": Rule("h.*.attn"),
        "resid_mid": Rule("h.*.ln_2", "in", is_editable=False),
        "q": Rule("h.*.attn.c_attn", heads="attn.num_heads", part=(0, 3)),
        "k": Rule("h.*.attn.c_attn", heads="attn.num_heads", part=(1, 3)),
        "v": Rule("h.*.attn.c_attn", heads="attn.num_heads", part=(2, 3)),
        "head_out": Rule("h.*.attn.c_proj", "in", heads="attn.num_heads"),
        "attn_pattern": Rule("h.*.attn", item=1, is_editable=False, layout="pattern"),
        "mlp_pre": Rule("h.*.mlp.c_fc"),
        "mlp_hidden": Rule("h.*.mlp.c_proj", "in"),
        "mlp_out": Rule("h.*.mlp"),
        "norm_scale": Rule("h.*.ln_1", "in", is_editable=False, layout="std"),
        "logits": Rule("^lm_head"),
    },
    ("h.0.attn.c_attn", "h.0.attn.c_proj", "h.0.mlp.c_fc"),
    "h",
)
_BERT_HEADS = "attention.self.num_attention_heads"
_BERT = Scheme(
    {
        "embed": Rule("embeddings"),
        "resid_pre": Rule("encoder.layer.*", "in"),
        "resid_post": Rule("encoder.layer.*"),
        "attn_out": Rule("encoder.layer.*.attention.output.dense"),
        "resid_mid": Rule("encoder.layer.*.attention.output"),
        "q": Rule("encoder.layer.*.attention.self.query", heads=_BERT_HEADS),
        "k": Rule("encoder.layer.*.attention.self.key", heads=_BERT_HEADS),
        "v": Rule("encoder.layer.*.attention.self.value", heads=_BERT_HEADS),
        "head_out": Rule("encoder.layer.*.attention.output.dense", "in", heads=_BERT_HEADS),
        "attn_pattern": Rule(
            "encoder.layer.*.attention.self", item=1, is_editable=False, layout="pattern"
        ),
        "mlp_pre": Rule("encoder.layer.*.intermediate.dense"),
        "mlp_hidden": Rule("encoder.layer.*.output.dense", "in"),
        "mlp_out": Rule("encoder.layer.*.output.dense"),
        "norm_scale": Rule(
            "encoder.layer.*.attention.output.LayerNorm",
            "in",
            is_editable=False,
            layout="std",
        ),
    },
    ("encoder.layer.0.attention.self.query", "encoder.layer.0.intermediate.dense"),
    "encoder.layer",
)
# The first whose landmarks are there is taken: what is special comes before what is general.
SCHEMES: dict[str, Scheme] = {
    "gemma2": _GEMMA2,
    "olmo2": _OLMO2,
    "phi3": _PHI3,
    "llama": _LLAMA,
    "gpt2": _GPT2,
    "neox": _NEOX,
    "bert": _BERT,
}
# Families whose feed-forward layers multiply no two branches.
UNGATED = ("gpt2", "neox", "bert")


def find_scheme(model: nn.Module, name: str | None) -> tuple[str | None, Scheme | None, str]:
    """Return (name, scheme, prefix of its paths) of a model; None where no scheme fits."""
    paths = {path for path, _ in model.named_modules()}
    for known, scheme in SCHEMES.items():
        if name not in (None, known):
            continue
        first = scheme.landmarks[0]
        for path in sorted(paths, key=len):
            if path == first or path.endswith("." + first):
                prefix = path[: -len(first)]
                if all(prefix + mark in paths for mark in scheme.landmarks):
                    return known, scheme, prefix
    return None, None, ""


def declared_scheme(model: nn.Module) -> Scheme | None:
    """Return the scheme that the class of a network declares as ``tap_sites``.

    The attribute maps a site name to ``"path#in"`` or ``"path#out"``, or to such a text with a dict
    of the other fields of a rule.
    """
    declared: Mapping[str, Any] | None = getattr(model, "tap_sites", None)
    if declared is None:
        return None
    rules = {}
    for name, entry in declared.items():
        text, options = (entry, {}) if isinstance(entry, str) else entry
        path, _, io = text.partition("#")
        if io not in ("in", "out"):
            raise ParameterError(
                f"Taps: tap_sites of {type(model).__name__} must map names to 'path#in' or "
                f"'path#out'; {name!r} is {text!r}."
            )
        rules[name] = Rule(path, io, **options)
    return Scheme(rules)
