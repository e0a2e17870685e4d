"""The study of data selection: its data, its baselines, its tuning and its smoke run."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from activome.errors import MissingExtraError  # noqa: E402  # only where torch is installed
from activome.networks.language_models import LanguageModel  # noqa: E402
from activome.studies import _mona_model, _mona_tuning  # noqa: E402
from activome.studies._mona_baselines import bm25, precision  # noqa: E402
from activome.studies._mona_data import RELATIONS, make_task  # noqa: E402
from activome.studies.claims import Study  # noqa: E402
from activome.studies.mona import retrieved_gratings, run  # noqa: E402


class Words:
    """One token for each word."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [sum(map(ord, word)) % 90 for word in text.split()]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Any:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.LlamaConfig(
        vocab_size=90,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=30,
        num_attention_heads=2,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config).eval()
    loaded = LanguageModel(model, Words(), "tiny", "0" * 64)
    monkeypatch.setattr(_mona_model, "loaded", lambda: loaded)
    monkeypatch.setattr(_mona_tuning, "loaded", lambda: loaded)
    return loaded


def test_smoke_without_a_language_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: Any) -> Any:
        raise MissingExtraError("no model here")

    monkeypatch.setattr("activome.studies._mona_model.tokens", absent)
    study = Study("mona-smoke", "smoke", tmp_path)
    run(study)
    assert len(study.claims) == 9
    assert all(claim.holds is None and claim.note == "no model here" for claim in study.claims)


def test_smoke_on_a_tiny_model(tmp_path: Path, tiny: Any) -> None:
    study = Study("mona-smoke", "smoke", tmp_path)
    run(study)
    measured = [claim for claim in study.claims if claim.holds is not None]
    assert len(measured) == 1
    assert len(study.claims) == 9
    assert study.figure_path.read_bytes().startswith(b"\x89PNG")
    assert any("visual cortex" in note for note in study.notes)


def test_pool_and_targets_share_no_fact() -> None:
    task = make_task(RELATIONS, 8, 32, 20, 0)
    counts = Counter(task.kind.tolist())
    assert len(task.pool) + task.n_repeats == 568
    assert counts["capital"] == 64
    assert counts["chemical symbol"] == 44
    assert sum(n for name, n in counts.items() if name.startswith("other")) > 130
    for name in RELATIONS:
        assert len(task.targets[name]) == 8
        own = [text for text, kind in zip(task.pool, task.kind, strict=True) if kind == name]
        assert not set(own) & set(task.targets[name])
        asked = {question for question, _ in task.answers[name]}
        assert not any(target.startswith(q) for target in task.targets[name] for q in asked)
    again = make_task(RELATIONS, 8, 32, 20, 0)
    assert again.pool == task.pool


def test_bm25_equals_its_formula() -> None:
    documents = ["the cat sat on the mat", "a cat and a dog", "birds fly over the house"]
    queries = ["the cat", "the house"]
    split = [text.split() for text in documents]
    mean = sum(map(len, split)) / 3
    expected = []
    for words in split:
        total = 0.0
        for query in queries:
            for term in query.split():
                n = sum(term in other for other in split)
                idf = math.log(1 + (3 - n + 0.5) / (n + 0.5))
                tf = words.count(term)
                norm = 1.5 * (1 - 0.75 + 0.75 * len(words) / mean)
                total += idf * tf * 2.5 / (tf + norm)
        expected.append(total)
    np.testing.assert_allclose(bm25(queries, documents), expected, rtol=1e-12)


def test_precision_by_hand() -> None:
    kind = np.array(["a", "b", "a", "c"])
    scores = np.array([[4.0, 3.0, 1.0, 0.0], [0.0, 9.0, 1.0, 2.0]])
    assert precision(scores, kind, ["a", "b"]).tolist() == [0.5, 1.0]


def test_projected_gradients_are_those_of_autograd(tiny: Any) -> None:
    texts = ["one two three four", "five six seven eight nine ten"]
    found = _mona_model.gradients(texts, 28, 3)
    weight = tiny.model.model.layers[28].mlp.down_proj.weight
    rng = np.random.default_rng(3)
    left, right = (rng.standard_normal((n, 64)).astype(np.float32) / 8.0 for n in weight.shape)
    weight.requires_grad_(True)
    for text, row in zip(texts, found, strict=True):
        ids = torch.tensor([Words().encode(text, add_special_tokens=False)])
        loss = tiny.model(ids, labels=ids).loss
        (slope,) = torch.autograd.grad(loss, weight)
        expected = left.T @ slope.numpy() @ right
        np.testing.assert_allclose(row.reshape(64, 64), expected, atol=1e-6)


def test_tuning_learns_and_puts_the_model_back(tiny: Any) -> None:
    answers = [(f"the colour of thing{i} is", " blue") for i in range(8)]
    before = _mona_tuning.answer_loss(answers)
    ids = torch.tensor([Words().encode("the colour of thing3 is blue", add_special_tokens=False)])
    with torch.no_grad():
        logits = tiny.model(ids).logits[0, -2].log_softmax(0)
    one = _mona_tuning.answer_loss([answers[3]])
    assert one == pytest.approx(-float(logits[ids[0, -1]]), rel=1e-5)
    weights = {name: value.clone() for name, value in tiny.model.state_dict().items()}
    texts = [question + answer for question, answer in answers]
    after = _mona_tuning.tune(texts, answers, 200, 0)
    assert after < before - 0.1
    for name, value in tiny.model.state_dict().items():
        assert torch.equal(value, weights[name])
    assert _mona_tuning.answer_loss(answers) == before


def test_trials_of_gratings_are_retrieved_above_chance() -> None:
    found = retrieved_gratings(0)
    assert min(found["jaccard"], found["cosine"]) > found["chance"] + 0.1
