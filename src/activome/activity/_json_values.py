"""Python values as JSON and back, exactly: what JSON does not know is written under a tag."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["decode", "encode"]

_TAG = "__type__"
_NUMBERS = "biufc"


Hook = Callable[[Any], Any]


def encode(value: Any, *, array: Hook | None = None, other: Hook | None = None) -> Any:
    """Return a value as JSON data.

    Parameters
    ----------
    value : Any
        None, bool, int, float (NaN and infinity included), complex, str, numpy scalars and arrays,
        and lists, tuples and dicts of these.
    array : callable, optional
        Puts arrays of numbers or text elsewhere and returns a dict that stands for them; by
        default they are written in place.
    other : callable, optional
        Returns a dict for a value of another type, or None if it knows none.

    Returns
    -------
    Any
        JSON data.

    Raises
    ------
    TypeError
        If the value, or one inside it, is of another type.
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {_TAG: "float", "value": repr(value)}
    if type(value) is complex:
        return {_TAG: "complex", "real": encode(value.real), "imag": encode(value.imag)}
    if type(value) is list:
        return [encode(item, array=array, other=other) for item in value]
    if type(value) is tuple:
        return {_TAG: "tuple", "items": encode(list(value), array=array, other=other)}
    if type(value) is dict:
        return _encode_dict(value, array, other)
    if isinstance(value, np.generic):
        return _encode_scalar(value)
    if type(value) is np.ndarray:
        is_plain = value.dtype.kind in _NUMBERS + "mMU"
        return {_TAG: "array", **(array if array and is_plain else _encode_array)(value)}
    described = None if other is None else other(value)
    if described is not None:
        return {_TAG: "other", **described}
    raise TypeError(f"{type(value).__module__}.{type(value).__qualname__}")


def _encode_dict(value: dict[Any, Any], array: Hook | None, other: Hook | None) -> Any:
    if all(type(key) is str for key in value) and _TAG not in value:
        return {key: encode(item, array=array, other=other) for key, item in value.items()}
    items = [[encode(key), encode(item, array=array, other=other)] for key, item in value.items()]
    return {_TAG: "dict", "items": items}


def _encode_scalar(value: np.generic) -> Any:
    if isinstance(value, np.str_):
        return {_TAG: "scalar", "dtype": "str", "value": str(value)}
    return {_TAG: "scalar", **_encode_array(np.asarray(value))}


def _encode_array(value: np.ndarray[Any, Any]) -> dict[str, Any]:
    if value.dtype.kind in _NUMBERS + "mMSU":
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
        return {"dtype": value.dtype.str, "shape": list(value.shape), "data": data}
    if value.dtype.kind in "OT":
        items = [encode(item) for item in value.reshape(-1).tolist()]
        name = "object" if value.dtype.kind == "O" else "string"
        return {"dtype": name, "shape": list(value.shape), "items": items}
    raise TypeError(f"numpy array of {value.dtype}")


def decode(value: Any, *, array: Hook | None = None, other: Hook | None = None) -> Any:
    """Return what ``encode`` was given.

    Parameters
    ----------
    value : Any
        JSON data.
    array : callable, optional
        Fetches an array from the dict that stands for it.
    other : callable, optional
        Makes a value of another type from its dict.

    Returns
    -------
    Any
        The value, its types and dtypes as they were.

    Raises
    ------
    ValueError
        If a tag is unknown.
    """
    if isinstance(value, list):
        return [decode(item, array=array, other=other) for item in value]
    if not isinstance(value, dict):
        return value
    tag = value.get(_TAG)
    if tag is None:
        return {key: decode(item, array=array, other=other) for key, item in value.items()}
    if tag == "tuple":
        return tuple(decode(value["items"], array=array, other=other))
    if tag == "dict":
        pairs = decode(value["items"], array=array, other=other)
        return dict(pairs)
    if tag == "array" and array is not None and "data" not in value and "items" not in value:
        return array(value)
    if tag == "other" and other is not None:
        return other(value)
    if tag not in _DECODERS:
        raise ValueError(f"unknown tag {tag!r}")
    return _DECODERS[tag](value)


def _decode_array(value: dict[str, Any]) -> np.ndarray[Any, Any]:
    shape = tuple(value["shape"])
    if "items" in value:
        flat = np.empty(len(value["items"]), dtype=object)
        flat[:] = [decode(item) for item in value["items"]]
        strings = np.dtypes.StringDType() if value["dtype"] == "string" else np.dtype(object)
        return flat.reshape(shape).astype(strings)
    data = base64.b64decode(value["data"], validate=True)
    return np.frombuffer(data, dtype=np.dtype(value["dtype"])).reshape(shape).copy()


def _decode_scalar(value: dict[str, Any]) -> Any:
    if value["dtype"] == "str":
        return np.str_(value["value"])
    return _decode_array(value)[()]


_DECODERS: dict[str, Hook] = {
    "float": lambda value: float(value["value"]),
    "complex": lambda value: complex(decode(value["real"]), decode(value["imag"])),
    "scalar": _decode_scalar,
    "array": _decode_array,
}
