"""Components of a network, the heads or units of one site in every layer, and their reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from activome._checks import check_choice
from activome.errors import ParameterError
from activome.interventions._inputs import run, spared
from activome.interventions._prompts import Prompts
from activome.interventions.edits import Mean
from activome.interventions.selectors import Sel
from activome.interventions.sites import Site
from activome.interventions.taps import Taps

__all__ = ["Components", "Place"]

Place = tuple[int, int]


@dataclass(frozen=True)
class Components:
    """The heads of a site such as ``head_out``, or its units where it has no heads."""

    owner: str
    taps: Taps
    sites: list[Site]

    @classmethod
    def of(cls, owner: str, model: nn.Module, site: str, scheme: str | None) -> Components:
        """Find the site in every layer."""
        taps = Taps(model, scheme)
        sites = taps.sites(site)
        if any(one.layer is None or not one.is_editable for one in sites):
            raise ParameterError(
                f"{owner}: components must be of a site that lies in every layer and can be "
                f"edited, such as head_out or mlp_hidden; got {site!r}."
            )
        return cls(owner, taps, sites)

    @property
    def axis(self) -> str:
        """What the components of a layer are."""
        return "unit" if self.sites[0].heads is None else "head"

    @property
    def layers(self) -> list[int]:
        """Numbers of the layers."""
        return [int(site.layer or 0) for site in self.sites]

    def means(self, prompts: Sequence[Prompts]) -> xr.DataArray:
        """Return the mean of each component over all real positions but the first of a prompt."""
        sums: dict[str, Any] = {}
        n = 0

        def total(view: Any, keep: Any) -> Any:
            return (view.double() * keep).sum(1)

        names = [site.label for site in self.sites]
        at = Sel(pos="all_but_first")
        for several in prompts:
            for part in several.parts:
                with torch.no_grad(), self.taps.record(*names, at=at, reduce=total) as found:
                    run(several.model, part, **spared(several.model))
                for name in names:
                    sums[name] = sums.get(name, 0) + found.tensor(name).sum(0)
                n += _n_counted(part)
        return self.label(np.stack([(sums[name] / n).cpu().numpy() for name in names]))

    def label(self, values: np.ndarray[Any, Any]) -> xr.DataArray:
        """Name the axes of an array (n_layers, n_components) or (..., n_features)."""
        dims = ("layer", self.axis, "feature")[: values.ndim]
        coords = {"layer": self.layers, self.axis: np.arange(values.shape[1])}
        return xr.DataArray(values, coords, dims)

    def reference(self, given: Any, prompts: Sequence[Prompts]) -> xr.DataArray:
        """Return the reference by its name, or check the one given."""
        if isinstance(given, str):
            check_choice(given, ("mean", "zero"), name="reference", owner=self.owner)
            if not prompts:
                raise ParameterError(
                    f"{self.owner}: reference must be given where tasks are functions, since there "
                    "are no prompts to average over. Take head_means of prompts of both tasks."
                )
            means = self.means(prompts)
            return means if given == "mean" else xr.zeros_like(means)
        if not isinstance(given, xr.DataArray) or given.dims[:2] != ("layer", self.axis):
            raise ParameterError(
                f"{self.owner}: reference must be 'mean', 'zero', or what head_means returns, with "
                f"dims layer and {self.axis}; got {getattr(given, 'dims', type(given).__name__)}."
            )
        missing = sorted(set(self.layers) - set(given["layer"].values.tolist()))
        if missing or not np.isfinite(given.values).all():
            fault = f"layers {missing} are missing" if missing else "some are NaN or infinite"
            raise ParameterError(
                f"{self.owner}: reference must hold finite values of every layer; {fault}."
            )
        return given.sel(layer=self.layers)

    def places(self, chosen: Any, name: str, size: Mapping[int, int]) -> list[Place]:
        """Check a group of components, each (layer, number)."""
        found = [tuple(int(i) for i in place) for place in chosen]
        if not found or any(len(place) != 2 for place in found):
            raise ParameterError(
                f"{self.owner}: {name} must be pairs (layer, {self.axis}), at least one; got "
                f"{chosen!r}."
            )
        pairs: list[Place] = [(place[0], place[1]) for place in found]
        if len(set(pairs)) != len(pairs):
            raise ParameterError(f"{self.owner}: {name} must name each {self.axis} once.")
        for layer, number in pairs:
            if layer not in size or not 0 <= number < size[layer]:
                raise ParameterError(
                    f"{self.owner}: {name} names {self.axis} {number} of layer {layer}, which is "
                    f"not there; layers are {min(size)} to {max(size)}."
                )
        return pairs

    def removal(self, group: Iterable[Place], reference: xr.DataArray) -> list[Mean]:
        """Return the edits that put a group at its reference."""
        wanted: dict[int, list[int]] = {}
        for layer, number in group:
            wanted.setdefault(layer, []).append(number)
        by_layer = {site.layer: site.label for site in self.sites}
        edits = []
        for layer, numbers in sorted(wanted.items()):
            value = np.array(reference.sel(layer=layer).values)
            part: Any = {"head" if self.axis == "head" else "units": sorted(numbers)}
            edits.append(Mean(by_layer[layer], reference=torch.from_numpy(value), **part))
        return edits


def _n_counted(part: Any) -> int:
    """Return how many real positions there are after the first of each row."""
    mask = part.kwargs.get("attention_mask")
    if mask is not None:
        return int(mask.sum()) - len(mask)
    first = part.ids if part.ids is not None else next(iter([*part.args, *part.kwargs.values()]))
    return int(first.shape[0] * (first.shape[1] - 1))
