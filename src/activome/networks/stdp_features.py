"""Features of images that spiking cells learn by STDP, without labels."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import xarray as xr
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_choice, check_integer
from activome._random import RandomState, integer_seed
from activome.activity.estimators.sample import SampleTransformer
from activome.activity.events import Events
from activome.errors import ActivityError
from activome.networks._image_inputs import check_parameters, read_chance
from activome.networks._spike_classifier import label_spikes, timed
from activome.networks._step_inputs import check_unit_interval
from activome.networks.operation_count import OperationCount
from activome.networks.symmetric_stdp import SymmetricSTDPClassifier

__all__ = ["STDPFeatures"]

Array = np.ndarray[Any, Any]
_RULES = {"symmetric": "symmetric", "pair": "asymmetric"}
# Which of the input, the hidden and the class weights learn.
_HIDDEN_ONLY = np.array([1, 1, 0])


class STDPFeatures(SampleTransformer):
    """Turn images into counts of the spikes of competing cells that learned them by STDP.

    The hidden layer of ``SymmetricSTDPClassifier``, trained without labels: pixels are rates of
    input spikes, and cells that inhibit one another strengthen the synapses from pixels that are
    bright when they fire. Put any classifier behind it, or another layer of it.

    Parameters
    ----------
    n_features : int, default=100
        Cells, at least 2.
    rule : {"symmetric", "pair"}, default="symmetric"
        Synapses grow whenever two spikes come close in time; or, with "pair", shrink where the
        input comes second.
    homeostasis : bool, default=True
        Whether thresholds adapt, and weights onto a cell keep their sum.
    n_epochs : int, default=1
        Passes over the images.
    duration : float, default=350.0
        Time that an image is shown, ms.
    dt : float in (0, 1], default=0.5
        Step of the clock, ms.
    max_rate : float, default=63.75
        Rate of the brightest pixel, Hz; an image that evokes too few spikes is shown brighter.
    eta : float, default=5e-3
        Rate of learning.
    max_input : float, default=1.0
        Value of the brightest pixel.
    input_sum : float or None, default=None
        Scale each image so that its pixels add up to as many of the brightest ones.
    random_state : int, Generator or None, default=0
        Seed of weights and spikes.
    n_jobs : int, default=1
        Threads of ``transform``; results do not depend on it.

    Attributes
    ----------
    components_ : ndarray of float64, shape (n_features, n_inputs)
        Weights of the inputs.
    theta_ : ndarray of float64, shape (n_features,)
        Adaptive part of the thresholds, mV.
    seed_ : int
        Seed of the spikes that ``transform`` draws.

    Raises
    ------
    ActivityError
        If pixels are not finite or outside [0, ``max_input``], or an image is dark.
    ParameterError
        If a parameter is outside its range.

    Notes
    -----
    The spikes drawn for an image depend on the seed and the image alone, so that its counts are the
    same whichever others are shown.

    References
    ----------
    .. [1] P. U. Diehl and M. Cook, "Unsupervised learning of digit recognition using
       spike-timing-dependent plasticity", 2015.
    .. [2] Y. Hao, X. Huang, M. Dong and B. Xu, "A biologically plausible supervised learning method
       for spiking neural networks using the symmetric STDP rule", 2020.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(40) % 2
    >>> X = np.repeat(np.eye(2), 20, axis=1)[y] * rng.uniform(0.5, 1.0, (40, 40))
    >>> counts = STDPFeatures(8, max_rate=200.0, duration=150.0).fit_transform(X)
    >>> bool((counts[y == 0].mean(0) @ counts[y == 1].mean(0)) < counts.mean())
    True
    """

    _output_kind: ClassVar[str] = "spikes"

    def __init__(
        self,
        n_features: int = 100,
        rule: Literal["symmetric", "pair"] = "symmetric",
        *,
        homeostasis: bool = True,
        n_epochs: int = 1,
        duration: float = 350.0,
        dt: float = 0.5,
        max_rate: float = 63.75,
        eta: float = 5e-3,
        max_input: float = 1.0,
        input_sum: float | None = None,
        random_state: RandomState = 0,
        n_jobs: int = 1,
    ) -> None:
        self.n_features = n_features
        self.rule = rule
        self.homeostasis = homeostasis
        self.n_epochs = n_epochs
        self.duration = duration
        self.dt = dt
        self.max_rate = max_rate
        self.eta = eta
        self.max_input = max_input
        self.input_sum = input_sum
        self.random_state = random_state
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags

    def _fit(self, values: Array) -> None:
        network = self._network(integer_seed(self.random_state), self.n_features)
        chance = self._chance(network, values, "fit")
        for _ in range(self.n_epochs):
            network._pass(
                chance, np.zeros(len(chance), np.int64), _HIDDEN_ONLY, fresh=True, counts=False
            )
        self.components_ = np.ascontiguousarray(network.hidden_weights_.T)
        self.theta_ = network.theta_
        self.seed_ = network._test_seed

    def _transform(self, values: Array) -> Array:
        network = self._fitted()
        self._chance(network, values, "transform")
        return network.transform(values).astype(np.float64)

    def spikes(self, X: Any, dt: float = 1e-3) -> dict[str, xr.DataArray]:
        """Return the spikes of the inputs and the cells; nothing is learned.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_units)
            Images.
        dt : float, default=1e-3
            Width of a bin, s.

        Returns
        -------
        dict of str to xarray.DataArray, dims (trial, time, unit)
            Counts of "input" and "hidden" cells per bin.

        Raises
        ------
        ActivityError
            If pixels are not finite or outside their range, an image is dark, or units are not
            those of ``fit``.
        """
        found, index = self._record(X, "spikes")
        return {
            name: label_spikes(found[name].bin(dt).values, index, "STDPFeatures", step=dt)
            for name in ("input", "hidden")
        }

    def operations(self, X: Any) -> OperationCount:
        """Count what an image costs.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_units)
            Images.

        Returns
        -------
        OperationCount
            Means over the images, inhibition included.

        Raises
        ------
        ActivityError
            If pixels are not finite or outside their range, an image is dark, or units are not
            those of ``fit``.
        """
        (found, _), seconds = timed(lambda: self._record(X, "operations"))
        n_images = found["hidden"].n_trials
        counts = {
            name: np.bincount(found[name].unit, minlength=found[name].n_units) / n_images
            for name in ("input", "hidden", "inhibitory")
        }
        steps = round(self.duration / self.dt)
        reached = {"input": self.n_features, "hidden": 1, "inhibitory": self.n_features - 1}
        return OperationCount(
            multiply_accumulate=0.0,
            accumulate=float(sum(counts[name].sum() * n for name, n in reached.items())),
            spikes_per_unit=counts,
            steps=steps,
            seconds=seconds / n_images,
            leak_multiply=2.0 * self.n_features * steps,
        )

    def _record(self, X: Any, method: str) -> tuple[dict[str, Events], Any]:
        check_is_fitted(self)
        values, index = self._read(X, reset=False)
        network = self._fitted()
        self._chance(network, values, method)
        return network.record(values), index

    def _network(self, seed: int, n_features: int) -> SymmetricSTDPClassifier:
        check_integer(self.n_features, name="n_features", owner="STDPFeatures", low=2)
        check_choice(self.rule, _RULES, name="rule", owner="STDPFeatures")
        rule: Any = _RULES[self.rule]
        network = SymmetricSTDPClassifier(
            n_features,
            self.n_epochs,
            duration=self.duration,
            dt=self.dt,
            max_rate=self.max_rate,
            eta_hidden=self.eta,
            theta_plus=0.07 if self.homeostasis else 0.0,
            scaling=0.1 if self.homeostasis else None,
            rule=rule,
            max_input=self.max_input,
            input_sum=self.input_sum,
            random_state=seed,
            n_jobs=self.n_jobs,
        )
        check_parameters(network)
        # Its class cells are there but take no part: two are the fewest that it can have.
        network._begin(self.n_features_in_, np.arange(2))
        return network

    def _fitted(self) -> SymmetricSTDPClassifier:
        # As many cells as were fitted, whatever the parameter says now.
        network = self._network(0, len(self.components_))
        network.hidden_weights_ = np.ascontiguousarray(self.components_.T)
        network._theta[: len(self.components_)] = self.theta_
        network._test_seed = self.seed_
        return network

    def _chance(self, network: SymmetricSTDPClassifier, values: Array, method: str) -> Array:
        """Return the chance of a spike of every pixel, once the images are what they must be."""
        owner = f"STDPFeatures.{method}"
        check_unit_interval(values, owner=owner, most=self.max_input)
        is_dark = ~values.any(axis=1)
        if is_dark.any():
            raise ActivityError(
                f"{owner}: every image must have a pixel above 0, or no cell will fire; "
                f"{int(is_dark.sum())} have none, the first is image {int(is_dark.argmax())}. "
                "Drop them."
            )
        return read_chance(network, values, method)
