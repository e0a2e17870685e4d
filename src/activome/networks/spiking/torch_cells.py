"""Layers of spiking cells whose own constants can be learnt, and a leaky read-out of spikes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from activome._checks import check_choice, check_integer, check_number
from activome.errors import ActivityError, ParameterError
from activome.networks.spiking._lif_gradient import DrawnSpikes, Fire, run_lif
from activome.networks.spiking.surrogate_gradient import ResetMode, SurrogateSpike, lif_forward

__all__ = ["LIFCell", "LeakyReadout", "MetaCell"]

_LIF_NAMES = ("tau", "threshold", "reset")
_META_NAMES = ("theta_v", "theta_u", "theta_r", "theta_s", "tau", "threshold")
# Learnt as their logarithms, these stay positive.
_POSITIVE = ("tau", "temperature")
# The square of the voltage diverges beyond the threshold.
_CLAMP = 3.0
# A learnt time constant stops at this many times its first value.
_LONGEST = 100.0


class _Cell(nn.Module):
    """What the layers share: one value per unit of each constant, learnt or not; and firing."""

    log_tau: Tensor
    log_temperature: Tensor
    surrogate: SurrogateSpike
    # Given by the layer: spikes and voltages of a current, times first.
    _run: Callable[[Tensor, Fire], tuple[Tensor, Tensor]]

    def _hold(
        self, owner: str, n: int, values: dict[str, float], learnable: Sequence[str] | str
    ) -> None:
        one = (learnable,) if isinstance(learnable, str) else tuple(learnable)
        names = tuple(values) if learnable == "all" else one
        for name in names:
            check_choice(name, values, name="learnable constant", owner=owner)
        self.n = check_integer(n, name="n", owner=owner, low=1)
        self.stochastic = "temperature" in values
        for name, value in values.items():
            low = 0.0 if name in _POSITIVE else -math.inf
            start = torch.full((n,), check_number(value, name=name, owner=owner, low=low))
            key, start = (f"log_{name}", start.log()) if name in _POSITIVE else (name, start)
            if name in names:
                setattr(self, key, nn.Parameter(start))
            else:
                self.register_buffer(key, start)
        self._most_log_tau = math.log(values["tau"] * _LONGEST)

    @property
    def tau(self) -> Tensor:
        """Time constants in steps, shape (n,)."""
        learns = isinstance(self.log_tau, nn.Parameter)
        return (self.log_tau.clamp(max=self._most_log_tau) if learns else self.log_tau).exp()

    @property
    def temperature(self) -> Tensor:
        """Temperatures of stochastic cells, shape (n,)."""
        return self.log_temperature.exp()

    def forward(self, current: Tensor, *, draws: Tensor | None = None) -> Tensor:
        """Return the spikes of a current.

        Parameters
        ----------
        current : torch.Tensor
            Shape (n_trials, n_times, n).
        draws : torch.Tensor, optional
            Numbers in [0, 1) that decide for stochastic cells, of that shape or the same for all
            trials (1, n_times, n); by default of torch's generator.

        Returns
        -------
        torch.Tensor
            Spikes, same shape.

        Raises
        ------
        ActivityError
            If the current or the draws have another shape.
        """
        return self._spikes(current, draws)

    def respond(self, current: Tensor, *, draws: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the spikes of a current, and the voltages that made them.

        Parameters
        ----------
        current : torch.Tensor
            Shape (n_trials, n_times, n).
        draws : torch.Tensor, optional
            As for ``forward``.

        Returns
        -------
        tuple of torch.Tensor
            Spikes, and the voltages before any reset of the step; same shape.

        Raises
        ------
        ActivityError
            If the current or the draws have another shape.
        """
        inputs = self._times_first(current)
        spikes, voltages = self._run(inputs, self._fire(inputs, draws))
        return spikes.transpose(0, 1), voltages.transpose(0, 1)

    def _spikes(self, current: Tensor, draws: Tensor | None) -> Tensor:
        return self.respond(current, draws=draws)[0]

    def _times_first(self, current: Tensor) -> Tensor:
        if current.ndim != 3 or current.shape[-1] != self.n or not current.shape[1]:
            raise ActivityError(
                f"{type(self).__name__}.forward: the current must be (n_trials, n_times, "
                f"{self.n}) with at least one time; got shape {tuple(current.shape)}."
            )
        if not current.is_floating_point():
            raise ActivityError(
                f"{type(self).__name__}.forward: the current must be floating-point numbers; got "
                f"{current.dtype}. Convert it with current.float()."
            )
        return current.transpose(0, 1).contiguous()

    def _fire(self, inputs: Tensor, draws: Tensor | None) -> Fire:
        if not self.stochastic:
            return self.surrogate
        if draws is None:
            return DrawnSpikes(self.temperature, torch.rand_like(inputs))
        n_times, n_trials, n = inputs.shape
        if draws.shape not in ((n_trials, n_times, n), (1, n_times, n)):
            raise ActivityError(
                f"{type(self).__name__}.forward: draws must be (n_trials or 1, {n_times}, {n}); "
                f"got shape {tuple(draws.shape)}."
            )
        return DrawnSpikes(self.temperature, draws.transpose(0, 1))


class LIFCell(_Cell):
    """Layer of leaky integrate-and-fire cells whose constants can be learnt, one of each per cell.

    Per step ``v <- exp(-1 / tau) v + I`` from 0, a spike where v is at the threshold or above, and
    the reset at once. The current enters whole: ``activome.networks.LIF`` scales its own by
    ``resistance (1 - exp(-dt / tau))``.

    Parameters
    ----------
    n : int
        Cells.
    tau : float > 0, default=10.0
        Time constant in steps; a step keeps ``exp(-1 / tau)`` of the voltage.
    threshold, reset : float, default=1.0, 0.0
        Voltages.
    learnable : sequence of {"tau", "threshold", "reset", "temperature"}, or "all", default=()
        Constants that are parameters. A time constant stops at 100 times its first value.
    reset_mode : {"zero", "subtract"}, default="zero"
        A spike sets the voltage to ``reset``, or lowers it by the threshold.
    surrogate : SurrogateSpike, optional
        Gradient of the spike; by default a fast sigmoid of slope 10.
    detach_reset : bool, default=False
        Whether gradients pass by the spike that resets; the value of ``reset`` learns all the same.
    stochastic : bool, default=False
        Fire with probability ``sigmoid((v - threshold) / temperature)`` instead of at the
        threshold; the gradient is that of the probability.
    temperature : float > 0, default=0.1
        Width of the probability in units of voltage.

    Raises
    ------
    ActivityError
        If the current or the draws have another shape.
    ParameterError
        If a constant is unknown or outside its range.

    Examples
    --------
    >>> cell = LIFCell(1, tau=10.0, learnable=("tau",))
    >>> cell.log_tau.exp().item(), sorted(name for name, _ in cell.named_parameters())
    (10.0, ['log_tau'])
    """

    threshold: Tensor
    reset: Tensor

    def __init__(
        self,
        n: int,
        tau: float = 10.0,
        threshold: float = 1.0,
        reset: float = 0.0,
        *,
        learnable: Sequence[str] | str = (),
        reset_mode: ResetMode = "zero",
        surrogate: SurrogateSpike | None = None,
        detach_reset: bool = False,
        stochastic: bool = False,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        check_choice(reset_mode, ("zero", "subtract"), name="reset_mode", owner="LIFCell")
        values = dict(zip(_LIF_NAMES, (tau, threshold, reset), strict=True))
        values |= {"temperature": temperature} if stochastic else {}
        self._hold("LIFCell", n, values, learnable)
        self.reset_mode: ResetMode = reset_mode
        self.surrogate = surrogate if surrogate is not None else SurrogateSpike()
        self.detach_reset = detach_reset

    def _spikes(self, current: Tensor, draws: Tensor | None) -> Tensor:
        if self.stochastic:
            return super()._spikes(current, draws)
        spikes = lif_forward(
            self._times_first(current),
            torch.exp(-1.0 / self.tau),
            self.threshold,
            self.reset,
            reset_mode=self.reset_mode,
            detach_reset=self.detach_reset,
            surrogate=self.surrogate,
        )
        return spikes.transpose(0, 1)

    def _run(self, inputs: Tensor, fire: Fire) -> tuple[Tensor, Tensor]:
        constants = torch.exp(-1.0 / self.tau), self.threshold, self.reset
        is_zero = self.reset_mode == "zero"
        return run_lif(inputs, constants, fire, False, is_zero, self.detach_reset)


class MetaCell(_Cell):
    """Layer of cells with a quadratic voltage and a recovery variable, whose constants can learn.

    Per step ``v <- v + (v^2 - v - u) / tau + I`` and ``u <- u + (theta_v v - theta_u u) / tau``,
    both from the old values; at a spike ``v <- theta_r`` and ``u <- u + theta_s``. The voltage is
    kept in [-3, 3]. ``activome.networks.MetaNeuron`` is the same cell for the simulator.

    Parameters
    ----------
    n : int
        Cells.
    theta : sequence of float, shape (4,)
        ``theta_v, theta_u, theta_r, theta_s``, by default -0.172, 0.529, 0.021, 0.132.
    tau : float > 0, default=10.0
        Time constant in steps.
    threshold : float, default=1.0
        Voltage at which the cell fires.
    learnable : sequence of str, or "all", default="all"
        Those of "theta_v", "theta_u", "theta_r", "theta_s", "tau", "threshold" and "temperature"
        that are parameters. A time constant stops at 100 times its first value.
    surrogate : SurrogateSpike, optional
        Gradient of the spike; by default a fast sigmoid of slope 10.
    detach_reset : bool, default=False
        Whether gradients pass by what a spike does to the cell.
    stochastic : bool, default=False
        Fire with probability ``sigmoid((v - threshold) / temperature)`` instead of at the
        threshold; the gradient is that of the probability (our choice).
    temperature : float > 0, default=0.1
        Width of the probability in units of voltage.

    Raises
    ------
    ActivityError
        If the current or the draws have another shape.
    ParameterError
        If ``theta`` has not four values, or a constant is unknown or outside its range.

    References
    ----------
    .. [1] Z. Rudnicka, J. Szczepanski and A. Pregowska, "Learning internal biological neuron
       parameters and complexity-based encoding for improved spiking neural networks performance",
       2025.

    Examples
    --------
    >>> cell = MetaCell(1, learnable=())
    >>> cell(torch.full((1, 4, 1), 0.5)).flatten().tolist()
    [0.0, 0.0, 1.0, 0.0]
    """

    theta_v: Tensor
    theta_u: Tensor
    theta_r: Tensor
    theta_s: Tensor
    threshold: Tensor

    def __init__(
        self,
        n: int,
        theta: Sequence[float] = (-0.172, 0.529, 0.021, 0.132),
        tau: float = 10.0,
        threshold: float = 1.0,
        *,
        learnable: Sequence[str] | str = "all",
        surrogate: SurrogateSpike | None = None,
        detach_reset: bool = False,
        stochastic: bool = False,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        if len(theta) != 4:
            raise ParameterError(
                f"MetaCell: theta must be theta_v, theta_u, theta_r and theta_s; got {len(theta)} "
                "values."
            )
        values = dict(zip(_META_NAMES, (*theta, tau, threshold), strict=True))
        values |= {"temperature": temperature} if stochastic else {}
        self._hold("MetaCell", n, values, learnable)
        self.surrogate = surrogate if surrogate is not None else SurrogateSpike()
        self.detach_reset = detach_reset

    def _run(self, inputs: Tensor, fire: Fire) -> tuple[Tensor, Tensor]:
        rate = 1.0 / self.tau
        v = u = torch.zeros_like(inputs[0])
        spikes, voltages = [], []
        for now in inputs:
            moved = v + rate * (v * v - v - u) + now
            u = u + rate * (self.theta_v * v - self.theta_u * u)
            v = moved.clamp(-_CLAMP, _CLAMP)
            voltages.append(v)
            z = fire(v - self.threshold)
            spikes.append(z)
            z = z.detach() if self.detach_reset else z
            v = v * (1 - z) + self.theta_r * z
            u = u + self.theta_s * z
        return torch.stack(spikes), torch.stack(voltages)


class LeakyReadout(nn.Module):
    """Weigh spikes, and average the voltages that they make in cells that do not fire.

    Per step ``v <- exp(-1 / tau) v + W z`` from 0; the output is the mean of v over time plus the
    bias of ``weigh``, which stands behind the sum and does not leak.

    Parameters
    ----------
    n_in, n_out : int
        Units before, and outputs.
    tau : float > 0, default=10.0
        Time constant of the outputs in steps.

    Raises
    ------
    ParameterError
        If a size is below 1, or ``tau`` is not positive.

    Examples
    --------
    >>> readout = LeakyReadout(3, 2)
    >>> readout(torch.zeros(5, 20, 3)).shape
    torch.Size([5, 2])
    """

    def __init__(self, n_in: int, n_out: int, tau: float = 10.0) -> None:
        super().__init__()
        for name, value in (("n_in", n_in), ("n_out", n_out)):
            check_integer(value, name=name, owner="LeakyReadout", low=1)
        self.tau = check_number(tau, name="tau", owner="LeakyReadout", low=0.0)
        self.weigh = nn.Linear(n_in, n_out)

    def forward(self, spikes: Tensor) -> Tensor:
        """Return the mean voltage of each output.

        Parameters
        ----------
        spikes : torch.Tensor
            Shape (n_trials, n_times, n_in).

        Returns
        -------
        torch.Tensor
            Shape (n_trials, n_out).

        Raises
        ------
        ActivityError
            If the spikes have another shape, or no time.
        """
        n_in = self.weigh.in_features
        if spikes.ndim != 3 or spikes.shape[2] != n_in or not spikes.shape[1]:
            raise ActivityError(
                f"LeakyReadout.forward: spikes must be (n_trials, n_times, {n_in}) with at least "
                f"one time; got shape {tuple(spikes.shape)}."
            )
        # The mean over time of a leaky sum weighs each step by what is still to come of it.
        n = spikes.shape[1]
        left = torch.arange(n, 0, -1, device=spikes.device, dtype=spikes.dtype)
        # As 1 - exp(-x), so that nothing cancels where tau is long.
        weight = torch.expm1(-left / self.tau) / (math.expm1(-1.0 / self.tau) * n)
        mean = torch.einsum("btu,t->bu", spikes, weight)
        return nn.functional.linear(mean, self.weigh.weight) + self.weigh.bias
