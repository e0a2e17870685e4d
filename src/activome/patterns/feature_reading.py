"""Reading features: where they are strongest, which words they write, which concept they follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_finite, check_integer
from activome.errors import ActivityError

__all__ = ["Context", "FeatureTokens", "concept_score", "feature_contexts", "feature_tokens"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Context:
    """A stretch of samples around one at which a component is strong.

    Attributes
    ----------
    sample : int
        The strong sample.
    value : float
        Its coefficient.
    start : int
        First sample of the stretch.
    labels : tuple
        Label of every sample of the stretch.
    values : ndarray, shape (n_samples_of_stretch,)
        Coefficients along the stretch.
    """

    sample: int
    value: float
    start: int
    labels: tuple[Any, ...]
    values: Array


@dataclass(frozen=True)
class FeatureTokens:
    """The words that a feature raises and lowers most.

    Attributes
    ----------
    raised, lowered : tuple of str
        Words, the most moved first.
    raised_logits, lowered_logits : ndarray of float64, shape (n_tokens,)
        By how much a feature of unit length moves their logits.
    """

    raised: tuple[str, ...]
    lowered: tuple[str, ...]
    raised_logits: Array
    lowered_logits: Array


def feature_contexts(
    coef: ArrayLike,
    labels: Sequence[Any] | None = None,
    *,
    component: int,
    n_contexts: int = 10,
    window: int = 15,
    min_gap: int = 1,
    sequence: ArrayLike | None = None,
) -> list[Context]:
    """Return the stretches in which a component is strongest.

    Parameters
    ----------
    coef : array-like of float, shape (n_samples, n_components)
        Coefficients, at least 0, of samples in order.
    labels : sequence, shape (n_samples,), optional
        What each sample is, such as its token or its time in s; by default its number.
    component : int
        Which component.
    n_contexts : int, default=10
        Most stretches.
    window : int, default=15
        Samples per stretch, the strong one in the middle; stretches are cut at ends of sequences.
    min_gap : int, default=1
        Least distance in samples between two strong samples of one sequence. With 1 neighbours may
        both be taken; slow recordings want the length of an event.
    sequence : array-like, shape (n_samples,), optional
        Prompt or trial of each sample; stretches do not reach across.

    Returns
    -------
    list of Context
        The strongest first; samples at which the component is 0 are not taken.

    Raises
    ------
    ActivityError
        If the coefficients are not finite numbers (n_samples, n_components), or ``labels`` or
        ``sequence`` has another length.
    ParameterError
        If ``component`` does not exist, or a count is below 1.

    Examples
    --------
    >>> words = "on monday we met on friday".split()
    >>> coef = [[0.0], [3.0], [0.0], [0.0], [0.0], [2.0]]
    >>> for context in feature_contexts(coef, words, component=0, window=3):
    ...     print(context.value, " ".join(context.labels))
    3.0 on monday we
    2.0 on friday
    """
    owner = "feature_contexts"
    table = _table(coef, owner)
    n_samples, n_components = table.shape
    check_integer(component, name="component", owner=owner, low=0, high=n_components - 1)
    check_integer(n_contexts, name="n_contexts", owner=owner, low=1)
    check_integer(window, name="window", owner=owner, low=1)
    check_integer(min_gap, name="min_gap", owner=owner, low=1)
    names: Any = range(n_samples) if labels is None else labels
    if len(names) != n_samples:
        raise ActivityError(
            f"{owner}: labels must name each of the {n_samples} samples; got {len(names)}."
        )
    part = np.zeros(n_samples, dtype=np.int64) if sequence is None else np.asarray(sequence)
    if part.shape != (n_samples,):
        raise ActivityError(
            f"{owner}: sequence must have one entry per sample, shape ({n_samples},); got "
            f"{part.shape}."
        )
    first, last = _bounds(part)
    values = table[:, component]
    found: list[Context] = []
    is_free = values > 0
    for i in np.argsort(-values, kind="stable"):
        if len(found) == n_contexts or values[i] <= 0:
            break
        if not is_free[i]:
            continue
        near = slice(max(first[i], i - min_gap + 1), min(last[i], i + min_gap))
        is_free[near] = False
        left = (window - 1) // 2
        start, stop = max(first[i], i - left), min(last[i], i - left + window)
        stretch = tuple(names[j] for j in range(start, stop))
        found.append(
            Context(int(i), float(values[i]), int(start), stretch, values[start:stop].copy())
        )
    return found


def _bounds(part: Array) -> tuple[Array, Array]:
    """Return first and one past last sample of the run that each sample is in."""
    changes = np.flatnonzero(part[1:] != part[:-1]) + 1
    edges = np.concatenate([[0], changes, [part.size]])
    run = np.repeat(np.arange(edges.size - 1), np.diff(edges))
    return edges[run], edges[run + 1]


def feature_tokens(
    feature: ArrayLike,
    output_weight: ArrayLike,
    unembedding: ArrayLike,
    vocabulary: Sequence[str],
    *,
    n_tokens: int = 10,
) -> FeatureTokens:
    """Project a feature of MLP neurons on the vocabulary, through the output matrix of the MLP.

    The logits ``unembedding @ output_weight @ feature / |feature|`` say what the feature writes
    when it is on. Its sign has a meaning: lowered words are not what the feature is about with the
    sign turned, they are what it argues against.

    Parameters
    ----------
    feature : array-like of float, shape (n_units,)
        A row of ``SemiNMF.components_``.
    output_weight : array-like of float, shape (n_residual, n_units)
        Output matrix of the MLP, from neurons to the residual stream.
    unembedding : array-like of float, shape (n_words, n_residual)
        From the residual stream to logits; fold the gain of the last norm in.
    vocabulary : sequence of str, shape (n_words,)
        The words.
    n_tokens : int, default=10
        Words per side, at most all.

    Returns
    -------
    FeatureTokens
        Words and logits of both sides.

    Raises
    ------
    ActivityError
        If the shapes do not fit each other, a value is not finite, or the feature is all zero.
    ParameterError
        If ``n_tokens`` is below 1.

    Examples
    --------
    >>> import numpy as np
    >>> words = feature_tokens([2.0, 0.0], np.eye(2), [[1.0, 0], [0, 1.0], [-1.0, 0]],
    ...                        ["yes", "well", "no"], n_tokens=1)
    >>> words.raised, words.lowered, words.raised_logits.tolist()
    (('yes',), ('no',), [1.0])
    """
    owner = "feature_tokens"
    check_integer(n_tokens, name="n_tokens", owner=owner, low=1)
    direction = np.asarray(feature, dtype=np.float64)
    weight = np.asarray(output_weight, dtype=np.float64)
    words = np.asarray(unembedding, dtype=np.float64)
    expected = (len(vocabulary), weight.shape[0]) if weight.ndim == 2 else None
    if direction.ndim != 1 or weight.shape[1:] != direction.shape or words.shape != expected:
        raise ActivityError(
            f"{owner}: feature (n_units,), output_weight (n_residual, n_units) and unembedding "
            f"(n_words, n_residual) must fit, with {len(vocabulary)} words; got {direction.shape}, "
            f"{weight.shape} and {words.shape}. Transpose what is the other way round."
        )
    for array, name in ((direction, "feature"), (weight, "output_weight"), (words, "unembedding")):
        check_finite(array, owner=owner, axes=("row", "column")[: array.ndim], what=name)
    length = np.linalg.norm(direction)
    if length == 0:
        raise ActivityError(f"{owner}: the feature must not be all zero. It died in the fit.")
    logits = words @ (weight @ (direction / length))
    order = np.argsort(-logits, kind="stable")
    up, down = order[:n_tokens], order[::-1][:n_tokens]
    return FeatureTokens(
        tuple(vocabulary[i] for i in up),
        tuple(vocabulary[i] for i in down),
        logits[up],
        logits[down],
    )


def concept_score(coef: ArrayLike, is_concept: ArrayLike) -> Array:
    """Return how much more each component is used on a concept than elsewhere.

    The logarithm of the mean coefficient on samples of the concept over that on the others: above 0
    the component follows the concept, below 0 it avoids it.

    Parameters
    ----------
    coef : array-like of float, shape (n_samples, n_components)
        Coefficients, at least 0.
    is_concept : array-like of bool, shape (n_samples,)
        Which samples are of the concept; the others are neutral.

    Returns
    -------
    ndarray of float64, shape (n_components,)
        In nats. Infinite where a component is used on one side alone, 0 where it is never used.

    Raises
    ------
    ActivityError
        If the coefficients are negative or not finite, ``is_concept`` is not boolean with one entry
        per sample, or one of the two sides has no sample.

    Examples
    --------
    >>> score = concept_score([[4.0, 1.0], [4.0, 1.0], [1.0, 1.0]], [True, True, False])
    >>> score.round(3).tolist()
    [1.386, 0.0]
    """
    owner = "concept_score"
    table = _table(coef, owner)
    if (table < 0).any():
        raise ActivityError(
            f"{owner}: coefficients must be at least 0; the smallest is {table.min():g}. Use those "
            "of SemiNMF, not the activity."
        )
    mask = np.asarray(is_concept)
    if mask.shape != table.shape[:1] or mask.dtype != bool:
        raise ActivityError(
            f"{owner}: is_concept must be boolean of shape ({table.shape[0]},); got {mask.dtype} "
            f"{mask.shape}."
        )
    if mask.all() or not mask.any():
        raise ActivityError(
            f"{owner}: there must be samples of the concept and neutral ones; {int(mask.sum())} of "
            f"{mask.size} are of the concept."
        )
    on, off = table[mask].mean(axis=0), table[~mask].mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.log(on) - np.log(off)
    return np.where((on == 0) & (off == 0), 0.0, score)


def _table(coef: ArrayLike, owner: str) -> Array:
    table = np.asarray(coef, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise ActivityError(
            f"{owner}: coefficients must be (n_samples, n_components), not empty; got shape "
            f"{table.shape}."
        )
    check_finite(table, owner=owner, axes=("sample", "component"), what="coefficients")
    return table
