"""Measures of how alike two RDMs are, their nulls, intervals and noise ceilings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import rankdata

from activome._progress import Progress, silent
from activome.activity.statistics import max_statistic
from activome.errors import ActivityError
from activome.geometry.rdm_comparison import compare_rdms
from activome.geometry.rdm_forms import to_square
from activome.geometry.topology import Geodesic, GeoTopological, family
from activome.report._compare_sides import Side

__all__ = ["MEASURES", "Measure", "Result", "measure_sides"]

Array = np.ndarray[Any, Any]
_CHUNK_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class Measure:
    """One way to compare two RDMs.

    Attributes
    ----------
    name : str
        What it is called.
    kind : str
        "rdm" for the dissimilarities themselves, else a member of the geo-topological family, or
        "geodesic".
    method : str
        Of ``compare_rdms``.
    """

    name: str
    kind: str
    method: str

    def map(self, rdms: Array) -> Array:
        """Return RDMs, shape (n_rdms, n_pairs), as this measure compares them."""
        if self.kind == "rdm":
            return rdms
        if self.kind == "geodesic":
            return np.asarray(Geodesic(negative="allow").fit_transform(rdms))
        cuts = family(self.kind)
        return np.asarray(GeoTopological(*cuts, negative="allow").fit_transform(rdms))

    def compare(self, one: Array, many: Array) -> Array:
        """Return the similarity of one mapped RDM with each of several."""
        return np.atleast_1d(np.asarray(compare_rdms(one, np.atleast_2d(many), self.method)))


MEASURES = (
    Measure("pearson", "rdm", "pearson"),
    Measure("spearman", "rdm", "spearman"),
    Measure("rho-a", "rdm", "rho-a"),
    Measure("kendall-a", "rdm", "kendall-a"),
    Measure("cosine", "rdm", "cosine"),
    Measure("geometry", "geometry", "pearson"),
    Measure("topology", "topology", "pearson"),
    Measure("local", "local", "pearson"),
    Measure("global", "global", "pearson"),
    Measure("geodesic", "geodesic", "pearson"),
)


@dataclass
class Result:
    """What one measure says.

    Attributes
    ----------
    measure : Measure
        Which.
    value : float
        Similarity of the two RDMs; NaN where the measure does not apply.
    reason : str
        Why it does not apply.
    null : ndarray of float64, shape (n_permutations,)
        The same with permuted conditions.
    p_value : float
        Against permuted conditions, this measure alone.
    p_order : float
        Against patterns of the second side with the same slow course and no relation to the
        conditions, this measure alone.
    p_corrected : float
        The larger of both, each corrected over all measures.
    draws : ndarray of float64, shape (n_draws,)
        The value in each resample of the conditions.
    ceilings : dict of str to ndarray, shape (n_draws, 2)
        Lower and upper bound of each side with repeats, in each resample.
    """

    measure: Measure
    value: float = np.nan
    reason: str = ""
    null: Array = field(default_factory=lambda: np.empty(0))
    p_value: float = 1.0
    p_order: float = 1.0
    p_corrected: float = 1.0
    draws: Array = field(default_factory=lambda: np.empty(0))
    ceilings: dict[str, Array] = field(default_factory=dict)

    def interval(self, level: float) -> tuple[float, float] | None:
        """Return the percentile interval over resamples of the conditions."""
        if not self.draws.size:
            return None
        low, high = np.quantile(self.draws, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def ceiling(self, level: float) -> tuple[float, float] | None:
        """Return bounds of what two perfect copies would reach; a side without repeats counts as
        free of noise."""
        if not self.ceilings:
            return None
        both = np.prod(list(self.ceilings.values()), axis=0)
        low = float(np.quantile(both[:, 0], (1 - level) / 2))
        return low, float(np.quantile(both[:, 1], (1 + level) / 2))


def measure_sides(
    a: Side,
    b: Side,
    *,
    n_permutations: int,
    generator: np.random.Generator,
    progress: Progress = silent,
) -> tuple[Array, Array, list[Result]]:
    """Compare two sides by every measure and test each; returns both RDMs and the results."""
    first, second = a.rdm(), b.rdm()
    results = [_start(measure, first, second) for measure in MEASURES]
    applied = [result for result in results if not result.reason]
    if not applied:
        raise ActivityError(f"compare: no measure applies: {results[0].reason}")
    streams = generator.spawn(2)
    _permute(applied, first, second, a.n_conditions, n_permutations, streams[0], progress)
    order = _surrogates(applied, first, b, n_permutations, streams[1], progress)
    _judge(applied, order)
    return first, second, results


def _start(measure: Measure, first: Array, second: Array) -> Result:
    try:
        mapped = measure.map(np.stack([first, second]))
        return Result(measure, float(measure.compare(mapped[0], mapped[1])[0]))
    except ActivityError as error:
        return Result(measure, reason=str(error))


def _permute(
    results: list[Result],
    first: Array,
    second: Array,
    n: int,
    n_permutations: int,
    generator: np.random.Generator,
    progress: Progress,
) -> None:
    orders = np.stack([generator.permutation(n) for _ in range(n_permutations)])
    upper = np.triu_indices(n, 1)
    step = max(1, _CHUNK_BYTES // (8 * first.size))
    for done, result in enumerate(results):
        progress("permuting conditions", done, len(results))
        mapped = result.measure.map(np.stack([first, second]))
        # What a map does to an RDM does not depend on the order of its conditions.
        square = np.asarray(to_square(mapped[1]))
        result.null = np.concatenate(
            [
                result.measure.compare(mapped[0], square[some[:, upper[0]], some[:, upper[1]]])
                for some in (orders[k : k + step] for k in range(0, n_permutations, step))
            ]
        )
    progress("permuting conditions", len(results), len(results))


def _surrogates(
    results: list[Result],
    first: Array,
    b: Side,
    n: int,
    generator: np.random.Generator,
    progress: Progress,
) -> list[Array]:
    values = np.empty((len(results), n))
    ones = [result.measure.map(first[np.newaxis])[0] for result in results]
    step = max(1, min(n, _CHUNK_BYTES // (8 * first.size)))
    for start in range(0, n, step):
        progress("shuffling the course", start, n)
        stop = min(start + step, n)
        rdms = np.stack([b.rdm(b.surrogate(generator)) for _ in range(start, stop)])
        for row, (result, one) in enumerate(zip(results, ones, strict=True)):
            values[row, start:stop] = _compare_each(result.measure, one, rdms)
    progress("shuffling the course", n, n)
    return list(values)


def _compare_each(measure: Measure, one: Array, rdms: Array) -> Array:
    try:
        return measure.compare(one, measure.map(rdms))
    except ActivityError:
        if len(rdms) == 1:
            # A surrogate that the measure cannot judge counts against the finding.
            return np.array([np.inf])
    return np.concatenate([_compare_each(measure, one, row[np.newaxis]) for row in rdms])


def _judge(results: list[Result], order: list[Array]) -> None:
    observed = np.array([result.value for result in results])
    corrected = [
        _corrected(observed, null)
        for null in (np.stack([r.null for r in results]), np.stack(order))
    ]
    for k, result in enumerate(results):
        result.p_value = _p(result.value, result.null)
        result.p_order = _p(result.value, order[k])
        result.p_corrected = float(max(p[k] for p in corrected))


def _p(value: float, null: Array) -> float:
    return float((1 + np.count_nonzero(null >= value - 1e-12)) / (1 + null.size))


def _corrected(observed: Array, null: Array) -> Array:
    """Correct over measures by the smallest p-value, observed and drawn values ranked together."""
    pool = np.column_stack([observed, null])
    p_values = rankdata(-pool, axis=1, method="max") / pool.shape[1]
    return max_statistic(-p_values[:, 0], -p_values[:, 1:].T)
