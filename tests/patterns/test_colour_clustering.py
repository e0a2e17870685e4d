"""Instances by colour: boxes of known colours by hand, tubes, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from activome.errors import ActivityError, ParameterError
from activome.patterns.colour_clustering import ColourClustering
from activome.samples.tubes import tubes

Array = np.ndarray[Any, Any]
RED, GREEN, BLUE = (1.0, 0.1, 0.1), (0.1, 1.0, 0.1), (0.1, 0.1, 1.0)


def boxes(*coloured: tuple[Any, tuple[float, float, float]], noise: float = 0.01) -> Array:
    image = np.random.default_rng(0).normal(0.0, noise, size=(3, 10, 30, 30))
    for box, colour in coloured:
        image[(slice(None), *box)] += np.array(colour)[:, None, None, None]
    return image


def test_touching_boxes_of_two_colours_and_one_apart() -> None:
    parts = (np.s_[2:8, 2:10, 2:10], np.s_[2:8, 10:18, 2:10], np.s_[2:8, 22:28, 20:28])
    image = boxes((parts[0], RED), (parts[1], GREEN), (parts[2], RED))
    model = ColourClustering(random_state=0)
    found = model.fit_predict(image)
    assert model.n_components_ == 2
    assert int(model.bic_.argmin()) == 1
    volumes = []
    for part in parts:
        mask = np.zeros(image.shape[1:], dtype=bool)
        mask[part] = True
        volumes.append(np.flatnonzero(mask).tolist())
    assert sorted(voxels.tolist() for voxels in found) == sorted(volumes)


def test_brightness_does_not_matter() -> None:
    image = boxes((np.s_[2:8, 2:10, 2:28], BLUE))
    image[:, :, :, 15:] *= 0.4
    found = ColourClustering(random_state=0).fit_predict(image)
    assert [voxels.size for voxels in found] == [6 * 8 * 26]


def test_connectivity_by_corners_edges_and_faces() -> None:
    image = boxes((np.s_[0:5, 0:10, 0:10], RED), (np.s_[5:10, 10:20, 10:20], RED))
    sizes = {
        n: len(ColourClustering(connectivity=n, random_state=0).fit_predict(image))
        for n in (6, 18, 26)
    }
    assert sizes == {6: 2, 18: 2, 26: 1}


def test_small_pieces_are_left_out_and_predict_needs_no_new_fit() -> None:
    image = boxes((np.s_[2:8, 2:10, 2:10], RED), (np.s_[2:4, 20:22, 20:22], RED))
    model = ColourClustering(min_size=9, random_state=0).fit(image)
    assert [voxels.size for voxels in model.predict(image)] == [384]
    model.min_size = 8
    assert sorted(voxels.size for voxels in model.predict(image)) == [8, 384]


def test_tubes_are_told_apart_and_results_repeat() -> None:
    image, truth = tubes(3, shape=(24, 64, 64), n_steps=50, random_state=1)
    first, second = (ColourClustering(random_state=0).fit_predict(image) for _ in range(2))
    assert [v.tolist() for v in first] == [v.tolist() for v in second]
    for mask in truth.masks:
        share = max(np.isin(np.flatnonzero(mask), voxels).mean() for voxels in first)
        assert share > 0.5


def test_parameters_are_only_stored() -> None:
    model = ColourClustering(threshold=-1.0, connectivity=7)
    assert clone(model).get_params() == model.get_params()


def test_refusals() -> None:
    image = boxes((np.s_[2:8, 2:10, 2:10], RED))
    broken = np.where(np.arange(3)[:, None, None, None] == 1, np.nan, image)
    with pytest.raises(ActivityError, match=r"an image must be \(3, n_z, n_y, n_x\)"):
        ColourClustering().fit(image[0])
    with pytest.raises(ActivityError, match="one volume per colour"):
        ColourClustering().fit(np.moveaxis(image, 0, -1))
    with pytest.raises(ActivityError, match=r"the first at channel 1, z 0, y 0, x 0"):
        ColourClustering().fit(broken)
    with pytest.raises(ActivityError, match="brighter than the threshold 9; 0 are"):
        ColourClustering(9.0).fit(image)
    with pytest.raises(ParameterError, match="unknown connectivity '7'"):
        ColourClustering(connectivity=7).fit(image)
    with pytest.raises(ParameterError, match="min_size must be an integer at least 1"):
        ColourClustering(min_size=0).fit(image)
