"""What the symmetric STDP classifier accepts: its parameters, images and labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils.validation import _check_feature_names

from activome._checks import check_choice, check_finite, check_integer, check_number
from activome.errors import ActivityError, ParameterError

__all__ = [
    "check_classes",
    "check_parameters",
    "check_unchanged",
    "index_of",
    "read_chance",
    "read_labels",
]

Array = np.ndarray[Any, Any]
_OWNER = "SymmetricSTDPClassifier"


def check_parameters(model: Any) -> None:
    """Refuse parameters outside their range."""
    for name in ("n_hidden", "n_epochs", "n_jobs"):
        check_integer(getattr(model, name), name=name, owner=_OWNER, low=1)
    for name in ("max_rate", "tau_theta", "max_input"):
        check_number(getattr(model, name), name=name, owner=_OWNER, low=0.0)
    for name in ("rest", "eta_hidden", "eta_class", "theta_plus"):
        check_number(getattr(model, name), name=name, owner=_OWNER, low=0.0, include_low=True)
    check_number(model.dt, name="dt", owner=_OWNER, low=0.0, high=1.0, include_high=True)
    check_number(model.duration, name="duration", owner=_OWNER, low=model.dt, include_low=True)
    for name in ("duration", "rest"):
        steps = getattr(model, name) / model.dt
        if abs(steps - round(steps)) > 1e-6 * max(1.0, steps):
            raise ParameterError(
                f"{_OWNER}: {name} must be a whole number of steps of dt; got "
                f"{getattr(model, name):g} ms and {model.dt:g} ms. Change one of them."
            )
    check_number(model.v_threshold, name="v_threshold", owner=_OWNER, low=-65.0)
    if model.scaling is not None:
        check_number(model.scaling, name="scaling", owner=_OWNER, low=0.0, high=1.0)
    if model.input_sum is not None:
        check_number(model.input_sum, name="input_sum", owner=_OWNER, low=0.0)
    check_choice(model.rule, ("symmetric", "asymmetric"), name="rule", owner=_OWNER)
    check_choice(model.training, ("simultaneous", "layerwise"), name="training", owner=_OWNER)


def read_chance(model: Any, X: ArrayLike, method: str) -> Array:
    """Return the chance of a spike per step of every pixel; all but "fit" keep the inputs."""
    owner = f"{_OWNER}.{method.removeprefix('warm ')}"
    try:
        pixels = np.asarray(X)
    except ValueError:
        raise ActivityError(
            f"{owner}: images must have one number of inputs; rows differ. Pad or drop them."
        ) from None
    if pixels.ndim != 2 or pixels.dtype.kind not in "biuf" or not pixels.size:
        raise ActivityError(
            f"{owner}: images must be numbers of shape (n_images, n_inputs); got "
            f"{pixels.dtype} of shape {pixels.shape}."
        )
    pixels = pixels.astype(np.float64)
    check_finite(pixels, owner=owner, axes=("image", "input"), what="pixels", cure="Drop it.")
    if pixels.min() < 0 or pixels.max() > model.max_input:
        raise ActivityError(
            f"{owner}: pixels must be from 0 to max_input = {model.max_input:g}; they run from "
            f"{pixels.min():g} to {pixels.max():g}. Set max_input, or rescale them."
        )
    known = getattr(model, "n_features_in_", None) if method != "fit" else None
    if known is not None and pixels.shape[1] != known:
        raise ActivityError(
            f"{owner}: images must have the {known} inputs of fit; got {pixels.shape[1]}."
        )
    _check_feature_names(model, X, reset=known is None)
    is_dark = ~pixels.any(axis=1)
    if is_dark.any():
        listed = ", ".join(map(str, np.flatnonzero(is_dark)[:10].tolist()))
        raise ActivityError(
            f"{owner}: every image must have a pixel above 0, or no cell will ever fire; dark are "
            f"{int(is_dark.sum())}: {listed}. Drop them."
        )
    if model.input_sum is not None:
        pixels *= model.input_sum * model.max_input / pixels.sum(axis=1, keepdims=True)
    chance: Array = pixels * (model.max_rate * model.dt * 1e-3 / model.max_input)
    if chance.max() > 1.0:
        raise ParameterError(
            f"{owner}: max_rate dt must give at most one spike per step; the brightest pixel has "
            f"{chance.max():g}. Lower max_rate, dt or input_sum."
        )
    return chance


def read_labels(y: ArrayLike, n: int, method: str) -> Array:
    """Return one label per image."""
    labels = np.asarray(y)
    if labels.shape != (n,):
        raise ActivityError(
            f"{_OWNER}.{method}: y must be one label per image ({n}); got shape {labels.shape}."
        )
    missing = pd.isna(labels)
    if missing.any():
        raise ActivityError(
            f"{_OWNER}.{method}: every image must have a label; {int(missing.sum())} have none, "
            f"the first is image {int(missing.argmax())}. Drop them."
        )
    return labels


def index_of(labels: Array, classes: Array, method: str) -> Array:
    """Return the place of each label among the sorted classes."""
    index = np.minimum(np.searchsorted(classes, labels), classes.size - 1)
    is_new = classes[index] != labels
    if is_new.any():
        raise ActivityError(
            f"{_OWNER}.{method}: labels must be among those of the first call, "
            f"{classes.tolist()}; got {labels[is_new][0]}. Give all of them as classes then."
        )
    return index


def check_unchanged(model: Any, classes: ArrayLike | None, method: str) -> None:
    """Refuse other sizes or classes than those of the first call, when learning goes on."""
    fitted = model.hidden_weights_.shape[1]
    if model.n_hidden != fitted:
        raise ParameterError(
            f"{_OWNER}.{method}: n_hidden must stay {fitted} to go on; got {model.n_hidden}. Set "
            "it back, or fit anew."
        )
    if classes is not None and not np.array_equal(np.unique(np.asarray(classes)), model.classes_):
        raise ActivityError(
            f"{_OWNER}.{method}: classes must be those of the first call, "
            f"{model.classes_.tolist()}. Leave them out."
        )


def check_classes(model: Any, classes: Array) -> None:
    """Refuse one class only, and more classes than hidden cells."""
    if classes.size < 2:
        raise ActivityError(f"{_OWNER}.fit: needs at least two classes; got {classes.size}.")
    if model.n_hidden < classes.size:
        raise ParameterError(
            f"{_OWNER}: n_hidden must be at least the number of classes, {classes.size}; got "
            f"{model.n_hidden}."
        )
