"""Events handed to pynapple and neo, and back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from activome.activity.events import Events
from activome.errors import ActivityError, MissingExtraError


def recording() -> Events:
    table = pd.DataFrame({"region": ["A", "B", "A"], "depth": [10, 20, 30]}, index=["p", "q", "r"])
    return Events.from_times([0.1, 0.2, 0.25, 0.4], [0, 2, 0, 2], stop=0.5, unit_table=table)


def test_pynapple_round_trip() -> None:
    pytest.importorskip("pynapple", reason="needs the extra spikes")
    e = recording()
    group = e.to_pynapple()
    assert len(group) == 3
    back = Events.from_unit_times(
        [group[i].t for i in range(3)],
        start=float(group.time_support.start[0]),
        stop=float(group.time_support.end[0]),
        unit_table=e.unit_table,
    )
    assert back.equals(e)
    assert group["region"].tolist() == ["A", "B", "A"]


def test_neo_round_trip() -> None:
    pytest.importorskip("neo", reason="needs the extra spikes")
    e = recording()
    (segment,) = e.to_neo().segments
    trains = segment.spiketrains
    assert [train.name for train in trains] == ["p", "q", "r"]
    assert trains[1].annotations["depth"] == 20
    back = Events.from_unit_times(
        [np.asarray(train.rescale("s").magnitude) for train in trains],
        start=float(trains[0].t_start.rescale("s")),
        stop=float(trains[0].t_stop.rescale("s")),
        unit_table=e.unit_table,
    )
    assert back.equals(e)


def test_neo_has_one_segment_per_trial() -> None:
    pytest.importorskip("neo", reason="needs the extra spikes")
    e = Events([1, 2, 3], [0, 1, 0], trial=[0, 2, 2], n_trials=3, t_stop=10)
    block = e.to_neo()
    counts = [[len(train) for train in segment.spiketrains] for segment in block.segments]
    assert counts == [[1, 0], [0, 0], [1, 1]]


def test_pynapple_has_one_clock() -> None:
    pytest.importorskip("pynapple", reason="needs the extra spikes")
    e = Events([1, 2], [0, 0], trial=[0, 1])
    with pytest.raises(ActivityError, match=r"Select one with select\(trials=\[i\]\)"):
        e.to_pynapple()
    assert len(e.select(trials=[1]).to_pynapple()) == 1


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynapple", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'activome\[spikes\]'"):
        recording().to_pynapple()
