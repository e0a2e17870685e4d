"""Hidden Markov models of a population: each state has its own rates or amplitudes."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
from sklearn.cluster import KMeans

from activome._checks import check_choice, check_integer, check_number
from activome._random import RandomState, spawn_generators
from activome.activity.blocks import BlockSource
from activome.errors import ActivityError, ConvergenceWarning
from activome.patterns._counts import check_counts, stack_sequences
from activome.patterns._hmm import forward_backward
from activome.patterns._population_hmm_outputs import PopulationOutputs, log_emissions
from activome.patterns._population_hmm_sums import BlockSums, close, join, summarise_block

__all__ = ["PopulationHMM"]

Array = np.ndarray[Any, Any]
Parameters = dict[str, Any]
# Every state has seen that many bins of the whole recording: no mean of 0, no variance of 0.
_PSEUDO_BINS = 0.1
_PSEUDO_STEPS = 1e-3
_FALL = 1e-9
_START_BINS = 5000
_BLOCK_ROWS = 4096


class PopulationHMM(PopulationOutputs):
    """Find states of a population, each with a mean of its own for every unit.

    The state is a Markov chain; given the state, units are independent, Poisson counts or Gaussian
    amplitudes [1]_. For states in which units drive each other differently see ``HMMGLM``.

    Parameters
    ----------
    n_states : int, default=2
        Number of states.
    family : {"poisson", "gaussian"}, default="poisson"
        Law of a unit in a state.
    n_init : int, default=3
        Starts, by clusters of bins, of which the likeliest is kept; by blocks it is one.
    max_iter : int, default=100
        Most rounds of EM.
    tol : float in (0, inf), default=1e-6
        Relative change of the objective at which EM is done.
    random_state : int, numpy.random.Generator or None, default=None
        Seed.

    Attributes
    ----------
    means_ : ndarray of float64, shape (n_states, n_units)
        Mean of each unit in each state; states in order of their mean over units.
    variances_ : ndarray of float64 or None, shape (n_states, n_units)
        Of the Gaussian law.
    transition_ : ndarray of float64, shape (n_states, n_states)
        Transition probabilities.
    initial_ : ndarray of float64, shape (n_states,)
        Of the first bin of a sequence.
    log_likelihood_ : float
        Of the training data, in nats.
    history_ : ndarray of float64, shape (n_iter + 1,)
        Log likelihood with the log prior, before each round and after the last.
    n_iter_ : int
        Rounds.

    Raises
    ------
    ParameterError
        If a parameter is outside its range.
    ActivityError
        If counts are negative or no whole numbers, a unit is silent or constant, or EM falls.

    Notes
    -----
    Each state is given a tenth of a bin with the mean (and variance) of the whole recording, and
    each transition a thousandth (our choice): no state can shrink to a point. The objective never
    falls; a fall by more than 1e-9 of its size is an error.

    ``fit_blocks`` fits a store out of core, or as a tree on a cluster, with the same answer as in
    memory for one sequence: a block is summed up for every pair of its first and last state, and
    the states where blocks meet are summed out. It takes all bins as one sequence, and needs
    ``8 n_states**2 (n_bins_of_a_block + 2 n_units) n_states`` bytes beside a block.

    References
    ----------
    .. [1] M. Abeles et al., "Cortical activity flips among quasi-stationary states", 1995.

    Examples
    --------
    >>> import numpy as np
    >>> rate = np.repeat([[0.5, 3.0], [3.0, 0.5], [0.5, 3.0]], 50, axis=0)
    >>> counts = np.random.default_rng(0).poisson(rate)
    >>> model = PopulationHMM(2, random_state=0).fit(counts)
    >>> path = model.predict(counts)
    >>> [int((path[k : k + 50] == path[k + 25]).mean() > 0.9) for k in (0, 50, 100)]
    [1, 1, 1]
    """

    def __init__(
        self,
        n_states: int = 2,
        family: str = "poisson",
        *,
        n_init: int = 3,
        max_iter: int = 100,
        tol: float = 1e-6,
        random_state: RandomState = None,
    ) -> None:
        self.n_states = n_states
        self.family = family
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def _check_parameters(self) -> None:
        owner = "PopulationHMM"
        for name in ("n_states", "n_init", "max_iter"):
            check_integer(getattr(self, name), name=name, owner=owner, low=1)
        check_number(self.tol, name="tol", owner=owner, low=0.0)
        check_choice(self.family, ("poisson", "gaussian"), name="family", owner=owner)

    def _fit(self, values: list[Array]) -> None:
        self._check_parameters()
        rows, offsets = stack_sequences(values)
        self._check_rows(rows, silent="refuse")
        best: Parameters = {}
        for generator in spawn_generators(self.random_state, int(self.n_init)):
            sample = rows[_drawn(len(rows), generator)]
            state = self._first(sample, rows.mean(axis=0), rows.var(axis=0), generator)
            done = False
            while not done:
                state, done = self._advance(state, *self._expect(rows, offsets, state))
            if not best or state["ll"] > best["ll"]:
                best = state
        self.finish(best)

    def _first(
        self, sample: Array, mean: Array, variance: Array, generator: np.random.Generator
    ) -> Parameters:
        n_states = int(self.n_states)
        scaled = np.sqrt(sample) if self.family == "poisson" else sample / np.sqrt(variance)
        seed = int(generator.integers(2**31))
        n_distinct = len(np.unique(scaled, axis=0))
        clusters = KMeans(min(n_states, n_distinct), n_init=1, random_state=seed).fit(scaled)
        means = np.tile(mean, (n_states, 1))
        for k in range(clusters.n_clusters):
            means[k] = sample[clusters.labels_ == k].mean(axis=0)
        means = means + (mean * 1e-3 + 1e-9 if self.family == "poisson" else 0.0)
        stay = 0.9 if n_states > 1 else 1.0
        rest = (1.0 - stay) / max(n_states - 1, 1)
        return {
            "means": means,
            "variances": np.tile(variance, (n_states, 1)),
            "transition": np.full((n_states, n_states), rest) + (stay - rest) * np.eye(n_states),
            "initial": np.full(n_states, 1.0 / n_states),
            "mean": mean, "variance": variance, "history": [], "ll": -np.inf,
        }  # fmt: skip

    def _features(self, rows: Array) -> Array:
        ones = np.ones((len(rows), 1))
        return np.hstack([ones, rows, rows**2] if self.family == "gaussian" else [ones, rows])

    def _expect(
        self, rows: Array, offsets: Array, state: Parameters
    ) -> tuple[float, Array, Array, Array]:
        with np.errstate(divide="ignore"):
            log_p, log_pi = np.log(state["transition"]), np.log(state["initial"])
        log_b = log_emissions(rows, state["means"], state["variances"], self.family)
        gamma, pairs, ll = forward_backward(log_b, log_p, log_pi, offsets)
        moments = [gamma.sum(axis=0)[:, np.newaxis], gamma.T @ rows]
        if self.family == "gaussian":
            moments.append(gamma.T @ rows**2)
        return ll, gamma[offsets[:-1]].sum(axis=0), pairs, np.hstack(moments)

    def _advance(
        self, state: Parameters, ll: float, first: Array, pairs: Array, moments: Array
    ) -> tuple[Parameters, bool]:
        history = [*state["history"], ll + self._log_prior(state)]
        if len(history) > 1:
            change, size = history[-1] - history[-2], abs(history[-1])
            if change < -_FALL * size:
                raise ActivityError(
                    f"PopulationHMM.fit: the objective must not fall; it fell by {-change:.3g} "
                    f"from {history[-2]:.6g} in round {len(history) - 1}. Subtract large offsets "
                    "from the units first."
                )
            if change <= self.tol * size or len(history) > self.max_iter:
                done = change <= self.tol * size
                return state | {"history": history, "ll": ll, "converged": done}, True
        n_units = state["mean"].size
        count = moments[:, :1] + _PSEUDO_BINS
        means = (moments[:, 1 : 1 + n_units] + _PSEUDO_BINS * state["mean"]) / count
        new = {"means": means}
        if self.family == "gaussian":
            square = state["variance"] + state["mean"] ** 2
            square = (moments[:, 1 + n_units :] + _PSEUDO_BINS * square) / count
            new["variances"] = np.maximum(square - means**2, 1e-12 * state["variance"])
        steps = pairs + _PSEUDO_STEPS
        new["transition"] = steps / steps.sum(axis=1, keepdims=True)
        new["initial"] = (first + _PSEUDO_STEPS) / (first + _PSEUDO_STEPS).sum()
        return state | new | {"history": history, "ll": ll}, False

    def _log_prior(self, state: Parameters) -> float:
        means, mean = state["means"], state["mean"]
        if self.family == "poisson":
            value = float((mean * np.log(means) - means).sum())
        else:
            spread = state["variance"] + (mean - means) ** 2
            value = -0.5 * float((np.log(state["variances"]) + spread / state["variances"]).sum())
        chains = np.log(state["transition"]).sum() + np.log(state["initial"]).sum()
        return _PSEUDO_BINS * value + _PSEUDO_STEPS * float(chains)

    def start(self, source: BlockSource) -> Parameters:
        """Return the first state of a fit by blocks.

        Parameters
        ----------
        source : BlockSource
            The data.

        Returns
        -------
        dict
            Parameters by clusters of bins drawn at random.

        Raises
        ------
        ActivityError
            If a unit does not vary in the bins that were drawn.
        """
        self._check_parameters()
        generator = next(iter(spawn_generators(self.random_state, 1)))
        sample = source.sample(_START_BINS, generator).astype(np.float64)
        self._check_rows(sample, silent="refuse")
        return self._first(sample, sample.mean(axis=0), sample.var(axis=0), generator)

    def summarise(self, block: Array, state: Parameters) -> BlockSums:
        """Sum up a block for every pair of its first and last state.

        Parameters
        ----------
        block : ndarray, shape (n_rows, n_units)
            Bins.
        state : dict
            Parameters.

        Returns
        -------
        BlockSums
            Expectations.
        """
        if self.family == "poisson":
            check_counts(block, owner="PopulationHMM.fit", silent="allow")
        firsts = range(0, len(block), _BLOCK_ROWS)
        sums = (self._sums(block[k : k + _BLOCK_ROWS], state) for k in firsts)
        return functools.reduce(join, sums)

    def _sums(self, block: Array, state: Parameters) -> BlockSums:
        rows = block.astype(np.float64)
        log_b = log_emissions(rows, state["means"], state["variances"], self.family)
        return summarise_block(self._features(rows), log_b, state["transition"])

    def merge(self, a: BlockSums, b: BlockSums) -> BlockSums:
        """Join the sums of neighbouring stretches.

        Parameters
        ----------
        a, b : BlockSums
            The bins of ``a`` come before those of ``b``.

        Returns
        -------
        BlockSums
            Of both.
        """
        return join(a, b)

    def solve(self, stats: BlockSums, state: Parameters) -> tuple[Parameters, bool]:
        """Take one round of EM.

        Parameters
        ----------
        stats : BlockSums
            Of all bins.
        state : dict
            Parameters under which they were made.

        Returns
        -------
        tuple of (dict, bool)
            The next parameters, and whether EM is done.

        Raises
        ------
        ActivityError
            If the objective fell.
        """
        return self._advance(state, *close(stats, state["initial"]))

    def finish(self, state: Parameters) -> None:
        """Keep the parameters.

        Parameters
        ----------
        state : dict
            The last ones.
        """
        order = np.argsort(state["means"].mean(axis=1), kind="stable")
        self.means_ = state["means"][order]
        self.variances_ = state["variances"][order] if self.family == "gaussian" else None
        self.transition_ = state["transition"][np.ix_(order, order)]
        self.initial_ = state["initial"][order]
        self.log_likelihood_ = float(state["ll"])
        self.history_ = np.array(state["history"])
        self.n_iter_ = len(self.history_) - 1
        if not state["converged"]:
            warnings.warn(
                f"PopulationHMM.fit: the objective was still changing by more than {self.tol:g} of "
                f"its size after {self.max_iter} rounds. Raise max_iter or tol.",
                ConvergenceWarning,
                stacklevel=4,
            )


def _drawn(n_rows: int, generator: np.random.Generator) -> Array:
    return np.sort(generator.choice(n_rows, min(_START_BINS, n_rows), replace=False))
