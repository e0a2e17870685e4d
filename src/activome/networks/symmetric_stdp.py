"""A spiking classifier of images that learns by symmetric STDP alone."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from activome._random import RandomState
from activome.activity.events import Events
from activome.networks._image_inputs import (
    check_parameters,
    check_unchanged,
    index_of,
    read_chance,
    read_labels,
)
from activome.networks._image_learning import ImageLearning
from activome.networks._image_network import spikes_of
from activome.networks._image_runs import decide, layers_of

__all__ = ["SymmetricSTDPClassifier"]

Array = np.ndarray[Any, Any]
_HIDDEN, _CLASS, _BOTH = np.array([1, 1, 0]), np.array([0, 0, 1]), np.array([1, 1, 1])


class SymmetricSTDPClassifier(ImageLearning):
    """Classify images with three layers of spiking cells and local rules, without an error signal.

    Pixels are rates of input spikes. Hidden cells compete through inhibitory partners; class cells
    are driven by a teacher in training and by the hidden ones at test. Both ways of synapses grow
    whenever the two cells fire close in time, in either order; scaling keeps the sum onto each cell
    and an adaptive threshold keeps hidden cells from firing for everything.

    Parameters
    ----------
    n_hidden : int, default=100
        Hidden cells.
    n_epochs : int, default=1
        Passes over the images.
    duration, rest : float, default=350.0, 150.0
        Time of an image, and of the pause after it, ms.
    dt : float in (0, 1], default=0.5
        Step of the clock, ms.
    max_rate : float, default=63.75
        Rate of the brightest pixel, Hz. An image that evokes fewer than five hidden spikes is shown
        again, brighter by half of this each time.
    training : {"simultaneous", "layerwise"}, default="simultaneous"
        Both layers at once, or the class weights after the hidden ones are frozen.
    eta_hidden, eta_class : float, default=5e-3, 0.04
        Rates of learning.
    theta_plus : float, default=0.07
        Rise of a threshold at a spike, mV.
    tau_theta : float, default=6e6
        Time constant of the decay of thresholds, ms.
    v_threshold : float, default=-52.0
        Threshold of a hidden cell at the beginning, mV.
    scaling : float or None, default=0.1
        Mean weight onto each hidden cell, held before every image, as is a tenth of the largest
        onto each class cell; None leaves scaling out. Weights of inputs are at most 1, of class
        cells 8.
    rule : {"symmetric", "asymmetric"}, default="symmetric"
        Asymmetric: a spike that arrives after one of the cell behind lowers the weight.
    max_input : float, default=1.0
        Value of the brightest pixel.
    input_sum : float or None, default=None
        Scale each image so that its pixels add up to as many of the brightest ones, for sets whose
        images differ in brightness. With ``v_threshold=-60`` and ``scaling=0.025``, 92.2 (a mean of
        30 of 255) is the paper's setting for Fashion-MNIST.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the present state.
    random_state : int, Generator or None, default=None
        Seed of weights and spikes.
    n_jobs : int, default=1
        Threads at test; results do not depend on it.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        Labels.
    hidden_weights_ : ndarray of float64, shape (n_inputs, n_hidden)
        Weights of the inputs.
    class_weights_ : ndarray of float64, shape (n_hidden, n_classes)
        Weights of the class cells.
    theta_ : ndarray of float64, shape (n_hidden,)
        Adaptive part of the thresholds, mV; 20 at the beginning.
    assignments_ : ndarray of int64, shape (n_hidden,)
        Index of the class that each hidden cell answered to most in training.
    n_silent_ : int
        Images of the last ``predict`` without a class spike, which got the most frequent class.
    n_features_in_ : int
        Inputs.

    Raises
    ------
    ParameterError
        If a parameter is outside its range, or there are fewer hidden cells than classes.
    ActivityError
        If images or labels do not hold what they must.

    Notes
    -----
    The default rates are the paper's, which shows each image many times. After few images class
    weights are still nearly equal, no spike of a hidden cell makes a class cell fire, and
    ``predict`` falls back on the most frequent class: see ``n_silent_``. More epochs help, or
    larger ``theta_plus`` and ``eta_class``.

    An image costs O(n_spikes n_hidden + n_steps n_hidden). Every synapse has a delay of one step,
    so that the network is one of ``activome.networks.simulate`` too, and gives the same spikes
    there; this and ties, broken by the conductance of the class cells, are our choice. At test the
    spikes drawn for an image depend on the seed and the image alone.

    References
    ----------
    .. [1] Y. Hao, X. Huang, M. Dong and B. Xu, "A biologically plausible supervised learning method
       for spiking neural networks using the symmetric STDP rule", 2020.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=60)
    >>> X = np.repeat(np.eye(2), 20, axis=1)[y] * rng.uniform(0.5, 1.0, (60, 40))
    >>> options = {"max_rate": 200.0, "duration": 150.0, "eta_class": 0.2}
    >>> model = SymmetricSTDPClassifier(30, **options, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9), model.n_silent_
    (True, 0)
    """

    def __init__(
        self,
        n_hidden: int = 100,
        n_epochs: int = 1,
        *,
        duration: float = 350.0,
        rest: float = 150.0,
        dt: float = 0.5,
        max_rate: float = 63.75,
        training: Literal["simultaneous", "layerwise"] = "simultaneous",
        eta_hidden: float = 5e-3,
        eta_class: float = 0.04,
        theta_plus: float = 0.07,
        tau_theta: float = 6e6,
        v_threshold: float = -52.0,
        scaling: float | None = 0.1,
        rule: Literal["symmetric", "asymmetric"] = "symmetric",
        max_input: float = 1.0,
        input_sum: float | None = None,
        warm_start: bool = False,
        random_state: RandomState = None,
        n_jobs: int = 1,
    ) -> None:
        self.n_hidden = n_hidden
        self.n_epochs = n_epochs
        self.duration = duration
        self.rest = rest
        self.dt = dt
        self.max_rate = max_rate
        self.training = training
        self.eta_hidden = eta_hidden
        self.eta_class = eta_class
        self.theta_plus = theta_plus
        self.tau_theta = tau_theta
        self.v_threshold = v_threshold
        self.scaling = scaling
        self.rule = rule
        self.max_input = max_input
        self.input_sum = input_sum
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from images and labels.

        Parameters
        ----------
        X : array-like of float, shape (n_images, n_inputs)
            Pixels from 0 to ``max_input``.
        y : array-like, shape (n_images,)
            Labels.

        Returns
        -------
        Self
            The fitted classifier.

        Raises
        ------
        ParameterError
            If a parameter is outside its range, or there are fewer hidden cells than classes.
        ActivityError
            If pixels are outside their range or not finite, an image is dark, labels do not fit,
            or there is one class only.
        """
        check_parameters(self)
        goes_on = self.warm_start and hasattr(self, "hidden_weights_")
        chance = read_chance(self, X, "fit" if not goes_on else "warm fit")
        labels = read_labels(y, len(chance), "fit")
        if goes_on:
            check_unchanged(self, None, "fit")
        else:
            self._begin(chance.shape[1], np.unique(labels))
        index = index_of(labels, self.classes_, "fit")
        passes = [(_BOTH, True)] * self.n_epochs
        if self.training == "layerwise":
            passes = [(_HIDDEN, True)] * self.n_epochs + [(_CLASS, False)] * self.n_epochs
        for learns, counts in passes:
            self._pass(chance, index, learns, fresh=counts, counts=counts)
        return self

    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Learn from some more images, both layers at once.

        Parameters
        ----------
        X : array-like of float, shape (n_images, n_inputs)
            Pixels from 0 to ``max_input``.
        y : array-like, shape (n_images,)
            Labels.
        classes : array-like, optional
            All labels there will be; needed at the first call unless ``y`` has them all.

        Returns
        -------
        Self
            The classifier.

        Raises
        ------
        ParameterError
            If a parameter is outside its range, or there are fewer hidden cells than classes.
        ActivityError
            If images or labels do not hold what they must.
        """
        check_parameters(self)
        chance = read_chance(self, X, "partial_fit")
        labels = read_labels(y, len(chance), "partial_fit")
        if hasattr(self, "hidden_weights_"):
            check_unchanged(self, classes, "partial_fit")
        else:
            known = labels if classes is None else np.asarray(classes)
            self._begin(chance.shape[1], np.unique(known))
        index = index_of(labels, self.classes_, "partial_fit")
        self._pass(chance, index, _BOTH, fresh=False, counts=True)
        return self

    def transform(self, X: ArrayLike) -> Array:
        """Return how often each hidden cell fires for each image; nothing is learned.

        Parameters
        ----------
        X : array-like of float, shape (n_images, n_inputs)
            Pixels from 0 to ``max_input``.

        Returns
        -------
        ndarray of int64, shape (n_images, n_hidden)
            Spikes in ``duration``.

        Raises
        ------
        ActivityError
            If images do not hold what they must.
        """
        return np.array([shown.hidden for shown in self._show(X, "transform", -1)])

    def decision_function(self, X: ArrayLike) -> Array:
        """Return how often each class cell fires for each image.

        Parameters
        ----------
        X : array-like of float, shape (n_images, n_inputs)
            Pixels from 0 to ``max_input``.

        Returns
        -------
        ndarray of int64, shape (n_images, n_classes)
            Spikes in ``duration``.

        Raises
        ------
        ActivityError
            If images do not hold what they must.
        """
        return np.array([shown.classes for shown in self._show(X, "decision_function", None)])

    def predict(self, X: ArrayLike) -> Array:
        """Return the class whose cell fires most.

        Parameters
        ----------
        X : array-like of float, shape (n_images, n_inputs)
            Pixels from 0 to ``max_input``.

        Returns
        -------
        ndarray, shape (n_images,)
            Labels.

        Raises
        ------
        ActivityError
            If images do not hold what they must.

        Warns
        -----
        ActivityWarning
            If more than a quarter of the images evoke no class spike.
        """
        best, self.n_silent_ = decide(self._show(X, "predict", None), int(self._n_seen.argmax()))
        found: Array = self.classes_[best]
        return found

    def predict_unsupervised(self, X: ArrayLike) -> Array:
        """Return the class of the hidden cells that fire most, without the class cells.

        Parameters
        ----------
        X : array-like of float, shape (n_images, n_inputs)
            Pixels from 0 to ``max_input``.

        Returns
        -------
        ndarray, shape (n_images,)
            Labels: of the class whose assigned cells have the highest mean count.

        Raises
        ------
        ActivityError
            If images do not hold what they must.
        """
        counts = np.array([shown.hidden for shown in self._show(X, "predict_unsupervised", -1)])
        member = self.assignments_[:, None] == np.arange(self.classes_.size)
        mean = counts @ member / np.maximum(member.sum(axis=0), 1)
        found: Array = self.classes_[mean.argmax(axis=1)]
        return found

    def record(self, X: ArrayLike) -> dict[str, Events]:
        """Return every spike for each image; nothing is learned.

        Parameters
        ----------
        X : array-like of float, shape (n_images, n_inputs)
            Pixels from 0 to ``max_input``.

        Returns
        -------
        dict of str to Events
            Spikes of "input", "hidden", "inhibitory" and "class" cells, one trial per image; of an
            image that is shown several times, of the last.

        Raises
        ------
        ActivityError
            If images do not hold what they must.
        """
        shown = self._show(X, "record", None, record=True)
        return spikes_of(layers_of(self), shown, self.n_features_in_)
