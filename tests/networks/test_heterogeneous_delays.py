"""The layer of delayed synapses: by hand, against a slow convolution, and its event form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from activome.activity.events import Events
from activome.errors import ActivityError, ParameterError
from activome.networks.delayed_events import delay_events, polarity_units
from activome.networks.heterogeneous_delays import HeterogeneousDelayLayer

Array = np.ndarray[Any, Any]


def slow_twin(events: Any, weight: Any) -> Any:
    """Sum event by event and synapse by synapse, at every pixel."""
    n_classes, _, n_delays, side, _ = weight.shape
    _, n_bins, n_rows, n_columns = events.shape
    evidence = np.zeros((n_classes, n_bins, n_rows, n_columns))
    r = side // 2
    for p, t, y, x in zip(*np.nonzero(events), strict=True):
        for d in range(min(n_delays, n_bins - t)):
            for dy in range(-r, r + 1):
                for dx in range(-r, r + 1):
                    if 0 <= y + dy < n_rows and 0 <= x + dx < n_columns:
                        evidence[:, t + d, y + dy, x + dx] += weight[:, p, d, dy + r, dx + r]
    return evidence


def drawn(symmetric: bool, **options: Any) -> HeterogeneousDelayLayer:
    torch.manual_seed(0)
    layer = HeterogeneousDelayLayer(
        3, n_delays=4, kernel_size=5, polarity_symmetric=symmetric, bias=False, **options
    )
    layer.weight.data.normal_()
    return layer


def movie(seed: int = 0, share: float = 0.1) -> Any:
    return np.random.default_rng(seed).random((2, 12, 8, 9)) < share


@pytest.mark.parametrize("symmetric", [False, True])
def test_equals_the_slow_convolution(symmetric: bool) -> None:
    layer, events = drawn(symmetric, padding="same"), movie()
    weight = layer.weight.detach().numpy()
    wanted = slow_twin(events, weight)
    if symmetric:
        wanted = np.maximum(wanted, slow_twin(events[::-1], weight))
    inputs = torch.tensor(events, dtype=torch.float32)[None]
    found = layer(inputs)[0].detach().numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    layer.padding, layer.stride = "valid", 2
    rows, columns = layer.places((8, 9))
    part = layer(inputs)[0].detach().numpy()
    np.testing.assert_allclose(part, wanted[:, :, rows][:, :, :, columns], atol=1e-5)


def test_a_dot_lines_up_its_own_delays() -> None:
    layer = HeterogeneousDelayLayer(
        1, 1, 5, 9, polarity_symmetric=False, bias=False, padding="same"
    )
    layer.weight.data.zero_()
    for d in range(5):
        layer.weight.data[0, 0, d, 4, 4 + d] = 1.0
    right = torch.zeros(1, 1, 12, 9, 24)
    left = torch.zeros_like(right)
    for t in range(12):
        right[0, 0, t, 4, 5 + t] = 1.0
        left[0, 0, t, 4, 17 - t] = 1.0
    with torch.no_grad():
        track = layer(right)[0, 0]
        assert [float(track[t, 4, 5 + t]) for t in range(4, 12)] == [5.0] * 8
        assert float(layer(left)[0, 0].max()) == 1.0


def test_the_future_does_not_matter() -> None:
    layer, events = drawn(True), torch.tensor(movie(), dtype=torch.float32)[None]
    other = events.clone()
    other[:, :, 7:] = 1 - other[:, :, 7:]
    with torch.no_grad():
        assert torch.equal(layer(events)[:, :, :7], layer(other)[:, :, :7])
        assert not torch.allclose(layer(events)[:, :, 7], layer(other)[:, :, 7])


def test_polarity_has_no_sign() -> None:
    layer, events = drawn(True), torch.tensor(movie(), dtype=torch.float32)[None]
    torch.testing.assert_close(layer(events), layer(events.flip(1)))


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_event_form_equals_the_dense_one(padding: Any) -> None:
    layer = drawn(False, padding=padding, stride=2).prune(0.3)
    raster = movie()
    p, t, y, x = np.nonzero(raster)
    order = np.argsort(t, kind="stable")
    events = Events(
        t[order], y[order] * 9 + x[order], x=x[order], y=y[order], p=p[order], shape=(8, 9),
        tick=1e-3,
    )  # fmt: skip
    dense = layer(torch.tensor(raster, dtype=torch.float32)[None])[0].detach().numpy()
    arrivals = delay_events(polarity_units(events), layer.fan_out((8, 9)))
    rows, columns = layer.places((8, 9))
    sums = np.zeros((20, 3 * rows.size * columns.size))
    assert arrivals.value is not None
    np.add.at(sums, (arrivals.t, arrivals.unit), arrivals.value)
    found = sums[:12].reshape(12, 3, rows.size, columns.size).transpose(1, 0, 2, 3)
    np.testing.assert_allclose(found, dense, atol=1e-4)


def test_pruning_keeps_the_strongest_first_of_equals() -> None:
    layer = HeterogeneousDelayLayer(1, n_delays=2, kernel_size=3, bias=False)
    layer.weight.data.fill_(1.0)
    layer.weight.data[0, 1, 1, 2, 2] = -3.0
    pruned = layer.prune(4 / 36 + 1e-3)
    table = pruned.synapses()
    assert len(table) == 5
    assert table["weight"].tolist() == [1.0, 1.0, 1.0, 1.0, -3.0]
    assert table.iloc[-1][["polarity", "delay", "dy", "dx"]].tolist() == [1, 1, 1, 1]
    assert len(layer.synapses(1.0)) == 1
    assert len(layer.prune(1.0).synapses()) == 36
    short = layer.shorten(1)
    assert short.synapses()["delay"].max() == 0
    torch.testing.assert_close(short.weight, layer.weight[:, :, :1])


def test_masks() -> None:
    disk = HeterogeneousDelayLayer(1, n_delays=3, kernel_size=5, mask="disk").kept
    assert int(disk[0, 0, 0].sum()) == 21
    cone = HeterogeneousDelayLayer(1, n_delays=3, kernel_size=5, mask="cone").kept
    assert [int(cone[0, 0, d].sum()) for d in range(3)] == [5, 9, 21]


def test_events_by_hand_and_trials() -> None:
    table = pd.DataFrame(
        {"source": [1, 0, 1], "target": [0, 2, 1], "delay": [0.0, 0.002, 0.001], "weight": 1.0}
    )
    events = Events([0, 0], [1, 0], trial=[0, 1], value=[2.0, 3.0], tick=1e-3)
    found = delay_events(events, table)
    assert found.trial is not None
    assert found.value is not None
    columns = zip(found.trial, found.t, found.unit, found.value, strict=True)
    assert [tuple(map(float, row)) for row in columns] == [(0, 0, 0, 2), (0, 1, 1, 2), (1, 2, 2, 3)]


def test_refusals() -> None:
    table = pd.DataFrame({"source": [0], "target": [0], "delay": [-1e-3], "weight": [1.0]})
    events = Events([0], [0], tick=1e-3)
    with pytest.raises(ActivityError, match="delays must not be negative"):
        delay_events(events, table)
    with pytest.raises(ActivityError, match="missing"):
        delay_events(events, table.drop(columns="delay"))
    with pytest.raises(ActivityError, match=r"source must be in \[0, 0\]"):
        delay_events(events, table.assign(source=4, delay=0.0))
    with pytest.raises(ActivityError, match="targets must be below 1"):
        delay_events(events, table.assign(target=4, delay=0.0), n_units=1)
    with pytest.raises(ActivityError, match="columns x, y and p"):
        polarity_units(events)
    with pytest.raises(ParameterError, match="kernel_size must be odd"):
        HeterogeneousDelayLayer(2, kernel_size=4)
    with pytest.raises(ParameterError, match="symmetry needs two polarities"):
        HeterogeneousDelayLayer(2, 1)
    with pytest.raises(ParameterError, match="stride"):
        HeterogeneousDelayLayer(2, stride=0)
    with pytest.raises(ActivityError, match="patch of 17 pixels must fit"):
        HeterogeneousDelayLayer(2)(torch.zeros(1, 2, 30, 9, 9))
    with pytest.raises(ActivityError, match="must have shape"):
        HeterogeneousDelayLayer(2)(torch.zeros(2, 30, 9, 9))


def by_loops(weight: Array, events: Array, rows: Array, columns: Array) -> Array:
    """Sum as the equation is written: over polarity, delay and offset, for every place and bin."""
    n_classes, n_polarities, n_delays, side, _ = weight.shape
    n_bins, n_y, n_x = events.shape[1:]
    found = np.zeros((n_classes, n_bins, rows.size, columns.size))
    for c, t, i, j in np.ndindex(*found.shape):
        for p, d, a, b in np.ndindex(n_polarities, min(n_delays, t + 1), side, side):
            y, x = rows[i] - (a - side // 2), columns[j] - (b - side // 2)
            if 0 <= y < n_y and 0 <= x < n_x:
                found[c, t, i, j] += weight[c, p, d, a, b] * events[p, t - d, y, x]
    return found


@pytest.mark.parametrize(
    ("n_polarities", "n_delays", "side", "stride", "mask", "padding", "shape"),
    [
        (2, 4, 3, 1, None, "valid", (3, 5, 7)),  # fewer bins than delays
        (2, 1, 1, 2, "disk", "same", (4, 4, 5)),
        (1, 5, 3, 3, "cone", "same", (2, 7, 4)),
        (3, 2, 5, 2, None, "valid", (4, 5, 9)),
        (2, 6, 5, 3, "cone", "valid", (1, 9, 6)),
    ],
)
def test_evidence_by_loops_over_other_shapes(
    n_polarities: int, n_delays: int, side: int, stride: int, mask: Any, padding: Any,
    shape: tuple[int, int, int],
) -> None:  # fmt: skip
    rng = np.random.default_rng(n_delays)
    symmetric = n_polarities == 2
    layer = HeterogeneousDelayLayer(
        2, n_polarities, n_delays, side, stride, polarity_symmetric=symmetric, mask=mask,
        padding=padding, bias=False,
    )  # fmt: skip
    layer.weight.data = torch.tensor(rng.normal(size=layer.weight.shape), dtype=torch.float32)
    events = (rng.random((n_polarities, *shape)) < 0.3).astype(np.float32)
    weight = (layer.weight * layer.kept).detach().numpy()
    rows, columns = layer.places(shape[1:])
    expected = by_loops(weight, events, rows, columns)
    if symmetric:
        expected = np.maximum(expected, by_loops(weight, events[::-1], rows, columns))
    found = layer(torch.tensor(events[None]))[0].detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    pruned = layer.prune(0.37)
    assert int(pruned.kept.sum()) == int(np.ceil(round(0.37 * int(layer.kept.sum()), 9)))


def test_a_sensor_smaller_than_the_patch_has_no_fan_out() -> None:
    layer = HeterogeneousDelayLayer(1, n_delays=2, kernel_size=3)
    with pytest.raises(ActivityError, match="must fit onto the sensor"):
        layer.fan_out((2, 9))
    assert len(HeterogeneousDelayLayer(1, 2, 2, 3, padding="same").fan_out((2, 9)))
