"""Sizes of memory as people write them."""

from __future__ import annotations

from activome.errors import ParameterError

__all__ = ["bytes_of"]


def bytes_of(text: str, *, owner: str) -> int:
    """Return the bytes of a size such as 500MB or 4GB; a bare number is GiB."""
    from dask.utils import parse_bytes

    try:
        return int(parse_bytes(f"{text}GiB" if text.replace(".", "", 1).isdigit() else text))
    except ValueError:
        raise ParameterError(
            f"{owner}: --max-memory must be a size such as 500MB or 4GB; got {text!r}."
        ) from None
