"""Rules that change weights: pairs by hand, brute force over all options, and homeostasis."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from activome.activity.events import Events
from activome.errors import ParameterError
from activome.networks.spiking.homeostasis import (
    DriveHomeostasis,
    SelectionThreshold,
    SynapticScaling,
    ThresholdAdaptation,
)
from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import LIF, SpikeSource
from activome.networks.spiking.plasticity import PairSTDP, SymmetricSTDP
from activome.networks.spiking.projections import Projection
from activome.networks.spiking.simulate import simulate

Array = np.ndarray[Any, Any]


def final_weight(
    rule: Any, pre: Any, post: Any, *, w: float = 0.5, delay: float = 1.0, n: int = 200
) -> float:
    """Weight of one synapse after prescribed spikes (in steps of 1 ms) on both sides."""
    net = Network(
        [Population("pre", 1, SpikeSource()), Population("post", 1, SpikeSource())],
        [Projection.one_to_one("pre", "post", 1, w, delay, plasticity=rule)],
    )
    spikes = {
        name: Events(np.sort(np.asarray(t, dtype=np.int64)) * 1000, np.zeros(len(t), np.int64))
        for name, t in (("pre", pre), ("post", post))
    }
    return float(simulate(net, spikes, float(n), 1.0).weights["pre->post"][0])


@pytest.mark.parametrize("lag", range(-12, 13))
@pytest.mark.parametrize("zero_lag", ["depress", "none", "potentiate"])
def test_pair_curve(lag: int, zero_lag: Any) -> None:
    rule = PairSTDP(tau_plus=7.0, tau_minus=11.0, a_plus=0.1, a_minus=0.2, zero_lag=zero_lag)
    # Dendritic delay of 1: the synapse sees the spike behind it one step later.
    seen = lag + 1
    expected = 0.1 * np.exp(-seen / 7.0) if seen > 0 else -0.2 * np.exp(seen / 11.0)
    if seen == 0:
        expected = {"depress": -0.2, "none": 0.0, "potentiate": 0.1}[zero_lag]
    assert final_weight(rule, [50], [50 + lag]) == pytest.approx(0.5 + expected, abs=1e-15)


def brute_force(rule: PairSTDP, pre: Array, post: Array, w: float, delay: int) -> float:
    """Sum over pairs of spikes at the synapse, in the order of time."""
    shift_pre = delay if rule.delay == "axonal" else 0
    shift_post = delay if rule.delay == "dendritic" else 0
    before, behind = np.sort(pre) + shift_pre, np.sort(post) + shift_post
    nearest = rule.pairing == "nearest"
    waiting: list[int] = []

    def total(spikes: Array, t: int, tau: float, equal: bool) -> float:
        seen = spikes[(spikes <= t) if equal else (spikes < t)]
        return float(np.exp(-(t - (seen[-1:] if nearest else seen)) / tau).sum())

    def rise(w: float, t: int) -> float:
        if rule.weight_rule == "once" and w > rule.w_min:
            return w
        x = total(before, t, rule.tau_plus, rule.zero_lag == "potentiate")
        span = rule.w_max - w if rule.weight_rule == "multiplicative" else 1.0
        return min(rule.w_max, w + rule.a_plus * x * span)

    def fall(w: float, t: int) -> float:
        y = total(behind, t, rule.tau_minus, rule.zero_lag == "depress")
        span = w - rule.w_min if rule.weight_rule == "multiplicative" else 1.0
        return max(rule.w_min, w - rule.a_minus * y * span)

    late = rule.trigger == "presynaptic"
    last = 10**6
    for t in sorted({*before.tolist(), *behind.tolist()}):
        if t > last:
            break
        if late:
            waiting += [t] if t in behind else []
            if t in before:
                for q in waiting:
                    w = rise(w, q)
                waiting = []
                w = fall(w, t)
        else:
            w = fall(w, t) if t in before else w
            w = rise(w, t) if t in behind else w
    return w


OPTIONS = list(
    product(
        ["additive", "multiplicative", "once"],
        ["all", "nearest"],
        ["dendritic", "axonal"],
        ["depress", "none", "potentiate"],
        ["immediate", "presynaptic"],
    )
)


@pytest.mark.parametrize("seed", range(3))
def test_every_option_equals_brute_force(seed: int) -> None:
    generator = np.random.default_rng(seed)
    for weight_rule, pairing, delay, zero_lag, trigger in OPTIONS:
        words: Any = {
            "weight_rule": weight_rule,
            "pairing": pairing,
            "delay": delay,
            "zero_lag": zero_lag,
            "trigger": trigger,
        }
        amounts: Any = {"tau_plus": 6.0, "tau_minus": 9.0, "a_plus": 0.11, "a_minus": 0.09}
        rule = PairSTDP(**amounts, w_min=0.05, w_max=0.9, **words)
        pre = generator.choice(180, 40, replace=False)
        post = generator.choice(180, 40, replace=False)
        d = int(generator.integers(1, 8))
        found = final_weight(rule, pre, post, delay=float(d))
        assert found == pytest.approx(brute_force(rule, pre, post, 0.5, d), abs=1e-12), rule


def test_a_reference_shifts_the_threshold_alone() -> None:
    numbers: Any = {"theta_plus": 0.4, "tau_theta": 300.0, "start": 6.0}
    found = []
    for threshold, reference in ((4.0, 0.0), (10.0, 6.0)):
        cell = LIF(tau=10.0, v_threshold=threshold, i_offset=14.0)
        rule = ThresholdAdaptation(**numbers, reference=reference)
        net = Network([Population("cell", 1, cell, rule)])
        result = simulate(net, duration=200.0, dt=0.5, record={"cell": ["spikes", "theta"]})
        found.append((result.spikes["cell"].t, result.states["cell"]["theta"].values))
    assert found[0][0].size > 5
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_silent_synapse_is_switched_on_once_and_a_negative_rise_switches_off() -> None:
    once = PairSTDP(tau_plus=20.0, a_plus=0.5, a_minus=0.0, weight_rule="once", delay="axonal")
    for post in ([53], [53, 90, 120]):
        assert final_weight(once, [50, 88, 118], post, w=0.0) == pytest.approx(0.5 * np.exp(-0.1))
    off = PairSTDP(tau_plus=20.0, a_plus=-0.5, a_minus=0.0, delay="axonal")
    assert final_weight(off, [50], [53], w=1.0) == pytest.approx(1 - 0.5 * np.exp(-0.1))
    assert final_weight(off, [50, 90], [53, 93], w=0.7) == 0.0


@pytest.mark.parametrize("lag", [7, -7])
def test_symmetric_pairs_by_hand(lag: int) -> None:
    rule = SymmetricSTDP(eta=5e-3, tau=20.0)
    # Axonal delay of 1: the pre spike reaches the synapse one step later.
    change = final_weight(rule, [50], [51 + lag]) - 0.5
    assert change == pytest.approx(3.523e-4, abs=5e-8)
    assert final_weight(rule, [50], [51]) - 0.5 == pytest.approx(5e-4, abs=1e-15)


def test_presynaptic_trigger_by_hand() -> None:
    rule = PairSTDP(
        tau_plus=3.0, tau_minus=3.0, a_plus=6.0, a_minus=6.0, w_max=6.0, trigger="presynaptic"
    )
    assert final_weight(rule, [1, 3], [1, 3], w=0.0) == 0.0
    left = 6.0 - 6.0 * (np.exp(-9.0) + np.exp(-29.0 / 3.0))
    assert final_weight(rule, [1, 3, 31], [1, 3], w=0.0) == pytest.approx(left, abs=1e-12)


def test_the_learned_weight_is_the_one_that_acts() -> None:
    rule = PairSTDP(a_plus=0.5, tau_plus=1e9, a_minus=0.0, w_max=5.0)
    net = Network(
        [
            Population("pre", 1, SpikeSource()),
            Population("teacher", 1, SpikeSource()),
            Population("cell", 1, LIF(tau=0.2, v_threshold=0.9)),
        ],
        [
            Projection.one_to_one("pre", "cell", 1, 0.5, 1.0, plasticity=rule),
            Projection.one_to_one("teacher", "cell", 1, 5.0, 1.0),
        ],
    )
    inputs = {"pre": Events([0, 20_000], [0, 0]), "teacher": Events([5_000], [0])}
    result = simulate(net, inputs, 30.0, 0.05)
    assert result.spikes["cell"].t.tolist() == [6_000, 21_000]
    assert result.weights["pre->cell"][0] == pytest.approx(2.0, rel=1e-6)


def test_scaling_keeps_sums() -> None:
    weights = np.full((784, 2), 0.15)
    net = Network(
        [Population("in", 784, SpikeSource()), Population("out", 2, LIF(tau=10.0))],
        [Projection.from_dense("in", "out", weights, homeostasis=SynapticScaling(total=78.4))],
    )
    np.testing.assert_allclose(simulate(net, duration=1.0).weights["in->out"], 0.1)
    by_row = SynapticScaling(total=1.0, axis="pre", when="interval", interval=0.4)
    rows = Network(
        net.populations, [Projection.from_dense("in", "out", weights, homeostasis=by_row)]
    )
    np.testing.assert_allclose(simulate(rows, duration=1.0).weights["in->out"], 0.5)
    np.testing.assert_allclose(simulate(rows, duration=0.3).weights["in->out"], 0.15)


def test_drive_is_held_for_active_synapses_only() -> None:
    held = DriveHomeostasis(drive_threshold=2.0, factor=1.5, window=10.0)
    net = Network(
        [Population("in", 3, SpikeSource()), Population("out", 1, SpikeSource())],
        [Projection.from_dense("in", "out", [[1.0], [2.0], [4.0]], homeostasis=held)],
    )
    inputs = {"in": Events([0, 0], [0, 1]), "out": Events([5_000], [0])}
    result = simulate(net, inputs, 30.0, 1.0)
    np.testing.assert_allclose(result.weights["in->out"], [1.0, 2.0, 4.0])
    shifted = Network(
        net.populations,
        [Projection.from_dense("in", "out", [[1.0], [1.0], [4.0]], homeostasis=held)],
    )
    found = simulate(shifted, inputs, 30.0, 1.0).weights["in->out"]
    np.testing.assert_allclose(found, [1.5, 1.5, 4.0])
    late = inputs | {"out": Events([12_000], [0])}
    np.testing.assert_allclose(simulate(shifted, late, 30.0, 1.0).weights["in->out"], [1, 1, 4])


def test_missed_share_settles_where_it_is_said_to() -> None:
    rule = SelectionThreshold(open=0.003, close=0.02)
    generator = np.random.default_rng(0)
    thresholds, missed = np.full(4, 0.5), 0
    for k in range(40_000):
        match = generator.random(4)
        able = np.flatnonzero(match >= thresholds)
        winner = int(able[match[able].argmax()]) if able.size else -1
        thresholds = rule.after(thresholds, winner)
        missed += winner < 0 and k >= 4_000
    assert missed / 36_000 == pytest.approx(rule.missed_share(4), abs=0.01)


def test_refusals() -> None:
    with pytest.raises(ParameterError, match="w_max must be above w_min"):
        PairSTDP(w_min=1.0, w_max=1.0)
    with pytest.raises(ParameterError, match="tau_plus"):
        PairSTDP(tau_plus=-1.0)
    with pytest.raises(ParameterError, match="Did you mean 'nearest'"):
        PairSTDP(pairing="neares")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="start must not be 10"):
        ThresholdAdaptation(law="hyperbolic", start=10.0)
    with pytest.raises(ParameterError, match="total"):
        SynapticScaling(total=0.0)
