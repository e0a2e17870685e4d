"""Semi-nonnegative factorisation: planted parts found again, in matrices and in recordings."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from sklearn.decomposition import NMF, DictionaryLearning
from sklearn.exceptions import ConvergenceWarning as NotConverged

from activome.patterns.hierarchical_semi_nmf import HierarchicalSemiNMF
from activome.patterns.semi_nmf import SemiNMF
from activome.patterns.stability import choose_n_components
from activome.studies._snmf_data import exact_factors, neural_recording, unrelated_units, within
from activome.studies._snmf_model_claims import language_model_claims
from activome.studies.claims import Study

__all__ = ["run"]

Array = np.ndarray[Any, Any]
_METHODS = ("SemiNMF", "NMF of the positive half", "DictionaryLearning")
_KINDS = ("poisson", "slow", "heavy")


def run(study: Study) -> None:
    """Measure the claims of semi-nonnegative factorisation and draw them.

    Parameters
    ----------
    study : Study
        The bench to run on. Full size: 5 planted matrices, 5 planted recordings, 200 recordings
        without structure, a tower, and four layers of SmolLM2; smoke: 1, 1, 3, the tower and one
        layer on a few sentences.
    """
    exact = _exact(study)
    recordings = _recordings(study)
    number = _number(study)
    _tower(study)
    model = language_model_claims(study)
    _draw(study, exact, recordings, number, model)


def _exact(study: Study) -> list[dict[str, Any]]:
    seeds = [study.random_state + i for i in range(5 if study.is_full else 1)]
    n_starts = 3 if study.is_full else 2
    found = study.map("planted matrices", planted_matrix, [(seed, n_starts) for seed in seeds])
    cosine = [float(np.mean(entry["cosine"])) for entry in found]
    planted = "planted matrix (200 units, 2000 samples, 10 parts)"
    study.claim(f"{planted}: cosine, mean over seeds", float(np.mean(cosine)), at_least=0.95)
    study.claim(f"{planted}: cosine, lowest seed", min(cosine), at_least=0.88)
    study.claim(
        f"{planted}: F1 of the supports, mean over seeds",
        float(np.mean([entry["f1"] for entry in found])),
        at_least=0.85,
    )
    study.claim(
        f"{planted}: explained variance, lowest seed",
        min(entry["explained"] for entry in found),
        at_least=0.95,
    )
    rises = study.map("monotone loss", largest_rise, seeds)
    study.claim("keep = 1: largest relative rise of the loss in a step", max(rises), at_most=1e-6)
    return found


def planted_matrix(seed: int, n_starts: int) -> dict[str, Any]:
    """Fit a planted matrix from random starts; the best one by loss counts."""
    activity, features = exact_factors(seed)
    models = [
        SemiNMF(10, keep=0.05, max_iter=300, tol=0.0, patience=300, random_state=start).fit(
            activity
        )
        for start in range(n_starts)
    ]
    best = min(models, key=lambda model: float(model.loss_curve_.min()))
    cosine, f1 = within(features, best.components_, 10)
    return {
        "cosine": cosine,
        "f1": f1,
        "explained": best.score(activity),
        "curves": [model.loss_curve_ / (activity**2).sum() for model in models],
    }


def largest_rise(seed: int) -> float:
    """Return the largest relative change of the loss in a step with all entries kept."""
    activity, _ = exact_factors(seed)
    model = SemiNMF(10, keep=1.0, max_iter=300, tol=0.0, patience=300, random_state=seed)
    loss = model.fit(activity).loss_curve_
    return float((np.diff(loss) / loss[:-1]).max())


def _recordings(study: Study) -> list[dict[str, Any]]:
    seeds = [study.random_state + i for i in range(5 if study.is_full else 1)]
    n_samples = 3000 if study.is_full else 800
    items = [(seed, n_samples) for seed in seeds]
    found = study.map("planted recordings", planted_recording, items)
    cosine = {
        name: float(np.mean([np.mean(entry[name]["cosine"]) for entry in found]))
        for name in _METHODS
    }
    f1 = float(np.mean([entry["SemiNMF"]["f1"] for entry in found]))
    ours = cosine["SemiNMF"]
    planted = f"planted recording (80 units, {n_samples} samples, 6 overlapping ensembles)"
    study.claim(f"{planted}: cosine", ours, at_least=0.85)
    study.claim(f"{planted}: F1 of the ensembles' units", f1, at_least=0.85)
    nmf, dictionary = cosine[_METHODS[1]], cosine[_METHODS[2]]
    study.claim(
        f"{planted}: cosine less that of NMF on the positive half",
        ours - nmf,
        at_least=0.05,
        note=f"NMF: {nmf:.3f}",
    )
    study.claim(
        f"{planted}: cosine less that of DictionaryLearning(positive_code=True)",
        ours - dictionary,
        at_least=0.0,
        note=f"DictionaryLearning: {dictionary:.3f}",
    )
    explained, seconds = (
        {name: float(np.mean([entry[name][key] for entry in found])) for name in _METHODS}
        for key in ("explained", "seconds")
    )
    study.note(
        "Explained variance of the planted recordings at 6 parts: "
        + ", ".join(f"{name} {explained[name]:.3f}" for name in _METHODS)
        + ". SemiNMF keeps 15 of 80 units per part, NMF is scored on the positive half."
    )
    ratio = {name: seconds[name] / seconds["SemiNMF"] for name in _METHODS[1:]}
    study.note(
        "CPU time of a fit against SemiNMF: "
        + ", ".join(f"{name} {value:.1f} times" for name, value in ratio.items())
        + "."
    )
    return found


def planted_recording(seed: int, n_samples: int) -> dict[str, Any]:
    """Fit a planted recording with three methods at equal number of parts."""
    activity, features = neural_recording(seed, n_samples=n_samples)
    positive = np.maximum(activity, 0.0)
    models = {
        _METHODS[0]: (SemiNMF(6, keep=15 / 80, init="varimax", random_state=seed), activity),
        _METHODS[1]: (NMF(6, solver="mu", max_iter=500, random_state=seed), positive),
        _METHODS[2]: (
            DictionaryLearning(
                6,
                positive_code=True,
                fit_algorithm="cd",
                transform_algorithm="lasso_cd",
                max_iter=100,
                random_state=seed,
            ),
            activity,
        ),
    }
    result: dict[str, Any] = {"truth": features}
    for name, (model, values) in models.items():
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotConverged)
            code = model.fit(values).transform(values)
        seconds = time.process_time() - start
        cosine, f1 = within(features, model.components_, 15)
        left = values - code @ model.components_
        result[name] = {
            "cosine": cosine,
            "f1": f1,
            "explained": 1.0 - float((left**2).sum() / (values**2).sum()),
            "seconds": seconds,
            "components": model.components_,
        }
    return result


def _number(study: Study) -> list[dict[str, Any]]:
    seeds = [study.random_state + i for i in range(5 if study.is_full else 1)]
    candidates = (2, 3, 4, 5, 6, 7, 8, 10) if study.is_full else (4, 6, 8)
    most = 1500 if study.is_full else 600
    items = [(seed, candidates, most) for seed in seeds]
    found = study.map("number of parts", number_of_parts, items)
    hits = float(np.mean([entry["n_components"] == 6 for entry in found]))
    study.claim("number of parts: share of recordings in which 6 are found", hits, at_least=0.8)
    n_nulls = 200 if study.is_full else 3
    draws = [(_KINDS[i % 3], study.random_state + i) for i in range(n_nulls)]
    chosen = study.map("recordings without structure", number_without_structure, draws)
    rate = float(np.mean([n > 0 for n in chosen]))
    text = "number of parts: share of structureless recordings in which any is found"
    if study.is_full:
        study.claim(text, rate, at_most=0.05)
    else:
        study.not_run(
            text, threshold="<= 0.05", reason="3 recordings do not make a rate: --size full."
        )
        study.note(
            f"Structureless recordings with parts: {sum(n > 0 for n in chosen)} of {n_nulls}."
        )
    return found


def number_of_parts(seed: int, candidates: tuple[int, ...], max_samples: int) -> dict[str, Any]:
    """Choose the number of parts of a planted recording."""
    activity, _ = neural_recording(seed)
    result = choose_n_components(
        SemiNMF(keep=0.2, init="varimax"),
        activity,
        candidates,
        max_samples=max_samples,
        random_state=seed,
    )
    return {
        "n_components": result.n_components,
        "candidates": result.candidates,
        "stability": result.stability,
        "null": result.null,
    }


def number_without_structure(kind: str, seed: int) -> int:
    """Choose the number of parts where there are none."""
    activity = unrelated_units(kind, seed)
    model = SemiNMF(keep=0.3, init="varimax")
    return choose_n_components(model, activity, (2, 4, 6), random_state=seed).n_components


def _tower(study: Study) -> None:
    n_samples = 3000 if study.is_full else 1000
    found = study.step("tower", planted_tower, study.random_state, n_samples)
    study.claim(
        "tower: share of narrow features under the parent of their group",
        found["grouped"],
        paper="weekdays merge into a unit of time",
        at_least=0.9,
        note="12 planted features in 3 groups that share a core of units.",
    )


def planted_tower(seed: int, n_samples: int) -> dict[str, Any]:
    """Merge features that share a core of units, best of three starts: do groups stay together?"""
    rng = np.random.default_rng([3, seed])
    n_groups, n_each, n_units = 3, 4, 90
    features = np.zeros((n_groups * n_each, n_units))
    for i in range(features.shape[0]):
        group = i // n_each
        features[i, group * 8 : group * 8 + 8] = rng.uniform(0.8, 1.2, 8)
        features[i, 24 + 5 * i : 29 + 5 * i] = rng.choice([-1.0, 1.0], 5)
    shape = (n_samples, features.shape[0])
    activity = rng.exponential(size=shape) * (rng.random(shape) < 0.1) @ features
    activity += 0.1 * rng.normal(size=activity.shape)
    towers = [
        HierarchicalSemiNMF((12, 3), 0.15, init="kmeans", tol=1e-3, random_state=start).fit(
            activity
        )
        for start in (10 * seed, 10 * seed + 3, 10 * seed + 6)
    ]
    left = [((activity - model.coef_ @ model.levels_[0]) ** 2).sum() for model in towers]
    tower = towers[int(np.argmin(left))]
    # Which group a narrow feature is of shows in the core that it has most of.
    core = np.abs(tower.levels_[0][:, :24]).reshape(-1, n_groups, 8).sum(axis=2).argmax(axis=1)
    votes = np.zeros((3, n_groups))
    has_parent = tower.parents_[0] >= 0
    np.add.at(votes, (tower.parents_[0][has_parent], core[has_parent]), 1)
    # Every parent stands for the one group that it holds most of; orphans count as misses.
    return {"grouped": float(votes.max(axis=1).sum() / core.size)}


def _draw(
    study: Study,
    exact: list[dict[str, Any]],
    recordings: list[dict[str, Any]],
    number: list[dict[str, Any]],
    model: dict[str, Any],
) -> None:
    from activome.studies._snmf_figure import draw

    study.save_figure(draw(exact, recordings, number, _METHODS, model))
