"""How many dimensions a population uses: participation ratio and parallel analysis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg

from activome._checks import check_integer, check_number
from activome._progress import Progress, silent
from activome._random import RandomState, make_generator
from activome.activity.bootstrap import Interval
from activome.activity.independence import IndependentUnits
from activome.activity.statistics import monte_carlo_p
from activome.errors import ActivityError
from activome.geometry.participation import (
    participation_interval,
    participation_ratio,
    sample_matrix,
)

__all__ = [
    "Dimensionality",
    "ParallelAnalysis",
    "dimensionality",
    "parallel_analysis",
    "participation_interval",
    "participation_ratio",
]

Array = np.ndarray[Any, Any]
_ROUNDING = 1e-6


@dataclass(frozen=True)
class ParallelAnalysis:
    """Components that carry more variance than those of units that are independent.

    Attributes
    ----------
    n_components : int
        Leading components above the null, one after the other; 0 when the first is not.
    p_value : float
        Of the first component: that the units share anything.
    p_values : ndarray of float64, shape (n_units,)
        Of each component, against the component of the same rank under the null.
    eigenvalues : ndarray of float64, shape (n_units,)
        Of the correlation matrix, largest first; 0 for constant units.
    null : ndarray of float64, shape (n_draws, n_units)
        The same for shifted units.
    threshold : ndarray of float64, shape (n_units,)
        The ``1 - alpha`` quantile of the null of each component.
    alpha : float
        Level.
    """

    n_components: int
    p_value: float
    p_values: Array
    eigenvalues: Array
    null: Array
    threshold: Array
    alpha: float


@dataclass(frozen=True)
class Dimensionality:
    """The dimensionality of a population in one place.

    Attributes
    ----------
    participation : Interval
        Participation ratio with its bootstrap interval.
    parallel : ParallelAnalysis
        Components above the null.
    explained : ndarray of float64, shape (n_units,)
        Share of the variance of each principal component, largest first; they add up to 1.
    n_samples, n_units : int
        Size of the recording.
    """

    participation: Interval
    parallel: ParallelAnalysis
    explained: Array
    n_samples: int
    n_units: int


def parallel_analysis(
    activity: Any,
    *,
    alpha: float = 0.05,
    n_surrogates: int = 99,
    stop_after: int | None = 10,
    detrend: bool = True,
    shifts: str = "auto",
    random_state: RandomState = None,
    progress: Progress = silent,
) -> ParallelAnalysis:
    """Count the components with more variance than those of independently shifted units.

    The eigenvalues of the correlation matrix are compared, rank by rank, with those of units that
    were each shifted in time by a lag of its own [1]_: what a unit's own autocorrelation makes up
    is then in the null as well, which shuffled samples do not give.

    Parameters
    ----------
    activity : xarray.DataArray or array-like, shape (n_samples, n_units)
        An Activity, or plain numbers.
    alpha : float in (0, 1), default=0.05
        Level: share of recordings of independent units in which a component is reported.
    n_surrogates : int, default=99
        Shifted recordings; the smallest p is ``1 / (1 + n_surrogates)``.
    stop_after : int or None, default=10
        Stop once this many surrogates have a larger first component: there is then none to report.
    detrend : bool, default=True
        Take the ramp out of slowly drifting units.
    shifts : {"auto", "time", "trial"}, default="auto"
        What is shifted, see ``IndependentUnits``.
    random_state : int, Generator or None
        Seed.
    progress : Progress, default=silent
        Told of each surrogate.

    Returns
    -------
    ParallelAnalysis
        Number of components, p-values, eigenvalues and their null.

    Raises
    ------
    ActivityError
        If there are fewer than 10 samples, values are not finite, or fewer than two units vary.
    ParameterError
        If an option is outside its range.

    Notes
    -----
    A strong first component leaves less variance to the others than the null has: later components
    are counted with caution. One surrogate costs one Gram matrix (in float32) and its eigenvalues.

    References
    ----------
    .. [1] J. Horn, "A rationale and test for the number of factors in factor analysis", 1965.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(0)
    >>> values = generator.normal(size=(500, 8)) + generator.normal(size=(500, 1))
    >>> found = parallel_analysis(values, random_state=0)
    >>> found.n_components, found.p_value
    (1, 0.01)
    """
    owner = "parallel_analysis"
    check_number(alpha, name="alpha", owner=owner, low=0.0, high=1.0)
    check_integer(n_surrogates, name="n_surrogates", owner=owner, low=1)
    units = IndependentUnits(activity, owner=owner, detrend=detrend, shifts=shifts)
    if units.n_active < 2:
        raise ActivityError(
            f"{owner}: at least two units must vary; {units.n_active} of {units.active.size} do."
        )
    generator = make_generator(random_state)
    observed = _descending(units.correlation())
    spectra: list[Array] = []

    def draw() -> float:
        spectra.append(_descending(units.surrogate(generator)))
        return float(spectra[-1][0])

    # Surrogates are multiplied in single precision: a tie must not be lost to rounding.
    reference = observed * (1 - _ROUNDING)
    first = monte_carlo_p(
        float(reference[0]),
        draw,
        n_surrogates,
        stop_after=stop_after,
        progress=progress,
        task="parallel analysis",
    )
    null = np.stack(spectra)
    p_values = (1 + (null >= reference).sum(axis=0)) / (1 + len(null))
    p_values[0] = first.p_value
    above = p_values <= alpha
    n_components = int(above.size if above.all() else np.argmin(above))
    quantile = np.quantile(null, 1 - alpha, axis=0, method="higher")
    silent_units = units.active.size - units.n_active
    return ParallelAnalysis(
        n_components,
        first.p_value,
        np.pad(p_values, (0, silent_units), constant_values=1.0),
        np.pad(observed, (0, silent_units)),
        np.pad(null, ((0, 0), (0, silent_units))),
        np.pad(quantile, (0, silent_units)),
        alpha,
    )


def _descending(matrix: Array) -> Array:
    return np.asarray(linalg.eigvalsh(matrix, check_finite=False))[::-1]


def dimensionality(
    activity: Any,
    *,
    alpha: float = 0.05,
    n_surrogates: int = 99,
    n_bootstraps: int = 200,
    random_state: RandomState = None,
    progress: Progress = silent,
) -> Dimensionality:
    """Summarise the dimensionality: participation ratio, components above chance, variance.

    Parameters
    ----------
    activity : xarray.DataArray or array-like, shape (n_samples, n_units)
        An Activity, or plain numbers.
    alpha : float in (0, 1), default=0.05
        Level of the parallel analysis; the interval covers ``1 - alpha``.
    n_surrogates : int, default=99
        Shifted recordings of the parallel analysis.
    n_bootstraps : int, default=200
        Resamplings of the interval.
    random_state : int, Generator or None
        Seed.
    progress : Progress, default=silent
        Told of each surrogate.

    Returns
    -------
    Dimensionality
        All of it.

    Raises
    ------
    ActivityError
        If there are fewer than 10 samples, values are not finite, or fewer than two units vary.
    ParameterError
        If an option is outside its range.

    Examples
    --------
    >>> import numpy as np
    >>> found = dimensionality(np.random.default_rng(1).normal(size=(300, 5)), random_state=0)
    >>> found.parallel.n_components, found.n_units
    (0, 5)
    """
    generator = make_generator(random_state)
    parallel = parallel_analysis(
        activity, alpha=alpha, n_surrogates=n_surrogates, random_state=generator, progress=progress
    )
    participation = participation_interval(
        activity, level=1 - alpha, n_bootstraps=n_bootstraps, random_state=generator
    )
    values = sample_matrix(activity, "dimensionality")
    variance = np.maximum(_descending(np.atleast_2d(np.cov(values, rowvar=False))), 0.0)
    return Dimensionality(
        participation, parallel, variance / variance.sum(), values.shape[0], values.shape[1]
    )
