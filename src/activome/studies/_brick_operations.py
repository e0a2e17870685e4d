"""Operations on bricks of a small model of bytes: grow, update, merge, retrieve and route."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from sklearn.covariance import LedoitWolf
from torch import nn

from activome.interventions.recording import record
from activome.networks.bricks import AdapterBrick, LoRABrick
from activome.networks.modular import BrickModel
from activome.networks.routing import fit_group_router, routed
from activome.networks.training import TrainConfig, Trainer, seed_everything
from activome.networks.transformer import TinyGPT
from activome.patterns.bricks import BrickPartition
from activome.studies._brick_texts import FUNCTIONS, texts_of

__all__ = ["operations", "routing"]

Array = np.ndarray[Any, Any]
_CONTEXT = 64
# The base never meets these two: bricks teach them.
_NEW = ("maths", "translation")
_MAPS = "blocks.*.mlp.*"
_N_GROUPS = 16


def _windows(function: str, first: int, n: int, seed: int) -> torch.Tensor:
    """Return windows of bytes of texts ``first`` to ``first + n``, shape (n_windows, 65)."""
    text = "\n".join(texts_of(function, first + n, seed)[first:])
    data = np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int64)
    starts = range(0, len(data) - _CONTEXT - 1, _CONTEXT)
    return torch.as_tensor(np.stack([data[i : i + _CONTEXT + 1] for i in starts]))


def _loss(model: nn.Module, ids: torch.Tensor) -> float:
    with torch.no_grad():
        logits = model(ids[:, :-1])
    return float(nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()))


@functools.lru_cache(maxsize=1)
def _base(n_texts: int, n_steps: int, seed: int) -> TinyGPT:
    """Train the base on five functions."""
    kinds = [name for name in FUNCTIONS if name not in _NEW]
    data = torch.cat([_windows(name, 0, n_texts, seed) for name in kinds])
    with seed_everything(seed):
        model = TinyGPT(256, _CONTEXT, d_model=64, n_heads=4, n_layers=2, attention="fused")
    config = TrainConfig(
        n_steps, batch_size=32, lr=3e-3, schedule="cosine:warmup=20", grad_clip=1.0, seed=seed
    )

    def loss(model: nn.Module, batch: Any, _: torch.Generator) -> tuple[torch.Tensor, dict]:  # type: ignore[type-arg]
        logits = model(batch[0][:, :-1])
        return nn.functional.cross_entropy(logits.flatten(0, 1), batch[0][:, 1:].flatten()), {}

    Trainer(model, loss, config).fit((data,))
    return model


def operations(n_texts: int, n_steps: int, n_tune: int, seed: int) -> dict[str, Any]:
    """Grow two bricks, update, merge and subtract them, and retrieve by key."""
    model = BrickModel(_base(n_texts, n_steps, seed))
    probe = _windows("writing", 0, 10, seed)[:8, :-1]
    before = model(probe).detach()
    first, second = _NEW
    model.add(first, LoRABrick(model.model, _MAPS, rank=8, random_state=seed))
    model.add(second, LoRABrick(model.model, _MAPS, rank=8, random_state=seed))
    model.add("adapter", AdapterBrick(model.model, "blocks.*.mlp", 16, parallel=True))
    with model.active(list(model.bricks)):
        grown = float((model(probe).detach() - before).abs().max())
    train = {name: _windows(name, 0, n_texts, seed) for name in _NEW}
    held = {name: _windows(name, n_texts, max(10, n_texts // 4), seed) for name in _NEW}
    is_same = []
    for name in _NEW:
        state = {key: value.clone() for key, value in model.state_dict().items()}
        model.update(name, train[name], n_tune, lr=5e-3, random_state=seed)
        now = model.state_dict()
        is_same += [
            torch.equal(value, now[key])
            for key, value in state.items()
            if not key.startswith(f"bricks.{name}.")
        ]
    for method in ("effects", "parameters"):
        model.add(f"{method} merged", model.merge(_NEW, [1.0, 1.0], method=method))
    model.add("without", model.merge([first], [-1.0]))
    loss: dict[str, Array] = {"base": np.array([_loss(model, held[name]) for name in _NEW])}
    for brick in (*_NEW, "effects merged", "parameters merged", "without"):
        with model.active([brick]):
            loss[brick] = np.array([_loss(model, held[name]) for name in _NEW])
    return {
        "grown": grown,
        "is_same": bool(all(is_same)),
        "loss": loss,
        "retrieved": _retrieved(model.model, n_texts, seed),
    }


def _retrieved(base: nn.Module, n_texts: int, seed: int) -> float:
    """Return how often the key of a function is nearest to texts that made no key."""
    n_held = max(10, n_texts // 4)

    def states(name: str, first: int, n: int) -> Array:
        texts = texts_of(name, first + n, seed)[first:]
        ids = [np.frombuffer(text.encode(), dtype=np.uint8)[:_CONTEXT].tolist() for text in texts]
        found: dict[int, Array] = {}
        # The model takes no mask: texts of one length go together.
        for length in {len(row) for row in ids}:
            at = [i for i, row in enumerate(ids) if len(row) == length]
            given = torch.tensor([ids[i] for i in at])
            means = record(base, given, "resid_post[*]", reduce="mean").values
            found |= dict(zip(at, means.astype(np.float64), strict=True))
        return np.stack([found[i] for i in range(n)])

    known = {name: states(name, 0, n_texts) for name in FUNCTIONS}
    centre = np.mean([rows.mean(axis=0) for rows in known.values()], axis=0)
    # Directions in which texts of one function differ anyway count less.
    within = np.concatenate([rows - rows.mean(axis=0) for rows in known.values()])
    whiten = np.linalg.cholesky(np.linalg.inv(LedoitWolf().fit(within).covariance_))
    store = BrickModel(base)
    for name, rows in known.items():
        key = ((rows - centre) @ whiten).mean(axis=0)
        brick = LoRABrick(base, "blocks.0.mlp.down", rank=1)
        store.add(name, brick, key=key / np.linalg.norm(key))
    hits = []
    for name in FUNCTIONS:
        found, _ = store.retrieve((states(name, n_texts, n_held) - centre) @ whiten)
        hits += (found[:, 0] == name).tolist()
    return float(np.mean(hits))


def routing(n_texts: int, n_steps: int, seed: int) -> dict[str, Any]:
    """Keep half of the groups of neurons: by a router, at random, and the ones that write most."""
    base = _base(n_texts, n_steps, seed)
    kinds = [name for name in FUNCTIONS if name not in _NEW]
    train = torch.cat([_windows(name, 0, n_texts, seed)[:40] for name in kinds])
    held = torch.cat([_windows(name, n_texts, max(10, n_texts // 4), seed)[:20] for name in kinds])
    hidden = record(base, train[:, :-1], "mlp_hidden[*]")
    n_active = _N_GROUPS // 2
    result: dict[str, Any] = {"whole": _loss(base, held)}
    for method in ("coactivation", "balanced-kmeans"):
        routers = []
        for layer in range(base.n_layers):
            paths = f"blocks.{layer}.mlp.pre", f"blocks.{layer}.mlp.down"
            if method == "coactivation":
                given = hidden.isel(unit=np.flatnonzero(hidden["layer"].values == layer)).values
                given = given.reshape(-1, given.shape[-1])
            else:
                given = base.get_submodule(paths[0]).weight.detach().numpy().T
            labels = BrickPartition(_N_GROUPS, method, random_state=seed).fit(given).labels_
            routers.append(fit_group_router(base, [train[:, :-1]], *paths, labels, n_active))
        for choice in ("router", "random", "largest"):
            with routed(base, routers, n_active, choice=choice, random_state=seed):
                result[f"{method}, {choice}"] = _loss(base, held)
    return result
