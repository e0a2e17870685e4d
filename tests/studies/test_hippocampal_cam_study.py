"""The study of the hippocampal memory: its smoke size, and the authors' tables from a folder."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from activome.studies import hippocampal_cam
from activome.studies.claims import Study
from activome.studies.runner import run_study


def test_smoke_runs_and_draws(tmp_path: Path) -> None:
    result = run_study("hippocampal-cam", "smoke", folder=tmp_path)
    held = {claim.name: claim.holds for claim in result.claims}
    assert all(value for name, value in held.items() if "recalls by" in name or "output" in name)
    assert sum(value is None for value in held.values()) == 1
    assert result.figure is not None
    assert result.figure.stat().st_size > 10_000


def test_tables_of_the_hardware_are_compared_spike_by_spike(tmp_path: Path) -> None:
    spikes = sorted(hippocampal_cam._triples(hippocampal_cam._simulated(1)))
    table = pd.DataFrame(spikes, columns=["population", "unit", "time_ms"])
    for drop, n in ((0, 0), (3, 3)):
        folder = tmp_path / str(drop)
        folder.mkdir()
        table.iloc[drop:].to_csv(folder / "hippocampal_cam_1.csv", index=False)
        study = Study("hippocampal-cam", "smoke", folder, data=folder)
        hippocampal_cam._against_table(study, 1)
        assert study.claims[0].measured == n
        assert study.claims[0].holds is (n == 0)
