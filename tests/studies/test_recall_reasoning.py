"""The study of recall and reasoning: its prompts, its small network, and its smoke run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from activome.studies import recall_reasoning
from activome.studies._recall_bytes import byte_transformer, facts, one_query, sequences
from activome.studies._recall_data import matched, prompts
from activome.studies._recall_steps import chosen
from activome.studies.claims import Study


def test_smoke(tmp_path: Path, smollm2: Any) -> None:
    study = Study("recall-reasoning-smoke", "smoke", tmp_path)
    recall_reasoning.run(study)
    assert len(study.claims) == 11
    assert sum(claim.holds is None for claim in study.claims) == 1
    # Eight prompts say little: the direction of the effect must be right.
    assert [claim.name for claim in study.claims[:5] if not claim.holds] == []
    index = next(claim for claim in study.claims if "index" in claim.name)
    assert float(index.measured or 0) > 0
    assert study.figure_path.read_bytes().startswith(b"\x89PNG")


def test_without_the_model_recordings_are_measured_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = SimpleNamespace(is_installed=False, command="pip install it")
    monkeypatch.setattr(recall_reasoning, "ASSETS", {"smollm2": absent})
    study = Study("recall-reasoning-smoke", "smoke", tmp_path)
    recall_reasoning.run(study)
    assert [claim.holds for claim in study.claims] == [True] * 3 + [None]


def test_halves_share_neither_subjects_nor_sentences(smollm2: Any) -> None:
    for task, n in (("recall", (20, 20)), ("inference", (32, 40))):
        halves = [prompts(task, half) for half in ("score", "evaluate")]
        assert tuple(len(half.ids) for half in halves) == n
        assert not bool((halves[0].ids[:, None] == halves[1].ids[None]).all(-1).any())
        assert not set(halves[0].right.tolist()) & set(halves[1].right.tolist())
        assert bool((halves[0].right != halves[0].wrong).all())
    given = prompts("inference", "evaluate")
    # The wrong answer is named twice, the right one once.
    for row in range(len(given.ids)):
        counts = [int((given.ids[row] == one[row]).sum()) for one in (given.right, given.wrong)]
        assert counts == [1, 2]
    logits = torch.zeros(40, 50_000)
    logits[torch.arange(40), given.right] = 3.0
    assert float(given.metric(logits)) == 3.0


def test_matched_prompts_have_one_length_and_the_same_countries(smollm2: Any) -> None:
    first, second = matched(30)
    assert first.shape == second.shape
    assert len(first) == 30
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        country = smollm2.tokenizer.decode(a[-2:-1]).strip()
        assert country in smollm2.tokenizer.decode(b)


def test_sequences_of_bytes_hold_their_answers() -> None:
    known = facts(0)
    ids, answers = sequences(50, known, torch.Generator().manual_seed(0))
    assert ids.shape == (50, 16)
    for row, answer in zip(ids.tolist(), answers.tolist(), strict=True):
        context = dict(zip(row[0:8:2], row[1:8:2], strict=True))
        table = {128 + i: int(value) for i, value in enumerate(known)} | context
        assert [table[query] for query in row[8::2]] == answer == row[9::2]
    for half in (0, 1):
        found = one_query(20, known, torch.Generator().manual_seed(1), half)
        assert bool(((found["recall"][0][:, -1] - 128) % 2 == half).all())
        for row, answer in zip(*(part.tolist() for part in found["lookup"]), strict=True):
            assert dict(zip(row[0:8:2], row[1:8:2], strict=True))[row[-1]] == answer


def test_the_protocol_runs_on_the_byte_transformer() -> None:
    found = byte_transformer(0, 30, 1)
    assert set(found) == {"heads", "neurons"}
    assert found["heads"]["accuracy"].shape == (3, 2)
    assert 0 < found["neurons"]["p"] <= 1


def test_groups_of_both_tasks_are_apart() -> None:
    rng = np.random.default_rng(0)
    scores = {"recall": rng.normal(size=(4, 6)), "inference": rng.normal(size=(4, 6))}
    a, b = chosen(scores, 4)
    assert len(a) == len(b) == 4
    assert not set(a) & set(b)
