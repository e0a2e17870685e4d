"""The study of FISBe scores: its smoke size."""

from __future__ import annotations

from pathlib import Path

import pytest

from activome.studies.runner import run_study

pytest.importorskip("skimage", reason="scikit-image is not installed")


def test_smoke(tmp_path: Path) -> None:
    result = run_study("fisbe", "smoke", folder=tmp_path)
    held = [claim.holds for claim in result.claims]
    assert held.count(True) == 12
    assert held.count(None) == 2
    assert (tmp_path / "fisbe-smoke.png").stat().st_size < 300_000
