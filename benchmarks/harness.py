"""The bench: ours and the peer on the same input, results compared first, then timed in turns.

Every kernel runs in a process of its own with its thread count set before anything is imported. A
case makes its input for a size; ours and the peer get the very same arrays. A mismatch is refused
instead of timed, and a peer that is not installed is printed as absent.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Case", "Measured", "Peer", "Roof", "main", "measure_roof", "peak_bytes", "run_cases"]

_MARK = "RESULT "
_PAIRS = {"smoke": 3, "full": 7}


@dataclass(frozen=True)
class Peer:
    """What people use today.

    Attributes
    ----------
    name : str
        How the peer is called in the table.
    run : callable
        Takes the input of the case.
    difference : callable
        Takes our result and the peer's, gives the largest relative difference (0 for exact).
    tolerance : float
        What the difference may be; above it nothing is timed.
    requires : str
        Module that must be installed; "" for none.
    prepare : callable
        Turns the input of the case into what the peer wants, outside the timing.
    """

    name: str
    run: Callable[[Any], Any]
    difference: Callable[[Any, Any], float]
    tolerance: float = 0.0
    requires: str = ""
    prepare: Callable[[Any], Any] = lambda inputs: inputs


@dataclass(frozen=True)
class Case:
    """One kernel at one or more sizes.

    Attributes
    ----------
    name : str
        What is measured.
    sizes : sequence of float
        Sizes in ascending order; the last is the one that the ratio is stated for, and three of
        them give the growth exponent.
    make : callable
        Takes a size, gives the input.
    ours : callable
        Takes the input.
    peers : sequence of Peer
        Who else can do it.
    bytes_moved, flops : callable, optional
        Take a size and give the least bytes that must be moved, or the arithmetic that must be
        done: the floor, against which the share of the roof is stated.
    roof : callable, optional
        Measures the roof of ``bytes_moved`` in bytes per second, by default the copy rate.
    dtype : str
        "float32" or "float64": which arithmetic roof applies.
    aim : str
        What is aimed at, for the table.
    smoke : sequence of float, optional
        Sizes of a quick run; by default the smallest.
    """

    name: str
    sizes: Sequence[float]
    make: Callable[[float], Any]
    ours: Callable[[Any], Any]
    peers: Sequence[Peer] = ()
    bytes_moved: Callable[[float], float] | None = None
    flops: Callable[[float], float] | None = None
    roof: Callable[[], float] | None = None
    dtype: str = "float64"
    aim: str = ""
    smoke: Sequence[float] | None = None


@dataclass(frozen=True)
class Roof:
    """What this machine can do with the threads of this run.

    Attributes
    ----------
    copy : float
        Bytes per second of a large copy, read and write counted.
    gemm32, gemm64 : float
        Floating-point operations per second of a large matrix product.
    """

    copy: float
    gemm32: float
    gemm64: float


@dataclass
class Measured:
    """What one case gave; times in s.

    Attributes
    ----------
    case : str
        Name of the case.
    size : float
        The size that the ratio is stated for.
    ours : float
        Median wall time.
    ours_cpu : float
        Median CPU time.
    peak : int
        Peak memory of the process in bytes.
    share : float or None
        Share of the roof.
    rate : float or None
        Bytes moved per second, where these are the floor.
    exponent : float or None
        Growth with the size.
    peers : dict
        For each peer its median time, the paired ratio (peer / ours) with a 95 % interval, and the
        difference of the results; or the reason why it was not timed.
    aim : str
        What is aimed at.
    """

    case: str
    size: float
    ours: float
    ours_cpu: float
    peak: int
    share: float | None
    rate: float | None
    exponent: float | None
    peers: dict[str, dict[str, Any]] = field(default_factory=dict)
    aim: str = ""


def _best(function: Callable[[], Any], n: int = 5) -> float:
    times = []
    for _ in range(n):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def measure_roof() -> Roof:
    """Measure copy rate and matrix products.

    Returns
    -------
    Roof
        The roof of this process.
    """
    source = np.ones(32 * 1024**2)
    target = np.empty_like(source)
    copy = 2 * source.nbytes / _best(lambda: np.copyto(target, source))
    rates = []
    for dtype in (np.float32, np.float64):
        a = np.ones((1024, 1024), dtype)
        rates.append(2 * 1024**3 / _best(lambda a=a: a @ a))  # type: ignore[misc]
    return Roof(copy, *rates)


def _timed(function: Callable[[Any], Any], inputs: Any) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    function(inputs)
    return time.perf_counter() - wall, time.process_time() - cpu


def _repeats(function: Callable[[Any], Any], inputs: Any) -> int:
    """How often to call within one timing, so that a timing takes at least a tenth of a second."""
    once, _ = _timed(function, inputs)
    return max(1, min(1000, math.ceil(0.1 / max(once, 1e-7))))


def _measure_peer(case: Case, peer: Peer, inputs: Any, result: Any, n_pairs: int) -> dict[str, Any]:
    if peer.requires and importlib.util.find_spec(peer.requires.partition(".")[0]) is None:
        return {"absent": f"{peer.requires} is not installed"}
    theirs = peer.prepare(inputs)
    difference = float(peer.difference(result, peer.run(theirs)))
    if not difference <= peer.tolerance:
        return {"mismatch": f"results differ by {difference:.3g}, allowed {peer.tolerance:.3g}"}
    n_ours, n_theirs = _repeats(case.ours, inputs), _repeats(peer.run, theirs)
    ours, other = [], []
    for _ in range(n_pairs):
        ours.append(sum(_timed(case.ours, inputs)[0] for _ in range(n_ours)) / n_ours)
        other.append(sum(_timed(peer.run, theirs)[0] for _ in range(n_theirs)) / n_theirs)
    ratios = np.array(other) / np.array(ours)
    resampled = np.random.default_rng(0).choice(ratios, (2000, ratios.size))
    low, high = np.quantile(np.median(resampled, axis=1), [0.025, 0.975])
    return {
        "seconds": float(np.median(other)),
        "ratio": float(np.median(ratios)),
        "interval": [float(low), float(high)],
        "difference": difference,
    }


def _share(case: Case, size: float, seconds: float, roof: Roof) -> float | None:
    if case.flops is not None:
        rate = roof.gemm32 if case.dtype == "float32" else roof.gemm64
        return case.flops(size) / seconds / rate
    if case.bytes_moved is not None:
        rate = roof.copy if case.roof is None else case.roof()
        return case.bytes_moved(size) / seconds / rate
    return None


def peak_bytes() -> int:
    """Tell the most memory that this process has held.

    Returns
    -------
    int
        Bytes.
    """
    # Where there is one, the mark of this program: that of getrusage is inherited from its parent.
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text(encoding="utf-8").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run_cases(cases: Sequence[Case], size: str, roof: Roof) -> list[Measured]:
    """Measure every case.

    Parameters
    ----------
    cases : sequence of Case
        What to measure.
    size : {"smoke", "full"}
        Smoke takes the smallest size and few pairs.
    roof : Roof
        What the machine can do.

    Returns
    -------
    list of Measured
        One per case.
    """
    results = []
    for case in cases:
        sizes = list(case.sizes)
        if size == "smoke":
            sizes = list(case.smoke) if case.smoke is not None else sizes[:1]
        times, cpu = [], []
        for value in sizes:
            inputs = case.make(value)
            result = case.ours(inputs)
            n = _repeats(case.ours, inputs)
            runs = [
                np.sum([_timed(case.ours, inputs) for _ in range(n)], axis=0) / n for _ in range(3)
            ]
            times.append(float(np.median([run[0] for run in runs])))
            cpu.append(float(np.median([run[1] for run in runs])))
        exponent = None
        if len(sizes) >= 3:
            exponent = float(np.polyfit(np.log(sizes), np.log(times), 1)[0])
        measured = Measured(
            case=case.name,
            size=sizes[-1],
            ours=times[-1],
            ours_cpu=cpu[-1],
            peak=peak_bytes(),
            share=_share(case, sizes[-1], times[-1], roof),
            rate=None if case.bytes_moved is None else case.bytes_moved(sizes[-1]) / times[-1],
            exponent=exponent,
            aim=case.aim,
        )
        for peer in case.peers:
            measured.peers[peer.name] = _measure_peer(case, peer, inputs, result, _PAIRS[size])
        results.append(measured)
    return results


def _print_table(name: str, roof: Roof, results: Sequence[Measured], threads: int) -> None:
    print(
        f"{name}: {threads} thread(s); roof: copy {roof.copy / 1e9:.1f} GB/s, "
        f"float32 {roof.gemm32 / 1e9:.0f} GFLOP/s, float64 {roof.gemm64 / 1e9:.0f} GFLOP/s"
    )
    for r in results:
        share = "" if r.share is None else f", {100 * r.share:.0f} % of the roof"
        share = share if r.rate is None else f", {r.rate / 1e6:.0f} MB/s{share}"
        growth = "" if r.exponent is None else f", grows as n^{r.exponent:.2f}"
        print(
            f"  {r.case} (n = {r.size:g}): {1e3 * r.ours:.2f} ms wall, {1e3 * r.ours_cpu:.2f} ms "
            f"CPU, peak {r.peak / 2**20:.0f} MiB{share}{growth}"
        )
        for peer, row in r.peers.items():
            if "ratio" in row:
                low, high = row["interval"]
                print(
                    f"    {peer}: {1e3 * row['seconds']:.2f} ms, {row['ratio']:.2f} times ours "
                    f"[{low:.2f}, {high:.2f}], results differ by {row['difference']:.2g}"
                )
            else:
                reason = row.get("absent") or row["mismatch"]
                print(f"    {peer}: {'absent' if 'absent' in row else 'NOT TIMED'}: {reason}")
        if r.aim:
            print(f"    aim: {r.aim}")


def main(cases: Callable[[], Sequence[Case]], argv: Sequence[str] | None = None) -> int:
    """Run a benchmark file from the command line.

    Parameters
    ----------
    cases : callable
        Gives the cases; called in the measured process, after the threads are set.
    argv : sequence of str, optional
        Arguments; by default those of the process.

    Returns
    -------
    int
        0, or 1 when a result differs from a peer's.
    """
    parser = argparse.ArgumentParser(description="Time a kernel side by side with its peers.")
    parser.add_argument("--size", choices=["smoke", "full"], default="full")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON too")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    name = Path(sys.argv[0]).stem
    if not options.worker:
        return _run_worker(name, options)
    roof = measure_roof()
    results = run_cases(cases(), options.size, roof)
    record = {
        "kernel": name,
        "threads": options.threads,
        "size": options.size,
        "roof": vars(roof),
        "results": [vars(result) for result in results],
    }
    print(_MARK + json.dumps(record))
    return 0


def _run_worker(name: str, options: argparse.Namespace) -> int:
    threads = str(options.threads)
    variables = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    environment = os.environ | {f"{v}_NUM_THREADS": threads for v in variables}
    command = [sys.executable, sys.argv[0], "--worker", "--size", options.size]
    done = subprocess.run(
        [*command, "--threads", threads], env=environment, stdout=subprocess.PIPE, text=True
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if done.returncode or not lines:
        print(f"{name}: the benchmark ended with code {done.returncode}")
        return done.returncode or 1
    record = json.loads(lines[-1].removeprefix(_MARK))
    results = [Measured(**result) for result in record["results"]]
    _print_table(name, Roof(**record["roof"]), results, options.threads)
    if options.json:
        Path(options.json).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return int(any("mismatch" in row for r in results for row in r.peers.values()))
