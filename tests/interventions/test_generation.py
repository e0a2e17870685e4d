"""Positions: the same token is meant with padding on either side, and while generating."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_networks import logits, tiny_llama, tokens

from activome.interventions._hooks import n_active
from activome.interventions.edits import Apply, Patch, Steer, Zero
from activome.interventions.recording import record
from activome.interventions.selectors import Sel
from activome.interventions.taps import Taps

SAMPLES = [[5, 9, 3, 7, 2], [8, 6], [4, 1, 11]]


def padded(side: str) -> dict[str, Any]:
    ids, mask = torch.zeros(3, 5, dtype=torch.long), torch.zeros(3, 5, dtype=torch.long)
    for row, sample in enumerate(SAMPLES):
        where = slice(5 - len(sample), 5) if side == "left" else slice(0, len(sample))
        ids[row, where] = torch.tensor(sample)
        mask[row, where] = 1
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("pos", ["last", "first_real"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_the_last_and_the_first_token_are_those_of_the_bare_sample(pos: str, side: str) -> None:
    model = tiny_llama()
    found = record(model, padded(side), "resid_post[2]", at=Sel(pos=pos)).values
    place = -1 if pos == "last" else 0
    for row, sample in enumerate(SAMPLES):
        alone = record(model, torch.tensor([sample]), "resid_post[2]").values[0, place]
        np.testing.assert_allclose(found[row], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pos", ["last", "first_real", "all_but_first", -1])
def test_an_edit_with_padding_is_that_of_the_bare_sample(pos: Any) -> None:
    model = tiny_llama()
    taps, change = Taps(model), Steer("mlp_out[1]", torch.ones(32), 3.0, pos=pos)
    for side in ("left", "right") if isinstance(pos, str) else ("left",):
        with torch.no_grad(), taps.edit(change):
            found = logits(model(**padded(side)))
            for row, sample in enumerate(SAMPLES):
                alone = logits(model(torch.tensor([sample])))[0, -1]
                place = -1 if side == "left" else len(sample) - 1
                torch.testing.assert_close(found[row, place], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pos", [None, 3, 8, slice(2, 9), "all_but_first"])
def test_generation_with_a_cache_is_that_without(pos: Any) -> None:
    model, ids = tiny_llama(), tokens(2, 5)
    direction = torch.randn(32, generator=torch.Generator().manual_seed(4))
    change = Steer("mlp_out[1]", direction, 8.0, pos=pos)
    found = []
    for use_cache in (True, False):
        with Taps(model).edit(change):
            found.append(
                model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=6,
                    do_sample=False,
                    use_cache=use_cache,
                )
            )
    assert torch.equal(*found)
    plain = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False
    )
    assert not torch.equal(plain, found[0])
    assert n_active() == 0


def test_a_function_that_writes_into_its_argument_spoils_nothing() -> None:
    model, ids = tiny_llama(), tokens()
    taps = Taps(model)
    with taps.record("attn_out[1]") as rec, taps.edit(Apply("mlp_out[1]", lambda v: v.zero_())):
        found = logits(model(ids))
    with taps.edit(Zero("mlp_out[1]")):
        assert torch.equal(logits(model(ids)), found)
    with taps.record("attn_out[1]") as bare:
        model(ids)
    assert torch.equal(bare.tensor("attn_out[1]"), rec.tensor("attn_out[1]"))


def test_trained_networks_are_left_equal_bit_by_bit(smollm2: Any, minilm: Any) -> None:
    texts = ["The capital of France is", "Two brown dogs run over the green grass."]
    for loaded in (smollm2, minilm):
        inputs = loaded.tokenizer(texts, padding=True, return_tensors="pt")
        taps = Taps(loaded.model)
        names = [name for name in taps.table.named if name != "attn_pattern"]
        with torch.no_grad():
            plain = _output(loaded.model(**inputs)).clone()
            with taps.record(*names) as rec:
                hooked = _output(loaded.model(**inputs))
            with taps.edit(Patch("resid_post[3]", rec), Patch("head_out[4]", rec)):
                patched = _output(loaded.model(**inputs))
        assert torch.equal(plain, hooked)
        assert torch.equal(plain, patched)
    assert n_active() == 0


def _output(found: Any) -> Any:
    return getattr(found, "logits", None) if hasattr(found, "logits") else found.last_hidden_state


def test_one_number_of_smollm2_dwarfs_all_others(smollm2: Any) -> None:
    text = "The capital of France is"
    found = record(smollm2.model, [text], "resid_post[12]", tokenizer=smollm2.tokenizer)
    size = np.abs(found.values[0])
    assert np.unravel_index(size.argmax(), size.shape) == (0, 507)
    assert size[0, 507] > 15_000
    assert size[1:].max() < 1_000
    assert found["token"].values[0, 0] == "The"
    ids = smollm2.tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad(), Taps(smollm2.model).edit(Zero("resid_post[12]", pos=0, units=507)):
        without = smollm2.model(ids).logits[0, -1]
    assert smollm2.tokenizer.decode(without.argmax()) != " Paris"
