"""Relation neurons of a trained language model: found on some facts, switched off on others."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import rankdata, ttest_ind

from activome.errors import ActivityWarning
from activome.interventions.deactivation import deactivate
from activome.interventions.relation_effects import (
    recalls,
    relation_effects,
    relation_responses,
)
from activome.networks.language_models import LanguageModel, load_language_model
from activome.patterns.unit_expertise import UnitExpertise
from activome.samples.facts import relation_facts, split_by_subject

__all__ = ["RANKINGS", "effects", "find_units", "survivors"]

Array = np.ndarray[Any, Any]
RANKINGS = ("average precision", "AUROC", "t-test")
_SITE = "mlp_hidden[*]"
Relations = tuple[str, ...]
# Most facts of each relation and wording, to find units and to evaluate them.
Counts = tuple[int, int] | None


@functools.lru_cache(maxsize=1)
def _loaded() -> LanguageModel:
    return load_language_model("smollm2")


def _halves(relations: Relations, n_facts: Counts, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return facts for detection and evaluation, at most some of each relation and template."""
    halves = split_by_subject(relation_facts(relations), random_state=seed)
    if n_facts is None:
        return halves
    first, second = (
        half.groupby(["relation", "template"], sort=False).head(most).reset_index(drop=True)
        for half, most in zip(halves, n_facts, strict=True)
    )
    return first, second


def _evaluated(
    relations: Relations, n_facts: Counts, seed: int, template: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    detection, evaluation = _halves(relations, n_facts, seed)
    return detection, evaluation[evaluation["template"] == template].reset_index(drop=True)


def find_units(
    relations: Relations, n_facts: Counts, n_kept: int, seed: int, templates: tuple[int, ...]
) -> dict[str, Any]:
    """Rank the hidden neurons for each relation on the prompts that the model completes rightly."""
    detection, _ = _halves(relations, n_facts, seed)
    detection = detection[detection["template"].isin(templates)].reset_index(drop=True)
    loaded = _loaded()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ActivityWarning)
        responses = relation_responses(
            loaded.model, detection, tokenizer=loaded.tokenizer, site=_SITE
        )
    kept = responses.isel(trial=np.flatnonzero(responses["recalled"].values))
    names = kept["relation"].values.astype(str)
    # One wording of a relation may be known so badly that few prompts of it are left.
    scores = UnitExpertise(random_state=seed).fit(kept.values, names)
    orders = {name: _orders(scores, kept.values, names, name, n_kept) for name in relations}
    known = {
        name: float(responses["recalled"].values[detection["relation"] == name].mean())
        for name in relations
    }
    return {
        "orders": orders,
        "layer": kept["layer"].values.astype(np.int64),
        "n_perfect": {
            str(name): int(n) for name, n in zip(scores.classes_, scores.n_perfect_, strict=True)
        },
        "least_ap": {
            name: float(
                scores.ap_[list(scores.classes_).index(name), orders[name][RANKINGS[0]]][
                    min(n_kept, 150) - 1
                ]
            )
            for name in relations
        },
        "known": known,
        "n_prompts": {name: int((names == name).sum()) for name in relations},
        "warnings": [str(one.message) for one in caught],
        "source": loaded.source,
    }


def _orders(
    scores: UnitExpertise, values: Array, names: Array, relation: str, n_kept: int
) -> dict[str, Array]:
    """Return the best units of a relation by average precision, by AUROC and by Welch's t."""
    is_in = names == relation
    ranks = rankdata(values, axis=0)[is_in].sum(axis=0)
    n_in, n_out = int(is_in.sum()), int((~is_in).sum())
    auroc = (ranks - n_in * (n_in + 1) / 2) / (n_in * n_out)
    margin = scores.margin_[list(scores.classes_).index(relation)]
    with warnings.catch_warnings():
        # Units without variance have no t, and are put last.
        warnings.simplefilter("ignore", RuntimeWarning)
        t = ttest_ind(values[is_in], values[~is_in], axis=0, equal_var=False).statistic
    found = (
        scores.top(relation, n_kept),
        np.lexsort((-margin, -auroc))[:n_kept],
        np.argsort(-np.nan_to_num(np.asarray(t), nan=-np.inf), kind="stable")[:n_kept],
    )
    return dict(zip(RANKINGS, found, strict=True))


def effects(
    relations: Relations,
    n_facts: Counts,
    seed: int,
    template: int,
    units: Sequence[tuple[int, ...]],
) -> dict[str, Any]:
    """Return baseline and accuracies (switched off, evaluated), one set of units per relation."""
    detection, evaluation = _evaluated(relations, n_facts, seed, template)
    loaded = _loaded()
    by_relation = {name: list(found) for name, found in zip(relations, units, strict=True)}
    with warnings.catch_warnings():
        # Shared first tokens are told of by the step that finds the units; baselines are claims.
        warnings.simplefilter("ignore", ActivityWarning)
        found: xr.DataArray = relation_effects(
            loaded.model,
            evaluation,
            by_relation,
            [len(units[0])],
            tokenizer=loaded.tokenizer,
            detected_on=detection,
            site=_SITE,
        )
    ordered = found.sel(evaluated=list(relations))
    return {"baseline": ordered["baseline"].values, "accuracy": ordered.values[0]}


def survivors(
    relation: str,
    relations: Relations,
    n_facts: Counts,
    seed: int,
    template: int,
    units: tuple[int, ...],
    value: float | str = 0.0,
) -> float:
    """Return the accuracy of one relation with units off, on one wording."""
    _, evaluation = _evaluated(relations, n_facts, seed, template)
    facts = evaluation[evaluation["relation"] == relation].reset_index(drop=True)
    loaded = _loaded()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ActivityWarning)
        with deactivate(loaded.model, list(units), value, site=_SITE):
            found = recalls(loaded.model, facts, tokenizer=loaded.tokenizer)
    return float(found.mean())
