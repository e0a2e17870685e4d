"""Expertise of units: by hand, against scikit-learn, under laws, and what it refuses."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from activome.activity.schema import make
from activome.errors import ActivityError, ParameterError
from activome.patterns.unit_expertise import (
    UnitExpertise,
    average_precision,
    chance_average_precision,
)

LABELS = np.repeat(["a", "b", "c"], [12, 20, 15])


def responses(seed: int = 0, n_units: int = 7) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(LABELS.size, n_units))
    values[LABELS == "b", 3] += 2.0
    values[LABELS == "c", 5] += 50.0
    values[LABELS == "c", 6] += 40.0
    return values


def test_by_hand() -> None:
    """Positives at ranks 1 and 3 of 4: (1/1 + 2/3) / 2; two that tie with a negative: 2/3."""
    values = np.array([[4.0, 1.0], [3.0, 1.0], [2.0, 1.0], [1.0, 0.0]])
    found = average_precision(values, [True, False, True, False])
    np.testing.assert_allclose(found, [5 / 6, 2 / 3], rtol=1e-15)


@given(seed=st.integers(0, 10_000), n_values=st.integers(1, 30), n_samples=st.integers(2, 40))
@settings(max_examples=100, deadline=None)
def test_equals_scikit_learn_with_ties(seed: int, n_values: int, n_samples: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, n_values, (n_samples, 5)) - 1.5
    positive = rng.random(n_samples) < 0.4
    positive[rng.integers(n_samples)] = True
    expected = [average_precision_score(positive, column) for column in values.T]
    np.testing.assert_allclose(average_precision(values, positive), expected, rtol=1e-12)


@pytest.mark.parametrize(("n_positive", "n"), [(1, 1), (1, 4), (2, 5), (3, 5), (5, 5)])
def test_chance_is_the_mean_over_all_orders(n_positive: int, n: int) -> None:
    order = np.array(list(permutations(range(n))), dtype=float).T
    mean = average_precision(order, np.arange(n) < n_positive).mean()
    assert chance_average_precision(n_positive, n) == pytest.approx(mean, rel=1e-12)


def test_all_labels_against_loops_with_all_negatives() -> None:
    values = responses()
    model = UnitExpertise(negatives_per_positive=None).fit(values, LABELS)
    for i, label in enumerate(model.classes_):
        is_label = label == LABELS
        expected = [average_precision_score(is_label, column) for column in values.T]
        np.testing.assert_allclose(model.ap_[i], expected, rtol=1e-12)
        inside, outside = values[is_label], values[~is_label]
        spread = np.sqrt((inside.var(0) + outside.var(0)) / 2)
        np.testing.assert_allclose(model.margin_[i], (inside.mean(0) - outside.mean(0)) / spread)


def test_negatives_are_drawn_in_their_number_and_chance_follows() -> None:
    model = UnitExpertise(negatives_per_positive=2.0).fit(responses(), LABELS)
    expected = [chance_average_precision(n, n + min(2 * n, 47 - n)) for n in (12, 20, 15)]
    np.testing.assert_allclose(model.chance_, expected)
    same = UnitExpertise(negatives_per_positive=2.0).fit(responses(), LABELS)
    other = UnitExpertise(negatives_per_positive=2.0, random_state=1).fit(responses(), LABELS)
    np.testing.assert_array_equal(model.ap_, same.ap_)
    assert not np.array_equal(model.ap_, other.ap_)


def test_ties_are_broken_by_the_margin() -> None:
    values = responses()
    model = UnitExpertise().fit(values, LABELS)
    assert model.n_perfect_.tolist() == [0, 0, 2]
    best = 5 if model.margin_[2, 5] > model.margin_[2, 6] else 6
    assert model.top("c", 2).tolist() == [best, 11 - best]
    assert UnitExpertise(tie_break="order").fit(values, LABELS).top("c", 2).tolist() == [5, 6]
    assert model.top("b", 1).tolist() == [3]


def test_blocks_of_units_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = UnitExpertise().fit(responses(), LABELS)
    monkeypatch.setattr("activome.patterns.unit_expertise._BLOCK_VALUES", 100)
    parts = UnitExpertise().fit(responses(), LABELS)
    np.testing.assert_array_equal(whole.ap_, parts.ap_)
    np.testing.assert_allclose(whole.margin_, parts.margin_, rtol=1e-12)


@given(scale=st.floats(0.1, 10.0), shift=st.floats(-5.0, 5.0))
@settings(max_examples=20, deadline=None)
def test_the_score_knows_only_the_order(scale: float, shift: float) -> None:
    values = responses()
    raw = UnitExpertise().fit(values, LABELS).ap_
    np.testing.assert_array_equal(UnitExpertise().fit(np.arctan(values), LABELS).ap_, raw)
    moved = UnitExpertise().fit(scale * values + shift, LABELS)
    np.testing.assert_allclose(moved.margin_, UnitExpertise().fit(values, LABELS).margin_)


def test_units_that_know_nothing_are_at_chance() -> None:
    values = np.random.default_rng(1).normal(size=(60, 4000))
    model = UnitExpertise().fit(values, np.repeat([0, 1, 2], 20))
    error = model.ap_.std(axis=1) / np.sqrt(4000)
    assert np.all(np.abs(model.ap_.mean(axis=1) - model.chance_) < 5 * error)


def test_a_constant_unit_has_the_share_and_no_margin() -> None:
    values = np.column_stack([np.full(47, 0.1), responses()[:, 0]])
    model = UnitExpertise(negatives_per_positive=None).fit(values, LABELS)
    np.testing.assert_allclose(model.ap_[:, 0], np.array([12, 20, 15]) / 47)
    np.testing.assert_array_equal(model.margin_[:, 0], 0.0)


def test_the_mask_takes_its_share_of_every_group() -> None:
    values = responses(n_units=7)
    model = UnitExpertise().fit(values, LABELS)
    layers = np.array([0, 0, 0, 0, 1, 1, 1])
    mask = model.top_mask("b", 0.3, groups=layers)
    assert [mask[layers == layer].sum() for layer in (0, 1)] == [2, 1]
    assert mask[3]
    assert model.top_mask("b", 1.0).all()


def test_labels_of_an_activity() -> None:
    activity = make(responses()[:, np.newaxis], time=[0.0], coords={"relation": ("trial", LABELS)})
    found = UnitExpertise().fit(activity, "relation")
    np.testing.assert_array_equal(found.ap_, UnitExpertise().fit(responses(), LABELS).ap_)


def test_refusals() -> None:
    values = responses()
    with pytest.raises(ActivityError, match=r"'a' has 12\. Drop it, or lower min_positives"):
        UnitExpertise(min_positives=13).fit(values, LABELS)
    with pytest.raises(ActivityError, match="one class"):
        UnitExpertise().fit(values, np.full(47, "a"))
    broken = values.copy()
    broken[3, 1] = np.nan
    with pytest.raises(ActivityError, match="sample 3, unit 1"):
        UnitExpertise().fit(broken, LABELS)
    with pytest.raises(ParameterError, match=r"unknown tie_break 'margn'.*'margin'"):
        UnitExpertise(tie_break="margn").fit(values, LABELS)
    with pytest.raises(ParameterError, match="negatives_per_positive"):
        UnitExpertise(negatives_per_positive=0).fit(values, LABELS)
    model = UnitExpertise().fit(values, LABELS)
    with pytest.raises(ParameterError, match="unknown label 'd'; known: a, b, c"):
        model.top("d", 1)
    with pytest.raises(ParameterError, match="k must be"):
        model.top("a", 8)
    with pytest.raises(ParameterError, match="groups must name one group for each of the 7 units"):
        model.top_mask("a", 0.5, groups=[0, 1])
    with pytest.raises(ActivityError, match="needs a positive sample"):
        average_precision(values, np.zeros(47, dtype=bool))
    with pytest.raises(ActivityError, match="must be finite"):
        average_precision(values + np.nan, np.ones(47, dtype=bool))
