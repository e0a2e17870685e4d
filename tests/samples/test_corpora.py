"""Texts of seven functions: how many, that they differ, and that a seed gives them again."""

from __future__ import annotations

import hashlib

import pytest

from activome.errors import ParameterError
from activome.samples.corpora import FUNCTIONS, function_corpora


def test_sixty_different_texts_of_each() -> None:
    texts = function_corpora()
    assert texts.function.value_counts().to_dict() == dict.fromkeys(FUNCTIONS, 60)
    assert not texts.text.duplicated().any()
    assert texts.text.str.len().min() > 20
    assert texts.equals(function_corpora())
    assert not texts.equals(function_corpora(random_state=1))


def test_a_longer_list_begins_with_the_shorter_one() -> None:
    few, many = function_corpora(60), function_corpora(150)
    assert not many.text.duplicated().any()
    for name in FUNCTIONS:
        texts = many.text[many.function == name].tolist()
        assert len(texts) == 150
        assert texts[:60] == few.text[few.function == name].tolist()


def test_the_first_sixty_stay_what_they_were() -> None:
    # "coding" depends on the version of Python; recorded figures rest on the others.
    texts = function_corpora(60, [name for name in FUNCTIONS if name != "coding"]).text
    found = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    assert found == "6d9c88cf355b2adfef0a167d4ceeeca5dccc761227b7ba73d3475424f20b745e"


def test_a_choice_changes_no_text() -> None:
    whole = function_corpora(5)
    part = function_corpora(5, ["writing", "coding"])
    assert part.function.tolist() == ["writing"] * 5 + ["coding"] * 5
    for name in ("writing", "coding"):
        assert (
            part.text[part.function == name].tolist() == whole.text[whole.function == name].tolist()
        )


def test_sums_are_right() -> None:
    solved = [text for text in function_corpora(60, ["maths"]).text if text.startswith("Solve")]
    assert solved
    for text in solved:
        b, c, total = (int("".join(filter(str.isdigit, word))) for word in text.split()[3:8:2])
        assert text.endswith(f"x = {(total - c) // b}.")
        assert (total - c) % b == 0


def test_refusals() -> None:
    with pytest.raises(ParameterError, match="n_texts"):
        function_corpora(151)
    with pytest.raises(ParameterError, match="unknown function 'code'"):
        function_corpora(2, ["code"])
