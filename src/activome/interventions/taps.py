"""Taps: watch and change the tensors of any torch network, in place and for a while."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from activome._checks import check_choice, check_number
from activome.errors import ActivityWarning, ParameterError
from activome.interventions._hooks import Actor, Context, manager_of, refuse_compiled
from activome.interventions._recorder import REDUCTIONS, Recording, recorders
from activome.interventions.edits import Apply, Edit, Patch, Set, Zero
from activome.interventions.selectors import Sel
from activome.interventions.sites import Site, SiteTable

__all__ = ["Change", "Taps", "edit"]

Change = Edit | Callable[[Any], Any] | float | Any


class Taps:
    """The sites of a network, and what is done to them.

    The model is used as it is: no weight is copied and no module replaced. Hooks are there inside
    a ``record`` or ``edit`` block only, and are removed on any exception. Blocks nest, of one
    ``Taps`` or several: edits act in the order in which their blocks were entered, and recorders
    see what edits leave.

    Parameters
    ----------
    model : torch.nn.Module
        Any network that is neither compiled nor scripted.
    scheme : {"llama", "gpt2", "bert"}, optional
        Table of site names; found by itself where left out. A network may declare its own as
        a class attribute ``tap_sites``.

    Attributes
    ----------
    scheme : str or None
        Table of site names in use; None where there are ``module:`` sites only.

    Raises
    ------
    ParameterError
        If the model is no module, compiled or scripted, or a site, selector or edit does not fit.
    ResourceError
        If a recording passes ``max_bytes``.

    Notes
    -----
    A call of a module with a hook costs about 2 microseconds. Without edits the outputs are equal
    to those of the bare model bit by bit.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
    >>> taps = Taps(network)
    >>> with taps.edit(Zero("module:0#out", units=1)), taps.record("module:1#out") as rec:
    ...     out = network(torch.ones(4, 2))
    >>> rec["module:1#out"].shape, out[:, 1].tolist()
    ((4, 3), [0.0, 0.0, 0.0, 0.0])
    """

    def __init__(self, model: nn.Module, scheme: str | None = None) -> None:
        refuse_compiled(model, "Taps")
        self.model = model
        self.table = SiteTable(model, scheme)
        self.scheme = self.table.scheme

    def sites(self, name: str | None = None) -> list[Site]:
        """List the sites that a name stands for.

        Parameters
        ----------
        name : str, optional
            As in ``SiteTable.find``; by default every site.

        Returns
        -------
        list of Site
            At least one.
        """
        return self.table.all() if name is None else self.table.find(name)

    @contextmanager
    def record(
        self,
        *sites: str,
        at: Sel | None = None,
        reduce: str | Callable[[Any, Any], Any] | None = None,
        dtype: str | torch.dtype | None = None,
        grad: bool = False,
        max_bytes: float = 1e9,
    ) -> Iterator[Recording]:
        """Record sites during the passes of the block.

        Parameters
        ----------
        *sites : str
            Names of sites.
        at : Sel, optional
            Part to keep; the rest does not leave the hook.
        reduce : {"mean", "max", "last"} or callable, optional
            Reduce over positions inside the hook. A callable takes the view
            (n_samples, n_positions, ...) and a mask of real positions that broadcasts to it.
        dtype : str or torch.dtype, optional
            Type to keep; an overflow is refused.
        grad : bool, default=False
            Keep the graph, and gradients of the recorded tensors.
        max_bytes : float, default=1e9
            Bytes at which the recording is given up.

        Yields
        ------
        Recording
            Filled as the model runs.

        Raises
        ------
        ParameterError
            If a name matches nothing or an option is unknown.
        """
        if not sites:
            raise ParameterError("Taps.record: name at least one site.")
        check_number(max_bytes, name="max_bytes", owner="record", low=0.0)
        if isinstance(reduce, str):
            check_choice(reduce, REDUCTIONS, name="reduce", owner="record")
        found = {site.label: site for name in sites for site in self.table.find(name)}
        recording = Recording(list(found.values()))
        kind = torch_dtype(dtype)
        with at_work(
            self.model,
            recorders(
                recording,
                at=at or Sel(),
                reduce=reduce,
                dtype=kind,
                grad=grad,
                max_bytes=max_bytes,
            ),
        ):
            yield recording

    @contextmanager
    def edit(self, *edits: Edit) -> Iterator[None]:
        """Change sites during the passes of the block.

        Parameters
        ----------
        *edits : Edit
            Applied in their order, each at every site its name stands for.

        Yields
        ------
        None
            The edits are in force inside the block.

        Raises
        ------
        ParameterError
            If a site matches nothing or cannot be edited.

        Warns
        -----
        ActivityWarning
            If passes were run, and an edit met none of the positions it is for.
        """
        if not edits:
            raise ParameterError("Taps.edit: give at least one edit.")
        actors, marks = [], []
        for change in edits:
            mark = {"seen": 0, "met": 0}
            marks.append((change, mark))
            for site in self.table.find(change.site):
                if not site.is_editable:
                    raise ParameterError(
                        f"Taps.edit: {site.label} can be read, not edited: what the module takes "
                        "or gives there does not reach the rest of the network. Edit head_out, q, "
                        "k, v, attn_out, resid_pre or resid_post instead."
                    )
                actors.append(Actor(site, _editor(change, mark, manager_of(self.model)), True))
        with at_work(self.model, actors):
            yield
        for change, mark in marks:
            if mark["seen"] and not mark["met"]:
                warnings.warn(
                    f"edit: {type(change).__name__} at {change.site!r} met none of the positions "
                    f"{change.pos!r} in {mark['seen']} calls; nothing was changed.",
                    ActivityWarning,
                    stacklevel=3,
                )


@contextmanager
def at_work(model: nn.Module, actors: list[Actor]) -> Iterator[None]:
    """Let actors act inside the block."""
    manager = manager_of(model)
    manager.add(actors)
    try:
        yield
    finally:
        manager.remove(actors)


def _editor(change: Edit, mark: dict[str, int], manager: Any) -> Callable[[Any, Context], Any]:
    selector, start = change.selector, manager.step.index + 1

    def act(value: Any, context: Context) -> Any:
        mark["seen"] += 1
        view = context.site.view(value)
        mask = selector.mask(view.shape, context, view.device)
        if mask is not None and not bool(mask.any()):
            return value
        mark["met"] += 1
        new = change._change(view, context)
        if change.schedule is not None:
            strength = float(change.schedule(context.step.index - start))
            new = view + strength * (new - view)
        if mask is not None:
            new = torch.where(mask, new, view)
        return context.site.put(value, new)

    return act


def torch_dtype(dtype: str | torch.dtype | None) -> Any:
    """Return the torch type of a name."""
    if dtype is None or isinstance(dtype, torch.dtype):
        return dtype
    known = {"float16", "bfloat16", "float32", "float64"}
    return getattr(torch, check_choice(dtype, sorted(known), name="dtype", owner="record"))


@contextmanager
def edit(
    model: nn.Module,
    changes: Mapping[str, Change | Sequence[Change]],
    *,
    scheme: str | None = None,
) -> Iterator[None]:
    """Change the tensors of a network while the block runs.

    Parameters
    ----------
    model : torch.nn.Module
        Any network; it is used in place, and as it was after the block, on any exception too.
    changes : mapping of str to change
        What happens at each site: an ``Edit``, "zero", a function of the tensor, a number or
        tensor to set, or a list of these in order.
    scheme : str, optional
        Table of site names, as in ``Taps``.

    Yields
    ------
    None
        The changes are in force inside the block.

    Raises
    ------
    ParameterError
        If a site matches nothing (the nearest names are offered), a change is of no known form, or
        the model is compiled or scripted.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    >>> with edit(network, {"module:1#out": 3.0}):
    ...     print(network(torch.ones(1, 2)).tolist())
    [[3.0, 3.0]]
    """
    if not isinstance(changes, Mapping) or not changes:
        raise ParameterError(f"edit: changes must map sites to changes; got {changes!r}.")
    edits = []
    for site, change in changes.items():
        several = change if isinstance(change, (list, tuple)) else [change]
        edits += [_as_edit(site, one) for one in several]
    with Taps(model, scheme).edit(*edits):
        yield


def _as_edit(site: str, change: Any) -> Edit:
    if isinstance(change, Edit):
        return replace(change, site=site)
    if isinstance(change, str):
        check_choice(change, ("zero",), name="change", owner="edit")
        return Zero(site)
    if isinstance(change, Recording):
        return Patch(site, change)
    if isinstance(change, (bool, type(None))):
        raise ParameterError(f"edit: {change!r} at {site!r} is no change; give an Edit.")
    return Apply(site, change) if callable(change) and not _is_array(change) else Set(site, change)


def _is_array(change: Any) -> bool:
    return isinstance(change, torch.Tensor) or hasattr(change, "__array__")
