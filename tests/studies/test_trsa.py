"""The study of topology and geometry: its smoke size, shapes, and areas from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from activome.errors import ReadError
from activome.studies import trsa
from activome.studies._trsa_data import AREAS_FILE, SHAPES, load_areas, shape_points
from activome.studies.claims import Study
from activome.studies.runner import run_study

# Imported with the file: loading torch takes longer than training the networks of the smoke size.
pytest.importorskip("torch._dynamo", reason="torch is not installed")


def test_smoke_runs_and_draws(tmp_path: Path) -> None:
    result = run_study("trsa", "smoke", folder=tmp_path)
    held = {claim.name: claim.holds for claim in result.claims}
    assert all(value for name, value in held.items() if name.startswith(("human", "distorted")))
    assert sum(value is None for value in held.values()) == 1
    assert result.figure is not None
    assert result.figure.stat().st_size > 10_000


def test_shapes_are_centred_and_of_one_size() -> None:
    for name in SHAPES:
        points = shape_points(name)
        assert points.shape == (50, 3)
        np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-12)
        assert (points**2).sum(axis=1).mean() == pytest.approx(1.0)
        assert pdist(points).min() > 0


def test_areas_are_read_from_a_folder(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    truth = generator.random((4, 66))
    rdms = np.concatenate([truth + 0.2 * generator.random((4, 66)) for _ in range(5)])
    region, subject = np.tile(["V1", "V2", "FFA", "PPA"], 5), np.repeat(np.arange(5), 4)
    np.savez(tmp_path / AREAS_FILE, rdms=rdms, region=region, subject=subject)
    study = Study("trsa", "smoke", tmp_path, data=tmp_path)
    trsa._claim_areas(study)
    assert study.claims[0].holds
    assert "topology 1.000" in study.notes[0]


def test_absent_and_damaged_areas(tmp_path: Path) -> None:
    study = Study("trsa", "smoke", tmp_path, data=tmp_path)
    trsa._claim_areas(study)
    assert study.claims[0].holds is None
    assert AREAS_FILE in study.claims[0].note
    (tmp_path / AREAS_FILE).write_bytes(b"nothing")
    with pytest.raises(ReadError, match="npz file with the arrays"):
        load_areas(tmp_path / AREAS_FILE)
    np.savez(tmp_path / AREAS_FILE, rdms=np.ones((2, 3)))
    with pytest.raises(ReadError, match="'region'"):
        load_areas(tmp_path / AREAS_FILE)
