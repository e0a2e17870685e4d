"""Event cameras of iniVation: AEDAT 4."""

from __future__ import annotations

import os

import numpy as np

from activome._extras import require
from activome.activity.events import Events
from activome.activity.readers._source import (
    check_file,
    choose_entry,
    fits_memory,
    opening_bytes,
    reading,
)
from activome.activity.readers.prophesee import pixel_events
from activome.errors import ReadError

__all__ = ["read_aedat"]


def read_aedat(
    path: str | os.PathLike[str],
    *,
    what: str | None = None,
    sort: bool = False,
    memory_limit: float | None = None,
) -> Events:
    """Read the changes of an event camera from an AEDAT 4 file.

    Parameters
    ----------
    path : path-like
        The file; its name may end otherwise.
    what : str, optional
        Number of the stream, such as "0", where the file holds several of events.
    sort : bool, default=False
        Sort by time; otherwise events out of order are refused.
    memory_limit : float, optional
        Bytes that may be allocated, by default 2 GiB.

    Returns
    -------
    Events
        One unit per pixel (``y * n_columns + x``), with ``x``, ``y`` and ``p`` (0 off, 1 on), in
        ticks of 1 us.

    Raises
    ------
    ReadError
        If the file is missing, damaged, of AEDAT 2 or 3, holds no events, or is out of order.
    ParameterError
        If ``what`` is not a stream of events.
    ResourceError
        If the events pass ``memory_limit``.
    MissingExtraError
        If aedat is not installed.
    """
    owner = "read_aedat"
    file = check_file(path, owner=owner)
    version = opening_bytes(file, 14, owner=owner)
    if not version.startswith(b"#!AER-DAT4"):
        seen = version.split(b"\r")[0].decode("latin-1")
        raise ReadError(
            f"{owner}: {str(file)!r} must be AEDAT 4; it begins with {seen!r}. Convert it to "
            "AEDAT 4 "
            "with the software of the camera (DV)."
        )
    library = require("aedat", extra="events", owner=owner)
    with reading(file, "AEDAT 4", owner=owner):
        try:
            decoder = library.Decoder(file)
            streams = {
                str(key): f"{value['type']} of {value.get('width')} x {value.get('height')} pixels"
                for key, value in decoder.id_to_stream().items()
                if value["type"] == "events"
            }
            chosen = choose_entry(what, streams, file, owner=owner)
            stream = decoder.id_to_stream()[int(chosen)]
            parts, n_events = [], 0
            for packet in decoder:
                if packet["stream_id"] == int(chosen):
                    n_events += len(packet["events"])
                    fits_memory(64.0 * n_events, file, owner=owner, limit=memory_limit,
                                cure="Raise memory_limit, or cut the recording.")  # fmt: skip
                    parts.append(np.array(packet["events"]))
        except BaseException as error:
            # The decoder is not written in Python: its panics are no Exception.
            if type(error).__name__ != "PanicException":
                raise
            raise ReadError(f"{owner}: {str(file)!r} is no sound AEDAT 4 file: {error}.") from error
        if not n_events:
            raise ReadError(f"{owner}: {str(file)!r} holds no events in stream {chosen}.")
        held = np.concatenate(parts)
        names = held.dtype.names or ()
        polarity = held["on"] if "on" in names else held["p"]
        shape = (int(stream["height"]), int(stream["width"]))
        return pixel_events(
            held["t"], held["x"], held["y"], polarity, shape, file, owner=owner, sort=sort,
            form="AEDAT 4",
        )  # fmt: skip
