"""The loss of the next token: by hand, and that the last token has nothing to predict."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from activome.networks.next_token import next_token_loss  # noqa: E402  # only where torch is


def test_by_hand() -> None:
    # Each token says itself with odds of 3 to 1 against each of two others.
    model = torch.nn.Embedding.from_pretrained(math.log(3) * torch.eye(3))
    ids = torch.tensor([[0, 0, 1, 1]])
    loss, logged = next_token_loss(model, (ids,), torch.Generator())
    right, wrong = math.log(5 / 3), math.log(5)
    assert float(loss) == pytest.approx((2 * right + wrong) / 3)
    assert logged == {}
