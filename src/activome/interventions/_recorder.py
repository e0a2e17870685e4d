"""Recordings: the tensors that left the hooks, by site, pass and call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from activome._checks import check_choice, check_memory, nearest_names
from activome.errors import ParameterError
from activome.interventions._hooks import Actor, Context
from activome.interventions.selectors import Sel, _to_numpy, position_mask
from activome.interventions.sites import Site

__all__ = ["REDUCTIONS", "Piece", "Recording", "recorders", "torch_dtype"]

# A reduction takes the view (n_samples, n_positions, ...) and a boolean (n_samples, n_positions).
REDUCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "mean": lambda value, keep: (value * keep).sum(1) / keep.sum(1).clamp(min=1),
    "max": lambda value, keep: value.masked_fill(keep == 0, float("-inf")).amax(1),
    "last": lambda value, keep: value[
        torch.arange(len(value)), value.shape[1] - 1 - _flat(keep).flip(1).argmax(1)
    ],
}


def _flat(keep: Any) -> Any:
    return keep.reshape(keep.shape[0], keep.shape[1]).to(torch.int8)


class Piece:
    """What one call of one site gave: the values, which positions are meant, and their columns."""

    def __init__(self, value: Any, keep: Any, columns: Any, axes: tuple[str, ...]) -> None:
        self.value, self.keep, self.columns, self.axes = value, keep, columns, axes
        self.raw: Any = None


class Recording:
    """Tensors of sites, as they were during the passes of a ``record`` block.

    Parameters
    ----------
    sites : list of Site
        What is recorded.
    asked : mapping of str to list of Site, optional
        The names that were asked for, and the sites each stands for.

    Attributes
    ----------
    sites : list of Site
        What was recorded.
    n_bytes : int
        Bytes held.
    """

    def __init__(self, sites: list[Site], asked: Mapping[str, list[Site]] | None = None) -> None:
        self.sites = sites
        self._asked = {
            name: {site.label for site in found} for name, found in (asked or {}).items()
        }
        self.n_bytes = 0
        self.pieces: dict[str, dict[int, list[Piece]]] = {site.label: {} for site in sites}
        self.steps: dict[int, Any] = {}

    def tensor(self, label: str, *, call: int = 0, step: int = -1) -> Any:
        """Return the tensor of one site.

        Parameters
        ----------
        label : str
            Site with its layer, such as "mlp_out[3]".
        call : int, default=0
            Which call of the module, where it is called several times in a pass.
        step : int, default=-1
            Which of the recorded passes, by default the last.

        Returns
        -------
        Tensor
            Of the shape the site has, heads on an axis of their own.

        Raises
        ------
        ParameterError
            If the site was not recorded, or no pass reached it.
        """
        return self._piece(label, call, step).value

    def gradient(self, label: str, *, call: int = 0, step: int = -1) -> Any:
        """Return the gradient at one site, after ``backward`` and with ``grad=True``.

        Parameters
        ----------
        label : str
            Site with its layer.
        call, step : int
            As in ``tensor``.

        Returns
        -------
        Tensor
            Of the shape of the whole site, heads on an axis of their own.

        Raises
        ------
        ParameterError
            If there is none: recorded without ``grad=True``, or before ``backward``.
        """
        raw = self._piece(label, call, step).raw
        if raw is None or raw.grad is None:
            raise ParameterError(
                f"Recording: there is no gradient at {label!r}. Record with grad=True, where "
                "gradients are enabled, and call backward first."
            )
        site = next(site for site in self.sites if site.label == label)
        return site.view(raw.grad)

    def _piece(self, label: str, call: int, step: int) -> Piece:
        if label not in self.pieces:
            raise ParameterError(
                f"Recording: {label!r} was not recorded; {nearest_names(label, self.pieces)}"
            )
        passes = list(self.pieces[label].values())
        if not passes or call >= len(passes[step]):
            raise ParameterError(
                f"Recording: no pass has reached call {call} of {label!r}. Run the model inside "
                "the block, and check that it uses the module."
            )
        return passes[step][call]

    def __getitem__(self, name: str) -> Any:
        """Return the labelled activity of a name, as it was asked for or of all its layers."""
        from activome.interventions._labels import activity_of

        sites = self._named(name)
        if not sites:
            known = {site.group for site in self.sites} | set(self._asked)
            raise ParameterError(
                f"Recording: {name!r} was not recorded; {nearest_names(name, known)}"
            )
        return activity_of(self, sites)

    def __contains__(self, name: object) -> bool:
        """Whether a site, or a group of sites, was recorded."""
        return bool(self._named(name))

    def _named(self, name: object) -> list[Site]:
        labels = self._asked.get(str(name), set())
        return [
            site
            for site in self.sites
            if site.label in labels or name in (site.group, site.name, site.label)
        ]


def recorders(
    recording: Recording,
    *,
    at: Sel,
    reduce: str | Callable[[Any, Any], Any] | None,
    dtype: Any,
    grad: bool,
    max_bytes: float,
) -> list[Actor]:
    """Return one actor per site, which puts what it sees into the recording."""

    def act(value: Any, context: Context) -> Any:
        view = context.site.view(value)
        piece = _piece(view if grad else view.detach(), context, at, reduce)
        following = None
        if grad and value.requires_grad:
            value.retain_grad()
            piece.raw = value
            # The network goes on with a copy: what it writes in place has a gradient of its own.
            following = value.clone()
        if dtype is not None:
            piece.value = _converted(piece.value, dtype, context)
        if following is None:
            piece.value = _kept_apart(piece.value, value)
        passes = recording.pieces[context.site.label]
        calls = passes.setdefault(context.step.index, [])
        # A call outside the pass is a second one made by gradient checkpointing.
        if not context.is_inside and calls:
            calls[-1] = piece
            return following
        calls.append(piece)
        recording.steps[context.step.index] = context.step
        recording.n_bytes += piece.value.numel() * piece.value.element_size()
        check_memory(
            recording.n_bytes,
            owner="record",
            what="the recording",
            cure="Record fewer sites, positions or units, reduce, or use stream.",
            limit=max_bytes,
        )
        return following

    return [Actor(site, act, is_edit=False) for site in recording.sites]


def _piece(view: Any, context: Context, at: Sel, reduce: Any) -> Piece:
    axes = list(context.site.axes(view.ndim))
    if axes[:2] == ["position", "sample"]:
        view, axes = view.transpose(0, 1), ["sample", "position", *axes[2:]]
    for axis, wanted in (("head", at.head), ("unit", at.units), ("sample", at.sample)):
        if wanted is not None:
            view = _take(view, axes, axis, wanted, context)
    if "position" not in axes:
        return Piece(_owned(view), None, None, tuple(axes))
    place = axes.index("position")
    n = view.shape[place]
    total = max(context.step.total or n, n)
    first = total - n
    columns = torch.arange(first, total)
    mask = context.step.mask
    keep = None if mask is None else mask[:, first:total].cpu()
    if at.pos is not None and not (isinstance(at.pos, str) and at.pos == "all"):
        chosen = position_mask(at.pos, total, first, n, view.shape[0], mask)
        view, chosen, columns = _cut(view, chosen, columns, place, _is_single(at.pos))
        if chosen is None:
            return Piece(_owned(view), None, None, tuple(a for a in axes if a != "position"))
        real = True if keep is None else keep[:, columns - first]
        keep = chosen & real
    if reduce is not None:
        return _reduced(view, axes, keep, reduce, context)
    return Piece(_owned(view), keep, columns, tuple(axes))


def _owned(view: Any) -> Any:
    """Return a tensor that does not keep a much larger one alive."""
    storage = view.untyped_storage().nbytes()
    return view.clone() if storage > 2 * view.numel() * view.element_size() else view


def _kept_apart(found: Any, value: Any) -> Any:
    """Return a tensor that what follows in the network, such as x += y, does not overwrite."""
    is_shared = found.untyped_storage().data_ptr() == value.untyped_storage().data_ptr()
    return found.clone() if is_shared else found


def _take(view: Any, axes: list[str], axis: str, wanted: Any, context: Context) -> Any:
    from activome.interventions.selectors import _axis, _chosen

    place = _axis(tuple(axes), axis, context)
    chosen = _chosen(wanted, view.shape[place], axis, context)
    return view.index_select(place, chosen.nonzero()[:, 0].to(view.device))


def _is_single(pos: Any) -> bool:
    """Tell whether a selector means one position per sample, whatever their lengths."""
    if isinstance(pos, str):
        return pos in ("last", "first_real")
    if isinstance(pos, (list, tuple)):
        return len(pos) == 1
    if isinstance(pos, (slice, range)):
        return False
    return bool(_to_numpy(pos).dtype != bool)


def _cut(view: Any, chosen: Any, columns: Any, place: int, is_one: bool) -> tuple[Any, Any, Any]:
    """Keep the chosen columns; one per sample leaves no axis of positions."""
    if not bool(chosen.any()):
        raise ParameterError(
            f"record: no position is chosen in a batch of {view.shape[0]} samples with "
            f"{view.shape[place]} positions. Leave such samples out."
        )
    if is_one and bool((chosen.sum(1) == 1).all()):
        where = chosen.to(torch.int8).argmax(1).to(view.device)
        where = where.expand(view.shape[0]) if len(where) == 1 else where
        shape = [1] * view.ndim
        shape[0] = view.shape[0]
        sizes = list(view.shape)
        sizes[place] = 1
        return view.gather(place, where.reshape(shape).expand(sizes)).squeeze(place), None, None
    used = chosen.any(0).nonzero()[:, 0]
    return view.index_select(place, used.to(view.device)), chosen[:, used], columns[used]


def _reduced(view: Any, axes: list[str], keep: Any, reduce: Any, context: Context) -> Piece:
    if axes[:2] != ["sample", "position"]:
        raise ParameterError(
            f"record: reduce works over positions; {context.site.label} has axes {', '.join(axes)}."
        )
    if keep is None:
        keep = torch.ones(1, view.shape[1], dtype=torch.bool)
    keep = keep.expand(view.shape[0], -1).to(view.device)
    wide = keep.reshape(*keep.shape, *(1,) * (view.ndim - 2))
    function = REDUCTIONS[reduce] if isinstance(reduce, str) else reduce
    result = function(view, wide)
    return Piece(_owned(result), None, None, ("sample", *axes[2:]))


def _converted(value: Any, dtype: Any, context: Context) -> Any:
    if value.dtype == dtype:
        return value
    result = value.to(dtype)
    if value.is_floating_point() and value.numel() and dtype.itemsize < value.dtype.itemsize:
        largest = max(float(bound.abs()) for bound in torch.aminmax(value))
        # A NaN hides the bounds; only then is every value looked at.
        lost = largest > torch.finfo(dtype).max
        if largest != largest or lost:
            lost = bool((torch.isinf(result) & ~torch.isinf(value)).any())
        if lost:
            held = value[torch.isfinite(value)].abs().max()
            raise ParameterError(
                f"record: {context.site.label} holds {float(held):.6g}, which {dtype} cannot. Use "
                'dtype="float32".'
            )
    return result


def torch_dtype(dtype: str | torch.dtype | None) -> Any:
    """Return the torch type of a name."""
    if dtype is None or isinstance(dtype, torch.dtype):
        return dtype
    known = {"float16", "bfloat16", "float32", "float64"}
    return getattr(torch, check_choice(dtype, sorted(known), name="dtype", owner="record"))
