"""Volumes of the FISBe release: read from stores that are really written, lazily, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from activome.activity.readers.fisbe import read_fisbe
from activome.errors import ReadError

SIZE = (4, 6, 8)


def write_store(folder: Path, **arrays: Any) -> Any:
    root = zarr.open_group(folder, mode="w", zarr_format=2)
    for name, values in arrays.items():
        root.create_array(f"volumes/{name}", data=values, chunks=(1, 2, 3, 8)[-values.ndim :])
    return root


def example() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 4000, size=(3, *SIZE)).astype(np.uint16)
    masks = (rng.uniform(size=(2, *SIZE)) < 0.3).astype(np.uint8)
    return raw, masks


def test_values_names_and_attributes(tmp_path: Path) -> None:
    raw, masks = example()
    root = write_store(tmp_path / "R1.zarr", raw=raw, gt_instances=masks)
    root["volumes/gt_instances"].attrs["dim_neurons"] = [2]
    data = read_fisbe(tmp_path / "R1.zarr")
    np.testing.assert_array_equal(data.raw.values, raw)
    np.testing.assert_array_equal(data.gt_instances.values, masks)
    assert data.raw.dims == ("channel", "z", "y", "x")
    assert data.instance.values.tolist() == [1, 2]
    assert data.attrs == {"dim_neurons": [2], "partly": False, "source": "R1.zarr (FISBe)"}


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    raw, masks = example()
    write_store(tmp_path / "R1.zarr", raw=raw, gt_instances=masks)
    data = read_fisbe(tmp_path / "R1.zarr")
    assert data.raw.chunks == ((1, 1, 1), (2, 2), (3, 3), (8,))
    # A chunk that is lost after opening shows only where it is read.
    (tmp_path / "R1.zarr" / "volumes" / "raw" / "2.1.1.0").write_bytes(b"damaged")
    np.testing.assert_array_equal(data.raw[:2].values, raw[:2])


@pytest.mark.parametrize("where", ["", "volumes", "volumes/gt_instances"])
def test_dim_neurons_stand_in_several_places(tmp_path: Path, where: str) -> None:
    raw, masks = example()
    root = write_store(tmp_path / "R1.zarr", raw=raw, gt_instances=masks)
    (root[where] if where else root).attrs["dim_neurons"] = [1]
    assert read_fisbe(tmp_path / "R1.zarr").attrs["dim_neurons"] == [1]


def test_partly_segmented_by_its_folder_or_attribute(tmp_path: Path) -> None:
    raw, masks = example()
    write_store(tmp_path / "partly" / "test" / "R1.zarr", raw=raw, gt_instances=masks)
    assert read_fisbe(tmp_path / "partly" / "test" / "R1.zarr").attrs["partly"] is True
    root = write_store(tmp_path / "R2.zarr", raw=raw, gt_instances=masks)
    root.attrs["partly"] = True
    assert read_fisbe(tmp_path / "R2.zarr").attrs["partly"] is True


def test_one_instance_and_no_truth(tmp_path: Path) -> None:
    raw, masks = example()
    write_store(tmp_path / "R1.zarr", raw=raw, gt_instances=masks[0])
    assert read_fisbe(tmp_path / "R1.zarr").sizes["instance"] == 1
    write_store(tmp_path / "R2.zarr", raw=raw)
    assert "gt_instances" not in read_fisbe(tmp_path / "R2.zarr")


def test_refusals(tmp_path: Path) -> None:
    raw, masks = example()
    with pytest.raises(ReadError, match="must be the folder of a Zarr store"):
        read_fisbe(tmp_path / "missing.zarr")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(ReadError, match="is no sound Zarr file"):
        read_fisbe(tmp_path / "empty.zarr")
    write_store(tmp_path / "R1.zarr", gt_instances=masks)
    with pytest.raises(ReadError, match=r"volumes/raw \(channel, z, y, x\); there is none"):
        read_fisbe(tmp_path / "R1.zarr")
    write_store(tmp_path / "R2.zarr", raw=raw[0])
    with pytest.raises(ReadError, match="there is an array of 3 axes"):
        read_fisbe(tmp_path / "R2.zarr")
    write_store(tmp_path / "R3.zarr", raw=raw, gt_instances=masks[:, :, :, 1:])
    with pytest.raises(ReadError, match=r"of the size of the volume \(4, 6, 8\)"):
        read_fisbe(tmp_path / "R3.zarr")
