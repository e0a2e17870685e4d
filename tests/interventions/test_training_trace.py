"""The trace of a training: its first row by hand, and that watching changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from activome.errors import ParameterError

torch = pytest.importorskip("torch", reason="torch is not installed")

from activome.geometry.massive import massive_ratio  # noqa: E402  # only where torch is installed
from activome.interventions.training_trace import training_trace  # noqa: E402
from activome.networks.next_token import next_token_loss  # noqa: E402
from activome.networks.training import TrainConfig, Trainer, seed_everything  # noqa: E402
from activome.networks.transformer import TinyGPT  # noqa: E402


def make(**options: Any) -> Any:
    """Return a small network."""
    return TinyGPT(7, 8, d_model=16, n_heads=2, norm="rms", **options)


def test_rows_by_hand_and_the_training_is_the_same() -> None:
    ids = torch.randint(7, (64, 9), generator=torch.Generator().manual_seed(0))
    config = TrainConfig(30, batch_size=16, lr=0.01, schedule="warmup:10", eval_at=10, seed=3)
    kept: list[Any] = []

    def keep() -> Any:
        kept.append(make())
        return kept[-1]

    trace = training_trace(keep, (ids,), config, ids[:5, :8])
    assert trace.step.values.tolist() == [0, 10, 20, 30]
    np.testing.assert_allclose(trace.lr, [0.001, 0.01, 0.01, 0.01])
    with seed_everything(3):
        bare = make()
    with torch.no_grad():
        stream = bare.embed(ids[:5, :8]) + bare.position.weight
        outputs = []
        for block in bare.blocks:
            stream = block(stream)
            outputs.append(stream)
    h = torch.stack(outputs, 1).numpy()
    np.testing.assert_allclose(trace.ratio[0], massive_ratio(h), rtol=1e-5)
    np.testing.assert_allclose(trace.largest[0], np.abs(h).max(axis=(2, 3)).mean(axis=0), rtol=1e-5)
    # At the start attention is nearly even: position t gives 1 / (t + 1) to the first.
    assert float(trace.attention[0, 0]) == pytest.approx(np.mean(1 / np.arange(2, 9)), abs=0.01)
    Trainer(bare, next_token_loss, config).fit((ids,))
    for one, other in zip(kept[0].parameters(), bare.parameters(), strict=True):
        assert torch.equal(one, other)


def test_without_attention_and_without_site() -> None:
    ids = torch.zeros(4, 9, dtype=torch.long)
    config = TrainConfig(2, batch_size=2)
    trace = training_trace(lambda: make(attention="fused"), (ids,), config, ids[:2, :8])
    assert "attention" not in trace
    with pytest.raises(ParameterError, match="resid_past"):
        training_trace(make, (ids,), config, ids[:2, :8], site="resid_past[*]")
