"""Semi-nonnegative factorisation in blocks: the answer of memory, and nothing left behind."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from planted_parts import FIXED, planted

from activome.activity.blocks import fit_blocks
from activome.activity.schema import make
from activome.activity.store import open_store, write_store
from activome.errors import ActivityWarning
from activome.patterns.semi_nmf import SemiNMF

Array = np.ndarray[Any, Any]


def _coef(model: SemiNMF) -> Array:
    assert model.coef_ is not None
    return model.coef_


@pytest.mark.parametrize("init", ["random", "kmeans", "svd", "varimax"])
@pytest.mark.parametrize("block", [1000, 64])
def test_blocks_give_the_answer_of_memory(init: str, block: int) -> None:
    X, _ = planted()
    X[:, 7] = 0.0
    arguments: dict[str, Any] = {
        "n_components": 4,
        "keep": 0.125,
        "max_iter": 60,
        "init": init,
        **FIXED,
    }
    with pytest.warns(ActivityWarning, match="unit 7"):
        whole = SemiNMF(**arguments).fit(X)
    with pytest.warns(ActivityWarning, match="unit 7"):
        parts = fit_blocks(SemiNMF(**arguments), X, block=block)
    np.testing.assert_allclose(parts.components_, whole.components_, atol=1e-10)
    np.testing.assert_allclose(_coef(parts), _coef(whole), atol=1e-10)
    np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_, rtol=1e-10)
    assert parts.n_iter_ == whole.n_iter_


@pytest.mark.parametrize("init", ["random", "svd", "varimax"])
def test_blocks_of_equal_content_keep_coefficients_each(init: str) -> None:
    X, _ = planted(n=400)
    X[100:250] = 0.0
    X[300:350] = X[:50]
    arguments: dict[str, Any] = {"max_iter": 60, "init": init, **FIXED}
    whole = SemiNMF(4, 0.125, **arguments).fit(X)
    parts = fit_blocks(SemiNMF(4, 0.125, **arguments), X, block=50)
    twice = fit_blocks(_Repeating(4, 0.125, **arguments), X, block=50)
    for model in (parts, twice):
        np.testing.assert_allclose(model.components_, whole.components_, atol=1e-10)
        np.testing.assert_allclose(_coef(model), _coef(whole), atol=1e-10)


def test_a_store_gives_the_answer_of_memory_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    X, _ = planted(n=300)
    activity = make(X, sampling_rate=100.0)
    write_store(activity, tmp_path / "data.zarr")
    whole = SemiNMF(4, 0.125, max_iter=40, **FIXED).fit(activity)
    parts = fit_blocks(SemiNMF(4, 0.125, max_iter=40, **FIXED), tmp_path / "data.zarr", block=70)
    np.testing.assert_allclose(parts.components_, whole.components_, atol=1e-10)
    np.testing.assert_allclose(_coef(parts), _coef(whole), atol=1e-10)
    lazy = SemiNMF(4, 0.125, max_iter=40, **FIXED).fit(activity.chunk({"time": 100}))
    np.testing.assert_allclose(lazy.components_, whole.components_, atol=1e-10)
    opened = open_store(tmp_path / "data.zarr", lazy=True)
    assert isinstance(opened, xr.DataArray)
    assert opened.chunks is not None
    stored = SemiNMF(4, 0.125, max_iter=40, **FIXED).fit(opened)
    np.testing.assert_allclose(stored.components_, whole.components_, atol=1e-10)
    np.testing.assert_allclose(_coef(stored), _coef(whole), atol=1e-10)
    np.testing.assert_allclose(stored.loss_curve_, whole.loss_curve_, rtol=1e-10)
    assert [path.name for path in tmp_path.iterdir()] == ["data.zarr"]


def test_an_interrupted_fit_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    X, _ = planted()
    rows = da.from_array(X, chunks=(100, 40))

    def stop(task: str, done: int, total: int) -> None:
        if "sweep 4" in task:
            raise KeyboardInterrupt

    model = SemiNMF(4, 0.125, max_iter=40, **FIXED)
    with pytest.raises(KeyboardInterrupt):
        fit_blocks(model, rows, block=100, progress=stop)
    assert len(list(tmp_path.iterdir())) == 1
    del model
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_working_on_a_block_twice_changes_nothing() -> None:
    X, _ = planted()
    once = fit_blocks(SemiNMF(4, 0.125, max_iter=20, **FIXED), X, block=100)
    twice = fit_blocks(_Repeating(4, 0.125, max_iter=20, **FIXED), X, block=100)
    np.testing.assert_array_equal(twice.components_, once.components_)


class _Repeating(SemiNMF):
    """Summarise every block twice, as happens when a worker dies after its work."""

    def summarise(self, block: Array, state: Any, /) -> Any:
        super().summarise(block, state)
        return super().summarise(block, state)


def test_coefficients_that_are_too_large_stay_away(monkeypatch: pytest.MonkeyPatch) -> None:
    from activome.patterns import _semi_nmf_blocks

    monkeypatch.setattr(_semi_nmf_blocks, "_COEF_BYTES", 1000)
    X, _ = planted()
    model = fit_blocks(SemiNMF(4, 0.125, max_iter=5, **FIXED), X, block=100)
    assert model.coef_ is None
    assert model.transform(X).shape == (500, 4)
