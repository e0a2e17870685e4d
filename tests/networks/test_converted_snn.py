"""Conversion of rectifiers: worked spikes, laws of rates, a slow loop, and refusals."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from activome.errors import ActivityError, ParameterError
from activome.networks import convert_relu, count_operations, seed_everything

Array = np.ndarray[Any, Any]


def dense(seed: int, *sizes: int, bias: bool = True) -> nn.Sequential:
    with seed_everything(seed):
        parts: list[nn.Module] = []
        for a, b in itertools.pairwise(sizes):
            parts += [nn.Linear(a, b, bias=bias), nn.ReLU()]
        return nn.Sequential(*parts[:-1])


def convolutional(seed: int = 0) -> nn.Sequential:
    with seed_everything(seed):
        network = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2),
            nn.Dropout(0.4), nn.Conv2d(4, 5, 3, stride=2), nn.ReLU(), nn.Flatten(),
            nn.Sequential(nn.Linear(20, 8), nn.BatchNorm1d(8), nn.ReLU()), nn.Linear(8, 3),
        )  # fmt: skip
        network.train()
        for _ in range(5):
            network(torch.rand(30, 2, 10, 10))
        return network.eval()


def images(n: int, *shape: int) -> Array:
    return np.random.default_rng(1).random((n, *shape))


def outputs(network: nn.Module, X: Array) -> Array:
    with torch.no_grad():
        return network(torch.from_numpy(X).float()).numpy()  # type: ignore[no-any-return]


@pytest.mark.parametrize(("reset", "n_spikes"), [("subtract", 3), ("zero", 2)])
def test_worked_charge(reset: Any, n_spikes: int) -> None:
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU())
    nn.init.ones_(network[0].weight)
    spiking = convert_relu(network, [[1.0]], n_steps=10, reset=reset)
    # Charge of ten steps of 0.3: three spikes; a reset to zero loses 0.2 with each.
    assert int(spiking.spikes([[0.3]])["output"].sum()) == n_spikes


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_steps", [1, 7, 32])
def test_first_layer_rates_within_one_spike(seed: int, n_steps: int) -> None:
    network, X = dense(seed, 9, 12, 4), images(40, 9) * 3 - 1
    spiking = convert_relu(network, X, n_steps=n_steps, percentile=95.0)
    rate = spiking.spikes(X)["hidden[0]"].mean("time").values
    wanted = np.minimum(outputs(network[:2], X) / spiking.scales_[0], 1.0)
    assert np.abs(rate - wanted).max() <= 1.0 / n_steps + 1e-6


def test_first_layer_rates_of_a_convolution() -> None:
    network, X = convolutional(), images(20, 2, 10, 10)
    spiking = convert_relu(network, X, n_steps=25)
    rate = spiking.spikes(X)["hidden[0]"].mean("time").values
    wanted = np.minimum(outputs(network[:3], X).reshape(20, -1) / spiking.scales_[0], 1.0)
    assert np.abs(rate - wanted).max() <= 1.0 / 25 + 1e-6


def test_classes_approach_those_of_the_network() -> None:
    network, X = convolutional(), images(60, 2, 10, 10)
    wanted = outputs(network, X).argmax(axis=1)
    agree = [float((convert_relu(network, X).predict(X, n) == wanted).mean()) for n in (2, 512)]
    assert agree[1] >= 0.97
    assert agree[1] >= agree[0]


def test_logits_below_zero_are_told_apart() -> None:
    network, X = dense(0, 6, 8, 3), images(30, 6)
    with torch.no_grad():
        network[-1].bias -= 50.0
    wanted = outputs(network, X)
    assert (wanted < 0).all()
    found = convert_relu(network, X, n_steps=400).predict(X)
    assert (found == wanted.argmax(axis=1)).mean() > 0.9


def test_deeper_networks_need_more_steps() -> None:
    X = images(80, 10)
    error = []
    for depth in (1, 4):
        network = dense(3, 10, *[30] * depth, 4)
        spiking = convert_relu(network, X, n_steps=16)
        last = f"hidden[{depth - 1}]"
        rate = spiking.spikes(X)[last].mean("time").values
        scale = spiking.scales_[depth - 1]
        wanted = np.minimum(outputs(network[: 2 * depth], X) / scale, 1.0)
        error.append(float(np.abs(rate - wanted).mean()))
    assert error[1] > 1.2 * error[0]


def slow(network: nn.Sequential, scales: Array, x: Array, n_steps: int) -> list[list[Array]]:
    """Step a dense network cell by cell."""
    maps = [m for m in network if isinstance(m, nn.Linear)]
    before = [1.0, *scales[:-1]]
    weights = [m.weight.detach().numpy() * a / b
               for m, a, b in zip(maps, before, scales, strict=True)]  # fmt: skip
    biases = [m.bias.detach().numpy() / b for m, b in zip(maps, scales, strict=True)]
    voltage = [np.zeros(len(w)) for w in weights]
    spikes: list[list[Array]] = [[] for _ in weights]
    for _ in range(n_steps):
        now = x
        for k, (w, b) in enumerate(zip(weights, biases, strict=True)):
            voltage[k] += w @ now + b
            now = (voltage[k] >= 1.0).astype(float)
            voltage[k] -= now
            spikes[k].append(now)
    return spikes


def test_parity_with_a_slow_loop() -> None:
    network, X = dense(5, 7, 9, 6, 3).double(), images(5, 7)
    spiking = convert_relu(network, X, n_steps=30)
    found = spiking.spikes(X)
    for k, x in enumerate(X):
        for raster, wanted in zip(found.values(), slow(network, spiking.scales_, x, 30),
                                  strict=True):  # fmt: skip
            np.testing.assert_array_equal(raster.values[k], np.array(wanted))


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    network, X = convolutional(), images(12, 2, 10, 10)
    for encoding in ("current", "poisson"):
        spiking = convert_relu(network, X, n_steps=9, encoding=encoding)
        whole = spiking.decision_function(X)
        assert whole.shape == (12, 3)
        monkeypatch.setattr("activome.networks.converted_snn._AT_ONCE", 9 * 400 * 5)
        np.testing.assert_allclose(spiking.decision_function(X), whole, atol=1e-12)
        monkeypatch.undo()


def test_drawn_input_comes_from_the_sample_alone() -> None:
    network, X = dense(2, 8, 20, 3).double(), images(30, 8)
    spiking = convert_relu(network, X, n_steps=20, encoding="poisson", random_state=4)
    chosen = np.random.default_rng(0).permutation(30)[:11]
    np.testing.assert_array_equal(spiking.predict(X[chosen]), spiking.predict(X)[chosen])
    whole, part = spiking.spikes(X), spiking.spikes(X[chosen])
    for name in whole:
        np.testing.assert_array_equal(part[name].values, whole[name].values[chosen])
    # Fewer steps are the first of the many; another seed draws other spikes.
    fewer = spiking.spikes(X, 6)["input"].values
    np.testing.assert_array_equal(fewer, whole["input"].values[:, :6])
    other = convert_relu(network, X, n_steps=20, encoding="poisson", random_state=5)
    assert (other.spikes(X)["input"].values != whole["input"].values).mean() > 0.2


def test_poisson_input_tends_to_the_same_classes() -> None:
    network, X = dense(2, 8, 20, 3), images(40, 8)
    spiking = convert_relu(network, X, n_steps=2000, encoding="poisson", classes=["a", "b", "c"])
    wanted = np.array(["a", "b", "c"])[outputs(network, X).argmax(axis=1)]
    assert spiking.score(X, wanted) > 0.85
    assert spiking.operations(X, 50).multiply_accumulate == 0.0


def test_an_outlier_and_its_percentile() -> None:
    network, X = dense(1, 6, 10, 3), images(1000, 6)
    X[0] *= 1000.0
    robust, largest = convert_relu(network, X), convert_relu(network, X, percentile=100.0)
    assert largest.scales_[0] > 50 * robust.scales_[0]
    assert 0 < robust.saturation_[0] <= 1.1e-3
    assert largest.saturation_[0] == 0.0


def test_operations_of_dense_and_convolved_layers() -> None:
    network, X = dense(0, 9, 12, 4), images(30, 9)
    spiking = convert_relu(network, X, n_steps=4)
    count = spiking.operations(X)
    hidden = spiking.spikes(X)["hidden[0]"].values.sum() / 30
    assert count.multiply_accumulate == 9 * 12
    assert count.accumulate == pytest.approx(hidden * 4)
    assert (count.steps, count.leak_multiply) == (4, 0.0)
    network, X = convolutional(), images(6, 2, 10, 10)
    spiking = convert_relu(network, X, n_steps=4)
    spikes = {k: v.values.sum(axis=(0, 1)) / 6 for k, v in spiking.spikes(X).items()}
    ways = np.zeros((4, 5, 5))
    for y in (0, 2):
        for x in (0, 2):
            ways[:, y : y + 3, x : x + 3] += 5
    wanted = spikes["hidden[0]"] @ ways.repeat(2, axis=1).repeat(2, axis=2).ravel()
    wanted += spikes["hidden[1]"].sum() * 8 + spikes["hidden[2]"].sum() * 3
    assert spiking.operations(X).accumulate == pytest.approx(wanted)
    assert spiking.operations(X).multiply_accumulate == 4 * 100 * 18
    assert count_operations(network, X).multiply_accumulate == 7200 + 5 * 4 * 36 + 160 + 24


def test_labels_of_trials_are_kept() -> None:
    network, X = dense(0, 4, 5, 2), images(6, 4)
    labelled = xr.DataArray(X, dims=("trial", "unit"), coords={"trial": np.arange(6) + 10})
    spiking = convert_relu(network, labelled, n_steps=5)
    found = spiking.spikes(labelled)["hidden[0]"]
    assert found.dims == ("trial", "time", "unit")
    assert found.trial.values.tolist() == list(range(10, 16))
    np.testing.assert_array_equal(spiking.predict(labelled), spiking.predict(X))


@pytest.mark.parametrize("encoding", ["current", "poisson"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions(encoding: Any, dtype: torch.dtype) -> None:
    network, X = dense(4, 6, 9, 3), images(200, 6).astype(np.float32)
    single = convert_relu(network, X, encoding=encoding, n_steps=400)
    spiking = convert_relu(dense(4, 6, 9, 3).to(dtype), X, encoding=encoding, n_steps=400)
    assert np.mean(spiking.predict(X) == single.predict(X)) > 0.9
    found = spiking.operations(X).spikes_per_unit
    for name, raster in spiking.spikes(X).items():
        np.testing.assert_allclose(found[name], raster.values.sum(axis=(0, 1)) / 200)
    if dtype == torch.float64 and encoding == "poisson":
        # The same draws, for the numbers are the same.
        np.testing.assert_array_equal(spiking.spikes(X)["input"], single.spikes(X)["input"])


def test_the_module_stays_as_it_was() -> None:
    network, X = convolutional(), images(5, 2, 10, 10)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    convert_relu(network.train(), X)
    assert network.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_state_dict_round_trip() -> None:
    network, X = dense(0, 4, 5, 2), images(6, 4)
    one, two = convert_relu(network, X), convert_relu(dense(9, 4, 5, 2), X)
    two.load_state_dict(one.state_dict())
    np.testing.assert_array_equal(one.decision_function(X), two.decision_function(X))


def test_unweighted_stages_and_nested_pools() -> None:
    with seed_everything(0):
        network = nn.Sequential(
            nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 3, 3, padding=1), nn.AvgPool2d(2), nn.ReLU(),
            nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
        )  # fmt: skip
    X = images(20, 16)
    spiking = convert_relu(network, X, n_steps=500)
    rate = spiking.spikes(X)["output"].mean("time").values * spiking.scales_[-1]
    np.testing.assert_allclose(rate, np.minimum(outputs(network, X), spiking.scales_[-1]),
                               atol=0.02)  # fmt: skip


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (nn.MaxPool1d(1), "layer '1', a MaxPool1d, has no spiking form.*AvgPool2d instead"),
        (nn.Tanh(), "layer '1', a Tanh, has no spiking form"),
        (nn.LayerNorm(5), "layer '1', a LayerNorm"),
    ],
)
def test_layers_that_cannot_be_converted_are_named(layer: nn.Module, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        convert_relu(nn.Sequential(nn.Linear(4, 5), layer, nn.Linear(5, 2)), images(3, 4))


def test_batch_norm_that_cannot_be_folded_is_named() -> None:
    with pytest.raises(ParameterError, match=r"layer '0', a BatchNorm1d.*nothing"):
        convert_relu(nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2)), images(3, 4))
    late = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.BatchNorm1d(5), nn.Linear(5, 2))
    with pytest.raises(ParameterError, match=r"layer '2'.*right before it"):
        convert_relu(late, images(3, 4))
    loose = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5, track_running_stats=False), nn.ReLU())
    with pytest.raises(ParameterError, match="no running statistics"):
        convert_relu(loose, images(3, 4))


def test_refusals() -> None:
    network, X = dense(0, 4, 5, 2), images(6, 4)
    silent = dense(0, 4, 5, 2)
    with torch.no_grad():
        silent[0].weight.fill_(-1.0)
        silent[0].bias.fill_(-1.0)
    with pytest.raises(ActivityError, match="layer at '0' over X_calibration are all 0"):
        convert_relu(silent, X)
    with pytest.raises(ActivityError, match=r"percentile 1 is 0\. Raise percentile"):
        convert_relu(network, X, percentile=1.0)
    with pytest.raises(ParameterError, match="n_steps must be an integer at least 1"):
        convert_relu(network, X, n_steps=0)
    broken = dense(0, 4, 5, 2)
    with torch.no_grad():
        broken[2].weight[0, 0] = np.nan
    with pytest.raises(ParameterError, match="finite; some of the layer at '2' are NaN"):
        convert_relu(broken, X)
    with pytest.raises(ParameterError, match="Sequential"):
        convert_relu(nn.Linear(2, 2), X)
    with pytest.raises(ActivityError, match="from 0 to 1; they run from 0"):
        convert_relu(network, X * 2, encoding="poisson")
    with pytest.raises(ActivityError, match="samples that the module takes"):
        convert_relu(network, images(3, 5))
    with pytest.raises(ParameterError, match="classes must be 2 labels"):
        convert_relu(network, X, classes=["a"])
    with pytest.raises(ParameterError, match="no Linear or Conv2d"):
        convert_relu(nn.Sequential(nn.ReLU()), X)
    spiking = convert_relu(network, X)
    with pytest.raises(ActivityError, match=r"of shape \(4,\)"):
        spiking.predict(images(3, 5))
    with pytest.raises(ActivityError, match="finite"):
        spiking.predict(np.full((2, 4), np.nan))
    with pytest.raises(ActivityError, match="one class per sample"):
        spiking.score(X, [0])
