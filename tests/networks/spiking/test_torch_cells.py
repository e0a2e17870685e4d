"""Spiking cells in torch: by hand, fused against plain, against the simulator, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from activome.errors import ActivityError, ParameterError  # noqa: E402  # after the skip
from activome.networks.spiking.network import Network, Population  # noqa: E402
from activome.networks.spiking.neurons import MetaNeuron  # noqa: E402
from activome.networks.spiking.simulate import simulate  # noqa: E402
from activome.networks.spiking.surrogate_gradient import (  # noqa: E402
    ResetMode,
    SurrogateSpike,
    lif_forward,
)
from activome.networks.spiking.torch_cells import LeakyReadout, LIFCell, MetaCell  # noqa: E402


def test_a_leaky_cell_by_hand() -> None:
    # alpha 0.5, I 0.6: 0.6, 0.9, 1.05 (spike), then 0.05 / 2 + 0.6 or, set to zero, 0.6.
    current = torch.full((5, 1, 1), 0.6, dtype=torch.float64)
    modes: tuple[ResetMode, ...] = ("subtract", "zero")
    for mode in modes:
        for fused in (True, False):
            z = lif_forward(current, 0.5, reset_mode=mode, fused=fused)
            assert z.flatten().tolist() == [0, 0, 1, 0, 0]
    delayed = lif_forward(torch.full((3, 1, 1), 1.2), 1.0, order="delayed", fused=False)
    # 1.2 fires; 2.4 - 1 fires; 2.6 - 1 fires.
    assert delayed.flatten().tolist() == [1, 1, 1]
    assert torch.exp(-1.0 / LIFCell(1, tau=10.0).tau).item() == pytest.approx(0.9048, abs=1e-4)


@pytest.mark.parametrize("order", ["immediate", "delayed"])
@pytest.mark.parametrize("mode", ["subtract", "zero"])
@pytest.mark.parametrize("kind", ["fast_sigmoid", "arctan", "triangle"])
def test_fused_and_plain_are_equal(order: Any, mode: Any, kind: str) -> None:
    torch.manual_seed(0)
    values = torch.randn(30, 4, 7, dtype=torch.float64) * 0.7
    weight = torch.randn(30, 4, 7, dtype=torch.float64)
    alpha, threshold = torch.rand(7, dtype=torch.float64), 0.5 + torch.rand(7, dtype=torch.float64)
    found = []
    for fused in (True, False):
        current = values.clone().requires_grad_()
        z = lif_forward(
            current, alpha, threshold, 0.1, order=order, reset_mode=mode, fused=fused,
            surrogate=SurrogateSpike(kind, 3.0),
        )  # fmt: skip
        (z * weight).sum().backward()
        found.append((z.detach(), current.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][0].mean() > 0.05
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "at"), [("fast_sigmoid", 1 / 4), ("arctan", 1 / 2), ("triangle", 0.0)]
)
def test_surrogates(kind: str, at: float) -> None:
    x = torch.tensor([-0.5, 0.0, 0.5], requires_grad=True)
    z = SurrogateSpike(kind, 2.0)(x)
    z.sum().backward()
    assert z.tolist() == [0, 1, 1]
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx([at, 1.0, at])


def test_the_meta_cell_by_hand_and_against_the_simulator() -> None:
    # v: 0.5, then 0.5 + (0.25 - 0.5) / 10 + I; u: -0.172 * 0.5 / 10 from the old voltage.
    rng = np.random.default_rng(0)
    current = rng.normal(0.05, 0.25, (400, 6))
    cell = MetaCell(6, learnable=()).double()
    z = cell(torch.from_numpy(current)[None])[0].numpy()
    network = Network([Population("cell", 6, MetaNeuron())])
    result = simulate(network, {"cell": current}, 400.0, 1.0)
    expected = result.spikes["cell"].bin(0.001).values
    assert z.sum() > 50
    np.testing.assert_array_equal(z, expected)


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        (LIFCell(5, learnable="all"), {"log_tau", "threshold", "reset"}),
        (MetaCell(5), {"theta_v", "theta_u", "theta_r", "theta_s", "log_tau", "threshold"}),
        (MetaCell(5, learnable=("tau",)), {"log_tau"}),
        (LIFCell(5), set()),
        (
            LIFCell(5, learnable="all", stochastic=True),
            {"log_tau", "threshold", "reset", "log_temperature"},
        ),
        (MetaCell(5, learnable=("temperature",), stochastic=True), {"log_temperature"}),
    ],
)
def test_constants_learn_when_asked_to(cell: Any, names: set[str]) -> None:
    torch.manual_seed(0)
    assert {name for name, _ in cell.named_parameters()} == names
    z = cell((0.4 + 0.5 * torch.randn(8, 40, 5)).requires_grad_())
    assert z.shape == (8, 40, 5)
    z.square().sum().backward()
    for name, parameter in cell.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().sum() > 0, name


def test_gradients_of_constants_equal_finite_differences_without_spikes() -> None:
    # Below the threshold the surrogate alone makes the gradient; its integral is a smooth spike.
    rho = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    current = torch.rand(6, 3, 2, dtype=torch.float64) * 0.01

    def smooth(r: Any) -> Any:
        v, total = torch.zeros(3, 2, dtype=torch.float64), 0.0
        for now in current:
            v = torch.exp(-1 / r.exp()) * v + now
            total = total + (torch.atan(4.0 * (v - 1.0)) / 4.0).sum()
        return total

    expected = torch.autograd.grad(smooth(rho), rho)[0]
    z = lif_forward(current, torch.exp(-1 / rho.exp()), surrogate=SurrogateSpike("arctan", 4.0))
    torch.testing.assert_close(torch.autograd.grad(z.sum(), rho)[0], expected)


@pytest.mark.parametrize("cell", [LIFCell(5), LIFCell(5, reset_mode="subtract"), MetaCell(5)])
def test_voltages_are_those_that_made_the_spikes(cell: Any) -> None:
    torch.manual_seed(0)
    current = 0.3 + 0.5 * torch.randn(4, 60, 5)
    z, v = cell.respond(current)
    assert torch.equal(z, cell(current))
    assert torch.equal(z, (v >= cell.threshold).float())
    assert 0.02 < z.mean() < 0.8


@pytest.mark.parametrize("make", [LIFCell, MetaCell])
def test_stochastic_cells(make: Any) -> None:
    torch.manual_seed(0)
    current = 0.1 + 0.3 * torch.randn(3, 50, 4)
    draws = torch.rand(1, 50, 4)
    # So cold that chance has no say, they are the cells that fire at the threshold.
    cold, sharp = make(4, stochastic=True, temperature=1e-6), make(4)
    assert torch.equal(cold(current, draws=draws), sharp(current))
    warm = make(4, stochastic=True, temperature=0.3, learnable="all")
    z, v = warm.respond(current, draws=draws)
    assert torch.equal(z, (draws < torch.sigmoid((v - 1.0) / 0.3)).float())
    # Straight through: at the last step the gradient is that of the probability.
    warm.zero_grad()
    z[:, -1].sum().backward()
    chance = torch.sigmoid((v[:, -1] - 1.0) / 0.3)
    direct = -(chance * (1 - chance) / 0.3).sum(0)
    if make is LIFCell:
        threshold = warm.threshold.detach().requires_grad_()
        last = torch.sigmoid((v[:, -1].detach() - threshold) / 0.3).sum()
        torch.testing.assert_close(torch.autograd.grad(last, threshold)[0], direct.detach())
    assert warm.log_temperature.grad.abs().sum() > 0
    torch.manual_seed(1)
    one = warm(current)
    torch.manual_seed(1)
    assert torch.equal(one, warm(current))


def test_a_learnt_time_constant_is_bounded() -> None:
    cell = LIFCell(2, tau=5.0, learnable=("tau",))
    with torch.no_grad():
        cell.log_tau[0] = 50.0
    assert cell.tau.tolist() == pytest.approx([500.0, 5.0])


def test_the_readout_is_the_mean_of_leaky_sums() -> None:
    torch.manual_seed(0)
    readout = LeakyReadout(3, 2, tau=4.0).double()
    spikes = (torch.rand(5, 20, 3, dtype=torch.float64) < 0.3).double()
    v, total = torch.zeros(5, 2, dtype=torch.float64), torch.zeros(5, 2, dtype=torch.float64)
    for t in range(20):
        v = np.exp(-1 / 4.0) * v + spikes[:, t] @ readout.weigh.weight.T
        total = total + v
    torch.testing.assert_close(readout(spikes), total / 20 + readout.weigh.bias)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: SurrogateSpike("step"), ParameterError, "unknown kind"),
        (lambda: SurrogateSpike(slope=0.0), ParameterError, "slope must be in"),
        (lambda: LIFCell(3, tau=-1.0), ParameterError, "tau must be in"),
        (
            lambda: MetaCell(3, stochastic=True, temperature=0.0),
            ParameterError,
            "temperature must be in",
        ),
        (
            lambda: LIFCell(3, stochastic=True)(torch.zeros(2, 5, 3), draws=torch.zeros(5, 3)),
            ActivityError,
            r"draws must be \(n_trials or 1, 5, 3\)",
        ),
        (lambda: LIFCell(3, learnable=("theta",)), ParameterError, "unknown learnable constant"),
        (lambda: MetaCell(3, theta=(1.0, 2.0)), ParameterError, "got 2 values"),
        (lambda: LeakyReadout(0, 2), ParameterError, "n_in must be"),
        (lambda: lif_forward(torch.zeros(3, 2), 0.5), ActivityError, r"got shape \(3, 2\)"),
        (lambda: LIFCell(3)(torch.zeros(2, 5, 4)), ActivityError, r"\(n_trials, n_times, 3\)"),
        (lambda: LeakyReadout(3, 2)(torch.zeros(2, 3)), ActivityError, "n_trials, n_times"),
        (
            lambda: lif_forward(torch.zeros(3, 2, 1), 0.5, detach_reset=False, fused=True),
            ParameterError,
            "needs constants that do not learn",
        ),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("kind", ["fast_sigmoid", "arctan", "triangle"])
@pytest.mark.parametrize("order", ["immediate", "delayed"])
@pytest.mark.parametrize("mode", ["zero", "subtract"])
@pytest.mark.parametrize("detach", [True, False])
def test_gradients_are_differences_of_a_smooth_path(
    kind: str, order: Any, mode: Any, detach: bool
) -> None:
    g = np.random.default_rng(4)
    shape, k = (9, 2, 3), 3.0
    start = [g.normal(0.4, 0.6, shape), g.uniform(0.5, 0.95, 3), g.uniform(0.6, 1.2, 3),
             g.uniform(-0.2, 0.2, 3)]  # fmt: skip
    weigh = g.normal(size=shape)
    rise: Any = {
        "fast_sigmoid": lambda x: x / (1 + k * np.abs(x)),
        "arctan": lambda x: np.arctan(k * x) / k,
        "triangle": lambda x: np.where(
            np.abs(x) < 1 / k, x - k * x * np.abs(x) / 2, np.sign(x) / (2 * k)
        ),
    }[kind]

    def run(values: Any, base: Any) -> Any:
        """Return voltages less the threshold, and spikes: smooth around those of ``base``."""
        current, alpha, threshold, reset = values
        v = z = kept = np.zeros(shape[1:])
        away, spikes = [], []

        def lower(v: Any, z: Any, kept: Any) -> Any:
            z = kept if detach else z
            return v * (1 - z) + reset * z if mode == "zero" else v - threshold * z

        for t in range(shape[0]):
            v = alpha * v + current[t]
            v = lower(v, z, kept) if order == "delayed" else v
            x = v - threshold
            z = kept = (x >= 0).astype(float)
            if base is not None:
                kept = base[1][t]
                z = kept + rise(x) - rise(base[0][t])
            v = lower(v, z, kept) if order == "immediate" else v
            away.append(x)
            spikes.append(z)
        return np.array(away), np.array(spikes)

    base = run(start, None)
    tensors = [torch.tensor(x, requires_grad=True) for x in start]
    spikes = lif_forward(*tensors, order=order, reset_mode=mode, detach_reset=detach,
                         surrogate=SurrogateSpike(kind, k))  # fmt: skip
    np.testing.assert_array_equal(spikes.detach().numpy(), base[1])
    assert 5 < base[1].sum() < 50
    (spikes * torch.tensor(weigh)).sum().backward()
    for which, tensor in enumerate(tensors):
        found = np.zeros(shape) if tensor.grad is None else tensor.grad.numpy()
        for place in np.ndindex(start[which].shape):
            sums = []
            for h in (1e-6, -1e-6):
                values = [x.copy() for x in start]
                values[which][place] += h
                sums.append((run(values, base)[1] * weigh).sum())
            assert found[place] == pytest.approx((sums[0] - sums[1]) / 2e-6, abs=1e-6)


def test_a_second_derivative_of_the_fused_pass_is_refused() -> None:
    current = torch.rand(5, 2, 3, dtype=torch.float64, requires_grad=True)
    found = []
    for fused in (None, False):
        loss = (lif_forward(current, 0.9, fused=fused) ** 2).sum() + (current**3).sum()
        if fused is None:
            with pytest.raises(ParameterError, match=r"no second derivative.* Say fused=False"):
                torch.autograd.grad(loss, current, create_graph=True)
            continue
        (first,) = torch.autograd.grad(loss, current, create_graph=True)
        (second,) = torch.autograd.grad((first**2).sum(), current)
        found.append(second)
    assert torch.isfinite(found[0]).all()


def test_a_read_out_of_a_very_long_time_constant_is_a_sum() -> None:
    readout = LeakyReadout(2, 1, tau=1e9)
    spikes = torch.ones(1, 4, 2)
    # Voltages are 1, 2, 3 and 4 times what one step adds: 2.5 of it on average.
    expected = 2.5 * readout.weigh.weight.sum() + readout.weigh.bias
    torch.testing.assert_close(readout(spikes)[0], expected)


def test_one_constant_may_be_named_alone() -> None:
    names = [name for name, _ in LIFCell(2, learnable="tau").named_parameters()]
    assert names == ["log_tau"]


def test_currents_that_are_none_are_refused() -> None:
    with pytest.raises(ActivityError, match="floating-point numbers of at least one time"):
        lif_forward(torch.ones(3, 2, 3, dtype=torch.int64), 0.9)
    with pytest.raises(ActivityError, match=r"of at least one time; got .*shape \(0, 2, 3\)"):
        lif_forward(torch.zeros(0, 2, 3), 0.9)
    with pytest.raises(ActivityError, match=r"alpha must be one number or one per unit \(3\)"):
        lif_forward(torch.zeros(3, 2, 3), torch.rand(4))
    with pytest.raises(ActivityError, match="with at least one time"):
        LIFCell(3)(torch.zeros(2, 0, 3))
    with pytest.raises(ActivityError, match=r"Convert it with current.float\(\)"):
        MetaCell(3)(torch.zeros(2, 4, 3, dtype=torch.int64))
    with pytest.raises(ActivityError, match=r"spikes must be \(n_trials, n_times, 3\)"):
        LeakyReadout(3, 2)(torch.zeros(2, 4, 5))
