"""What a fitted bi-clustering says: rates, scores of hidden cells, and whether chains mixed."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_number
from activome.activity.estimators.sequence import SequenceEstimator
from activome.patterns.mcmc import effective_sample_size, rhat

__all__ = ["BiclusterOutputs"]

Array = np.ndarray[Any, Any]


class BiclusterOutputs(SequenceEstimator):
    """Outputs of ``BayesianBiclustering``, from its samples."""

    rate_: Array
    log_likelihood_: Array
    n_clusters_samples_: Array
    n_states_samples_: Array
    acceptance_: dict[str, float]
    burn_in: float
    n_iter: int
    thin: int

    def _n_burn(self) -> int:
        return int(self.burn_in * self.n_iter)

    def predict_rate(self) -> Array:
        """Return the expected counts of every bin and unit.

        Returns
        -------
        ndarray of float64, shape (n_times, n_units)
            Posterior mean, per bin; missing and held-out cells included.
        """
        check_is_fitted(self)
        return self.rate_

    def heldout_score(self, X: Any, *, fraction: float = 0.05) -> float:
        """Fit a copy without some cells and score these.

        Parameters
        ----------
        X : xarray.DataArray, array-like of shape (n_times, n_units), or a list of these
            Counts.
        fraction : float in (0, 1), default=0.05
            Share of the cells that is hidden.

        Returns
        -------
        float
            Log posterior predictive probability, mean per hidden cell in nats.

        Raises
        ------
        ParameterError
            If ``fraction`` is outside (0, 1).
        """
        owner = "BayesianBiclustering.heldout_score"
        check_number(fraction, name="fraction", owner=owner, low=0.0, high=1.0)
        model = clone(self).set_params(holdout=fraction).fit(X)
        return float(model.heldout_log_likelihood_)

    def diagnostics(self) -> dict[str, float]:
        """Tell whether the chains have mixed.

        Returns
        -------
        dict of str to float
            Split R-hat and effective sample size of the number of clusters, of states and of the
            log likelihood over the kept sweeps, and the acceptance of each kind of move.
        """
        check_is_fitted(self)
        kept = self.log_likelihood_[:, self._n_burn() :: self.thin]
        traces = {
            "n_clusters": self.n_clusters_samples_,
            "n_states": self.n_states_samples_,
            "log_likelihood": kept,
        }
        found = {f"rhat of {name}": rhat(trace) for name, trace in traces.items()}
        found |= {
            f"effective samples of {name}": effective_sample_size(trace)
            for name, trace in traces.items()
        }
        return found | {f"acceptance of {name}": rate for name, rate in self.acceptance_.items()}
