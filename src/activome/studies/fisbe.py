"""FISBe: scores of instance segmentations of long thin structures, on real and invented volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from activome.errors import ReadError
from activome.studies._fisbe_data import VOLUMES, constructed_errors, published, tube_volume
from activome.studies._fisbe_figure import draw

if TYPE_CHECKING:
    from activome.studies.claims import Study

__all__ = ["run"]

_METHODS = {
    "PatchPerPix": (0.34, 0.29, 0.40),
    "colour clustering of Duan et al.": (0.28, 0.23, 0.33),
    "flood filling": (0.18, 0.11, 0.26),
}
_ABSENT = (
    "The volume does not ship. Put fisbe_eval of "
    "github.com/Kainmueller-Lab/evaluate-instance-segmentation, as npz of flat indices, into the "
    "folder that ACTIVOME_DATA or the argument data names, and run the full size."
)


def run(study: Study) -> None:
    """Measure the scores on invented tubes and, where they are at hand, on two real volumes.

    Parameters
    ----------
    study : Study
        The bench. Full size: tubes of four seeds and the real volumes; smoke: one seed.
    """
    seeds = [study.random_state + k for k in range(4 if study.is_full else 1)]
    found = study.map("tubes", tube_volume, seeds)
    _claim_tubes(study, found)
    _claim_information(study, found)
    errors = study.step("constructed errors", constructed_errors, study.random_state)
    study.claim("two tubes joined: false merges", errors["merges"], equals=1)
    study.claim("a bar cut in three: false splits", errors["splits"], equals=2)
    _claim_real(study)
    study.note(
        "The volumes are invented tubes, a stand-in for the 101 volumes of the release (zenodo "
        "10.5281/zenodo.10875063, read by activome.activity.readers.read_fisbe). Published on its "
        "complete test set (S, avF1, C): "
        + "; ".join(f"{k} {s}, {f}, {c}" for k, (s, f, c) in _METHODS.items())
        + "."
    )
    study.save_figure(draw(found[0]))


def _all(found: Sequence[dict[str, Any]], way: str, name: str) -> Any:
    return np.array([entry[way][name] for entry in found])


def _shown(values: Any) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def _claim_tubes(study: Study, found: Sequence[dict[str, Any]]) -> None:
    study.claim("tubes: truth against itself, lowest S", _all(found, "truth", "S").min(), equals=1)
    study.claim(
        "tubes: truth against itself, false merges and splits",
        (_all(found, "truth", "FM") + _all(found, "truth", "FS")).max(),
        equals=0,
    )
    colour, pieces = (_all(found, way, "S") for way in ("colour", "pieces"))
    study.claim(
        "tubes: S of colour clustering less that of plain components, lowest of the seeds",
        (colour - pieces).min(),
        paper="0.28 for colour clustering on the real test set",
        at_least=0.2,
        note=f"S by seed: {_shown(colour)} against {_shown(pieces)}",
    )
    merges = {way: _all(found, way, "FM") for way in ("colour", "pieces")}
    study.claim(
        "tubes: false merges of plain components less those of colour clustering, lowest seed",
        (merges["pieces"] - merges["colour"]).min(),
        at_least=1,
        note=f"by seed: {_shown(merges['pieces'])} against {_shown(merges['colour'])}",
    )
    for change, low, high in (("dilated", 0.94, 0.5), ("eroded", 0.98, 0.3)):
        lines, masks = ([entry[f"{change} {c}"] for entry in found] for c in ("cldice", "iou"))
        study.claim(
            f"tubes {change} by a voxel: clDice, lowest seed", min(lines), at_least=low,
            note=f"by seed: {_shown(lines)}",
        )  # fmt: skip
        study.claim(
            f"tubes {change} by a voxel: IoU, highest seed", max(masks), at_most=high,
            note=f"by seed: {_shown(masks)}",
        )  # fmt: skip


def _claim_information(study: Study, found: Sequence[dict[str, Any]]) -> None:
    grown, pieces = (_all(found, "information", way) for way in ("grown labels", "pieces"))
    study.claim(
        "variation of information (bits, less is better): truth grown by a voxel less merged "
        "components, lowest seed",
        (grown - pieces).min(),
        at_least=0.0,
        note="The usual score ranks a thickened truth below a segmentation that merges.",
    )
    scores = _all(found, "grown labels", "S") - _all(found, "pieces", "S")
    study.claim(
        "S: truth grown by a voxel less merged components, lowest seed",
        scores.min(),
        at_least=0.2,
    )


def _claim_real(study: Study) -> None:
    for volume in VOLUMES:
        name = f"{volume}: largest distance of 13 scores to the published ones"
        scores, reason = None, _ABSENT
        if study.data is not None and study.is_full:
            try:
                scores = study.step(f"volume {volume}", published, volume, study.data)
            except ReadError as error:
                reason = str(error)
        if scores is None:
            study.not_run(name, paper="0", threshold="<= 1e-06", reason=reason)
            continue
        study.claim(
            name, scores["distance"], paper="0", at_most=1e-6,
            note=f"S {scores['S']:.6f}, avF1 {scores['avF1']:.6f}, C {scores['C']:.6f}, "
            f"FM {scores['FM']:.0f}, FS {scores['FS']:.0f}",
        )  # fmt: skip
