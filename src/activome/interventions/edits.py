"""Edits: what happens to the value of a site, as frozen descriptions that can be reused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr

from activome._random import RandomState, integer_seed
from activome.errors import ParameterError
from activome.interventions._edit_values import fit, values_of
from activome.interventions._hooks import Context
from activome.interventions.selectors import Sel

__all__ = [
    "Add",
    "Apply",
    "Clamp",
    "Edit",
    "Gate",
    "Mean",
    "Patch",
    "Resample",
    "Scale",
    "Set",
    "Splice",
    "Steer",
    "Zero",
]


@dataclass(frozen=True)
class Edit:
    """Base of all edits: where it acts, and how strongly.

    Parameters
    ----------
    site : str, default=""
        Name of the sites; may be left out where a mapping gives it.
    pos, head, units, sample : optional
        Which part, as in ``Sel``; all of it by default.
    schedule : callable, optional
        Strength in [0, 1] at a forward pass, from its number since the block was entered: the
        value becomes ``old + strength * (new - old)``.

    Raises
    ------
    NotImplementedError
        If a subclass does not say what it changes.
    """

    site: str = ""
    _: KW_ONLY
    pos: Any = None
    head: Any = None
    units: Any = None
    sample: Any = None
    schedule: Callable[[int], float] | None = None

    @property
    def selector(self) -> Sel:
        """The part of the site it acts on."""
        return Sel(self.pos, self.head, self.units, self.sample)

    def _change(self, value: Any, context: Context) -> Any:
        """Return the new value of the whole site; the selector is applied afterwards."""
        raise NotImplementedError


@dataclass(frozen=True)
class Zero(Edit):
    """Set the selected values to 0.

    Where it acts and how strongly say ``site``, ``pos``, ``head``, ``units``, ``sample`` and
    ``schedule``, as in ``Edit``.
    """

    def _change(self, value: Any, context: Context) -> Any:
        """Return zeros."""
        return torch.zeros_like(value)


@dataclass(frozen=True)
class Mean(Edit):
    """Replace the selected values by their mean.

    Where it acts and how strongly say ``site``, ``pos``, ``head``, ``units``, ``sample`` and
    ``schedule``, as in ``Edit``.

    Parameters
    ----------
    reference : Tensor or array-like, optional
        Mean to use, of a shape that broadcasts to the site. By default the mean over the samples
        and real positions of the running batch.
    """

    reference: Any = None

    def _change(self, value: Any, context: Context) -> Any:
        """Return the mean, in the shape of the value."""
        if self.reference is not None:
            return fit(self.reference, value, context, "Mean")
        axes = context.site.axes(value.ndim)
        over = [i for i, axis in enumerate(axes) if axis in ("sample", "position", "y", "x", "z")]
        mask = context.step.mask
        if mask is None or over != [0, 1] or mask.shape[1] < value.shape[1]:
            return value.mean(over, keepdim=True).expand_as(value)
        weight = mask[:, -value.shape[1] :].to(value)
        weight = weight.reshape(*weight.shape, *(1,) * (value.ndim - 2))
        return ((value * weight).sum(over, keepdim=True) / weight.sum()).expand_as(value)


@dataclass(frozen=True)
class Resample(Edit):
    """Replace the selected values by those of another sample of the batch.

    Where it acts and how strongly say ``site``, ``pos``, ``head``, ``units``, ``sample`` and
    ``schedule``, as in ``Edit``.

    Parameters
    ----------
    from_batch : sequence of int, optional
        Row that each sample takes; by default a random order.
    random_state : int, optional
        Seed of the random order; the same at every site of the block.

    Raises
    ------
    ParameterError
        If ``from_batch`` does not name a row for each sample.
    """

    from_batch: Sequence[int] | None = None
    random_state: RandomState = 0

    def _change(self, value: Any, context: Context) -> Any:
        """Return the rows in their new order."""
        place = context.site.axes(value.ndim).index("sample")
        n = value.shape[place]
        if self.from_batch is None:
            rows = np.random.default_rng(integer_seed(self.random_state)).permutation(n)
        else:
            rows = np.asarray(self.from_batch)
        if rows.shape != (n,) or rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= n:
            raise ParameterError(
                f"Resample: from_batch must name a row in 0 to {n - 1} for each of the {n} samples;"
                f" got {rows.tolist()}."
            )
        return value.index_select(place, torch.as_tensor(rows, device=value.device))


@dataclass(frozen=True)
class Patch(Edit):
    """Replace the selected values by those of another run, position by position.

    Where it acts and how strongly say ``site``, ``pos``, ``head``, ``units``, ``sample`` and
    ``schedule``, as in ``Edit``.

    Parameters
    ----------
    cache : Recording, Tensor, array-like or xarray.DataArray, optional
        The other run. A recording serves any number of sites, each by its own layer; it must hold
        whole sites. Positions are columns of the sequence, so that patches hold while generating.

    Raises
    ------
    ParameterError
        If there is no other run, or it is too short or of another shape.
    """

    cache: Any = None

    def _change(self, value: Any, context: Context) -> Any:
        """Return the recorded values."""
        source = self.cache
        if source is None:
            raise ParameterError("Patch: cache is missing; give a recording or a tensor.")
        if hasattr(source, "tensor"):
            source = source.tensor(context.site.label, call=context.call)
        elif isinstance(source, Mapping):
            source = source[context.site.label]
        elif isinstance(source, xr.DataArray):
            source = values_of(source, context)
        source = torch.as_tensor(source, dtype=value.dtype, device=value.device)
        axes = context.site.axes(value.ndim)
        place = axes.index("position") if "position" in axes else 0
        if "position" in axes and source.ndim == value.ndim and source.shape[place] > 1:
            first = context.step.start
            n = value.shape[place]
            if first + n <= source.shape[place]:
                source = source.narrow(place, first, n)
            else:
                # Columns past the recording keep their value; a patch there is refused.
                source = _extend(source, value, place, first, self)
        return fit(source, value, context, "Patch")


def _extend(source: Any, value: Any, place: int, first: int, edit: Patch) -> Any:
    n_known = max(source.shape[place] - first, 0)
    if edit.pos is None:
        raise ParameterError(
            f"Patch: the recording has {source.shape[place]} positions, and the run is at "
            f"{first + value.shape[place]}. Say by pos which to patch."
        )
    known = source.narrow(place, first, n_known) if n_known else source.narrow(place, 0, 0)
    rest = value.narrow(place, n_known, value.shape[place] - n_known)
    return torch.cat([known, rest], dim=place)


@dataclass(frozen=True)
class Set(Edit):
    """Set the selected values.

    Where it acts and how strongly say ``site``, ``pos``, ``head``, ``units``, ``sample`` and
    ``schedule``, as in ``Edit``.

    Parameters
    ----------
    value : float, Tensor or array-like, default=0.0
        New value, of a shape that broadcasts to the site.
    """

    value: Any = 0.0

    def _change(self, value: Any, context: Context) -> Any:
        """Return the value, in the shape of the site."""
        return fit(self.value, value, context, "Set")


@dataclass(frozen=True)
class Add(Edit):
    """Add a direction to the selected values.

    Where it acts and how strongly say ``site``, ``pos``, ``head``, ``units``, ``sample`` and
    ``schedule``, as in ``Edit``.

    Parameters
    ----------
    direction : Tensor or array-like
        Direction in the space of the site, of shape (n_features,) or what broadcasts to the site.
    alpha : float, default=1.0
        How many times it is added.
    """

    direction: Any = 0.0
    alpha: float = 1.0

    def _change(self, value: Any, context: Context) -> Any:
        """Return the value plus the direction."""
        return value + self.alpha * fit(self.direction, value, context, "Add")


@dataclass(frozen=True)
class Steer(Add):
    """Add ``alpha`` times a ``direction``, as a steering vector; another name of ``Add``.

    Where it acts and how strongly say ``site``, ``pos``, ``head``, ``units``, ``sample`` and
    ``schedule``, as in ``Edit``.
    """


@dataclass(frozen=True)
class Scale(Edit):
    """Multiply the selected values.

    Where it acts and how strongly say ``site``, ``pos``, ``head``, ``units``, ``sample`` and
    ``schedule``, as in ``Edit``.

    Parameters
    ----------
    factor : float, Tensor or array-like, default=1.0
        Factor, of a shape that broadcasts to the site.
    """

    factor: Any = 1.0

    def _change(self, value: Any, context: Context) -> Any:
        """Return the scaled value."""
        return value * fit(self.factor, value, context, "Scale")


@dataclass(frozen=True)
class Clamp(Edit):
    """Hold the selected values at a value, or between two.

    Where it acts and how strongly say ``site``, ``pos``, ``head``, ``units``, ``sample`` and
    ``schedule``, as in ``Edit``.

    Parameters
    ----------
    value : float, Tensor or array-like, optional
        Value to hold at, of a shape that broadcasts to the site.
    low, high : float, optional
        Bounds, where no value is given.
    detach : bool, default=False
        Let no gradient through the clamped values.
    """

    value: Any = None
    low: float | None = None
    high: float | None = None
    detach: bool = False

    def __post_init__(self) -> None:
        """Check that there is something to clamp to."""
        is_bounded = self.low is not None or self.high is not None
        if (self.value is None) is not is_bounded:
            raise ParameterError("Clamp: give either value, or low or high or both.")

    def _change(self, value: Any, context: Context) -> Any:
        """Return the clamped value."""
        if self.value is None:
            result = value.clamp(self.low, self.high)
        else:
            result = fit(self.value, value, context, "Clamp")
        return result.detach() if self.detach else result


@dataclass(frozen=True)
class Gate(Edit):
    """Multiply by a gate per unit, held in [0, 1], that may be learned.

    Where it acts and how strongly say ``site``, ``pos``, ``head``, ``units``, ``sample`` and
    ``schedule``, as in ``Edit``.

    Parameters
    ----------
    gate : Tensor or array-like
        Gate of shape (n_features,) or what broadcasts to the site; an ``nn.Parameter`` receives
        gradients wherever it is in [0, 1].
    """

    gate: Any = 1.0

    def _change(self, value: Any, context: Context) -> Any:
        """Return the gated value."""
        gate = torch.as_tensor(self.gate, dtype=value.dtype, device=value.device)
        return value * fit(gate.clamp(0.0, 1.0), value, context, "Gate")


@dataclass(frozen=True)
class Splice(Edit):
    """Run the value through an autoencoder, and go on with its reconstruction.

    Where it acts and how strongly say ``site``, ``pos``, ``head``, ``units``, ``sample`` and
    ``schedule``, as in ``Edit``.

    Parameters
    ----------
    autoencoder : callable
        From (..., n_features) to the same; of a tuple the first item is taken.
    error_term : bool, default=False
        Add what the reconstruction misses as a constant: the value stays as it was, and gradients
        flow through the autoencoder alone.
    """

    autoencoder: Any = None
    error_term: bool = False

    def _change(self, value: Any, context: Context) -> Any:
        """Return the reconstruction."""
        found = self.autoencoder(value)
        found = found[0] if isinstance(found, (tuple, list)) else found
        result = fit(found, value, context, "Splice")
        return result + (value - result).detach() if self.error_term else result


@dataclass(frozen=True)
class Apply(Edit):
    """Call a function of the value.

    Where it acts and how strongly say ``site``, ``pos``, ``head``, ``units``, ``sample`` and
    ``schedule``, as in ``Edit``.

    Parameters
    ----------
    function : callable
        From the view of the site, heads on an axis of their own, to its new value. It must not
        write into what it is given.

    Raises
    ------
    ParameterError
        If there is no function, or it gives another shape.
    """

    function: Callable[[Any], Any] | None = None

    def _change(self, value: Any, context: Context) -> Any:
        """Return what the function gives."""
        if self.function is None:
            raise ParameterError("Apply: function is missing.")
        return fit(self.function(value), value, context, "Apply")
