"""First spikes: worked numbers, event by event, finite differences, and the classifier."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.optimize import brentq
from torch import Tensor

from activome.errors import ActivityError, ParameterError
from activome.networks import TimeToFirstSpikeNet
from activome.networks._first_spikes import LATE, SPIKES, _Parallel, exponential_spikes
from activome.networks.time_to_first_spike import _OnceLayers

Array = np.ndarray[Any, Any]
_LAST = np.log(LATE)


def respond(since: Array, kernel: str) -> Array:
    since = np.clip(since, 0.0, None)
    grown = 1 - np.exp(-since) if kernel == "exponential" else since * np.exp(1 - since)
    return np.asarray(grown)


def brute(t: Array, weight: Array, kernel: str) -> float:
    """Follow the membrane of one cell from event to event, and bisect the first crossing."""

    def away(s: float) -> float:
        return float(respond(s - t, kernel) @ weight) - 1.0

    edges = np.unique(np.append(t[t < _LAST], _LAST))
    for low, high in itertools.pairwise(edges):
        fine = np.linspace(low, high, 400)
        above = np.flatnonzero(respond(fine[:, None] - t, kernel) @ weight >= 1.0)
        if above.size:
            k = int(above[0])
            return float(brentq(away, fine[k - 1], fine[k], xtol=1e-13)) if k else float(low)
    return float(_LAST)


def draw(kernel: str, seed: int, n: int = 6) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    t = rng.uniform(0, 1.5, (n, 12))
    t[:, :2] = _LAST
    weight = rng.normal(0.25, 0.5, (12, 5))
    return torch.from_numpy(t), torch.from_numpy(weight)


def times(kernel: str, t: Tensor, weight: Tensor) -> Tensor:
    if kernel == "exponential":
        return exponential_spikes(t.exp(), weight).log()
    return SPIKES[kernel](t, weight)


def test_worked_pair() -> None:
    # The first input alone would fire the cell at 3, after the second came at 2.
    found = exponential_spikes(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.5], [1.0]]))
    assert found.item() == pytest.approx(3.5 / 1.5)
    alone = exponential_spikes(torch.tensor([[1.0, 4.0]]), torch.tensor([[1.5], [1.0]]))
    assert alone.item() == pytest.approx(3.0)
    silent = exponential_spikes(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5], [0.5]]))
    assert silent.item() == LATE


@pytest.mark.parametrize("kernel", ["exponential", "srm"])
@pytest.mark.parametrize("seed", range(3))
def test_forward_follows_the_membrane(kernel: str, seed: int) -> None:
    t, weight = draw(kernel, seed)
    found = times(kernel, t, weight).numpy()
    wanted = np.array([[brute(row, w, kernel) for w in weight.numpy().T] for row in t.numpy()])
    assert (wanted < _LAST).any()
    np.testing.assert_allclose(found, wanted, atol=1e-9)


@pytest.mark.parametrize("kernel", ["exponential", "srm"])
def test_gradient_against_finite_differences(kernel: str) -> None:
    t, weight = draw(kernel, 7)
    t.requires_grad_()
    weight.requires_grad_()
    found = times(kernel, t, weight)
    found.sum().backward()
    assert t.grad is not None
    assert weight.grad is not None
    step = 1e-6
    with torch.no_grad():
        for which, grad in ((weight, weight.grad), (t, t.grad)):
            flat = which.view(-1)
            for k in range(0, flat.numel(), 5):
                before = float(flat[k])
                flat[k] = before + step
                up = times(kernel, t, weight).sum()
                flat[k] = before - step
                down = times(kernel, t, weight).sum()
                flat[k] = before
                slope = float(up - down) / (2 * step)
                assert float(grad.view(-1)[k]) == pytest.approx(slope, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_one_by_one_and_all_at_once_agree(seed: int) -> None:
    t, weight = draw("exponential", seed, n=20)
    t[3] = t[3].round(decimals=1)  # ties
    pulled = torch.from_numpy(np.random.default_rng(seed).normal(size=(20, 5)))
    found = []
    for form in (exponential_spikes, _Parallel.apply):
        z, w = t.exp().requires_grad_(), weight.clone().requires_grad_()
        at = form(z, w)
        (at * pulled).sum().backward()
        found.append((at.detach(), z.grad, w.grad))
    for one, two in zip(*found, strict=True):
        assert one is not None
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-9)


def test_later_inputs_make_later_spikes() -> None:
    t, weight = draw("exponential", 0)
    for kernel in ("exponential", "srm"):
        one = times(kernel, t[:, 2:], weight[2:].abs())
        np.testing.assert_allclose(times(kernel, t[:, 2:] + 0.5, weight[2:].abs()), one + 0.5)


def test_gradient_of_the_whole_loss() -> None:
    rng = np.random.default_rng(11)
    network = _OnceLayers((9, 7, 4), "exponential").double()
    t = torch.from_numpy(rng.uniform(0.0, 1.5, (5, 9)))
    wanted = torch.from_numpy(rng.integers(4, size=5))
    with torch.no_grad():
        for weight, total in zip(network.weights, (4.0, 2.0), strict=True):
            weight.copy_(torch.from_numpy(rng.normal(total / len(weight), 0.2, weight.shape)))

    def loss() -> Tensor:
        logits = -network(t)[-1].exp()
        missed = torch.nn.functional.cross_entropy(logits.clamp(min=-50.0), wanted)
        total: Tensor = missed + network.cost(0.5, 1e-2)
        return total

    loss().backward()
    step, n_moved = 1e-6, 0
    with torch.no_grad():
        for weight in network.weights:
            flat = weight.view(-1)
            assert weight.grad is not None
            for k in range(flat.numel()):
                ends = []
                for sign in (1.0, -1.0):
                    flat[k] += sign * step
                    ends.append(float(loss()))
                    flat[k] -= sign * step
                slope = float(weight.grad.view(-1)[k])
                assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-7)
                n_moved += abs(slope) > 1e-3
    assert n_moved > 60


def test_probabilities_are_those_of_the_loss() -> None:
    X, y = blobs()
    model = TimeToFirstSpikeNet((6,), 2, lr=0.02).fit(X, y)
    z = np.exp(np.minimum(model.first_spikes(X)["output"].values, _LAST))
    weight = np.exp(z.min(axis=1, keepdims=True) - z)
    np.testing.assert_allclose(
        model.predict_proba(X), weight / weight.sum(axis=1, keepdims=True), atol=1e-12
    )


def blobs(n: int = 80) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % 4
    return np.repeat(np.eye(4), 5, axis=1)[y] * rng.uniform(0.4, 1.0, (n, 20)), y


@pytest.mark.parametrize("kernel", ["exponential", "srm"])
def test_learns(kernel: Any) -> None:
    X, y = blobs()
    model = TimeToFirstSpikeNet((12,), 30, lr=0.02, kernel=kernel, batch_size=16).fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.validation_curve_.size == 31
    assert model.validation_curve_[1:].max() == model.validation_curve_.max()
    assert sorted(model.silent_share_) == ["hidden[0]", "output"]


def test_first_spikes_and_rasters() -> None:
    X, y = blobs()
    labelled = xr.DataArray(X, dims=("trial", "unit"), coords={"trial": np.arange(80) + 5})
    labelled = labelled.assign_coords(kind=("trial", y))
    model = TimeToFirstSpikeNet((12,), 3, lr=0.02, batch_size=16).fit(labelled, "kind")
    when = model.first_spikes(labelled)
    raster = model.spikes(labelled)
    for name in ("hidden[0]", "output"):
        fires = np.isfinite(when[name].values)
        np.testing.assert_array_equal(raster[name].sum("time"), fires)
        first = raster[name].time.values[raster[name].argmax("time").values]
        np.testing.assert_allclose(first[fires], when[name].values[fires], atol=0.0501)
        assert raster[name].trial.values[0] == 5
    earliest = model.classes_[when["output"].values.argmin(axis=1)]
    np.testing.assert_array_equal(model.predict(X), earliest)
    assert model.score(labelled, "kind") == model.score(X, y)
    count = model.operations(X)
    hidden = np.isfinite(when["hidden[0]"].values).mean(axis=0).sum()
    assert count.accumulate == pytest.approx(20 * 12 + hidden * 4)
    assert (count.multiply_accumulate, count.steps) == (0.0, 0)


def test_the_best_pass_stays() -> None:
    X, y = blobs()
    rng = np.random.default_rng(3)
    noisy = np.where(rng.random(80) < 0.3, rng.integers(4, size=80), y)
    model = TimeToFirstSpikeNet((6,), 8, lr=0.3, validation_fraction=0.0).fit(X, noisy)
    # Without samples kept back the passes are judged by all of them.
    assert model.score(X, noisy) == pytest.approx(model.validation_curve_[1:].max())


def test_refusals() -> None:
    X, y = blobs()
    with pytest.raises(ActivityError, match="from 0 to 1; they run from"):
        TimeToFirstSpikeNet().fit(-X, y)
    with pytest.raises(ActivityError, match="at least two classes; got 1 class"):
        TimeToFirstSpikeNet().fit(X, np.zeros(80, int))
    with pytest.raises(ActivityError, match="target y is None"):
        TimeToFirstSpikeNet().fit(X)
    with pytest.raises(ParameterError, match="unknown kernel 'alpha'"):
        TimeToFirstSpikeNet(kernel="alpha").fit(X, y)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="t_max"):
        TimeToFirstSpikeNet(t_max=11.0).fit(X, y)
    with pytest.raises(ParameterError, match="hidden"):
        TimeToFirstSpikeNet((0,)).fit(X, y)
    with pytest.raises(ParameterError, match=r"hidden must be a sequence.*such as \(64,\); got 64"):
        TimeToFirstSpikeNet(64).fit(X, y)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="unknown schedule 'step'"):
        TimeToFirstSpikeNet(schedule="step").fit(X, y)  # type: ignore[arg-type]
    model = TimeToFirstSpikeNet((), 1).fit(X, y)
    with pytest.raises(ActivityError, match="one class per sample"):
        model.score(X, y[:3])
