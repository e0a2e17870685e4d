"""What the study of instance scores measures: invented tubes with errors, and real volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from activome._extras import require
from activome.decoding.instance_score import InstanceScores, score_instances
from activome.graphs.filaments import centre_line
from activome.patterns.colour_clustering import ColourClustering
from activome.samples.fisbe import fisbe_eval
from activome.samples.tubes import tubes

__all__ = ["BRIGHT", "SCORES", "VOLUMES", "constructed_errors", "published", "tube_volume"]

Array = np.ndarray[Any, Any]
VOLUMES = ("R14A02-20180905_65_A6", "VT011145-20171222_63_I2")
SCORES = ("S", "avF1", "C", "clDice_tp", "tp", "FS", "FM", "tp_dim", "C_dim", "tp_overlap",
          "C_overlap", "n_truth", "n_pred")  # fmt: skip
BRIGHT = 0.18
_SMALL = 200
_TOUCHING = np.ones((3, 3, 3))


def tube_volume(seed: int) -> dict[str, Any]:
    """Segment one invented volume in several ways, and score each.

    Parameters
    ----------
    seed : int
        Seed of the tubes.

    Returns
    -------
    dict
        Scores of truth, colour clustering, plain components, dilated and eroded truth; the
        variation of information of two of them; what the figure shows.
    """
    image, drawn = tubes(random_state=seed)
    truth, shape = drawn.masks, drawn.masks.shape[1:]
    by_colour = ColourClustering(BRIGHT, min_size=_SMALL, random_state=seed).fit_predict(image)
    pieces, n_pieces = ndimage.label(image.max(axis=0) > BRIGHT, _TOUCHING)
    flat = [np.flatnonzero(mask) for mask in truth]
    labels = _labels(flat, shape)
    ways = {
        "truth": _scored(flat, flat, shape),
        "colour": _scored(flat, by_colour, shape),
        "pieces": _scored(flat, [np.flatnonzero(pieces == k + 1) for k in range(n_pieces)], shape),
        "grown labels": score_instances(labels, _grown(labels), remove_small=_SMALL),
    }
    result: dict[str, Any] = {name: _record(scores) for name, scores in ways.items()}
    for name, change in (("dilated", ndimage.binary_dilation), ("eroded", ndimage.binary_erosion)):
        changed = np.stack([change(mask) for mask in truth])
        for criterion in ("cldice", "iou"):
            scores = score_instances(truth, changed, remove_small=0, criterion=criterion)
            likeness = np.zeros(1) if scores.likeness is None else np.diag(scores.likeness)
            result[f"{name} {criterion}"] = float(likeness.mean())
    result["information"] = {
        "grown labels": _information(labels, _grown(labels)),
        "pieces": _information(labels, pieces),
    }
    result["shown"] = _shown(image, flat, by_colour, shape)
    return result


def _scored(truth: list[Array], found: list[Array], shape: tuple[int, ...]) -> InstanceScores:
    return score_instances(truth, found, shape, remove_small=_SMALL)


def _record(scores: InstanceScores) -> dict[str, Any]:
    likeness = np.zeros((1, 1)) if scores.likeness is None else scores.likeness
    plain = {name: float(scores.table()[name]) for name in SCORES}
    return {**plain, "f1": scores.f1_per_threshold, "likeness": likeness, "pairs": scores.matches}


def _labels(instances: list[Array], shape: tuple[int, ...]) -> Array:
    labels = np.zeros(shape, dtype=np.int32)
    for number, voxels in enumerate(instances, start=1):
        labels.flat[voxels] = number
    return labels


def _grown(labels: Array) -> Array:
    segmentation = require("skimage.segmentation", extra="volumes", owner="study fisbe")
    return np.asarray(segmentation.expand_labels(labels, 1))


def _information(truth: Array, found: Array) -> float:
    metrics = require("skimage.metrics", extra="volumes", owner="study fisbe")
    return float(sum(metrics.variation_of_information(truth, found)))


def _shown(
    image: Array, truth: list[Array], found: list[Array], shape: tuple[int, ...]
) -> dict[str, Any]:
    """Return projections along z, and centre lines with what covers them."""
    lines = [centre_line(voxels, shape) for voxels in truth]
    places = np.concatenate([np.stack(np.unravel_index(line, shape)) for line in lines], axis=1)
    is_covered = np.isin(np.concatenate(lines), np.concatenate(found))
    return {
        "image": image.max(axis=1).astype(np.float32),
        "truth": _labels(truth, shape).max(axis=0),
        "found": _labels(found, shape).max(axis=0),
        "line": places[1:].T,
        "covered": is_covered,
    }


def constructed_errors(seed: int) -> dict[str, float]:
    """Join two tubes, and cut a bar in three; return the merges and splits that are counted."""
    truth = [np.flatnonzero(mask) for mask in tubes(3, random_state=seed)[1].masks]
    shape = (48, 96, 96)
    joined = [np.union1d(truth[0], truth[1]), truth[2]]
    bar = np.zeros((9, 9, 90), dtype=bool)
    bar[3:6, 3:6, 3:87] = True
    thirds = [np.flatnonzero(bar & (np.arange(90) // 30 == k)) for k in range(3)]
    return {
        "merges": score_instances(truth, joined, shape, remove_small=0).false_merges,
        "splits": score_instances([np.flatnonzero(bar)], thirds, bar.shape,
                                  remove_small=0).false_splits,
    }  # fmt: skip


def published(volume: str, folder: Path) -> dict[str, float]:
    """Score a real volume; return the scores and their largest distance to the published ones.

    Parameters
    ----------
    volume : str
        Which test volume.
    folder : Path
        Folder that holds it.

    Returns
    -------
    dict
        Scores by name, and "distance".
    """
    data = fisbe_eval(volume, folder=folder)
    table = score_instances(data.truth, data.prediction, data.shape, dim=data.dim).table()
    distance = max(abs(float(table[name]) - data.expected[name]) for name in data.expected)
    return {**{name: float(table[name]) for name in SCORES}, "distance": distance}
