"""Communities in spans of a recording, and whether they change more than by chance."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from activome._checks import check_finite, check_integer, check_memory, check_number
from activome._compile import kernel
from activome._progress import Progress, silent
from activome._random import RandomState, make_generator
from activome.activity.bootstrap import autocorrelation_time
from activome.activity.independence import trial_lengths
from activome.activity.matching import match_labels
from activome.activity.stacking import to_samples
from activome.activity.statistics import monte_carlo_p
from activome.errors import ActivityError
from activome.graphs.communities import leiden_partition

__all__ = ["ChangingCommunities", "changing_communities"]

Array = np.ndarray[Any, Any]
_MIN_BLOCKS, _MAX_BLOCKS, _BLOCKS_PER_WINDOW = 10, 64, 4
_TIMES_MEMORY, _SHORTEST = 2.0, 5
# Of a test the same few for the recording and what it is compared with.
_TEST_SWEEPS, _MAX_SWEEPS = 4, 50
# Communities that a span may have more than the whole recording.
_SPARE = 8


@dataclass(frozen=True)
class ChangingCommunities:
    """Communities of spans of a recording, and the test that they change.

    Attributes
    ----------
    labels : xarray.DataArray of int, dims (window, unit)
        Community of each unit in each span, named after those of the whole recording as far as
        they overlap. All as in the whole recording when nothing changes, at alpha; constant units
        stand alone.
    whole : xarray.DataArray of int, dims (unit,)
        Communities of the whole recording, 0 the largest.
    bounds : ndarray of int64, shape (n_windows + 1,)
        First sample of each span, and the end; trials laid end to end.
    is_significant : bool
        Whether the communities change, at alpha.
    p_value : float
        Of the change.
    gain : float
        What communities of their own add to the modularity of the spans, on average.
    null : ndarray of float64, shape (n_draws,)
        The same for spans of shuffled blocks.
    moved : float
        Share of the units that are not in the community they have in the whole recording, on
        average over the spans; 0 when nothing changes.
    n_blocks : int
        Blocks that were shuffled.
    block : float
        Mean length of a block, in samples.
    """

    labels: xr.DataArray
    whole: xr.DataArray
    bounds: Array
    is_significant: bool
    p_value: float
    gain: float
    null: Array
    moved: float
    n_blocks: int
    block: float


def changing_communities(
    activity: Any,
    max_windows: int = 8,
    *,
    alpha: float = 0.05,
    n_surrogates: int = 99,
    stop_after: int | None = 10,
    random_state: RandomState = None,
    progress: Progress = silent,
) -> ChangingCommunities:
    """Find communities in spans of a recording, and test whether they change.

    The recording is cut into blocks longer than its memory, and neighbouring blocks make up a few
    spans. In every span the communities of the whole recording are improved by moving units, until
    the signed modularity of that span is largest. Moves gain something by chance alone: so the same
    is done after the blocks have been put in random order, the same for all units, which keeps
    their values, their correlations within blocks and their communities on the whole, and breaks
    only when each of them was active.

    Parameters
    ----------
    activity : xarray.DataArray or array-like, shape (n_samples, n_units)
        An Activity with or without trials, or plain numbers.
    max_windows : int, default=8
        Most spans; fewer where there are fewer than four blocks for each.
    alpha : float in (0, 1), default=0.05
        Level: share of recordings without change in which one is reported.
    n_surrogates : int, default=99
        Most shuffles.
    stop_after : int, optional
        Hits at which the test stops early; default 10.
    random_state : int, numpy.random.Generator or None, default=None
        Seed.
    progress : Progress, default=silent
        Told of each shuffle.

    Returns
    -------
    ChangingCommunities
        Communities of each span, and the test.

    Raises
    ------
    ActivityError
        If fewer than three units vary, values are not finite, or the recording is shorter than ten
        blocks of twice its autocorrelation time.
    ParameterError
        If a parameter is outside its range.

    Notes
    -----
    Every block is taken about its own mean, so that slow drifts of single units are no part of the
    correlations. Blocks are whole trials where these are short. Our choice throughout. Memory is
    that of one matrix of correlations per block, at most 64.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> drive = np.repeat(rng.normal(size=(2, 400, 2)), 4, axis=2)
    >>> drive[1] = drive[1][:, [0, 1, 4, 5, 2, 3, 6, 7]]
    >>> values = drive.reshape(800, 8) + rng.normal(size=(800, 8))
    >>> found = changing_communities(values, 2, random_state=0)
    >>> found.labels.values.tolist()
    [[0, 0, 0, 0, 1, 1, 1, 1], [1, 1, 0, 0, 1, 1, 0, 0]]
    """
    owner = "changing_communities"
    check_integer(max_windows, name="max_windows", owner=owner, low=2)
    check_number(alpha, name="alpha", owner=owner, low=0.0, high=1.0)
    values, names, lengths = _read(activity, owner)
    is_active = np.ptp(values, axis=0) > 0
    if is_active.sum() < 3:
        raise ActivityError(f"{owner}: three units must vary; {int(is_active.sum())} do.")
    edges = _block_edges(values[:, is_active], lengths, owner)
    n_blocks, n_units = edges.size - 1, int(is_active.sum())
    check_memory(
        8.0 * n_blocks * n_units**2, owner=owner, what=f"correlations of {n_blocks} blocks",
        cure="Select units.",
    )  # fmt: skip
    products = _products(values[:, is_active], edges)
    n_windows = int(np.clip(n_blocks // _BLOCKS_PER_WINDOW, 2, max_windows))
    cuts = np.linspace(0, n_blocks, n_windows + 1).astype(np.int64)
    generator = make_generator(random_state)
    whole = leiden_partition(_modularity(products.sum(axis=0)), generator)

    def gain_of(order: Array) -> float:
        spans = np.stack([products[order[a:b]].sum(axis=0) for a, b in itertools.pairwise(cuts)])
        return float(np.mean([_improved(span, whole, _TEST_SWEEPS)[1] for span in spans]))

    observed = gain_of(np.arange(n_blocks))
    test = monte_carlo_p(
        observed,
        lambda: gain_of(generator.permutation(n_blocks)),
        n_surrogates,
        stop_after=stop_after,
        progress=progress,
        task="shuffles",
    )
    is_significant = test.p_value <= alpha
    found = [whole] * n_windows
    if is_significant:
        spans = [products[a:b].sum(axis=0) for a, b in itertools.pairwise(cuts)]
        found = [match_labels(whole, _improved(span, whole, _MAX_SWEEPS)[0])[0] for span in spans]
    table = np.stack([_everyone(labels, is_active) for labels in found])
    units = {"unit": names}
    return ChangingCommunities(
        xr.DataArray(table, dims=("window", "unit"), coords=units),
        xr.DataArray(_everyone(whole, is_active), dims="unit", coords=units),
        edges[cuts],
        bool(is_significant),
        test.p_value,
        observed,
        test.null,
        float(np.mean([labels != whole for labels in found])),
        n_blocks,
        float(np.diff(edges).mean()),
    )


def _read(activity: Any, owner: str) -> tuple[Array, Array, Array]:
    if not isinstance(activity, xr.DataArray):
        values = np.asarray(activity)
        if values.ndim != 2 or values.dtype.kind not in "biuf":
            raise ActivityError(
                f"{owner}: plain numbers must be (n_samples, n_units); got {values.dtype} of shape "
                f"{values.shape}. Build an Activity for trials."
            )
        names, lengths = np.arange(values.shape[1]), np.array([len(values)])
    else:
        values, index = to_samples(activity, owner=owner)
        named = index.unit_coords.get("unit")
        names = np.arange(values.shape[1]) if named is None else np.asarray(named)
        lengths = trial_lengths(activity, index.mask, len(values))
    check_finite(values, owner=owner, axes=("sample", "unit"))
    return values.astype(np.float32, copy=False), names, lengths[lengths > 0]


def _block_edges(values: Array, lengths: Array, owner: str) -> Array:
    """Cut trials into blocks longer than the memory, or join short trials to blocks."""
    n = len(values)
    memory = float(np.quantile(autocorrelation_time(values.astype(np.float64)), 0.9))
    least = max(_SHORTEST, int(np.ceil(_TIMES_MEMORY * memory)), -(-n // _MAX_BLOCKS))
    edges, start = [0], 0
    for length in lengths:
        end = start + int(length)
        pieces = int(length) // least
        if pieces > 1:
            edges += np.linspace(start, end, pieces + 1).astype(int)[1:].tolist()
        elif end - edges[-1] >= least:
            edges.append(end)
        start = end
    edges[-1] = n
    if len(edges) - 1 < _MIN_BLOCKS:
        raise ActivityError(
            f"{owner}: a recording must be long for its memory: {_MIN_BLOCKS} blocks of "
            f"{least} samples; it has {n} samples. Record longer, or average fewer samples."
        )
    return np.asarray(edges, dtype=np.int64)


def _products(values: Array, edges: Array) -> Array:
    # In units of the whole recording's spread, so that single precision has digits for all.
    scaled = values / values.std(axis=0, dtype=np.float64).astype(np.float32)
    out = np.empty((edges.size - 1, scaled.shape[1], scaled.shape[1]), dtype=np.float32)
    for k, (a, b) in enumerate(itertools.pairwise(edges)):
        part = scaled[a:b] - scaled[a:b].mean(axis=0)
        np.matmul(part.T, part, out=out[k])
    return out


@kernel()
def _modularity(product: Array) -> Array:
    """Return the signed modularity matrix of the correlations in a sum of products, by its total.

    As ``signed_modularity_matrix`` of the correlations, in one go.
    """
    n = product.shape[0]
    scale = np.zeros(n)
    for i in range(n):
        if product[i, i] > 0:
            scale[i] = 1.0 / math.sqrt(product[i, i])
    matrix = np.zeros((n, n))
    up, down = np.zeros(n), np.zeros(n)
    for i in range(n):
        positive = negative = 0.0
        for j in range(n):
            value = product[i, j] * scale[i] * scale[j]
            matrix[i, j] = value
            positive += max(value, 0.0)
            negative -= min(value, 0.0)
        up[i] = positive - max(matrix[i, i], 0.0)
        down[i] = negative
        matrix[i, i] = 0.0
    all_up, all_down = up.sum(), down.sum()
    if all_up + all_down == 0.0:
        return matrix
    # Where there is no weight of a sign, its strengths are 0 and so is what is expected.
    share_up, share_down = 1.0 / max(all_up, 1e-300), 1.0 / max(all_down, 1e-300)
    by_total = 1.0 / (all_up + all_down)
    for i in range(n):
        rise, fall = up[i] * share_up, down[i] * share_down
        for j in range(n):
            matrix[i, j] = (matrix[i, j] - rise * up[j] + fall * down[j]) * by_total
    return matrix


def _improved(product: Array, start: Array, max_sweeps: int) -> tuple[Array, float]:
    labels = start.copy()
    gain = _move_units(_modularity(product), labels, max_sweeps)
    return labels, float(gain)


@kernel()
def _move_units(matrix: Array, labels: Array, max_sweeps: int) -> float:
    """Move units to where the sum within communities is largest, in place; return what it gained.

    One sweep after another, every unit in turn, a community of its own among the choices.
    """
    n = labels.size
    n_labels = min(labels.max() + 1 + _SPARE, n)
    sizes, sums = np.zeros(n_labels, dtype=np.int64), np.zeros((n, n_labels))
    for i in range(n):
        sizes[labels[i]] += 1
        for j in range(n):
            sums[i, labels[j]] += matrix[i, j]
    total = 0.0
    for _ in range(max_sweeps):
        moved = False
        for i in range(n):
            old = labels[i]
            here = sums[i, old] - matrix[i, i]
            best, top = old, here
            is_empty_tried = sizes[old] == 1
            for k in range(n_labels):
                if k != old and (sizes[k] > 0 or not is_empty_tried):
                    is_empty_tried |= sizes[k] == 0
                    if sums[i, k] > top + 1e-12:
                        best, top = k, sums[i, k]
            if best != old:
                total += 2.0 * (top - here)
                sizes[old] -= 1
                sizes[best] += 1
                labels[i] = best
                for j in range(n):
                    sums[j, old] -= matrix[i, j]
                    sums[j, best] += matrix[i, j]
                moved = True
        if not moved:
            break
    return total


def _everyone(labels: Array, is_active: Array) -> Array:
    out = np.empty(is_active.size, dtype=np.int64)
    out[is_active] = labels
    out[~is_active] = labels.max() + 1 + np.arange(int((~is_active).sum()))
    return out
