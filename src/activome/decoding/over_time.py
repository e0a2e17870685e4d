"""When a label of trials can be decoded: sliding windows, corrected over time by permutations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from activome._checks import check_choice, check_integer, check_number
from activome._progress import Progress, silent
from activome._random import RandomState, make_generator
from activome.activity.schema import Activity, make
from activome.activity.stacking import to_trials
from activome.activity.statistics import max_statistic
from activome.decoding._design import Design, read_design
from activome.decoding._linear import DiscriminantFold, RidgeFold
from activome.decoding.labels import comes_in_runs
from activome.errors import ActivityError

__all__ = ["TimeDecoding", "decode_over_time"]

Array = np.ndarray[Any, Any]
# Shuffles whose predictions are held at a time.
_BATCH = 50
_TIE = 1e-12


@dataclass(frozen=True)
class TimeDecoding:
    """How well a label can be read from each window of the trials.

    Attributes
    ----------
    times : ndarray of float64, shape (n_windows,)
        Middle of each window, in s.
    starts, stops : ndarray of float64, shape (n_windows,)
        First and last time of each window, in s.
    scores : ndarray of float64, shape (n_windows,)
        Balanced accuracy in [0, 1], or R2, of trials that were not trained on.
    chance : float
        1 / n_classes, or 0 for R2.
    null : ndarray of float64, shape (n_permutations, n_windows)
        Scores with shuffled labels; a row is one shuffle in all windows.
    p_values : ndarray of float64, shape (n_windows,)
        Corrected over windows by the null of the largest score: the chance of any false window is
        at most alpha.
    p_uncorrected : ndarray of float64, shape (n_windows,)
        Each window by itself.
    p_value : float
        Of the best window, corrected: chance of such a score anywhere if activity and label were
        independent.
    predictions : ndarray, shape (n_windows, n_trials)
        Predicted labels.
    truth : ndarray, shape (n_trials,)
        True ones.
    trials : ndarray of int64, shape (n_trials,)
        Trial number of each; trials without a label are left out.
    metric : {"balanced accuracy", "R2"}
        What the scores are.
    label : str
        Name of the label.
    classes : ndarray or None, shape (n_classes,)
        Classes.
    in_runs : bool
        Whether the labels come in fewer runs than random order would give: slow drift can then pass
        for the label, and the test does not know it.
    """

    times: Array
    starts: Array
    stops: Array
    scores: Array
    chance: float
    null: Array
    p_values: Array
    p_uncorrected: Array
    p_value: float
    predictions: Array
    truth: Array
    trials: Array
    metric: str
    label: str
    classes: Array | None
    in_runs: bool

    def onset(self, alpha: float = 0.05) -> float | None:
        """Return the middle of the first window in which the label can be read.

        Parameters
        ----------
        alpha : float in (0, 1), default=0.05
            Level, corrected over windows.

        Returns
        -------
        float or None
            In s; None where there is no such window.

        Raises
        ------
        ParameterError
            If ``alpha`` is outside (0, 1).
        """
        check_number(alpha, name="alpha", owner="TimeDecoding.onset", low=0.0, high=1.0)
        above = np.flatnonzero(self.p_values <= alpha)
        return float(self.times[above[0]]) if above.size else None


def decode_over_time(
    activity: Any,
    label: str | ArrayLike,
    *,
    window: float | None = None,
    step: float | None = None,
    kind: str = "auto",
    groups: str | ArrayLike | None = None,
    n_folds: int = 5,
    n_permutations: int = 199,
    random_state: RandomState = None,
    progress: Progress = silent,
) -> TimeDecoding:
    """Predict a label of trials from each of many windows in time, and test against chance.

    In every window a decoder reads each unit's mean over it: linear discriminants with shrinkage
    for classes, ridge regression for numbers. Folds are those of the trials, the same in all
    windows; scales, shrinkage and penalties are learned in the training part.

    Parameters
    ----------
    activity : xarray.DataArray or array-like, shape (n_trials, n_units, n_times)
        An Activity with dims trial, time and unit, or plain numbers.
    label : str or array-like, shape (n_trials,)
        A coordinate that rides on trial, or one label per trial. NaN, None and "" are missing and
        left out; so are classes that stand once.
    window : float, optional
        Length in s (in bins for plain numbers); a tenth of the trial by default, one bin at least.
    step : float, optional
        From one window to the next, in s; half a window by default, one bin at least.
    kind : {"auto", "categorical", "continuous"}, default="auto"
        What the label is, as for ``decode_label``.
    groups : str or array-like, optional
        Animal or session of each trial: whole groups are held out, and labels are permuted within
        groups, or over groups where each group has one label.
    n_folds : int, default=5
        Folds, fewer where a class or the groups are.
    n_permutations : int, default=199
        Shuffles; the smallest p is ``1 / (1 + n_permutations)``.
    random_state : int, Generator or None
        Seed.
    progress : Progress, default=silent
        Told of each window.

    Returns
    -------
    TimeDecoding
        Scores, null and corrected p-values over time.

    Raises
    ------
    ActivityError
        If there are not trials with times, labels are not one per trial, fewer than six trials or
        two values are left, no time is valid in all trials, or values are not finite.
    ParameterError
        If an option is unknown or outside its range.

    Notes
    -----
    A shuffle of the labels is the same in all windows, so that the largest score of a shuffle
    carries the dependence between windows. Trials of unequal length are used up to where the
    shortest ends. Windows are worked off one by one: memory is that of one window and of the null.

    References
    ----------
    .. [1] T. E. Nichols and A. P. Holmes, "Nonparametric permutation tests for functional
       neuroimaging: a primer with examples", 2002.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> side = np.tile(["left", "right"], 30)
    >>> values = rng.normal(size=(60, 8, 20))
    >>> values[side == "left", 0, 10:] += 2.0
    >>> found = decode_over_time(values, side, window=2, step=2, random_state=0)
    >>> found.onset(), (found.p_values <= 0.05).tolist()
    (10.5, [False, False, False, False, False, True, True, True, True, True])
    """
    owner = "decode_over_time"
    check_choice(kind, ("auto", "categorical", "continuous"), name="kind", owner=owner)
    check_integer(n_folds, name="n_folds", owner=owner, low=2)
    check_integer(n_permutations, name="n_permutations", owner=owner, low=1)
    labelled = _as_activity(activity, owner)
    _refuse_labels_of_times(labelled, label, owner)
    generator = make_generator(random_state)
    design, name = read_design(labelled, label, kind=kind, groups=groups, history=1)
    folds = design.folds(n_folds, 1, int(generator.integers(2**31)))
    shuffle = design.shuffler(folds, generator)
    orders = np.stack(
        [np.arange(design.target.size), *(shuffle() for _ in range(n_permutations))], axis=1
    )
    orders = orders.astype(np.int32)
    cube, index = to_trials(labelled, owner=owner)
    cube = cube[design.rows]
    times = np.asarray(labelled["time"].values, dtype=np.float64)
    usable = _common_times(None if index.mask is None else index.mask[design.rows], cube, owner)
    bounds = _windows(times, usable, window, step, owner)
    scores = np.empty((n_permutations + 1, len(bounds)))
    predictions = np.empty((len(bounds), design.target.size), dtype=design.target.dtype)
    for k, (low, high) in enumerate(bounds):
        features = cube[:, :, low:high].mean(axis=2, dtype=np.float64)
        scores[:, k], predictions[k] = _scores(design, features, folds, orders)
        progress(f"decoding {name} over time", k + 1, len(bounds))
    observed, null = scores[0], scores[1:]
    corrected = max_statistic(observed, null)
    hits = (null >= observed - _TIE * np.abs(observed)).sum(axis=0)
    classes = design.classes
    edges = np.array(bounds)
    starts, stops = times[edges[:, 0]], times[edges[:, 1] - 1]
    return TimeDecoding(
        times=(starts + stops) / 2,
        starts=starts,
        stops=stops,
        scores=observed,
        chance=0.0 if classes is None else 1.0 / classes.size,
        null=null,
        p_values=corrected,
        p_uncorrected=(1.0 + hits) / (1.0 + n_permutations),
        p_value=float(corrected.min()),
        predictions=predictions if classes is None else classes[predictions],
        truth=design.target if classes is None else classes[design.target],
        trials=design.rows,
        metric="R2" if classes is None else "balanced accuracy",
        label=name,
        classes=classes,
        in_runs=comes_in_runs(design.target),
    )


def _as_activity(activity: Any, owner: str) -> Activity:
    if isinstance(activity, xr.DataArray):
        if not {"trial", "time", "unit"} <= set(activity.dims):
            raise ActivityError(
                f"{owner}: the activity must have dims trial, time and unit; it has "
                f"{tuple(activity.dims)}. Cut trials with activome.activity.cut_trials."
            )
        return activity
    values = np.asarray(activity)
    if values.ndim != 3 or values.size == 0:
        raise ActivityError(
            f"{owner}: plain numbers must be (n_trials, n_units, n_times), none of them 0; got "
            f"shape {values.shape}."
        )
    return make(np.moveaxis(values, 1, 2), time=np.arange(float(values.shape[2])))


def _refuse_labels_of_times(activity: Activity, label: Any, owner: str) -> None:
    if isinstance(label, str):
        shape: Any = activity.coords[label].dims if label in activity.coords else ("trial",)
        is_per_trial = shape == ("trial",)
    else:
        shape = np.shape(label)
        is_per_trial = shape == (activity.sizes["trial"],)
    if not is_per_trial:
        raise ActivityError(
            f"{owner}: the label must be one per trial ({activity.sizes['trial']}); got {shape}. "
            "Use decode_label for labels of times."
        )


def _common_times(mask: Array | None, cube: Array, owner: str) -> Array:
    usable = np.ones(cube.shape[2], dtype=bool) if mask is None else mask.all(axis=0)
    if not usable.any():
        raise ActivityError(f"{owner}: some time must be valid in all trials; none is.")
    return np.flatnonzero(usable)


def _windows(
    times: Array, usable: Array, window: float | None, step: float | None, owner: str
) -> list[tuple[int, int]]:
    """Return first and last-but-one bins of the windows."""
    width = float(np.median(np.diff(times))) if times.size > 1 else 1.0
    length = max(1, usable.size // 10)
    if window is not None:
        check_number(window, name="window", owner=owner, low=0.0)
        length = max(1, round(window / width))
        check_integer(length, name="window, in bins,", owner=owner, high=int(usable.size))
    advance = max(1, length // 2)
    if step is not None:
        check_number(step, name="step", owner=owner, low=0.0)
        advance = max(1, round(step / width))
    starts = range(0, usable.size - length + 1, advance)
    places = [(int(usable[s]), int(usable[s + length - 1]) + 1) for s in starts]
    # Where valid times have a hole, a window must not reach over it.
    return [(low, high) for low, high in places if high - low == length]


def _scores(
    design: Design, features: Array, folds: list[tuple[Array, Array]], orders: Array
) -> tuple[Array, Array]:
    """Return the score of every order of the labels, and the predictions of the first."""
    classes = design.classes
    kind: Any = RidgeFold if classes is None else DiscriminantFold
    parts = [kind(features[train], features[test]) for train, test in folds]
    found, first = [], design.target
    for start in range(0, orders.shape[1], _BATCH):
        targets = design.target[orders[:, start : start + _BATCH]]
        guessed = np.empty_like(targets)
        for (train, test), part in zip(folds, parts, strict=True):
            options = () if classes is None else (classes.size,)
            guessed[test] = part.predict(targets[train], *options)
        found.append(_r2(guessed, targets) if classes is None else _balanced(guessed, targets))
        if start == 0:
            first = guessed[:, 0]
    return np.concatenate(found), first


def _r2(guessed: Array, targets: Array) -> Array:
    left = ((targets - guessed) ** 2).sum(axis=0)
    total = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    return np.where(total > 0, 1.0 - left / np.where(total > 0, total, 1.0), 0.0)


def _balanced(guessed: Array, targets: Array) -> Array:
    right = guessed == targets
    shares = np.zeros(targets.shape[1])
    n_present = np.zeros(targets.shape[1])
    for code in np.unique(targets):
        count = (targets == code).sum(axis=0)
        shares += (right & (targets == code)).sum(axis=0) / np.maximum(count, 1)
        n_present += count > 0
    return np.asarray(shares / n_present)
