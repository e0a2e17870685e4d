from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from activome.studies.celegans_homogenized import invented_laboratories, run
from activome.studies.claims import Study


def test_smoke_without_the_optional_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cect", None)
    study = Study("celegans-homogenized-smoke", "smoke", tmp_path)
    run(study)
    claims = {claim.name: claim for claim in study.claims}
    measured = [claim for name, claim in claims.items() if name.startswith("A:")]
    assert len(measured) == 4
    assert all(claim.holds for claim in measured)
    missing = [claim for name, claim in claims.items() if name.startswith("B:")]
    assert missing
    assert all(claim.holds is None and "cect" in claim.note for claim in missing)
    assert study.figure_path.read_bytes().startswith(b"\x89PNG")


def test_every_claim_of_the_full_size_is_named_where_packages_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cect", None)
    study = Study("celegans-homogenized", "full", tmp_path)
    run(study)
    words = " ".join(claim.name for claim in study.claims if claim.holds is None)
    for word in ("Jaccard", "Varshney", "White left out", "Witvliet 7 left out", "gap-coupled"):
        assert word in words


def test_the_laboratories_differ_as_said() -> None:
    recordings = invented_laboratories(0)
    steps = [np.median(np.diff(recording["time"])) for recording in recordings]
    np.testing.assert_allclose(steps, [0.17, 0.17, 0.34, 0.34, 0.6, 0.6], rtol=0.02)
    assert all((np.diff(recording["time"]) > 0).all() for recording in recordings)
    assert all(recording["traces"].shape[1] == 36 for recording in recordings)
    scales = [recording["traces"].std() for recording in recordings]
    assert scales[2] / scales[0] > 500
    assert scales[0] / scales[4] > 1.5
    again = invented_laboratories(0)
    np.testing.assert_array_equal(recordings[3]["traces"], again[3]["traces"])
