"""Bi-clustering of spike counts: units by shared trajectories, time by linear dynamics."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from activome._checks import check_choice, check_finite, check_integer, check_memory, check_number
from activome._random import RandomState, spawn_generators
from activome.activity.splits import SpeckledHoldOut
from activome.errors import ActivityError, ActivityWarning, ParameterError
from activome.patterns._bicluster_model import Model, log_likelihood_of
from activome.patterns._bicluster_moves import Tally, sweep
from activome.patterns._bicluster_outputs import BiclusterOutputs
from activome.patterns._bicluster_search import improve, start_point
from activome.patterns._bicluster_summary import (
    Record,
    aligned_trajectories,
    estimate_labels,
    estimate_states,
)
from activome.patterns._counts import check_counts, stack_sequences
from activome.patterns._kalman import starts
from activome.patterns._switching_laws import LawPrior

__all__ = ["BayesianBiclustering"]

Array = np.ndarray[Any, Any]
_LARGEST_COUNT = 1e8
_FEWEST_BINS = 50


class BayesianBiclustering(BiclusterOutputs):
    """Find groups of units that share trajectories, and episodes of time with their own dynamics.

    Counts have the log mean ``d_i + mu_k(t) + c_i' x_k(t)``: unit i belongs to a cluster k with a
    mean trajectory and a few factors. At each time one population state is on, and in it the
    trajectories of each cluster follow a linear law, ``x(t) = A x(t - 1) + b + noise``. Neither
    the number of clusters (a mixture of finite mixtures) nor that of states (a sticky hierarchical
    Dirichlet process) is given. All is sampled from the posterior by Markov chain Monte Carlo
    [1]_, so that every grouping comes with its uncertainty.

    Parameters
    ----------
    n_factors : int, default=2
        Factors of each cluster beside its mean trajectory.
    likelihood : {"negbin", "poisson"}, default="negbin"
        Distribution of the counts.
    dispersion : "sample" or float in (0, inf), default="sample"
        Dispersion r of negative binomial counts, variance ``mean + mean^2 / r``: sampled for each
        unit under a Gamma(1, 1) prior, or fixed.
    max_states : int, default=10
        Most population states, at least 2.
    init_clusters : int or "auto", default="auto"
        Clusters to start from.
    n_iter : int, default=2000
        Sweeps of each chain.
    burn_in : float in [0, 1), default=0.25
        Share of the sweeps that is not kept.
    thin : int, default=1
        Every how manieth later sweep is kept.
    block_moves : int, default=200
        Stretches of time per sweep for which another state is proposed with all trajectories
        integrated out.
    split_merge : bool, default=True
        Whether clusters and states are searched by approximate evidence before and within the
        burn-in.
    holdout : float in [0, 1), default=0.0
        Share of the cells (bin and unit) that is hidden and scored.
    alpha, gamma, kappa : float in (0, inf), default=5.0, 5.0 and 10.0
        Concentration of transitions, of the shares of states, and extra weight of staying.
    mfm_gamma : float in (0, inf), default=1.0
        Concentration of the shares of clusters.
    mfm_r : float in (0, 1), default=0.2
        The number of components has the prior ``mfm_r (1 - mfm_r)^(k - 1)``.
    prior_q : float in (0, inf), default=0.01
        Prior mean of the variance of the noise of trajectories, per bin.
    n_chains : int, default=1
        Independent chains.
    random_state : int, numpy.random.Generator or None, default=None
        Seed; the same one gives the same chains.

    Attributes
    ----------
    unit_samples_ : ndarray of int16, shape (n_samples, n_units)
        Clusters at every kept sweep of all chains, one chain after the other.
    state_samples_ : ndarray of int16, shape (n_samples, n_times)
        States, for all sequences one below the other.
    unit_labels_ : ndarray of int64, shape (n_units,)
        Clusters: the partition of the largest posterior expected adjusted Rand index.
    state_labels_ : ndarray of int64, shape (n_times,)
        States, by the same criterion up to 2000 bins, by majority for more.
    unit_similarity_ : ndarray of float64, shape (n_units, n_units)
        How often two units are in one cluster.
    state_similarity_ : ndarray of float64, shape (n_times, n_times), or None
        How often two bins are in one state; None above 2000 bins.
    n_clusters_samples_, n_states_samples_ : ndarray of int64, shape (n_chains, n_kept)
        Numbers of clusters and of states that are in use.
    log_likelihood_ : ndarray of float64, shape (n_chains, n_iter)
        Log likelihood of the counts at every sweep, in nats.
    trajectories_ : list of ndarray of float64, each (n_times, n_factors + 1)
        Posterior mean of the mean trajectory and the factors of each cluster of ``unit_labels_``,
        in log counts, each with mean 0 over time.
    trajectory_sd_ : list of ndarray of float64
        Their posterior standard deviations.
    loadings_ : ndarray of float64, shape (n_units, n_factors + 1)
        Posterior mean of offsets and loadings.
    rate_ : ndarray of float64, shape (n_times, n_units)
        Posterior mean of the expected counts per bin, held-out cells included.
    dispersion_ : ndarray of float64, shape (n_units,)
        Posterior mean of the dispersions; 1e12 stands for Poisson.
    heldout_log_likelihood_ : float or None
        Log posterior predictive probability of the hidden cells, mean per cell in nats; None
        without ``holdout``.
    acceptance_ : dict of str to float
        Share of accepted proposals of each kind.

    Raises
    ------
    ParameterError
        If a parameter is outside its range, or too few sweeps are kept.
    ActivityError
        If the activity is not whole counts (NaN marks a missing cell), a unit is silent, or there
        are fewer than 2 units, 50 bins, or more factors than units less one.

    Notes
    -----
    Departures from [1]_, all our choice. Trajectories of different clusters share the states, but
    not the matrix A: the law of a cluster then does not depend on how many others there are, and
    every move is exact. States and trajectories are moved together, trajectories integrated out by
    a Kalman filter: alternating between them freezes. A unit changes its cluster together with its
    loadings, by an independence step whose proposal is a Laplace approximation. A search by
    approximate evidence runs before and within the burn-in only. Kept sweeps leave the posterior
    invariant; a unit can found a cluster there, but whole clusters split and merge in the burn-in
    alone: with several chains ``diagnostics`` tells whether they agree.

    Counts are turned into Gaussian observations by Polya-Gamma weights [2]_. Poisson counts are
    proposed as negative binomial ones and corrected by a Metropolis step, which suits recordings
    up to some ten thousand cells; take "negbin" for more. Cost per sweep is linear in cells.

    References
    ----------
    .. [1] G. Wei, "Bayesian bi-clustering of neural spiking activity with latent structures",
       2023.
    .. [2] N. G. Polson, J. G. Scott and J. Windle, "Bayesian inference for logistic models using
       Polya-Gamma latent variables", 2013.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> waves = np.sin(np.arange(150)[:, np.newaxis] / np.repeat([4, 7, 11], 3))
    >>> x = rng.poisson(np.exp(1 + waves)).astype(float)
    >>> model = BayesianBiclustering(1, n_iter=40, random_state=0).fit(x)
    >>> model.unit_labels_.tolist()
    [0, 0, 0, 1, 1, 1, 2, 2, 2]
    """

    _allow_missing = True

    def __init__(
        self,
        n_factors: int = 2,
        likelihood: str = "negbin",
        *,
        dispersion: str | float = "sample",
        max_states: int = 10,
        init_clusters: int | str = "auto",
        n_iter: int = 2000,
        burn_in: float = 0.25,
        thin: int = 1,
        block_moves: int = 200,
        split_merge: bool = True,
        holdout: float = 0.0,
        alpha: float = 5.0,
        gamma: float = 5.0,
        kappa: float = 10.0,
        mfm_gamma: float = 1.0,
        mfm_r: float = 0.2,
        prior_q: float = 1e-2,
        n_chains: int = 1,
        random_state: RandomState = None,
    ) -> None:
        self.n_factors = n_factors
        self.likelihood = likelihood
        self.dispersion = dispersion
        self.max_states = max_states
        self.init_clusters = init_clusters
        self.n_iter = n_iter
        self.burn_in = burn_in
        self.thin = thin
        self.block_moves = block_moves
        self.split_merge = split_merge
        self.holdout = holdout
        self.alpha = alpha
        self.gamma = gamma
        self.kappa = kappa
        self.mfm_gamma = mfm_gamma
        self.mfm_r = mfm_r
        self.prior_q = prior_q
        self.n_chains = n_chains
        self.random_state = random_state

    def _check_parameters(self) -> None:
        owner = "BayesianBiclustering"
        for name, low in (
            ("n_factors", 1), ("max_states", 2), ("n_iter", 1), ("thin", 1), ("block_moves", 0),
            ("n_chains", 1),
        ):  # fmt: skip
            check_integer(getattr(self, name), name=name, owner=owner, low=low)
        for name in ("alpha", "gamma", "kappa", "mfm_gamma", "prior_q"):
            check_number(getattr(self, name), name=name, owner=owner, low=0.0)
        check_number(self.mfm_r, name="mfm_r", owner=owner, low=0.0, high=1.0)
        for name in ("burn_in", "holdout"):
            value = getattr(self, name)
            check_number(value, name=name, owner=owner, low=0.0, high=1.0, include_low=True)
        check_choice(self.likelihood, ("negbin", "poisson"), name="likelihood", owner=owner)
        if isinstance(self.dispersion, str):
            check_choice(self.dispersion, ("sample",), name="dispersion", owner=owner)
        else:
            check_number(self.dispersion, name="dispersion", owner=owner, low=0.0)
        if self._n_kept() < 4:
            raise ParameterError(
                f"{owner}: at least 4 sweeps must be kept; n_iter {self.n_iter}, burn_in "
                f"{self.burn_in:g} and thin {self.thin} keep {self._n_kept()}. Raise n_iter."
            )

    def _n_kept(self) -> int:
        return -(-(self.n_iter - self._n_burn()) // self.thin)

    def _fit(self, values: list[Array]) -> None:
        self._check_parameters()
        stacked, offsets = stack_sequences(values)
        owner = "BayesianBiclustering.fit"
        n_times, n_units = stacked.shape
        if n_units < 2 or n_times < _FEWEST_BINS or self.n_factors >= n_units:
            raise ActivityError(
                f"{owner}: there must be at least 2 units, {_FEWEST_BINS} bins and fewer factors "
                f"than units; got {n_units} units, {n_times} bins and {self.n_factors} factors. "
                "Take more of the recording, or fewer factors."
            )
        if self.init_clusters != "auto":
            check_integer(
                self.init_clusters, name="init_clusters", owner=owner, low=1, high=n_units
            )
        check_memory(
            2.0 * self.n_chains * self._n_kept() * (n_times + n_units) + 80.0 * stacked.size,
            owner=owner,
            what="the kept samples",
            cure="Raise thin, or take fewer bins.",
        )
        is_seen = ~np.isnan(stacked)
        counts = np.where(is_seen, stacked, 0.0)
        check_finite(counts, owner=owner, axes=("time", "unit"))
        names = getattr(self, "unit_names_", None)
        check_counts(counts, owner=owner, largest=_LARGEST_COUNT, names=names, silent="refuse")
        generators = spawn_generators(self.random_state, int(self.n_chains) + 1)
        held_out = self._hide(counts, is_seen, generators[-1])
        model = self._model(counts, is_seen & ~held_out, starts(n_times, offsets))
        self._run(model, held_out.T, counts.T, generators[:-1])

    def _hide(self, counts: Array, is_seen: Array, generator: np.random.Generator) -> Array:
        if self.holdout == 0.0:
            return np.zeros(counts.shape, dtype=bool)
        splits = SpeckledHoldOut(self.holdout, n_splits=1, random_state=generator)
        return next(splits.split(counts)) & is_seen

    def _model(self, counts: Array, is_seen: Array, is_first: Array) -> Model:
        if self.likelihood == "poisson":
            dispersion: float | None = np.inf
        else:
            dispersion = None if isinstance(self.dispersion, str) else float(self.dispersion)
        return Model(
            counts=np.ascontiguousarray(np.where(is_seen, counts, 0.0).T),
            is_seen=np.ascontiguousarray(is_seen.T),
            is_first=is_first,
            prior=LawPrior(int(self.n_factors) + 1, float(self.prior_q)),
            n_states=int(self.max_states),
            alpha=float(self.alpha),
            gamma=float(self.gamma),
            kappa=float(self.kappa),
            mfm_gamma=float(self.mfm_gamma),
            mfm_rate=float(self.mfm_r),
            dispersion=dispersion,
            block_moves=int(self.block_moves),
        )

    def _run(
        self, model: Model, held_out: Array, values: Array, generators: list[np.random.Generator]
    ) -> None:
        tally = Tally()
        records, traces = [], []
        for generator in generators:
            record, trace = self._chain(model, held_out, values, generator, tally)
            records.append(record)
            traces.append(trace)
        self.log_likelihood_ = np.stack(traces)
        self.acceptance_ = tally.rates()
        self.unit_samples_ = np.concatenate([record.units for record in records])
        self.state_samples_ = np.concatenate([record.states for record in records])
        self.n_clusters_samples_ = np.stack([_n_used(record.units) for record in records])
        self.n_states_samples_ = np.stack([_n_used(record.states) for record in records])
        self.unit_similarity_, self.unit_labels_ = estimate_labels(self.unit_samples_)
        self.state_similarity_, self.state_labels_ = estimate_states(self.state_samples_)
        paths = [entry for record in records for entry in record.paths]
        self.trajectories_, self.trajectory_sd_, self.loadings_ = aligned_trajectories(
            paths, self.unit_labels_
        )
        n_all = sum(record.n_kept for record in records)
        self.rate_ = sum((record.rate for record in records), np.zeros((1, 1))) / n_all
        self.dispersion_ = sum((record.dispersion for record in records), np.zeros(1)) / n_all
        self.heldout_log_likelihood_ = None
        if held_out.any():
            logs = np.stack([record.held_out() for record in records])
            self.heldout_log_likelihood_ = float(
                (np.logaddexp.reduce(logs, axis=0) - np.log(len(logs))).mean()
            )
        n_cut = sum(record.n_cut for record in records)
        if n_cut > 1e-3 * n_all * model.counts.size:
            warnings.warn(
                f"BayesianBiclustering.fit: log means were cut at 20 in {n_cut} cells of "
                f"{n_all} samples, because trajectories grow without bound. Lower prior_q.",
                ActivityWarning,
                stacklevel=4,
            )

    def _chain(
        self, model: Model, held_out: Array, values: Array, generator: np.random.Generator,
        tally: Tally,
    ) -> tuple[Record, Array]:  # fmt: skip
        n_iter, n_burn = int(self.n_iter), self._n_burn()
        record = Record(model, held_out, values, self._n_kept())
        trace = np.empty(n_iter)
        point = start_point(model, self.init_clusters, bool(self.split_merge), generator)
        # Once the states are sharp the search knows better, and once more after that.
        searches = ((6 * n_burn) // 10, (9 * n_burn) // 10)
        for iteration in range(n_iter):
            if self.split_merge and n_burn >= 10 and iteration in searches:
                point = improve(model, point, generator)
            sweep(model, point, generator, tally)
            trace[iteration] = log_likelihood_of(model, point)
            if iteration >= n_burn and (iteration - n_burn) % self.thin == 0:
                record.add(point)
        return record, trace


def _n_used(samples: Array) -> Array:
    ordered = np.sort(samples, axis=1)
    return np.asarray(1 + np.count_nonzero(np.diff(ordered, axis=1), axis=1), dtype=np.int64)
