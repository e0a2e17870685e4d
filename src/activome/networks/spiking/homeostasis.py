"""Rules that keep activity in range: thresholds that adapt, and sums of weights that hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_choice, check_number
from activome.errors import ActivityError, ParameterError
from activome.networks.spiking._selection import move_thresholds

__all__ = ["DriveHomeostasis", "SelectionThreshold", "SynapticScaling", "ThresholdAdaptation"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class ThresholdAdaptation:
    """Raise the threshold of a cell with each of its spikes, and let it sink back.

    The threshold is that of the cell plus ``theta - reference``. At a spike theta rises, by
    ``theta_plus`` or by ``theta_plus * 10 / |theta - 10|``; in every other step it decays to 0 with
    ``tau_theta``. Every trial of ``simulate`` begins at ``start``: to go on, give it ``state``.

    Parameters
    ----------
    theta_plus : float, default=0.07
        Rise, mV.
    tau_theta : float in (0, inf), default=6e6
        Time constant of the decay to 0, ms.
    law : {"constant", "hyperbolic"}, default="constant"
        Hyperbolic slows down as theta grows.
    start : float, default=0.0
        Theta at the beginning, mV; not 10 with the hyperbolic law.
    reference : float, default=0.0
        Theta at which the threshold is that of the cell, mV.

    Raises
    ------
    ParameterError
        If a number is outside its range or the law is unknown.

    Examples
    --------
    >>> ThresholdAdaptation(law="hyperbolic", start=20.0).rise(40.0)
    0.023333333333333334
    """

    theta_plus: float = 0.07
    tau_theta: float = 6e6
    law: Literal["constant", "hyperbolic"] = "constant"
    start: float = 0.0
    reference: float = 0.0

    def __post_init__(self) -> None:
        owner = "ThresholdAdaptation"
        check_number(self.theta_plus, name="theta_plus", owner=owner)
        check_number(self.tau_theta, name="tau_theta", owner=owner, low=0.0)
        check_number(self.start, name="start", owner=owner)
        check_number(self.reference, name="reference", owner=owner)
        check_choice(self.law, ("constant", "hyperbolic"), name="law", owner=owner)
        if self.law == "hyperbolic" and self.start == 10.0:
            raise ParameterError(f"{owner}: start must not be 10, where the rise is unbounded.")

    def rise(self, theta: float) -> float:
        """Return by how much a spike raises the threshold.

        Parameters
        ----------
        theta : float
            Present amount, mV.

        Returns
        -------
        float
            The rise, mV.
        """
        if self.law == "constant":
            return self.theta_plus
        return self.theta_plus * 10.0 / abs(theta - 10.0)


@dataclass(frozen=True, kw_only=True)
class SynapticScaling:
    """Multiply the weights of each cell so that they add up to one total.

    The sum is over the synapses of one projection. Limits of a plasticity rule are not looked at: a
    scaled weight may be above ``w_max`` until a spike changes it.

    Parameters
    ----------
    total : float in (0, inf)
        The sum, in units of the weight.
    axis : {"post", "pre"}, default="post"
        Whether the synapses onto a cell, or those from it, share the total.
    when : {"trial", "interval"}, default="trial"
        Before each trial that starts from rest, or at the end of every ``interval`` ms of it.
    interval : float in (0, inf), default=100.0
        Time between two scalings, ms, rounded to whole steps and at least one; for "interval" only.

    Raises
    ------
    ParameterError
        If a number is outside its range or a word is unknown.

    Examples
    --------
    >>> SynapticScaling(total=1.0).scale(np.array([1.0, 3.0]), np.array([0, 0]), 1).tolist()
    [0.25, 0.75]
    """

    total: float
    axis: Literal["post", "pre"] = "post"
    when: Literal["trial", "interval"] = "trial"
    interval: float = 100.0

    def __post_init__(self) -> None:
        owner = "SynapticScaling"
        check_number(self.total, name="total", owner=owner, low=0.0)
        check_number(self.interval, name="interval", owner=owner, low=0.0)
        check_choice(self.axis, ("post", "pre"), name="axis", owner=owner)
        check_choice(self.when, ("trial", "interval"), name="when", owner=owner)

    def scale(self, weight: Array, cell: Array, n_cells: int) -> Array:
        """Return the scaled weights; cells whose weights are all 0 keep them.

        Parameters
        ----------
        weight : ndarray of float64, shape (n_synapses,)
            Weights.
        cell : ndarray of int, shape (n_synapses,)
            The cell whose total each weight counts to.
        n_cells : int
            Number of cells.

        Returns
        -------
        ndarray of float64, shape (n_synapses,)
            New weights.
        """
        sums = np.bincount(cell, weights=weight, minlength=n_cells)
        factor = np.ones(n_cells)
        np.divide(self.total, sums, out=factor, where=sums > 0)
        return weight * factor[cell]


@dataclass(frozen=True, kw_only=True)
class DriveHomeostasis:
    """Scale the synapses that were just active so that their volley reaches a set drive.

    At a spike of the cell behind them, D being the sum of the weights of one projection whose cells
    fired within the window, each of these becomes ``w (1 + eta (factor drive_threshold / D - 1))``.
    In a step this comes after plasticity and knows no ``w_max``; nothing changes where D is 0.

    Parameters
    ----------
    drive_threshold : float in (0, inf)
        Sum of weights of a simultaneous volley that just reaches the threshold.
    factor : float in (0, inf), default=1.05
        Wanted drive, as a multiple of it.
    eta : float in (0, 1], default=1.0
        Share of the way that one spike goes.
    window : float in (0, inf), default=20.0
        How long ago a spike may have reached the synapse, a delay after it left, to count as
        active, ms; this long ago still counts.

    Raises
    ------
    ParameterError
        If a number is outside its range.

    Examples
    --------
    >>> DriveHomeostasis(drive_threshold=3.0).factor
    1.05
    """

    drive_threshold: float
    factor: float = 1.05
    eta: float = 1.0
    window: float = 20.0

    def __post_init__(self) -> None:
        owner = "DriveHomeostasis"
        for name in ("drive_threshold", "factor", "window"):
            check_number(getattr(self, name), name=name, owner=owner, low=0.0)
        check_number(self.eta, name="eta", owner=owner, low=0.0, high=1.0, include_high=True)


@dataclass(frozen=True, kw_only=True)
class SelectionThreshold:
    """Thresholds of competing units: the winner's rises, all sink when nobody wins.

    With n units the share of misses settles where rises and falls balance, at
    ``close / (close + n open)``.

    Parameters
    ----------
    open : float in (0, inf)
        What every threshold falls by at a miss.
    close : float in (0, inf)
        What the winner's threshold rises by.

    Raises
    ------
    ParameterError
        If a number is outside its range.

    Examples
    --------
    >>> rule = SelectionThreshold(open=0.5, close=0.1)
    >>> rule.after(np.array([1.0, 1.0]), 0).tolist(), rule.after(np.array([1.0, 1.0]), -1).tolist()
    ([1.1, 1.0], [0.5, 0.5])
    >>> round(rule.missed_share(4), 4)
    0.0476
    """

    open: float
    close: float

    def __post_init__(self) -> None:
        for name in ("open", "close"):
            check_number(getattr(self, name), name=name, owner="SelectionThreshold", low=0.0)

    def after(self, thresholds: ArrayLike, winner: int) -> Array:
        """Return the thresholds after one event.

        Parameters
        ----------
        thresholds : array-like of float, shape (n_units,)
            Thresholds before it.
        winner : int
            Index of the unit that won, or -1 for a miss.

        Returns
        -------
        ndarray of float64, shape (n_units,)
            New thresholds.

        Raises
        ------
        ActivityError
            If there is no unit of that index.
        """
        new = np.array(thresholds, dtype=np.float64)
        if not -1 <= winner < new.size:
            raise ActivityError(
                f"SelectionThreshold: winner must be in [-1, {new.size - 1}]; got {winner}."
            )
        move_thresholds(new, winner, self.open, self.close)
        return new

    def missed_share(self, n_units: int) -> float:
        """Return the share of events without a winner at which thresholds are at rest.

        Parameters
        ----------
        n_units : int
            Number of units.

        Returns
        -------
        float
            ``close / (close + n_units open)``.
        """
        return self.close / (self.close + n_units * self.open)
