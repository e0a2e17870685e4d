"""Double dissociation: two groups of heads, each needed by one of two tasks alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import binomtest
from torch import nn

from activome._checks import check_choice, check_integer, check_number
from activome._progress import Progress, silent
from activome._random import RandomState, make_generator
from activome.errors import ParameterError
from activome.interventions._comparison import refuse_noise
from activome.interventions._components import Components, Place
from activome.interventions._prompts import Prompts, answers_of

__all__ = ["double_dissociation"]

Array = np.ndarray[Any, Any]
_OWNER = "double_dissociation"
_N_RESAMPLED = 2000


def double_dissociation(
    model: nn.Module,
    tasks: Mapping[str, Any],
    heads_a: Any,
    heads_b: Any,
    n_random: int = 20,
    reference: Any = "mean",
    *,
    match: str = "layer",
    min_accuracy: float = 0.6,
    level: float = 0.95,
    site: str = "head_out",
    tokenizer: Any = None,
    scheme: str | None = None,
    random_state: RandomState = 0,
    progress: Progress = silent,
) -> xr.Dataset:
    """Remove two groups of heads in turn, and measure two tasks each time.

    Of ``drop``, the fall of the accuracy, four numbers say whether the groups serve one task each::

        index = (drop of A without A's heads - drop of A without B's heads)
              + (drop of B without B's heads - drop of B without A's heads)

    It is 2 where each group is all that its task needs and nothing of what the other does, and 0
    where it does not matter which group is removed. ``p`` compares it with pairs of random groups
    of the same sizes, none of whose heads is in either group.

    Parameters
    ----------
    model : torch.nn.Module
        Any network with a site of heads, in evaluation mode; used in place.
    tasks : mapping of str to (prompts, answers), or to callable
        The two tasks, A first. Prompts as in ``head_scores``, with the token id of the right answer
        of each; or a function of the model that returns a boolean per trial.
    heads_a, heads_b : sequence of (int, int)
        Layer and head of what each task is thought to need, as ``select_heads`` returns them.
    n_random : int, default=20
        Pairs of random groups; the smallest p is ``1 / (n_random + 1)``. 0 for none.
    reference : {"mean", "zero"} or xarray.DataArray, default="mean"
        What a removed head gives at every position: its mean over the prompts of both tasks, 0, or
        what ``head_means`` returned. Zeros are far from anything the network has seen, and hurt
        both tasks.
    match : {"layer", "any"}, default="layer"
        Draw random groups with as many heads in each layer, or from all layers.
    min_accuracy : float in [0, 1], default=0.6
        Accuracy of the whole network below which there is nothing to dissociate.
    level : float in (0, 1), default=0.95
        Coverage of the intervals.
    site : str, default="head_out"
        As in ``head_means``; of a site without heads the groups are (layer, unit).
    tokenizer : object, optional
        Encodes texts.
    scheme : str, optional
        Table of site names, as in ``Taps``.
    random_state : int, Generator or None, default=0
        Seed of the random groups and of the intervals of drops.
    progress : Progress, default=silent
        Told of the groups done.

    Returns
    -------
    xarray.Dataset
        Dims removed ("none", then the names of the tasks whose heads are removed), task, draw.

        - accuracy, accuracy_low, accuracy_high (removed, task): with the interval of Wilson;
        - drop, drop_low, drop_high (removed, task): with the interval of resampled prompts;
        - random_accuracy, random_drop (draw, removed, task): of the random groups;
        - index, index_low, index_high, p (): p is NaN without random groups;
        - random_index (draw).

    Raises
    ------
    ParameterError
        If there are not two tasks, they share a prompt, the network is below ``min_accuracy`` on
        one, the groups overlap or name a head that is not there, too few other heads are left to
        draw from, or an option does not fit.

    Notes
    -----
    ``3 + 2 n_random`` runs of both tasks. Choose the heads on other prompts than these: scores and
    accuracies of the same prompts are no independent evidence.

    References
    ----------
    .. [1] H. Fartale, A. Kattamuri, R. Raja, A. Vats, I. Prasad and A. K. Moharir, "Disentangling
       recall and reasoning in transformer models through layer-wise attention and activation
       analysis", 2025.
    .. [2] H.-L. Teuber, "Physiological psychology", 1955.
    .. [3] E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
       1927.

    Examples
    --------
    >>> import torch
    >>> from activome.networks import TinyGPT
    >>> network = TinyGPT(vocab=9, context=8, d_model=8, n_heads=4).eval()
    >>> ids = torch.randint(9, (20, 6))
    >>> with torch.no_grad():
    ...     said = network(ids)[:, -1].argmax(-1)
    >>> tasks = {"first": (ids[:10], said[:10]), "second": (ids[10:], said[10:])}
    >>> found = double_dissociation(network, tasks, [(0, 1)], [(1, 2)], n_random=3)
    >>> found.accuracy.sel(removed="none").values.tolist()
    [1.0, 1.0]
    """
    check_integer(n_random, name="n_random", owner=_OWNER, low=0)
    check_choice(match, ("layer", "any"), name="match", owner=_OWNER)
    check_number(level, name="level", owner=_OWNER, low=0.0, high=1.0)
    least = check_number(
        min_accuracy, name="min_accuracy", owner=_OWNER, low=0, high=1,
        include_low=True, include_high=True,
    )  # fmt: skip
    refuse_noise(model, _OWNER)
    components = Components.of(_OWNER, model, site, scheme)
    bench = _Bench.of(components, model, tasks, reference, tokenizer)
    n_each = bench.reference.sizes[components.axis]
    size = dict.fromkeys(components.layers, n_each)
    groups = [
        components.places(chosen, name, size)
        for chosen, name in ((heads_a, "heads_a"), (heads_b, "heads_b"))
    ]
    pools = _pools(groups, size, match if n_random else "none")
    rng = make_generator(random_state)
    whole = bench.measure([])
    for name, correct in zip(bench.names, whole, strict=True):
        if correct.mean() < least:
            raise ParameterError(
                f"{_OWNER}: the network must do both tasks, at {least:g} or more, for there to be "
                f"anything to dissociate; its accuracy at {name!r} is {correct.mean():.3g}. Choose "
                "an easier task, or a larger network."
            )
    found = [whole, *(bench.measure(group) for group in groups)]
    progress("groups of heads", 0, n_random)
    drawn = np.empty((n_random, 2, 2))
    for i in range(n_random):
        for j, pool in enumerate(pools):
            drawn[i, j] = [c.mean() for c in bench.measure(_draw(pool, rng))]
        progress("groups of heads", i + 1, n_random)
    return _table(bench.names, found, drawn, float(level), rng)


@dataclass(frozen=True)
class _Bench:
    """Two tasks on one network, and what removed components are put to."""

    components: Components
    names: list[str]
    run: list[Callable[[], Array]]
    reference: xr.DataArray

    @classmethod
    def of(
        cls, components: Components, model: nn.Module, tasks: Any, reference: Any, tokenizer: Any
    ) -> _Bench:
        if not isinstance(tasks, Mapping) or len(tasks) != 2:
            raise ParameterError(
                f"{_OWNER}: tasks must map two names to (prompts, answers) or to functions; got "
                f"{list(tasks) if isinstance(tasks, Mapping) else type(tasks).__name__}."
            )
        names = [str(name) for name in tasks]
        run: list[Callable[[], Array]] = []
        prompts: list[Prompts] = []
        for name, task in tasks.items():
            if callable(task):
                run.append(_outcome(task, model, str(name)))
                continue
            inputs, answers = _pair(task, str(name))
            mine = Prompts.of(_OWNER, model, inputs, tokenizer)
            right = answers_of(answers, mine.n_prompts, f"{_OWNER}, task {name!r}")
            prompts.append(mine)
            run.append(_answered(mine, right))
        if len(prompts) == 2:
            shared = set(prompts[0].keys()) & set(prompts[1].keys())
            if shared:
                raise ParameterError(
                    f"{_OWNER}: the tasks must not share a prompt; {len(shared)} are in both, such "
                    f"as the token ids {list(min(shared))[:12]}."
                )
        known = prompts if len(prompts) == 2 else []
        return cls(components, names, run, components.reference(reference, known))

    def measure(self, group: list[Place]) -> list[Array]:
        """Return which trials of each task are right with a group removed."""
        if not group:
            return [task() for task in self.run]
        with self.components.taps.edit(*self.components.removal(group, self.reference)):
            return [task() for task in self.run]


def _pair(task: Any, name: str) -> tuple[Any, Any]:
    if not isinstance(task, (tuple, list)) or len(task) != 2:
        raise ParameterError(
            f"{_OWNER}: task {name!r} must be (prompts, answers) or a function of the model; got "
            f"{type(task).__name__}."
        )
    return task[0], task[1]


def _answered(prompts: Prompts, right: Any) -> Callable[[], Array]:
    return lambda: np.asarray(prompts.correct(right))


def _outcome(task: Callable[[Any], Any], model: nn.Module, name: str) -> Callable[[], Array]:
    def run() -> Array:
        found = np.asarray(task(model))
        if found.ndim != 1 or found.dtype != bool or not found.size:
            raise ParameterError(
                f"{_OWNER}: task {name!r} must return a boolean per trial; got {found.dtype} of "
                f"shape {found.shape}."
            )
        return found

    return run


Pool = list[tuple[list[Place], int]]  # what to draw from, and how many


def _pools(groups: list[list[Place]], size: Mapping[int, int], match: str) -> list[Pool]:
    """Return what the random partner of each group is drawn from."""
    both = set(groups[0]) & set(groups[1])
    if both:
        raise ParameterError(
            f"{_OWNER}: heads_a and heads_b must not overlap; both name {sorted(both)}. A head "
            "that serves both tasks belongs to neither group."
        )
    taken = set(groups[0]) | set(groups[1])
    free = {
        layer: [(layer, i) for i in range(n) if (layer, i) not in taken]
        for layer, n in size.items()
    }
    pools: list[Pool] = []
    for group in groups:
        counts = {layer: sum(place[0] == layer for place in group) for layer in size}
        if match == "layer":
            pool = [(free[layer], n) for layer, n in counts.items() if n]
        elif match == "any":
            pool = [([place for some in free.values() for place in some], len(group))]
        else:
            pool = []
        for some, n in pool:
            if n > len(some):
                where = f"layer {group[0][0]}" if match == "any" else f"layers {counts}"
                raise ParameterError(
                    f"{_OWNER}: a random group needs {n} components besides those chosen, and "
                    f"{len(some)} are left ({where}). Choose smaller groups, or match='any'."
                )
        pools.append(pool)
    return pools


def _draw(pool: Pool, rng: np.random.Generator) -> list[Place]:
    return [some[i] for some, n in pool for i in rng.choice(len(some), n, replace=False)]


def _index(drop: Array) -> Array:
    """Return the index of drops (..., removed, task)."""
    return np.asarray(drop[..., 0, 0] - drop[..., 1, 0] + drop[..., 1, 1] - drop[..., 0, 1])


def _table(
    names: list[str], found: list[list[Array]], drawn: Array, level: float, rng: np.random.Generator
) -> xr.Dataset:
    accuracy = np.array([[task.mean() for task in row] for row in found])
    low, high = _wilson(found, level)
    drop = accuracy[0] - accuracy[1:]
    moved = _resampled(found, rng)
    tails = [(1 - level) / 2, (1 + level) / 2]
    drop_low, drop_high = np.quantile(moved, tails, axis=0)
    index = float(_index(drop))
    index_low, index_high = np.quantile(_index(moved), tails)
    random_drop = accuracy[0] - drawn
    random_index = _index(random_drop)
    # Accuracies are ratios of counts: equal ones may differ in the last bit.
    hits = np.count_nonzero(random_index >= index - 1e-12)
    p = (1 + hits) / (1 + len(drawn)) if len(drawn) else np.nan
    cells, every = ("removed", "task"), ("draw", "removed", "task")
    removed = [f"{name} heads" for name in names]

    def wide(values: Array) -> Array:
        return np.concatenate([np.zeros((1, 2)), values])

    def drawn_wide(values: Array, first: Array) -> Array:
        start = np.broadcast_to(first, (len(values), 1, 2))
        return np.concatenate([start, values], axis=1)

    return xr.Dataset(
        {
            "accuracy": (cells, accuracy),
            "accuracy_low": (cells, low),
            "accuracy_high": (cells, high),
            "drop": (cells, wide(drop)),
            "drop_low": (cells, wide(drop_low)),
            "drop_high": (cells, wide(drop_high)),
            "random_accuracy": (every, drawn_wide(drawn, accuracy[0])),
            "random_drop": (every, drawn_wide(random_drop, np.zeros(2))),
            "index": ((), index),
            "index_low": ((), float(index_low)),
            "index_high": ((), float(index_high)),
            "random_index": (("draw",), random_index),
            "p": ((), p),
        },
        coords={"removed": ["none", *removed], "task": names},
        attrs={"level": level},
    )


def _wilson(found: list[list[Array]], level: float) -> tuple[Array, Array]:
    ends = [
        [
            binomtest(int(task.sum()), task.size).proportion_ci(level, method="wilson")
            for task in row
        ]
        for row in found
    ]
    low, high = ([[getattr(end, side) for end in row] for row in ends] for side in ("low", "high"))
    return np.array(low), np.array(high)


def _resampled(found: list[list[Array]], rng: np.random.Generator) -> Array:
    """Return drops (draw, removed, task) of prompts drawn with replacement."""
    drops = np.empty((_N_RESAMPLED, 2, 2))
    for j in range(2):
        whole = found[0][j].astype(np.float64)
        rows = rng.integers(whole.size, size=(_N_RESAMPLED, whole.size))
        for i in range(2):
            drops[:, i, j] = (whole - found[i + 1][j])[rows].mean(axis=1)
    return drops
