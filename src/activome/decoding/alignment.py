"""One population's responses in the space of another, and decoders carried between animals."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_choice, check_integer, check_number
from activome._progress import Progress, silent
from activome._random import RandomState, integer_seed
from activome.activity.stacking import SampleIndex
from activome.decoding._responses import (
    TRANSFORMS,
    Scale,
    as_plain,
    labels_of,
    refuse_negative,
    rooted,
)
from activome.errors import ActivityError, ParameterError

__all__ = ["ResponseAligner", "transfer_matrix"]

Array = np.ndarray[Any, Any]


class ResponseAligner(BaseEstimator):
    """Map the responses of one population to the units of another, by what conditions they share.

    Of both populations the mean response to each class at each time is formed; a linear map takes
    those of the target as near as it can to those of the source. It uses the labels of the target:
    this is supervised alignment, so learn it from training trials only. Responses are first rooted
    and standardised per unit; what comes out is on the scale of the source's counts, so that a
    decoder that was trained on the source reads it as it is.

    Parameters
    ----------
    ridge : float, default=3.0
        Penalty of the map, on the scale of standardised responses; for "class-means".
    how : {"class-means", "procrustes"}, default="class-means"
        Ridge regression, or the rotation (with one factor) between the two spaces.
    count_transform : {"sqrt", "none"}, default="sqrt"
        As in the decoder that will read the result.

    Attributes
    ----------
    map_ : ndarray of float64, shape (n_target_units, n_source_units)
        From standardised responses of the target to those of the source.
    classes_ : ndarray, shape (n_classes,)
        Classes that both populations saw.
    source_mean_, source_spread_ : ndarray of float64, shape (n_source_units,)
        Scale of the source.
    target_mean_, target_spread_ : ndarray of float64, shape (n_target_units,)
        Scale of the target.
    source_units_ : ndarray or None, shape (n_source_units,)
        Names of the source's units, where it is an Activity.

    Raises
    ------
    ActivityError
        If the classes or times of the two populations differ, counts are negative, or values are
        not finite.
    ParameterError
        If a parameter is outside its range.

    Notes
    -----
    With ``M`` the standardised class means (classes times bins, units), the map is
    ``(M_t' M_t + ridge I)^-1 M_t' M_s``, solved in the smaller of its two forms. Estimated counts
    can be below zero; their root keeps the sign.

    References
    ----------
    .. [1] A. Iqbal, P. Dong, C. M. Kim and H. Jang, "Decoding neural responses in mouse visual
       cortex through a deep neural network", 2019.
    .. [2] P. H. Schoenemann, "A generalized solution of the orthogonal Procrustes problem", 1966.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> side = np.tile(["left", "right"], 30)
    >>> latent = rng.poisson(np.where(side == "left", 4.0, 9.0)[:, None, None], (60, 1, 5))
    >>> source, target = np.repeat(latent, 6, axis=1), np.repeat(latent, 4, axis=1)
    >>> aligner = ResponseAligner().fit(source[:40], side[:40], target[:40], side[:40])
    >>> aligner.transform(target[40:]).shape
    (20, 6, 5)
    """

    def __init__(
        self, ridge: float = 3.0, how: str = "class-means", *, count_transform: str = "sqrt"
    ) -> None:
        self.ridge = ridge
        self.how = how
        self.count_transform = count_transform

    def fit(
        self,
        X_source: Any,
        y_source: ArrayLike | str,
        X_target: Any,
        y_target: ArrayLike | str,
    ) -> Self:
        """Learn the map from training trials of both populations.

        Parameters
        ----------
        X_source : xarray.DataArray or array-like, shape (n_trials, n_units, n_times)
            Counts of the source.
        y_source : array-like or str, shape (n_trials,)
            Class of each of its trials, or the name of a label.
        X_target : xarray.DataArray or array-like, shape (n_trials, n_units, n_times)
            Counts of the target; trials and units may be others, times not.
        y_target : array-like or str, shape (n_trials,)
            Class of each of its trials, or the name of a label.

        Returns
        -------
        ResponseAligner
            The fitted aligner.

        Raises
        ------
        ActivityError
            If the classes or times of the two populations differ, counts are negative, or values
            are not finite.
        ParameterError
            If a parameter is outside its range.
        """
        owner = "ResponseAligner.fit"
        check_number(self.ridge, name="ridge", owner=owner, low=0.0)
        check_choice(self.how, _MAPS, name="how", owner=owner)
        check_choice(self.count_transform, TRANSFORMS, name="count_transform", owner=owner)
        source, target = (
            self._read(X, y, f"{owner} ({side})")
            for X, y, side in ((X_source, y_source, "source"), (X_target, y_target, "target"))
        )
        self.classes_ = np.unique(source[1])
        others = np.unique(target[1])
        if not np.array_equal(self.classes_, others):
            raise ActivityError(
                f"{owner}: both populations must have seen the same classes; the source saw "
                f"{self.classes_.tolist()}, the target {others.tolist()}. Keep the shared ones."
            )
        if source[0].shape[2] != target[0].shape[2]:
            raise ActivityError(
                f"{owner}: both populations must have the same times; the source has "
                f"{source[0].shape[2]} bins, the target {target[0].shape[2]}. Bin them alike."
            )
        scales = [Scale.of(values) for values, _, _ in (source, target)]
        means = [
            _class_means(scale.apply(values), labels)
            for scale, (values, labels, _) in zip(scales, (source, target), strict=True)
        ]
        self.map_ = _MAPS[self.how](means[1], means[0], self.ridge)
        self.source_mean_, self.source_spread_ = scales[0].mean, scales[0].spread
        self.target_mean_, self.target_spread_ = scales[1].mean, scales[1].spread
        names = None if source[2] is None else source[2].unit_coords.get("unit")
        self.source_units_ = None if names is None else np.asarray(names.values)
        return self

    def transform(self, X: Any) -> Any:
        """Estimate what the source's units would have done.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_trials, n_units, n_times)
            Counts of the target.

        Returns
        -------
        xarray.DataArray or ndarray of float64, shape (n_trials, n_source_units, n_times)
            Estimated counts, below zero where the estimate of their root is. For an Activity with
            the labels of its trials and times.

        Raises
        ------
        ActivityError
            If the units are not as many as in ``fit``, counts are negative, or values are not
            finite.
        """
        owner = "ResponseAligner.transform"
        check_is_fitted(self)
        values, index = as_plain(X, owner)
        if values.shape[1] != self.map_.shape[0]:
            raise ActivityError(
                f"{owner}: responses must have the {self.map_.shape[0]} units of the target; got "
                f"{values.shape[1]}."
            )
        refuse_negative(values, self.count_transform, owner)
        target = Scale(self.target_mean_, self.target_spread_)
        scaled = target.apply(rooted(values, self.count_transform))
        mapped = Scale(self.source_mean_, self.source_spread_).undo(
            np.einsum("kut,us->kst", scaled, self.map_, optimize=True)
        )
        if self.count_transform == "sqrt":
            mapped = np.sign(mapped) * mapped**2
        return mapped if index is None else _labelled(mapped, index, self.source_units_)

    def _read(self, X: Any, y: Any, owner: str) -> tuple[Array, Array, SampleIndex | None]:
        values, index = as_plain(X, owner)
        refuse_negative(values, self.count_transform, owner)
        labels = labels_of(y, index, len(values), owner)
        return rooted(values, self.count_transform), labels, index


def _labelled(values: Array, index: SampleIndex, names: Array | None) -> xr.DataArray:
    units = np.arange(values.shape[1]) if names is None else names
    moved = np.moveaxis(values, 1, 2)
    lead = index.frame.dims
    if "time" not in lead:
        moved = moved[:, 0]
    if "trial" not in lead:
        moved = moved[0]
    return index.restore(moved.reshape(-1, values.shape[1]), units=list(units))


def _class_means(values: Array, labels: Array) -> Array:
    """Return the mean response to each class at each time (n_classes * n_times, n_units)."""
    means = np.stack([values[labels == name].mean(axis=0) for name in np.unique(labels)])
    return np.moveaxis(means, 1, 2).reshape(-1, values.shape[1])


def _ridge_map(target: Array, source: Array, ridge: float) -> Array:
    n_rows, n_units = target.shape
    if n_rows < n_units:
        weights = np.linalg.solve(target @ target.T + ridge * np.eye(n_rows), source)
        return np.asarray(target.T @ weights)
    gram = target.T @ target + ridge * np.eye(n_units)
    return np.asarray(np.linalg.solve(gram, target.T @ source))


def _rotation(target: Array, source: Array, ridge: float) -> Array:
    left, singular, right = np.linalg.svd(target.T @ source, full_matrices=False)
    # Directions that the conditions do not span have no partner: they stay out of the map.
    shared = singular > 1e-10 * max(float(singular[0]), np.finfo(float).tiny)
    rotation = left[:, shared] @ right[shared]
    scale = float(singular[shared].sum()) / max(float((target**2).sum()), np.finfo(float).tiny)
    return np.asarray(scale * rotation)


_MAPS = {"class-means": _ridge_map, "procrustes": _rotation}


def transfer_matrix(
    animals: Sequence[tuple[Any, Any]],
    decoder: Any,
    aligner: Any = None,
    *,
    n_shots: int | None = None,
    test_share: float = 0.4,
    random_state: RandomState = 0,
    progress: Progress = silent,
) -> xr.DataArray:
    """Train a decoder on every animal and test it on every other one.

    Parameters
    ----------
    animals : sequence of (X, y)
        Counts (n_trials, n_units, n_times), as an Activity or plain numbers, and the class of each
        trial, as an array or the name of a label.
    decoder : estimator
        An unfitted classifier of trials, such as `PopulationDecoder`.
    aligner : estimator, optional
        An unfitted `ResponseAligner`: brings the target's responses into the source's units. Not
        needed where all animals have the same number of units, but without it accuracy is chance.
    n_shots : int, optional
        Instead, learn a new read-in from so many training trials per class of the target
        (``decoder.partial_readin_fit``).
    test_share : float in (0, 1), default=0.4
        Share of the trials of each class that is held out, in every animal.
    random_state : int, Generator or None, default=0
        Seed of the split. Animals with the same labels are split alike, so that groups of units
        from one recording never meet a training trial in the test.
    progress : Progress, default=silent
        Told of each pair.

    Returns
    -------
    xarray.DataArray of float64
        Dims (source, target): share of the target's test trials that are named rightly. On the
        diagonal, of the source's own.

    Raises
    ------
    ActivityError
        If there are fewer than two animals, a class has fewer than two trials, fewer training
        trials than shots, or an animal has a class that another has not.
    ParameterError
        If both an aligner and shots are given, or a number is outside its range.

    Notes
    -----
    Whatever is learned, scales, weights and maps, is learned from training trials.

    Examples
    --------
    >>> import numpy as np
    >>> from activome.decoding import PopulationDecoder
    >>> rng = np.random.default_rng(0)
    >>> side = np.tile([0, 1], 20)
    >>> rate = np.array([[1.0, 1, 4, 4, 4, 4], [4, 4, 4, 4, 1, 1]])
    >>> animals = [(rng.poisson(rate[side][:, order, None], (40, 6, 5)), side)
    ...            for order in ([0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0])]
    >>> decoder = PopulationDecoder(max_epochs=20)
    >>> transfer_matrix(animals, decoder, ResponseAligner()).values.min() > 0.9
    np.True_
    """
    owner = "transfer_matrix"
    check_number(test_share, name="test_share", owner=owner, low=0.0, high=1.0)
    if n_shots is not None:
        check_integer(n_shots, name="n_shots", owner=owner, low=1)
        if aligner is not None:
            raise ParameterError(
                f"{owner}: aligner and n_shots are two ways to reach other animals; give one of "
                "them."
            )
    split = _split_animals(animals, test_share, integer_seed(random_state), owner)
    n = len(split)
    found = np.empty((n, n))
    for s, (train, train_labels, _, _) in enumerate(split):
        fitted = clone(decoder).fit(train, train_labels)
        for t, other in enumerate(split):
            if s == t:
                found[s, t] = _accuracy(fitted, other[2], other[3])
            elif n_shots is not None:
                found[s, t] = _few_shot(fitted, other, n_shots, owner)
            else:
                test = other[2]
                if aligner is not None:
                    aligned = clone(aligner).fit(train, train_labels, other[0], other[1])
                    test = aligned.transform(test)
                found[s, t] = _accuracy(fitted, test, other[3])
            progress("transfer", s * n + t + 1, n * n)
    return xr.DataArray(
        found, dims=("source", "target"), coords={"source": range(n), "target": range(n)}
    )


Split = tuple[Array, Array, Array, Array]


def _split_animals(
    animals: Sequence[tuple[Any, Any]], test_share: float, seed: int, owner: str
) -> list[Split]:
    if len(animals) < 2:
        raise ActivityError(f"{owner}: there must be at least two animals; got {len(animals)}.")
    split: list[Split] = []
    classes: Array | None = None
    for number, (X, y) in enumerate(animals):
        values, index = as_plain(X, f"{owner}, animal {number}")
        labels = labels_of(y, index, len(values), f"{owner}, animal {number}")
        names, counts = np.unique(labels, return_counts=True)
        if counts.min() < 2 or names.size < 2:
            raise ActivityError(
                f"{owner}: every animal needs two classes and two trials of each; animal {number} "
                f"has {dict(zip(names.tolist(), counts.tolist(), strict=True))}."
            )
        if classes is not None and not np.array_equal(names, classes):
            raise ActivityError(
                f"{owner}: all animals must have seen the same classes; animal {number} saw "
                f"{names.tolist()}, the first {classes.tolist()}. Keep the shared ones."
            )
        classes = names
        splitter = StratifiedShuffleSplit(1, test_size=test_share, random_state=seed)
        train, test = next(splitter.split(labels, labels))
        split.append((values[train], labels[train], values[test], labels[test]))
    return split


def _accuracy(decoder: Any, values: Array, labels: Array) -> float:
    return float(np.mean(decoder.predict(values) == labels))


def _few_shot(fitted: Any, animal: Split, n_shots: int, owner: str) -> float:
    values, labels, test, test_labels = animal
    names, counts = np.unique(labels, return_counts=True)
    if counts.min() < n_shots:
        raise ActivityError(
            f"{owner}: every class needs {n_shots} training trials in every animal; class "
            f"{names[counts.argmin()]!r} has {counts.min()}. Use fewer shots."
        )
    chosen = np.concatenate([np.flatnonzero(labels == name)[:n_shots] for name in names])
    moved = deepcopy(fitted).partial_readin_fit(values[chosen], labels[chosen])
    return _accuracy(moved, test, test_labels)
