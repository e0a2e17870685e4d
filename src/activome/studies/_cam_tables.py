"""The recorded spikes of the hardware, as the authors of the memory publish them."""

from __future__ import annotations

import re
from pathlib import Path

from activome.errors import MissingExtraError, ReadError

__all__ = ["Spike", "find_workbook", "read_workbook"]

Spike = tuple[str, int, int]
# The column that each kind of cell has in the authors' workbooks.
_COLUMNS = {
    "CA3cueCueRecall": "CueRecall_cue",
    "CA3cueContRecall": "ContRecall_cue",
    "CA3contCueRecall": "CueRecall_content",
    "CA3contCond": "Cond",
    "CA3contCondInt": "CondInt",
    "CA3contContRecall": "ContRecall_content",
    "CA3MergeCue": "MergeCue",
    "CA3MergeCont": "MergeContent",
    "OUTcue": "OUT_cue",
    "OUTcont": "OUT_content",
}
_TIME = "TimeStamp (ms)"
_CELL = re.compile(r"\[\d+(, *\d+)*\]")


def find_workbook(folder: Path | None, number: int) -> Path | None:
    """Return the workbook of one experiment, as its authors' repository lays them out."""
    if folder is None:
        return None
    return next(iter(sorted(folder.glob(f"**/{number}_*/spikes.xlsx"))), None)


def read_workbook(path: Path) -> set[Spike]:
    """Return (population, unit, ms) of every spike behind the input.

    A row is a step of 1 ms; a cell lists the units of one population that spiked in it, as
    ``[0, 1, 8]``, or is ``-``.
    """
    import pandas as pd

    try:
        table = pd.read_excel(path)
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: workbooks are read by openpyxl. Install it with pip install "
            '"activome[tables]".'
        ) from error
    missing = [name for name in (_TIME, *_COLUMNS) if name not in table.columns]
    if missing:
        raise ReadError(
            f"{path}: a workbook of spikes has a column {missing[0]!r}; found "
            f"{', '.join(map(str, table.columns))}."
        )
    spikes: set[Spike] = set()
    for column, population in _COLUMNS.items():
        for time, cell in zip(table[_TIME], table[column].astype(str), strict=True):
            if cell == "-":
                continue
            if not _CELL.fullmatch(cell):
                raise ReadError(
                    f"{path}: column {column!r}, {time} ms: a cell lists units as [0, 1, 8] or is "
                    f"-; got {cell!r}."
                )
            spikes |= {(population, int(unit), int(time)) for unit in cell[1:-1].split(",")}
    return spikes
