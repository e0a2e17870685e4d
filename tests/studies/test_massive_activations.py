"""The study of massive activations: its data, its rival curve and its smoke run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

from activome.errors import MissingExtraError
from activome.studies._massive_training import (
    N_SYMBOLS,
    backcopy_sequences,
    manual_windows,
    step_aic,
)
from activome.studies.claims import Study
from activome.studies.massive_activations import run


def test_smoke_without_a_language_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: Any) -> Any:
        raise MissingExtraError("no model here")

    monkeypatch.setattr("activome.studies._massive_model.measure", absent)
    study = Study("massive-smoke", "smoke", tmp_path)
    run(study)
    measured = [claim for claim in study.claims if claim.holds is not None]
    assert len(measured) == 6
    assert all(claim.holds for claim in measured)
    assert sum(claim.note == "no model here" for claim in study.claims) == 5
    assert study.figure_path.read_bytes().startswith(b"\x89PNG")


def test_backcopies_are_as_said() -> None:
    ids = backcopy_sequences(0, 400)
    assert ids.shape == (400, 65)
    assert (ids[:, 0] == N_SYMBOLS).all()
    assert ids[:, 1:].max() < N_SYMBOLS
    before, last, after = ids[:, 1:-2], ids[:, 2:-1], ids[:, 3:]
    copies = last < 6
    assert (after[copies] == before[copies]).all()
    # Elsewhere the table decides: few symbols follow each symbol often.
    follow = np.zeros((N_SYMBOLS, N_SYMBOLS))
    np.add.at(follow, (last[~copies], after[~copies]), 1)
    share = np.sort(follow[6:], axis=1)[:, -10:].sum(axis=1) / follow[6:].sum(axis=1)
    assert share[follow[6:].sum(axis=1) > 50].mean() > 0.9
    np.testing.assert_array_equal(backcopy_sequences(0, 400), ids)


def test_windows_are_text_after_a_start_token() -> None:
    ids = manual_windows(0, 50)
    assert ids.shape == (50, 65)
    assert (ids[:, 0] == 256).all()
    assert (ids[:, 1:] < 256).all()
    assert np.mean(ids[:, 1:] == ord(" ")) > 0.1


def test_a_step_by_hand() -> None:
    t = np.linspace(0, 100, 41)
    rng = np.random.default_rng(0)
    y = 2 + 5 * (1 - np.exp(-t / 12)) + 0.05 * rng.normal(size=41)
    aic, r2 = step_aic(t, y)
    sse = (1 - r2) * ((y - y.mean()) ** 2).sum()
    assert aic == pytest.approx(41 * np.log(sse / 41) + 6)
    assert sse == pytest.approx(41 * 0.05**2, rel=0.4)
