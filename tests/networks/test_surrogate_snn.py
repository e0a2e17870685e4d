"""Networks trained through surrogate gradients: a step-by-step twin, encodings, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from activome.encoding import LatencyEncoder
from activome.errors import ActivityError, ParameterError
from activome.networks import SurrogateSNN
from activome.networks._step_inputs import encode
from activome.networks.spiking import lif_forward

Array = np.ndarray[Any, Any]


def blobs(n: int = 90) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    return np.repeat(np.eye(3), 5, axis=1)[y] * rng.uniform(0.4, 1.0, (n, 15)), y


@pytest.mark.parametrize(
    ("order", "spikes"), [("delayed", [1, 0, 0, 0]), ("immediate", [1, 1, 0, 0])]
)
def test_worked_order_of_the_reset(order: Any, spikes: list[int]) -> None:
    current = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(4, 1, 1)
    assert lif_forward(current, 0.5, order=order).flatten().tolist() == spikes


def test_deeper_networks_step_by_step() -> None:
    X, y = blobs()
    model = SurrogateSNN((7, 6), 8, n_epochs=3, lr=0.02, reset_order="delayed").fit(X, y)
    w = {name: values.astype(np.float64) for name, values in model.weights_.items()}
    found = {name: raster.values for name, raster in model.spikes(X).items()}
    for k, x in enumerate(X[:10]):
        voltage, fired = [np.zeros(7), np.zeros(6)], [np.zeros(7), np.zeros(6)]
        out, total = np.zeros(3), np.zeros(3)
        for step in range(8):
            now = x
            for layer in range(2):
                current = w[f"layers.{layer}.weight"] @ now + w[f"layers.{layer}.bias"]
                voltage[layer] = 0.9 * voltage[layer] + current - fired[layer]
                fired[layer] = now = (voltage[layer] >= 1.0).astype(float)
                np.testing.assert_array_equal(found[f"hidden[{layer}]"][k, step], now)
            out = 0.9 * out + w["readout.weigh.weight"] @ now
            total += out
        logits = total / 8 + w["readout.weigh.bias"]
        wanted = np.exp(logits - logits.max())
        np.testing.assert_allclose(model.predict_proba(X[k : k + 1])[0], wanted / wanted.sum())


@pytest.mark.parametrize("encoding", ["current", "poisson", "latency"])
def test_learns_every_encoding(encoding: Any) -> None:
    X, y = blobs()
    model = SurrogateSNN((16,), 10, encoding=encoding, n_epochs=25, lr=0.02, batch_size=30)
    assert model.fit(X, y).score(X, y) > 0.9
    assert ("input" in model.spikes(X)) == (encoding != "current")
    np.testing.assert_array_equal(model.predict(X), model.predict(X))


def test_drawn_input_comes_from_the_sample_alone() -> None:
    X, y = blobs()
    model = SurrogateSNN((16,), 6, encoding="poisson", n_epochs=3, lr=0.01).fit(X, y)
    chosen = np.random.default_rng(1).permutation(90)[:31]
    whole, part = model.spikes(X), model.spikes(X[chosen])
    for name in whole:
        np.testing.assert_array_equal(part[name].values, whole[name].values[chosen])
    proba = model.predict_proba(X)
    np.testing.assert_allclose(model.predict_proba(X[chosen]), proba[chosen], rtol=1e-12)
    np.testing.assert_array_equal(model.predict(X[chosen]), model.predict(X)[chosen])
    alone = [model.predict(x[None])[0] for x in X]
    np.testing.assert_array_equal(alone, model.predict(X))
    # Samples that are equal draw the same; those that differ, and other seeds, do not.
    assert (whole["input"].values[0] != whole["input"].values[3]).any()
    before, model.seed_ = whole["input"].values, model.seed_ + 1
    assert (model.spikes(X)["input"].values != before).mean() > 0.02


@pytest.mark.parametrize(
    "options",
    [{"reset": "zero"}, {"surrogate": "arctan"}, {"detach_reset": False},
     {"surrogate": "triangle", "slope": 2.0}, {"schedule": "cosine"}, {"dropout": 0.3}],
)  # fmt: skip
def test_learns_with_every_option(options: dict[str, Any]) -> None:
    X, y = blobs()
    model = SurrogateSNN((16,), 6, n_epochs=15, lr=0.03, batch_size=30, **options)
    assert model.fit(X, y).score(X, y) > 0.9


def test_dropout_leaves_a_cell_out_in_all_steps() -> None:
    X, y = blobs()
    model = SurrogateSNN((400,), 5, dropout=0.25, n_epochs=1).fit(X, y)
    network = model._network().train()
    seen: list[torch.Tensor] = []
    network.readout.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    # So large a current that all cells fire in every step.
    with torch.no_grad():
        network.layers[0].weight.zero_()
        network.layers[0].bias.fill_(5.0)
    network(torch.from_numpy(X).float(), 5)
    kept = seen[0]
    assert torch.equal(kept, kept[:, :1].expand_as(kept))
    np.testing.assert_allclose(kept.unique().numpy(), [0.0, 1 / 0.75], rtol=1e-6)
    assert float((kept == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    network.eval()(torch.from_numpy(X).float(), 5)
    assert bool((seen[1] == 1).all())


def test_latency_is_that_of_the_encoder() -> None:
    X = np.random.default_rng(0).random((5, 20))
    X[0, :3] = [0.0, 0.005, 1.0]
    steps = encode(torch.from_numpy(X), "latency", 11, torch.Generator()).numpy()
    events = LatencyEncoder(t_max=0.01).encode(X)
    wanted = np.zeros_like(steps)
    wanted[np.rint(events.time / 1e-3).astype(int), events.trial, events.unit] = 1
    assert (steps != wanted).sum() <= 2  # a time half-way between steps, rounded to 1 us before
    np.testing.assert_array_equal(steps.sum(axis=0), X >= 0.01)


def test_poisson_has_the_chance_of_the_intensity() -> None:
    values = torch.tensor([[0.0, 0.25, 1.0]])
    steps = encode(values, "poisson", 4000, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(steps.mean(dim=0)[0], [0.0, 0.25, 1.0], atol=0.03)


def test_refusals() -> None:
    X, y = blobs()
    with pytest.raises(ActivityError, match="from 0 to 1; they run from 0 to 2"):
        SurrogateSNN(encoding="latency").fit(np.round(X) * 2, y)
    with pytest.raises(ParameterError, match="n_steps must be an integer at least 1"):
        SurrogateSNN(n_steps=0).fit(X, y)
    with pytest.raises(ParameterError, match="beta must be in"):
        SurrogateSNN(beta=1.0).fit(X, y)
    with pytest.raises(ParameterError, match="hidden layers"):
        SurrogateSNN(()).fit(X, y)
    with pytest.raises(ParameterError, match="hidden must be a sequence"):
        SurrogateSNN(None).fit(X, y)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match=r"device must be one that torch has.*'gpu7'"):
        SurrogateSNN(device="gpu7").fit(X, y)
    with pytest.raises(ParameterError, match="dropout must be in"):
        SurrogateSNN(dropout=1.0).fit(X, y)
    with pytest.raises(ParameterError, match="unknown schedule 'linear'"):
        SurrogateSNN(schedule="linear").fit(X, y)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="unknown encoding 'rate'"):
        SurrogateSNN(encoding="rate").fit(X, y)  # type: ignore[arg-type]
    with pytest.raises(ActivityError, match="target y is None"):
        SurrogateSNN().fit(X)
    with pytest.raises(ActivityError, match="at least two classes"):
        SurrogateSNN().fit(X, np.ones(90))
