"""Two test volumes of the FISBe benchmark, with a prediction and its published scores."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from activome._checks import check_choice
from activome.errors import ReadError
from activome.samples._locate import in_folder, reading

__all__ = ["FisbeVolume", "fisbe_eval"]

Array = np.ndarray[Any, Any]
_DIM = {"R14A02-20180905_65_A6": [3, 5, 7], "VT011145-20171222_63_I2": [5, 6, 8]}
_ORIGIN = (
    "github.com/Kainmueller-Lab/evaluate-instance-segmentation, tests (MIT; the volumes CC BY 4.0)"
)
_SUMMARY = "summary_expected.csv"
_COLUMNS = {
    "S": "general avg_f1_cov_score",
    "avF1": "confusion_matrix avFscore",
    "C": "general avg_gt_skel_coverage",
    "clDice_tp": "general avg_TP_05_cldice",
    "tp": "general TP_05_rel",
    "FS": "general FS",
    "FM": "general FM",
    "tp_dim": "general TP_05_rel_dim",
    "C_dim": "general avg_gt_cov_dim",
    "tp_overlap": "general TP_05_rel_overlap",
    "C_overlap": "general avg_gt_cov_overlap",
    "n_truth": "general Num GT",
    "n_pred": "general Num Pred",
}


@dataclass(frozen=True)
class FisbeVolume:
    """One volume: hand-segmented neurons, a method's prediction, and what it scored.

    Attributes
    ----------
    shape : tuple of int
        Voxels along z, y and x.
    truth, prediction : list of ndarray of uint32, shape (n_voxels,)
        Flat indices of each instance, in C order.
    dim : list of int
        Numbers of the dim truths, counted from 1.
    expected : dict of str to float
        Published scores, by the names of ``InstanceScores.table``.
    """

    shape: tuple[int, ...]
    truth: list[Array]
    prediction: list[Array]
    dim: list[int]
    expected: dict[str, float]


def fisbe_eval(
    volume: str = "R14A02-20180905_65_A6", *, folder: str | os.PathLike[str] | None = None
) -> FisbeVolume:
    """Load a FISBe test volume as flat indices, with a prediction and its published scores.

    Parameters
    ----------
    volume : {"R14A02-20180905_65_A6", "VT011145-20171222_63_I2"}
        Which of the two.
    folder : path-like, optional
        Folder that holds the ``.npz`` of the volume and ``summary_expected.csv``; by default the
        one that ACTIVOME_DATA names.

    Returns
    -------
    FisbeVolume
        Truth, prediction and scores.

    Raises
    ------
    ParameterError
        If the volume is unknown.
    ReadError
        If a file is not found or not readable.

    References
    ----------
    .. [1] L. Mais et al., "FISBe: a real-world benchmark dataset for instance segmentation of
       long-range thin filamentous structures", 2024.
    """
    owner = "samples.fisbe_eval"
    check_choice(volume, _DIM, name="volume", owner=owner)
    path = in_folder(f"fisbe_eval/{volume}.npz", folder=folder, owner=owner, origin=_ORIGIN)
    form = "an npz file with shape, gt_1, gt_2 ... and pred_1, pred_2 ..."
    with reading(path, form, owner=owner), np.load(path, allow_pickle=False) as archive:
        shape = tuple(int(n) for n in archive["shape"])
        truth, prediction = (
            [archive[name] for name in _numbered(archive.files, prefix)]
            for prefix in ("gt_", "pred_")
        )
    table = in_folder(f"fisbe_eval/{_SUMMARY}", folder=folder, owner=owner, origin=_ORIGIN)
    with reading(table, "a table of scores with one row per volume", owner=owner):
        expected = _scores(table, volume, owner)
    return FisbeVolume(shape, truth, prediction, list(_DIM[volume]), expected)


def _numbered(names: list[str], prefix: str) -> list[str]:
    mine = [name for name in names if name.startswith(prefix)]
    return sorted(mine, key=lambda name: int(name.removeprefix(prefix)))


def _scores(path: Path, volume: str, owner: str) -> dict[str, float]:
    with path.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream, delimiter=";"):
            if row["sample"] == volume:
                return {name: float(row[column]) for name, column in _COLUMNS.items()}
    raise ReadError(f"{owner}: {str(path)!r} must have a row for {volume!r}; it has none.")
