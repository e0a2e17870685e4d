"""NWB files against pynwb and pynapple."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pynapple
import pynwb
import pytest
from damage import spikes, voltage

from activome.activity.events import Events
from activome.activity.readers import load, read_nwb, read_trials, save
from activome.activity.schema import make
from activome.errors import ActivityError, ParameterError, ReadError


def test_units_come_back_and_pynapple_reads_them(tmp_path: Path) -> None:
    data, path = spikes(), tmp_path / "units.nwb"
    save(data, path)
    back = load(path)
    assert isinstance(back, Events)
    np.testing.assert_array_equal(back.t, data.t)
    np.testing.assert_array_equal(back.unit, data.unit)
    assert (back.start, back.stop) == (data.start, data.stop)
    assert back.unit_table["region"].tolist() == data.unit_table["region"].tolist()
    file = pynapple.load_file(str(path))
    try:
        group = file["units"]
        for i in range(data.n_units):
            np.testing.assert_allclose(group[i].t, data.time[data.unit == i], atol=1e-9)
    finally:
        file.close()


def test_voltages_and_calcium_come_back_with_their_tables(tmp_path: Path) -> None:
    data = voltage().drop_vars("event").assign_coords(region=("unit", ["M1", "M1", "S1"]))
    save(data, tmp_path / "v.nwb")
    back = load(tmp_path / "v.nwb")
    assert not isinstance(back, Events)
    np.testing.assert_array_equal(back.values, data.values)
    assert back["unit"].values.tolist() == ["C0", "C1", "C2"]
    assert back["location"].values.tolist() == ["M1", "M1", "S1"]
    with pynwb.NWBHDF5IO(str(tmp_path / "v.nwb"), mode="r") as io:
        series = io.read().acquisition["activity"]
        assert isinstance(series, pynwb.ecephys.ElectricalSeries)
        np.testing.assert_array_equal(series.data[:] * series.conversion, data.values)
    traces = make(
        np.random.default_rng(0).random((20, 2)), sampling_rate=5.0, kind="calcium", units="dF/F",
        unit=["a", "b"], coords={"x": ("unit", [3.0, 7.0]), "y": ("unit", [1.0, 2.0])},
    )  # fmt: skip
    save(traces, tmp_path / "c.nwb")
    again = load(tmp_path / "c.nwb")
    assert not isinstance(again, Events)
    assert (again.attrs["kind"], again.attrs["units"]) == ("calcium", "dF/F")
    assert again["x"].values.tolist() == [3.0, 7.0]
    assert again["unit"].values.tolist() == ["a", "b"]


def _foreign(path: Path) -> None:
    """A file as another lab writes it: scaled integers, offset, two series, trials."""
    file = pynwb.NWBFile("a session", "x1", datetime(2020, 1, 1, tzinfo=UTC))
    device = file.create_device("probe")
    group = file.create_electrode_group("g", description="-", location="V1", device=device)
    for _ in range(3):
        file.add_electrode(group=group, location="V1")
    region = file.create_electrode_table_region([0, 2], "two of three")
    counts = np.arange(200, dtype=np.int16).reshape(100, 2)
    file.add_acquisition(
        pynwb.ecephys.ElectricalSeries(
            name="lfp", data=counts, electrodes=region, rate=50.0, starting_time=2.0,
            conversion=1e-6, offset=1e-3,
            channel_conversion=[1.0, 2.0],
        )
    )  # fmt: skip
    file.add_acquisition(pynwb.TimeSeries(name="speed", data=np.ones(7), unit="m/s", rate=1.0))
    file.add_trial_column("side", "-")
    for start, side in ((2.5, "left"), (3.0, "right"), (3.2, "left")):
        file.add_trial(start_time=start, stop_time=start + 0.1, side=side)
    with pynwb.NWBHDF5IO(str(path), mode="w") as io:
        io.write(file)


def test_conversion_offset_and_trials_of_a_foreign_file(tmp_path: Path) -> None:
    path = tmp_path / "foreign.nwb"
    _foreign(path)
    lfp = load(path)
    assert not isinstance(lfp, Events)
    counts = np.arange(200).reshape(100, 2)
    np.testing.assert_allclose(lfp.values, counts * [1e-6, 2e-6] + 1e-3, rtol=1e-12)
    assert lfp["unit"].values.tolist() == [0, 2]
    assert lfp["time"].values[0] == 2.0
    assert read_trials(path)["side"].tolist() == ["left", "right", "left"]
    trials = read_nwb(path, align="start_time", before=0.1, after=0.2)
    assert not isinstance(trials, Events)
    assert trials["side"].values.tolist() == ["left", "right", "left"]
    np.testing.assert_array_equal(trials.values[1], lfp.values[45:61])
    with pytest.raises(ParameterError, match=r"holds no 'lfq'.*'lfp'"):
        load(path, what="lfq")
    with pytest.raises(ParameterError, match="align must be a column of times"):
        load(path, align="side")


def test_what_nwb_cannot_hold_and_unsorted_units_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ActivityError, match="must have dims time and unit"):
        save(make(np.zeros((2, 3, 2))), tmp_path / "t.nwb")
    file = pynwb.NWBFile("a session", "x1", datetime(2020, 1, 1, tzinfo=UTC))
    file.add_unit(spike_times=[0.3, 0.1])
    with pynwb.NWBHDF5IO(str(tmp_path / "u.nwb"), mode="w") as io:
        io.write(file)
    with pytest.raises(ReadError, match=r"sorted spike times.*row 0"):
        load(tmp_path / "u.nwb")
    assert len(load(tmp_path / "u.nwb", sort=True)) == 2
