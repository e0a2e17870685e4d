"""Pages of features: what they show, that all of it fits, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt

from activome.errors import ActivityError, ParameterError
from activome.patterns.feature_reading import feature_tokens
from activome.patterns.plots import plot_feature

WORDS = ["we", "met", "on", "monday", "and", "not", "on", "friday", ",", "said", "she"]


def codes() -> np.ndarray:
    coef = np.zeros((len(WORDS), 2))
    coef[3, 1], coef[7, 1], coef[4, 1] = 4.0, 2.0, 1.0
    return coef


def test_the_page_shows_contexts_words_and_use() -> None:
    tokens = feature_tokens(
        [1.0, 0.0], np.eye(2), [[2.0, 0], [0, 1.0], [-1.0, 0]], ["day", "$", "sea"], n_tokens=1
    )
    figure = plot_feature(codes(), WORDS, component=1, tokens=tokens, window=3, n_contexts=2)
    contexts, words, use = figure.axes
    lines = {round(text.get_position()[1]) for text in contexts.texts}
    assert lines == {0, 1}
    bold = [text.get_text() for text in contexts.texts if text.get_weight() == "bold"]
    assert bold == ["monday", "friday"]
    shade = {text.get_text(): text.get_bbox_patch().get_alpha() for text in contexts.texts}
    assert shade["monday"] == pytest.approx(0.65)
    assert shade["friday"] == pytest.approx(0.65 / 2)
    assert [label.get_text() for label in words.get_yticklabels()] == ["day", "sea"]
    assert [bar.get_width() for bar in words.patches] == [2.0, -1.0]
    assert sum(bar.get_height() for bar in use.patches) == 3
    assert "27.3%" in use.get_xlabel()
    figure.canvas.draw()
    plt.close(figure)


def test_long_contexts_are_cut_around_the_strong_sample() -> None:
    words = ["internationalisation"] * 30
    coef = np.zeros((30, 1))
    coef[15] = 1.0
    figure = plot_feature(coef, words, component=0, window=21)
    texts = figure.axes[0].texts
    assert 1 <= len(texts) <= 4
    assert [text.get_weight() for text in texts].count("bold") == 1
    plt.close(figure)


def test_a_dead_feature_has_an_empty_page() -> None:
    figure = plot_feature(codes(), WORDS, component=0)
    assert not figure.axes[0].texts
    figure.canvas.draw()
    plt.close(figure)


def test_refusals() -> None:
    with pytest.raises(ParameterError, match="component"):
        plot_feature(codes(), WORDS, component=2)
    with pytest.raises(ActivityError, match="labels"):
        plot_feature(codes(), WORDS[:-1], component=0)
