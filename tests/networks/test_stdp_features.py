"""Features that spiking cells learn without labels: the network behind them, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from activome.errors import ActivityError, ParameterError
from activome.networks import STDPFeatures, SymmetricSTDPClassifier

Array = np.ndarray[Any, Any]
_QUICK: dict[str, Any] = {"duration": 100.0, "max_rate": 200.0}


def bars(n: int = 60) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % 2
    return np.repeat(np.eye(2), 15, axis=1)[y] * rng.uniform(0.5, 1.0, (n, 30)), y


def test_the_hidden_layer_is_that_of_the_classifier() -> None:
    X, y = bars()
    features = STDPFeatures(8, **_QUICK, random_state=3).fit(X)
    network = SymmetricSTDPClassifier(8, **_QUICK, training="layerwise", random_state=3).fit(X, y)
    # Trained layer by layer, the classifier learns its hidden weights first, and without a teacher.
    np.testing.assert_array_equal(features.components_, network.hidden_weights_.T)
    np.testing.assert_array_equal(features.transform(X), network.transform(X))
    np.testing.assert_allclose(features.components_.mean(axis=1), 0.1, rtol=0.2)


def test_counts_tell_classes_apart() -> None:
    X, y = bars()
    model = make_pipeline(STDPFeatures(8, **_QUICK), LogisticRegression()).fit(X[:40], y[:40])
    assert model.score(X[40:], y[40:]) > 0.9


def test_spikes_operations_and_labels() -> None:
    X, _ = bars()
    labelled = xr.DataArray(X, dims=("trial", "unit"), coords={"trial": np.arange(60) + 7})
    model = STDPFeatures(8, **_QUICK).fit(labelled)
    counts = model.transform(labelled)
    spikes = model.spikes(labelled)
    np.testing.assert_array_equal(spikes["hidden"].sum("time").values, counts.values)
    assert spikes["input"].trial.values[0] == counts.trial.values[0] == 7
    found = model.operations(labelled)
    per_unit = found.spikes_per_unit
    np.testing.assert_allclose(per_unit["hidden"], counts.values.mean(axis=0))
    wanted = per_unit["input"].sum() * 8 + per_unit["hidden"].sum()
    assert found.accumulate == pytest.approx(wanted + per_unit["inhibitory"].sum() * 7)
    assert found.steps == 200


def test_without_homeostasis_and_with_the_pair_rule() -> None:
    X, _ = bars()
    free = STDPFeatures(6, homeostasis=False, **_QUICK).fit(X)
    assert (free.theta_ <= 20.0).all()
    kept = STDPFeatures(6, **_QUICK).fit(X)
    assert (kept.theta_ > 20.0).any()
    paired = STDPFeatures(6, "pair", **_QUICK).fit(X)
    assert not np.array_equal(paired.components_, kept.components_)


def test_refusals() -> None:
    X, _ = bars()
    with pytest.raises(ActivityError, match=r"STDPFeatures.fit: inputs must be from 0 to 1"):
        STDPFeatures().fit(X * 3)
    X[4] = 0.0
    with pytest.raises(ActivityError, match="the first is image 4"):
        STDPFeatures().fit(X)
    X, _ = bars()
    with pytest.raises(ParameterError, match="n_features"):
        STDPFeatures(1).fit(X)
    with pytest.raises(ParameterError, match="unknown rule 'triplet'"):
        STDPFeatures(4, "triplet").fit(X)  # type: ignore[arg-type]
