"""Nodes: the cells that are patched one by one, their masks, and effects as labelled arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr

from activome.errors import ParameterError
from activome.interventions.sites import Site

__all__ = ["Nodes"]

_NO_LAYER = -1


@dataclass
class Nodes:
    """A grid of nodes over sites, layers and the split axes.

    ``labels`` holds the coordinate of each split axis, ``places`` the axis of each in a view, and
    ``shapes`` the shape of the view of each site.
    """

    owner: str
    sites: list[Site]
    shapes: dict[str, tuple[int, ...]]
    places: dict[str, dict[str, int]]
    labels: dict[str, np.ndarray[Any, Any]]
    chosen: np.ndarray[Any, Any] | None

    @classmethod
    def of(
        cls,
        owner: str,
        sites: Sequence[Site],
        shapes: dict[str, tuple[int, ...]],
        by: Sequence[str],
        positions: Any,
    ) -> Nodes:
        """Lay out the grid; sites of one grid must have the same axes."""
        places: dict[str, dict[str, int]] = {}
        labels: dict[str, np.ndarray[Any, Any]] = {}
        chosen = None
        for number, site in enumerate(sites):
            shape = shapes[site.label]
            axes = site.axes(len(shape))
            split = [axis for axis in ("position", "head", "unit") if axis in by and axis in axes]
            places[site.label] = {axis: axes.index(axis) for axis in split}
            sizes = {axis: shape[axes.index(axis)] for axis in split}
            mine: dict[str, np.ndarray[Any, Any]] = {
                str(axis): np.arange(size) for axis, size in sizes.items()
            }
            if "position" in axes:
                chosen = _columns(positions, shape[axes.index("position")], owner)
                if "position" in mine:
                    mine["position"] = chosen
            if number and {a: len(v) for a, v in mine.items()} != {
                a: len(v) for a, v in labels.items()
            }:
                texts = [
                    f"{which.label} has {_counts(found)}"
                    for which, found in ((sites[0], labels), (site, mine))
                ]
                raise ParameterError(
                    f"{owner}: sites of one result must have the same axes; {' and '.join(texts)}. "
                    "Call it once for each, or name the axes they share in by."
                )
            labels = mine if not number else labels
        return cls(owner, list(sites), shapes, places, labels, chosen)

    @property
    def n_cells(self) -> int:
        """Number of nodes of one site."""
        return int(np.prod([len(found) for found in self.labels.values()], dtype=int))

    def positions_of_cells(self) -> np.ndarray[Any, Any] | None:
        """Return the position of each node, in ascending order; None where they have none."""
        if next(iter(self.labels), None) != "position":
            return None
        return np.repeat(self.labels["position"], self.n_cells // len(self.labels["position"]))

    def masks(self, site: Site, cells: Sequence[int]) -> Any:
        """Return where some nodes of a site are: (n_cells, 1, ...) with the axes of its view."""
        grids = np.zeros((len(cells), self.n_cells), dtype=bool)
        grids[np.arange(len(cells)), np.asarray(cells)] = True
        return self.grid_masks(site, grids)

    def _in_positions(self, site: Site) -> Any:
        """Return where the chosen positions are, with the axes of the view and one before."""
        shape = self.shapes[site.label]
        axes = site.axes(len(shape))
        sizes = [1] * len(shape)
        if "position" not in axes or self.chosen is None:
            return torch.ones((1, *sizes), dtype=torch.bool)
        place = axes.index("position")
        sizes[place] = shape[place]
        some = torch.zeros(shape[place], dtype=torch.bool)
        some[torch.as_tensor(self.chosen)] = True
        return some.reshape(1, *sizes)

    def grid_masks(self, site: Site, grids: np.ndarray[Any, Any]) -> Any:
        """Return (n_groups, 1, ...) of which nodes are meant, from (n_groups, n_cells)."""
        shape = self.shapes[site.label]
        sizes = [1] * len(shape)
        for place in self.places[site.label].values():
            sizes[place] = shape[place]
        axes = list(self.labels)
        grid = torch.as_tensor(grids).reshape(len(grids), *(len(self.labels[a]) for a in axes))
        # The split axes in the order in which the view has them.
        places = [self.places[site.label][axis] for axis in axes]
        if "position" in axes:
            place = 1 + axes.index("position")
            wide = [*grid.shape]
            wide[place] = shape[self.places[site.label]["position"]]
            whole = torch.zeros(wide, dtype=torch.bool)
            grid = whole.index_copy_(place, torch.as_tensor(self.labels["position"]), grid)
        grid = grid.permute(0, *(int(i) + 1 for i in np.argsort(places)))
        return grid.reshape(len(grids), *sizes) & self._in_positions(site)

    def reduce(self, site: Site, products: Any) -> np.ndarray[Any, Any]:
        """Sum a tensor of the shape of a view over all but the split axes; one number per node."""
        axes = site.axes(products.ndim)
        if "position" in axes and self.chosen is not None:
            place = axes.index("position")
            products = products.index_select(
                place, torch.as_tensor(self.chosen, device=products.device)
            )
        keep = [self.places[site.label][axis] for axis in self.labels]
        rest = [place for place in range(products.ndim) if place not in keep]
        summed = products.sum(rest) if rest else products
        order = np.argsort(np.argsort(keep))
        return np.asarray(summed.permute(order.tolist()).cpu().numpy())

    def array(self, effects: dict[str, Any], dtype: Any) -> xr.DataArray:
        """Return (site, layer, ...) of effects by the label of their site; NaN where none is."""
        names = list(dict.fromkeys(site.name for site in self.sites))
        numbers = [_NO_LAYER if site.layer is None else site.layer for site in self.sites]
        layers = sorted(set(numbers))
        sizes = tuple(map(len, self.labels.values()))
        values = np.full((len(names), len(layers), *sizes), np.nan, dtype=dtype)
        for site, number in zip(self.sites, numbers, strict=True):
            cell = np.asarray(effects[site.label], dtype=dtype).reshape(sizes)
            values[names.index(site.name), layers.index(number)] = cell
        coords = {"site": names, "layer": layers, **self.labels}
        result = xr.DataArray(values, dims=("site", "layer", *self.labels), coords=coords)
        if layers == [_NO_LAYER]:
            return result.isel(layer=0, drop=True)
        return result


def _counts(labels: dict[str, np.ndarray[Any, Any]]) -> str:
    return ", ".join(f"{len(found)} {axis}s" for axis, found in labels.items()) or "none"


def _columns(positions: Any, n_positions: int, owner: str) -> np.ndarray[Any, Any]:
    if isinstance(positions, str):
        if positions != "all":
            raise ParameterError(
                f"{owner}: positions must be 'all' or a list of integers; got {positions!r}."
            )
        return np.arange(n_positions)
    found = np.atleast_1d(np.asarray(positions))
    is_fit = found.ndim == 1 and found.size > 0 and found.dtype.kind in "iu"
    if not is_fit or found.min() < -n_positions or found.max() >= n_positions:
        raise ParameterError(
            f"{owner}: positions must be 'all' or integers from {-n_positions} to "
            f"{n_positions - 1}; got {positions!r}."
        )
    return np.unique(found % n_positions)
