"""Section geometry: how far apart conditions are held, and whether that is reliable."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome.activity.schema import Activity
from activome.errors import ActivityError
from activome.geometry.rdm import rdm
from activome.geometry.rdm_forms import to_square
from activome.geometry.reliability import RdmReliability, rdm_reliability
from activome.geometry.topology import GeoTopological
from activome.report import figures as draw
from activome.report._code import three_lines
from activome.report.conditions import condition_patterns
from activome.report.recording import Recording
from activome.report.section import Figure, Section, Statement, Test, Verdict, holm
from activome.report.sections._shared import not_applicable, number, p_text
from activome.report.settings import ReportSettings

__all__ = ["analyse"]

Array = np.ndarray[Any, Any]
_METRIC = "euclidean"
_CUTS = (0.2, 0.8)
_FEWEST_CONDITIONS = 3
_NULL = "conditions permuted over the observations"


def analyse(recording: Recording, settings: ReportSettings) -> Section:
    """Compare the conditions of each categorical label.

    Parameters
    ----------
    recording : Recording
        The data.
    settings : ReportSettings
        Level, permutations, seed.

    Returns
    -------
    Section
        RDM, reliability, layout in the plane and neighbours, per label.
    """
    labels = [label.name for label in recording.labels if label.kind == "categorical"]
    labels = labels[: settings.max_labels]
    if not labels:
        code = three_lines(recording, settings, "print(list(grid.coords))")
        return not_applicable("there is no categorical label", code)
    n = settings.surrogates_for(len(labels))
    code = three_lines(
        recording,
        settings,
        f"print(activome.geometry.rdm_reliability(activome.report.condition_patterns(grid, "
        f"{labels[0]!r}), {labels[0]!r}, metric={_METRIC!r}, n_permutations={n}, "
        f"random_state={settings.random_state}).reliability)",
    )
    found: list[tuple[str, Activity, RdmReliability]] = []
    refused: list[tuple[str, str]] = []
    for name in labels:
        try:
            patterns = condition_patterns(recording.core, name)
            n_classes = np.unique(patterns[name].values.astype(str)).size
            if n_classes < _FEWEST_CONDITIONS:
                refused.append((name, f"{name} has {n_classes} conditions; a geometry needs 3"))
                continue
            result = rdm_reliability(
                patterns,
                name,
                metric=_METRIC,
                n_permutations=n,
                random_state=settings.random_state,
            )
        except ActivityError as error:
            refused.append((name, str(error)))
        else:
            found.append((name, patterns, result))
    if not found:
        return not_applicable("; ".join(why for _, why in refused), code)
    return _section(found, refused, code, settings)


def _section(
    found: list[tuple[str, Activity, RdmReliability]],
    refused: list[tuple[str, str]],
    code: str,
    settings: ReportSettings,
) -> Section:
    corrected = holm([result.p_value for _, _, result in found])
    statements: list[Statement] = []
    figures: list[Figure] = []
    arrays: dict[str, Array] = {}
    numbers: dict[str, Any] = {}
    for (name, patterns, result), p in zip(found, corrected, strict=True):
        test = Test(_NULL, len(result.null), p, result.p_value)
        n_conditions = len(result.conditions)
        reliability = number(result.reliability, 2)
        statements.append(
            Statement.judged(
                f"There is a geometry of {name}: the distances between its {n_conditions} "
                f"conditions agree between halves of the {patterns.sizes['trial']} observations "
                f"(correlation {reliability})",
                f"The distances between the {n_conditions} conditions of {name} do not agree "
                f"between halves of the observations (correlation {reliability})",
                test,
                settings.alpha,
            )
        )
        distances = np.asarray(rdm(patterns, _METRIC, conditions=name))
        square = np.asarray(to_square(distances))
        place = _classical_scaling(square)
        numbers[name] = {
            "reliability": result.reliability,
            "p_value": p,
            "n_observations": patterns.sizes["trial"],
            "conditions": [str(c) for c in result.conditions],
        }
        arrays |= {f"{name}-rdm": distances, f"{name}-place": place}
        topology = _topology(distances)
        if topology is not None:
            arrays[f"{name}-topology"] = topology
        names = [draw.short(c, 14) for c in np.unique(patterns[name].values)]
        figures.append(_figure(name, names, square, place, topology, len(figures)))
    statements += [Statement(f"{name}: not compared. {why}") for name, why in refused]
    best = min(corrected)
    is_found = best <= settings.alpha
    n_found = sum(p <= settings.alpha for p in corrected)
    chip = "reliable geometry" if is_found else "nothing above chance"
    return Section(
        verdict=Verdict("found" if is_found else "nothing", f"{chip}, {p_text(best)}"),
        headline=(f"{n_found} of {len(found)}", "labels with a geometry"),
        statements=statements,
        code=code,
        figures=figures,
        numbers=numbers,
        arrays=arrays,
    )


def _classical_scaling(square: Array) -> Array:
    """Lay conditions out in the plane: the two largest axes of the doubly centred squares."""
    n = len(square)
    centring = np.eye(n) - 1.0 / n
    values, vectors = np.linalg.eigh(-0.5 * centring @ square**2 @ centring)
    place = vectors[:, ::-1][:, :2] * np.sqrt(np.maximum(values[::-1][:2], 0.0))
    # The sign of an axis is free: the entry that is farthest out is positive.
    farthest = np.abs(place).argmax(axis=0)
    signs = np.sign(place[farthest, np.arange(place.shape[1])])
    scaled: Array = place * np.where(signs == 0, 1.0, signs)
    return scaled


def _topology(distances: Array) -> Array | None:
    if distances.size < 3 or distances.min() == distances.max():
        return None
    mapped = GeoTopological(*_CUTS).fit_transform(distances[np.newaxis])
    return np.asarray(to_square(np.asarray(mapped)[0]))


def _figure(
    name: str, names: list[str], square: Array, place: Array, topology: Array | None, rank: int
) -> Figure:
    n = len(names)
    with draw.style():
        figure = draw.canvas(3.1)
        axes = figure.subplots(1, 3)
        panels = [(square, "Dissimilarity"), (topology, "Topology (ranks between two cuts)")]
        for axis, (values, title) in zip(axes[:2], panels, strict=True):
            axis.set_title(title)
            if values is None:
                axis.set_axis_off()
                continue
            image = axis.imshow(values, cmap=draw.RASTER, vmin=0)
            if n <= 24:
                axis.set_xticks(range(n), names, rotation=60, ha="right", size=6.5)
                axis.set_yticks(range(n), names, size=6.5)
            else:
                axis.set(xticks=[], yticks=[])
            bar = figure.colorbar(image, ax=axis, shrink=0.6, pad=0.03)
            bar.outline.set_visible(False)
        plane = axes[2]
        span = max(float(np.ptp(place)), 1e-9)
        if topology is not None and n <= 60:
            for i, j in zip(*np.nonzero(np.triu(topology == 0, 1)), strict=True):
                plane.plot(*place[[i, j]].T, color=draw.NULL, lw=1.0, zorder=1)
        plane.scatter(*place.T, s=28, color=draw.ACCENT, zorder=2, edgecolors="white", lw=0.5)
        for (x, y), text in zip(place, names if n <= 40 else [""] * n, strict=True):
            plane.annotate(
                text, (x, y), size=6.5, xytext=(4, 3), textcoords="offset points", color=draw.INK
            )
        plane.set(title="In the plane", xticks=[], yticks=[])
        plane.set_aspect("equal", adjustable="datalim")
        plane.margins(0.18)
        plane.set_xlabel(f"classical scaling, span {number(span, 2)}")
        return draw.finish(
            figure,
            f"geometry-{rank + 1}",
            alt=f"Dissimilarities, topology and planar layout of the {n} conditions of {name}.",
            caption=(
                f"Label {name}. Left: distances between mean patterns of standardised units. "
                f"Middle: the same, ranked, 0 below the {_CUTS[0]:.0%} and 1 above the "
                f"{_CUTS[1]:.0%} quantile. Right: classical scaling; lines join the nearest pairs."
            ),
        )
