"""Emergence curves: a rise in the logarithm of time, with or without decay, in five parameters."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from scipy.optimize import least_squares
from scipy.special import wrightomega
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_finite, check_integer, check_number
from activome.errors import ActivityError, ActivityWarning

__all__ = ["EmergenceCurve"]

Array = np.ndarray[Any, Any]
_RATES = (0.01, 0.3, 3.0, 10.0, 100.0)
_OFFSETS = (0.001, 0.02, 0.3)
_BOUNDS = ((-9.0, np.log(1e-4)), (7.0, 3.0))


class EmergenceCurve(RegressorMixin, BaseEstimator):
    """Fit ``f(t) = A exp(-lam x) log(x) + K`` with ``x = gamma t + t0``.

    With ``lam`` near 0 the curve rises as a logarithm; a larger one gives a rise, a peak and a
    decay. It describes how a statistic that grows during training, such as ``massive_ratio``,
    comes up layer by layer.

    Parameters
    ----------
    n_starts : int, default=12
        Starts that are refined: the best ones of a grid of 15.
    lam_min : float, default=1e-9
        Decay at or below which the curve counts as a pure logarithm, without a peak.

    Attributes
    ----------
    A_ : float
        Amplitude, in units of y.
    lam_ : float
        Decay, per unit of x.
    gamma_ : float
        Time scale, per unit of t.
    t0_ : float
        Offset, in units of x.
    K_ : float
        Level, in units of y.
    coef_ : ndarray of float64, shape (2,)
        (A1, A2) of the same curve as ``exp(-rate t) (A1 log(t + offset) + A2) + K``.
    rate_ : float
        ``lam gamma``, per unit of t: identified where ``lam`` and ``gamma`` alone are not.
    offset_ : float
        ``t0 / gamma``, in units of t.
    r2_ : float
        Share of the variance explained; NaN for constant y.
    aic_ : float
        Akaike's criterion of a Gaussian error, ``n log(SSE / n) + 10``.
    peak_ : float
        Time of the peak; NaN where the curve has none between 0 and the last time.

    Raises
    ------
    ParameterError
        If ``n_starts`` or ``lam_min`` is out of range.
    ActivityError
        If there are fewer than 8 times, times do not increase or are negative, or a value is not
        finite.

    Warns
    -----
    ActivityWarning
        If y is constant.

    Notes
    -----
    Our choice is variable projection: in ``exp(-b u) (A1 log(u + tau) + A2) + K`` with time scaled
    to ``u`` in [0, 1], three of five parameters are linear and are solved for exactly, and the
    other two are searched, as logarithms, from a fixed grid. The fit is deterministic. Where the
    curve is nearly logarithmic, ``lam_`` and ``gamma_`` trade against each other: compare
    ``rate_`` and ``offset_`` instead, and neither where ``r2_`` is low. A fit takes
    tens of milliseconds.

    References
    ----------
    .. [1] J. Gallego-Feliciano, S. A. McClendon, J. Morinelli, S. Zervoudakis and A. Saravanos,
       "Hidden dynamics of massive activations in transformer training", 2025.
    .. [2] G. H. Golub and V. Pereyra, "The differentiation of pseudo-inverses and nonlinear least
       squares problems whose variables separate", 1973.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.linspace(0.0, 1000.0, 40)
    >>> x = 0.02 * t + 1.5
    >>> curve = EmergenceCurve().fit(t, 300 * np.exp(-0.2 * x) * np.log(x) + 10)
    >>> round(curve.r2_, 6), round(curve.K_, 2), round(curve.peak_)
    (1.0, 10.0, 113)
    """

    def __init__(self, n_starts: int = 12, lam_min: float = 1e-9) -> None:
        self.n_starts = n_starts
        self.lam_min = lam_min

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the curve.

        Parameters
        ----------
        X : array-like of shape (n_times,) or (n_times, 1)
            Times or steps, at least 8, increasing from 0 or later.
        y : array-like of shape (n_times,)
            Values.

        Returns
        -------
        Self
            The fitted curve.

        Raises
        ------
        ActivityError
            If there are fewer than 8 times, times do not increase or are negative, or a value is
            not finite.
        """
        check_integer(self.n_starts, name="n_starts", owner="EmergenceCurve", low=1)
        check_number(self.lam_min, name="lam_min", owner="EmergenceCurve", low=0.0)
        times, values = _read(X, y)
        scale = float(times[-1])
        level, spread = float(values.mean()), float(np.ptp(values))
        unit = spread or 1.0
        u, v = times / scale, (values - level) / unit
        log_b, log_tau = self._search(u, v)
        (a1, a2, k), error = _solve(u, v, log_b, log_tau)
        # Back to the times given: log(u + tau) = log(t + tau s) - log s.
        self.coef_: Array = np.array([a1, a2 - a1 * np.log(scale)]) * unit
        self.K_ = float(k * unit + level)
        self.rate_ = float(np.exp(log_b)) / scale
        self.offset_ = float(np.exp(log_tau)) * scale
        self._name_parameters()
        self.peak_ = self._find_peak(scale)
        sse = float(error @ error) * unit**2
        total = float(((values - level) ** 2).sum())
        self.r2_ = 1.0 - sse / total if spread else float("nan")
        n = len(values)
        self.aic_ = n * float(np.log(max(sse, np.finfo(float).tiny) / n)) + 10.0
        if not spread:
            warnings.warn(
                "EmergenceCurve.fit: y is constant; r2_ is not defined.",
                ActivityWarning,
                stacklevel=2,
            )
        return self

    def _search(self, u: Array, v: Array) -> tuple[float, float]:
        grid = [(np.log(b), np.log(tau)) for b in _RATES for tau in _OFFSETS]
        costs = [float((_solve(u, v, *point)[1] ** 2).sum()) for point in grid]
        rough = []

        def left(point: Array) -> Array:
            return _solve(u, v, point[0], point[1])[1]

        for place in np.argsort(costs)[: self.n_starts]:
            found = least_squares(left, grid[place], bounds=_BOUNDS, max_nfev=8)
            rough.append((float(found.cost), found.x.tolist()))
        # Starts that lead to one valley are alike by now: the best few are taken to its ground.
        fine = [
            least_squares(left, point, bounds=_BOUNDS, xtol=1e-12, ftol=1e-14, gtol=1e-14)
            for _, point in sorted(rough)[:3]
        ]
        best = min(fine, key=lambda found: float(found.cost)).x
        return float(best[0]), float(best[1])

    def _name_parameters(self) -> None:
        a1, a2 = self.coef_
        # A level without a logarithm leaves gamma free; it is then at the edge of the numbers.
        log_gamma = float(np.clip(a2 / a1, -690.0, 690.0)) if a1 else 0.0
        self.gamma_ = float(np.exp(log_gamma))
        self.lam_ = self.rate_ / self.gamma_
        self.t0_ = self.offset_ * self.gamma_
        self.A_ = float(a1 * np.exp(self.rate_ * self.offset_))

    def _find_peak(self, last: float) -> float:
        if self.A_ <= 0 or self.lam_ <= self.lam_min:
            return float("nan")
        # x log x = 1 / lam, so log x = W(1 / lam): Wright's function takes the logarithm of that.
        log_gamma = np.log(self.gamma_)
        log_x = float(wrightomega(log_gamma - np.log(self.rate_)).real)
        peak = float(np.exp(min(log_x - log_gamma, 700.0))) - self.offset_
        return peak if 0.0 <= peak <= last else float("nan")

    def peak(self) -> float:
        """Return the time of the peak.

        Returns
        -------
        float
            In units of t; NaN where there is none between 0 and the last time.
        """
        check_is_fitted(self)
        return self.peak_

    def predict(self, X: Any) -> Array:
        """Return the curve at some times.

        Parameters
        ----------
        X : array-like of shape (n_times,) or (n_times, 1)
            Times from 0 on.

        Returns
        -------
        ndarray of float64, shape (n_times,)
            Values of the curve.
        """
        check_is_fitted(self)
        times = np.asarray(X, dtype=np.float64).reshape(-1)
        a1, a2 = self.coef_
        curve: Array = np.exp(-self.rate_ * times) * (a1 * np.log(times + self.offset_) + a2)
        return curve + self.K_


def _read(X: Any, y: Any) -> tuple[Array, Array]:
    owner = "EmergenceCurve.fit"
    times = np.asarray(X, dtype=np.float64)
    times = times[:, 0] if times.ndim == 2 and times.shape[1] == 1 else times
    values = np.asarray(y, dtype=np.float64)
    if times.ndim != 1 or times.shape != values.shape or len(times) < 8:
        raise ActivityError(
            f"{owner}: needs at least 8 times and one value for each; got shapes {times.shape} and "
            f"{values.shape}."
        )
    check_finite(times, owner=owner, axes=("time",), what="times")
    check_finite(values, owner=owner, axes=("time",), what="values")
    if times[0] < 0 or not (np.diff(times) > 0).all():
        place = 0 if times[0] < 0 else int(np.argmin(np.diff(times) > 0)) + 1
        raise ActivityError(
            f"{owner}: times must increase from 0 or later; the one at place {place} is "
            f"{times[place]:g}. Sort them first, and join values at equal times."
        )
    return times, values


def _solve(u: Array, v: Array, log_b: float, log_tau: float) -> tuple[Array, Array]:
    """Return the best (A1, A2, K) for a decay and an offset, and what is left."""
    decay = np.exp(-np.exp(log_b) * u)
    basis = np.stack([decay * np.log(u + np.exp(log_tau)), decay, np.ones_like(u)], axis=1)
    # Columns of one length keep the cut of small singular values fair.
    length = np.maximum(np.linalg.norm(basis, axis=0), 1e-300)
    coef = np.linalg.lstsq(basis / length, v, rcond=1e-12)[0] / length
    return coef, basis @ coef - v
