"""Switching couplings with a shared wiring: planted networks, recordings, and nothing planted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from activome.studies._onehot_hmm_glm_data import (
    NULLS,
    PRIORS,
    fit_planted,
    fit_recording,
    number_of_null,
    number_of_planted,
)
from activome.studies.claims import Study

__all__ = ["run"]

_SIMPLER = ("one state", "HMM of rates")
_SHORT = {"none": "no prior", "gaussian": "Gaussian", "onehot": "one-hot"}
_ORDER = "one-hot, Gaussian, no prior"
_DATA_FILE = "onehot_hmm_glm"


def run(study: Study) -> None:
    """Measure the claims of switching regressions with three priors, and draw them.

    Parameters
    ----------
    study : Study
        The bench to run on. Full size: three planted networks of 20 units and five states, the
        number of states in six networks and in 100 recordings that have one, and motor cortex;
        smoke: one network of 8 units and three states, and less of the rest.
    """
    networks = _planted(study)
    _number(study)
    scores = _recordings(study)
    from activome.studies._onehot_hmm_glm_figure import draw

    study.save_figure(draw(networks[0], scores))


def _planted(study: Study) -> list[dict[str, Any]]:
    full = study.is_full
    seeds = [study.random_state + k for k in range(3 if full else 1)]
    sizes = (5, 20, 6, 8, 3, 20) if full else (3, 8, 4, 2, 1, 15)
    found = study.map("planted networks", fit_planted, [(seed, *sizes) for seed in seeds])
    for seed, entry in zip(seeds, found, strict=True):
        _note_network(study, seed, entry)
    rise = min(entry["rise"][prior] for entry in found for prior in ("none", "gaussian"))
    study.claim("EM: smallest relative rise of the objective in a round", rise, at_least=-1e-9)
    if not full:
        entry = found[0]
        gain = entry["score"]["gaussian"] - entry["score"]["none"]
        study.claim("test likelihood: Gaussian less no prior (nats)", gain, at_least=-1e-3)
        study.claim("signs recovered: one-hot", entry["sign"]["onehot"], at_least=0.7)
        return found
    for seed, entry in zip(seeds, found, strict=True):
        _claim_network(study, seed, entry)
    return found


def _note_network(study: Study, seed: int, entry: dict[str, Any]) -> None:
    score = ", ".join(f"{name} {value:.4f}" for name, value in entry["score"].items())
    accuracy = ", ".join(f"{name} {value:.3f}" for name, value in entry["accuracy"].items())
    study.note(f"Network {seed}, test nats per bin and unit: {score}.")
    study.note(f"Network {seed}, share of bins in the right state: {accuracy}.")


def _claim_network(study: Study, seed: int, entry: dict[str, Any]) -> None:
    score, network = entry["score"], f"network {seed}"
    none, gaussian, onehot = (score[prior] for prior in PRIORS)
    study.claim(
        f"{network}: test likelihood falls in the order {_ORDER}",
        bool(onehot > gaussian > none),
        paper="one-hot best, Gaussian next",
        equals=True,
        note=f"{onehot:.4f}, {gaussian:.4f}, {none:.4f} nats per bin and unit.",
    )
    study.claim(f"{network}: Gaussian less no prior (nats)", gaussian - none, at_least=1e-3)
    best = max(score[name] for name in _SIMPLER)
    study.claim(
        f"{network}: one-hot less the better of one state and rates alone (nats)",
        onehot - best,
        paper="states and couplings beat either alone",
        at_least=1e-3,
    )
    closed = (onehot - none) / (score["truth"] - none)
    study.claim(
        f"{network}: gap to the true model closed by one-hot over no prior", closed, at_least=0.3
    )
    correlation = [entry["correlation"][prior] for prior in PRIORS]
    text = ", ".join(f"{value:.3f}" for value in correlation[::-1])
    study.claim(
        f"{network}: correlation of weights falls in the order {_ORDER}",
        bool(correlation[2] > correlation[1] > correlation[0]),
        equals=True,
        note=f"{text}.",
    )
    study.claim(f"{network}: correlation of weights, one-hot", correlation[2], at_least=0.85)
    sign = entry["sign"]
    study.claim(f"{network}: signs recovered, one-hot", sign["onehot"], at_least=0.75)
    study.claim(
        f"{network}: signs recovered, the better of the other two",
        max(sign["none"], sign["gaussian"]),
        at_most=0.65,
    )
    accuracy = entry["accuracy"]
    study.claim(
        f"{network}: bins in the right state, the lower of one-hot and Gaussian",
        min(accuracy["onehot"], accuracy["gaussian"]),
        at_least=0.95,
    )
    best = max(accuracy["HMM of rates"], accuracy["Gaussian mixture"])
    study.claim(
        f"{network}: bins in the right state, one-hot less the better of rates and mixture",
        accuracy["onehot"] - best,
        paper="states by couplings, which rates do not show",
        at_least=0.2,
    )


def _number(study: Study) -> None:
    full = study.is_full
    cases = [(n, study.random_state + k) for n in (2, 3) for k in range(3)] if full else [(2, 0)]
    n_bins = 2000 if full else 1200
    found = study.map(
        "number of states",
        number_of_planted,
        [(seed, n, n_bins, 5 if full else 2) for n, seed in cases],
    )
    hits = [entry["n_states"] == n for entry, (n, _) in zip(found, cases, strict=True)]
    text = ", ".join(f"{e['n_states']} for {n}" for e, (n, _) in zip(found, cases, strict=True))
    study.claim(
        "number of states by held-out likelihood: share of planted networks in which it is right",
        float(np.mean(hits)),
        at_least=0.8,
        note=f"Found {text}.",
    )
    each = 25 if full else 1
    draws = [(kind, study.random_state + k) for kind in NULLS for k in range(each)]
    chosen = study.map("recordings of one state", number_of_null, draws)
    false = {
        kind: sum(n > 1 for n, (other, _) in zip(chosen, draws, strict=True) if other == kind)
        for kind in NULLS
    }
    name = "number of states: share of recordings of one state in which more are found"
    study.note(
        "Recordings of one state in which more were found: "
        + ", ".join(f"{kind} {count} of {each}" for kind, count in false.items())
        + "."
    )
    if full:
        study.claim(name, float(np.mean([n > 1 for n in chosen])), at_most=0.05)
    else:
        study.not_run(name, threshold="<= 0.05", reason="Four recordings are no rate: --size full.")


def _recordings(study: Study) -> dict[str, Any]:
    sources = [("motor cortex", "")]
    own = sorted(study.data.glob(f"{_DATA_FILE}.*")) if study.data is not None else []
    sources += [(own[0].name, str(own[0]))] if own else []
    result = {name: _recording(study, name, path) for name, path in sources}
    if not own:
        reason = (
            f"No recording of one's own. Put {_DATA_FILE}.npz, .nwb or any other file that "
            "activome.load reads as counts (time, unit) into the folder that ACTIVOME_DATA or the "
            "argument data names."
        )
        study.not_run(
            "own recording: 4 states, likelihood falls in the order " + _ORDER,
            paper="one-hot best on rat prefrontal and barrel cortex",
            threshold="yes",
            reason=reason,
        )
    return result["motor cortex"]


def _recording(study: Study, name: str, path: str) -> dict[str, Any]:
    full = study.is_full
    numbers = (1, 2, 3, 4) if full else (1, 2)
    n_init, max_iter, n_blocks = (3, 20, 15) if full else (1, 8, 6)
    cases = [
        (name, path, n, prior, n_init, max_iter, n_blocks)
        for n in numbers
        for prior in (PRIORS if n > 1 else PRIORS[:1])
    ]
    digest = Path(path).stat().st_mtime_ns if path else 0
    found = study.map(f"{name} {digest}", fit_recording, cases)
    score = {(case[2], case[3]): entry["score"] for case, entry in zip(cases, found, strict=True)}
    for n in numbers[1:]:
        text = ", ".join(f"{_SHORT[prior]} {score[n, prior]:.5f}" for prior in PRIORS)
        study.note(f"{name}, {n} states, test nats per bin and unit: {text}.")
    study.note(f"{name}, 1 state: {score[1, 'none']:.5f}.")
    if full:
        none, gaussian, onehot = (score[4, prior] for prior in PRIORS)
        study.claim(
            f"{name}: 4 states, likelihood falls in the order {_ORDER}",
            bool(onehot > gaussian > none),
            paper="one-hot best on rat prefrontal and barrel cortex",
            equals=True,
            note=f"{onehot:.5f}, {gaussian:.5f}, {none:.5f} nats per bin and unit.",
        )
        study.claim(
            f"{name}: without a prior 4 states less 2 states (nats)",
            score[4, "none"] - score[2, "none"],
            paper="overfits",
            at_most=0.0,
        )
        study.claim(
            f"{name}: best number of states, one-hot, less one state (nats)",
            max(score[n, "onehot"] for n in numbers[1:]) - score[1, "none"],
            at_least=1e-3,
        )
    last = found[[case[2:4] for case in cases].index((4 if full else 2, "onehot"))]
    return {"score": score, "probabilities": last["probabilities"], "name": name}
