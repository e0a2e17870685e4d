"""Relevance rules: values unchanged, relevance conserved, and everything unknown named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tiny_networks import GatedNetwork, logits, tiny_bert, tiny_gpt2, tiny_llama, tokens
from torch import nn

from activome.errors import ParameterError
from activome.interventions import _rule_table
from activome.interventions._hooks import n_active
from activome.interventions.relevance_rules import RelevanceRules, register_rule
from activome.interventions.taps import Taps

ALL = ("norm", "identity", "half", "attention")


@pytest.fixture(autouse=True)
def _same_table(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the table of rules as it was."""
    with monkeypatch.context() as patch:
        patch.setattr(_rule_table, "TABLE", dict(_rule_table.TABLE))
        yield


def shares(model: Any, ids: Any, rules: Any, **options: Any) -> tuple[Any, float]:
    """Return the sum of stream times relevance at each layer, and the metric."""
    with (
        RelevanceRules(model, rules, **options),
        Taps(model).record("resid_pre", grad=True) as rec,
    ):
        value = logits(model(ids))[:, -1, 3].sum()
        value.backward()
    sums = [
        (rec.tensor(site.label) * rec.gradient(site.label)).detach().sum() for site in rec.sites
    ]
    return np.array([float(total) for total in sums]), float(value.detach())


def with_biases(model: Any, size: float) -> Any:
    """Give a model biases, which are 0 in new ones."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data.normal_(0.0, 1.0, generator=generator).mul_(size)
    return model


def test_relevance_is_conserved_in_a_llama_without_biases() -> None:
    model, ids = tiny_llama(4, double=True), tokens()
    found, metric = shares(model, ids, ALL)
    np.testing.assert_allclose(found, metric, rtol=1e-10)
    for rules in ((), ALL[:3], ("norm", "identity", "attention"), ("norm", "half", "attention")):
        found, metric = shares(model, ids, rules)
        assert np.abs(found / metric - 1).max() > 1e-3


@pytest.mark.parametrize("build", [tiny_gpt2, tiny_bert])
def test_relevance_is_conserved_with_layer_norms_and_gelu(build: Callable[[], Any]) -> None:
    model, ids = build().double(), tokens()
    # Biases receive no relevance, and what they contribute is missing from the sum.
    found, metric = shares(with_biases(model, 0.3), ids, ALL)
    assert np.abs(found / metric - 1).max() > 1e-2
    found, metric = shares(with_biases(model, 0.0), ids, ("norm", "identity", "attention"))
    np.testing.assert_allclose(found, metric, rtol=1e-10)


@pytest.mark.parametrize("build", [tiny_llama, tiny_gpt2, tiny_bert])
def test_values_are_unchanged_to_the_last_bit_and_each_rule_changes_the_gradient(
    build: Callable[[], Any],
) -> None:
    model, ids = build(), tokens()
    if build is tiny_bert:
        # New ones have weights so small that nothing in them bends.
        for parameter in model.encoder.parameters():
            parameter.data.mul_(10.0 if parameter.ndim == 2 else 1.0)
    taps = Taps(model)
    used = ALL if build is tiny_llama else ("norm", "identity", "attention")

    def slope(rules: Any) -> Any:
        with RelevanceRules(model, rules), taps.record("resid_pre[0]", grad=True) as rec:
            out = logits(model(ids))
            out[:, -1, 3].sum().backward()
        return out.detach(), rec.gradient("resid_pre[0]")

    plain, gradient = slope(())
    with torch.no_grad():
        assert torch.equal(plain, logits(model(ids)))
    for rule in used:
        values, changed = slope((rule,))
        assert torch.equal(values, plain)
        assert float((changed - gradient).abs().max()) > 1e-3 * float(gradient.abs().max())
    assert n_active() == 0


def test_gradient_times_input_of_a_relu_network_is_exact() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(5, 8, bias=False), nn.ReLU(), nn.Linear(8, 8, bias=False), nn.ReLU(),
        nn.Linear(8, 1, bias=False),
    ).double()  # fmt: skip
    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    slopes = []
    for rules in (None, ()):
        with RelevanceRules(model, rules):
            y = model(x).sum()
        (slope,) = torch.autograd.grad(y, x)
        assert float((x * slope).sum().detach()) == pytest.approx(float(y.detach()), rel=1e-12)
        slopes.append(slope)
    assert torch.equal(*slopes)


def test_activations_by_hand() -> None:
    x = torch.tensor([[2.0, -1.0, 0.0]], dtype=torch.float64)
    for module in (nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.Tanh(), nn.Mish(), nn.Hardswish()):
        model = nn.Sequential(module)
        start = x.clone().requires_grad_()
        with RelevanceRules(model) as rules:
            y = model(start)
        y.sum().backward()
        assert rules.modules == {"0": "identity"}
        torch.testing.assert_close(start.grad[0, :2], (y / x)[0, :2].detach())
        at_zero = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        module(at_zero).sum().backward()
        torch.testing.assert_close(start.grad[0, 2:], at_zero.grad, rtol=1e-4, atol=1e-5)


def test_norms_of_every_kind() -> None:
    class GemmaRMSNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([0.5, -0.2, 0.1], dtype=torch.float64))
            self.eps = 1e-6

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Return x over its root mean square, times one plus the weight."""
            scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)
            return x * scale * (1 + self.weight)

    x = torch.tensor([[3.0, 1.0, -2.0]], dtype=torch.float64)
    for module in (nn.RMSNorm(3), nn.LayerNorm(3, bias=False), GemmaRMSNorm()):
        model = nn.Sequential(module.double())
        start = x.clone().requires_grad_()
        with RelevanceRules(model):
            y = model(start)
            (y * torch.tensor([1.0, 2.0, 5.0])).sum().backward()
        total = float((start.grad * x).sum())
        assert total == pytest.approx(float((y * torch.tensor([1.0, 2.0, 5.0])).sum().detach()))

    class OddRMSNorm(GemmaRMSNorm):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Return what is no norm of a known form."""
            return super().forward(x) + 1

    odd = nn.Sequential(OddRMSNorm())
    with RelevanceRules(odd), pytest.raises(ParameterError, match="OddRMSNorm is not x / rms"):
        odd(x.clone().requires_grad_())
    assert n_active() == 0


def test_products_and_frozen_sites_are_named_by_the_user() -> None:
    model = with_biases(GatedNetwork().double(), 0.0)
    x = torch.randn(3, 16, dtype=torch.float64, requires_grad=True)
    with RelevanceRules(model, products=["mlp_hidden"]) as rules:
        assert rules.rules == ("norm", "identity", "half")
        y = model(x).sum()
    (slope,) = torch.autograd.grad(y, x)
    assert float((x * slope).sum().detach()) == pytest.approx(float(y.detach()), rel=1e-10)
    with RelevanceRules(model, ("attention",), frozen=["module:gates.*#out"]):
        y = model(x).sum()
    y.backward()
    assert model.gates[0].weight.grad is None
    assert model.ups[0].weight.grad is not None


def by_graph(module: Any, value: Any) -> Any:
    """Return what a module makes of its input, with the gradient of its rule, the slow way."""
    if type(module).__name__.startswith("SiLU"):
        return value * torch.sigmoid(value).detach()
    scale = torch.rsqrt(value.pow(2).mean(-1, keepdim=True) + module.variance_epsilon)
    return module.weight * (value * scale.detach())


def test_slopes_are_those_of_a_graph_with_constants() -> None:
    model, ids = tiny_llama(3, double=True), tokens()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.data.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(0))
    handles = []
    for name, module in model.named_modules():
        if name.endswith(("norm", "act_fn")):
            change = lambda module, args, _: by_graph(module, args[0])  # noqa: E731
            handles.append(module.register_forward_hook(change))
        elif name.endswith("down_proj"):
            half = lambda _, args: (args[0] / 2 + (args[0] / 2).detach(),)  # noqa: E731
            handles.append(module.register_forward_pre_hook(half))
    logits(model(ids))[:, -1, 3].sum().backward()
    slow = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    for handle in handles:
        handle.remove()
    with RelevanceRules(Taps(model)):
        logits(model(ids))[:, -1, 3].sum().backward()
    # Weights of norms too: they are no part of what is constant.
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, slow[name], rtol=1e-10, atol=1e-14)


def test_the_form_of_a_norm_is_not_taken_from_zeros() -> None:
    class ZeroCentredRMSNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.eps = nn.Parameter(torch.tensor([0.5, 2.0])), 1e-6

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Return x over its root mean square, times one plus the weight."""
            return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * (1 + self.weight)

    model = nn.Sequential(ZeroCentredRMSNorm())
    with RelevanceRules(model):
        for start in (torch.zeros(1, 2), torch.ones(1, 2)):
            x = start.clone().requires_grad_()
            model(x).sum().backward()
    np.testing.assert_allclose(x.grad, [[1.5, 3.0]], rtol=1e-5)


def test_half_precision_where_it_is_allowed() -> None:
    model, ids = tiny_llama().bfloat16(), tokens()
    with RelevanceRules(model, allow_half=True), Taps(model).record("resid_pre", grad=True) as rec:
        logits(model(ids))[:, -1, 3].sum().backward()
    assert bool(torch.isfinite(rec.gradient("resid_pre[0]")).all())


class Unknown(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x squared."""
        return x * x


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return an activation that is no module."""
        return torch.nn.functional.gelu(self.inner(x))


def test_a_loss_that_a_model_carries_needs_no_rule() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    slopes = []
    for _ in range(2):
        x = torch.ones(1, 3, requires_grad=True)
        with RelevanceRules(model):
            model[1](model[0](x)).sum().backward()
        slopes.append(x.grad)
        model.criterion = nn.CrossEntropyLoss()
    torch.testing.assert_close(slopes[0], slopes[1])


def test_what_has_no_rule_is_refused_by_name() -> None:
    x = torch.ones(1, 3, requires_grad=True)
    with pytest.raises(ParameterError, match=r"none is known for Unknown \(at '1'\), GRU"):
        RelevanceRules(nn.Sequential(nn.Linear(3, 3), Unknown(), nn.GRU(3, 3)))
    model = Functional()
    with (
        RelevanceRules(model),
        pytest.raises(ParameterError, match=r"calls gelu\(\) as a function"),
    ):
        model(x)
    with RelevanceRules(model, plain="gelu"):
        model(x)
    with RelevanceRules(model, ("norm",)):
        model(x)
    both = nn.Sequential(Unknown())
    with RelevanceRules(both, plain=["Unknown"]):
        both(x).sum().backward()
    np.testing.assert_allclose(x.grad, 2.0)
    assert n_active() == 0


def test_modules_may_call_functions_and_be_called_by_keyword() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.SiLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Call the activation, which calls a function, with the name of its input."""
            return self.act(input=x)

    model, x = Named(), torch.tensor([[2.0]], requires_grad=True)
    with RelevanceRules(model):
        model(x).sum().backward()
    assert float(x.grad) == pytest.approx(1 / (1 + np.exp(-2.0)))


def test_registered_rules_hold_for_derived_classes_and_patterns() -> None:
    class Derived(Unknown):
        pass

    register_rule("Unkn*", lambda module, x, y: x * x.detach())
    for module in (Unknown(), Derived()):
        model, x = nn.Sequential(module), torch.tensor([[3.0]], requires_grad=True)
        with RelevanceRules(model) as rules:
            model(x).sum().backward()
        assert rules.modules == {"0": "identity"}
        assert float(x.grad) == 3.0
    register_rule(Derived)
    model, x = nn.Sequential(Derived()), torch.tensor([[3.0]], requires_grad=True)
    with RelevanceRules(model):
        model(x).sum().backward()
    assert float(x.grad) == 6.0
    bad: list[tuple[str, dict[str, Any]]] = [
        ("name must be a class or its name", {"name": 3}),
        ("unknown rule 'half'", {"name": "A", "rule": "half"}),
        ("function must be callable", {"name": "A", "function": 3}),
    ]
    for message, options in bad:
        with pytest.raises(ParameterError, match=message):
            register_rule(**options)


def test_refusals() -> None:
    with pytest.raises(ParameterError, match=r"unknown rule 'nrom'.*'norm'"):
        RelevanceRules(tiny_llama(), ("nrom",))
    with pytest.raises(ParameterError, match="no site is called 'mlp_hiden'"):
        RelevanceRules(tiny_llama(), products=["mlp_hiden"])
    with pytest.raises(ParameterError, match=r"bfloat16.*model.float\(\)"):
        RelevanceRules(tiny_llama().bfloat16())
    with RelevanceRules(tiny_llama().bfloat16(), allow_half=True):
        pass
    plain = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(ParameterError, match="'half' must know where two branches"):
        RelevanceRules(plain, ("half",))
    with pytest.raises(ParameterError, match="'attention' must know the queries"):
        RelevanceRules(plain, ("attention",))
    rules = RelevanceRules(plain)
    with rules, pytest.raises(ParameterError, match="entered already"), rules:
        pass
    assert n_active() == 0


def test_nothing_is_left_after_an_exception() -> None:
    model, ids = tiny_llama(), tokens()
    with pytest.raises(KeyError), RelevanceRules(model, ALL):
        raise KeyError
    assert n_active() == 0
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert not any("forward" in module.__dict__ for module in model.modules())
    _, once = shares(model, ids, ALL)
    assert np.isfinite(once)
