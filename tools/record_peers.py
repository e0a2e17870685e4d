"""Record what other simulators give, for tests that run without them.

Run in an environment of the peer, which needs numpy and nothing of this package:

    python tools/record_peers.py brian2 tests/networks/spiking/data/brian2.npz
    python tools/record_peers.py norse tests/networks/spiking/data/norse.npz

The files hold the inputs too, in whole numbers, and the versions that made them.
"""

from __future__ import annotations

import argparse
from importlib.metadata import version
from itertools import product
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
_DT = 0.1


def _network(b: Any, generator: np.random.Generator) -> dict[str, Array]:
    """Spikes of 160 cells, the last 32 of them inhibitory, behind 40 sources."""
    n_in, n, n_steps = 40, 160, 3000
    source, target = np.nonzero(generator.random((n_in + n, n)) < 0.1)
    scale = np.where(source < n_in, 2.0, 1.0)
    weight = np.rint(1024 * scale * generator.uniform(0.1, 0.8, source.size)).astype(np.int16)
    delay = generator.integers(1, 51, source.size).astype(np.int8)
    step, unit = np.nonzero(generator.random((n_steps, n_in)) < 0.006)

    given = b.SpikeGeneratorGroup(n_in, unit, step * _DT * b.ms)
    cells = b.NeuronGroup(
        n,
        """dv/dt = (-65 - v) / (20*ms) + (ie - ii) / (1*ms) : 1 (unless refractory)
        die/dt = -ie / (5*ms) : 1
        dii/dt = -ii / (8*ms) : 1""",
        threshold="v > -50",
        reset="v = -65",
        refractory=2 * b.ms,
        method="exact",
    )
    cells.v = -65
    joined = []
    for pre, rows, first, receptor in (
        (given, source < n_in, 0, "e"),
        (cells, (source >= n_in) & (source < n_in + n - 32), n_in, "e"),
        (cells, source >= n_in + n - 32, n_in, "i"),
    ):
        synapses = b.Synapses(pre, cells, "w : 1", on_pre=f"i{receptor}_post += w")
        synapses.connect(i=source[rows] - first, j=target[rows])
        synapses.w = weight[rows] / 1024
        synapses.delay = delay[rows] * _DT * b.ms
        joined.append(synapses)
    monitor = b.SpikeMonitor(cells)
    b.Network(given, cells, joined, monitor).run(n_steps * _DT * b.ms)
    return {
        "source": source.astype(np.uint8),
        "target": target.astype(np.uint8),
        "weight_1024": weight,
        "delay_steps": delay,
        "input_step": step.astype(np.int16),
        "input_unit": unit.astype(np.uint8),
        "spike_step": np.rint(monitor.t / (_DT * b.ms)).astype(np.int16),
        "spike_unit": np.asarray(monitor.i).astype(np.uint8),
    }


def _pairs(b: Any, generator: np.random.Generator) -> dict[str, Array]:
    """Change of the weight by one pair of spikes, for 200 pairs and delays."""
    n = 200
    pre, post = generator.integers(0, 1000, (2, n))
    delay = generator.integers(1, 51, n)
    every = np.arange(n)
    groups = [b.SpikeGeneratorGroup(n, every, steps * _DT * b.ms) for steps in (pre, post)]
    synapses = b.Synapses(
        *groups,
        """w : 1
        dx/dt = -x / (20*ms) : 1 (event-driven)
        dy/dt = -y / (30*ms) : 1 (event-driven)""",
        on_pre="x += 1\nw = clip(w - 0.012 * y, 0, 1)",
        on_post="y += 1\nw = clip(w + 0.01 * x, 0, 1)",
    )
    synapses.connect(j="i")
    synapses.w, synapses.delay = 0.5, delay * _DT * b.ms
    b.Network(*groups, synapses).run(110 * b.ms)
    return {
        "pre_step": pre.astype(np.int16),
        "post_step": post.astype(np.int16),
        "pair_delay": delay.astype(np.int8),
        "pair_weight": np.asarray(synapses.w),
    }


def _jumps(b: Any, generator: np.random.Generator) -> dict[str, Array]:
    """Spikes of 20 cells whose synapses make the voltage jump, for resets and refractory times."""
    n_in, n, n_steps = 15, 20, 300
    source, target = np.nonzero(generator.random((n_in + 2 * n, n)) < 0.3)
    weight = generator.integers(1, 400, source.size)
    delay = generator.integers(1, 9, source.size)
    step, unit = np.nonzero(generator.random((n_steps, n_in)) < 0.15)
    drive = generator.integers(500, 1300, n)
    found: dict[str, Array] = {
        "jump_source": source.astype(np.uint8),
        "jump_target": target.astype(np.uint8),
        "jump_weight_1024": weight.astype(np.int16),
        "jump_delay": delay.astype(np.int8),
        "jump_input_step": step.astype(np.int16),
        "jump_input_unit": unit.astype(np.uint8),
        "jump_drive_1024": drive.astype(np.int16),
    }
    pairs = product(("v = 0", "v -= 1"), (0, 1, 3, 20))
    for reset, refractory in pairs:
        given = b.SpikeGeneratorGroup(n_in, unit, step * _DT * b.ms)
        cells = b.NeuronGroup(
            n,
            f"dv/dt = (drive - v) / (2*ms) : 1 {'(unless refractory)' if refractory else ''}\n"
            "drive : 1",
            threshold="v > 1",
            reset=reset,
            refractory=refractory * _DT * b.ms if refractory else False,
            method="exact",
        )
        cells.drive = drive / 1024
        joined = []
        for pre, first, last, sign in (
            (given, 0, n_in, "+"), (cells, n_in, n_in + n, "+"), (cells, n_in + n, 99, "-"),
        ):  # fmt: skip
            rows = (source >= first) & (source < last)
            synapses = b.Synapses(pre, cells, "w : 1", on_pre=f"v_post {sign}= w")
            synapses.connect(i=source[rows] - first, j=target[rows])
            synapses.w = weight[rows] / 1024
            synapses.delay = delay[rows] * _DT * b.ms
            joined.append(synapses)
        monitor = b.SpikeMonitor(cells)
        b.Network(given, cells, joined, monitor).run(n_steps * _DT * b.ms)
        name = f"jump_{'value' if '= 0' in reset else 'subtract'}_{refractory}"
        steps = np.rint(monitor.t / (_DT * b.ms)).astype(np.int64)
        found[name] = np.stack([steps, np.asarray(monitor.i)]).astype(np.int16)
    return found


def brian2() -> dict[str, Array]:
    """Return networks of Brian2 and its STDP."""
    import brian2 as b  # type: ignore[import-not-found,unused-ignore]

    b.prefs.codegen.target = "numpy"
    b.defaultclock.dt = _DT * b.ms
    generator = np.random.default_rng(0)
    return _network(b, generator) | _pairs(b, generator) | _jumps(b, generator)


def norse() -> dict[str, Array]:
    """Return spikes of ``LIFBoxCell`` with its current scaled by 1 / (dt tau_mem_inv)."""
    import torch
    from norse.torch.functional.lif_box import LIFBoxParameters
    from norse.torch.module.lif_box import LIFBoxCell

    current = np.random.default_rng(1).integers(-800, 1600, (400, 24)).astype(np.int16)
    tau_mem_inv, dt = torch.tensor(100.0, dtype=torch.float64), 1e-3
    cell = LIFBoxCell(LIFBoxParameters(tau_mem_inv=tau_mem_inv), dt=dt)
    scaled = torch.as_tensor(current / 4096.0) / (dt * tau_mem_inv)
    state, spikes = None, []
    for now in scaled:
        z, state = cell(now, state)
        spikes.append(z.detach().numpy() > 0)
    return {"current_4096": current, "spikes": np.packbits(spikes, axis=1)}


def main() -> int:
    """Write one file."""
    parser = argparse.ArgumentParser(description="Record what other simulators give.")
    parser.add_argument("peer", choices=["brian2", "norse"])
    parser.add_argument("file")
    options = parser.parse_args()
    found = {"brian2": brian2, "norse": norse}[options.peer]()
    said = f"tools/record_peers.py {options.peer}: {options.peer} {version(options.peer)}, numpy "
    np.savez_compressed(options.file, provenance=said + np.__version__, **found)  # type: ignore[arg-type]  # names are keys
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
