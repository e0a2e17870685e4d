"""Taps: watch and change the tensors of any torch network, in place and for a while."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from activome._checks import check_choice, check_integer, check_number
from activome._progress import Progress, silent
from activome.activity.schema import Activity
from activome.activity.store.status import CHUNK_BYTES
from activome.errors import ActivityWarning, ParameterError
from activome.interventions._editing import at_work, editor
from activome.interventions._hooks import Actor, manager_of, refuse_compiled
from activome.interventions._inputs import Batch, as_batch
from activome.interventions._recorder import REDUCTIONS, Recording, recorders, torch_dtype
from activome.interventions._streaming import Plan, plan_of, stream_batches
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
    scheme : {"llama", "gemma2", "olmo2", "phi3", "gpt2", "neox", "bert"}, optional
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
    StoreError
        If ``stream`` meets a store that is there already, or one of other inputs.

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
        asked = {name: self.table.find(name) for name in sites}
        found = {site.label: site for group in asked.values() for site in group}
        recording = Recording(list(found.values()), asked)
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

    def stream(
        self,
        batches: Iterable[Any],
        sites: str | Sequence[str],
        *,
        to: str | os.PathLike[str],
        at: Sel | None = None,
        reduce: str | Callable[[Any, Any], Any] | None = None,
        dtype: str | None = None,
        tokenizer: Any = None,
        n_positions: int | None = None,
        max_bytes: float = 1e9,
        resume: bool = False,
        source: str | None = None,
        chunk_bytes: int = CHUNK_BYTES,
        progress: Progress = silent,
    ) -> Activity:
        """Record batch after batch to a store, in the memory that one batch takes.

        The store has dims (trial, time, unit), as what ``record`` returns: a trial is a sample, a
        time a position. It grows along the trials; ``activome.load`` and ``activome report`` read
        it as any recording. Samples shorter than the longest are NaN at their end, with False
        in ``valid``, and take next to no room on disk.

        Parameters
        ----------
        batches : iterable
            Inputs of one pass each, as ``record`` takes them: tensors, mappings of tensors, or
            lists of lists of token ids. What is a sequence is looked through first.
        sites : str or sequence of str
            Names of sites, side by side on the unit axis.
        to : path-like
            Folder of the store, by custom ending in ``.zarr``.
        at : Sel, optional
            Part to keep.
        reduce : {"mean", "max", "last"} or callable, optional
            Reduce over positions inside the hook, as in ``record``.
        dtype : {"float16", "float32", "float64"}, optional
            Type to keep; a value that it cannot hold is refused with its site.
        tokenizer : object, optional
            For the text of each token.
        n_positions : int, optional
            Length of the longest sample, where ``batches`` is no sequence; by default that of the
            first batch.
        max_bytes : float, default=1e9
            Bytes at which one batch is given up.
        resume : bool, default=False
            Go on at the last chunk that is whole. Give the same batches: those that are in the
            store are not run again, and the store becomes what it would have been.
        source : str, optional
            What made the data; the class of the model by default.
        chunk_bytes : int, default=8 MiB
            Bytes per chunk of the store; what is in a chunk that is not whole is run again.
        progress : Progress, default=silent
            Told of the samples done.

        Returns
        -------
        xarray.DataArray
            The Activity in the store, lazy.

        Raises
        ------
        ParameterError
            If a name matches nothing, an option is unknown, a batch does not fit the first one, or
            a value does not fit ``dtype``.
        ResourceError
            If a batch takes more than ``max_bytes``.
        StoreError
            If a store is there already and ``resume`` is False, or it is one of other inputs,
            sites or weights.
        """
        names = [sites] if isinstance(sites, str) else list(sites)
        if n_positions is not None:
            check_integer(n_positions, name="n_positions", owner="Taps.stream", low=1)
        if dtype is not None:
            known = ("float16", "float32", "float64")
            check_choice(dtype, known, name="dtype", owner="Taps.stream")
        parts: Iterable[Batch] = (as_batch(item, self.model, "Taps.stream") for item in batches)
        plan = Plan(n_positions=n_positions)
        if isinstance(batches, Sequence):
            parts = list(parts)
            plan = plan_of(parts)
        return stream_batches(
            self,
            parts,
            names,
            to,
            plan=plan,
            options={"at": at, "reduce": reduce, "dtype": dtype, "max_bytes": max_bytes},
            tokenizer=tokenizer,
            source=source,
            resume=resume,
            chunk_bytes=chunk_bytes,
            progress=progress,
        )

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
                actors.append(Actor(site, editor(change, mark, manager_of(self.model)), True))
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
