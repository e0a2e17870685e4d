"""Number of parts by stability: how many are found again in the other half, and by chance."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from sklearn.base import clone

from activome._checks import check_choice, check_finite, check_integer, check_number
from activome._progress import Progress, silent
from activome._random import RandomState, spawn_generators
from activome.activity.matching import SIMILARITIES, match_rows
from activome.activity.nulls import circular_shift
from activome.activity.stacking import to_samples
from activome.errors import ActivityError, ParameterError

__all__ = ["StabilityResult", "choose_n_components"]

Array = np.ndarray[Any, Any]
_OWNER = "choose_n_components"
# Stretches of time that go to one half or the other; enough for a fair draw, few enough that slow
# activity does not lie on both sides of many borders.
_STRETCHES = 20
_FIRST_LOOK = 9


@dataclass(frozen=True)
class StabilityResult:
    """How stable each number of parts is, and which is supported.

    Attributes
    ----------
    n_components : int
        The number of parts; 0 where no candidate is more stable than unrelated units are.
    p_value : float
        Probability of so stable a candidate by chance, over all candidates together.
    candidates : ndarray of int64, shape (n_candidates,)
        Numbers of parts that were tried, increasing.
    stability : ndarray of float64, shape (n_candidates,)
        Mean similarity of matched parts between halves, over the splits.
    stability_splits : ndarray of float64, shape (n_splits, n_candidates)
        The same of each split.
    null : ndarray of float64, shape (n_surrogates_done, n_candidates)
        Stability of surrogates, whose units are shifted in time against each other.
    p_values : ndarray of float64, shape (n_candidates,)
        Corrected over candidates, by the largest standardised stability of each surrogate.
    """

    n_components: int
    p_value: float
    candidates: Array
    stability: Array
    stability_splits: Array
    null: Array
    p_values: Array

    @property
    def excess(self) -> Array:
        """Return stability above the mean of the null, shape (n_candidates,)."""
        return np.asarray(self.stability - self.null.mean(axis=0))


def choose_n_components(
    estimator: Any,
    activity: Any,
    candidates: Sequence[int] = (2, 3, 4, 6, 8, 12),
    n_splits: int = 2,
    *,
    n_surrogates: int = 39,
    alpha: float = 0.05,
    similarity: str = "cosine",
    scale: str = "zscore",
    reduce: str = "average",
    max_samples: int = 1500,
    n_iter: int = 10,
    random_state: RandomState = 0,
    progress: Progress = silent,
) -> StabilityResult:
    """Choose the number of parts that are found again in the other half of a recording.

    Each candidate number is fitted to both halves of the time, the parts are matched one to one,
    and their mean similarity is the stability. The same is done on surrogates in which every unit
    keeps its values and its autocorrelation but is shifted in time against the others [1]_. Where
    no candidate is above its surrogates the answer is 0: there are no parts. Otherwise it is the
    candidate whose stability is most above the mean of its surrogates.

    Parameters
    ----------
    estimator : estimator
        Any with ``n_components`` and, once fitted, ``components_``, such as
        ``SemiNMF(keep=0.2, init="varimax")``. It is cloned; its own number does not matter. Random
        starts end in different places and so look less stable: take one that depends on the data.
    activity : xarray.DataArray or array-like, shape (n_samples, n_units)
        An Activity, or plain numbers, samples in order of time.
    candidates : sequence of int, default=(2, 3, 4, 6, 8, 12)
        Numbers of parts to try.
    n_splits : int, default=2
        Random splits of the time into halves.
    n_surrogates : int, default=39
        Most surrogates; fewer are made when the answer is already 0. At least ``1 / alpha``.
    alpha : float in (0, 1), default=0.05
        Bound on the chance of finding parts where there are none: p must be below it, which with
        39 surrogates means that none of them is as stable, a chance of 0.025.
    similarity : {"cosine", "abs_cosine", "correlation", "abs_correlation"}, default="cosine"
        Of two parts; "abs" for methods that leave the sign open, such as PCA and ICA.
    scale : {"zscore", "none"}, default="zscore"
        Whether to z-score units first; "none" for non-negative methods.
    reduce : {"average", "subsample"}, default="average"
        How a long recording is brought down to ``max_samples``: means of neighbouring samples, or
        every so manieth sample.
    max_samples : int, default=1500
        Most samples that are worked on.
    n_iter : int, default=10
        Most iterations of each fit, where the estimator has ``max_iter``.
    random_state : int, numpy.random.Generator or None, default=0
        Seed of splits, starts and surrogates.
    progress : Progress, default=silent
        Told of each surrogate.

    Returns
    -------
    StabilityResult
        The number, and what it rests on.

    Raises
    ------
    ParameterError
        If a parameter is outside its range, the estimator has no ``n_components``, or
        ``n_surrogates`` is too small for ``alpha``.
    ActivityError
        If the activity is not (n_samples, n_units) or not finite, or a candidate is larger than the
        number of varying units or of samples in a half.

    Notes
    -----
    The test is a rank test over recording and surrogates, treated alike and standardised together,
    so it holds its level for units of any distribution that are stationary and independent. A drift
    that units share is structure to it: remove it first where it is not wanted. A candidate's parts
    need not be separable for it to be stable; see ``stability`` for the whole curve.

    Surrogates stop once more of them are as stable as the recording than significance allows
    (sequential Monte Carlo [2]_); that makes the test no more liberal.

    References
    ----------
    .. [1] T. Lange, V. Roth, M. L. Braun and J. M. Buhmann, "Stability-based validation of
       clustering solutions", 2004.
    .. [2] J. Besag and P. Clifford, "Sequential Monte Carlo p-values", 1991.

    Examples
    --------
    >>> import numpy as np
    >>> from activome.patterns import SemiNMF
    >>> rng = np.random.default_rng(0)
    >>> use = rng.exponential(size=(600, 3)) * (rng.random((600, 3)) < 0.2)
    >>> X = 2 * use @ np.kron(np.eye(3), np.ones(6)) + rng.normal(size=(600, 18))
    >>> result = choose_n_components(SemiNMF(keep=0.4, init="varimax"), X, (2, 3, 4, 5))
    >>> result.n_components, result.p_value < 0.05
    (3, True)
    """
    numbers = _check_parameters(
        estimator, candidates, n_splits, n_surrogates, alpha, similarity, scale, reduce,
        max_samples, n_iter,
    )  # fmt: skip
    values = _prepare(activity, scale=scale, reduce=reduce, max_samples=max_samples)
    if numbers[-1] > min(values.shape[0] // 2, values.shape[1]):
        raise ActivityError(
            f"{_OWNER}: candidates must be at most the number of varying units and of samples in a "
            f"half; got {numbers[-1]} for {values.shape[1]} units and {values.shape[0] // 2} "
            "samples. Try fewer parts, or raise max_samples."
        )
    splitting, starting, shifting = spawn_generators(random_state, 3)
    halves = [_halves(values.shape[0], splitting) for _ in range(n_splits)]
    models = [_model(estimator, n, n_iter) for n in numbers]

    def measure(data: Array) -> Array:
        table = np.zeros((n_splits, len(models)))
        for s, sides in enumerate(halves):
            table[s] = [_stability(m, data, sides, similarity, starting) for m in models]
        return table

    observed = measure(values)
    rows = [observed.mean(axis=0)]
    for _ in _count_up(n_surrogates, progress):
        rows.append(measure(circular_shift(values, shifting)).mean(axis=0))
        if len(rows) > _FIRST_LOOK and _is_hopeless(np.array(rows), n_surrogates, alpha):
            break
    table = np.array(rows)
    p_values = _corrected(table)
    chosen = _choose(numbers, observed, table, p_values < alpha)
    return StabilityResult(
        chosen, float(p_values.min()), np.array(numbers), rows[0], observed, table[1:], p_values
    )


def _check_parameters(
    estimator: Any,
    candidates: Sequence[int],
    n_splits: int,
    n_surrogates: int,
    alpha: float,
    similarity: str,
    scale: str,
    reduce: str,
    max_samples: int,
    n_iter: int,
) -> list[int]:
    if not hasattr(estimator, "get_params") or "n_components" not in estimator.get_params():
        raise ParameterError(
            f"{_OWNER}: the estimator must have the parameter n_components; "
            f"{type(estimator).__name__} has not. Give it unfitted, such as SemiNMF(keep=0.2)."
        )
    numbers = sorted({check_integer(n, name="candidates", owner=_OWNER, low=1) for n in candidates})
    if not numbers:
        raise ParameterError(f"{_OWNER}: candidates must hold at least one number; got none.")
    check_integer(n_splits, name="n_splits", owner=_OWNER, low=1)
    check_number(alpha, name="alpha", owner=_OWNER, low=0.0, high=1.0)
    least = math.floor(1 / alpha + 1e-9)
    check_integer(n_surrogates, name="n_surrogates", owner=_OWNER, low=least)
    check_choice(similarity, SIMILARITIES, name="similarity", owner=_OWNER)
    check_choice(scale, ("zscore", "none"), name="scale", owner=_OWNER)
    check_choice(reduce, ("average", "subsample"), name="reduce", owner=_OWNER)
    check_integer(max_samples, name="max_samples", owner=_OWNER, low=2 * _STRETCHES)
    check_integer(n_iter, name="n_iter", owner=_OWNER, low=1)
    return numbers


def _prepare(activity: Any, *, scale: str, reduce: str, max_samples: int) -> Array:
    if isinstance(activity, xr.DataArray):
        values = to_samples(activity, owner=_OWNER)[0]
    else:
        values = np.asarray(activity)
    if values.ndim != 2 or values.dtype.kind not in "biuf" or values.shape[0] < 2 * _STRETCHES:
        raise ActivityError(
            f"{_OWNER}: activity must be numbers of shape (n_samples, n_units), with at least "
            f"{2 * _STRETCHES} samples; got {values.dtype} of shape {values.shape}."
        )
    check_finite(values, owner=_OWNER, axes=("sample", "unit"))
    step = math.ceil(values.shape[0] / max_samples)
    whole = values.shape[0] // step * step
    if reduce == "average":
        groups = values[:whole].reshape(-1, step, values.shape[1])
        values = groups.mean(axis=1, dtype=np.float64)
    else:
        values = values[:whole:step].astype(np.float64)
    spread = values.std(axis=0)
    varies = spread > 1e-12 * np.abs(values).max(axis=0, initial=0.0)
    if not varies.any():
        raise ActivityError(f"{_OWNER}: some unit must vary; all {varies.size} are constant.")
    values, spread = values[:, varies], spread[varies]
    if scale == "zscore":
        values = (values - values.mean(axis=0)) / spread
    return values.astype(np.float32)


def _halves(n_samples: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """Return the rows of two halves, made of whole stretches of time."""
    edges = np.linspace(0, n_samples, _STRETCHES + 1).round().astype(np.int64)
    side = generator.permutation(np.arange(_STRETCHES) % 2)
    of_row = np.repeat(side, np.diff(edges))
    return np.flatnonzero(of_row == 0), np.flatnonzero(of_row == 1)


def _model(estimator: Any, n_components: int, n_iter: int) -> Any:
    model = clone(estimator)
    known = model.get_params()
    wanted = {"n_components": n_components, "max_iter": n_iter, "tol": 0.0}
    # Without a tolerance the fits all take the same time, and none complains that it was stopped.
    has_limit = "max_iter" in known and "patience" in known
    kept = wanted if has_limit else {"n_components": n_components}
    if "max_iter" in known and not has_limit:
        kept["max_iter"] = n_iter
    return model.set_params(**kept)


def _stability(
    model: Any,
    values: Array,
    sides: tuple[Array, Array],
    similarity: str,
    starting: np.random.Generator,
) -> float:
    parts = []
    for rows in sides:
        if "random_state" in model.get_params():
            model.set_params(random_state=int(starting.integers(2**31 - 1)))
        with warnings.catch_warnings():
            # A unit may be silent in one half; a fit may need longer. Both hold for surrogates too.
            warnings.simplefilter("ignore")
            parts.append(model.fit(values[rows]).components_)
    return match_rows(parts[0], parts[1], similarity=similarity).mean


def _count_up(n: int, progress: Progress) -> Iterator[int]:
    for i in range(n):
        progress("surrogates", i, n)
        yield i
    progress("surrogates", n, n)


def _standardised(table: Array) -> Array:
    """Bring candidates to one scale, by recording and surrogates together: all rows stay alike."""
    spread = table.std(axis=0)
    centred = table - table.mean(axis=0)
    return np.asarray(np.divide(centred, spread, out=np.zeros_like(table), where=spread > 1e-9))


def _corrected(table: Array) -> Array:
    """Return p per candidate: how often the best candidate of a surrogate is as good as this."""
    scores = _standardised(table)
    best = scores[1:].max(axis=1)
    hits = (best[:, np.newaxis] >= scores[0] - 1e-12).sum(axis=0)
    return np.asarray((1 + hits) / (1 + best.size))


def _is_hopeless(table: Array, n_surrogates: int, alpha: float) -> bool:
    scores = _standardised(table).max(axis=1)
    hits = int((scores[1:] >= scores[0] - 1e-12).sum())
    return (1 + hits) / (1 + n_surrogates) >= alpha


def _choose(numbers: list[int], observed: Array, table: Array, is_significant: Array) -> int:
    if not is_significant.any():
        return 0
    excess = observed.mean(axis=0) - table[1:].mean(axis=0)
    return numbers[int(np.where(is_significant, excess, -np.inf).argmax())]
