"""Curve parameters from the architecture: how early, how large, before training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Lasso, Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, LeaveOneGroupOut
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, StandardScaler

from activome._checks import check_choice, check_finite
from activome._random import RandomState, integer_seed
from activome.errors import ActivityError

__all__ = ["CurvePrediction", "predict_curve_params"]

Array = np.ndarray[Any, Any]
_COLUMNS = ("layer", "n_layers", "n_heads", "d_model", "mlp_ratio")
_MODELS: dict[str, Callable[[int], Any]] = {
    "forest": lambda seed: RandomForestRegressor(100, random_state=seed),
    "boosting": lambda seed: GradientBoostingRegressor(random_state=seed),
    "ridge": lambda seed: make_pipeline(StandardScaler(), Ridge(1.0)),
    "lasso": lambda seed: make_pipeline(StandardScaler(), Lasso(0.01, max_iter=10_000)),
}


@dataclass(frozen=True)
class CurvePrediction:
    """Models of curve parameters, and how they do on architectures they have not seen.

    Attributes
    ----------
    r2 : mapping of str to float
        Share of the variance of each parameter that held-out predictions explain, in its own
        units; negative where the mean would do better.
    held_out : pandas.DataFrame
        Held-out prediction of each parameter, one row per layer.
    models : mapping of str to object
        Regressors fitted to all rows.
    """

    r2: Mapping[str, float]
    held_out: pd.DataFrame
    models: Mapping[str, Any]

    def predict(self, architectures: pd.DataFrame) -> pd.DataFrame:
        """Predict curve parameters of layers.

        Parameters
        ----------
        architectures : pandas.DataFrame
            As in ``predict_curve_params``.

        Returns
        -------
        pandas.DataFrame
            One column per parameter.

        Raises
        ------
        ActivityError
            If a column is missing.
        """
        features = _features(architectures)
        found = {name: model.predict(features) for name, model in self.models.items()}
        return pd.DataFrame(found, index=architectures.index)


def predict_curve_params(
    architectures: pd.DataFrame,
    params: pd.DataFrame,
    *,
    model: str = "forest",
    groups: Any = None,
    random_state: RandomState = 0,
) -> CurvePrediction:
    """Learn to predict the parameters of emergence curves from the architecture.

    Parameters
    ----------
    architectures : pandas.DataFrame
        One row per layer: "layer" (from 0), "n_layers", "n_heads", "d_model" and "mlp_ratio".
    params : pandas.DataFrame
        Parameters of its curve, such as columns "A", "lam", "gamma", "t0" and "K". "K" is brought
        near a normal distribution by a Yeo-Johnson transform; others, which must not be below 0,
        are taken as log(1 + value).
    model : {"forest", "boosting", "ridge", "lasso"}, default="forest"
        Regressor.
    groups : array-like, optional
        Architecture of each row: then whole architectures are held out. By default five folds of
        shuffled rows, in which layers of one network are on both sides.
    random_state : int, numpy.random.Generator or None, default=0
        Seed of folds and forests.

    Returns
    -------
    CurvePrediction
        Held-out scores, predictions, and models of all rows.

    Raises
    ------
    ParameterError
        If the model is unknown.
    ActivityError
        If columns are missing, rows differ in number or are fewer than 10, values are not finite or
        below 0 where a logarithm is taken, or there are fewer than two groups.

    Notes
    -----
    Features are the depth l / L with its square root, square and cube, heads per width, heads per
    layer, width per layer, the ratio of the MLP, the logarithm of the width, and l L. Whole
    networks should be held out: layers of one network are near copies of each other.

    References
    ----------
    .. [1] J. Gallego-Feliciano, S. A. McClendon, J. Morinelli, S. Zervoudakis and A. Saravanos,
       "Hidden dynamics of massive activations in transformer training", 2025.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> grid = [(l, n, 2, d, 4.0) for n in (4, 6, 8) for d in (32, 64) for l in range(n)]
    >>> names = ["layer", "n_layers", "n_heads", "d_model", "mlp_ratio"]
    >>> layers = pd.DataFrame(grid, columns=names)
    >>> level = pd.DataFrame({"K": 3 + 2 * layers.layer / layers.n_layers})
    >>> predict_curve_params(layers, level).r2["K"] > 0.9
    True
    """
    owner = "predict_curve_params"
    check_choice(model, _MODELS, name="model", owner=owner)
    features = _features(architectures)
    if len(params) != len(features) or len(features) < 10:
        raise ActivityError(
            f"{owner}: needs at least 10 rows, and as many of parameters; got {len(features)} and "
            f"{len(params)}."
        )
    targets = {str(name): np.asarray(params[name], dtype=np.float64) for name in params.columns}
    for name, values in targets.items():
        check_finite(values, owner=owner, axes=("row",), what=f"parameter {name}")
        if name != "K" and (values < 0).any():
            raise ActivityError(
                f"{owner}: {name} must not be below 0; row {int(np.argmax(values < 0))} is "
                f"{values.min():g}. Leave out layers whose curve does not fit."
            )
    seed = integer_seed(random_state)
    folds = _folds(features, groups, seed, owner)
    r2, held_out, models = {}, {}, {}
    for name, values in targets.items():
        regressor = _regressor(name, _MODELS[model](seed))
        found = np.empty_like(values)
        for train, test in folds:
            found[test] = (
                clone(regressor).fit(features[train], values[train]).predict(features[test])
            )
        held_out[name] = found
        r2[name] = float(r2_score(values, found))
        models[name] = regressor.fit(features, values)
    return CurvePrediction(r2, pd.DataFrame(held_out, index=params.index), models)


def _folds(features: Array, groups: Any, seed: int, owner: str) -> list[tuple[Array, Array]]:
    if groups is None:
        return list(KFold(5, shuffle=True, random_state=seed).split(features))
    labels = np.asarray(groups)
    if len(labels) != len(features) or len(np.unique(labels)) < 2:
        raise ActivityError(
            f"{owner}: groups must have one entry for each of the {len(features)} rows, of at "
            f"least two kinds; got {len(labels)} of {len(np.unique(labels))}."
        )
    return list(LeaveOneGroupOut().split(features, groups=labels))


def _regressor(name: str, model: Any) -> TransformedTargetRegressor:
    if name == "K":
        return TransformedTargetRegressor(model, transformer=PowerTransformer())
    return TransformedTargetRegressor(model, func=np.log1p, inverse_func=np.expm1)


def _features(architectures: pd.DataFrame) -> Array:
    missing = [name for name in _COLUMNS if name not in architectures.columns]
    if missing:
        raise ActivityError(
            f"predict_curve_params: architectures must have the columns {', '.join(_COLUMNS)}; "
            f"{missing[0]} is missing."
        )
    layer, depth, heads, width, ratio = (
        np.asarray(architectures[name], dtype=np.float64) for name in _COLUMNS
    )
    share = (layer + 1) / depth
    return np.stack(
        [
            share,
            np.sqrt(share),
            share**2,
            share**3,
            heads / width,
            heads / depth,
            width / depth,
            ratio,
            np.log(width),
            (layer + 1) * depth,
        ],
        axis=1,
    )
