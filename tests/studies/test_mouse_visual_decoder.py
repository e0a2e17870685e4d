"""The study of the visual decoder: its smoke size."""

from __future__ import annotations

from pathlib import Path

import pytest

from activome.studies.runner import run_study

# Imported with the file: loading torch takes longer than training the networks of the smoke size.
pytest.importorskip("torch._dynamo", reason="torch is not installed")


def test_smoke(tmp_path: Path) -> None:
    result = run_study("mouse-visual-decoder", "smoke", folder=tmp_path)
    held = {claim.name: claim.holds for claim in result.claims}
    assert len(held) == 11
    assert all(held.values()), held
