"""Rules by which spikes change weights, as data for the engine; times in ms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from activome._checks import check_choice, check_number
from activome.errors import ParameterError

__all__ = ["PairSTDP", "PlasticityRule", "SymmetricSTDP"]


@dataclass(frozen=True, kw_only=True)
class PairSTDP:
    """Change a weight by the time between spikes of its two cells.

    Each cell leaves a trace that rises by 1 at a spike and decays. A spike before the synapse
    lowers the weight by ``a_minus`` times the trace of the cell behind it; a spike behind it raises
    the weight by ``a_plus`` times the trace of the cell before it. Traces are those at the synapse:
    a spike enters the trace of its side when the delay lets the synapse see it.

    Parameters
    ----------
    tau_plus, tau_minus : float in (0, inf), default=20.0
        Time constants of the traces before and behind the synapse, ms.
    a_plus, a_minus : float, default=0.01, 0.012
        Change of a pair at no distance, in units of the weight; absolute, not shares of ``w_max``.
        A negative ``a_plus`` lowers the weight of a cell that fired before, as inhibitory synapses
        do that make way for a trained input; a negative ``a_minus`` raises it.
    w_min, w_max : float, default=0.0, 1.0
        Limits that no change passes; a ``Network`` refuses weights that begin outside them.
        Homeostatic rules do not know them.
    weight_rule : {"additive", "multiplicative", "once"}, default="additive"
        Multiplicative scales the rise by ``w_max - w`` and the fall by ``w - w_min``; once lets
        spikes from behind change a weight only while it is not above ``w_min``, so that a silent
        synapse is switched on a single time; spikes from before change it as ever.
    pairing : {"all", "nearest"}, default="all"
        Traces add up, or start anew at 1 with every spike: each spike then meets the last one on
        the other side alone.
    delay : {"dendritic", "axonal"}, default="dendritic"
        Where the delay of the synapse lies: it postpones the spikes from behind, as the synapse
        sees them, or those from before.
    zero_lag : {"depress", "none", "potentiate"}, default="depress"
        What two spikes do that the synapse sees in one step: the one from before finds the other in
        the trace behind, neither finds the other, or the one from behind finds the other. Earlier
        spikes count in any case.
    trigger : {"immediate", "presynaptic"}, default="immediate"
        When a change enters the weight: at once, or when the cell before the synapse fires, rises
        first, then the fall, then the weight is used.

    Raises
    ------
    ParameterError
        If a number is outside its range or a word is unknown.

    Notes
    -----
    The weight that a spike uses: with a dendritic delay the one just after the spike changed it,
    when it leaves; with an axonal delay the one before the step in which it arrives, whatever the
    trigger: with "presynaptic" the changes of its arrival then act from the next arrival on. In one
    step, spikes from before are taken first with "immediate", spikes from behind first with
    "presynaptic". Each change is clipped on its own. Between trials weights go on, traces and rises
    that still wait for a spike do not.

    References
    ----------
    .. [1] A. Morrison, M. Diesmann and W. Gerstner, "Phenomenological models of synaptic plasticity
       based on spike timing", 2008.

    Examples
    --------
    >>> PairSTDP(tau_plus=3.0, tau_minus=3.0, a_plus=6.0, a_minus=6.0, w_max=6.0).trigger
    'immediate'
    """

    tau_plus: float = 20.0
    tau_minus: float = 20.0
    a_plus: float = 0.01
    a_minus: float = 0.012
    w_min: float = 0.0
    w_max: float = 1.0
    weight_rule: Literal["additive", "multiplicative", "once"] = "additive"
    pairing: Literal["all", "nearest"] = "all"
    delay: Literal["dendritic", "axonal"] = "dendritic"
    zero_lag: Literal["depress", "none", "potentiate"] = "depress"
    trigger: Literal["immediate", "presynaptic"] = "immediate"

    def __post_init__(self) -> None:
        owner = "PairSTDP"
        for name in ("tau_plus", "tau_minus"):
            check_number(getattr(self, name), name=name, owner=owner, low=0.0)
        for name in ("a_plus", "a_minus", "w_min", "w_max"):
            check_number(getattr(self, name), name=name, owner=owner)
        if self.w_min >= self.w_max:
            raise ParameterError(
                f"{owner}: w_max must be above w_min; got {self.w_max:g} and {self.w_min:g}."
            )
        for name, known in _WORDS.items():
            check_choice(getattr(self, name), known, name=name, owner=owner)


@dataclass(frozen=True, kw_only=True)
class SymmetricSTDP:
    """Raise a weight whenever its two cells fire close in time, in either order.

    In pair form ``dw = eta increment exp(-|dt| / tau)``: a spike on either side raises the weight
    by ``eta`` times the trace of the other side, and its own trace by ``increment``. What keeps
    weights apart is scaling, not the rule.

    Parameters
    ----------
    eta : float in [0, inf), default=5e-3
        Rate of learning.
    tau : float in (0, inf), default=20.0
        Time constant of both traces, ms.
    increment : float in [0, inf), default=0.1
        Rise of a trace at a spike.
    w_max : float in (0, inf), default=1.0
        Largest weight; the smallest is 0.
    delay : {"dendritic", "axonal"}, default="axonal"
        Where the delay of the synapse lies.

    Raises
    ------
    ParameterError
        If a number is outside its range or a word is unknown.

    Notes
    -----
    A pair in one step counts once: the spike from behind finds the other in its trace. Each change
    is clipped to [0, ``w_max``]; a spike that arrives uses the weight before the step, one that
    leaves (dendritic) the weight it has just changed.

    References
    ----------
    .. [1] Y. Hao, X. Huang, M. Dong and B. Xu, "A biologically plausible supervised learning method
       for spiking neural networks using the symmetric STDP rule", 2020.

    Examples
    --------
    >>> SymmetricSTDP(eta=0.04, w_max=8.0).tau
    20.0
    """

    eta: float = 5e-3
    tau: float = 20.0
    increment: float = 0.1
    w_max: float = 1.0
    delay: Literal["dendritic", "axonal"] = "axonal"

    def __post_init__(self) -> None:
        owner = "SymmetricSTDP"
        for name in ("tau", "w_max"):
            check_number(getattr(self, name), name=name, owner=owner, low=0.0)
        for name in ("eta", "increment"):
            check_number(getattr(self, name), name=name, owner=owner, low=0.0, include_low=True)
        check_choice(self.delay, _WORDS["delay"], name="delay", owner=owner)


PlasticityRule: TypeAlias = PairSTDP | SymmetricSTDP

_WORDS = {
    "weight_rule": ("additive", "multiplicative", "once"),
    "pairing": ("all", "nearest"),
    "delay": ("dendritic", "axonal"),
    "zero_lag": ("depress", "none", "potentiate"),
    "trigger": ("immediate", "presynaptic"),
}
