"""Generalised linear models of spike counts, with the history of every unit as input."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy import special
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_choice, check_integer, check_number
from activome._random import RandomState, make_generator
from activome.activity.estimators.sequence import SequenceEstimator
from activome.errors import ActivityError, ConvergenceWarning, ParameterError
from activome.patterns._counts import check_counts, predictor_of, stack_sequences
from activome.patterns._glm_newton import (
    FAMILIES,
    LINKS,
    fit_dispersion,
    fit_newton,
    inverse_link,
    log_prob,
)
from activome.patterns._history import exponential_basis, history_features, raised_cosine_basis

__all__ = ["PopulationGLM"]

Array = np.ndarray[Any, Any]
_BASES = ("raised_cosine", "exponential", "identity")
_ROUNDS = 25


class PopulationGLM(SequenceEstimator):
    """Predict the counts of every unit from the recent past of all units.

    ``mean_n(t) = g(b_n + sum over m, k of W_nmk h_mk(t))`` where ``h_mk`` is the past of unit m
    weighed by basis function k [1]_, one regression per unit. The weights show which units go
    before which others, given all of them; they are no proof of a connection.

    Parameters
    ----------
    family : {"poisson", "bernoulli", "negative_binomial"}, default="poisson"
        Law of the counts. Bernoulli is for bins with at most one spike; the negative binomial law
        has variance ``mean + dispersion * mean**2``, the dispersion fitted per unit.
    link : {"auto", "exp", "softplus", "sigmoid"}, default="auto"
        Function g; "auto" is exp, or sigmoid for Bernoulli. With a sigmoid the mean of a Poisson
        law stays below 1 per bin.
    basis : {"raised_cosine", "exponential", "identity"}, default="raised_cosine"
        Functions over lags; "identity" has one weight per lag.
    window : int, default=10
        Number of lags in bins.
    n_bases : int, default=3
        Number of raised cosines; the other bases have a fixed number.
    decay : float in [0, inf), default=1.0
        Of the exponential basis, per bin.
    coupling : {"all", "self", "none"}, default="all"
        Whose history counts: that of all units, of the unit itself, or none.
    ridge : float in [0, inf), default=0.1
        Penalty on squared weights, not on the bias: ``ridge / 2 * sum W**2`` nats.
    max_iter : int, default=100
        Most iterations per unit.
    tol : float in (0, inf), default=1e-10
        Relative change of the objective at which a unit is done.

    Attributes
    ----------
    weights_ : ndarray of float64, shape (n_units, n_units, n_bases)
        From the past of the second unit to the first; zero where there is no coupling.
    bias_ : ndarray of float64, shape (n_units,)
        Linear predictor without any past.
    basis_ : ndarray of float64, shape (window, n_bases)
        Functions over lags, lag 1 first.
    filters_ : ndarray of float64, shape (n_units, n_units, window)
        ``weights_`` as functions of the lag.
    dispersion_ : ndarray of float64, shape (n_units,)
        Of the negative binomial law; 0 for the other families.
    log_likelihood_ : ndarray of float64, shape (n_units,)
        Of the training counts, in nats per bin.
    n_iter_ : int
        Most iterations that a unit took.

    Raises
    ------
    ParameterError
        If a parameter is outside its range, or the link does not suit the family.
    ActivityError
        If the activity is not whole counts, a unit is silent (or active in every bin of a Bernoulli
        model), or a sequence is not longer than the window.

    Notes
    -----
    Fisher scoring with step halving, so that the objective never falls; for exp with Poisson and
    sigmoid with Bernoulli this is Newton's method. Cost per iteration and unit is
    ``n_times * (n_units * n_bases)**2``. Without a ridge, units that say the same share the
    weight equally.

    References
    ----------
    .. [1] W. Truccolo, U. T. Eden, M. R. Fellows, J. P. Donoghue and E. N. Brown, "A point process
       framework for relating neural spiking activity to spiking history, neural ensemble, and
       extrinsic covariate effects", 2005.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.poisson(0.3, size=(2000, 2))
    >>> x[1:, 1] += rng.poisson(0.8 * x[:-1, 0])
    >>> model = PopulationGLM(basis="identity", window=1, link="softplus").fit(x)
    >>> (model.weights_[:, :, 0] > 0.5).tolist()
    [[False, False], [True, False]]
    """

    def __init__(
        self,
        family: str = "poisson",
        link: str = "auto",
        *,
        basis: str = "raised_cosine",
        window: int = 10,
        n_bases: int = 3,
        decay: float = 1.0,
        coupling: str = "all",
        ridge: float = 0.1,
        max_iter: int = 100,
        tol: float = 1e-10,
    ) -> None:
        self.family = family
        self.link = link
        self.basis = basis
        self.window = window
        self.n_bases = n_bases
        self.decay = decay
        self.coupling = coupling
        self.ridge = ridge
        self.max_iter = max_iter
        self.tol = tol

    def _fit(self, values: list[Array]) -> None:
        self._check_parameters()
        owner = "PopulationGLM.fit"
        counts, offsets = stack_sequences(values)
        shortest = int(np.diff(offsets).min())
        if shortest <= self.window:
            raise ActivityError(
                f"{owner}: every sequence must be longer than the window of {self.window} bins; "
                f"the shortest has {shortest}. Use a shorter window, or drop it."
            )
        largest = 1.0 if self.family == "bernoulli" else np.inf
        names = getattr(self, "unit_names_", None)
        check_counts(counts, owner=owner, largest=largest, names=names, silent="refuse")
        self.basis_ = self._make_basis()
        features = history_features(counts, self.basis_, offsets)
        n_units, n_bases = counts.shape[1], self.basis_.shape[1]
        self.weights_ = np.zeros((n_units, n_units, n_bases))
        self.bias_, self.dispersion_ = np.zeros(n_units), np.zeros(n_units)
        self.log_likelihood_, self.n_iter_ = np.zeros(n_units), 0
        late = [n for n in range(n_units) if not self._fit_unit(n, counts, features)]
        self.filters_ = self.weights_ @ self.basis_.T
        if late:
            warnings.warn(
                f"{owner}: {len(late)} of {n_units} units were still changing by more than "
                f"{self.tol:g} after {self.max_iter} iterations, unit {late[0]} first. Raise "
                "max_iter, or ridge where spikes can be told without error.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _check_parameters(self) -> None:
        owner = "PopulationGLM"
        check_choice(self.family, FAMILIES, name="family", owner=owner)
        check_choice(self.link, ("auto", *LINKS), name="link", owner=owner)
        check_choice(self.basis, _BASES, name="basis", owner=owner)
        check_choice(self.coupling, ("all", "self", "none"), name="coupling", owner=owner)
        check_integer(self.window, name="window", owner=owner, low=1)
        check_number(self.ridge, name="ridge", owner=owner, low=0.0, include_low=True)
        check_integer(self.max_iter, name="max_iter", owner=owner, low=1)
        check_number(self.tol, name="tol", owner=owner, low=0.0)
        if self._link() not in FAMILIES[self.family]:
            raise ParameterError(
                f"{owner}: link must be one of {', '.join(FAMILIES[self.family])} for the family "
                f"{self.family}; got {self.link!r}. Change one of them."
            )

    def _link(self) -> str:
        if self.link != "auto":
            return self.link
        return "sigmoid" if self.family == "bernoulli" else "exp"

    def _make_basis(self) -> Array:
        if self.basis == "raised_cosine":
            return raised_cosine_basis(self.window, self.n_bases)
        if self.basis == "identity":
            return np.eye(self.window)
        return exponential_basis(self.window, self.decay)

    def _columns(self, unit: int, n_features: int) -> Array:
        n_bases = self.basis_.shape[1]
        if self.coupling == "all":
            return np.arange(n_features)
        own = np.arange(unit * n_bases, (unit + 1) * n_bases)
        return own if self.coupling == "self" else own[:0]

    def _fit_unit(self, n: int, counts: Array, features: Array) -> bool:
        columns = self._columns(n, features.shape[1])
        design = np.column_stack([np.ones(len(counts)), features[:, columns]])
        penalty = np.full(design.shape[1], float(self.ridge))
        penalty[0] = 0.0
        y, link = counts[:, n], self._link()
        start = np.zeros(design.shape[1])
        start[0] = predictor_of(y.mean(), link)
        settings: dict[str, Any] = {"family": self.family, "link": link, "penalty": penalty}
        settings |= {"max_iter": self.max_iter, "tol": self.tol}
        is_wide = self.family == "negative_binomial"
        first = settings | {"family": "poisson" if is_wide else self.family}
        fit = fit_newton(design, y, start=start, **first)
        n_iter, is_done, dispersion, value = len(fit.history) - 1, fit.converged, 0.0, -np.inf
        for _ in range(_ROUNDS if is_wide else 0):
            dispersion = fit_dispersion(y, design @ fit.coefficients, link)
            fit = fit_newton(design, y, start=fit.coefficients, dispersion=dispersion, **settings)
            n_iter += len(fit.history) - 1
            change, value = abs(fit.history[-1] - value), fit.history[-1]
            is_done = fit.converged and change <= 10 * self.tol * abs(value)
            if is_done:
                break
        self.bias_[n] = fit.coefficients[0]
        self.weights_[n].reshape(-1)[columns] = fit.coefficients[1:]
        self.dispersion_[n] = dispersion
        found = log_prob(y, design @ fit.coefficients, self.family, link, dispersion or 1.0)
        self.log_likelihood_[n] = found.mean()
        self.n_iter_ = max(self.n_iter_, n_iter)
        return is_done

    def _predictor(self, sequences: list[Array]) -> tuple[Array, Array, Array]:
        counts, offsets = stack_sequences(sequences)
        largest = 1.0 if self.family == "bernoulli" else np.inf
        check_counts(counts, owner="PopulationGLM", largest=largest, silent="allow")
        features = history_features(counts, self.basis_, offsets)
        return counts, features @ self.weights_.reshape(len(self.bias_), -1).T + self.bias_, offsets

    def predict(self, X: Any) -> Any:
        """Return the mean count of each bin, given the counts before it.

        Parameters
        ----------
        X : xarray.DataArray, array-like of shape (n_times, n_units), or a list of these
            Counts.

        Returns
        -------
        xarray.DataArray, ndarray of shape (n_times, n_units), or list of ndarray
            Counts per bin, in the form of ``X``.
        """
        check_is_fitted(self)
        sequences, index = self._read(X, reset=False)
        _, eta, offsets = self._predictor(sequences)
        mean = inverse_link(eta, self._link())[0]
        if index is not None:
            return index.restore(mean, kind="rate")
        parts = np.split(mean, offsets[1:-1])
        return parts if isinstance(X, (list, tuple)) and np.ndim(X[0]) == 2 else parts[0]

    def score(self, X: Any, y: Any = None) -> float:
        """Return the log likelihood of counts, in nats per bin and unit.

        Parameters
        ----------
        X : xarray.DataArray, array-like of shape (n_times, n_units), or a list of these
            Counts.
        y : None
            Not used.

        Returns
        -------
        float
            Mean over bins and units.
        """
        check_is_fitted(self)
        return float(np.mean(self._log_prob(X)[1]))

    def bits_per_spike(self, X: Any) -> Array:
        """Return what the model says beyond the mean count of each unit in ``X``.

        Parameters
        ----------
        X : xarray.DataArray, array-like of shape (n_times, n_units), or a list of these
            Counts.

        Returns
        -------
        ndarray of float64, shape (n_units,)
            Bits per spike against a Poisson (or Bernoulli) law with the unit's own mean; NaN for
            units without a spike.
        """
        check_is_fitted(self)
        counts, found = self._log_prob(X)
        mean = counts.mean(axis=0)
        is_binary = self.family == "bernoulli"
        family, link = ("bernoulli", "sigmoid") if is_binary else ("poisson", "exp")
        with np.errstate(divide="ignore"):
            eta = special.logit(mean) if is_binary else np.log(mean)
        flat = np.clip(np.broadcast_to(eta, counts.shape), -690.0, 690.0)
        null = log_prob(counts, flat, family, link)
        gain = (found - null).sum(axis=0) / np.log(2)
        n_spikes = counts.sum(axis=0)
        unknown = np.full(gain.shape, np.nan)
        return np.asarray(np.divide(gain, n_spikes, out=unknown, where=n_spikes > 0))

    def _log_prob(self, X: Any) -> tuple[Array, Array]:
        sequences, _ = self._read(X, reset=False)
        counts, eta, _ = self._predictor(sequences)
        link = self._link()
        each = [
            log_prob(counts[:, n], eta[:, n], self.family, link, float(d) or 1.0)
            for n, d in enumerate(self.dispersion_)
        ]
        return counts, np.stack(each, axis=1)

    def simulate(self, n_bins: int, random_state: RandomState = None) -> Array:
        """Draw counts from the model, starting without a past.

        Parameters
        ----------
        n_bins : int
            Length.
        random_state : int, numpy.random.Generator or None, default=None
            Seed.

        Returns
        -------
        ndarray of int64, shape (n_bins, n_units)
            Counts.

        Raises
        ------
        ActivityError
            If the counts grow without bound, as excitation that outweighs itself makes them.
        """
        check_is_fitted(self)
        check_integer(n_bins, name="n_bins", owner="PopulationGLM.simulate", low=1)
        rng, window = make_generator(random_state), len(self.basis_)
        counts = np.zeros((window + n_bins, len(self.bias_)))
        for t in range(window, window + n_bins):
            past = counts[t - window : t][::-1]
            eta = self.bias_ + np.einsum("nml,lm->n", self.filters_, past)
            mean = inverse_link(eta, self._link())[0]
            if not mean.max() < 1e6:
                raise ActivityError(
                    f"PopulationGLM.simulate: means must stay below 1e6 per bin; unit "
                    f"{int(mean.argmax())} passes it at bin {t - window}. Fit with the softplus or "
                    "sigmoid link, or more ridge."
                )
            counts[t] = self._draw(mean, rng)
        return counts[window:].astype(np.int64)

    def _draw(self, mean: Array, rng: np.random.Generator) -> Array:
        if self.family == "bernoulli":
            return np.asarray(rng.random(mean.size) < mean, dtype=np.float64)
        if self.family == "negative_binomial":
            mean = rng.gamma(1.0 / self.dispersion_, self.dispersion_ * mean)
        return np.asarray(rng.poisson(mean), dtype=np.float64)
