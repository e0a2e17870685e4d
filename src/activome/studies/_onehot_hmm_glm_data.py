"""Data and fits of the study of switching regressions: planted wiring, and recordings."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy.signal import lfilter
from sklearn.mixture import GaussianMixture

from activome.activity.matching import match_labels
from activome.errors import ConvergenceWarning, ReadError
from activome.patterns.hmm_glm import HMMGLM
from activome.patterns.n_states import choose_n_states
from activome.patterns.population_hmm import PopulationHMM
from activome.samples.shipped import motor_cortex

__all__ = [
    "NULLS", "PRIORS", "fit_planted", "fit_recording", "number_of_null", "number_of_planted",
    "planted", "recording",
]  # fmt: skip

Array = np.ndarray[Any, Any]
PRIORS = ("none", "gaussian", "onehot")
NULLS = ("poisson", "coupled", "slow", "bursts")
_BLOCK = 1000


def planted(seed: int, n_states: int, n_units: int) -> HMMGLM:
    """Return a model whose states draw their signs from one prior, with strengths of their own."""
    rng = np.random.default_rng([32, seed])
    prior = rng.dirichlet(2 * np.array([0.1, 0.8, 0.1]), size=(n_units, n_units))
    shape = (n_states, n_units, n_units)
    sign = (rng.random((*shape, 1)) > prior.cumsum(axis=-1)[..., :2]).sum(axis=-1) - 1
    model = HMMGLM(n_states)
    model.weights_ = sign * np.log1p(3 * rng.random(shape))
    model.bias_ = rng.uniform(-0.05, 0.05, n_units)
    lags = np.exp(-np.arange(5.0))
    model.basis_ = (lags / lags.sum())[:, np.newaxis]
    rest = 0.02 / max(n_states - 1, 1)
    stay = 0.98 if n_states > 1 else 1.0
    model.transition_ = np.full((n_states, n_states), rest) + (stay - rest) * np.eye(n_states)
    model.n_features_in_ = n_units
    return model


def fit_planted(
    seed: int, n_states: int, n_units: int, n_train: int, n_test: int, n_init: int, max_iter: int
) -> dict[str, Any]:
    """Fit planted sequences of 1,000 bins with the three priors and with simpler models."""
    truth = planted(seed, n_states, n_units)
    counts, states = truth.simulate(_BLOCK, n_train + n_test, random_state=seed)
    train, test = counts[:n_train], counts[n_train:]
    path = np.concatenate(states[n_train:])
    result: dict[str, Any] = {"score": {"truth": truth.score(test)}, "accuracy": {}}
    result["accuracy"]["truth"] = float((truth.match_states(path, test) == path).mean())
    result |= {"correlation": {}, "sign": {}, "rise": {}, "weights": truth.weights_}
    off = ~np.eye(n_units, dtype=bool)
    for prior in PRIORS:
        model = HMMGLM(n_states, prior, n_init=n_init, max_iter=max_iter, random_state=seed)
        _quiet_fit(model, train)
        found = np.concatenate(model.predict(test))
        renamed = match_labels(path, found)[0]
        order = [int(np.bincount(found[renamed == s], minlength=n_states).argmax())
                 for s in range(n_states)]  # fmt: skip
        weights, signs = model.weights_[order], model.adjacency_[order]
        change = np.diff(model.history_) / np.abs(model.history_[1:])
        result["score"][prior] = model.score(test)
        result["accuracy"][prior] = float((renamed == path).mean())
        result["correlation"][prior] = float(
            np.corrcoef(weights[:, off].ravel(), truth.weights_[:, off].ravel())[0, 1]
        )
        result["sign"][prior] = float((signs[:, off] == np.sign(truth.weights_[:, off])).mean())
        result["rise"][prior] = float(change.min())
        if prior == "onehot":
            result |= {"found": weights, "prior": model.prior_probs_}
            result["path"], result["guess"] = path[:_BLOCK], renamed[:_BLOCK]
            result["raster"] = test[0]
    one = _quiet_fit(HMMGLM(1, "none", n_init=1, max_iter=max_iter, random_state=seed), train)
    result["score"]["one state"] = one.score(test)
    plain = _quiet_fit(PopulationHMM(n_states, n_init=n_init, random_state=seed), train)
    result["score"]["HMM of rates"] = plain.score(test)
    guess = match_labels(path, np.concatenate(plain.predict(test)))[0]
    result["accuracy"]["HMM of rates"] = float((guess == path).mean())
    result["accuracy"]["Gaussian mixture"] = _mixture_accuracy(train, test, path, n_states, seed)
    return result


def _mixture_accuracy(
    train: list[Array], test: list[Array], path: Array, n_states: int, seed: int
) -> float:
    """Cluster counts smoothed over about ten bins, as is done without a model of time."""
    smooth = [
        [np.asarray(lfilter([0.1], [1.0, -0.9], x, axis=0)) for x in part] for part in (train, test)
    ]
    mixture = GaussianMixture(n_states, covariance_type="diag", n_init=3, random_state=seed)
    mixture.fit(np.concatenate(smooth[0]))
    found = mixture.predict(np.concatenate(smooth[1]))
    return float((match_labels(path, np.asarray(found, dtype=np.int64))[0] == path).mean())


def _quiet_fit(model: Any, counts: Any) -> Any:
    with warnings.catch_warnings():
        # Rounds are as many as the study can pay for; what they gave is what is measured.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(counts)


def _chooser(seed: int) -> HMMGLM:
    return HMMGLM(prior="gaussian", share_bias=False, n_init=2, max_iter=15, random_state=seed)


def number_of_planted(seed: int, n_states: int, n_bins: int, most: int) -> dict[str, Any]:
    """Choose the number of planted states among one to ``most``."""
    counts, _ = planted(seed, n_states, 10).simulate(n_bins, 2, random_state=seed)
    chosen = choose_n_states(_chooser(seed), counts, tuple(range(1, most + 1)), n_folds=3)
    return {"n_states": chosen.n_states, "score": chosen.score.mean(axis=1)}


def number_of_null(kind: str, seed: int) -> int:
    """Choose the number of states of six units that have one state.

    ``poisson`` are constant rates, ``coupled`` one wiring throughout, ``slow`` rates of each unit
    that drift on their own, ``bursts`` units that excite themselves.
    """
    rng = np.random.default_rng([33, seed])
    shape = (900, 6)
    if kind == "coupled":
        counts = planted(seed, 1, 6).simulate(shape[0], random_state=seed)[0][0]
    elif kind == "slow":
        drift = lfilter([1.0], [1.0, -0.95], rng.normal(size=(1000, 6)), axis=0)[100:]
        counts = rng.poisson(0.3 * np.exp(0.15 * drift))
    elif kind == "bursts":
        model = planted(seed, 1, 6)
        model.weights_ = 1.5 * np.eye(6)[np.newaxis]
        model.bias_ = np.full(6, -1.5)
        counts = model.simulate(shape[0], random_state=seed)[0][0]
    else:
        counts = rng.poisson(rng.uniform(0.1, 0.8, 6), shape)
    return choose_n_states(_chooser(seed), counts, (1, 2, 3), n_folds=3).n_states


def recording(name: str, path: str) -> list[Array]:
    """Return blocks of 1,000 bins of at most 20 units with 0.1 to 0.6 spikes per bin, up to 2."""
    counts = np.asarray(_read(name, path), dtype=np.float64)
    mean = counts.mean(axis=0)
    units = np.flatnonzero((mean >= 0.1) & (mean <= 0.6))[:20]
    counts = np.minimum(counts[:, units], 2.0)
    n_blocks = min(15, len(counts) // _BLOCK)
    blocks = [counts[k * _BLOCK : (k + 1) * _BLOCK] for k in range(n_blocks)]
    if units.size < 3 or n_blocks < 6:
        raise ReadError(
            f"onehot-hmm-glm: a recording must have 3 units with 0.1 to 0.6 spikes per bin and "
            f"6,000 bins; {path} has {units.size} and {len(counts)}. Choose another bin width."
        )
    return blocks


def _read(name: str, path: str) -> Array:
    if name == "motor cortex":
        return np.asarray(motor_cortex().values)
    from activome.activity.readers import load

    data = load(Path(path))
    if not isinstance(data, xr.DataArray):
        raise ReadError(
            f"onehot-hmm-glm: {path} must hold counts (time, unit); it holds events. Bin them with "
            "events.bin(dt) and write the result."
        )
    return np.asarray(data.transpose(..., "unit").values).reshape(-1, data.sizes["unit"])


def fit_recording(
    name: str, path: str, n_states: int, prior: str, n_init: int, max_iter: int, n_blocks: int
) -> dict[str, Any]:
    """Fit the first two thirds of the blocks of a recording, and score the others."""
    blocks = recording(name, path)[:n_blocks]
    n_train = 2 * len(blocks) // 3
    model = HMMGLM(n_states, prior, n_init=n_init, max_iter=max_iter, random_state=0)
    _quiet_fit(model, blocks[:n_train])
    return {
        "score": model.score(blocks[n_train:]),
        "paths": np.concatenate(model.predict(blocks[n_train:])),
        "probabilities": np.concatenate(model.predict_proba(blocks[n_train:])),
        "weights": model.weights_,
    }
