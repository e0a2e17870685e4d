"""Functional networks: which units go together more than units that do not know of each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy import special, stats

from activome._checks import check_choice, check_number
from activome.activity.independence import IndependentUnits
from activome.errors import ActivityError

__all__ = ["functional_network"]

Array = np.ndarray[Any, Any]


def functional_network(
    activity: Any,
    method: str = "correlation",
    *,
    alpha: float = 0.05,
    detrend: bool = True,
    shifts: str = "auto",
) -> xr.Dataset:
    """Correlate every pair of units, and test each pair against independently shifted units.

    The variance of a correlation of two units that do not know of each other follows from their
    power spectra: over all lags ``mean r^2 = sum over f of P_i(f) P_j(f)``, each spectrum
    normalised to 1 [1]_. Slow units thus need a larger correlation than fast ones, and no
    surrogate is drawn.

    Parameters
    ----------
    activity : xarray.DataArray or array-like, shape (n_samples, n_units)
        An Activity, or plain numbers. Constant units stay, without edges.
    method : {"correlation", "rank"}, default="correlation"
        Pearson's correlation of the values, or of their ranks over the recording.
    alpha : float in (0, 1), default=0.05
        False discovery rate of the edges [2]_; in a recording without structure it is the chance
        of any edge.
    detrend : bool, default=True
        Take the ramp out of slowly drifting units (see ``close_ends``).
    shifts : {"auto", "time", "trial"}, default="auto"
        What independent units would be shifted by, see ``IndependentUnits``.

    Returns
    -------
    xarray.Dataset
        Dims (unit, other). ``weight``: correlation, 1 on the diagonal (0 for constant units);
        ``z``: correlation over its standard deviation under the null; ``p_value`` (two-sided) and
        ``q_value`` (Benjamini-Hochberg), 1 on the diagonal; ``edge``: q_value <= alpha.
        Attributes ``p_value`` (that there is any edge, by Simes), ``n_edges``, ``density``,
        ``alpha``, ``method``, ``shifts``.

    Raises
    ------
    ActivityError
        If there are fewer than two units or 10 samples, or values are not finite.
    ParameterError
        If an option is unknown or outside its range.

    Notes
    -----
    Tails: a normal law where it holds. Products of heavy-tailed or rare values are skewed and
    heavy-tailed themselves. So p is the larger of the normal one and that of a gamma law with the
    skewness ``g_i g_j / sqrt(n)`` (for rare spikes this is the law of coincidences, counted with
    half a coincidence off), n being the number of independent samples, one over the variance. To
    it is added ``e / z^4``, what Markov's inequality leaves to rare large products when
    ``e = (k_i k_j - 3) / n`` is the excess kurtosis (for counts, what is beyond the gamma law's).
    With whole trials the variance is itself estimated from n_trials - 1 lags, and Student's law
    with that many degrees of freedom stands for the normal one. Cost: one product of the activity
    with itself and one of the spectra.

    References
    ----------
    .. [1] M. Bartlett, "Some aspects of the time-correlation problem in regard to tests of
       significance", 1935.
    .. [2] Y. Benjamini and Y. Hochberg, "Controlling the false discovery rate", 1995.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.random.default_rng(0).normal(size=(500, 4))
    >>> values[:, 1] += values[:, 0]
    >>> network = functional_network(values)
    >>> network.edge.values.astype(int).tolist()
    [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    """
    owner = "functional_network"
    check_number(alpha, name="alpha", owner=owner, low=0.0, high=1.0)
    check_choice(method, ("correlation", "rank"), name="method", owner=owner)
    values = _ranks(activity) if method == "rank" else activity
    units = IndependentUnits(values, owner=owner, detrend=detrend, shifts=shifts)
    n_units = units.active.size
    if n_units < 2:
        raise ActivityError(f"{owner}: needs at least two units; got {n_units}.")
    weight, variance = units.correlation(), units.variance()
    spread = np.sqrt(np.where(variance > 0, variance, 1.0))
    z = weight / spread
    np.fill_diagonal(z, 0.0)
    p = _tails(units, np.abs(weight), spread, np.maximum(variance, 1e-300))
    above = np.triu_indices(n_units, 1)
    p_all = units.full(p, 1.0)
    p_pairs = p_all[above]
    q_all = np.ones((n_units, n_units))
    q_all[above] = stats.false_discovery_control(p_pairs)
    q_all = np.minimum(q_all, q_all.T)
    edge = q_all <= alpha
    n_edges = int(edge[above].sum())
    return _labelled(
        units.names,
        {
            "weight": units.full(weight, 0.0),
            "z": units.full(z, 0.0),
            "p_value": p_all,
            "q_value": q_all,
            "edge": edge,
        },
        {
            "p_value": float(q_all[above].min()),
            "n_edges": n_edges,
            "density": n_edges / p_pairs.size,
            "alpha": alpha,
            "method": method,
            "shifts": "trial" if units.by_trial else "time",
        },
    )


def _labelled(names: Array, matrices: dict[str, Array], attrs: dict[str, Any]) -> xr.Dataset:
    data = {key: (("unit", "other"), matrix) for key, matrix in matrices.items()}
    return xr.Dataset(data, coords={"unit": names, "other": names}, attrs=attrs)


def _ranks(activity: Any) -> Any:
    """Replace values by their ranks over the valid samples of each unit."""
    if not isinstance(activity, xr.DataArray):
        return stats.rankdata(np.asarray(activity), axis=0)
    from activome.activity.stacking import to_samples

    values, index = to_samples(activity, owner="functional_network")
    ranks = index.restore(stats.rankdata(values, axis=0))
    return ranks if "unit" in activity.dims else ranks.isel(unit=0, drop=True)


def _tails(units: IndependentUnits, size: Array, spread: Array, variance: Array) -> Array:
    """Return two-sided p-values: the most cautious of the laws that may hold."""
    z = size / spread
    p = 2 * (special.stdtr(units.n_shifts - 1, -z) if units.by_trial else special.ndtr(-z))
    skew, kurtosis = _moments(units.centred)
    n_free = 1.0 / variance
    # Half a coincidence off, as a count is compared with a continuous law.
    z_counted = np.maximum(size - units.smallest_step / 2, 0.0) / spread
    gamma = np.abs(np.outer(skew, skew)) / np.sqrt(n_free)
    p = np.maximum(p, np.where(gamma > 1e-3, _gamma_tail(z_counted, gamma), 0.0))
    excess = (np.outer(kurtosis, kurtosis) - 3.0) / n_free
    # The gamma law has an excess of its own, which is that of coincidences of counts.
    excess -= np.where(units.smallest_step > 0, 1.5 * gamma**2, 0.0)
    p = np.minimum(p + np.maximum(excess, 0.0) / np.maximum(z, 1e-3) ** 4, 1.0)
    np.fill_diagonal(p, 1.0)
    return np.asarray(np.maximum(p, p.T))


def _moments(centred: Array) -> tuple[Array, Array]:
    variance = np.einsum("tu,tu->u", centred, centred) / len(centred)
    square = centred * centred
    skew = np.einsum("tu,tu->u", square, centred) / len(centred) / variance**1.5
    kurtosis = np.einsum("tu,tu->u", square, square) / len(centred) / variance**2
    return skew, kurtosis


def _gamma_tail(z: Array, skew: Array) -> Array:
    """Chance beyond z on either side of a gamma law with mean 0, variance 1 and the skewness."""
    skew = np.maximum(skew, 1e-3)
    shape = 4.0 / skew**2
    upper = special.gammaincc(shape, np.maximum(shape + z * np.sqrt(shape), 0.0))
    lower = special.gammainc(shape, np.maximum(shape - z * np.sqrt(shape), 0.0))
    both: Array = upper + lower
    return both
