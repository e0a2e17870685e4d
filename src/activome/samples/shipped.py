"""Three real recordings that ship with the package, read without any optional package."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from activome._checks import check_choice, check_number
from activome.activity.schema import Activity, make
from activome.errors import ParameterError, ReadError

__all__ = ["motor_cortex", "motor_imagery_eeg", "visual_gratings"]

Array = np.ndarray[Any, Any]

_DATA = Path(__file__).parent / "data"
_SHA256 = {
    "motor_cortex": "80c17c8d670d05355e1f540f65fccfa1fc5a9e7a635520d8a6724575690e17e4",
    "visual_gratings": "90f1b1234a1a452e2c8d443e72eb1e56629304dc5efd5b2454104f3b64401a22",
    "motor_imagery_eeg": "081ef89e456bce0117cf77a5e3f81c54fc91b55d0b40f5e336073905869416b6",
}
_EVENTS = {"T0": "rest", "T1": "both fists", "T2": "both feet"}
_EEG_RATE = 160.0


def _read(name: str) -> Mapping[str, Array]:
    """Read a shipped file whole, after its checksum has been compared."""
    path = _DATA / f"{name}.npz"
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ReadError(
            f"samples.load: {path} must ship with the package; it is missing. Reinstall activome."
        ) from error
    if hashlib.sha256(content).hexdigest() != _SHA256[name]:
        raise ReadError(
            f"samples.load: {path} must have the checksum it was shipped with; it is damaged or "
            "was edited. Reinstall activome."
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def _source(name: str) -> str:
    return f"activome sample {name}, sha256 {_SHA256[name][:16]}"


def motor_cortex() -> Activity:
    """Load spike counts of a monkey's motor cortex during reaching, with the hand's movement.

    Returns
    -------
    xarray.DataArray of uint8
        Dims (time 15536, unit 171), spikes per bin of 50 ms. Labels on time: ``velocity_x``,
        ``velocity_y``, ``position_x``, ``position_y`` of the hand, and ``stamp``, the time in s of
        each bin as it stands in the source (rounded to 1 ms there).

    Raises
    ------
    ReadError
        If the shipped file is missing or damaged.

    References
    ----------
    .. [1] I. H. Stevenson et al., "Statistical assessment of the stability of neural movement
       representations", 2011.

    Examples
    --------
    >>> a = motor_cortex()
    >>> dict(a.sizes), a.attrs["sampling_rate"]
    ({'time': 15536, 'unit': 171}, 20.0)
    """
    data = _read("motor_cortex")
    labels: dict[str, tuple[str, Any]] = {"stamp": ("time", data["stamps"])}
    for quantity in ("velocity", "position"):
        for axis, row in zip("xy", data[quantity], strict=True):
            labels[f"{quantity}_{axis}"] = ("time", row)
    return make(
        np.ascontiguousarray(data["counts"].T),
        ("time", "unit"),
        sampling_rate=20.0,
        start=float(data["stamps"][0]),
        coords=labels,
        kind="spikes",
        units="events per bin",
        source=_source("motor_cortex"),
        name="motor_cortex",
    )


def visual_gratings() -> Activity:
    """Load spike counts of mouse visual areas after the onset of drifting gratings.

    Returns
    -------
    xarray.DataArray of uint8
        Dims (trial 200, time 10, unit 1000), spikes per bin of 10 ms from stimulus onset. Label on
        trial: ``direction`` in degrees (0, 45, 90, 135; 50 trials each).

    Raises
    ------
    ReadError
        If the shipped file is missing or damaged.

    References
    ----------
    .. [1] J. H. Siegle et al., "Survey of spiking in the mouse visual system reveals functional
       hierarchy", 2021.

    Examples
    --------
    >>> a = visual_gratings()
    >>> dict(a.sizes), int(a.sum())
    ({'trial': 200, 'time': 10, 'unit': 1000}, 153635)
    """
    data = _read("visual_gratings")
    return make(
        data["counts"],
        sampling_rate=100.0,
        coords={"direction": ("trial", data["direction"])},
        kind="spikes",
        units="events per bin",
        source=_source("visual_gratings"),
        name="visual_gratings",
    )


def motor_imagery_eeg(
    form: Literal["continuous", "trials"] = "continuous",
    *,
    tmin: float = 0.0,
    tmax: float = 4.0,
) -> Activity:
    """Load one run of scalp EEG with imagined movements of fists and feet.

    Parameters
    ----------
    form : {"continuous", "trials"}, default="continuous"
        The whole run, or one trial per event.
    tmin, tmax : float, default=0.0 and 4.0
        Window around each event in s, ``tmax`` excluded, for trials. Events whose window leaves the
        run are refused, not dropped.

    Returns
    -------
    xarray.DataArray of float64
        Dims (time 20000, unit 64) or (trial 30, time, unit 64), in V at 160 Hz. Label ``event``
        ("rest", "both fists", "both feet"; "" where none lasts) on time or trial, and ``x``, ``y``,
        ``z`` on unit: positions in m of the standard montage, not of this person. Trials also carry
        ``onset``, in s from the start of the run.

    Raises
    ------
    ParameterError
        If ``form`` is unknown, the window is empty, or it leaves the run.
    ReadError
        If the shipped file is missing or damaged.

    References
    ----------
    .. [1] G. Schalk, D. J. McFarland, T. Hinterberger, N. Birbaumer and J. R. Wolpaw, "BCI2000: a
       general-purpose brain-computer interface (BCI) system", 2004.

    Examples
    --------
    >>> a = motor_imagery_eeg("trials", tmin=0.5, tmax=3.5)
    >>> dict(a.sizes), sorted(set(a["event"].values.tolist()))
    ({'trial': 30, 'time': 480, 'unit': 64}, ['both feet', 'both fists', 'rest'])
    """
    owner = "samples.motor_imagery_eeg"
    check_choice(form, ("continuous", "trials"), name="form", owner=owner)
    tmin = check_number(tmin, name="tmin", owner=owner)
    tmax = check_number(tmax, name="tmax", owner=owner, low=tmin)
    data = _read("motor_imagery_eeg")
    volts = data["digital"].T * 1e-6
    labels: dict[str, tuple[str, Any]] = {
        axis: ("unit", column) for axis, column in zip("xyz", data["position"].T, strict=True)
    }
    names = np.array([_EVENTS[code] for code in data["event"]])
    start = 0.0
    if form == "trials":
        first, last = round(tmin * _EEG_RATE), round(tmax * _EEG_RATE)
        onset = data["onset"].astype(np.int64)
        if last <= first or onset[0] + first < 0 or onset[-1] + last > volts.shape[0]:
            raise ParameterError(
                f"{owner}: the window [{tmin:g}, {tmax:g}) s around every event must hold a sample "
                f"and lie within the run of {volts.shape[0] / _EEG_RATE:g} s. Events start at "
                f"{onset[0] / _EEG_RATE:g} to {onset[-1] / _EEG_RATE:g} s."
            )
        volts = volts[onset[:, np.newaxis] + np.arange(first, last)]
        labels |= {"event": ("trial", names), "onset": ("trial", onset / _EEG_RATE)}
        start = first / _EEG_RATE
    else:
        event = np.full(volts.shape[0], "", dtype=names.dtype)
        for begin, length, label in zip(data["onset"], data["length"], names, strict=True):
            event[begin : begin + length] = label
        labels["event"] = ("time", event)
    return make(
        volts,
        unit=data["channels"],
        sampling_rate=_EEG_RATE,
        start=start,
        coords=labels,
        kind="voltage",
        units="V",
        source=_source("motor_imagery_eeg"),
        name="motor_imagery_eeg",
    )
