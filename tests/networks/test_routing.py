"""Routing of groups of neurons: laws, choices by hand, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch
from sklearn.linear_model import LogisticRegression

from activome.errors import ParameterError
from activome.networks.routing import LinearRouter, fit_group_router, routed
from activome.networks.training import seed_everything
from activome.networks.transformer import TinyGPT

PATHS = ("blocks.0.mlp.pre", "blocks.0.mlp.down")


def network() -> TinyGPT:
    with seed_everything(0):
        model = TinyGPT(20, 12, d_model=16, n_heads=2, init="lecun")
    model.double()
    return model


def ids(n: int = 40, seed: int = 0) -> torch.Tensor:
    return torch.randint(20, (n, 9), generator=torch.Generator().manual_seed(seed))


def test_router_is_a_logistic_regression() -> None:
    rng = np.random.default_rng(0)
    h = rng.normal(size=(300, 4)) * [1, 10, 0.1, 1] + 3
    needed = np.stack([h[:, 0] > 3, h[:, 1] + rng.normal(size=300) > 3, np.ones(300, bool)], 1)
    router = LinearRouter().fit(h, needed)
    z = (h - h.mean(axis=0)) / h.std(axis=0)
    for group in (0, 1):
        model = LogisticRegression(tol=1e-8, max_iter=5000).fit(z, needed[:, group])
        np.testing.assert_allclose(
            router.scores(h)[:, group], model.decision_function(z), atol=0.05, rtol=0.02
        )
    assert (router.scores(h)[:, 2] > 5).all()


def test_all_groups_change_nothing_and_the_largest_are_the_largest() -> None:
    model = network()
    labels = np.arange(64) % 4
    one = fit_group_router(model, [ids()], *PATHS, labels, 2)
    before = model(ids(5, 1))
    with routed(model, [one], 4):
        torch.testing.assert_close(model(ids(5, 1)), before)
    hidden: list[torch.Tensor] = []
    down = model.get_submodule(PATHS[1])
    with routed(model, [one], 1, choice="largest"):
        handle = down.register_forward_pre_hook(lambda _, args: hidden.append(args[0].detach()))
        model(ids(5, 1))
        handle.remove()
    plain: list[torch.Tensor] = []
    handle = down.register_forward_pre_hook(lambda _, args: plain.append(args[0].detach()))
    model(ids(5, 1))
    handle.remove()
    norms = down.weight.detach().norm(dim=0).numpy()
    full, kept = plain[0].numpy(), hidden[0].numpy()
    written = np.stack([(np.abs(full) * norms)[..., labels == g].sum(-1) for g in range(4)], -1)
    expected = np.where(labels == written.argmax(-1)[..., None], full, 0.0)
    np.testing.assert_allclose(kept, expected)
    torch.testing.assert_close(model(ids(5, 1)), before)


def test_router_beats_chance_at_finding_what_is_needed() -> None:
    model = network()
    labels = np.arange(64) % 8
    one = fit_group_router(model, [ids(60), ids(60, 1)], *PATHS, labels, 2)
    before = model(ids(30, 2))
    change = {}
    for choice in ("router", "random", "largest"):
        with torch.no_grad(), routed(model, [one], 4, choice=choice):
            change[choice] = float((model(ids(30, 2)) - before).pow(2).mean())
    assert change["router"] < 0.8 * change["random"]
    assert change["largest"] < change["random"]


def test_refusals() -> None:
    model = network()
    labels = np.arange(64) % 4
    with pytest.raises(ParameterError, match="at most 4"):
        fit_group_router(model, [ids()], *PATHS, labels, 5)
    with pytest.raises(ParameterError, match="a group from 0 for each neuron"):
        fit_group_router(model, [ids()], *PATHS, labels[:3], 1)
    with pytest.raises(ParameterError, match="at least one batch"):
        fit_group_router(model, [], *PATHS, labels, 1)
    one = fit_group_router(model, [ids()], *PATHS, labels, 1)
    with pytest.raises(ParameterError, match="at most 4"), routed(model, [one], 5):
        pass
    with pytest.raises(ParameterError, match="unknown choice 'best'"):
        routed(model, [one], 1, choice="best").__enter__()
    with pytest.raises(ParameterError, match="two samples or more"):
        LinearRouter().fit(np.ones((1, 2)), np.ones((1, 2), bool))
    with pytest.raises(ParameterError, match="boolean"):
        LinearRouter().fit(np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(ParameterError, match="C must be"):
        LinearRouter(0.0)
