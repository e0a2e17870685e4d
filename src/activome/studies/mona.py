"""MONA: the samples of a pool that serve a task, selected by what they make active in a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from activome.errors import MissingExtraError
from activome.patterns.selection import TaskSelector
from activome.samples.shipped import visual_gratings
from activome.studies._mona_baselines import bm25, precision
from activome.studies._mona_data import RELATIONS, Task, make_task
from activome.studies.claims import Study

__all__ = ["run"]

Array = np.ndarray[Any, Any]
_LAYER = 28  # the last block but one of 30
_DEPTHS = (8, 16, _LAYER)
_SEEDS = (0, 1, 2)
_FULL_SIZES = {"n_components": 4608, "k": 32, "n_steps": 500}
_SMOKE_SIZES = {"n_components": 512, "k": 16, "n_steps": 100}
_KS = (7, 64)  # 7 of 4608 is the published share of components, 192 of 131,072
_N_SELECTED = 28  # 5 % of the pool
_TUNED = ("capital", "plural", "chemical symbol")
_TUNING_SEEDS = (0, 1)
_SHORT = "Measured at full size only: --size full."
_WORDS = "precision over that of BM25"
_CLAIMS = {
    "precision": ("precision, mean of 3 seeds", "-", ">= 0.42"),
    "chance": ("precision over chance", "-", ">= 4"),
    "depth": ("64 components: precision rises from layer 8 to 16 to 28", "rises", "yes"),
    "far 7": ("precision by Jaccard less that by Euclidean distance", "> 0", ">= 0.1"),
    "far 64": ("64 components: Jaccard less Euclidean distance", "> 0", ">= 0.1"),
    "overlap": ("overlap of relations: codes over raw magnitudes", "far less", "<= 0.3"),
    "raw": ("precision less that of raw activity by cosine", "> 0", ">= 0"),
    "sentences": ("precision less that of a sentence encoder", "> 0", ">= 0"),
}


@dataclass
class _Found:
    """What each way to select gives; precision is (relation,), by name."""

    chance: float
    words: Array
    n_tokens: int = 0
    codes: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    others: dict[str, Array] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)

    def mean(self, name: str, layer: int = _LAYER) -> float:
        """Return the precision of one similarity on one layer, mean over seeds and relations."""
        found = [c["precision"][name] for (depth, _), c in self.codes.items() if depth == layer]
        return float(np.mean(found))


def run(study: Study) -> None:
    """Measure the claims on data selection and draw them.

    Parameters
    ----------
    study : Study
        The bench to run on. Full size: seven relations, 568 texts, autoencoders of 4608 components
        on three layers, all baselines, and models tuned on what was selected; smoke: three
        relations, about 100 texts, one autoencoder of 512 components, and words as the baseline.
    """
    _gratings(study)
    if study.is_full:
        task = make_task(RELATIONS, 8, 32, 20, study.random_state)
    else:
        task = make_task(("capital", "plural", "comparative"), 5, 14, 2, study.random_state)
    names = list(task.targets)
    scores = np.stack([bm25(texts, task.pool) for texts in task.targets.values()])
    shares = [float((task.kind == name).mean()) for name in names]
    found = _Found(float(np.mean(shares)), precision(scores, task.kind, names))
    try:
        _measure(study, task, found)
    except MissingExtraError as error:
        study.not_run(_WORDS, threshold=">= 1.8", reason=str(error))
        _skip(study, str(error))
        return
    _claims(study, found)
    _tell(study, task, found)
    from activome.studies._mona_figure import draw

    study.save_figure(draw(found, names, is_full=study.is_full))


def _measure(study: Study, task: Task, found: _Found) -> None:
    from activome.studies import _mona_model as model

    names = list(task.targets)
    texts = [*task.pool, *(text for part in task.targets.values() for text in part)]
    groups, start = {"pool": np.arange(len(task.pool))}, len(task.pool)
    for name, part in task.targets.items():
        groups[name] = np.arange(start, start + len(part))
        start += len(part)
    layers = _DEPTHS if study.is_full else (_LAYER,)
    recorded = study.step("recording", model.tokens, texts, layers)
    found.n_tokens = int(recorded["lengths"].sum())
    runs = [(_LAYER, seed) for seed in (_SEEDS if study.is_full else _SEEDS[:1])]
    runs += [(layer, _SEEDS[0]) for layer in layers if layer != _LAYER]
    sizes = _FULL_SIZES if study.is_full else _SMOKE_SIZES
    options = {"recorded": recorded, "groups": groups, "sizes": sizes, "ks": _KS}
    for run_, coded in zip(runs, study.map("codes", model.encode, runs, **options), strict=True):
        found.codes[run_] = coded | {
            "precision": {
                name: precision(rows, task.kind, names) for name, rows in coded["scores"].items()
            }
        }
    found.raw = study.step("raw activity", model.raw_scores, recorded, _LAYER, groups)
    for metric in ("cosine", "euclidean"):
        found.others[f"raw, {metric}"] = precision(found.raw[metric], task.kind, names)
    if not study.is_full:
        return
    embedded = study.step("sentence encoder", model.sentences, texts)
    influence = study.step("gradients", model.gradients, texts, _LAYER, study.random_state)
    for label, rows in (("sentence encoder", embedded), ("gradients", influence)):
        scores = model.score(rows, groups, "cosine")
        found.others[label] = precision(scores, task.kind, names)
    _tune(study, task, found.codes[_LAYER, _SEEDS[0]]["scores"][f"jaccard {_KS[0]}"])


def _claims(study: Study, found: _Found) -> None:
    few, many = _KS
    share = found.mean(f"jaccard {few}")
    study.claim(
        _WORDS,
        share / float(found.words.mean()),
        at_least=1.8 if study.is_full else 1.0,
        note=f"{share:.3f} against {found.words.mean():.3f}; {few} components per token, layer 28.",
    )
    if not study.is_full:
        _skip(study, _SHORT)
        return
    own = [c["precision"][f"jaccard {few}"].mean() for (d, _), c in found.codes.items() if d == 28]
    depths = [found.mean(f"jaccard {many}", layer) for layer in _DEPTHS]
    sparse = np.mean([c["overlap"][str(few)] for (d, _), c in found.codes.items() if d == _LAYER])
    raw, encoder = (float(found.others[k].mean()) for k in ("raw, cosine", "sentence encoder"))

    def state(key: str, value: float | bool, note: str, **threshold: Any) -> None:
        name, paper, _ = _CLAIMS[key]
        study.claim(name, value, paper=paper, note=note, **threshold)

    state("precision", share, f"Seeds: {_listed(own)}.", at_least=0.42)
    state("chance", share / found.chance, f"Chance {found.chance:.3f}.", at_least=4.0)
    rises = bool(np.all(np.diff(depths) > 0))
    state("depth", rises, f"Layers 8, 16, 28: {_listed(depths)}.", equals=True)
    for k in _KS:
        jaccard, far = found.mean(f"jaccard {k}"), found.mean(f"euclidean {k}")
        note = f"{jaccard:.3f} against {far:.3f}; cosine {found.mean(f'cosine {k}'):.3f}."
        state(f"far {k}", jaccard - far, note, at_least=0.1)
    note = (
        f"Mean index of two relations' prototypes {sparse:.3f} against {found.raw['overlap']:.3f}."
    )
    state("overlap", float(sparse) / found.raw["overlap"], note, at_most=0.3)
    state("raw", share - raw, f"Raw activity {raw:.3f}; seeds {_listed(own)}.", at_least=0.0)
    state("sentences", share - encoder, f"all-MiniLM-L6-v2 {encoder:.3f}.", at_least=0.0)


def _skip(study: Study, reason: str) -> None:
    for name, paper, threshold in _CLAIMS.values():
        study.not_run(name, paper=paper, threshold=threshold, reason=reason)


def _listed(values: Any) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def _tell(study: Study, task: Task, found: _Found) -> None:
    rows = {"BM25": found.words} | found.others
    study.note(
        f"Pool of {len(task.pool)} texts ({task.n_repeats} repetitions left out) on "
        f"{len(task.targets)} relations and seven other functions; precision among as many of the "
        "best as a relation has texts, of other ways to select: "
        + "; ".join(f"{name} {share.mean():.3f}" for name, share in rows.items())
        + f"; at random {found.chance:.3f} on average."
    )
    coded = found.codes[_LAYER, _SEEDS[0]]
    study.note(
        f"Autoencoder of layer {_LAYER}: {coded['explained']:.1%} of the variance explained, "
        f"{coded['dead']:.1%} of the components dead. It is trained on the {found.n_tokens} tokens "
        "of pool and targets alone; the published one has 131,072 components and is trained on a "
        "large collection of texts."
    )


def _tune(study: Study, task: Task, scores: Array) -> None:
    """Tune on what was selected and on a random choice, and tell the loss on held-out questions."""
    from activome.studies import _mona_tuning as tuning

    names = list(task.targets)
    calls, labels = [], []
    for name in _TUNED:
        best = np.argsort(-scores[names.index(name)], kind="stable")[:_N_SELECTED]
        for seed in _TUNING_SEEDS:
            drawn = np.random.default_rng([study.random_state, 3, seed]).permutation(len(scores[0]))
            for way, places in (("selected", best), ("random", drawn[:_N_SELECTED])):
                chosen = [task.pool[place] for place in places]
                calls.append((chosen, task.answers[name], 2, seed))
                labels.append((name, way))
    before = study.map("untuned", tuning.answer_loss, [(task.answers[name],) for name in _TUNED])
    losses = study.map("tuned", tuning.tune, calls)
    parts = []
    for name, start in zip(_TUNED, before, strict=True):
        ways = {
            way: [v for v, label in zip(losses, labels, strict=True) if label == (name, way)]
            for way in ("selected", "random")
        }
        parts.append(
            f"{name} {start:.3f} -> selected {_listed(ways['selected'])}, random "
            f"{_listed(ways['random'])}"
        )
    study.note(
        f"Tuned: the last two blocks, 2 epochs on {_N_SELECTED} texts (5 % of the pool), peak rate "
        f"1e-4, {len(_TUNING_SEEDS)} seeds. Loss in nats per token of the answers to questions on "
        "the facts of the pool, in the form of the targets and none of them a target: "
        + "; ".join(parts)
        + ". No threshold: nothing is published at this scale."
    )


def _gratings(study: Study) -> None:
    """Tell how well trials of a recording are retrieved from five examples."""
    found = study.step("gratings", retrieved_gratings, study.random_state)
    study.note(
        "The same selector on the shipped recording of visual cortex (1000 cells, 200 trials of "
        "drifting gratings), templates of 5 trials: precision among the rest, mean over directions "
        "and 10 draws: " + ", ".join(f"{name} {value:.3f}" for name, value in found.items()) + "."
    )


def retrieved_gratings(seed: int) -> dict[str, float]:
    """Select the trials of each direction by templates of five of them."""
    counts = visual_gratings().sum("time").astype(np.float64)
    directions = counts["direction"].values
    rng = np.random.default_rng([seed, 4])
    shares: dict[str, list[float]] = {"jaccard": [], "cosine": [], "euclidean": [], "chance": []}
    for _ in range(10):
        for direction in np.unique(directions):
            own = rng.permutation(np.flatnonzero(directions == direction))
            rest = np.setdiff1d(np.arange(len(directions)), own[:5])
            is_own = directions[rest] == direction
            for metric in ("jaccard", "cosine", "euclidean"):
                selector = TaskSelector(metric, int(is_own.sum())).fit(counts[own[:5]])
                shares[metric].append(float(is_own[selector.select(counts[rest])].mean()))
            shares["chance"].append(float(is_own.mean()))
    return {name: float(np.mean(values)) for name, values in shares.items()}
