"""Relation-specific neurons: switched off, facts of their relation fail and others survive."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome.errors import MissingExtraError
from activome.interventions.deactivation import matched_random_units
from activome.patterns.bricks import partition_overlap
from activome.studies.claims import Study

__all__ = ["run"]

Array = np.ndarray[Any, Any]
_ALL = (
    "capital",
    "official language",
    "continent",
    "opposite",
    "plural",
    "comparative",
    "chemical symbol",
)
_PLACES = _ALL[:3]
_CURVE = (50, 150, 300, 600, 2000)
_SHORT = "Measured at full size only: --size full."


def run(study: Study) -> None:
    """Measure the claims on relation-specific neurons and draw them.

    Parameters
    ----------
    study : Study
        The bench to run on. Full size: seven relations, 135 facts to evaluate, 50 to 2000 units,
        three rankings and a wording that was not used to find the units; smoke: three relations in
        one short wording, 6 facts of each to evaluate, 150 units.
    """
    relations = _ALL if study.is_full else ("official language", "comparative", "chemical symbol")
    n_facts = None if study.is_full else (12, 6)
    try:
        bench = _Bench(study, relations, n_facts)
    except MissingExtraError as error:
        for name, paper, threshold in _CLAIMS.values():
            study.not_run(name, paper=paper, threshold=threshold, reason=str(error))
        return
    matrices = {150: bench.matrix("switched off: 150 units", 150)}
    random = {150: bench.random(150, 2 if study.is_full else 1)}
    if study.is_full:
        matrices[600] = bench.matrix("switched off: 600 units", 600)
        random[600] = bench.random(600, 1)
    _claims(study, bench, matrices, random)
    curve = bench.curve(_CURVE, matrices) if study.is_full else {150: _own(matrices[150])}
    if study.is_full:
        _rivals(study, bench, matrices[150])
        _cumulative(study, bench, matrices[150], curve)
    n_shared = max(_CURVE) if study.is_full else 150
    overlap = bench.overlap(n_shared)
    _tell(study, bench)
    from activome.studies._relation_figure import draw

    study.save_figure(draw(relations, matrices, random, curve, bench.found, overlap, n_shared))


_CLAIMS = {
    "own": ("150 units (0.33 %) off: own relation, mean relative drop", "strong", ">= 0.35"),
    "other": ("150 units off: other relations, mean relative drop", "little", "<= 0.06"),
    "random": (
        "150 units off: own drop less that of random units of the same layers",
        "random: no visible change",
        ">= 0.3",
    ),
    "base": ("facts recalled as the model is, worst relation", "-", ">= 0.5"),
    "more": ("600 units (1.3 %) off: own relation, mean relative drop", "-", ">= 0.5"),
    "rise": ("600 units cost more than 150 (cumulativity)", "yes", "yes"),
    "negative": ("entries in which switching off helps another relation", "5 of 11", ">= 1"),
    "words": (
        "another wording, 150 units off: own drop less that of other relations",
        "-",
        ">= 0.2",
    ),
}


class _Bench:
    """The steps of the study on one set of relations."""

    def __init__(
        self, study: Study, relations: tuple[str, ...], n_facts: tuple[int, int] | None
    ) -> None:
        from activome.studies import _relation_model

        self.model, self.study = _relation_model, study
        self.relations, self.n_facts, self.seed = relations, n_facts, study.random_state
        n_kept = max(_CURVE) if study.is_full else 150
        # Prompts of the second wording are half as long.
        templates = (0, 1) if study.is_full else (1,)
        self.template = templates[0]
        self.found = study.step(
            "units", self.model.find_units, relations, n_facts, n_kept, self.seed, templates
        )

    def units(
        self, relation: str, k: int, ranking: str | None = None, first: int = 0
    ) -> tuple[int, ...]:
        order = self.found["orders"][relation][ranking or self.model.RANKINGS[0]]
        return tuple(np.asarray(order)[first:k].tolist())

    def matrix(
        self, step: str, k: int, ranking: str | None = None, template: int | None = None
    ) -> dict[str, Array]:
        """Return baseline (evaluated,) and relative drops (switched off, evaluated)."""
        units = tuple(self.units(relation, k, ranking) for relation in self.relations)
        template = self.template if template is None else template
        found = self.study.step(
            step, self.model.effects, self.relations, self.n_facts, self.seed, template, units
        )
        baseline = np.asarray(found["baseline"])
        return {"baseline": baseline, "drop": 1.0 - np.asarray(found["accuracy"]) / baseline}

    def own(self, step: str, sets: list[tuple[int, ...]], baseline: Array, **options: Any) -> Array:
        """Return the relative drop of each relation with a set of units of its own off."""
        items = [
            (relation, self.relations, self.n_facts, self.seed, self.template, units)
            for relation, units in zip(self.relations, sets, strict=True)
        ]
        return 1.0 - np.array(self.study.map(step, self.model.survivors, items, **options)) / (
            baseline
        )

    def random(self, k: int, n_draws: int) -> Array:
        """Return drops (draw, relation) with random units off, matched in each layer."""
        drops = []
        for draw in range(n_draws):
            sets = [
                tuple(
                    matched_random_units(
                        self.units(relation, k),
                        self.found["layer"],
                        random_state=self.seed + 1000 * draw + i,
                    ).tolist()
                )
                for i, relation in enumerate(self.relations)
            ]
            drops.append(self.own(f"random {k} units, draw {draw}", sets, self._baseline()))
        return np.stack(drops)

    def _baseline(self) -> Array:
        return self.matrix("switched off: 150 units", 150)["baseline"]

    def curve(self, ks: tuple[int, ...], matrices: dict[int, dict[str, Array]]) -> dict[int, Array]:
        """Return the drops of the relations' own facts for each number of units."""
        curve = {}
        for k in ks:
            if k in matrices:
                curve[k] = _own(matrices[k])
            else:
                sets = [self.units(relation, k) for relation in self.relations]
                curve[k] = self.own(f"own relation, {k} units", sets, self._baseline())
        return curve

    def overlap(self, k: int) -> Any:
        """Return the overlap of the first k units of the relations."""
        masks = {}
        for relation in self.relations:
            masks[relation] = np.zeros(len(self.found["layer"]), dtype=bool)
            masks[relation][list(self.units(relation, k))] = True
        return partition_overlap(masks)


def _own(matrix: dict[str, Array]) -> Array:
    return np.diag(matrix["drop"])


def _others(matrix: dict[str, Array]) -> float:
    drop = matrix["drop"]
    return float(drop[~np.eye(len(drop), dtype=bool)].mean())


def _claims(
    study: Study,
    bench: _Bench,
    matrices: dict[int, dict[str, Array]],
    random: dict[int, Array],
) -> None:
    first = matrices[150]
    own, other = float(_own(first).mean()), _others(first)
    drawn = float(random[150].mean())
    _claim(study, "own", own, at_least=0.35)
    _claim(study, "other", other, at_most=0.06)
    note = f"Random units: {drawn:.3f}, each relation evaluated on its own facts."
    _claim(study, "random", own - drawn, at_least=0.3, note=note)
    base = ", ".join(
        f"{name} {value:.2f}"
        for name, value in zip(bench.relations, first["baseline"], strict=True)
    )
    _claim(study, "base", float(first["baseline"].min()), at_least=0.5, note=f"{base}.")
    if 600 not in matrices:
        for key in ("more", "rise", "negative", "words"):
            name, paper, threshold = _CLAIMS[key]
            study.not_run(name, paper=paper, threshold=threshold, reason=_SHORT)
        return
    more = float(_own(matrices[600]).mean())
    _claim(study, "more", more, at_least=0.5)
    _claim(study, "rise", more > own, equals=True, note=f"By {more - own:.3f}.")
    gains = [(k, int((matrix["drop"] < 0).sum())) for k, matrix in matrices.items()]
    told = ", ".join(f"{n} of {len(bench.relations) ** 2} at {k} units" for k, n in gains)
    _claim(study, "negative", sum(n for _, n in gains), at_least=1, note=f"{told}.")
    study.note(
        f"600 units: other relations {_others(matrices[600]):.3f}, random units of the same layers "
        f"{random[600].mean():.3f}."
    )


def _claim(study: Study, key: str, measured: float | bool, **threshold: Any) -> None:
    name, paper, _ = _CLAIMS[key]
    study.claim(name, measured, paper=paper, **threshold)


def _rivals(study: Study, bench: _Bench, first: dict[str, Array]) -> None:
    words = bench.matrix("another wording", 150, template=2)
    own, other = float(_own(words).mean()), _others(words)
    base = ", ".join(f"{value:.2f}" for value in words["baseline"])
    _claim(
        study,
        "words",
        own - other,
        at_least=0.2,
        note=f"Own {own:.3f}, others {other:.3f}; facts recalled {base}. The threshold is ours.",
    )
    parts = [f"average precision {_own(first).mean():.3f} own, {_others(first):.3f} others"]
    for ranking in bench.model.RANKINGS[1:]:
        found = bench.matrix(f"ranked by {ranking}", 150, ranking)
        parts.append(f"{ranking} {_own(found).mean():.3f} own, {_others(found):.3f} others")
    study.note(f"Drops with 150 units off by ranking: {'; '.join(parts)}.")


def _cumulative(
    study: Study, bench: _Bench, first: dict[str, Array], curve: dict[int, Array]
) -> None:
    sets = [bench.units(relation, 600, first=450) for relation in bench.relations]
    last = bench.own("units 451 to 600 alone", sets, first["baseline"])
    sets = [bench.units(relation, 150) for relation in bench.relations]
    mean = bench.own("150 units at their mean", sets, first["baseline"], value="mean")
    study.note(
        "Own drop by number of units: "
        + ", ".join(f"{k} {drop.mean():.3f}" for k, drop in curve.items())
        + f"; units 451 to 600 alone {last.mean():.3f}; 150 units held at their mean over the "
        f"prompts of the relation instead of 0 {mean.mean():.3f}."
    )


def _tell(study: Study, bench: _Bench) -> None:
    found = bench.found
    study.note(
        f"{found['source']}, 46,080 hidden neurons of 30 MLPs; facts are the 270 that ship, a "
        "stand-in for the LRE data set (samples.read_relations reads it). Prompts that the model "
        "completes and units with a score of 1: "
        + ", ".join(
            f"{name} {found['n_prompts'][name]} and {found['n_perfect'][name]}"
            for name in bench.relations
        )
        + "."
    )
    for text in found["warnings"]:
        study.note(text)
    for k in (150, max(_CURVE)) if study.is_full else ():
        _tell_overlap(study, bench, k)
    layers = np.concatenate(
        [found["layer"][list(bench.units(relation, 150))] for relation in bench.relations]
    )
    share = [float(np.mean((layers >= low) & (layers < low + 10))) for low in (0, 10, 20)]
    study.note(
        "Share of the first 150 units in blocks 0 to 9, 10 to 19 and 20 to 29: "
        + ", ".join(f"{value:.2f}" for value in share)
        + "."
    )


def _tell_overlap(study: Study, bench: _Bench, k: int) -> None:
    overlap = bench.overlap(k)
    values = overlap.values
    is_place = np.isin(bench.relations, _PLACES)
    off = ~np.eye(len(values), dtype=bool)
    within = values[np.outer(is_place, is_place) & off].mean()
    words = values[np.outer(~is_place, ~is_place) & off].mean()
    across = values[np.outer(is_place, ~is_place)].mean()
    study.note(
        f"Versatility: of {k} units, two relations of countries share {within:.3f} on average, two "
        f"of words or elements {words:.3f}, one of each {across:.3f} (chance "
        f"{float(overlap.chance.mean()):.3f})."
    )
