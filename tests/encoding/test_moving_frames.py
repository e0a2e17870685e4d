"""A window that moves over an image: by hand, against scipy, and its refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from activome.encoding.moving_frames import moving_frames, saccade_path
from activome.errors import ActivityError


def test_equals_scipy_inside_and_outside() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((9, 11))
    path = rng.uniform(-3, 8, (12, 2))
    movie = moving_frames(image, path, (4, 5), outside="zero")
    for frame, (column, row) in zip(movie, path, strict=True):
        grid = np.mgrid[row : row + 3.5, column : column + 4.5]
        wanted = ndimage.map_coordinates(image, grid, order=1, mode="grid-constant", cval=0.0)
        np.testing.assert_allclose(frame, wanted, atol=1e-12)


def test_a_path_closes() -> None:
    path = saccade_path(np.array([[0, 0], [3.5, 1.75], [0, 3.5]]), 50)
    assert path.shape == (150, 2)
    np.testing.assert_allclose(path[[49, 99, 149]].ravel(), [3.5, 1.75, 0, 3.5, 0, 0])
    assert len(saccade_path([[0, 0], [1, 0]], 4, close=False)) == 4


def test_refusals() -> None:
    with pytest.raises(ActivityError, match="frame 1 does not"):
        moving_frames(np.zeros((4, 4)), np.array([[0, 0], [0.5, 0]]), (4, 4))
    with pytest.raises(ActivityError, match="image must be"):
        moving_frames(np.zeros(4), [[0, 0]], (1, 1))
    with pytest.raises(ActivityError, match="path must have shape"):
        moving_frames(np.zeros((4, 4)), [0, 0], (1, 1))
    with pytest.raises(ActivityError, match="path must be finite"):
        moving_frames(np.zeros((4, 4)), [[0, np.nan]], (1, 1))
    with pytest.raises(ActivityError, match="corners must have shape"):
        saccade_path([[0, 0]], 3)
