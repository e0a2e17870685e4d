"""Decode a label from activity, with chance, a permutation test and splits that do not leak."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_choice, check_integer, check_memory, check_number
from activome._progress import Progress, silent
from activome._random import RandomState, make_generator
from activome.activity.bootstrap import bootstrap_interval
from activome.activity.statistics import monte_carlo_p
from activome.decoding._design import Design, read_design
from activome.decoding._linear import DiscriminantFold, RidgeFold

__all__ = ["DecodingResult", "decode_label"]

Array = np.ndarray[Any, Any]
_BATCH = 20
_N_BOOTSTRAPS = 500


@dataclass(frozen=True)
class DecodingResult:
    """How well a label can be read from the activity.

    Attributes
    ----------
    score : float
        Balanced accuracy in [0, 1], or R2 (at most 1), of the pooled predictions for samples that
        were not trained on.
    chance : float
        1 / n_classes, or 0 for R2.
    null : ndarray of float64, shape (n_draws,)
        Scores with shuffled labels.
    p_value : float
        Chance of such a score if activity and label were independent.
    interval : tuple of float
        Bootstrap interval of the score: over trials, groups, or blocks in time.
    fold_scores : ndarray of float64, shape (n_folds,)
        Score of each fold.
    predictions, truth : ndarray, shape (n_rows,)
        Predicted and true labels.
    samples : ndarray of int64, shape (n_rows,)
        Trial or sample number of each row; rows without label or history are left out.
    metric : {"balanced accuracy", "R2"}
        What the score is.
    label : str
        Name of the label.
    kind : {"categorical", "continuous"}
        What the label is.
    per : {"trial", "sample"}
        What a row is.
    classes : ndarray or None, shape (n_classes,)
        Classes.
    in_runs : bool
        Whether the labels of trials come in fewer runs than random order would give: then slow
        drift of the activity can pass for the label, and the test does not know it.
    """

    score: float
    chance: float
    null: Array
    p_value: float
    interval: tuple[float, float]
    fold_scores: Array
    predictions: Array
    truth: Array
    samples: Array
    metric: str
    label: str
    kind: str
    per: str
    classes: Array | None
    in_runs: bool


def decode_label(
    activity: Any,
    label: str | ArrayLike,
    *,
    kind: str = "auto",
    groups: str | ArrayLike | None = None,
    history: int = 8,
    n_folds: int = 5,
    n_permutations: int = 199,
    stop_after: int | None = 10,
    level: float = 0.95,
    random_state: RandomState = None,
    progress: Progress = silent,
) -> DecodingResult:
    """Predict a label of trials or times from the activity, and test against shuffled labels.

    Classes are told apart by linear discriminants with shrinkage, numbers are predicted by ridge
    regression. A label of trials is read from each unit's mean over the trial; one of times from
    the present and the last samples. Standardising, shrinkage and penalties are learned in the
    training part of each fold.

    Parameters
    ----------
    activity : xarray.DataArray or array-like, shape (n_samples, n_units)
        An Activity, or plain numbers in the order of time.
    label : str or array-like, shape (n_trials,) or (n_samples,)
        A coordinate of the activity, or labels: one per trial or one per sample. NaN, None and ""
        are missing, and left out; so are classes that stand once.
    kind : {"auto", "categorical", "continuous"}, default="auto"
        What the label is; "auto" takes text, booleans, and up to 20 repeated whole numbers as
        classes.
    groups : str or array-like, optional
        Animal or session of each row: whole groups are held out. Labels are then permuted within
        groups, or over groups where each group has one label.
    history : int, default=8
        Samples that a label of times is read from, the present one included.
    n_folds : int, default=5
        Folds, fewer where a class or the groups are. Trials: drawn at random with equal shares of
        the classes. Times: blocks, with a gap of at least the history and the autocorrelation time
        of the label (but no more than a quarter of a block).
    n_permutations : int, default=199
        Most shuffles; the smallest p is ``1 / (1 + n_permutations)``.
    stop_after : int or None, default=10
        Stop once this many shuffles score as high.
    level : float in (0, 1), default=0.95
        Coverage of the interval.
    random_state : int, Generator or None
        Seed.
    progress : Progress, default=silent
        Told of each shuffle.

    Returns
    -------
    DecodingResult
        Score, chance, null, p-value, interval and predictions.

    Raises
    ------
    ActivityError
        If labels are not one per trial or sample, fewer than six rows or two values are left, or
        values are not finite.
    ParameterError
        If an option is unknown or outside its range.

    Notes
    -----
    Labels of times are shifted around the recording: a plain shuffle would break their
    autocorrelation and call any slow label decodable. Lags of all sizes are drawn: were those below
    the autocorrelation time left out, slow labels that happen to fit would stand out too often. The
    activity does not change with the labels, so its decomposition is made once per fold and a
    shuffle costs two products.

    Examples
    --------
    >>> import numpy as np
    >>> from activome.activity import make
    >>> generator = np.random.default_rng(0)
    >>> values = generator.normal(size=(60, 10))
    >>> activity = make(values, ("trial", "unit"), coords={"side": ("trial", [0] * 30 + [1] * 30)})
    >>> activity[30:, 0] += 3.0
    >>> found = decode_label(activity, "side", random_state=0)
    >>> found.score > 0.8, found.p_value, found.in_runs
    (True, 0.005, True)
    """
    owner = "decode_label"
    check_choice(kind, ("auto", "categorical", "continuous"), name="kind", owner=owner)
    for name, value, low in (
        ("history", history, 1),
        ("n_folds", n_folds, 2),
        ("n_permutations", n_permutations, 1),
    ):
        check_integer(value, name=name, owner=owner, low=low)
    check_number(level, name="level", owner=owner, low=0.0, high=1.0)
    generator = make_generator(random_state)
    _refuse_large(activity, history)
    design, label_name = read_design(activity, label, kind=kind, groups=groups, history=history)
    folds = design.folds(n_folds, history, int(generator.integers(2**31)))
    predict, score = _decoder(design, folds)
    order = np.arange(design.target.size)
    predictions = predict(order[:, np.newaxis])[:, 0]
    observed = score(predictions, design.target)
    test = monte_carlo_p(
        observed,
        _scores_of_shuffles(design, predict, score, design.shuffler(folds, generator)),
        n_permutations,
        stop_after=stop_after,
        progress=progress,
        task=f"decoding {label_name}",
    )
    classes = design.classes
    ends = _interval(design, predictions, score, level, generator)
    return DecodingResult(
        score=observed,
        chance=0.0 if classes is None else 1.0 / classes.size,
        null=test.null,
        p_value=test.p_value,
        interval=ends,
        fold_scores=np.array([score(predictions[f], design.target[f]) for _, f in folds]),
        predictions=predictions if classes is None else classes[predictions],
        truth=design.target if classes is None else classes[design.target],
        samples=design.rows,
        metric="R2" if classes is None else "balanced accuracy",
        label=label_name,
        kind="continuous" if classes is None else "categorical",
        per=design.per,
        classes=classes,
        in_runs=design.per == "trial" and comes_in_runs(design.target),
    )


def _refuse_large(activity: Any, history: int) -> None:
    size = getattr(activity, "size", 0)
    check_memory(
        8.0 * size * (history if getattr(activity, "ndim", 0) else 1),
        owner="decode_label",
        what="the activity with its history",
        cure="Use a shorter history, fewer samples or fewer units.",
    )


Predict = Callable[[Array], Array]
Score = Callable[[Array, Array], float]


def _decoder(design: Design, folds: list[tuple[Array, Array]]) -> tuple[Predict, Score]:
    """Return the function from orders of the target to out-of-fold predictions, and the score."""
    classes = design.classes
    parts: list[Any] = []
    for train, test in folds:
        kind: Any = RidgeFold if classes is None else DiscriminantFold
        parts.append(kind(design.features[train], design.features[test]))

    def predict(orders: Array) -> Array:
        targets = design.target[orders]
        out = np.empty_like(targets)
        for (train, test), part in zip(folds, parts, strict=True):
            if classes is None:
                out[test] = part.predict(targets[train])
            else:
                out[test] = part.predict(targets[train], classes.size)
        return out

    return predict, _r2 if classes is None else _balanced_accuracy


def _scores_of_shuffles(
    design: Design, predict: Predict, score: Score, shuffle: Callable[[], Array]
) -> Callable[[], float]:
    waiting: list[float] = []

    def draw() -> float:
        if not waiting:
            orders = np.stack([shuffle() for _ in range(_BATCH)], axis=1)
            found = predict(orders)
            scores = [score(found[:, k], design.target[orders[:, k]]) for k in range(_BATCH)]
            waiting.extend(reversed(scores))
        return waiting.pop()

    return draw


def _r2(predictions: Array, truth: Array) -> float:
    total = float(((truth - truth.mean()) ** 2).sum())
    left = float(((truth - predictions) ** 2).sum())
    return 1.0 - left / total if total > 0 else 0.0


def _balanced_accuracy(predictions: Array, truth: Array) -> float:
    count = np.bincount(truth)
    right = np.bincount(truth[predictions == truth], minlength=count.size)
    return float((right[count > 0] / count[count > 0]).mean())


def _interval(
    design: Design, predictions: Array, score: Score, level: float, generator: np.random.Generator
) -> tuple[float, float]:
    pairs = np.column_stack([predictions, design.target])
    n = len(pairs)
    block: int | str = 1
    if design.per == "sample" and design.groups is None:
        block = max(1, min(3 * design.memory(n // 30), n // 10))

    def of_pairs(rows: Array) -> float:
        return score(rows[:, 0], rows[:, 1])

    found = bootstrap_interval(
        of_pairs,
        pairs,
        groups=design.groups,
        block=block,
        level=level,
        n=_N_BOOTSTRAPS,
        random_state=generator,
    )
    return found.low, found.high


def comes_in_runs(target: Array) -> bool:
    """Whether equal labels stand side by side more often than in random order, at four sigma."""
    n = target.size
    codes = np.unique(target, return_inverse=True)[1]
    share = np.bincount(codes) / n
    together = float((share**2).sum())
    found = int((np.diff(codes) == 0).sum())
    spread = np.sqrt(max((n - 1) * together * (1 - together), 1e-12))
    return bool(found - (n - 1) * together > 4 * spread)
