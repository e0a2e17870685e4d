"""Event movies: textures, walks, and what the camera sees of them."""

from __future__ import annotations

import numpy as np
import pytest

from activome.encoding.event_movie import EventMovie
from activome.encoding.textures import band_texture, saccadic_walk, whiten_image
from activome.errors import ActivityError, ParameterError


def test_texture_has_its_band_and_orientation() -> None:
    texture = band_texture(128, random_state=0)
    power = np.abs(np.fft.fft2(texture)) ** 2
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    assert power[f > 0.4].sum() < 1e-4 * power.sum()
    assert power[f <= 0.01].sum() < 1e-9 * power.sum()
    stripes = band_texture(128, orientation=0.0, bandwidth=0.05, random_state=0)
    down, right = np.gradient(stripes)
    assert (right**2).sum() > 20 * (down**2).sum()


def test_whitening_flattens() -> None:
    rng = np.random.default_rng(0)
    f = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.rfftfreq(128)[None])
    pink = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(128, 128))) / np.maximum(f, 1e-2))
    power = np.abs(np.fft.rfft2(whiten_image(pink))) ** 2
    low = power[(f > 0.02) & (f < 0.06)].mean()
    assert power[(f > 0.08) & (f < 0.12)].mean() == pytest.approx(low, rel=0.2)
    with pytest.raises(ActivityError, match="must vary within the band"):
        whiten_image(np.ones((8, 8)))


def test_walk_adds_up_in_blocks() -> None:
    velocities = np.array([[1.0, 0.0], [0.0, -0.5]])
    y, path = saccadic_walk(500, velocities, mean_block=10, random_state=0)
    np.testing.assert_allclose(np.diff(path, axis=0), velocities[y[1:]])
    changes = np.flatnonzero(np.diff(y)) + 1
    assert np.diff(changes).min() >= 4
    assert set(y.tolist()) == {0, 1}


def test_an_edge_moves_in_its_class() -> None:
    """What is seen of a vertical edge moves right in class 0 and left in class 1."""
    edge = np.repeat((np.arange(64) >= 32).astype(float)[None] * 3.0, 64, axis=0)
    movies = EventMovie([edge], 2, (1.0,), size=24, duration=16, mean_block=200, random_state=3)
    np.testing.assert_allclose(movies.velocities, [[1, 0], [-1, 0]], atol=1e-12)
    checked = set()
    for events, y, path in movies:
        records = events.to_structured()
        middle = [
            records["x"][records["t"] // 1000 == t].mean()
            for t in range(1, 16)
            if (records["t"] // 1000 == t).any()
        ]
        if len(middle) > 8:
            assert np.sign(middle[-1] - middle[2]) == (1 if y[0] == 0 else -1)
            assert np.sign(path[-1, 0] - path[0, 0]) == (-1 if y[0] == 0 else 1)
            checked.add(int(y[0]))
        if len(checked) == 2:
            break
    assert checked == {0, 1}


def test_samples_repeat_and_hold_one_event_per_pixel_and_bin() -> None:
    images = [band_texture(64, random_state=1)]
    first, second = (
        EventMovie(images, 4, (0.5, 1.0), size=12, duration=20, random_state=0).sample(3)
        for _ in range(2)
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    X, y, _ = first
    assert not (X[:, 0] & X[:, 1]).any()
    assert not X[:, :, 0].any()
    assert X.mean() > 0.01
    assert y.max() < 8


def test_refusals() -> None:
    with pytest.raises(ActivityError, match="at least 128 x 128"):
        EventMovie([np.zeros((32, 32))])
    with pytest.raises(ActivityError, match="must fit on the image"):
        EventMovie([np.zeros((20, 20))], size=19, duration=50).sample(1)
    with pytest.raises(ParameterError, match="at least one speed"):
        EventMovie([np.zeros((200, 200))], speeds=())
    with pytest.raises(ActivityError, match="at least one image"):
        EventMovie([])
    with pytest.raises(ActivityError, match=r"velocities must be \(n_classes, 2\)"):
        saccadic_walk(10, [1.0, 2.0])
