"""Fitting in blocks: the answer of memory, whatever the blocks, and whoever works on them."""

from __future__ import annotations

import os
import signal
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import dask
import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from activome.activity._block_source import BlockSource
from activome.activity.blocks import BlockMethod, IterativeBlockMethod, fit_blocks, merge_tree
from activome.activity.events import Events
from activome.activity.schema import make
from activome.activity.stacking import from_ragged, to_samples
from activome.activity.store import write_store
from activome.errors import ActivityError, ParameterError, StoreError
from activome.geometry.principal import Covariance, PrincipalComponents


def _activity(n_trials: int = 6, n_times: int = 40, n_units: int = 4) -> xr.DataArray:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((n_trials, n_times, n_units)) + 5.0
    return make(values, sampling_rate=10.0, unit=[f"u{i}" for i in range(n_units)])


class _Lloyd:
    """Sweeps of k-means with given starts: an iterative method small enough to check by eye."""

    def __init__(self, n_clusters: int, max_iter: int = 50) -> None:
        self.n_clusters, self.max_iter = n_clusters, max_iter

    def start(self, source: BlockSource) -> Any:
        return source.sample(self.n_clusters, 0), 0

    def summarise(self, block: Any, state: Any) -> Any:
        centres, _ = state
        nearest = ((block[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        one_hot = np.eye(self.n_clusters)[nearest]
        return one_hot.sum(axis=0), one_hot.T @ block

    def merge(self, a: Any, b: Any) -> Any:
        return a[0] + b[0], a[1] + b[1]

    def solve(self, stats: Any, state: Any) -> tuple[Any, bool]:
        counts, sums = stats
        centres, n_iter = state
        moved = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
        done = bool(np.abs(moved - centres).max() < 1e-12 or n_iter + 1 >= self.max_iter)
        return (moved, n_iter + 1), done

    def finish(self, state: Any) -> None:
        self.cluster_centers_, self.n_iter_ = state


def _lloyd_in_memory(rows: Any, centres: Any) -> Any:
    while True:
        nearest = ((rows[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        moved = np.array([rows[nearest == k].mean(axis=0) for k in range(len(centres))])
        if np.abs(moved - centres).max() < 1e-12:
            return moved
        centres = moved


@given(n=st.integers(1, 40))
@settings(deadline=None)
def test_the_tree_keeps_order_and_is_balanced(n: int) -> None:
    def depth(tree: Any) -> int:
        return 1 + max(map(depth, tree)) if isinstance(tree, tuple) else 0

    def leaves(tree: Any) -> Iterator[int]:
        if isinstance(tree, tuple):
            for branch in tree:
                yield from leaves(branch)
        else:
            yield tree

    tree = merge_tree(iter(range(n)), lambda a, b: (a, b))
    assert list(leaves(tree)) == list(range(n))
    assert depth(tree) == (n - 1).bit_length()


def test_the_tree_by_hand() -> None:
    assert merge_tree("abcdefg", lambda a, b: f"({a}{b})") == "(((ab)(cd))((ef)g))"
    with pytest.raises(ParameterError, match="at least one item"):
        merge_tree([], max)


def test_the_protocols_tell_methods_apart() -> None:
    assert isinstance(Covariance(), BlockMethod)
    assert not isinstance(Covariance(), IterativeBlockMethod)
    assert isinstance(_Lloyd(2), IterativeBlockMethod)
    assert not isinstance(object(), BlockMethod)


@pytest.mark.parametrize("block", [1, 3, 17, 40, 41, 100, 10_000, None])
@pytest.mark.parametrize("chunks", [None, {"trial": 2, "time": 15}, {"time": 40}])
def test_blocks_give_the_answer_of_memory(block: int | None, chunks: Any) -> None:
    activity = _activity()
    wanted = PrincipalComponents().fit(activity)
    source = activity if chunks is None else activity.chunk(chunks)
    found = fit_blocks(PrincipalComponents(), source, block=block)
    np.testing.assert_allclose(found.components_, wanted.components_, atol=1e-10)
    np.testing.assert_allclose(found.explained_variance_, wanted.explained_variance_, rtol=1e-10)
    np.testing.assert_allclose(found.mean_, wanted.mean_, rtol=1e-12)
    assert found.n_features_in_ == 4
    np.testing.assert_array_equal(np.asarray(found.unit_names_), activity["unit"].values)
    if block is not None:
        sizes = [b.read().shape[0] for b in BlockSource(source, block=block).blocks()]
        assert max(sizes) <= block
        assert sum(sizes) == 240


@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 3)),
    chunks=st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 3)),
    block=st.integers(1, 60),
    is_masked=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_sample_is_in_one_block(
    shape: tuple[int, int, int], chunks: tuple[int, int, int], block: int, is_masked: bool
) -> None:
    activity = make(np.arange(np.prod(shape), dtype=np.float64).reshape(shape))
    if is_masked:
        mask = np.random.default_rng(block).random(shape[:2]) < 0.6
        mask[0, 0] = True
        activity = activity.where(xr.DataArray(mask, dims=("trial", "time"))).assign_coords(
            valid=(("trial", "time"), mask)
        )
    wanted, _ = to_samples(activity, owner="test")
    lazy = activity.chunk(dict(zip(activity.dims, chunks, strict=True)))
    source = BlockSource(lazy, block=block)
    rows = np.concatenate([b.read() for b in source.blocks()])
    assert source.n_samples == len(wanted) == len(rows)
    np.testing.assert_array_equal(rows[np.argsort(rows[:, 0])], wanted)
    np.testing.assert_array_equal(source.sample(3, 1), BlockSource(activity).sample(3, 1))


def test_blocks_hold_whole_chunks_where_these_fit() -> None:
    source = BlockSource(_activity().chunk({"trial": 2, "time": 10}), block=70)
    shapes = {b.values.shape for b in source.blocks()}
    assert shapes == {(2, 30, 4), (2, 10, 4)}


def test_sources_of_every_kind() -> None:
    activity = _activity(1)[0]
    wanted = Covariance().fit(activity).covariance_
    write_store(activity, "a.zarr", chunk_bytes=256)
    rows = activity.values
    sources = ["a.zarr", Path("a.zarr"), activity, rows, dask.array.from_array(rows, chunks=(7, 4))]
    for source in sources:
        found = fit_blocks(Covariance(), source, block=7)
        np.testing.assert_allclose(found.covariance_, wanted, rtol=1e-10)
    counts = fit_blocks(Covariance(), activity.astype(np.uint8), block=7)
    np.testing.assert_allclose(counts.covariance_, np.cov(rows.astype(np.uint8).T.astype(float)))
    one = fit_blocks(Covariance(), activity.isel(unit=0), block=7)
    np.testing.assert_allclose(one.covariance_, wanted[:1, :1], rtol=1e-10)


def test_samples_outside_valid_are_left_out() -> None:
    rng = np.random.default_rng(0)
    trials = [rng.standard_normal((n, 3)) for n in (5, 2, 9, 1)]
    ragged = from_ragged(trials)
    wanted = np.cov(np.concatenate(trials).T)
    for block in (1, 4, 100):
        source = BlockSource(ragged, block=block)
        assert source.n_samples == 17
        found = fit_blocks(Covariance(), ragged, block=block)
        np.testing.assert_allclose(found.covariance_, wanted, rtol=1e-10)


def test_sweeps_give_the_answer_of_memory() -> None:
    activity = _activity()
    rows = activity.values.reshape(-1, 4)
    wanted = _lloyd_in_memory(rows, BlockSource(activity).sample(3, 0))
    for block in (9, 50, None):
        found = fit_blocks(_Lloyd(3), activity.chunk({"trial": 1}), block=block)
        np.testing.assert_allclose(found.cluster_centers_, wanted, atol=1e-10)
        assert found.n_iter_ > 2
    assert fit_blocks(_Lloyd(3, max_iter=2), activity).n_iter_ == 2


def test_progress_is_told_block_by_block() -> None:
    told: list[tuple[str, int, int]] = []
    fit_blocks(Covariance(), _activity(), block=80, progress=lambda *step: told.append(step))
    assert told == [("fitting Covariance", i, 3) for i in range(4)]
    told.clear()
    fit_blocks(_Lloyd(2, 2), _activity(), block=240, progress=lambda *step: told.append(step))
    assert told == [(f"fitting _Lloyd, sweep {s}", i, 1) for s in (1, 2) for i in (0, 1)]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_place_of_a_bad_value_is_that_in_the_whole(bad: float) -> None:
    activity = _activity().copy()
    activity[4, 33, 2] = bad
    for source in (activity, activity.chunk({"trial": 1, "time": 9})):
        with pytest.raises(
            ActivityError,
            match=r"Covariance\.fit: activity must be finite; 1 of .* trial 4, time 33, unit 2",
        ):
            fit_blocks(Covariance(), source, block=9)
    plain = activity.values.reshape(-1, 4)
    with pytest.raises(ActivityError, match="the first at time 193, unit 2"):
        fit_blocks(Covariance(), plain, block=9)


def test_refusals() -> None:
    activity = _activity()
    with pytest.raises(
        ParameterError, match="must offer summarise, merge and solve; object does not"
    ):
        fit_blocks(object(), activity)  # type: ignore[type-var]  # refused on purpose
    with pytest.raises(ParameterError, match="block must be"):
        fit_blocks(Covariance(), activity, block=0)
    with pytest.raises(ParameterError, match="memory must be"):
        fit_blocks(Covariance(), activity, memory=0)
    with pytest.raises(
        ActivityError, match=r"shape \(n_samples, n_units\); got float64 of shape \(3,\)"
    ):
        fit_blocks(Covariance(), np.zeros(3))
    with pytest.raises(ActivityError, match="needs at least 2 samples; got 1"):
        fit_blocks(PrincipalComponents(), np.zeros((1, 3)))
    with pytest.raises(StoreError, match="there is no nowhere"):
        fit_blocks(Covariance(), "nowhere")
    write_store(Events([1, 2], [0, 1]), "e.zarr")
    with pytest.raises(ActivityError, match=r"holds Events.*events\.bin"):
        fit_blocks(Covariance(), "e.zarr")
    mask = np.zeros((6, 40), bool)
    with pytest.raises(ActivityError, match="needs at least 1 sample; got 0"):
        fit_blocks(Covariance(), activity.assign_coords(valid=(("trial", "time"), mask)))


def _known_here_alone() -> Any:
    """Return a method of a module that no worker can import."""
    module = sys.modules["here_alone"] = types.ModuleType("here_alone")
    names = ("summarise", "merge", "solve")
    known = type("Sums", (), {name: lambda *args: None for name in names})
    known.__module__, known.__qualname__ = "here_alone", "Sums"
    module.__dict__["Sums"] = known
    return known()


def _mortal(flag: str) -> Any:
    """Return running sums, whose worker dies once, in the middle of the run."""

    class Mortal:
        def summarise(self, block: Any) -> Any:
            if block[0, 0] == 1234.5 and not Path(flag).exists():
                Path(flag).write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
            return block.sum(axis=0), block.T @ block

        def merge(self, a: Any, b: Any) -> Any:
            return a[0] + b[0], a[1] + b[1]

        def solve(self, stats: Any) -> None:
            self.stats_ = stats

    return Mortal()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is part of POSIX systems only")
# The dying worker's connections and event loop are collected with the cluster, wherever that
# happens to be noticed; nothing of ours holds a socket.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_cluster_that_loses_a_worker_gives_the_same_answer(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="needs the cluster of dask")
    # Methods that need numpy alone: most of the time of a new worker goes into imports.
    activity = _activity(12, 50, 4)
    activity[7, 0, 0] = 1234.5
    write_store(activity, "a.zarr", chunk_bytes=50 * 4 * 8)
    path = str(tmp_path / "a.zarr")
    flag = tmp_path / "died"
    flag.touch()
    wanted = fit_blocks(_mortal(str(flag)), path, block=50).stats_
    flag.unlink()
    with (
        # Workers are forked from a server that has imported the libraries once.
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=50,
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        before = set(client.run(os.getpid).values())
        found = fit_blocks(_mortal(str(flag)), path, block=50, client=client).stats_
        assert int(flag.read_text()) in before
        for ours, theirs in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        told: list[int] = []
        again = fit_blocks(
            _mortal(str(flag)),
            activity,
            block=50,
            client=cluster.scheduler_address,
            progress=lambda task, done, total: told.append(done),
        )
        assert told == list(range(13))
        np.testing.assert_array_equal(again.stats_[1], wanted[1])
        with pytest.raises(ParameterError, match="workers cannot load Sums: No module named 'here"):
            fit_blocks(_known_here_alone(), path, block=50, client=client)
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        sweeps = fit_blocks(_Lloyd(3, 3), path, block=50, client=client)
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
        here = fit_blocks(_Lloyd(3, 3), path, block=50)
        np.testing.assert_array_equal(sweeps.cluster_centers_, here.cluster_centers_)
        bad = activity.copy()
        bad[3, 4, 1] = bad[9, 0, 0] = np.nan
        with pytest.raises(ActivityError, match="the first at trial 3, time 4, unit 1"):
            fit_blocks(_mortal(str(flag)), bad.chunk({"trial": 1}), client=client, block=50)
