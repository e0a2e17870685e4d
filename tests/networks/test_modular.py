"""Bricks added to a network: growth, updates, merges by hand, retrieval, routing, refusals."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch
from tiny_networks import tiny_gpt2, tiny_llama, tokens
from torch import nn

from activome.errors import ParameterError
from activome.networks.bricks import AdapterBrick, Brick, LoRABrick, NeuronBrick
from activome.networks.modular import BrickModel
from activome.networks.training import seed_everything
from activome.networks.transformer import TinyGPT

MAPS = ("blocks.*.mlp.pre", "blocks.*.mlp.down")


def network(seed: int = 0) -> TinyGPT:
    with seed_everything(seed):
        model = TinyGPT(20, 12, d_model=16, n_heads=2, init="lecun")
    model.double()
    return model


def filled(brick: Any, seed: int) -> Any:
    """Return a brick with random parameters, as if it had been tuned."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in brick.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return brick


def ids(n: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randint(20, (n, 9), generator=torch.Generator().manual_seed(seed))


def new_bricks(model: nn.Module) -> dict[str, Brick]:
    return {
        "lora": LoRABrick(model, MAPS, rank=3),
        "behind": AdapterBrick(model, "blocks.*.attention.output", 5),
        "beside": AdapterBrick(model, "blocks.*.mlp", 5, parallel=True),
    }


def test_growth_changes_nothing_bit_by_bit() -> None:
    model = BrickModel(network())
    before = model(ids())
    for name, brick in new_bricks(model.model).items():
        model.add(name, brick)
    with model.active(["lora", "behind", "beside"]):
        assert torch.equal(model(ids()), before)
    for name in ("lora", "behind", "beside"):
        filled(model.bricks[name], 1)
        with model.active([name]):
            assert not torch.allclose(model(ids()), before)
    assert torch.equal(model(ids()), before)


def test_low_rank_equals_changed_weights_by_hand() -> None:
    model = BrickModel(network())
    brick = filled(LoRABrick(model.model, MAPS, rank=3, alpha=6.0), 2)
    model.add("a", brick)
    by_hand = copy.deepcopy(model.model)
    with torch.no_grad():
        for place, path in enumerate(brick.paths):
            change = (6.0 / 3) * brick.up[place] @ brick.down[place]
            by_hand.get_submodule(path).weight.add_(0.5 * change)
    with model.active({"a": 0.5}):
        found = model(ids())
    torch.testing.assert_close(found, by_hand(ids()), rtol=1e-12, atol=1e-12)
    folded = network(9)
    folded.load_state_dict(model.fold({"a": 0.5}))
    torch.testing.assert_close(found, folded(ids()), rtol=1e-12, atol=1e-12)


def test_transposed_maps_fold_as_well() -> None:
    model = BrickModel(tiny_gpt2().double())
    model.add("a", filled(LoRABrick(model.model, "transformer.h.*.mlp.c_fc", rank=2), 0))
    with model.active(["a"]):
        found = model(tokens()).logits
    folded = tiny_gpt2().double()
    folded.load_state_dict(model.fold(["a"]))
    torch.testing.assert_close(found, folded(tokens()).logits, rtol=1e-10, atol=1e-10)


def test_new_neurons_are_a_wider_mlp() -> None:
    """An adapter beside an MLP equals the MLP with more hidden neurons."""
    model = BrickModel(network())
    brick = filled(AdapterBrick(model.model, "blocks.*.mlp", 5, parallel=True), 3)
    model.add("more", brick)
    with seed_everything(0):
        wide = TinyGPT(20, 12, d_model=16, n_heads=2, mlp_ratio=69 / 16).double()
    state = model.model.state_dict()
    for layer, (down, up) in enumerate(zip(brick.down, brick.up, strict=True)):
        mlp = f"blocks.{layer}.mlp."
        state[f"{mlp}pre.weight"] = torch.cat([state[f"{mlp}pre.weight"], down.weight])
        state[f"{mlp}pre.bias"] = torch.cat([state[f"{mlp}pre.bias"], down.bias])
        state[f"{mlp}down.weight"] = torch.cat([state[f"{mlp}down.weight"], up.weight], 1)
        state[f"{mlp}down.bias"] = state[f"{mlp}down.bias"] + up.bias
    wide.load_state_dict(state)
    with model.active(["more"]):
        torch.testing.assert_close(model(ids()), wide(ids()), rtol=1e-12, atol=1e-12)


def test_an_update_touches_one_brick() -> None:
    model = BrickModel(network())
    for name, brick in new_bricks(model.model).items():
        model.add(name, brick)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    data = (torch.arange(64)[:, None] + torch.arange(9)) % 20
    log = model.update("lora", data, 60, lr=2e-2)
    assert float(log.dataset.loss[-1]) < float(log.dataset.loss[0]) - 0.1
    for key, value in model.state_dict().items():
        is_mine = key.startswith("bricks.lora.")
        assert torch.equal(value, before[key]) != is_mine, key
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())
    # The same call again, on the same start, gives the same brick.
    again = BrickModel(network())
    again.add("lora", LoRABrick(again.model, MAPS, rank=3))
    again.update("lora", data, 60, lr=2e-2)
    for left, right in zip(
        model.bricks["lora"].parameters(), again.bricks["lora"].parameters(), strict=True
    ):
        assert torch.equal(left, right)


@pytest.mark.parametrize("kind", ["lora", "behind", "beside"])
def test_merged_effects_are_the_weighted_sum(kind: str) -> None:
    model = BrickModel(network())
    made = [filled(new_bricks(model.model)[kind], seed) for seed in (5, 6)]
    for name, brick in zip("ab", made, strict=True):
        model.add(name, brick)
    model.add("merged", model.merge(["a", "b"], [0.7, -0.4]))
    path = made[0].paths[0]
    inputs: list[Any] = []
    handle = model.model.get_submodule(path).register_forward_hook(
        lambda _, args, out: inputs.append((args[0].detach(), out.detach()))
    )
    model(ids())
    handle.remove()
    x, out = inputs[0]
    effects = [brick._effect(0, x, out) for brick in (*made, model.bricks["merged"])]
    torch.testing.assert_close(effects[2], 0.7 * effects[0] - 0.4 * effects[1])
    if kind == "lora":
        first, second, merged = (model.bricks[name].delta(path) for name in ("a", "b", "merged"))
        torch.testing.assert_close(merged, 0.7 * first - 0.4 * second)
    averaged: Any = model.merge(["a", "b"], [0.5, 0.5], method="parameters")
    for found, left, right in zip(
        averaged.parameters(), made[0].parameters(), made[1].parameters(), strict=True
    ):
        torch.testing.assert_close(found, (left + right) / 2)


def test_neurons_that_are_not_chosen_are_off() -> None:
    model = BrickModel(tiny_llama(2, double=True))
    paths = [f"model.layers.{layer}.mlp.down_proj" for layer in (0, 1)]
    rng = np.random.default_rng(0)
    masks = {name: {p: rng.random(48) < 0.4 for p in paths} for name in "ab"}
    for name, mask in masks.items():
        model.add(name, NeuronBrick(model.model, mask))
    cut = copy.deepcopy(model.model)
    with torch.no_grad():
        for path in paths:
            off = torch.as_tensor(~(masks["a"][path] | masks["b"][path]))
            cut.get_submodule(path).weight[:, off] = 0
    with model.active(["a", "b"]):
        found = model(tokens()).logits
    torch.testing.assert_close(found, cut(tokens()).logits, rtol=1e-10, atol=1e-10)
    less: Any = model.merge(["a", "b"], [1.0, -1.0])
    np.testing.assert_array_equal(
        less.mask(paths[1]).numpy(), masks["a"][paths[1]] & ~masks["b"][paths[1]]
    )


def test_retrieval_and_routing() -> None:
    model = BrickModel(network())
    keys = np.eye(4)[:3]
    masks = [np.arange(64) % 3 == i for i in range(3)]
    for i, mask in enumerate(masks):
        brick = NeuronBrick(model.model, {"blocks.0.mlp.down": mask})
        model.add(f"n{i}", brick, key=keys[i])
    names, scores = model.retrieve([0.1, 3.0, 2.0, 9.0], 2)
    assert names.tolist() == ["n1", "n2"]
    assert scores.tolist() == [3.0, 2.0]
    many, _ = model.retrieve(np.eye(4)[[2, 0]])
    assert many.tolist() == [["n2"], ["n0"]]
    rng = np.random.default_rng(0)
    h = rng.normal(size=(300, 5))
    with pytest.raises(ParameterError, match="call fit_router first"):
        model.route(h, 1)
    model.fit_router(h, h[:, :3] == h[:, :3].max(axis=1, keepdims=True))
    fresh = rng.normal(size=(200, 5))
    chosen, weights = model.route(fresh, 2)
    assert np.mean(chosen[:, 0] == np.char.add("n", fresh[:, :3].argmax(axis=1).astype(str))) > 0.9
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert bool((weights[:, 0] >= weights[:, 1]).all())
    one, _ = model.route(fresh[0], 1)
    assert one.tolist() == chosen[0, :1].tolist()
    with pytest.raises(ParameterError, match="top_k must be an integer at least 1 and at most 3"):
        model.route(h, 4)
    with pytest.raises(ParameterError, match="finite vectors of 4 numbers"):
        model.retrieve(np.ones(3))


def test_refusals() -> None:
    model = BrickModel(network())
    base = model.model
    model.add("a", LoRABrick(base, MAPS, rank=2)).add("b", LoRABrick(base, MAPS, rank=3))
    model.add("c", AdapterBrick(base, "blocks.*.mlp", parallel=True))
    model.add("n", NeuronBrick(base, {"blocks.0.mlp.down": np.arange(64) < 3}))
    lora = LoRABrick(base, MAPS)
    cases: list[tuple[Any, str]] = [
        (lambda: model.add("a", lora), "there is a brick 'a' already"),
        (lambda: model.add("x.y", lora), "letters, digits"),
        (lambda: model.add("x", LoRABrick(network(7), MAPS)), "network of other weights"),
        (lambda: model.add("x", base), "a brick is needed; got TinyGPT"),
        (lambda: model.add("x", lora, key=[np.nan]), "finite vector"),
        (lambda: model.merge(["a", "c"], [1, 1]), "of one kind"),
        (lambda: model.merge(["a", "b"], [1, 1], method="parameters"), "parameters of one shape"),
        (lambda: model.merge(["a"], [1, 1]), "1 bricks and 2 weights"),
        (lambda: model.merge(["a", "a"], [1, 1]), "given twice"),
        (lambda: model.merge(["a"], [1], method="ties"), "unknown method 'ties'"),
        (lambda: model.update("n", ids(), 3), "nothing to train"),
        (lambda: model.update("z", ids(), 3), "unknown brick 'z'"),
        (lambda: model.update("a", ids(), 0), "steps"),
        (lambda: model.fold(["c"]), "only changes of low rank"),
        (lambda: model.active(["q"]).__enter__(), "unknown brick 'q'"),
        (lambda: model.active("a").__enter__(), "names must be a list"),
        (lambda: model.active({"a": float("inf")}).__enter__(), "weight of 'a'"),
        (lambda: model.retrieve(np.ones(2)), "at most 0"),
        (lambda: model.fit_router(np.ones((3, 2)), np.ones((3, 2), bool)), "each of the 1 bricks"),
        (lambda: LoRABrick(base, "blocks.*.mpl"), "matches no module"),
        (lambda: LoRABrick(base, "blocks.*.mlp"), "must match a linear map"),
        (lambda: LoRABrick(base, MAPS, rank=0), "rank"),
        (lambda: AdapterBrick(base, "norm"), "holds none"),
        (lambda: NeuronBrick(base, {"blocks.0.mlp.down": [True]}), r"shape \(64,\)"),
    ]
    for call, message in cases:
        with pytest.raises(ParameterError, match=message):
            call()
