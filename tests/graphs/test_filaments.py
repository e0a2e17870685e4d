"""Centre lines and their graphs: bars, crosses and balls whose lines can be counted by hand."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from activome.errors import ActivityError, ParameterError, ResourceError
from activome.graphs.filaments import centre_line, filament_graph

morphology = pytest.importorskip("skimage.morphology", reason="scikit-image is not installed")
Array = np.ndarray[Any, Any]


def blob(shape: tuple[int, ...], *boxes: tuple[slice, ...]) -> Array:
    volume = np.zeros(shape, dtype=bool)
    for box in boxes:
        volume[box] = True
    return volume


def test_bar_thins_to_its_axis() -> None:
    bar = blob((30, 30, 30), np.s_[14:17, 14:17, 5:25])
    line = centre_line(np.flatnonzero(bar), bar.shape)
    z, y, x = np.unravel_index(line, bar.shape)
    assert set(z) == {15}
    assert set(y) == {15}
    # One voxel less at each end than the bar: thinning rounds the ends off.
    assert x.tolist() == list(range(6, 24))


@pytest.mark.parametrize("corner", list(itertools.product((0, 27), (0, 27), (0, 10))))
def test_line_does_not_depend_on_the_volume(corner: tuple[int, int, int]) -> None:
    bar = blob((30, 30, 30), np.s_[14:17, 14:17, 5:25])
    here = np.stack(np.unravel_index(centre_line(np.flatnonzero(bar), bar.shape), bar.shape))
    moved = blob((30, 30, 30), tuple(slice(c, c + n) for c, n in zip(corner, (3, 3, 20),
                                                                    strict=True)))  # fmt: skip
    line = centre_line(np.flatnonzero(moved), moved.shape)
    there = np.stack(np.unravel_index(line, moved.shape))
    np.testing.assert_array_equal(there - np.array(corner)[:, None], here - [[14], [14], [5]])


def test_thinning_keeps_connected_pieces_and_stays_inside() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        volume = ndimage.gaussian_filter(rng.normal(size=(20, 24, 28)), 2.0) > 0.03
        # Pieces of a few voxels, beside larger ones, may thin to nothing.
        volume = morphology.remove_small_objects(volume, max_size=30, connectivity=3)
        line = np.zeros(volume.size, dtype=bool)
        line[centre_line(np.flatnonzero(volume), volume.shape)] = True
        line = line.reshape(volume.shape)
        near = np.ones((3, 3, 3))
        assert not (line & ~volume).any()
        pieces, n = ndimage.label(volume, near)
        assert ndimage.label(line, near)[1] == n == np.unique(pieces[line]).size


def test_small_blobs_keep_a_voxel() -> None:
    for box, expected in (
        (np.s_[2:3, 3:4, 4:5], 1),
        (np.s_[2:3, 3:4, 4:6], 2),
        (np.s_[2:4, 3:5, 4:6], 1),
    ):
        volume = blob((8, 8, 8), box)
        line = centre_line(np.flatnonzero(volume), volume.shape)
        assert 1 <= line.size <= expected
        assert volume.flat[line].all()


def test_cross_has_four_ends_and_one_branch_point() -> None:
    plane = blob((21, 21), np.s_[10:11, 2:19], np.s_[2:19, 10:11])
    graph = filament_graph(np.flatnonzero(plane), plane.shape)
    assert graph.length == 32.0
    assert graph.n_pieces == 1
    assert sorted(zip(*np.unravel_index(graph.ends, plane.shape), strict=True)) == [
        (2, 10), (10, 2), (10, 18), (18, 10)
    ]  # fmt: skip
    assert graph.branch_points.tolist() == [10 * 21 + 10]


def test_lengths_follow_the_spacing() -> None:
    volume = np.zeros((12, 12, 12), dtype=bool)
    volume[np.arange(2, 10), np.arange(2, 10), np.arange(2, 10)] = True
    flat = np.flatnonzero(volume)
    assert filament_graph(flat, volume.shape).length == pytest.approx(7 * np.sqrt(3))
    graph = filament_graph(flat, volume.shape, spacing=(2.0, 1.0, 0.5))
    assert graph.length == pytest.approx(7 * np.sqrt(4 + 1 + 0.25))
    np.testing.assert_allclose(graph.places[0], [4.0, 2.0, 1.0])
    assert graph.ends.size == 2
    assert graph.degree.sum() == 2 * len(graph.edges)


def test_pieces_are_trees() -> None:
    ring = np.hypot(*np.mgrid[-8:9, -8:9])
    plane = np.zeros((17, 40), dtype=bool)
    plane[:, :17] = (ring > 5.5) & (ring < 6.5)
    plane[8, 20:38] = True
    graph = filament_graph(np.flatnonzero(plane), plane.shape)
    assert graph.n_pieces == 2
    assert len(graph.edges) == graph.voxels.size - 2


def test_refusals() -> None:
    with pytest.raises(ActivityError, match="the object must hold a voxel"):
        centre_line([], (4, 4, 4))
    with pytest.raises(ActivityError, match="distinct and below 64; some leave the volume"):
        centre_line([3, 64], (4, 4, 4))
    with pytest.raises(ActivityError, match="some repeat"):
        centre_line([3, 3], (4, 4, 4))
    with pytest.raises(ActivityError, match="a row of whole flat indices"):
        centre_line([0.5], (4, 4, 4))
    with pytest.raises(ParameterError, match="number of axes must be"):
        centre_line([0], (4,))
    with pytest.raises(ResourceError, match="the bounding box"):
        centre_line([0, 10**12 - 1], (10**4, 10**4, 10**4))
    with pytest.raises(ParameterError, match="number of spacings"):
        filament_graph([0], (4, 4), spacing=(1.0, 1.0, 1.0))
    with pytest.raises(ParameterError, match="spacing must be in"):
        filament_graph([0], (4, 4), spacing=0.0)
