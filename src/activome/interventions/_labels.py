"""Labels: recordings as activities, with layer, head and unit on the unit axis."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch

from activome.activity.schema import Activity, make
from activome.errors import ParameterError
from activome.interventions._recorder import Piece, Recording
from activome.interventions.sites import Site

__all__ = ["activity_of", "merge_rows", "token_strings", "with_tokens"]

Array = np.ndarray[Any, Any]


def activity_of(recording: Recording, sites: list[Site], source: str = "record") -> Activity:
    """Return one activity of some sites: their layers side by side on the unit axis."""
    columns: dict[str, list[Any]] = {}
    blocks: list[Array] = []
    names: list[str] = []
    pieces: list[Any] = []
    for site in sites:
        block, labels, piece = _one_site(recording, site)
        blocks.append(block)
        pieces.append(piece)
        names += [f"{site.label}.{text}" for text in labels.pop("name")]
        for key, values in labels.items():
            columns.setdefault(key, []).extend(values)
    _require_alike(blocks, sites)
    if len({site.name for site in sites}) > 1:
        widths = [block.shape[-1] for block in blocks]
        columns["site"] = np.repeat([site.name for site in sites], widths).tolist()
    joined: Array = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=-1)
    coords = {key: ("unit", found) for key, found in columns.items() if len(found) == len(names)}
    dims = ("trial", "time", "unit") if joined.ndim == 3 else ("trial", "unit")
    keep, time = pieces[0]
    return make(
        joined,
        dims,
        time=time if joined.ndim == 3 else None,
        unit=names,
        coords=coords,
        valid=keep,
        kind="activation",
        source=source,
        name=sites[0].group or sites[0].name,
    )


def _require_alike(blocks: list[Array], sites: list[Site]) -> None:
    shapes = {block.shape[:-1] for block in blocks}
    if len(shapes) > 1:
        detail = ", ".join(
            f"{site.label} {block.shape}" for site, block in zip(sites, blocks, strict=True)
        )
        raise ParameterError(
            f"record: sites of one activity must have the same samples and positions; got {detail}."
            " Name them one by one."
        )


def _one_site(recording: Recording, site: Site) -> tuple[Array, dict[str, list[Any]], Any]:
    recording.tensor(site.label)  # refuses a site that no pass reached
    rows = [_one_pass(calls, site) for calls in recording.pieces[site.label].values() if calls]
    steps = [recording.steps[index] for index in recording.pieces[site.label]]
    block, labels, _, _ = rows[0]
    if len(rows) == 1:
        return block, labels, (rows[0][2], rows[0][3])
    if all(step.start > 0 for step in steps[1:]) and block.ndim == 3:
        # Generation with a cache: each pass goes on where the one before ended.
        keeps = None if rows[0][2] is None else _joined_keeps(rows)
        stamps = np.concatenate([row[3] for row in rows])
        return np.concatenate([row[0] for row in rows], axis=1), labels, (keeps, stamps)
    merged, keep, stamps_or_none = merge_rows([(row[0], row[2], row[3]) for row in rows])
    return merged, labels, (keep, stamps_or_none)


def _joined_keeps(rows: list[Any]) -> Array:
    return np.concatenate(
        [np.ones(row[0].shape[:2], bool) if row[2] is None else row[2] for row in rows], axis=1
    )


def merge_rows(rows: list[tuple[Array, Any, Any]]) -> tuple[Array, Any, Any]:
    """Put batches below each other; shorter ones are filled with NaN and marked invalid."""
    first = rows[0][0]
    if first.ndim == 2:
        return np.concatenate([row[0] for row in rows]), None, None
    longest = max(rows, key=lambda row: row[0].shape[1])
    width = longest[0].shape[1]
    is_ragged = any(row[0].shape[1] != width for row in rows)
    if not is_ragged and all(row[1] is None for row in rows):
        return np.concatenate([row[0] for row in rows]), None, longest[2]
    fill = np.nan if first.dtype.kind == "f" else 0
    n = sum(len(row[0]) for row in rows)
    values = np.full((n, width, first.shape[2]), fill, dtype=first.dtype)
    keep = np.zeros((n, width), dtype=bool)
    start = 0
    for block, mask, _ in rows:
        stop, length = start + len(block), block.shape[1]
        values[start:stop, :length] = block
        keep[start:stop, :length] = True if mask is None else mask
        start = stop
    return values, keep, longest[2]


def _one_pass(calls: list[Piece], site: Site) -> tuple[Array, dict[str, list[Any]], Any, Any]:
    blocks = [_flat(piece) for piece in calls]
    labels = _unit_labels(calls[0], site)
    keep = calls[0].keep
    stamps = None if calls[0].columns is None else calls[0].columns.numpy().astype(np.float64)
    mask = None
    if keep is not None and blocks[0].ndim == 3:
        mask = np.broadcast_to(keep.numpy(), blocks[0].shape[:2])
    if len(calls) == 1:
        return blocks[0], labels, mask, stamps
    if blocks[0].ndim == 2:
        # A module called once per time step: its calls are the times.
        return np.stack(blocks, axis=1), labels, None, np.arange(len(calls), dtype=np.float64)
    every = {key: found * len(calls) for key, found in labels.items()}
    n_units = blocks[0].shape[-1]
    every["call"] = np.repeat(np.arange(len(calls)), n_units).tolist()
    every["name"] = [f"{name}.call{call}" for call in range(len(calls)) for name in labels["name"]]
    return np.concatenate(blocks, axis=-1), every, mask, stamps


def _flat(piece: Piece) -> Array:
    """Return (sample, unit) or (sample, position, unit); further axes are laid on the units."""
    value = piece.value.detach().cpu()
    if value.dtype == torch.bfloat16:
        value = value.float()
    axes = list(piece.axes)
    if "sample" not in axes:
        return np.asarray(value.numpy()).reshape(1, -1)
    lead = [axes.index(axis) for axis in ("sample", "position") if axis in axes]
    rest = [place for place in range(len(axes)) if place not in lead]
    moved = value.permute(*lead, *rest)
    result: Array = moved.reshape(*moved.shape[: len(lead)], -1).numpy()
    return result


def _unit_labels(piece: Piece, site: Site) -> dict[str, list[Any]]:
    names = [axis for axis in piece.axes if axis not in ("sample", "position")]
    sizes = [piece.value.shape[piece.axes.index(axis)] for axis in names]
    grid = list(itertools.product(*(range(size) for size in sizes)))
    n = len(grid)
    labels: dict[str, list[Any]] = {"name": [".".join(map(str, place)) for place in grid]}
    for index, axis in enumerate(names):
        labels["feature" if axis == "unit" else axis] = [place[index] for place in grid]
    if site.layer is not None:
        labels["layer"] = [site.layer] * n
    elif site.path:
        labels["module"] = [site.path] * n
    return labels


def with_tokens(part: Activity, batch: Any, tokenizer: Any) -> Activity:
    """Label positions by token, where the positions are those of the input."""
    ids = batch.ids
    if ids is None or "time" not in part.dims or part.sizes["trial"] != len(ids):
        return part
    columns = part["time"].values.astype(int)
    if columns.max() >= ids.shape[1]:
        return part
    chosen = ids.detach().cpu().numpy()[:, columns]
    part = part.assign_coords(token_id=(("trial", "time"), chosen))
    if tokenizer is None:
        return part
    return part.assign_coords(token=(("trial", "time"), token_strings(chosen, tokenizer)))


def token_strings(ids: np.ndarray[Any, Any], tokenizer: Any) -> np.ndarray[Any, Any]:
    """Return the text of each token id."""
    lookup = getattr(tokenizer, "convert_ids_to_tokens", None) or tokenizer.id_to_token
    known, places = np.unique(ids, return_inverse=True)
    texts = np.array([str(lookup(int(i))) for i in known], dtype=str)
    return np.asarray(texts[places.reshape(ids.shape)])
