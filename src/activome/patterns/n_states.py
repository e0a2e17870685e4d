"""Number of hidden states by the likelihood of stretches of time that were held out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from sklearn.base import clone

from activome._checks import check_integer
from activome._progress import Progress, silent
from activome.activity.stacking import to_sequences
from activome.errors import ActivityError, ConvergenceWarning, ParameterError

__all__ = ["StatesResult", "choose_n_states"]

Array = np.ndarray[Any, Any]
_OWNER = "choose_n_states"


@dataclass(frozen=True)
class StatesResult:
    """How well each number of states predicts what was held out.

    Attributes
    ----------
    n_states : int
        The number chosen.
    candidates : ndarray of int64, shape (n_candidates,)
        Numbers that were tried, increasing.
    score : ndarray of float64, shape (n_candidates, n_folds)
        Held-out log likelihood, as ``score`` of the estimator gives it.
    """

    n_states: int
    candidates: Array
    score: Array


def choose_n_states(
    estimator: Any,
    activity: Any,
    candidates: Sequence[int] = (1, 2, 3, 4),
    n_folds: int = 4,
    *,
    gap: int = 10,
    progress: Progress = silent,
) -> StatesResult:
    """Choose the number of states by blocked cross-validation in time.

    Every sequence is cut into ``n_folds`` blocks; each block is held out once, and ``gap`` bins on
    either side of it are used by nobody, so that no history reaches across. More states always
    fit the training bins better. The answer is the smallest number whose mean held-out score is
    within one standard error of the best, the error being that of the difference over folds.

    Parameters
    ----------
    estimator : estimator
        Any sequence method with ``n_states`` and ``score``, such as ``HMMGLM(prior="gaussian")``.
    activity : xarray.DataArray, array-like of shape (n_times, n_units), or a list of these
        What to explain.
    candidates : sequence of int, default=(1, 2, 3, 4)
        Numbers of states to try.
    n_folds : int, default=4
        Blocks per sequence, at least 2.
    gap : int, default=10
        Bins left out on either side of a block, at least the window of the history.
    progress : Progress, default=silent
        Told of each fit.

    Returns
    -------
    StatesResult
        The number and all scores.

    Raises
    ------
    ParameterError
        If the estimator has no ``n_states`` or there is no candidate.
    ActivityError
        If a sequence is too short for the blocks and gaps.

    Examples
    --------
    >>> import numpy as np
    >>> from activome.patterns import HMMGLM
    >>> counts = np.random.default_rng(0).poisson(0.3, size=(240, 3))
    >>> model = HMMGLM(prior="gaussian", n_init=1, max_iter=3, m_steps=5, random_state=0)
    >>> choose_n_states(model, counts, (1, 2), n_folds=2).score.shape
    (2, 2)
    """
    if not hasattr(estimator, "get_params") or "n_states" not in estimator.get_params():
        raise ParameterError(
            f"{_OWNER}: the estimator must have the parameter n_states; "
            f"{type(estimator).__name__} has not. Give it unfitted, such as HMMGLM()."
        )
    numbers = sorted({check_integer(n, name="candidates", owner=_OWNER, low=1) for n in candidates})
    if not numbers:
        raise ParameterError(f"{_OWNER}: candidates must hold at least one number; got none.")
    check_integer(n_folds, name="n_folds", owner=_OWNER, low=2)
    check_integer(gap, name="gap", owner=_OWNER, low=0)
    folds = [_split(_sequences(activity), k, n_folds, gap) for k in range(n_folds)]
    score = np.zeros((len(numbers), n_folds))
    for i, n_states in enumerate(numbers):
        for k, (train, test) in enumerate(folds):
            progress("states", i * n_folds + k, score.size)
            model = clone(estimator).set_params(n_states=n_states)
            with warnings.catch_warnings():
                # States beyond the structure may never settle; the held-out score tells.
                warnings.simplefilter("ignore", ConvergenceWarning)
                score[i, k] = model.fit(train).score(test)
    progress("states", score.size, score.size)
    behind = score[score.mean(axis=1).argmax()] - score
    error = behind.std(axis=1, ddof=1) / np.sqrt(n_folds)
    is_good = behind.mean(axis=1) <= error
    return StatesResult(numbers[int(np.argmax(is_good))], np.array(numbers), score)


def _sequences(activity: Any) -> list[Array]:
    if isinstance(activity, xr.DataArray):
        return to_sequences(activity, owner=_OWNER)[0]
    if isinstance(activity, (list, tuple)) and len(activity) and np.ndim(activity[0]) == 2:
        return [np.asarray(values) for values in activity]
    return [np.asarray(activity)]


def _split(
    sequences: list[Array], k: int, n_folds: int, gap: int
) -> tuple[list[Array], list[Array]]:
    train, test = [], []
    for number, values in enumerate(sequences):
        size = len(values) // n_folds
        if size <= 2 * gap or size < 2:
            raise ActivityError(
                f"{_OWNER}: each of {n_folds} blocks must be longer than two gaps of {gap} bins; "
                f"sequence {number} has {len(values)} bins, {size} per block. Use fewer folds, a "
                "smaller gap or longer sequences."
            )
        start, stop = k * size, len(values) if k == n_folds - 1 else (k + 1) * size
        test.append(values[start:stop])
        before, after = values[: max(start - gap, 0)], values[stop + gap :]
        train += [part for part in (before, after) if len(part) > gap]
    return train, test
