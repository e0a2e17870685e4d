"""Sparse autoencoders: a planted dictionary, a step by hand, blocks, round trips, refusals."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from sklearn.decomposition import MiniBatchDictionaryLearning
from sklearn.exceptions import ConvergenceWarning

from activome.activity.blocks import BlockSource
from activome.activity.schema import make
from activome.activity.store import write_store
from activome.errors import ActivityError, ParameterError, ResourceError

torch = pytest.importorskip("torch", reason="torch is not installed")

from activome.interventions.edits import Splice  # noqa: E402  # only where torch is installed
from activome.interventions.taps import Taps  # noqa: E402
from activome.patterns import _sparse_autoencoder_net as net_module  # noqa: E402
from activome.patterns import _sparse_autoencoder_start as start_module  # noqa: E402
from activome.patterns._row_pool import RowPool  # noqa: E402
from activome.patterns.sparse_autoencoder import SparseAutoencoder  # noqa: E402

Array = np.ndarray[Any, Any]


def planted(
    seed: int = 0, n: int = 4000, n_units: int = 32, n_parts: int = 48, active: int = 3
) -> tuple[Array, Array]:
    """Return rows that are sums of a few of more directions than units, and the directions."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n_parts, n_units))
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    codes = rng.uniform(0.5, 1.5, (n, n_parts))
    codes *= rng.random((n, n_parts)).argsort(1) < active
    rows = codes @ truth + 0.02 * rng.normal(size=(n, n_units)) + 0.3
    return rows.astype(np.float32), truth


def recovery(truth: Array, found: Array) -> float:
    """Return the mean over planted directions of the best cosine of one found."""
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return float((truth @ (found / np.maximum(lengths, 1e-12)).T).max(axis=1).mean())


@pytest.fixture(scope="module")
def fitted() -> tuple[SparseAutoencoder, Array, Array]:
    """Return a model of a planted dictionary."""
    rows, truth = planted()
    return SparseAutoencoder(48, k=3, n_steps=600, random_state=0).fit(rows), rows, truth


def test_recovers_a_planted_dictionary_like_the_peer(fitted: Any) -> None:
    model, rows, truth = fitted
    ours = recovery(truth, model.components_)
    peer = MiniBatchDictionaryLearning(
        48, alpha=0.2, batch_size=256, max_iter=2, fit_algorithm="cd", random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        peer.fit(rows - rows.mean(axis=0))
    theirs = recovery(truth, peer.components_)
    assert ours > 0.97
    assert ours > theirs - 0.02
    assert model.explained_variance_ > 0.9
    assert model.loss_curve_[-1] < 0.3 * model.loss_curve_[0]


def test_codes_by_hand(fitted: Any) -> None:
    model, rows, _ = fitted
    codes = model.transform(rows[:300])
    drive = (rows[:300] - model.bias_) @ model.encoder_.T
    kth = np.sort(drive, axis=1)[:, -3, None]
    expected = np.where(drive >= kth, np.maximum(drive, 0.0), 0.0)
    np.testing.assert_allclose(codes, expected, atol=1e-5)
    back = model.inverse_transform(codes)
    np.testing.assert_allclose(back, expected @ model.components_ + model.bias_, atol=1e-5)
    left = ((rows[:300] - back) ** 2).sum()
    total = ((rows[:300] - rows[:300].mean(axis=0)) ** 2).sum()
    assert model.score(rows[:300]) == pytest.approx(1 - left / total, abs=1e-5)
    np.testing.assert_allclose(np.linalg.norm(model.components_, axis=1), 1.0, atol=1e-6)
    module = model.to_torch()
    with torch.no_grad():
        spliced = module(torch.tensor(rows[:300]).reshape(3, 100, 32)).reshape(300, 32)
    np.testing.assert_allclose(spliced.numpy(), back, atol=1e-5)


def test_sparse_codes_equal_dense_ones_and_take_another_k(fitted: Any) -> None:
    model, rows, _ = fitted
    found = model.sparse_code(rows[:50])
    np.testing.assert_array_equal(found.toarray(), model.transform(rows[:50]))
    one, five = model.sparse_code(rows[:50], k=1), model.sparse_code(rows[:50], k=5)
    assert np.diff(one.indptr).max() == 1
    np.testing.assert_array_equal(one.max(axis=1).toarray(), five.max(axis=1).toarray())
    assert (found.data > 0).all()
    assert 3 < np.diff(five.indptr).max() <= 5


def test_scale_and_shift_of_the_activity_carry_over() -> None:
    rows, _ = planted(n=600)
    options: Any = {"k": 3, "n_steps": 60, "random_state": 1}
    plain = SparseAutoencoder(24, **options).fit(rows)
    moved = SparseAutoencoder(24, **options).fit(8 * rows + 16)
    np.testing.assert_allclose(moved.components_, plain.components_, atol=2e-3)
    np.testing.assert_allclose(moved.transform(8 * rows + 16), 8 * plain.transform(rows), atol=2e-2)


def dense_loss(rows: Any, net: Any, dead: Any, options: Any) -> Any:
    """Return the loss with all codes written out."""
    centred = rows - net.bias
    drive = centred @ net.encoder.T

    def rebuilt(n: int, allowed: Any) -> Any:
        masked = torch.where(allowed, drive, torch.full_like(drive, -torch.inf))
        kth = masked.topk(n, dim=1).values[:, -1:]
        return torch.where(masked >= kth, drive, torch.zeros_like(drive)).relu() @ net.decoder

    error = centred - rebuilt(net.k, torch.ones_like(dead))
    left = (error**2).sum(1).mean()
    missed = ((error.detach() - rebuilt(2, dead)) ** 2).sum(1).mean()
    energy = (error.detach() ** 2).sum(1).mean()
    return left / options["variance"] + options["aux_weight"] * missed / energy


@pytest.mark.parametrize("limit", [0, 48])
def test_the_loss_and_its_gradient_equal_those_written_out(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(net_module, "_WRITTEN_OUT", limit)
    generator = torch.Generator().manual_seed(0)
    rows, decoder, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((8, 6), (30, 6), (6,))
    )
    options: Any = {"variance": 5.0, "l1_weight": 0.0, "aux_weight": 0.5}
    nets = [net_module.Autoencoder(decoder, bias, 2) for _ in range(2)]
    busy = torch.zeros(30, dtype=torch.bool)
    busy[((rows - bias) @ decoder.T).topk(2, dim=1).indices.flatten()] = True
    # Components 0 to 19 were idle for long; those in use in this batch are alive again.
    idle = torch.where(torch.arange(30) < 20, 100, 0)
    dead = (idle > 0) & ~busy
    objective = net_module.Objective(n_aux=2, dead_after=50, idle=idle, **options)
    loss, extra = objective(nets[0], (rows,), generator)
    slow = dense_loss(rows, nets[1], dead, options)
    assert extra["n_dead"] == int(dead.sum())
    assert loss.item() == pytest.approx(slow.item(), rel=1e-12)
    loss.backward()
    slow.backward()
    for fast, written in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(fast.grad, written.grad)


def test_random_directions_find_the_dictionary_too() -> None:
    rows, truth = planted(n=1500, n_units=16, n_parts=24, active=2)
    options: Any = {"k": 2, "n_steps": 600, "random_state": 0}
    found = SparseAutoencoder(48, start="random", **options).fit(rows)
    assert recovery(truth, found.components_) > 0.9
    with pytest.raises(ParameterError, match=r"unknown start 'sample'.*'samples'"):
        SparseAutoencoder(48, start="sample").fit(rows)


def test_the_auxiliary_loss_helps_components_that_were_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, truth = planted(n=1500, n_units=16, n_parts=24, active=2)

    def crowded(rows: Array, n: int, rng: Any) -> Array:
        start = np.eye(1, rows.shape[1]) + 0.02 * rng.standard_normal((n, rows.shape[1]))
        return np.asarray(start / np.linalg.norm(start, axis=1, keepdims=True))

    monkeypatch.setitem(start_module.STARTS, "samples", crowded)
    options: Any = {"k": 2, "n_steps": 300, "random_state": 0, "dead_after": 500}
    alone = SparseAutoencoder(48, aux_weight=0.0, **options).fit(rows)
    helped = SparseAutoencoder(48, **options).fit(rows)
    assert helped.explained_variance_ > alone.explained_variance_ + 0.03
    assert recovery(truth, helped.components_) > recovery(truth, alone.components_) + 0.02
    used = alone.transform(rows) > 0
    np.testing.assert_allclose(alone.firing_rate_, used.mean(axis=0), atol=2e-3)


def test_rectified_codes_get_sparser_with_the_penalty() -> None:
    rows, truth = planted()
    active = []
    for weight in (0.01, 0.3):
        model = SparseAutoencoder(
            48, activation="relu", l1_weight=weight, n_steps=300, random_state=0
        ).fit(rows)
        active.append(float((model.transform(rows) > 0).sum(axis=1).mean()))
        drive = (rows - model.bias_) @ model.encoder_.T + model.encoder_bias_
        np.testing.assert_allclose(model.transform(rows), np.maximum(drive, 0), atol=1e-4)
    assert active[1] < 0.7 * active[0]
    assert recovery(truth, model.components_) > 0.8


def test_the_pool_reads_each_row_once_per_pass_in_whole_blocks() -> None:
    rows = np.arange(120, dtype=np.float32).reshape(60, 2)
    source = BlockSource(rows, block=7)
    reads: list[int] = []

    class Spied(RowPool):
        def _read(self, number: int) -> Array:
            reads.append(number)
            return super()._read(number)

    pool = Spied(source, 5, 20, np.zeros(2), 1.0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        seen = np.concatenate([pool(generator)[0].numpy()[:, 0] for _ in range(12)])
        assert sorted(seen.tolist()) == rows[:, 0].tolist()
        assert not np.array_equal(seen, rows[:, 0])
    assert sorted(reads[:9]) == list(range(9))
    assert reads[:9] != sorted(reads[:9])


def test_a_store_gives_what_memory_gives(tmp_path: Path) -> None:
    rows, truth = planted(n=3000)
    activity = make(rows, ("time", "unit"), time=np.arange(3000.0), kind="rate", source="test")
    write_store(activity, tmp_path / "rows.zarr")
    options: Any = {"k": 3, "n_steps": 250, "random_state": 0}
    memory = SparseAutoencoder(48, **options).fit(activity)
    stored = SparseAutoencoder(48, **options).fit(tmp_path / "rows.zarr")
    np.testing.assert_array_equal(stored.components_, memory.components_)
    lazy = activity.chunk({"time": 100})
    np.testing.assert_array_equal(
        SparseAutoencoder(48, **options).fit(lazy).components_, memory.components_
    )
    # 64 KiB hold 256 of the 3000 rows.
    small = SparseAutoencoder(48, memory=2**16, **options).fit(lazy)
    assert not np.array_equal(small.components_, memory.components_)
    assert recovery(truth, small.components_) > 0.9
    codes = small.transform(lazy)
    assert isinstance(codes, xr.DataArray)
    assert codes.sizes == {"time": 3000, "unit": 48}


def test_saved_and_spliced(fitted: Any, tmp_path: Path) -> None:
    model, rows, _ = fitted
    model.save(tmp_path / "model.npz")
    again = SparseAutoencoder.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.transform(rows[:9]), model.transform(rows[:9]))
    network = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Identity())
    with Taps(network).edit(Splice("module:0#out", model.to_torch())), torch.no_grad():
        out = network(torch.tensor(rows[:9]))
    np.testing.assert_allclose(
        out.numpy(), model.inverse_transform(model.transform(rows[:9])), atol=1e-5
    )


def test_constant_activity_has_nothing_to_explain() -> None:
    model = SparseAutoencoder(4, k=1, n_steps=5, random_state=0).fit(np.full((10, 3), 2.0))
    np.testing.assert_allclose(model.bias_, 2.0, atol=0.1)
    assert model.explained_variance_ == 0.0
    assert np.isfinite(model.components_).all()


def test_geometric_median_resists_an_outlier() -> None:
    rows = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0], [1.0, 1.0], [1e4, 1e4]])
    median = start_module.geometric_median(rows, max_iter=500, tol=1e-12)
    directions = rows - median
    length = np.linalg.norm(directions, axis=1)
    pull = (directions[length > 1e-3] / length[length > 1e-3, None]).sum(axis=0)
    # At the optimum the pulls cancel, up to the one of a row that lies there.
    assert np.linalg.norm(pull) <= 1 + 1e-6
    assert np.linalg.norm(median) < 3


def test_refuses(fitted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows, _ = fitted
    for fields, message in (
        ({"n_components": 0}, "n_components must be an integer at least 1"),
        ({"n_components": 4, "k": 5}, "k must be at most n_components; got 5 of 4"),
        ({"k": 1, "activation": "topp"}, "Did you mean 'topk'"),
        ({"k": 1, "learning_rate": 0.0}, "learning_rate"),
        ({"k": 1, "aux_weight": -1.0}, "aux_weight"),
    ):
        with pytest.raises(ParameterError, match=message):
            SparseAutoencoder(**{"n_components": 8, **fields}).fit(rows)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ActivityError, match="codes must be"):
        model.inverse_transform(np.zeros((3, 47)))
    with pytest.raises(ParameterError, match="at most 48"):
        model.sparse_code(rows, k=49)
    gated = SparseAutoencoder(4, k=1, activation="relu", n_steps=2, random_state=0).fit(rows[:50])
    with pytest.raises(ParameterError, match='k goes with activation="topk"'):
        gated.sparse_code(rows[:5], k=2)
    holed = make(rows, ("time", "unit"), time=np.arange(4000.0), kind="rate", source="test").chunk()
    with pytest.raises(ActivityError, match="NaN or infinite"):
        SparseAutoencoder(4, k=1, n_steps=2).fit(holed.where(holed.time != 7))
    with pytest.raises(ActivityError, match="at least two samples; got 1"):
        SparseAutoencoder(4, k=1, n_steps=2).fit(holed[:1])
    monkeypatch.setattr(
        "activome.patterns.sparse_autoencoder.check_memory",
        lambda n, **texts: (_ for _ in ()).throw(ResourceError(texts["cure"])),
    )
    with pytest.raises(ResourceError, match="Use sparse_code"):
        model.transform(rows)
