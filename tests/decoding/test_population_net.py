"""The decoder of populations: planted classes, what it standardises by, transfer, refusals."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from activome.activity.schema import make
from activome.decoding.population_net import PopulationDecoder
from activome.errors import ActivityError, ParameterError

torch = pytest.importorskip("torch", reason="torch is not installed")
Array = np.ndarray[Any, Any]
SMALL: dict[str, Any] = {"embed": 8, "channels": (12,), "lr": 0.01}


def planted(n_units: int = 12, n_trials: int = 60, seed: int = 0) -> tuple[Array, Array]:
    """Return counts (trial, unit, time 8) with rates of 1 or 3 by class and unit, late only."""
    rng = np.random.default_rng(seed)
    labels = np.resize(["a", "b", "c"], n_trials)
    rates = rng.choice([1.0, 4.0], size=(3, n_units))
    of_trial = rates[np.unique(labels, return_inverse=True)[1]][:, :, np.newaxis]
    rate = np.where(np.arange(8) >= 3, of_trial, 2.0)
    return rng.poisson(rate), labels


def test_names_planted_classes_and_learns() -> None:
    counts, labels = planted()
    decoder = PopulationDecoder(**SMALL, max_epochs=40).fit(counts[:40], labels[:40])
    assert decoder.score(counts[40:], labels[40:]) >= 0.95
    assert decoder.classes_.tolist() == ["a", "b", "c"]
    chances = decoder.predict_proba(counts[40:])
    np.testing.assert_allclose(chances.sum(axis=1), 1.0)
    assert (decoder.classes_[chances.argmax(axis=1)] == decoder.predict(counts[40:])).all()
    # One value per pass and the first batch; the last is far below chance, log 3 nats.
    assert decoder.loss_curve_.size == 41
    assert decoder.loss_curve_[-1] < 0.3 < decoder.loss_curve_[0]


def test_forward_by_hand() -> None:
    counts, labels = planted(n_units=4)
    decoder = PopulationDecoder(embed=3, channels=(5,), max_epochs=2).fit(counts, labels)
    root = np.sqrt(counts.astype(float))
    mean, spread = root.mean(axis=(0, 2)), root.std(axis=(0, 2)) + 0.1
    np.testing.assert_allclose(decoder.mean_, mean)
    np.testing.assert_allclose(decoder.spread_, spread)
    x = (root - mean[:, None]) / spread[:, None]
    w = {name: values.astype(float) for name, values in decoder.weights_.items()}
    x = np.einsum("eu,kut->ket", w["readin.weight"][:, :, 0], x) + w["readin.bias"][:, None]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1)))
    kernel = w["trunk.0.weight"]
    hidden = sum(np.einsum("ce,ket->kct", kernel[:, :, k], padded[:, :, k : k + 8])
                 for k in range(3))  # fmt: skip
    features = np.maximum(hidden + w["trunk.0.bias"][:, None], 0.0).mean(axis=2)
    np.testing.assert_allclose(decoder.features(counts), features, rtol=1e-9)
    logits = features @ w["output.weight"].T + w["output.bias"]
    named = np.searchsorted(["a", "b", "c"], decoder.predict(counts))
    np.testing.assert_array_equal(logits.argmax(axis=1), named)


def test_test_trials_have_no_part_in_the_scale() -> None:
    counts, labels = planted()
    decoder = PopulationDecoder(**SMALL, max_epochs=3).fit(counts[:40], labels[:40])
    alone = decoder.predict_proba(counts[40:41])
    loud = counts[40:].copy()
    loud[1:] *= 100
    np.testing.assert_allclose(decoder.predict_proba(loud)[:1], alone, rtol=1e-12)


def test_new_readin_keeps_the_trunk() -> None:
    counts, labels = planted()
    other, other_labels = planted(n_units=20, seed=1)
    source = PopulationDecoder(**SMALL, max_epochs=40).fit(counts, labels)
    before = deepcopy(source.weights_)
    moved = deepcopy(source)
    assert moved.partial_readin_fit(other[:30], other_labels[:30], max_epochs=60) is moved
    for name, weights in moved.weights_.items():
        is_kept = not name.startswith("readin")
        assert (weights.shape == before[name].shape and (weights == before[name]).all()) == is_kept
    assert moved.n_features_in_ == 20
    assert moved.score(other[30:], other_labels[30:]) >= 0.9
    assert source.score(counts, labels) >= 0.95


def test_trunk_can_stay_as_it_was_drawn() -> None:
    counts, labels = planted()
    drawn = PopulationDecoder(**SMALL, max_epochs=0).fit(counts, labels)
    assert drawn.loss_curve_.size == 0
    again = PopulationDecoder(**SMALL, max_epochs=0).fit(counts, labels)
    for name, weights in drawn.weights_.items():
        np.testing.assert_array_equal(weights, again.weights_[name])


def test_noise_is_named_at_chance() -> None:
    rng = np.random.default_rng(0)
    counts, labels = rng.poisson(2.0, size=(150, 12, 8)), np.resize(["a", "b", "c"], 150)
    scores = []
    for seed in range(3):
        decoder = PopulationDecoder(**SMALL, max_epochs=15, random_state=seed)
        decoder.fit(counts[:75], labels[:75])
        scores.append(decoder.score(counts[75:], labels[75:]))
    # Three times 75 trials at 1/3: three standard deviations are 0.1.
    assert abs(np.mean(scores) - 1 / 3) < 0.1


def test_label_by_name_and_saving(tmp_path: Path) -> None:
    counts, labels = planted()
    activity = make(np.moveaxis(counts, 1, 2), coords={"kind_of": ("trial", labels)}, kind="spikes")
    named = PopulationDecoder(**SMALL, max_epochs=3).fit(activity, "kind_of")
    plain = PopulationDecoder(**SMALL, max_epochs=3).fit(counts, labels)
    np.testing.assert_array_equal(named.predict_proba(activity), plain.predict_proba(counts))
    assert named.score(activity, "kind_of") == plain.score(counts, labels)
    weights = np.arange(60.0)
    right = plain.predict(counts) == labels
    expected = (weights * right).sum() / weights.sum()
    assert plain.score(counts, labels, sample_weight=weights) == pytest.approx(expected)
    plain.save(tmp_path / "decoder.activome")
    loaded = PopulationDecoder.load(tmp_path / "decoder.activome")
    np.testing.assert_array_equal(loaded.features(counts), plain.features(counts))


def test_refusals() -> None:
    counts, labels = planted()
    negative = counts.copy()
    negative[3, 1, 5] = -2
    with pytest.raises(ActivityError, match=r"the lowest is -2, at trial 3, unit 1, time 5"):
        PopulationDecoder().fit(negative, labels)
    with pytest.raises(ActivityError, match="at least two classes; got 1"):
        PopulationDecoder().fit(counts, np.full(60, "a"))
    with pytest.raises(ParameterError, match="unknown count_transform 'log'"):
        PopulationDecoder(count_transform="log").fit(counts, labels)
    with pytest.raises(ParameterError, match="it must be odd"):
        PopulationDecoder(kernel=2, max_epochs=1).fit(counts, labels)
    with pytest.raises(ParameterError, match="max_epochs must be an integer at least 0"):
        PopulationDecoder(max_epochs=-1).fit(counts, labels)
    decoder = PopulationDecoder(**SMALL, max_epochs=1).fit(counts, labels)
    with pytest.raises(ActivityError, match="must have the 12 units of fit; got 11"):
        decoder.predict(counts[:, 1:])
    with pytest.raises(ActivityError, match=r"classes must be known from fit .* 'd' is not"):
        decoder.partial_readin_fit(counts, np.where(labels == "c", "d", labels))
    with pytest.raises(ActivityError, match=r"one label per trial \(60\)"):
        decoder.score(counts, labels[1:])
