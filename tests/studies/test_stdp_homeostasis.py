"""The study of the spatial pattern detector: its smoke run and its data."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from activome.studies._stdp_homeostasis_data import packets, pairs, tolerated
from activome.studies.claims import Study
from activome.studies.stdp_homeostasis import run


def test_smoke(tmp_path: Path) -> None:
    study = Study("stdp-homeostasis", "smoke", tmp_path)
    run(study)
    # Eight pairs per distance: only the figures against the closed form's are too coarse.
    held = {claim.name: claim.holds for claim in study.claims if "relative" not in claim.name}
    assert len(held) == 15
    assert all(held.values()), held
    assert study.figure_path.read_bytes().startswith(b"\x89PNG")


def test_data() -> None:
    found = pairs(0, 20, 10, 5, 6)
    assert (found.sum(axis=2) == 5).all()
    assert ((found[:, 0] != found[:, 1]).sum(axis=1) == 6).all()
    assert tolerated(np.array([2, 5, 10]), 1.3).tolist() == [0, 1, 2]
    wanted, is_fixed, bits, label = packets(0, 40, 4)
    assert (is_fixed.sum(axis=1) == 24).all()
    mine = label >= 0
    assert mine.sum() == 20
    assert (bits[mine] & is_fixed[label[mine]] == wanted[label[mine]]).all()
    assert not wanted[~is_fixed].any()
