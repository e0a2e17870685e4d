"""What a fitted switching regression says of counts: states, rates, likelihood, new counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_integer
from activome._random import RandomState, make_generator
from activome.activity.estimators.sequence import SequenceEstimator
from activome.activity.matching import match_labels
from activome.errors import ActivityError
from activome.patterns._counts import check_counts, stack_sequences
from activome.patterns._glm_newton import inverse_link
from activome.patterns._history import history_features
from activome.patterns._hmm import forward_backward, log_likelihood, viterbi
from activome.patterns._hmm_glm_blocks import emissions

__all__ = ["SwitchingOutputs"]

Array = np.ndarray[Any, Any]


class SwitchingOutputs(SequenceEstimator):
    """Outputs of ``HMMGLM``, from its weights, biases and transitions."""

    def predict(self, X: Any) -> Any:
        """Return the most likely path of states.

        Parameters
        ----------
        X : xarray.DataArray, array-like of shape (n_times, n_units), or a list of these
            Counts.

        Returns
        -------
        xarray.DataArray, ndarray of int64 of shape (n_times,), or list of ndarray
            States, in the form of ``X``.
        """
        return self._labelled(X, viterbi)

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each state given the whole sequence.

        Parameters
        ----------
        X : xarray.DataArray, array-like of shape (n_times, n_units), or a list of these
            Counts.

        Returns
        -------
        xarray.DataArray, ndarray of shape (n_times, n_states), or list of ndarray
            Rows sum to 1, in the form of ``X``.
        """
        return self._labelled(X, lambda *model: forward_backward(*model)[0])

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
        counts, _, model, _ = self._model(X)
        return float(log_likelihood(*model).sum() / counts.size)

    def bits_per_spike(self, X: Any) -> float:
        """Return what the model says beyond the mean count of each unit in ``X``.

        Parameters
        ----------
        X : xarray.DataArray, array-like of shape (n_times, n_units), or a list of these
            Counts.

        Returns
        -------
        float
            Bits per spike against Poisson laws with the units' own means; NaN without a spike.
        """
        counts, _, model, _ = self._model(X)
        mean = counts.mean(axis=0)
        null = special.xlogy(counts, mean) - mean - special.gammaln(counts + 1)
        gain = float(log_likelihood(*model).sum() - null.sum())
        return gain / np.log(2) / counts.sum() if counts.any() else float("nan")

    def rates(self, X: Any) -> Array:
        """Return the mean count of each bin under each state, given the counts before it.

        Parameters
        ----------
        X : xarray.DataArray, array-like of shape (n_times, n_units), or a list of these
            Counts; sequences are put one below the other.

        Returns
        -------
        ndarray of float64, shape (n_all_times, n_states, n_units)
            Counts per bin.
        """
        _, past, _, _ = self._model(X)
        eta = np.einsum("tm,snm->tsn", past, self.weights_) + self.bias_
        return inverse_link(eta, self.link)[0]

    def match_states(self, other_labels: ArrayLike, X: Any) -> Array:
        """Return the states of counts under the names of other labels, such as the true ones.

        Parameters
        ----------
        other_labels : array-like of int, shape (n_all_times,)
            Labels whose names are wanted.
        X : xarray.DataArray, array-like of shape (n_times, n_units), or a list of these
            Counts.

        Returns
        -------
        ndarray of int64, shape (n_all_times,)
            Most likely states, renamed by the largest overlap (Hungarian).
        """
        _, _, model, _ = self._model(X)
        return match_labels(other_labels, viterbi(*model))[0]

    def simulate(
        self, n_bins: int, n_sequences: int = 1, random_state: RandomState = None
    ) -> tuple[list[Array], list[Array]]:
        """Draw sequences of counts and their states.

        Parameters
        ----------
        n_bins : int
            Length of each.
        n_sequences : int, default=1
            How many.
        random_state : int, numpy.random.Generator or None, default=None
            Seed.

        Returns
        -------
        counts : list of ndarray of int64, each (n_bins, n_units)
            Counts, starting without a past.
        states : list of ndarray of int64, each (n_bins,)
            States.

        Raises
        ------
        ActivityError
            If the counts grow without bound.
        """
        check_is_fitted(self)
        owner = f"{type(self).__name__}.simulate"
        check_integer(n_bins, name="n_bins", owner=owner, low=1)
        check_integer(n_sequences, name="n_sequences", owner=owner, low=1)
        rng, lags = make_generator(random_state), self.basis_[::-1, 0]
        n_states, n_units = self.weights_.shape[:2]
        bias = np.broadcast_to(self.bias_, (n_states, n_units))
        all_counts, all_states = [], []
        for _ in range(n_sequences):
            counts = np.zeros((lags.size + n_bins, n_units))
            states = np.zeros(n_bins, dtype=np.int64)
            state = int(rng.integers(n_states))
            for t in range(n_bins):
                if t:
                    state = int(rng.choice(n_states, p=self.transition_[state]))
                past = lags @ counts[t : t + lags.size]
                mean = inverse_link(self.weights_[state] @ past + bias[state], self.link)[0]
                if not mean.max() < 1e6:
                    raise ActivityError(
                        f"{owner}: means must stay below 1e6 per bin; unit {int(mean.argmax())} "
                        f"passes it at bin {t}. Fit with the softplus or sigmoid link."
                    )
                counts[t + lags.size], states[t] = rng.poisson(mean), state
            all_counts.append(counts[lags.size :].astype(np.int64))
            all_states.append(states)
        return all_counts, all_states

    def _emissions(self, past: Array, counts: Array, weights: Array, bias: Array) -> Array:
        full = np.broadcast_to(bias, weights.shape[:2]).copy()
        constant = special.gammaln(counts + 1.0).sum(axis=1, keepdims=True)
        return np.asarray(emissions(past, counts, weights, full, self.link) - constant)

    def _model(self, X: Any) -> tuple[Array, Array, tuple[Array, Array, Array, Array], Any]:
        check_is_fitted(self)
        sequences, index = self._read(X, reset=False)
        counts, offsets = stack_sequences(sequences)
        check_counts(counts, owner=type(self).__name__, silent="allow")
        past = history_features(counts, self.basis_, offsets)
        log_b = self._emissions(past, counts, self.weights_, self.bias_)
        n_states = len(self.weights_)
        with np.errstate(divide="ignore"):
            log_p = np.log(self.transition_)
        model = (log_b, log_p, np.full(n_states, -np.log(n_states)), offsets)
        return counts, past, model, index

    def _labelled(self, X: Any, function: Any) -> Any:
        _, _, model, index = self._model(X)
        result = np.asarray(function(*model))
        if index is not None:
            units = [f"state{s}" for s in range(result.shape[1])] if result.ndim > 1 else None
            return index.restore(result, units=units, kind="feature").assign_attrs(units="1")
        parts = np.split(result, model[3][1:-1])
        return parts if isinstance(X, (list, tuple)) and np.ndim(X[0]) == 2 else parts[0]
