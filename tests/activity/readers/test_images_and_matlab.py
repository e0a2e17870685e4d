"""NIfTI images and MATLAB files against brute force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import scipy.io
from damage import bold, sound

from activome.activity.events import Events
from activome.activity.readers import load, read_nifti, save
from activome.activity.schema import make
from activome.errors import ActivityWarning, ParameterError, ReadError


def _image(path: Path, unit: str | None = "msec", step: float = 1500.0) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(0)
    values = rng.integers(-500, 500, (4, 5, 3, 7)).astype(np.int16)
    affine = np.array([[2.0, 0, 0, -4], [0, 2, 0, 6], [0, 0, 3, 1], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_slope_inter(0.5, 3.0)
    image.header.set_xyzt_units("mm", unit)
    image.header.set_zooms((2.0, 2.0, 3.0, step))
    nibabel.save(image, path)
    return np.asarray(nibabel.load(path).get_fdata())


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_voxels_of_a_mask_equal_brute_force(name: str, tmp_path: Path) -> None:
    full = _image(tmp_path / name)
    mask = np.zeros((4, 5, 3), dtype=np.uint8)
    mask[1, 2, 0] = mask[3, 4, 2] = 1
    data = read_nifti(tmp_path / name, mask=mask)
    np.testing.assert_array_equal(data.values, np.stack([full[1, 2, 0], full[3, 4, 2]], axis=1))
    assert data["x"].values.tolist() == [-2.0, 2.0]
    assert data["y"].values.tolist() == [10.0, 14.0]
    assert data["z"].values.tolist() == [1.0, 7.0]
    np.testing.assert_allclose(data["time"].values, 1.5 * np.arange(7))
    assert data.attrs["kind"] == "bold"


def test_regions_of_an_atlas_are_means(tmp_path: Path) -> None:
    full = _image(tmp_path / "a.nii")
    atlas = np.random.default_rng(1).integers(0, 4, (4, 5, 3)).astype(np.int16)
    atlas[0, 0, 0] = 9
    nibabel.save(
        nibabel.Nifti1Image(atlas, nibabel.load(tmp_path / "a.nii").affine), tmp_path / "t.nii"
    )
    names = {1: "one", 2: "two", 3: "three", 9: "nine"}
    data = read_nifti(tmp_path / "a.nii", atlas=tmp_path / "t.nii", labels=names)
    for number, name in names.items():
        expected = full[atlas == number].mean(axis=0)
        np.testing.assert_allclose(data.sel(unit=name).values, expected, rtol=1e-12)
    assert data["n_voxels"].sel(unit="nine").item() == 1
    lazy = read_nifti(tmp_path / "a.nii", atlas=atlas, lazy=True)
    np.testing.assert_array_equal(lazy.values, data.values)
    with pytest.raises(ParameterError, match="no name for region 9"):
        read_nifti(tmp_path / "a.nii", atlas=atlas, labels={1: "a", 2: "b", 3: "c"})


def test_images_go_there_and_back(tmp_path: Path) -> None:
    data = bold()
    save(data, tmp_path / "b.nii.gz")
    back = load(tmp_path / "b.nii.gz")
    assert not isinstance(back, Events)
    np.testing.assert_allclose(back.values, data.values, rtol=1e-12)
    np.testing.assert_array_equal(back["unit"].values, data["unit"].values)
    np.testing.assert_allclose(back["time"].values, data["time"].values)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.download"])
def test_nifti_2_in_both_byte_orders(order: str, name: str, tmp_path: Path) -> None:
    values = np.random.default_rng(3).integers(-500, 500, (4, 5, 3, 7)).astype(np.int16)
    header = nibabel.Nifti2Header(endianness=order)
    image = nibabel.Nifti2Image(values, np.diag([2.0, 2.0, 3.0, 1.0]), header=header)
    image.header.set_slope_inter(0.5, 3.0)
    image.header.set_xyzt_units("mm", "msec")
    image.header.set_zooms((2.0, 2.0, 3.0, 1500.0))
    plain = tmp_path / (name if name.endswith("gz") else "a.nii")
    nibabel.save(image, plain)
    plain.rename(tmp_path / name)
    data = load(tmp_path / name)
    assert not isinstance(data, Events)
    np.testing.assert_array_equal(data.values, (values * 0.5 + 3.0).reshape(-1, 7).T)
    assert data["unit"].values[-1] == "3,4,2"
    assert [data[axis].values[-1] for axis in "xyz"] == [6.0, 8.0, 6.0]
    np.testing.assert_allclose(data["time"].values, 1.5 * np.arange(7))
    lazy = read_nifti(tmp_path / name, lazy=True)
    np.testing.assert_array_equal(lazy.values, data.values)


def test_more_volumes_than_nifti_1_counts(tmp_path: Path) -> None:
    data = bold().isel(unit=slice(0, 1), time=[0])
    rate = float(data.attrs["sampling_rate"])
    long = make(
        np.arange(40_000.0)[:, None], sampling_rate=rate, unit=data["unit"].values, kind="bold",
        coords={axis: ("unit", data[axis].values) for axis in "ijk"},
    ).assign_attrs(affine=data.attrs["affine"], image_shape=[3, 4, 2])  # fmt: skip
    save(long, tmp_path / "long.nii")
    assert isinstance(nibabel.load(tmp_path / "long.nii"), nibabel.Nifti2Image)
    mask = np.zeros((3, 4, 2))
    mask[0, 0, 0] = 1
    back = read_nifti(tmp_path / "long.nii", mask=mask)
    np.testing.assert_array_equal(back.values, long.values)
    assert back["time"].values[-1] == 39_999 / rate


def test_image_refusals(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    _image(path)
    with pytest.raises(ParameterError, match=r"mask must be numbers of the shape .*\(4, 5, 3\)"):
        read_nifti(path, mask=np.ones((4, 5, 2)))
    with pytest.raises(ParameterError, match="affines differ"):
        read_nifti(path, mask=nibabel.Nifti1Image(np.ones((4, 5, 3)), np.eye(4)))
    with pytest.raises(ParameterError, match="must hold a voxel"):
        read_nifti(path, mask=np.zeros((4, 5, 3)))
    _image(path, None, 2.0)
    with pytest.warns(ActivityWarning, match="no unit of time"):
        assert read_nifti(path).attrs["sampling_rate"] == 0.5
    assert read_nifti(path, repetition_time=0.8).attrs["sampling_rate"] == 1.25
    _image(path, "hz", 2.0)
    with pytest.raises(ReadError, match="fourth axis in hz"):
        read_nifti(path)


@pytest.mark.parametrize("is_wide", [True, False])
def test_counts_of_both_orientations(is_wide: bool, tmp_path: Path) -> None:
    counts = np.random.default_rng(2).poisson(1.0, (3, 40))
    held = {"spikes": counts if is_wide else counts.T, "handVel": np.arange(80.0).reshape(2, 40)}
    scipy.io.savemat(tmp_path / "m.mat", held)
    data = load(tmp_path / "m.mat", sampling_rate=20.0)
    assert not isinstance(data, Events)
    np.testing.assert_array_equal(data.values, counts.T)
    assert data.attrs["kind"] == "spikes"
    np.testing.assert_array_equal(data["handVel_1"].values, np.arange(40.0, 80.0))
    assert data["time"].values[1] == 0.05


def test_cells_and_structs_of_spike_times(tmp_path: Path) -> None:
    tetrodes = np.empty(2, dtype=object)
    tetrodes[0] = np.array([], dtype=float)
    inner = np.empty(2, dtype=object)
    inner[0] = {"time": np.array([0.1, 0.4]), "depth": 3.0}
    inner[1] = {"time": np.array([0.2]), "depth": 5.0}
    tetrodes[1] = inner
    scipy.io.savemat(tmp_path / "h.mat", {"spikes": tetrodes})
    events = load(tmp_path / "h.mat")
    assert isinstance(events, Events)
    assert events.time.tolist() == [0.1, 0.2, 0.4]
    assert events.unit_table.index.tolist() == ["2.1", "2.2"]
    assert events.unit_table["depth"].tolist() == [3.0, 5.0]
    scipy.io.savemat(tmp_path / "u.mat", {"st": np.array([300.0, 100.0]), "n": 3.0})
    with pytest.raises(ReadError, match="out of order"):
        load(tmp_path / "u.mat", spikes="st", time_unit="ms")
    sorted_ = load(tmp_path / "u.mat", spikes="st", time_unit="ms", sort=True)
    assert isinstance(sorted_, Events)
    assert sorted_.time.tolist() == [0.1, 0.3]


def test_version_73_cells(tmp_path: Path) -> None:
    events = load(sound("cells.mat", tmp_path))
    assert isinstance(events, Events)
    assert events.time.tolist() == [0.0, 0.0, 0.0, 1.0, 1.0, 2.0]
    assert np.bincount(events.unit).tolist() == [1, 2, 3]
