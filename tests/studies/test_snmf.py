"""The study of semi-nonnegative factorisation: its data, its measures and its smoke run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from activome.studies import _snmf_model_claims
from activome.studies._snmf_data import exact_factors, neural_recording, unrelated_units, within
from activome.studies.claims import Study
from activome.studies.snmf import run


def test_smoke(tmp_path: Path, smollm2: Any) -> None:
    study = Study("snmf-smoke", "smoke", tmp_path)
    run(study)
    measured = [claim for claim in study.claims if claim.holds is not None]
    assert len(measured) == 13
    # Whether features of a few words steer further than those of a rival is chance.
    assert [c.name for c in measured if not c.holds and "steering" not in c.name] == []
    assert study.figure_path.read_bytes().startswith(b"\x89PNG")


def test_without_the_model_the_other_claims_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = SimpleNamespace(is_installed=False, command="pip install it")
    monkeypatch.setattr(_snmf_model_claims, "ASSETS", {"smollm2": absent})
    study = Study("snmf-smoke", "smoke", tmp_path)
    assert _snmf_model_claims.language_model_claims(study) == {}
    assert [claim.holds for claim in study.claims] == [None] * 7
    assert all("pip install it" in claim.note for claim in study.claims)


def test_planted_data_are_as_said() -> None:
    activity, features = exact_factors(0)
    assert activity.shape == (2000, 200)
    assert (np.count_nonzero(features, axis=1) == 10).all()
    noisy, ensembles = neural_recording(0)
    assert noisy.shape == (3000, 80)
    np.testing.assert_allclose(noisy.std(axis=0), 1.0)
    np.testing.assert_allclose(noisy.mean(axis=0), 0.0, atol=1e-12)
    assert (np.count_nonzero(ensembles, axis=1) == 15).all()
    again, _ = neural_recording(0)
    np.testing.assert_array_equal(again, noisy)
    assert (np.count_nonzero(ensembles, axis=0) > 1).any()


@pytest.mark.parametrize("kind", ["poisson", "slow", "heavy"])
def test_unrelated_units_are_unrelated(kind: str) -> None:
    pairs = []
    for seed in range(40):
        ranks = unrelated_units(kind, seed, n_units=4).argsort(axis=0).argsort(axis=0)
        pairs.append(np.atleast_2d(np.corrcoef(ranks.T))[np.triu_indices(4, 1)])
    values = np.concatenate(pairs)
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(values.size)


def test_the_measure_by_hand() -> None:
    truth = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    found = np.array([[0.0, 0.0, 2.0, 0.0], [3.0, 0.0, 0.0, 3.0]])
    cosine, f1 = within(truth, found, 2)
    np.testing.assert_allclose(cosine, [0.5, 1.0])
    assert f1 == pytest.approx((0.5 + 1.0) / 2)
