"""Save and load fitted estimators without pickle: one file of arrays and JSON, no code in it."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy import sparse
from sklearn.base import BaseEstimator

from activome._checks import nearest_names
from activome._files import atomic_path
from activome.activity._json_values import decode, encode
from activome.errors import StoreError

__all__ = ["load_estimator", "save_estimator"]

Array = np.ndarray[Any, Any]
_FORMAT = 1
_DESCRIPTION = "estimator.json"
_PACKAGE = "activome"


def save_estimator(estimator: BaseEstimator, path: str | os.PathLike[str]) -> None:
    """Write the parameters and the learned state of an estimator to one file.

    The file is an ``.npz``: the learned arrays, and a description in JSON. Loading it runs nothing
    but the class that it names, which must be one of activome.

    Parameters
    ----------
    estimator : estimator of activome
        Fitted or not. Parameters and learned attributes (those that end in ``_``) may be numbers,
        text, booleans, None, arrays, sparse matrices, DataArrays, estimators of activome, and
        lists, tuples and dicts of these.
    path : path-like
        File to write; it is moved into place when whole.

    Raises
    ------
    StoreError
        If the class is not one of activome, or a parameter or attribute is of another type.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from activome.geometry import PrincipalComponents
    >>> pca = PrincipalComponents(1).fit(np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_estimator(pca, f"{folder}/pca.npz")
    ...     load_estimator(f"{folder}/pca.npz").components_.round(3).tolist()
    [[0.447, 0.894]]
    """
    arrays: dict[str, Array] = {}
    description = {
        "format": _FORMAT,
        "version": importlib.import_module(_PACKAGE).__version__,
        "estimator": _Packer(arrays).describe(estimator),
    }
    text = json.dumps(description, sort_keys=True, allow_nan=False)
    arrays[_DESCRIPTION] = np.frombuffer(text.encode(), dtype=np.uint8)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_estimator(path: str | os.PathLike[str]) -> BaseEstimator:
    """Read an estimator that ``save_estimator`` wrote.

    Parameters
    ----------
    path : path-like
        File to read.

    Returns
    -------
    estimator
        With the parameters and the learned state it had.

    Raises
    ------
    StoreError
        If the file is missing or damaged, was written in another format, names a class that is not
        one of activome, or holds a parameter that the class does not have.
    """
    file = Path(path)
    cure = "Save the estimator again with this version."
    try:
        # Opened here: numpy leaves the file open when it is no archive.
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        description = json.loads(bytes(arrays.pop(_DESCRIPTION)))
        found = description["format"]
    except Exception as error:  # a damaged archive can raise anything
        raise StoreError(
            f"load_estimator: {file} is missing, damaged or no saved estimator: "
            f"{type(error).__name__}: {error}. Restore it from a copy, or save the estimator again."
        ) from error
    if found != _FORMAT:
        raise StoreError(
            f"load_estimator: {file} was written in format {found!r}; this version reads format "
            f"{_FORMAT}. {cure}"
        )
    try:
        return _Unpacker(arrays, file).build(description["estimator"])
    except StoreError:
        raise
    except Exception as error:  # so can a description that was changed
        raise StoreError(
            f"load_estimator: {file} does not fit this version: {type(error).__name__}: {error}. "
            f"{cure}"
        ) from error


class _Packer:
    """Turns estimators into JSON, and puts their arrays aside."""

    def __init__(self, arrays: dict[str, Array]) -> None:
        self._arrays = arrays

    def describe(self, estimator: Any) -> dict[str, Any]:
        cls = type(estimator)
        is_ours = cls.__module__.split(".")[0] == _PACKAGE and "<" not in cls.__qualname__
        if not isinstance(estimator, BaseEstimator) or not is_ours:
            raise StoreError(
                f"save_estimator: only estimators of {_PACKAGE} can be saved; got "
                f"{cls.__module__}.{cls.__qualname__}. Save its parameters yourself."
            )
        params = estimator.get_params(deep=False)
        state = {
            name: value
            for name, value in vars(estimator).items()
            if name.endswith("_") and not name.startswith("_") and name not in params
        }
        return {
            "kind": "estimator",
            "class": f"{cls.__module__}:{cls.__qualname__}",
            "params": self._encode_all(cls.__name__, "parameter", params),
            "state": self._encode_all(cls.__name__, "attribute", state),
        }

    def _encode_all(self, owner: str, what: str, values: dict[str, Any]) -> dict[str, Any]:
        encoded = {}
        for name, value in values.items():
            try:
                encoded[name] = encode(value, array=self._put_array, other=self._describe_other)
            except TypeError as error:
                raise StoreError(
                    f"save_estimator: {what} {name!r} of {owner} must be made of numbers, text, "
                    f"arrays and estimators of {_PACKAGE}; it holds a {error}. Give a name or a "
                    "number in its place."
                ) from error
        return encoded

    def _put_array(self, values: Array) -> dict[str, Any]:
        name = f"array{len(self._arrays)}"
        self._arrays[name] = values
        return {"ref": name}

    def _describe_other(self, value: Any) -> dict[str, Any] | None:
        if isinstance(value, BaseEstimator):
            return self.describe(value)
        if isinstance(value, xr.DataArray):
            return {"kind": "labelled", "parts": self._parts(_take_apart(value))}
        if sparse.issparse(value):
            matrix: Any = value
            rows = matrix.tocsr()
            parts = [rows.data, rows.indices, rows.indptr, list(rows.shape)]
            return {
                "kind": "sparse",
                "format": matrix.format,
                "is_array": isinstance(value, sparse.sparray),
                "parts": self._parts(parts),
            }
        return None

    def _parts(self, parts: Any) -> Any:
        return encode(parts, array=self._put_array, other=self._describe_other)


class _Unpacker:
    """Makes estimators from JSON and arrays, of classes of activome only."""

    def __init__(self, arrays: dict[str, Array], file: Path) -> None:
        self._arrays, self._file = arrays, file

    def build(self, record: dict[str, Any]) -> BaseEstimator:
        cls = self._find(record["class"])
        known = cls._get_param_names()
        unknown = next((name for name in record["params"] if name not in known), None)
        if unknown is not None:
            raise StoreError(
                f"load_estimator: {self._file} sets parameter {unknown!r}, which {cls.__name__} "
                f"does not have; {nearest_names(unknown, known)} Save it again with this version."
            )
        estimator = cls(**{name: self._decode(item) for name, item in record["params"].items()})
        for name, item in record["state"].items():
            is_state = name.isidentifier() and name.endswith("_") and not name.startswith("_")
            if not is_state or hasattr(cls, name):
                raise StoreError(
                    f"load_estimator: {self._file} sets {name!r}, which is no learned attribute of "
                    f"{cls.__name__}. Save it again with this version."
                )
            setattr(estimator, name, self._decode(item))
        return estimator

    def _find(self, name: str) -> type[BaseEstimator]:
        module, _, qualname = name.partition(":")
        found: Any = None
        if module.split(".")[0] == _PACKAGE:
            try:
                found = importlib.import_module(module)
                for part in qualname.split("."):
                    found = getattr(found, part)
            except (ImportError, AttributeError):
                found = None
        is_ours = (
            isinstance(found, type)
            and issubclass(found, BaseEstimator)
            and found.__module__ == module
        )
        if not is_ours:
            raise StoreError(
                f"load_estimator: {self._file} names the class {name!r}, which is no estimator of "
                f"this version of {_PACKAGE}. Load it with the version that wrote it."
            )
        result: type[BaseEstimator] = found
        return result

    def _decode(self, value: Any) -> Any:
        return decode(value, array=lambda item: self._arrays[item["ref"]], other=self._other)

    def _other(self, record: dict[str, Any]) -> Any:
        if record["kind"] == "estimator":
            return self.build(record)
        parts = self._decode(record["parts"])
        if record["kind"] == "labelled":
            return _put_together(parts)
        if record["kind"] != "sparse":
            raise ValueError(f"unknown kind {record['kind']!r}")
        data, indices, indptr, shape = parts
        rows = sparse.csr_array((data, indices, indptr), shape=tuple(shape))
        return (
            rows.asformat(record["format"])
            if record["is_array"]
            else (sparse.csr_matrix(rows).asformat(record["format"]))
        )


def _take_apart(array: xr.DataArray) -> dict[str, Any]:
    return {
        "values": array.values,
        "dims": list(array.dims),
        "name": array.name,
        "attrs": dict(array.attrs),
        "coords": [
            [name, list(item.dims), item.values, dict(item.attrs)]
            for name, item in array.coords.items()
        ],
    }


def _put_together(parts: dict[str, Any]) -> xr.DataArray:
    coords = {
        name: xr.Variable(dims, values, attrs) for name, dims, values, attrs in parts["coords"]
    }
    array = xr.DataArray(parts["values"], dims=parts["dims"], coords=coords, attrs=parts["attrs"])
    array.name = parts["name"]
    return array
