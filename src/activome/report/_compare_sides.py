"""The two sides of a comparison: their patterns per condition, and the RDMs of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from activome._checks import check_choice, check_finite
from activome.activity.schema import Activity
from activome.errors import ActivityError, ParameterError
from activome.geometry.rdm import rdm
from activome.report.conditions import observation_patterns
from activome.report.method_source import MethodSource, label_columns

__all__ = ["FEWEST", "METRICS", "OWNER", "Matched", "Side", "choose_labels", "match_sides"]

Array = np.ndarray[Any, Any]
OWNER = "compare"
METRICS = ("auto", "crossnobis", "sqeuclidean", "euclidean", "correlation", "cosine")
FEWEST = 4
_SHOWN = 5
_DIGITS = 11
_ROTATABLE = ("crossnobis", "sqeuclidean", "euclidean")


@dataclass(frozen=True)
class Side:
    """One recording, reduced to a pattern of the units per observation of a shared condition.

    Attributes
    ----------
    name : str
        Of the source.
    label : str
        Column that tells the condition.
    patterns : ndarray of float64, shape (n_observations, n_units)
        In the order of the recording; units standardised.
    codes : ndarray of int64, shape (n_observations,)
        Place of the condition of each among the shared ones.
    n_conditions : int
        Shared conditions.
    metric : str
        Dissimilarity.
    n_units : int
        Units that vary.
    """

    name: str
    label: str
    patterns: Array
    codes: Array
    n_conditions: int
    metric: str
    n_units: int

    @property
    def counts(self) -> Array:
        """Observations of each condition."""
        return np.bincount(self.codes, minlength=self.n_conditions)

    def rdm(self, patterns: Array | None = None) -> Array:
        """Return the condensed RDM, of surrogate patterns where these are given."""
        values = self.patterns if patterns is None else patterns
        return _rdm(values, self.codes, self.n_conditions, self.metric)

    def half_rdms(self, generator: np.random.Generator) -> Array | None:
        """Return the RDMs of two halves of the observations, shape (2, n_pairs).

        None where the halves would not be alike in what noise adds to them: with unequal counts
        below four.
        """
        counts = self.counts
        is_even = bool((counts == counts[0]).all())
        if counts.min() < 2 or not (is_even or counts.min() >= 4):
            return None
        metric = self.metric
        if metric == "crossnobis" and is_even:
            metric = "sqeuclidean"
        order = generator.permutation(self.codes.size)
        ordered = self.codes[order]
        sort = np.argsort(ordered, kind="stable")
        rank = np.empty(order.size, dtype=np.int64)
        rank[sort] = np.arange(order.size) - np.repeat(np.cumsum(counts) - counts, counts)
        first = rank < counts[ordered] // 2
        return np.stack(
            [
                _rdm(self.patterns[order[half]], ordered[half], self.n_conditions, metric)
                for half in (first, ~first)
            ]
        )

    @property
    def half_factor(self) -> int:
        """At most how many times the noise of a half's RDM is that of the whole, in variance."""
        is_even = bool((self.counts == self.counts[0]).all())
        return 6 if self.metric == "crossnobis" and not is_even else 4

    def surrogate(self, generator: np.random.Generator) -> Array:
        """Return patterns with the slow course of these, and no relation to the conditions."""
        n = len(self.patterns)
        place = np.linspace(-1.0, 1.0, n)[:, np.newaxis]
        slope = (place * self.patterns).sum(axis=0) / np.square(place).sum()
        line = self.patterns.mean(axis=0) + place * slope
        # Forth and back again: the ends of a series that drifts do not meet, and no surrogate
        # of the plain series would be as far apart at its ends.
        rest = self.patterns - line
        spectrum = np.fft.rfft(np.concatenate([rest, rest[::-1]]), axis=0)
        # One phase per frequency for all units: what units share they go on sharing.
        turn = np.exp(2j * np.pi * generator.random(len(spectrum)))
        turn[0], turn[-1] = 1.0, generator.choice([-1.0, 1.0])
        moved: Array = line + np.fft.irfft(spectrum * turn[:, np.newaxis], n=2 * n, axis=0)[:n]
        return moved


def _rdm(patterns: Array, codes: Array, n_conditions: int, metric: str) -> Array:
    distances = _distances(patterns, codes, n_conditions, metric)
    # Distances that are equal but for rounding are ties: ranks would else order the rounding.
    size = float(np.abs(distances).max(initial=0.0)) or 1.0
    rounded: Array = np.round(distances / size, _DIGITS) * size
    return rounded


def _distances(patterns: Array, codes: Array, n_conditions: int, metric: str) -> Array:
    if metric not in ("crossnobis", "sqeuclidean", "euclidean"):
        return np.asarray(rdm(patterns, metric, conditions=codes))
    members = np.zeros((n_conditions, codes.size))
    members[codes, np.arange(codes.size)] = 1.0
    counts = members.sum(axis=1)
    means = (members / counts[:, np.newaxis]) @ patterns
    products = means @ means.T
    squares: Array = np.diag(products).copy()
    first, second = np.triu_indices(n_conditions, 1)
    distances: Array = squares[first] + squares[second] - 2.0 * products[first, second]
    if metric == "crossnobis":
        # All pairs of different observations: the squared distance of the means without the part
        # that noise adds to it.
        energy = members @ np.vecdot(patterns, patterns) / counts
        noise = (energy - squares) / (counts - 1.0)
        unbiased: Array = (distances - noise[first] - noise[second]) / patterns.shape[1]
        return unbiased
    distances = np.maximum(distances, 0.0)
    return np.sqrt(distances) if metric == "euclidean" else distances


def choose_labels(a: Activity, b: Activity, by: str | None) -> tuple[str, str]:
    """Return the label columns of both sides; ``by`` may be one name, or ``of_a=of_b``."""
    known = [[*label_columns(x), *(["trial"] if "trial" in x.coords else [])] for x in (a, b)]
    if by is not None:
        first, _, second = by.partition("=")
        names = (first.strip(), (second or first).strip())
        for name, columns, side in zip(names, known, ("first", "second"), strict=True):
            check_choice(name, columns, name=f"label of the {side} recording", owner=OWNER)
        return names
    shared = [
        name
        for name in label_columns(a)
        if name in known[1]
        and len(set(condition_names(a[name].values)) & set(condition_names(b[name].values)))
        >= FEWEST
    ]
    if len(shared) == 1:
        return shared[0], shared[0]
    found = f"share {', '.join(shared)}" if shared else "share no label with four values in common"
    raise ParameterError(
        f"{OWNER}: give --by LABEL, or --by LABEL_OF_A=LABEL_OF_B; the recordings {found}. Labels "
        f"of the first: {', '.join(known[0]) or 'none'}; of the second: "
        f"{', '.join(known[1]) or 'none'}."
    )


def condition_names(values: Any) -> list[str]:
    """Return values as text, whole numbers alike however they are stored; nothing for NaN."""
    flat = np.asarray(values).reshape(-1).tolist()
    return [_name(value) for value in flat]


def _name(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        text = str(value).strip()
        return "" if text.lower() == "nan" else text
    if value != value:
        return ""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


@dataclass(frozen=True)
class Matched:
    """Two sides over the same conditions.

    Attributes
    ----------
    a, b : Side
        The sides.
    conditions : list of str
        Shared conditions, in the order of the RDMs.
    left_out : dict of str to list of str
        Conditions of one side alone, and those with too few observations.
    """

    a: Side
    b: Side
    conditions: list[str]
    left_out: dict[str, list[str]]


def match_sides(
    a: MethodSource,
    b: MethodSource,
    labels: tuple[str, str],
    metric: str,
    max_conditions: int,
    generator: np.random.Generator,
) -> Matched:
    """Reduce both recordings to patterns of the conditions that both hold."""
    raw = []
    for source, label in zip((a, b), labels, strict=True):
        if "unit" not in source.activity.dims:
            raise ActivityError(
                f"{OWNER}: {source.name} has no units. Give a recording with units."
            )
        patterns, values = observation_patterns(source.activity, label, owner=OWNER)
        raw.append((patterns, np.array(condition_names(values))))
    shared = (set(raw[0][1]) & set(raw[1][1])) - {""}
    conditions = sorted(shared, key=_order)
    _check_shared(conditions, raw, (a.name, b.name), labels)
    left_out = {
        "only_a": sorted(set(raw[0][1]) - shared - {""}),
        "only_b": sorted(set(raw[1][1]) - shared - {""}),
    }
    if metric in ("auto", "crossnobis"):
        single = _singles(raw, conditions, metric)
        left_out["single"] = sorted(single)
        conditions = [name for name in conditions if name not in single]
    if len(conditions) > max_conditions:
        kept = np.sort(generator.choice(len(conditions), max_conditions, replace=False))
        left_out["not_drawn"] = sorted(set(conditions) - {conditions[k] for k in kept})
        conditions = [conditions[k] for k in kept]
    sides = [
        _side(source.name, label, *given, conditions, metric, generator)
        for source, label, given in zip((a, b), labels, raw, strict=True)
    ]
    return Matched(sides[0], sides[1], conditions, left_out)


def _check_shared(
    conditions: list[str],
    raw: list[tuple[Array, Array]],
    names: tuple[str, str],
    labels: tuple[str, str],
) -> None:
    if len(conditions) >= FEWEST:
        return
    shown = [", ".join(sorted(set(given[1].tolist()) - {""})[:_SHOWN]) for given in raw]
    raise ActivityError(
        f"{OWNER}: the recordings must share at least {FEWEST} conditions; they share "
        f"{len(conditions)}. {labels[0]} of {names[0]} holds such as {shown[0]}; {labels[1]} of "
        f"{names[1]} such as {shown[1]}. Give the labels that name the same stimuli with --by."
    )


def _singles(raw: list[tuple[Array, Array]], conditions: list[str], metric: str) -> set[str]:
    """Return conditions seen once on a side on which most are seen more often."""
    found: set[str] = set()
    for _, values in raw:
        once = {name for name in conditions if np.count_nonzero(values == name) == 1}
        n_kept = len(conditions) - len(once | found)
        if metric == "crossnobis" and n_kept < FEWEST:
            raise ActivityError(
                f"{OWNER}: crossnobis needs two observations of at least {FEWEST} conditions; "
                f"{n_kept} have. Leave out --metric."
            )
        if metric == "crossnobis" or (n_kept >= FEWEST and 2 * len(once) <= len(conditions)):
            found |= once
    return found


def _side(
    name: str,
    label: str,
    patterns: Array,
    values: Array,
    conditions: list[str],
    metric: str,
    generator: np.random.Generator,
) -> Side:
    place = {condition: k for k, condition in enumerate(conditions)}
    codes = np.array([place.get(value, -1) for value in values.tolist()], dtype=np.int64)
    patterns, codes = patterns[codes >= 0], codes[codes >= 0]
    counts = np.bincount(codes)
    if metric == "auto":
        metric = "crossnobis" if counts.min() >= 2 else "sqeuclidean"
    if metric != "crossnobis" and counts.min() != counts.max():
        # Noise adds more to the distance of a condition that was seen less often: with as many
        # observations of each it adds the same to all.
        kept = np.sort(_draw_even(codes, int(counts.min()), generator))
        patterns, codes = patterns[kept], codes[kept]
    check_finite(patterns, owner=f"{OWNER}: {name}", axes=("observation", "unit"))
    patterns = patterns - patterns.mean(axis=0)
    spread = patterns.std(axis=0)
    varies = spread > 1e-12 * np.abs(patterns).max(initial=0.0)
    n_units = int(varies.sum())
    if n_units == 0 or (metric == "correlation" and n_units < 3):
        raise ActivityError(
            f"{OWNER}: {n_units} of the units of {name} differ between observations; "
            f"{'correlation needs three' if n_units else 'there is nothing to compare'}."
        )
    patterns = patterns[:, varies] / spread[varies]
    if metric in _ROTATABLE and n_units > len(patterns):
        # A rotation of the units that leaves every distance as it is, in as few dims as there are
        # observations; the mean over units that crossnobis takes stays that of the units.
        left, size, _ = np.linalg.svd(patterns, full_matrices=False)
        scale = np.sqrt(size.size / n_units) if metric == "crossnobis" else 1.0
        patterns = left * size * scale
    return Side(name, label, patterns, codes, len(conditions), metric, n_units)


def _draw_even(codes: Array, n: int, generator: np.random.Generator) -> Array:
    picks = [
        generator.choice(np.flatnonzero(codes == k), n, replace=False) for k in np.unique(codes)
    ]
    return np.concatenate(picks)


def _order(name: str) -> tuple[int, float, str]:
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name
