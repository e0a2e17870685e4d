"""Networks that write into their tensors: nothing recorded, set or patched is overwritten."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from activome.interventions.activation_patching import activation_patching
from activome.interventions.attribution_patching import attribution_patching
from activome.interventions.edits import Clamp, Mean, Patch, Set
from activome.interventions.integrated_gradients import integrated_gradients
from activome.interventions.recording import record
from activome.interventions.relevance_patching import relevance_patching
from activome.interventions.resuming import resume
from activome.interventions.taps import Taps


class Block(nn.Module):
    """A residual block, as most networks for images write it."""

    def __init__(self, *, in_place: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.relu = nn.ReLU(inplace=in_place)
        self.in_place = in_place

    def forward(self, x: Any) -> Any:
        out = self.second(self.relu(self.first(x)))
        if self.in_place:
            out += x
            return torch.relu_(out)
        return torch.relu(out + x)


class Network(nn.Module):
    """Three blocks and a readout."""

    tap_sites: ClassVar = {"resid_pre": "blocks.*#in", "inner": "blocks.*.first#out"}

    def __init__(self, *, in_place: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(Block(in_place=in_place) for _ in range(3))
        self.readout = nn.Linear(6, 2)

    def forward(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return self.readout(x)


SITES = ["resid_pre[1]", "inner[*]", "module:blocks.*.second#out", "module:blocks.*.relu#in"]


def both() -> tuple[Network, Network]:
    return Network(in_place=True).eval(), Network(in_place=False).eval()


def inputs(seed: int = 0) -> Any:
    return torch.randn(5, 6, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("site", SITES)
def test_what_is_recorded_stays_as_it_was(site: str) -> None:
    writing, plain = both()
    np.testing.assert_array_equal(
        record(writing, inputs(), site).values, record(plain, inputs(), site).values
    )
    grads = []
    for model in (writing, plain):
        with Taps(model).record(site, grad=True) as rec:
            model(inputs()).sum().backward()
        grads.append([rec.gradient(found.label) for found in rec.sites])
    for ours, wanted in zip(*grads, strict=True):
        torch.testing.assert_close(ours, wanted)


@pytest.mark.parametrize("site", SITES[:3])
def test_what_is_set_is_not_written_into(site: str) -> None:
    writing, plain = both()
    other = inputs(1)
    with torch.no_grad(), Taps(writing).record(site) as rec:
        writing(other)
    label = rec.sites[0].label
    kept, source = rec.tensor(label).clone(), -torch.ones(6)
    for edit in (Patch(label, rec), Set(label, source), Mean(label), Clamp(label, -0.5)):
        with torch.no_grad():
            with Taps(writing).edit(edit):
                found = writing(inputs())
            with Taps(plain).edit(edit):
                torch.testing.assert_close(found, plain(inputs()))
    torch.testing.assert_close(rec.tensor(label), kept)
    torch.testing.assert_close(source, -torch.ones(6))


@pytest.mark.parametrize(
    "method",
    [activation_patching, attribution_patching, integrated_gradients, relevance_patching],
)
@pytest.mark.parametrize("site", ["inner", "module:blocks.*.second#out", "resid_pre"])
def test_effects_are_those_of_the_network_that_writes_nothing(method: Any, site: str) -> None:
    def metric(logits: Any) -> Any:
        return logits[:, 0].mean() - logits[:, 1].mean()

    found, wanted = (
        method(model, inputs(), inputs(1), metric, site, by="unit") for model in both()
    )
    np.testing.assert_allclose(found.values, wanted.values, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", [nn.SiLU, nn.Mish, nn.Hardswish, nn.ReLU])
def test_rules_read_what_came_in(kind: Any) -> None:
    effects = []
    for in_place in (True, False):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 5), kind(inplace=in_place), nn.Linear(5, 2)).eval()
        found = relevance_patching(
            model, inputs(), inputs(1), lambda z: z[:, 0].mean(), "module:0#out", by="unit"
        )
        effects.append(found.values)
    np.testing.assert_array_equal(effects[0], effects[1])


def test_a_stream_that_a_pass_begins_with_is_not_written_into() -> None:
    writing, plain = both()
    stream = inputs(2)
    with torch.no_grad():
        wanted = plain.readout(plain.blocks[2](plain.blocks[1](stream)))
        found = resume(plain, inputs(), 1, stream)
        torch.testing.assert_close(found, wanted)
        kept = stream.clone()
        torch.testing.assert_close(resume(writing, inputs(), 0, stream), writing(kept))
    torch.testing.assert_close(stream, kept)
