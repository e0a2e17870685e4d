"""Event movies of textures and of photographs, to learn from and others to test with."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from sklearn.datasets import load_sample_images

from activome._random import make_generator, spawn_generators
from activome.encoding.event_movie import EventMovie
from activome.encoding.textures import band_texture, whiten_image

__all__ = ["Setting", "photograph_movies", "stripe_movies", "texture_movies"]

Array = np.ndarray[Any, Any]
_PICTURES = ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel")
# A pixel with fewer events per bin than this sees a blank part of a photograph (our choice).
_BLANK = 0.02


@dataclass(frozen=True)
class Setting:
    """Sizes of the movies and of what learns from them.

    Attributes
    ----------
    n_directions, size, duration : int
        Directions of motion, pixels and bins of a movie.
    n_delays, kernel_size : int
        Of the layer.
    n_textures, n_train, n_test : int
        Textures to learn from, and movies.
    n_epochs : int
        Passes over the movies.
    lr : float
        Learning rate.
    """

    n_directions: int = 8
    size: int = 25
    duration: int = 64
    n_delays: int = 8
    kernel_size: int = 9
    n_textures: int = 16
    n_train: int = 256
    n_test: int = 64
    n_epochs: int = 12
    lr: float = 5e-3


@lru_cache(maxsize=4)
def texture_movies(setting: Setting, seed: int) -> tuple[Array, Array, Array, Array]:
    """Return movies and classes to learn from, and others of new textures to test with.

    Parameters
    ----------
    setting : Setting
        Sizes.
    seed : int
        Seed.

    Returns
    -------
    tuple of ndarray
        X and y to learn from, X and y to test with.
    """
    train, test, draw, draw_test = spawn_generators(seed, 4)
    seen = [band_texture(random_state=train) for _ in range(setting.n_textures)]
    new = [band_texture(random_state=test) for _ in range(max(1, setting.n_textures // 4))]
    return (
        *_movies(seen, setting, setting.n_train, draw),
        *_movies(new, setting, setting.n_test, draw_test),
    )


def stripe_movies(setting: Setting, bandwidth: float | None, seed: int) -> tuple[Array, Array]:
    """Return movies of textures of one orientation each, whatever the direction of motion.

    Parameters
    ----------
    setting : Setting
        Sizes.
    bandwidth : float or None
        Spread of the orientation, rad; None for all orientations alike.
    seed : int
        Seed.

    Returns
    -------
    tuple of ndarray
        X and y.
    """
    generator = make_generator(seed)
    images = [
        band_texture(
            orientation=None if bandwidth is None else float(generator.uniform(0, np.pi)),
            bandwidth=bandwidth or 1.0,
            random_state=generator,
        )
        for _ in range(setting.n_textures)
    ]
    return _movies(images, setting, setting.n_test, generator)


@lru_cache(maxsize=2)
def photograph_movies(setting: Setting, seed: int) -> tuple[Array, Array, Array, Array, int]:
    """Return movies of whitened photographs: left halves to learn from, right halves to test with.

    Parameters
    ----------
    setting : Setting
        Sizes.
    seed : int
        Seed.

    Returns
    -------
    tuple
        X and y to learn from; X and y to test with, blank movies left out; and how many
        photographs there are: scikit-learn's two, and eight of scikit-image where it is installed.
    """
    grey = [np.asarray(image).mean(axis=2) for image in load_sample_images().images]
    if importlib.util.find_spec("skimage"):
        data = importlib.import_module("skimage.data")
        loaded = [np.asarray(getattr(data, name)(), dtype=np.float64) for name in _PICTURES]
        grey += [image.mean(axis=2) if image.ndim == 3 else image for image in loaded]
    white = [whiten_image(image) for image in grey]
    left = [image[:, : image.shape[1] // 2] for image in white]
    right = [image[:, image.shape[1] // 2 :] for image in white]
    draw, draw_test = spawn_generators(seed, 2)
    X, y = _movies(left, setting, setting.n_train, draw)
    X_test, y_test = _movies(right, setting, 2 * setting.n_test, draw_test)
    lively = X_test.mean(axis=(1, 2, 3, 4)) >= _BLANK / 2
    return X, y, X_test[lively], y_test[lively], len(white)


def _movies(
    images: list[Array], setting: Setting, n: int, generator: np.random.Generator
) -> tuple[Array, Array]:
    movies = EventMovie(
        images,
        setting.n_directions,
        (1.0,),
        size=setting.size,
        duration=setting.duration,
        random_state=generator,
    )
    return movies.sample(n)[:2]
