"""Topology and geometry of representations: identifying layers, shapes and areas from RDMs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from activome._random import make_generator
from activome.geometry.identify import RegionIdentification
from activome.geometry.rdm_comparison import compare_rdms, noise_ceiling
from activome.samples.rdm92 import load_rdm92
from activome.studies._trsa_data import (
    AREAS_FILE,
    GEODESIC,
    INTERMEDIATE,
    LOCAL,
    N_DRAWS,
    N_LAYERS,
    NOISE,
    RANKED,
    RAW,
    SHAPES,
    SMOKE,
    STATISTICS,
    THRESHOLD,
    TOPOLOGY,
    identify_shapes,
    layer_labels,
    load_areas,
    noisy_rdms,
    train_network,
)
from activome.studies._trsa_figure import draw

if TYPE_CHECKING:
    from activome.studies.claims import Study

__all__ = ["run"]

Array: TypeAlias = np.ndarray[Any, Any]

_SHIPPED = "Checks that the shipped file is read right; the paper has no such figure."
_FEATURE_MODELS = ("EVA", "HMAX", "V1", "Silhouette", "RADON")


def run(study: Study) -> None:
    """Measure the claims on layers of trained networks, on shapes, and on brain RDMs.

    Parameters
    ----------
    study : Study
        The bench.
    """
    names = tuple(STATISTICS) if study.is_full else SMOKE
    n_seeds, n_epochs = (10, 12) if study.is_full else (4, 4)
    seeds = [study.random_state * 1000 + k for k in range(n_seeds)]
    trained = study.map("networks", train_network, seeds, n_epochs=n_epochs)
    layers = _identify_layers(study, trained, names)
    _claim_layers(study, layers, trained)
    shapes = study.step("shapes", identify_shapes, study.random_state, _n_copies(study))
    _claim_shapes(study, shapes)
    _claim_brains(study)
    _claim_areas(study)
    study.save_figure(draw(layers, shapes, list(NOISE if study.is_full else NOISE[:1])))


def _n_copies(study: Study) -> int:
    return 20 if study.is_full else 10


def _identify_layers(study: Study, trained: list[dict[str, Any]], names: Any) -> dict[str, Any]:
    """Return accuracies per statistic and noise, the grid, and the RDMs."""

    def rdms(noise: float, draw: int) -> Array:
        return noisy_rdms(trained, noise, [study.random_state, draw, round(10 * noise)])

    clean = rdms(0.0, 0)
    result: dict[str, Any] = {"rdms": clean, "patterns": {}, "rdm_noise": {}}
    levels = NOISE if study.is_full else NOISE[:1]
    for noise in levels:
        draws = [rdms(noise, draw) for draw in range(N_DRAWS if noise else 1)]
        for name in names:
            if name == GEODESIC and noise:
                continue
            accuracy = np.mean([_accuracy(draw, name) for draw in draws])
            result["patterns"].setdefault(name, []).append(float(accuracy))
    if study.is_full:
        generator = make_generator(study.random_state)
        for _ in range(N_DRAWS):
            scale = 0.5 * clean.std(axis=1, keepdims=True)
            noisy = np.maximum(clean + scale * generator.normal(size=clean.shape), 0.0)
            for name in names:
                result["rdm_noise"].setdefault(name, []).append(_accuracy(noisy, name))
    resolution = 0.05 if study.is_full else 0.25
    found = RegionIdentification().fit(clean, *layer_labels(len(trained)))
    grid = found.grid(resolution)
    result["grid"], result["cuts"] = grid.values, grid.low.values
    result["nested"] = found.nested_accuracy(resolution).attrs["accuracy"]
    if study.is_full:
        result["spread"] = {
            name: RegionIdentification(
                STATISTICS[name], bootstrap=200, random_state=study.random_state
            ).fit(clean, *layer_labels(len(trained))).bootstrap_.std()
            for name in (RAW, RANKED, TOPOLOGY, LOCAL)
        }  # fmt: skip
    return result


def _accuracy(rdms: Array, name: str) -> float:
    labels = layer_labels(len(rdms) // N_LAYERS)
    return float(RegionIdentification(STATISTICS[name]).fit(rdms, *labels).accuracy_)


def _claim_layers(study: Study, layers: dict[str, Any], trained: list[dict[str, Any]]) -> None:
    tests = [network["accuracy"] for network in trained]
    found = layers["patterns"]
    study.note(
        f"Digits networks: test accuracy {min(tests):.3f} to {max(tests):.3f}; chance of naming "
        f"the layer {1 / N_LAYERS:.3f}."
    )
    for name, values in found.items():
        shown = ", ".join(f"{s:g}: {v:.3f}" for s, v in zip(NOISE, values, strict=False))
        study.note(f"Layers identified, {name}, by noise on the patterns (std): {shown}.")
    if not study.is_full:
        gain = found[TOPOLOGY][0] - found[RANKED][0]
        study.claim("layers: topology less ranked RDM, no noise", gain, at_least=0.0)
        return
    for k, noise in enumerate(NOISE[:3]):
        study.claim(
            f"layers, noise {noise:g}: topology less ranked RDM",
            found[TOPOLOGY][k] - found[RANKED][k],
            paper="RGTM >= RDM in many settings",
            at_least=0.0,
        )
    for k, noise in enumerate(NOISE[:3]):
        study.claim(
            f"layers, noise {noise:g}: topology less raw RDM",
            found[TOPOLOGY][k] - found[RAW][k],
            at_least=0.1,
        )
    _claim_cuts(study, found)
    noisy = {name: float(np.mean(values)) for name, values in layers["rdm_noise"].items()}
    shown = ", ".join(f"{name} {value:.3f}" for name, value in noisy.items())
    study.note(f"Layers identified with noise on the RDM (0.5 std): {shown}.")
    study.claim(
        "layers, noise on the RDM: local less the lowest of ranked, intermediate and topology",
        noisy[LOCAL] - min(noisy[RANKED], noisy[INTERMEDIATE], noisy[TOPOLOGY]),
        at_most=0.0,
    )
    study.claim("layers: geodesic (0, 0.3), no noise", found[GEODESIC][0], at_least=2 / N_LAYERS)
    _claim_grid(study, layers)


def _claim_cuts(study: Study, found: dict[str, list[float]]) -> None:
    rivals = [RAW, RANKED, TOPOLOGY, THRESHOLD]
    study.claim(
        "layers, no noise: local less the best of raw, ranked, topology and threshold",
        found[LOCAL][0] - max(found[name][0] for name in rivals),
        at_least=0.0,
    )
    falls = {name: found[name][0] - found[name][2] for name in (*rivals, LOCAL)}
    study.claim(
        "layers, noise 0 to 1: fall of local less the largest fall of the others",
        falls[LOCAL] - max(falls[name] for name in rivals),
        at_least=0.0,
    )
    study.claim(
        "layers, all noise: lowest share of the ranked RDM's accuracy that one threshold keeps",
        min(t / r for t, r in zip(found[THRESHOLD], found[RANKED], strict=True)),
        at_least=0.9,
    )


def _claim_grid(study: Study, layers: dict[str, Any]) -> None:
    grid, cuts = layers["grid"], layers["cuts"]
    best = np.unravel_index(int(np.nanargmax(grid)), grid.shape)
    low, high = cuts[best[0]], cuts[best[1]]
    study.note(f"Best cell of the grid: ({low:g}, {high:g}), accuracy {grid[best]:.3f} (chosen).")
    spread = ", ".join(f"{name} {value:.3f}" for name, value in layers["spread"].items())
    study.note(f"Standard deviation over resampled networks and images: {spread}.")
    rows, columns = np.meshgrid(cuts, cuts, indexing="ij")
    is_inside = (rows > 0) & (rows < columns) & (columns < 1)
    # Its edges are the cuts at 0 and at 1, and the steps, where both cuts are one.
    gain = np.nanmax(grid[is_inside]) - np.nanmax(grid[~is_inside])
    study.claim(
        "layers: best cuts inside the grid less the best on its edges",
        gain,
        paper="best cuts in the interior",
        at_least=0.0,
    )
    study.claim(
        "layers: cuts chosen without the tested network, less ranked RDM",
        layers["nested"] - layers["patterns"][RANKED][0],
        at_least=0.0,
        note="A nested choice: the accuracy of the best cell is inflated by choosing it.",
    )


def _claim_shapes(study: Study, shapes: dict[str, Any]) -> None:
    accuracy = shapes["accuracy"]
    shown = ", ".join(f"{name} {value:.3f}" for name, value in accuracy.items())
    study.note(f"Distorted shapes identified (chance 0.25): {shown}.")
    # Better by one identified copy at least: equal does not count.
    one = 1 / (len(SHAPES) * _n_copies(study))
    for name in (TOPOLOGY, GEODESIC):
        gain = round(accuracy[name] - accuracy[RAW], 9)
        study.claim(f"distorted shapes: {name} less raw RDM", gain, at_least=one)


def _claim_brains(study: Study) -> None:
    data = load_rdm92()
    human, person = data.human.values, data.person.values
    similar = compare_rdms(human, human)[np.triu_indices(len(human), 1)]
    study.claim(
        "human IT: lowest correlation between sessions and people",
        similar.min(), at_least=0.055, at_most=0.065, note=_SHIPPED,
    )  # fmt: skip
    study.claim(
        "human IT: highest correlation between sessions and people",
        similar.max(), at_least=0.395, at_most=0.405, note=_SHIPPED,
    )  # fmt: skip
    ceiling = noise_ceiling(human, "rho-a", subject=person)
    models = np.concatenate([data.models.values, data.monkey.values[None]])
    names = [*data.model.values.tolist(), "monkey IT"]
    people = [compare_rdms(models, human[person == who], "rho-a").mean(axis=1) for who in
              np.unique(person)]  # fmt: skip
    score = dict(zip(names, np.mean(people, axis=0).tolist(), strict=True))
    ranked = sorted(score, key=score.__getitem__, reverse=True)
    study.note(
        f"Human IT, rho-a: noise ceiling {ceiling.lower:.3f} to {ceiling.upper:.3f}; models "
        + ", ".join(f"{name} {score[name]:.3f}" for name in ranked) + "."
    )  # fmt: skip
    study.claim(
        "human IT: best model less the upper bound of the noise ceiling (rho-a)",
        max(score.values()) - ceiling.upper, at_most=0.0,
    )  # fmt: skip
    study.claim(
        "human IT: monkey IT less the best image-feature model (rho-a)",
        score["monkey IT"] - max(score[name] for name in _FEATURE_MODELS),
        at_least=0.0,
    )


def _claim_areas(study: Study) -> None:
    name = "areas of people: topology less ranked RDM"
    path = None if study.data is None else study.data / AREAS_FILE
    if path is None or not path.exists():
        study.not_run(
            name,
            paper="about equal (24 people, 8 areas, 62 images)",
            threshold=">= -0.05",
            reason=f"The RDMs of the paper's people do not ship. Put {AREAS_FILE} with the arrays "
            "'rdms' (n_rdms, n_pairs), 'region' and 'subject' (n_rdms,), such as from the Natural "
            "Scenes Dataset, into the folder that ACTIVOME_DATA or the argument data names.",
        )
        return
    rdms, region, subject = load_areas(path)
    accuracy = {
        kind: RegionIdentification(kind).fit(rdms, region, subject).accuracy_
        for kind in ("raw", "rdm", "topology")
    }
    shown = ", ".join(f"{kind} {value:.3f}" for kind, value in accuracy.items())
    study.note(f"Areas identified: {shown}.")
    study.claim(
        name,
        accuracy["topology"] - accuracy["rdm"],
        paper="about equal (24 people, 8 areas, 62 images)",
        at_least=-0.05,
    )
