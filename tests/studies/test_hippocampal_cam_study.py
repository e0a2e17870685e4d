"""The study of the hippocampal memory: its smoke size, and the authors' workbooks from a folder."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pytest

from activome.errors import ReadError
from activome.studies import hippocampal_cam
from activome.studies._cam_tables import _COLUMNS, read_workbook
from activome.studies.claims import Study
from activome.studies.runner import run_study


def test_smoke_runs_and_draws(tmp_path: Path) -> None:
    result = run_study("hippocampal-cam", "smoke", folder=tmp_path)
    held = {claim.name: claim.holds for claim in result.claims}
    assert all(value for name, value in held.items() if "recalls by" in name or "output" in name)
    assert sum(value is None for value in held.values()) == 1
    assert result.figure is not None
    assert result.figure.stat().st_size > 10_000


def write(path: Path, spikes: list[tuple[str, int, int]], n_steps: int) -> None:
    """Write spikes as the authors do: a row a step, the units of each population in a cell."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["TimeStamp (ms)", "INcue", "INcont", *_COLUMNS])
    for step in range(n_steps):
        cells = [[u for name, u, t in spikes if (name, t) == (p, step)] for p in _COLUMNS.values()]
        sheet.append([step, "-", "[1]", *(str(units) if units else "-" for units in cells)])
    path.parent.mkdir(parents=True)
    book.save(path)


def test_workbooks_of_the_hardware_are_compared_spike_by_spike(tmp_path: Path) -> None:
    spikes = sorted(hippocampal_cam._triples(hippocampal_cam._simulated(1)))
    for drop, n in ((0, 0), (3, 3)):
        folder = tmp_path / str(drop)
        write(folder / "results" / "1_learn" / "spikes.xlsx", spikes[drop:], 90)
        study = Study("hippocampal-cam", "smoke", folder, data=folder)
        hippocampal_cam._against_table(study, 1)
        assert study.claims[0].measured == n
        assert study.claims[0].holds is (n == 0)


def test_workbooks_of_another_form_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a" / "spikes.xlsx"
    write(path, [("Cond", 0, 1)], 3)
    assert read_workbook(path) == {("Cond", 0, 1)}
    book = openpyxl.load_workbook(path)
    book.active["G3"] = "0; 1"
    book.save(path)
    with pytest.raises(ReadError, match=r"'CA3contCond', 1 ms: a cell lists units"):
        read_workbook(path)
    book.active["G1"] = "Cond"
    book.save(path)
    with pytest.raises(ReadError, match="has a column 'CA3contCond'; found TimeStamp"):
        read_workbook(path)
