"""Exchange of networks with other programs, as graphs of NIR."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from activome._checks import DEFAULT_MEMORY_LIMIT, check_choice, check_number
from activome._extras import require
from activome._files import atomic_path
from activome.errors import ActivityError, ParameterError, ReadError
from activome.networks.spiking._nir_cells import Method
from activome.networks.spiking._nir_graph import read_graph
from activome.networks.spiking._nir_network import network_from_graph, network_to_graph
from activome.networks.spiking.network import Network

if TYPE_CHECKING:
    from torch import nn

__all__ = ["from_nir", "to_nir", "write_nir"]

_DROPS = ("refractory", "adaptation", "plasticity", "homeostasis", "reset")


def to_nir(
    model: Network | nn.Module | Iterable[nn.Module],
    dt: float = 0.1,
    *,
    method: Method = "exact",
    unit_r: bool = False,
    currents: Collection[str] | None = None,
    drop: Collection[str] = (),
    memory_limit: float = DEFAULT_MEMORY_LIMIT,
) -> Any:
    """Write a network of the simulator, or a stack of torch cells, as a graph of NIR.

    LIF becomes LIF, or IF without a leak; IFCurrExp becomes CubaLIF; a cell that never fires
    becomes LI, I or CubaLI; synapses become a Delay and a Linear or, with ``i_offset``, Affine, one
    pair for each delay; a source becomes an Input. Of torch, ``Linear``, ``LIFCell`` and, at the
    end, ``LeakyReadout``, whose mean over time is for the reader of the graph to take.

    Parameters
    ----------
    model : Network, torch.nn.Module or iterable of torch.nn.Module
        What to write.
    dt : float, default=0.1
        Step of the clock that the model runs on, ms.
    method : {"exact", "euler"}, default="exact"
        How the reader will discretise. A cell here keeps ``k = exp(-dt / tau)`` of its voltage per
        step: "exact" writes that tau; "euler" writes ``dt / (1 - k)``, with which the explicit
        Euler step of snnTorch, Norse and SpikingJelly keeps the same k.
    unit_r : bool, default=False
        Leave ``r`` of LIF, IF and LI at 1 and scale the weights instead, as Norse reads them.
    currents : collection of str, optional
        Populations of the network that take a current; by default those without synapses.
    drop : collection of {"refractory", "adaptation", "plasticity", "homeostasis", "reset"}
        What may be left out where NIR cannot say it; "reset" is the subtraction in a ``LIFCell``.
        What was dropped is said in a warning and in the metadata of the graph.
    memory_limit : float, default=2 GiB
        Bytes that the matrices may take: NIR has dense ones only.

    Returns
    -------
    nir.NIRGraph
        Time in seconds; voltages and weights keep their numbers.

    Raises
    ------
    MissingExtraError
        If ``nir`` is not installed.
    ParameterError
        If the model has what NIR cannot say, or an option does not hold.
    ResourceError
        If the matrices would pass the memory limit.

    Warns
    -----
    ActivityWarning
        If something was dropped.

    Notes
    -----
    A spike is a current of 1 for one step, as in the programs named, so ``r`` (or ``w_in``) holds
    dt: it is chosen such that a weight of NIR is the weight of the synapse. NIR fires above the
    threshold; cells that fire at it say so in their metadata, and LIF cells the resistance that a
    current of ``simulate`` meets: ``from_nir`` reads both, other programs do not. NIR has no
    initial state: ``from_nir`` starts at rest. What learns in a stack, and its surrogate gradient,
    are not part of a graph.

    References
    ----------
    .. [1] J. E. Pedersen et al., "Neuromorphic intermediate representation: a unified instruction
       set for interoperable brain-inspired computing", 2024.

    Examples
    --------
    >>> from activome.networks.spiking import LIF, Network, Population, Projection, SpikeSource
    >>> joined = Projection.all_to_all("in", "out", (3, 2), weight=0.4, delay=1.5)
    >>> cells = [Population("in", 3, SpikeSource()), Population("out", 2, LIF(tau=10.0))]
    >>> graph = to_nir(Network(cells, [joined]), dt=0.1)
    >>> {name: type(node).__name__ for name, node in graph.nodes.items()}
    {'in': 'Input', 'out': 'LIF', 'in->out': 'Linear', 'in->out delay': 'Delay', 'out output': \
'Output'}
    >>> from_nir(graph, dt=0.1)
    Network of 5 cells and 6 synapses
      in: 3 SpikeSource()
      out: 2 LIF(tau=10.0)
      <Projection in->out: 3 -> 2, 6 exc, weight 0.4, delay 1.5 ms>
    """
    nir = require("nir", extra="nir", owner="to_nir")
    _check("to_nir", dt, method)
    unknown = [name for name in drop if name not in _DROPS]
    if isinstance(drop, str) or unknown:
        raise ParameterError(f"to_nir: drop must be of {', '.join(_DROPS)}; got {drop!r}.")
    if isinstance(model, Network):
        return network_to_graph(nir, model, dt, method, unit_r, currents, drop, memory_limit)
    if currents is not None:
        raise ParameterError("to_nir: currents are of a Network; a stack takes its own at its end.")
    require("torch", extra="nets", owner="to_nir")
    from activome.networks.spiking._nir_torch import stack_to_graph

    return stack_to_graph(nir, model, dt, method, unit_r, drop)


@overload
def from_nir(
    graph: Any, dt: float = ..., *, into: Literal["network"] = ..., method: Method = ...
) -> Network: ...


@overload
def from_nir(
    graph: Any, dt: float = ..., *, into: Literal["torch"], method: Method = ...
) -> nn.Sequential: ...


def from_nir(
    graph: Any,
    dt: float = 0.1,
    *,
    into: Literal["network", "torch"] = "network",
    method: Method = "exact",
) -> Network | nn.Sequential:
    """Read a graph of NIR as a network of the simulator, or as a stack of torch cells.

    Known are LIF, IF, LI, I, CubaLIF, CubaLI, Linear, Affine, Conv2d, Scale, Flatten, Delay, Input,
    Output and nested graphs; anything else is refused by name. An Input becomes a source of spikes,
    save where it leads to cells with nothing or a Scale between: it is a current then, which
    ``simulate`` takes by the name of the cells.

    Parameters
    ----------
    graph : nir.NIRGraph, str or path
        The graph or its file.
    dt : float, default=0.1
        Step of the clock that the network will run on, ms.
    into : {"network", "torch"}, default="network"
        What to make of it; a stack must be one chain of LIF and IF, without delays, and may end in
        a LI, which becomes a ``LeakyReadout``.
    method : {"exact", "euler"}, default="exact"
        How a step follows from the equations: "exact" keeps ``exp(-dt / tau)`` of the voltage,
        "euler" ``1 - dt / tau``, as snnTorch, Norse and SpikingJelly do; with it and their dt the
        spikes are theirs.

    Returns
    -------
    Network or torch.nn.Sequential
        The network, to run with ``simulate`` and the same dt; or the layers, for currents of shape
        (n_trials, n_times, n_in).

    Raises
    ------
    ActivityError
        If the graph has what there is no counterpart for, or does not fit together.
    MissingExtraError
        If ``nir`` or, for a stack, torch is not installed.
    ParameterError
        If dt is not below the time constants with "euler", or not below a delay.
    ReadError
        If the file is none of NIR.

    Notes
    -----
    The simulator has no synapse without a delay: where the graph has none, spikes take one step, so
    that each layer is one step later than in programs that pass a whole stack in a step; a bias
    acts from the first step on in every layer. Weights of both signs become two projections. A
    spike is a current of 1 for one step.

    Examples
    --------
    >>> import nir
    >>> import numpy as np
    >>> one = np.ones(2)
    >>> cell = nir.LIF(tau=0.02 * one, r=one, v_leak=0 * one, v_threshold=one)
    >>> from_nir(nir.NIRGraph.from_list(nir.Linear(np.full((2, 3), 40.0)), cell), dt=1.0)
    Network of 5 cells and 6 synapses
      input: 3 SpikeSource()
      lif: 2 LIF(comparison='>')
      <Projection linear: 3 -> 2, 6 exc, weight 1.95082, delay 1 ms>
    """
    nir = require("nir", extra="nir", owner="from_nir")
    _check("from_nir", dt, method)
    check_choice(into, ("network", "torch"), name="into", owner="from_nir")
    if isinstance(graph, (str, os.PathLike)):
        path = Path(graph)
        if not path.is_file():
            raise ActivityError(f"from_nir: there is no file {str(path)!r}.")
        try:
            graph = nir.read(path, type_check=False)
        except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise ReadError(
                f"from_nir: {str(path)!r} must be a file of NIR, as write_nir makes it; it "
                f"cannot be read ({error})."
            ) from error
    if not isinstance(graph, nir.NIRGraph):
        raise ActivityError(
            f"from_nir: graph must be a NIRGraph or its file; got {type(graph).__name__}."
        )
    flat = read_graph(graph)
    if into == "network":
        return network_from_graph(flat, dt, method)
    require("torch", extra="nets", owner="from_nir")
    from activome.networks.spiking._nir_torch import stack_from_graph

    return stack_from_graph(flat, dt, method)


def write_nir(path: str | os.PathLike[str], graph: Any) -> None:
    """Write a graph of NIR whole: to a name of its own, then moved into place.

    Parameters
    ----------
    path : str or path
        The file, by custom with the ending ``.nir``; one that is there is replaced.
    graph : nir.NIRGraph
        The graph.

    Raises
    ------
    ActivityError
        If it is no graph.
    MissingExtraError
        If ``nir`` is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from activome.networks.spiking import LIF, Network, Population
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_nir(f"{folder}/a.nir", to_nir(Network([Population("a", 2, LIF())])))
    ...     print(from_nir(f"{folder}/a.nir"))
    Network of 2 cells and 0 synapses
      a: 2 LIF()
    """
    nir = require("nir", extra="nir", owner="write_nir")
    if not isinstance(graph, nir.NIRGraph):
        raise ActivityError(f"write_nir: graph must be a NIRGraph; got {type(graph).__name__}.")
    with atomic_path(path) as temporary:
        nir.write(temporary, graph)


def _check(owner: str, dt: float, method: str) -> None:
    check_number(dt, name="dt", owner=owner, low=0.0)
    check_choice(method, ("exact", "euler"), name="method", owner=owner)
