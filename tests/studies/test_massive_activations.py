"""The study of massive activations: its data, its rival curve and its smoke run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from activome.errors import MissingExtraError  # noqa: E402  # only where torch is installed
from activome.networks.language_models import LanguageModel  # noqa: E402
from activome.studies import _massive_model  # noqa: E402
from activome.studies._massive_training import (  # noqa: E402
    N_SYMBOLS,
    backcopy_sequences,
    manual_windows,
    step_aic,
)
from activome.studies.claims import Study  # noqa: E402
from activome.studies.massive_activations import run  # noqa: E402


def test_smoke_without_a_language_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: Any) -> Any:
        raise MissingExtraError("no model here")

    monkeypatch.setattr("activome.studies._massive_model.measure", absent)
    study = Study("massive-smoke", "smoke", tmp_path)
    run(study)
    measured = [claim for claim in study.claims if claim.holds is not None]
    assert len(measured) == 6
    assert all(claim.holds for claim in measured)
    assert sum(claim.note == "no model here" for claim in study.claims) == 5
    assert study.figure_path.read_bytes().startswith(b"\x89PNG")


def test_a_planted_value_is_found_and_its_part_told(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=14,
        num_attention_heads=2,
        max_position_embeddings=64,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        # A token that only the first position holds, and two neurons of block 11 that read it.
        model.model.embed_tokens.weight[0] = 0.0
        model.model.embed_tokens.weight[0, 3] = 1.0
        mlp = model.model.layers[11].mlp
        for part in (mlp.gate_proj, mlp.up_proj):
            part.weight[:2] = 0.0
            part.weight[:2, 3] = 5.0
        mlp.down_proj.weight[7] = 0.0
        mlp.down_proj.weight[7, :2] = torch.tensor([30.0, 10.0])

    class Letters:
        def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
            return [0, *(1 + ord(letter) % 39 for letter in text[:30])]

    loaded = LanguageModel(model, Letters(), "tiny", "0" * 64)
    monkeypatch.setattr(_massive_model, "load_language_model", lambda *_, **__: loaded)
    found = _massive_model.measure(3, 0)
    assert found["unit"] == 7
    assert (found["place"] == [0, 7]).all()
    np.testing.assert_allclose(found["writers"], 1.0, atol=0.01)
    assert (found["ratio"][:, 11:] > 100 * found["ratio"][:, :11].max()).all()
    perplexity = found["perplexity"]
    assert perplexity["mean"] == pytest.approx(perplexity["unchanged"], rel=1e-3)
    assert found["attention"].shape == found["attention_zeroed"].shape == (14,)
    np.testing.assert_allclose(found["attention"][:12], found["attention_zeroed"][:12], atol=1e-6)
    assert len(_massive_model.texts(12)) == 12


def test_backcopies_are_as_said() -> None:
    ids = backcopy_sequences(0, 400)
    assert ids.shape == (400, 65)
    assert (ids[:, 0] == N_SYMBOLS).all()
    assert ids[:, 1:].max() < N_SYMBOLS
    before, last, after = ids[:, 1:-2], ids[:, 2:-1], ids[:, 3:]
    copies = last < 6
    assert (after[copies] == before[copies]).all()
    # Elsewhere the table decides: few symbols follow each symbol often.
    follow = np.zeros((N_SYMBOLS, N_SYMBOLS))
    np.add.at(follow, (last[~copies], after[~copies]), 1)
    share = np.sort(follow[6:], axis=1)[:, -10:].sum(axis=1) / follow[6:].sum(axis=1)
    assert share[follow[6:].sum(axis=1) > 50].mean() > 0.9
    np.testing.assert_array_equal(backcopy_sequences(0, 400), ids)


def test_windows_are_text_after_a_start_token() -> None:
    ids = manual_windows(0, 50)
    assert ids.shape == (50, 65)
    assert (ids[:, 0] == 256).all()
    assert (ids[:, 1:] < 256).all()
    assert np.mean(ids[:, 1:] == ord(" ")) > 0.1


def test_a_step_by_hand() -> None:
    t = np.linspace(0, 100, 41)
    rng = np.random.default_rng(0)
    y = 2 + 5 * (1 - np.exp(-t / 12)) + 0.05 * rng.normal(size=41)
    aic, r2 = step_aic(t, y)
    sse = (1 - r2) * ((y - y.mean()) ** 2).sum()
    assert aic == pytest.approx(41 * np.log(sse / 41) + 6)
    assert sse == pytest.approx(41 * 0.05**2, rel=0.4)
