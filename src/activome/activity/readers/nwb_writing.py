"""Writing Neurodata Without Borders (NWB) files."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from datetime import UTC, datetime
from typing import Any

import numpy as np

from activome._extras import require
from activome._files import atomic_path
from activome.activity.events import Events
from activome.activity.readers._labels import plain
from activome.activity.readers._source import reading
from activome.activity.schema import Activity, ensure
from activome.errors import ActivityError

__all__ = ["write_nwb"]

_VOLTS = {"V": 1.0, "volts": 1.0, "mV": 1e-3, "uV": 1e-6, "µV": 1e-6, "nV": 1e-9}
_RESERVED = {"id", "spike_times", "x", "y", "z", "location", "group", "group_name", "pixel_mask"}


def write_nwb(
    data: Activity | Events,
    path: str | os.PathLike[str],
    *,
    session_start: datetime | None = None,
    description: str = "written by activome",
) -> None:
    """Write an NWB file (HDF5) that other tools of the field read.

    Events become the units table with the columns of the unit table; voltages an ElectricalSeries
    with an electrodes table; calcium with ``x`` and ``y`` a RoiResponseSeries; other kinds a
    TimeSeries with a table of labels beside it.

    Parameters
    ----------
    data : xarray.DataArray or Events
        An Activity over (time, unit), or Events without trials and pixels.
    path : path-like
        Where to write; replaced whole.
    session_start : datetime, optional
        Start of the session, with a time zone; NWB asks for one. By default the first of January
        1970 in UTC, since an Activity does not know the day.
    description : str, optional
        Description of the session.

    Raises
    ------
    ActivityError
        If the data have trials or pixels, which NWB has no table for, or no regular labels.
    MissingExtraError
        If pynwb is not installed.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from activome.activity.readers.nwb import read_nwb
    >>> from activome.activity.schema import make
    >>> labels = {"unit": ["a", "b"], "kind": "voltage", "units": "V"}
    >>> field = make(np.ones((5, 2)), sampling_rate=10.0, **labels)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_nwb(field, f"{folder}/a.nwb")
    ...     back = read_nwb(f"{folder}/a.nwb")
    >>> back.dims, back.unit.values.tolist(), back.attrs["units"]
    (('time', 'unit'), ['a', 'b'], 'V')
    """
    owner = "write_nwb"
    pynwb = require("pynwb", extra="spikes", owner=owner)
    if isinstance(data, Events):
        if data.trial is not None or data.x is not None or data.value is not None:
            raise ActivityError(
                f"{owner}: the units table of NWB holds no trials, pixels or values; save these "
                "events as .zarr, .npz or .parquet."
            )
    else:
        data = ensure(data, owner=owner)
        if not {"time", "unit"} == set(data.dims):
            raise ActivityError(
                f"{owner}: activity must have dims time and unit; got {data.dims}. Save trials as "
                ".zarr or .npz."
            )
    labels = repr(data.unit_table) if isinstance(data, Events) else repr(data.coords)
    source = str(data.source if isinstance(data, Events) else data.attrs.get("source", "memory"))
    file = pynwb.NWBFile(
        session_description=description,
        # The same data get the same identifier: no clock and no chance in a file.
        identifier=hashlib.sha256(f"{source}\n{labels}".encode()).hexdigest()[:32],
        session_start_time=session_start or datetime(1970, 1, 1, tzinfo=UTC),
        source_script="activome.save",
        source_script_file_name="activome",
        notes=source,
    )
    with (
        atomic_path(path) as temporary,
        reading(temporary, "NWB", owner=owner),
        warnings.catch_warnings(),
    ):
        # It comes from the order of building: the table has joined the file when it is written.
        warnings.filterwarnings("ignore", message="The linked table for DynamicTableRegion")
        if isinstance(data, Events):
            _add_units(file, data, owner)
        else:
            _add_series(pynwb, file, data, owner)
        with pynwb.NWBHDF5IO(str(temporary), mode="w") as io:
            io.write(file)


def _add_units(file: Any, events: Events, owner: str) -> None:
    table = events.unit_table
    columns = {
        f"{key}_" if str(key) in _RESERVED - {"x", "y", "z", "location"} else str(key): plain(
            table[key].to_numpy(), owner=owner, where=f"unit_table column {key!r}"
        )
        for key in table.columns
    }
    index = table.index.to_numpy()
    if index.dtype.kind not in "iu":
        columns["unit_name"] = plain(index, owner=owner, where="unit_table index")
    for key in columns:
        file.add_unit_column(name=key, description=f"label {key}")
    order = np.argsort(events.unit, kind="stable")
    bounds = np.searchsorted(events.unit[order], np.arange(events.n_units + 1))
    times = events.time[order]
    window = [[events.start, events.stop]]
    for i in range(events.n_units):
        file.add_unit(
            spike_times=times[bounds[i] : bounds[i + 1]],
            obs_intervals=window,
            id=int(index[i]) if index.dtype.kind in "iu" else i,
            **{key: values[i].item() for key, values in columns.items()},
        )


def _add_series(pynwb: Any, file: Any, activity: Activity, owner: str) -> None:
    kind, units = str(activity.attrs.get("kind")), str(activity.attrs.get("units", "1"))
    name = str(activity.name or "activity").replace("/", "_").replace(":", "_")
    clock: dict[str, Any] = {"timestamps": activity["time"].values.astype(np.float64)}
    rate = activity.attrs.get("sampling_rate")
    if rate is not None:
        clock = {"rate": float(rate), "starting_time": float(activity["time"].values[0])}
    comments = json.dumps({"activome": {"kind": kind, "units": units}})
    values = activity.values
    if values.dtype == bool:
        values = values.astype(np.uint8)
    shared = {"name": name, "data": values, "comments": comments, **clock}
    labels = {
        str(key): plain(coord.values, owner=owner, where=f"coordinate {key!r}")
        for key, coord in activity.coords.items()
        if coord.dims == ("unit",) and key != "unit"
    }
    names = activity["unit"].values.astype(str)
    if kind == "voltage" and units in _VOLTS:
        region = _electrodes(file, names, labels)
        series = pynwb.ecephys.ElectricalSeries(
            electrodes=region, conversion=_VOLTS[units], **shared
        )
        file.add_acquisition(series)
    elif kind == "calcium" and {"x", "y"} <= set(labels):
        region, module = _rois(pynwb, file, names, labels)
        series = pynwb.ophys.RoiResponseSeries(rois=region, unit=units, **shared)
        module.add(pynwb.ophys.Fluorescence(roi_response_series=series, name="Fluorescence"))
    else:
        module = file.create_processing_module(
            name="activome", description="activity with its labels"
        )
        module.add(pynwb.TimeSeries(unit=units, **shared))
        module.add(_label_table(pynwb, f"{name}_units", names, labels))


def _electrodes(file: Any, names: Any, labels: dict[str, Any]) -> Any:
    device = file.create_device(name="recorder")
    place = [str(region) for region in labels.get("region", ["unknown"] * len(names))]
    group = file.create_electrode_group(
        name="channels", description="all channels", location=", ".join(sorted(set(place))),
        device=device,
    )  # fmt: skip
    own = {"x", "y", "z"}
    extra = {key: v for key, v in labels.items() if key not in _RESERVED}
    file.add_electrode_column(name="channel_name", description="name of the channel")
    for key in extra:
        file.add_electrode_column(name=key, description=f"label {key}")
    for i, name in enumerate(names):
        file.add_electrode(
            group=group, location=place[i], channel_name=str(name),
            **{key: float(labels[key][i]) for key in own & set(labels)},
            **{key: values[i].item() for key, values in extra.items()},
        )  # fmt: skip
    return file.create_electrode_table_region(
        region=list(range(len(names))), description="all channels"
    )


def _rois(pynwb: Any, file: Any, names: Any, labels: dict[str, Any]) -> tuple[Any, Any]:
    device = file.create_device(name="microscope")
    channel = pynwb.ophys.OpticalChannel(
        name="channel", description="not known", emission_lambda=float("nan")
    )
    plane = file.create_imaging_plane(
        name="plane", optical_channel=channel, description="not known", device=device,
        excitation_lambda=float("nan"), indicator="not known", location="not known",
    )  # fmt: skip
    table = pynwb.ophys.PlaneSegmentation(
        description="one pixel at the centre of each region", imaging_plane=plane, name="rois"
    )
    extra = {key: v for key, v in labels.items() if key not in _RESERVED - {"x", "y", "z"}}
    for key in ("unit_name", *extra):
        table.add_column(name=key, description=f"label {key}")
    for i, name in enumerate(names):
        pixel = [(max(0, round(float(labels["x"][i]))), max(0, round(float(labels["y"][i]))), 1.0)]
        row = {key: values[i].item() for key, values in extra.items()}
        table.add_roi(pixel_mask=pixel, unit_name=str(name), **row)
    module = file.create_processing_module(name="ophys", description="calcium traces")
    module.add(pynwb.ophys.ImageSegmentation(plane_segmentations=table, name="segmentation"))
    return table.create_roi_table_region(
        description="all regions", region=list(range(len(names)))
    ), module


def _label_table(pynwb: Any, name: str, names: Any, labels: dict[str, Any]) -> Any:
    table = pynwb.core.DynamicTable(name=name, description="labels of the columns of the series")
    columns = {"unit_name": names} | {k: v for k, v in labels.items() if k != "id"}
    for key, values in columns.items():
        column = values.astype(object) if values.dtype.kind == "U" else values
        table.add_column(name=key, description=f"label {key}", data=list(column))
    return table
