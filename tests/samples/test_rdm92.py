"""The shipped RDMs of 92 images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from activome.errors import ReadError
from activome.samples import rdm92


def test_shapes_and_known_figures() -> None:
    data = rdm92.load_rdm92()
    assert data.human.dtype == np.float32
    assert data.sizes["pair"] == 92 * 91 // 2
    assert data.condition_b.values[90] == 91
    similar = np.corrcoef(data.human.values)[np.triu_indices(8, 1)]
    assert round(float(similar.min()), 2) == 0.06
    assert round(float(similar.max()), 2) == 0.40
    # The animacy model is 0 within animate and within inanimate things, and 1 between them.
    is_animate = data.is_member.sel(category="animate").values
    across = is_animate[data.condition_a.values] != is_animate[data.condition_b.values]
    np.testing.assert_array_equal(data.models.sel(model="animacy").values, across)


def test_damage_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rdm92, "_PATH", tmp_path / "rdm92.npz")
    with pytest.raises(ReadError, match="missing"):
        rdm92.load_rdm92()
    (tmp_path / "rdm92.npz").write_bytes(b"not it")
    with pytest.raises(ReadError, match="checksum"):
        rdm92.load_rdm92()
