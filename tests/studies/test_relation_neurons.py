"""The study of relation-specific neurons: its smoke run, and without its model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed")

from activome.errors import MissingExtraError
from activome.studies.claims import Study
from activome.studies.relation_neurons import run


def test_smoke(tmp_path: Path, smollm2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activome.studies._relation_model._loaded", lambda: smollm2)
    study = Study("relation-neurons", "smoke", tmp_path)
    run(study)
    measured = {claim.name: claim for claim in study.claims if claim.holds is not None}
    assert len(measured) == 4
    own = next(claim for name, claim in measured.items() if "own relation" in name)
    other = next(claim for name, claim in measured.items() if "other relations" in name)
    assert isinstance(own.measured, float)
    assert isinstance(other.measured, float)
    assert own.holds
    assert own.measured > 2 * other.measured
    assert study.figure_path.read_bytes().startswith(b"\x89PNG")


def test_without_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> Any:
        raise MissingExtraError("no model here")

    monkeypatch.setattr("activome.studies._relation_model._loaded", absent)
    study = Study("relation-neurons", "full", tmp_path)
    run(study)
    assert len(study.claims) == 8
    assert all(claim.holds is None and claim.note == "no model here" for claim in study.claims)
