"""Rebuild the recordings that ship with the package from copies of their sources.

Usage: python tools/build_samples.py SOURCE_FOLDER OUTPUT_FOLDER

The source folder holds ``m1_stevenson_2011.mat``, ``spike_times.npy``, ``ii_spike_times.npy``,
``stim_label.npy`` and ``S001R06.edf``; where each comes from stands in the text files beside the
shipped data. Needs mne for the electrode positions.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io


def motor_cortex(folder: Path) -> dict[str, Any]:
    """Counts, hand kinematics and stamps; the third row of the kinematics is zero throughout."""
    source = scipy.io.loadmat(folder / "m1_stevenson_2011.mat", squeeze_me=True)
    for name in ("handVel", "handPos"):
        if np.any(source[name][2]):
            raise SystemExit(f"{name} has a third dimension: this is another file")
    return {
        "counts": source["spikes"],
        "velocity": source["handVel"][:2],
        "position": source["handPos"][:2],
        "stamps": source["time"],
    }


def visual_gratings(folder: Path) -> dict[str, Any]:
    """Counts in 10 bins of 10 ms per trial and unit, with the direction of each trial."""
    names = ("spike_times", "ii_spike_times", "stim_label")
    spikes, bounds, direction = (np.load(folder / f"{name}.npy") for name in names)
    n_trials, n_units = bounds.shape[:2]
    counts = np.zeros((n_trials, 10, n_units), np.uint8)
    for trial, unit in zip(*np.nonzero(bounds[..., 1] > bounds[..., 0]), strict=True):
        first, last = bounds[trial, unit]
        counts[trial, :, unit] = np.histogram(spikes[first:last], 10, (0, 0.1))[0]
    return {"counts": counts, "direction": direction.astype(np.int16)}


def motor_imagery_eeg(folder: Path) -> dict[str, Any]:
    """Digital values as recorded, events in samples, and positions of the electrodes in m."""
    import mne

    raw = mne.io.read_raw_edf(folder / "S001R06.edf", preload=True, verbose="error")
    microvolt = raw.get_data() * 1e6
    digital = np.rint(microvolt).astype(np.int16)
    # One digital step is one microvolt in this collection; anything else would lose bits here.
    if not np.allclose(digital, microvolt, rtol=0, atol=1e-6):
        raise SystemExit("the file does not hold whole microvolts")
    mne.datasets.eegbci.standardize(raw)
    positions = mne.channels.make_standard_montage("colin27_1005").get_positions()["ch_pos"]
    onset = np.rint(raw.annotations.onset * 160).astype(np.int32)
    return {
        "digital": digital,
        "channels": np.array(raw.ch_names),
        "position": np.array([positions[name] for name in raw.ch_names]),
        "onset": onset,
        "length": np.rint(raw.annotations.duration * 160).astype(np.int32),
        "event": np.array([str(text) for text in raw.annotations.description]),
    }


def main() -> None:
    """Write the three files and print their checksums."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    for build in (motor_cortex, visual_gratings, motor_imagery_eeg):
        path = target / f"{build.__name__}.npz"
        np.savez_compressed(path, **build(source))
        print(hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size, path.name)


if __name__ == "__main__":
    main()
