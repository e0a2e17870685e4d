"""Lempel-Ziv complexity: hand-parsed sequences, a slow twin, entropy rates, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activome.activity.complexity import lempel_ziv_complexity as complexity
from activome.activity.events import Events
from activome.activity.schema import make
from activome.activity.stacking import from_ragged
from activome.errors import ActivityError, ParameterError, ResourceError


def slow_lz76(text: str) -> int:
    """Count phrases by searching each in all that precedes its last symbol."""
    n_phrases = start = 0
    while start < len(text):
        length = 1
        while start + length <= len(text) and (
            text[start : start + length] in text[: start + length - 1]
        ):
            length += 1
        n_phrases += 1
        start += length
    return n_phrases


def slow_lz78(text: str) -> int:
    """Count the different phrases of which each is one from before and one symbol."""
    phrases: set[str] = set()
    phrase = ""
    for symbol in text:
        phrase += symbol
        if phrase not in phrases:
            phrases.add(phrase)
            phrase = ""
    return len(phrases)


@pytest.mark.parametrize(
    ("text", "n_phrases"), [("0001101001000101", 6), ("0" * 50, 2), ("01" * 25, 3), ("01", 2)]
)
def test_sequences_parsed_by_hand(text: str, n_phrases: int) -> None:
    assert complexity(text, normalise=False) == n_phrases
    assert complexity(text) == pytest.approx(n_phrases * np.log2(len(text)) / len(text))


def test_phrases_of_1978_by_hand() -> None:
    # 0 | 00 | 1 | 10 | 100 | 1000 | 101
    assert complexity("0001101001000101", variant="lz78", normalise=False) == 7
    assert complexity("0" * 10, variant="lz78", normalise=False) == 4


@pytest.mark.parametrize(("variant", "slow"), [("lz76", slow_lz76), ("lz78", slow_lz78)])
@given(data=st.data())
@settings(deadline=None)  # the first call compiles
def test_equals_the_slow_search(variant: str, slow: Any, data: st.DataObject) -> None:
    letters = data.draw(st.sampled_from(["01", "abc", "abcdefghij"]))
    text = data.draw(st.text(letters, min_size=2, max_size=80))
    assert complexity(text, alphabet=letters, variant=variant, normalise=False) == slow(text)


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_equals_the_slow_search_on_long_sequences(share: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        x = rng.random(3000) < share
        text = "".join("01"[int(v)] for v in x)
        assert complexity(x, normalise=False) == slow_lz76(text)


def test_tends_to_the_entropy_rate() -> None:
    rng = np.random.default_rng(0)
    assert complexity(rng.integers(0, 2, 20_000)) == pytest.approx(1.0, abs=0.05)
    draws = rng.random(50_000) < 0.2
    assert complexity(draws, normalise="entropy") == pytest.approx(1.0, abs=0.08)
    assert complexity(rng.integers(0, 4, 50_000), alphabet=4) == pytest.approx(1.0, abs=0.08)
    state, chain = 0, np.empty(20_000, dtype=np.int64)
    for k, u in enumerate(rng.random(chain.size)):
        state = int(u < 0.1) if state == 0 else int(u >= 0.3)
        chain[k] = state
    # Of the chain 0 -> 1 with 0.1 and 1 -> 0 with 0.3: 3/4 H(0.1) + 1/4 H(0.3) bits.
    assert complexity(chain) == pytest.approx(0.572, abs=0.05)


def test_axes_and_labels() -> None:
    rng = np.random.default_rng(0)
    raster = rng.random((3, 100, 4)) < 0.3
    expected = [[complexity(raster[t, :, u]) for u in range(4)] for t in range(3)]
    assert np.array_equal(complexity(raster, axis=1), expected)
    activity = make(
        raster, sampling_rate=100.0, unit=list("abcd"), coords={"condition": ("trial", [0, 1, 0])}
    )
    found = complexity(activity)
    assert found.dims == ("trial", "unit")
    assert np.array_equal(found.values, expected)
    assert found["condition"].values.tolist() == [0, 1, 0]
    assert found["unit"].values.tolist() == list("abcd")
    events = Events.from_raster(activity)
    assert np.array_equal(complexity(events, dt=0.01, normalise=False), expected_phrases(raster))


def expected_phrases(raster: Any) -> Any:
    texts = [["".join("01"[int(v)] for v in trial.T[u]) for u in range(4)] for trial in raster]
    return [[slow_lz76(text) for text in row] for row in texts]


def test_symbols_of_any_name_and_exchanged_symbols_give_the_same() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 400)
    expected = complexity(codes, alphabet=3)
    assert complexity("".join("CGA"[c] for c in codes), alphabet="ACG") == expected
    assert complexity(codes * 2.5 - 1.0, alphabet=[-1.0, 1.5, 4.0]) == expected
    assert complexity((codes == 0).astype(float)) == complexity(codes != 0)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (
            [0, 1, 2],
            {},
            r"symbols of the alphabet \(0, 1\); 1 of 3 are none, the first 2 at \(2,\)",
        ),
        ([0.0, np.nan], {}, "must be finite"),
        ([1], {}, "at least two symbols; got 1"),
        ([], {}, "must hold symbols"),
        (1, {}, "at least one axis"),
        ([0, 1], {"alphabet": "ab"}, "got dtype int64"),
        ([[0, 1], [1, 1]], {"normalise": "entropy"}, "1 of 2 are constant, the first is number 1"),
    ],
)
def test_what_is_no_sequence_is_refused(x: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ActivityError, match=message):
        complexity(x, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "lzw"}, "unknown variant"),
        ({"normalise": "none"}, "unknown normalise"),
        ({"alphabet": "aa"}, "two different symbols"),
        ({"alphabet": 1}, "alphabet must be an integer at least 2"),
        ({"axis": 1}, "axis must be"),
        ({"dt": 0.1}, "dt must be given with Events, and only then"),
    ],
)
def test_options_that_do_not_exist_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        complexity([0, 1, 0, 1], **options)


def test_activity_without_time_or_of_unequal_trials_is_refused() -> None:
    with pytest.raises(ActivityError, match="must have a dim 'time'"):
        complexity(make(np.ones((3, 2)), ("trial", "unit")))
    ragged = from_ragged([np.ones((4, 2)), np.ones((3, 2))], sampling_rate=1.0)
    with pytest.raises(ActivityError, match="equally long"):
        complexity(ragged)
    with pytest.raises(ParameterError, match="dt must be given with Events"):
        complexity(Events.from_times([0.1], [0]))


def test_memory_is_bounded() -> None:
    with pytest.raises(ResourceError, match="the phrases of 1000 symbols"):
        complexity(np.zeros(1000, dtype=bool), memory_limit=1000)
