"""Do two recordings hold the same conditions alike? Geometry and topology, with nulls."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from activome._checks import DEFAULT_MEMORY_LIMIT, check_choice, check_integer, check_number
from activome._files import write_json, write_text
from activome._progress import Progress, silent
from activome._random import RandomState, integer_seed, make_generator
from activome.errors import ParameterError
from activome.geometry.reliability import RdmReliability, rdm_reliability
from activome.report._compare_measures import Result, measure_sides
from activome.report._compare_resampling import resample_conditions
from activome.report._compare_sides import (
    FEWEST,
    METRICS,
    OWNER,
    Matched,
    Side,
    choose_labels,
    match_sides,
)
from activome.report._compare_words import describe
from activome.report.method_source import MethodSource, open_source
from activome.report.section import plain_values

__all__ = ["Comparison", "compare_recordings", "write_comparison"]

Array = np.ndarray[Any, Any]
_N_SPLITS = 10
_RELIABILITY_DRAWS = 199


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes
    ----------
    record : dict
        Sources, conditions, measures with intervals, p-values and noise ceilings, statements and
        the verdict, as plain values.
    conditions : list of str
        The shared conditions, in the order of the RDMs.
    rdm_a, rdm_b : ndarray of float64, shape (n_pairs,)
        Condensed dissimilarities.
    null : dict of str to ndarray, shape (n_permutations,)
        Values of each measure with permuted conditions.
    """

    record: dict[str, Any]
    conditions: list[str]
    rdm_a: Array
    rdm_b: Array
    null: dict[str, Array]

    @property
    def is_alike(self) -> bool:
        """Whether there is evidence that both hold the conditions alike."""
        return bool(self.record["verdict"]["kind"] == "found")

    def measure(self, name: str) -> dict[str, Any]:
        """Return what one measure says.

        Parameters
        ----------
        name : str
            Such as "spearman" or "topology".

        Returns
        -------
        dict
            With value, interval, p-values and ceiling.

        Raises
        ------
        ParameterError
            If there is no such measure.
        """
        rows = {row["name"]: row for row in self.record["measures"]}
        found: dict[str, Any] = rows[check_choice(name, rows, name="measure", owner="Comparison")]
        return found


def compare_recordings(
    a: Any,
    b: Any,
    *,
    by: str | None = None,
    metric: str = "auto",
    alpha: float = 0.01,
    level: float = 0.95,
    n_permutations: int = 999,
    n_bootstrap: int = 200,
    max_conditions: int = 500,
    bin_width: float | None = None,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
    random_state: RandomState = 0,
    progress: Progress = silent,
) -> Comparison:
    """Compare how two recordings, or a recording and a model, hold the same conditions.

    Each side is reduced to a pattern of its units per observation of a condition, and these to a
    matrix of dissimilarities between conditions (RDM) [1]_. The two RDMs are compared as they are
    by five measures, and by their topology: mapped between two cuts that keep the neighbours, the
    geometry, or the near or far pairs alone [2]_.

    Parameters
    ----------
    a, b : path-like, Activity or Events
        Recordings, or the activity of a model, of the same conditions.
    by : str, optional
        Label column that names the condition on both sides, ``label_of_a=label_of_b``, or "trial"
        for the names of trials. By default the one label that both share.
    metric : {"auto", "crossnobis", "sqeuclidean", "euclidean", "correlation", "cosine"}
        Dissimilarity of patterns, default "auto": crossnobis (free of the bias that noise adds to
        distances) on a side with repeats of each condition, else sqeuclidean.
    alpha : float in (0, 1), default=0.01
        Level of the statements, corrected over all measures.
    level : float in (0, 1), default=0.95
        Coverage of intervals over conditions.
    n_permutations : int, default=999
        Draws of each null.
    n_bootstrap : int, default=200
        Resamples of the conditions for intervals and noise ceilings; 0 for none.
    max_conditions : int, default=500
        Most conditions; of more, that many are drawn at random.
    bin_width : float, optional
        Width of bins in s, where both sides hold events.
    memory_limit : int, default=2 GiB
        Bytes that each recording may take.
    random_state : int, Generator or None, default=0
        Seed.
    progress : Progress, default=silent
        Told of permutations, surrogates and resamples.

    Returns
    -------
    Comparison
        RDMs, measures and verdict.

    Raises
    ------
    ActivityError
        If fewer than four conditions are shared, values are not finite, nothing varies, or no
        measure applies.
    ParameterError
        If the label is unknown or cannot be told, or a setting is outside its range.

    Notes
    -----
    Our choices. A measure counts as evidence when it passes two nulls, each corrected over all
    measures by the smallest p-value: conditions permuted; and the observations of ``b`` replaced
    by ones with the same slow course (one random phase per frequency, for all units) but without
    relation to the conditions. Two recordings that drift, with conditions shown in one order,
    look alike by the first null alone.
    Conditions seen once are left out where most were seen more often. Without crossnobis as many
    observations of each condition are drawn, since distances of conditions that were seen less
    often are larger by noise alone. Intervals come from conditions drawn with replacement, pairs
    of a condition with its own copy left out. The noise ceiling bounds what two noise-free copies
    of one geometry would reach if measured as these were; a side without repeats counts as free
    of noise. Voltages and fields are compared by their log power per trial, units are standardised.

    References
    ----------
    .. [1] N. Kriegeskorte, M. Mur and P. Bandettini, "Representational similarity analysis -
       connecting the branches of systems neuroscience", 2008.
    .. [2] B. Lin and N. Kriegeskorte, "The topology and geometry of neural representations", 2024.
    .. [3] H. Nili, C. Wingfield, A. Walther, L. Su, W. Marslen-Wilson and N. Kriegeskorte, "A
       toolbox for representational similarity analysis", 2014.

    Examples
    --------
    >>> import activome
    >>> rng = np.random.default_rng(0)
    >>> stimulus = np.repeat(np.arange(10), 8)
    >>> def recorded(patterns):
    ...     noisy = patterns[stimulus] + rng.normal(size=(80, patterns.shape[1]))
    ...     return activome.make(noisy, ("trial", "unit"), coords={"stimulus": ("trial", stimulus)})
    >>> patterns = rng.normal(size=(10, 30))
    >>> brain, model = recorded(patterns), recorded(patterns @ rng.normal(size=(30, 50)) / 5)
    >>> compare_recordings(brain, model, n_bootstrap=0).is_alike
    True
    >>> compare_recordings(brain, recorded(rng.normal(size=(10, 30))), n_bootstrap=0).is_alike
    False
    """
    check_choice(metric, METRICS, name="metric", owner=OWNER)
    check_number(alpha, name="alpha", owner=OWNER, low=0.0, high=1.0)
    check_number(level, name="level", owner=OWNER, low=0.0, high=1.0)
    check_integer(n_permutations, name="n_permutations", owner=OWNER, low=19)
    check_integer(n_bootstrap, name="n_bootstrap", owner=OWNER, low=0)
    check_integer(max_conditions, name="max_conditions", owner=OWNER, low=FEWEST)
    seed = integer_seed(random_state)
    streams = make_generator(seed).spawn(4)
    first, second = (
        open_source(source, owner=OWNER, bin_width=bin_width, memory_limit=memory_limit)
        for source in (a, b)
    )
    labels = choose_labels(first.activity, second.activity, by)
    matched = match_sides(first, second, labels, metric, max_conditions, streams[0])
    rdm_a, rdm_b, results = measure_sides(
        matched.a, matched.b, n_permutations=n_permutations, generator=streams[1], progress=progress
    )
    if n_bootstrap:
        resample_conditions(
            results,
            matched.a,
            matched.b,
            (rdm_a, rdm_b),
            n_bootstrap=n_bootstrap,
            n_splits=_N_SPLITS,
            generator=streams[2],
            progress=progress,
        )
    reliability = [_reliability(side, streams[3]) for side in (matched.a, matched.b)]
    settings = {
        "alpha": alpha,
        "level": level,
        "metric": metric,
        "n_permutations": n_permutations,
        "n_bootstrap": n_bootstrap,
        "max_conditions": max_conditions,
        "random_state": seed,
    }
    record = _record((first, second), matched, results, reliability, settings)
    record["rdm_a"], record["rdm_b"] = rdm_a.tolist(), rdm_b.tolist()
    null = {result.measure.name: result.null for result in results if not result.reason}
    return Comparison(dict(plain_values(record)), matched.conditions, rdm_a, rdm_b, null)


def write_comparison(comparison: Comparison, output: str | os.PathLike[str]) -> list[Path]:
    """Write a comparison as a page, with its numbers beside it, or as numbers alone.

    Parameters
    ----------
    comparison : Comparison
        What to write.
    output : path-like
        A file that ends in .html (a self-contained page; the numbers go into a .json beside it) or
        in .json.

    Returns
    -------
    list of pathlib.Path
        What was written.

    Raises
    ------
    ParameterError
        If the file has another ending.
    """
    target = Path(output)
    check_output(target)
    written = [target.with_suffix(".json")]
    write_json(written[0], comparison.record)
    if target.suffix == ".html":
        from activome.report._compare_page import render_comparison

        write_text(target, render_comparison(comparison))
        written.insert(0, target)
    return written


def check_output(target: Path) -> None:
    """Refuse a file that is neither a page nor numbers."""
    if target.suffix not in (".html", ".json"):
        raise ParameterError(
            f"{OWNER}: the output must end in .html or .json; got {str(target)!r}."
        )


def _reliability(side: Side, generator: np.random.Generator) -> RdmReliability | None:
    if side.counts.min() < 2:
        return None
    return rdm_reliability(
        side.patterns,
        side.codes,
        metric="euclidean",
        n_permutations=_RELIABILITY_DRAWS,
        random_state=generator,
    )


def _record(
    sources: tuple[MethodSource, MethodSource],
    matched: Matched,
    results: list[Result],
    reliability: list[RdmReliability | None],
    settings: dict[str, Any],
) -> dict[str, Any]:
    from activome.report._versions import versions

    record: dict[str, Any] = {
        "conditions": matched.conditions,
        "left_out": matched.left_out,
        "measures": [_row(result, settings["level"]) for result in results],
        "settings": settings,
        "versions": versions(),
    }
    for key, source, side, found in zip(
        "ab", sources, (matched.a, matched.b), reliability, strict=True
    ):
        record[key] = source.record() | {
            "code": source.code,
            "label": side.label,
            "metric": side.metric,
            "n_units": side.n_units,
            "n_observations": int(side.codes.size),
            "fewest_repeats": int(side.counts.min()),
            "reliability": None if found is None else found.reliability,
            "reliability_p": None if found is None else found.p_value,
            "reliability_draws": None if found is None else len(found.null),
        }
    return record | describe(record)


def _row(result: Result, level: float) -> dict[str, Any]:
    measure = result.measure
    null = np.quantile(result.null, [0.025, 0.975]).tolist() if result.null.size else None
    return {
        "name": measure.name,
        "of": measure.kind,
        "method": measure.method,
        "value": result.value,
        "interval": result.interval(level),
        "ceiling": result.ceiling(level),
        "ceiling_sides": sorted(result.ceilings),
        "null_interval": null,
        "p_value": result.p_value,
        "p_order": result.p_order,
        "p_corrected": result.p_corrected,
        "not_applicable": result.reason,
    }
