"""Networks of the engine as graphs of NIR, and graphs as networks."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from scipy import sparse

from activome._checks import check_memory
from activome.errors import ActivityError, ActivityWarning, ParameterError
from activome.networks.spiking._nir_cells import (
    Method,
    OneCell,
    from_seconds,
    read_cell,
    to_seconds,
    write_cell,
)
from activome.networks.spiking._nir_graph import FlatGraph, Path
from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import LIF, IFCurrExp, SpikeSource
from activome.networks.spiking.projections import Projection

__all__ = ["network_from_graph", "network_to_graph"]

Array = np.ndarray[Any, Any]


def network_to_graph(
    nir: Any,
    network: Network,
    dt: float,
    method: Method,
    unit_r: bool,
    currents: Collection[str] | None,
    drop: Collection[str],
    memory_limit: float,
) -> Any:
    """Return the graph of a network."""
    dropped = _refuse_what_is_unsaid(network, drop)
    into = {p.name: [q for q in network.projections if q.post == p.name and q.n_synapses]
            for p in network.populations}  # fmt: skip
    check_memory(
        sum(8.0 * q.n_pre * q.n_post * len(_kinds_of_delay(q)) for q in network.projections),
        owner="to_nir",
        what="the weights, for which NIR has dense matrices only, one per delay,",
        cure="Use fewer delays or cells, or raise memory_limit.",
        limit=memory_limit,
    )
    wanted = _currents(network, into, currents)
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    for k, p in enumerate(network.populations):
        metadata: dict[str, Any] = {"index": np.int64(k)}
        if isinstance(p.neuron, SpikeSource):
            nodes[p.name] = nir.Input(np.array([p.n]), metadata=metadata)
            continue
        used = {q.receptor for q in into[p.name]}
        cell = write_cell(nir, p.name, p.neuron, p.n, dt, method, unit_r, used)  # type: ignore[arg-type]  # refused above
        cell.node.metadata |= metadata
        nodes[p.name] = cell.node
        bias = np.broadcast_to(np.asarray(p.neuron.i_offset, np.float64), (p.n,)) * cell.current
        if p.name in wanted:
            _add_current(nir, p, cell, bias, nodes, edges)
            bias = np.zeros(p.n)
        for q in into[p.name]:
            for name, weight, delay in _branches(q, dt):
                _add_branch(nir, q, cell, (name, weight, delay, bias), nodes, edges)
                bias = np.zeros(p.n)
        if bias.any():
            raise ParameterError(
                f"to_nir: i_offset of {p.name!r} needs a way in; nothing leads to it. Name it in "
                "currents."
            )
    leading = {q.pre for q in network.projections if q.n_synapses}
    for p in network.populations:
        if p.name not in leading and not isinstance(p.neuron, SpikeSource):
            nodes[f"{p.name} output"] = nir.Output(np.array([p.n]))
            edges.append((p.name, f"{p.name} output"))
    said = {"dropped": ", ".join(dropped)} if dropped else {}
    return nir.NIRGraph(nodes, _inputs_first(nodes, edges), metadata=said, type_check=False)


def _inputs_first(nodes: dict[str, Any], edges: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(edges, key=lambda edge: type(nodes[edge[0]]).__name__ != "Input")


def _refuse_what_is_unsaid(network: Network, drop: Collection[str]) -> list[str]:
    """Refuse what a graph cannot say; what may be dropped is said in a warning."""
    found: list[tuple[str, str]] = []
    for p in network.populations:
        if any(mark in p.name for mark in "/."):
            raise ParameterError(
                f"to_nir: names of nodes must be without '/' and '.'; got {p.name!r}."
            )
        if not isinstance(p.neuron, (SpikeSource, LIF, IFCurrExp)):
            raise ParameterError(
                f"to_nir: NIR has no {type(p.neuron).__name__}; got {p.name!r}. It knows LIF and, "
                "as CubaLIF, IFCurrExp."
            )
        if np.any(np.asarray(getattr(p.neuron, "refractory", 0.0))):
            found.append(("refractory", f"the refractory time of {p.name!r}"))
        if p.adaptation is not None:
            found.append(("adaptation", f"the threshold adaptation of {p.name!r}"))
    for q in network.projections:
        if "/" in q.name:
            raise ParameterError(f"to_nir: names of nodes must be without '/'; got {q.name!r}.")
        if q.plasticity is not None:
            found.append(("plasticity", f"the {type(q.plasticity).__name__} of {q.name!r}"))
        if q.homeostasis:
            found.append(("homeostasis", f"the homeostasis of {q.name!r}"))
    for key, what in found:
        if key not in drop:
            raise ParameterError(
                f"to_nir: NIR cannot say {what}. Leave it out with drop=({key!r},)."
            )
    if found:
        warnings.warn(
            f"to_nir: dropped {', '.join(what for _, what in found)}.",
            ActivityWarning,
            stacklevel=4,
        )
    return [what for _, what in found]


def _currents(
    network: Network, into: dict[str, list[Projection]], currents: Collection[str] | None
) -> set[str]:
    wanted: set[str] = set()
    for name in currents if currents is not None else ():
        if isinstance(network[name].neuron, SpikeSource):
            raise ParameterError(f"to_nir: a source takes no current; got {name!r} in currents.")
        wanted.add(name)
    for p in network.populations:
        is_source = isinstance(p.neuron, SpikeSource)
        if currents is None and not is_source and not into[p.name]:
            wanted.add(p.name)
        if p.name in wanted and isinstance(p.neuron, IFCurrExp):
            raise ParameterError(
                f"to_nir: a current enters a CubaLIF before its synapse, an IFCurrExp behind it; "
                f"got {p.name!r}, which takes one. Give it synapses, or make it a LIF."
            )
    return wanted


def _add_current(
    nir: Any,
    p: Population,
    cell: OneCell,
    bias: Array,
    nodes: dict[str, Any],
    edges: list[tuple[str, str]],
) -> None:
    name = f"{p.name} current"
    nodes[name] = nir.Input(np.array([p.n]), metadata={"kind": "current"})
    gate = f"{name} scale"
    if bias.any():
        nodes[gate] = nir.Affine(np.diag(cell.current), bias)
    else:
        nodes[gate] = nir.Scale(np.array(cell.current))
    edges += [(name, gate), (gate, p.name)]


def _kinds_of_delay(q: Projection) -> Array:
    return np.unique(q.delay)


def _branches(q: Projection, dt: float) -> Iterator[tuple[str, Any, float]]:
    """Yield one matrix (n_post, n_pre) for each delay, and for each synapse of a pair beyond one.

    Synapses of one pair and delay go to matrices of their own, so that sums run as they did.
    """
    source = np.repeat(np.arange(q.n_pre), np.diff(q.ptr))
    delay = np.broadcast_to(np.asarray(q.delay, dtype=np.float64), source.shape)
    if delay.min() < dt * (1 - 1e-6):
        raise ParameterError(
            f"to_nir: delays of {q.name!r} must be at least dt ({dt:g} ms); the shortest is "
            f"{delay.min():g} ms."
        )
    order = np.lexsort((q.target, source, delay))
    keys = np.stack([source[order], q.target[order]]), delay[order]
    new = np.concatenate(
        [[True], (np.diff(keys[0], axis=1) != 0).any(axis=0) | (np.diff(keys[1]) != 0)]
    )
    first = np.flatnonzero(new)
    twin = np.empty(order.size, np.int64)
    twin[order] = np.arange(order.size) - np.repeat(first, np.diff([*first, order.size]))
    sign = -1.0 if q.receptor == "inh" else 1.0
    pairs = [(d, k) for d in np.unique(delay) for k in range(int(twin[delay == d].max()) + 1)]
    for number, (d, k) in enumerate(pairs):
        here = (delay == d) & (twin == k)
        weight = np.zeros((q.n_post, q.n_pre))
        weight[q.target[here], source[here]] = sign * q.weight[here].astype(np.float64)
        yield q.name if len(pairs) == 1 else f"{q.name} {number}", weight, float(d)


def _add_branch(
    nir: Any,
    q: Projection,
    cell: OneCell,
    branch: tuple[str, Array, float, Array],
    nodes: dict[str, Any],
    edges: list[tuple[str, str]],
) -> None:
    name, weight, delay, bias = branch
    metadata = {"projection": q.name}
    scaled = weight * cell.weights[:, None]
    if bias.any():
        nodes[name] = nir.Affine(scaled, np.array(bias), metadata=metadata)
    else:
        nodes[name] = nir.Linear(scaled, metadata=metadata)
    nodes[f"{name} delay"] = nir.Delay(np.full(q.n_pre, float(to_seconds(delay))))
    edges += [(q.pre, f"{name} delay"), (f"{name} delay", name), (name, q.post)]


def network_from_graph(flat: FlatGraph, dt: float, method: Method) -> Network:
    """Return the network of a graph."""
    sources = {name: list(flat.paths(name)) for name in flat.inputs}
    currents: dict[str, tuple[Array, Array]] = {}
    for name in list(sources):
        found = [_as_current(flat, path) for path in sources[name]]
        if found and all(one is not None for one in found):
            for path, one in zip(sources.pop(name), found, strict=True):
                currents[path.post] = one  # type: ignore[assignment]  # none is None
    paths = [path for group in sources.values() for path in group]
    paths += [path for name in flat.cells for path in flat.paths(name)]
    if not flat.cells:
        raise ActivityError("from_nir: the graph must hold a cell; it has none.")
    populations = [Population(name, flat.size(name), SpikeSource()) for name in sources]
    gains: dict[str, Array] = {}
    for name in flat.cells:
        n = flat.size(name)
        current, bias = currents.get(name, (np.ones(n), np.zeros(n)))
        for path in paths:
            if path.post == name and path.bias is not None:
                bias = bias + path.bias
        neuron, gains[name] = read_cell(name, flat.nodes[name], n, dt, method, current, bias)
        populations.append(Population(name, n, neuron))
    populations.sort(key=lambda p: flat.rank(p.name))
    return Network(populations, _projections(flat, paths, gains, dt))


def _as_current(flat: FlatGraph, path: Path) -> tuple[Array, Array] | None:
    """Return scale and bias of a path that mixes nothing and delays nothing: a current."""
    n = flat.size(path.post)
    if path.delay_before is not None or path.delay_behind is not None:
        return None
    if path.matrix is None:
        return (np.ones(n) if path.scale is None else path.scale), np.zeros(n)
    said = str(flat.nodes[path.pre].metadata.get("kind", ""))
    if said != "current" or path.bias is None:
        return None
    return np.asarray(path.matrix.diagonal()), path.bias


def _projections(
    flat: FlatGraph, paths: list[Path], gains: dict[str, Array], dt: float
) -> list[Projection]:
    """Gather the synapses of the paths, those of one projection together, and build it."""
    tables: dict[tuple[str, str, str, str], list[tuple[Array, ...]]] = {}
    for path in paths:
        name = _name_of(flat, path)
        matrix = path.matrix
        if matrix is None:
            scale = np.ones(flat.size(path.pre)) if path.scale is None else path.scale
            matrix = sparse.diags_array(scale)
        entries = sparse.coo_array(matrix)
        source, target = entries.col.astype(np.int64), entries.row.astype(np.int64)
        weight = entries.data * gains[path.post][target]
        delay = np.zeros(source.size)
        for given, side in ((path.delay_before, source), (path.delay_behind, target)):
            delay += 0.0 if given is None else given[side]
        delay = _at_least_a_step(delay, dt, path)
        order = np.lexsort((target, source))
        columns = [column[order] for column in (source, target, weight, delay)]
        for receptor, chosen in (("exc", columns[2] > 0), ("inh", columns[2] < 0)):
            if chosen.any():
                part = tuple(column[chosen] for column in columns)
                tables.setdefault((path.pre, path.post, name, receptor), []).append(part)
    made = []
    for (pre, post, name, receptor), parts in tables.items():
        source, target, weight, delay = (np.concatenate(c) for c in zip(*parts, strict=True))
        both = sum(key[:3] == (pre, post, name) for key in tables) > 1
        sizes = flat.size(pre), flat.size(post)
        shared = bool((delay == delay[0]).all())
        options: dict[str, Any] = {"receptor": receptor}
        options["name"] = f"{name} {receptor}" if both else name
        table = source, target, np.abs(weight), float(delay[0]) if shared else delay
        made.append(Projection.from_table(pre, post, sizes, *table, **options))
    return made


def _at_least_a_step(delay: Array, dt: float, path: Path) -> Array:
    short = (delay > 0) & (delay < dt * (1 - 1e-6))
    if short.any():
        raise ParameterError(
            f"from_nir: delays must be at least dt ({dt:g} ms); from {path.pre!r} to "
            f"{path.post!r} there is one of {delay[short].min():g} ms. Make dt smaller."
        )
    return np.where(delay > 0, from_seconds(to_seconds(delay)), dt)


def _name_of(flat: FlatGraph, path: Path) -> str:
    maps = [name for name in path.nodes if flat.kind(name) in ("Linear", "Affine", "Conv2d")]
    if not maps:
        return f"{path.pre}->{path.post}"
    said = flat.nodes[maps[0]].metadata.get("projection")
    return maps[0] if said is None else str(said)
