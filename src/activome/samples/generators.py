"""Spike counts with planted structure: ensembles, switching states, communities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from activome._checks import check_integer, check_number
from activome._random import RandomState, make_generator
from activome.activity.schema import Activity, make
from activome.errors import ParameterError

__all__ = [
    "CommunityTruth",
    "EnsembleTruth",
    "StateTruth",
    "communities",
    "ensembles",
    "states",
]

Array = np.ndarray[Any, Any]
_SOURCE = "activome.samples generator"


@dataclass(frozen=True)
class EnsembleTruth:
    """What ``ensembles`` planted.

    Attributes
    ----------
    weights : ndarray of float64, shape (n_ensembles, n_units)
        Counts per bin that an active ensemble adds to each unit.
    active : ndarray of bool, shape (n_times, n_ensembles)
        When each ensemble was active.
    baseline : ndarray of float64, shape (n_units,)
        Counts per bin of each unit without any ensemble.
    mean : ndarray of float64, shape (n_units,)
        Expected counts per bin.
    covariance : ndarray of float64, shape (n_units, n_units)
        Expected covariance of the counts of one bin.
    """

    weights: Array
    active: Array
    baseline: Array
    mean: Array
    covariance: Array


def ensembles(
    n_units: int = 60,
    n_ensembles: int = 4,
    *,
    n_times: int = 2000,
    size: int = 10,
    overlap: int = 0,
    baseline: float = 0.2,
    gain: float = 1.0,
    probability: float = 0.05,
    sampling_rate: float = 20.0,
    random_state: RandomState = None,
) -> tuple[Activity, EnsembleTruth]:
    """Generate counts in which groups of units are active together.

    Each ensemble k is active in each bin with probability p, independently: A_k(t). The count of
    unit u is Poisson with mean ``b_u + sum_k W_ku A_k(t)``, so that the mean over time is
    ``b + p sum_k W_k`` and the covariance ``diag(mean) + p (1 - p) W' W``. Baselines b_u are
    gamma-distributed with shape 4 around ``baseline``.

    Parameters
    ----------
    n_units, n_ensembles, n_times : int
        Sizes; default 60, 4 and 2000.
    size : int, default=10
        Units per ensemble.
    overlap : int in [0, size), default=0
        Units that each ensemble shares with the next one.
    baseline, gain : float
        Mean counts per bin outside any ensemble, and added by one; default 0.2 and 1.0.
    probability : float in (0, 1), default=0.05
        Share of bins in which an ensemble is active.
    sampling_rate : float, default=20.0
        Bins per second.
    random_state : int, Generator or None, default=None
        Seed.

    Returns
    -------
    activity : xarray.DataArray of int64
        Dims (time, unit).
    truth : EnsembleTruth
        What was planted.

    Raises
    ------
    ParameterError
        If a number is outside its range, or the ensembles do not fit into the units.

    Examples
    --------
    >>> a, truth = ensembles(20, 2, size=5, random_state=0)
    >>> a.shape, (truth.weights > 0).sum(axis=1).tolist()
    ((2000, 20), [5, 5])
    """
    owner = "samples.ensembles"
    counts = {"n_units": n_units, "n_ensembles": n_ensembles, "n_times": n_times, "size": size}
    for name, value in counts.items():
        check_integer(value, name=name, owner=owner, low=1)
    check_integer(overlap, name="overlap", owner=owner, low=0, high=size - 1)
    check_number(baseline, name="baseline", owner=owner, low=0.0, include_low=True)
    check_number(gain, name="gain", owner=owner, low=0.0)
    check_number(probability, name="probability", owner=owner, low=0.0, high=1.0)
    needed = n_ensembles * (size - overlap) + overlap
    if needed > n_units:
        raise ParameterError(
            f"{owner}: {n_ensembles} ensembles of {size} units that share {overlap} need {needed} "
            f"units; got n_units={n_units}. Choose smaller ensembles or more units."
        )
    rng = make_generator(random_state)
    order = rng.permutation(n_units)
    weights = np.zeros((n_ensembles, n_units))
    for k in range(n_ensembles):
        first = k * (size - overlap)
        weights[k, order[first : first + size]] = gain
    rest = rng.gamma(4.0, baseline / 4.0, n_units) if baseline else np.zeros(n_units)
    active = rng.random((n_times, n_ensembles)) < probability
    values = rng.poisson(rest + active @ weights)
    mean = rest + probability * weights.sum(axis=0)
    covariance = np.diag(mean) + probability * (1 - probability) * weights.T @ weights
    activity = make(
        values,
        sampling_rate=sampling_rate,
        kind="spikes",
        units="events per bin",
        source=_SOURCE,
        name="ensembles",
    )
    return activity, EnsembleTruth(weights, active, rest, mean, covariance)


@dataclass(frozen=True)
class StateTruth:
    """What ``states`` planted.

    Attributes
    ----------
    states : ndarray of int64, shape (n_trials, n_times)
        State of each sample.
    transition : ndarray of float64, shape (n_states, n_states)
        Probability of the next state (columns) after each state (rows).
    start : ndarray of float64, shape (n_states,)
        Probability of the first state; the stationary distribution.
    rates : ndarray of float64, shape (n_states, n_units)
        Expected counts per bin in each state.
    """

    states: Array
    transition: Array
    start: Array
    rates: Array


def states(
    n_units: int = 20,
    n_states: int = 3,
    *,
    n_times: int = 500,
    n_trials: int = 4,
    stay: float = 0.95,
    rate: float = 1.0,
    contrast: float = 1.0,
    sampling_rate: float = 20.0,
    random_state: RandomState = None,
) -> tuple[Activity, StateTruth]:
    """Generate counts of a population that switches between states.

    The state is a Markov chain: it stays with probability ``stay`` and else goes to any other
    state alike, from a first state drawn from the stationary (uniform) distribution; dwell times
    are geometric with mean ``1 / (1 - stay)`` bins. The count of unit u in state s is Poisson with
    mean ``rate * exp(contrast * z_su - contrast**2 / 2)``, z standard normal: ``rate`` on average.

    Parameters
    ----------
    n_units, n_states, n_times, n_trials : int
        Sizes; default 20, 3, 500 and 4.
    stay : float in [0, 1), default=0.95
        Probability to stay in a state for one more bin.
    rate : float, default=1.0
        Mean counts per bin.
    contrast : float, default=1.0
        Spread of the logarithm of the rates; 0 makes all states alike.
    sampling_rate : float, default=20.0
        Bins per second.
    random_state : int, Generator or None, default=None
        Seed.

    Returns
    -------
    activity : xarray.DataArray of int64
        Dims (trial, time, unit).
    truth : StateTruth
        What was planted.

    Raises
    ------
    ParameterError
        If a number is outside its range.

    Examples
    --------
    >>> a, truth = states(5, 2, n_times=6, n_trials=1, stay=0.5, random_state=0)
    >>> a.shape, truth.transition.tolist()
    ((1, 6, 5), [[0.5, 0.5], [0.5, 0.5]])
    """
    owner = "samples.states"
    sizes = {"n_units": n_units, "n_states": n_states, "n_times": n_times, "n_trials": n_trials}
    for name, value in sizes.items():
        check_integer(value, name=name, owner=owner, low=1)
    check_number(stay, name="stay", owner=owner, low=0.0, high=1.0, include_low=True)
    check_number(rate, name="rate", owner=owner, low=0.0)
    check_number(contrast, name="contrast", owner=owner, low=0.0, include_low=True)
    rng = make_generator(random_state)
    noise = rng.normal(size=(n_states, n_units))
    rates = rate * np.exp(contrast * noise - contrast**2 / 2)
    moves = rng.random((n_trials, n_times)) >= stay
    # A move adds 1 ... n_states - 1 to the state, all alike: any state but the present one.
    steps = rng.integers(1, max(n_states, 2), size=(n_trials, n_times)) * moves
    steps[:, 0] = rng.integers(0, n_states, size=n_trials)
    path = np.cumsum(steps, axis=1) % n_states
    transition = np.full((n_states, n_states), (1 - stay) / max(n_states - 1, 1))
    np.fill_diagonal(transition, stay if n_states > 1 else 1.0)
    activity = make(
        rng.poisson(rates[path]),
        sampling_rate=sampling_rate,
        kind="spikes",
        units="events per bin",
        source=_SOURCE,
        name="states",
    )
    return activity, StateTruth(path, transition, np.full(n_states, 1 / n_states), rates)


@dataclass(frozen=True)
class CommunityTruth:
    """What ``communities`` planted.

    Attributes
    ----------
    labels : ndarray of int64, shape (n_units,)
        Community of each unit.
    correlation : ndarray of float64, shape (n_units, n_units)
        Expected correlation of the units.
    """

    labels: Array
    correlation: Array


def communities(
    n_units: int = 60,
    n_communities: int = 4,
    *,
    n_times: int = 1000,
    within: float = 0.4,
    between: float = 0.05,
    sampling_rate: float = 10.0,
    random_state: RandomState = None,
) -> tuple[Activity, CommunityTruth]:
    """Generate Gaussian activity whose correlations form communities.

    With independent standard normal g(t), f_c(t) and e_u(t), unit u of community c is
    ``sqrt(between) g + sqrt(within - between) f_c + sqrt(1 - within) e_u``: unit variance,
    correlation ``within`` inside a community and ``between`` across. Communities have equal sizes
    up to one unit.

    Parameters
    ----------
    n_units, n_communities, n_times : int
        Sizes; default 60, 4 and 1000.
    within : float in [0, 1), default=0.4
        Correlation inside a community, at least ``between``.
    between : float in [0, 1), default=0.05
        Correlation across communities; equal to ``within`` there is no community.
    sampling_rate : float, default=10.0
        Samples per second.
    random_state : int, Generator or None, default=None
        Seed.

    Returns
    -------
    activity : xarray.DataArray of float64
        Dims (time, unit).
    truth : CommunityTruth
        What was planted.

    Raises
    ------
    ParameterError
        If a number is outside its range, or there are fewer units than communities.

    Examples
    --------
    >>> a, truth = communities(6, 2, within=0.5, between=0.0, random_state=0)
    >>> a.shape, np.bincount(truth.labels).tolist(), truth.correlation[0].sum().item()
    ((1000, 6), [3, 3], 2.0)
    """
    owner = "samples.communities"
    check_integer(n_communities, name="n_communities", owner=owner, low=1)
    check_integer(n_units, name="n_units", owner=owner, low=n_communities)
    check_integer(n_times, name="n_times", owner=owner, low=1)
    check_number(within, name="within", owner=owner, low=0.0, high=1.0, include_low=True)
    check_number(between, name="between", owner=owner, low=0.0, high=1.0, include_low=True)
    if between > within:
        raise ParameterError(
            f"{owner}: between must be at most within; got {between:g} and {within:g}."
        )
    rng = make_generator(random_state)
    labels = rng.permutation(np.arange(n_units) % n_communities)
    shared = rng.normal(size=(n_times, 1))
    common = rng.normal(size=(n_times, n_communities))[:, labels]
    own = rng.normal(size=(n_times, n_units))
    values = np.sqrt(between) * shared + np.sqrt(within - between) * common
    values = values + np.sqrt(1 - within) * own
    correlation = np.where(labels[:, np.newaxis] == labels, within, between)
    np.fill_diagonal(correlation, 1.0)
    activity = make(
        values, sampling_rate=sampling_rate, kind="feature", source=_SOURCE, name="communities"
    )
    return activity, CommunityTruth(labels, correlation)
