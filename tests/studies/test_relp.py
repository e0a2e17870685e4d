"""The study of relevance patching: its networks, its prompts and its smoke run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from activome.studies import relp
from activome.studies._relp_data import GatedResidual, pack, residual_network, task, unpack
from activome.studies.claims import Study


def test_smoke(tmp_path: Path, smollm2: Any) -> None:
    study = Study("relp-smoke", "smoke", tmp_path)
    relp.run(study)
    assert len(study.claims) == 12
    assert [claim.name for claim in study.claims if not claim.holds] == []
    assert study.figure_path.read_bytes().startswith(b"\x89PNG")


def test_without_the_model_the_networks_are_measured_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = SimpleNamespace(is_installed=False, command="pip install it")
    monkeypatch.setattr(relp, "ASSETS", {"smollm2": absent})
    study = Study("relp-smoke", "smoke", tmp_path)
    relp.run(study)
    assert [claim.holds for claim in study.claims] == [True] * 8 + [None]
    assert not study.figure_path.exists()


def test_the_network_is_as_said() -> None:
    network = GatedResidual(0)
    weights = {name: weight.detach() for name, weight in network.named_parameters()}
    assert len(weights) == 3 * 3 + 1
    assert float(weights["blocks.0.gate.weight"].std()) == pytest.approx(2 / 32**0.5, rel=0.05)
    assert float(weights["blocks.2.down.weight"].std()) == pytest.approx(96**-0.5, rel=0.05)
    found = residual_network(0)
    assert len(found["RelP"]) == 3
    assert all(a > b for a, b in zip(found["RelP"], found["attribution"], strict=True))


def test_prompts_are_pairs_that_trade_places(smollm2: Any) -> None:
    for name in ("objects", "agreement"):
        given = task(name, 4)
        assert torch.equal(given.clean[:4], given.corrupted[4:])
        assert torch.equal(given.right[:4], given.wrong[4:])
        assert bool(((given.clean != given.corrupted).sum(1) == 1).all())
        held_out = task(name, 4, first=4)
        assert not bool((held_out.clean[:, None] == given.clean[None]).all(-1).any())
        logits = torch.zeros(8, 50_000)
        logits[torch.arange(8), given.right] = 2.0
        assert float(given.metric(logits)) == 2.0


def test_agreement_by_hand() -> None:
    truth = np.arange(40.0)
    same = relp.agreement(truth, 3 * truth + 1)
    assert same == {"pearson": pytest.approx(1.0), "spearman": pytest.approx(1.0), "top": 1.0}
    turned = relp.agreement(truth, -truth[::-1])
    assert turned["top"] == 0.0


def test_effects_survive_the_disk() -> None:
    import xarray as xr

    coords: Any = {
        "site": ["a"], "layer": [3], "position": [0, 1], "clean_token": ("position", ["x", "y"]),
    }  # fmt: skip
    found = xr.DataArray(np.ones((1, 1, 2)), coords, ("site", "layer", "position"))
    xr.testing.assert_identical(unpack(pack(found)), found)
