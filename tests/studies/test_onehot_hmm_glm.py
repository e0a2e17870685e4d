"""The study of switching regressions: its data, its nulls and its smoke run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from activome.activity.schema import make
from activome.activity.store import write_store
from activome.errors import ReadError
from activome.studies._onehot_hmm_glm_data import NULLS, number_of_null, planted, recording
from activome.studies.claims import Study
from activome.studies.onehot_hmm_glm import run


def test_smoke(tmp_path: Path) -> None:
    study = Study("onehot-hmm-glm-smoke", "smoke", tmp_path)
    run(study)
    measured = [claim for claim in study.claims if claim.holds is not None]
    assert len(measured) == 4
    assert all(claim.holds for claim in measured)
    assert study.figure_path.read_bytes().startswith(b"\x89PNG")


def test_planted_states_share_signs() -> None:
    model = planted(0, 3, 20)
    signs = np.sign(model.weights_)
    agree = (signs[0] == signs[1]).mean()
    shuffled = (signs[0] == signs[1].T).mean()
    assert agree > shuffled + 0.05
    assert np.abs(model.weights_).max() <= np.log(4)
    np.testing.assert_allclose(model.transition_.sum(axis=1), 1.0)
    assert planted(0, 1, 6).transition_.tolist() == [[1.0]]


@pytest.mark.parametrize("kind", NULLS)
def test_nulls_run(kind: str) -> None:
    assert number_of_null(kind, 0) == 1


def test_recordings(tmp_path: Path) -> None:
    blocks = recording("motor cortex", "")
    assert (len(blocks), blocks[0].shape) == (15, (1000, 20))
    assert max(block.max() for block in blocks) == 2.0
    counts = np.random.default_rng(0).poisson(0.3, (6500, 4))
    write_store(make(counts, sampling_rate=20.0, kind="spikes"), tmp_path / "own.zarr")
    own = recording("own", str(tmp_path / "own.zarr"))
    assert (len(own), own[0].shape) == (6, (1000, 4))
    np.testing.assert_array_equal(own[0], np.minimum(counts[:1000], 2))
    write_store(make(counts[:900], sampling_rate=20.0, kind="spikes"), tmp_path / "short.zarr")
    with pytest.raises(ReadError, match=r"3 units with 0\.1 to 0\.6 spikes per bin and 6,000"):
        recording("own", str(tmp_path / "short.zarr"))
