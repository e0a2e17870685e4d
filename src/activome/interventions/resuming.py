"""Resume: enter a network at one of its blocks, with a residual stream that is known already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from activome._checks import check_integer
from activome.errors import ParameterError
from activome.interventions._comparison import one_batch, repeat
from activome.interventions._hooks import _output_tensor, _replace_output
from activome.interventions._inputs import Batch, run
from activome.interventions.sites import Site
from activome.interventions.taps import Taps

__all__ = ["Restart", "resume"]


class Restart:
    """The blocks of a network, and the residual stream that entered each in one pass.

    ``is_possible`` is False where the blocks are no chain: where what one returns is not what the
    next one takes, or one is called twice or never.
    """

    def __init__(self, taps: Taps, call: Callable[[Batch], Any], batch: Batch) -> None:
        named = taps.table.named.get("resid_pre", [])
        self.paths = [site.path for site in named if site.io == "in" and site.layer is not None]
        self.blocks = [taps.model.get_submodule(path) for path in self.paths]
        self._seen: list[tuple[int, Any, Any]] = []
        with torch.no_grad(), ExitStack() as stack:
            for number, block in enumerate(self.blocks):
                stack.enter_context(_forward_of(block, self._watcher(number, block)))
            self.readout = call(batch)
        self.is_possible = self._is_chain()
        self.streams = [entered for _, entered, _ in self._seen] if self.is_possible else []

    def _watcher(self, number: int, block: nn.Module) -> Callable[..., Any]:
        forward = block.forward

        def watch(*args: Any, **kwargs: Any) -> Any:
            output = forward(*args, **kwargs)
            entered = _output_tensor((*args, *kwargs.values()), 0)
            self._seen.append((number, entered, output))
            return output

        return watch

    def _is_chain(self) -> bool:
        if not self.blocks or [n for n, _, _ in self._seen] != list(range(len(self.blocks))):
            return False
        for (_, _, output), (_, entered, _) in zip(self._seen, self._seen[1:], strict=False):
            left = _output_tensor(output, 0)
            if left is None or left.shape != entered.shape or not torch.equal(left, entered):
                return False
        return _output_tensor(self._seen[-1][2], 0) is not None

    def layer_of(self, site: Site) -> int | None:
        """Return the block that a site is in; None for what is before or beside the blocks."""
        for number, path in enumerate(self.paths):
            if site.path == path or site.path.startswith(path + "."):
                return number
        return None

    @contextmanager
    def entered(self, layer: int, hidden: Any) -> Iterator[None]:
        """Let every pass of the block begin at a layer, with the stream that is given."""

        def stub(number: int) -> Callable[..., Any]:
            def skip(*args: Any, **kwargs: Any) -> Any:
                value = (
                    hidden if number == layer - 1 else _output_tensor((*args, *kwargs.values()), 0)
                )
                return _replace_output(self._seen[number][2], 0, value)

            return skip

        with ExitStack() as stack:
            for number in range(layer):
                stack.enter_context(_forward_of(self.blocks[number], stub(number)))
            yield


@contextmanager
def _forward_of(block: nn.Module, function: Callable[..., Any]) -> Iterator[None]:
    """Put a function in the place of what a block computes; its hooks stay."""
    own = block.__dict__.get("forward")
    block.__dict__["forward"] = function
    try:
        yield
    finally:
        if own is None:
            del block.__dict__["forward"]
        else:
            block.__dict__["forward"] = own


def resume(
    model: nn.Module,
    inputs: Any,
    layer: int,
    hidden: Any,
    *,
    tokenizer: Any = None,
    scheme: str | None = None,
) -> Any:
    """Run a network from one of its blocks on.

    The blocks before ``layer`` are not computed. Everything else is the model's own: it is called
    as always, so that masks, rotary embeddings and the head are right, and edits and recordings of
    ``Taps`` work inside.

    Parameters
    ----------
    model : torch.nn.Module
        Network with a chain of blocks whose inputs are its sites ``resid_pre``.
    inputs : Tensor, mapping of str to Tensor, list of list of int, or list of str
        Input of the model, n_samples rows of one length.
    layer : int
        Block to begin with, from 0.
    hidden : Tensor of shape (k * n_samples, n_positions, n_features)
        Residual stream that enters the block. With k > 1 the inputs are used k times over.
    tokenizer : object, optional
        With ``encode``, where the inputs are texts.
    scheme : str, optional
        Table of site names, as in ``Taps``.

    Returns
    -------
    object
        What the model returns.

    Raises
    ------
    ParameterError
        If the model has no chain of blocks, the layer is not one of them, or the stream does not
        fit.

    Notes
    -----
    One pass over the first sample tells how the blocks are called; it comes on top of the pass from
    ``layer`` on.

    Examples
    --------
    >>> import torch
    >>> class Network(torch.nn.Module):
    ...     tap_sites = {"resid_pre": "blocks.*#in"}
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.blocks = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(3))
    ...     def forward(self, x):
    ...         for block in self.blocks:
    ...             x = block(x)
    ...         return x
    >>> network, x = Network(), torch.ones(1, 2)
    >>> with torch.no_grad():
    ...     h = network.blocks[0](x)
    ...     print(torch.equal(resume(network, x, 1, h), network(x)))
    True
    """
    taps = Taps(model, scheme)
    batch = one_batch(inputs, model, tokenizer, "resume")
    kwargs = {name: value[:1] if value.ndim else value for name, value in batch.kwargs.items()}
    first = Batch([0], tuple(value[:1] for value in batch.args), kwargs)
    restart = Restart(taps, lambda part: run(model, part, use_cache=False), first)
    if not restart.is_possible:
        raise ParameterError(
            f"resume: {type(model).__name__} has no chain of blocks: each must be called once, "
            "with what the one before returned. Run the whole model, with edits."
        )
    check_integer(layer, name="layer", owner="resume", low=0, high=len(restart.blocks) - 1)
    wanted = tuple(restart.streams[layer].shape[1:])
    n_rows = len(batch.rows)
    if not isinstance(hidden, torch.Tensor) or tuple(hidden.shape[1:]) != wanted:
        shape = tuple(getattr(hidden, "shape", ()))
        raise ParameterError(
            f"resume: hidden must have shape (k * {n_rows}, {', '.join(map(str, wanted))}), as the "
            f"residual stream before block {layer}; got {shape}."
        )
    if not len(hidden) or len(hidden) % n_rows:
        raise ParameterError(
            f"resume: hidden must have a multiple of {n_rows} rows, the number of samples; got "
            f"{len(hidden)}."
        )
    several = repeat(batch, len(hidden) // n_rows)
    if layer == 0:
        from activome.interventions.edits import Set

        with taps.edit(Set(taps.table.named["resid_pre"][0].label, hidden)):
            return run(model, several, use_cache=False)
    with restart.entered(layer, hidden):
        return run(model, several, use_cache=False)


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Cut a sequence into parts of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
