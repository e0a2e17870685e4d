"""What of a network a state belongs to: digests by name, and the first that differs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from activome.networks.spiking._flatten import Flat
from activome.networks.spiking.network import Network

__all__ = ["find_difference", "fingerprint"]

Array = np.ndarray[Any, Any]
# Entries of an array that are read: all of a small one, evenly spread ones of a large one.
_MOST = 1 << 14


def fingerprint(network: Network, flat: Flat, dt: float, arrivals: str) -> dict[str, str]:
    """Say of a network and its clock, by name, what the arrays of a state depend on.

    Populations count with their order, names, sizes and kinds of cells; projections with their
    names, ends, receptors, synapses, delays and rules. Of the arrays of synapses up to 16,384
    entries each are read, besides their number and the shortest and longest delay. Of a rule the
    kind and the words count. Weights, and the numbers of cells and rules, may be others.
    """
    found = {
        "dt": f"{dt:.9g} ms",
        "arrivals": repr(arrivals),
        "the list of populations": ", ".join(repr(p.name) for p in network.populations),
        "the list of projections": ", ".join(repr(q.name) for q in network.projections) or "empty",
    }
    for p in network.populations:
        adapts = " with adaptation" if p.adaptation is not None else ""
        found[f"population {p.name!r}"] = f"{p.n} {type(p.neuron).__name__}{adapts}"
    for q, row in zip(network.projections, flat.projection, strict=True):
        here = f"projection {q.name!r}"
        found[here] = f"from {q.pre!r} to {q.post!r}, {q.receptor}, of {q.n_synapses} synapses"
        rules = [_words(rule) for rule in (q.plasticity, *q.homeostasis) if rule is not None]
        found[f"the rules of {here}"] = ", ".join(rules) or "none"
        found[f"the synapses of {here}"] = _digest(q.ptr, q.target)
        found[f"the delays of {here}"] = f"{row[14]} to {row[15]} steps, {_digest(q.delay)}"
    return found


def find_difference(here: Mapping[str, str], there: Mapping[str, str]) -> str | None:
    """Return in words the first thing that differs, or None."""
    for name in here:
        was, now = there.get(name, "unknown"), here[name]
        if was == now:
            continue
        if name.startswith(("the synapses", "the delays")):
            return f"{name} differ"
        verb = "were" if name.startswith("the rules") or name == "arrivals" else "was"
        return f"{name} {verb} {was}, and now {now}"
    return None


def _words(rule: Any) -> str:
    """Return the kind of a rule and its words, which say how spikes are kept for it."""
    values = [getattr(rule, item.name) for item in fields(rule)]
    words = [repr(value) for value in values if isinstance(value, str | bool)]
    return f"{type(rule).__name__}({', '.join(words)})"


def _digest(*arrays: Array) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.shape} ".encode())
        sample = array[:: -(-array.size // _MOST) or 1]
        digest.update(np.ascontiguousarray(sample).data)
    return digest.hexdigest()
