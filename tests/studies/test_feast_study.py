"""The study of features of event streams: its smoke size."""

from __future__ import annotations

from pathlib import Path

from activome.studies.runner import run_study


def test_smoke_runs_and_draws(tmp_path: Path) -> None:
    result = run_study("feast", "smoke", folder=tmp_path)
    assert all(claim.holds for claim in result.claims), result.claims
    assert result.figure is not None
    assert result.figure.stat().st_size > 10_000
