"""How often a dendritic segment that samples a sparse code detects wrongly, or misses."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from activome._checks import check_choice, check_integer, check_number
from activome.errors import ParameterError
from activome.networks._overlap_laws import (
    binomial_tails,
    log_overlap,
    overlap_tails,
    union_sizes,
)

__all__ = [
    "OptimalThreshold",
    "false_match_probability",
    "false_negative_probability",
    "optimal_threshold",
    "overlap_pmf",
    "union_false_match_probability",
]

Array = np.ndarray[Any, Any]
NOISE_MODELS = ("replace", "drop", "bernoulli")
# Below this share of the cells, random sets hardly overlap, and their union is their sum.
_SPARSE_UNION = 1e-3
_LARGEST = 2**53


class OptimalThreshold(NamedTuple):
    """The threshold with the fewest errors.

    Attributes
    ----------
    theta : int
        Synapses that must be active.
    error : float
        ``prior * false_negative + (1 - prior) * false_match``.
    false_match : float
        Chance that a random pattern matches.
    false_negative : float
        Chance that a stored pattern with noise does not.
    """

    theta: int
    error: float
    false_match: float
    false_negative: float


def overlap_pmf(n: int, a: int, s: int) -> Array:
    """Return the law of the overlap of a random pattern with a set of synapses.

    ``P(b) = C(s, b) C(n - s, a - b) / C(n, a)``: of n cells a random set of a is active, and s of
    the n are sampled.

    Parameters
    ----------
    n : int
        Cells.
    a : int
        Active cells.
    s : int
        Sampled cells.

    Returns
    -------
    ndarray of float64, shape (min(a, s) + 1,)
        Probabilities of overlaps 0, 1, 2 ...

    Raises
    ------
    ParameterError
        If a count is negative, no integer, or above n.

    Examples
    --------
    >>> overlap_pmf(4, 2, 2).round(4).tolist()
    [0.1667, 0.6667, 0.1667]
    """
    sizes = [
        _counts(value, name, "overlap_pmf", 0) for value, name in ((n, "n"), (a, "a"), (s, "s"))
    ]
    _check_fits(sizes[0], sizes[1], sizes[2], "overlap_pmf")
    pmf: Array = np.exp(log_overlap(*(value.reshape(1) for value in sizes))[0])
    return pmf


def false_match_probability(
    n: ArrayLike, a: ArrayLike, s: ArrayLike, theta: ArrayLike, *, log: bool = False
) -> Any:
    """Return the chance that a random pattern reaches the threshold of a segment.

    Parameters
    ----------
    n : int or array-like of int, any shape
        Cells.
    a : int or array-like of int, any shape
        Active cells; for a << n the chance falls as ``C(s, theta) (a / n)**theta``.
    s : int or array-like of int, any shape
        Synapses, on distinct cells.
    theta : int or array-like of int, any shape
        Active synapses that make a match, from 1 to s.
    log : bool, default=False
        Return the natural logarithm, which does not underflow.

    Returns
    -------
    float, or ndarray of float64 with the shape that the arguments broadcast to
        The chance.

    Raises
    ------
    ParameterError
        If a count is no integer or outside its range, or a threshold is above s.

    Notes
    -----
    Summed in log space, each law once: a grid of thresholds costs as much as one.

    References
    ----------
    .. [1] S. Ahmad and J. Hawkins, "How do neurons operate on sparse distributed representations?
       A mathematical theory of sparsity, neurons and active dendrites", 2016.

    Examples
    --------
    >>> f"{false_match_probability(100_000, 2000, 20, 10):.4g}"
    '1.542e-12'
    """
    owner = "false_match_probability"
    arrays = np.broadcast_arrays(
        *(_counts(v, k, owner, 0) for v, k in ((n, "n"), (a, "a"), (s, "s"), (theta, "theta")))
    )
    _check_fits(arrays[0], arrays[1], arrays[2], owner)
    _check_threshold(arrays[3], arrays[2], owner)
    upper, _ = overlap_tails(*(array.reshape(-1) for array in arrays))
    return _given(upper.reshape(arrays[0].shape), log)


def false_negative_probability(
    n: int,
    a: int,
    s: int,
    theta: ArrayLike,
    noise: float,
    *,
    model: str = "replace",
    log: bool = False,
) -> Any:
    """Return the chance that a stored pattern, shown with noise, stays below the threshold.

    Parameters
    ----------
    n : int
        Cells.
    a : int
        Active cells.
    s : int
        Synapses, at most a: they are on cells of the pattern.
    theta : int or array-like of int, any shape
        Thresholds, from 1 to s.
    noise : float in [0, 1]
        Share of the active cells (not of all cells) that are wrong.
    model : {"replace", "drop", "bernoulli"}, default="replace"
        ``round(noise * a)`` active cells are swapped for random inactive ones, or are silent, or
        each is silent with this chance by itself. The first two have one law, since no synapse is
        outside the pattern.
    log : bool, default=False
        Return the natural logarithm.

    Returns
    -------
    float, or ndarray of float64 of the shape of ``theta``
        The chance.

    Raises
    ------
    ParameterError
        If a count or the noise is outside its range, s is above a, or the model is unknown.

    Examples
    --------
    >>> round(false_negative_probability(1000, 10, 4, 3, 0.5), 4)
    0.7381
    """
    owner = "false_negative_probability"
    check_choice(model, NOISE_MODELS, name="model", owner=owner)
    check_number(
        noise, name="noise", owner=owner, low=0.0, high=1.0, include_low=True, include_high=True
    )
    sizes = [int(_counts(v, k, owner, 0)) for v, k in ((n, "n"), (a, "a"), (s, "s"))]
    _check_fits(np.asarray(sizes[0]), np.asarray(sizes[1]), np.asarray(sizes[2]), owner)
    if sizes[2] > sizes[1]:
        raise ParameterError(
            f"{owner}: the {sizes[2]} synapses must be on active cells of the pattern, of which "
            f"there are {sizes[1]}. Take fewer synapses."
        )
    thresholds = _counts(theta, "theta", owner, 0)
    _check_threshold(thresholds, np.asarray(sizes[2]), owner)
    flat = thresholds.reshape(-1)
    if model == "bernoulli":
        lower = binomial_tails(sizes[2], 1.0 - noise, flat)[1]
    else:
        kept = sizes[1] - int(np.floor(noise * sizes[1] + 0.5))
        a_all, a_kept, synapses = (np.full(flat.size, k) for k in (sizes[1], kept, sizes[2]))
        lower = overlap_tails(a_all, a_kept, synapses, flat)[1]
    return _given(lower.reshape(thresholds.shape), log)


def union_false_match_probability(
    n: int,
    a: int,
    s: int,
    theta: ArrayLike,
    n_patterns: int,
    *,
    exact: bool = True,
    log: bool = False,
) -> Any:
    """Return the chance of a wrong match of a segment that stores several patterns.

    Each pattern brings s synapses; the segment matches where theta of all of them are active.

    Parameters
    ----------
    n : int
        Cells.
    a : int
        Active cells of the pattern that is shown.
    s : int
        Synapses per stored pattern.
    theta : int or array-like of int, any shape
        Thresholds, from 1 to s.
    n_patterns : int
        Stored patterns.
    exact : bool, default=True
        Average over the number of distinct synapses (our choice; where the patterns take less than
        a thousandth of the cells the sum is used, which agrees to three digits); else count
        ``n_patterns * s``, at most n, an upper bound.
    log : bool, default=False
        Return the natural logarithm.

    Returns
    -------
    float, or ndarray of float64 of the shape of ``theta``
        The chance.

    Raises
    ------
    ParameterError
        If a count is no integer or outside its range.

    Examples
    --------
    >>> f"{union_false_match_probability(100_000, 2000, 20, 10, 4, exact=False):.4g}"
    '4.626e-06'
    """
    owner = "union_false_match_probability"
    sizes = [int(_counts(v, k, owner, 0)) for v, k in ((n, "n"), (a, "a"), (s, "s"))]
    _check_fits(np.asarray(sizes[0]), np.asarray(sizes[1]), np.asarray(sizes[2]), owner)
    check_integer(n_patterns, name="n_patterns", owner=owner, low=1)
    thresholds = _counts(theta, "theta", owner, 0)
    _check_threshold(thresholds, np.asarray(sizes[2]), owner)
    flat = thresholds.reshape(-1)
    size, chance = np.array([min(sizes[0], n_patterns * sizes[2])]), np.ones(1)
    if exact and n_patterns * sizes[2] >= _SPARSE_UNION * sizes[0]:
        size, chance = union_sizes(sizes[0], sizes[2], int(n_patterns))
    grid = np.broadcast_arrays(sizes[0], sizes[1], size[:, np.newaxis], flat)
    upper = overlap_tails(*(array.reshape(-1) for array in grid))[0].reshape(size.size, -1)
    mean = special.logsumexp(upper + np.log(chance)[:, np.newaxis], axis=0)
    return _given(np.minimum(mean, 0.0).reshape(thresholds.shape), log)


def optimal_threshold(
    n: int,
    a: int,
    s: int,
    *,
    noise: float = 0.3,
    n_patterns: int = 1,
    prior: float = 0.5,
    max_false_match: float | None = None,
) -> OptimalThreshold:
    """Return the threshold with the fewest wrong matches and misses together.

    Parameters
    ----------
    n : int
        Cells.
    a : int
        Active cells.
    s : int
        Synapses per stored pattern.
    noise : float in [0, 1], default=0.3
        Share of the active cells of a stored pattern that are replaced.
    n_patterns : int, default=1
        Patterns stored on the segment.
    prior : float in (0, 1), default=0.5
        Chance that a pattern shown is a stored one; lower for a detector of rare events.
    max_false_match : float in (0, 1), optional
        Largest chance of a wrong match to accept.

    Returns
    -------
    OptimalThreshold
        Threshold and errors; the lowest threshold of equals.

    Raises
    ------
    ParameterError
        If a parameter is outside its range, or no threshold keeps ``max_false_match``.

    Notes
    -----
    What other patterns of the segment add to the overlap of a stored one is left out, which makes
    misses somewhat rarer than stated.

    Examples
    --------
    >>> optimal_threshold(200_000, 2000, 30, noise=0.2, n_patterns=5).theta
    12
    """
    owner = "optimal_threshold"
    check_number(prior, name="prior", owner=owner, low=0.0, high=1.0)
    check_integer(s, name="s", owner=owner, low=1)
    theta = np.arange(1, s + 1)
    wrong = union_false_match_probability(n, a, s, theta, n_patterns, log=True)
    missed = false_negative_probability(n, a, s, theta, noise, log=True)
    error = np.logaddexp(np.log(prior) + missed, np.log1p(-prior) + wrong)
    if max_false_match is not None:
        limit = check_number(
            max_false_match, name="max_false_match", owner=owner, low=0.0, high=1.0
        )
        error = np.where(wrong <= np.log(limit), error, np.inf)
        if np.isinf(error).all():
            raise ParameterError(
                f"{owner}: no threshold up to {s} keeps wrong matches below {limit:g}; the highest "
                f"gives {np.exp(wrong[-1]):.3g}. Take more synapses."
            )
    best = int(np.argmin(error))
    found = (float(np.exp(values[best])) for values in (error, wrong, missed))
    return OptimalThreshold(int(theta[best]), *found)


def _counts(value: ArrayLike, name: str, owner: str, low: int) -> Array:
    array = np.asarray(value)
    if array.dtype.kind not in "iu" or (
        array.size and (array.min() < low or array.max() > _LARGEST)
    ):
        raise ParameterError(
            f"{owner}: {name} must be whole numbers from {low} to 2**53; got {value!r}."
        )
    return array.astype(np.int64)


def _check_fits(n: Array, a: Array, s: Array, owner: str) -> None:
    for name, count in (("a", a), ("s", s)):
        if np.any(count > n):
            raise ParameterError(
                f"{owner}: {name} must be at most n, the number of cells; got {np.max(count)} of "
                f"{np.min(n)}."
            )


def _check_threshold(theta: Array, s: Array, owner: str) -> None:
    if np.any(theta < 1):
        raise ParameterError(f"{owner}: theta must be at least 1; got {np.min(theta)}.")
    if np.any(theta > s):
        raise ParameterError(
            f"{owner}: theta must be at most s, {np.min(s)}; got {np.max(theta)}, which never "
            "matches."
        )


def _given(logs: Array, log: bool) -> Any:
    values = logs if log else np.exp(logs)
    return float(values) if values.ndim == 0 else values
