"""Constants of spiking cells that learn, and decisions by complexity: when do they help?"""

from __future__ import annotations

from typing import Any

import numpy as np

from activome.activity.complexity import lempel_ziv_complexity
from activome.studies._meta_neuron_lzc_data import SOURCES
from activome.studies._meta_neuron_lzc_figure import draw
from activome.studies._meta_neuron_lzc_models import (
    capacity,
    digits,
    held_out,
    plain,
    source_error,
    spiking,
)
from activome.studies.claims import Study

__all__ = ["run"]

Array = np.ndarray[Any, Any]
_NEURONS = {"lif": "LIF", "meta": "meta neuron"}
_PARSED = {"0001101001000101": 6, "0" * 50: 2, "01" * 25: 3}
# That of every model, and those that are tried beside it; of equals it is the first.
_RATE = 1e-2
_OTHER_RATES = (3e-3, 3e-2)
_LOADS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
_PAIRS = ((0, 1), (3, 8), (4, 9))
_TASK = "bursts at one rate"


def run(study: Study) -> None:
    """Measure the claims and draw them.

    Parameters
    ----------
    study : Study
        The bench. Full size: three seeds of every model, 15 epochs, the weaker and the opposite
        task, six loads of the tempotron, sources and digits; smoke: one pair of models.
    """
    _parsing(study)
    _sources(study)
    loads = _capacity(study)
    if not study.is_full:
        pair = _pair(study)
        study.save_figure(draw({("lif", k): [found] for k, found in pair.items()}, loads))
        return
    models = _main_task(study)
    _effort(study, models)
    _weaker(study)
    _opposite(study)
    _other_rules(study)
    _digits(study)
    study.save_figure(draw(models, loads))


def _parsing(study: Study) -> None:
    counts = [int(lempel_ziv_complexity(x, normalise=False)) for x in _PARSED]
    study.claim(
        "sequences parsed by hand: largest difference of phrases",
        max(abs(c - n) for c, n in zip(counts, _PARSED.values(), strict=True)),
        equals=0,
    )


def _sources(study: Study) -> None:
    n_seeds = 10 if study.is_full else 2
    found = study.map("sources", source_error, [(name, 10_000, n_seeds) for name in SOURCES])
    away = [abs(entry["complexity"] - entry["entropy"]) for entry in found]
    study.claim(
        "sources of 10,000 symbols: largest distance of complexity to entropy rate",
        max(away),
        at_most=0.05,
    )
    study.note(
        "Complexity and entropy rate: "
        + "; ".join(
            f"{name} {entry['complexity']:.3f}, {entry['entropy']:.3f}"
            for name, entry in zip(SOURCES, found, strict=True)
        )
        + "."
    )


def _capacity(study: Study) -> dict[float, list[float]]:
    loads, n_seeds = (_LOADS, 3) if study.is_full else (_LOADS[:1], 1)
    seeds = [study.random_state + i for i in range(n_seeds)]
    items = [(load, seed) for load in loads for seed in seeds]
    found = study.map("tempotron", capacity, items)
    errors: dict[float, list[float]] = {load: [] for load in loads}
    for (load, _), entry in zip(items, found, strict=True):
        errors[load].append(entry["error"])
    low = [e for load in loads if load <= 1.5 for e in errors[load]]
    text = "tempotron, 0.5 to 1.5 patterns per input: largest training error"
    study.claim(
        text if study.is_full else "tempotron, 0.5 patterns per input: training error",
        max(low),
        at_most=0.0,
    )
    if study.is_full:
        study.claim(
            "tempotron, 4 patterns per input: lowest training error",
            min(errors[4.0]),
            paper="capacity near 3",
            at_least=0.01,
        )
        shown = (f"{load:g}: {', '.join(f'{e:.3f}' for e in errors[load])}" for load in loads)
        study.note("Training error of the tempotron by load: " + "; ".join(shown) + ".")
    return errors


def _pair(study: Study) -> dict[bool, Any]:
    options = {"n_epochs": 5}
    found = {
        learns: study.step(
            f"LIF {'learned' if learns else 'fixed'}",
            spiking, "timing", study.random_state, "lif", learns, options,
        )
        for learns in (False, True)
    }  # fmt: skip
    study.claim(
        f"{_TASK}, 5 epochs: LIF, learned constants less fixed, complexity",
        found[True]["lzc"] - found[False]["lzc"],
        at_least=0.0,
    )
    fixed, learned = found[False]["rate"], found[True]["rate"]
    study.note(f"Rates after 5 epochs: fixed {fixed:.3f}, learned {learned:.3f}.")
    return found


def _all_of(study: Study, task: str, n_seeds: int) -> dict[tuple[str, bool], list[Any]]:
    seeds = [study.random_state + i for i in range(n_seeds)]
    keys = [(neuron, learns) for neuron in _NEURONS for learns in (False, True)]
    items: list[Any] = [(task, seed, *key, {}) for key in keys for seed in seeds]
    found = study.map(f"models, {task}", spiking, items)
    return {key: found[i * n_seeds : (i + 1) * n_seeds] for i, key in enumerate(keys)}


def _mean(entries: list[Any], name: str) -> float:
    return float(np.mean([entry[name] for entry in entries]))


def _listed(entries: list[Any], name: str) -> str:
    return ", ".join(f"{entry[name]:.3f}" for entry in entries)


def _main_task(study: Study) -> dict[tuple[str, bool], list[Any]]:
    models = _all_of(study, "timing", 3)
    for neuron, name in _NEURONS.items():
        fixed, learned = models[neuron, False], models[neuron, True]
        study.claim(
            f"{_TASK}: {name}, learned constants less fixed, rates",
            _mean(learned, "rate") - _mean(fixed, "rate"),
            paper="up to 0.135" if neuron == "lif" else "up to 0.085",
            at_least=0.10,
            note=f"fixed {_listed(fixed, 'rate')}; learned {_listed(learned, 'rate')}",
        )
    learned = models["lif", True]
    study.claim(
        f"{_TASK}: LIF, learned constants, complexity of hidden trains",
        _mean(learned, "lzc"),
        paper="up to 0.995",
        at_least=0.95,
        note=_listed(learned, "lzc"),
    )
    for learns in (False, True):
        entries = models["lif", learns]
        study.claim(
            f"{_TASK}: LIF, {'learned' if learns else 'fixed'} constants, complexity less rates",
            _mean(entries, "lzc") - _mean(entries, "rate"),
            at_least=-0.02,
        )
    for neuron, name in _NEURONS.items():
        shown = (
            f"{'learned' if learns else 'fixed'} {_listed(models[neuron, learns], 'lzc')}"
            for learns in (False, True)
        )
        study.note(f"Complexity of hidden trains, {name}: " + "; ".join(shown) + ".")
    seeds = [study.random_state + i for i in range(3)]
    found = study.map("no network", plain, [("timing", seed) for seed in seeds])
    study.claim(
        f"{_TASK}: counts of the inputs, largest distance of accuracy to 0.5",
        max(abs(entry["counts"] - 0.5) for entry in found),
        at_most=0.07,
    )
    study.note(f"Complexity of the inputs alone: {_listed(found, 'lzc')}.")
    slowest = max(entry["decision"] for entries in models.values() for entry in entries)
    study.claim(
        "decision by complexity: slowest mean time of a trial of 16 cells and 100 steps, ms",
        1e3 * slowest,
        paper="below 1",
        at_most=1.0,
    )
    seconds = {key: _mean(entries, "seconds") for key, entries in models.items()}
    study.note(
        "CPU seconds of a fit: "
        + ", ".join(
            f"{_NEURONS[n]} {'learned' if learns else 'fixed'} {value:.1f}"
            for (n, learns), value in seconds.items()
        )
        + "."
    )
    return models


def _effort(study: Study, models: dict[tuple[str, bool], list[Any]]) -> None:
    """Give both models other learning rates, and the fixed one constants that others learned."""
    for neuron, name in _NEURONS.items():
        learned = models[neuron, True]
        tuned = {learns: _tuned(study, neuron, learns, models) for learns in (False, True)}
        chosen = {learns: _chosen(study, neuron, learns) for learns in (False, True)}
        picked = {
            k: [rates[lr][i]["rate"] for i, lr in enumerate(chosen[k])]
            for k, rates in tuned.items()
        }
        best = {k: float(np.mean(values)) for k, values in picked.items()}
        shown = {
            k: "; ".join(f"{lr:g}: {_listed(v, 'rate')}" for lr, v in rates.items())
            + f"; chosen on held-out training trials: {', '.join(f'{lr:g}' for lr in chosen[k])}"
            for k, rates in tuned.items()
        }
        study.claim(
            f"{_TASK}: {name}, learned constants less fixed at its best learning rate",
            _mean(learned, "rate") - best[False],
            at_least=0.05,
            note=f"fixed by learning rate {shown[False]}",
        )
        study.claim(
            f"{_TASK}: {name}, learned constants less fixed, both at their best learning rates",
            best[True] - best[False],
            at_least=0.0,
            note=f"learned by learning rate {shown[True]}",
        )
        moved = _at_means(study, neuron, learned)
        study.claim(
            f"{_TASK}: {name}, learned constants less fixed at the learned means",
            _mean(learned, "rate") - _mean(moved, "rate"),
            at_least=0.0,
            note=f"fixed at the means: rates {_listed(moved, 'rate')}; "
            f"complexity {_listed(moved, 'lzc')}",
        )


def _tuned(
    study: Study, neuron: str, learns: bool, models: dict[tuple[str, bool], list[Any]]
) -> dict[float, list[Any]]:
    seeds = [study.random_state + i for i in range(3)]
    by_rate = {_RATE: models[neuron, learns]}
    for lr in _OTHER_RATES:
        items: list[Any] = [("timing", seed, neuron, learns, {"lr": lr}) for seed in seeds]
        kind = "learned" if learns else "fixed"
        by_rate[lr] = study.map(f"{neuron}, {kind}, lr {lr:g}", spiking, items)
    return by_rate


def _chosen(study: Study, neuron: str, learns: bool) -> list[float]:
    """Choose the learning rate of each seed on training trials that are held out."""
    rates = (_RATE, *_OTHER_RATES)
    seeds = [study.random_state + i for i in range(3)]
    items = [("timing", seed, neuron, learns, lr) for seed in seeds for lr in rates]
    kind = "learned" if learns else "fixed"
    found = np.reshape(study.map(f"{neuron}, {kind}, held out", held_out, items), (3, -1))
    return [rates[k] for k in found.argmax(axis=1)]


def _at_means(study: Study, neuron: str, learned: list[Any]) -> list[Any]:
    means = [
        {key: float(pair[1].mean()) for key, pair in entry["constants"].items()}
        for entry in learned
    ]
    items: list[Any] = [
        ("timing", study.random_state + i, neuron, False, {"internal": internal})
        for i, internal in enumerate(means)
    ]
    return study.map(f"{neuron}, fixed at learned means", spiking, items)


def _weaker(study: Study) -> None:
    models = _all_of(study, "weak", 2)
    for neuron, name in _NEURONS.items():
        fixed, learned = models[neuron, False], models[neuron, True]
        study.claim(
            f"the same at 30 Hz on 8 channels: {name}, learned constants less fixed, rates",
            _mean(learned, "rate") - _mean(fixed, "rate"),
            at_least=0.0,
            note=f"fixed {_listed(fixed, 'rate')}; learned {_listed(learned, 'rate')}",
        )


def _opposite(study: Study) -> None:
    models = _all_of(study, "rate", 2)
    found = study.map(
        "rate, no network", plain, [("rate", study.random_state + i) for i in range(2)]
    )
    for neuron, name in _NEURONS.items():
        fixed, learned = models[neuron, False], models[neuron, True]
        study.claim(
            f"30 against 36 Hz: {name}, learned constants less fixed, rates",
            _mean(learned, "rate") - _mean(fixed, "rate"),
            at_most=0.05,
            note=f"fixed {_listed(fixed, 'rate')}; learned {_listed(learned, 'rate')}",
        )
    study.claim(
        "30 against 36 Hz: counts of the inputs less the best spiking model",
        _mean(found, "counts") - max(_mean(entries, "rate") for entries in models.values()),
        at_least=0.0,
        note=f"counts {_listed(found, 'counts')}",
    )


def _other_rules(study: Study) -> None:
    rules = ("stdp", "tempotron")
    items = [
        ("timing", study.random_state, "lif", learns, {"rule": rule})
        for rule in rules
        for learns in (False, True)
    ]
    found = study.map("other rules", spiking, items)
    for k, rule in enumerate(rules):
        fixed, learned = found[2 * k : 2 * k + 2]
        study.note(
            f"LIF taught by {rule}, one seed, rates and complexity: fixed {fixed['rate']:.3f}, "
            f"{fixed['lzc']:.3f}; learned {learned['rate']:.3f}, {learned['lzc']:.3f}."
        )


def _digits(study: Study) -> None:
    found = study.map("digits", digits, [(pair, study.random_state) for pair in _PAIRS])
    for pair, entry in zip(_PAIRS, found, strict=True):
        shown = ", ".join(f"{name} {value:.3f}" for name, value in entry.items())
        study.note(f"Digits {pair[0]} and {pair[1]} by latency: {shown}.")
