"""Section functional graph: edges and communities against units that do not know of each other."""

from __future__ import annotations

from typing import Any

import igraph
import numpy as np

from activome.graphs.functional import functional_network
from activome.report import figures as draw
from activome.report._code import three_lines
from activome.report.recording import Recording
from activome.report.section import Figure, Section, Statement, Table, Test, Verdict, holm
from activome.report.sections._shared import (
    count_groups,
    found_communities,
    not_applicable,
    number,
    p_text,
    plural,
    shift_null,
    unit_order,
)  # fmt: skip
from activome.report.settings import ReportSettings

__all__ = ["analyse"]

Array = np.ndarray[Any, Any]
_MOST_EDGES = 1500
_NAMED = 12


def analyse(recording: Recording, settings: ReportSettings) -> Section:
    """Find which units go together.

    Parameters
    ----------
    recording : Recording
        The data.
    settings : ReportSettings
        Level, surrogates, seed.

    Returns
    -------
    Section
        Edges and communities.
    """
    code = three_lines(
        recording,
        settings,
        f"print(activome.graphs.communities(grid, alpha={settings.alpha / 2}, "
        f"n_surrogates={settings.surrogates_for(2)}, "
        f"random_state={settings.random_state}).n_communities)",
    )
    if recording.core_units.size < 3:
        return not_applicable(
            f"a graph needs at least 3 units that vary; there are {recording.core_units.size}", code
        )
    network = functional_network(recording.core, alpha=settings.alpha / 2)
    groups = found_communities(recording, settings)
    raw = [float(network.attrs["p_value"]), groups.p_value]
    corrected = holm(raw)
    if corrected[0] <= settings.alpha < 2 * raw[0]:
        # The communities stood at half the level: by Holm's steps the whole is left for edges.
        network = functional_network(recording.core, alpha=settings.alpha)
    null = shift_null(recording)
    edge_test = Test(null + ", variance in closed form", 0, corrected[0], raw[0])
    group_test = Test(null, len(groups.null), corrected[1], raw[1])
    labels = np.asarray(groups.labels.values)
    if corrected[1] > settings.alpha:
        labels = np.zeros_like(labels)
    edge = np.asarray(network["edge"].values)
    if corrected[0] > settings.alpha:
        edge = np.zeros_like(edge)
    n_edges, (n_groups, members) = int(edge.sum()) // 2, count_groups(labels)
    density = n_edges / (labels.size * (labels.size - 1) / 2)
    statements = [
        Statement.judged(
            f"There are edges: {n_edges:,} pairs of units ({100 * density:.1f} %) go together more "
            "than independent units of the same autocorrelation",
            "No pair of units goes together more than independent units of the same "
            "autocorrelation",
            edge_test,
            settings.alpha,
        ),
        Statement.judged(
            f"There are communities: {n_groups} of them, of {members} (modularity "
            f"{number(groups.modularity)}, agreement between runs {number(groups.stability)})",
            "The partition into communities is not better than that of independent units",
            group_test,
            settings.alpha,
        ),
    ]
    is_found = min(corrected) <= settings.alpha
    if corrected[1] <= settings.alpha:
        chip = plural(n_groups, "communit").replace("communits", "communities")
        headline = (str(n_groups), "communities")
    elif is_found:
        chip, headline = f"{n_edges:,} edges, no communities", (f"{n_edges:,}", "edges")
    else:
        chip, headline = "nothing above chance", ("0", "edges above chance")
    order = unit_order(recording, labels)
    return Section(
        verdict=Verdict("found" if is_found else "nothing", f"{chip}, {p_text(min(corrected))}"),
        headline=headline,
        statements=statements,
        code=code,
        figures=[_figure(recording, network["weight"].values, edge, labels, order)],
        tables=[_members(recording, labels)] if n_groups > 1 else [],
        numbers={
            "n_edges": n_edges,
            "density": density,
            "p_edges": corrected[0],
            "p_communities": corrected[1],
            "n_communities": n_groups,
            "modularity": groups.modularity,
            "stability": groups.stability,
        },
        arrays={
            "weight": np.asarray(network["weight"].values, np.float32),
            "p_value": np.asarray(network["p_value"].values),
            "edge": edge,
            "community": labels,
            "order": order,
            "quality_null": groups.null,
            "unit": recording.core_units,
        },
    )


def _members(recording: Recording, labels: Array) -> Table:
    names = recording.unit_names[recording.core_units]
    rows = []
    for k in range(int(labels.max()) + 1):
        members = [draw.short(name, 24) for name in names[labels == k]]
        shown = ", ".join(members[:40]) + (" ..." if len(members) > 40 else "")
        rows.append((f"E{k + 1}", str(len(members)), shown))
    return Table("Members of the communities", ("community", "units", "names"), rows)


def _figure(
    recording: Recording, weight: Array, edge: Array, labels: Array, order: Array
) -> Figure:
    n = labels.size
    sizes = np.bincount(labels)
    off = weight[~np.eye(n, dtype=bool)]
    limit = float(np.clip(np.quantile(np.abs(off), 0.995), 1e-3, 1.0))
    shown = weight[np.ix_(order, order)].astype(np.float64)
    np.fill_diagonal(shown, np.nan)
    with draw.style():
        figure = draw.canvas(4.0)
        matrix, net = figure.subplots(1, 2, width_ratios=[1.12, 1])
        cells = shown if n <= 600 else draw.shrink(np.nan_to_num(shown), 600, 600)
        image = matrix.imshow(
            cells, cmap=draw.SIGNED, vmin=-limit, vmax=limit, extent=(0, n, n, 0), aspect="equal"
        )
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        for k in range(sizes.size if sizes.size > 1 else 0):
            colour = draw.ENSEMBLE_COLOURS[k % len(draw.ENSEMBLE_COLOURS)]
            low, high = bounds[k], bounds[k + 1]
            box = [[low, high, high, low, low], [low, low, high, high, low]]
            matrix.plot(*box, color=colour, lw=1.4)
            if high - low > n / 40 and high - low > 2:
                matrix.text(
                    -0.012 * n, (low + high) / 2, f"E{k + 1}", ha="right", va="center", size=6.5
                )
        matrix.set(title="Correlation, by community", xticks=[], yticks=[])
        bar = figure.colorbar(image, ax=matrix, shrink=0.55, pad=0.02)
        bar.set_label("correlation")
        bar.outline.set_visible(False)
        _draw_network(net, recording, weight, edge, labels)
        return draw.finish(
            figure,
            "graph",
            alt=(
                f"Correlation matrix of {n} units sorted by {sizes.size} communities, and the "
                "graph of their significant edges."
            ),
            caption=(
                "Left: correlations, units sorted by community (boxes; dark is positive, warm "
                f"negative). Right: up to {_MOST_EDGES:,} of the strongest significant edges; "
                "colour and label give the community."
            ),
        )


def _draw_network(
    axis: Any, recording: Recording, weight: Array, edge: Array, labels: Array
) -> None:
    n = labels.size
    first, second = np.nonzero(np.triu(edge, 1))
    strength = weight[first, second]
    keep = np.argsort(-np.abs(strength))[:_MOST_EDGES]
    first, second, strength = first[keep], second[keep], strength[keep]
    place, in_space = _layout(recording, n, first, second, strength)
    scale = np.abs(strength).max(initial=1e-9)
    for i, j, value in zip(first, second, strength, strict=True):
        axis.plot(
            place[[i, j], 0], place[[i, j], 1], color=draw.MUTED, zorder=1,
            alpha=0.06 + 0.5 * abs(value) / scale, lw=0.3 + 1.0 * abs(value) / scale,
            ls="-" if value > 0 else ":",
        )  # fmt: skip
    colours = [draw.ENSEMBLE_COLOURS[k % len(draw.ENSEMBLE_COLOURS)] for k in labels]
    if labels.max() == 0:
        colours = [draw.ACCENT] * n
    size = float(np.clip(1500 / n, 6, 70))
    axis.scatter(*place.T, s=size, c=colours, edgecolors="white", linewidths=0.4, zorder=2)
    if n <= _NAMED:
        names = recording.unit_names[recording.core_units]
        for (x, y), name in zip(place, names, strict=True):
            axis.annotate(
                draw.short(name, 10), (x, y), size=6, xytext=(4, 4), textcoords="offset points"
            )
    elif labels.max() > 0:
        for k in np.flatnonzero(np.bincount(labels) > 2)[: len(draw.ENSEMBLE_COLOURS)]:
            x, y = np.median(place[labels == k], axis=0)
            axis.text(
                x, y, f"E{k + 1}", size=8, weight="bold", ha="center", va="center",
                bbox={"fc": "white", "ec": "none", "alpha": 0.75, "pad": 0.8},
            )  # fmt: skip
    axis.set_aspect("equal", adjustable="datalim")
    axis.set_axis_off()
    where = "at the positions of the units" if in_space else "by their edges"
    axis.set_title(f"Edges, units laid out {where}")


def _layout(
    recording: Recording, n: int, first: Array, second: Array, strength: Array
) -> tuple[Array, bool]:
    coords = recording.core.coords
    if {"x", "y"} <= {str(key) for key in coords} and coords["x"].dims == ("unit",):
        place = np.stack([coords["x"].values, coords["y"].values], axis=1).astype(np.float64)
        if np.isfinite(place).all() and (np.ptp(place, axis=0) > 0).all():
            return place, True
    graph = igraph.Graph(n=n, edges=np.stack([first, second], axis=1).tolist())
    circle = np.stack([np.cos(t := np.arange(n) * 2.399963), np.sin(t)], axis=1)
    seed = (circle * np.sqrt(np.arange(1, n + 1) / n)[:, np.newaxis]).tolist()
    positive = np.maximum(strength, 1e-3).tolist()
    # A given start and no cooling noise: the same picture for the same graph.
    layout = (
        graph.layout_kamada_kawai(seed=seed, maxiter=20 * n)
        if n <= 60
        else (graph.layout_fruchterman_reingold(seed=seed, niter=150, weights=positive, grid=False))
    )
    return np.array(layout.coords), False
