"""Functional networks against brute force over lags, and against data without structure."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import false_discovery_control, spearmanr

from activome.activity.schema import make
from activome.activity.stacking import from_ragged
from activome.activity.statistics import circular_shift
from activome.errors import ActivityError, ParameterError
from activome.graphs.functional import functional_network


def _slow(n_samples: int, n_units: int, seed: int, coefficient: float = 0.9) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(n_samples + 200, n_units))
    return np.asarray(lfilter([1.0], [1.0, -coefficient], noise, axis=0)[200:])


def test_weights_are_correlations() -> None:
    values = np.random.default_rng(0).normal(size=(50, 4))
    network = functional_network(values)
    np.testing.assert_allclose(network.weight, np.corrcoef(values.T), atol=1e-12)
    assert network.weight.dims == ("unit", "other")


def test_rank_weights_equal_spearman_on_valid_samples() -> None:
    generator = np.random.default_rng(0)
    trials = [generator.exponential(size=(n, 3)) for n in (30, 20, 41)]
    network = functional_network(from_ragged(trials), "rank")
    expected = spearmanr(np.concatenate(trials)).statistic
    np.testing.assert_allclose(network.weight, expected, atol=1e-12)


def test_z_equals_brute_force_over_all_lags_and_shifted_surrogates() -> None:
    values = _slow(200, 3, seed=0)
    network = functional_network(values, detrend=False)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        lags = [np.corrcoef(values[:, i], np.roll(values[:, j], lag))[0, 1] for lag in range(200)]
        assert network.z.values[i, j] == pytest.approx(lags[0] / np.sqrt(np.mean(np.square(lags))))
    generator = np.random.default_rng(1)
    drawn = [
        np.corrcoef(circular_shift(values, generator, min_shift=0).T)[0, 1] for _ in range(2000)
    ]
    spread = network.weight.values[0, 1] / network.z.values[0, 1]
    assert np.std(drawn) == pytest.approx(spread, rel=0.08)


def test_slow_units_need_larger_correlations() -> None:
    fast = functional_network(_slow(2000, 2, 0, coefficient=0.0))
    slow = functional_network(_slow(2000, 2, 0, coefficient=0.95))
    spread = [float((n.weight / n.z).values[0, 1]) for n in (fast, slow)]
    assert spread[0] == pytest.approx(1 / np.sqrt(2000), rel=0.05)
    # Bartlett: the variance is (1 + a^2) / (1 - a^2) times that of white noise.
    assert spread[1] / spread[0] == pytest.approx(np.sqrt(1.9025 / 0.0975), rel=0.25)


def test_planted_edges_are_found_and_make_the_planted_graph() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(1000, 8))
    truth = nx.Graph([(0, 1), (2, 3), (4, 5)])
    for a, b in truth.edges:
        values[:, b] -= 0.6 * values[:, a]
    network = functional_network(make(values), alpha=0.001)
    found = nx.from_numpy_array(np.triu(network.edge.values, 1))
    assert set(found.edges) == set(truth.edges)
    assert network.attrs["n_edges"] == 3
    assert network.attrs["density"] == 3 / 28
    assert (network.weight.values[[0, 2, 4], [1, 3, 5]] < 0).all()


def test_q_values_are_those_of_benjamini_and_hochberg() -> None:
    network = functional_network(_slow(300, 6, seed=3))
    above = np.triu_indices(6, 1)
    expected = false_discovery_control(network.p_value.values[above])
    np.testing.assert_allclose(network.q_value.values[above], expected)
    assert network.attrs["p_value"] == pytest.approx(expected.min())


def _null(kind: str, generator: np.random.Generator) -> np.ndarray:
    if kind == "rare":
        return generator.poisson(np.geomspace(0.003, 1.0, 15), (1000, 15)).astype(float)
    if kind == "heavy":
        return generator.standard_t(2.2, (1000, 15))
    return np.asarray(lfilter([1.0], [1.0, -0.9], generator.normal(size=(1200, 15)), axis=0)[200:])


@pytest.mark.parametrize("kind", ["rare", "heavy", "slow"])
def test_recordings_without_structure_have_edges_as_rarely_as_asked(kind: str) -> None:
    generator = np.random.default_rng(0)
    smallest = np.array(
        [functional_network(_null(kind, generator)).attrs["p_value"] for _ in range(150)]
    )
    assert (smallest <= 0.05).mean() < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 150)


def test_a_response_shared_over_trials_is_an_edge_and_slow_trials_are_not() -> None:
    generator = np.random.default_rng(0)
    cube = generator.normal(size=(40, 20, 6)).cumsum(axis=1)
    alone = functional_network(make(cube))
    assert alone.attrs["shifts"] == "trial"
    assert alone.attrs["n_edges"] == 0
    cube[..., :2] += 8 * np.sin(np.linspace(0, 6, 20))[:, np.newaxis]
    shared = functional_network(make(cube))
    assert np.argwhere(np.triu(shared.edge.values, 1)).tolist() == [[0, 1]]


def test_constant_units_stay_without_edges_and_labels_are_kept() -> None:
    values = np.random.default_rng(0).normal(size=(100, 3))
    values[:, 1] = 2.0
    network = functional_network(make(values, unit=["a", "b", "c"]))
    assert network.unit.values.tolist() == ["a", "b", "c"]
    assert network.weight.sel(unit="b").values.tolist() == [0.0, 0.0, 0.0]
    assert network.p_value.sel(unit="b").values.tolist() == [1.0, 1.0, 1.0]


def test_identical_units_are_connected() -> None:
    values = np.random.default_rng(0).normal(size=(500, 1))
    network = functional_network(np.repeat(values, 2, axis=1))
    assert network.weight.values[0, 1] == pytest.approx(1.0)
    assert network.attrs["n_edges"] == 1


def test_refusals() -> None:
    with pytest.raises(ParameterError, match="unknown method 'coherence'"):
        functional_network(np.eye(20), "coherence")
    with pytest.raises(ActivityError, match="at least two units; got 1"):
        functional_network(np.arange(20.0)[:, np.newaxis])
    with pytest.raises(ActivityError, match="n_samples, n_units"):
        functional_network(np.zeros(20))
