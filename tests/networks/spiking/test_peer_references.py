"""Parity with what Brian2 and Norse gave once, recorded by ``tools/record_peers.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from activome.activity.events import Events
from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import LIF, IFCurrExp, SpikeSource
from activome.networks.spiking.plasticity import PairSTDP
from activome.networks.spiking.projections import Projection
from activome.networks.spiking.simulate import simulate

DATA = Path(__file__).parent / "data"
DT = 0.1


def recorded(name: str) -> dict[str, Any]:
    with np.load(DATA / f"{name}.npz") as file:
        found = dict(file)
    assert f"record_peers.py {name}" in str(found.pop("provenance"))
    whole = {key for key, values in found.items() if values.dtype.kind in "iu"} - {"spikes"}
    return {key: v.astype(np.int64) if key in whole else v for key, v in found.items()}


def test_the_spikes_of_brian2() -> None:
    r = recorded("brian2")
    n_in, n = 40, 160
    parts = []
    for pre, rows, first, receptor in (
        ("in", r["source"] < n_in, 0, "exc"),
        ("cells", (r["source"] >= n_in) & (r["source"] < n_in + n - 32), n_in, "exc"),
        ("cells", r["source"] >= n_in + n - 32, n_in, "inh"),
    ):
        options: Any = {"receptor": receptor, "name": f"{pre} {receptor}"}
        parts.append(
            Projection.from_table(
                pre, "cells", (n_in if pre == "in" else n, n), r["source"][rows] - first,
                r["target"][rows], r["weight_1024"][rows] / 1024, r["delay_steps"][rows] * DT,
                **options,
            )
        )  # fmt: skip
    cell = IFCurrExp(tau_m=20.0, tau_e=5.0, tau_i=8.0, refractory=2.0, comparison=">")
    network = Network([Population("in", n_in, SpikeSource()), Population("cells", n, cell)], parts)
    given = Events(r["input_step"] * 100, r["input_unit"], n_units=n_in)
    found = simulate(
        network, {"in": given}, 300.0, DT, arrivals="after", refractory_rule="brian"
    ).spikes["cells"]
    theirs = set(zip(r["spike_step"].tolist(), r["spike_unit"].tolist(), strict=True))
    assert len(theirs) > 500
    assert set(zip((found.t // 100).tolist(), found.unit.tolist(), strict=True)) == theirs


@pytest.mark.parametrize("reset", ["value", "subtract"])
@pytest.mark.parametrize("refractory", [0, 1, 3, 20])
def test_the_spikes_of_brian2_where_voltages_jump(reset: Any, refractory: int) -> None:
    r = recorded("brian2")
    n_in, n = 15, 20
    parts = []
    for name, first, last in (("in", 0, n_in), ("exc", n_in, n_in + n), ("inh", n_in + n, 99)):
        rows = (r["jump_source"] >= first) & (r["jump_source"] < last)
        pre, size = ("in", n_in) if name == "in" else ("cells", n)
        parts.append(
            Projection.from_table(
                pre, "cells", (size, n), r["jump_source"][rows] - first, r["jump_target"][rows],
                r["jump_weight_1024"][rows] / 1024, r["jump_delay"][rows] * DT,
                receptor="inh" if name == "inh" else "exc", name=name,
            )
        )  # fmt: skip
    cell = LIF(
        tau=2.0,
        refractory=refractory * DT,
        i_offset=r["jump_drive_1024"] / 1024,
        comparison=">",
    )
    network = Network([Population("in", n_in, SpikeSource()), Population("cells", n, cell)], parts)
    found = simulate(
        network,
        {"in": Events(r["jump_input_step"] * 100, r["jump_input_unit"], n_units=n_in)},
        30.0,
        DT,
        arrivals="after",
        reset_rule=reset,
        refractory_rule="brian",
    ).spikes["cells"]
    theirs = set(zip(*r[f"jump_{reset}_{refractory}"].tolist(), strict=True))
    assert len(theirs) > 100
    assert set(zip((found.t // 100).tolist(), found.unit.tolist(), strict=True)) == theirs


def test_the_pair_curve_of_brian2() -> None:
    r = recorded("brian2")
    n = r["pre_step"].size
    rule = PairSTDP(tau_minus=30.0, delay="axonal", zero_lag="potentiate")
    joined = Projection.one_to_one("pre", "post", n, 0.5, r["pair_delay"] * DT, plasticity=rule)
    network = Network([Population(name, n, SpikeSource()) for name in ("pre", "post")], [joined])
    inputs = {}
    for name in ("pre", "post"):
        order = np.argsort(r[f"{name}_step"], kind="stable")
        inputs[name] = Events(100 * r[f"{name}_step"][order], order, n_units=n)
    found = simulate(network, inputs, 110.0, DT, arrivals="after").weights["pre->post"]
    assert (n, np.ptp(found) > 0.01) == (200, True)
    np.testing.assert_allclose(found, r["pair_weight"], rtol=0, atol=1e-12)
    # And the curve itself: a spike behind, so much later than the arrival, or earlier.
    gap = (r["post_step"] - r["pre_step"] - r["pair_delay"]) * DT
    curve = np.where(gap >= 0, 0.01 * np.exp(-gap / 20.0), -0.012 * np.exp(gap / 30.0))
    np.testing.assert_allclose(found - 0.5, curve, rtol=0, atol=1e-12)


def test_the_spikes_of_norse() -> None:
    r = recorded("norse")
    current = r["current_4096"] / 4096
    spikes = np.unpackbits(r["spikes"], axis=1, count=current.shape[1]).astype(bool)
    assert spikes.sum() > 300
    # An Euler step keeps 1 - dt tau_mem_inv = 0.9 of the voltage.
    cell = LIF(tau=-1.0 / np.log(0.9), resistance=10.0, comparison=">")
    network = Network([Population("cells", current.shape[1], cell)])
    found = simulate(network, {"cells": current}, len(current), 1.0).spikes["cells"]
    theirs = np.argwhere(spikes)
    np.testing.assert_array_equal(np.stack([found.t // 1000, found.unit], axis=1), theirs)
    torch = pytest.importorskip("torch")
    from activome.networks.spiking.surrogate_gradient import lif_forward

    high = float(np.nextafter(1.0, 2.0))  # a torch cell fires at the threshold, Norse above it
    options: Any = {"reset_mode": "zero"}
    layer = lif_forward(torch.as_tensor(current)[:, None], 0.9, high, **options)
    np.testing.assert_array_equal(layer[:, 0].numpy() > 0, spikes)
