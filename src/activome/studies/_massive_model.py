"""Massive activations of a trained language model: where they are, who writes them, what for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from activome.geometry.massive import massive_activations, massive_ratio
from activome.interventions.edits import Edit, Set, Zero
from activome.interventions.taps import Taps
from activome.networks.language_models import load_language_model

__all__ = ["measure", "texts"]

Array = np.ndarray[Any, Any]
_WRITER = 11  # the block, from 0, whose MLP writes the value that later blocks carry
_FAMILY = 4
_MOST = 48


def texts(n: int) -> list[str]:
    """Return short texts of three kinds: knowledge, stories and sums, in turn."""
    facts = [
        f"{city} is the capital of {land}. People in {land} speak {tongue}, and the country lies "
        f"in {place}. Visitors often begin their journey in {city}."
        for city, land, tongue, place in (
            ("Paris", "France", "French", "Europe"),
            ("Tokyo", "Japan", "Japanese", "Asia"),
            ("Cairo", "Egypt", "Arabic", "Africa"),
            ("Lima", "Peru", "Spanish", "South America"),
        )
    ] + [
        "Water boils at a lower temperature on high mountains, where the air is thin.",
        "Plants turn sunlight into sugar. Their roots bring the water that is needed.",
    ]
    stories = [
        f"Once upon a time, a {who} named {name} lived near a {where}. Every morning {name} went "
        "out to look for something new. One day there was a strange sound behind the trees."
        for who, name, where in (
            ("girl", "Mary", "dark forest"),
            ("fisherman", "Tom", "quiet lake"),
            ("teacher", "Anna", "small village"),
            ("fox", "Rusty", "wide river"),
        )
    ]
    sums = [
        "There are 12 apples in a box. In 5 boxes there are 60 apples, and in 10 there are 120.",
        "A train travels 80 kilometres in one hour. In 3 hours it travels 240 kilometres.",
    ]
    mixed = [facts[0], stories[0], *facts[1:], *stories[1:], *sums]
    return mixed[:n]


def measure(n_texts: int, seed: int) -> dict[str, Any]:
    """Record and edit the model on some texts, one by one."""
    loaded = load_language_model("smollm2", attention="eager")
    model, tokenizer = loaded.model, loaded.tokenizer
    taps = Taps(model)
    inputs = [
        torch.tensor([tokenizer.encode(text, add_special_tokens=False)[:_MOST]])
        for text in texts(n_texts)
    ]
    down = taps.sites(f"mlp_hidden[{_WRITER}]")[0]
    weight = model.get_submodule(down.path).weight.detach()
    clean = [_watch(model, taps, ids, weight) for ids in inputs]
    carried = [one["carried"] for one in clean]
    units = _largest_units(carried)
    unit = units[0]
    values = [float(stream[unit]) for stream in carried]
    site = f"resid_post[{_WRITER}]"
    rng = np.random.default_rng(seed)
    others = np.setdiff1d(np.arange(len(carried[0])), units)
    drawn = rng.choice(others, size=_FAMILY, replace=False).tolist()
    zero = Zero(site, pos=0, units=[unit])
    edits: dict[str, Edit | None] = {
        "unchanged": None,
        "zero": zero,
        "zero, four largest": Zero(site, pos=0, units=units),
        "mean": Set(site, float(np.mean(values)), pos=0, units=[unit]),
        "zero, four random": Zero(site, pos=0, units=drawn),
    }
    losses = {
        name: [_loss(model, taps, ids, edit) for ids in inputs] for name, edit in edits.items()
    }
    zeroed = [_attention(model, taps, ids, zero) for ids in inputs]
    n_tokens = np.array([ids.shape[1] - 2 for ids in inputs], dtype=np.float64)
    shares = [one["writers"] for one in clean]
    return {
        "ratio": np.stack([one["ratio"] for one in clean]),
        "top": np.mean([one["top"] for one in clean], axis=0),
        "median": np.mean([one["median"] for one in clean], axis=0),
        "place": np.array([one["place"] for one in clean]),
        "unit": unit,
        "values": np.array(values),
        "writers": np.array([float(share[unit][:2].sum()) for share in shares]) / np.array(values),
        "weak": np.array([_weak(one["weak"], unit) for one in clean]),
        "attention": np.mean([one["attention"] for one in clean], axis=0),
        "attention_zeroed": np.mean(zeroed, axis=0),
        "perplexity": {
            name: math.exp(min(float(np.average(loss, weights=n_tokens)), 700.0))
            for name, loss in losses.items()
        },
        "source": loaded.source,
    }


def _watch(model: Any, taps: Taps, ids: Any, weight: Any) -> dict[str, Any]:
    """Return what one text shows without an edit."""
    sites = ("resid_post[*]", f"mlp_hidden[{_WRITER}]", "attn_pattern[*]")
    with taps.record(*sites) as recording, torch.no_grad():
        model(ids)
    labels = [site.label for site in taps.sites("resid_post[*]")]
    h = torch.stack([recording.tensor(label) for label in labels], 1).numpy()
    magnitude = np.sort(np.abs(h[0]).reshape(len(labels), -1), axis=1)
    after = int(np.abs(h[0, _WRITER + 1]).argmax())
    hidden = recording.tensor(f"mlp_hidden[{_WRITER}]")[0, 0]
    contributions = (weight * hidden).sort(dim=1, descending=True).values.numpy()
    return {
        "ratio": massive_ratio(h).values,
        "top": magnitude[:, -3:][:, ::-1],
        "median": np.median(magnitude, axis=1),
        "place": divmod(after, h.shape[3]),
        "carried": h[0, _WRITER, 0],
        "writers": contributions,
        "weak": massive_activations(h[:, 3:10], ratio_min=500.0),
        "attention": _sink(recording, taps),
    }


def _largest_units(carried: list[Array]) -> list[int]:
    """Return the units that are largest at the first position, over all texts."""
    mean = np.mean(np.abs(carried), axis=0)
    return [int(unit) for unit in np.argsort(-mean)[:_FAMILY]]


def _weak(table: Any, unit: int) -> float:
    """Return the median ratio of the unit at the first position in blocks 3 to 9; 0 without it."""
    found = table[(table.unit == unit) & (table.position == 0)]
    return float(found.ratio.median()) if len(found) else 0.0


def _loss(model: Any, taps: Taps, ids: Any, edit: Edit | None) -> float:
    """Return the mean loss of what is predicted from positions 1 on, in nats."""
    with torch.no_grad():
        if edit is None:
            logits = model(ids).logits
        else:
            with taps.edit(edit):
                logits = model(ids).logits
    return float(torch.nn.functional.cross_entropy(logits[0, 1:-1], ids[0, 2:]))


def _attention(model: Any, taps: Taps, ids: Any, edit: Edit) -> Array:
    with taps.edit(edit), taps.record("attn_pattern[*]") as recording, torch.no_grad():
        model(ids)
    return _sink(recording, taps)


def _sink(recording: Any, taps: Taps) -> Array:
    """Return the mean attention of later positions to the first, per layer."""
    labels = [site.label for site in taps.sites("attn_pattern[*]")]
    return np.array([float(recording.tensor(label)[0, :, 1:, 0].mean()) for label in labels])
