"""Relation effects: against prompts one by one with hooks by hand, laws, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch

from activome.errors import ActivityError, ActivityWarning, ParameterError
from activome.interventions import record
from activome.interventions.relation_effects import (
    recalls,
    relation_effects,
    relation_responses,
    relative_drop,
)
from activome.networks import TinyGPT, seed_everything

WORDS = ["<0>", *"abcdefghijklmnopqrstuvwxyz", "of", "is", "the", "one"]


class Words:
    """A tokenizer of words."""

    def encode(self, text: str) -> list[int]:
        return [WORDS.index(word) for word in text.split()]


def network() -> TinyGPT:
    with seed_everything(4):
        return TinyGPT(len(WORDS), 8, d_model=16, n_heads=2, init="lecun", tied=False)


def facts(model: Any, n: int = 24) -> pd.DataFrame:
    """Return facts of which the network knows two in three."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n):
        subject = " ".join(rng.choice(WORDS[1:27], 1 + i % 3, replace=False))
        prompt = f"the one of {subject} is"
        with torch.no_grad():
            best = int(model(torch.tensor([Words().encode(prompt)]))[0, -1].argmax())
        answer = WORDS[best if i % 3 else (best + 1) % 27]
        rows.append((("first", "second")[i % 2], subject, answer, 0, prompt))
    return pd.DataFrame(rows, columns=["relation", "subject", "object", "template", "prompt"])


def one_by_one(model: Any, table: pd.DataFrame, units: list[int]) -> list[bool]:
    """Return what is recalled, with zeros put in by bare hooks."""
    handles = []
    for layer, block in enumerate(model.blocks):
        mine = [unit % 64 for unit in units if unit // 64 == layer]

        def cut(_: Any, args: Any, mine: list[int] = mine) -> Any:
            hidden = args[0].clone()
            hidden[..., mine] = 0.0
            return (hidden,)

        handles.append(block.mlp.down.register_forward_pre_hook(cut))
    found = []
    with torch.no_grad():
        for prompt, answer in zip(table.prompt, table.object, strict=True):
            logits = model(torch.tensor([Words().encode(prompt)]))[0, -1]
            found.append(WORDS[int(logits.argmax())] == answer)
    for handle in handles:
        handle.remove()
    return found


def test_accuracies_equal_those_one_by_one() -> None:
    model = network()
    table = facts(model)
    rng = np.random.default_rng(1)
    orders = {name: rng.permutation(128)[:90] for name in ("first", "second", "random")}
    found = relation_effects(model, table, orders, [20, 90], tokenizer=Words(), max_tokens=20)
    assert found.dims == ("k", "switched_off", "evaluated")
    plain = pd.Series(one_by_one(model, table, [])).groupby(table.relation).mean()
    np.testing.assert_allclose(found.baseline, plain[found.evaluated.values])
    np.testing.assert_array_equal(found.n_facts, [12, 12])
    for k in (20, 90):
        for name, order in orders.items():
            slow = pd.Series(one_by_one(model, table, order[:k].tolist()))
            expected = slow.groupby(table.relation).mean()[found.evaluated.values]
            np.testing.assert_allclose(found.sel(k=k, switched_off=name), expected)
    assert float(found.sel(k=90).mean()) < float(found.baseline.mean())
    np.testing.assert_array_equal(
        recalls(model, table, tokenizer=Words()), one_by_one(model, table, [])
    )
    drop = relative_drop(found)
    expected = (found.baseline - found) / found.baseline
    np.testing.assert_allclose(drop, expected.transpose(*found.dims), atol=1e-15)


def test_responses_are_means_over_positions() -> None:
    model = network()
    table = facts(model)
    found = relation_responses(model, table, tokenizer=Words(), max_tokens=20)
    assert found.dims == ("trial", "unit")
    assert found.sizes == {"trial": 24, "unit": 128}
    np.testing.assert_array_equal(found.recalled, one_by_one(model, table, []))
    assert found.relation.values.tolist() == table.relation.tolist()
    for i in (0, 7, 23):
        ids = torch.tensor([Words().encode(table.prompt[i])])
        whole = record(model, ids, "mlp_hidden[*]").values[0]
        np.testing.assert_allclose(found.values[i], whole[1:].mean(axis=0), rtol=1e-5, atol=1e-6)
        kept = relation_responses(model, table, tokenizer=Words(), skip_first=False)
        np.testing.assert_allclose(kept.values[i], whole.mean(axis=0), rtol=1e-5, atol=1e-6)


def test_what_is_refused() -> None:
    model = network()
    table = facts(model)
    call: Any = {"tokenizer": Words()}
    units = {"first": np.arange(10)}
    with pytest.raises(ParameterError, match="at most 128"):
        relation_effects(model, table, units, [129], **call)
    with pytest.raises(ParameterError, match="'first' must list at least 11 units"):
        relation_effects(model, table, units, [11], **call)
    with pytest.raises(ParameterError, match="at least one set of units"):
        relation_effects(model, table, {}, [1], **call)
    with pytest.raises(ActivityError, match="24 were, such as"):
        relation_effects(model, table, units, [5], detected_on=table, **call)
    with pytest.raises(ActivityError, match="object is missing"):
        recalls(model, table.drop(columns="object"), **call)
    with pytest.raises(ActivityError, match="there is none"):
        recalls(model, table.head(0), **call)
    with pytest.raises(ParameterError, match="keep its tokens"):
        recalls(model, table.assign(object=""), **call)
    with pytest.raises(ActivityError, match="coordinate 'baseline'"):
        relative_drop(relation_effects(model, table, units, [5], **call).drop_vars("baseline"))


def test_what_is_warned_of() -> None:
    model = network()
    table = facts(model)
    unknown = table.iloc[::6]
    with pytest.warns(ActivityWarning, match="under half of the facts of first"):
        found = relation_effects(model, unknown, {"first": np.arange(5)}, [5], tokenizer=Words())
    with pytest.raises(ActivityError, match="every baseline must be above 0"):
        relative_drop(found)
    same = table.assign(object=[f"a {WORDS[i]}" for i in range(24)])
    with pytest.warns(ActivityWarning, match="begin with the same one"):
        recalls(model, same, tokenizer=Words())
