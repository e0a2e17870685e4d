"""Resume: a pass from a block on is the whole pass, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_networks import GatedNetwork, logits, tiny_bert, tiny_gpt2, tiny_llama, tokens

from activome.errors import ParameterError
from activome.interventions.edits import Zero
from activome.interventions.resuming import resume
from activome.interventions.taps import Taps, edit


@pytest.mark.parametrize("build", [tiny_llama, tiny_gpt2, tiny_bert])
def test_from_every_block_on_it_is_the_whole_pass(build: Callable[[], Any]) -> None:
    model, ids = build(), tokens()
    taps = Taps(model)
    with torch.no_grad():
        with taps.record("resid_pre") as rec:
            wanted = logits(model(ids))
        for layer in range(len(taps.sites("resid_pre"))):
            stream = rec.tensor(f"resid_pre[{layer}]")
            torch.testing.assert_close(logits(resume(model, ids, layer, stream)), wanted)
            twice = logits(resume(model, ids, layer, torch.cat([stream, stream])))
            torch.testing.assert_close(twice, torch.cat([wanted, wanted]), rtol=1e-4, atol=1e-5)
    assert all("forward" not in module.__dict__ for module in model.modules())


def test_edits_and_masks_act_inside() -> None:
    model, ids = tiny_llama(), tokens(2, 6)
    mask = torch.ones_like(ids)
    mask[0, :2] = 0
    given = {"input_ids": ids, "attention_mask": mask}
    taps = Taps(model)
    with torch.no_grad(), taps.edit(Zero("mlp_out[2]")):
        with taps.record("resid_pre[1]") as rec:
            wanted = logits(model(**given))
        found = logits(resume(model, given, 1, rec.tensor("resid_pre[1]")))
    torch.testing.assert_close(found[:, -1], wanted[:, -1])


def test_blocks_compute_again_after_an_exception() -> None:
    model, ids = tiny_llama(), tokens()

    def fails(_: Any) -> Any:
        raise RuntimeError

    with torch.no_grad():
        wanted = logits(model(ids))
        with edit(model, {"mlp_out[2]": fails}), pytest.raises(RuntimeError):
            resume(model, ids, 1, torch.zeros(3, 7, 32))
        assert torch.equal(logits(model(ids)), wanted)


def test_refusals() -> None:
    model, ids = tiny_llama(), tokens()
    stream = torch.zeros(3, 7, 32)
    for layer, hidden, message in (
        (3, stream, "layer must be an integer at least 0 and at most 2"),
        (1, stream[..., :5], r"hidden must have shape \(k \* 3, 7, 32\).*got \(3, 7, 5\)"),
        (1, stream[:2], "multiple of 3 rows"),
        (1, [1.0], r"hidden must have shape"),
    ):
        with pytest.raises(ParameterError, match=message):
            resume(model, ids, layer, hidden)
    with pytest.raises(ParameterError, match="GatedNetwork has no chain of blocks"):
        resume(GatedNetwork(), torch.ones(2, 16), 1, torch.ones(2, 16))
