"""Comparisons of two recordings: by hand, against rsatoolbox, under nulls, with planted noise."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import activome
from activome.activity.schema import Activity, make
from activome.cli import main
from activome.errors import ActivityError, ParameterError
from activome.geometry import noise_ceiling, rdm
from activome.report import compare_recordings, write_comparison
from activome.report._compare_measures import MEASURES, Result, measure_sides
from activome.report._compare_resampling import _bounds, _Drawn, resample_conditions
from activome.report._compare_sides import Matched, choose_labels, match_sides
from activome.report.method_source import open_source

Array = np.ndarray[Any, Any]
QUICK: dict[str, Any] = {"n_permutations": 99, "n_bootstrap": 0}


def recorded(values: Array, labels: Any, name: str = "stimulus") -> Activity:
    """Return trials with a label."""
    return make(values, ("trial", "unit"), coords={name: ("trial", np.asarray(labels))})


def noisy(patterns: Array, n_repeats: int, noise: float, rng: np.random.Generator) -> Activity:
    """Return noisy repeats of the pattern of each condition, in random order."""
    labels = rng.permutation(np.repeat(np.arange(len(patterns)), n_repeats))
    values = patterns[labels] + noise * rng.normal(size=(labels.size, patterns.shape[1]))
    return recorded(values, labels)


def matched(a: Activity, b: Activity, seed: int = 0, metric: str = "auto") -> Matched:
    sources = open_source(a, owner="test"), open_source(b, owner="test")
    labels = choose_labels(a, b, "stimulus")
    return match_sides(*sources, labels, metric, 500, np.random.default_rng(seed))


def results_of(a: Activity, b: Activity, seed: int) -> list[Result]:
    sides = matched(a, b, seed)
    generator = np.random.default_rng(seed)
    return measure_sides(sides.a, sides.b, n_permutations=99, generator=generator)[2]


def test_by_hand() -> None:
    # Standardised, both units of each side have variance 1 over the four conditions.
    square = recorded(np.array([[0.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 2.0]]), list("abcd"))
    line = recorded(np.array([[0.0], [1.0], [2.0], [3.0]]), list("abcd"))
    found = compare_recordings(square, line, metric="sqeuclidean", **QUICK)
    np.testing.assert_allclose(found.rdm_a, [4, 4, 8, 8, 4, 4])
    np.testing.assert_allclose(found.rdm_b, np.array([1, 4, 9, 1, 4, 1]) / 1.25)
    expected = stats.spearmanr([4, 4, 8, 8, 4, 4], [1, 4, 9, 1, 4, 1]).statistic
    assert found.measure("spearman")["value"] == pytest.approx(expected)


def test_identical_recordings_give_one() -> None:
    rng = np.random.default_rng(0)
    a = noisy(rng.normal(size=(10, 12)), 4, 0.5, rng)
    found = compare_recordings(a, a, n_permutations=199, n_bootstrap=20)
    for row in found.record["measures"]:
        assert row["value"] == pytest.approx(1.0)
        assert row["interval"] == pytest.approx([1.0, 1.0])
        assert row["p_corrected"] <= 0.01
    assert found.is_alike
    said = " ".join(statement["text"] for statement in found.record["statements"])
    assert "the same values" in said
    assert "share noise" in said


def test_unrelated_recordings_give_nothing_and_uniform_p() -> None:
    p_values, values, false = [], [], 0
    for seed in range(100):
        rng = np.random.default_rng([seed, 1])
        pair = [noisy(rng.normal(size=(8, 9)), 3, 1.0, rng) for _ in range(2)]
        results = results_of(pair[0], pair[1], seed)
        spearman = next(result for result in results if result.measure.name == "spearman")
        p_values.append(spearman.p_value)
        values.append(spearman.value)
        false += min(result.p_corrected for result in results) <= 0.01
    assert abs(np.mean(values)) < 3 * np.std(values) / 10
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert false <= 5


@pytest.mark.parametrize("memory", [0.9, 1.0])
def test_drift_in_one_order_is_no_likeness(memory: float) -> None:
    false, fooled = 0, 0
    for seed in range(50):
        rng = np.random.default_rng([seed, 2])
        pair = []
        for _ in range(2):
            values = rng.normal(size=(20, 6))
            for t in range(1, 20):
                values[t] += memory * values[t - 1]
            pair.append(recorded(values, np.arange(20)))
        results = results_of(pair[0], pair[1], seed)
        false += min(result.p_corrected for result in results) <= 0.01
        fooled += results[1].p_value <= 0.01
    # Permuted conditions alone would find likeness in most of these pairs.
    assert fooled > 25
    assert false <= 2


def test_uneven_repeats_are_no_likeness() -> None:
    false = 0
    for seed in range(50):
        rng = np.random.default_rng([seed, 3])
        labels = np.repeat(np.arange(8), [1, 1, 2, 3, 5, 8, 12, 20])
        pair = [recorded(rng.normal(size=(labels.size, 6)), labels) for _ in range(2)]
        false += min(result.p_corrected for result in results_of(pair[0], pair[1], seed)) <= 0.01
    assert false <= 2


def test_a_shared_geometry_is_found_in_other_units() -> None:
    rng = np.random.default_rng(4)
    patterns = rng.normal(size=(10, 4)) @ rng.normal(size=(4, 30))
    brain = noisy(patterns, 6, 1.0, rng)
    model = recorded(patterns @ rng.normal(size=(30, 200)), np.arange(10))
    found = compare_recordings(brain, model, n_permutations=199, n_bootstrap=0)
    assert found.is_alike
    assert found.record["a"]["metric"] == "crossnobis"
    assert found.record["b"]["metric"] == "sqeuclidean"
    assert found.record["a"]["reliability_p"] <= 0.01


def test_agrees_with_rsatoolbox() -> None:
    peer = pytest.importorskip("rsatoolbox.rdm", reason="rsatoolbox is not installed")
    rng = np.random.default_rng(5)
    a, b = (noisy(rng.normal(size=(9, 11)), 4, 1.0, rng) for _ in range(2))
    found = compare_recordings(a, b, **QUICK)
    one, other = peer.RDMs(found.rdm_a[np.newaxis]), peer.RDMs(found.rdm_b[np.newaxis])
    names = {"corr": "pearson", "spearman": "spearman", "rho-a": "rho-a", "tau-a": "kendall-a"}
    for method, name in (names | {"cosine": "cosine"}).items():
        expected = float(peer.compare(one, other, method=method)[0, 0])
        assert found.measure(name)["value"] == pytest.approx(expected, abs=1e-12)


def test_dissimilarities_are_those_of_rdm() -> None:
    rng = np.random.default_rng(6)
    labels = np.repeat(np.arange(6), [2, 3, 4, 5, 2, 3])
    a = recorded(rng.normal(size=(labels.size, 40)), labels)
    side = matched(a, a).a
    standard = stats.zscore(a.values, axis=0)
    folds = np.arange(labels.size)
    expected = rdm(standard, "crossnobis", conditions=labels, folds=folds)
    np.testing.assert_allclose(side.rdm(), expected, atol=1e-10)
    even = recorded(rng.normal(size=(12, 5)), np.repeat(np.arange(6), 2))
    for metric in ("sqeuclidean", "euclidean", "correlation", "cosine"):
        side = matched(even, even, metric=metric).a
        standard = stats.zscore(even.values, axis=0)
        expected = rdm(standard, metric, conditions=even["stimulus"].values)
        np.testing.assert_allclose(side.rdm(), expected, atol=1e-10)


@pytest.mark.parametrize("noise", [0.7, 2.0])
def test_noise_ceiling_holds_the_truth(noise: float) -> None:
    held: dict[str, list[bool]] = {name: [] for name in ("pearson", "spearman", "topology")}
    for seed in range(6):
        rng = np.random.default_rng([seed, 7])
        patterns = rng.normal(size=(14, 20))
        # What is free of noise is the best that any model can be.
        sides = matched(noisy(patterns, 6, noise, rng), recorded(patterns, np.arange(14)))
        first, second = sides.a.rdm(), sides.b.rdm()
        results = [
            Result(m, float(m.compare(*m.map(np.stack([first, second])))[0]))
            for m in MEASURES
            if m.name in held
        ]
        resample_conditions(
            results, sides.a, sides.b, (first, second), n_bootstrap=40, n_splits=6, generator=rng
        )
        for result in results:
            bounds = result.ceiling(0.95)
            assert bounds is not None
            held[result.measure.name].append(bounds[0] <= result.value <= bounds[1])
    assert all(np.mean(list(hits)) == 1.0 for hits in held.values()), held


def test_bounds_are_wider_than_those_of_two_halves() -> None:
    rng = np.random.default_rng(8)
    halves = rng.normal(size=45) + 0.5 * rng.normal(size=(2, 45))
    ceiling = noise_ceiling(halves)
    low, high = _bounds(ceiling.lower, 4)
    assert low == pytest.approx(np.sqrt(ceiling.lower))
    assert ceiling.lower < low < ceiling.upper <= high
    assert _bounds(-0.2, 4) == [0.0, pytest.approx(np.sqrt(0.5))]


def test_copies_of_a_condition_are_no_pair() -> None:
    # Conditions 0, 0, 2, 3 of four: 0 and its copy are no pair, 0-2 and 0-3 count twice.
    drawn = _Drawn(4, np.array([0, 2, 3]), np.array([2, 1, 1]))
    pairs = drawn.take(np.array([[1.0, 2.0, 3.0, 12.0, 13.0, 23.0]]))
    assert pairs.tolist() == [[2.0, 3.0, 23.0]]
    assert drawn.repeat(pairs).tolist() == [[2.0, 2.0, 3.0, 3.0, 23.0]]


def test_surrogates_keep_the_course_and_lose_the_conditions() -> None:
    rng = np.random.default_rng(9)
    values = np.cumsum(rng.normal(size=(64, 3)), axis=0)
    side = matched(recorded(values, np.arange(64)), recorded(values, np.arange(64))).a
    moved = side.surrogate(rng)
    assert 0.3 < moved.var() / side.patterns.var() < 3.0
    steps = [
        np.square(np.diff(x, axis=0)).sum() / np.square(x).sum() for x in (side.patterns, moved)
    ]
    assert steps[1] < 3 * steps[0] < 1.0
    assert not np.allclose(moved, side.patterns, atol=0.1)


def test_labels_match_however_they_are_stored() -> None:
    rng = np.random.default_rng(10)
    values = rng.normal(size=(6, 4))
    a = recorded(values, [0.0, 45.0, 90.0, 135.0, 180.0, np.nan])
    b = recorded(values, ["45", "0", "90", "135", "225", "0.5"], name="angle")
    found = compare_recordings(a, b, by="stimulus=angle", **QUICK)
    assert found.conditions == ["0", "45", "90", "135"]
    assert found.record["left_out"]["only_b"] == ["0.5", "225"]
    named = [x.assign_coords(trial=list("pqrstu")) for x in (a, b)]
    assert compare_recordings(*named, by="trial", **QUICK).conditions == list("pqrstu")


def test_conditions_seen_once_are_left_out_where_most_are_seen_more_often() -> None:
    rng = np.random.default_rng(11)
    labels = [*np.repeat(np.arange(5), 3), 5]
    found = compare_recordings(
        recorded(rng.normal(size=(16, 4)), labels),
        recorded(rng.normal(size=(6, 4)), range(6)),
        **QUICK,
    )
    assert found.record["left_out"]["single"] == ["5"]
    assert found.record["a"]["metric"] == "crossnobis"


@pytest.mark.parametrize(
    ("labels", "options", "error", "message"),
    [
        ([list("abcd"), list("abcx")], {"by": "stimulus"}, ActivityError, "they share 3"),
        ([list("abcd"), list("wxyz")], {}, ParameterError, "share no label"),
        ([list("abcd")] * 2, {"by": "stimulos"}, ParameterError, "Did you mean 'stimulus'"),
        ([list("abcd")] * 2, {"metric": "euclid"}, ParameterError, "unknown metric"),
        ([list("abcd")] * 2, {"metric": "crossnobis"}, ActivityError, "two observations"),
        ([list("abcd")] * 2, {"alpha": 1.5}, ParameterError, "alpha must be in"),
        ([list("abcd")] * 2, {"n_permutations": 3}, ParameterError, "at least 19"),
    ],
)
def test_refusals(
    labels: list[list[str]], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    rng = np.random.default_rng(12)
    a, b = (recorded(rng.normal(size=(4, 3)), names) for names in labels)
    with pytest.raises(error, match=message):
        compare_recordings(a, b, **(QUICK | options))


def test_values_that_are_missing_or_constant_are_refused() -> None:
    rng = np.random.default_rng(13)
    sound = recorded(rng.normal(size=(4, 3)), list("abcd"))
    missing = sound.copy()
    missing[1, 1] = np.nan
    with pytest.raises(ActivityError, match="must be finite"):
        compare_recordings(sound, missing, **QUICK)
    with pytest.raises(ActivityError, match="nothing to compare"):
        compare_recordings(sound, recorded(np.ones((4, 3)), list("abcd")), **QUICK)


def test_page_and_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(14)
    patterns = rng.normal(size=(6, 8))
    names = ["<b>face</b>", "hand", "dog", "cat", "tree", "car"]
    a = recorded(np.repeat(patterns, 4, 0) + rng.normal(size=(24, 8)), np.repeat(names, 4))
    b = recorded(patterns, names)
    first, again = (compare_recordings(a, b, n_permutations=99, n_bootstrap=10) for _ in range(2))
    assert first.record == again.record
    html, numbers = write_comparison(first, tmp_path / "compare.html")
    page = html.read_text()
    assert "<b>face</b>" not in page
    assert "<script" not in page
    assert page.count("data:image/png;base64") == 2
    assert json.loads(numbers.read_text()) == first.record
    assert len(first.record["rdm_a"]) == 15
    with pytest.raises(ParameterError, match=r"must end in \.html or \.json"):
        write_comparison(first, tmp_path / "compare.pdf")
    with pytest.raises(ParameterError, match="Did you mean 'spearman'"):
        first.measure("spearmann")


def test_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["activome", "compare", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return int(stop.value.code or 0), printed.out, printed.err

    rng = np.random.default_rng(15)
    for name in ("a.npz", "b.npz"):
        activome.save(recorded(rng.normal(size=(8, 5)), list("abcdefgh")), name)
    quick = ("--permutations", "19", "--bootstrap", "5")
    code, out, _ = command("a.npz", "b.npz", *quick, "-o", "found.json")
    assert code == 0
    assert "no evidence" in out
    assert json.loads(Path("found.json").read_text())["verdict"]["kind"] == "nothing"
    record = json.loads(command("a.npz", "b.npz", *quick, "--json")[1])
    assert len(record["measures"]) == len(MEASURES)
    code, _, err = command("a.npz", "nowhere.npz")
    assert code == 2
    assert "nowhere.npz" in err
    assert command("a.npz", "b.npz", "-o", "found.pdf")[0] == 2
