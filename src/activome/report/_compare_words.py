"""What a comparison says in words: statements with their tests, and the verdict."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from activome.report.section import Statement, Test, Verdict, holm
from activome.report.sections._shared import number, p_text, plural

__all__ = ["describe"]

_NULL = "conditions permuted, and the second recording with its course shuffled; the larger p"
_SAID = {
    "spearman": "their dissimilarities rise together",
    "topology": "the same conditions are neighbours (topology)",
    "local": "the nearest conditions are the same",
    "global": "the farthest conditions are the same",
    "geodesic": "paths over neighbours are alike (geodesic)",
}


def describe(record: dict[str, Any]) -> dict[str, Any]:
    """Return statements and verdict of the record of a comparison."""
    alpha = record["settings"]["alpha"]
    applied = [row for row in record["measures"] if not row["not_applicable"]]
    passed = [row["name"] for row in applied if row["p_corrected"] <= alpha]
    best = min(row["p_corrected"] for row in applied)
    if passed:
        verdict = Verdict("found", f"alike, {p_text(best)} ({', '.join(passed)})")
    else:
        verdict = Verdict("nothing", f"no evidence that they are alike, {p_text(best)}")
    statements = [_judge(row, record) for row in applied if row["name"] in _SAID]
    statements += _reliabilities(record)
    statements += [Statement(text) for text in _facts(record, bool(passed))]
    return {
        "verdict": asdict(verdict),
        "statements": [asdict(statement) for statement in statements],
    }


def _judge(row: dict[str, Any], record: dict[str, Any]) -> Statement:
    settings = record["settings"]
    test = Test(
        _NULL, settings["n_permutations"], row["p_corrected"], max(row["p_value"], row["p_order"])
    )
    value = f"{row['name']} {_value(row['value'])}{_interval(row, settings['level'])}"
    said = _SAID[row["name"]]
    return Statement.judged(
        f"{said[:1].upper()}{said[1:]}: {value}",
        f"No evidence that {said}: {value}",
        test,
        settings["alpha"],
    )


def _reliabilities(record: dict[str, Any]) -> list[Statement]:
    sides = [record[key] for key in "ab" if record[key]["reliability"] is not None]
    statements = []
    for side, p in zip(sides, holm([side["reliability_p"] for side in sides]), strict=True):
        test = Test(
            "conditions permuted over the observations",
            side["reliability_draws"],
            p,
            side["reliability_p"],
        )
        r = _value(side["reliability"])
        statements.append(
            Statement.judged(
                f"{side['name']} has a geometry of its own: halves of its observations agree "
                f"(correlation {r})",
                f"Halves of the observations of {side['name']} do not agree (correlation {r}): "
                "whatever it is compared with, little can be found",
                test,
                record["settings"]["alpha"],
            )
        )
    return statements


def _facts(record: dict[str, Any], is_found: bool) -> list[str]:
    facts = []
    if record["a"]["checksum"] == record["b"]["checksum"]:
        facts.append("Both sources hold the same values.")
    row = next(row for row in record["measures"] if row["name"] == "spearman")
    if row["ceiling"] is not None:
        low, high = row["ceiling"]
        text = (
            f"Two noise-free copies of one geometry, measured as these were, would reach "
            f"{_value(low)} to {_value(high)} (spearman)."
        )
        if is_found and row["value"] is not None and row["value"] > high:
            text += " These are above it: they share noise, as two analyses of the same trials do."
        facts.append(text)
    else:
        facts.append(
            "There is no noise ceiling: it needs repeats of each condition, as many of each or "
            "four at least, and resamples."
        )
    facts += _left_out(record)
    return facts


def _left_out(record: dict[str, Any]) -> list[str]:
    reasons = {
        "only_a": f"{record['a']['name']} alone holds them",
        "only_b": f"{record['b']['name']} alone holds them",
        "single": "they were seen once, the others more often",
        "not_drawn": f"more than {record['settings']['max_conditions']} are shared",
    }
    return [
        f"{plural(len(names), 'condition')} left out: {reasons[key]} (such as "
        f"{', '.join(names[:3])})."
        for key, names in record["left_out"].items()
        if names
    ]


def _value(value: float) -> str:
    return number(value, 2) if abs(value) < 0.995 else f"{value:.3f}"


def _interval(row: dict[str, Any], level: float) -> str:
    if row["interval"] is None:
        return ""
    low, high = row["interval"]
    return f", {100 * level:g} % interval {_value(low)} to {_value(high)}"
