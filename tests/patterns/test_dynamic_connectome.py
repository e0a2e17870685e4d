"""The dynamic connectome: planted motifs, missing units, new animals, unrelated units, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from activome.activity.schema import make
from activome.activity.stacking import from_ragged
from activome.errors import ActivityError, ParameterError, ResourceError
from activome.graphs.affinity import derivative_affinity
from activome.patterns._affinity_motifs import _otsu
from activome.patterns.dynamic_connectome import DynamicConnectome

Array = np.ndarray[Any, Any]


def recording(seed: int, n_animals: int = 4, shared: float = 6.0) -> Array:
    """Units 0-4 go together early in all animals, units 5-9 late in the last two."""
    rng = np.random.default_rng(seed)
    traces = rng.normal(size=(n_animals, 12, 120))
    traces[:, :5, 10:50] += shared * rng.normal(size=(n_animals, 1, 40))
    traces[2:, 5:10, 70:110] += shared * rng.normal(size=(n_animals - 2, 1, 40))
    return traces


@pytest.fixture(scope="module")
def fitted() -> tuple[DynamicConnectome, Array]:
    traces = recording(0)
    return DynamicConnectome(2, n_init=2, n_surrogates=19, tol=1e-4, random_state=0).fit(
        traces
    ), traces


def test_planted_motifs(fitted: tuple[DynamicConnectome, Array]) -> None:
    model, _ = fitted
    early = int(np.argmax(model.trial_loadings_.values.min(axis=1)))
    late = 1 - early
    assert model.strongest_[early].nonzero()[0].tolist() == [0, 1, 2, 3, 4]
    assert model.strongest_[late].nonzero()[0].tolist() == [5, 6, 7, 8, 9]
    times = model.time_loadings_.values
    assert (times[early, 10:50] ** 2).sum() > 0.8 > 0.2 > (times[late, 10:50] ** 2).sum()
    animals = model.trial_loadings_.values[late]
    assert animals[:2].max() < 0.5 * animals[2:].min()
    assert (model.description_gain_ > 0).all()
    assert model.match_ > 0.99


def test_components_are_labelled_and_sum_to_the_affinities() -> None:
    traces = recording(1)
    activity = make(
        traces.transpose(0, 2, 1), trial=list("wxyz"), unit=[f"n{k}" for k in range(12)],
        sampling_rate=4.0,
    )  # fmt: skip
    model = DynamicConnectome(2, n_init=1, n_surrogates=19, random_state=0).fit(activity)
    found = model.components_
    assert isinstance(found, xr.Dataset)
    assert found.trial.values.tolist() == list("wxyz")
    np.testing.assert_allclose(found.time.values, activity.time.values)
    affinities = derivative_affinity(activity)
    assert found["first"].values.tolist() == affinities["first"].values.tolist()
    parts = [found[key].values for key in ("weight", "pair_loading", "time_loading")]
    sums = np.einsum("r,rp,rt,rw->wtp", *parts, found["trial_loading"].values)
    difference = affinities.values - sums
    assert (difference**2).sum() / (affinities.values**2).sum() == pytest.approx(model.error_)
    assert model.transform(activity).dims == ("trial", "unit")


def test_new_animals_get_the_loadings_of_old_ones(fitted: tuple[DynamicConnectome, Array]) -> None:
    model, traces = fitted
    wanted = model.trial_loadings_.values.T * model.weights_
    np.testing.assert_allclose(model.transform(traces), wanted, atol=0.02 * wanted.max())
    other = model.transform(recording(5, 3))
    late = int(np.argmin(model.trial_loadings_.values.min(axis=1)))
    assert (other[:2, late] < 0.6 * other[2, late]).all()


def test_units_that_were_not_recorded_are_masked() -> None:
    traces = recording(2)
    traces[0, 3] = traces[3, 11] = np.nan
    model = DynamicConnectome(2, n_init=2, n_surrogates=19, tol=1e-4, random_state=0).fit(traces)
    assert sorted(row.nonzero()[0].tolist() for row in model.strongest_) == [
        [0, 1, 2, 3, 4],
        [5, 6, 7, 8, 9],
    ]
    assert np.isfinite(model.transform(traces)).all()
    # As a zero the missing unit would be a part of its own.
    early = int(np.argmax(model.trial_loadings_.values.min(axis=1)))
    assert model.trial_loadings_.values[early].min() > 0.3
    alone = traces.copy()
    alone[:, 4] = np.nan
    with pytest.raises(ActivityError, match="0 and 4 never are"):
        DynamicConnectome(2).fit(alone)


def test_rank_by_surrogates() -> None:
    model = DynamicConnectome(
        max_rank=3, n_surrogates=19, n_init=2, max_iter=200, tol=1e-4, random_state=0
    )
    assert model.fit(recording(3)).rank_ >= 2
    assert model.p_values_[0] <= 0.05
    n_found = 0
    for seed in range(8):
        unrelated = model.fit(recording(seed, shared=0.0))
        n_found += max(int(labels.max()) for labels in unrelated.motifs_) > 0
    assert n_found <= 1


def test_units_that_are_livelier_than_others_are_no_community() -> None:
    """Pairs of lively units are strong, so that a block model parts them from the quiet ones."""
    rng = np.random.default_rng(0)
    rate = np.where(np.arange(12) < 6, 0.05, 2.0)[:, np.newaxis]
    traces = rng.poisson(rate, size=(3, 12, 120)) + 1e-3 * rng.normal(size=(3, 12, 120))
    model = DynamicConnectome(1, n_init=1, random_state=0).fit(traces)
    assert model.motif_p_value_ > 0.05
    assert not model.motifs_[0].any()
    assert not model.strongest_.any()
    assert model.description_gain_.tolist() == [0.0]


def test_affected_units(fitted: tuple[DynamicConnectome, Array]) -> None:
    model, _ = fitted
    early = int(np.argmax(model.trial_loadings_.values.min(axis=1)))
    ranks = model.affected_by(2, early)
    assert sorted(ranks.unit.values[:4].tolist()) == [0, 1, 3, 4]
    assert ranks["together"].values.tolist() == [True] * 4 + [False] * 7
    assert (np.diff(ranks.values[:4]) <= 0).all()
    matrix = model.affinity(early)
    assert matrix.sel(unit=2, other=0).item() == ranks.sel(unit=0).item()
    np.testing.assert_array_equal(matrix.values, matrix.values.T)
    with pytest.raises(ParameterError, match="one of the 12 of fit"):
        model.affected_by("AWB", early)
    with pytest.raises(ParameterError, match="component"):
        model.affected_by(2, 2)


def test_cut_by_all_cuts() -> None:
    values = np.random.default_rng(0).normal(size=30) ** 2
    spread = []
    for cut in np.sort(values)[:-1]:
        low, high = values[values <= cut], values[values > cut]
        spread.append(low.size * low.var() + high.size * high.var())
    assert _otsu(values) == np.sort(values)[int(np.argmin(spread))]


def test_refusals() -> None:
    good = recording(0)
    flat = good.copy()
    flat[1, 7] = 2.0
    holes = good.copy()
    holes[0, 2, 5] = np.nan
    cases: list[tuple[Any, str]] = [
        (good[:, :2], "three units"),
        (flat, "trial 1, among them 7"),
        (holes, "must be finite"),
        (good[0], "n_trials, n_units, n_times"),
        (from_ragged([good[0].T, good[1].T[:90]]), "equal lengths"),
    ]
    for values, message in cases:
        with pytest.raises(ActivityError, match=message):
            DynamicConnectome(2).fit(values)
    with pytest.raises(ResourceError, match="affinities of"):
        DynamicConnectome(2).fit(np.zeros((100, 600, 200), np.float32))
    for options, message in (
        ({"rank": 0}, "rank"),
        ({"rank": "best"}, "auto"),
        ({"cut": "half"}, "otsu"),
        ({"n_surrogates": 5}, "n_surrogates"),
        ({"rank": 2000}, "at most 264"),
    ):
        with pytest.raises(ParameterError, match=message):
            DynamicConnectome(**options).fit(good)
    model = DynamicConnectome(1, n_init=1, random_state=0).fit(good)
    with pytest.raises(ActivityError, match="120 samples of fit"):
        model.transform(good[:, :, :50])
