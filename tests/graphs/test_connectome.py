from __future__ import annotations

import json
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from activome.activity.worm import NEURONS
from activome.errors import (
    ActivityError,
    ActivityWarning,
    MissingExtraError,
    ParameterError,
    ReadError,
)
from activome.graphs.connectome import (
    Connectome,
    FunctionalAtlas,
    consensus_connectome,
    detect_lineages,
    read_connectome,
    read_functional_atlas,
)

Array = np.ndarray[Any, Any]


def random_connectome(seed: int, nodes: list[str], **changes: str) -> Connectome:
    rng = np.random.default_rng(seed)
    n = len(nodes)
    chem, gap = (rng.integers(1, 9, (n, n)) * (rng.random((n, n)) < 0.4) for _ in range(2))
    return Connectome(chem, gap, nodes, **({"name": f"c{seed}"} | changes))


def row(table: Any, source: str, target: str) -> Any:
    found = table[(table["from"] == source) & (table["to"] == target)]
    assert len(found) == 1
    return found.iloc[0]


def test_gap_junctions_get_the_mean_of_the_listed_directions() -> None:
    one = Connectome(np.zeros((3, 3)), [[5, 2, 0], [4, 0, 3], [0, 0, 0]], list("abc"))
    assert one.gap.tolist() == [[5, 3, 0], [3, 0, 3], [0, 3, 0]]


def test_edges_listed_twice_keep_the_first() -> None:
    edges = [
        ("a", "b", "chemical", 3.0),
        ("a", "b", "chemical", 9.0),
        ("b", "a", "chemical", 1.0),
        ("a", "b", "gap", 2.0),
        ("b", "a", "gap", 6.0),
    ]
    one = Connectome.from_edges(edges)
    assert one.nodes == ("a", "b")
    assert one.chemical.tolist() == [[0, 3], [1, 0]]
    assert one.gap.tolist() == [[0, 4], [4, 0]]


def test_agreement_by_hand() -> None:
    a = Connectome([[0, 1, 2], [3, 0, 4], [0, 0, 0]], np.zeros((3, 3)), list("abc"))
    b = Connectome(
        [[0, 0, 0, 9], [1, 0, 2, 9], [0, 0, 0, 9], [9, 9, 9, 9]], np.zeros((4, 4)), list("cabd")
    )
    # On a, b, c: b has c->none, a->c 1? rows are c, a, b: a->c 1, a->b 2.
    # a has a->b 1, a->c 2, b->a 3, b->c 4. Both: a->b, a->c. Either: 4.
    result = a.agreement(b)
    assert (result.jaccard, result.n_nodes, result.n_edges) == (0.5, 3, 2)
    assert np.isnan(result.spearman)


@pytest.mark.parametrize("kind", ["chemical", "gap", "both"])
def test_agreement_by_sets_and_scipy(kind: str) -> None:
    names = [f"n{k}" for k in range(20)]
    a, b = random_connectome(1, names), random_connectome(2, [*names[5:], "x"])
    shared = names[5:]

    def edges(one: Connectome) -> dict[Any, float]:
        found = {}
        for i, source in enumerate(one.nodes):
            for j, target in enumerate(one.nodes):
                weight = one.weights(kind)[i, j]
                if weight and {source, target} <= set(shared):
                    key = frozenset((source, target)) if kind == "gap" else (source, target)
                    found[key] = weight
        return found

    x, y = edges(a), edges(b)
    both = sorted(set(x) & set(y), key=str)
    result = a.agreement(b, kind)
    assert result.jaccard == pytest.approx(len(both) / len(set(x) | set(y)))
    expected = spearmanr([x[e] for e in both], [y[e] for e in both]).statistic
    assert result.spearman == pytest.approx(expected)
    assert tuple(result) == pytest.approx(tuple(b.agreement(a, kind)))


def test_agreement_with_itself_and_of_the_empty() -> None:
    one = random_connectome(3, list("abcdef"))
    assert one.agreement(one)[:2] == pytest.approx((1.0, 1.0))
    empty = Connectome(np.zeros((2, 2)), np.zeros((2, 2)), ["a", "b"])
    assert np.isnan(empty.agreement(empty).jaccard)


def test_restrict_keeps_edges_in_the_new_order() -> None:
    one = random_connectome(4, list("abcde"))
    part = one.restrict(["d", "a"])
    assert part.nodes == ("d", "a")
    assert part.chemical[0, 1] == one.chemical[3, 0]
    assert part.lineage == one.lineage == "c4"


def test_graph_equals_the_matrices() -> None:
    one = random_connectome(5, list("abcdef"))
    graph = one.to_graph()
    assert graph.is_directed()
    assert graph.vs["name"] == list("abcdef")
    for key, values in (("chemical", one.chemical), ("gap", one.gap)):
        rebuilt = np.zeros_like(values)
        for edge in graph.es:
            rebuilt[edge.source, edge.target] = edge[key]
        np.testing.assert_array_equal(rebuilt, values)
    assert graph.es["weight"] == [e["chemical"] + e["gap"] for e in graph.es]


def test_graph_equals_networkx() -> None:
    networkx = pytest.importorskip("networkx", reason="a peer")
    one = random_connectome(6, list("abcdefgh"))
    peer = networkx.from_numpy_array(one.weights("both"), create_using=networkx.DiGraph)
    graph = one.to_graph()
    assert sorted(graph.get_edgelist()) == sorted(peer.edges)
    assert graph.strength(weights="weight", mode="out") == pytest.approx(
        [value for _, value in peer.out_degree(weight="weight")]
    )


def test_consensus_by_hand() -> None:
    none = np.zeros((2, 2))
    one = Connectome([[0, 2], [0, 0]], [[0, 1], [1, 0]], ["a", "b"], name="one")
    two = Connectome([[0, 6], [5, 0]], [[0, 1], [1, 0]], ["a", "b"], name="two")
    three = Connectome([[0, 4], [0, 0]], none, ["a", "c"], name="three")
    table = consensus_connectome([one, two, three])
    assert len(table) == 9
    ab = row(table, "a", "b")
    # Chemical 2 and 6: mean 4, spread 2. Gap 1 and 1: equal values both count, spread 0.
    assert (ab.mean_chem, ab.mean_gap, ab.uncertainty) == pytest.approx((4.0, 1.0, 0.9 * 2))
    assert (ab.n_seen, ab.n_present, ab.sources) == (2, 2, "one; two")
    ba = row(table, "b", "a")
    assert (ba.mean_chem, ba.mean_gap, ba.n_seen, ba.sources) == (5.0, 1.0, 2, "one; two")
    ac = row(table, "a", "c")
    assert (ac.mean_chem, ac.n_seen, ac.n_present, ac.sources) == (4.0, 1, 1, "three")
    assert np.isnan(ac.mean_gap)
    bc = row(table, "b", "c")
    assert (bc.n_seen, bc.n_present, bc.sources) == (0, 0, "")
    assert np.isnan([bc.mean_chem, bc.mean_gap, bc.uncertainty, bc.functional]).all()


def test_equal_values_all_count() -> None:
    weights = [2.0, 2.0, 8.0]
    group = [
        Connectome(w * np.eye(2)[::-1], w * np.eye(2)[::-1], ["a", "b"], name=str(k))
        for k, w in enumerate(weights)
    ]
    ab = row(consensus_connectome(group, weight_std=0.5), "a", "b")
    assert ab.mean_gap == ab.mean_chem == pytest.approx(4.0)
    assert ab.uncertainty == pytest.approx(np.std(weights))


def test_one_animal_is_one_vote() -> None:
    def make(weight: float, name: str, lineage: str = "") -> Connectome:
        weights = np.array([[0.0, weight], [0.0, 0.0]])
        return Connectome(weights, 0 * weights, ["a", "b"], name=name, lineage=lineage)

    table = consensus_connectome([make(2, "w", "x"), make(4, "v", "x"), make(9, "z")])
    ab = row(table, "a", "b")
    assert ab.mean_chem == pytest.approx((3 + 9) / 2)
    assert (ab.n_seen, ab.n_present, ab.sources) == (2, 2, "w; v; z")


def test_consensus_against_a_slow_twin() -> None:
    names = [f"n{k}" for k in range(8)]
    group = [
        random_connectome(1, names[:6], lineage="x"),
        random_connectome(2, names[2:], lineage="x"),
        random_connectome(3, names),
        random_connectome(4, names[::2]),
    ]
    table = consensus_connectome(group, weight_std=0.7)
    for i in names:
        for j in names:
            found: dict[str, list[float]] = {"chemical": [], "gap": []}
            present = seen = 0
            for lineage in ("x", "c3", "c4"):
                members = [c for c in group if c.lineage == lineage]
                here = [c for c in members if {i, j} <= set(c.nodes)]
                present += bool(here)
                any_edge = False
                for kind, values in found.items():
                    listed = [c.weights(kind)[c.nodes.index(i), c.nodes.index(j)] for c in here]
                    listed = [w for w in listed if w > 0]
                    if listed:
                        values.append(float(np.mean(listed)))
                        any_edge = True
                seen += any_edge
            got = row(table, i, j)
            assert (got.n_seen, got.n_present) == (seen, present)
            for kind, column in (("chemical", "mean_chem"), ("gap", "mean_gap")):
                expected = np.mean(found[kind]) if found[kind] else np.nan
                np.testing.assert_allclose(got[column], expected)
            spreads = [np.std(found[k]) if found[k] else 0.0 for k in ("chemical", "gap")]
            expected = 0.7 * spreads[0] + 0.3 * spreads[1] if seen else np.nan
            np.testing.assert_allclose(got.uncertainty, expected)


def test_order_of_reconstructions_does_not_matter() -> None:
    group = [random_connectome(k, list("abcde")) for k in range(3)]
    a, b = consensus_connectome(group), consensus_connectome(group[::-1])
    for column in a.columns.drop("sources"):
        assert (a[column].equals(b[column])) or np.allclose(a[column], b[column], equal_nan=True)


def test_function_positions_and_types_are_attached() -> None:
    one = random_connectome(1, ["AVAL", "RIML", "muscle"])
    response = np.array([[np.nan, 0.5], [0.1, np.nan]])
    atlas = FunctionalAtlas(("AVAL", "RIML"), response, response)
    table = consensus_connectome([one], atlas, positions={"AVAL": (1.0, 2.0, 3.0)})
    edge = row(table, "AVAL", "RIML")
    assert (edge.functional, edge.from_type, edge.to_type) == (0.5, "inter", "inter")
    assert (edge.from_x, edge.from_z) == (1.0, 3.0)
    assert np.isnan(edge.to_x)
    assert row(table, "RIML", "AVAL").functional == 0.1
    assert row(table, "muscle", "AVAL").from_type == ""
    few = consensus_connectome([one], nodes=["RIML", "AVAL"])
    assert few["from"].tolist() == ["RIML", "RIML", "AVAL", "AVAL"]


def test_copies_are_found_and_warned_of() -> None:
    names = [f"n{k}" for k in range(12)]
    white = random_connectome(1, names, name="white")
    part = white.restrict(names[:10])
    varshney = Connectome(part.chemical, part.gap, part.nodes, name="varshney")
    other = random_connectome(2, names, name="other")
    assert detect_lineages([white, other, varshney]) == ["white", "other", "white"]
    with pytest.warns(ActivityWarning, match=r"'varshney' holds the same data as .*'white'"):
        consensus_connectome([white, other, varshney])
    known = Connectome(part.chemical, part.gap, part.nodes, name="varshney", lineage="white")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        consensus_connectome([white, other, known])


def test_refusals() -> None:
    zero = np.zeros((2, 2))
    with pytest.raises(ActivityError, match="'a' is repeated"):
        Connectome(zero, zero, ["a", "a"])
    with pytest.raises(ActivityError, match="got none"):
        Connectome(np.zeros((0, 0)), np.zeros((0, 0)), [])
    with pytest.raises(ActivityError, match=r"gap must be .* got \(3, 3\)"):
        Connectome(zero, np.zeros((3, 3)), ["a", "b"])
    with pytest.raises(ActivityError, match="first from node 0 to node 1: -1"):
        Connectome([[0, -1], [0, 0]], zero, ["a", "b"])
    with pytest.raises(ActivityError, match=r"1 are not, the first from node 1 to node 0: nan"):
        Connectome(np.array([[0, 0], [np.nan, 0]]), zero, ["a", "b"])
    one = Connectome(zero, zero, ["AVAL", "AVAR"], name="one")
    with pytest.raises(ActivityError, match=r"'AVA' is not a node of 'one'.*Did you mean"):
        one.restrict(["AVA"])
    with pytest.raises(ActivityError, match="must share nodes"):
        one.agreement(Connectome(zero, zero, ["a", "b"]))
    with pytest.raises(ParameterError, match="unknown kind 'peptide'"):
        one.weights("peptide")
    with pytest.raises(ParameterError, match="unknown kind 'both'"):
        Connectome.from_edges([("a", "b", "both", 1.0)])
    with pytest.raises(ActivityError, match="'c' is not among the nodes"):
        Connectome.from_edges([("a", "c", "gap", 1.0)], ["a", "b"])
    with pytest.raises(ParameterError, match="weight_std"):
        consensus_connectome([one], weight_std=1.5)
    with pytest.raises(ParameterError, match="unique names"):
        consensus_connectome([one, one])
    with pytest.raises(ParameterError, match="unique names"):
        consensus_connectome([])
    with pytest.raises(ParameterError, match="threshold"):
        detect_lineages([one], threshold=0.0)


# Readers. The packages themselves are optional: a stand-in with the same function and file form.


@pytest.fixture
def cect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    class Dataset:
        def __init__(self, data: dict[str, Any]) -> None:
            self.nodes = data["nodes"]
            self.connections = {k: np.array(v) for k, v in data["connections"].items()}

    module = types.ModuleType("cect.ConnectomeDataset")
    module.__file__ = str(tmp_path / "cect" / "ConnectomeDataset.py")
    module.load_connectome_dataset_file = (  # type: ignore[attr-defined]
        lambda path: Dataset(json.loads(Path(path).read_text()))
    )
    monkeypatch.setitem(sys.modules, "cect", types.ModuleType("cect"))
    monkeypatch.setitem(sys.modules, "cect.ConnectomeDataset", module)
    cache = tmp_path / "cect" / "cache"
    cache.mkdir(parents=True)
    data = {
        "nodes": ["AVAL", "VA1", "MDL01"],
        "connections": {
            "Generic_CS": [[0, 3, 0], [0, 0, 2], [0, 0, 0]],
            "Generic_GJ": [[0, 1, 0], [0, 0, 0], [0, 0, 0]],
        },
    }
    for name in ("White_whole", "VarshneyDataReader", "Cook2019HermReader"):
        (cache / f"{name}.json").write_text(json.dumps(data))
    return cache


def test_cached_reconstructions(cect: Path) -> None:
    white, cook = read_connectome("White_whole"), read_connectome("Cook2019HermReader")
    assert white.nodes == ("AVAL", "VA1", "MDL01")
    assert (white.chemical[0, 1], white.gap[1, 0]) == (3.0, 1.0)
    assert white.lineage == read_connectome("VarshneyDataReader").lineage != cook.lineage
    assert read_connectome(cect / "White_whole.json", lineage="mine").lineage == "mine"


def test_bad_reconstructions(cect: Path) -> None:
    with pytest.raises(ParameterError, match=r"unknown data set 'White_hole'.*'White_whole'"):
        read_connectome("White_hole")
    with pytest.raises(ReadError, match="there is no such file"):
        read_connectome(cect / "none.json")
    (cect / "peptides.json").write_text(json.dumps({"nodes": ["a"], "connections": {}}))
    with pytest.raises(ReadError, match="it lacks Generic_CS, Generic_GJ"):
        read_connectome("peptides")
    (cect / "cut.json").write_text('{"nodes": ["a')
    with pytest.raises(ReadError, match="no sound cect file"):
        read_connectome("cut")


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cect", None)
    with pytest.raises(MissingExtraError, match="package 'cect"):
        read_connectome("White_whole")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"GPL-3.*pip install --no-deps wormneuroatlas"):
        read_functional_atlas()


def write_atlas(path: Path, names: list[str], response: Array) -> None:
    h5py = pytest.importorskip("h5py", reason="needs activome[worm]")
    with h5py.File(path, "w") as store:
        store["neuron_ids"] = np.array([name.encode() for name in names], dtype="S5")
        for strain in ("wt", "unc31"):
            store[f"{strain}/dFF"] = response
            store[f"{strain}/q"] = np.abs(response)


def test_atlas_is_turned_and_its_names_mended(tmp_path: Path) -> None:
    names = [{"AWCL": "AWCOFF", "AWCR": "AWCON"}.get(name, name) for name in NEURONS]
    response = np.arange(300.0 * 300).reshape(300, 300)
    write_atlas(tmp_path / "atlas.h5", names, response)
    atlas = read_functional_atlas(tmp_path / "atlas.h5")
    assert atlas.names == NEURONS
    stimulated, responding = NEURONS.index("AWCL"), NEURONS.index("AVAL")
    # The file has the responding neuron in rows.
    assert atlas.response[stimulated, responding] == response[responding, stimulated]
    turned = np.random.default_rng(0).permutation(300)
    write_atlas(tmp_path / "other.h5", [names[k] for k in turned], response[np.ix_(turned, turned)])
    other = read_functional_atlas(tmp_path / "other.h5", strain="unc31")
    np.testing.assert_array_equal(other.response, atlas.response)


def test_bad_atlases(tmp_path: Path) -> None:
    write_atlas(tmp_path / "few.h5", list(NEURONS[:10]), np.zeros((10, 10)))
    with pytest.raises(ReadError, match="300 neurons; 10 names are there, 10 of them known"):
        read_functional_atlas(tmp_path / "few.h5")
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(ReadError, match="no sound HDF5 atlas"):
        read_functional_atlas(tmp_path / "text.h5")
    with pytest.raises(ParameterError, match="unknown strain"):
        read_functional_atlas(tmp_path / "few.h5", strain="male")
