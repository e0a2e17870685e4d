"""The language model part of the study of SNMF: its sentences, its measures, its directions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from activome.studies._snmf_concepts import CONCEPTS, FRAMES, build_corpus
from activome.studies._snmf_models import PROMPTS, detection_auc, score_at


def test_words_are_split_and_sentences_end_where_they_should(smollm2: Any) -> None:
    given = build_corpus(smollm2.tokenizer, 12, 11, 6)
    assert len(CONCEPTS) == 12
    assert all(7 <= len(words.split()) <= 11 for words in CONCEPTS.values())
    assert len(given.ids) == 6 * sum(len(words) for words in given.words)
    text = smollm2.tokenizer.decode(given.ids[0][: given.place[0] + 1])
    assert text == FRAMES[0].partition("{}")[0] + "Monday"
    assert (given.place > 0).all()
    assert 0.55 < given.is_training.mean() < 0.65
    # All six sentences of a word are on one side.
    assert (given.is_training.reshape(-1, 6).std(axis=1) == 0).all()
    assert {len(smollm2.tokenizer.encode(prompt)) for prompt in PROMPTS} == {3}


def test_auc_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    concept = np.repeat([0, 1, 2], [5, 7, 6])
    codes = rng.integers(4, size=(18, 3)).astype(float)
    found = detection_auc(codes, concept, 3)
    for number in range(3):
        for component in range(3):
            wanted = roc_auc_score(concept == number, codes[:, component])
            assert found[number, component] == pytest.approx(wanted)


def test_scores_at_equal_disturbance_by_hand() -> None:
    raised = np.array([[1.0, 0.0, 0.0], [3.0, 1.0, 1.0]])
    # Margins of the first concept: 0, 1 and 2 at divergences 0, 0.25 and 0.75.
    found = score_at(np.array([0.25, 0.75]), raised, target=0.5)
    np.testing.assert_allclose(found, [1.5, -0.75, -0.75])
    np.testing.assert_allclose(score_at(np.array([0.1, 0.2]), raised)[0], 2.0)
    np.testing.assert_allclose(score_at(np.array([1.0, 2.0]), raised)[0], 0.5)
