"""Writing CSV and Parquet tables."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from activome._extras import require
from activome._files import atomic_path
from activome.activity.events import Events
from activome.activity.readers._labels import activity_parts, event_parts
from activome.activity.schema import Activity, ensure
from activome.errors import ActivityError, ActivityWarning

__all__ = ["write_table"]


def write_table(data: Activity | Events, path: str | os.PathLike[str]) -> None:
    """Write a CSV or Parquet table, by the end of the name.

    Parquet keeps every label in its metadata. CSV holds times, names and values (or times and units
    of events); a warning lists the labels it cannot hold.

    Parameters
    ----------
    data : xarray.DataArray or Events
        What to write; a lazy activity is computed.
    path : path-like
        Where to write, ending in .csv, .tsv or .parquet; replaced whole.

    Raises
    ------
    ActivityError
        If a label is neither number nor text, or the activity has no time.

    Examples
    --------
    >>> import pathlib, tempfile, numpy as np
    >>> from activome.activity.schema import make
    >>> rates = make(np.eye(2), sampling_rate=10.0, unit=["a", "b"], kind="rate", units="Hz")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "rates.csv"
    ...     write_table(rates, file)
    ...     file.read_text().split()
    ['time,a,b', '0.0,1.0,0.0', '0.1,0.0,1.0']
    """
    owner = "write_table"
    target = Path(path)
    if isinstance(data, Events):
        header, labels = event_parts(data, owner=owner)
    else:
        data = ensure(data, owner=owner)
        header, labels = activity_parts(data, owner=owner)
    if target.suffix.lower() in (".parquet", ".pq"):
        _write_parquet(data, target, header, labels, owner)
        return
    if not isinstance(data, Events) and "time" not in data.dims:
        raise ActivityError(f"{owner}: a CSV needs a dim time; got dims {data.dims}. Use .parquet.")
    frame = _event_frame(data) if isinstance(data, Events) else _wide_frame(data)
    held = {"time", "unit", "trial", "t", "unit_table/index"}
    lost = sorted(name.removeprefix("unit_table/") for name in set(labels) - held)
    if lost:
        warnings.warn(
            f"{owner}: {target.name}: a CSV cannot hold the labels {', '.join(lost)}; they were "
            "left "
            "out. Save as .parquet, .npz or .zarr to keep them.",
            ActivityWarning,
            stacklevel=2,
        )
    with atomic_path(target) as temporary:
        separator = "\t" if target.suffix.lower() == ".tsv" else ","
        frame.to_csv(temporary, sep=separator, index=False)


def _event_frame(events: Events) -> pd.DataFrame:
    names = events.unit_table.index.to_numpy()
    frame = pd.DataFrame({"time": events.time, "unit": names[events.unit]})
    if events.trial is not None:
        frame.insert(0, "trial", events.trial)
    return frame


def _wide_frame(activity: Activity) -> pd.DataFrame:
    n_times = activity.sizes["time"]
    has_units = "unit" in activity.dims
    columns = [str(name) for name in activity["unit"].values] if has_units else ["value"]
    time = activity["time"].values if "time" in activity.coords else np.arange(n_times)
    values = activity.values.reshape(-1, len(columns))
    frame = pd.DataFrame(values, columns=pd.Index(columns))
    n_trials = activity.sizes.get("trial", 1)
    frame.insert(0, "time", np.tile(time, n_trials))
    if "trial" in activity.dims:
        frame.insert(0, "trial", np.repeat(activity["trial"].values, n_times))
    return frame


def _write_parquet(
    data: Activity | Events, target: Path, header: str, labels: dict[str, Any], owner: str
) -> None:
    arrow = require("pyarrow", extra="tables", owner=owner)
    parquet = require("pyarrow.parquet", extra="tables", owner=owner)
    if isinstance(data, Events):
        frame = {name: labels.pop(name) for name in list(labels) if "/" not in name}
        shape: list[int] = []
    else:
        has_units = "unit" in data.dims
        columns = [str(name) for name in data["unit"].values] if has_units else ["value"]
        values = data.values.reshape(-1, len(columns))
        frame = {name: values[:, i] for i, name in enumerate(columns)}
        shape = list(data.shape)
    stored = {
        "header": json.loads(header),
        "shape": shape,
        "labels": {
            name: {"dtype": array.dtype.str, "values": array.tolist()}
            for name, array in labels.items()
        },
    }
    table = arrow.table(frame).replace_schema_metadata({"activome": json.dumps(stored)})
    with atomic_path(target) as temporary:
        parquet.write_table(table, temporary, use_content_defined_chunking=False,
                            write_page_checksum=True)  # fmt: skip
