"""Event cameras of Prophesee: DAT, and RAW in the encodings EVT 2 and EVT 3."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from activome._extras import require
from activome._files import atomic_path
from activome.activity.events import Events
from activome.activity.readers._prophesee_words import DECODERS
from activome.activity.readers._source import (
    check_file,
    fits_memory,
    opening_bytes,
    reading,
    source_of,
)
from activome.errors import ActivityError, ReadError

__all__ = ["CameraHeader", "parse_header", "pixel_events", "read_prophesee", "write_prophesee"]

_HEADER_BYTES = 1 << 16
_WORD = {"dat": 8, "evt2": 4, "evt3": 2}


@dataclass(frozen=True)
class CameraHeader:
    """Encoding, length of the header in bytes, and (n_rows, n_columns) where it is stated."""

    encoding: str
    n_bytes: int
    shape: tuple[int, int] | None


def parse_header(path: Path, *, owner: str) -> CameraHeader:
    """Return the header of a DAT or RAW file, checked against the size of the file.

    Parameters
    ----------
    path : Path
        The file.
    owner : str
        Who reads, for messages.

    Returns
    -------
    CameraHeader
        Its fields.

    Raises
    ------
    ReadError
        If it names no known encoding, or no whole number of words follows.
    """
    data = opening_bytes(path, _HEADER_BYTES, owner=owner)
    place, lines = 0, []
    while data[place : place + 1] == b"%":
        end = data.find(b"\n", place)
        if end < 0:
            break
        lines.append(data[place:end].decode("latin-1"))
        place = end + 1
        if lines[-1].strip() == "% end":
            break
    text = "\n".join(lines).lower()
    encoding = "dat" if "data file" in text or "% version" in text else ""
    found = re.search(r"(?:evt |format evt)(\d)", text)
    if found:
        encoding = f"evt{found.group(1)}"
    if encoding not in _WORD:
        raise ReadError(
            f"{owner}: {str(path)!r} must state the encoding DAT, EVT 2 or EVT 3; its header says "
            f"{encoding or 'none'}. Export it again as EVT 3."
        )
    if encoding == "dat":
        if data[place + 1 : place + 2] != b"\x08":
            raise ReadError(
                f"{owner}: {str(path)!r} must hold events of 8 bytes; its header is damaged."
            )
        place += 2
    body = path.stat().st_size - place
    if body < _WORD[encoding] or body % _WORD[encoding]:
        raise ReadError(
            f"{owner}: {str(path)!r} must hold whole words of {_WORD[encoding]} bytes after its "
            f"header; {body} bytes follow. It was cut; copy it again."
        )
    sizes = [re.search(rf"{key}[= ](\d+)", text) for key in ("height", "width")]
    geometry = re.search(r"geometry[= ](\d+)x(\d+)", text)
    shape = None
    if geometry:
        shape = (int(geometry.group(2)), int(geometry.group(1)))
    elif sizes[0] and sizes[1]:
        shape = (int(sizes[0].group(1)), int(sizes[1].group(1)))
    if shape is not None and not (0 < shape[0] < 1 << 14 and 0 < shape[1] < 1 << 14):
        raise ReadError(
            f"{owner}: {str(path)!r} declares an array of {shape[0]} x {shape[1]} pixels."
        )
    return CameraHeader(encoding, place, shape)


def read_prophesee(
    path: str | os.PathLike[str], *, sort: bool = False, memory_limit: float | None = None
) -> Events:
    """Read the changes of a Prophesee event camera.

    Parameters
    ----------
    path : path-like
        A .dat file, or a .raw file in EVT 2 or EVT 3; its name may end otherwise.
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
        If the file is missing, damaged, cut, of an unknown encoding, or out of order.
    ResourceError
        If the events pass ``memory_limit``.

    Notes
    -----
    The words are decoded by array operations, about 60 bytes of memory a word. Events before the
    first time stamp of the stream are left out with a warning.

    Examples
    --------
    >>> import tempfile
    >>> from activome.activity.events import Events
    >>> events = Events([0, 40, 90], [1, 2, 5], x=[1, 2, 1], y=[0, 0, 1], p=[1, 0, 1], shape=(2, 4))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_prophesee(events, f"{folder}/a.raw")
    ...     back = read_prophesee(f"{folder}/a.raw")
    >>> back.t.tolist(), back.x.tolist(), back.p.tolist()
    ([0, 40, 90], [1, 2, 1], [1, 0, 1])
    """
    owner = "read_prophesee"
    file = check_file(path, owner=owner)
    with reading(file, "Prophesee", owner=owner):
        header = parse_header(file, owner=owner)
        dtype, decode = DECODERS[header.encoding]
        n_bytes = file.stat().st_size - header.n_bytes
        # Eight columns of 8 bytes a word, and 12 bits a vector word of EVT 3.
        need = 16.0 * n_bytes if header.encoding != "evt3" else 64.0 * n_bytes
        fits_memory(need, file, owner=owner, limit=memory_limit,
                    cure="Raise memory_limit, or cut the recording.")  # fmt: skip
        t, x, y, p = decode(np.fromfile(file, dtype=dtype, offset=header.n_bytes))
        if not t.size:
            raise ReadError(f"{owner}: {str(file)!r} holds no events. It was cut; copy it again.")
        return pixel_events(
            t, x, y, p, header.shape, file, owner=owner, sort=sort, form=header.encoding.upper()
        )  # fmt: skip


def pixel_events(
    t: Any, x: Any, y: Any, p: Any, shape: tuple[int, int] | None, path: Path, *, owner: str,
    sort: bool, form: str,
) -> Events:  # fmt: skip
    """Return Events of pixels, one unit per pixel.

    Parameters
    ----------
    t, x, y, p : array-like of int, shape (n_events,)
        Times in us, columns, rows and polarities.
    shape : tuple of int (n_rows, n_columns) or None
        Size of the pixel array; by default what the events fill.
    path : Path
        Their file.
    owner : str
        Who reads, for messages.
    sort : bool
        Sort by time; otherwise events out of order are refused.
    form : str
        Name of the format.

    Returns
    -------
    Events
        In ticks of 1 us.

    Raises
    ------
    ReadError
        If a pixel lies outside the array, or events are out of order.
    """
    x, y = np.asarray(x, dtype=np.int32), np.asarray(y, dtype=np.int32)
    t = np.asarray(t).astype(np.int64)
    if shape is None:
        shape = (int(y.max()) + 1, int(x.max()) + 1)
    outside = (x < 0) | (y < 0) | (x >= shape[1]) | (y >= shape[0])
    if outside.any() or not shape[0] * shape[1] < 1 << 26:
        raise ReadError(
            f"{owner}: {str(path)!r} holds {int(outside.sum())} events outside of its {shape[0]} x "
            f"{shape[1]} pixels. It is damaged; copy it again."
        )
    fall = np.diff(t) < 0
    if fall.any() and not sort:
        raise ReadError(
            f"{owner}: {str(path)!r} must be sorted by time; {int(fall.sum())} events are out of "
            f"order, the first is event {int(np.argmax(fall)) + 1}. Read it with sort=True."
        )
    order = np.argsort(t, kind="stable") if fall.any() else slice(None)
    columns = {"x": x, "y": y, "p": np.asarray(p).astype(np.int8)}
    return Events(
        t[order],
        (y * shape[1] + x)[order],
        **{name: column[order] for name, column in columns.items()},
        n_units=shape[0] * shape[1],
        shape=shape,
        tick=1e-6,
        source=source_of(path, form),
        assume_sorted=True,
    )


def write_prophesee(events: Events, path: str | os.PathLike[str]) -> None:
    """Write pixels of an event camera as DAT (.dat) or RAW (.raw, EVT 2).

    The files hold ``t``, ``x``, ``y`` and ``p``; the size of the pixel array and labels are lost.

    Parameters
    ----------
    events : Events
        Events with ``x``, ``y`` and ``p``, without trials, from time 0 on; times are rounded to us.
    path : path-like
        Where to write, ending in .dat or .raw; replaced whole.

    Raises
    ------
    ActivityError
        If the events are empty, have no pixels, or have trials or negative times.
    MissingExtraError
        If expelliarmus is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from activome.activity.events import Events
    >>> events = Events([0, 40, 90], [1, 2, 5], x=[1, 2, 1], y=[0, 0, 1], p=[1, 0, 1], shape=(2, 4))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_prophesee(events, f"{folder}/a.dat")
    ...     back = read_prophesee(f"{folder}/a.dat")
    >>> back.t.tolist(), back.x.tolist(), back.p.tolist()
    ([0, 40, 90], [1, 2, 1], [1, 0, 1])
    """
    owner = "write_prophesee"
    library = require("expelliarmus", extra="events", owner=owner)
    if events.x is None or events.y is None or events.p is None or events.trial is not None:
        raise ActivityError(f"{owner}: events must have x, y and p, and no trials. Save as .npz.")
    if not len(events) or events.t[0] < 0:
        raise ActivityError(f"{owner}: there must be an event, and none before time 0.")
    # Not EVT 3: its encoder leaves time words out where events are sparse, and so loses times.
    encoding = "dat" if Path(path).suffix.lower() == ".dat" else "evt2"
    table = np.zeros(len(events), dtype=[("t", "i8"), ("x", "i2"), ("y", "i2"), ("p", "u1")])
    table["t"] = events.t if events.tick == 1e-6 else np.rint(events.time * 1e6)
    table["x"], table["y"], table["p"] = events.x, events.y, (events.p > 0)
    with atomic_path(path) as temporary, reading(temporary, "Prophesee", owner=owner):
        library.Wizard(encoding=encoding).save(fpath=temporary, arr=table)
