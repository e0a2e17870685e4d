"""Invented tubes: sizes, colours, connectedness, crossings, refusals; and the FISBe loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from activome.errors import ParameterError, ReadError, ResourceError
from activome.samples.fisbe import fisbe_eval
from activome.samples.tubes import tubes


def test_every_tube_is_one_piece_of_its_colour() -> None:
    image, truth = tubes(4, blur=0.0, noise=0.0, random_state=0)
    assert image.shape == (3, 48, 96, 96)
    for mask, colour in zip(truth.masks, truth.colours, strict=True):
        assert ndimage.label(mask, np.ones((3, 3, 3)))[1] == 1
        assert 0.5 <= colour.max() <= 1.0
        alone = mask & (truth.masks.sum(axis=0) == 1)
        np.testing.assert_allclose(image[:, alone], np.tile(colour[:, None], alone.sum()),
                                   rtol=1e-6)  # fmt: skip
    np.testing.assert_array_equal(image.any(axis=0), truth.masks.any(axis=0))


def test_where_tubes_cross_the_brighter_shows() -> None:
    image, truth = tubes(8, shape=(12, 40, 40), blur=0.0, noise=0.0, random_state=1)
    shared = truth.masks.sum(axis=0) > 1
    assert shared.any()
    shown = np.where(truth.masks[:, None], truth.colours[:, :, None, None, None], 0.0).max(axis=0)
    np.testing.assert_allclose(image, shown, rtol=1e-6)


def test_seeds_and_noise() -> None:
    first, second = (tubes(2, shape=(16, 32, 32), random_state=3)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    image, truth = tubes(1, noise=0.1, random_state=0)
    assert image[:, ~ndimage.binary_dilation(truth.masks[0], iterations=5)].std() == pytest.approx(
        0.1, rel=0.02
    )


def test_refusals() -> None:
    with pytest.raises(ParameterError, match="shape must be"):
        tubes(shape=(10, 10))
    with pytest.raises(ParameterError, match="n_tubes must be an integer at least 1"):
        tubes(0)
    with pytest.raises(ParameterError, match="radius must be in"):
        tubes(radius=0.0)
    with pytest.raises(ResourceError, match="masks of"):
        tubes(shape=(2000, 2000, 2000))


def test_fisbe_volume_is_read_with_its_scores(tmp_path: Path) -> None:
    folder = tmp_path / "fisbe_eval"
    folder.mkdir()
    sets: dict[str, Any] = {
        "gt_1": [0, 1],
        "gt_2": [2],
        "gt_10": [3],
        "pred_1": [0],
        "pred_12": [4],
    }
    np.savez(folder / "R14A02-20180905_65_A6.npz", shape=(2, 3, 4), **sets)
    names = ["avg_f1_cov_score", "avg_gt_skel_coverage", "avg_TP_05_cldice", "TP_05_rel", "FS",
             "FM", "TP_05_rel_dim", "avg_gt_cov_dim", "TP_05_rel_overlap", "avg_gt_cov_overlap",
             "Num GT", "Num Pred"]  # fmt: skip
    header = ["sample", "confusion_matrix avFscore", *(f"general {name}" for name in names)]
    row = ["R14A02-20180905_65_A6", *(str(k / 100) for k in range(13))]
    table = folder / "summary_expected.csv"
    table.write_text(";".join(header) + "\n" + ";".join(row) + "\n", "utf-8")
    found = fisbe_eval(folder=tmp_path)
    assert found.shape == (2, 3, 4)
    assert [v.tolist() for v in found.truth] == [[0, 1], [2], [3]]
    assert [v.tolist() for v in found.prediction] == [[0], [4]]
    assert (found.expected["avF1"], found.expected["S"], found.expected["FM"]) == (0.0, 0.01, 0.06)
    assert found.dim == [3, 5, 7]
    table.write_text(";".join(header) + "\n", "utf-8")
    with pytest.raises(ReadError, match="must have a row for 'R14A02"):
        fisbe_eval(folder=tmp_path)
    with pytest.raises(ParameterError, match="unknown volume"):
        fisbe_eval("R1", folder=tmp_path)
