"""FEAST: features of event streams, learned by competition with adaptive selection thresholds."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from activome._random import RandomState
from activome.activity.events import Events
from activome.errors import ActivityError
from activome.patterns._feast_fit import join_trials, trial_shares
from activome.patterns._feast_learning import FeastLearning
from activome.patterns._pixel_events import empty_surface

__all__ = ["FEAST"]

Array = np.ndarray[Any, Any]


class FEAST(TransformerMixin, FeastLearning):
    """Learn small features of an event stream, online and without labels.

    Each event sees the time surface around it: how recently its neighbours fired, as a vector of
    unit norm. Of the features whose own selection threshold it passes, the most similar one takes
    the event, moves towards it and becomes pickier; if none passes, all become less picky. This
    alone makes features equally active, and the share of missed events settles at
    ``close / (close + K open)`` whatever the data are.

    Parameters
    ----------
    n_features : int, default=32
        Number of features K.
    radius : int, default=4
        Pixels on each side of an event; the patch has ``(2 radius + 1)**2``.
    tau : float in (0, inf), default=30e-3
        Time constant of the time surface, s.
    eta : float in (0, 1], default=1e-3
        Share of the way that the winner moves towards the event.
    threshold_open : float in (0, inf), default=3e-3
        What every threshold falls by at a miss.
    threshold_close : float in (0, inf), default=1e-3
        What the winner's threshold rises by.
    polarity : {"separate", "merge", "signed"}, default="separate"
        Whether an event sees the events of its own polarity; all of them; or those of the other
        polarity as negative.
    border : {"drop", "zero"}, default="drop"
        Leave out events whose patch reaches beyond the sensor (label -2), or see 0 there.
    selection : {"threshold", "best"}, default="threshold"
        "best" lets the most similar feature win every event: competitive learning without
        thresholds, to compare with.
    clip : bool, default=False
        Keep thresholds in [0, 1]; the law of missed events then no longer holds.
    n_passes : int, default=1
        Passes of ``fit`` over the events.
    init : {"random", "data"}, default="random"
        Start from uniform weights, or from the surroundings of events drawn at random.
    reset_between : bool, default=True
        Begin every trial, and every call of ``partial_fit``, with an empty time surface; else
        trials follow each other on one clock.
    block : int, default=10_000
        Events per row of the history.
    random_state : int, Generator or None, default=None
        Seed of the start.

    Attributes
    ----------
    weights_ : ndarray of float64, shape (n_features, patch_size)
        Features of unit norm, rows of the patch one after the other.
    thresholds_ : ndarray of float64, shape (n_features,)
        Selection thresholds.
    activity_ : ndarray of float64, shape (n_features,)
        Share of the events that each feature won; with ``missed_rate_`` they sum to 1.
    missed_rate_ : float
        Share of events that no feature won, border events left out.
    equilibrium_missed_rate_ : float
        Where the missed rate settles; 0 without thresholds.
    converged_ : bool
        Whether the missed rate of the last block is within a tenth of the equilibrium and the
        spread of the thresholds changed by less than 1 % in it (our choice).
    history_ : xarray.DataArray
        Dims (block, measure): events seen, missed rate, mean and spread of thresholds, and mean of
        1 - old . new weight; coord ``event`` counts events to the end of the block.
    trial_shares_ : ndarray of float64, shape (n_trials, n_features)
        Share of each feature among the events won in each trial, while learning.

    Raises
    ------
    ActivityError
        If there are no events or no pixels, polarities are not {0, 1} or {-1, 1}, or the patch is
        larger than the sensor.
    ParameterError
        If a parameter is outside its range.

    Notes
    -----
    O(K (2 radius + 1)^2) per event, compiled, without an array of contexts. Ties go to the lowest
    index. The defaults of the thresholds are those of the paper's text as far as it gives them.

    References
    ----------
    .. [1] S. Afshar, N. Ralph, Y. Xu, J. Tapson, A. van Schaik and G. Cohen, "Event-based feature
       extraction using adaptive selection thresholds", 2020.

    Examples
    --------
    >>> from activome.activity import Events
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.integers(8, size=(2, 5000))
    >>> events = Events(np.arange(5000), y * 8 + x, x=x, y=y, p=rng.integers(2, size=5000))
    >>> model = FEAST(4, radius=1, tau=1e-4, random_state=0).fit(events)
    >>> round(model.equilibrium_missed_rate_, 4), abs(model.missed_rate_ - 0.0769) < 0.02
    (0.0769, True)
    """

    def __init__(
        self,
        n_features: int = 32,
        radius: int = 4,
        *,
        tau: float = 30e-3,
        eta: float = 1e-3,
        threshold_open: float = 3e-3,
        threshold_close: float = 1e-3,
        polarity: str = "separate",
        border: str = "drop",
        selection: str = "threshold",
        clip: bool = False,
        n_passes: int = 1,
        init: str = "random",
        reset_between: bool = True,
        block: int = 10_000,
        random_state: RandomState = None,
    ) -> None:
        self.n_features = n_features
        self.radius = radius
        self.tau = tau
        self.eta = eta
        self.threshold_open = threshold_open
        self.threshold_close = threshold_close
        self.polarity = polarity
        self.border = border
        self.selection = selection
        self.clip = clip
        self.n_passes = n_passes
        self.init = init
        self.reset_between = reset_between
        self.block = block
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn features from a stream, from a fresh start.

        Parameters
        ----------
        X : Events or xarray.DataArray
            Events with pixels, or counts over (trial, time, unit) whose units have coords x and y.
        y : None
            Ignored.

        Returns
        -------
        Self
            The fitted features; a `ConvergenceWarning` tells when there were fewer than 1,000
            events per feature.

        Raises
        ------
        ActivityError
            If there are no events or no pixels, or the patch is larger than the sensor.
        ParameterError
            If a parameter is outside its range.
        """
        self._fit_read(self._read(X, "FEAST.fit"))
        return self

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Events:
        """Learn features, and return the labels that were made while learning.

        Parameters
        ----------
        X : Events or xarray.DataArray
            Events with pixels.
        y : None
            Ignored.
        **fit_params : Any
            Ignored; scikit-learn's pipelines pass them.

        Returns
        -------
        Events
            The events with the column ``feature``, of the last pass.
        """
        read = self._read(X, "FEAST.fit_transform")
        return read.events.assign(feature=self._fit_read(read).label)

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Go on learning from further events.

        Parameters
        ----------
        X : Events or xarray.DataArray
            Events with pixels; without ``reset_between`` they must not be before those of the last
            call.
        y : None
            Ignored.

        Returns
        -------
        Self
            The features.

        Raises
        ------
        ActivityError
            If there are no events or no pixels, or they are before those of the last call.
        ParameterError
            If the radius is another one than in the first call.
        """
        read = self._read(X, "FEAST.partial_fit")
        if not hasattr(self, "weights_"):
            self._begin(read)
        self._check_patch("FEAST.partial_fit")
        self._learn(read)
        return self

    def transform(self, X: Any, *, similarity: bool = False) -> Events:
        """Name the feature of every event; nothing is learned.

        Parameters
        ----------
        X : Events or xarray.DataArray
            Events with pixels.
        similarity : bool, default=False
            Give in the column ``value`` how alike the event and its feature are; the most similar
            feature's for missed events, 0 at the border.

        Returns
        -------
        Events
            The events with the column ``feature``: an index, -1 for missed events, -2 for those at
            the border.

        Raises
        ------
        ActivityError
            If there are no events or no pixels, or the patch is larger than the sensor.
        ParameterError
            If the radius is another one than in ``fit``.
        """
        check_is_fitted(self, "weights_")
        read = self._read(X, "FEAST.transform")
        self._check_patch("FEAST.transform")
        state = (np.array(self.weights_.T, order="C"), np.array(self.thresholds_, np.float64))
        columns = join_trials(read, self.reset_between)
        found = self._run(read, columns, empty_surface(read, self.radius), state, learns=False)
        extra = {"value": found.match} if similarity else {}
        return read.events.assign(feature=found.label, **extra)

    def predict(self, X: Any) -> Array:
        """Return the index of the feature of every event.

        Parameters
        ----------
        X : Events or xarray.DataArray
            Events with pixels.

        Returns
        -------
        ndarray of int32, shape (n_events,)
            As the column ``feature`` of ``transform``.
        """
        return np.asarray(self.transform(X).feature)

    def quality_(self, X: Any = None) -> float:
        """Tell without labels how much features tell trials apart.

        Parameters
        ----------
        X : Events or xarray.DataArray, optional
            Events to name with the features as they are; by default the labels made while learning
            count, in which features that still change look as if trials differed.

        Returns
        -------
        float
            Mean over features of the standard deviation across trials of the feature's share,
            times K: 0 where all trials hold the same mixture.

        Raises
        ------
        ActivityError
            If there are fewer than two trials with events won.
        """
        check_is_fitted(self, "weights_")
        shares = self.trial_shares_
        if X is not None:
            read = self._read(X, "FEAST.quality_")
            shares = trial_shares(read, self.predict(X), len(self.weights_))
        if len(shares) < 2:
            raise ActivityError(
                "FEAST.quality_: there must be at least two trials with events won; got "
                f"{len(shares)}. Give the events a column trial."
            )
        return float(shares.std(axis=0).mean() * shares.shape[1])

    def noise_features_(self) -> Array:
        """Return the features that see their centre pixel alone, as noise does.

        Returns
        -------
        ndarray of int64, shape (n_noise,)
            Indices of features whose squared centre weight is above 0.8 (our choice).
        """
        check_is_fitted(self, "weights_")
        return np.flatnonzero(self.weights_[:, self.weights_.shape[1] // 2] ** 2 > 0.8)
