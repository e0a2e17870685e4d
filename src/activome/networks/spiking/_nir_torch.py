"""Stacks of torch cells as graphs of NIR, and graphs as stacks."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from activome.errors import ActivityError, ActivityWarning, ParameterError
from activome.networks.spiking._nir_cells import (
    Method,
    as_row,
    fires_at,
    keep_to_nir,
    share_of,
    tau_from_nir,
    to_seconds,
)
from activome.networks.spiking._nir_graph import FlatGraph, Path
from activome.networks.spiking.torch_cells import LeakyReadout, LIFCell

__all__ = ["stack_from_graph", "stack_to_graph"]

Array = np.ndarray[Any, Any]


def stack_to_graph(
    nir: Any,
    stack: nn.Module | Iterable[nn.Module],
    dt: float,
    method: Method,
    unit_r: bool,
    drop: Collection[str],
) -> Any:
    """Return the graph of linear layers, cells and a read-out, one behind the other."""
    layers = list(_layers(stack))
    nodes: list[Any] = []
    dropped: list[str] = []
    for k, layer in enumerate(layers):
        if isinstance(layer, nn.Linear):
            ahead = layers[k + 1] if k + 1 < len(layers) else None
            nodes.append(_linear(nir, layer, _scale(ahead, unit_r)))
        elif isinstance(layer, LIFCell):
            if layer.reset_mode == "subtract":
                if "reset" not in drop:
                    raise ParameterError(
                        "to_nir: a cell of NIR is set to v_reset at a spike; it cannot say "
                        f"reset_mode='subtract' of layer {k}. Reset to it all the same with "
                        "drop=('reset',)."
                    )
                dropped.append(f"the subtraction at the reset of layer {k}")
            if unit_r and not (k and isinstance(layers[k - 1], nn.Linear)):
                nodes.append(nir.Scale(_scale(layer, unit_r)))
            nodes.append(_cell(nir, layer, dt, method, unit_r))
        elif isinstance(layer, LeakyReadout) and k == len(layers) - 1:
            nodes += _readout(nir, layer, dt, method, unit_r)
        else:
            raise ParameterError(
                "to_nir: layers must be Linear or LIFCell, and the last may be a LeakyReadout; "
                f"layer {k} of {len(layers)} is a {type(layer).__name__}."
            )
    if not any(isinstance(layer, (LIFCell, LeakyReadout)) for layer in layers):
        raise ParameterError("to_nir: the stack must hold a LIFCell or a LeakyReadout.")
    if dropped:
        warnings.warn(f"to_nir: dropped {', '.join(dropped)}.", ActivityWarning, stacklevel=4)
    graph = nir.NIRGraph.from_list(*nodes)
    graph.metadata = {"dropped": ", ".join(dropped)} if dropped else {}
    return graph


def _layers(stack: nn.Module | Iterable[nn.Module]) -> Iterable[nn.Module]:
    if isinstance(stack, nn.Module) and not isinstance(stack, nn.Sequential):
        yield stack
    elif isinstance(stack, str) or not isinstance(stack, Iterable):
        raise ParameterError(
            "to_nir: the model must be a Network or a stack of torch modules; it is, or holds, a "
            f"{type(stack).__name__}."
        )
    else:
        for layer in stack:
            yield from _layers(layer)


def _array(values: Tensor) -> Array:
    return np.asarray(values.detach().cpu().numpy())


def _steps(cell: LIFCell) -> Array:
    """Return the time constants in steps, in double precision."""
    return np.exp(_array(cell.log_tau).astype(np.float64))


def _scale(layer: nn.Module | None, unit_r: bool) -> Array:
    """Return what weights in front of a layer are multiplied by where its r is 1."""
    if unit_r and isinstance(layer, LIFCell):
        return 1.0 / share_of(_steps(layer), 1.0)
    return np.ones(1)


def _linear(nir: Any, layer: nn.Linear, scale: Array) -> Any:
    weight = _array(layer.weight)
    weight = weight if (scale == 1).all() else scale[:, None] * weight
    if layer.bias is None:
        return nir.Linear(weight)
    bias = _array(layer.bias)
    return nir.Affine(weight, bias if (scale == 1).all() else scale * bias)


def _cell(nir: Any, cell: LIFCell, dt: float, method: Method, unit_r: bool) -> Any:
    tau = _steps(cell)
    return nir.LIF(
        tau=keep_to_nir(tau * dt, dt, method),
        r=np.ones(cell.n) if unit_r else 1.0 / share_of(tau, 1.0),
        v_leak=np.zeros(cell.n),
        v_threshold=_array(cell.threshold).astype(np.float64),
        v_reset=_array(cell.reset).astype(np.float64),
        metadata={"comparison": ">="},
    )


def _readout(nir: Any, layer: LeakyReadout, dt: float, method: Method, unit_r: bool) -> list[Any]:
    n = layer.weigh.out_features
    share = share_of(np.full(n, layer.tau), 1.0)
    weight = _array(layer.weigh.weight)
    return [
        nir.Linear(weight / share[:, None] if unit_r else weight),
        nir.LI(
            tau=keep_to_nir(np.full(n, layer.tau * dt), dt, method),
            r=np.ones(n) if unit_r else 1.0 / share,
            v_leak=np.zeros(n),
        ),
        nir.Affine(np.eye(n), _array(layer.weigh.bias)),
    ]


def stack_from_graph(flat: FlatGraph, dt: float, method: Method) -> nn.Sequential:
    """Return the stack of a graph that is one chain."""
    if len(flat.inputs) != 1:
        raise ActivityError(f"from_nir: a stack has one Input; the graph has {len(flat.inputs)}.")
    layers: list[nn.Module] = []
    here, seen = flat.inputs[0], {flat.inputs[0]}
    while paths := list(flat.paths(here)):
        if (
            len(paths) > 1
            or paths[0].post in seen
            or (layers and isinstance(layers[-1], LeakyReadout))
        ):
            raise ActivityError(
                f"from_nir: a stack is one chain; {here!r} leads to "
                f"{', '.join(repr(path.post) for path in paths)}. Read it into='network'."
            )
        layers += _read_layer(flat, paths[0], dt, method)
        here = paths[0].post
        seen.add(here)
    if not layers:
        raise ActivityError("from_nir: the graph must hold a cell; it has none.")
    if isinstance(layers[-1], LeakyReadout):
        _read_bias(flat, here, layers[-1])
    return nn.Sequential(*layers)


def _read_layer(flat: FlatGraph, path: Path, dt: float, method: Method) -> list[nn.Module]:
    node, kind, name = flat.nodes[path.post], flat.kind(path.post), path.post
    n = flat.size(name)
    if kind not in ("LIF", "IF", "LI"):
        raise ActivityError(
            f"from_nir: a stack has cells LIF and IF and a read-out LI; {name!r} is a {kind}. Read "
            "it into='network'."
        )
    if path.delay_before is not None or path.delay_behind is not None:
        raise ActivityError(
            f"from_nir: a stack has no delays; there is one before {name!r}. Read it "
            "into='network'."
        )
    tau, gain = _constants(node, kind, n, name, dt, method)
    weight = None if path.matrix is None else path.matrix.toarray()
    if weight is None and (path.scale is not None or not (gain == 1).all()):
        weight = np.diag(np.ones(n) if path.scale is None else path.scale)
    bias = None if path.bias is None else path.bias * gain
    leak = as_row(getattr(node, "v_leak", 0.0), n, f"from_nir: v_leak of {name!r}")
    if kind == "LI":
        return [_read_out(weight, bias, tau, gain, leak, name)]
    layers: list[nn.Module] = []
    if weight is not None:
        linear = nn.Linear(weight.shape[1], n, bias=bias is not None)
        _put(linear.weight, weight * gain[:, None])
        if bias is not None:
            _put(linear.bias, bias)
        layers.append(linear)
    cell = LIFCell(n)
    # The voltage of the layer is that above the leak, from which it starts.
    high = torch.as_tensor(node.v_threshold - leak).to(torch.float32).expand(n).clone()
    if fires_at(node) == ">":
        high = torch.nextafter(high, torch.full_like(high, torch.inf))
    _put(cell.threshold, high)
    _put(cell.reset, as_row(node.v_reset, n, f"from_nir: v_reset of {name!r}") - leak)
    _put(cell.log_tau, np.log(tau))
    return [*layers, cell]


def _constants(
    node: Any, kind: str, n: int, name: str, dt: float, method: Method
) -> tuple[Array, Array]:
    """Return time constants in steps, and the gain of weights."""
    r = as_row(node.r, n, f"from_nir: r of {name!r}")
    if kind == "IF":
        # In single precision, exp(-1 / tau) is 1 from here on.
        tau, share = np.full(n, 2.0**40), np.full(n, float(to_seconds(dt)))
    else:
        given = as_row(node.tau, n, f"from_nir: tau of {name!r}")
        tau = tau_from_nir(given, dt, method, f"from_nir: tau of {name!r}") / dt
        share = share_of(tau, 1.0)
    gain = r * share
    return tau, np.where(np.abs(gain - 1) <= 16 * np.finfo(r.dtype).eps, 1.0, gain)


def _read_out(
    weight: Array | None, bias: Array | None, tau: Array, gain: Array, leak: Array, name: str
) -> LeakyReadout:
    if weight is None or (bias is not None and bias.any()) or leak.any():
        raise ActivityError(
            f"from_nir: a LeakyReadout is weights, a leaky sum that rests at 0, and a bias behind "
            f"it; {name!r} is not. Read it into='network'."
        )
    if not np.allclose(tau, tau[0], rtol=1e-12):
        raise ActivityError(f"from_nir: a LeakyReadout has one time constant; {name!r} has more.")
    layer = LeakyReadout(weight.shape[1], weight.shape[0], float(tau[0]))
    _put(layer.weigh.weight, weight * gain[:, None])
    _put(layer.weigh.bias, np.zeros(weight.shape[0]))
    return layer


def _read_bias(flat: FlatGraph, name: str, layer: LeakyReadout) -> None:
    """Take the bias behind the sum."""
    for behind in flat.behind(name):
        if flat.kind(behind) == "Output":
            continue
        node = flat.nodes[behind]
        n = layer.weigh.out_features
        if flat.kind(behind) != "Affine" or not np.array_equal(node.weight, np.eye(n)):
            raise ActivityError(
                f"from_nir: behind a LeakyReadout only a bias can follow; {behind!r} is more."
            )
        _put(layer.weigh.bias, node.bias)


def _put(place: Tensor, values: Any) -> None:
    with torch.no_grad():
        place.copy_(torch.as_tensor(np.array(values) if isinstance(values, np.ndarray) else values))
