"""Hidden Markov models: EM of switching regressions and smoothing, against dynamax and hmmlearn.

dynamax has no Poisson regression with a sigmoid link; its own class for emissions with inputs is
given that law, and takes its M steps by Adam as its regressions do. Run with an interpreter that
has dynamax, jax and hmmlearn, with this package on ``PYTHONPATH``.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from activome.errors import ConvergenceWarning
from activome.patterns._history import exponential_basis, history_features
from activome.patterns._hmm import forward_backward
from activome.patterns.hmm_glm import HMMGLM
from harness import Case, Peer, main

_STATES, _UNITS, _ROUNDS = 3, 4, 10
# The peer must find our likelihood at our parameters, and must not reach a higher one itself.
_TOLERANCE = 1e-6


class Weights(NamedTuple):
    """Parameters of the emissions of the peer."""

    weights: Any
    bias: Any


def make_counts(n_bins: float) -> Any:
    """Counts of four units that drive each other in a different way in each of three states."""
    rng = np.random.default_rng(0)
    truth = HMMGLM(_STATES)
    truth.weights_ = rng.normal(size=(_STATES, _UNITS, _UNITS)) * 1.5
    truth.bias_ = rng.normal(size=(_STATES, _UNITS)) * 0.7 - 1.0
    truth.basis_ = exponential_basis(5)
    truth.transition_ = np.full((_STATES, _STATES), 0.01) + 0.97 * np.eye(_STATES)
    truth.n_features_in_ = _UNITS
    return truth.simulate(int(n_bins), random_state=1)[0][0].astype(float)


def fit_ours(counts: Any) -> Any:
    """Fit ten rounds from a random start; give the log likelihood and the parameters."""
    model = HMMGLM(
        _STATES, "none", share_bias=False, n_init=1, max_iter=_ROUNDS, tol=1e-12, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(counts)
    return model.log_likelihood_, Weights(model.weights_, model.bias_), model.transition_


def prepare_dynamax(counts: Any) -> Any:
    """Compile the peer's EM for these counts; compiled anew it would take seconds more."""
    import jax
    import jax.numpy as jnp

    model = _dynamax_model()
    past = history_features(counts, exponential_basis(5))
    parameters, properties = _dynamax_start(model, counts)

    def run(start: Any, seen: Any, inputs: Any) -> Any:
        fitted, _ = model.fit_em(
            start, properties, seen, inputs=inputs, num_iters=_ROUNDS, verbose=False
        )
        return model.marginal_log_prob(fitted, seen, inputs=inputs)

    def judge(weights: Weights, transition: Any) -> float:
        chain = parameters.transitions._replace(transition_matrix=jnp.asarray(transition))
        at = parameters._replace(transitions=chain, emissions=Weights(*map(jnp.asarray, weights)))
        return float(model.marginal_log_prob(at, counts, inputs=past))

    inputs = (judge, jax.jit(run), parameters, counts, past)
    fit_dynamax(inputs)
    return inputs


def fit_dynamax(inputs: Any) -> Any:
    """Fit as many rounds, compiled before; give the log likelihood, and who judges others."""
    judge, run, *arguments = inputs
    return float(run(*arguments)), judge


def _dynamax_start(model: Any, counts: Any) -> Any:
    import jax.numpy as jnp
    from dynamax.hidden_markov_model.models.initial import ParamsStandardHMMInitialState
    from dynamax.hidden_markov_model.models.transitions import ParamsStandardHMMTransitions
    from dynamax.parameters import ParameterProperties

    initial = ParamsStandardHMMInitialState(probs=jnp.full(_STATES, 1.0 / _STATES))
    stay = jnp.full((_STATES, _STATES), 0.01) + 0.97 * jnp.eye(_STATES)
    transitions = ParamsStandardHMMTransitions(transition_matrix=stay)
    emissions = model.emission_component.initialize(counts.mean(axis=0))
    free, fixed = ParameterProperties(), ParameterProperties(trainable=False)
    properties = _params()(
        ParamsStandardHMMInitialState(probs=fixed),
        ParamsStandardHMMTransitions(transition_matrix=free),
        Weights(free, free),
    )
    return _params()(initial, transitions, emissions), properties


@functools.cache
def _params() -> Any:
    return NamedTuple("Params", [("initial", Any), ("transitions", Any), ("emissions", Any)])


@functools.cache
def _dynamax_model() -> Any:
    import jax
    import jax.numpy as jnp
    import optax
    from dynamax.hidden_markov_model.models.abstractions import HMM, HMMEmissions
    from dynamax.hidden_markov_model.models.initial import StandardHMMInitialState
    from dynamax.hidden_markov_model.models.transitions import StandardHMMTransitions
    from jax.scipy.special import gammaln

    jax.config.update("jax_enable_x64", True)

    class Law(NamedTuple):
        logits: Any

        def log_prob(self, counts: Any) -> Any:
            log_mean = -jnp.logaddexp(0.0, -self.logits)
            each = counts * log_mean - jnp.exp(log_mean) - gammaln(counts + 1.0)
            return each.sum(axis=-1)

    class Emissions(HMMEmissions):  # type: ignore[misc, unused-ignore]
        num_states = _STATES

        @property
        def emission_shape(self) -> tuple[int, ...]:
            return (_UNITS,)

        @property
        def inputs_shape(self) -> tuple[int, ...]:
            return (_UNITS,)

        def distribution(self, params: Any, state: Any, inputs: Any = None) -> Any:
            return Law(params.weights[state] @ inputs + params.bias[state])

        def initialize(self, mean: Any) -> Weights:
            rng = np.random.default_rng(0)
            bias = np.log(mean / (1 - mean)) + 0.1 * rng.normal(size=(_STATES, _UNITS))
            start = 0.3 * rng.normal(size=(_STATES, _UNITS, _UNITS))
            return Weights(jnp.asarray(start), jnp.asarray(bias))

        def log_prior(self, params: Any) -> float:
            return 0.0

    emissions = Emissions(m_step_optimizer=optax.adam(2e-2), m_step_num_iters=30)

    class Model(HMM):  # type: ignore[misc, unused-ignore]
        @property
        def inputs_shape(self) -> tuple[int, ...]:
            return (_UNITS,)

    return Model(
        _STATES,
        StandardHMMInitialState(_STATES, initial_probs_concentration=1.1),
        StandardHMMTransitions(_STATES, concentration=1.001),
        emissions,
    )


def likelihoods_differ(ours: Any, theirs: Any) -> float:
    """Tell the relative difference at our parameters, or how far we lag behind if that is more."""
    (value, weights, transition), (reached, judge) = ours, theirs
    return float(max(abs(judge(weights, transition) - value), reached - value) / abs(value))


def make_emissions(n_bins: float) -> Any:
    """Log emissions of five states for counts of four units, and the parameters."""
    rng = np.random.default_rng(0)
    rates = rng.uniform(0.5, 4.0, size=(5, _UNITS))
    state = np.repeat(rng.integers(5, size=int(n_bins) // 20 + 1), 20)[: int(n_bins)]
    counts = rng.poisson(rates[state])
    transition = np.full((5, 5), 0.0125) + (0.95 - 0.0125) * np.eye(5)
    log_b = counts @ np.log(rates).T - rates.sum(axis=1)
    return counts, rates, transition, np.ascontiguousarray(log_b)


def smooth_ours(inputs: Any) -> Any:
    """Smooth; give the probabilities of states."""
    _, _, transition, log_b = inputs
    return forward_backward(log_b, np.log(transition), np.log(np.full(5, 0.2)))[0]


def prepare_hmmlearn(inputs: Any) -> Any:
    """Build the peer with the same parameters."""
    from hmmlearn.hmm import PoissonHMM

    counts, rates, transition, _ = inputs
    peer = PoissonHMM(5)
    peer.n_features = _UNITS
    peer.startprob_, peer.transmat_, peer.lambdas_ = np.full(5, 0.2), transition, rates
    return peer, counts


def smooth_hmmlearn(inputs: Any) -> Any:
    """Smooth; the emissions are part of its call, and of little weight in it."""
    peer, counts = inputs
    return peer.predict_proba(counts)


def prepare_smoother(inputs: Any) -> Any:
    """Hand the emissions to the compiled smoother of the peer."""
    import jax
    import jax.numpy as jnp
    from dynamax.hidden_markov_model import hmm_smoother

    jax.config.update("jax_enable_x64", True)
    _, _, transition, log_b = inputs
    run = jax.jit(hmm_smoother)
    arguments = (jnp.full(5, 0.2), jnp.asarray(transition), jnp.asarray(log_b))
    run(*arguments).smoothed_probs.block_until_ready()
    return run, arguments


def smooth_dynamax(inputs: Any) -> Any:
    """Smooth; give the probabilities of states."""
    run, arguments = inputs
    return np.asarray(run(*arguments).smoothed_probs)


def differs(ours: Any, theirs: Any) -> float:
    """Tell the largest difference of a probability."""
    return float(np.abs(ours - theirs).max())


def cases() -> Sequence[Case]:
    """EM at three lengths against dynamax, smoothing at three lengths against both."""
    em = Peer(
        "dynamax, compiled, Adam",
        fit_dynamax,
        likelihoods_differ,
        _TOLERANCE,
        "dynamax",
        prepare=prepare_dynamax,
    )
    peers = [
        Peer("hmmlearn", smooth_hmmlearn, differs, 1e-6, "hmmlearn", prepare=prepare_hmmlearn),
        Peer("dynamax", smooth_dynamax, differs, 1e-6, "dynamax", prepare=prepare_smoother),
    ]
    return [
        Case(
            name="HMMGLM, 3 states, 4 units, 10 rounds of EM",
            sizes=(5_000, 15_000, 50_000),
            smoke=(2_000,),
            make=make_counts,
            ours=fit_ours,
            peers=[em],
            aim="at least 10 times dynamax",
        ),
        Case(
            name="forward_backward, 5 states",
            sizes=(2_000, 20_000, 200_000),
            smoke=(2_000,),
            make=make_emissions,
            ours=smooth_ours,
            peers=peers,
            aim="at least 5 times hmmlearn",
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
