"""Resume: enter a network at one of its blocks, with a residual stream that is known already."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from activome._checks import check_integer
from activome.errors import ParameterError
from activome.interventions._comparison import one_batch, repeat
from activome.interventions._inputs import Batch, run
from activome.interventions._restart import Restart
from activome.interventions.edits import Set
from activome.interventions.taps import Taps

__all__ = ["resume"]


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
        with taps.edit(Set(taps.table.named["resid_pre"][0].label, hidden)):
            return run(model, several, use_cache=False)
    with restart.entered(layer, hidden.clone()):  # blocks may write into it
        return run(model, several, use_cache=False)
