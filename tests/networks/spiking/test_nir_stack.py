"""Stacks of torch cells over NIR: the same spikes there and back, a slow twin, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from activome.errors import ActivityError, ActivityWarning, ParameterError
from activome.networks.spiking.nir_exchange import from_nir, to_nir, write_nir
from activome.networks.spiking.torch_cells import LeakyReadout, LIFCell, MetaCell

nir = pytest.importorskip("nir", reason="needs nir: pip install 'activome[nir]'")


def stack() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Linear(10, 16), LIFCell(16, tau=7.0, learnable="all"),
        nn.Linear(16, 8, bias=False), LIFCell(8, tau=15.0, threshold=0.7, reset=0.1),
        LeakyReadout(8, 3, tau=12.0),
    )  # fmt: skip
    with torch.no_grad():
        layers[0].weight.mul_(3.0)
        layers[2].weight.mul_(3.0)
        layers[1].log_tau.add_(0.5 * torch.rand(16))
    return layers


@pytest.mark.parametrize("method", ["exact", "euler"])
@pytest.mark.parametrize("unit_r", [False, True])
def test_there_and_back_is_the_same_stack(method: Any, unit_r: bool, tmp_path: Path) -> None:
    layers = stack()
    write_nir(tmp_path / "a.nir", to_nir(layers, 1.0, method=method, unit_r=unit_r))
    again = from_nir(tmp_path / "a.nir", 1.0, into="torch", method=method)
    assert [type(layer) for layer in again] == [type(layer) for layer in layers]
    current = torch.rand(4, 100, 10, generator=torch.Generator().manual_seed(0))
    x, y = current, current
    for one, two in zip(layers, again, strict=True):
        x, y = one(x), two(y)
        if isinstance(one, LIFCell):
            assert x.sum() > 100
            assert torch.equal(x, y)
    torch.testing.assert_close(x, y)


def test_the_spikes_of_an_explicit_euler_step() -> None:
    generator = np.random.default_rng(0)
    n_in, n = 5, 7
    weight, bias = generator.normal(0.3, 1.0, (n, n_in)), generator.normal(0, 0.1, n)
    tau, r = generator.uniform(5e-3, 30e-3, n), generator.uniform(4, 9, n)
    leak, high, low = 0.2 * np.ones(n), 1.3 * np.ones(n), 0.1 * np.ones(n)
    node = nir.LIF(tau=tau, r=r, v_leak=leak, v_threshold=high, v_reset=low)
    layers = from_nir(
        nir.NIRGraph.from_list(nir.Affine(weight, bias), node), 1.0, into="torch", method="euler"
    )
    x = generator.random((1, 200, n_in))
    found = layers(torch.as_tensor(x, dtype=torch.float32))[0].detach().numpy()
    v, expected = leak.copy(), np.zeros((200, n))
    for t in range(200):
        v += 1e-3 / tau * (leak - v + r * (weight @ x[0, t] + bias))
        expected[t] = v > high
        v[v > high] = low[v > high]
    assert expected.sum() > 50
    np.testing.assert_array_equal(found, expected)


def test_the_threshold_is_that_of_the_program() -> None:
    """At the threshold to the last bit, a cell of NIR is silent and one of ours fires."""
    one = np.ones(1)
    node = nir.IF(r=1e3 * one, v_threshold=one)
    current = torch.full((1, 4, 1), 0.5)
    graph = nir.NIRGraph.from_list(node)
    silent = from_nir(graph, 1.0, into="torch")
    assert silent(current).flatten().tolist() == [0, 0, 1, 0]
    node.metadata["comparison"] = ">="
    assert from_nir(graph, 1.0, into="torch")(current).flatten().tolist() == [0, 1, 0, 1]


def test_refusals() -> None:
    with pytest.raises(ParameterError, match="cannot say reset_mode='subtract' of layer 1"):
        to_nir([nn.Linear(2, 3), LIFCell(3, reset_mode="subtract")], 1.0)
    with pytest.warns(ActivityWarning, match="dropped the subtraction at the reset of layer 0"):
        graph = to_nir([LIFCell(3, reset_mode="subtract")], 1.0, drop=["reset"])
    assert "layer 0" in graph.metadata["dropped"]
    for wrong, match in (
        ([nn.Linear(2, 3), MetaCell(3)], "layer 1 of 2 is a MetaCell"),
        ([LeakyReadout(2, 3), LIFCell(3)], "layer 0 of 2 is a LeakyReadout"),
        ([nn.Linear(2, 3)], "must hold a LIFCell"),
    ):
        with pytest.raises(ParameterError, match=match):
            to_nir(wrong, 1.0)
    with pytest.raises(ParameterError, match="currents are of a Network"):
        to_nir(stack(), 1.0, currents=["a"])

    one = np.ones(2)
    lif = nir.LIF(tau=0.02 * one, r=one, v_leak=0 * one, v_threshold=one)
    li = nir.LI(tau=0.02 * one, r=one, v_leak=0 * one)
    cuba = nir.CubaLIF(
        tau_syn=0.01 * one, tau_mem=0.02 * one, r=one, v_leak=0 * one, v_threshold=one
    )
    eye = np.eye(2)
    for nodes, match in (
        ([nir.Linear(eye), cuba], "'cubalif' is a CubaLIF"),
        ([nir.Delay(0.01 * one), nir.Linear(eye), lif], "has no delays"),
        ([nir.Affine(eye, one), li], "a LeakyReadout is weights"),
        ([nir.Linear(eye), li, nir.Linear(2 * eye)], "only a bias can follow"),
        ([nir.Linear(eye), li, nir.Linear(eye), lif], "one chain"),
    ):
        with pytest.raises(ActivityError, match=match):
            from_nir(nir.NIRGraph.from_list(*nodes), 1.0, into="torch")
    loop = nir.NIRGraph(
        {"in": nir.Input(np.array([2])), "lif": lif, "w": nir.Linear(eye),
         "out": nir.Output(np.array([2]))},
        [("in", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "out")],
    )  # fmt: skip
    with pytest.raises(ActivityError, match="one chain; 'lif' leads to 'lif'"):
        from_nir(loop, 1.0, into="torch")
