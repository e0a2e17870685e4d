"""Whether a block fits the store it is appended to: dims, labels, order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from activome.activity._json_values import encode
from activome.activity.schema import Activity, ensure
from activome.errors import ActivityError

__all__ = ["BlockFit"]

Array = np.ndarray[Any, Any]
_OWNER = "StoreWriter.append"


class BlockFit:
    """What every block must share with the template, and what must go on from block to block.

    Attributes
    ----------
    riding : dict
        Axis of the growing dim in each coordinate that runs along it.
    static : dict
        Values of the other coordinates.
    empty : dict
        The riding coordinates, with no rows.
    """

    def __init__(self, template: Activity, dim: str, length: int | None) -> None:
        self._dim, self._length = dim, length
        self._dims, self._dtype = template.dims, template.dtype
        self._sizes = {name: n for name, n in template.sizes.items() if name != dim}
        along = {str(key): item for key, item in template.coords.items() if dim in item.dims}
        self.riding = {name: item.dims.index(dim) for name, item in along.items()}
        self.empty: dict[str, Array] = {
            name: np.asarray(item.isel({dim: slice(0, 0)}).values) for name, item in along.items()
        }
        self.static: dict[str, Array] = {
            str(key): np.asarray(item.values)
            for key, item in template.coords.items()
            if dim not in item.dims
        }
        self._names: set[Any] = set()

    def begin(self, pieces: Sequence[dict[str, Array]]) -> None:
        """Take note of the names that are written already."""
        if self._dim == "trial" and "trial" in self.riding:
            self._names = {name for piece in pieces for name in piece["trial"].tolist()}

    def check(self, block: Activity, n_written: int, last_time: float | None) -> None:
        """Refuse a block that does not fit."""
        ensure(block, owner=_OWNER)
        self._check_layout(block)
        self._check_labels(block)
        n_rows = block.sizes[self._dim]
        if self._length is not None and n_written + n_rows > self._length:
            raise ActivityError(
                f"{_OWNER}: the store was begun for {self._length} rows; {n_written} are written, "
                f"and the block has {n_rows} more. Give fewer rows."
            )
        if n_rows and self._dim in self.riding:
            self._check_order(block[self._dim].values, last_time)

    def _check_layout(self, block: Activity) -> None:
        sizes = {name: n for name, n in block.sizes.items() if name != self._dim}
        if block.dims != self._dims or sizes != self._sizes or block.dtype != self._dtype:
            raise ActivityError(
                f"{_OWNER}: a block must have dims {self._dims}, sizes {self._sizes} beside "
                f"{self._dim!r}, and dtype {self._dtype}; got {block.dims}, {sizes} and "
                f"{block.dtype}. Select, transpose or convert it first."
            )

    def _check_labels(self, block: Activity) -> None:
        names = {*self.riding, *self.static}
        differ = sorted({str(key) for key in block.coords} ^ names)
        if differ:
            raise ActivityError(
                f"{_OWNER}: a block must have the coordinates of the template; {differ} stand in "
                "only one of the two. Add or drop them."
            )
        for name, values in self.static.items():
            if not _is_same(np.asarray(block[name].values), values):
                raise ActivityError(
                    f"{_OWNER}: coordinate {name!r} must be that of the template; it differs. "
                    "Select or align the block first."
                )
        for name, nothing in self.empty.items():
            kind, wanted = block[name].dtype, nothing.dtype
            is_text = kind.kind == wanted.kind == "U"
            if block[name].dims.index(self._dim) != self.riding[name] or not (
                is_text or kind == wanted
            ):
                raise ActivityError(
                    f"{_OWNER}: coordinate {name!r} must be {wanted} as in the template; got "
                    f"{kind} over {block[name].dims}. Convert it first."
                )

    def _check_order(self, labels: Array, last_time: float | None) -> None:
        if self._dim == "trial":
            again = next((name for name in labels.tolist() if name in self._names), None)
            if again is not None:
                raise ActivityError(
                    f"{_OWNER}: names of trials must be unique; {again!r} is written already. "
                    "Number the trials on from writer.n_written."
                )
            self._names |= set(labels.tolist())
        elif last_time is not None and labels[0] <= last_time:
            raise ActivityError(
                f"{_OWNER}: times must go on increasing; the block begins at {labels[0]:g} s, and "
                f"{last_time:g} s is written already. Shift its times, or begin at "
                "writer.n_written."
            )


def _is_same(found: Array, wanted: Array) -> bool:
    if found.dtype.kind in "OT" or found.dtype != wanted.dtype:
        return bool(encode(found) == encode(wanted))
    # By their bytes: NaN is itself, and the names of many units are compared with every block.
    return found is wanted or (found.shape == wanted.shape and found.tobytes() == wanted.tobytes())
