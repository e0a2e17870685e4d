"""Where blocks come from: a store, a lazy or loaded activity, or plain rows, cut into boxes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dask
import numpy as np
import xarray as xr

from activome._checks import check_integer
from activome._random import RandomState, make_generator
from activome.activity.schema import Activity, ensure
from activome.errors import ActivityError

__all__ = ["DEFAULT_MEMORY", "Block", "BlockSource"]

Array = np.ndarray[Any, Any]
DEFAULT_MEMORY = 256 * 1024**2
# A method holds the block, often a centred or converted copy of it, and the next chunks to come.
_BLOCKS_IN_MEMORY = 4


@dataclass(frozen=True)
class Block:
    """A box of the data, ready to be read here or in another process.

    Attributes
    ----------
    values : ndarray or dask array
        The box, its dims those of the activity; units last.
    mask : ndarray of bool or None
        Which samples of the box are data, over its sample dims.
    axes : tuple of str
        Dims of the box.
    offset : tuple of int
        Index of its first value in the whole data.
    owner : str
        Who reads, for messages.
    """

    values: Any
    mask: Array | None
    axes: tuple[str, ...]
    offset: tuple[int, ...]
    owner: str

    def read(self, *, scheduler: str = "synchronous") -> Array:
        """Read the rows of the box, shape (n_rows, n_units), refusing what is not finite."""
        values: Any = self.values
        if dask.is_dask_collection(values):
            values = values.compute(scheduler=scheduler)
        # A block that came over a wire may lie askew, and is then summed in another order.
        rows: Array = np.require(values, requirements=["C", "ALIGNED"])
        if rows.dtype not in (np.float32, np.float64):
            rows = rows.astype(np.float64)
        if self.mask is not None:
            rows = rows[self.mask]
        with np.errstate(over="ignore", invalid="ignore"):
            is_finite = np.isfinite(rows.sum(dtype=np.float64))
        if not is_finite:
            self._refuse_missing(np.asarray(values))
        return rows.reshape(-1, rows.shape[-1])

    def _refuse_missing(self, values: Array) -> None:
        """Refuse values that are not finite; a sum that only overflows is no reason."""
        bad = ~np.isfinite(values)
        if self.mask is not None:
            bad &= self.mask[..., np.newaxis]
        if not bad.any():
            return
        first = np.unravel_index(int(np.argmax(bad)), values.shape)
        place = ", ".join(
            f"{axis} {int(i) + start}"
            for axis, i, start in zip(self.axes, first, self.offset, strict=True)
        )
        raise ActivityError(
            f"{self.owner}: activity must be finite; {int(bad.sum())} of {bad.size} values of a "
            f"block are NaN or infinite, the first at {place}. Drop or interpolate them first."
        )


class BlockSource:
    """Data cut into blocks of samples, in a fixed order.

    Parameters
    ----------
    source : path-like, xarray.DataArray, dask or numpy array
        A store, an Activity, or rows of shape (n_samples, n_units).
    owner : str, default="BlockSource"
        Who reads, for messages.
    block : int, optional
        Most samples per block.
    memory : int, default=256 MiB
        Bytes to work in; without ``block``, a block takes a quarter of it.

    Attributes
    ----------
    n_samples, n_units, n_blocks : int
        Sizes; samples outside ``valid`` are not counted.
    dtype : numpy.dtype
        float64 or float32: that of the blocks.
    unit_names : ndarray of shape (n_units,) or None
        Names of the units.
    activity : xarray.DataArray
        The data, with dims in the order (trial, time, unit), any subset.

    Raises
    ------
    ActivityError
        If the source is no activity and has no rows of numbers.

    Examples
    --------
    >>> import numpy as np
    >>> source = BlockSource(np.arange(10.0).reshape(5, 2), block=2)
    >>> [block.read().tolist() for block in source.blocks()]
    [[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0], [6.0, 7.0]], [[8.0, 9.0]]]
    """

    def __init__(
        self,
        source: Any,
        *,
        owner: str = "BlockSource",
        block: int | None = None,
        memory: int = DEFAULT_MEMORY,
    ) -> None:
        self.activity = _as_activity(source, owner)
        self._owner = owner
        array = self.activity
        if "unit" not in array.dims:
            array = array.expand_dims("unit", -1)
        self._data = array.data
        self._axes = tuple(str(dim) for dim in array.dims)
        self.n_units = int(array.sizes["unit"])
        is_single = array.dtype == np.float32
        self.dtype = np.dtype(np.float32 if is_single else np.float64)
        names = self.activity.coords.get("unit")
        self.unit_names: Array | None = None if names is None else np.asarray(names.values)
        valid = self.activity.coords.get("valid")
        self._mask: Array | None = None if valid is None else np.asarray(valid.values, dtype=bool)
        shape = self._data.shape[:-1]
        self.n_samples = int(np.prod(shape) if self._mask is None else self._mask.sum())
        chunks = getattr(self._data, "chunks", None)
        steps = [max(sizes, default=1) for sizes in chunks[:-1]] if chunks else [1] * len(shape)
        if block is None:
            row_bytes = max(1, self.n_units * self.dtype.itemsize)
            block = max(1, memory // _BLOCKS_IN_MEMORY // row_bytes)
        self._boxes = [box for box in _cut(shape, steps, block) if self._holds_data(box)]

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return len(self._boxes)

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks, in order; nothing is read before their ``read()``."""
        for box in self._boxes:
            yield self._block(box)

    def sample(self, n: int, random_state: RandomState = None) -> Array:
        """Read rows drawn at random without repeats, the same ones however the data are cut.

        Parameters
        ----------
        n : int
            Number of rows; all of them where there are fewer.
        random_state : int, numpy.random.Generator or None
            Seed.

        Returns
        -------
        ndarray, shape (min(n, n_samples), n_units)
            The rows, in the order of the data. Only blocks that hold one of them are read.
        """
        n = min(check_integer(n, name="n", owner="BlockSource.sample", low=1), self.n_samples)
        chosen = make_generator(random_state).choice(self.n_samples, size=n, replace=False)
        is_chosen = np.zeros(self._data.shape[:-1], dtype=bool)
        where = np.ones_like(is_chosen) if self._mask is None else self._mask
        is_chosen.flat[np.flatnonzero(where)[chosen]] = True
        rows, places = [], []
        for box in self._boxes:
            if not is_chosen[box].any():
                continue
            block = self._block(box)
            keep = is_chosen[box] if block.mask is None else is_chosen[box][block.mask]
            rows.append(block.read()[keep.reshape(-1)])
            order = np.arange(is_chosen.size).reshape(is_chosen.shape)[box]
            places.append(order[is_chosen[box]])
        return np.concatenate(rows)[np.argsort(np.concatenate(places))]

    def _block(self, box: tuple[slice, ...]) -> Block:
        offset = (*(piece.start for piece in box), 0)
        mask = None if self._mask is None else self._mask[box]
        if mask is not None and mask.all():
            mask = None
        values = self._data[box]
        if dask.is_dask_collection(values):
            # Only the tasks of this box travel with it.
            (values,) = dask.optimize(values)
        return Block(values, mask, self._axes, offset, self._owner)

    def _holds_data(self, box: tuple[slice, ...]) -> bool:
        return self._mask is None or bool(self._mask[box].any())


def _as_activity(source: Any, owner: str) -> Activity:
    if isinstance(source, (str, os.PathLike)):
        from activome.activity.store import open_store

        opened = open_store(source)
        if not isinstance(opened, xr.DataArray):
            raise ActivityError(
                f"{owner}: {os.fspath(source)} holds Events; blocks need an Activity. Bin them "
                "with events.bin(dt) and write the result."
            )
        return opened
    if isinstance(source, xr.DataArray):
        return ensure(source, owner=owner)
    rows = source if dask.is_dask_collection(source) else np.asarray(source)
    if rows.ndim != 2 or rows.dtype.kind not in "biuf":
        raise ActivityError(
            f"{owner}: plain data must be numbers of shape (n_samples, n_units); got "
            f"{rows.dtype} of shape {rows.shape}."
        )
    return xr.DataArray(rows, dims=("time", "unit"))


def _cut(shape: tuple[int, ...], chunks: list[int], most: int) -> list[tuple[slice, ...]]:
    """Cut the sample dims into boxes of at most ``most`` samples, along chunks where these fit."""
    sizes = list(shape)
    for axis, chunk in enumerate(chunks):
        others = int(np.prod(sizes[:axis] + sizes[axis + 1 :], dtype=np.int64))
        if sizes[axis] * others > most:
            fitting = most // max(1, others) // chunk * chunk
            sizes[axis] = max(fitting, min(chunk, sizes[axis]))
    # Chunks that are larger than a block are cut all the same: memory comes before speed.
    for axis in range(len(sizes)):
        others = int(np.prod(sizes[:axis] + sizes[axis + 1 :], dtype=np.int64))
        if sizes[axis] * others > most:
            sizes[axis] = max(1, most // max(1, others))
    pieces = [
        [slice(i, min(i + step, n)) for i in range(0, n, max(1, step))]
        for n, step in zip(shape, sizes, strict=True)
    ]
    return list(itertools.product(*pieces))
