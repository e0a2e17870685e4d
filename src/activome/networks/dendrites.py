"""How often a dendritic segment that samples a sparse code detects wrongly, or misses."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_choice, check_integer, check_number
from activome.errors import ParameterError
from activome.networks._overlap_inputs import (
    check_fits,
    check_table,
    check_threshold,
    counts,
    sizes_of,
)
from activome.networks._overlap_laws import (
    binomial_tails,
    log_overlap,
    overlap_tails,
    union_tails,
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
    ResourceError
        If a law would take more than 2 GiB.

    Examples
    --------
    >>> overlap_pmf(4, 2, 2).round(4).tolist()
    [0.1667, 0.6667, 0.1667]
    """
    sizes = sizes_of(n, a, s, "overlap_pmf")
    pmf: Array = np.exp(log_overlap(*(np.array([size]) for size in sizes))[0])
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
        If a count is no integer or outside its range, a threshold is above s, or shapes do not
        broadcast.
    ResourceError
        If a law would take more than 2 GiB.

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
    given = [counts(v, k, owner, 0) for v, k in ((n, "n"), (a, "a"), (s, "s"), (theta, "theta"))]
    try:
        arrays = np.broadcast_arrays(*given)
    except ValueError:
        raise ParameterError(
            f"{owner}: n, a, s and theta must have shapes that broadcast; got "
            f"{', '.join(str(array.shape) for array in given)}. Add axes of length 1."
        ) from None
    check_fits(arrays[0], arrays[1], arrays[2], owner)
    check_threshold(arrays[3], arrays[2], owner)
    check_table(owner, float(np.minimum(arrays[1], arrays[2]).max(initial=0)))
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
        If a count or the noise is outside its range, s is above a, the model is unknown, or there
        are fewer inactive cells than active ones to swap.
    ResourceError
        If a law would take more than 2 GiB.

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
    sizes = sizes_of(n, a, s, owner)
    if sizes[2] > sizes[1]:
        raise ParameterError(
            f"{owner}: the {sizes[2]} synapses must be on active cells of the pattern, of which "
            f"there are {sizes[1]}. Take fewer synapses."
        )
    thresholds = counts(theta, "theta", owner, 0)
    check_threshold(thresholds, np.asarray(sizes[2]), owner)
    flat = thresholds.reshape(-1)
    if model == "bernoulli":
        lower = binomial_tails(sizes[2], 1.0 - noise, flat)[1]
    else:
        wrong = int(np.floor(noise * sizes[1] + 0.5))
        if model == "replace" and wrong > sizes[0] - sizes[1]:
            raise ParameterError(
                f"{owner}: {wrong} active cells cannot be swapped for the {sizes[0] - sizes[1]} "
                'inactive ones. Take less noise, or model="drop".'
            )
        kept = sizes[1] - wrong
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
        Average over the unions of random synapses (our choice); else count ``n_patterns * s``
        distinct synapses, at most n, an upper bound.
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
    ResourceError
        If a law would take more than 2 GiB.

    Examples
    --------
    >>> f"{union_false_match_probability(100_000, 2000, 20, 10, 4, exact=False):.4g}"
    '4.626e-06'
    """
    owner = "union_false_match_probability"
    sizes = sizes_of(n, a, s, owner)
    n_sets = check_integer(n_patterns, name="n_patterns", owner=owner, low=1)
    thresholds = counts(theta, "theta", owner, 0)
    check_threshold(thresholds, np.asarray(sizes[2]), owner)
    flat = thresholds.reshape(-1)
    if exact and n_sets > 1:
        most = int(flat.max(initial=0))
        # The chain of the union, a copy of it, and the law of one more set from each state.
        check_table(owner, 3.0 * most**2 + float(most) * min(sizes[1], sizes[2]))
        logs = union_tails(*sizes, n_sets, flat)
    else:
        union = min(sizes[0], n_sets * sizes[2])
        check_table(owner, min(sizes[1], union))
        grid = np.broadcast_arrays(sizes[0], sizes[1], union, flat)
        logs = overlap_tails(*grid)[0]
    return _given(logs.reshape(thresholds.shape), log)


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
        Share of the active cells of a stored pattern that are wrong.
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
    ResourceError
        If a law would take more than 2 GiB.

    Notes
    -----
    What other patterns of the segment add to the overlap of a stored one is left out: misses are
    rarer than stated, by little where ``n_patterns s a`` is far below ``n theta``.

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
    # The law of "replace" too, and it does not ask for inactive cells to swap with.
    missed = false_negative_probability(n, a, s, theta, noise, model="drop", log=True)
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


def _given(logs: Array, log: bool) -> Any:
    values = logs if log else np.exp(logs)
    return float(values) if values.ndim == 0 else values
