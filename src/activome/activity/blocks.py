"""Fitting in blocks: out of core on one machine, or as a tree on a Dask cluster."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import xarray as xr

from activome._checks import check_integer
from activome._progress import Progress, silent
from activome.activity._block_source import DEFAULT_MEMORY, Block, BlockSource
from activome.errors import ActivityError, ParameterError

__all__ = ["BlockMethod", "BlockSource", "IterativeBlockMethod", "fit_blocks"]

Array = np.ndarray[Any, Any]
Method = TypeVar("Method", bound="BlockMethod | IterativeBlockMethod")
_UNDER_WAY_PER_THREAD = 4


@runtime_checkable
class BlockMethod(Protocol):
    """A method that is solved from sums: one pass over the data, in blocks of any size.

    ``solve(merge(summarise(a), summarise(b)))`` must give the answer for the rows of a and b
    together. Statistics are arrays, numbers, or tuples, lists, dicts or dataclasses of these, much
    smaller than a block; ``summarise`` and ``merge`` change neither the method nor their arguments,
    since they may run in another process.
    """

    def summarise(self, block: Array, /) -> Any:
        """Reduce a block to statistics.

        Parameters
        ----------
        block : ndarray of float64 or float32, shape (n_rows, n_units)
            At least one row, all finite; samples outside ``valid`` are already left out.

        Returns
        -------
        Any
            The statistics of these rows.
        """

    def merge(self, a: Any, b: Any, /) -> Any:
        """Join the statistics of two sets of rows; those of ``a`` come before those of ``b``.

        Parameters
        ----------
        a, b : Any
            What ``summarise`` or ``merge`` gave.

        Returns
        -------
        Any
            The statistics of all rows of both.
        """

    def solve(self, stats: Any, /) -> Any:
        """Set the learned attributes from the statistics of all rows.

        Parameters
        ----------
        stats : Any
            The merged statistics.

        Returns
        -------
        Any
            Ignored.
        """


@runtime_checkable
class IterativeBlockMethod(Protocol):
    """A method that sweeps over the data several times, such as an alternating factorisation.

    ``fit_blocks`` runs::

        state, done = method.start(source), False
        while not done:
            stats = merged(method.summarise(block, state) for block in source)
            state, done = method.solve(stats, state)
        method.finish(state)

    The state holds whatever a sweep needs: factors, the last objective, the number of sweeps done.
    Stopping belongs to ``solve``: it returns True when converged or at ``max_iter``. The state is
    sent to every worker once per sweep; values that belong to single rows do not fit in it, they
    are worked out again in ``summarise`` (or afterwards, in ``transform``).
    """

    def start(self, source: BlockSource, /) -> Any:
        """Return the first state.

        Parameters
        ----------
        source : BlockSource
            ``n_samples``, ``n_units``, ``dtype``, ``unit_names``; and ``sample(n, random_state)``,
            which reads rows at random for starting values.

        Returns
        -------
        Any
            The state before the first sweep.
        """

    def summarise(self, block: Array, state: Any, /) -> Any:
        """Reduce a block to statistics under the present state.

        Parameters
        ----------
        block : ndarray of float64 or float32, shape (n_rows, n_units)
            At least one row, all finite.
        state : Any
            What ``start`` or the last ``solve`` gave.

        Returns
        -------
        Any
            The statistics of these rows.
        """

    def merge(self, a: Any, b: Any, /) -> Any:
        """Join the statistics of two sets of rows; those of ``a`` come before those of ``b``.

        Parameters
        ----------
        a, b : Any
            What ``summarise`` or ``merge`` gave.

        Returns
        -------
        Any
            The statistics of all rows of both.
        """

    def solve(self, stats: Any, state: Any, /) -> tuple[Any, bool]:
        """Return the next state, and whether the sweeps are done.

        Parameters
        ----------
        stats : Any
            The merged statistics of all rows.
        state : Any
            The state under which they were summarised.

        Returns
        -------
        tuple of (Any, bool)
            The next state; True when converged or at the limit of sweeps.
        """

    def finish(self, state: Any, /) -> Any:
        """Set the learned attributes from the last state.

        Parameters
        ----------
        state : Any
            What the last ``solve`` gave.

        Returns
        -------
        Any
            Ignored.
        """


def fit_blocks(
    method: Method,
    source: Any,
    *,
    block: int | None = None,
    client: Any = None,
    memory: int = DEFAULT_MEMORY,
    progress: Progress = silent,
) -> Method:
    """Fit a method on data that need not fit in memory.

    The data are read block by block, in order, and the statistics are merged along a balanced
    tree whose shape depends on the number of blocks alone. So the answer is the same, to the last
    bit, in sequence and on a cluster, whichever worker ends first; and it is that of one block up
    to rounding.

    Parameters
    ----------
    method : BlockMethod or IterativeBlockMethod
        What to fit; it is changed in place.
    source : path-like, xarray.DataArray, dask or numpy array of shape (n_samples, n_units)
        A store written by ``write_store``, an Activity (lazy or not), or plain rows. Samples
        outside ``valid`` are left out.
    block : int, optional
        Most samples per block. By default a block takes a quarter of ``memory``, and holds whole
        chunks of the store.
    client : distributed.Client or str, optional
        A Dask client, or the address of a scheduler. Workers read their blocks themselves: the
        path of a store must mean the same to each. A worker that dies is made up for by others.
    memory : int, default=256 MiB
        Bytes to work in, per process.
    progress : Progress, default=silent
        Told of each block.

    Returns
    -------
    BlockMethod or IterativeBlockMethod
        The method, fitted.

    Raises
    ------
    ParameterError
        If the method offers neither protocol, or ``block`` or ``memory`` is not positive.
    ActivityError
        If there are no samples, or a value is not finite; the place is that in the whole data.
    StoreError
        If the store is incomplete or damaged.

    Notes
    -----
    Held at once: one block (with a few copies, by the method) and one set of statistics per level
    of the tree; on a cluster, one block per thread of each worker.

    Examples
    --------
    >>> import numpy as np
    >>> from activome.geometry import Covariance
    >>> rows = np.arange(12.0).reshape(6, 2)
    >>> fit_blocks(Covariance(), rows, block=2).covariance_.tolist()
    [[14.0, 14.0], [14.0, 14.0]]
    """
    owner = f"{type(method).__name__}.fit"
    if not isinstance(method, (BlockMethod, IterativeBlockMethod)):
        raise ParameterError(
            f"fit_blocks: a method must offer summarise, merge and solve; {type(method).__name__} "
            "does not. Fit it in memory with fit()."
        )
    if block is not None:
        check_integer(block, name="block", owner="fit_blocks", low=1)
    check_integer(memory, name="memory", owner="fit_blocks", low=1)
    data = BlockSource(source, owner=owner, block=block, memory=memory)
    if data.n_samples == 0:
        raise ActivityError(f"{owner}: needs at least 1 sample; got 0. Check `valid`.")
    _learn_units(method, data)
    with _runner(client) as sweep:
        if isinstance(method, IterativeBlockMethod):
            _fit_sweeps(method, data, sweep, progress)
        else:
            method.solve(sweep(method, (), data, f"fitting {type(method).__name__}", progress))
    return method


def _fit_sweeps(
    method: IterativeBlockMethod, data: BlockSource, sweep: Sweep, progress: Progress
) -> None:
    state, done, n_sweeps = method.start(data), False, 0
    while not done:
        n_sweeps += 1
        task = f"fitting {type(method).__name__}, sweep {n_sweeps}"
        stats = sweep(method, (state,), data, task, progress)
        state, done = method.solve(stats, state)
    method.finish(state)


def _learn_units(method: Any, data: BlockSource) -> None:
    # Imported here because the estimator bases call fit_blocks for lazy activity.
    from activome.activity.estimators.base import ActivityEstimator
    from activome.activity.stacking import SampleIndex

    if not isinstance(method, ActivityEstimator):
        return
    owner = f"{type(method).__name__}.fit"
    if data.n_samples < method._min_samples:
        raise ActivityError(
            f"{owner}: needs at least {method._min_samples} samples; got {data.n_samples}."
        )
    if data.n_units < method._min_units:
        raise ActivityError(
            f"{owner}: needs at least {method._min_units} units; got {data.n_units}."
        )
    labels = {} if data.unit_names is None else {"unit": data.unit_names}
    frame = xr.DataArray(np.empty(0), dims="time")
    method._check_units(data.n_units, SampleIndex(frame, None, labels, {}), reset=True)


Sweep = Callable[[Any, tuple[Any, ...], BlockSource, str, Progress], Any]


@contextmanager
def _runner(client: Any) -> Iterator[Sweep]:
    """Yield the function that summarises and merges all blocks once."""
    if client is None:
        yield _sweep_here
        return
    from distributed import Client

    if not isinstance(client, str):
        yield lambda *args: _sweep_cluster(client, *args)
        return
    with Client(client, set_as_default=False) as opened:
        yield lambda *args: _sweep_cluster(opened, *args)


def _sweep_here(
    method: Any, state: tuple[Any, ...], data: BlockSource, task: str, progress: Progress
) -> Any:
    def summaries() -> Iterator[Any]:
        progress(task, 0, data.n_blocks)
        for done, block in enumerate(data.blocks(), start=1):
            yield method.summarise(block.read(scheduler="threads"), *state)
            progress(task, done, data.n_blocks)

    return merge_tree(summaries(), method.merge)


def _sweep_cluster(
    client: Any,
    method: Any,
    state: tuple[Any, ...],
    data: BlockSource,
    task: str,
    progress: Progress,
) -> Any:
    import cloudpickle

    # Submitted rather than scattered: a scattered value is lost with the worker that holds it,
    # a submitted one is made again. As bytes, so that what a worker cannot load is an error there
    # and not a connection that breaks, over and over.
    job = client.submit(_load, cloudpickle.dumps((method, state)), pure=False)
    error = job.exception()
    if isinstance(error, (ImportError, AttributeError)):
        raise ParameterError(
            f"fit_blocks: the workers cannot load {type(method).__name__}: {error}. Make the "
            "module that defines it known to them, or define it in the script that is run."
        ) from error
    most = _UNDER_WAY_PER_THREAD * max(1, sum(client.nthreads().values()))

    def summaries() -> Iterator[Any]:
        under_way: deque[Any] = deque()
        n_done = 0
        progress(task, 0, data.n_blocks)
        for block in data.blocks():
            under_way.append(client.submit(_summarise, job, block, pure=False))
            yield under_way[-1]
            if len(under_way) >= most:
                n_done = _await_first(under_way, n_done, task, data.n_blocks, progress)
        while under_way:
            n_done = _await_first(under_way, n_done, task, data.n_blocks, progress)

    def merge(a: Any, b: Any) -> Any:
        return client.submit(_merge, job, a, b, pure=False)

    return merge_tree(summaries(), merge).result()


def _await_first(
    under_way: deque[Any], n_done: int, task: str, n_blocks: int, progress: Progress
) -> int:
    """Wait for the oldest block: what is wrong with the first bad block is what is raised."""
    future = under_way.popleft()
    if future.exception() is not None:
        future.result()
    progress(task, n_done + 1, n_blocks)
    return n_done + 1


def _load(job: bytes) -> tuple[Any, tuple[Any, ...]]:
    found: tuple[Any, tuple[Any, ...]] = pickle.loads(job)  # noqa: S301  # from our own client
    return found


def _summarise(job: tuple[Any, tuple[Any, ...]], block: Block) -> Any:
    method, state = job
    return method.summarise(block.read(), *state)


def _merge(job: tuple[Any, tuple[Any, ...]], a: Any, b: Any) -> Any:
    return job[0].merge(a, b)


def merge_tree(items: Iterable[Any], merge: Callable[[Any, Any], Any]) -> Any:
    """Merge items along a balanced binary tree, neighbours first, holding one item per level.

    ``merge`` joins two neighbours, the earlier one first. Refuses an empty ``items``.
    """
    levels: list[tuple[int, Any]] = []
    for item in items:
        level = 0
        while levels and levels[-1][0] == level:
            item = merge(levels.pop()[1], item)
            level += 1
        levels.append((level, item))
    if not levels:
        raise ParameterError("merge_tree: there must be at least one item; got none.")
    _, result = levels.pop()
    while levels:
        result = merge(levels.pop()[1], result)
    return result
