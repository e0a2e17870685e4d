"""Neurons as data: parameters and what one step of the clock does to their state.

Units are those of the field's simulators: ms, mV, nA, nF and MOhm. Each parameter is one number, or
one per unit of the population.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_choice
from activome.errors import ParameterError

__all__ = ["LIF", "IFCondExp", "IFCurrExp", "MetaNeuron", "Neuron", "SpikeSource"]

Array = np.ndarray[Any, Any]
Propagators: TypeAlias = dict[str, Array]
Comparison = Literal[">=", ">"]


@dataclass(frozen=True, kw_only=True)
class SpikeSource:
    """Units that fire when the input says so, and only then.

    Examples
    --------
    >>> SpikeSource()
    SpikeSource()
    """


@dataclass(frozen=True, kw_only=True)
class LIF:
    """Leaky integrate-and-fire cell whose synapses make the voltage jump.

    ``V <- v_rest + (V - v_rest) a + resistance I (1 - a)`` with ``a = exp(-dt / tau)``: exact for a
    current I that is constant over the step. A spike of weight w moves V by w mV, save while the
    cell is refractory: V is held then, and such a spike is lost.

    Parameters
    ----------
    tau : float or array-like, default=20.0
        Time constant of the membrane, ms.
    v_rest, v_threshold, v_reset : float or array-like, default=0.0, 1.0, 0.0
        Voltages, mV; a cell of infinite threshold never fires.
    resistance : float or array-like, default=1.0
        Of the membrane, MOhm.
    refractory : float or array-like, default=0.0
        Time after a spike, ms; rounded to whole steps.
    i_offset : float or array-like, default=0.0
        Constant current, nA.
    comparison : {">=", ">"}, default=">="
        When the voltage counts as being at the threshold.

    Raises
    ------
    ParameterError
        If a time is negative, a parameter is not finite, or the threshold is not above the reset.

    Examples
    --------
    >>> LIF(tau=10.0, v_threshold=2.0).propagators(1.0)["membrane"].round(4).item()
    0.9048
    """

    tau: ArrayLike = 20.0
    v_rest: ArrayLike = 0.0
    v_threshold: ArrayLike = 1.0
    v_reset: ArrayLike = 0.0
    resistance: ArrayLike = 1.0
    refractory: ArrayLike = 0.0
    i_offset: ArrayLike = 0.0
    comparison: Comparison = ">="

    def __post_init__(self) -> None:
        _validate(self, positive=("tau", "resistance"))

    def propagators(self, dt: float) -> Propagators:
        """Return what one step multiplies: of the membrane, and of a current.

        Parameters
        ----------
        dt : float
            Step, ms.

        Returns
        -------
        dict of str to ndarray of float64, shape (1,) or (n_units,)
            Keys ``membrane`` and ``current`` (mV per nA).
        """
        keep = np.exp(-dt / _row(self.tau))
        gain = -np.expm1(-dt / _row(self.tau)) * _row(self.resistance)
        return {"membrane": keep, "current": gain}


@dataclass(frozen=True, kw_only=True)
class IFCurrExp:
    """Integrate-and-fire cell with exponential synaptic currents, integrated exactly.

    ``tau_m dV/dt = v_rest - V + (tau_m / c_m) (I_e - I_i + I)`` and ``tau_s dI_s/dt = -I_s``, so
    that one step is a product with a 2 x 2 matrix. A spike of weight w adds w nA to its current.
    While the cell is refractory V is held, and the currents go on.

    Parameters
    ----------
    tau_m : float or array-like, default=20.0
        Time constant of the membrane, ms.
    tau_e, tau_i : float or array-like, default=5.0
        Time constants of the excitatory and inhibitory current, ms.
    c_m : float or array-like, default=1.0
        Capacitance, nF.
    v_rest, v_threshold, v_reset : float or array-like, default=-65.0, -50.0, -65.0
        Voltages, mV; a cell of infinite threshold never fires.
    refractory : float or array-like, default=0.0
        Time after a spike, ms; rounded to whole steps.
    i_offset : float or array-like, default=0.0
        Constant current, nA.
    input_factor : bool, default=False
        Hold the current over the step, and scale what arrives by
        ``(tau_s / dt) (1 - exp(-dt / tau_s))``, so that the charge per step is that of the
        exponential; neuromorphic hardware does so.
    comparison : {">=", ">"}, default=">="
        When the voltage counts as being at the threshold.

    Raises
    ------
    ParameterError
        If a time is negative, a parameter is not finite, or the threshold is not above the reset.

    References
    ----------
    .. [1] S. Rotter and M. Diesmann, "Exact digital simulation of time-invariant linear systems
       with applications to neuronal modeling", 1999.

    Examples
    --------
    >>> cell = IFCurrExp(tau_m=20.0, tau_e=5.0, c_m=1.0)
    >>> cell.propagators(0.1)["exc"].round(6).item()
    0.098759
    """

    tau_m: ArrayLike = 20.0
    tau_e: ArrayLike = 5.0
    tau_i: ArrayLike = 5.0
    c_m: ArrayLike = 1.0
    v_rest: ArrayLike = -65.0
    v_threshold: ArrayLike = -50.0
    v_reset: ArrayLike = -65.0
    refractory: ArrayLike = 0.0
    i_offset: ArrayLike = 0.0
    input_factor: bool = False
    comparison: Comparison = ">="

    def __post_init__(self) -> None:
        _validate(self, positive=("tau_m", "tau_e", "tau_i", "c_m"))

    def propagators(self, dt: float) -> Propagators:
        """Return the elements of the matrix of one step, and the scale of what arrives.

        Parameters
        ----------
        dt : float
            Step, ms.

        Returns
        -------
        dict of str to ndarray of float64, shape (1,) or (n_units,)
            Keys ``membrane``, ``current``, ``exc``, ``inh`` (mV per nA), ``exc_decay``,
            ``inh_decay``, ``exc_scale`` and ``inh_scale``.
        """
        tau, capacity = _row(self.tau_m), _row(self.c_m)
        held = -np.expm1(-dt / tau) * tau / capacity
        found = {"membrane": np.exp(-dt / tau), "current": held}
        for name, tau_s in (("exc", _row(self.tau_e)), ("inh", _row(self.tau_i))):
            found[f"{name}_decay"] = np.exp(-dt / tau_s)
            if self.input_factor:
                found[f"{name}_scale"] = -np.expm1(-dt / tau_s) * tau_s / dt
                found[name] = held
            else:
                found[f"{name}_scale"] = np.ones(1)
                found[name] = _response(tau, tau_s, dt) / capacity
        return found


@dataclass(frozen=True, kw_only=True)
class IFCondExp:
    """Integrate-and-fire cell with exponential synaptic conductances.

    ``tau dV/dt = v_rest - V + g_e (e_rev_e - V) + g_i (e_rev_i - V) + resistance I``. Conductances
    are relative to the leak and decay exactly; a spike of weight w adds w to its conductance. While
    the cell is refractory V is held, and the conductances go on.

    Parameters
    ----------
    tau : float or array-like, default=100.0
        Time constant of the membrane, ms.
    tau_e, tau_i : float or array-like, default=1.0, 2.0
        Time constants of the conductances, ms.
    v_rest, v_threshold, v_reset : float or array-like, default=-65.0, -52.0, -65.0
        Voltages, mV.
    e_rev_e, e_rev_i : float or array-like, default=0.0, -100.0
        Reversal potentials, mV.
    resistance : float or array-like, default=1.0
        Of the membrane, MOhm.
    refractory : float or array-like, default=0.0
        Time after a spike, ms; rounded to whole steps.
    i_offset : float or array-like, default=0.0
        Constant current, nA.
    v_min : float or array-like, default=-inf
        The voltage does not fall below it, mV.
    method : {"euler", "exponential"}, default="euler"
        Explicit Euler, or exact for conductances that are constant over the step.
    comparison : {">=", ">"}, default=">="
        When the voltage counts as being at the threshold.

    Raises
    ------
    ParameterError
        If a time is negative, a parameter is not finite, or the threshold is not above the reset.

    Examples
    --------
    >>> sorted(IFCondExp().propagators(0.5))
    ['current', 'exc_decay', 'inh_decay', 'membrane']
    """

    tau: ArrayLike = 100.0
    tau_e: ArrayLike = 1.0
    tau_i: ArrayLike = 2.0
    v_rest: ArrayLike = -65.0
    v_threshold: ArrayLike = -52.0
    v_reset: ArrayLike = -65.0
    e_rev_e: ArrayLike = 0.0
    e_rev_i: ArrayLike = -100.0
    resistance: ArrayLike = 1.0
    refractory: ArrayLike = 0.0
    i_offset: ArrayLike = 0.0
    v_min: ArrayLike = -np.inf
    method: Literal["euler", "exponential"] = "euler"
    comparison: Comparison = ">="

    def __post_init__(self) -> None:
        _validate(self, positive=("tau", "tau_e", "tau_i", "resistance"))

    def propagators(self, dt: float) -> Propagators:
        """Return the decays of one step, and dt / tau of the membrane.

        Parameters
        ----------
        dt : float
            Step, ms.

        Returns
        -------
        dict of str to ndarray of float64, shape (1,) or (n_units,)
            Keys ``membrane`` (dt / tau), ``current`` (mV per nA before the step), ``exc_decay``
            and ``inh_decay``.
        """
        return {
            "membrane": dt / _row(self.tau),
            "current": _row(self.resistance),
            "exc_decay": np.exp(-dt / _row(self.tau_e)),
            "inh_decay": np.exp(-dt / _row(self.tau_i)),
        }


@dataclass(frozen=True, kw_only=True)
class MetaNeuron:
    """Cell with a quadratic voltage and one recovery variable, of four constants.

    Per step with ``r = dt / tau``: ``v <- v + r (v^2 - v - u) + I`` and
    ``u <- u + r (theta_v v - theta_u u)``, both from the old values; at a spike ``v <- theta_r``
    and ``u <- u + theta_s``. I is the current of the step and the weights of what arrives in it.
    The voltage is kept in [-3, 3], because the square diverges. While the cell is refractory v and
    u are held, and what arrives is lost.

    Parameters
    ----------
    tau : float or array-like, default=10.0
        Time constant, ms.
    theta_v, theta_u, theta_r, theta_s : float or array-like
        Constants of the recovery, by default -0.172, 0.529, 0.021, 0.132.
    v_threshold : float or array-like, default=1.0
        Threshold, dimensionless.
    refractory : float or array-like, default=0.0
        Time after a spike, ms; rounded to whole steps.
    i_offset : float or array-like, default=0.0
        Constant current, dimensionless, added in every step.
    comparison : {">=", ">"}, default=">="
        When the voltage counts as being at the threshold.

    Raises
    ------
    ParameterError
        If a time is negative, a parameter is not finite, or the threshold is not above the reset.

    Examples
    --------
    >>> MetaNeuron().propagators(1.0)["membrane"].item()
    0.1
    """

    tau: ArrayLike = 10.0
    theta_v: ArrayLike = -0.172
    theta_u: ArrayLike = 0.529
    theta_r: ArrayLike = 0.021
    theta_s: ArrayLike = 0.132
    v_threshold: ArrayLike = 1.0
    refractory: ArrayLike = 0.0
    i_offset: ArrayLike = 0.0
    comparison: Comparison = ">="

    def __post_init__(self) -> None:
        _validate(self, positive=("tau",))

    def propagators(self, dt: float) -> Propagators:
        """Return dt / tau.

        Parameters
        ----------
        dt : float
            Step, ms.

        Returns
        -------
        dict of str to ndarray of float64, shape (1,) or (n_units,)
            Key ``membrane``.
        """
        return {"membrane": dt / _row(self.tau)}


Neuron: TypeAlias = SpikeSource | LIF | IFCurrExp | IFCondExp | MetaNeuron


def _row(value: ArrayLike) -> Array:
    return np.atleast_1d(np.asarray(value, dtype=np.float64))


def _response(tau_m: Array, tau_s: Array, dt: float) -> Array:
    """Voltage after dt of a unit current that decays with tau_s, times the capacitance."""
    # In this form nothing cancels for nearly equal time constants; the limit is the alpha function.
    gap = dt * (1.0 / tau_m - 1.0 / tau_s)
    ratio = np.divide(np.expm1(gap), gap, out=np.ones_like(gap), where=gap != 0)
    return dt * np.exp(-dt / tau_m) * ratio


def _validate(neuron: Any, *, positive: tuple[str, ...]) -> None:
    owner = type(neuron).__name__
    sizes = set()
    for item in fields(neuron):
        value = getattr(neuron, item.name)
        if item.name in _WORDS:
            check_choice(value, _WORDS[item.name], name=item.name, owner=owner)
            continue
        if item.name == "input_factor":
            if not isinstance(value, bool):
                raise ParameterError(f"{owner}: input_factor must be True or False; got {value!r}.")
            continue
        rule: tuple[Callable[[Array], Array], str] = (np.isfinite, "finite")
        if item.name in positive:
            rule = (lambda x: np.isfinite(x) & (x > 0), "positive and finite")
        elif item.name == "refractory":
            rule = (lambda x: np.isfinite(x) & (x >= 0), "zero or more")
        elif item.name == "v_min":
            rule = (lambda x: x < np.inf, "below infinity")
        elif item.name == "v_threshold":
            rule = (lambda x: x > -np.inf, "a number, or infinite in a cell that never fires")
        given = np.atleast_1d(np.asarray(value))
        if given.dtype.kind not in "iuf" or given.ndim != 1 or not rule[0](_row(given)).all():
            raise ParameterError(
                f"{owner}: {item.name} must be {rule[1]}, one number or one per unit; got "
                f"{value!r}."
            )
        sizes.add(given.size)
    if len(sizes - {1}) > 1:
        raise ParameterError(
            f"{owner}: parameters per unit must all have one length; got {sorted(sizes - {1})}."
        )
    reset = "theta_r" if owner == "MetaNeuron" else "v_reset"
    high, low = _row(neuron.v_threshold), _row(getattr(neuron, reset))
    if not (high > low).all():
        raise ParameterError(
            f"{owner}: v_threshold must be above {reset} in every unit; got "
            f"{neuron.v_threshold!r} and {getattr(neuron, reset)!r}."
        )


_WORDS = {"comparison": (">=", ">"), "method": ("euler", "exponential")}
