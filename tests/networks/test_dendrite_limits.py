"""Laws of overlaps at their limits, in exact arithmetic; what laws, segments and neuron refuse."""

from __future__ import annotations

import math
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from activome.activity import make
from activome.errors import ActivityError, ParameterError, ResourceError
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


def choose(n: int, k: int) -> int:
    return math.comb(n, k) if k >= 0 else 0


def exact_union(n: int, a: int, s: int, theta: int, n_sets: int) -> Fraction:
    """Average the tail over the law of the size of the union, in exact arithmetic."""
    sizes = {s: Fraction(1)}
    for _ in range(n_sets - 1):
        grown: dict[int, Fraction] = {}
        for size, chance in sizes.items():
            for b in range(min(size, s) + 1):
                ways = Fraction(choose(size, b) * choose(n - size, s - b), choose(n, s))
                grown[size + s - b] = grown.get(size + s - b, Fraction(0)) + chance * ways
        sizes = {size: chance for size, chance in grown.items() if chance}
    total = Fraction(0)
    for size, chance in sizes.items():
        ways_all = sum(
            choose(size, b) * choose(n - size, a - b) for b in range(theta, min(a, size) + 1)
        )
        total += chance * Fraction(ways_all, choose(n, a))
    return total


@pytest.mark.parametrize(
    ("n", "a", "s", "theta", "n_sets"),
    [
        (20, 6, 4, 3, 2),
        (37, 11, 5, 4, 6),
        (30, 29, 5, 5, 7),
        (40, 3, 3, 1, 9),
        (9, 4, 9, 4, 3),
        (23, 0, 4, 2, 2),
    ],
)
def test_union_in_exact_arithmetic(n: int, a: int, s: int, theta: int, n_sets: int) -> None:
    expected = float(exact_union(n, a, s, theta, n_sets))
    found = union_false_match_probability(n, a, s, theta, n_sets)
    assert found == pytest.approx(expected, rel=1e-12)
    every = union_false_match_probability(n, a, s, np.arange(1, s + 1), n_sets)
    assert every[theta - 1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("s", "theta", "n_sets"), [(99, 99, 10), (20, 20, 49), (33, 30, 3)])
def test_sparse_unions_keep_their_digits(s: int, theta: int, n_sets: int) -> None:
    # Few sets on many cells hardly overlap; yet the sum of their synapses in place of the union is
    # off by theta * n_sets * s / (2 n), 5 % in the first row.
    n, a = 1_000_000, 1000
    most = union_false_match_probability(n, a, s, theta, n_sets, exact=False, log=True)
    found = union_false_match_probability(n, a, s, theta, n_sets, log=True)
    shortfall = (n_sets - 1) / n_sets * theta * n_sets * s / (2 * n)
    assert most - found == pytest.approx(shortfall, rel=0.05)


def test_unions_of_very_many_patterns_take_no_time_and_cover_all() -> None:
    # By covering: each of the a cells is missed by all sets with (1 - s / n)**n_sets.
    assert union_false_match_probability(10, 5, 4, 2, 10**9) == pytest.approx(1.0)
    n, a, s, n_sets = 5000, 40, 10, 2000
    theta = np.arange(1, 11)
    found = union_false_match_probability(n, a, s, theta, n_sets)
    met = 1.0 - (1.0 - s / n) ** n_sets
    assert (found > 0.999).all()
    assert met > 0.98
    few = union_false_match_probability(10**7, 1000, 12, 12, 1000, log=True)
    bound = union_false_match_probability(10**7, 1000, 12, 12, 1000, exact=False, log=True)
    assert -0.02 < few - bound < 0


@pytest.mark.parametrize(
    ("n", "a", "s", "theta"),
    [(2**53, 2**20, 64, 60), (10**12, 10**6, 300, 299), (10**6, 500_000, 900, 899), (7, 7, 7, 7)],
)
def test_tails_far_below_a_float(n: int, a: int, s: int, theta: int) -> None:
    ways = 0
    for b in range(theta, min(a, s) + 1):
        term = math.comb(s, b)
        for k in range(b):
            term *= a - k
        for k in range(s - b):
            term *= n - a - k
        ways += term
    whole = math.prod(range(n - s + 1, n + 1))
    shift = max(0, whole.bit_length() - ways.bit_length()) + 64
    expected = math.log((ways << shift) // whole) - shift * math.log(2)
    found = false_match_probability(n, a, s, theta, log=True)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: overlap_pmf([10, 20], 2, 2), "n must be one number"),  # type: ignore[arg-type]
        (lambda: false_match_probability([10, 20], [5, 3, 2], 4, 2), "shapes that broadcast"),
        (lambda: false_match_probability([40, 20], [5, 30], 4, 2), "got 30 of 20"),
        (lambda: false_match_probability(50, 5, [9, 4], [2, 6]), "at most s, 4; got 6"),
        (lambda: false_negative_probability(10, 9, 4, 2, 0.5), "5 active cells cannot be swapped"),
    ],
)
def test_laws_refuse(call: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        call()


def test_laws_that_do_not_fit_in_memory_are_refused_at_once() -> None:
    for call in (
        lambda: overlap_pmf(10**12, 10**9, 10**9),
        lambda: false_match_probability(10**12, 10**9, 10**9, 5),
        lambda: union_false_match_probability(10**12, 10**9, 10**8, 10**8, 2),
    ):
        with pytest.raises(ResourceError, match="law of overlaps"):
            call()


def test_dense_patterns_have_a_best_threshold() -> None:
    # No inactive cells are left to swap with, but cells may still fall silent.
    best = optimal_threshold(20, 18, 6, noise=0.5)
    assert best.false_negative == false_negative_probability(
        20, 18, 6, best.theta, 0.5, model="drop"
    )


def test_segments_compare_and_refuse_masks() -> None:
    segment = DendriticSegment([4, 1, 9], 2)
    assert segment == DendriticSegment([4, 1, 9], 2)
    assert segment != DendriticSegment([4, 1, 9], 3)
    assert segment != DendriticSegment([4, 1, 8], 2)
    assert len({segment, DendriticSegment([4, 1, 9], 2)}) == 1
    assert segment.overlap([]) == 0
    assert segment.overlap([1, 1, 4]) == 2
    for wrong in ([True, True, False], [1.0, 4.0], [[1, 4]]):
        with pytest.raises(ActivityError, match="indices of cells"):
            segment.match(wrong)


def rows(n_rows: int, n: int, share: float, seed: int) -> Array:
    found: Array = np.random.default_rng(seed).random((n_rows, n)) < share
    return found


def test_neuron_as_a_transformer() -> None:
    stored, shown = rows(13, 317, 0.15, 1), rows(57, 317, 0.2, 2)
    neuron = ActiveDendriteNeuron(9, patterns_per_segment=3, random_state=4)
    overlaps = neuron.fit(stored).transform(shown)
    naive = [[int(row[cells].sum()) for cells in neuron.segments_] for row in shown]
    assert overlaps.tolist() == naive
    assert overlaps.shape == (57, 5)
    names = neuron.get_feature_names_out().tolist()
    assert names == [f"activedendriteneuron{k}" for k in range(5)]
    frame = clone(neuron).set_output(transform="pandas").fit(stored).transform(shown)
    assert frame.columns.tolist() == names
    assert clone(neuron).fit_transform(stored).tolist() == neuron.transform(stored).tolist()
    piped = make_pipeline(FunctionTransformer(), clone(neuron)).fit(stored)
    assert (piped.predict(shown) == neuron.predict(shown)).all()
    again = pickle.loads(pickle.dumps(neuron))  # noqa: S301  # our own bytes
    order = np.random.default_rng(3).permutation(57)
    assert (again.predict(shown[order]) == neuron.predict(shown)[order]).all()
    for form in (sparse.lil_matrix, sparse.coo_array, sparse.csc_array, sparse.dok_array):
        assert neuron.transform(form(shown.astype(int))).tolist() == naive
    assert neuron.__sklearn_tags__().input_tags.sparse


def test_neuron_refuses_with_one_sentence() -> None:
    stored = rows(4, 60, 0.4, 5)
    names = [f"c{k}" for k in range(60)]
    labelled = make(stored.astype(float), ("trial", "unit"), unit=names)
    neuron = ActiveDendriteNeuron(5, random_state=0).fit(labelled)
    with pytest.raises(ActivityError, match="units must be those of fit"):
        neuron.predict(labelled[:, ::-1])
    with pytest.raises(ActivityError, match="rows differ"):
        neuron.fit([[3, 4], [5, 6, 7]])
    twice = np.ones(2), np.array([5, 5]), np.array([0, 2])
    for form in (
        sparse.coo_array((twice[0], ([0, 0], [5, 5])), shape=(1, 60)),
        sparse.csr_array(twice, shape=(1, 60)),
    ):
        with pytest.raises(ActivityError, match="zeros and ones; they hold 2"):
            neuron.predict(form)
    with pytest.raises(ParameterError, match="threshold must be an integer"):
        clone(neuron).set_params(threshold=np.array([2, 3])).fit(stored)
    with pytest.raises(ParameterError, match="unknown threshold"):
        clone(neuron).set_params(threshold="best").fit(stored)
