"""The study of bricks: its smoke run, its texts, and without its model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed")

from activome.errors import MissingExtraError
from activome.studies._brick_texts import FUNCTIONS, texts_of
from activome.studies.bricks import run
from activome.studies.claims import Study


def test_smoke(tmp_path: Path, smollm2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activome.studies._brick_model._loaded", lambda: smollm2)
    study = Study("bricks", "smoke", tmp_path)
    run(study)
    measured = [claim for claim in study.claims if claim.holds is not None]
    assert len(measured) == 3
    assert all(claim.holds for claim in measured)
    assert study.figure_path.read_bytes().startswith(b"\x89PNG")


def test_without_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: Any) -> Any:
        raise MissingExtraError("no model here")

    monkeypatch.setattr("activome.studies._brick_model._loaded", absent)
    monkeypatch.setattr(
        "activome.studies._brick_operations.operations",
        lambda *_: {"grown": 0.0, "is_same": True},
    )
    study = Study("bricks", "smoke", tmp_path)
    run(study)
    assert sum(claim.note == "no model here" for claim in study.claims) == 9
    assert len(study.claims) == 17


def test_texts_differ_and_share_no_one_start() -> None:
    for function in FUNCTIONS:
        found = texts_of(function, 40, 0)
        assert len(set(found)) == 40
        assert found == texts_of(function, 45, 0)[:40]
        assert len({text.split()[0] for text in found}) >= 3, function
