"""One reconstruction of a wiring diagram, and how far two of them agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from activome._checks import check_choice, nearest_names
from activome.errors import ActivityError

if TYPE_CHECKING:
    import igraph

__all__ = ["Agreement", "Connectome"]

Array = np.ndarray[Any, Any]

_KINDS = ("chemical", "gap", "both")


class Agreement(NamedTuple):
    """How far two reconstructions say the same about the neurons they share.

    Attributes
    ----------
    jaccard : float
        Edges in both, out of the edges in either; NaN where neither has any.
    spearman : float
        Rank correlation of the weights of the edges in both; NaN for fewer than three, or where
        one side's weights are all equal.
    n_nodes : int
        Neurons in both.
    n_edges : int
        Edges in both.
    """

    jaccard: float
    spearman: float
    n_nodes: int
    n_edges: int


@dataclass(frozen=True, eq=False)
class Connectome:
    """One reconstruction: weights of chemical synapses and gap junctions between named cells.

    Chemical weights keep their direction, row to column. Gap junctions have none: where both
    directions are listed they get the mean of the two, where one is listed its weight.

    Parameters
    ----------
    chemical : array-like of float, shape (n_nodes, n_nodes)
        Weight from row to column (synapses or sections), 0 for none.
    gap : array-like of float, shape (n_nodes, n_nodes)
        Weight of gap junctions, 0 for none.
    nodes : sequence of str, length n_nodes
        Unique names.
    name : str, default=""
        Name of the reconstruction.
    lineage : str, default=""
        The animal it comes from. Reconstructions of one lineage are one vote in a consensus. By
        default the name.

    Raises
    ------
    ActivityError
        If the weights are not two square matrices of finite numbers >= 0 that fit the nodes, or a
        node is repeated.

    Examples
    --------
    >>> worm = Connectome([[0, 3], [0, 0]], [[0, 2], [4, 0]], ["AVAL", "VA1"], name="sketch")
    >>> worm.chemical[0, 1], worm.gap.tolist()
    (np.float64(3.0), [[0.0, 3.0], [3.0, 0.0]])
    """

    chemical: Array
    gap: Array
    nodes: tuple[str, ...]
    name: str = ""
    lineage: str = ""

    def __init__(
        self,
        chemical: ArrayLike,
        gap: ArrayLike,
        nodes: Sequence[str],
        *,
        name: str = "",
        lineage: str = "",
    ) -> None:
        labels = tuple(str(node) for node in nodes)
        if not labels or len(set(labels)) != len(labels):
            repeated = next((node for node in labels if labels.count(node) > 1), None)
            raise ActivityError(
                "Connectome: nodes must be unique names, at least one; "
                + ("got none." if repeated is None else f"{repeated!r} is repeated.")
            )
        for key, values in (("chemical", chemical), ("gap", gap)):
            object.__setattr__(self, key, _weights(values, key, len(labels)))
        listed = (self.gap > 0).astype(float)
        total = self.gap + self.gap.T
        object.__setattr__(self, "gap", total / np.maximum(listed + listed.T, 1.0))
        object.__setattr__(self, "nodes", labels)
        object.__setattr__(self, "name", str(name))
        object.__setattr__(self, "lineage", str(lineage) or str(name))

    @classmethod
    def from_edges(
        cls,
        edges: Iterable[tuple[str, str, str, float]],
        nodes: Sequence[str] | None = None,
        *,
        name: str = "",
        lineage: str = "",
    ) -> Connectome:
        """Build a connectome from a list of edges.

        Parameters
        ----------
        edges : iterable of (str, str, str, float)
            From, to, kind ("chemical" or "gap"), weight. Of edges listed twice the first is kept.
        nodes : sequence of str, optional
            Names in order; by default those of the edges, sorted.
        name : str, default=""
            Name of the reconstruction.
        lineage : str, default=""
            The animal it comes from.

        Returns
        -------
        Connectome
            The connectome.

        Raises
        ------
        ActivityError
            If an edge names a node that is not among ``nodes``.
        ParameterError
            If a kind is unknown.
        """
        rows = list(edges)
        if nodes is None:
            nodes = sorted({end for row in rows for end in row[:2]})
        index = {node: k for k, node in enumerate(nodes)}
        weights = {kind: np.zeros((len(index), len(index))) for kind in ("chemical", "gap")}
        seen = set()
        for source, target, kind, weight in rows:
            check_choice(kind, weights, name="kind", owner="Connectome.from_edges")
            for end in (source, target):
                if end not in index:
                    hint = nearest_names(end, index)
                    raise ActivityError(
                        f"Connectome.from_edges: {end!r} is not among the nodes; {hint}"
                    )
            if (source, target, kind) not in seen:
                seen.add((source, target, kind))
                weights[kind][index[source], index[target]] = weight
        return cls(weights["chemical"], weights["gap"], nodes, name=name, lineage=lineage)

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self.nodes)

    def weights(self, kind: str = "chemical") -> Array:
        """Return the weights of one kind of edge.

        Parameters
        ----------
        kind : {"chemical", "gap", "both"}, default="chemical"
            Which; "both" is their sum.

        Returns
        -------
        ndarray of float64, shape (n_nodes, n_nodes)
            From row to column.

        Raises
        ------
        ParameterError
            If ``kind`` is unknown.
        """
        check_choice(kind, _KINDS, name="kind", owner="Connectome.weights")
        if kind == "both":
            return np.asarray(self.chemical + self.gap)
        return self.chemical if kind == "chemical" else self.gap

    def restrict(self, names: Sequence[str]) -> Connectome:
        """Keep some nodes, in the order given.

        Parameters
        ----------
        names : sequence of str
            Nodes to keep.

        Returns
        -------
        Connectome
            With these nodes and the edges among them.

        Raises
        ------
        ActivityError
            If a name is not a node.
        """
        index = {node: k for k, node in enumerate(self.nodes)}
        for name in names:
            if name not in index:
                hint = nearest_names(name, self.nodes)
                raise ActivityError(
                    f"Connectome.restrict: {name!r} is not a node of {self.name!r}; {hint}"
                )
        keep = np.array([index[name] for name in names], dtype=int)
        square = np.ix_(keep, keep)
        return Connectome(
            self.chemical[square], self.gap[square], names, name=self.name, lineage=self.lineage
        )

    def agreement(self, other: Connectome, kind: str = "chemical") -> Agreement:
        """Compare with another reconstruction, on the nodes that both have.

        Parameters
        ----------
        other : Connectome
            The other one.
        kind : {"chemical", "gap", "both"}, default="chemical"
            Which edges. Gap junctions count once, not once per direction.

        Returns
        -------
        Agreement
            Jaccard index of the edges, and Spearman correlation of the weights of shared ones.

        Raises
        ------
        ActivityError
            If they share no node.
        ParameterError
            If ``kind`` is unknown.

        Examples
        --------
        >>> one = Connectome([[0, 3], [1, 0]], np.zeros((2, 2)), ["AVAL", "VA1"])
        >>> two = Connectome([[0, 5], [0, 0]], np.zeros((2, 2)), ["AVAL", "VA1"])
        >>> one.agreement(two).jaccard
        0.5
        """
        theirs = set(other.nodes)
        shared = [node for node in self.nodes if node in theirs]
        if not shared:
            raise ActivityError(
                f"Connectome.agreement: {self.name!r} and {other.name!r} must share nodes; none of "
                f"{self.n_nodes} and {other.n_nodes} is the same. Bring the names to one form."
            )
        a, b = self.restrict(shared).weights(kind), other.restrict(shared).weights(kind)
        if kind == "gap":
            upper = np.triu_indices(len(shared))
            a, b = a[upper], b[upper]
        both, either = (a > 0) & (b > 0), (a > 0) | (b > 0)
        jaccard = both.sum() / either.sum() if either.any() else np.nan
        return Agreement(float(jaccard), _spearman(a[both], b[both]), len(shared), int(both.sum()))

    def to_graph(self) -> igraph.Graph:
        """Return the wiring as a directed igraph graph.

        Returns
        -------
        igraph.Graph
            Vertices with ``name``; one edge per ordered pair with a weight, with ``chemical``,
            ``gap``, and ``weight``, their sum. A gap junction makes an edge in each direction.
        """
        import igraph

        total = self.weights("both")
        source, target = np.nonzero(total)
        graph = igraph.Graph(
            n=self.n_nodes,
            edges=list(zip(source.tolist(), target.tolist(), strict=True)),
            directed=True,
        )
        graph.vs["name"] = list(self.nodes)
        for key, values in (("chemical", self.chemical), ("gap", self.gap), ("weight", total)):
            graph.es[key] = values[source, target].tolist()
        return graph


def _weights(values: ArrayLike, what: str, n_nodes: int) -> Array:
    matrix = np.array(values, dtype=np.float64)
    if matrix.shape != (n_nodes, n_nodes):
        raise ActivityError(
            f"Connectome: {what} must be (n_nodes, n_nodes) = ({n_nodes}, {n_nodes}); got "
            f"{matrix.shape}."
        )
    bad = ~(np.isfinite(matrix) & (matrix >= 0))
    if bad.any():
        row, column = (int(k) for k in np.argwhere(bad)[0])
        raise ActivityError(
            f"Connectome: {what} weights must be finite and >= 0; {int(bad.sum())} are not, the "
            f"first from node {row} to node {column}: {matrix[row, column]:g}. Use 0 for no edge."
        )
    return matrix


def _spearman(a: Array, b: Array) -> float:
    if a.size < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
