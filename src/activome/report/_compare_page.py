"""The page of a comparison: both RDMs, the measures, the verdict with its nulls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from activome.geometry.rdm_forms import to_square
from activome.report import figures as draw
from activome.report.page import embed_picture, page_environment
from activome.report.section import Figure

if TYPE_CHECKING:
    from activome.report.comparison import Comparison

__all__ = ["render_comparison"]

Array = np.ndarray[Any, Any]
_MOST_NAMES = 24
_MOST_POINTS = 4000
_LABELS = {
    "pearson": "Pearson", "spearman": "Spearman", "rho-a": "rho-a", "kendall-a": "Kendall tau-a",
    "cosine": "cosine",
}  # fmt: skip


def render_comparison(comparison: Comparison) -> str:
    """Return the page, with its style and pictures inside."""
    record = comparison.record
    pictures = [_matrices(comparison), _measures(record)]
    return page_environment().get_template("compare.html").render(
        record=record,
        columns=("measure", "value", "interval", "noise ceiling", "p", "p (order)", "p corrected"),
        rows=[_cells(row) for row in record["measures"]],
        figures=[(figure, embed_picture(figure.png)) for figure in pictures],
        mark={"found": "●", "nothing": "○"}[record["verdict"]["kind"]],
        code=_code(record),
    )  # fmt: skip


def measure_name(row: dict[str, Any]) -> str:
    """Return what a measure is called on a page."""
    if row["of"] == "rdm":
        return f"{_LABELS[row['method']]} of the RDMs"
    return f"{row['name']} (Pearson after the map)"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    name = measure_name(row)
    if row["not_applicable"]:
        return (name, "–", "–", "–", "–", "–", row["not_applicable"])
    numbers = (f"{row[key]:.3g}" for key in ("p_value", "p_order", "p_corrected"))
    return (name, f"{row['value']:.3f}", _range(row["interval"]), _range(row["ceiling"]), *numbers)


def _range(ends: list[float] | None) -> str:
    return "–" if ends is None else f"{ends[0]:.2f} to {ends[1]:.2f}"


def _code(record: dict[str, Any]) -> str:
    first, second = record["a"]["label"], record["b"]["label"]
    by = first if first == second else f"{first}={second}"
    settings = record["settings"]
    sources = [key if record[key]["code"] == "recording" else record[key]["code"] for key in "ab"]
    call = (
        f"found = activome.report.compare_recordings({', '.join(sources)}, by={by!r}, "
        f"metric={settings['metric']!r}, random_state={settings['random_state']})"
    )
    last = "print(found.measure('spearman'), found.is_alike)"
    return "\n".join(("import activome", call, last))


def _matrices(comparison: Comparison) -> Figure:
    record, names = comparison.record, comparison.conditions
    rdms = (comparison.rdm_a, comparison.rdm_b)
    with draw.style():
        figure = draw.canvas(3.3)
        axes = figure.subplots(1, 3)
        for axis, rdm, key in zip(axes, rdms, "ab", strict=False):
            _draw_matrix(figure, axis, rdm, names)
            axis.set_title(draw.short(record[key]["name"], 34))
        shares = [_shares(rdm) for rdm in rdms]
        keep = np.linspace(0, rdms[0].size - 1, min(rdms[0].size, _MOST_POINTS)).astype(int)
        plane = axes[2]
        plane.scatter(shares[0][keep], shares[1][keep], s=9, color=draw.ACCENT, alpha=0.5, lw=0)
        plane.plot([0, 100], [0, 100], color=draw.NULL, lw=1.0, zorder=0)
        plane.set(title="Pair by pair", xlim=(-2, 102), ylim=(-2, 102))
        plane.set_xlabel(f"{draw.short(record['a']['name'], 22)} (percentile)")
        plane.set_ylabel(f"{draw.short(record['b']['name'], 22)} (percentile)")
        plane.set_aspect("equal")
        return draw.finish(
            figure,
            "rdms",
            alt=f"Two RDMs of {len(names)} conditions, and their dissimilarities pair by pair.",
            caption=(
                "Dissimilarities of all pairs of conditions, as percentiles within each recording. "
                "Right: a point per pair; on the line both recordings rank it alike."
            ),
        )


def _draw_matrix(figure: Any, axis: Any, rdm: Array, names: list[str]) -> None:
    square = np.asarray(to_square(_shares(rdm)))
    image = axis.imshow(square, cmap=draw.RASTER, vmin=0, vmax=100)
    if len(names) <= _MOST_NAMES:
        shown = [draw.short(name, 12) for name in names]
        axis.set_xticks(range(len(names)), shown, rotation=60, ha="right", size=6.0)
        axis.set_yticks(range(len(names)), shown, size=6.0)
    else:
        axis.set(xticks=[], yticks=[], xlabel=f"{len(names)} conditions")
    bar = figure.colorbar(image, ax=axis, shrink=0.6, pad=0.03, label="percentile")
    bar.outline.set_visible(False)


def _shares(rdm: Array) -> Array:
    shares: Array = 100.0 * (rankdata(rdm) - 1.0) / (rdm.size - 1.0)
    return shares


def _measures(record: dict[str, Any]) -> Figure:
    rows = [row for row in record["measures"] if not row["not_applicable"]][::-1]
    with draw.style():
        figure = draw.canvas(0.8 + 0.27 * len(rows))
        axis = figure.subplots()
        for place, row in enumerate(rows):
            if row["ceiling"] is not None:
                low, high = row["ceiling"]
                axis.barh(place, high - low, 0.74, low, color="#e6e0cf", zorder=1)
            if row["null_interval"] is not None:
                low, high = row["null_interval"]
                axis.barh(place, high - low, 0.3, low, color=draw.NULL, zorder=2)
            if row["interval"] is not None:
                axis.plot(row["interval"], [place, place], color=draw.INK, lw=1.4, zorder=3)
            passed = row["p_corrected"] <= record["settings"]["alpha"]
            face = draw.ACCENT if passed else "white"
            axis.scatter(row["value"], place, s=34, color=face, edgecolors=draw.INK, zorder=4)
        axis.axvline(0, color=draw.MUTED, lw=0.6, zorder=0)
        axis.set_yticks(range(len(rows)), [measure_name(row) for row in rows])
        axis.set_xlabel("similarity")
        axis.margins(x=0.03)
        axis.set_ylim(-0.7, len(rows) - 0.3)
        level = 100 * record["settings"]["level"]
        return draw.finish(
            figure,
            "measures",
            alt="The value of each measure with its interval, its null and its noise ceiling.",
            caption=(
                f"Points: filled where the measure passes both nulls after correction. Lines: "
                f"{level:g} % intervals over conditions. Grey: 95 % of values with permuted "
                "conditions. Wide light bars: what two noise-free copies would reach."
            ),
        )
