"""Laws of overlaps: by enumeration, exact fractions, scipy and simulation; and the neuron."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import sparse, stats
from sklearn.base import clone

from activome.activity import load_estimator, make
from activome.activity.persist import save_estimator
from activome.errors import ActivityError, ParameterError
from activome.networks import (
    ActiveDendriteNeuron,
    DendriticSegment,
    false_match_probability,
    false_negative_probability,
    optimal_threshold,
    overlap_pmf,
    union_false_match_probability,
)

Array = np.ndarray[Any, Any]


def exact(n: int, a: int, s: int, theta: int) -> Fraction:
    """Return the chance of a match in exact arithmetic."""
    ways = sum(math.comb(s, b) * math.comb(n - s, a - b) for b in range(theta, min(a, s) + 1))
    return Fraction(ways, math.comb(n, a))


def random_patterns(n_rows: int, n: int, a: int, rng: np.random.Generator) -> Array:
    rows = np.zeros((n_rows, n), dtype=bool)
    rows[np.arange(n_rows)[:, None], rng.random((n_rows, n)).argpartition(a, axis=1)[:, :a]] = True
    return rows


def test_overlap_by_enumeration() -> None:
    for n, a, s in [(6, 3, 2), (5, 4, 3), (5, 5, 2), (4, 0, 2), (4, 2, 0)]:
        sets = list(itertools.combinations(range(n), a))
        overlaps = [len(set(range(s)) & set(chosen)) for chosen in sets]
        counts = np.bincount(overlaps, minlength=min(a, s) + 1)
        np.testing.assert_allclose(overlap_pmf(n, a, s), counts / len(sets), atol=1e-15)


@pytest.mark.parametrize(
    ("n", "a", "s", "theta"),
    [(100, 10, 8, 3), (1000, 64, 24, 12), (10_000, 300, 24, 12), (50, 40, 30, 20), (300, 5, 60, 2)],
)
def test_agrees_with_exact_fractions(n: int, a: int, s: int, theta: int) -> None:
    expected = float(exact(n, a, s, theta))
    assert false_match_probability(n, a, s, theta) == pytest.approx(expected, rel=1e-12)
    log = false_match_probability(n, a, s, theta, log=True)
    assert log == pytest.approx(math.log(expected), rel=1e-12, abs=1e-12)


def test_figures_of_the_literature() -> None:
    rows = {(6, 6): 6.353e-11, (8, 8): 2.525e-14, (12, 6): 5.294e-8, (24, 12): 8.587e-15}
    for (s, theta), value in rows.items():
        found = false_match_probability(100_000, 2000, s, theta)
        assert found == pytest.approx(value, rel=1e-3)


def test_published_curves_over_cells_and_where_they_level_off() -> None:
    # Data of the authors' figure: 24 synapses, threshold 12; the flat line has a quarter active.
    rows = {
        (300, 64): 0.00109461662333690,
        (19_900, 64): 1.07499989501613e-24,
        (19_900, 128): 7.49308887332261e-21,
        (19_900, 256): 3.74182390049037e-17,
        (9_900, 2475): 0.00713478301541479,
        (19_900, 4975): 0.00716735111800491,
    }
    for (n, a), value in rows.items():
        assert false_match_probability(n, a, 24, 12) == pytest.approx(value, rel=1e-12)
    for share, ratio in ((4, 1.0045), (50, 1.17354)):
        exactly = exact(20_000, 20_000 // share, 24, 12) / exact(10_000, 10_000 // share, 24, 12)
        cells = np.array([10_000, 20_000])
        level = false_match_probability(cells, cells // share, 24, 12)
        assert level[1] / level[0] == pytest.approx(float(exactly), rel=1e-12)
        assert float(exactly) == pytest.approx(ratio, rel=1e-5)


def test_agrees_with_scipy_on_a_grid_and_goes_on_below_its_end() -> None:
    n, theta = np.array([[500], [2000], [20_000]]), np.arange(1, 21)
    found = false_match_probability(n, 60, 20, theta)
    np.testing.assert_allclose(found, stats.hypergeom.sf(theta - 1, n, 20, 60), rtol=1e-10)
    tiny = false_match_probability(10**9, 1000, 100, 100, log=True)
    steps = [math.log(1000 - k) - math.log(10**9 - k) for k in range(100)]
    assert tiny == pytest.approx(math.fsum(steps), rel=1e-13)
    assert tiny < -745


def test_misses_by_enumeration() -> None:
    # Pattern of 5 cells, synapses on the first 3, two cells wrong.
    kept = list(itertools.combinations(range(5), 3))
    missed = np.mean([len({0, 1, 2} & set(cells)) < 2 for cells in kept])
    for model in ("replace", "drop"):
        found = false_negative_probability(50, 5, 3, 2, 0.4, model=model)
        assert found == pytest.approx(missed)
    bernoulli = false_negative_probability(50, 5, 3, 2, 0.4, model="bernoulli")
    assert bernoulli == pytest.approx(stats.binom.cdf(1, 3, 0.6))
    assert false_negative_probability(50, 5, 3, 3, 0.0) == 0.0
    assert false_negative_probability(50, 5, 3, 1, 1.0) == 1.0


def test_union_by_enumeration() -> None:
    n, a, s, theta = 6, 3, 2, 2
    sets = [set(c) for c in itertools.combinations(range(n), s)]
    shown = [set(c) for c in itertools.combinations(range(n), a)]
    hits = [len((one | two) & x) >= theta for one in sets for two in sets for x in shown]
    found = union_false_match_probability(n, a, s, theta, 2)
    assert found == pytest.approx(np.mean(hits))
    assert union_false_match_probability(n, a, s, theta, 1) == pytest.approx(
        float(exact(n, a, s, theta))
    )
    bound = union_false_match_probability(n, a, s, theta, 2, exact=False)
    assert bound >= found
    # Many patterns cover the cells: then everything matches, and nothing fails.
    assert union_false_match_probability(60, 20, 10, 5, 50) == pytest.approx(1.0)


def test_laws() -> None:
    theta = np.arange(1, 25)
    falls = false_match_probability(2000, 64, 24, theta)
    assert (np.diff(falls) < 0).all()
    by_cells = false_match_probability(np.geomspace(500, 20_000, 8).astype(int), 64, 24, 12)
    assert (np.diff(by_cells) < 0).all()
    assert false_match_probability(100, 30, 10, 4) == pytest.approx(
        1.0 - overlap_pmf(100, 30, 10)[:4].sum()
    )


def test_optimal_threshold_is_the_best_of_all() -> None:
    best = optimal_threshold(2000, 64, 20, noise=0.3, n_patterns=3)
    errors = [
        0.5 * union_false_match_probability(2000, 64, 20, k, 3)
        + 0.5 * false_negative_probability(2000, 64, 20, k, 0.3)
        for k in range(1, 21)
    ]
    assert best.theta == 1 + int(np.argmin(errors))
    assert best.error == pytest.approx(min(errors))
    rare = optimal_threshold(2000, 64, 20, noise=0.3, n_patterns=3, prior=1e-6)
    assert rare.theta > best.theta
    strict = optimal_threshold(2000, 64, 20, noise=0.3, n_patterns=3, max_false_match=1e-12)
    assert strict.false_match <= 1e-12
    with pytest.raises(ParameterError, match="no threshold up to 4"):
        optimal_threshold(100, 50, 4, max_false_match=1e-9)


def test_neuron_errs_as_often_as_the_theory_says() -> None:
    rng = np.random.default_rng(0)
    stored = random_patterns(40, 400, 40, rng)
    neuron = ActiveDendriteNeuron(20, 6, patterns_per_segment=4, random_state=0).fit(stored)
    shown = random_patterns(20_000, 400, 40, rng)
    one = clone(neuron).fit(stored[:4])
    expected = neuron.expected_errors()["false_match_segment"]
    error = np.sqrt(expected * (1 - expected) / len(shown))
    # One segment holds one draw of the synapses: its size is not the mean size.
    size = one.segments_[0].size
    of_this = false_match_probability(400, 40, size, 6)
    assert abs(one.predict(shown).mean() - of_this) < 4 * error
    assert expected == pytest.approx(of_this, rel=0.3)
    assert neuron.predict(shown).mean() <= neuron.expected_errors()["false_match"]
    assert neuron.predict(stored).all()


def test_neuron_misses_as_often_as_the_theory_says() -> None:
    rng = np.random.default_rng(1)
    stored = random_patterns(1, 5000, 60, rng)
    neuron = ActiveDendriteNeuron(20, 14, random_state=1).fit(stored)
    cells = np.flatnonzero(stored[0])
    shown = np.zeros((4000, 5000), dtype=bool)
    for row in shown:
        row[rng.choice(cells, 42, replace=False)] = True
    expected = false_negative_probability(5000, 60, 20, 14, 0.3)
    error = np.sqrt(expected * (1 - expected) / 4000)
    assert abs((~neuron.predict(shown)).mean() - expected) < 4 * error


def test_neuron_agrees_with_its_segments_in_every_form_of_input() -> None:
    rng = np.random.default_rng(2)
    stored, shown = random_patterns(9, 50, 12, rng), random_patterns(30, 50, 20, rng)
    neuron = ActiveDendriteNeuron(6, 4, patterns_per_segment=2, random_state=0).fit(stored)
    segments = [DendriticSegment(cells, 4) for cells in neuron.segments_]
    active = [np.flatnonzero(row) for row in shown]
    expected = [max(segment.overlap(x) for segment in segments) - 4 for x in active]
    assert len(segments) == 5
    assert neuron.decision_function(shown).tolist() == expected
    assert (neuron.transform(shown).max(axis=1) - 4).tolist() == expected
    assert neuron.decision_function(sparse.csr_array(shown)).tolist() == expected
    labelled = make(shown.astype(float), ("trial", "unit"), unit=[f"c{k}" for k in range(50)])
    assert neuron.decision_function(labelled).tolist() == expected
    assert neuron.predict(shown).tolist() == [margin >= 0 for margin in expected]
    assert neuron.predict(np.zeros((2, 50))).tolist() == [False, False]
    assert clone(neuron).fit(labelled).unit_names_[3] == "c3"


def test_neuron_is_saved_and_loaded(tmp_path: Any) -> None:
    stored = random_patterns(3, 60, 25, np.random.default_rng(3))
    neuron = ActiveDendriteNeuron(random_state=0).fit(stored)
    save_estimator(neuron, tmp_path / "neuron.npz")
    loaded = load_estimator(tmp_path / "neuron.npz")
    assert loaded.threshold_ == optimal_threshold(60, 25, 20).theta
    np.testing.assert_array_equal(
        loaded.decision_function(stored), neuron.decision_function(stored)
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: overlap_pmf(10, 11, 2), "a must be at most n"),
        (lambda: overlap_pmf(10, 2, 11), "s must be at most n"),
        (lambda: overlap_pmf(10, -1, 2), "whole numbers from 0"),
        (lambda: overlap_pmf(10, 1.5, 2), "whole numbers"),  # type: ignore[arg-type]  # refused
        (lambda: false_match_probability(10, 5, 3, 4), "never matches"),
        (lambda: false_match_probability(10, 5, 3, 0), "theta must be at least 1"),
        (lambda: false_negative_probability(10, 5, 3, 2, 1.2), "noise must be in"),
        (lambda: false_negative_probability(10, 2, 3, 2, 0.1), "active cells of the pattern"),
        (lambda: false_negative_probability(10, 5, 3, 2, 0.1, model="swap"), "unknown model"),
        (lambda: union_false_match_probability(10, 5, 3, 2, 0), "n_patterns"),
        (lambda: optimal_threshold(10, 5, 3, prior=1.0), "prior"),
        (lambda: DendriticSegment([1, 1], 1), "distinct"),
        (lambda: DendriticSegment([1, 2], 3), "theta"),
    ],
)
def test_refusals(call: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        call()


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ([[1, 1, 0], [1, 0, 0]], "row 1 has 1"),
        ([[1, 1, 2]], "zeros and ones"),
        ([[1.0, 1.0, np.nan]], "must be finite"),
        ([1, 1, 0], "shape"),
        (np.zeros((0, 3)), "there is no row"),
    ],
)
def test_neuron_refuses(patterns: Any, message: str) -> None:
    with pytest.raises(ActivityError, match=message):
        ActiveDendriteNeuron(2, 1).fit(patterns)


def test_neuron_refuses_other_cells_and_thresholds() -> None:
    neuron = ActiveDendriteNeuron(2, 1, random_state=0).fit([[1, 1, 0]])
    with pytest.raises(ActivityError, match="the 3 cells of fit"):
        neuron.predict([[1, 0]])
    with pytest.raises(ParameterError, match="threshold"):
        ActiveDendriteNeuron(2, 3).fit([[1, 1, 0]])
