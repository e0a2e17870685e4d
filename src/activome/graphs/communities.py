"""Communities of units, kept only where they are more than chance puts together."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from activome._checks import check_integer, check_number
from activome._progress import Progress, silent
from activome._random import RandomState, make_generator
from activome.activity.independence import IndependentUnits
from activome.activity.statistics import monte_carlo_p
from activome.errors import ActivityError

if TYPE_CHECKING:
    import igraph

__all__ = ["Communities", "communities", "leiden_partition", "signed_modularity_matrix"]

Array = np.ndarray[Any, Any]
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Communities:
    """Communities of a functional network, and the test of them.

    Attributes
    ----------
    labels : xarray.DataArray of int, dims (unit,)
        Community of each unit, 0 the largest (ties: the one that holds the first unit). All 0 when
        the partition is not better than that of independent units. Constant units stand alone,
        after the others.
    n_communities : int
        Communities of the units that vary; 1 when there are none to tell apart.
    is_significant : bool
        Whether the partition is better than those of independent units, at alpha.
    p_value : float
        Of the partition.
    quality : float
        Weight within communities beyond what strengths alone make, in units of correlation.
    modularity : float
        The quality over the total weight, at most 1.
    null : ndarray of float64, shape (n_draws,)
        Qualities of the networks of shifted units.
    co_assignment : xarray.DataArray of float64, dims (unit, other)
        Share of the seeds that put two units together.
    stability : float
        Mean over pairs of seeds of the adjusted Rand index.
    """

    labels: xr.DataArray
    n_communities: int
    is_significant: bool
    p_value: float
    quality: float
    modularity: float
    null: Array
    co_assignment: xr.DataArray
    stability: float


def communities(
    activity: Any,
    *,
    resolution: float = 1.0,
    alpha: float = 0.05,
    n_seeds: int = 10,
    n_surrogates: int = 99,
    stop_after: int | None = 10,
    detrend: bool = True,
    shifts: str = "auto",
    random_state: RandomState = None,
    progress: Progress = silent,
) -> Communities:
    """Find communities in the correlations of an activity, and test them on shifted units.

    Leiden's algorithm [1]_ maximises the signed modularity [2]_: positive correlations within
    communities count for them, negative ones against. Every network has a partition of high
    modularity, one of noise too: so the same is done to networks of units that were each shifted in
    time by a lag of its own, and the partition is kept only when it is better than theirs. A
    rewired network would not do: correlations of independent slow units are no random graph.

    Parameters
    ----------
    activity : xarray.DataArray or array-like, shape (n_samples, n_units)
        An Activity, or plain numbers.
    resolution : float, default=1.0
        Weight of what is expected from the strengths; larger gives more and smaller communities.
    alpha : float in (0, 1), default=0.05
        Level: share of recordings of independent units in which communities are reported.
    n_seeds : int, default=10
        Runs of which the consensus is taken: the partition that agrees best with all of them on
        which pairs are together.
    n_surrogates : int, default=99
        Shifted recordings; the smallest p is ``1 / (1 + n_surrogates)``.
    stop_after : int or None, default=10
        Stop once this many surrogates have a better partition.
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
    Communities
        Labels, p-value, quality and its null, co-assignment over the seeds.

    Raises
    ------
    ActivityError
        If fewer than three units vary, there are fewer than 10 samples, or values are not finite.
    ParameterError
        If an option is outside its range.

    Notes
    -----
    The quality is not divided by the total weight for the test: noise, which has little weight,
    would have a high share of it within communities. The test is against independent units; a
    single drive common to all has strengths alone, and no quality beyond that of noise.

    References
    ----------
    .. [1] V. Traag, L. Waltman and N. van Eck, "From Louvain to Leiden: guaranteeing well-connected
       communities", 2019.
    .. [2] S. Gomez, P. Jensen and A. Arenas, "Analysis of community structure in networks of
       correlated data", 2009.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(0)
    >>> drive = generator.normal(size=(400, 2))
    >>> values = generator.normal(size=(400, 8)) + np.repeat(drive, [5, 3], axis=1)
    >>> found = communities(values, random_state=0)
    >>> found.labels.values.tolist(), found.p_value
    ([0, 0, 0, 0, 0, 1, 1, 1], 0.01)
    """
    import igraph  # Takes a second, for its pictures.

    owner = "communities"
    check_number(resolution, name="resolution", owner=owner, low=0.0)
    check_number(alpha, name="alpha", owner=owner, low=0.0, high=1.0)
    check_integer(n_seeds, name="n_seeds", owner=owner, low=1)
    check_integer(n_surrogates, name="n_surrogates", owner=owner, low=1)
    units = IndependentUnits(activity, owner=owner, detrend=detrend, shifts=shifts)
    if units.n_active < 3:
        raise ActivityError(
            f"{owner}: at least three units must vary; {units.n_active} of {units.active.size} do."
        )
    generator = make_generator(random_state)
    graph = igraph.Graph.Full(units.n_active)

    def quality_of(correlation: Array) -> float:
        matrix, _ = signed_modularity_matrix(correlation, resolution)
        return _quality(matrix, leiden_partition(matrix, generator, graph=graph))

    correlation = units.correlation()
    test = monte_carlo_p(
        # Surrogates are multiplied in single precision: a tie must not be lost to rounding.
        quality_of(correlation) * (1 - _ROUNDING),
        lambda: quality_of(units.surrogate(generator)),
        n_surrogates,
        stop_after=stop_after,
        progress=progress,
        task="communities",
    )
    matrix, total = signed_modularity_matrix(correlation, resolution)
    runs = np.stack([leiden_partition(matrix, generator, graph=graph) for _ in range(n_seeds)])
    together = (runs[:, :, np.newaxis] == runs[:, np.newaxis, :]).mean(axis=0)
    # Of all partitions, the one nearest to the seeds in the number of pairs put otherwise.
    consensus = leiden_partition(together - 0.5, generator, graph=graph)
    significant = test.p_value <= alpha
    labels = consensus if significant else np.zeros_like(consensus)
    quality = _quality(matrix, labels)
    return Communities(
        _all_labels(labels, units),
        int(labels.max()) + 1,
        bool(significant),
        test.p_value,
        quality,
        quality / total if total > 0 else 0.0,
        test.null,
        xr.DataArray(
            units.full(together, 0.0),
            dims=("unit", "other"),
            coords={"unit": units.names, "other": units.names},
        ),
        _mean_rand(runs),
    )


def signed_modularity_matrix(weights: Array, resolution: float = 1.0) -> tuple[Array, float]:
    """Return signed weights minus what the strengths of the nodes alone make.

    Parameters
    ----------
    weights : ndarray of float64, shape (n_units, n_units)
        Symmetric weights, positive and negative; the diagonal is ignored.
    resolution : float, default=1.0
        Weight of the expectation.

    Returns
    -------
    matrix : ndarray of float64, shape (n_units, n_units)
        Its sum over pairs in one community, both orders and the diagonal, is the quality.
    total : float
        Sum of absolute weights, by which the quality is the modularity.
    """
    off = weights - np.diag(np.diag(weights))
    matrix, total = off.copy(), 0.0
    for sign in (1.0, -1.0):
        strength = np.maximum(sign * off, 0.0).sum(axis=0)
        amount = float(strength.sum())
        if amount > 0:
            matrix -= sign * resolution * np.outer(strength, strength) / amount
            total += amount
    return matrix, total


def leiden_partition(
    matrix: Array, generator: np.random.Generator, *, graph: igraph.Graph | None = None
) -> Array:
    """Maximise the sum of a matrix over pairs within communities, by Leiden's algorithm.

    Parameters
    ----------
    matrix : ndarray of float64, shape (n_units, n_units)
        Symmetric gains of putting two units together, positive or negative.
    generator : numpy.random.Generator
        Source of the order of visits.
    graph : igraph.Graph, optional
        The full graph of that many nodes, when at hand.

    Returns
    -------
    ndarray of int64, shape (n_units,)
        Communities, 0 the largest; equal ones in the order of their first unit.
    """
    import igraph

    n = matrix.shape[0]
    full = igraph.Graph.Full(n) if graph is None else graph
    gains = matrix[np.triu_indices(n, 1)]
    igraph.set_random_number_generator(random.Random(int(generator.integers(2**31))))
    try:
        found = full.community_leiden(
            objective_function="CPM", weights=gains.tolist(), resolution=0.0, n_iterations=2
        )
    finally:
        igraph.set_random_number_generator(random)
    return _by_size(np.asarray(found.membership))


def _by_size(membership: Array) -> Array:
    _, first, codes, sizes = np.unique(
        membership, return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.empty(sizes.size, dtype=np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(sizes.size)
    ordered: Array = rank[codes]
    return ordered


def _quality(matrix: Array, labels: Array) -> float:
    member = (labels[:, np.newaxis] == np.arange(labels.max() + 1)).astype(np.float64)
    return float(np.einsum("ik,ij,jk->", member, matrix, member, optimize=True))


def _all_labels(labels: Array, units: IndependentUnits) -> xr.DataArray:
    everyone = np.empty(units.active.size, dtype=np.int64)
    everyone[units.active] = labels
    everyone[~units.active] = labels.max() + 1 + np.arange((~units.active).sum())
    return xr.DataArray(everyone, dims="unit", coords={"unit": units.names})


def _mean_rand(runs: Array) -> float:
    from sklearn.metrics import adjusted_rand_score

    pairs = [(a, b) for a in range(len(runs)) for b in range(a + 1, len(runs))]
    if not pairs:
        return 1.0
    return float(np.mean([adjusted_rand_score(runs[a], runs[b]) for a, b in pairs]))
