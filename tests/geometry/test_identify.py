"""Region identification: against a loop, by hand, nested choices, and the bootstrap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.spatial.distance import cdist, pdist

from activome.errors import ActivityError, ParameterError
from activome.geometry._nearest_average import identify, nested_choice, resampled_pairs
from activome.geometry.identify import RegionIdentification
from activome.geometry.topology import Geodesic, GeoTopological

N_CONDITIONS, N_SUBJECTS = 14, 6
REGIONS = np.array(["IT", "V1", "V2"])


def planted(noise: float = 0.35, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return noisy copies of the RDMs of three regions in six subjects."""
    generator = np.random.default_rng(seed)
    truth = np.stack([pdist(generator.random((N_CONDITIONS, 3))) for _ in REGIONS])
    rdms = [np.abs(truth + noise * generator.normal(size=truth.shape)) for _ in range(N_SUBJECTS)]
    subject = np.repeat([f"s{k}" for k in range(N_SUBJECTS)], 3)
    return np.concatenate(rdms), np.tile(REGIONS, N_SUBJECTS), subject


def slow_identification(
    vectors: np.ndarray, region: np.ndarray, subject: np.ndarray, metric: Any
) -> np.ndarray:
    """Average the others region by region, and take the nearest."""
    found = np.empty_like(region)
    names = np.unique(region)
    for k in range(len(vectors)):
        others = subject != subject[k]
        means = np.stack([vectors[others & (region == name)].mean(axis=0) for name in names])
        found[k] = names[np.argmin(cdist(vectors[k : k + 1], means, metric)[0])]
    return found


@pytest.mark.parametrize("metric", ["euclidean", "correlation", "cosine"])
@pytest.mark.parametrize("statistic", ["raw", "topology", Geodesic()])
def test_equals_a_loop(metric: str, statistic: Any) -> None:
    rdms, region, subject = planted(noise=0.6)
    mapped = rdms
    if statistic == "topology":
        mapped = GeoTopological(0.4, 0.6).fit_transform(rdms)
    elif statistic != "raw":
        mapped = Geodesic().fit_transform(rdms)
    found = RegionIdentification(statistic, metric).fit(rdms, region, subject)
    expected = slow_identification(mapped, region, subject, metric)
    np.testing.assert_array_equal(found.predicted_, expected)
    assert found.accuracy_ == np.mean(expected == region)
    assert 0.34 < found.accuracy_ < 1.0
    assert int(found.confusion_.sum()) == len(rdms)
    assert int(found.confusion_.sel(true="V1", predicted="V1")) == np.sum(
        (region == "V1") & (expected == "V1")
    )


def test_by_hand() -> None:
    # Two subjects: (1, 2, 4) of "a" is nearer to the other's "b", (1, 2, 3), and the other way
    # round; (9, 9, 8) of "b" is nearer to (1, 2, 9). Only (1, 2, 9) finds its own.
    rdms = np.array([[1.0, 2, 4], [9, 9, 8], [1, 2, 9], [1, 2, 3]])
    found = RegionIdentification("raw").fit(rdms, list("abab"), [0, 0, 1, 1])
    assert found.predicted_.tolist() == ["b", "a", "a", "a"]
    assert found.accuracy_ == 0.25


def test_several_rdms_of_one_region_and_order_do_not_matter() -> None:
    rdms, region, subject = planted()
    order = np.random.default_rng(1).permutation(len(rdms))
    twice = np.concatenate([order, order[:7]])
    rows = RegionIdentification("rdm").fit(rdms[twice], region[twice], subject[twice])
    expected = slow_identification(
        GeoTopological(0, 1).fit_transform(rdms[twice]), region[twice], subject[twice], "euclidean"
    )
    np.testing.assert_array_equal(rows.predicted_, expected)


def test_predict_takes_the_nearest_mean_of_all() -> None:
    rdms, region, subject = planted()
    known = subject != "s5"
    fitted = RegionIdentification().fit(rdms[known], region[known], subject[known])
    both = RegionIdentification().fit(rdms, region, subject)
    np.testing.assert_array_equal(fitted.predict(rdms[~known]), both.predicted_[~known])
    with pytest.raises(ActivityError, match="91 pairs of fit"):
        fitted.predict(rdms[:, :66])


def test_grid_equals_single_fits_and_leaves_out_what_is_constant() -> None:
    rdms, region, subject = planted(noise=0.6)
    grid = RegionIdentification().fit(rdms, region, subject).grid(0.25)
    assert grid.dims == ("low", "high")
    assert np.isnan(grid.sel(low=0.5, high=0.25))
    assert np.isnan(grid.sel(low=0.0, high=0.0))
    assert np.isnan(grid.sel(low=1.0, high=1.0))
    for low, high in [(0.0, 0.25), (0.5, 0.5), (0.25, 1.0)]:
        single = RegionIdentification(GeoTopological(low, high)).fit(rdms, region, subject)
        assert grid.sel(low=low, high=high) == single.accuracy_
    paths = RegionIdentification(Geodesic()).fit(rdms, region, subject).grid(0.25)
    assert np.isnan(paths.sel(low=0.5, high=0.5))
    single = RegionIdentification(Geodesic(0.0, 0.5)).fit(rdms, region, subject)
    assert paths.sel(low=0.0, high=0.5) == single.accuracy_


def test_nested_choice_never_sees_the_tested_subject() -> None:
    rdms, region, subject = planted(noise=0.6)
    fitted = RegionIdentification().fit(rdms, region, subject)
    before = fitted.nested_accuracy(0.25)
    changed = rdms.copy()
    changed[subject == "s2"] = np.random.default_rng(5).random((3, 91))
    after = RegionIdentification().fit(changed, region, subject).nested_accuracy(0.25)
    for name in ("low", "high"):
        assert before[name].sel(subject="s2") == after[name].sel(subject="s2")
    # By hand for one subject: the best cell among the others, then the accuracy on the subject.
    low, high = float(before.low.sel(subject="s2")), float(before.high.sel(subject="s2"))
    others = subject != "s2"
    inner = RegionIdentification().fit(rdms[others], region[others], subject[others]).grid(0.25)
    assert inner.sel(low=low, high=high) == inner.max()
    outer = RegionIdentification(GeoTopological(low, high)).fit(rdms, region, subject)
    own = subject == "s2"
    assert before.accuracy.sel(subject="s2") == np.mean(outer.predicted_[own] == region[own])
    assert before.attrs["accuracy"] == pytest.approx(float(before.accuracy.mean()))


def test_nested_accuracies_equal_single_runs() -> None:
    rdms, region, subject = planted(noise=0.6)
    codes = np.unique(region, return_inverse=True)[1], np.unique(subject, return_inverse=True)[1]
    inner, outer = nested_choice(rdms, *codes, "euclidean")
    found = identify(rdms, *codes, "euclidean")
    for k in range(N_SUBJECTS):
        rest = codes[1] != k
        assert outer[k] == np.mean(found[~rest] == codes[0][~rest])
        alone = identify(rdms[rest], codes[0][rest], codes[1][rest], "euclidean")
        assert inner[k] == np.mean(alone == codes[0][rest])


def test_resampled_pairs_drop_copies() -> None:
    # Of the draw (0, 2, 2, 3) the pair (2, 2) is dropped; (0, 2) and (2, 3) count twice.
    columns, copies = resampled_pairs(np.array([2, 0, 3, 2]), 5)
    first, second = np.triu_indices(5, 1)
    pairs = list(zip(first[columns].tolist(), second[columns].tolist(), strict=True))
    assert pairs == [(0, 2), (0, 3), (2, 3)]
    assert [pairs[k] for k in copies] == [(0, 2), (0, 2), (0, 3), (2, 3), (2, 3)]


def test_bootstrap_is_seeded_and_holds_no_twins() -> None:
    rdms, region, subject = planted(noise=0.6)
    first, again = (
        RegionIdentification("topology", bootstrap=30, random_state=4).fit(rdms, region, subject)
        for _ in range(2)
    )
    assert first.bootstrap_.shape == (30,)
    np.testing.assert_array_equal(first.bootstrap_, again.bootstrap_)
    assert first.bootstrap_.std() > 0
    # RDMs of pure noise: a copy of the tested subject among the others would be found every time.
    noise = np.random.default_rng(0).random(rdms.shape)
    chance = RegionIdentification("raw", bootstrap=60, random_state=0).fit(noise, region, subject)
    assert chance.bootstrap_.mean() < 0.45


def test_bootstrap_takes_statistics_on_whole_rdms() -> None:
    rdms, region, subject = planted()
    found = RegionIdentification(Geodesic(0.0, 0.6), bootstrap=10, random_state=0)
    assert np.isfinite(found.fit(rdms, region, subject).bootstrap_).all()


def test_labels_by_name() -> None:
    rdms, region, subject = planted()
    labelled = xr.DataArray(
        rdms, dims=("rdm", "pair"), coords={"area": ("rdm", region), "person": ("rdm", subject)}
    )
    found = RegionIdentification().fit(labelled, "area", "person")
    assert found.accuracy_ == RegionIdentification().fit(rdms, region, subject).accuracy_
    with pytest.raises(ParameterError, match="Did you mean 'area'"):
        RegionIdentification().fit(labelled, "aera", "person")


def test_refuses_designs() -> None:
    rdms, region, subject = planted()
    with pytest.raises(ActivityError, match="subject s0 has no RDM of region IT"):
        RegionIdentification().fit(rdms[1:], region[1:], subject[1:])
    with pytest.raises(ActivityError, match="at least two subjects; got 1"):
        RegionIdentification().fit(rdms[:3], region[:3], subject[:3])
    with pytest.raises(ActivityError, match="at least two regions; got 1"):
        RegionIdentification().fit(rdms, np.full(18, "V1"), subject)
    with pytest.raises(ActivityError, match="one label for each of the 18"):
        RegionIdentification().fit(rdms, region[:4], subject)
    with pytest.raises(ActivityError, match="finite"):
        RegionIdentification().fit(rdms * np.nan, region, subject)
    with pytest.raises(ActivityError, match="condensed RDM"):
        RegionIdentification().fit(rdms[:, :90], region, subject)
    with pytest.raises(ActivityError, match="'pair'"):
        RegionIdentification().fit(xr.DataArray(rdms), region, subject)
    two = np.isin(subject, ["s0", "s1"])
    with pytest.raises(ActivityError, match="at least three subjects"):
        RegionIdentification().fit(rdms[two], region[two], subject[two]).nested_accuracy()
    with pytest.raises(ActivityError, match="at least 4 of them"):
        RegionIdentification(bootstrap=2).fit(rdms[:, :3], region, subject)


def test_refuses_parameters() -> None:
    data = planted()
    with pytest.raises(ParameterError, match="unknown metric"):
        RegionIdentification(metric="manhattan").fit(*data)
    with pytest.raises(ParameterError, match="unknown statistic"):
        RegionIdentification("topologie").fit(*data)
    with pytest.raises(ParameterError, match="must be a transformer"):
        RegionIdentification(3).fit(*data)
    with pytest.raises(ParameterError, match="bootstrap"):
        RegionIdentification(bootstrap=-1).fit(*data)
    with pytest.raises(ParameterError, match="statistic with cuts"):
        RegionIdentification("raw").fit(*data).grid()
    with pytest.raises(ParameterError, match="resolution"):
        RegionIdentification().fit(*data).grid(0.0)
