"""Switching regressions: a hidden state chooses how units drive each other, under shared wiring."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy import special

from activome._checks import check_choice, check_integer, check_number
from activome._random import RandomState, spawn_generators
from activome.errors import ActivityError, ConvergenceWarning
from activome.patterns._counts import check_counts, predictor_of, stack_sequences
from activome.patterns._history import exponential_basis, history_features
from activome.patterns._hmm import forward_backward
from activome.patterns._hmm_glm_blocks import emissions
from activome.patterns._hmm_glm_newton import newton_step
from activome.patterns._hmm_glm_outputs import SwitchingOutputs
from activome.patterns._hmm_glm_steps import (
    Adam,
    gaussian_step,
    hard_weights,
    onehot_start,
    onehot_step,
)

__all__ = ["HMMGLM"]

Array = np.ndarray[Any, Any]
# Weight of the one-hot prior and its learning rate beside those of the Gaussian (our choice).
_ONEHOT_STRENGTH, _ONEHOT_RATE = 4.0, 1.5
_FALL = 1e-9
_MOST_NEWTON_UNITS = 64
_START_SPREAD = 0.3


def _signed(parameters: dict[str, Array]) -> dict[str, Array]:
    start = onehot_start(parameters["weights"], parameters["bias"])
    return start | {"transition": parameters["transition"]}


class HMMGLM(SwitchingOutputs):
    """Find brain states in which units drive each other differently, and the wiring they share.

    ``f_n(t) = g(b_n + sum_m W^z_nm h_m(t))`` with the state z(t) a Markov chain, h the recent
    past, and Poisson counts. All states share a learned prior on W: none, a Gaussian around a
    common matrix, or for each pair a one-hot choice of inhibition, nothing or excitation, while
    strengths are free [1]_. The prior estimates the wiring, the weights of a state its use.

    Parameters
    ----------
    n_states : int, default=2
        Number of states; choose it by ``score`` on stretches of time that were held out.
    prior : {"none", "gaussian", "onehot"}, default="onehot"
        Prior of the weights.
    basis : {"exponential", "uniform"}, default="exponential"
        Weights of the lags of the past, which sum to 1.
    decay : float in [0, inf), default=1.0
        Of the exponential basis, per bin.
    window : int, default=5
        Lags in bins.
    link : {"sigmoid", "softplus", "exp"}, default="sigmoid"
        Function g. A sigmoid keeps the mean below 1 per bin: for bins with more spikes take
        softplus.
    share_bias : bool, default=True
        One bias per unit for all states.
    gaussian_scale : float in (0, inf), default=1/3
        Standard deviation of weights around the common matrix.
    learn_scale : bool, default=False
        Set it to the root mean square deviation after each round, at least 0.001; states that the
        counts do not tell apart may shrink to one.
    tau : float in (0, inf), default=0.5
        Temperature of the relaxed one-hot choice.
    prior_weight : float in [0, inf), default=1.0
        Factor of the prior of the weights.
    self_coupling : bool, default=True
        Whether a unit's own past counts.
    n_init : int, default=3
        Random starts, of which the likeliest is kept.
    max_iter : int, default=20
        Most rounds of EM.
    m_steps : int, default=30
        Gradient steps of Adam per round.
    lr : float in (0, inf), default=0.02
        Learning rate of these steps.
    warm_start : {"gaussian", "none"}, default="gaussian"
        Whether the one-hot model starts at the best Gaussian fit, or at random ``n_init`` times.
    solver : {"auto", "newton", "adam"}, default="auto"
        M step without or with a Gaussian prior: one step of Fisher scoring, or ``m_steps`` of
        Adam; auto is the former up to 64 units. The one-hot model always takes Adam.
    tol : float in (0, inf), default=1e-5
        Relative change of the objective at which EM is done.
    random_state : int, numpy.random.Generator or None, default=None
        Seed.

    Attributes
    ----------
    weights_ : ndarray of float64, shape (n_states, n_units, n_units)
        From the past of the second unit to the first, in each state.
    bias_ : ndarray of float64, shape (n_units,) or (n_states, n_units)
        Linear predictor without a past.
    transition_ : ndarray of float64, shape (n_states, n_states)
        Transition probabilities; the first state is uniform.
    adjacency_ : ndarray of int64, shape (n_states, n_units, n_units)
        Signs of the weights: -1, 0 or 1; 0 stands for weights of up to 0.1.
    prior_mean_ : ndarray of float64, shape (n_units, n_units)
        Common matrix: mean of the weights over states.
    prior_probs_ : ndarray of float64 or None, shape (n_units, n_units, 3)
        Probabilities of inhibition, nothing and excitation, of the one-hot prior.
    scale_ : float
        Standard deviation of the Gaussian prior.
    basis_ : ndarray of float64, shape (window, 1)
        Weights of the lags.
    log_likelihood_ : float
        Of the training counts, in nats.
    history_ : ndarray of float64, shape (n_iter,)
        Log likelihood (with the log density of a Gaussian prior) after each round.
    n_iter_ : int
        Rounds of the last stage.

    Raises
    ------
    ParameterError
        If a parameter is outside its range.
    ActivityError
        If the activity is not whole counts, a unit is silent, a sequence is not longer than the
        window, or EM falls.

    Notes
    -----
    Forward-backward is done in logarithms. An M step never lowers the objective without or with a
    Gaussian prior of fixed scale: the step of a unit is halved until it does not fall, and Adam
    keeps the best point; a fall by more than 1e-9 of its size is an error. Fisher scoring (our
    choice; the paper takes gradient steps) costs ``n_times n_states n_units**3`` a round. The
    one-hot model draws a Gumbel sample per step and is evaluated at its hard choices, so its
    history may fall. It starts at the Gaussian fit, with a prior four times as heavy and 1.5 times
    the learning rate (our choice: from scratch it lags). The diagonal, a unit's own past, is no
    wiring.

    References
    ----------
    .. [1] C. Li, S. H. Kim, C. Rodgers, H. Choi and A. Wu, "One-hot generalized linear model for
       switching brain state discovery", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.poisson(np.repeat([[0.1, 0.6], [0.6, 0.1]], 100, axis=0)).astype(float)
    >>> model = HMMGLM(2, "none", share_bias=False, n_init=2, lr=0.1, random_state=0).fit(x)
    >>> path = model.predict(x)
    >>> bool((path[:100] == path[0]).mean() > 0.9 and (path[100:] != path[0]).mean() > 0.9)
    True
    """

    def __init__(
        self,
        n_states: int = 2,
        prior: str = "onehot",
        *,
        basis: str = "exponential",
        decay: float = 1.0,
        window: int = 5,
        link: str = "sigmoid",
        share_bias: bool = True,
        gaussian_scale: float = 1 / 3,
        learn_scale: bool = False,
        tau: float = 0.5,
        prior_weight: float = 1.0,
        self_coupling: bool = True,
        n_init: int = 3,
        max_iter: int = 20,
        m_steps: int = 30,
        lr: float = 0.02,
        warm_start: str = "gaussian",
        solver: str = "auto",
        tol: float = 1e-5,
        random_state: RandomState = None,
    ) -> None:
        self.n_states = n_states
        self.prior = prior
        self.basis = basis
        self.decay = decay
        self.window = window
        self.link = link
        self.share_bias = share_bias
        self.gaussian_scale = gaussian_scale
        self.learn_scale = learn_scale
        self.tau = tau
        self.prior_weight = prior_weight
        self.self_coupling = self_coupling
        self.n_init = n_init
        self.max_iter = max_iter
        self.m_steps = m_steps
        self.lr = lr
        self.warm_start = warm_start
        self.solver = solver
        self.tol = tol
        self.random_state = random_state

    def _check_parameters(self) -> None:
        owner = "HMMGLM"
        for name in ("n_states", "window", "n_init", "max_iter", "m_steps"):
            check_integer(getattr(self, name), name=name, owner=owner, low=1)
        for name in ("gaussian_scale", "tau", "lr", "tol"):
            check_number(getattr(self, name), name=name, owner=owner, low=0.0)
        for name in ("decay", "prior_weight"):
            check_number(getattr(self, name), name=name, owner=owner, low=0.0, include_low=True)
        for name, known in (
            ("prior", ("none", "gaussian", "onehot")),
            ("basis", ("exponential", "uniform")),
            ("link", ("sigmoid", "softplus", "exp")),
            ("warm_start", ("gaussian", "none")),
            ("solver", ("auto", "newton", "adam")),
        ):
            check_choice(getattr(self, name), known, name=name, owner=owner)

    def _fit(self, values: list[Array]) -> None:
        self._check_parameters()
        counts, offsets = stack_sequences(values)
        shortest = int(np.diff(offsets).min())
        if shortest <= self.window:
            raise ActivityError(
                f"HMMGLM.fit: every sequence must be longer than the window of {self.window} bins; "
                f"the shortest has {shortest}. Use a shorter window, or drop it."
            )
        names = getattr(self, "unit_names_", None)
        check_counts(counts, owner="HMMGLM.fit", names=names, silent="refuse")
        self.basis_ = exponential_basis(
            self.window, self.decay if self.basis == "exponential" else 0.0
        )
        past = history_features(counts, self.basis_, offsets)
        n_units = counts.shape[1]
        self._allowed = np.ones((n_units, n_units)) - (0 if self.self_coupling else np.eye(n_units))
        data = (past, counts, offsets)
        is_cold = self.prior == "onehot" and self.warm_start == "none"
        first = "gaussian" if self.prior == "onehot" and not is_cold else self.prior
        best: dict[str, Any] = {}
        for generator in spawn_generators(self.random_state, int(self.n_init)):
            start = self._start(counts, generator)
            found = self._climb(data, _signed(start) if is_cold else start, first, generator)
            if not best or found["ll"] > best["ll"]:
                best = found | {"generator": generator}
        if self.prior == "onehot" and not is_cold:
            start = _signed(best["parameters"])
            best = self._climb(data, start, "onehot", best["generator"])
        self._keep(best)

    def _start(self, counts: Array, generator: np.random.Generator) -> dict[str, Array]:
        n_states, n_units = int(self.n_states), counts.shape[1]
        stay = 0.98 if n_states > 1 else 1.0
        rest = (1.0 - stay) / max(n_states - 1, 1)
        bias = np.array([predictor_of(mean, self.link) for mean in counts.mean(axis=0)])
        rows = 1 if self.share_bias else n_states
        wobble = 0.0 if self.share_bias else 0.1 * generator.standard_normal((rows, n_units))
        # From almost equal states a whole Newton step goes to a poor optimum more often than not.
        spread = _START_SPREAD * min(1.0, (20 / n_units) ** 0.5)
        weights = spread * generator.standard_normal((n_states, n_units, n_units))
        return {
            "weights": weights * self._allowed,
            "bias": np.tile(bias, (rows, 1)) + wobble,
            "transition": np.full((n_states, n_states), rest) + (stay - rest) * np.eye(n_states),
        }

    def _climb(
        self,
        data: tuple[Array, Array, Array],
        parameters: dict[str, Array],
        prior: str,
        generator: np.random.Generator,
    ) -> dict[str, Any]:
        past, counts, offsets = data
        adam = Adam(self.lr * (_ONEHOT_RATE if prior == "onehot" else 1.0))
        scale, history = float(self.gaussian_scale), list[float]()
        log_pi = np.full(int(self.n_states), -np.log(self.n_states))
        constant = float(special.gammaln(counts + 1.0).sum())
        log_b = self._log_b(past, counts, parameters, prior)
        for _ in range(int(self.max_iter) + 1):
            with np.errstate(divide="ignore"):
                log_p = np.log(parameters["transition"])
            gamma, pairs, ll = forward_backward(log_b, log_p, log_pi, offsets)
            ll -= constant
            history.append(ll + self._log_prior(parameters, prior, scale))
            if self._is_done(history, prior) or len(history) > self.max_iter:
                break
            # A thousandth of a transition each keeps rare ones possible.
            expected_pairs = pairs + 1e-3
            rest = {k: v for k, v in parameters.items() if k != "transition"}
            part, precision = (past, counts, gamma), self._precision(prior, scale)
            steps, link = int(self.m_steps), self.link
            if prior != "onehot" and self._takes_newton(counts.shape[1]):
                rest, log_b = newton_step(rest, part, link, precision, self._allowed)
            elif prior == "onehot":
                strength = _ONEHOT_STRENGTH * self.prior_weight
                rest = onehot_step(
                    rest, part, link, steps, adam, self.tau, strength, self._allowed, generator
                )
                log_b = self._log_b(past, counts, rest, prior)
            else:
                rest = gaussian_step(rest, part, link, steps, adam, precision, self._allowed)
                log_b = self._log_b(past, counts, rest, prior)
            if prior == "gaussian" and self.learn_scale and self.n_states > 1:
                spread = rest["weights"] - rest["weights"].mean(axis=0)
                scale = max(float(np.sqrt((spread**2).mean())), 1e-3)
            transition = expected_pairs / expected_pairs.sum(axis=1, keepdims=True)
            parameters = rest | {"transition": transition}
        weights, signs = self._weights(parameters, prior)
        return {
            "parameters": parameters, "weights": weights, "signs": signs, "ll": ll,
            "history": np.array(history), "prior": prior, "scale": scale,
        }  # fmt: skip

    def _log_b(self, past: Array, counts: Array, parameters: dict[str, Array], prior: str) -> Array:
        weights = self._weights(parameters, prior)[0]
        full = np.broadcast_to(parameters["bias"], weights.shape[:2]).copy()
        return emissions(past, counts, weights, full, self.link)

    def _takes_newton(self, n_units: int) -> bool:
        return self.solver == "newton" or (self.solver == "auto" and n_units <= _MOST_NEWTON_UNITS)

    def _precision(self, prior: str, scale: float) -> float:
        return self.prior_weight / scale**2 if prior == "gaussian" else 0.0

    def _log_prior(self, parameters: dict[str, Array], prior: str, scale: float) -> float:
        # The thousandth of a transition is a Dirichlet prior, and part of what EM climbs.
        value = 1e-3 * float(np.log(np.maximum(parameters["transition"], 1e-300)).sum())
        if prior == "gaussian":
            spread = parameters["weights"] - parameters["weights"].mean(axis=0)
            value -= 0.5 * self._precision(prior, scale) * float((spread**2 * self._allowed).sum())
        return value

    def _is_done(self, history: list[float], prior: str) -> bool:
        if len(history) < 2:
            return False
        change, size = history[-1] - history[-2], abs(history[-1])
        if change < -_FALL * size and prior != "onehot" and not self.learn_scale:
            raise ActivityError(
                f"HMMGLM.fit: the objective must not fall; it fell by {-change:.3g} from "
                f"{history[-2]:.6g} in round {len(history) - 1}. Scale the counts down, or use "
                "fewer units."
            )
        return prior != "onehot" and abs(change) <= self.tol * size

    def _weights(self, parameters: dict[str, Array], prior: str) -> tuple[Array, Array]:
        is_onehot = prior == "onehot"
        weights = hard_weights(parameters, self._allowed) if is_onehot else parameters["weights"]
        return weights, (np.sign(weights) * (np.abs(weights) > 0.1)).astype(np.int64)

    def _keep(self, found: dict[str, Any]) -> None:
        parameters = found["parameters"]
        self.weights_, self.adjacency_ = found["weights"], found["signs"]
        self.bias_ = parameters["bias"][0] if self.share_bias else parameters["bias"]
        self.transition_ = parameters["transition"]
        self.prior_mean_ = self.weights_.mean(axis=0)
        is_onehot = found["prior"] == "onehot"
        self.prior_probs_ = special.softmax(parameters["prior"], axis=-1) if is_onehot else None
        self.scale_ = found["scale"]
        self.log_likelihood_, self.history_ = found["ll"], found["history"]
        self.n_iter_ = len(self.history_) - 1
        change = abs(self.history_[-1] - self.history_[-2]) / abs(self.history_[-1])
        if not is_onehot and change > self.tol:
            warnings.warn(
                f"HMMGLM.fit: the objective was still changing by {change:.2g} of its size after "
                f"{self.max_iter} rounds, more than {self.tol:g}. Raise max_iter, m_steps or lr.",
                ConvergenceWarning,
                stacklevel=4,
            )
