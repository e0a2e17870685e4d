"""The study of sparse codes read by dendrites: its smoke size, and its simulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from activome.networks import overlap_pmf
from activome.studies._dendrite_simulation import overlap_counts, union_matches
from activome.studies.runner import run_study


def test_smoke_runs_and_draws(tmp_path: Path) -> None:
    result = run_study("sparse-dendrites", "smoke", folder=tmp_path)
    assert [claim.holds for claim in result.claims] == [True, True]
    assert result.figure is not None
    assert result.figure.stat().st_size > 10_000


def test_drawn_patterns_follow_the_law() -> None:
    counts = overlap_counts(12, 5, 4, 40_000, 0)
    np.testing.assert_allclose(counts / 40_000, overlap_pmf(12, 5, 4), atol=0.01)
    assert overlap_counts(6, 6, 3, 10, 0).tolist() == [0, 0, 0, 10]


def test_a_union_of_everything_always_matches() -> None:
    assert union_matches(8, 4, 8, 4, 2, 3, 5, 0) == (1.0, 0.0)
