"""Geo-topological maps: by definition, against a peer where it is right, and slow paths."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata
from sklearn.base import clone

from activome.errors import ActivityError, ParameterError
from activome.geometry.topology import FAMILY, Geodesic, GeoTopological, family, kind_of


def rdms(n_rdms: int = 4, n_conditions: int = 12, seed: int = 0) -> np.ndarray:
    """Return Euclidean RDMs of different scale."""
    generator = np.random.default_rng(seed)
    return np.stack([pdist((k + 1) * generator.random((n_conditions, 3))) for k in range(n_rdms)])


def by_definition(values: np.ndarray, low: float, high: float, rank: bool) -> np.ndarray:
    """Map one RDM after another, by the formula."""
    found = []
    for row in values:
        d = rankdata(row) if rank else row
        d = (d - d.min()) / (d.max() - d.min())
        a, b = np.quantile(d, low), np.quantile(d, high)
        found.append((d >= a).astype(float) if low == high else np.clip((d - a) / (b - a), 0, 1))
    return np.stack(found)


@pytest.mark.parametrize("rank", [True, False])
@pytest.mark.parametrize("cuts", [*FAMILY.values(), (0.0, 0.3), (0.33, 0.34)])
def test_map_by_definition(cuts: tuple[float, float], rank: bool) -> None:
    values = rdms()
    before = values.copy()
    found = GeoTopological(*cuts, rank=rank).fit_transform(values)
    np.testing.assert_allclose(found, by_definition(values, *cuts, rank), atol=1e-12)
    np.testing.assert_array_equal(values, before)


def test_map_by_hand() -> None:
    # Ranks 0 to 4 of 4: the cuts fall on the second and on the fourth value.
    found = GeoTopological(0.25, 0.75).fit_transform([[10.0, 50.0, 20.0, 90.0, 30.0]])
    np.testing.assert_allclose(found, [[0, 1, 0, 1, 0.5]])
    step = GeoTopological(0.5, 0.5).fit_transform([[10.0, 50.0, 20.0, 90.0, 30.0]])
    np.testing.assert_array_equal(step, [[0, 1, 0, 1, 1]])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 400), st.integers(2, 30), st.data())
def test_quantiles_with_ties_equal_a_full_sort(
    seed: int, n: int, levels: int, data: st.DataObject
) -> None:
    row = np.random.default_rng(seed).integers(0, levels, n) ** 4.0
    row[:2] = 0.0, levels**4.0
    low = data.draw(st.floats(0, 0.95))
    high = data.draw(st.floats(low, 1.0).filter(lambda high: 0 < low + high < 2))
    a, b = np.quantile(row, [low, high])
    expected = np.clip((row - a) / (b - a), 0, 1) if a < b else row > a if a == 0 else row >= a
    found = GeoTopological(low, high, rank=False).fit_transform(row[None])[0]
    if a < b:
        np.testing.assert_allclose(found, expected, atol=1e-9)
    elif not np.isclose(a, row).any() or a in row:
        np.testing.assert_array_equal(found, expected)


def test_crowded_values_are_selected_exactly() -> None:
    # One outlier puts all the others into one bin of the histogram.
    row = np.append(np.random.default_rng(0).random(999), 1e12)
    found = GeoTopological(0.4, 0.6, rank=False).fit_transform(row[None])
    np.testing.assert_allclose(found, by_definition(row[None], 0.4, 0.6, False), atol=1e-4)
    a, b = np.quantile(row, [0.4, 0.6])
    np.testing.assert_allclose(found[0], np.clip((row - a) / (b - a), 0, 1), atol=1e-12)


def test_each_rdm_is_mapped_by_itself() -> None:
    values = rdms()
    together = GeoTopological(0.2, 0.5).fit_transform(values)
    alone = [GeoTopological(0.2, 0.5).fit_transform(row[None])[0] for row in values]
    np.testing.assert_array_equal(together, alone)


def test_ranked_map_ignores_increasing_maps() -> None:
    values = rdms()
    found = GeoTopological(0.4, 0.6).fit_transform(values)
    np.testing.assert_array_equal(GeoTopological(0.4, 0.6).fit_transform(values**3), found)


def test_value_cuts() -> None:
    found = GeoTopological(0.25, 0.75, rank=False, relative="value").fit_transform(
        [[1.0, 2.0, 3.0, 4.0, 5.0, 1.5]]
    )
    np.testing.assert_allclose(found, [[0, 0, 0.5, 1, 1, 0]])


def test_ties_at_the_smallest_value_do_not_make_a_constant() -> None:
    found = GeoTopological(0.0, 0.3).fit_transform([[0.0, 0, 0, 0, 1, 1]])
    np.testing.assert_array_equal(found, [[0, 0, 0, 0, 1, 1]])


def test_agrees_with_rsatoolbox_where_that_is_right() -> None:
    # One RDM at a time, as the peer pools quantiles, and large values, as it maps results of its
    # own above an upper cut below 1 a second time.
    peer = pytest.importorskip("rsatoolbox.rdm", reason="rsatoolbox is not installed")
    from rsatoolbox.rdm.transform import geotopological_transform

    for row in rdms():
        theirs = geotopological_transform(peer.RDMs(50 * row[None] + 50), 0.4, 0.6)
        ours = GeoTopological(0.4, 0.6, rank=False).fit_transform(row[None])
        np.testing.assert_allclose(ours, theirs.get_vectors(), atol=1e-12)


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.3), (0.0, 1.0), (0.05, 0.25), (0.0, 0.1)])
@pytest.mark.parametrize("rank", [True, False])
def test_geodesic_equals_slow_shortest_paths(low: float, high: float, rank: bool) -> None:
    values = rdms()
    edges = by_definition(values, low, high, rank)
    for row, ours in zip(
        edges, Geodesic(low, high, rank=rank, rerank=False).fit_transform(values), strict=True
    ):
        graph = nx.Graph()
        graph.add_nodes_from(range(12))
        first, second = np.triu_indices(12, 1)
        graph.add_weighted_edges_from(
            (i, j, w) for i, j, w in zip(first, second, row, strict=True) if w < 1
        )
        paths = squareform(np.asarray(nx.floyd_warshall_numpy(graph)))
        paths[np.isinf(paths)] = paths[np.isfinite(paths)].max()
        scaled = (paths - paths.min()) / (paths.max() - paths.min())
        np.testing.assert_allclose(ours, scaled, atol=1e-10)


@pytest.mark.parametrize("n", [12, 20])
def test_paths_of_equal_length_share_their_rank(n: int) -> None:
    # With the lower cut at 0 edges are ranks less 1: whole numbers, and so are exact paths.
    generator = np.random.default_rng(n)
    for _ in range(5):
        row = pdist(generator.normal(size=(n, 8)), "correlation")
        ranks = rankdata(row)
        is_edge = ranks < np.quantile(ranks, 0.3)
        first, second = np.triu_indices(n, 1)
        far = 10**9
        graph = np.full((n, n), far)
        graph[np.arange(n), np.arange(n)] = 0
        graph[first[is_edge], second[is_edge]] = ranks[is_edge].astype(np.int64) - 1
        graph = np.minimum(graph, graph.T)
        for k in range(n):
            graph = np.minimum(graph, graph[:, k : k + 1] + graph[k])
        lengths = graph[first, second]
        lengths = np.where(lengths < far, lengths, lengths[lengths < far].max())
        expected = rankdata(lengths)
        expected = (expected - expected.min()) / (expected.max() - expected.min())
        found = Geodesic(0.0, 0.3).fit_transform(row[np.newaxis])[0]
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_geodesic_counts_edges_of_length_zero() -> None:
    # Two pairs of twins, far apart: within a pair the edge has length 0 and is no missing edge.
    points = np.array([0.0, 0.0, 5.0, 5.0, 9.0])[:, None]
    found = squareform(Geodesic(0.0, 1.0, rerank=False).fit_transform(pdist(points)[None])[0])
    assert found[0, 1] == 0
    assert found[2, 3] == 0
    np.testing.assert_array_equal(found[0], found[1])


def test_geodesic_follows_the_curve() -> None:
    # The ends of an open arc are neighbours in space and far apart along it.
    t = np.linspace(0, 1.7 * np.pi, 40)
    arc = pdist(np.c_[np.cos(t), np.sin(t)])[None]
    found = squareform(Geodesic(0.0, 0.1).fit_transform(arc)[0])
    assert np.argmax(found[0]) == 39
    assert np.argmax(squareform(arc[0])[0]) != 39


def test_family_and_names() -> None:
    assert family("topology") == (0.4, 0.6)
    assert {name: kind_of(*cuts) for name, cuts in FAMILY.items()} == {
        "topology": "topology",
        "geometry": "geometry",
        "local": "local",
        "global": "global",
        "intermediate": "intermediate",
        "threshold": "topology",
        "rdm": "geometry",
    }
    assert kind_of(0.1, 0.1 + 0.8) == "geometry"
    with pytest.raises(ParameterError, match="Did you mean 'topology'"):
        family("topolgy")


@pytest.mark.parametrize("transformer", [GeoTopological(0.1, 0.6), Geodesic()])
def test_labels_and_clone(transformer: GeoTopological | Geodesic) -> None:
    values = rdms(3)
    labelled = xr.DataArray(values, dims=("person", "pair"), coords={"person": list("abc")})
    found = transformer.fit_transform(labelled)
    assert found.dims == ("person", "pair")
    assert found.person.values.tolist() == ["a", "b", "c"]
    expected = clone(transformer).fit_transform(values)
    np.testing.assert_array_equal(found, expected)
    turned = transformer.transform(labelled.transpose("pair", "person"))
    assert turned.dims == ("pair", "person")
    np.testing.assert_array_equal(turned.T, expected)


@pytest.mark.parametrize(
    ("transformer", "message"),
    [
        (GeoTopological(0.6, 0.4), "low must be at most high"),
        (GeoTopological(-0.1, 0.4), "low must be in"),
        (GeoTopological(0.1, 1.4), "high must be in"),
        (GeoTopological(0.0, 0.0), "must not both be 0"),
        (GeoTopological(1.0, 1.0), "must not both be 0"),
        (GeoTopological(relative="rank"), "unknown relative"),
        (GeoTopological(negative="clip"), "unknown negative"),
        (Geodesic(0.3, 0.3), "low must be below high"),
    ],
)
def test_refuses_parameters(transformer: GeoTopological, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        transformer.fit(rdms())


@pytest.mark.parametrize("transformer", [GeoTopological(), Geodesic()])
def test_refuses_data(transformer: GeoTopological | Geodesic) -> None:
    with pytest.raises(ActivityError, match="must not be constant; RDM 1"):
        transformer.fit_transform(np.stack([rdms(1)[0], np.ones(66)]))
    with pytest.raises(ActivityError, match="finite"):
        transformer.fit(np.full((1, 66), np.nan))
    with pytest.raises(ActivityError, match="negative"):
        transformer.fit(rdms(1) - 1)
    assert clone(transformer).set_params(negative="allow").fit_transform(rdms(1) - 1).min() == 0
    with pytest.raises(ActivityError, match="at least 3 pairs"):
        transformer.fit(np.ones((3, 2)))
    with pytest.raises(ActivityError, match="to_condensed"):
        transformer.fit(np.zeros((2, 12, 12)))
    with pytest.raises(ActivityError, match="66 pairs of fit; got 45"):
        transformer.fit(rdms(1)).transform(rdms(1, 10))


def test_geodesic_refuses_what_orders_nothing() -> None:
    with pytest.raises(ActivityError, match="all have one length"):
        Geodesic(0.7, 0.9).fit_transform(rdms(1))
    with pytest.raises(ActivityError, match="condensed RDM"):
        Geodesic().fit(np.random.default_rng(0).random((2, 7)))
