"""Images learned by symmetric STDP, without an error signal, beside what common methods reach.

The paper trained up to 10,000 hidden cells on 60,000 images for up to 20 epochs; what is measured
here are 100 and 400 hidden cells on stratified subsets of the same sets, said in every claim.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import silhouette_score

from activome.errors import ReadError
from activome.networks.symmetric_stdp import SymmetricSTDPClassifier
from activome.studies._sym_stdp_data import baselines, find, pixels
from activome.studies._sym_stdp_figure import draw
from activome.studies.claims import Study

__all__ = ["run"]

Array = np.ndarray[Any, Any]
_TRAIN, _TEST = 4000, 1000
_SIZES = f"{_TRAIN:,} training and {_TEST:,} test images, stratified"
# The paper's way with brighter images: a constant sum, a lower threshold, weaker synapses.
_FASHION = (("input_sum", 100.0), ("v_threshold", -60.0), ("scaling", 0.025))


def run(study: Study) -> None:
    """Measure the claims; the smoke size takes the 8 x 8 digits of scikit-learn.

    Parameters
    ----------
    study : Study
        The bench.
    """
    root = None if study.data is None else str(study.data)
    seeds = [study.random_state + k for k in range(3)]
    if not study.is_full:
        quick = (("duration", 175.0), ("max_rate", 127.5))
        task = ("digits-8x8", None, 400, 200, 50, 1, study.random_state, quick)
        found = study.step("digits", _fit, *task)
        study.note(f"Images: {found['source']}.")
        study.claim(
            "digits-8x8, 400 images, 50 hidden cells: accuracy of the class layer",
            found["supervised"][-1],
            at_least=0.4,
        )
        _reference(study, "digits-8x8", None, (400, 200), (50,))
        study.save_figure(draw(found))
        return
    items = [("digits-8x8", None, 1300, 497, 100, 1, seed, ()) for seed in seeds]
    digits = study.map("digits", _fit, items)
    _report_sources(study, digits[:1])
    scores = [one["supervised"][-1] for one in digits]
    study.claim(
        "digits-8x8, 1,300 images, 100 hidden cells, 1 epoch: class layer, mean of 3 seeds",
        float(np.mean(scores)),
        at_least=0.85,
        note=f"each: {_listed(scores)}",
    )
    _reference(study, "digits-8x8", None, (1300, 497), (100,))
    _mnist(study, root, seeds)
    _fashion(study, root)
    _not_run(study)


def _mnist(study: Study, root: str | None, seeds: list[int]) -> None:
    name = "mnist, 100 hidden cells, 1 epoch: class layer, mean of 3 seeds"
    try:
        find("mnist", root, _TRAIN, _TEST)
    except ReadError as error:
        study.not_run(name, threshold=">= 0.77", reason=str(error))
        return
    tasks = [("mnist", root, _TRAIN, _TEST, 100, 1, seed, ()) for seed in seeds]
    small = study.map("mnist 100", _fit, tasks)
    _report_sources(study, small[:1])
    scores = [float(one["supervised"][-1]) for one in small]
    study.claim(name, float(np.mean(scores)), at_least=0.77, note=f"each: {_listed(scores)}")
    large = study.step("mnist 400", _fit, "mnist", root, _TRAIN, _TEST, 400, 2, seeds[0], ())
    study.claim(
        "mnist, 400 hidden cells, 2 epochs: class layer",
        large["supervised"][-1],
        paper="96.73 % (10,000 cells, 60,000 images)",
        at_least=0.84,
        note=f"{_SIZES}; after 1 epoch {large['supervised'][0]:.3f}",
    )
    study.claim(
        "mnist: 400 hidden cells less 100",
        float(large["supervised"][-1] - np.mean(scores)),
        paper="rises with size",
        at_least=0.02,
    )
    for label, group in (("100 hidden cells, mean of 3 seeds", small), ("400 hidden", [large])):
        gap = [float(one["supervised"][-1] - one["unsupervised"][-1]) for one in group]
        study.claim(
            f"mnist, {label}: class layer less assignment of hidden cells",
            float(np.mean(gap)),
            paper="above",
            at_least=0.0,
            note=f"assignment {_listed([float(one['unsupervised'][-1]) for one in group])}",
        )
    for layer in ("hidden", "class"):
        study.claim(
            f"mnist, 400 hidden cells: silhouette of {layer} counts less that of pixels",
            large[f"silhouette {layer}"] - large["silhouette pixels"],
            paper="clusters",
            at_least=0.0,
            note=f"pixels {large['silhouette pixels']:.3f}",
        )
    _reference(study, "mnist", root, (_TRAIN, _TEST), (100, 400))
    _ablations(study, root, seeds[0], float(small[0]["supervised"][-1]))
    study.save_figure(draw(small[0]))


def _ablations(study: Study, root: str | None, seed: int, whole: float) -> None:
    options: dict[str, tuple[tuple[str, Any], ...]] = {
        "no adaptive threshold": (("theta_plus", 0.0),),
        "no scaling": (("scaling", None),),
        "neither": (("theta_plus", 0.0), ("scaling", None)),
        "asymmetric rule": (("rule", "asymmetric"),),
        "layer by layer": (("training", "layerwise"),),
    }
    tasks = [("mnist", root, _TRAIN, _TEST, 100, 1, seed, o) for o in options.values()]
    found = dict(zip(options, study.map("ablations", _fit, tasks), strict=True))
    score = {name: float(one["supervised"][-1]) for name, one in found.items()}
    for name in ("no adaptive threshold", "neither"):
        study.claim(f"mnist, 100 hidden cells, {name}: class layer", score[name], at_most=0.2)
    study.claim(
        "mnist, 100 hidden cells: loss without scaling",
        whole - score["no scaling"],
        at_least=0.15,
        note=f"class layer {score['no scaling']:.3f} against {whole:.3f} of the same seed",
    )
    for name in ("asymmetric rule", "layer by layer"):
        study.note(
            f"mnist, 100 hidden cells, {name}: class layer {score[name]:.3f}, assignment "
            f"{found[name]['unsupervised'][-1]:.3f}; {whole:.3f} with neither."
        )


def _fashion(study: Study, root: str | None) -> None:
    name = "fashion-mnist, 400 hidden cells, 1 epoch: class layer"
    try:
        find("fashion-mnist", root, _TRAIN, _TEST)
    except ReadError as error:
        study.not_run(name, threshold=">= 0.65", reason=str(error))
        return
    task = ("fashion-mnist", root, _TRAIN, _TEST, 400, 1, study.random_state, _FASHION)
    found = study.step("fashion", _fit, *task)
    _report_sources(study, [found])
    study.claim(
        name,
        found["supervised"][-1],
        paper="85.31 % (6,400 cells, 60,000 images)",
        at_least=0.65,
        note=f"{_SIZES}; assignment {found['unsupervised'][-1]:.3f}",
    )
    _reference(study, "fashion-mnist", root, (_TRAIN, _TEST), (400,))


def _not_run(study: Study) -> None:
    reason = (
        "60,000 images for up to 20 epochs take days on two cores; fit(X, y) of "
        "SymmetricSTDPClassifier with images('{}') of activome.samples runs it."
    )
    for name, paper, n_hidden in (("mnist", 96.73, 10_000), ("fashion-mnist", 85.31, 6_400)):
        study.not_run(
            f"{name}, 60,000 images, {n_hidden:,} hidden cells: class layer",
            paper=f"{paper} %",
            threshold=f">= {paper / 100 - 0.01:.4f}",
            reason=reason.format(name),
        )


def _fit(
    name: str,
    root: str | None,
    n_train: int,
    n_test: int,
    n_hidden: int,
    n_epochs: int,
    seed: int,
    options: tuple[tuple[str, Any], ...],
) -> dict[str, Any]:
    """Train epoch by epoch; return accuracies, how well counts cluster, weights, and a raster."""
    images = find(name, root, n_train, n_test)
    X, y, X_test, y_test = pixels(images)
    model = SymmetricSTDPClassifier(n_hidden, warm_start=True, random_state=seed, **dict(options))
    supervised, unsupervised = [], []
    for _ in range(n_epochs):
        model.fit(X, y)
        supervised.append(float((model.predict(X_test) == y_test).mean()))
        unsupervised.append(float((model.predict_unsupervised(X_test) == y_test).mean()))
    counts = {"hidden": model.transform(X_test), "class": model.decision_function(X_test)}
    spikes = model.record(X_test[:1])
    found: dict[str, Any] = {
        "source": images.source,
        "supervised": np.array(supervised),
        "unsupervised": np.array(unsupervised),
        "silent": model.n_silent_,
        "theta": model.theta_,
        "fields": model.hidden_weights_.astype(np.float32),
        "class weights": model.class_weights_,
        "assignments": model.assignments_,
        "silhouette pixels": float(silhouette_score(X_test, y_test)),
        "shown": X_test[0],
        "label": int(y_test[0]),
    }
    for layer, values in counts.items():
        found[f"silhouette {layer}"] = float(silhouette_score(values, y_test))
    for layer, events in spikes.items():
        found[f"time {layer}"], found[f"unit {layer}"] = events.time, events.unit
    return found


def _reference(
    study: Study, name: str, root: str | None, sizes: tuple[int, int], n_clusters: tuple[int, ...]
) -> None:
    found = study.step(f"baselines {name}", baselines, name, root, *sizes, n_clusters)
    listed = ", ".join(f"{what} {score:.3f}" for what, score in found.items())
    study.note(f"Beside it, {name}, the same {sizes[0]:,} training images: {listed}.")


def _report_sources(study: Study, found: list[dict[str, Any]]) -> None:
    for one in found:
        study.note(f"Images: {one['source']}.")


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)
