"""What a fitted hidden Markov model of a population says of activity: states and likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special
from sklearn.utils.validation import check_is_fitted

from activome.activity.estimators.sequence import SequenceEstimator
from activome.errors import ActivityError
from activome.patterns._counts import check_counts, stack_sequences
from activome.patterns._hmm import forward_backward, log_likelihood, viterbi

__all__ = ["PopulationOutputs", "log_emissions"]

Array = np.ndarray[Any, Any]
_BLOCK_ROWS = 4096
_LARGEST_TABLE = 4096.0


def log_emissions(rows: Array, means: Array, variances: Array | None, family: str) -> Array:
    """Return the log probability of each row under each state, shape (n_times, n_states)."""
    log_b = np.empty((len(rows), len(means)))
    for first in range(0, len(rows), _BLOCK_ROWS):
        part, at = rows[first : first + _BLOCK_ROWS], log_b[first : first + _BLOCK_ROWS]
        if family == "poisson" or variances is None:
            at[:] = part @ np.log(means).T - means.sum(axis=1)
            at -= _log_factorials(part).sum(axis=1, keepdims=True)
        else:
            for k, (m, v) in enumerate(zip(means, variances, strict=True)):
                at[:, k] = -0.5 * ((part - m) ** 2 @ (1.0 / v))
            at -= 0.5 * np.log(2 * np.pi * variances).sum(axis=1)
    return log_b


def _log_factorials(counts: Array) -> Array:
    most = float(counts.max(initial=0.0))
    if most > _LARGEST_TABLE:
        return np.asarray(special.gammaln(counts + 1.0))
    # The same few counts come again and again: a table is ten times as fast as the function.
    return np.asarray(special.gammaln(np.arange(most + 1.0) + 1.0)[counts.astype(np.intp)])


class PopulationOutputs(SequenceEstimator):
    """Outputs of ``PopulationHMM``, from its means, variances and transitions."""

    def _check_rows(self, rows: Array, *, silent: str) -> None:
        names = getattr(self, "unit_names_", None)
        if self.family == "poisson":
            check_counts(rows, owner="PopulationHMM.fit", names=names, silent=silent)
        elif silent == "refuse" and len(rows) > 1 and not rows.var(axis=0).all():
            self._refuse_constant(rows.var(axis=0), names)

    def _refuse_constant(self, variance: Array, names: Array | None) -> None:
        still = np.flatnonzero(variance == 0)
        labels = still if names is None else np.asarray(names)[still]
        raise ActivityError(
            f"PopulationHMM.fit: every unit must vary; {still.size} of {variance.size} do not, "
            f"units {[str(label) for label in labels[:5]]}. Drop them first."
        )

    def _model(self, X: Any) -> tuple[tuple[Array, Array, Array, Array], Any]:
        check_is_fitted(self)
        sequences, index = self._read(X, reset=False)
        rows, offsets = stack_sequences(sequences)
        self._check_rows(rows, silent="allow")
        log_b = log_emissions(rows, self.means_, self.variances_, self.family)
        return (log_b, np.log(self.transition_), np.log(self.initial_), offsets), index

    def predict(self, X: Any) -> Any:
        """Return the most likely path of states.

        Parameters
        ----------
        X : xarray.DataArray, array-like of shape (n_times, n_units), or a list of these
            Activity.

        Returns
        -------
        xarray.DataArray, ndarray of int64 of shape (n_times,), or list of ndarray
            States, in the form of ``X``.
        """
        model, index = self._model(X)
        return _in_form_of(X, viterbi(*model), model[3], index)

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each state given the whole sequence.

        Parameters
        ----------
        X : xarray.DataArray, array-like of shape (n_times, n_units), or a list of these
            Activity.

        Returns
        -------
        xarray.DataArray, ndarray of shape (n_times, n_states), or list of ndarray
            Rows sum to 1, in the form of ``X``.
        """
        model, index = self._model(X)
        return _in_form_of(X, forward_backward(*model)[0], model[3], index)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the log likelihood, in nats per bin and unit.

        Parameters
        ----------
        X : xarray.DataArray, array-like of shape (n_times, n_units), or a list of these
            Activity.
        y : None
            Not used.

        Returns
        -------
        float
            Mean over bins and units.
        """
        model, _ = self._model(X)
        return float(log_likelihood(*model).sum() / (len(model[0]) * self.means_.shape[1]))


def _in_form_of(X: Any, result: Array, offsets: Array, index: Any) -> Any:
    if index is not None:
        units = [f"state{s}" for s in range(result.shape[1])] if result.ndim > 1 else None
        return index.restore(result, units=units, kind="feature").assign_attrs(units="1")
    parts = np.split(result, offsets[1:-1])
    return parts if isinstance(X, (list, tuple)) and np.ndim(X[0]) == 2 else parts[0]
