"""Recording a language model: what it costs beside the bare pass, and writing to disk.

The model is SmolLM2 where its package is installed, and a random Llama of the same make, with fewer
layers, otherwise. Every way records the outputs of all feed-forward layers of the same pass; the
tensors must be equal bit by bit. The bare pass records nothing: its ratio is the overhead. Streams
go through a network whose pass costs next to nothing, so that the writing is what is measured; the
peer writes the same values as one plain file, without labels, checksums or a way to resume. The
bytes held by a recording, against those asked for, are printed first.
"""

from __future__ import annotations

import copy
import shutil
import sys
import tempfile
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from _llama import random_llama
from activome.interventions.taps import Taps
from activome.networks.language_models import load_language_model
from activome.networks.model_assets import ASSETS
from harness import Case, Peer, main

_SITE = "mlp_out[*]"
_UNITS, _POSITIONS, _ROWS = 4096, 256, 8


@cache
def model() -> Any:
    """Return the language model, on one thread."""
    torch.set_num_threads(1)
    if ASSETS["smollm2"].is_installed:
        return load_language_model("smollm2").model
    return random_llama(2048)


@cache
def taps() -> Taps:
    """Return the sites of the model; found once, as a user would."""
    return Taps(model())


def make_ids(n_positions: float) -> Any:
    """Return token ids of four samples."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(10, 2000, (4, int(n_positions)), generator=generator)


def record_ours(ids: Any) -> list[Any]:
    """Record with taps."""
    with torch.no_grad(), taps().record(_SITE) as recording:
        model()(ids, use_cache=False)
    return [recording.tensor(site.label) for site in recording.sites]


def run_bare(ids: Any) -> None:
    """Run the pass and record nothing."""
    with torch.no_grad():
        model()(ids, use_cache=False)


def record_by_hand(ids: Any) -> list[Any]:
    """Record with hooks of one line each."""
    found: list[Any] = []
    handles = [
        layer.mlp.register_forward_hook(lambda m, args, out: found.append(out.detach()))
        for layer in model().model.layers
    ]
    run_bare(ids)
    for handle in handles:
        handle.remove()
    return found


@cache
def traced() -> Any:
    """Return the model as nnsight wraps it."""
    import nnsight

    return nnsight.NNsight(model())


def record_nnsight(ids: Any) -> list[Any]:
    """Record with a trace of nnsight."""
    import nnsight

    wrapped = traced()
    with torch.no_grad(), wrapped.trace(ids, use_cache=False):
        found = nnsight.save([])
        for layer in wrapped.model.layers:
            found.append(layer.mlp.output)
    return list(found)


@cache
def bridged() -> Any:
    """Return the model as transformer-lens wraps it."""
    from transformer_lens.model_bridge import TransformerBridge

    # A copy: the bridge changes how the model that it is given pays attention.
    own = copy.deepcopy(model())
    return TransformerBridge.boot_transformers(model().config._name_or_path, hf_model=own)


def record_lens(ids: Any) -> list[Any]:
    """Record with the cache of transformer-lens."""
    with torch.no_grad():
        _, found = bridged().run_with_cache(ids, names_filter=lambda name: "hook_mlp_out" in name)
    return [found[f"blocks.{i}.hook_mlp_out"] for i in range(len(model().model.layers))]


def difference(ours: list[Any], theirs: list[Any]) -> float:
    """Return the largest difference between two lists of tensors, relative to the largest value."""
    pairs = zip(ours, theirs, strict=True)
    return max(float((a - b.reshape(a.shape)).abs().max() / a.abs().max()) for a, b in pairs)


class Cheap(nn.Module):
    """A table of 64 rows: the cheapest pass that gives as much activity."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rows = nn.Embedding(64, _UNITS)
        self.out = nn.Identity()

    def forward(self, input_ids: Any) -> Any:
        """Look the rows up."""
        return self.out(self.rows(input_ids))


@cache
def scratch() -> tempfile.TemporaryDirectory[str]:
    """Folder of this process, removed at its end."""
    return tempfile.TemporaryDirectory()


@cache
def cheap() -> Cheap:
    """Return the cheap network, on one thread."""
    torch.set_num_threads(1)
    return Cheap()


def make_batches(n_batches: float) -> list[Any]:
    """Return batches of token ids."""
    generator = torch.Generator().manual_seed(0)
    shape = (int(n_batches), _ROWS, _POSITIONS)
    return list(torch.randint(0, 64, shape, generator=generator))


def stream_ours(dtype: str, batches: list[Any]) -> Path:
    """Stream to a store."""
    folder = Path(scratch().name) / "ours.zarr"
    shutil.rmtree(folder, ignore_errors=True)
    Taps(cheap()).stream(batches, "module:out#out", to=folder, dtype=dtype)
    return folder


def stream_plain(dtype: str, batches: list[Any]) -> Path:
    """Write the same values one after the other into a file."""
    path = Path(scratch().name) / "plain"
    with path.open("wb") as file, torch.no_grad():
        for ids in batches:
            file.write(cheap()(ids).to(getattr(torch, dtype)).numpy().data)
    return path


def stored_difference(dtype: str, ours: Path, theirs: Path) -> float:
    """Return the largest difference between a store and a plain file."""
    from activome.activity.store import open_store

    plain = np.memmap(theirs, dtype=dtype, mode="r")
    found: Any = open_store(ours)
    plain = plain.reshape(found.shape)
    starts = range(0, len(plain), _ROWS)
    pairs = ((found[i : i + _ROWS].values, plain[i : i + _ROWS]) for i in starts)
    return max(float(np.abs(a.astype(np.float64) - b).max()) for a, b in pairs)


def print_memory() -> None:
    """Print the bytes that a recording holds for each byte that was asked for."""
    ids = make_ids(64)
    for name in ("mlp_out[*]", "head_out[*]", "q[3]"):
        with torch.no_grad(), taps().record(name) as recording:
            model()(ids, use_cache=False)
        storages = {}
        for site in recording.sites:
            storage = recording.tensor(site.label).untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        share = sum(storages.values()) / recording.n_bytes
        print(f"  {name}: {recording.n_bytes / 1e6:.1f} MB asked, {share:.3f} times that held")
    print("    aim: at most 1.1 times")


def cases() -> Sequence[Case]:
    """Return the cases of this file."""
    same = [Peer("the bare pass, nothing recorded", run_bare, lambda ours, theirs: 0.0)]
    same += [
        Peer("hooks by hand", record_by_hand, difference),
        Peer("nnsight", record_nnsight, difference, requires="nnsight"),
        Peer("transformer-lens", record_lens, difference, 1e-5, requires="transformer_lens"),
    ]
    streams = [
        Case(
            f"stream to a store, {dtype}, batches of {_ROWS} x {_POSITIONS} x {_UNITS}",
            (8, 24),
            make_batches,
            partial(stream_ours, dtype),
            [Peer("plain file", partial(stream_plain, dtype), partial(stored_difference, dtype))],
            bytes_moved=partial(stream_bytes, n_bytes),
            aim="300 MB/s",
        )
        for dtype, n_bytes in (("float32", 4), ("float16", 2))
    ]
    recording = Case(
        "record the outputs of all feed-forward layers, 4 samples",
        (16, 64),
        make_ids,
        record_ours,
        same,
        aim="3 % more than the bare pass",
    )
    return [recording, *streams]


def stream_bytes(n_bytes: int, n_batches: float) -> float:
    """Return the bytes of the values of some batches."""
    return n_bytes * n_batches * _ROWS * _POSITIONS * _UNITS


if __name__ == "__main__":
    if "--worker" not in sys.argv:
        print_memory()
    raise SystemExit(main(cases))
