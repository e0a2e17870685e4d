"""Sizes of memory as people write them."""

from __future__ import annotations

from activome.errors import ParameterError

__all__ = ["memory_bytes"]


def memory_bytes(text: str, *, owner: str) -> int:
    """Read a size such as 500MB; a bare number is GiB."""
    from dask.utils import parse_bytes

    try:
        return int(parse_bytes(f"{text}GiB" if text.replace(".", "", 1).isdigit() else text))
    except ValueError:
        raise ParameterError(
            f"{owner}: --max-memory must be a size such as 500MB or 4GB; got {text!r}."
        ) from None
