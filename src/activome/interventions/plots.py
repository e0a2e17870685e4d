"""Pictures of effects: layer by position, head by head, and estimate against truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from activome.errors import ParameterError

__all__ = ["plot_effects", "plot_heads", "plot_scatter"]

_COLOURS = ("#1b6ca8", "#c8553d", "#7a8b3c", "#6a4c93")
_MARKERS = ("o", "^", "s", "D")
# Of the largest effect: from where on a cell that works against the behaviour is marked.
_MARKED = 0.2


def plot_effects(
    effects: xr.DataArray,
    *,
    site: str | None = None,
    tokens: Sequence[str] | None = None,
    limit: float | None = None,
    title: str | None = None,
    ax: Any = None,
) -> Any:
    """Draw the effects of one site as a heat map of layers and positions.

    Parameters
    ----------
    effects : xarray.DataArray
        As the methods of this room return it, with dims layer and position; heads and units are
        summed.
    site : str, optional
        Which site; needed where there are several.
    tokens : sequence of str, optional
        Labels of the positions; by default the tokens that the effects carry, both of them where
        the inputs differ.
    limit : float, optional
        Effect at the ends of the colours, by default the largest; the same for panels to compare.
    title : str, optional
        By default the site.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Cells below a fifth of the limit on the negative side carry a minus sign, so that the sign
        is there without colours.

    Raises
    ------
    ParameterError
        If the effects do not have the dims, the site is not one of theirs, or the labels do not
        fit.
    """
    cells = _one_site(effects, site, ("layer", "position"))
    labels = _token_labels(effects) if tokens is None else [str(token) for token in tokens]
    if len(labels) != cells.sizes["position"]:
        raise ParameterError(
            f"plot_effects: tokens must have one label per position; got {len(labels)} for "
            f"{cells.sizes['position']}."
        )
    ax = _grid(cells, ax, limit, title or str(cells["site"].values))
    ax.set_xticks(range(len(labels)), labels, rotation=60, ha="right", rotation_mode="anchor")
    ax.set_xlabel("")
    return ax


def plot_heads(
    effects: xr.DataArray,
    *,
    site: str | None = None,
    limit: float | None = None,
    title: str | None = None,
    ax: Any = None,
) -> Any:
    """Draw the effects of heads as a grid of layers and heads.

    Parameters
    ----------
    effects : xarray.DataArray
        With dims layer and head; positions and units are summed.
    site, limit, title, ax
        As in ``plot_effects``.

    Returns
    -------
    matplotlib.axes.Axes
        With minus signs as in ``plot_effects``.

    Raises
    ------
    ParameterError
        If the effects do not have the dims, or the site is not one of theirs.
    """
    cells = _one_site(effects, site, ("layer", "head"))
    return _grid(cells, ax, limit, title or str(cells["site"].values))


def plot_scatter(
    exact: xr.DataArray,
    estimates: Mapping[str, xr.DataArray] | xr.DataArray,
    *,
    title: str | None = None,
    ax: Any = None,
) -> Any:
    """Draw estimates against measured effects, with their correlation.

    Parameters
    ----------
    exact : xarray.DataArray
        Measured effects.
    estimates : xarray.DataArray or mapping of str to xarray.DataArray
        Estimates of the same nodes, by the name in the legend.
    title : str, optional
        Title.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Each estimate has a marker of its own; the line is where estimates are right.

    Raises
    ------
    ParameterError
        If an estimate is not of the same nodes.
    """
    named = {"estimate": estimates} if isinstance(estimates, xr.DataArray) else dict(estimates)
    for name, estimate in named.items():
        if estimate.dims != exact.dims or estimate.shape != exact.shape:
            raise ParameterError(
                f"plot_scatter: estimates must be of the nodes that were measured; {name} has "
                f"{dict(estimate.sizes)} and the measured effects {dict(exact.sizes)}."
            )
    ax = _axes(ax)
    truth = exact.values.ravel()
    for i, (name, estimate) in enumerate(named.items()):
        values = estimate.values.ravel()
        keep = np.isfinite(truth) & np.isfinite(values)
        is_flat = np.ptp(truth[keep]) == 0 or np.ptp(values[keep]) == 0 if keep.any() else True
        text = "" if is_flat else f"  r = {np.corrcoef(truth[keep], values[keep])[0, 1]:.2f}"
        ax.scatter(
            truth[keep],
            values[keep],
            s=14,
            marker=_MARKERS[i % len(_MARKERS)],
            facecolors="none",
            edgecolors=_COLOURS[i % len(_COLOURS)],
            linewidths=0.8,
            label=name + text,
        )
    low, high = float(np.nanmin(truth)), float(np.nanmax(truth))
    ax.plot([low, high], [low, high], color="0.4", lw=1, ls=":")
    ax.set(xlabel="measured effect", ylabel="estimate", title=title or "")
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    return ax


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(layout="constrained")[1]


def _one_site(effects: xr.DataArray, site: str | None, dims: tuple[str, str]) -> xr.DataArray:
    names = effects["site"].values.tolist() if "site" in effects.dims else []
    owner = "plot_heads" if "head" in dims else "plot_effects"
    if not {"site", *dims} <= set(effects.dims):
        raise ParameterError(
            f"{owner}: effects must have dims site, {' and '.join(dims)}; got {effects.dims}."
        )
    if (site is None and len(names) > 1) or (site is not None and site not in names):
        raise ParameterError(f"{owner}: site must be one of {names}; got {site!r}.")
    cells = effects.sel(site=names[0] if site is None else site)
    rest = [dim for dim in cells.dims if dim not in dims]
    return cells.sum(rest, skipna=False).transpose(*dims).dropna("layer", how="all")


def _token_labels(effects: xr.DataArray) -> list[str]:
    if "clean_token" not in effects.coords:
        return [str(place) for place in effects["position"].values]
    clean, corrupted = (
        [_readable(token) for token in effects[name].values]
        for name in ("clean_token", "corrupted_token")
    )
    return [a if a == b else f"{a} | {b}" for a, b in zip(clean, corrupted, strict=True)]


def _readable(token: Any) -> str:
    # Byte-level vocabularies write the space before a word as Ġ, a line feed as Ċ; others as ▁.
    return str(token).replace("Ġ", " ").replace("▁", " ").replace("Ċ", "\\n").strip() or "␣"


def _grid(cells: xr.DataArray, ax: Any, limit: float | None, title: str) -> Any:
    ax = _axes(ax)
    values = cells.values
    top = float(np.nanmax(np.abs(values))) if limit is None else float(limit)
    top = top or 1.0
    image = ax.imshow(
        values, aspect="auto", origin="lower", cmap="RdBu_r", vmin=-top, vmax=top,
        interpolation="nearest",
    )  # fmt: skip
    for row, column in np.argwhere(values < -_MARKED * top):
        shade = "white" if values[row, column] < -0.6 * top else "0.2"
        ax.text(column, row, "\N{MINUS SIGN}", ha="center", va="center", fontsize=7, color=shade)
    layers = cells["layer"].values
    step = max(1, len(layers) // 10)
    ax.set_yticks(range(0, len(layers), step), [str(n) for n in layers[::step]])
    ax.set(ylabel="layer", xlabel=cells.dims[1], title=title)
    ax.figure.colorbar(image, ax=ax, label="effect", fraction=0.05, pad=0.02)
    return ax
