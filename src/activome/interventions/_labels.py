"""Labels: recordings as activities, with layer, head and unit on the unit axis."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from activome.activity.schema import Activity, make
from activome.errors import ParameterError
from activome.interventions._recorder import Piece, Recording
from activome.interventions.sites import Site

__all__ = [
    "Values",
    "activity_of",
    "labelled",
    "merge_rows",
    "token_labels",
    "values_of",
    "with_tokens",
]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Values:
    """What sites hold, of shape (sample, position, unit) or (sample, unit), and what it is."""

    values: Array
    keep: Array | None
    stamps: Array | None
    labels: list[dict[str, list[Any]]]

    @property
    def dims(self) -> tuple[str, ...]:
        """Dims of the values."""
        return ("trial", "time", "unit") if self.values.ndim == 3 else ("trial", "unit")


def values_of(recording: Recording, sites: list[Site]) -> Values:
    """Return the values of some sites side by side on the unit axis."""
    found = [_one_site(recording, site) for site in sites]
    blocks = [block for block, _, _ in found]
    _require_alike(blocks, sites)
    joined: Array = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=-1)
    keep, stamps = found[0][2]
    has_times = joined.ndim == 3
    labels = [labels for _, labels, _ in found]
    return Values(joined, keep, stamps if has_times else None, labels)


def activity_of(recording: Recording, sites: list[Site], source: str = "record") -> Activity:
    """Return one activity of some sites: their layers side by side on the unit axis."""
    return labelled(values_of(recording, sites), sites, source)


def labelled(found: Values, sites: list[Site], source: str) -> Activity:
    """Return values as an activity, with what each unit is."""
    columns: dict[str, list[Any]] = {}
    names: list[str] = []
    for site, labels in zip(sites, found.labels, strict=True):
        names += [f"{site.label}.{text}" for text in labels["name"]]
        for key, values in labels.items():
            columns.setdefault(key, []).extend(values)
    del columns["name"]
    if len({site.name for site in sites}) > 1:
        widths = [len(labels["name"]) for labels in found.labels]
        columns["site"] = np.repeat([site.name for site in sites], widths).tolist()
    coords = {key: ("unit", label) for key, label in columns.items() if len(label) == len(names)}
    return make(
        found.values,
        found.dims,
        time=found.stamps,
        unit=names,
        coords=coords,
        valid=found.keep,
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
    return _grid_labels(tuple(names), tuple(sizes), site.layer, site.path)


# Asked for again with every batch; a few tables of names are kept.
@functools.lru_cache(maxsize=64)
def _grid_labels(
    names: tuple[str, ...], sizes: tuple[int, ...], layer: int | None, path: str
) -> dict[str, list[Any]]:
    grid = list(itertools.product(*(range(size) for size in sizes)))
    n = len(grid)
    labels: dict[str, list[Any]] = {"name": [".".join(map(str, place)) for place in grid]}
    for index, axis in enumerate(names):
        labels["feature" if axis == "unit" else axis] = [place[index] for place in grid]
    if layer is not None:
        labels["layer"] = [layer] * n
    elif path:
        labels["module"] = [path] * n
    return labels


def with_tokens(part: Activity, batch: Any, tokenizer: Any) -> Activity:
    """Label positions by token, where the positions are those of the input."""
    if "time" not in part.dims:
        return part
    labels = token_labels(part.sizes["trial"], part["time"].values, batch, tokenizer)
    return part.assign_coords({key: (("trial", "time"), label) for key, label in labels.items()})


def token_labels(n_rows: int, stamps: Array, batch: Any, tokenizer: Any) -> dict[str, Array]:
    """Return id and text of the tokens of a batch, where the positions are those of the input."""
    ids, columns = batch.ids, stamps.astype(int)
    if ids is None or n_rows != len(ids) or columns.max() >= ids.shape[1]:
        return {}
    labels = {"token_id": ids.detach().cpu().numpy()[:, columns]}
    if tokenizer is not None:
        labels["token"] = token_strings(labels["token_id"], tokenizer)
    return labels


def token_strings(ids: np.ndarray[Any, Any], tokenizer: Any) -> np.ndarray[Any, Any]:
    """Return the text of each token id."""
    lookup = getattr(tokenizer, "convert_ids_to_tokens", None) or tokenizer.id_to_token
    known, places = np.unique(ids, return_inverse=True)
    texts = np.array([str(lookup(int(i))) for i in known], dtype=str)
    return np.asarray(texts[places.reshape(ids.shape)])
