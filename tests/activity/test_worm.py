from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from activome.activity.schema import check
from activome.activity.worm import (
    NEURON_TYPES,
    NEURONS,
    WormRecording,
    WormSchema,
    homogenize,
    left_right_pairs,
    normalise_label,
)
from activome.errors import ActivityError, ActivityWarning, ParameterError

Array = np.ndarray[Any, Any]


def recording(
    labels: Any = ("AVAL", "VB02", None), n: int = 700, step: float = 0.5, **changes: Any
) -> dict[str, Any]:
    rng = np.random.default_rng(len(labels))
    time = 5.0 + np.cumsum(step * (1 + 0.05 * rng.uniform(-1, 1, n)))
    traces = np.cumsum(rng.standard_normal((n, len(labels))), axis=0)
    return {"time": time, "traces": traces, "labels": list(labels), "source": "lab"} | changes


def test_names() -> None:
    assert len(NEURONS) == len(set(NEURONS)) == 300
    assert list(NEURONS) == sorted(NEURONS)
    assert not {"CANL", "CANR"} & set(NEURONS)
    assert sorted(NEURON_TYPES) == list(NEURONS)
    counts = {kind: list(NEURON_TYPES.values()).count(kind) for kind in set(NEURON_TYPES.values())}
    assert counts["pharynx"] == 20
    assert sum(counts.values()) == 300
    numbered = {"AS": 11, "DA": 9, "DB": 7, "DD": 6, "VA": 12, "VB": 11, "VC": 6, "VD": 13}
    for name, count in numbered.items():
        assert [f"{name}{k}" in NEURONS for k in range(1, count + 2)] == [True] * count + [False]


def test_left_right_pairs() -> None:
    pairs = left_right_pairs()
    assert ("AVAL", "AVAR") in pairs
    assert not any("AVL" in pair for pair in pairs)
    assert left_right_pairs(["RIML", "AVAL", "AVAR"]) == [("AVAL", "AVAR")]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("VB01", "VB1"),
        ("DA10", "DA10"),
        ("VB10", "VB10"),
        ("VD010", "VD10"),
        (" aval ", "AVAL"),
        (b"AVAR", "AVAR"),
        (["", None, "RIML"], "RIML"),
        (np.array(["SMDVL"]), "SMDVL"),
        ("AWCOF", "AWCL"),
        ("AWCON", "AWCR"),
        ("AWCL", "AWCL"),
        ("AVA?", "AVA?"),
        ("RMD??", "RMD??"),
        ("XYZ?", "unlabelled"),
        ("???", "unlabelled"),
        ("merge", "unlabelled"),
        ("CANL", "unlabelled"),
        ("17", "unlabelled"),
        ("", "unlabelled"),
        (None, "unlabelled"),
        (float("nan"), "unlabelled"),
        ([], "unlabelled"),
    ],
)
def test_normalise_label(label: Any, name: str) -> None:
    assert normalise_label(label) == name


def test_form_and_masks() -> None:
    worm = homogenize([recording()])[0]
    assert worm.dims == ("time", "unit")
    assert worm.unit.values.tolist() == list(NEURONS)
    assert worm.dtype == np.float32
    np.testing.assert_array_equal(worm.time.values, np.arange(worm.sizes["time"]) * 0.333)
    labelled, observed = worm.labelled.values, worm.observed.values
    assert worm.unit.values[labelled].tolist() == ["AVAL", "VB2"]
    assert observed.sum() == 3
    assert worm.original_label.sel(unit="VB2") == "VB02"
    assert np.isnan(worm.values[:, ~observed]).all()
    np.testing.assert_allclose(worm.values[:, observed].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(worm.values[:, observed].std(axis=0), 1, atol=1e-4)
    assert worm.attrs["source"] == "lab"
    assert worm.attrs["dt"] == 0.333
    assert worm.attrs["original_dt"] == pytest.approx(0.5, rel=0.01)
    assert (worm.attrs["norm"], worm.attrs["smooth"]) == ("standard", "none")
    assert worm.attrs["sampling_rate"] == pytest.approx(1 / 0.333)
    assert WormSchema(dt=0.333).check(worm) == []
    assert not [problem for problem in check(worm) if problem.severity == "critical"]


def test_companions_by_numpy() -> None:
    given = recording(step=0.5)
    worm = homogenize([given], norm=None, smooth="moving", companions=True)[0]
    time = given["time"] - given["time"][0]
    trace = given["traces"][:, 0]
    residual = np.gradient(trace, time)
    past = [trace[max(0, k - 7) : k + 1].mean() for k in range(trace.size)]
    for name, values in (
        ("calcium", trace),
        ("residual", residual),
        ("smoothed", np.array(past)),
    ):
        expected = np.interp(worm.time.values, time, values)
        np.testing.assert_allclose(worm[name].sel(unit="AVAL"), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(worm["original"].sel(unit="AVAL"), trace)
    np.testing.assert_array_equal(worm["original_time"], given["time"])
    assert worm["original_time"].dtype == np.float64


def test_residual_is_the_slope_of_the_normalised_trace() -> None:
    time = np.arange(700) * 0.5
    worm = homogenize(
        [{"time": time, "traces": 3.0 * time[:, None], "labels": ["AVAL"]}], companions=True
    )[0]
    slope = np.gradient(worm["calcium"].sel(unit="AVAL"), 0.333)
    np.testing.assert_allclose(worm["residual"].sel(unit="AVAL"), slope, rtol=1e-3)


def test_causal_norm_does_not_look_ahead() -> None:
    one = recording(n=800)
    other = {**one, "traces": one["traces"].copy()}
    other["traces"][600:] += 100.0
    a, b = (homogenize([given], norm="causal")[0] for given in (one, other))
    early = a.time.values < one["time"][598] - one["time"][0]
    np.testing.assert_array_equal(a.values[early], b.values[early])
    c, d = (homogenize([given])[0] for given in (one, other))
    assert not np.allclose(c.values[early], d.values[early], equal_nan=True)


def test_scale_and_offset_of_a_laboratory_do_not_matter() -> None:
    one = recording()
    other = {**one, "traces": 1000 * one["traces"] + 7, "time": one["time"] + 1e4}
    a, b = homogenize([one]), homogenize([other])
    np.testing.assert_allclose(a[0], b[0], atol=1e-4)


def test_ambiguous_names() -> None:
    given = recording(["AVA?", "AVAL", "AVA?", "AVA?"])
    dropped = homogenize([given])[0]
    assert dropped.unit.values[dropped.labelled].tolist() == ["AVAL"]
    assert dropped.observed.sum() == 4
    guessed = homogenize([given], ambiguous="nearest")[0]
    assert guessed.unit.values[guessed.labelled].tolist() == ["AVAL", "AVAR"]
    assert guessed.unit.values[guessed.guessed].tolist() == ["AVAR"]
    # Both sides are taken: the last one stays without a name rather than become a stranger.
    assert guessed.observed.sum() == 4


def test_first_duplicate_is_kept() -> None:
    given = recording(["AVAL", "AVAL", "AVAR"])
    worm = homogenize([given], norm=None)[0]
    assert worm.observed.sum() == 2
    assert worm.attrs["dropped"] == "AVAL"
    time = given["time"] - given["time"][0]
    expected = np.interp(worm.time.values, time, given["traces"][:, 0])
    np.testing.assert_allclose(worm.sel(unit="AVAL"), expected, rtol=1e-5, atol=1e-5)


def test_unlabelled_traces() -> None:
    given = recording(["AVAL", None, "12", ""])
    worm = homogenize([given], random_state=3)[0]
    assert (worm.observed & ~worm.labelled).sum() == 3
    xr.testing.assert_identical(worm, homogenize([given], random_state=3)[0])
    assert homogenize([given], unlabelled="drop")[0].observed.sum() == 1


def test_order_of_ones_own() -> None:
    given = recording(["AVAL", "AVAR", "RIML", None, None])
    with pytest.warns(ActivityWarning, match="1 unlabelled traces were left out"):
        worm = homogenize([given], order=["AVAR", "AVAL", "X"], dt=0.4)[0]
    assert worm.unit.values.tolist() == ["AVAR", "AVAL", "X"]
    # RIML is known and has no slot: it must not fill that of another.
    assert worm.labelled.values.tolist() == [True, True, False]
    assert worm.attrs["dropped"] == "RIML"
    assert WormSchema(("AVAR", "AVAL", "X")).check(worm) == []


def test_order_of_traces_does_not_matter() -> None:
    given = recording(["AVAL", "AVAR", "RIML"])
    turned = {**given, "traces": given["traces"][:, ::-1], "labels": given["labels"][::-1]}
    xr.testing.assert_equal(homogenize([given])[0], homogenize([turned])[0])


def test_skipped_recordings_are_named() -> None:
    short = recording(n=599, worm="brief")
    nameless = recording([None, "3"], worm="nobody")
    with pytest.warns(ActivityWarning, match=r"2 of 3 .*brief \(599 samples\).*no neuron named"):
        worms = homogenize([short, recording(), nameless])
    assert len(worms) == 1
    assert len(homogenize([short], min_samples=599)) == 1


def test_filters_drop_bad_traces() -> None:
    given = recording(["AVAL", "AVAR", "RIML"])
    given["traces"][100:140, 1] = np.nan
    given["traces"][200:300, 2] = np.linspace(0, 1, 100)
    seen = homogenize([given], filters=["gaps", "lines"])[0]
    assert seen.unit.values[seen.observed].tolist() == ["AVAL"]
    kept = homogenize([given])[0]
    gap = np.isnan(kept.sel(unit="AVAR").values)
    assert 0 < gap.sum() * 0.333 < 22
    assert not np.isnan(kept.sel(unit="AVAL")).any()


def test_names_of_alternatives_are_kept_as_recorded() -> None:
    worm = homogenize([recording([["", "AVAL", "RIML"], "AVAR"])])[0]
    assert str(worm.original_label.sel(unit="AVAL").values) == "|AVAL|RIML"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time": np.arange(700)[::-1] * 0.5}, "time must increase; stamp 1"),
        ({"time": np.arange(700) * 500.0}, "must be in s; its median step is 500.*milliseconds"),
        ({"time": np.arange(700) * 5e-4}, "must be in s; its median step is 0.0005"),
        ({"labels": ["AVAL", "AVAR"]}, "each of the 3 traces; got 2 labels"),
        ({"labels": "AVA"}, "labels must be a sequence"),
        ({"labels": ["foo", "bar", "baz"]}, "none of 3 is, the first: 'foo', 'bar', 'baz'"),
        ({"traces": np.full((700, 3), np.nan)}, "3 hold none, the first trace 0 .*AVAL"),
        ({"traces": np.full((700, 3), np.inf)}, "must not be infinite; time 0 of trace 0"),
        ({"traces": np.zeros((3, 700))}, "one row per stamp, 700.*Transpose"),
        ({"traces": np.zeros(700)}, "of shape"),
        ({"colour": "red"}, "holds 'colour' besides"),
    ],
)
def test_bad_recordings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ActivityError, match=message):
        homogenize([recording() | changes])


def test_only_the_first_five_strangers_are_listed() -> None:
    with pytest.raises(ActivityError, match=r"none of 7 is, the first: .*'n4'\. Map"):
        homogenize([recording([f"n{k}" for k in range(7)])])


def test_refusals() -> None:
    with pytest.raises(ActivityError, match="at most a tenth of the recording; got 40"):
        homogenize([recording()], dt=40.0)
    with pytest.raises(ActivityError, match="lacks labels"):
        homogenize([{"time": [0, 1], "traces": np.zeros((2, 1))}])
    with pytest.raises(ActivityError, match="at least one recording"):
        homogenize([])
    with pytest.raises(ActivityError, match="Wrap it"):
        homogenize(recording())
    with pytest.raises(ActivityError, match=r"must be a mapping.*got int"):
        homogenize([3])
    for name, value in (
        ("interpolate", "sinc"),
        ("smooth", "median"),
        ("norm", "minmax"),
        ("ambiguous", "guess"),
        ("unlabelled", "keep"),
        ("blocks", "late"),
    ):
        with pytest.raises(ParameterError, match=f"unknown {name}"):
            homogenize([recording()], **{name: value})  # type: ignore[call-overload]
    with pytest.raises(ParameterError, match="unknown filter 'noise'"):
        homogenize([recording()], filters=["noise"])
    with pytest.raises(ParameterError, match="order must hold unique names"):
        homogenize([recording()], order=["AVAL", "AVAL"])
    with pytest.raises(ParameterError, match="min_samples"):
        homogenize([recording()], min_samples=1)


def test_a_recording_object_is_as_good_as_a_mapping() -> None:
    given = recording()
    xr.testing.assert_identical(homogenize([WormRecording(**given)])[0], homogenize([given])[0])


def test_schema_names_what_is_wrong() -> None:
    worm = homogenize([recording()])[0]
    schema = WormSchema()
    assert "float32" in schema.check(worm.assign_coords(time=worm.time.astype("f4")))[0].what
    assert "unit 0 is" in schema.check(worm.isel(unit=slice(None, None, -1)))[0].what
    assert "mask is missing" in schema.check(worm.drop_vars("observed"))[0].what
    silent = worm.fillna(0.0)
    assert "contradict the mask" in schema.check(silent)[0].what
    false = worm.assign_coords(labelled=("unit", np.ones(300, dtype=bool)))
    assert "labelled but not observed" in schema.check(false)[0].what
    assert "must be 0, 0.5" in WormSchema(dt=0.5).check(worm)[0].what
    assert "no variable 'calcium'" in schema.check(xr.Dataset())[0].what
    with pytest.raises(ActivityError, match="reader: observed"):
        schema.ensure(silent, owner="reader")
