"""Gradients of networks that spike: smooth stand-ins for the step, and leaky cells over time."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from activome._checks import check_choice, check_number
from activome.errors import ActivityError, ParameterError
from activome.networks.spiking._lif_gradient import FusedLIF, run_lif, spike

__all__ = ["Order", "ResetMode", "SurrogateSpike", "lif_forward"]

Order = Literal["immediate", "delayed"]
ResetMode = Literal["zero", "subtract"]
_SURROGATES = ("fast_sigmoid", "arctan", "triangle")


class SurrogateSpike(nn.Module):
    """Fire at the threshold, and let gradients pass as if the step were smooth.

    Forward ``[x >= 0]``. Backward, with slope k: ``1 / (1 + k |x|)^2`` (fast sigmoid),
    ``1 / (1 + (k x)^2)`` (arctan), or ``max(0, 1 - k |x|)`` (triangle); all are 1 at the threshold.

    Parameters
    ----------
    kind : {"fast_sigmoid", "arctan", "triangle"}, default="fast_sigmoid"
        Shape of the gradient.
    slope : float in (0, inf), default=10.0
        How fast it falls, per unit of voltage.

    Raises
    ------
    ParameterError
        If the kind is unknown, or the slope is not positive.

    References
    ----------
    .. [1] E. O. Neftci, H. Mostafa and F. Zenke, "Surrogate gradient learning in spiking neural
       networks", 2019.

    Examples
    --------
    >>> x = torch.tensor([-0.1, 0.0, 0.1], requires_grad=True)
    >>> z = SurrogateSpike(slope=10.0)(x)
    >>> z.sum().backward()
    >>> z.tolist(), x.grad.tolist()
    ([0.0, 1.0, 1.0], [0.25, 1.0, 0.25])
    """

    def __init__(self, kind: str = "fast_sigmoid", slope: float = 10.0) -> None:
        super().__init__()
        self.kind = check_choice(kind, _SURROGATES, name="kind", owner="SurrogateSpike")
        self.slope = check_number(slope, name="slope", owner="SurrogateSpike", low=0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return spikes.

        Parameters
        ----------
        x : torch.Tensor
            Voltage less the threshold.

        Returns
        -------
        torch.Tensor
            1 where x is at least 0, else 0, of the dtype of x.
        """
        return spike(x, self.kind, self.slope)


def lif_forward(
    current: Tensor,
    alpha: Tensor | float,
    threshold: Tensor | float = 1.0,
    reset: Tensor | float = 0.0,
    *,
    order: Order = "immediate",
    reset_mode: ResetMode = "subtract",
    detach_reset: bool = True,
    surrogate: SurrogateSpike | None = None,
    fused: bool | None = None,
) -> Tensor:
    """Run leaky integrate-and-fire cells over time.

    ``v <- alpha v + I`` and ``z = [v >= threshold]``; then ``v <- v - threshold z`` ("subtract") or
    ``v <- v (1 - z) + reset z`` ("zero"), at once or, "delayed", at the end of the next step.

    Parameters
    ----------
    current : torch.Tensor
        Input per step, shape (n_times, n_trials, n_units).
    alpha : float or torch.Tensor
        Share of the voltage that is kept per step, one number or one per unit.
    threshold, reset : float or torch.Tensor, default=1.0, 0.0
        Voltages, one number or one per unit.
    order : {"immediate", "delayed"}, default="immediate"
        When a spike resets the voltage.
    reset_mode : {"subtract", "zero"}, default="subtract"
        How it does.
    detach_reset : bool, default=True
        Whether gradients pass by the reset instead of through it.
    surrogate : SurrogateSpike, optional
        Gradient of the spike; by default a fast sigmoid of slope 10.
    fused : bool, optional
        Whether to run the backward pass by hand, which keeps the voltages only; by default where
        that can be: constants that do not learn, and a detached reset. Its gradient has no gradient
        of its own; for second derivatives say False.

    Returns
    -------
    torch.Tensor
        Spikes, shape and dtype of the current.

    Raises
    ------
    ActivityError
        If the current has not three axes, no time, or whole numbers; or a constant is neither one
        number nor one per unit.
    ParameterError
        If an option is unknown, or ``fused`` is asked for where it cannot be.

    References
    ----------
    .. [1] F. Zenke and S. Ganguli, "SuperSpike: supervised learning in multilayer spiking neural
       networks", 2018.

    Examples
    --------
    >>> current = torch.full((4, 1, 1), 0.6)
    >>> lif_forward(current, 0.5).flatten().tolist()
    [0.0, 0.0, 1.0, 0.0]
    """
    owner = "lif_forward"
    if current.ndim != 3:
        raise ActivityError(
            f"{owner}: the current must be (n_times, n_trials, n_units); got shape "
            f"{tuple(current.shape)}."
        )
    if not current.is_floating_point() or not current.shape[0]:
        raise ActivityError(
            f"{owner}: the current must be floating-point numbers of at least one time; got "
            f"{current.dtype} and shape {tuple(current.shape)}."
        )
    check_choice(order, ("immediate", "delayed"), name="order", owner=owner)
    check_choice(reset_mode, ("subtract", "zero"), name="reset_mode", owner=owner)
    shape = surrogate if surrogate is not None else SurrogateSpike()
    constants = [torch.as_tensor(c, dtype=current.dtype, device=current.device)
                 for c in (alpha, threshold, reset)]  # fmt: skip
    for name, constant in zip(("alpha", "threshold", "reset"), constants, strict=True):
        if constant.shape not in ((), (1,), (current.shape[2],)):
            raise ActivityError(
                f"{owner}: {name} must be one number or one per unit ({current.shape[2]}); got "
                f"shape {tuple(constant.shape)}."
            )
    learns = torch.is_grad_enabled() and any(c.requires_grad for c in constants)
    can_fuse = detach_reset and not learns
    if fused and not can_fuse:
        raise ParameterError(
            f"{owner}: the fused pass needs constants that do not learn and detach_reset=True. "
            "Leave fused out."
        )
    is_delayed, is_zero = order == "delayed", reset_mode == "zero"
    if can_fuse if fused is None else fused:
        found: Tensor = FusedLIF.apply(
            current, *constants, is_delayed, is_zero, shape.kind, shape.slope
        )
        return found
    return run_lif(current, constants, shape, is_delayed, is_zero, detach_reset)[0]
