"""A graph of NIR as cells and the linear paths between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from activome._checks import nearest_names
from activome.errors import ActivityError
from activome.networks.spiking._nir_cells import CELLS, as_row, from_seconds

__all__ = ["FlatGraph", "Path", "read_graph"]

Array = np.ndarray[Any, Any]
_THROUGH = ("Input", "Output", "Identity", "Flatten")
_MAPS = ("Linear", "Affine", "Conv2d", "Scale", "Delay")


@dataclass(frozen=True)
class Path:
    """What leads from one node to the next cell: nodes, one matrix, delays and a bias.

    ``matrix`` (n_post, n_pre) is None where nothing mixes the units; ``delay`` in ms is before it
    or behind it.
    """

    pre: str
    post: str
    nodes: tuple[str, ...]
    matrix: Any
    scale: Array | None
    delay_before: Array | None
    delay_behind: Array | None
    bias: Array | None


@dataclass
class FlatGraph:
    """Nodes of all nested graphs by a dotted name, edges, and the shape that each gives."""

    nodes: dict[str, Any]
    edges: list[tuple[str, str]]
    inputs: list[str]
    outputs: list[str]
    shapes: dict[str, tuple[int, ...]]

    def kind(self, name: str) -> str:
        """Return the name of the type of a node."""
        return type(self.nodes[name]).__name__

    def size(self, name: str) -> int:
        """Return the number of units that a node gives."""
        return int(np.prod(self.shapes[name], dtype=np.int64))

    def behind(self, name: str) -> list[str]:
        """Return the nodes that a node leads to, in the order of edges."""
        return [b for a, b in self.edges if a == name]

    @property
    def cells(self) -> list[str]:
        """Names of the cells, as an exporter numbered them or else in the order of edges."""
        seen = dict.fromkeys(name for edge in self.edges for name in edge)
        found = [name for name in seen if self.kind(name) in CELLS]
        return sorted(found, key=self.rank)

    def rank(self, name: str) -> int:
        """Return the number that an exporter gave to a node; 0 without."""
        return int(self.nodes[name].metadata.get("index", 0))

    def paths(self, start: str) -> Iterator[Path]:
        """Yield every path from a node to the next cells."""
        stack: list[tuple[str, tuple[str, ...]]] = [(name, ()) for name in self.behind(start)]
        while stack:
            name, before = stack.pop(0)
            if self.kind(name) in CELLS:
                yield self._composed(start, name, before)
            elif name in before:
                raise ActivityError(
                    f"from_nir: every cycle must hold a cell; {name!r} leads to itself without."
                )
            else:
                stack = [(after, (*before, name)) for after in self.behind(name)] + stack

    def _composed(self, pre: str, post: str, names: tuple[str, ...]) -> Path:
        matrix = scale = before = behind = bias = None
        where = f"from_nir: the way from {pre!r} to {post!r}"
        for name in names:
            node, kind = self.nodes[name], self.kind(name)
            if kind in _THROUGH:
                continue
            n = self.size(name)
            if kind == "Delay":
                if bias is not None:
                    raise ActivityError(f"{where} has a bias before the delay {name!r}.")
                delay = from_seconds(as_row(node.delay, n, f"from_nir: delays of {name!r}"))
                if matrix is None:
                    before = delay if before is None else before + delay
                else:
                    behind = delay if behind is None else behind + delay
                continue
            if behind is not None:
                raise ActivityError(f"{where} has a delay between two maps, before {name!r}.")
            if kind == "Scale" and matrix is None:
                row = as_row(node.scale, n, f"from_nir: scale of {name!r}").astype(np.float64)
                scale = row if scale is None else scale * row
                continue
            one = _matrix(node, kind, n, name, self)
            if matrix is None and scale is not None:
                one, scale = one @ sparse.diags_array(scale), None
            if matrix is not None and one.shape[1] != matrix.shape[0]:
                raise ActivityError(
                    f"{where} must fit; {name!r} takes {one.shape[1]} units and gets "
                    f"{matrix.shape[0]}."
                )
            matrix = one if matrix is None else one @ matrix
            bias = None if bias is None else one @ bias
            if kind in ("Affine", "Conv2d"):
                own = np.asarray(node.bias, dtype=np.float64).ravel()
                own = np.repeat(own, n // own.size) if kind == "Conv2d" else own
                bias = own if bias is None else bias + own
        shape = (self.size(post), self.size(pre)) if matrix is None else matrix.shape
        if shape != (self.size(post), self.size(pre)) or self.size(post) == 0:
            raise ActivityError(
                f"{where} must take {self.size(pre)} units and give {self.size(post)}; it takes "
                f"{shape[1]} and gives {shape[0]}."
            )
        if matrix is None and self.size(pre) != self.size(post):
            raise ActivityError(f"{where} joins {self.size(pre)} with {self.size(post)} units.")
        return Path(pre, post, names, matrix, scale, before, behind, bias)


def _matrix(node: Any, kind: str, n: int, name: str, graph: FlatGraph) -> Any:
    if kind == "Scale":
        scale = as_row(node.scale, n, f"from_nir: scale of {name!r}")
        return sparse.csr_array(sparse.diags_array(scale.astype(np.float64)))
    weight = np.asarray(node.weight)
    if not np.isfinite(weight).all():
        raise ActivityError(f"from_nir: weights of {name!r} must be finite. Mend the graph first.")
    if kind == "Conv2d":
        ahead = next(a for a, b in graph.edges if b == name)
        return _convolution(node, graph.shapes[ahead], graph.shapes[name])
    if weight.ndim != 2:
        raise ActivityError(f"from_nir: weights of {name!r} must be (n_out, n_in); got "
                            f"{weight.shape}.")  # fmt: skip
    return sparse.csr_array(weight.astype(np.float64))


def _convolution(node: Any, shape: tuple[int, ...], out: tuple[int, ...]) -> Any:
    """Return the matrix of a convolution, one row per output and one column per input."""
    weight = np.asarray(node.weight, dtype=np.float64)
    n_out, per_group, height, width = weight.shape
    (sy, sx), (dy, dx), (py, px) = _pairs(node, weight)
    y, x = np.meshgrid(np.arange(out[1]), np.arange(out[2]), indexing="ij")
    rows, columns, values = [], [], []
    channels = np.arange(n_out)
    first = channels // (n_out // int(node.groups)) * per_group
    for c, ky, kx in np.ndindex(per_group, height, width):
        iy, ix = y * sy - py + ky * dy, x * sx - px + kx * dx
        inside = (iy >= 0) & (iy < shape[1]) & (ix >= 0) & (ix < shape[2])
        place, source = (y * out[2] + x)[inside], (iy * shape[2] + ix)[inside]
        rows.append((channels[:, None] * out[1] * out[2] + place).ravel())
        columns.append(((first + c)[:, None] * shape[1] * shape[2] + source).ravel())
        values.append(np.repeat(weight[:, c, ky, kx], place.size))
    size = int(np.prod(out)), int(np.prod(shape))
    joined = [np.concatenate(part) for part in (values, rows, columns)]
    return sparse.csr_array(sparse.coo_array((joined[0], (joined[1], joined[2])), shape=size))


def _pairs(node: Any, weight: Array) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for name in ("stride", "dilation", "padding"):
        value = getattr(node, name)
        if isinstance(value, (str, bytes)):
            around = [d * (k - 1) for d, k in zip(found[1], weight.shape[2:], strict=True)]
            if value not in ("same", b"same"):
                around = [0, 0]
            if around[0] % 2 or around[1] % 2:
                raise ActivityError("from_nir: padding 'same' needs a kernel of odd size.")
            found.append((around[0] // 2, around[1] // 2))
        else:
            pair = np.broadcast_to(np.asarray(value, dtype=np.int64).ravel(), (2,))
            found.append((int(pair[0]), int(pair[1])))
    return found


def read_graph(graph: Any) -> FlatGraph:
    """Flatten nested graphs, refuse what is unknown, and find the shape of every node."""
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    _flatten(graph, "", nodes, edges)
    known = (*CELLS, *_THROUGH, *_MAPS)
    for name, node in nodes.items():
        kind = type(node).__name__
        if kind not in known:
            raise ActivityError(
                f"from_nir: node {name!r} is a {kind}, which has no counterpart; "
                f"{nearest_names(kind, known)}"
            )
    for edge in edges:
        for name in edge:
            if name not in nodes:
                raise ActivityError(f"from_nir: an edge names {name!r}, which is no node.")
    inputs, outputs = (
        [name for name in nodes if type(nodes[name]).__name__ == kind and "." not in name]
        for kind in ("Input", "Output")
    )
    flat = FlatGraph(nodes, edges, inputs, outputs, {})
    _find_shapes(flat)
    return flat


def _flatten(graph: Any, prefix: str, nodes: dict[str, Any], edges: list[tuple[str, str]]) -> None:
    nested = {name for name, node in graph.nodes.items() if type(node).__name__ == "NIRGraph"}
    ports: dict[str, tuple[str, str]] = {}
    for name, node in graph.nodes.items():
        if name in nested:
            _flatten(node, f"{prefix}{name}.", nodes, edges)
            kinds = {type(inner).__name__: key for key, inner in node.nodes.items()}
            if "Input" not in kinds or "Output" not in kinds:
                raise ActivityError(f"from_nir: the graph {name!r} needs an Input and an Output.")
            ports[name] = tuple(f"{prefix}{name}.{kinds[k]}" for k in ("Input", "Output"))  # type: ignore[assignment]  # two
        else:
            nodes[prefix + name] = node
    for a, b in graph.edges:
        one = ports[a][1] if a in nested else prefix + a
        two = ports[b][0] if b in nested else prefix + b
        edges.append((one, two))


def _find_shapes(flat: FlatGraph) -> None:
    """Let shapes run along the edges until nothing is new; what has its own keeps it."""
    shapes = flat.shapes
    for name, node in flat.nodes.items():
        own = _own_shape(node, flat.kind(name))
        if own is not None:
            shapes[name] = own
    _let_run(flat)
    for name in flat.nodes:
        if name not in shapes and flat.kind(name) in CELLS:
            shapes[name] = tuple(np.shape(flat.nodes[name].r)) or (1,)
    _let_run(flat)
    missing = [name for name in flat.nodes if name not in shapes]
    if missing:
        raise ActivityError(f"from_nir: the shape of node {missing[0]!r} cannot be told.")


def _let_run(flat: FlatGraph) -> None:
    shapes, changed = flat.shapes, True
    while changed:
        changed = False
        for a, b in flat.edges:
            if b not in shapes and a in shapes:
                shapes[b] = _shape_behind(flat.nodes[b], flat.kind(b), shapes[a], b)
                changed = True


def _own_shape(node: Any, kind: str) -> tuple[int, ...] | None:
    if kind in ("Linear", "Affine"):
        return (int(np.shape(node.weight)[-2]),)
    if kind == "Input":
        shape = node.input_type["input"]
        return None if shape is None else tuple(int(k) for k in np.ravel(shape))
    if kind in CELLS and np.size(node.r) > 1:
        return tuple(np.shape(node.r))
    return None


def _shape_behind(node: Any, kind: str, shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    if kind == "Flatten":
        return (int(np.prod(shape)),)
    if kind != "Conv2d":
        return shape
    weight = np.asarray(node.weight)
    if len(shape) != 3 or shape[0] != weight.shape[1] * int(node.groups):
        raise ActivityError(
            f"from_nir: the input of {name!r} must be ({weight.shape[1] * int(node.groups)}, "
            f"height, width); got {shape}."
        )
    strides, dilations, paddings = _pairs(node, weight)
    sides = [
        (side + 2 * p - d * (k - 1) - 1) // s + 1
        for side, p, d, k, s in zip(
            shape[1:], paddings, dilations, weight.shape[2:], strides, strict=True
        )
    ]
    return (int(weight.shape[0]), *sides)
