"""Resampling of jittered traces: a 0.05 Hz sine at 0.6 s and 0.17 s to 0.333 s, against peers.

The errors of all methods against the true sine are printed first. scipy's Fourier method takes the
samples for regular: it is timed for comparison, with a tolerance that lets its error through.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.signal import resample as fourier_resample

from activome.activity.resample import resample
from harness import Case, Peer, main

Array = np.ndarray[Any, Any]

_DT = 0.333
_DURATION = 480.0
_TOLERANCE = 0.02
_REGULAR_TOLERANCE = 0.2


def make_traces(n_units: float, step: float) -> tuple[Array, Array, Array]:
    """Stamps with 5 % jitter, sines of 0.05 Hz with a phase per unit, and the phases."""
    rng = np.random.default_rng(0)
    time = np.arange(0.0, _DURATION, step)
    time = np.sort(time + 0.05 * step * rng.standard_normal(time.size))
    time -= time[0]
    phase = np.linspace(0.0, np.pi, int(n_units))
    return time, np.sin(2 * np.pi * 0.05 * time[:, None] + phase), phase


def ours(inputs: tuple[Array, Array, Array]) -> tuple[Array, Array]:
    """Resample with activome."""
    return resample(inputs[0], inputs[1], _DT)


def to_pynapple(inputs: tuple[Array, Array, Array]) -> Any:
    """Hand the traces to pynapple."""
    import pynapple as nap

    return nap.TsdFrame(t=inputs[0], d=inputs[1])


def interpolate_pynapple(frame: Any) -> tuple[Array, Array]:
    """Interpolate with pynapple at the grid."""
    import pynapple as nap

    grid = np.arange(int(frame.t[-1] / _DT) + 1) * _DT
    result = frame.interpolate(nap.Ts(grid))
    return result.t, result.values


def average_pynapple(frame: Any) -> tuple[Array, Array]:
    """Average with pynapple in bins of the step; times are the middles of the bins."""
    result = frame.bin_average(_DT)
    return result.t, result.values


def fourier(inputs: tuple[Array, Array, Array]) -> tuple[Array, Array]:
    """Resample with scipy's Fourier method, which takes the samples for regular."""
    time, traces, _ = inputs
    n_out = round(time[-1] / _DT)
    return np.arange(n_out) * (time[-1] / n_out), fourier_resample(traces, n_out, axis=0)


def slow_interpolation(inputs: tuple[Array, Array, Array]) -> tuple[Array, Array]:
    """Interpolate unit by unit, as the published pipeline does."""
    time, traces, _ = inputs
    grid = np.arange(int(time[-1] / _DT) + 1) * _DT
    return grid, np.column_stack([np.interp(grid, time, trace) for trace in traces.T])


def error(times: Array, values: Array, phase: Array) -> float:
    """Root mean square error of the z-scored traces against the true sines."""
    truth = np.sin(2 * np.pi * 0.05 * times[:, None] + phase)
    z, t = ((x - x.mean(axis=0)) / x.std(axis=0) for x in (values, truth))
    return float(np.sqrt(np.mean((z - t) ** 2)))


def differs(mine: tuple[Array, Array], theirs: tuple[Array, Array]) -> float:
    """Root mean square difference at the peer's times, by interpolation of our result."""
    times, values = theirs
    inside = times <= mine[0][-1]
    expected = np.column_stack([np.interp(times[inside], mine[0], trace) for trace in mine[1].T])
    return float(np.sqrt(np.mean((expected - values[inside]) ** 2)))


def cases() -> Sequence[Case]:
    """Both directions, at three numbers of units; the largest is the one that is stated."""
    found = []
    for step, word in ((0.6, "finer"), (0.17, "coarser")):
        peers = [
            Peer(
                "pynapple interpolate",
                interpolate_pynapple,
                differs,
                tolerance=_TOLERANCE,
                requires="pynapple",
                prepare=to_pynapple,
            ),
            Peer("numpy interp per unit", slow_interpolation, differs, tolerance=_TOLERANCE),
            Peer("scipy.signal.resample", fourier, differs, tolerance=_REGULAR_TOLERANCE),
        ]
        if word == "coarser":
            peers.append(
                Peer(
                    "pynapple bin_average",
                    average_pynapple,
                    differs,
                    tolerance=_TOLERANCE,
                    requires="pynapple",
                    prepare=to_pynapple,
                )
            )
        found.append(
            Case(
                name=f"resample, 480 s at {step} s to {_DT} s ({word}), n units",
                sizes=(10, 100, 1000),
                make=partial(make_traces, step=step),
                ours=ours,
                peers=peers,
                bytes_moved=lambda n, step=step: 8 * n * _DURATION * (1 / step + 1 / _DT),  # type: ignore[misc]
            )
        )
    return found


def print_errors() -> None:
    """Print the error of every method against the true sine."""
    import importlib.util

    for step in (0.6, 0.17):
        inputs = make_traces(20, step)
        methods: dict[str, Any] = {
            "ours": ours(inputs),
            "numpy interp per unit": slow_interpolation(inputs),
            "scipy.signal.resample": fourier(inputs),
        }
        if importlib.util.find_spec("pynapple") is not None:
            frame = to_pynapple(inputs)
            methods["pynapple interpolate"] = interpolate_pynapple(frame)
            if step < _DT:
                methods["pynapple bin_average"] = average_pynapple(frame)
        for name, (times, values) in methods.items():
            good = np.isfinite(values).all(axis=1)
            figure = error(times[good], values[good], inputs[2])
            print(f"  sine at {step} s to {_DT} s, {name}: rms error {figure:.5f}")


if __name__ == "__main__":
    if "--worker" not in sys.argv:
        print_errors()
    raise SystemExit(main(cases))
