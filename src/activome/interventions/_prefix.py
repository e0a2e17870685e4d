"""Prefixes: the keys and values of positions before a patch, which no patch can change."""

from __future__ import annotations

from typing import Any

import torch

from activome.interventions._comparison import Comparison, repeat
from activome.interventions._inputs import Batch, accepted, run

__all__ = ["Prefix"]


class Prefix:
    """The key/value cache of one run of a causal network, of which passes can take a start.

    ``is_possible`` is False where the network keeps no plain cache of keys and values (an encoder,
    a network that is no language model, sliding windows), or the prompts carry a mask.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.batch = comparison.corrupted
        self.layers: list[tuple[Any, Any]] = []
        self._kind: Any = None
        takes_ids = self.batch.ids is not None and set(self.batch.kwargs) <= {"input_ids"}
        can_cache = {"past_key_values", "use_cache"} <= accepted(comparison.model)
        if takes_ids and can_cache and comparison.readout == "last":
            self._read(comparison)

    @property
    def is_possible(self) -> bool:
        """Whether passes can begin at a later position."""
        return bool(self.layers)

    def _read(self, comparison: Comparison) -> None:
        with torch.no_grad():
            output = run(comparison.model, self.batch, use_cache=True, logits_to_keep=1)
        cache = getattr(output, "past_key_values", None)
        layers = list(getattr(cache, "layers", []))
        n_positions = self.batch.ids.shape[1]
        is_plain = bool(layers) and all(
            type(layer).__name__ == "DynamicLayer" and layer.get_seq_length() == n_positions
            for layer in layers
        )
        if is_plain:
            self._kind = type(cache)
            self.layers = [(layer.keys, layer.values) for layer in layers]

    def batch_from(self, first: int, n_groups: int) -> Batch:
        """Return the input from a position on, several times over, with the cache before it."""
        ids = self.batch.ids[:, first:]
        cache = self._kind()
        for number, tensors in enumerate(self.layers):
            keys, values = (
                tensor[:, :, :first].repeat(n_groups, 1, 1, 1)
                if len(self.batch.rows) > 1
                else tensor[:, :, :first].expand(n_groups, -1, -1, -1)
                for tensor in tensors
            )
            cache.update(keys, values, number)
        several = repeat(Batch(self.batch.rows, (), {"input_ids": ids}), n_groups)
        return Batch(several.rows, (), several.kwargs | {"past_key_values": cache})
