"""Selectors: which samples, positions, heads and units of a site are meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from activome._checks import nearest_names
from activome.errors import ParameterError
from activome.interventions._hooks import Context

__all__ = ["Sel"]

_NAMED = ("all", "last", "first_real", "all_but_first")


@dataclass(frozen=True)
class Sel:
    """Part of a site: positions, heads, units and samples; what is left out means all.

    Parameters
    ----------
    pos : int, list of int, slice, array of bool or int, or str, optional
        Columns of the sequence, counted from its first one also while generating with a cache; a
        negative number counts from the last column so far. A boolean array has shape
        (n_samples, n_positions); an integer array or tensor of shape (n_samples,) has one column
        per sample. "last" and "first_real" are the last and the first real token by the attention
        mask, "all_but_first" the real tokens after the first.
    head : int or list of int, optional
        Heads, where the site has them.
    units : int, list of int, slice or array of bool, optional
        Features on the last axis (channels of a map).
    sample : int, list of int or array of bool, optional
        Rows of the batch.

    Raises
    ------
    ParameterError
        If a selector is of no known form, out of range, or names an axis that the site has not.

    Examples
    --------
    >>> Sel(pos="last", units=[3, 5])
    Sel(pos='last', head=None, units=[3, 5], sample=None)
    """

    pos: Any = None
    head: Any = None
    units: Any = None
    sample: Any = None

    def __post_init__(self) -> None:
        if isinstance(self.pos, str) and self.pos not in _NAMED:
            raise ParameterError(
                f"Sel: unknown position {self.pos!r}; {nearest_names(self.pos, _NAMED)}"
            )

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        parts = (self.head, self.units, self.sample)
        return all(part is None for part in parts) and (self.pos is None or _is_word(self, "all"))

    def mask(self, shape: Sequence[int], context: Context, device: Any = None) -> Any:
        """Return where the selection is.

        Parameters
        ----------
        shape : sequence of int
            Shape of the view of the site.
        context : Context
            Site and pass.
        device : torch.device, optional
            Where the mask is to be.

        Returns
        -------
        Tensor of bool or None
            Broadcasts to ``shape``; None where everything is meant.

        Raises
        ------
        ParameterError
            If a selector does not fit the site.
        """
        if self.is_all:
            return None
        axes = context.site.axes(len(shape))
        result = torch.ones((1,) * len(shape), dtype=torch.bool)
        for axis, wanted in (("head", self.head), ("unit", self.units), ("sample", self.sample)):
            if wanted is not None:
                place = _axis(axes, axis, context)
                chosen = _chosen(wanted, shape[place], axis, context)
                sizes = [1] * len(shape)
                sizes[place] = shape[place]
                result = result & chosen.reshape(sizes)
        if self.pos is not None and not _is_word(self, "all"):
            result = result & self._positions(shape, axes, context)
        return result if device is None else result.to(device)

    def _positions(self, shape: Sequence[int], axes: tuple[str, ...], context: Context) -> Any:
        n_samples = shape[axes.index("sample")] if "sample" in axes else 1
        if "position" not in axes:
            # A module called once per time step: its calls are the positions.
            chosen = position_mask(self.pos, context.call + 1, context.call, 1, n_samples, None)
            sizes = [1] * len(shape)
            if "sample" in axes:
                sizes[axes.index("sample")] = chosen.shape[0]
            return chosen.reshape(sizes)
        place = axes.index("position")
        n_positions = shape[place]
        total = context.step.total if context.step.total is not None else n_positions
        # A site may hold the last columns alone (logits of the last token).
        first = max(total - n_positions, 0)
        mask = context.step.mask
        chosen = position_mask(
            self.pos, max(total, n_positions), first, n_positions, n_samples, mask
        )
        sizes = [1] * len(shape)
        sizes[place] = n_positions
        if chosen.shape[0] > 1:
            sizes[axes.index("sample")] = chosen.shape[0]
        if place < axes.index("sample") and chosen.shape[0] > 1:
            chosen = chosen.T
        return chosen.reshape(sizes)


def _is_word(sel: Sel, word: str) -> bool:
    return isinstance(sel.pos, str) and sel.pos == word


def _axis(axes: tuple[str, ...], axis: str, context: Context) -> int:
    if axis not in axes:
        raise ParameterError(
            f"Sel: {context.site.label} has no axis of {axis}s; its axes are {', '.join(axes)}."
        )
    return axes.index(axis)


def _chosen(wanted: Any, size: int, axis: str, context: Context) -> torch.Tensor:
    if isinstance(wanted, slice):
        wanted = list(range(*wanted.indices(size)))
    chosen = torch.as_tensor(np.atleast_1d(_to_numpy(wanted)))
    if chosen.dtype == torch.bool:
        if chosen.shape != (size,):
            raise ParameterError(
                f"Sel: a mask of {axis}s must have shape ({size},) at {context.site.label}; got "
                f"{tuple(chosen.shape)}."
            )
        return chosen
    if chosen.is_floating_point() or chosen.ndim != 1 or chosen.numel() == 0:
        raise ParameterError(
            f"Sel: {axis}s are given as integers, a slice or a boolean mask; got {wanted!r}."
        )
    if int(chosen.min()) < -size or int(chosen.max()) >= size:
        raise ParameterError(
            f"Sel: {context.site.label} has {size} {axis}s; asked for {chosen.tolist()}."
        )
    result = torch.zeros(size, dtype=torch.bool)
    result[chosen] = True
    return result


def _to_numpy(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def real_bounds(mask: Any, total: int) -> tuple[Any, Any]:
    """Return the first and last real column of each sample, shape (n_samples, 1) or (1, 1)."""
    if mask is None:
        return torch.zeros(1, 1, dtype=torch.long), torch.full((1, 1), total - 1)
    is_real = mask.to("cpu", torch.int8)
    first = is_real.argmax(1, keepdim=True)
    last = is_real.shape[1] - 1 - is_real.flip(1).argmax(1, keepdim=True)
    return first, last


def position_mask(
    pos: Any, total: int, first: int, n_positions: int, n_samples: int, mask: Any
) -> torch.Tensor:
    """Return the chosen columns, of shape (n_samples or 1, n_positions)."""
    columns = torch.arange(first, first + n_positions)[None, :]
    if pos is None or (isinstance(pos, str) and pos == "all"):
        return torch.ones(1, n_positions, dtype=torch.bool)
    if isinstance(pos, str):
        start, end = real_bounds(mask, total)
        if pos == "all_but_first":
            is_real = True if mask is None else mask.cpu()[:, first : first + n_positions]
            return (columns > start) & is_real
        return columns == (end if pos == "last" else start)
    if isinstance(pos, slice):
        pos = list(range(*pos.indices(total)))
    is_list = isinstance(pos, (list, tuple, range, int, np.integer))
    wanted = torch.as_tensor(np.atleast_1d(_to_numpy(pos)))
    if wanted.dtype == torch.bool:
        if wanted.ndim != 2 or wanted.shape[0] not in (1, n_samples) or wanted.shape[1] < total:
            raise ParameterError(
                f"Sel: a mask of positions must have shape (n_samples, n_positions) = "
                f"({n_samples}, {total}); got {tuple(wanted.shape)}."
            )
        return wanted[:, first : first + n_positions]
    if wanted.is_floating_point() or wanted.ndim != 1:
        raise ParameterError(f"Sel: positions are integers, a slice, a mask or a word; got {pos!r}")
    wanted = torch.where(wanted < 0, wanted + total, wanted)
    if is_list:
        return (columns[..., None] == wanted).any(-1)
    if wanted.shape[0] != n_samples:
        raise ParameterError(
            f"Sel: an array of positions has one per sample ({n_samples}); got {len(wanted)}. Give "
            "a list to mean the same positions in every sample."
        )
    return columns == wanted[:, None]
