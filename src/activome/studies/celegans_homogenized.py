"""Recordings of three laboratories brought to one form, and wiring diagrams to a consensus.

Part A needs nothing but the package: three invented laboratories record the same nervous system
with their own steps, units and orders. Part B takes reconstructions from ``cect`` and the atlas of
signal propagation from ``wormneuroatlas``, where they are installed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import lfilter
from scipy.stats import rankdata, spearmanr

from activome._random import make_generator
from activome.activity.resample import resample
from activome.activity.worm import NEURONS, homogenize
from activome.errors import MissingExtraError
from activome.graphs.connectome import (
    Connectome,
    consensus_connectome,
    detect_lineages,
    read_connectome,
    read_functional_atlas,
)
from activome.studies._celegans_figure import draw
from activome.studies.claims import Study

__all__ = ["invented_laboratories", "run"]

Array = np.ndarray[Any, Any]

_NAMES = NEURONS[::5]
_DT = 0.333
_LABS = (("fast", 0.17, 1.0, 0.2), ("middle", 0.34, 1000.0, 0.3), ("slow", 0.6, 0.5, 0.2))
_SIMULATED_STEP, _DURATION = 0.05, 480.0
_READERS = {
    "White": "White_whole",
    "Varshney": "VarshneyDataReader",
    "Cook": "Cook2019HermReader",
    "Witvliet 7": "WitvlietDataReader7",
    "Witvliet 8": "WitvlietDataReader8",
}
# What is never used to predict what: tables of one animal, and animals of one laboratory.
_KIN = (("White", "Varshney"), ("Witvliet 7", "Witvliet 8"))
_INSTALL = "pip install 'activome[worm]' && pip install --no-deps cect==0.3.5"
_INSTALL_ATLAS = "pip install --no-deps wormneuroatlas==0.0.7.3 (GPL-3; only its data file is read)"


def invented_laboratories(
    random_state: int = 0, *, n_worms: int = 2, loadings_seed: int = 0
) -> list[dict[str, Any]]:
    """Make recordings of the same 60 neurons by three laboratories.

    Five slow processes drive all neurons with loadings common to all animals, and each neuron has
    a faster one of its own. The laboratories differ in step, unit, noise, and in which 60 % of the
    neurons they see, in which order.

    Parameters
    ----------
    random_state : int, default=0
        Seed of the animals.
    n_worms : int, default=2
        Animals per laboratory.
    loadings_seed : int, default=0
        Seed of the loadings.

    Returns
    -------
    list of dict
        Recordings for `homogenize`.
    """
    loadings = make_generator(loadings_seed).standard_normal((len(_NAMES), 5))
    generator = make_generator(random_state)
    n_steps = int(_DURATION / _SIMULATED_STEP)
    clock = np.arange(n_steps) * _SIMULATED_STEP
    recordings = []
    for lab, step, scale, noise in _LABS:
        for worm in range(n_worms):
            drive = _ornstein_uhlenbeck(n_steps, 5, 6.0, generator) @ loadings.T
            private = _ornstein_uhlenbeck(n_steps, len(_NAMES), 3.0, generator)
            keep = np.exp(-_SIMULATED_STEP / 1.5)
            calcium = lfilter([1 - keep], [1, -keep], drive + 0.5 * private, axis=0)
            time = np.arange(0.0, _DURATION - step, step)
            time = time + 0.05 * step * generator.standard_normal(time.size)
            time = np.maximum.accumulate(np.clip(time, 0.0, clock[-1]))
            time = time[np.concatenate([[True], np.diff(time) > 0])]
            seen = generator.permutation(len(_NAMES))[: int(0.6 * len(_NAMES))]
            traces = np.column_stack([np.interp(time, clock, calcium[:, k]) for k in seen])
            traces += noise * traces.std(axis=0) * generator.standard_normal(traces.shape)
            recordings.append(
                {
                    "time": time,
                    "traces": scale * traces,
                    "labels": [_NAMES[k] for k in seen],
                    "source": lab,
                    "worm": f"{lab}-{worm}",
                }
            )
    return recordings


def _ornstein_uhlenbeck(n_steps: int, n: int, tau: float, generator: np.random.Generator) -> Array:
    decay = np.exp(-_SIMULATED_STEP / tau)
    kicks = generator.standard_normal((n_steps, n)) * np.sqrt(1 - decay**2)
    kicks[0] /= np.sqrt(1 - decay**2)
    return np.asarray(lfilter([1.0], [1.0, -decay], kicks, axis=0))


def run(study: Study) -> None:
    """Measure the claims on recordings and, where the packages are there, on wiring diagrams.

    Parameters
    ----------
    study : Study
        The bench; its smoke size leaves out the comparison with the functional atlas and the
        prediction of left-out reconstructions.
    """
    pooled = study.step("pool", _pool, study.random_state)
    study.claim(
        "A: every output has the step of 0.333 s and the canonical order",
        bool(pooled["same_form"]),
        paper="0.333 s, 300 neurons",
        equals=True,
    )
    study.claim(
        "A: correlation structure is the same across laboratories (mean over pairs of worms)",
        pooled["across"],
        at_least=0.85,
        note=f"lowest pair {pooled['lowest']:.2f}",
    )
    study.claim(
        "A: correlation structure is the same within a laboratory", pooled["within"], at_least=0.9
    )
    study.claim(
        "A: 0.05 Hz sine from a jittered 0.6 s to 0.333 s: rms error of the z-scored trace",
        study.step("sine", _sine_error, study.random_state),
        at_most=0.01,
    )
    study.note("Part A runs on generated recordings; real ones go into homogenize the same way.")
    try:
        wiring = {name: _neurons_of(read_connectome(key)) for name, key in _READERS.items()}
    except MissingExtraError:
        _wiring_not_run(study)
        _functional_not_run(study, f"needs cect ({_INSTALL}) and the atlas ({_INSTALL_ATLAS})")
        study.save_figure(draw(invented_laboratories(study.random_state), None, None))
        return
    _wiring_claims(study, wiring)
    table = None
    if study.is_full:
        _prediction_claims(study, wiring)
        table = _functional_claims(study, wiring)
    study.save_figure(draw(invented_laboratories(study.random_state), wiring, table))


def _pool(random_state: int) -> dict[str, Any]:
    """Homogenize the laboratories and compare the correlation structure of every pair of worms."""
    worms = homogenize(invented_laboratories(random_state), dt=_DT)
    same_form = all(
        worm.unit.values.tolist() == list(NEURONS)
        and np.array_equal(worm.time.values, np.arange(worm.sizes["time"]) * _DT)
        for worm in worms
    )
    matrices = [np.corrcoef(worm.values[:, worm.labelled.values].T) for worm in worms]
    scores: dict[bool, list[float]] = {True: [], False: []}
    for j, one in enumerate(worms):
        for i, other in enumerate(worms[:j]):
            shared = (one.labelled & other.labelled).values
            parts = []
            for worm, matrix in ((one, matrices[j]), (other, matrices[i])):
                rows = np.flatnonzero(shared[worm.labelled.values])
                part = matrix[np.ix_(rows, rows)]
                parts.append(part[np.triu_indices(rows.size, 1)])
            same_lab = one.attrs["source"] == other.attrs["source"]
            scores[same_lab].append(float(np.corrcoef(*parts)[0, 1]))
    return {
        "same_form": same_form,
        "across": float(np.mean(scores[False])),
        "lowest": float(np.min(scores[False])),
        "within": float(np.mean(scores[True])),
    }


def _sine_error(random_state: int) -> float:
    generator = make_generator(random_state)
    time = np.arange(0.0, _DURATION, 0.6)
    time = np.sort(time + 0.05 * 0.6 * generator.standard_normal(time.size))
    times, values = resample(time, np.sin(2 * np.pi * 0.05 * time), _DT)
    truth = np.sin(2 * np.pi * 0.05 * (times + time[0]))
    off = (values - values.mean()) / values.std() - (truth - truth.mean()) / truth.std()
    return float(np.sqrt(np.mean(off**2)))


def _neurons_of(one: Connectome) -> Connectome:
    """Leave out muscles and other cells, which the reconstructions name in different ways."""
    here = set(one.nodes)
    return one.restrict([name for name in NEURONS if name in here])


def _wiring_claims(study: Study, wiring: dict[str, Connectome]) -> None:
    same_lab = wiring["Witvliet 7"].agreement(wiring["Witvliet 8"])
    others = [wiring[name].agreement(wiring["White"]) for name in ("Witvliet 7", "Witvliet 8")]
    study.claim(
        "B: Witvliet 7 and 8 agree more with each other than either with White",
        same_lab.jaccard > max(other.jaccard for other in others)
        and same_lab.spearman > max(other.spearman for other in others),
        equals=True,
        note=f"Spearman of shared edges {same_lab.spearman:.2f} against "
        + " and ".join(f"{other.spearman:.2f}" for other in others),
    )
    study.claim("B: Jaccard of Witvliet 7 and 8", round(same_lab.jaccard, 2), equals=0.49)
    for name, other in zip(("Witvliet 7", "Witvliet 8"), others, strict=True):
        study.claim(
            f"B: Jaccard of {name} and White", round(other.jaccard, 2), at_least=0.4, at_most=0.41
        )
    white, varshney = wiring["White"], wiring["Varshney"]
    alone = [Connectome(one.chemical, one.gap, one.nodes, name=one.name) for one in wiring.values()]
    found = dict(zip(wiring, detect_lineages(alone), strict=True))
    alike = white.agreement(varshney)
    study.claim(
        "B: White and Varshney, and no others, are detected as the same data",
        found["White"] == found["Varshney"] and len(set(found.values())) == len(found) - 1,
        equals=True,
        note=f"Jaccard {alike.jaccard:.3f}, Spearman {alike.spearman:.3f} on {alike.n_nodes} cells",
    )


def _wiring_not_run(study: Study) -> None:
    reason = f"needs the package cect: {_INSTALL}"
    for name, threshold in (
        ("B: Witvliet 7 and 8 agree more with each other than either with White", "yes"),
        ("B: Jaccard of Witvliet 7 and 8", "= 0.49"),
        ("B: Jaccard of Witvliet 7 and White", ">= 0.4 and <= 0.41"),
        ("B: Jaccard of Witvliet 8 and White", ">= 0.4 and <= 0.41"),
        ("B: White and Varshney, and no others, are detected as the same data", "yes"),
    ):
        study.not_run(name, threshold=threshold, reason=reason)
    if study.is_full:
        for left in _left_out():
            study.not_run(_prediction_name(left), threshold=">= 0", reason=reason)


def _left_out() -> list[str]:
    return [name for name in _READERS if name != "Varshney"]


def _prediction_name(left: str) -> str:
    return f"B: consensus against the median single reconstruction, {left} left out (gain)"


def _prediction_claims(study: Study, wiring: dict[str, Connectome]) -> None:
    for left in _left_out():
        kin = {name for pair in _KIN if left in pair for name in pair} | {left}
        rest = [one for name, one in wiring.items() if name not in kin and name != "Varshney"]
        cells = [
            cell for cell in NEURONS if all(cell in one.nodes for one in (*rest, wiring[left]))
        ]
        off = ~np.eye(len(cells), dtype=bool)
        truth = wiring[left].restrict(cells).chemical[off]
        singles = [
            float(spearmanr(one.restrict(cells).chemical[off], truth).statistic) for one in rest
        ]
        table = consensus_connectome(rest, nodes=cells)
        mean = table["mean_chem"].fillna(0.0).to_numpy().reshape(off.shape)
        single = float(np.median(singles))
        score = float(spearmanr(mean[off], truth).statistic)
        alone = ", ".join(f"{value:.3f}" for value in singles)
        study.claim(
            _prediction_name(left),
            score - single,
            at_least=0.0,
            note=f"{score:.3f} against {single:.3f} (Spearman over all pairs of {len(cells)} "
            f"cells; single ones {alone})",
        )
    study.note(
        "White and Cook are no independent tests: Cook 2019 reread micrographs that White used, "
        "and each is among the reconstructions that predict the other."
    )


def _functional_not_run(study: Study, reason: str) -> None:
    if study.is_full:
        for name, threshold in (("gap-coupled", ">= 0.57"), ("chemically connected", ">= 0.53")):
            study.not_run(
                f"B: functional response is larger on {name} pairs (AUC)",
                threshold=threshold,
                reason=reason,
            )


def _functional_claims(study: Study, wiring: dict[str, Connectome]) -> pd.DataFrame | None:
    try:
        atlas = read_functional_atlas()
    except MissingExtraError:
        _functional_not_run(study, f"needs the atlas: {_INSTALL_ATLAS}")
        return None
    table = consensus_connectome(list(wiring.values()), atlas, nodes=NEURONS)
    table = table[(table["from"] != table["to"]) & table["functional"].notna()]
    for kind, column, at_least in (
        ("gap-coupled", "mean_gap", 0.57),
        ("chemically connected", "mean_chem", 0.53),
    ):
        connected = table[column].notna().to_numpy()
        study.claim(
            f"B: functional response is larger on {kind} pairs (AUC)",
            _auc(table["functional"].to_numpy(), connected),
            at_least=at_least,
            note=f"{len(table)} pairs, {int(connected.sum())} connected",
        )
    return table


def _auc(values: Array, positive: Array) -> float:
    n_positive = int(positive.sum())
    ranks = rankdata(values)[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(ranks / (n_positive * (positive.size - n_positive)))
