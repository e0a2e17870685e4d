"""Cells of NIR and of the engine: continuous time against one step, in both directions.

NIR states equations in seconds; a cell of the engine keeps a share of its voltage per step. A spike
of NIR is a current of 1 that lasts one step, as the programs that exchange graphs have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from activome.errors import ActivityError, ParameterError
from activome.networks.spiking.neurons import LIF, IFCurrExp

__all__ = [
    "CELLS",
    "Method",
    "OneCell",
    "as_row",
    "fires_at",
    "from_seconds",
    "keep_to_nir",
    "read_cell",
    "share_of",
    "tau_from_nir",
    "to_seconds",
    "write_cell",
]

Array = np.ndarray[Any, Any]
Method = Literal["exact", "euler"]
CELLS = ("LIF", "IF", "LI", "I", "CubaLIF", "CubaLI")
# A cell without a leak: exp(-dt / tau) is 1 to the last bit, and tau / dt a power of two.
_NO_LEAK = 2.0**60


@dataclass(frozen=True)
class OneCell:
    """A node of NIR, and what its inputs are multiplied by.

    ``weights``: of the weights of the engine, to those of NIR. ``current``: of a current of the
    engine, to an input of the node.
    """

    node: Any
    weights: Array
    current: Array


def from_seconds(seconds: Any) -> Array:
    """Return ms; what was a short decimal in ms is that decimal again."""
    exact = np.asarray(seconds, dtype=np.float64) * 1e3
    short = np.round(exact, 9)
    return np.where(np.abs(short - exact) <= 4 * np.spacing(np.abs(exact)), short, exact)


def to_seconds(ms: Any) -> Array:
    return np.asarray(ms, dtype=np.float64) * 1e-3


def as_row(values: Any, n: int, what: str) -> Array:
    """Return one value per cell, of whatever shape the layer had."""
    array = np.asarray(values)
    array = array.astype(array.dtype if array.dtype.kind == "f" else np.float64).ravel()
    if array.size not in (1, n):
        raise ActivityError(f"{what} must be one number or one per cell ({n}); got {array.size}.")
    if not np.isfinite(array).all():
        raise ActivityError(f"{what} must be finite. Mend the graph first.")
    return np.broadcast_to(array, (n,))


def share_of(tau: Any, dt: float) -> Array:
    """Return 1 - exp(-dt / tau)."""
    return np.asarray(-np.expm1(-dt / np.asarray(tau, dtype=np.float64)))


def keep_to_nir(tau: Any, dt: float, method: Method) -> Array:
    """Return in s the constant of NIR with which a step of ``method`` keeps exp(-dt / tau)."""
    ms = np.asarray(tau, dtype=np.float64) if method == "exact" else dt / share_of(tau, dt)
    return to_seconds(ms)


def tau_from_nir(tau: Array, dt: float, method: Method, what: str) -> Array:
    """Return in ms the constant with which exp(-dt / tau) is what a step of ``method`` keeps."""
    ms = from_seconds(tau)
    if not (ms > 0).all():
        raise ActivityError(f"{what} must be positive; the smallest is {ms.min():g} ms.")
    if method == "exact":
        return ms
    if not (ms > dt * (1 + 1e-9)).all():
        raise ParameterError(
            f"{what} must be above dt ({dt:g} ms) for steps of method 'euler'; the smallest is "
            f"{ms.min():g} ms. Take method='exact', or a smaller dt."
        )
    return np.asarray(-dt / np.log1p(-dt / ms))


def fires_at(node: Any) -> Any:
    """Return the comparison of a node: NIR fires above the threshold, unless its metadata say."""
    return ">=" if str(node.metadata.get("comparison", ">")) == ">=" else ">"


def _unit(gain: Array, dtype: Any) -> Array:
    """Return a gain, and exactly 1 where it is 1 within the rounding of its numbers."""
    eps = np.finfo(dtype if np.dtype(dtype).kind == "f" else np.float64).eps
    return np.where(np.abs(gain - 1) <= 16 * eps, 1.0, gain)


def _one(values: Array) -> Any:
    """Return a number where all are the same, as a neuron prints it then."""
    return float(values.flat[0]) if (values == values.flat[0]).all() else np.array(values)


def read_cell(
    name: str, node: Any, n: int, dt: float, method: Method, current: Array, bias: Array
) -> tuple[LIF | IFCurrExp, Array]:
    """Return the neuron of a node, and the gain of its weights.

    ``current`` is the scale between a current and the node, ``bias`` a constant input.
    """
    kind = type(node).__name__
    get = {
        key: as_row(getattr(node, key), n, f"from_nir: {key} of {name!r}")
        for key in ("tau", "tau_mem", "tau_syn", "r", "w_in", "v_leak", "v_threshold", "v_reset")
        if hasattr(node, key)
    }
    dtype = get["r"].dtype
    if not (get["r"] * current > 0).all():
        raise ActivityError(f"from_nir: r of {name!r} must be positive.")
    fires = kind in ("LIF", "IF", "CubaLIF")
    leak = get.get("v_leak", np.zeros(n)).astype(np.float64)
    options: dict[str, Any] = {
        "v_rest": _one(leak),
        "v_threshold": _one(get["v_threshold"].astype(np.float64)) if fires else np.inf,
        "v_reset": _one(get["v_reset"].astype(np.float64)) if fires else _one(leak),
        "comparison": fires_at(node) if fires else ">",
    }
    if kind.startswith("Cuba"):
        if bias.any():
            raise ActivityError(
                f"from_nir: the current of an IFCurrExp enters behind its synapses; {name!r} gets "
                "a bias before them. Set it to 0, or make the cell a LIF."
            )
        return _read_cuba(name, get, dt, method, dtype, options)
    if kind in ("IF", "I"):
        tau, share = np.full(n, dt * _NO_LEAK), to_seconds(dt)
        resistance = get["r"] * current * share * _NO_LEAK
    else:
        tau = tau_from_nir(get["tau"], dt, method, f"from_nir: tau of {name!r}")
        share, resistance = share_of(tau, dt), get["r"] * current
    if "resistance" in node.metadata and (current == 1).all():
        # Nothing of the graph is a current: one that simulate adds meets what the exporter says.
        resistance = as_row(node.metadata["resistance"], n, f"from_nir: resistance of {name!r}")
    gain = _unit(get["r"] * share, dtype)
    per_current = share_of(tau, dt) * resistance
    neuron = LIF(
        tau=_one(tau),
        resistance=_one(np.asarray(resistance, dtype=np.float64)),
        i_offset=_one(bias * gain / per_current),
        **options,
    )
    return neuron, gain


def _read_cuba(
    name: str, get: dict[str, Array], dt: float, method: Method, dtype: Any, options: dict[str, Any]
) -> tuple[IFCurrExp, Array]:
    what = f"from_nir: {{}} of {name!r}"
    tau_m = tau_from_nir(get["tau_mem"], dt, method, what.format("tau_mem"))
    tau_s = tau_from_nir(get["tau_syn"], dt, method, what.format("tau_syn"))
    euler = method == "euler"
    share = dt / tau_s if euler else share_of(tau_s, dt)
    neuron = IFCurrExp(
        tau_m=_one(tau_m),
        tau_e=_one(tau_s),
        tau_i=_one(tau_s),
        c_m=_one(tau_m / get["r"]),
        input_factor=euler,
        **options,
    )
    return neuron, _unit(get["w_in"] * share, np.promote_types(dtype, get["w_in"].dtype))


def write_cell(
    nir: Any,
    name: str,
    neuron: LIF | IFCurrExp,
    n: int,
    dt: float,
    method: Method,
    unit_r: bool,
    used: set[str],
) -> OneCell:
    """Return the node of a neuron; ``used`` are the receptors that synapses lead to."""
    get = {
        key: np.broadcast_to(np.asarray(getattr(neuron, key), np.float64), (n,)).copy()
        for key in ("v_rest", "v_reset", "v_threshold")
    }
    said: dict[str, Any] = {"v_leak": get["v_rest"], "metadata": {}}
    silent = np.isinf(get["v_threshold"])
    if silent.any() and not silent.all():
        raise ParameterError(
            f"to_nir: cells of {name!r} must all fire or all never; {silent.sum()} of {n} have an "
            "infinite threshold. Split the population."
        )
    if not silent.any():
        said |= {"v_threshold": get["v_threshold"], "v_reset": get["v_reset"]}
        said["metadata"] = {"comparison": neuron.comparison}
    if isinstance(neuron, IFCurrExp):
        return _write_cuba(nir, name, neuron, n, dt, method, used, said, bool(silent.any()))
    tau = np.broadcast_to(np.asarray(neuron.tau, np.float64), (n,))
    current = np.broadcast_to(neuron.propagators(dt)["current"], (n,))
    if (np.exp(-dt / tau) == 1.0).all():
        if said.pop("v_leak").any():
            raise ParameterError(
                f"to_nir: {name!r} has no leak, and such a cell of NIR starts from 0; got v_rest "
                f"of {_one(get['v_rest'])!r}. Move its voltages."
            )
        share, kind = np.full(n, float(to_seconds(dt))), nir.I if silent.any() else nir.IF
    else:
        share, kind = share_of(tau, dt), nir.LI if silent.any() else nir.LIF
        said["tau"] = keep_to_nir(tau, dt, method)
    factor = 1.0 / share if unit_r else np.ones(n)
    said["r"] = np.ones(n) if unit_r else 1.0 / share
    said["metadata"]["resistance"] = np.full(n, neuron.resistance, np.float64)
    return OneCell(kind(**said), factor, current * factor)


def _write_cuba(
    nir: Any,
    name: str,
    neuron: IFCurrExp,
    n: int,
    dt: float,
    method: Method,
    used: set[str],
    said: dict[str, Any],
    silent: bool,
) -> OneCell:
    if np.any(np.asarray(neuron.i_offset)):
        raise ParameterError(
            f"to_nir: NIR has no constant current behind a synapse; got i_offset of {name!r}. Use "
            "a LIF, or move v_rest and give initial voltages."
        )
    if neuron.input_factor != (method == "euler"):
        need = "'euler'" if neuron.input_factor else "'exact'"
        raise ParameterError(
            f"to_nir: {name!r} has input_factor={neuron.input_factor}, which is a step of method "
            f"{need}; got {method!r}. Take that method."
        )
    rows = {
        key: np.broadcast_to(np.asarray(getattr(neuron, key), np.float64), (n,))
        for key in ("tau_m", "tau_e", "tau_i", "c_m")
    }
    if used == {"exc", "inh"} and not np.array_equal(rows["tau_e"], rows["tau_i"]):
        raise ParameterError(
            f"to_nir: a CubaLIF has one time constant of its synapses; tau_e and tau_i of "
            f"{name!r} differ and both are used."
        )
    tau_s = rows["tau_i"] if used == {"inh"} else rows["tau_e"]
    share = dt / tau_s if method == "euler" else share_of(tau_s, dt)
    kind = nir.CubaLI if silent else nir.CubaLIF
    node = kind(
        tau_syn=keep_to_nir(tau_s, dt, method),
        tau_mem=keep_to_nir(rows["tau_m"], dt, method),
        r=rows["tau_m"] / rows["c_m"],
        w_in=1.0 / share,
        **said,
    )
    return OneCell(node, np.ones(n), np.ones(n))
