"""A spiking network as data: populations of cells and the projections between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from activome._checks import check_choice, check_integer
from activome.errors import ParameterError
from activome.networks.spiking.homeostasis import (
    DriveHomeostasis,
    SynapticScaling,
    ThresholdAdaptation,
)
from activome.networks.spiking.neurons import Neuron, SpikeSource
from activome.networks.spiking.plasticity import PairSTDP, SymmetricSTDP
from activome.networks.spiking.projections import Projection

__all__ = ["Network", "Population"]


@dataclass(frozen=True)
class Population:
    """Cells of one kind.

    Parameters
    ----------
    name : str
        Unique in the network.
    n : int
        Number of cells.
    neuron : SpikeSource, LIF, IFCurrExp, IFCondExp or MetaNeuron
        What they are.
    adaptation : ThresholdAdaptation, optional
        How their thresholds move.

    Raises
    ------
    ParameterError
        If there is no cell, parameters per unit are of another number, or the neuron or the
        adaptation is none.
    """

    name: str
    n: int
    neuron: Neuron
    adaptation: ThresholdAdaptation | None = None

    def __post_init__(self) -> None:
        owner = f"Population {self.name!r}"
        if not isinstance(self.name, str) or not self.name:
            raise ParameterError(f"Population: name must be a word; got {self.name!r}.")
        check_integer(self.n, name="n", owner=owner, low=1)
        if not isinstance(self.neuron, Neuron):
            raise ParameterError(
                f"{owner}: neuron must be a SpikeSource, LIF, IFCurrExp, IFCondExp or MetaNeuron, "
                f"such as LIF(tau=10.0); got {_named(self.neuron)}."
            )
        if not isinstance(self.adaptation, ThresholdAdaptation | None):
            raise ParameterError(
                f"{owner}: adaptation must be a ThresholdAdaptation or None; got "
                f"{_named(self.adaptation)}."
            )
        for item in fields(self.neuron):
            value = getattr(self.neuron, item.name)
            size = 1 if isinstance(value, (str, bool)) else np.size(value)
            if size not in (1, self.n):
                raise ParameterError(
                    f"{owner}: {item.name} must be one number or one per cell ({self.n}); got "
                    f"{size}."
                )
        if self.adaptation is not None and isinstance(self.neuron, SpikeSource):
            raise ParameterError(f"{owner}: a source of spikes has no threshold to adapt.")


@dataclass(frozen=True)
class Network:
    """Populations and projections; printing it shows all of them.

    Parameters
    ----------
    populations : sequence of Population
        Cells; they are updated in this order.
    projections : sequence of Projection, default=()
        Synapses. Weights that arrive in one step are added by the step they were sent in, then by
        the cell that sent them, then in this order; those of plastic projections come apart.

    Raises
    ------
    ParameterError
        If a name stands twice, a projection does not fit its populations, a rule is none, or a
        weight is outside the limits of its rule.

    Examples
    --------
    >>> from activome.networks.spiking import LIF, Projection, SpikeSource
    >>> Network(
    ...     [Population("in", 3, SpikeSource()), Population("out", 1, LIF(tau=10.0))],
    ...     [Projection.all_to_all("in", "out", (3, 1), weight=0.4)],
    ... )
    Network of 4 cells and 3 synapses
      in: 3 SpikeSource()
      out: 1 LIF(tau=10.0)
      <Projection in->out: 3 -> 1, 3 exc, weight 0.4, delay 1 ms>
    """

    populations: Sequence[Population]
    projections: Sequence[Projection] = ()

    def __post_init__(self) -> None:
        for what, kind in (("populations", Population), ("projections", Projection)):
            given = getattr(self, what)
            is_list = isinstance(given, Iterable) and not isinstance(given, kind)
            if not is_list or not all(isinstance(one, kind) for one in given):
                raise ParameterError(
                    f"Network: {what} must be a list of {kind.__name__}s; got {_named(given)}."
                )
            object.__setattr__(self, what, tuple(given))
        if not self.populations:
            raise ParameterError("Network: there must be a population; got none.")
        for what, names in (
            ("population", [p.name for p in self.populations]),
            ("projection", [q.name for q in self.projections]),
        ):
            twice = _repeated(names)
            if twice:
                raise ParameterError(
                    f"Network: names of {what}s must be unique; {twice!r} stands twice. Give one "
                    "of them another name."
                )
        for q in self.projections:
            for name, n in ((q.pre, q.n_pre), (q.post, q.n_post)):
                found = self[name].n
                if found != n:
                    raise ParameterError(
                        f"Network: projection {q.name!r} has {n} cells on the side of {name!r}, "
                        f"which has {found}."
                    )
            _check_rules(q)

    def __getitem__(self, name: str) -> Population:
        """Return a population by name; an unknown name is refused with the known ones."""
        known = {p.name: p for p in self.populations}
        return known[check_choice(name, known, name="population", owner="Network")]

    def __repr__(self) -> str:
        """Return one line per part; parameters that are the default are left out."""
        n_synapses = sum(q.n_synapses for q in self.projections)
        lines = [f"Network of {sum(p.n for p in self.populations)} cells and {n_synapses} synapses"]
        for p in self.populations:
            added = f", {_short(p.adaptation)}" if p.adaptation is not None else ""
            lines.append(f"  {p.name}: {p.n} {_short(p.neuron)}{added}")
        return "\n".join([*lines, *(f"  {q!r}" for q in self.projections)])


def _check_rules(q: Projection) -> None:
    """Refuse what the engine would pass over or clip without a word."""
    rule = q.plasticity
    if not isinstance(rule, PairSTDP | SymmetricSTDP | None):
        raise ParameterError(
            f"Network: plasticity of {q.name!r} must be a PairSTDP, a SymmetricSTDP or None; got "
            f"{_named(rule)}."
        )
    for held in q.homeostasis:
        if not isinstance(held, SynapticScaling | DriveHomeostasis):
            raise ParameterError(
                f"Network: homeostasis of {q.name!r} must be of SynapticScaling and "
                f"DriveHomeostasis; got {_named(held)}."
            )
    # What scales weights does not look at the limits, and may have left them outside.
    if rule is None or q.homeostasis or not q.n_synapses:
        return
    low = rule.w_min if isinstance(rule, PairSTDP) else 0.0
    least, most = float(q.weight.min()), float(q.weight.max())
    if least < low or most > rule.w_max:
        raise ParameterError(
            f"Network: weights of {q.name!r} must be in [{low:g}, {rule.w_max:g}], the limits of "
            f"its {type(rule).__name__}; they are {least:g} to {most:g}. Move the limits."
        )


def _named(value: Any) -> str:
    """Return what an error says of a value: a class as such, else its type."""
    if isinstance(value, str | type):
        return repr(value)
    return type(value).__name__


def _repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _short(record: Any) -> str:
    said = []
    for item in fields(record):
        value = getattr(record, item.name)
        if np.size(value) > 1:
            low, high = np.min(value), np.max(value)
            said.append(f"{item.name}={low:g}..{high:g}")
        elif not np.array_equal(value, item.default):  # type: ignore[arg-type]  # a MISSING differs
            said.append(f"{item.name}={value!r}")
    return f"{type(record).__name__}({', '.join(said)})"
