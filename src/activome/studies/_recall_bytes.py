"""A small byte transformer that knows facts by heart and looks others up in its context."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from activome.interventions.double_dissociation import double_dissociation
from activome.interventions.head_scores import head_means, head_scores
from activome.networks.training import TrainConfig, Trainer, seed_everything
from activome.networks.transformer import TinyGPT
from activome.patterns.select_heads import select_heads

__all__ = ["byte_transformer", "train_bytes"]

Array = np.ndarray[Any, Any]
_N_FACTS, _FIRST_FACT = 64, 128  # keys of facts are bytes 128 to 191
_KEYS, _VALUES = 32, 64  # keys of the context are bytes 32 to 63, values 64 to 95
_N_PAIRS, _N_QUERIES = 4, 4


def facts(seed: int) -> Any:
    """Return the value of each of the facts."""
    generator = torch.Generator().manual_seed(seed)
    return _VALUES + torch.randint(32, (_N_FACTS,), generator=generator)


def sequences(n: int, known: Any, generator: torch.Generator) -> tuple[Any, Any]:
    """Return bytes (n, 16): pairs of key and value, then queries with their values; and answers.

    A query is, by a coin, a key of the context or one of a fact.
    """
    keys = torch.rand(n, 32, generator=generator).argsort(1)[:, :_N_PAIRS]
    values = torch.randint(32, (n, _N_PAIRS), generator=generator)
    context = torch.stack([_KEYS + keys, _VALUES + values], 2).flatten(1)
    which = torch.randint(_N_PAIRS, (n, _N_QUERIES), generator=generator)
    fact = torch.randint(_N_FACTS, (n, _N_QUERIES), generator=generator)
    is_fact = torch.rand(n, _N_QUERIES, generator=generator) < 0.5
    query = torch.where(is_fact, _FIRST_FACT + fact, _KEYS + keys.gather(1, which))
    answer = torch.where(is_fact, known[fact], _VALUES + values.gather(1, which))
    asked = torch.stack([query, answer], 2).flatten(1)
    return torch.cat([context, asked], 1), answer


def train_bytes(seed: int, n_steps: int) -> Any:
    """Return the trained network."""
    known = facts(seed)
    with seed_everything(seed):
        network = TinyGPT(256, 16, 64, 4, 2)

    def loss(model: Any, batch: Any, _: Any) -> tuple[Any, dict[str, Any]]:
        ids, answers = batch
        logits = model(ids)[:, 2 * _N_PAIRS :: 2]
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), answers.flatten()), {}

    config = TrainConfig(
        steps=n_steps, lr=3e-3, optimizer="adamw", schedule="cosine:warmup=100", seed=seed,
        eval_at=n_steps,
    )  # fmt: skip
    Trainer(network, loss, config).fit(lambda generator: sequences(64, known, generator))
    return network.eval()


def one_query(n: int, known: Any, generator: torch.Generator, half: int) -> dict[str, Any]:
    """Return prompts with one query of a fact of one half, and of the context."""
    ids, _ = sequences(2 * n, known, generator)
    ids = ids[:, : 2 * _N_PAIRS + 1]
    fact = 2 * torch.randint(_N_FACTS // 2, (n,), generator=generator) + half
    ids[:n, -1] = _FIRST_FACT + fact
    which = 2 * torch.randint(_N_PAIRS, (n, 1), generator=generator)
    ids[n:, -1] = ids[n:].gather(1, which)[:, 0]
    looked_up = ids[n:].gather(1, which + 1)[:, 0]
    return {"recall": (ids[:n], known[fact]), "lookup": (ids[n:], looked_up)}


def byte_transformer(seed: int, n_steps: int, n_random: int) -> dict[str, Any]:
    """Train, score heads and neurons on half of the facts, and remove them on the other half."""
    network, known = train_bytes(seed, n_steps), facts(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    scoring = one_query(128, known, generator, 0)
    testing = one_query(128, known, generator, 1)
    result: dict[str, Any] = {}
    for component, site, n in (("heads", "head_out", 1), ("neurons", "mlp_hidden", 100)):
        means = head_means(network, *(ids for ids, _ in scoring.values()), site=site)
        scores = []
        for ids, answers in scoring.values():
            wrong = answers.roll(1)

            def metric(logits: Any, right: Any = answers, wrong: Any = wrong) -> Any:
                rows = torch.arange(len(logits))
                return (logits[rows, right] - logits[rows, wrong]).mean()

            scores.append(head_scores(network, ids, metric, means, site=site))
        a, b = scores
        heads = [select_heads(a, b, n), select_heads(b, a, n)]
        found = double_dissociation(
            network, testing, heads[0], heads[1], n_random=n_random, reference=means,
            match="any", site=site, min_accuracy=0.0, random_state=seed,
        )  # fmt: skip
        result[component] = {
            "accuracy": found.accuracy.values,
            "index": float(found["index"]),
            "p": float(found.p),
            "n": n,
        }
    return result
