"""Comparing RDMs: against scipy, a brute-force count and rsatoolbox."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, pearsonr, rankdata, spearmanr

from activome.errors import ActivityError, ParameterError
from activome.geometry.rdm import rdm_movie
from activome.geometry.rdm_comparison import (
    COMPARISONS,
    NoiseCeiling,
    compare_rdms,
    noise_ceiling,
    rank_rdms,
)
from activome.samples.rdm92 import load_rdm92

PEER = {
    "pearson": "corr",
    "spearman": "spearman",
    "rho-a": "rho-a",
    "kendall-a": "tau-a",
    "cosine": "cosine",
}


def tied(n_rdms: int, n_pairs: int = 190, levels: int = 9, seed: int = 0) -> np.ndarray:
    """Return RDMs with many ties."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, levels, size=(n_rdms, n_pairs)).astype(float)


def slow_tau_a(a: np.ndarray, b: np.ndarray) -> float:
    """Count concordant less discordant pairs, one by one."""
    signs = np.sign(a[:, None] - a) * np.sign(b[:, None] - b)
    return float(np.triu(signs, 1).sum() / (a.size * (a.size - 1) / 2))


def test_kendall_a_by_hand() -> None:
    # Of the 6 pairs of entries 4 agree, 1 disagrees, and 1 is tied.
    assert compare_rdms([1.0, 2, 3, 4], [1.0, 3, 2, 3], "kendall-a") == pytest.approx(0.5)


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 60), st.integers(1, 8), st.integers(1, 8), st.integers(0, 10**6))
def test_kendall_a_equals_brute_force(n: int, first: int, second: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    a, b = generator.integers(0, first, n) * 1.0, generator.integers(0, second, n) * 1.0
    assert compare_rdms(a, b, "kendall-a") == pytest.approx(slow_tau_a(a, b), abs=1e-14)


def test_kendall_a_without_ties_equals_scipy() -> None:
    a, b = np.random.default_rng(0).random((2, 5000))
    assert compare_rdms(a, b, "kendall-a") == pytest.approx(kendalltau(a, b).statistic, abs=1e-12)


def test_pearson_and_spearman_equal_scipy() -> None:
    a, b = tied(3), tied(2, seed=1) + np.random.default_rng(2).random((2, 190))
    pearson, spearman = compare_rdms(a, b), compare_rdms(a, b, "spearman")
    assert pearson.shape == (3, 2)
    for i in range(3):
        for j in range(2):
            assert pearson[i, j] == pytest.approx(pearsonr(a[i], b[j]).statistic, abs=1e-12)
            assert spearman[i, j] == pytest.approx(spearmanr(a[i], b[j]).statistic, abs=1e-12)


def test_rho_a_is_the_mean_over_random_breaking_of_ties() -> None:
    a, b = tied(1, 30, levels=3), np.random.default_rng(1).random((1, 30))
    generator = np.random.default_rng(2)
    broken = [
        pearsonr(rankdata(a[0] + 1e-6 * generator.random(30)), rankdata(b[0])).statistic
        for _ in range(4000)
    ]
    error = np.std(broken) / np.sqrt(4000)
    assert abs(compare_rdms(a, b, "rho-a")[0, 0] - np.mean(broken)) < 4 * error


def test_ranks_share_ties_and_stack() -> None:
    values = tied(4).reshape(2, 2, 190)
    np.testing.assert_array_equal(rank_rdms(values), rankdata(values, axis=-1))
    model, data = tied(1), tied(20, seed=5)
    cached = compare_rdms(rank_rdms(model), rank_rdms(data), "pearson")
    np.testing.assert_allclose(cached, compare_rdms(model, data, "spearman"), atol=1e-12)


@pytest.mark.parametrize("method", COMPARISONS)
def test_laws(method: str) -> None:
    a = tied(6) + 1
    found = compare_rdms(a, a, method)
    np.testing.assert_allclose(found, found.T, atol=1e-12)
    assert np.abs(found).max() <= 1.0
    if method in ("pearson", "spearman", "cosine"):
        np.testing.assert_allclose(np.diag(found), 1.0)
    if method in ("spearman", "rho-a", "kendall-a"):
        np.testing.assert_allclose(compare_rdms(a**3, a, method), found, atol=1e-12)
    assert compare_rdms(a[0], a[1], method) == pytest.approx(found[0, 1])
    assert compare_rdms(a[0], a, method).shape == (6,)
    assert compare_rdms(a, a[0], method).shape == (6,)


def test_correlation_of_a_large_offset_keeps_its_digits() -> None:
    a, b = np.random.default_rng(0).random((2, 3, 300))
    np.testing.assert_allclose(compare_rdms(a + 1e6, b + 1e6), compare_rdms(a, b), atol=1e-9)


@pytest.mark.parametrize("method", COMPARISONS)
def test_agrees_with_rsatoolbox(method: str) -> None:
    peer = pytest.importorskip("rsatoolbox.rdm", reason="rsatoolbox is not installed")
    a, b = tied(4) + 1, tied(3, levels=5, seed=1) + 1
    theirs = peer.compare(peer.RDMs(a.copy()), peer.RDMs(b.copy()), PEER[method])
    np.testing.assert_allclose(compare_rdms(a, b, method), theirs, atol=1e-10)


@pytest.mark.filterwarnings("ignore:Noise ceiling for tau based on averaged ranks:UserWarning")
@pytest.mark.parametrize("method", COMPARISONS)
@pytest.mark.parametrize("by_person", [True, False])
def test_noise_ceiling_of_brains_agrees_with_rsatoolbox(method: str, by_person: bool) -> None:
    peer = pytest.importorskip("rsatoolbox.rdm", reason="rsatoolbox is not installed")
    from rsatoolbox.inference.noise_ceiling import boot_noise_ceiling

    data = load_rdm92()
    human = data.human.values.astype(np.float64)
    if method == "kendall-a":
        human = human[:, : 1000 - 10]  # 990 pairs, of 45 conditions, are enough
    person = data.person.values
    ours = noise_ceiling(human, method, subject=person if by_person else None)
    sets = peer.RDMs(human.copy(), rdm_descriptors={"person": person})
    theirs = boot_noise_ceiling(sets, PEER[method], "person" if by_person else "index")
    np.testing.assert_allclose(ours, theirs, atol=1e-10)
    assert ours.lower < ours.upper


def test_brains_and_models_agree_with_rsatoolbox() -> None:
    peer = pytest.importorskip("rsatoolbox.rdm", reason="rsatoolbox is not installed")
    data = load_rdm92()
    human, models = data.human.values.astype(float), data.models.values.astype(float)
    for method in ("pearson", "spearman", "rho-a", "cosine"):
        theirs = peer.compare(peer.RDMs(human.copy()), peer.RDMs(models.copy()), PEER[method])
        np.testing.assert_allclose(compare_rdms(human, models, method), theirs, atol=1e-10)


def test_noise_ceiling_by_hand() -> None:
    # Two subjects with cosine 0.6: each is 0.6 from the other, and cos(half the angle) from both.
    found = noise_ceiling([[1.0, 0, 0], [0.6, 0.8, 0]], "cosine")
    assert isinstance(found, NoiseCeiling)
    assert found.lower == pytest.approx(0.6)
    assert found.upper == pytest.approx(np.sqrt((1 + 0.6) / 2))


def test_labels_are_kept_and_compared() -> None:
    from activome.activity.schema import make

    values = np.random.default_rng(0).normal(size=(8, 5, 6))
    names = {"stimulus": ("trial", list("abcdabcd"))}
    movie = rdm_movie(make(values, coords=names), "stimulus")
    found = compare_rdms(movie, movie)
    assert isinstance(found, xr.DataArray)
    assert found.dims == ("time", "time_b")
    np.testing.assert_allclose(found, compare_rdms(movie.values, movie.values))
    other = movie.assign_coords(condition_b=("pair", list("xyzxyz")))
    with pytest.raises(ActivityError, match="same conditions"):
        compare_rdms(movie, other)


@pytest.mark.parametrize(
    ("a", "b", "method", "message"),
    [
        ([1.0, 2, 3], [1.0, 2, 3, 4], "pearson", "same number of pairs"),
        ([1.0, np.nan, 3], [1.0, 2, 3], "pearson", "finite"),
        ([1.0, 2], [1.0, 2], "pearson", "at least 3 pairs"),
        ([5.0, 5, 5], [1.0, 2, 3], "pearson", "constant"),
        ([1.0, 2, 3], [0.1, 0.1, 0.1], "spearman", "constant"),
        ([1.0, 2, 3], [[1.0, 2, 3], [0, 0, 0]], "cosine", "must not be zero; RDM 1 of 2"),
        (np.zeros((2, 3, 3)), [1.0, 2, 3], "pearson", "to_condensed"),
    ],
)
def test_refuses(a: object, b: object, method: str, message: str) -> None:
    with pytest.raises(ActivityError, match=message):
        compare_rdms(a, b, method)  # type: ignore[arg-type]  # bad on purpose


def test_refuses_names_and_lonely_subjects() -> None:
    with pytest.raises(ParameterError, match="Did you mean 'pearson'"):
        compare_rdms(tied(1), tied(1), "person")
    with pytest.raises(ParameterError, match="unknown method"):
        noise_ceiling(tied(3), "euclid")
    with pytest.raises(ActivityError, match="at least two subjects"):
        noise_ceiling(tied(3), subject=["a", "a", "a"])
    with pytest.raises(ActivityError, match="one label for each of the 3"):
        noise_ceiling(tied(3), subject=["a", "b"])
    with pytest.raises(ActivityError, match="with pairs"):
        rank_rdms(np.zeros((2, 0)))
