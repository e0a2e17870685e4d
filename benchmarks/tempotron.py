"""The tempotron with exact peaks: decisions and learning, against a loop over trials in NumPy."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from activome._random import spawn_generators
from activome.errors import ConvergenceWarning
from activome.networks.tempotron import Tempotron
from harness import Case, Peer, main

_N_INPUTS = 100
_N_EPOCHS = 5


def make_patterns(n: float) -> Any:
    """Random latencies in 500 ms and random labels."""
    rng = np.random.default_rng(0)
    X, y = rng.uniform(0.0, 500.0, (int(n), _N_INPUTS)), rng.integers(0, 2, int(n))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = Tempotron(n_epochs=_N_EPOCHS).fit(X, y)
    return model, X, y


def decide(inputs: Any) -> Any:
    """Decide, ours."""
    model, X, _ = inputs
    return model.predict(X)


def learn(inputs: Any) -> Any:
    """Learn for some passes, ours."""
    model, X, y = inputs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return Tempotron(n_epochs=model.n_epochs).fit(X, y).weights_[0]


def _scale(tau_m: float, tau_s: float) -> tuple[float, float]:
    when = tau_m * tau_s / (tau_m - tau_s) * np.log(tau_m / tau_s)
    return when, 1.0 / (np.exp(-when / tau_m) - np.exp(-when / tau_s))


def _peak(times: Any, w: Any, tau_m: float, tau_s: float) -> tuple[float, float]:
    """Find the peak of one trial, its sums cumulated by NumPy."""
    rise, scale = _scale(tau_m, tau_s)
    order = np.argsort(times, kind="stable")
    times, w = times[order], w[order]
    origin = times[-1]
    slow = np.cumsum(w * np.exp((times - origin) / tau_m)) * np.exp((origin - times) / tau_m)
    fast = np.cumsum(w * np.exp((times - origin) / tau_s)) * np.exp((origin - times) / tau_s)
    gap = np.append(np.diff(times), np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        stay = np.log(fast * tau_m / (slow * tau_s)) / (1 / tau_s - 1 / tau_m)
    is_inside = (slow > 0) & (fast > 0) & (stay > 0) & (stay < gap)
    at = np.concatenate([times[1:], (times + np.where(is_inside, stay, 0))[is_inside]])
    at = np.append(at, times[-1] + rise)
    lag = at[:, np.newaxis] - times
    kernel = np.where(lag >= 0, np.exp(-lag.clip(0) / tau_m) - np.exp(-lag.clip(0) / tau_s), 0.0)
    values = scale * kernel @ w
    best = int(values.argmax())
    return float(values[best]), float(at[best])


def decide_loop(inputs: Any) -> Any:
    """Decide in a loop over trials."""
    model, X, _ = inputs
    tau_m, tau_s = model.taus_[0]
    return np.array([_peak(row, model.weights_[0], tau_m, tau_s)[0] >= 1.0 for row in X])


def learn_loop(inputs: Any) -> Any:
    """Learn in a loop over trials, from the same start and in the same order."""
    model, X, y = inputs
    (rng,) = spawn_generators(0, 1)
    tau_m, tau_s = model.tau_m, model.tau_s
    scale = _scale(tau_m, tau_s)[1]
    w = rng.normal(0.0, 0.1 / np.sqrt(_N_INPUTS), _N_INPUTS)
    change, fewest, kept = np.zeros(_N_INPUTS), len(y) + 1, w
    for _ in range(model.n_epochs):
        n_errors = 0
        for i in rng.permutation(len(X)):
            value, at = _peak(X[i], w, tau_m, tau_s)
            if (value >= 1.0) == (y[i] == 1):
                continue
            n_errors += 1
            lag = (at - X[i]).clip(0)
            kernel = scale * (np.exp(-lag / tau_m) - np.exp(-lag / tau_s))
            change = model.momentum * change + (model.lr if y[i] else -model.lr) * kernel
            w = w + change
        if n_errors < fewest:
            fewest, kept = n_errors, w.copy()
        if n_errors == 0:
            break
    return kept


def differs(ours: Any, theirs: Any) -> float:
    """Tell the largest difference."""
    return float(np.max(np.abs(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64))))


def cases() -> Sequence[Case]:
    """Decisions and learning, of 100 inputs with a spike each."""
    loop = Peer("NumPy, a loop over trials", decide_loop, differs)
    slow = Peer("NumPy, a loop over trials", learn_loop, differs, tolerance=1e-9)
    return [
        Case(
            name="decisions, 100 inputs",
            sizes=(100, 300, 1000),
            make=make_patterns,
            ours=decide,
            peers=[loop],
            aim="equal decisions, 50 times the loop",
        ),
        Case(
            name=f"learning, {_N_EPOCHS} passes, 100 inputs",
            sizes=(50, 100, 200),
            make=make_patterns,
            ours=learn,
            peers=[slow],
            aim="equal weights, 50 times the loop",
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
