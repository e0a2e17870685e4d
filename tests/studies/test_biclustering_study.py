"""The study of bi-clustering: its data and its smoke run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from activome.studies._biclustering_data import planted_counts, unrelated_counts
from activome.studies._biclustering_mixing import with_true_parameters
from activome.studies.biclustering import constant_rates, run
from activome.studies.claims import Study


def test_smoke(tmp_path: Path) -> None:
    study = Study("biclustering-smoke", "smoke", tmp_path)
    run(study)
    measured = [claim for claim in study.claims if claim.holds is not None]
    assert len(measured) == 1
    assert all(claim.holds for claim in measured), measured
    assert study.figure_path.read_bytes().startswith(b"\x89PNG")


def test_planted_counts_are_as_said() -> None:
    data = planted_counts(0)
    assert data.counts.shape == (500, 30)
    assert np.bincount(data.clusters).tolist() == [10, 10, 10]
    assert (np.bincount(data.states) > 50).all()
    radius = np.abs(np.linalg.eigvals(data.laws[:, 1]))
    np.testing.assert_allclose(radius, 1.01)
    np.testing.assert_array_equal(data.counts, planted_counts(0).counts)


@pytest.mark.parametrize("kind", ["poisson", "overdispersed"])
def test_unrelated_counts_are_unrelated(kind: str) -> None:
    pairs = np.concatenate(
        [
            np.atleast_2d(np.corrcoef(unrelated_counts(kind, seed).T))[np.triu_indices(12, 1)]
            for seed in range(20)
        ]
    )
    assert abs(pairs.mean()) < 4 * pairs.std() / np.sqrt(pairs.size)
    spread = unrelated_counts(kind, 0, n_times=4000)
    ratio = spread.var(axis=0) / spread.mean(axis=0)
    assert (ratio.mean() > 1.2) == (kind == "overdispersed")


def test_constant_rates_by_hand() -> None:
    counts = np.random.default_rng(0).poisson(2.0, (4000, 3)).astype(float)
    # The entropy of a Poisson count of mean 2 is 1.7049 nats.
    assert constant_rates(counts, 0.2, 0) == pytest.approx(-1.7049, abs=0.03)


def test_block_moves_find_states_that_alternating_draws_miss() -> None:
    found = with_true_parameters(0, {"n_clusters": 3, "n_each": 10, "n_times": 240}, 60)
    assert found["block"] > found["alternating"] + 0.3
